package headers

import (
	"bytes"
	"encoding/base64"
	"html"
	"mime/quotedprintable"
	"strings"

	"mailbridge/message"
)

// The parameter that marks a part whose text begins with a copy of hidden fields
// (RFC 9788, section 2.1.2), and the class of that copy in HTML.
const (
	legacyParam = "hp-legacy-display"
	legacyDiv   = `<div class="header-protection-legacy-display">`
)

// userFacing are the fields that a reader sees (RFC 9787, section 1.1.2; RFC 9788,
// section 1.9).
var userFacing = []string{"From", "To", "Cc", "Reply-To", "Followup-To", "Date", "Subject", "Comments", "Keywords"}

// hiddenFields gives the user-facing fields that the outer header does not tell.
func hiddenFields(inner, outer message.Header) []message.Field {
	var out []message.Field
	for _, f := range inner.Fields {
		if in(f.Name, userFacing...) && !sameMeaning(f.Name, inner, outer) {
			out = append(out, f)
		}
	}
	return out
}

// sameMeaning tells whether a reader learns the same from the field outside.
func sameMeaning(name string, inner, outer message.Header) bool {
	switch {
	case strings.EqualFold(name, "Date"):
		a, okA := message.ParseDate(inner.Get(name))
		b, okB := message.ParseDate(outer.Get(name))
		return okA && okB && a.Equal(b)
	case in(name, "From", "To", "Cc", "Reply-To"):
		a, b := addresses(inner, name), addresses(outer, name)
		if len(a) != len(b) {
			return false
		}
		for i := range a {
			if a[i] != b[i] {
				return false
			}
		}
		return true
	}
	return inner.Get(name) == outer.Get(name)
}

// mainBody gives the text/plain and text/html parts that a reader is shown first
// (RFC 9787, section 7.1).
func mainBody(p *message.Part) []*message.Part {
	switch {
	case p.Disposition == "attachment":
		return nil
	case p.MediaType == "text/plain", p.MediaType == "text/html":
		return []*message.Part{p}
	case p.MediaType == "multipart/alternative":
		var out []*message.Part
		for _, c := range p.Children {
			out = append(out, mainBody(c)...)
		}
		return out
	case (p.MediaType == "multipart/mixed" || p.MediaType == "multipart/related") && len(p.Children) > 0:
		return mainBody(p.Children[0])
	}
	return nil
}

// addLegacyDisplay puts the hidden fields in front of the text (RFC 9788, sections 5.2.2
// and 5.2.3).
func addLegacyDisplay(payload []byte, hidden []message.Field) []byte {
	var edits []edit
	for _, p := range mainBody(message.Parse(payload)) {
		edits = append(edits, edit{p.Start, p.End, withLegacyDisplay(payload, p, hidden)})
	}
	return splice(payload, 0, len(payload), edits)
}

// withLegacyDisplay gives a part with the hidden fields in its text. The text is written
// anew in UTF-8, since the fields may not fit its charset.
func withLegacyDisplay(payload []byte, p *message.Part, hidden []message.Field) []byte {
	var lines strings.Builder
	for _, f := range hidden {
		lines.WriteString(f.Name + ": " + f.Text() + "\r\n")
	}
	text := p.Text(payload)
	if p.MediaType == "text/html" {
		at := afterBodyTag(text)
		text = text[:at] + legacyDiv + "<pre>" + html.EscapeString(lines.String()) + "</pre></div>" + text[at:]
	} else {
		text = lines.String() + "\r\n" + text
	}
	h := p.Header
	if f, ok := first(h, "Content-Type"); ok {
		h.Set(withParams(f, "charset", "utf-8", legacyParam, "1"))
	} else {
		h.Add(message.NewField("Content-Type", p.MediaType+`; charset="utf-8"; `+legacyParam+`="1"`))
	}
	h.Set(message.NewField("Content-Transfer-Encoding", "quoted-printable"))
	return assemble(h, encodeQP(text))
}

func first(h message.Header, name string) (message.Field, bool) {
	for _, f := range h.Fields {
		if strings.EqualFold(f.Name, name) {
			return f, true
		}
	}
	return message.Field{}, false
}

