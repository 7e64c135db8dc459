package provider

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

// maxClearLine bounds a line before TLS. Nothing long has a meaning there.
const maxClearLine = 512

// maxClearLines bounds how long a client may chat before it starts TLS.
const maxClearLines = 20

var errNoStartTLS = errors.New("the client did not start TLS")

// awaitStartTLS speaks IMAP or SMTP in the clear until the client starts TLS: there is
// no login before it, and nothing else of interest.
func (p *Provider) awaitStartTLS(conn net.Conn, pt port) error {
	answer := p.clearSMTP
	greeting := "220 " + p.opts.Hostname + " ESMTP"
	if pt.imap() {
		answer, greeting = clearIMAP, "* OK ["+clearCaps+"] "+p.opts.Hostname+" ready"
	}
	if _, err := io.WriteString(conn, greeting+"\r\n"); err != nil {
		return err
	}
	// One byte at a time, because what follows STARTTLS belongs to TLS. What a client sent
	// too early is thereby a broken handshake and never a command (CVE-2011-0411).
	lines := bufio.NewReaderSize(oneByte{conn}, maxClearLine)
	for range maxClearLines {
		line, long, err := lines.ReadLine()
		if err != nil || long {
			return errors.Join(errNoStartTLS, err)
		}
		reply, start := answer(string(line))
		if _, err := io.WriteString(conn, reply); err != nil {
			return err
		}
		if start {
			return nil
		}
	}
	return errNoStartTLS
}

// oneByte never reads ahead.
type oneByte struct{ r io.Reader }

func (o oneByte) Read(b []byte) (int, error) {
	if len(b) > 1 {
		b = b[:1]
	}
	return o.r.Read(b)
}

const clearCaps = "CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED"

func clearIMAP(line string) (reply string, start bool) {
	tag, command, _ := strings.Cut(line, " ")
	command, _, _ = strings.Cut(command, " ")
	switch strings.ToUpper(command) {
	case "STARTTLS":
		return tag + " OK Begin TLS negotiation now\r\n", true
	case "CAPABILITY":
		return "* " + clearCaps + "\r\n" + tag + " OK Done\r\n", false
	case "NOOP":
		return tag + " OK Done\r\n", false
	case "LOGIN", "AUTHENTICATE":
		return tag + " NO [PRIVACYREQUIRED] Start TLS first\r\n", false
	default:
		return tag + " BAD Start TLS first\r\n", false
	}
}

func (p *Provider) clearSMTP(line string) (reply string, start bool) {
	command, _, _ := strings.Cut(line, " ")
	switch strings.ToUpper(command) {
	case "STARTTLS":
		return "220 2.0.0 Ready to start TLS\r\n", true
	case "EHLO":
		return fmt.Sprintf("250-%s\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 STARTTLS\r\n", p.opts.Hostname), false
	case "HELO", "NOOP":
		return "250 2.0.0 Ok\r\n", false
	default:
		return "530 5.7.0 Must issue a STARTTLS command first\r\n", false
	}
}
