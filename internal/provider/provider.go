// Package provider is an embedded mail provider: IMAP, submission and local delivery
// between its own users. `bridge demo` runs on it, and so do the tests.
//
// It behaves like a plain IMAP server of today (UIDPLUS, MOVE, IDLE, SPECIAL-USE,
// strictly ascending UIDs, exact sizes), keeps everything in memory, and gives every
// message back byte for byte. It has no CONDSTORE. On demand it misbehaves (see Fault)
// and raises an alarm (see Watch and Guard) when something reaches it that a provider
// must not see.
//
// BODYSTRUCTURE and the sections of single parts are go-imap's and, like ENVELOPE, lossy
// for odd mail. All other sections are cut out of the bytes as they are.
package provider

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"
)

// Options choose what the provider offers. The zero value is a provider with TLS and
// without users.
type Options struct {
	// Users maps addresses to passwords. AddUser adds more.
	Users map[string]string
	// Hostname names the server in trace headers and greetings; empty: mail.example.org.
	Hostname string
	// Plaintext switches TLS off: the STARTTLS ports then accept logins in the clear and
	// offer no STARTTLS.
	Plaintext bool
	// Without lists IMAP capabilities to leave out: UIDPLUS, MOVE, IDLE, SPECIAL-USE,
	// LIST-EXTENDED, LIST-STATUS, NAMESPACE, ESEARCH, CHILDREN, STATUS=SIZE.
	Without []string
	// Extra lists capabilities that are announced after the login, XCHATMAIL for example.
	Extra []string
	// Delimiter separates the levels of mailbox names; zero: '/'.
	Delimiter rune
	// SaveSent makes the provider put a copy of each submitted message into Sent by
	// itself, as some do.
	SaveSent bool
	// Unguarded is for NewTest: Guard is not called.
	Unguarded bool
	// Trace is called before each command that a logged-in client gives. It must not block.
	Trace func(Command)
	// Log takes what the servers complain of; nil: nothing is logged.
	Log *slog.Logger
}

// Command is one IMAP or SMTP command as Trace and Fault see it.
type Command struct {
	User string // the address that is logged in; at LOGIN and AUTH the one that wants to
	Name string // LOGIN, SELECT, FETCH, … or AUTH, MAIL, RCPT, DATA
	Arg  string // the mailbox, the recipient, or for FETCH the kind: "body", "header" or ""
}

// Provider is a running provider. All methods may be called from several goroutines.
type Provider struct {
	opts Options
	cert *certificate

	mu    sync.Mutex // guards the store: users and all below them
	users map[string]*user

	// clock is the last UIDVALIDITY that was given out.
	clock  uint32
	outbox []Submission

	net    network
	faults faults
	alarm  alarm
}

// Message is one stored message. Data must not be changed.
type Message struct {
	UID          uint32
	Flags        []string
	InternalDate time.Time
	Data         []byte
}

// Submission is one message as a client gave it to submission.
type Submission struct {
	User string
	From string
	To   []string
	Data []byte
}

// Sentinel errors of the methods that act on the store.
var (
	ErrNoUser    = errors.New("provider: no such user")
	ErrNoMailbox = errors.New("provider: no such mailbox")
	ErrNoMessage = errors.New("provider: no such message")
)

// New makes a provider; Start makes it listen.
func New(opts Options) (*Provider, error) {
	if opts.Hostname == "" {
		opts.Hostname = "mail.example.org"
	}
	if opts.Delimiter == 0 {
		opts.Delimiter = '/'
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	cert, err := newCertificate(time.Now())
	if err != nil {
		return nil, fmt.Errorf("provider: certificate: %w", err)
	}
	p := &Provider{opts: opts, cert: cert, users: make(map[string]*user)}
	for addr, password := range opts.Users {
		p.AddUser(addr, password)
	}
	return p, nil
}

// Start listens on four free ports of the loopback address.
func (p *Provider) Start() error { return p.net.start(p) }

// Close ends all connections and stops listening.
func (p *Provider) Close() error { return p.net.close() }

// Down makes the provider unreachable: connections end and the ports are closed. The
// mail stays. Up opens the same ports again.
func (p *Provider) Down() { p.net.down() }

// Up ends Down.
func (p *Provider) Up() error { return p.net.up() }

// Cut ends all connections; new ones are accepted at once.
func (p *Provider) Cut() { p.net.cut() }

// IMAPAddr is the address of the IMAP port with STARTTLS.
func (p *Provider) IMAPAddr() *net.TCPAddr { return p.net.addr(portIMAP) }

// IMAPSAddr is the address of the IMAP port with implicit TLS.
func (p *Provider) IMAPSAddr() *net.TCPAddr { return p.net.addr(portIMAPS) }

// SMTPAddr is the address of the submission port with STARTTLS.
func (p *Provider) SMTPAddr() *net.TCPAddr { return p.net.addr(portSMTP) }

// SMTPSAddr is the address of the submission port with implicit TLS.
func (p *Provider) SMTPSAddr() *net.TCPAddr { return p.net.addr(portSMTPS) }

// CA is the certificate of the provider's own authority, PEM-encoded. The certificate
// of the ports is valid for localhost, 127.0.0.1 and ::1.
func (p *Provider) CA() []byte { return slices.Clone(p.cert.caPEM) }

// Pool is a pool that holds CA alone.
func (p *Provider) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(p.cert.caPEM)
	return pool
}

func (p *Provider) tlsConfig() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{p.cert.leaf}, MinVersion: tls.VersionTLS12}
}

// lacks reports whether a capability was left out by Options.Without.
func (p *Provider) lacks(capability string) bool {
	return slices.Contains(p.opts.Without, capability)
}
