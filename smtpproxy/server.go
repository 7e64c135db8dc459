// Package smtpproxy is the local SMTP server: it authenticates a mail client, takes its
// message and hands it to a Submitter. It knows no crypto and no provider.
//
// It is go-smtp's server behind a few rules of its own: no mail without a login, no
// login in the clear from another machine, rolling deadlines, a limit of connections,
// failed logins slowed down, and no byte of a message that broke off is ever read as a
// command.
//
// QUIRK: go-smtp does not see the end of a message whose last line ends in CR CR LF. Such
// a client gets no answer, and the connection ends with the idle deadline.
package smtpproxy

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-smtp"
)

// Limits of what a client may do. Each can be set in Options.
const (
	// MaxMessage is what large providers take: 25 MB of attachments in base64 fit.
	MaxMessage = 50 << 20
	// MaxRecipients is Postfix's own limit; RFC 5321, section 4.5.3.1.8 asks for 100.
	MaxRecipients = 1000
	// MaxConnections is enough for several clients that keep connections open, and bounds
	// the memory that messages under way can take.
	MaxConnections = 50
	// IdleTimeout is RFC 5321, section 4.5.3.2.7.
	IdleTimeout = 5 * time.Minute
)

// Limits that are not for setting.
const (
	// maxLine is far above RFC 5321's 1000 octets: clients put whole HTML mails into one
	// line, and the client's message is not ours to refuse.
	maxLine = 1 << 20
	// loginTimeout is the time from connecting to a login. It counts absolutely, so that
	// nobody holds a connection by a byte a minute.
	loginTimeout = 2 * time.Minute
	// writeTimeout ends a client that does not read its replies; they are short.
	writeTimeout = time.Minute
	// grace is how long Close waits for messages that are being submitted.
	grace = 10 * time.Second
)

// Options choose limits and TLS. The zero value is good.
type Options struct {
	// TLS is for STARTTLS and ServeTLS; nil: neither.
	TLS *tls.Config
	// Hostname is what the server calls itself; empty: localhost.
	Hostname string
	// Log takes what the client is not told; nil: slog.Default.
	Log *slog.Logger

	MaxMessage     int64         // octets; 0: the constant
	MaxRecipients  int           // 0: the constant
	MaxConnections int           // 0: the constant
	IdleTimeout    time.Duration // 0: the constant
}

func (o *Options) fill() {
	if o.Hostname == "" {
		o.Hostname = "localhost"
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.MaxMessage == 0 {
		o.MaxMessage = MaxMessage
	}
	if o.MaxRecipients == 0 {
		o.MaxRecipients = MaxRecipients
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = MaxConnections
	}
	if o.IdleTimeout == 0 {
		o.IdleTimeout = IdleTimeout
	}
}

// Server is the local SMTP server. It may serve several listeners.
type Server struct {
	backend  Backend
	opts     Options
	smtp     *smtp.Server
	throttle throttle

	ctx         context.Context // ends with Close; what Submit is given
	cancel      context.CancelFunc
	submissions inFlight
	connections atomic.Int64
	once        sync.Once
}

// New makes a server that logs in and submits with backend.
func New(backend Backend, o Options) *Server {
	o.fill()
	s := &Server{backend: backend, opts: o, throttle: newThrottle()}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.smtp = smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &session{server: s, conn: c}, nil
	}))
	s.smtp.Domain = o.Hostname
	s.smtp.TLSConfig = o.TLS
	s.smtp.MaxMessageBytes, s.smtp.MaxRecipients, s.smtp.MaxLineLength = o.MaxMessage, o.MaxRecipients, maxLine
	s.smtp.EnableSMTPUTF8 = true
	s.smtp.AllowInsecureAuth = true // the session decides, by the address of the client
	s.smtp.ErrorLog = complaints{o.Log}
	return s
}

// Serve serves SMTP with STARTTLS until Close, and then returns nil.
func (s *Server) Serve(ln net.Listener) error {
	l := &listener{Listener: ln, server: s}
	return s.serve(l, l)
}

// ServeTLS serves SMTP over implicit TLS (RFC 8314) until Close, and then returns nil.
func (s *Server) ServeTLS(ln net.Listener) error {
	if s.opts.TLS == nil {
		return fmt.Errorf("smtpproxy: no certificate for TLS")
	}
	l := &listener{Listener: ln, server: s}
	return s.serve(l, tls.NewListener(l, s.opts.TLS))
}

// serve closes the listener itself: go-smtp forgets one that comes after its Close.
func (s *Server) serve(ln *listener, wrapped net.Listener) error {
	stop := context.AfterFunc(s.ctx, func() { _ = ln.Close() })
	defer stop()
	err := s.smtp.Serve(wrapped)
	if s.ctx.Err() != nil {
		return nil
	}
	return err
}

// Close ends the context of every Submit, gives the replies a moment to reach the
// clients, lest they send again what is already queued, and then ends all connections.
func (s *Server) Close() error {
	var err error
	s.once.Do(func() {
		s.cancel()
		select {
		case <-s.submissions.close():
		case <-time.After(grace):
			s.opts.Log.Warn("closing while a message is being submitted")
		}
		err = s.smtp.Close()
	})
	return err
}

// inFlight counts the messages between Submit and the reply to the client.
type inFlight struct {
	mu    sync.Mutex
	count int
	idle  chan struct{} // made by close
}

// begin counts a message, unless the server is closing.
func (f *inFlight) begin() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.idle != nil {
		return false
	}
	f.count++
	return true
}

func (f *inFlight) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count--
	if f.idle != nil && f.count == 0 {
		close(f.idle)
	}
}

// close lets no message begin any more. What it gives is closed when there is none.
func (f *inFlight) close() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.idle = make(chan struct{})
	if f.count == 0 {
		close(f.idle)
	}
	return f.idle
}

// complaints passes go-smtp's log on. What it has to say concerns single connections.
type complaints struct{ log *slog.Logger }

func (c complaints) Printf(format string, args ...any) {
	c.log.Debug("smtp", "text", fmt.Sprintf(format, args...))
}

func (c complaints) Println(args ...any) { c.log.Debug("smtp", "text", fmt.Sprint(args...)) }
