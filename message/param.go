package message

import (
	"mime"
	"net/url"
	"sort"
	"strconv"
	"strings"
)

// maxParams is how many parameters of one field are read. Long file names in RFC 2231
// continuations take a few dozen.
const maxParams = 200

// ContentType reads a Content-Type value tolerantly (RFC 2045, section 5.1): empty and
// doubled semicolons, a missing closing quote, 8-bit and encoded-word values. Of a
// parameter given twice the first counts. An unusable media type is "".
func ContentType(value string) (mediaType string, params map[string]string) {
	mediaType, params = parseValue(value)
	if major, minor, ok := strings.Cut(mediaType, "/"); !ok || major == "" || minor == "" {
		mediaType = ""
	}
	return mediaType, params
}

// parseValue reads a value and its parameters, as Content-Type and Content-Disposition
// have them. Value and names come in lower case.
func parseValue(s string) (value string, params map[string]string) {
	head, spans := scanParams(s)
	params = make(map[string]string, len(spans))
	var split []paramSpan // RFC 2231 continuations
	for _, sp := range spans {
		if strings.Contains(sp.name, "*") {
			split = append(split, sp)
		} else if _, ok := params[sp.name]; !ok {
			params[sp.name] = sp.value
		}
	}
	for name, v := range params {
		if name != "boundary" { // compared octet by octet, never shown
			params[name] = DecodeWords(v)
		}
	}
	joinContinuations(split, params)
	return firstToken(head), params
}

// firstToken gives the first word of s in lower case, and the quotes around it off
// (Exchange sends "inline" as a disposition).
func firstToken(s string) string {
	s = strings.ToLower(strings.TrimSpace(dropComments(s)))
	if i := strings.IndexAny(s, " \t\r\n"); i >= 0 {
		s = s[:i]
	}
	return strings.Trim(s, `"`)
}

// joinContinuations adds name*=, name*0=, name*1*= … to params (RFC 2231, sections 3 and
// 4). They win over a plain parameter of the same name, as RFC 6266 has it.
func joinContinuations(split []paramSpan, params map[string]string) {
	sort.SliceStable(split, func(i, j int) bool {
		return section(split[i].name) < section(split[j].name)
	})
	pieces := make(map[string]*strings.Builder)
	charsets := make(map[string]string)
	for _, sp := range split {
		name, mark, _ := strings.Cut(sp.name, "*")
		value := sp.value
		if strings.HasSuffix(mark, "*") || mark == "" {
			if section(sp.name) <= 0 {
				charsets[name], value = splitCharset(value)
			}
			if v, err := url.PathUnescape(value); err == nil {
				value = v
			}
		}
		if pieces[name] == nil {
			pieces[name] = new(strings.Builder)
		}
		pieces[name].WriteString(value)
	}
	for name, b := range pieces {
		params[name] = singleLine(decodeCharset([]byte(b.String()), charsets[name]))
	}
}

// section gives the number of a continuation: "name*3*" is 3, "name*" is -1.
func section(name string) int {
	_, mark, _ := strings.Cut(name, "*")
	n, err := strconv.Atoi(strings.TrimSuffix(mark, "*"))
	if err != nil {
		return -1
	}
	return n
}

// splitCharset takes "charset'language'" off an extended value.
func splitCharset(s string) (charset, rest string) {
	parts := strings.SplitN(s, "'", 3)
	if len(parts) < 3 {
		return "", s
	}
	return parts[0], parts[2]
}

// A paramSpan is one parameter and where it stands, from its semicolon on.
type paramSpan struct {
	name, value string
	start, end  int
}

// scanParams cuts a value into what stands before the first semicolon and the
// parameters. It works on folded values, too.
func scanParams(s string) (head string, spans []paramSpan) {
	var l lexer
	pos := l.segment(s, 0)
	head = s[:pos]
	for n := 0; pos < len(s) && n < maxParams; n++ {
		start := pos
		pos = l.segment(s, pos+1)
		name, value, ok := strings.Cut(s[start+1:pos], "=")
		name = strings.ToLower(strings.TrimSpace(dropComments(name)))
		if !ok || name == "" {
			continue
		}
		spans = append(spans, paramSpan{name: name, value: paramValue(value), start: start, end: pos})
	}
	return head, spans
}

// segment gives the offset of the next semicolon outside quotes and comments.
func (l *lexer) segment(s string, pos int) int {
	for pos < len(s) {
		n := 0
		switch s[pos] {
		case ';':
			return pos
		case '"':
			n = l.quoted(s[pos:])
		case '(':
			n = l.comment(s[pos:])
		}
		pos += max(1, n)
	}
	return len(s)
}

// paramValue takes quotes, comments and blanks off a parameter's value.
func paramValue(s string) string {
	s = strings.TrimSpace(s)
	if !strings.HasPrefix(s, `"`) {
		return unfold([]byte(strings.TrimSpace(dropComments(s))))
	}
	if n := quotedEnd(s); n > 0 {
		return joinLines([]byte(unquote(s[1 : n-1])))
	}
	return unfold([]byte(strings.TrimSpace(s[1:])))
}

// SetParam gives a Content-Type value with the parameter set and all else untouched. A
// value that is too broken to take a parameter is written anew.
func SetParam(value, name, v string) string {
	out := strings.TrimRight(DelParam(value, name), " \t\r\n;") + "; " + name + "=" + quote(v)
	if _, params := ContentType(out); params[name] == v {
		return out
	}
	mediaType, params := ContentType(value)
	params[name] = v
	if out = mime.FormatMediaType(mediaType, params); out != "" {
		return " " + out
	}
	return " application/octet-stream; " + name + "=" + quote(v)
}

// DelParam gives a Content-Type value without these parameters and all else untouched,
// folding included.
func DelParam(value string, names ...string) string {
	_, spans := scanParams(value)
	var b strings.Builder
	pos := 0
	for _, sp := range spans {
		base, _, _ := strings.Cut(sp.name, "*")
		for _, name := range names {
			if strings.EqualFold(base, name) {
				b.WriteString(value[pos:sp.start])
				pos = sp.end
				break
			}
		}
	}
	b.WriteString(value[pos:])
	return b.String()
}
