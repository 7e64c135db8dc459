package message

import (
	"encoding/base64"
	"io"
	"mime"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-message/charset"
)

// DecodeWords decodes the encoded words of s (RFC 2047), tolerantly: words may be longer
// than 75 octets, may hold blanks, and a character may be cut across adjacent words.
// Octets that are not UTF-8 are read as windows-1252. It is linear in the length of s.
func DecodeWords(s string) string {
	if !strings.Contains(s, "=?") {
		return validText(s)
	}
	var out strings.Builder
	var run wordRun
	for s != "" {
		start := strings.Index(s, "=?")
		if start < 0 {
			break
		}
		w, n := parseWord(s[start:])
		if n == 0 {
			run.flush(&out)
			out.WriteString(validText(s[:start+2]))
			s = s[start+2:]
			continue
		}
		// White space between two encoded words is not part of the text (section 6.2).
		if !run.open || strings.Trim(s[:start], " \t\r\n") != "" {
			run.flush(&out)
			out.WriteString(validText(s[:start]))
		}
		run.add(w, &out)
		s = s[start+n:]
	}
	run.flush(&out)
	out.WriteString(validText(s))
	return out.String()
}

// An encodedWord is the charset and the octets of one encoded word.
type encodedWord struct {
	charset string
	octets  []byte
}

// parseWord reads the encoded word at the start of s; n is its length, 0 for none.
// Neither charset nor text can hold a question mark, which keeps the search linear.
func parseWord(s string) (w encodedWord, n int) {
	parts := strings.SplitN(s[2:], "?", 4)
	if len(parts) < 4 || len(parts[1]) != 1 || !strings.HasPrefix(parts[3], "=") {
		return w, 0
	}
	cs, _, _ := strings.Cut(parts[0], "*") // RFC 2231, section 5: a language may follow
	if cs == "" || strings.ContainsAny(cs, " \t") {
		return w, 0
	}
	w.charset = strings.ToLower(cs)
	switch parts[1] {
	case "b", "B":
		w.octets = decodeBase64([]byte(parts[2]))
	case "q", "Q":
		w.octets = decodeQ(parts[2])
	default:
		return w, 0
	}
	return w, 2 + len(parts[0]) + 1 + 1 + 1 + len(parts[2]) + 2
}

// A wordRun gathers adjacent encoded words of one charset.
type wordRun struct {
	open bool
	word encodedWord
}

func (r *wordRun) add(w encodedWord, out *strings.Builder) {
	if r.open && r.word.charset != w.charset {
		r.emit(out)
		r.word = encodedWord{}
	}
	r.open = true
	r.word.charset = w.charset
	r.word.octets = append(r.word.octets, w.octets...)
}

func (r *wordRun) emit(out *strings.Builder) {
	out.WriteString(singleLine(decodeCharset(r.word.octets, r.word.charset)))
}

func (r *wordRun) flush(out *strings.Builder) {
	if r.open {
		r.emit(out)
	}
	*r = wordRun{}
}

// singleLine keeps a decoded word from bringing line ends into a header value.
func singleLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\r' || r == '\n' || r == 0 {
			return ' '
		}
		return r
	}, s)
}

func decodeQ(s string) []byte {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '_':
			out = append(out, ' ')
		case c == '=' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			out = append(out, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
		default:
			out = append(out, c)
		}
	}
	return out
}

// decodeCharset gives octets in a charset as UTF-8. An unknown charset is read as UTF-8
// where that is valid, else as windows-1252, in which no octet is an error.
func decodeCharset(b []byte, name string) string {
	switch strings.ToLower(name) {
	case "", "utf-8", "utf8", "us-ascii", "ascii":
		return validText(string(b))
	}
	r, err := charset.Reader(name, strings.NewReader(string(b)))
	if err != nil {
		return validText(string(b))
	}
	out, err := io.ReadAll(r)
	if err != nil {
		return validText(string(b))
	}
	return strings.ToValidUTF8(string(out), "\uFFFD")
}

// validText gives s as UTF-8: s itself if it is, else read as windows-1252.
func validText(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	r, err := charset.Reader("windows-1252", strings.NewReader(s))
	if err != nil {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	out, err := io.ReadAll(r)
	if err != nil {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	return string(out)
}

// EncodeWord gives s as it may stand in unstructured text: s itself
// if it is printable ASCII that cannot be taken for an encoded word, else one or more
// encoded words (RFC 2047).
func EncodeWord(s string) string {
	s = strings.ToValidUTF8(singleLine(s), "\uFFFD")
	if printable(s) && !strings.Contains(s, "=?") {
		return s
	}
	if q := mime.QEncoding.Encode("utf-8", s); len(q) <= base64.StdEncoding.EncodedLen(len(s))+20 && q != s {
		return q
	}
	return encodeBase64(s)
}

// encodePhrase gives s as encoded words that may stand in a display name. Readers of addresses
// look for quotes, commas and brackets before they decode: what RFC 2047, section 5 (3) allows
// there are letters, digits, blanks and !*+-/=_, of which the Q encoding leaves all others as
// they are. One comma in a name would make two addresses of one.
func encodePhrase(s string) string {
	if strings.ContainsAny(s, "\"#$%&'(),.:;<>@[\\]^`{|}~") {
		return encodeBase64(strings.ToValidUTF8(singleLine(s), "\uFFFD"))
	}
	return EncodeWord(s)
}

func encodeBase64(s string) string {
	// The standard library leaves printable ASCII as it is, also if it holds "=?".
	if b := mime.BEncoding.Encode("utf-8", s); b != s {
		return b
	}
	return encodeASCII(s)
}

// encodeASCII encodes ASCII text that looks like an encoded word.
func encodeASCII(s string) string {
	const chunk = 42 // 42 octets are 56 in base64: with the frame below 75 (RFC 2047, section 2)
	var words []string
	for len(s) > 0 {
		n := min(chunk, len(s))
		words = append(words, "=?utf-8?b?"+base64.StdEncoding.EncodeToString([]byte(s[:n]))+"?=")
		s = s[n:]
	}
	return strings.Join(words, " ")
}

func printable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] != '\t' && (s[i] < ' ' || s[i] > '~') {
			return false
		}
	}
	return true
}
