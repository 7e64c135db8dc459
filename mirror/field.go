package mirror

import (
	"bytes"
	"strings"
)

// messageID gives the Message-ID in a header block, without angle brackets; empty if there is
// none. It needs no more of RFC 5322 than that: the value only has to be the same each time.
func messageID(header []byte) string {
	value := strings.ReplaceAll(field(header, "Message-ID"), "\r", " ") // one that ends no line
	if i := strings.IndexByte(value, '<'); i >= 0 {
		value = value[i+1:]
		if j := strings.IndexByte(value, '>'); j >= 0 {
			value = value[:j]
		}
	}
	return strings.TrimSpace(value)
}

// field gives the value of the first header field with a name, unfolded.
func field(header []byte, name string) string {
	var value strings.Builder
	found := false
	for line := range bytes.Lines(header) {
		folded := line[0] == ' ' || line[0] == '\t'
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case len(line) == 0 || found && !folded:
			return value.String()
		case found:
			value.Write(line)
		default:
			key, rest, ok := bytes.Cut(line, []byte(":"))
			if found = ok && strings.EqualFold(string(bytes.TrimRight(key, " \t")), name); found {
				value.Write(rest)
			}
		}
	}
	return value.String()
}
