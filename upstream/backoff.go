package upstream

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// Backoff spaces out attempts to reconnect: each wait is twice the one before, up to Max,
// less a random part so that clients do not come back in step. It may be used from several
// goroutines; the zero value has the defaults.
type Backoff struct {
	Min, Max time.Duration

	mu   sync.Mutex
	next time.Duration
	wake chan struct{}
}

// A second keeps a restarted server from being hammered; after ten minutes a person is back
// at the desk and expects mail.
const (
	defaultBackoffMin = time.Second
	defaultBackoffMax = 10 * time.Minute
)

// Next gives the wait before the next attempt and lengthens the one after.
func (b *Backoff) Next() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	lowest, highest := b.Min, b.Max
	if lowest <= 0 {
		lowest = defaultBackoffMin
	}
	if highest <= 0 {
		highest = defaultBackoffMax
	}
	b.next = min(max(b.next, lowest), highest)
	d := b.next
	b.next = min(2*d, highest)
	return d/2 + rand.N(d/2+1)
}

// Wait waits for Next, for ctx, or for Reset, whichever is first. Only the end of ctx is
// an error.
func (b *Backoff) Wait(ctx context.Context) error {
	timer := time.NewTimer(b.Next())
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-b.waker():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Reset starts over after a success, or when there is reason to try at once (the network
// is back, the user asks); it ends a Wait in progress.
func (b *Backoff) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next = 0
	if b.wake != nil {
		close(b.wake)
		b.wake = nil
	}
}

func (b *Backoff) waker() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.wake == nil {
		b.wake = make(chan struct{})
	}
	return b.wake
}