// withParams sets parameters, given as pairs of name and value.
func withParams(f message.Field, pairs ...string) message.Field {
	_, v, _ := strings.Cut(string(f.Raw), ":")
	for i := 0; i < len(pairs); i += 2 {
		v = message.SetParam(v, pairs[i], pairs[i+1])
	}
	return message.RawField([]byte(f.Name + ":" + v + "\r\n"))
}

// afterBodyTag gives the place of the first child of <body>.
func afterBodyTag(text string) int {
	i := strings.Index(strings.ToLower(text), "<body")
	if i < 0 || len(strings.ToLower(text)) != len(text) {
		return 0
	}
	if end := strings.IndexByte(text[i:], '>'); end >= 0 {
		return i + end + 1
	}
	return 0
}

func encodeQP(text string) []byte {
	var b bytes.Buffer
	w := quotedprintable.NewWriter(&b)
	// Writing to memory cannot fail.
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.Bytes()
}

// legacyEdits gives the edits that take the copies of hidden fields out of all parts of
// an encrypted message that are marked to have one (RFC 9788, section 4.5.3).
func legacyEdits(payload []byte, p *message.Part) []edit {
	if p.Params[legacyParam] != "1" || p.MediaType != "text/plain" && p.MediaType != "text/html" {
		return nil
	}
	body := p.Body(payload)
	if p.Encoding == "base64" {
		body = p.Decoded(payload)
	}
	start, end := plainDisplay(body, p.Encoding)
	if p.MediaType == "text/html" {
		start, end = htmlDisplay(body, p.Encoding)
	}
	if start == end {
		return nil
	}
	if p.Encoding == "base64" {
		rest := append(append([]byte(nil), body[:start]...), body[end:]...)
		return []edit{{p.BodyStart, p.End, encodeBase64(rest)}}
	}
	return []edit{{p.BodyStart + start, p.BodyStart + end, nil}}
}

// plainDisplay finds the lines up to and with the first empty one.
func plainDisplay(body []byte, encoding string) (start, end int) {
	soft := false // the line before ended in a soft line break
	for pos := 0; pos < len(body); {
		n := bytes.IndexByte(body[pos:], '\n') + 1
		if n == 0 {
			return 0, 0
		}
		line := bytes.TrimRight(body[pos:pos+n], " \t\r\n")
		pos += n
		if len(line) == 0 && !soft {
			return 0, pos
		}
		soft = encoding == "quoted-printable" && bytes.HasSuffix(line, []byte("="))
	}
	return 0, 0
}

// htmlDisplay finds the div.
func htmlDisplay(body []byte, encoding string) (start, end int) {
	qp := encoding == "quoted-printable"
	start, n := find(body, legacyDiv, qp)
	if n == 0 {
		return 0, 0
	}
	stop, m := find(body[start+n:], "</div>", qp)
	if m == 0 {
		return 0, 0
	}
	return start, start + n + stop + m
}

// find gives place and length of the first s in b; with qp, b is quoted-printable.
func find(b []byte, s string, qp bool) (at, n int) {
	if !qp {
		if i := bytes.Index(b, []byte(s)); i >= 0 {
			return i, len(s)
		}
		return 0, 0
	}
	for i := 0; i < len(b); i++ {
		if n := matchQP(b[i:], s); n > 0 {
			return i, n
		}
	}
	return 0, 0
}

// matchQP gives the length of the quoted-printable octets at the start of b that stand
// for s, 0 for none.
func matchQP(b []byte, s string) int {
	pos := 0
	for i := 0; i < len(s); i++ {
		for bytes.HasPrefix(b[pos:], []byte("=\r\n")) && i > 0 {
			pos += 3
		}
		switch {
		case pos >= len(b):
			return 0
		case b[pos] == '=':
			if s[i] != '=' || !bytes.HasPrefix(bytes.ToUpper(b[pos:min(len(b), pos+3)]), []byte("=3D")) {
				return 0
			}
			pos += 3
		case b[pos] != s[i]:
			return 0
		default:
			pos++
		}
	}
	return pos
}

func encodeBase64(b []byte) []byte {
	const width = 76
	text := base64.StdEncoding.EncodeToString(b)
	out := make([]byte, 0, len(text)+2*(len(text)/width+1))
	for len(text) > 0 {
		n := min(width, len(text))
		out = append(append(out, text[:n]...), '\r', '\n')
		text = text[n:]
	}
	return out
}
