package provider

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"sync"
)

// scanner looks for the watched words in what one client sends. It is fed in pieces as
// they come and keeps as much of the end as a word may stretch over.
type scanner struct {
	alarm *alarm
	mu    sync.Mutex
	user  string
	found map[string]bool // words; each is reported once for each connection

	raw  []byte // in lower case
	flat []byte // without white space, for base64 in lines
	qp   qpDecoder
	text []byte // quoted-printable undone, in lower case
}

// excerptSize is how much around a word a Violation shows.
const excerptSize = 60

func (a *alarm) scanner() *scanner { return &scanner{alarm: a, found: make(map[string]bool)} }

// name says who is logged in on the connection.
func (s *scanner) name(addr string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.user = addr
}

func (s *scanner) write(b []byte) {
	a := s.alarm
	a.mu.Lock()
	words, keep := a.words, max(a.longest, excerptSize)
	a.mu.Unlock()
	if len(words) == 0 || len(b) == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raw = append(s.raw, lower(b)...)
	s.flat = append(s.flat, dropSpace(b)...)
	s.text = append(s.text, lower(s.qp.decode(b))...)
	for _, w := range words {
		if !s.found[w.word] && s.look(w) {
			s.found[w.word] = true
		}
	}
	s.raw, s.flat, s.text = tail(s.raw, keep), tail(s.flat, keep), tail(s.text, keep)
}

func (s *scanner) look(w watched) bool {
	if s.report(w.word, "as it is", s.raw, w.folded) || s.report(w.word, "in quoted-printable", s.text, w.folded) {
		return true
	}
	return slices.ContainsFunc(w.base64, func(form []byte) bool { return s.report(w.word, "in base64", s.flat, form) })
}

func (s *scanner) report(word, form string, in, pattern []byte) bool {
	i := bytes.Index(in, pattern)
	if i < 0 {
		return false
	}
	excerpt := in[max(0, i-excerptSize/2):min(len(in), i+len(pattern)+excerptSize/2)]
	s.alarm.raise(s.user, RuleWord, fmt.Sprintf("%q %s: %q", word, form, excerpt))
	return true
}

// tail copies the end of b, so that what came before is let go.
func tail(b []byte, n int) []byte {
	return append(b[:0:0], b[max(0, len(b)-n):]...)
}

// lower folds ASCII alone, octet by octet: a piece may end inside a character.
func lower(b []byte) []byte {
	out := make([]byte, len(b))
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		out[i] = c
	}
	return out
}

func dropSpace(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for _, c := range b {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			out = append(out, c)
		}
	}
	return out
}

// base64Forms gives the characters that a word becomes in base64 whatever stands before
// and after it: one form for each position in a group of three octets.
func base64Forms(word []byte) [][]byte {
	var forms [][]byte
	for offset := range 3 {
		padded := append(make([]byte, offset), word...)
		encoded := base64.StdEncoding.EncodeToString(padded)
		first := (offset*8 + 5) / 6 // characters that hold bits of what stands before
		last := len(padded) * 8 / 6 // characters that hold bits of the word alone
		forms = append(forms, []byte(encoded[first:last]))
	}
	return forms
}

// qpDecoder undoes quoted-printable (RFC 2045, section 6.7) in a stream. It is not
// strict: what is no escape stays.
type qpDecoder struct {
	held []byte // "=" and what followed it so far
}

func (d *qpDecoder) decode(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for _, c := range b {
		if len(d.held) == 0 && c != '=' {
			out = append(out, c)
			continue
		}
		d.held = append(d.held, c)
		out = append(out, d.resolve()...)
	}
	return out
}

// resolve gives what the held octets mean once that is clear.
func (d *qpDecoder) resolve() []byte {
	h := d.held
	switch {
	case len(h) == 1, len(h) == 2 && (h[1] == '\r' || isHex(h[1])):
		return nil
	case h[1] == '\n', len(h) == 3 && h[1] == '\r' && h[2] == '\n': // soft line break
		d.held = nil
		return nil
	case len(h) == 3 && isHex(h[1]) && isHex(h[2]):
		d.held = nil
		return []byte{unhex(h[1])<<4 | unhex(h[2])}
	}
	d.held = nil
	if last := h[len(h)-1]; last == '=' { // begins another escape
		d.held = []byte{last}
		return h[:len(h)-1]
	}
	return h
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}
