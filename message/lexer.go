package message

import "strings"

// A lexer finds the ends of quoted-strings and comments (RFC 5322, section 3.2). One
// that is never closed counts as ordinary text; after the first such the lexer looks for
// no other, which keeps it linear.
type lexer struct {
	openQuote, openComment bool
}

// quoted gives the length of the quoted-string at the start of s, 0 for none.
func (l *lexer) quoted(s string) int {
	if l.openQuote {
		return 0
	}
	n := quotedEnd(s)
	l.openQuote = n == 0
	return n
}

// comment gives the length of the comment at the start of s, 0 for none.
func (l *lexer) comment(s string) int {
	if l.openComment {
		return 0
	}
	n := commentEnd(s)
	l.openComment = n == 0
	return n
}

// quote makes a quoted-string (RFC 5322, section 3.2.4).
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\r', '\n', 0:
			continue
		case '"', '\\':
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	b.WriteByte('"')
	return b.String()
}

// unquote undoes the quoted-pairs inside a quoted-string.
func unquote(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// quotedEnd gives the length of the quoted-string at the start of s, 0 if it is not closed.
func quotedEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 0
}

// commentEnd gives the length of the comment at the start of s, 0 if it is not closed.
func commentEnd(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			depth--
			if depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}

// dropComments removes the comments outside quoted-strings.
func dropComments(s string) string {
	if !strings.Contains(s, "(") {
		return s
	}
	var l lexer
	var b strings.Builder
	for i := 0; i < len(s); {
		n := 0
		switch s[i] {
		case '(':
			if n = l.comment(s[i:]); n > 0 {
				i += n
				continue
			}
		case '"':
			n = l.quoted(s[i:])
		}
		n = max(1, n)
		b.WriteString(s[i : i+n])
		i += n
	}
	return b.String()
}
