package upstream

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// session is one SMTP connection, logged in.
type session struct {
	client   *smtp.Client
	wire     *wire
	timeouts Timeouts
}

// greeted answers the client's wait for a greeting, which was read before STARTTLS.
type greeted struct {
	*tls.Conn
	greeting []byte
}

func (g *greeted) Read(p []byte) (int, error) {
	if len(g.greeting) > 0 {
		n := copy(p, g.greeting)
		g.greeting = g.greeting[n:]
		return n, nil
	}
	return g.Conn.Read(p)
}

// dialSMTP connects and logs in.
func dialSMTP(ctx context.Context, cfg Config) (*session, error) {
	t := cfg.Timeouts.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, t.Dial)
	defer cancel()
	password, err := cfg.Password(ctx)
	if err != nil {
		return nil, fmt.Errorf("password of %s: %w", cfg.Username, err)
	}
	w, err := cfg.connect(ctx, cfg.SMTP, startSMTP)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, w.sever)
	defer stop()
	var conn net.Conn = w.tls
	if cfg.SMTP.TLS == StartTLS {
		conn = &greeted{w.tls, []byte("220 ready\r\n")}
	}
	s := &session{client: smtp.NewClient(conn), wire: w, timeouts: t}
	if err := s.login(ctx, cfg, password); err != nil {
		w.sever()
		return nil, err
	}
	return s, nil
}

func (s *session) login(ctx context.Context, cfg Config, password string) error {
	// "localhost" tells the provider nothing about this machine.
	if err := s.client.Hello("localhost"); err != nil {
		return replyError(ctx, "EHLO", cfg.SMTP, err)
	}
	var mechanism sasl.Client
	switch {
	case s.client.SupportsAuth(sasl.Plain):
		mechanism = sasl.NewPlainClient("", cfg.Username, password)
	case s.client.SupportsAuth(sasl.Login):
		mechanism = sasl.NewLoginClient(cfg.Username, password)
	default:
		return &Error{Class: Permanent, Reason: ReasonRefused, Op: "AUTH", Text: "the provider offers no login with a password"}
	}
	if err := s.client.Auth(mechanism); err != nil {
		err := replyError(ctx, "AUTH", cfg.SMTP, err)
		if err.Reason == ReasonRefused && err.Class == Permanent {
			err.Reason = ReasonAuth
		}
		return err
	}
	return nil
}

// replyError classifies what an SMTP command returned (RFC 5321, section 4.2.1).
func replyError(ctx context.Context, op string, e Endpoint, err error) *Error {
	var reply *smtp.SMTPError
	if !errors.As(err, &reply) {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return &Error{Class: Temporary, Reason: ReasonUnreachable, Op: op, Text: "cannot reach " + e.Address(), Err: err}
	}
	out := &Error{Class: Permanent, Reason: ReasonRefused, Op: op, Code: strconv.Itoa(reply.Code), Text: cleanText([]byte(reply.Message))}
	if reply.Code < 500 {
		out.Class = Temporary
	}
	if reply.Code == 421 { // the server is closing the connection
		out.Reason = ReasonUnreachable
	}
	return out
}

// quit says goodbye; who does not care for the answer need not wait long for it.
func (s *session) quit() {
	s.wire.raw.expect(closingWait)
	_ = s.client.Quit()
	s.wire.sever()
}

// Submit hands a message to the provider. The result always names every recipient. The
// error is nil once the provider gave its verdict, even a bad one; it says why there was
// none: no connection, no login, or a connection that was lost.
func Submit(ctx context.Context, cfg Config, env Envelope, msg []byte) (Result, error) {
	s, err := dialSMTP(ctx, cfg)
	if err != nil {
		return verdict(env, Deferred, 0, err.Error()), err
	}
	defer s.quit()
	stop := context.AfterFunc(ctx, s.wire.sever)
	defer stop()
	return s.submit(ctx, cfg.SMTP, env, msg)
}

// verdict is one outcome for all recipients.
func verdict(env Envelope, outcome Outcome, code int, text string) Result {
	var r Result
	for _, to := range env.To {
		r.Recipients = append(r.Recipients, RecipientResult{Addr: to, Outcome: outcome, Code: code, Text: text})
	}
	return r
}

