package autocrypt

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"mailbridge/message"
	"mailbridge/pgp"
)

// Names of the header fields.
const (
	HeaderName = "Autocrypt"
	GossipName = "Autocrypt-Gossip"
)

// MaxHeader is the largest field, name and folding included, that is written
// or read: "MUST NOT be larger than 10 KiB" (Level 1, section 2.1.1).
const MaxHeader = 10 << 10

// MaxGossip bounds how many gossip fields of one message are read. Each costs
// the verification of a certificate, about 0.2 ms; there are as many as the
// message that takes somebody into the largest group brings.
const MaxGossip = 1000

var (
	// ErrInvalid: not a valid header field.
	ErrInvalid = errors.New("autocrypt: invalid header field")
	// ErrTooLarge: larger than MaxHeader.
	ErrTooLarge = errors.New("autocrypt: header field is larger than 10 KiB")
	// ErrAmbiguous: a message has more than one valid field, so none counts.
	ErrAmbiguous = errors.New("autocrypt: more than one valid header field")
)

// Prefer is the preference of a peer or of the own account.
type Prefer int

const (
	NoPreference Prefer = iota
	Mutual
)

func (p Prefer) String() string {
	if p == Mutual {
		return "mutual"
	}
	return "nopreference"
}

// ParsePrefer reads a preference. Every value but "mutual" is none
// (Level 1, section 2.1).
func ParsePrefer(s string) Prefer {
	if s == "mutual" {
		return Mutual
	}
	return NoPreference
}

// Header is the content of an Autocrypt or Autocrypt-Gossip field.
type Header struct {
	Addr          string // canonical
	PreferEncrypt Prefer
	Cert          *pgp.Cert
}

// Parse reads the value of an Autocrypt field.
func Parse(value string) (Header, error) {
	attrs, err := parseAttributes(HeaderName, value)
	if err != nil {
		return Header{}, err
	}
	h, err := attrs.header()
	h.PreferEncrypt = ParsePrefer(attrs["prefer-encrypt"])
	return h, err
}

// ParseGossip reads the value of an Autocrypt-Gossip field. A preference in
// it is nobody's and is not read (Level 1, section 2.2).
func ParseGossip(value string) (Header, error) {
	attrs, err := parseAttributes(GossipName, value)
	if err != nil {
		return Header{}, err
	}
	return attrs.header()
}

type attributes map[string]string

// parseAttributes splits a value. An attribute that is unknown and does not
// begin with "_" makes the whole field invalid (Level 1, section 2.1).
func parseAttributes(name, value string) (attributes, error) {
	if len(name)+len(": ")+len(value) > MaxHeader {
		return nil, ErrTooLarge
	}
	attrs := make(attributes)
	for item := range strings.SplitSeq(value, ";") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		key, val, found := strings.Cut(item, "=")
		key = strings.ToLower(strings.TrimSpace(key))
		if !found || key == "" {
			return nil, fmt.Errorf("%w: attribute without a value", ErrInvalid)
		}
		if _, twice := attrs[key]; twice {
			return nil, fmt.Errorf("%w: attribute named twice", ErrInvalid)
		}
		if !knownAttribute(key) && key[0] != '_' {
			return nil, fmt.Errorf("%w: unknown critical attribute", ErrInvalid)
		}
		attrs[key] = strings.TrimSpace(val)
	}
	return attrs, nil
}

func knownAttribute(key string) bool {
	return key == "addr" || key == "prefer-encrypt" || key == "keydata"
}

func (a attributes) header() (Header, error) {
	addr := message.CanonicalAddr(a["addr"])
	if !strings.Contains(addr, "@") {
		return Header{}, fmt.Errorf("%w: no address", ErrInvalid)
	}
	raw, err := base64.StdEncoding.DecodeString(withoutSpace(a["keydata"]))
	if err != nil || len(raw) == 0 {
		return Header{}, fmt.Errorf("%w: no readable key", ErrInvalid)
	}
	cert, err := pgp.ParseCert(raw)
	if err != nil {
		return Header{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return Header{Addr: addr, Cert: cert}, nil
}

func withoutSpace(s string) string {
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == '\t' || r == '\r' || r == '\n' {
			return -1
		}
		return r
	}, s)
}

// Widths of the pieces of keydata, so that a field folded before each piece
// keeps its lines within 78 characters (RFC 5322, section 2.1.1).
const (
	firstPiece = 76 - len("keydata=")
	nextPiece  = 76
)

// Value is the value of an Autocrypt field, keydata last, with blanks where
// it may be folded. It is empty if the field would be larger than MaxHeader:
// such a field must not be sent.
func (h Header) Value() string {
	prefer := ""
	if h.PreferEncrypt == Mutual {
		prefer = "prefer-encrypt=mutual; "
	}
	return h.value(HeaderName, prefer)
}

// GossipValue is the value of an Autocrypt-Gossip field; see Value.
func (h Header) GossipValue() string { return h.value(GossipName, "") }

func (h Header) value(name, prefer string) string {
	addr := message.CanonicalAddr(h.Addr)
	if h.Cert == nil || addr == "" || strings.ContainsAny(addr, "; \t\r\n") {
		return ""
	}
	var b strings.Builder
	b.WriteString("addr=" + addr + "; " + prefer + "keydata=")
	data := base64.StdEncoding.EncodeToString(h.Cert.Minimal())
	pieces := 1
	for width := firstPiece; len(data) > width; width = nextPiece {
		b.WriteString(data[:width] + " ")
		data = data[width:]
		pieces++
	}
	b.WriteString(data)
	// Folding puts CRLF in front of a blank, once per piece and attribute.
	if size := len(name) + len(": ") + b.Len() + len("\r\n")*(pieces+3); size > MaxHeader {
		return ""
	}
	return b.String()
}

// FromHeader picks the header of a message out of all its Autocrypt fields:
// the one valid field whose address is the message's From (Level 1,
// section 2.1.1). Without one it returns false, and the reason if there was
// a field. For an opened message the fields inside the encryption are given,
// and those outside only where there is none inside, as Delta Chat 2.62 does.
func FromHeader(values []string, from string) (Header, bool, error) {
	var found []Header
	var reason error
	for _, value := range values {
		h, err := Parse(value)
		if err == nil && h.Addr != message.CanonicalAddr(from) {
			err = fmt.Errorf("%w: address is not the sender's", ErrInvalid)
		}
		if err != nil {
			reason = err
			continue
		}
		if found = append(found, h); len(found) > 1 {
			return Header{}, false, ErrAmbiguous
		}
	}
	if len(found) == 0 {
		return Header{}, false, reason
	}
	return found[0], true, nil
}

// GossipFor reads the Autocrypt-Gossip fields of an opened, signed message:
// the valid ones for an address among the recipients (its inner To, Cc and
// Reply-To). Of two for one address the first counts.
func GossipFor(values, recipients []string) []Header {
	wanted := make(map[string]bool, len(recipients))
	for _, addr := range recipients {
		wanted[message.CanonicalAddr(addr)] = true
	}
	var found []Header
	for _, value := range values[:min(len(values), MaxGossip)] {
		h, err := ParseGossip(value)
		if err != nil || !wanted[h.Addr] {
			continue
		}
		wanted[h.Addr] = false
		found = append(found, h)
	}
	return found
}
