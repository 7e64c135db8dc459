package headers

import (
	"sort"
	"strings"

	"mailbridge/message"
)

// View gives the bytes that a mail client is served for an opened message: an ordinary
// MIME message with the shown header and the decrypted body. The same arguments give the
// same bytes.
//
// Mailbridge-Security is the first line; a nil s gives none. Fields that bear our names,
// marks of protection, and copies of hidden fields for older readers are taken out.
func View(m Merged, payload []byte, s *Security) []byte {
	payload = message.CRLF(payload)
	root := message.Parse(payload)
	content := m.content(root)
	var h message.Header
	if s != nil {
		h.Add(s.field())
	}
	for _, f := range m.Header.Fields {
		if !hasPrefixFold(f.Name, "Content-") {
			h.Add(f)
		}
		if content == root && hasPrefixFold(f.Name, "Content-") {
			h.Add(unmarkedType(f))
		}
	}
	if content != root {
		for _, f := range content.Header.Fields {
			if hasPrefixFold(f.Name, "Content-") {
				h.Add(unmarkedType(tidy(f)))
			}
		}
	}
	if !h.Has("MIME-Version") {
		h.Add(message.NewField("MIME-Version", "1.0"))
	}
	return assemble(h, splice(payload, content.BodyStart, content.End, m.edits(payload, content)))
}

// content gives the part that is shown. The older protected headers may wrap it together
// with a part that repeats the hidden fields
// (draft-autocrypt-lamps-protected-headers-02, section 4).
func (m Merged) content(root *message.Part) *message.Part {
	if m.mark != markV1 || !m.encrypted || root.MediaType != "multipart/mixed" || len(root.Children) != 2 {
		return root
	}
	c := root.Children[0]
	if c.Params["protected-headers"] == "v1" && (c.MediaType == "text/plain" || c.MediaType == "text/rfc822-headers") {
		return root.Children[1]
	}
	return root
}

// unmarkedType takes the marks of protection off a Content-Type.
func unmarkedType(f message.Field) message.Field {
	if !strings.EqualFold(f.Name, "Content-Type") {
		return f
	}
	_, v, _ := strings.Cut(string(f.Raw), ":")
	w := message.DelParam(v, "hp", legacyParam, "protected-headers")
	if w == v {
		return f
	}
	return message.RawField([]byte(f.Name + ":" + strings.TrimRight(w, " \t\r\n") + "\r\n"))
}

// edits gives what is changed inside the body that is shown.
func (m Merged) edits(payload []byte, content *message.Part) []edit {
	edits := m.displayEdits(payload, content)
	for _, c := range inside(content) {
		edits = append(edits, forgedEdits(payload, c)...)
		edits = append(edits, m.displayEdits(payload, c)...)
		if c.Params[legacyParam] != "" {
			edits = append(edits, typeEdits(payload, c)...)
		}
	}
	sort.SliceStable(edits, func(i, j int) bool { return edits[i].start < edits[j].start })
	return edits
}

func (m Merged) displayEdits(payload []byte, p *message.Part) []edit {
	if m.mark != markHP || !m.encrypted {
		return nil
	}
	return legacyEdits(payload, p)
}

// inside gives all parts below p.
func inside(p *message.Part) []*message.Part {
	var out []*message.Part
	next := p.Children
	if p.Message != nil {
		next = []*message.Part{p.Message}
	}
	for _, c := range next {
		out = append(append(out, c), inside(c)...)
	}
	return out
}

// forgedEdits takes out the fields of a part that bear our names, also behind a carriage
// return alone, where some clients end a line.
func forgedEdits(payload []byte, p *message.Part) []edit {
	var out []edit
	block := payload[p.Start:p.BodyStart]
	message.EachField(block, func(name string, start, end int) bool {
		if own(name) || hidesOwn(block[start:end]) {
			out = append(out, edit{p.Start + start, p.Start + end, nil})
		}
		return true
	})
	return out
}

func hidesOwn(raw []byte) bool {
	for i := range raw {
		if (i == 0 || raw[i-1] == '\r') && hasOwnPrefix(raw[i:]) {
			return true
		}
	}
	return false
}

// typeEdits takes the mark of a copy of hidden fields off a part.
func typeEdits(payload []byte, p *message.Part) []edit {
	var out []edit
	block := payload[p.Start:p.BodyStart]
	message.EachField(block, func(name string, start, end int) bool {
		if strings.EqualFold(name, "Content-Type") {
			f := unmarkedType(message.RawField(block[start:end]))
			out = append(out, edit{p.Start + start, p.Start + end, f.Raw})
		}
		return true
	})
	return out
}

// InlinePayload makes a payload of a text that was decrypted out of a message's body. It
// has no protected header: what is shown comes from outside.
func InlinePayload(text []byte, charset string) []byte {
	if charset == "" {
		charset = "utf-8"
	}
	var h message.Header
	h.Add(message.NewField("Content-Type", message.SetParam("text/plain", "charset", charset)))
	h.Add(message.NewField("Content-Transfer-Encoding", "8bit"))
	return assemble(h, message.CRLF(text))
}
