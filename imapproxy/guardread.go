package imapproxy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxCommand bounds a command with its literals. go-imap stops at 50 KiB in a way that
	// loses its place in the stream; clients stay below 8 KiB (RFC 2683, section 3.2.1.5).
	maxCommand = 48 << 10
	// maxLoginCommand is the bound before the login, where the peer is anybody.
	maxLoginCommand = 8 << 10
	// maxMessage bounds the message of an APPEND. Providers take 25 to 50 MB; ciphertext
	// is a third larger than what it holds.
	maxMessage = 50 << 20
	// maxSwallow is how much a client may send of what was refused, before the connection
	// is ended instead of kept in step.
	maxSwallow = 256 << 20
	// maxTag bounds what is echoed in every tagged response. Clients use up to ten octets.
	maxTag = 100
	// maxStrikes is how many malformed commands in a row end a connection.
	maxStrikes = 20
	// maxLoginStrikes is the bound before the login, where they come from something that
	// is no mail client, such as a browser that was made to post to our port.
	maxLoginStrikes = 3
	// literalEnd is how much of an overlong line is kept to see whether a literal follows.
	literalEnd = 64
)

// command is one complete command.
type command struct {
	tag  string
	name string // upper case, with "UID " before it if it is one
	args string // what follows the name and a space; literals became quoted strings

	message []byte      // APPEND's
	fetch   []fetchItem // FETCH's
	search  searchKey   // SEARCH's
}

// refusal is a tagged response that the guard gives in go-imap's place.
type refusal struct {
	status string // "NO" or "BAD"
	code   string // response code or ""
	text   string
}

func bad(format string, args ...any) *refusal {
	return &refusal{status: "BAD", text: fmt.Sprintf(format, args...)}
}

func (r *refusal) line(tag string) string {
	if r.code != "" {
		return fmt.Sprintf("%s %s [%s] %s\r\n", tag, r.status, r.code, r.text)
	}
	return fmt.Sprintf("%s %s %s\r\n", tag, r.status, r.text)
}

// errGoodbye ends a connection whose client was told why.
var errGoodbye = errors.New("imapproxy: connection ended by the server")

// readNext reads a command and hands it to go-imap or answers it.
func (g *guard) readNext() error {
	if g.farewell != "" {
		return g.goodbye(g.farewell)
	}
	cmd, refused, err := g.readCommand()
	if err != nil {
		return g.readFailed(err)
	}
	g.cmd = cmd
	if refused == nil {
		refused, err = g.dispatch(cmd)
	}
	if err != nil || refused == nil {
		if refused == nil {
			g.strikes = 0
		}
		return err
	}
	if refused.status == "BAD" {
		g.strike()
	}
	return g.sendString(refused.line(cmd.tag))
}

func (g *guard) strike() {
	g.strikes++
	limit := maxStrikes
	if !g.authenticated.Load() {
		limit = maxLoginStrikes
	}
	if g.strikes >= limit {
		g.farewell = "too many malformed commands"
	}
}

func (g *guard) goodbye(why string) error {
	_ = g.sendString("* BYE " + why + "\r\n")
	return errGoodbye
}

// readFailed tells a client that was silent for too long why it is cut off.
func (g *guard) readFailed(err error) error {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return g.goodbye("nothing heard for too long")
	}
	return err
}

// readDone waits for the DONE that ends IDLE. A client that sends a command instead has
// ended its IDLE as well, and gets its answer.
func (g *guard) readDone() error {
	g.inCommand = false
	line, _, err := g.readLine(maxCommand)
	if err != nil {
		return g.readFailed(err)
	}
	word := strings.TrimSpace(string(line))
	if word == "" {
		return nil
	}
	g.idling = false
	if !strings.EqualFold(word, "DONE") {
		g.pushed = append(line, "\r\n"...)
	}
	g.input = []byte("DONE\r\n")
	return nil
}

