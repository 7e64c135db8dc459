package smtpproxy

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync/atomic"

	"github.com/emersion/go-smtp"
)

// session is one client's SMTP session.
type session struct {
	server       *Server
	conn         *smtp.Conn
	submitter    Submitter // nil before the login
	failedLogins int

	from string
	to   []string
	utf8 bool // RFC 6531: replies may be UTF-8

	// Data may run beside Reset (after BDAT), and Logout beside everything.
	size       atomic.Int64 // what MAIL declared
	receiving  atomic.Bool
	submitting atomic.Bool
	// abandoned: a message in chunks was given up. QUIRK: go-smtp may then take its result
	// for the next message's, so there must not be a next one.
	abandoned atomic.Bool
}

var _ smtp.AuthSession = (*session)(nil)

func (s *session) Mail(from string, opts *smtp.MailOptions) error {
	switch {
	case s.submitter == nil:
		return errAuthRequired
	case s.server.ctx.Err() != nil:
		s.hangUp("421 4.3.2 The bridge is stopping")
		return errClosing
	case s.abandoned.Load():
		s.hangUp("421 4.3.0 Connect again after giving up a message")
		return errClosing
	}
	if from != "" { // the null sender of a bounce (RFC 5321, section 4.5.5)
		address, err := checkAddress(from)
		if err != nil {
			return err
		}
		from = address
	}
	s.from, s.utf8 = from, opts.UTF8
	s.size.Store(opts.Size)
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	address, err := checkAddress(to)
	if err != nil {
		return err
	}
	if control(address) {
		return errControl
	}
	s.to = append(s.to, address)
	return nil
}

// Data takes the message and hands it over. A message that breaks off ends the
// connection: go-smtp would go on and read what follows as commands.
func (s *session) Data(r io.Reader) error {
	var body bytes.Buffer
	if size := s.size.Load(); size > 0 { // at most MaxMessage: go-smtp has checked
		body.Grow(int(size) + bytes.MinRead)
	}
	s.receiving.Store(true)
	_, err := body.ReadFrom(r)
	if errors.Is(err, smtp.ErrDataReset) {
		s.abandoned.Store(true)
	}
	s.receiving.Store(false)
	if err != nil {
		return s.brokenOff(err)
	}
	if !s.server.submissions.begin() {
		return errClosing
	}
	s.submitting.Store(true) // until the reply is written, see done
	text, err := s.submitter.Submit(s.server.ctx, s.from, s.to, canonicalLines(body.Bytes()))
	if err != nil {
		return s.refusal(err)
	}
	return accepted(text, s.utf8)
}

func (s *session) brokenOff(err error) error {
	switch {
	case errors.Is(err, smtp.ErrDataTooLarge): // go-smtp reads on to the end
	case errors.Is(err, smtp.ErrDataReset): // RSET between two chunks
	case errors.Is(err, smtp.ErrTooLongLine):
		s.hangUp("554 5.6.0 Line too long")
	default:
		s.server.opts.Log.Info("message broke off", "error", err)
		_ = s.conn.Conn().Close()
	}
	return err
}

func (s *session) refusal(err error) error {
	var status Status
	if errors.As(err, &status) {
		return reply(status, s.utf8)
	}
	s.server.opts.Log.Error("submission failed", "error", err)
	return errTrouble
}

// hangUp says a last word and closes the connection.
func (s *session) hangUp(line string) {
	_, _ = io.WriteString(s.conn.Conn(), line+"\r\n")
	_ = s.conn.Conn().Close()
}

// done notes that the reply to a submission was written: go-smtp resets the session
// after it.
func (s *session) done() {
	if s.submitting.Swap(false) {
		s.server.submissions.end()
	}
}

func (s *session) Reset() {
	s.done()
	if s.receiving.Load() {
		s.abandoned.Store(true)
	}
	s.from, s.to, s.utf8 = "", nil, false
	s.size.Store(0)
}

func (s *session) Logout() error {
	s.done()
	return nil
}

// canonicalLines makes every line end CRLF. A lone CR stays: it is no line end.
func canonicalLines(b []byte) []byte {
	if bytes.Count(b, []byte("\n")) == bytes.Count(b, []byte("\r\n")) {
		return b
	}
	out := make([]byte, 0, len(b)+len(b)/32)
	for line := range bytes.Lines(b) {
		text, ended := bytes.CutSuffix(line, []byte("\n"))
		if !ended {
			return append(out, line...)
		}
		out = append(out, bytes.TrimSuffix(text, []byte("\r"))...)
		out = append(out, "\r\n"...)
	}
	return out
}

const (
	// maxLocalPart and maxAddress are RFC 5321, sections 4.5.3.1.1 and 4.5.3.1.3.
	maxLocalPart = 64
	maxAddress   = 254
)

var (
	errSyntax  = refuse(501, [3]int{5, 1, 3}, "That is not a mail address")
	errControl = refuse(550, [3]int{5, 1, 1}, "No such address: mailbridge.invalid is the bridge itself,\nand it takes no mail there")
)

// checkAddress gives an address as it is written in mail. go-smtp has taken the quotes
// off the local part, and looks at neither half closely.
func checkAddress(addr string) (string, error) {
	at := strings.LastIndexByte(addr, '@')
	if at < 1 || len(addr) > maxAddress || at > maxLocalPart {
		return "", errSyntax
	}
	local, domain := addr[:at], addr[at+1:]
	// Without its quotes "a@b"@c cannot be told from the mistake a@b@c.
	if strings.ContainsFunc(local, isControl) || strings.Contains(local, "@") || !validDomain(domain) {
		return "", errSyntax
	}
	if !dotString(local) {
		local = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(local) + `"`
	}
	return local + "@" + domain, nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// dotString reports whether a local part needs no quotes (RFC 5321, section 4.1.2;
// RFC 6531, section 3.3 for what is not ASCII).
func dotString(local string) bool {
	for _, atom := range strings.Split(local, ".") {
		if atom == "" || strings.ContainsAny(atom, " \t()<>[]:;@\\,\"") {
			return false
		}
	}
	return true
}

// validDomain takes names and address literals. Underscores are not allowed in host
// names, but occur.
func validDomain(domain string) bool {
	if literal, ok := strings.CutPrefix(domain, "["); ok {
		literal, ok = strings.CutSuffix(literal, "]")
		return ok && literal != "" && !strings.ContainsFunc(literal, func(r rune) bool { return !isWord(r) && r != ':' && r != '.' })
	}
	for _, label := range strings.Split(domain, ".") {
		if label == "" || strings.ContainsFunc(label, func(r rune) bool { return !isWord(r) }) {
			return false
		}
	}
	return true
}

func isWord(r rune) bool {
	return r >= 0x80 || r == '-' || r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}

// chatDomain is where groups have their local addresses. The Submitter knows which there are.
const chatDomain = "groups.mailbridge.invalid"

// control reports whether an address is one of the bridge itself, and not a group's. Those are
// never anybody's, and mail for them must not leave (RFC 6761, section 6.4).
func control(addr string) bool {
	domain := strings.ToLower(addr[strings.LastIndexByte(addr, '@')+1:])
	if domain == chatDomain {
		return false
	}
	return domain == "mailbridge.invalid" || strings.HasSuffix(domain, ".mailbridge.invalid")
}
