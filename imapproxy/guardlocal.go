package imapproxy

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"net"
	"strings"
	"time"
)

// forwarded are the commands that go-imap answers with the session.
var forwarded = map[string]bool{
	"NOOP": true, "CHECK": true, "LOGOUT": true, "LOGIN": true,
	"CREATE": true, "DELETE": true, "RENAME": true, "SUBSCRIBE": true, "UNSUBSCRIBE": true,
	"LIST": true, "LSUB": true, "STATUS": true, "NAMESPACE": true, "APPEND": true,
	"SELECT": true, "EXAMINE": true, "CLOSE": true, "UNSELECT": true, "IDLE": true,
	"EXPUNGE": true, "UID EXPUNGE": true, "STORE": true, "UID STORE": true,
	"COPY": true, "UID COPY": true, "MOVE": true, "UID MOVE": true,
	"FETCH": true, "UID FETCH": true, "SEARCH": true, "UID SEARCH": true,
}

// dispatch answers a command or hands it to go-imap.
func (g *guard) dispatch(cmd *command) (*refusal, error) {
	switch cmd.name {
	case "CAPABILITY":
		return g.capability(cmd)
	case "ID":
		return g.id(cmd)
	case "ENABLE":
		return g.enable(cmd)
	case "STARTTLS":
		return g.startTLS(cmd)
	case "AUTHENTICATE":
		return g.authenticate(cmd)
	}
	if !forwarded[cmd.name] {
		return bad("unknown command"), nil
	}
	if refused := g.prepare(cmd); refused != nil {
		return refused, nil
	}
	g.forward(cmd.name, cmd.args)
	return nil, nil
}

// prepare parses here what go-imap would parse with loss, and leaves go-imap arguments
// that mean nothing but which messages are asked for.
func (g *guard) prepare(cmd *command) (refused *refusal) {
	switch cmd.name {
	case "LOGIN":
		if !g.mayLogin() {
			return needTLS
		}
	case "FETCH", "UID FETCH":
		set, items, _ := strings.Cut(cmd.args, " ")
		cmd.fetch, refused = parseFetchItems(items)
		cmd.args = set + " FLAGS"
	case "SEARCH", "UID SEARCH":
		var options string
		options, cmd.search, refused = parseSearch(cmd.args)
		cmd.args = options + "ALL"
	case "APPEND":
		cmd.args = strings.TrimRight(cmd.args, " ") + " {0+}"
		g.tail = true
	}
	return refused
}

func (g *guard) forward(name, args string) {
	line := g.cmd.tag + " " + name
	if args != "" {
		line += " " + args
	}
	g.input = []byte(line + "\r\n")
}

func (g *guard) capability(cmd *command) (*refusal, error) {
	if cmd.args != "" {
		return bad("CAPABILITY has no arguments"), nil
	}
	return nil, g.sendString("* CAPABILITY " + g.capabilities() + "\r\n" + cmd.tag + " OK CAPABILITY completed\r\n")
}

// id answers ID (RFC 2971). What the client says of itself is not kept.
func (g *guard) id(cmd *command) (*refusal, error) {
	if !strings.EqualFold(cmd.args, "NIL") && !(strings.HasPrefix(cmd.args, "(") && strings.HasSuffix(cmd.args, ")")) {
		return bad("ID has one argument, a list or NIL"), nil
	}
	return nil, g.sendString("* ID (\"name\" \"mailbridge\")\r\n" + cmd.tag + " OK ID completed\r\n")
}

// enable answers ENABLE (RFC 5161): there is nothing to enable, and some clients ask
// without having been offered anything. go-imap would accept UTF8=ACCEPT.
func (g *guard) enable(cmd *command) (*refusal, error) {
	if !g.authenticated.Load() {
		return bad("log in first"), nil
	}
	return nil, g.sendString("* ENABLED\r\n" + cmd.tag + " OK ENABLE completed\r\n")
}

// startTLS begins TLS. What the client sent after the command and before the handshake
// goes into the handshake and spoils it: nothing sent in the clear is ever a command
// inside TLS (RFC 3501, section 6.2.1).
func (g *guard) startTLS(cmd *command) (*refusal, error) {
	if cmd.args != "" || !g.mayStartTLS() {
		return bad("STARTTLS is not available now"), nil
	}
	if err := g.sendString(cmd.tag + " OK begin TLS now\r\n"); err != nil {
		return nil, err
	}
	early, err := g.br.Peek(g.br.Buffered())
	if err != nil {
		return nil, err
	}
	inner := g.current()
	if err := inner.SetDeadline(time.Now().Add(stallTimeout)); err != nil {
		return nil, err
	}
	conn := tls.Server(&earlyConn{Conn: inner, early: bytes.Clone(early)}, g.server.options.TLS)
	if err := conn.HandshakeContext(g.server.ctx); err != nil {
		return nil, err
	}
	g.connMu.Lock()
	g.conn = conn
	g.connMu.Unlock()
	g.isTLS.Store(true)
	g.br.Reset(guardReader{g})
	return nil, nil
}

var needTLS = &refusal{status: "NO", code: "PRIVACYREQUIRED", text: "use TLS to log in from another machine"}

// authenticate takes the whole SASL exchange (RFC 4616, RFC 4959) and hands go-imap a
// complete command, so that a line of the exchange is never taken for one.
func (g *guard) authenticate(cmd *command) (*refusal, error) {
	mechanism, response, initial := strings.Cut(cmd.args, " ")
	switch {
	case g.authenticated.Load():
		return bad("already logged in"), nil
	case !g.mayLogin():
		return needTLS, nil
	case !strings.EqualFold(mechanism, "PLAIN"):
		return &refusal{status: "NO", code: "CANNOT", text: "the mechanism is PLAIN"}, nil
	}
	if !initial {
		if err := g.sendString("+ \r\n"); err != nil {
			return nil, err
		}
		line, whole, err := g.readLine(maxLoginCommand)
		if err != nil {
			return nil, err
		}
		if !whole {
			return bad("the response is too long"), nil
		}
		response = string(line)
	}
	if refused := checkPlain(response); refused != nil {
		return refused, nil
	}
	g.forward("AUTHENTICATE", "PLAIN "+response)
	return nil, nil
}

// checkPlain checks a PLAIN response, whose text is not quoted in any answer.
func checkPlain(response string) *refusal {
	if response == "*" {
		return bad("authentication cancelled")
	}
	b, err := base64.StdEncoding.DecodeString(response)
	if err != nil || bytes.Count(b, []byte{0}) != 2 || strings.ContainsAny(response, "\r\n") {
		return bad("the response is not what PLAIN needs")
	}
	return nil
}

// earlyConn gives the bytes that were read too early before those of the connection.
type earlyConn struct {
	net.Conn
	early []byte
}

func (c *earlyConn) Read(p []byte) (int, error) {
	if len(c.early) > 0 {
		n := copy(p, c.early)
		c.early = c.early[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}
