package pgp

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// Fingerprint names a primary key: upper-case hex, 40 digits for a version 4
// key and 64 for a version 6 key.
type Fingerprint string

// ParseFingerprint reads a fingerprint as people write it: any case, with
// blanks, colons or a leading 0x.
func ParseFingerprint(s string) (Fingerprint, error) {
	s = strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(s), "0x"), "0X")
	s = strings.NewReplacer(" ", "", "\u00a0", "", ":", "", "\t", "").Replace(s)
	if len(s) != 40 && len(s) != 64 {
		return "", fmt.Errorf("%w: fingerprint has %d digits, not 40 or 64", ErrBadKey, len(s))
	}
	raw, err := hex.DecodeString(s)
	if err != nil {
		return "", fmt.Errorf("%w: fingerprint has a character that is no hex digit", ErrBadKey)
	}
	return newFingerprint(raw), nil
}

func newFingerprint(raw []byte) Fingerprint {
	return Fingerprint(strings.ToUpper(hex.EncodeToString(raw)))
}

// Grouped is the fingerprint in groups of four digits, for people to compare.
func (f Fingerprint) Grouped() string {
	var b strings.Builder
	for i := 0; i < len(f); i += 4 {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(string(f[i:min(i+4, len(f))]))
	}
	return b.String()
}

// IsIssuer says whether a claimed issuer of a signature, which may be a mere
// key id, can be this key. It proves nothing.
func (f Fingerprint) IsIssuer(claimed Fingerprint) bool {
	switch {
	case len(claimed) != 16:
		return f == claimed
	case len(f) == 40: // RFC 9580, section 5.5.4
		return strings.HasSuffix(string(f), string(claimed))
	}
	return strings.HasPrefix(string(f), string(claimed))
}