// readCommand reads one command with all its literals. The tag of the command is "*" if
// it has none.
func (g *guard) readCommand() (*command, *refusal, error) {
	g.inCommand = false
	if err := g.skipEmptyLines(); err != nil {
		return nil, nil, err
	}
	g.inCommand = true
	a := assembly{g: g, limit: maxCommand}
	if !g.authenticated.Load() {
		a.limit = maxLoginCommand
	}
	for {
		line, whole, err := g.readLine(a.limit)
		if err != nil {
			return nil, nil, err
		}
		if !whole {
			a.refuse(bad("the command is too long"))
		}
		more, err := a.line(line)
		if err != nil {
			return nil, nil, err
		}
		if !more {
			break
		}
	}
	cmd, refused := parseCommand(string(a.text))
	cmd.message = a.message
	if a.refused != nil {
		refused = a.refused
	}
	if refused == nil && cmd.name == "APPEND" && a.message == nil {
		refused = bad("APPEND has no message")
	}
	return cmd, refused, nil
}

func (g *guard) skipEmptyLines() error {
	for len(g.pushed) == 0 {
		b, err := g.br.Peek(1)
		if err != nil {
			return err
		}
		if b[0] != '\r' && b[0] != '\n' {
			return nil
		}
		if _, err := g.br.Discard(1); err != nil {
			return err
		}
	}
	return nil
}

// readLine reads a line without its end. Of a line over the limit only a part is kept:
// its start and its end.
func (g *guard) readLine(limit int) (line []byte, whole bool, err error) {
	if g.pushed != nil {
		line, g.pushed = g.pushed, nil
		return bytes.TrimRight(line, "\r\n"), len(line) <= limit, nil
	}
	whole = true
	for total := 0; ; {
		chunk, err := g.br.ReadSlice('\n')
		total += len(chunk)
		if len(line)+len(chunk) > limit {
			whole = false
			start, end := min(len(line), maxTag), max(0, len(line)-literalEnd)
			line = slices.Concat(line[:start], line[max(start, end):], chunk)
		} else {
			line = append(line, chunk...)
		}
		switch {
		case err == nil:
			return trimLineEnd(line), whole, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, false, err // a line without an end is no command
		case total > maxSwallow:
			return nil, false, g.goodbye("the command is too long")
		}
	}
}

// assembly puts the lines and literals of one command together.
type assembly struct {
	g       *guard
	limit   int
	text    []byte
	message []byte
	refused *refusal // the first reason to refuse
	dropped int64    // octets swallowed
}

func (a *assembly) refuse(r *refusal) {
	if a.refused == nil {
		a.refused = r
	}
}

// line takes in one line and the literal after it, and tells whether the command goes on.
func (a *assembly) line(line []byte) (more bool, err error) {
	lit, ok := literalAt(line)
	text := line
	if ok {
		text = line[:lit.start]
	}
	a.add(text)
	if !ok {
		if a.message != nil && len(bytes.TrimSpace(text)) > 0 {
			a.refuse(bad("APPEND takes one message"))
		}
		return false, nil
	}
	switch {
	case a.refused != nil:
		return a.skip(lit)
	case a.atMessage():
		return a.readMessage(lit)
	default:
		return a.readArgument(lit)
	}
}

func (a *assembly) add(text []byte) {
	if a.message != nil {
		return // nothing follows APPEND's message
	}
	if len(a.text)+len(text) > a.limit {
		a.refuse(bad("the command is too long"))
		text = text[:min(len(text), maxTag)]
		if len(a.text) > a.limit {
			return
		}
	}
	a.text = append(a.text, text...)
}

// atMessage reports whether the literal that follows is the message of an APPEND and not
// its mailbox name.
func (a *assembly) atMessage() bool {
	cmd, _ := parseCommand(string(a.text))
	return cmd.name == "APPEND" && strings.TrimSpace(cmd.args) != ""
}

