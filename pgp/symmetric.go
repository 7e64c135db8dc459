package pgp

import "time"

// SymmetricOptions say by whom and when.
type SymmetricOptions struct {
	Signer   *Key // nil: not signed
	Now      time.Time
	Compress bool
}

// EncryptSymmetric encrypts a payload with a shared secret of high entropy in
// the form of SecureJoin v3 and of channels.
func EncryptSymmetric(payload []byte, secret string, o SymmetricOptions) ([]byte, error) {
	return nil, ErrBadKey
}

// OpenSymmetric opens a message in the form that EncryptSymmetric writes with
// the first of the secrets that fits; Opened.Secret is its index. Any other
// form is refused before any secret is tried.
func OpenSymmetric(ciphertext []byte, secrets []string, o OpenOptions) (*Opened, error) {
	return nil, ErrDamaged
}
