package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
)

// Conn is one IMAP connection, logged in. Its methods may be called from several
// goroutines; they run one after another.
//
// IMAP has no way to call a command back, so a ctx that ends during a command closes the
// connection (Idle is the exception). Give a ctx that lives as long as the wish for the
// answer, not one that ends with every client.
type Conn struct {
	client   *imapclient.Client
	filter   *filter
	wire     *wire
	timeouts Timeouts
	log      *slog.Logger
	caps     Caps
	turn     chan struct{} // holds a token while a command runs

	mu       sync.Mutex
	broken   error // why the connection is of no more use
	selected bool
}

// Dial connects, verifies the certificate and logs in. An error of cfg.Password is handed
// through, wrapped.
func Dial(ctx context.Context, cfg Config) (*Conn, error) {
	t := cfg.Timeouts.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, t.Dial)
	defer cancel()
	password, err := cfg.Password(ctx)
	if err != nil {
		return nil, fmt.Errorf("password of %s: %w", cfg.Username, err)
	}
	w, err := cfg.connect(ctx, cfg.IMAP, startIMAP)
	if err != nil {
		return nil, err
	}
	c := &Conn{wire: w, filter: newFilter(w.tls), timeouts: t, log: cfg.log(), turn: make(chan struct{}, 1)}
	if cfg.IMAP.TLS == StartTLS {
		c.filter.greet()
	}
	c.client = imapclient.New(c.filter, nil)
	if err := c.login(ctx, cfg.IMAP, cfg.Username, password); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Conn) login(ctx context.Context, e Endpoint, username, password string) error {
	err := c.run(ctx, "connect", false, nil, func() error {
		if err := c.client.WaitGreeting(); err != nil {
			return err
		}
		if c.client.State() != imap.ConnStateNotAuthenticated {
			// PREAUTH: whose mail would that be?
			return &Error{Class: Permanent, Reason: ReasonProtocol, Op: "connect", Text: "the provider lets anybody in without a login"}
		}
		if c.client.Caps() == nil {
			return errProtocol
		}
		return nil
	})
	if err != nil {
		return reached(err, e)
	}
	err = c.run(ctx, "LOGIN", false, nil, func() error { return c.authenticate(username, password) })
	if err != nil {
		return loginError(err, e)
	}
	return c.greeted(ctx)
}

// authenticate prefers AUTH PLAIN, which is defined for passwords beyond ASCII.
func (c *Conn) authenticate(username, password string) error {
	caps := c.client.Caps()
	switch {
	case caps.Has(imap.AuthCap(sasl.Plain)):
		return c.client.Authenticate(sasl.NewPlainClient("", username, password))
	case caps.Has(imap.CapLoginDisabled):
		return &Error{Class: Permanent, Reason: ReasonRefused, Op: "LOGIN", Text: "the provider offers no login with a password"}
	default:
		return c.client.Login(username, password).Wait()
	}
}

// greeted asks what the server can do and where the user's mailboxes begin.
func (c *Conn) greeted(ctx context.Context) error {
	return c.run(ctx, "CAPABILITY", false, nil, func() error {
		// imapclient's own idea may still be that of before the login.
		caps, err := c.client.Capability().Wait()
		if err != nil {
			return err
		}
		c.caps = Caps{
			UIDPlus:      caps.Has(imap.CapUIDPlus),
			Move:         caps.Has(imap.CapMove),
			Idle:         caps.Has(imap.CapIdle),
			SpecialUse:   caps.Has(imap.CapSpecialUse),
			Condstore:    caps.Has(imap.CapCondStore),
			Namespace:    caps.Has(imap.CapNamespace),
			ESearch:      caps.Has(imap.CapESearch),
			ListExtended: caps.Has(imap.CapListExtended),
			ListStatus:   caps.Has(imap.CapListStatus),
			XChatmail:    caps.Has("XCHATMAIL"),
		}
		if !c.caps.Namespace {
			return nil
		}
		_, err = c.client.Namespace().Wait()
		var refused *imap.Error
		if errors.As(err, &refused) {
			return nil // advertised and then not known: go without
		}
		return err
	})
}

// Caps says what the server can do.
func (c *Conn) Caps() Caps { return c.caps }

// Namespace gives the prefix of the user's own mailboxes in UTF-8 ("" or, for example,
// "INBOX.") and the delimiter of levels; 0 where the server does not say.
func (c *Conn) Namespace() (prefix string, delim rune) {
	got := c.filter.answers()
	return got.prefix, got.delim
}

// Broken reports whether the connection was lost or closed.
func (c *Conn) Broken() bool {
	select {
	case <-c.client.Closed():
		return true
	default:
		return c.cause() != nil
	}
}

// Close ends the connection at once. A call in progress returns with an error.
func (c *Conn) Close() error {
	c.breakWith(ErrClosed)
	return nil
}