func (s *session) submit(ctx context.Context, e Endpoint, env Envelope, msg []byte) (Result, error) {
	options, refused := s.mailOptions(env, msg)
	if refused != nil {
		return verdict(env, Refused, refused.Code, refused.Message), nil
	}
	s.wire.raw.expect(s.timeouts.Command)
	if err := s.client.Mail(env.From, options); err != nil {
		return s.failed(ctx, "MAIL", e, env, err)
	}
	var result Result
	accepted := false
	for _, to := range env.To {
		r := RecipientResult{Addr: to, Outcome: Accepted, Code: 250}
		if err := s.client.Rcpt(to, nil); err != nil {
			var reply *smtp.SMTPError
			if !errors.As(err, &reply) || reply.Code == 421 {
				return s.failed(ctx, "RCPT", e, env, err)
			}
			r.Outcome, r.Code, r.Text = outcomeOf(reply.Code), reply.Code, replyText(reply)
		}
		accepted = accepted || r.Outcome == Accepted
		result.Recipients = append(result.Recipients, r)
	}
	if !accepted {
		return result, nil
	}
	outcome, code, text, err := s.data(ctx, e, msg)
	for i := range result.Recipients {
		if r := &result.Recipients[i]; r.Outcome == Accepted {
			r.Outcome, r.Code, r.Text = outcome, code, text
		}
	}
	return result, err
}

// mailOptions finds the parameters of MAIL, or why this message cannot go this way.
func (s *session) mailOptions(env Envelope, msg []byte) (*smtp.MailOptions, *smtp.SMTPError) {
	if limit, ok := s.client.MaxMessageSize(); ok && limit > 0 && len(msg) > limit {
		return nil, &smtp.SMTPError{Code: 552, Message: fmt.Sprintf("the message is larger than the provider takes (%d octets)", limit)}
	}
	options := &smtp.MailOptions{Size: int64(len(msg))}
	utf8Address := !ascii(env.From + strings.Join(env.To, ""))
	has, _ := s.client.Extension("SMTPUTF8")
	if utf8Address && !has {
		return nil, &smtp.SMTPError{Code: 553, Message: "the provider does not take addresses beyond ASCII (SMTPUTF8)"}
	}
	header, _, _ := bytes.Cut(msg, []byte("\r\n\r\n"))
	options.UTF8 = has && (utf8Address || !ascii(string(header)))
	return options, nil
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] > 0x7e {
			return false
		}
	}
	return true
}

func outcomeOf(code int) Outcome {
	if code >= 500 {
		return Refused
	}
	return Deferred
}

func replyText(reply *smtp.SMTPError) string {
	text := cleanText([]byte(reply.Message))
	if c := reply.EnhancedCode; c != smtp.EnhancedCodeNotSet && c != smtp.NoEnhancedCode {
		text = fmt.Sprintf("%d.%d.%d %s", c[0], c[1], c[2], text)
	}
	return text
}

// failed is the result of a transaction that ended before DATA.
func (s *session) failed(ctx context.Context, op string, e Endpoint, env Envelope, err error) (Result, error) {
	var reply *smtp.SMTPError
	if errors.As(err, &reply) && reply.Code != 421 {
		return verdict(env, outcomeOf(reply.Code), reply.Code, replyText(reply)), nil
	}
	known := replyError(ctx, op, e, err)
	return verdict(env, Deferred, 0, known.Error()), known
}

// data sends the message. Until the final dot has left nothing has happened; from then on
// only the provider's reply says what did.
func (s *session) data(ctx context.Context, e Endpoint, msg []byte) (Outcome, int, string, error) {
	command, err := s.client.Data()
	if err == nil {
		_, err = command.Write(msg)
	}
	if err != nil {
		var reply *smtp.SMTPError
		if errors.As(err, &reply) && reply.Code != 421 {
			return outcomeOf(reply.Code), reply.Code, replyText(reply), nil
		}
		known := replyError(ctx, "DATA", e, err)
		return Deferred, 0, known.Error(), known
	}
	s.wire.raw.expect(s.timeouts.FinalDot)
	response, err := command.CloseWithResponse()
	if err == nil {
		return Accepted, 250, cleanText([]byte(response.StatusText)), nil
	}
	var reply *smtp.SMTPError
	if errors.As(err, &reply) {
		return outcomeOf(reply.Code), reply.Code, replyText(reply), nil
	}
	known := replyError(ctx, "DATA", e, err)
	known.Class = Unknown
	known.Text = "the connection was lost before the provider confirmed the message"
	return Uncertain, 0, known.Text, known
}

// CheckLogin tries the login at both servers.
func CheckLogin(ctx context.Context, cfg Config) error {
	conn, err := Dial(ctx, cfg)
	if err != nil {
		return err
	}
	_ = conn.Close()
	s, err := dialSMTP(ctx, cfg)
	if err != nil {
		return err
	}
	s.quit()
	return nil
}
