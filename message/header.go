package message

import (
	"bytes"
	"strings"
)

// A Field is one header field as it came.
type Field struct {
	// Name is the field name as written; it is empty for what is no field: a mbox "From "
	// line, a line without a colon, and all that lies beyond MaxHeader.
	Name string
	// Raw is the whole field, with its folding and its final line end.
	Raw []byte
}

// Value gives the field body, unfolded (RFC 5322, section 2.2.3) and trimmed, not decoded.
func (f Field) Value() string {
	i := bytes.IndexByte(f.Raw, ':')
	if f.Name == "" || i < 0 {
		return ""
	}
	return unfold(f.Raw[i+1:])
}

// Text gives the field body with its encoded words decoded, in UTF-8.
func (f Field) Text() string { return DecodeWords(f.Value()) }

// unfold undoes folding and trims.
func unfold(b []byte) string { return strings.Trim(joinLines(b), " \t") }

// joinLines removes line ends. What is left of a fold is its white space. A line end or
// NUL in any other place becomes a space.
func joinLines(b []byte) string {
	if !bytes.ContainsAny(b, "\r\n\x00") {
		return string(b)
	}
	out := make([]byte, 0, len(b))
	for i, c := range b {
		switch {
		case c == '\r' && i+1 < len(b) && b[i+1] == '\n':
		case c == '\n' && i+1 < len(b) && isBlank(b[i+1]):
		case c == '\r' || c == '\n' || c == 0:
			out = append(out, ' ')
		default:
			out = append(out, c)
		}
	}
	return string(out)
}

// A Header is a header block: all its fields in order.
type Header struct {
	Fields []Field
}

// ParseHeader reads the header block at the start of b and gives the offset of the body.
// The fields share their bytes with b.
func ParseHeader(b []byte) (h Header, n int) {
	end, n := headerBounds(b)
	block, rest := b[:end], b[end:end]
	if len(block) > MaxHeader {
		cut := bytes.LastIndexByte(block[:MaxHeader], '\n') + 1
		block, rest = block[:cut], block[cut:]
	}
	for len(block) > 0 {
		end := fieldEnd(block)
		h.Fields = append(h.Fields, RawField(block[:end]))
		block = block[end:]
	}
	if len(rest) > 0 {
		h.Fields = append(h.Fields, Field{Raw: rest})
	}
	return h, n
}

// HeaderSize gives the length of the header block at the start of b, with the empty
// line that ends it. Without an empty line all of b is header.
func HeaderSize(b []byte) int {
	_, n := headerBounds(b)
	return n
}

// headerBounds gives the end of the last field and the start of the body.
func headerBounds(b []byte) (fields, body int) {
	for pos := 0; pos < len(b); {
		end := pos + lineEnd(b[pos:])
		if emptyLine(b[pos:end]) {
			return pos, end
		}
		pos = end
	}
	return len(b), len(b)
}

// EachField calls fn with the bounds of each field of the header block at the start of
// b, without any limit of size and without memory; fn returns false to stop. The name
// is empty for what is no field.
func EachField(b []byte, fn func(name string, start, end int) bool) {
	n, _ := headerBounds(b)
	for pos := 0; pos < n; {
		end := pos + fieldEnd(b[pos:n])
		if !fn(fieldName(b[pos:end]), pos, end) {
			return
		}
		pos = end
	}
}

// RawField makes a Field of bytes as they came, with their final line end.
func RawField(raw []byte) Field {
	return Field{Name: fieldName(raw), Raw: raw}
}

// fieldName gives what stands before the colon, or "" if that is no name: a name is
// printable ASCII (RFC 5322, section 3.6.8), blanks before the colon are tolerated
// (section 4.5).
func fieldName(raw []byte) string {
	i := bytes.IndexByte(raw, ':')
	if i < 0 {
		return ""
	}
	name := bytes.TrimRight(raw[:i], " \t")
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return ""
		}
	}
	return string(name)
}

// fieldEnd gives the length of the first field of b: its first line, and each line
// after it that begins with a blank.
func fieldEnd(b []byte) int {
	end := lineEnd(b)
	for end < len(b) && (b[end] == ' ' || b[end] == '\t') {
		end += lineEnd(b[end:])
	}
	return end
}

// lineEnd gives the length of the first line of b, with its line feed.
func lineEnd(b []byte) int {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return i + 1
	}
	return len(b)
}

// emptyLine tells whether b begins with an empty line.
func emptyLine(b []byte) bool {
	return len(b) > 0 && b[0] == '\n' || len(b) > 1 && b[0] == '\r' && b[1] == '\n'
}

// Get gives the value of the first field of that name, or "".
func (h Header) Get(name string) string {
	f, _ := h.first(name)
	return f.Value()
}

// Text gives the first field of that name with its encoded words decoded.
func (h Header) Text(name string) string { return DecodeWords(h.Get(name)) }

// Values gives the values of all fields of that name, in order.
func (h Header) Values(name string) []string {
	var out []string
	for _, f := range h.Fields {
		if strings.EqualFold(f.Name, name) {
			out = append(out, f.Value())
		}
	}
	return out
}

// Has tells whether there is a field of that name.
func (h Header) Has(name string) bool {
	_, ok := h.first(name)
	return ok
}

func (h Header) first(name string) (Field, bool) {
	for _, f := range h.Fields {
		if strings.EqualFold(f.Name, name) {
			return f, true
		}
	}
	return Field{}, false
}

// Add puts a field at the end.
func (h *Header) Add(f Field) { h.Fields = append(h.Fields, f) }

// Prepend puts a field at the start.
func (h *Header) Prepend(f Field) {
	h.Fields = append([]Field{f}, h.Fields...)
}

// Set puts the field where the first of its name stood, or at the end, and removes all
// others of that name.
func (h *Header) Set(f Field) {
	var out []Field
	done := false
	for _, old := range h.Fields {
		if !strings.EqualFold(old.Name, f.Name) {
			out = append(out, old)
		} else if !done {
			out = append(out, f)
			done = true
		}
	}
	if !done {
		out = append(out, f)
	}
	h.Fields = out
}

// Del removes all fields of that name.
func (h *Header) Del(name string) {
	var out []Field
	for _, f := range h.Fields {
		if !strings.EqualFold(f.Name, name) {
			out = append(out, f)
		}
	}
	h.Fields = out
}

// Bytes gives the header block without the empty line that ends it.
func (h Header) Bytes() []byte {
	var out []byte
	for _, f := range h.Fields {
		out = append(out, f.Raw...)
	}
	return out
}