// readArgument reads a literal and makes it a quoted string. go-imap executes what
// follows a literal that it refuses, so it never sees one.
func (a *assembly) readArgument(lit literal) (more bool, err error) {
	if lit.size > int64(a.limit-len(a.text)) {
		a.refuse(bad("the command is too long"))
		return a.skip(lit)
	}
	b, err := a.read(lit)
	if err != nil {
		return false, err
	}
	if bytes.ContainsAny(b, "\r\n\x00") {
		a.refuse(bad("a line end cannot be part of this argument"))
	}
	a.add(quote(b))
	return true, nil
}

func (a *assembly) readMessage(lit literal) (more bool, err error) {
	switch {
	case a.message != nil:
		a.refuse(bad("APPEND takes one message"))
	case !a.g.authenticated.Load():
		a.refuse(bad("log in first"))
	case lit.size > maxMessage:
		a.refuse(&refusal{status: "NO", code: "TOOBIG", text: fmt.Sprintf("messages are limited to %d MiB", maxMessage>>20)})
	case lit.size == 0:
		a.refuse(&refusal{status: "NO", code: "CANNOT", text: "an empty message cannot be stored"})
	}
	if a.refused != nil {
		return a.skip(lit)
	}
	a.message, err = a.read(lit)
	return true, err
}

// read reads a literal that is within its limit.
func (a *assembly) read(lit literal) ([]byte, error) {
	if !lit.nonSync {
		if err := a.g.sendString("+ go ahead\r\n"); err != nil {
			return nil, err
		}
	}
	b := make([]byte, lit.size)
	_, err := io.ReadFull(a.g.br, b)
	return b, err
}

// skip passes over a refused literal. A client that asked first does not send it.
func (a *assembly) skip(lit literal) (more bool, err error) {
	if !lit.nonSync {
		return false, nil
	}
	a.dropped += lit.size
	if lit.size > maxSwallow || a.dropped > maxSwallow {
		return false, a.g.goodbye("the literal is too large")
	}
	_, err = io.CopyN(io.Discard, a.g.br, lit.size)
	return true, err
}

// literal is the announcement of a literal at the end of a line.
type literal struct {
	start   int // of the announcement
	size    int64
	nonSync bool // RFC 7888
}

// literalAt finds the literal that a line ends with. A literal8 (RFC 3516) is one, too.
func literalAt(line []byte) (literal, bool) {
	start := bytes.LastIndexByte(line, '{')
	if start < 0 || !bytes.HasSuffix(line, []byte("}")) {
		return literal{}, false
	}
	digits, nonSync := bytes.CutSuffix(line[start+1:len(line)-1], []byte("+"))
	if len(digits) == 0 || len(bytes.Trim(digits, "0123456789")) > 0 {
		return literal{}, false
	}
	size, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil {
		size = math.MaxInt64 // more digits than an int64 has: too large, whatever it is
	}
	if start > 0 && line[start-1] == '~' {
		start--
	}
	return literal{start: start, size: size, nonSync: nonSync}, true
}

// parseCommand splits a command into tag, name and arguments. What it gives is good for
// an answer even if it is refused.
func parseCommand(text string) (*command, *refusal) {
	tag, rest, _ := strings.Cut(text, " ")
	if !isTag(tag) {
		return &command{tag: "*"}, bad("a command begins with a tag")
	}
	cmd := &command{tag: tag}
	cmd.name, cmd.args, _ = strings.Cut(rest, " ")
	cmd.name = strings.ToUpper(cmd.name)
	if cmd.name == "UID" {
		var sub string
		sub, cmd.args, _ = strings.Cut(cmd.args, " ")
		cmd.name += " " + strings.ToUpper(sub)
	}
	return cmd, checkText(rest)
}

// isTag checks a tag (RFC 3501, section 9).
func isTag(s string) bool {
	return s != "" && len(s) <= maxTag && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`(){%*"\+`, r)
	})
}

// checkText refuses what go-imap would read past the end of the line: it stops at a bare
// carriage return, and does not stop at a line end within quotes.
func checkText(text string) *refusal {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == 0 || c == '\r' || c == '\n':
			return bad("a command is one line")
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		}
	}
	if quoted {
		return bad("a quoted string is not closed")
	}
	return nil
}

func trimLineEnd(line []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
}
