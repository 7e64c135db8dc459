package imapproxy

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"mailbridge/mailbox"
)

const (
	// maxLoginFailures is how many logins may fail on one connection.
	maxLoginFailures = 5
	// maxKeyword bounds the length of one keyword. Providers take 64 to 255 octets.
	maxKeyword = 200
	// maxKeywords bounds the flags in one STORE or APPEND. Providers keep 26 to 64 per
	// mailbox.
	maxKeywords = 64
)

// session is one client's connection as go-imap drives it. Its methods run one after
// another: the guard lets Idle end before anything else begins.
type session struct {
	server   *Server
	guard    *guard
	ctx      context.Context // ends with the session
	cancel   context.CancelFunc
	account  Account // nil before the login
	failures int
	box      *selected // nil if no mailbox is selected
}

var (
	_ imapserver.SessionNamespace = (*session)(nil)
	_ imapserver.SessionMove      = (*session)(nil)
)

// selected is the selected mailbox.
type selected struct {
	id       mailbox.ID
	readOnly bool
	view     *mailbox.View
	keywords mailbox.Flags // that the client was told of
	changed  <-chan struct{}
	stop     func()
}

func newSession(s *Server, g *guard) *session {
	ctx, cancel := context.WithCancel(s.ctx)
	return &session{server: s, guard: g, ctx: ctx, cancel: cancel}
}

// Close ends the session.
func (s *session) Close() error {
	s.cancel()
	err := s.Unselect()
	s.server.sessions.Done()
	return err
}

// Login checks the local password.
func (s *session) Login(username, password string) error {
	account, err := s.server.backend.Login(s.ctx, username, password)
	if err == nil {
		s.account = account
		s.guard.authenticated.Store(true)
		return nil
	}
	var refusal *mailbox.Error
	if errors.As(err, &refusal) && refusal.Code == mailbox.CodeAuthentication {
		s.loginFailed()
	}
	return s.refuse("LOGIN", err)
}

// loginFailed makes guessing slow.
func (s *session) loginFailed() {
	s.server.log.Warn("login refused", "remote", s.guard.RemoteAddr())
	s.failures++
	if s.failures >= maxLoginFailures {
		s.guard.farewell = "too many failed logins"
	}
	wait := time.NewTimer(s.server.throttle.failed(time.Now()))
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-s.ctx.Done():
	}
}

// response starts untagged responses. Nothing else writes while a method of the session
// runs.
func (s *session) response() *response { return &response{g: s.guard} }

// Poll tells the client what happened, after each command.
func (s *session) Poll(_ *imapserver.UpdateWriter, allowExpunge bool) error {
	return s.update(allowExpunge)
}

// update tells the client what happened in the selected mailbox.
func (s *session) update(expunge bool) error {
	if s.box == nil {
		return nil
	}
	if err := s.record(); err != nil {
		return err
	}
	return s.tell(expunge)
}

// record takes the changes of the mailbox into the view if there are any.
func (s *session) record() error {
	select {
	case <-s.box.changed:
		return s.recordNow()
	default:
		return nil
	}
}

// recordNow takes the changes into the view. If the mailbox is gone, so is the
// connection: IMAP has no other way to say so.
func (s *session) recordNow() error {
	delta, err := s.account.Changes(s.ctx, s.box.id, s.box.view.ModSeq())
	if err == nil {
		s.box.view.Record(delta)
		return nil
	}
	why := "mailbridge failed; its log says why"
	if isGone(err) {
		why = "the selected mailbox is gone or was renumbered"
	} else {
		s.server.log.Error("cannot follow a mailbox", "cause", err)
	}
	s.guard.hangUp(why)
	return err
}

// tell writes what the view has to tell.
func (s *session) tell(expunge bool) error {
	u := s.box.view.Updates(expunge)
	if u.Empty() {
		return nil
	}
	r := s.response()
	for _, seq := range u.Expunged {
		r.text("* ")
		r.number(int64(seq))
		r.text(" EXPUNGE")
		r.line()
	}
	s.tellKeywords(r, u)
	for _, seq := range u.Flags {
		row, _ := s.box.view.At(seq)
		r.text("* ")
		r.number(int64(seq))
		r.text(" FETCH (UID ")
		r.number(int64(row.UID))
		r.text(" FLAGS ")
		r.flags(row.Flags)
		r.text(")")
		r.line()
	}
	if u.Exists > 0 {
		r.text("* ")
		r.number(int64(u.Exists))
		r.text(" EXISTS")
		r.line()
	}
	return r.flush()
}

// tellKeywords announces the keywords that u uses for the first time.
func (s *session) tellKeywords(r *response, u mailbox.Updates) {
	for _, seq := range u.Flags {
		row, _ := s.box.view.At(seq)
		s.announce(r, row.Flags)
	}
	if u.Exists > 0 {
		rows := s.box.view.Rows()
		for _, row := range rows[max(0, len(rows)-arrivalsLooked):] {
			s.announce(r, row.Flags)
		}
	}
}

// announce tells the client of keywords before they are first used (RFC 3501,
// section 7.2.6).
func (s *session) announce(r *response, flags mailbox.Flags) {
	known := s.box.keywords
	if !slices.ContainsFunc(flags, func(f mailbox.Flag) bool { return !known.Has(f) }) {
		return
	}
	s.box.keywords = known.With(flags...)
	r.text("* FLAGS ")
	r.flags(s.box.keywords)
	r.line()
	if s.box.readOnly {
		return
	}
	r.text("* OK [PERMANENTFLAGS ")
	r.flags(permanent(s.box.keywords))
	r.text("] keywords may be added")
	r.line()
}

// storableFlags takes flags from a client.
func storableFlags(flags []imap.Flag) (mailbox.Flags, error) {
	if len(flags) > maxKeywords {
		return nil, noError(mailbox.CodeLimit, "too many flags")
	}
	fs := make(mailbox.Flags, 0, len(flags))
	for _, f := range flags {
		flag := mailbox.Canonical(string(f))
		system := strings.HasPrefix(string(flag), `\`)
		switch {
		case strings.EqualFold(string(f), `\Recent`):
			continue // RFC 3501, section 2.3.2: clients cannot alter it
		case system && !slices.Contains(mailbox.SystemFlags, flag):
			return nil, badError("unknown system flag")
		case !isFlag(string(flag)):
			return nil, badError("a keyword is not an atom or too long")
		}
		fs = append(fs, flag)
	}
	return mailbox.NewFlags(fs...).Storable(), nil
}
