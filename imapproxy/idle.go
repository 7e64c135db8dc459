package imapproxy

import (
	"errors"

	"github.com/emersion/go-imap/v2/imapserver"
)

// Idle tells the client of changes as they happen (RFC 2177). What is pending goes out
// before the continuation, which the guard has held back: some clients miss what comes
// just after it.
func (s *session) Idle(_ *imapserver.UpdateWriter, stop <-chan struct{}) error {
	state := s.guard.idle
	if state == nil {
		return errors.New("imapproxy: IDLE without a continuation")
	}
	defer close(state.ended)
	err := s.update(true)
	if err == nil {
		err = s.guard.sendString(idleContinuation)
	}
	if err == nil {
		err = s.follow(stop, state.hungUp)
	}
	if err != nil {
		// go-imap waits for the client's DONE before it looks at the error.
		_ = s.guard.Close()
	}
	return err
}

// follow tells of changes until the client ends IDLE or is gone.
func (s *session) follow(stop, hungUp <-chan struct{}) error {
	var changed <-chan struct{}
	if s.box != nil {
		changed = s.box.changed
	}
	for {
		select {
		case <-stop:
			return nil
		case <-hungUp:
			return nil
		case <-changed:
		}
		if err := s.recordNow(); err != nil {
			return err
		}
		if err := s.tell(true); err != nil {
			return err
		}
	}
}
