package message

import (
	"strings"
)

// Contains tells whether a message holds a text, as SEARCH TEXT or, with bodyOnly,
// SEARCH BODY asks (RFC 3501, section 6.4.4): in its decoded header fields, those of its
// parts and attached messages too, and in its decoded text parts. Case does not count.
func Contains(b []byte, text string, bodyOnly bool) bool {
	s := searcher{b: b, text: fold(text)}
	if s.text == "" {
		return true
	}
	root := Parse(b)
	return !bodyOnly && s.header(root) || s.body(root)
}

type searcher struct {
	b    []byte
	text string
}

func (s searcher) header(p *Part) bool {
	for _, f := range p.Header.Fields {
		if f.Name != "" && strings.Contains(fold(f.Name+": "+f.Text()), s.text) {
			return true
		}
	}
	return false
}

func (s searcher) body(p *Part) bool {
	if p.Message != nil {
		return s.header(p.Message) || s.body(p.Message)
	}
	for _, c := range p.Children {
		if s.header(c) || s.body(c) {
			return true
		}
	}
	if len(p.Children) > 0 || !searchable(p.MediaType) {
		return false
	}
	return strings.Contains(fold(p.Text(s.b)), s.text)
}

// searchable tells whether the body of a part is text.
func searchable(mediaType string) bool {
	return strings.HasPrefix(mediaType, "text/") || strings.HasPrefix(mediaType, "message/") ||
		strings.HasPrefix(mediaType, "multipart/")
}

// fold gives the form in which texts are compared.
func fold(s string) string {
	return strings.ToLower(strings.ReplaceAll(s, "\r\n", "\n"))
}
