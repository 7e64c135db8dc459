package smtpproxy

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// maxFailedLogins ends a connection; a client that asks its user again makes a new one.
const maxFailedLogins = 3

var (
	errAuthRequired = refuse(530, [3]int{5, 7, 0}, "Authentication required")
	errNoTLS        = refuse(538, [3]int{5, 7, 11}, "Encryption required for authentication")
	errCredentials  = refuse(535, [3]int{5, 7, 8}, "Wrong user name or password, see bridge account settings")
	errClosing      = refuse(421, [3]int{4, 3, 2}, "The bridge is stopping")
)

// AuthMechanisms offers LOGIN too: Outlook and some phones know nothing else.
func (s *session) AuthMechanisms() []string {
	if !private(s.conn.Conn()) {
		return nil
	}
	return []string{sasl.Plain, sasl.Login}
}

func (s *session) Auth(mech string) (sasl.Server, error) {
	if !private(s.conn.Conn()) {
		return nil, errNoTLS
	}
	if s.failedLogins >= maxFailedLogins {
		s.hangUp("421 4.7.0 Too many failed logins")
		return nil, errCredentials
	}
	switch mech {
	case sasl.Plain:
		return sasl.NewPlainServer(func(identity, username, password string) error {
			// RFC 4616: to act as somebody else is nothing we offer; sylpheed and neomutt name
			// the user twice.
			if identity != "" && identity != username {
				return errCredentials
			}
			return s.login(username, password)
		}), nil
	case sasl.Login:
		return &loginServer{login: s.login}, nil
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

// login asks the backend. Every failure costs time, more the more there were.
func (s *session) login(username, password string) error {
	submitter, err := s.server.backend.Login(s.server.ctx, username, password)
	if err == nil && submitter != nil {
		s.submitter = submitter
		if c, _ := below(s.conn.Conn()); c != nil {
			c.loggedIn.Store(true)
		}
		return nil
	}
	s.failedLogins++
	s.server.opts.Log.Warn("SMTP login refused", "user", username, "error", err)
	s.server.throttle.wait(s.server.ctx)
	var status Status
	if errors.As(err, &status) {
		return reply(status, s.utf8)
	}
	return errCredentials
}

// loginServer is the LOGIN mechanism (draft-murchison-sasl-login-00).
type loginServer struct {
	login    func(username, password string) error
	username []byte
	step     int
}

func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case l.step == 0 && response == nil:
		l.step = 1
		return []byte("Username:"), false, nil
	case l.step <= 1: // the name, at once or asked for
		l.step, l.username = 2, response
		return []byte("Password:"), false, nil
	case l.step == 2:
		l.step = 3
		return nil, true, l.login(string(l.username), string(response))
	}
	return nil, false, sasl.ErrUnexpectedClientResponse
}

// throttle slows failed logins down, whatever connection they come from. A person who
// mistypes, or a client that tries three mechanisms, waits for nothing.
type throttle struct {
	mu    sync.Mutex
	count int
	last  time.Time

	free         int           // failures that cost nothing
	step, most   time.Duration // what each further one costs, and what it costs at most
	forgiveAfter time.Duration // one failure is forgotten after this time
}

func newThrottle() throttle {
	return throttle{free: 4, step: 500 * time.Millisecond, most: 5 * time.Second, forgiveAfter: 15 * time.Second}
}

// failed counts a failure and gives its price.
func (t *throttle) failed(now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count = max(0, t.count-int(now.Sub(t.last)/t.forgiveAfter)) + 1
	t.last = now
	return min(time.Duration(max(0, t.count-t.free))*t.step, t.most)
}

func (t *throttle) wait(ctx context.Context) {
	select {
	case <-time.After(t.failed(time.Now())):
	case <-ctx.Done():
	}
}
