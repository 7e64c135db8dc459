package mirror

import (
	"context"
	"errors"
	"time"

	"mailbridge/mailbox"
	"mailbridge/upstream"
)

// request is an operation that a client waits for and that the provider must be online for:
// COPY, CREATE, RENAME, DELETE.
type request struct {
	run func(ctx context.Context, s *session) error
	// look finds out, on a new connection, whether an operation happened whose outcome was lost.
	look func(ctx context.Context, s *session) error
	done chan error // has room for the answer
}

// requestWait bounds how long a client waits for such an operation, a reconnect included.
const requestWait = 90 * time.Second

// errUnsettled is what a client is told when even that was too short.
var errUnsettled = &mailbox.Error{
	Code: mailbox.CodeUnavailable, Text: "The connection to the provider was lost; it is not known whether this happened.",
}

// online runs an operation in the session.
func (m *Mirror) online(ctx context.Context, run, look func(ctx context.Context, s *session) error) error {
	if m.State().Connection == Offline {
		return errOffline
	}
	ctx, cancel := context.WithTimeout(ctx, requestWait)
	defer cancel()
	r := &request{run: run, look: look, done: make(chan error, 1)}
	for handed := false; !handed; {
		m.mu.Lock()
		pulse, offline := m.pulse, m.state.Connection == Offline
		m.mu.Unlock()
		if offline {
			return errOffline
		}
		select {
		case m.requests <- r:
			handed = true
		case <-pulse:
		case <-ctx.Done():
			return errOffline
		}
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return errUnsettled
	}
}

// answer runs a request. If the connection breaks in it, its outcome is looked for later.
func (s *session) answer(ctx context.Context, r *request) error {
	err := r.run(ctx, s)
	if err != nil && s.conn.Broken() && upstream.ClassOf(err) != upstream.Temporary {
		s.m.mu.Lock()
		if before := s.m.unsettled; before != nil {
			before.done <- errUnsettled
		}
		s.m.unsettled = r
		s.m.mu.Unlock()
		return err
	}
	r.done <- refusal(err)
	return s.fatal(ctx, err)
}

// refusal gives an error the form that a client can be told.
func refusal(err error) error {
	var known *mailbox.Error
	var up *upstream.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return known
	case upstream.IsUnreachable(err), upstream.IsAuth(err), upstream.IsCertificate(err), errors.Is(err, upstream.ErrClosed):
		return &mailbox.Error{Code: mailbox.CodeUnavailable, Text: errOffline.Text, Err: err}
	case errors.As(err, &up) && up.Reason == upstream.ReasonRefused:
		return &mailbox.Error{Code: passCode(up.Code), Text: "The provider refused this: " + up.Text, Err: err}
	case errors.As(err, &up):
		return &mailbox.Error{Code: mailbox.CodeUnavailable, Text: errOffline.Text, Err: err}
	}
	return err
}

// passCode lets those response codes of the provider through that a client can use.
func passCode(code string) mailbox.Code {
	switch c := mailbox.Code(code); c {
	case mailbox.CodeNonExistent, mailbox.CodeAlreadyExists, mailbox.CodeTryCreate, mailbox.CodeCannot,
		mailbox.CodeUnavailable, mailbox.CodeLimit, mailbox.CodeOverQuota:
		return c
	}
	return mailbox.CodeNone
}
