package provider

import (
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// Effect says what a fault does.
type Effect int

const (
	// Refuse answers NO, or Code, and does nothing.
	Refuse Effect = iota
	// CutBefore closes the connection; the command does not happen. For DATA and APPEND
	// the message was received to its end.
	CutBefore
	// CutAfter lets the command happen and closes the connection before the answer.
	CutAfter
	// CutDuring lets the command happen, and closes the connection when Fault.Octets of the
	// answer were sent.
	CutDuring
	// Delay waits for Fault.Delay, then goes on.
	Delay
	// Hold waits until the fault is released, then goes on.
	Hold
)

// Fault makes the provider misbehave at certain commands.
type Fault struct {
	User    string // only this user's commands; empty: everybody's
	Command string // as Command.Name; empty: every command
	Arg     string // as Command.Arg, compared without case; empty: any
	Skip    int    // so many matching commands pass first
	Times   int    // then so many are struck; 0: all until Release

	Effect   Effect
	Delay    time.Duration
	Octets   int
	Code     int    // SMTP reply of Refuse; 0: 535 at AUTH, else 451
	IMAPCode string // IMAP response code of Refuse, without brackets; may be empty
	Text     string // what Refuse says; empty: a general text
}

// Injection is a fault in effect.
type Injection struct {
	faults  *faults
	fault   Fault
	hits    int
	reached chan struct{}
	release chan struct{}
}

// faults holds what was injected. Its lock is never held while a fault takes effect.
type faults struct {
	mu   sync.Mutex
	list []*Injection
}

// Inject puts a fault into effect, after those that are in effect already.
func (p *Provider) Inject(f Fault) *Injection {
	in := &Injection{faults: &p.faults, fault: f, reached: make(chan struct{}), release: make(chan struct{})}
	p.faults.mu.Lock()
	defer p.faults.mu.Unlock()
	p.faults.list = append(p.faults.list, in)
	return in
}

// Release ends the fault and lets go what it holds.
func (in *Injection) Release() {
	in.faults.mu.Lock()
	defer in.faults.mu.Unlock()
	before := len(in.faults.list)
	in.faults.list = slices.DeleteFunc(in.faults.list, func(other *Injection) bool { return other == in })
	if len(in.faults.list) != before {
		close(in.release)
	}
}

// Reached is closed when the fault strikes for the first time.
func (in *Injection) Reached() <-chan struct{} { return in.reached }

// Hits tells how often the fault has struck.
func (in *Injection) Hits() int {
	in.faults.mu.Lock()
	defer in.faults.mu.Unlock()
	return in.hits
}

// strike gives the first fault that strikes at a command, or nil.
func (fs *faults) strike(c Command) *Injection {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	for _, in := range fs.list {
		if !in.fault.matches(c) {
			continue
		}
		if in.fault.Skip > 0 {
			in.fault.Skip--
			continue
		}
		if in.fault.Times > 0 && in.hits >= in.fault.Times {
			continue
		}
		in.hits++
		if in.hits == 1 {
			close(in.reached)
		}
		return in
	}
	return nil
}

func (f *Fault) matches(c Command) bool {
	return (f.User == "" || canonicalAddr(f.User) == c.User) &&
		(f.Command == "" || f.Command == c.Name) &&
		(f.Arg == "" || strings.EqualFold(f.Arg, c.Arg))
}

// run lets a command happen, with the faults that strike at it. refusal makes the error
// of a Refuse; a connection that a fault cut gives net.ErrClosed.
func (p *Provider) run(c Command, conn net.Conn, refusal func(Fault) error, command func() error) error {
	if p.opts.Trace != nil {
		p.opts.Trace(c)
	}
	in := p.faults.strike(c)
	if in == nil {
		return command()
	}
	switch in.fault.Effect {
	case Refuse:
		return refusal(in.fault)
	case CutBefore:
		_ = conn.Close()
		return net.ErrClosed
	case CutAfter:
		err := command()
		_ = conn.Close()
		return err
	case CutDuring:
		if w, ok := conn.(*wireConn); ok {
			w.cutAfter(in.fault.Octets)
		}
	case Delay:
		p.wait(in, time.After(in.fault.Delay))
	case Hold:
		p.wait(in, nil)
	}
	return command()
}

// wait ends with the fault, the provider, or the timer.
func (p *Provider) wait(in *Injection, timer <-chan time.Time) {
	select {
	case <-in.release:
	case <-p.net.closed:
	case <-timer:
	}
}
