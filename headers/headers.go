// Package headers decides which header fields stand outside and inside the encryption,
// and which a mail client is shown. It owns RFC 9788 (Header Protection for Cryptographically
// Protected E-mail), the older protected-headers="v1", the names of the bridge's own
// fields, and the bytes of every view.
//
// It is pure: the same input gives the same bytes, for ever. A change of what View or
// Notice write must not reach messages that a client has seen already.
//
// Headers from outside that bear our names are removed, outside and inside the
// encryption, before ours are added.
package headers

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"mailbridge/message"
)

// ownPrefix begins the name of every field of ours.
const ownPrefix = "Mailbridge-"

// The names that the rules below know.
const (
	nameEncrypt    = "Mailbridge-Encrypt"
	nameSealed     = "Mailbridge-Sealed"
	nameAutocrypt  = "Autocrypt"
	nameGossip     = "Autocrypt-Gossip"
	nameDraftState = "Autocrypt-Draft-State" // Autocrypt Level 1: strip before sending
	nameHPOuter    = "HP-Outer"
	nameForwarded  = "X-Forwarded-Message-Id"
	nameExchangeID = "X-Microsoft-Original-Message-ID"
)

// The subject outside the encryption (RFC 9788, section 3.2.1; Delta Chat writes the same).
const outerSubject = "[...]"

// hiddenRecipients is what Delta Chat 2.62 writes as To where nobody is named.
const hiddenRecipients = `"hidden-recipients": ;`

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// own tells whether a name is one of ours.
func own(name string) bool { return hasPrefixFold(name, ownPrefix) }

// structural tells whether a field describes the MIME entity (RFC 9787, section 1.1.1).
func structural(name string) bool {
	return hasPrefixFold(name, "Content-") || strings.EqualFold(name, "MIME-Version")
}

// in tells whether names holds a name.
func in(name string, names ...string) bool {
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// unsent tells whether a client did not mean to send a field.
func unsent(name string) bool {
	return own(name) || in(name, "Bcc", "Resent-Bcc", nameDraftState)
}

// machine tells whether a field speaks to programs that do end-to-end encryption. None
// of it is for the eyes of a mail client, and from outside the encryption none of it counts.
func machine(name string) bool {
	return in(name, nameAutocrypt, nameGossip, nameDraftState, nameHPOuter) || hasPrefixFold(name, "Secure-Join")
}

// tidy gives a field in canonical form: CRLF at each line's end, no other control of
// lines, and no fold that a strict reader takes for the end of the header.
func tidy(f message.Field) message.Field {
	if isTidy(f.Raw) {
		return f
	}
	var out []byte
	for i, line := range bytes.Split(f.Raw, []byte("\n")) {
		line = bytes.TrimRight(line, "\r")
		line = bytes.ReplaceAll(bytes.ReplaceAll(line, []byte("\r"), []byte(" ")), []byte{0}, []byte(" "))
		if i > 0 && len(bytes.Trim(line, " \t")) == 0 {
			continue
		}
		out = append(append(out, line...), '\r', '\n')
	}
	return message.Field{Name: f.Name, Raw: out}
}

func isTidy(raw []byte) bool {
	n := len(raw)
	if n < 2 || raw[n-2] != '\r' || raw[n-1] != '\n' || bytes.IndexByte(raw, 0) >= 0 {
		return false
	}
	crlf := bytes.Count(raw, []byte("\r\n"))
	if crlf != bytes.Count(raw, []byte("\r")) || crlf != bytes.Count(raw, []byte("\n")) {
		return false
	}
	return crlf == 1 || !blankFold(raw)
}

// blankFold tells whether a folded field has a line of blanks only.
func blankFold(raw []byte) bool {
	for _, line := range bytes.Split(bytes.TrimSuffix(raw, []byte("\r\n")), []byte("\r\n")) {
		if len(bytes.Trim(line, " \t")) == 0 {
			return true
		}
	}
	return false
}

// assemble joins a header block and a body.
func assemble(h message.Header, body []byte) []byte {
	head := h.Bytes()
	out := make([]byte, 0, len(head)+2+len(body))
	out = append(append(out, head...), '\r', '\n')
	return append(out, body...)
}

// An edit replaces the bytes from start to end.
type edit struct {
	start, end int
	text       []byte
}

// splice carries out edits, which are in ascending order and do not overlap, inside the
// bytes of b from start to end.
func splice(b []byte, start, end int, edits []edit) []byte {
	var out []byte
	for _, e := range edits {
		if e.start < start || e.end > end {
			continue
		}
		out = append(append(out, b[start:e.start]...), e.text...)
		start = e.end
	}
	return append(out, b[start:end]...)
}

// boundary makes a boundary that depends on nothing but the contents, and that none of
// them holds.
func boundary(contents ...[]byte) string {
	sum := sha256.New()
	for _, c := range contents {
		sum.Write(c)
	}
	for {
		b := hex.EncodeToString(sum.Sum(nil)[:16])
		clash := false
		for _, c := range contents {
			clash = clash || bytes.Contains(c, []byte(b))
		}
		if !clash {
			return b
		}
		sum.Write([]byte{0})
	}
}
