// Package imapproxy serves IMAP4rev1 (RFC 3501) to mail clients over the interfaces in
// backend.go. It knows no cryptography, no database and no provider.
//
// go-imap's server holds the state machine and most of the grammar. Three things stand
// around it, because of what its server does with hostile or unusual input:
//
//   - The guard in front (guard*.go) reads whole commands off the connection. go-imap is
//     handed one complete line at a time, with no literal in it: bytes of a message can
//     never be taken for a command. The guard also owns TLS, the deadlines, the
//     capability list and the few commands that go-imap lacks.
//   - FETCH items and SEARCH keys are parsed here (fetchitem.go, searchkey.go), and their
//     responses, like every untagged update, are written here (response.go).
//   - Structure, envelope and sections come from package message, which is linear in the
//     size of a message and never fails.
package imapproxy

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

const (
	// maxConns bounds the connections of a server. Clients open five to ten for an
	// account; each idle one costs about 20 KB.
	maxConns = 200
	// selectTimeout is how long SELECT waits for the first sync of a mailbox.
	selectTimeout = 2 * time.Minute
)

// Options configure a Server.
type Options struct {
	// TLS is the configuration for STARTTLS and ServeTLS; nil: no TLS is offered.
	TLS *tls.Config
	// Log gets what a person may need to find a fault; nil: nothing is logged. Neither
	// passwords nor mail get there.
	Log *slog.Logger
	// SelectTimeout is how long SELECT waits for the first sync; 0: two minutes.
	SelectTimeout time.Duration
}

// Server is an IMAP server.
type Server struct {
	backend  Backend
	options  Options
	log      *slog.Logger
	imap     *imapserver.Server
	throttle throttle

	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	sessions sync.WaitGroup

	mu     sync.Mutex
	guards map[*guard]struct{}
	closed bool
}

// New makes a server. Serve and ServeTLS start it.
func New(backend Backend, options Options) *Server {
	if options.SelectTimeout == 0 {
		options.SelectTimeout = selectTimeout
	}
	log := options.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Server{backend: backend, options: options, log: log, guards: make(map[*guard]struct{})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.imap = imapserver.New(&imapserver.Options{
		NewSession: s.newSession,
		Caps:       serverCaps,
		Logger:     serverLog{log},
		// The guard decides who may log in without TLS.
		InsecureAuth: true,
	})
	return s
}

// Serve accepts connections on ln until it is closed. It offers STARTTLS if the server
// has a TLS configuration.
func (s *Server) Serve(ln net.Listener) error {
	return s.imap.Serve(&listener{Listener: ln, server: s})
}

// ServeTLS accepts connections that begin with TLS (RFC 8314).
func (s *Server) ServeTLS(ln net.Listener) error {
	if s.options.TLS == nil {
		return fmt.Errorf("imapproxy: no TLS configuration")
	}
	return s.imap.Serve(&listener{Listener: ln, server: s, tls: true})
}

// Close ends all listeners and connections and waits until every session has ended. A
// second Close does nothing more.
func (s *Server) Close() error {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	guards := slices.Collect(maps.Keys(s.guards))
	s.mu.Unlock()
	for _, g := range guards {
		g.hangUp("mailbridge is stopping")
	}
	s.cancel()
	var err error
	if !again {
		err = s.imap.Close()
	}
	s.sessions.Wait()
	return err
}

// listener hands go-imap guarded connections.
type listener struct {
	net.Listener
	server *Server
	tls    bool
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if g := l.server.admit(conn, l.tls); g != nil {
			return g, nil
		}
	}
}

// admit puts a guard in front of a connection, or refuses it.
func (s *Server) admit(conn net.Conn, isTLS bool) *guard {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.guards) >= maxConns {
		s.log.Warn("connection refused", "remote", conn.RemoteAddr(), "open", len(s.guards))
		// Nothing is written: the peer may not read, and this is the accepting goroutine.
		_ = conn.Close()
		return nil
	}
	g := newGuard(conn, s, isTLS)
	s.guards[g] = struct{}{}
	return g
}

func (s *Server) forget(g *guard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.guards, g)
}

func (s *Server) newSession(conn *imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
	g, ok := conn.NetConn().(*guard)
	if !ok {
		return nil, nil, fmt.Errorf("imapproxy: connection without a guard")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, &imap.Error{Type: imap.StatusResponseTypeBye, Text: "mailbridge is stopping"}
	}
	s.sessions.Add(1)
	return newSession(s, g), nil, nil
}

// serverLog takes go-imap's log lines. They may quote what a client sent, so only the
// kind of event is kept; a panic is kept whole.
type serverLog struct{ log *slog.Logger }

func (l serverLog) Printf(format string, args ...any) {
	if strings.HasPrefix(format, "panic") {
		l.log.Error("imap session failed", "cause", fmt.Sprintf(format, args...))
		return
	}
	kind, _, _ := strings.Cut(format, ":")
	l.log.Debug("imap session", "event", kind)
}
