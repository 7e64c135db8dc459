package mirror

import (
	"testing"
	"time"

	"mailbridge/internal/provider"
)

// TestExpect: what is expected is seen though the provider tells nothing of itself.
func TestExpect(t *testing.T) {
	t.Parallel()
	b := newBed(t, provider.Options{Without: []string{"IDLE"}}, Options{PollInterval: time.Hour})
	b.start()
	b.synced()
	b.m.Expect()
	b.deliver("INBOX", plain("one"))
	b.eventually("the answer is seen", func() bool { return len(b.list("INBOX")) == 1 })
	b.deliver("INBOX", plain("two")) // the same answer may come in two parts
	b.eventually("the second is seen", func() bool { return len(b.list("INBOX")) == 2 })
}

// TestExpectation: a pause is a quarter of the time waited so far, and the whole is bounded.
func TestExpectation(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	e := expectation{since, since.Add(expectFirst)}
	n := 0
	for ; !e.next.IsZero(); n++ {
		now := e.next
		if e = e.after(now); !e.next.IsZero() && e.next.Sub(now) > max(expectFirst, now.Sub(since)/4) {
			t.Errorf("waits %v after %v", e.next.Sub(now), now.Sub(since))
		}
	}
	if n > 40 {
		t.Errorf("asks %d times", n)
	}
	if e := (expectation{since, since}).after(since.Add(-time.Hour)); !e.next.IsZero() {
		t.Error("waits for a clock that was set back")
	}
}
