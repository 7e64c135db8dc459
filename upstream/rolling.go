package upstream

import (
	"net"
	"sync"
	"time"
)

// rolling is a net.Conn whose deadlines move with the traffic: what counts is silence, not
// how long a large message takes. imapclient and go-smtp set absolute deadlines that would
// cut a slow line in the midst of a message, and have none where a server falls silent; here
// theirs are ignored and ours hold. It lies beneath TLS, so that each record is a step.
type rolling struct {
	net.Conn
	stall time.Duration // for each write

	mu      sync.Mutex
	silence time.Duration // for each read; 0: the peer owes nothing, wait for ever
}

func newRolling(conn net.Conn, stall time.Duration) *rolling {
	return &rolling{Conn: conn, stall: stall}
}

// expect says how long the peer may be silent from now on; 0 means for ever. It also holds
// for a Read that is already waiting.
func (r *rolling) expect(silence time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.silence = silence
	r.moveDeadline()
}

func (r *rolling) moveDeadline() {
	var deadline time.Time
	if r.silence > 0 {
		deadline = time.Now().Add(r.silence)
	}
	// A closed connection says so at the next Read.
	_ = r.Conn.SetReadDeadline(deadline)
}

func (r *rolling) Read(p []byte) (int, error) {
	r.mu.Lock()
	r.moveDeadline()
	r.mu.Unlock()
	return r.Conn.Read(p)
}

func (r *rolling) Write(p []byte) (int, error) {
	if err := r.Conn.SetWriteDeadline(time.Now().Add(r.stall)); err != nil {
		return 0, err
	}
	return r.Conn.Write(p)
}

func (r *rolling) SetDeadline(time.Time) error      { return nil }
func (r *rolling) SetReadDeadline(time.Time) error  { return nil }
func (r *rolling) SetWriteDeadline(time.Time) error { return nil }
