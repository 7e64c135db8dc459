package message

import (
	"bytes"
	"strings"
)

// A Part is one entity of a message (RFC 2045, section 2.4): the message itself, or a
// part of a multipart. Its offsets count from the start of the bytes given to Parse.
//
// Offsets nest: Start <= BodyStart <= End, children lie inside the body of their parent
// and do not overlap.
type Part struct {
	Header            Header
	MediaType         string            // "text/plain"; lower case
	Params            map[string]string // of Content-Type, RFC 2231 undone; keys in lower case
	Disposition       string            // "attachment"; lower case
	DispositionParams map[string]string
	Encoding          string // Content-Transfer-Encoding, lower case

	Start     int // of the header
	BodyStart int
	End       int // of the body: the line end before a boundary belongs to the boundary
	Lines     int // line feeds in the body

	Children []*Part // of a multipart, at most MaxParts in all
	Message  *Part   // of a message/rfc822 part: the message that it holds
}

// Parse finds the parts of a message. It goes over b once.
func Parse(b []byte) *Part {
	p := &parser{b: b, parts: 1}
	root, _ := p.entity("text/plain")
	return root
}

// Raw gives header and body of the part.
func (p *Part) Raw(b []byte) []byte { return b[p.Start:p.End] }

// Body gives the body as it came, still encoded.
func (p *Part) Body(b []byte) []byte { return b[p.BodyStart:p.End] }

// HeaderBytes gives the header block with the empty line that ends it.
func (p *Part) HeaderBytes(b []byte) []byte { return b[p.Start:p.BodyStart] }

// IsMultipart tells whether the part is a multipart of any kind, also one in which no
// part was found.
func (p *Part) IsMultipart() bool { return strings.HasPrefix(p.MediaType, "multipart/") }

// Find gives the part with an IMAP part number (RFC 3501, section 6.4.5), or nil. The
// receiver is a message; without numbers it is found itself.
func (p *Part) Find(path ...int) *Part {
	found, in := p, p
	for _, n := range path {
		switch {
		case in == nil || n < 1:
			return nil
		case in.IsMultipart():
			if n > len(in.Children) {
				return nil
			}
			found = in.Children[n-1]
		case n > 1:
			return nil
		default:
			found = in // a message that is no multipart is its own part 1
		}
		in = found.Message
		if in == nil && found.IsMultipart() {
			in = found
		}
	}
	return found
}

// A parser goes through the lines of a message. Open boundaries form a stack; a line
// that is one of them ends every part inside it (RFC 2046, section 5.1.2).
type parser struct {
	b          []byte
	pos        int
	lines      int // line feeds before pos
	parts      int
	depth      int
	boundaries []string
}

// A delimiter is a boundary line, or the end of the input.
type delimiter struct {
	level int  // index of the boundary on the stack, -1 at the end of the input
	last  bool // the closing one
	end   int  // where the part before it ends
	lines int  // line feeds before end
}

// entity reads one entity up to the delimiter that ends it.
func (p *parser) entity(defaultType string) (*Part, delimiter) {
	part := &Part{Start: p.pos}
	d, ended := p.skipHeader()
	part.BodyStart = p.pos
	if ended {
		part.BodyStart = d.end
	}
	part.Header, _ = ParseHeader(p.b[part.Start:max(part.Start, part.BodyStart)])
	part.describe(defaultType)
	lines := p.lines
	if !ended {
		d = p.body(part)
	}
	part.End = d.end
	part.Start = min(part.Start, d.end)
	part.BodyStart = min(part.BodyStart, d.end)
	part.Lines = max(0, d.lines-lines)
	return part, d
}

// skipHeader goes to the start of the body. A delimiter in between ends the entity.
func (p *parser) skipHeader() (delimiter, bool) {
	for p.pos < len(p.b) {
		start := p.pos
		if d, ok := p.line(); ok {
			return d, true
		}
		if emptyLine(p.b[start:p.pos]) {
			return delimiter{}, false
		}
	}
	return delimiter{}, false
}

