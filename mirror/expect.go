package mirror

import (
	"context"
	"time"

	"mailbridge/mailbox"
)

// A provider takes its time to tell a client in IDLE what has come: Dovecot half a second. With the
// steps of a handshake that adds up, while somebody holds a telephone and waits for the other's to
// say that it is done. So INBOX is asked about after a step has left, soon at first and then ever
// less often: whatever the answer takes, a quarter of that is added at most, for about thirty
// commands.
const (
	// expectFirst is the first pause. No mail takes less.
	expectFirst = 25 * time.Millisecond
	// expectShare is how large a part of the time waited so far the next pause is.
	expectShare = 4
	// expectLong is where it ends: who has not answered by then is not online.
	expectLong = 30 * time.Second
)

// Expect says that something is about to arrive in INBOX.
func (m *Mirror) Expect() {
	m.mu.Lock()
	now := m.opts.Now()
	m.expected = expectation{since: now, next: now.Add(expectFirst)}
	m.mu.Unlock()
	m.poke()
}

// expectation is when INBOX is asked about; zero: not more often than else.
type expectation struct{ since, next time.Time }

// after is the expectation once it has been looked at a time.
func (e expectation) after(now time.Time) expectation {
	waited := now.Sub(e.since)
	if waited < 0 || waited >= expectLong { // or the clock was set back
		return expectation{}
	}
	return expectation{e.since, now.Add(max(expectFirst, waited/expectShare))}
}

// takeExpected reports whether it is time to ask about INBOX.
func (s *session) takeExpected(now time.Time) bool {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if s.m.expected.next.IsZero() || s.m.expected.next.After(now) {
		return false
	}
	s.m.expected = s.m.expected.after(now)
	return true
}

func (s *session) nextExpected() time.Time {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	return s.m.expected.next
}

// lookExpected asks about INBOX, and looks at it if it has changed.
func (s *session) lookExpected(ctx context.Context) error {
	inbox, err := s.m.mailboxByName(ctx, mailbox.Inbox)
	if err != nil {
		return err
	}
	changed, err := s.changed(ctx, inbox)
	if err != nil || !changed {
		return err
	}
	return s.sync(ctx, inbox.ID)
}