func (c *Conn) cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken
}

// breakWith closes the connection, for the first reason that is given.
func (c *Conn) breakWith(err error) {
	c.mu.Lock()
	if c.broken == nil {
		c.broken = err
	}
	c.mu.Unlock()
	c.wire.sever()
}

// run has one command's turn: it waits for the others, watches for silence and for the end
// of ctx, and classifies what went wrong. changes: the command changes something at the
// provider, so a connection lost under it leaves the outcome unknown.
func (c *Conn) run(ctx context.Context, op string, changes bool, want *wanted, command func() error) error {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return lost(op, Temporary, ctx.Err())
	}
	if c.Broken() {
		return lost(op, Temporary, c.why(nil))
	}
	if err := ctx.Err(); err != nil {
		return lost(op, Temporary, err)
	}
	stop := context.AfterFunc(ctx, func() { c.breakWith(ctx.Err()) })
	defer stop()
	c.filter.begin(want)
	c.wire.raw.expect(c.timeouts.Command)
	err := command()
	c.wire.raw.expect(0)
	c.filter.end()
	return c.classify(op, changes, err)
}

// why gives the most telling reason for a broken connection.
func (c *Conn) why(err error) error {
	if cause := c.cause(); cause != nil {
		return cause
	}
	if bye := c.filter.answers().bye; bye != "" {
		return errors.New(bye)
	}
	switch failed := c.filter.failure(); {
	case errors.Is(failed, os.ErrDeadlineExceeded):
		return errors.New("the provider fell silent")
	case failed == io.EOF:
		return errors.New("the provider closed the connection")
	case failed != nil:
		return failed
	case err == nil:
		return errors.New("connection lost")
	}
	return err
}

func lost(op string, class Class, err error) *Error {
	return &Error{Class: class, Reason: ReasonUnreachable, Op: op, Text: "connection to the provider lost", Err: err}
}

// classify makes an *Error of what a command returned.
func (c *Conn) classify(op string, changes bool, err error) error {
	var known *Error
	var refused *imap.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return known
	case errors.As(err, &refused):
		return refusal(op, refused)
	}
	var own *callerError
	if errors.As(err, &own) {
		return own.err
	}
	protocol := c.misunderstood(err)
	c.breakWith(c.why(err))
	class := Temporary
	if changes {
		class = Unknown
	}
	out := lost(op, class, c.cause())
	if protocol {
		out.Reason, out.Text = ReasonProtocol, "the provider's answer is not IMAP"
	}
	c.log.Debug("connection lost", "op", op, "class", class, "err", out.Err)
	return out
}

// misunderstood reports whether a connection ended because of what was said on it.
func (c *Conn) misunderstood(err error) bool {
	if errors.Is(err, errProtocol) {
		return true
	}
	if c.cause() != nil {
		return false
	}
	if failed := c.filter.failure(); failed != nil {
		return errors.Is(failed, errProtocol)
	}
	var network net.Error
	return !errors.As(err, &network) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, net.ErrClosed)
}

// callerError carries an error of the caller's own function past classify.
type callerError struct{ err error }

func (e *callerError) Error() string { return e.err.Error() }

// temporaryCodes say that the same may work later (RFC 5530, section 3; RFC 9051, section
// 7.1). THROTTLED is Yahoo's and Gmail's.
var temporaryCodes = map[imap.ResponseCode]bool{
	imap.ResponseCodeUnavailable: true,
	imap.ResponseCodeInUse:       true,
	imap.ResponseCodeLimit:       true,
	imap.ResponseCodeServerBug:   true,
	imap.ResponseCodeOverQuota:   true,
	"THROTTLED":                  true,
}

func refusal(op string, refused *imap.Error) *Error {
	if refused.Type == imap.StatusResponseTypeBye { // instead of a greeting
		return lost(op, Temporary, errors.New(refused.Text))
	}
	class := Permanent
	if temporaryCodes[refused.Code] {
		class = Temporary
	}
	return &Error{Class: class, Reason: ReasonRefused, Op: op, Code: string(refused.Code), Text: refused.Text}
}

// reached names the server in the error of a connection that ended before login.
func reached(err error, e Endpoint) error {
	var known *Error
	if errors.As(err, &known) && known.Reason == ReasonUnreachable {
		known.Text = "cannot reach " + e.Address()
	}
	return err
}

// loginError turns a refusal of the login into ReasonAuth, unless it is the server's
// own trouble.
func loginError(err error, e Endpoint) error {
	var known *Error
	if !errors.As(err, &known) || known.Reason != ReasonRefused {
		return reached(err, e)
	}
	if known.Class == Permanent {
		known.Reason = ReasonAuth
	} else {
		known.Reason = ReasonUnreachable
	}
	return known
}