// body reads the body of a part whose header was read.
func (p *parser) body(part *Part) delimiter {
	p.depth++
	defer func() { p.depth-- }()
	switch {
	case p.depth >= MaxDepth || !identity(part.Encoding):
	case part.IsMultipart() && part.Params["boundary"] != "":
		return p.multipart(part)
	case part.MediaType == "message/rfc822" && p.parts < MaxParts:
		p.parts++
		msg, d := p.entity("text/plain")
		part.Message = msg
		return d
	}
	return p.skip()
}

// identity tells whether an encoding leaves the structure of the body visible
// (RFC 2045, section 6.4, allows no other for a multipart).
func identity(encoding string) bool {
	return encoding != "base64" && encoding != "quoted-printable"
}

// multipart reads the parts of a multipart, and its epilogue.
func (p *parser) multipart(part *Part) delimiter {
	level := len(p.boundaries)
	p.boundaries = append(p.boundaries, part.Params["boundary"])
	childType := "text/plain"
	if part.MediaType == "multipart/digest" {
		childType = "message/rfc822" // RFC 2046, section 5.1.5
	}
	d := p.skip() // the preamble
	for d.level == level && !d.last && p.parts < MaxParts {
		p.parts++
		var child *Part
		child, d = p.entity(childType)
		part.Children = append(part.Children, child)
	}
	own := d.level == level
	p.boundaries = p.boundaries[:level]
	if own {
		d = p.skip() // the epilogue
	}
	return d
}

// skip goes to the next delimiter.
func (p *parser) skip() delimiter {
	if len(p.boundaries) == 0 {
		p.lines += bytes.Count(p.b[p.pos:], []byte("\n"))
		p.pos = len(p.b)
	}
	for p.pos < len(p.b) {
		if d, ok := p.line(); ok {
			return d
		}
	}
	return delimiter{level: -1, end: len(p.b), lines: p.lines}
}

// line goes past one line and tells whether it was a delimiter.
func (p *parser) line() (delimiter, bool) {
	start := p.pos
	line := p.b[start : start+lineEnd(p.b[start:])]
	p.pos += len(line)
	before := p.lines
	if line[len(line)-1] == '\n' {
		p.lines++
	}
	level, last := p.match(line)
	if level < 0 {
		return delimiter{}, false
	}
	d := delimiter{level: level, last: last, end: start, lines: before}
	if d.end > 0 && p.b[d.end-1] == '\n' {
		d.end--
		d.lines--
		if d.end > 0 && p.b[d.end-1] == '\r' {
			d.end--
		}
	}
	return d, true
}

// match finds the innermost open boundary that the line is.
func (p *parser) match(line []byte) (level int, last bool) {
	if len(p.boundaries) == 0 || !bytes.HasPrefix(line, []byte("--")) {
		return -1, false
	}
	text := bytes.TrimRight(line[2:], " \t\r\n")
	closing := bytes.TrimSuffix(text, []byte("--"))
	for i := len(p.boundaries) - 1; i >= 0; i-- {
		if string(text) == p.boundaries[i] {
			return i, false
		}
		if len(closing) < len(text) && string(closing) == p.boundaries[i] {
			return i, true
		}
	}
	return -1, false
}

// describe reads the structural fields.
func (p *Part) describe(defaultType string) {
	p.MediaType, p.Params = ContentType(p.Header.Get("Content-Type"))
	if p.MediaType == "" {
		p.MediaType = defaultType
	}
	if p.IsMultipart() && p.Params["boundary"] != "" {
		p.Params["boundary"] = strings.TrimRight(p.Params["boundary"], " \t")
	}
	p.Disposition, p.DispositionParams = parseValue(p.Header.Get("Content-Disposition"))
	enc, _ := parseValue(p.Header.Get("Content-Transfer-Encoding"))
	p.Encoding = enc
}
