package imapproxy

import (
	"bytes"
	"strings"

	"mailbridge/message"
)

// content is what a FETCH knows of one message: all of it, or its header block.
type content struct {
	header []byte
	full   []byte
	part   *message.Part // parsed when first asked for
}

func (c *content) root() *message.Part {
	if c.part == nil {
		c.part = message.Parse(c.full)
	}
	return c.part
}

func (c *content) headerBlock() []byte {
	if c.header == nil {
		c.header = c.full[:message.HeaderSize(c.full)]
	}
	return c.header
}

// extract gives the octets of a section; ok is false for a part that does not exist.
func (s section) extract(c *content) (b []byte, ok bool) {
	if len(s.path) == 0 {
		b, ok = s.ofMessage(c)
	} else {
		b, ok = s.ofPart(c)
	}
	if s.fields != nil && ok {
		b = filterFields(b, s.fields, s.spec == specFields)
	}
	if s.partial {
		b = b[min(s.offset, int64(len(b))):]
		b = b[:min(s.count, int64(len(b)))]
	}
	return b, ok
}

func (s section) ofMessage(c *content) ([]byte, bool) {
	switch s.spec {
	case specWhole:
		return c.full, true
	case specText:
		return c.full[message.HeaderSize(c.full):], true
	default:
		return c.headerBlock(), true
	}
}

// ofPart follows RFC 3501, section 6.4.5: a number alone is the body of a part, MIME its
// own header, HEADER and TEXT are those of the message that a message/rfc822 part holds.
func (s section) ofPart(c *content) ([]byte, bool) {
	p := c.root().Find(s.path...)
	switch {
	case p == nil:
		return nil, false
	case s.spec == specWhole:
		return p.Body(c.full), true
	case s.spec == specMIME:
		return p.HeaderBytes(c.full), true
	case p.Message == nil:
		return nil, false
	case s.spec == specText:
		return p.Message.Body(c.full), true
	default:
		return p.Message.HeaderBytes(c.full), true
	}
}

// filterFields gives the named fields of a header block, or all others, as they came,
// with the empty line that ends every header (RFC 3501, section 6.4.5).
func filterFields(header []byte, names []string, named bool) []byte {
	wanted := make(map[string]bool, len(names))
	for _, n := range names {
		wanted[strings.ToLower(n)] = true
	}
	var out bytes.Buffer
	message.EachField(header, func(name string, start, end int) bool {
		if wanted[strings.ToLower(name)] == named && (named || name != "" || len(bytes.TrimSpace(header[start:end])) > 0) {
			out.Write(header[start:end])
			if header[end-1] != '\n' {
				out.WriteString("\r\n")
			}
		}
		return true
	})
	out.WriteString("\r\n")
	return out.Bytes()
}
