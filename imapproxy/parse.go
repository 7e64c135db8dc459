package imapproxy

import (
	"strconv"
	"strings"
)

// parser reads the arguments of a command: one line without literals, whose quotes are
// balanced (checkText). Its methods report whether what they look for was there, and
// leave the rest.
type parser struct{ rest string }

// special consumes s, whatever its case.
func (p *parser) special(s string) bool {
	if len(p.rest) < len(s) || !strings.EqualFold(p.rest[:len(s)], s) {
		return false
	}
	p.rest = p.rest[len(s):]
	return true
}

// space consumes one or more spaces: some clients send two.
func (p *parser) space() bool {
	rest := strings.TrimLeft(p.rest, " ")
	some := len(rest) < len(p.rest)
	p.rest = rest
	return some
}

func (p *parser) end() bool { return strings.Trim(p.rest, " ") == "" }

// while consumes characters for which ok holds.
func (p *parser) while(ok func(c byte) bool) string {
	n := 0
	for n < len(p.rest) && ok(p.rest[n]) {
		n++
	}
	s := p.rest[:n]
	p.rest = p.rest[n:]
	return s
}

// word consumes the letters, digits, dots and hyphens that names are made of and gives
// them in upper case.
func (p *parser) word() string {
	return strings.ToUpper(p.while(func(c byte) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-'
	}))
}

// atom consumes an atom (RFC 3501, section 9).
func (p *parser) atom() (string, bool) {
	s := p.while(isAtomChar)
	return s, s != ""
}

// astring consumes an astring. Octets over 127 are taken as they are.
func (p *parser) astring() (string, bool) {
	if strings.HasPrefix(p.rest, `"`) {
		return p.quoted()
	}
	s := p.while(func(c byte) bool { return isAtomChar(c) || c == ']' })
	return s, s != ""
}

func (p *parser) quoted() (string, bool) {
	var b strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			p.rest = p.rest[i+1:]
			return b.String(), true
		case c == '\\' && i+1 < len(p.rest):
			i++
			b.WriteByte(p.rest[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}

// number consumes a number below 2^63.
func (p *parser) number() (int64, bool) {
	digits := p.while(func(c byte) bool { return c >= '0' && c <= '9' })
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, err == nil
}

func isAtomChar(c byte) bool {
	return c > ' ' && c != 0x7f && !strings.ContainsRune(`(){%*"\]`, rune(c))
}
