package securejoin

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Longest names in a link, in characters: so that the QR code stays small.
const (
	maxContactName = 25
	maxOwnName     = 16 // beside the name of a group or channel
)

// maxReadName bounds a name in a link of others, which is not obliged to be
// short.
const maxReadName = 100

// cutMark ends a name that was cut; readers show an ellipsis.
const cutMark = "_"

// escape percent-encodes everything but letters, digits, "." and "_", as
// Delta Chat 2.62 does: no messenger mangles what is left.
func escape(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range []byte(s) {
		if c == '.' || c == '_' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', hex[c>>4], hex[c&15]})
	}
	return b.String()
}

// unescape undoes percent-encoding. A "%" that begins none stays.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '%' && i+2 < len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				c = byte(v)
				i += 2
			}
		}
		b.WriteByte(c)
	}
	return b.String()
}

// escapeName shortens and encodes a name.
func escapeName(name string, length int) string {
	if runes := []rune(name); len(runes) > length {
		name = string(runes[:length-1]) + cutMark
	}
	return strings.ReplaceAll(escape(name), "%20", "+")
}

// unescapeName decodes a name for display; it fails for what is not UTF-8.
func unescapeName(s string) (string, bool) {
	name := unescape(strings.ReplaceAll(s, "+", " "))
	if !utf8.ValidString(name) {
		return "", false
	}
	name = cleanName(name)
	if rest, cut := strings.CutSuffix(name, cutMark); cut {
		name = rest + "…"
	}
	return name, true
}

// cleanName bounds a name and makes blanks of line ends and other control
// characters, which could write header fields, and of those that turn around
// what stands after them in a line.
func cleanName(name string) string {
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar || r >= '\u2028' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' {
			return ' '
		}
		return r
	}, name)
	if runes := []rune(name); len(runes) > maxReadName {
		name = string(runes[:maxReadName])
	}
	return strings.TrimSpace(name)
}

// visible says whether a name shows anything: zero-width characters alone do not.
func visible(name string) bool {
	return strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsSpace(r) && !unicode.Is(unicode.Cf, r) })
}
