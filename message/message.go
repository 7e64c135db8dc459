// Package message reads and writes Internet messages (RFC 5322, RFC 2045 to 2049)
// tolerantly: by byte offsets into the message as it came, never failing on bad mail,
// linear in the size of the input and with constant bounds on depth and number of parts.
//
// Nothing here re-serialises a message that it has read. A header keeps every field
// with its exact bytes, a part knows where it starts and ends, and what is not
// understood is kept as it is.
package message

import "bytes"

// The bounds on what is read. A message beyond them is still served: what is over the
// bound is kept as bytes without structure.
const (
	// MaxHeader is how much of a header block is split into fields. Real header blocks
	// end well below 100 KiB, and Exchange refuses single values over 32 KiB; but the message
	// that takes somebody into a group of a thousand brings the keys of all in its header.
	MaxHeader = 1 << 20
	// MaxDepth is how deep parts may be nested. Real mail stays below ten; each level
	// costs stack here and recursion in every mail client.
	MaxDepth = 50
	// MaxParts is how many parts are found in one message. Digests have hundreds.
	MaxParts = 2000
)

// CRLF gives b with each line feed preceded by a carriage return. It returns b itself
// if that is so already.
func CRLF(b []byte) []byte {
	n := bareLF(b)
	if n == 0 {
		return b
	}
	out := make([]byte, 0, len(b)+n)
	for i, c := range b {
		if c == '\n' && (i == 0 || b[i-1] != '\r') {
			out = append(out, '\r')
		}
		out = append(out, c)
	}
	return out
}

// bareLF counts the line feeds without a carriage return in front.
func bareLF(b []byte) int {
	n := 0
	for i := 0; ; i++ {
		j := bytes.IndexByte(b[i:], '\n')
		if j < 0 {
			return n
		}
		i += j
		if i == 0 || b[i-1] != '\r' {
			n++
		}
	}
}
