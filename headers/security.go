package headers

import (
	"fmt"
	"net/url"
	"strings"

	"mailbridge/message"
)

// SecurityName is the field that tells a mail client what was found out about a message.
const SecurityName = "Mailbridge-Security"

// Security is the value of Mailbridge-Security.
type Security struct {
	Encryption  string // openpgp, none
	Signature   string // good, bad, unknown, none
	Signer      string // address
	Fingerprint string
	Trust       string   // verified, introduced, autocrypt, gossip, none
	Warnings    []string // from-mismatch, key-changed, damaged, unauthenticated, errant-layer, not-a-member
}

// String gives the value as one line of key=value pairs.
func (s Security) String() string {
	var b strings.Builder
	put := func(key, value string) {
		if value == "" {
			return
		}
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		b.WriteString(key + "=" + escape(value))
	}
	put("encryption", s.Encryption)
	put("signature", s.Signature)
	put("signer", s.Signer)
	put("fingerprint", s.Fingerprint)
	put("trust", s.Trust)
	for _, w := range s.Warnings {
		put("warning", w)
	}
	return b.String()
}

// ParseSecurity reads what String wrote; ok is false for anything else.
func ParseSecurity(value string) (s Security, ok bool) {
	for _, pair := range strings.Split(value, ";") {
		key, v, found := strings.Cut(strings.TrimSpace(pair), "=")
		v, err := url.PathUnescape(v)
		if !found || err != nil {
			return Security{}, false
		}
		switch key {
		case "encryption":
			s.Encryption = v
		case "signature":
			s.Signature = v
		case "signer":
			s.Signer = v
		case "fingerprint":
			s.Fingerprint = v
		case "trust":
			s.Trust = v
		case "warning":
			s.Warnings = append(s.Warnings, v)
		default:
			return Security{}, false
		}
	}
	return s, s.Encryption != ""
}

// escape keeps a value from ending its pair or its line: an address may hold anything.
func escape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`;=%"`, c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// field gives the whole field on a line of its own.
func (s Security) field() message.Field {
	return message.RawField([]byte(SecurityName + ": " + s.String() + "\r\n"))
}

// SignedPrefix gives what is served in front of a message that stays as it is, as one that
// was signed and not encrypted does. It precedes the header block, which no signature
// covers (RFC 3156, section 5).
func SignedPrefix(s Security) []byte { return s.field().Raw }

// NeutraliseForged changes the first letter of each field name of ours in the header of a
// message that is not opened, so that size and offsets stay. It gives msg itself if there
// is none. A name after a carriage return alone counts, too: some clients end a line there.
func NeutraliseForged(msg []byte) []byte {
	out, copied := msg, false
	for i, n := 0, message.HeaderSize(msg); i < n; i++ {
		if i > 0 && msg[i-1] != '\n' && msg[i-1] != '\r' || !hasOwnPrefix(msg[i:n]) {
			continue
		}
		if !copied {
			out, copied = append([]byte(nil), msg...), true
		}
		out[i] += 'X' - 'M'
	}
	return out
}

func hasOwnPrefix(b []byte) bool {
	return len(b) >= len(ownPrefix) && strings.EqualFold(string(b[:len(ownPrefix)]), ownPrefix)
}
