package imapproxy

import (
	"sync"
	"time"
)

const (
	// freeFailures is how many logins may fail without any delay: a client with an old
	// password tries two or three ways at once and should show its dialog soon.
	freeFailures = 3
	// failureStep is the time between two failed logins of the whole server after that.
	failureStep = time.Second
	// maxPenalty bounds how long one failed login waits for its answer.
	maxPenalty = 10 * time.Second
	// forgetFailures is the quiet time after which failures are forgotten.
	forgetFailures = time.Minute
)

// throttle slows failed logins down, over all connections together. A login with the
// right password is never delayed, so that nobody can lock the user out.
type throttle struct {
	mu       sync.Mutex
	failures int
	last     time.Time
	next     time.Time
}

// failed notes a failure at now and says how long its answer has to wait.
func (t *throttle) failed(now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.last) > forgetFailures {
		t.failures, t.next = 0, now
	}
	t.last = now
	t.failures++
	if t.failures <= freeFailures {
		return 0
	}
	if t.next.Before(now) {
		t.next = now
	}
	t.next = t.next.Add(failureStep)
	if latest := now.Add(maxPenalty); t.next.After(latest) {
		t.next = latest
	}
	return t.next.Sub(now)
}
