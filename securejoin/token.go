package securejoin

import (
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"io"

	"mailbridge/pgp"
)

// Lengths of a token that counts: Delta Chat 2.62 makes 24 characters and
// accepts these.
const (
	minToken = 11
	maxToken = 32
)

// NewToken makes an AUTH or INVITENUMBER: 144 random bits, 24 characters.
func NewToken(rand io.Reader) (string, error) {
	var raw [18]byte
	if _, err := io.ReadFull(rand, raw[:]); err != nil {
		return "", fmt.Errorf("securejoin: make a token: %w", err)
	}
	raw[0] &= 0x7f // never begins with "-": a command line would take it for a flag
	return base64.RawURLEncoding.EncodeToString(raw[:]), nil
}

func validToken(s string) bool {
	return len(s) >= minToken && len(s) <= maxToken && tokenAlphabet(s)
}

// tokenAlphabet: the characters of tokens and secrets.
func tokenAlphabet(s string) bool {
	for _, c := range []byte(s) {
		if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// Secret is the shared secret with which the first two messages of a v3
// handshake are encrypted.
func Secret(fpr pgp.Fingerprint, auth string) string {
	return "securejoin/" + string(fpr) + "/" + auth
}

// Proof names the secret that opened a symmetric message: the inviter's
// fingerprint and the AUTH.
type Proof struct {
	Fingerprint pgp.Fingerprint
	Auth        string
}

// Secret is the shared secret itself.
func (p Proof) Secret() string { return Secret(p.Fingerprint, p.Auth) }

// String keeps the AUTH out of logs.
func (p Proof) String() string { return "secret of " + string(p.Fingerprint) }

// same compares secrets in constant time.
func same(a, b string) bool {
	return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}
