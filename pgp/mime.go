package pgp

import (
	"time"

	"mailbridge/message"
)

// Form is the shape in which ciphertext lies in a mail.
type Form int

const (
	FormNone        Form = iota
	FormProper           // multipart/encrypted, RFC 3156, section 4
	FormMixedUp          // multipart/mixed with an empty text part in front, as Exchange makes it
	FormListWrapped      // a list's: the encrypted part first, then nothing but text/plain
)

// SplitEncrypted finds the ciphertext of a PGP/MIME mail.
func SplitEncrypted(msg []byte, root *message.Part) (ciphertext []byte, form Form, ok bool) {
	return nil, FormNone, false
}

// InlineArmor returns the armored message that is the whole of a text.
func InlineArmor(text []byte) ([]byte, bool) { return nil, false }

// JoinEncrypted makes a PGP/MIME mail of an outer header block (without the
// empty line, MIME-Version and Content-* fields) and an armored message.
func JoinEncrypted(outer, ciphertext []byte, boundary string) []byte { return nil }

// VerifySigned checks a multipart/signed mail (RFC 3156, section 5).
func VerifySigned(msg []byte, root *message.Part, certs func(issuers []Fingerprint) []*Cert, now time.Time) (Signature, error) {
	return Signature{}, ErrDamaged
}
