package message

import "strings"

const (
	// foldAt is the length that lines of a new field keep to where they have a blank to
	// fold at (RFC 5322, section 2.1.1).
	foldAt = 78
	// maxLine is where a word without any blank is broken all the same: one octet over
	// 998 and servers refuse the message (RFC 5322, section 2.1.1).
	maxLine = 990
)

// NewField makes a field of a name and an unfolded value, folded at 78 octets, with CRLF.
// Line ends and NUL in the value become spaces, so that no value can begin a field of
// its own; what cannot stand in a name is left out of it.
func NewField(name, value string) Field {
	name = cleanName(name)
	value = unfold([]byte(value))
	var b strings.Builder
	b.WriteString(name)
	b.WriteString(":")
	col := b.Len()
	for i, word := range splitWords(value) {
		if i == 0 {
			word = " " + word
		}
		if col+len(word) > foldAt && i > 0 && strings.Trim(word, " \t") != "" {
			b.WriteString("\r\n")
			col = 0
		}
		for col+len(word) > maxLine && strings.Trim(word, " \t") != "" {
			cut := max(maxLine-col, 0) // the name alone may be longer than a line
			b.WriteString(word[:cut])
			b.WriteString("\r\n ")
			word, col = word[cut:], 1
		}
		b.WriteString(word)
		col += len(word)
	}
	b.WriteString("\r\n")
	return Field{Name: name, Raw: []byte(b.String())}
}

// splitWords cuts s before each run of blanks, so that the pieces joined are s again and
// each piece but the first begins with a blank.
func splitWords(s string) []string {
	var out []string
	start := 0
	for i := 1; i < len(s); i++ {
		if isBlank(s[i]) && !isBlank(s[i-1]) {
			out = append(out, s[start:i])
			start = i
		}
	}
	return append(out, s[start:])
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

func cleanName(name string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f || r == ':' {
			return -1
		}
		return r
	}, name)
}
