package provider

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// maxRecipients is what Postfix takes for one message by default.
const maxRecipients = 1000

// maxLine bounds a line of a message. RFC 5321 allows 1000 octets; many clients send more.
const maxLine = 1 << 20

func (p *Provider) smtpServer() *smtp.Server {
	s := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &submission{provider: p, conn: c}, nil
	}))
	s.Domain = p.opts.Hostname
	s.MaxRecipients, s.MaxMessageBytes, s.MaxLineLength = maxRecipients, maxMessage, maxLine
	s.AllowInsecureAuth = true // TLS, where there is any, ends before this server
	s.EnableSMTPUTF8 = true
	s.ErrorLog = complaints{p.opts.Log}
	return s
}

// submission is one SMTP session.
type submission struct {
	provider *Provider
	conn     *smtp.Conn
	user     *user
	from     string
	to       []string
}

var _ smtp.AuthSession = (*submission)(nil)

func (s *submission) do(name, arg string, command func() error) error {
	c := Command{Name: name, Arg: arg}
	if s.user != nil {
		c.User = s.user.addr
	}
	return s.provider.run(c, s.conn.Conn(), smtpRefusal, command)
}

func smtpRefusal(f Fault) error {
	if f.Code == 0 {
		f.Code = 451
	}
	if f.Text == "" {
		f.Text = "Not now"
	}
	return &smtp.SMTPError{Code: f.Code, EnhancedCode: smtp.EnhancedCode{f.Code / 100, 0, 0}, Message: f.Text}
}

func (s *submission) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *submission) Auth(mech string) (sasl.Server, error) {
	if mech != sasl.Plain {
		return nil, smtp.ErrAuthUnknownMechanism
	}
	return sasl.NewPlainServer(func(identity, username, password string) error {
		addr := canonicalAddr(username)
		if identity != "" && canonicalAddr(identity) != addr {
			return smtp.ErrAuthFailed
		}
		c := Command{User: addr, Name: "AUTH"}
		refusal := func(f Fault) error {
			if f.Code == 0 {
				return smtp.ErrAuthFailed
			}
			return smtpRefusal(f)
		}
		return s.provider.run(c, s.conn.Conn(), refusal, func() error {
			if s.user = s.provider.authenticate(addr, password); s.user == nil {
				return smtp.ErrAuthFailed
			}
			name(s.conn.Conn(), addr)
			return nil
		})
	}), nil
}

func (s *submission) Mail(from string, _ *smtp.MailOptions) error {
	if s.user == nil {
		return smtp.ErrAuthRequired
	}
	return s.do("MAIL", from, func() error {
		if from != "" && canonicalAddr(from) != s.user.addr {
			return &smtp.SMTPError{Code: 553, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "Sender address rejected: not owned by user"}
		}
		s.from = from
		return nil
	})
}

func (s *submission) Rcpt(to string, _ *smtp.RcptOptions) error {
	return s.do("RCPT", to, func() error {
		if s.provider.unknownLocal(to) {
			return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "Recipient address rejected: User unknown"}
		}
		s.to = append(s.to, to)
		return nil
	})
}

// unknownLocal reports whether to is at a domain of ours without being a user.
func (p *Provider) unknownLocal(to string) bool {
	to = canonicalAddr(to)
	domain := to[strings.LastIndexByte(to, '@')+1:]
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users[to] != nil {
		return false
	}
	for addr := range p.users {
		if strings.HasSuffix(addr, "@"+domain) {
			return true
		}
	}
	return false
}

func (s *submission) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		if !errors.Is(err, smtp.ErrDataTooLarge) {
			_ = s.conn.Conn().Close() // or go-smtp takes the rest for commands
		}
		return err
	}
	err = s.do("DATA", "", func() error {
		s.provider.inspectSubmission(s.user, raw)
		s.provider.accept(Submission{User: s.user.addr, From: s.from, To: slices.Clone(s.to), Data: raw}, s.conn.Hostname())
		return nil
	})
	if errors.Is(err, net.ErrClosed) {
		return &smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 4, 2}, Message: "Connection lost"}
	}
	return err
}

func (s *submission) Reset()        { s.from, s.to = "", nil }
func (s *submission) Logout() error { return nil }

// accept delivers a submitted message to the recipients that are users. What goes to
// others is kept in Submissions alone.
func (p *Provider) accept(sub Submission, helo string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.outbox = append(p.outbox, sub)
	now := time.Now()
	if u := p.users[sub.User]; u != nil && p.opts.SaveSent {
		if sent := u.byUse(imap.MailboxAttrSent); sent != nil {
			sent.add(sub.Data, []imap.Flag{imap.FlagSeen}, now)
		}
	}
	for _, to := range sub.To {
		if u := p.users[canonicalAddr(to)]; u != nil {
			trace := p.trace(sub.From, to, helo, now)
			u.note(sub.Data)
			u.boxes[inbox].add(slices.Concat(trace, sub.Data), nil, now)
		}
	}
}

// trace makes the header fields that delivery adds (RFC 5321, section 4.4), one set for
// each recipient, because each names only its own.
func (p *Provider) trace(from, to, helo string, now time.Time) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Return-Path: <%s>\r\nDelivered-To: %s\r\n", from, to)
	fmt.Fprintf(&b, "Received: from %s (localhost [127.0.0.1])\r\n\tby %s with ESMTPSA id %s\r\n\tfor <%s>; %s\r\n",
		helo, p.opts.Hostname, rand.Text()[:12], to, now.Format(time.RFC1123Z))
	return b.Bytes()
}
