package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"mailbridge/imapproxy"
	"mailbridge/smtpproxy"
	"mailbridge/web"
)

type runCmd struct{ listenFlags }

// readyWait is how long the service waits for an account before it says that it is
// ready: a provider that is down must not keep the other accounts' clients out.
const readyWait = 20 * time.Second

func (c *runCmd) Run(a *app) error {
	d, err := findDirs(os.Getenv)
	if err != nil {
		return err
	}
	file, err := readConfig(d.configFile())
	if err != nil {
		return err
	}
	listen, err := c.wanted(file.Listen)
	if err != nil {
		return err
	}
	log, err := a.logger(file, "warn")
	if err != nil {
		return err
	}
	s, err := startServer(a.ctx, serverOptions{dirs: d, listen: listen, log: log, make: accountMaker(), only: a.grammar.Account})
	if err != nil {
		return err
	}
	s.bridge.accounts.waitSettled(a.ctx)
	if a.ctx.Err() == nil {
		fmt.Fprintln(a.stdout, "ready")
		notifySystemd("READY=1")
	}
	select {
	case <-a.ctx.Done():
	case err = <-s.failed:
	}
	notifySystemd("STOPPING=1")
	return errors.Join(err, s.close())
}

// logger writes to stderr. Flag, environment, file, default, in this order.
func (a *app) logger(c config, level string) (*slog.Logger, error) {
	return logger(a.stderr, setting(a.grammar.LogLevel, "MAILBRIDGE_LOG_LEVEL", c.LogLevel, level))
}

type serverOptions struct {
	dirs   dirs
	listen map[string]string // service name to HOST:PORT, "" is off
	log    *slog.Logger
	make   maker
	only   []string // serve these accounts alone; empty: all
}

// server is the running service: the accounts, their local servers, and the socket.
type server struct {
	bridge *bridge
	lock   *flock.Flock
	imap   *imapproxy.Server
	smtp   *smtpproxy.Server
	socket *web.Server
	note   string
	open   []io.Closer // listeners that nobody serves yet
	failed chan error  // a listener broke
	wg     sync.WaitGroup
}

// startServer takes the home, binds every port and starts the accounts. What fails on the
// way undoes what was done.
func startServer(ctx context.Context, o serverOptions) (*server, error) {
	lock, err := o.dirs.serviceLock(ctx)
	if err != nil {
		return nil, err
	}
	s := &server{lock: lock, failed: make(chan error, 1)}
	if err := s.start(o); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *server) start(o serverOptions) error {
	listeners, bound, err := s.bind(o.listen)
	if err != nil {
		return err
	}
	if s.bridge, err = newBridge(o.dirs, o.log, bound, o.make); err != nil {
		return err
	}
	s.bridge.accounts.ready = readyWait
	if err := s.bridge.accounts.serve(o.only); err != nil {
		return err
	}
	socket, err := web.Listen(o.dirs.socket())
	if err != nil {
		return err
	}
	s.open = append(s.open, socket)
	s.note = o.dirs.socketNote()
	if err := writeFile(s.note, []byte(o.dirs.socket()+"\n")); err != nil {
		return err
	}
	s.serve(o, listeners, socket)
	return nil
}

// bind opens every listener, so that a busy port stops the start before anything else
// has begun.
func (s *server) bind(listen map[string]string) (map[string][]net.Listener, map[string]string, error) {
	listeners, bound := map[string][]net.Listener{}, map[string]string{}
	for _, service := range services {
		address := listen[service.name]
		if address == "" {
			continue
		}
		list, err := service.listen(address)
		if err != nil {
			return nil, nil, err
		}
		for _, l := range list {
			s.open = append(s.open, l)
		}
		listeners[service.name] = list
		bound[service.name] = list[0].Addr().String()
	}
	return listeners, bound, nil
}

func (s *server) serve(o serverOptions, listeners map[string][]net.Listener, socket net.Listener) {
	tls := s.bridge.leaf.tlsConfig()
	s.imap = imapproxy.New(imapBackend{s.bridge.accounts}, imapproxy.Options{TLS: tls, Log: o.log})
	s.smtp = smtpproxy.New(smtpBackend{s.bridge.accounts}, smtpproxy.Options{TLS: tls, Log: o.log})
	s.socket = web.NewServer(s.bridge.table())
	serve := map[string]func(net.Listener) error{
		"imap": s.imap.Serve, "imaps": s.imap.ServeTLS,
		"smtp": s.smtp.Serve, "smtps": s.smtp.ServeTLS,
	}
	for name, list := range listeners {
		for _, l := range list {
			s.goServe(func() error { return serve[name](l) })
		}
	}
	s.goServe(func() error { return s.socket.Serve(socket) })
	s.open = nil
}

func (s *server) goServe(serve func() error) {
	s.wg.Go(func() {
		if err := serve(); err != nil && !errors.Is(err, net.ErrClosed) {
			select {
			case s.failed <- refuse(exitUnavailable, "a local server broke: %v", err):
			default: // one reason is enough
			}
		}
	})
}

// close stops the clients first, then the accounts, and gives the home back.
func (s *server) close() error {
	var errs []error
	for _, c := range s.open {
		errs = append(errs, c.Close())
	}
	if s.socket != nil {
		errs = append(errs, s.socket.Close(), s.imap.Close(), s.smtp.Close())
	}
	s.wg.Wait()
	if s.bridge != nil {
		s.bridge.accounts.close()
	}
	if s.note != "" {
		if err := os.Remove(s.note); !errors.Is(err, fs.ErrNotExist) { // it may not have been written
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, s.lock.Unlock())...)
}
