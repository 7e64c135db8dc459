package upstream

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
)

// A plain line before STARTTLS may be this long, and there may be so many of them: a
// greeting and the answers to one command need far less.
const (
	maxPlainLine  = 8 << 10
	maxPlainLines = 100
)

// wire is a connection with TLS, and its lowest layer.
type wire struct {
	tls *tls.Conn
	raw *rolling
}

// sever closes the connection beneath TLS, which cannot block.
func (w *wire) sever() { _ = w.raw.Close() }

func (c Config) tlsConfig(host string) *tls.Config {
	// RFC 8314, section 4.1 asks for TLS 1.2 at least.
	return &tls.Config{ServerName: host, RootCAs: c.RootCAs, MinVersion: tls.VersionTLS12}
}

// connect opens a connection to an endpoint and does TLS, after startTLS where that is the
// endpoint's way.
func (c Config) connect(ctx context.Context, e Endpoint, startTLS func(*rolling) error) (*wire, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", e.Address())
	if err != nil {
		return nil, connectError(ctx, "connect", e, err)
	}
	t := c.Timeouts.withDefaults()
	raw := newRolling(conn, t.Stall)
	raw.expect(t.Dial)
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	if e.TLS == StartTLS {
		if err := startTLS(raw); err != nil {
			_ = raw.Close()
			return nil, connectError(ctx, "STARTTLS", e, err)
		}
	}
	secure := tls.Client(raw, c.tlsConfig(e.Host))
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, connectError(ctx, "TLS", e, err)
	}
	return &wire{tls: secure, raw: raw}, nil
}

var errNoStartTLS = errors.New("the server does not offer STARTTLS")

// startIMAP asks an IMAP server for TLS. What the server says before TLS could be anybody's
// words, so nothing of it is believed and nothing is kept (RFC 9051, section 11.1).
func startIMAP(conn *rolling) error {
	r := bufio.NewReaderSize(conn, maxPlainLine)
	greeting, err := plainLine(r)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(strings.ToUpper(greeting), "* OK") {
		return &Error{Class: Temporary, Reason: ReasonUnreachable, Op: "connect", Text: cleanText([]byte(greeting))}
	}
	if _, err := conn.Write([]byte("S1 STARTTLS\r\n")); err != nil {
		return err
	}
	for range maxPlainLines {
		line, err := plainLine(r)
		if err != nil {
			return err
		}
		if status, ok := strings.CutPrefix(line, "S1 "); ok {
			return readyForTLS(strings.HasPrefix(strings.ToUpper(status), "OK"), r)
		}
	}
	return errProtocol
}

// startSMTP asks an SMTP server for TLS.
func startSMTP(conn *rolling) error {
	r := bufio.NewReaderSize(conn, maxPlainLine)
	for _, step := range []struct{ command, code string }{
		{"", "220"}, {"EHLO localhost\r\n", "250"}, {"STARTTLS\r\n", "220"},
	} {
		if _, err := conn.Write([]byte(step.command)); err != nil {
			return err
		}
		reply, err := plainReply(r)
		if err != nil {
			return err
		}
		if strings.HasPrefix(reply, step.code) {
			continue
		}
		if step.command == "STARTTLS\r\n" && strings.HasPrefix(reply, "5") {
			return errNoStartTLS
		}
		return &Error{Class: Temporary, Reason: ReasonUnreachable, Op: "connect", Text: cleanText([]byte(reply))}
	}
	return readyForTLS(true, r)
}

// readyForTLS refuses what was sent in the clear behind the go-ahead: it would be read as
// if it had come through TLS (CVE-2011-0411 and its kin).
func readyForTLS(ok bool, r *bufio.Reader) error {
	if !ok {
		return errNoStartTLS
	}
	if r.Buffered() > 0 {
		return fmt.Errorf("%w: data before TLS", errProtocol)
	}
	return nil
}

func plainLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}

// plainReply reads a reply of several lines and gives the last.
func plainReply(r *bufio.Reader) (string, error) {
	for range maxPlainLines {
		line, err := plainLine(r)
		if err != nil {
			return "", err
		}
		if len(line) < 4 || line[3] != '-' {
			return line, nil
		}
	}
	return "", errProtocol
}

// connectError says what a failure before login means.
func connectError(ctx context.Context, op string, e Endpoint, err error) error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	out := &Error{Class: Temporary, Reason: ReasonUnreachable, Op: op, Text: "cannot reach " + e.Address(), Err: err}
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		hostname     x509.HostnameError
		invalid      x509.CertificateInvalidError
		record       tls.RecordHeaderError
	)
	switch {
	case ctx.Err() != nil:
		out.Err = ctx.Err()
	case errors.As(err, &verification), errors.As(err, &authority), errors.As(err, &hostname), errors.As(err, &invalid):
		out.Class, out.Reason = Permanent, ReasonCertificate
		out.Text = "the certificate of " + e.Address() + " is not trusted"
	case errors.As(err, &record):
		out.Class, out.Reason = Permanent, ReasonCertificate
		out.Text = e.Address() + " does not speak TLS from the start; is it meant for STARTTLS?"
	case errors.Is(err, errNoStartTLS):
		out.Class, out.Reason = Permanent, ReasonCertificate
		out.Text = e.Address() + " does not offer STARTTLS"
	case errors.Is(err, errProtocol), errors.Is(err, bufio.ErrBufferFull):
		out.Class, out.Reason = Permanent, ReasonProtocol
		out.Text = e.Address() + " does not speak the protocol"
	}
	return out
}
