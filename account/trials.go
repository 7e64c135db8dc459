package account

import (
	"sync"
	"time"
)

// trialsPerMinute bounds how many secrets are tried on symmetric mail: at 4 µs each they take
// less than a tenth of one processor. Anybody can send such mail, and each costs all trials.
const trialsPerMinute = 1_000_000

// trials counts the secrets that were tried in this minute. The zero value is ready.
type trials struct {
	mu    sync.Mutex
	since time.Time
	spent int
}

// wait says how long the next trial has to wait.
func (t *trials) wait(now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if passed := now.Sub(t.since); passed < 0 || passed >= time.Minute {
		t.since, t.spent = now, 0
	}
	if t.spent < trialsPerMinute {
		return 0
	}
	return t.since.Add(time.Minute).Sub(now)
}

func (t *trials) spend(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.spent += n
}
