package pgp

import "time"

// EncryptOptions say to whom, by whom and when.
type EncryptOptions struct {
	Signer   *Key // nil: not signed
	To       []*Cert
	Now      time.Time
	Compress bool
}

// Encrypt encrypts a payload to certificates; the caller puts its own among
// them. The result is armored, with CRLF.
func Encrypt(payload []byte, o EncryptOptions) ([]byte, error) { return nil, ErrBadKey }
