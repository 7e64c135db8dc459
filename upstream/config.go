package upstream

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"strconv"
	"time"
)

// TLSMode says how a connection gets its TLS. There is no mode without.
type TLSMode int

const (
	ImplicitTLS TLSMode = iota // TLS from the first byte (RFC 8314, section 3)
	StartTLS                   // STARTTLS, and nothing else before it
)

// Endpoint is one of the provider's servers.
type Endpoint struct {
	Host string
	Port int
	TLS  TLSMode
}

// Address gives host and port as net.Dial takes them.
func (e Endpoint) Address() string { return net.JoinHostPort(e.Host, strconv.Itoa(e.Port)) }

// Config is what a connection to the provider needs.
type Config struct {
	IMAP, SMTP Endpoint
	Username   string
	// Password is asked at each login, so that a changed or an unlocked secret counts at once.
	Password func(ctx context.Context) (string, error)
	RootCAs  *x509.CertPool // nil: the system's
	Log      *slog.Logger   // nil: none
	Timeouts Timeouts
}

// Timeouts bounds every wait for the provider. A zero field means its default.
type Timeouts struct {
	Dial     time.Duration // name look-up, TCP, TLS, greeting and login together
	Stall    time.Duration // data sent that the provider does not take
	Command  time.Duration // silence while the provider owes an answer
	FinalDot time.Duration // silence after the end of a submitted message
	Idle     time.Duration // IDLE is re-issued after this
	IdlePoll time.Duration // NOOP interval where the server has no IDLE
}

// The defaults. Dial: RFC 5321, section 4.5.3.2 allows 5 minutes for a greeting, but a
// person waits for it. Stall: a mobile network that comes back does so within a minute.
// Command: a SEARCH over a large mailbox takes some providers more than a minute.
// FinalDot: RFC 5321, section 4.5.3.2.6; who gives up earlier sends the mail twice.
// Idle: RFC 2177 says 29 minutes, some servers and NAT boxes drop earlier.
const (
	defaultDial     = 30 * time.Second
	defaultStall    = 60 * time.Second
	defaultCommand  = 3 * time.Minute
	defaultFinalDot = 10 * time.Minute
	defaultIdle     = 24 * time.Minute
	defaultIdlePoll = 60 * time.Second
)

func (t Timeouts) withDefaults() Timeouts {
	set := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	set(&t.Dial, defaultDial)
	set(&t.Stall, defaultStall)
	set(&t.Command, defaultCommand)
	set(&t.FinalDot, defaultFinalDot)
	set(&t.Idle, defaultIdle)
	set(&t.IdlePoll, defaultIdlePoll)
	return t
}

func (c Config) log() *slog.Logger {
	if c.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Log
}
