package imapproxy

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"mailbridge/mailbox"
)

const (
	// flushSize is how much of small responses is collected before it is sent.
	flushSize = 64 << 10
	// maxQuoted is the longest quoted string; longer ones go as literals.
	maxQuoted = 1000
	// maxText bounds the human readable text of a response, so that the line stays one
	// that every client takes.
	maxText = 400
	// dateLayout is RFC 3501's date-time.
	dateLayout = "_2-Jan-2006 15:04:05 -0700"
)

// response collects untagged responses and sends them in large pieces. It writes past
// go-imap's encoder, which is idle while a session's method runs.
type response struct {
	g   *guard
	buf bytes.Buffer
	err error
}

func (r *response) text(s string) { r.buf.WriteString(s) }
func (r *response) number(n int64) {
	r.buf.Write(strconv.AppendInt(r.buf.AvailableBuffer(), n, 10))
}

// line ends a response.
func (r *response) line() {
	r.text("\r\n")
	if r.buf.Len() >= flushSize {
		r.flush()
	}
}

// flush sends what was collected: whole responses.
func (r *response) flush() error {
	if r.err == nil && r.buf.Len() > 0 {
		r.err = r.g.send(r.buf.Bytes())
	}
	r.buf.Reset()
	return r.err
}

// literal writes b as a literal. A large one is sent without being copied.
func (r *response) literal(b []byte) {
	r.text("{")
	r.number(int64(len(b)))
	r.text("}\r\n")
	if len(b) < flushSize {
		r.buf.Write(b)
		return
	}
	if r.err == nil {
		r.err = r.g.sendPart(r.buf.Bytes(), b)
	}
	r.buf.Reset()
}

// nstring writes a string, or NIL for an empty one.
func (r *response) nstring(s string) {
	if s == "" {
		r.text("NIL")
		return
	}
	r.string(s)
}

func (r *response) string(s string) {
	if !isQuotable(s) {
		r.literal([]byte(s))
		return
	}
	r.buf.Write(quote([]byte(s)))
}

// isQuotable reports whether s may stand in a quoted string (RFC 3501, section 9).
func isQuotable(s string) bool {
	return len(s) <= maxQuoted && !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c >= 0x7f })
}

func quote(b []byte) []byte {
	q := make([]byte, 0, len(b)+2)
	q = append(q, '"')
	for _, c := range b {
		if c == '"' || c == '\\' {
			q = append(q, '\\')
		}
		q = append(q, c)
	}
	return append(q, '"')
}

// flags writes a list of flags. One that is no atom cannot be written and is left out: it
// would put every client out of step.
func (r *response) flags(fs mailbox.Flags) {
	r.text("(")
	first := true
	for _, f := range fs {
		if f != wildcard && !isFlag(string(f)) {
			continue
		}
		if !first {
			r.text(" ")
		}
		first = false
		r.text(string(f))
	}
	r.text(")")
}

func isFlag(s string) bool {
	s = strings.TrimPrefix(s, `\`)
	return s != "" && len(s) <= maxKeyword && !strings.ContainsFunc(s, func(c rune) bool { return c >= 0x7f || !isAtomChar(byte(c)) })
}

func (r *response) date(t time.Time) {
	r.text(`"`)
	r.buf.Write(t.AppendFormat(r.buf.AvailableBuffer(), dateLayout))
	r.text(`"`)
}

// clean makes a text fit for a status response: one line of printable ASCII that does
// not begin like a response code.
func clean(s string) string {
	s = strings.Map(func(c rune) rune {
		switch {
		case c == '\r' || c == '\n' || c == '\t':
			return ' '
		case c < ' ' || c >= 0x7f:
			return '?'
		}
		return c
	}, s)
	s = strings.TrimLeft(s, "[ ")
	if s == "" {
		return "no reason given"
	}
	return s[:min(len(s), maxText)]
}
