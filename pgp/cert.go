package pgp

import "time"

// Cert is a public certificate (RFC 9580, section 10.1). It holds only what
// its own primary key has signed, is immutable and safe for concurrent use.
type Cert struct {
	bytes       []byte
	fingerprint Fingerprint
}

// ParseCert reads one certificate, binary or armored.
func ParseCert(b []byte) (*Cert, error) { return nil, ErrBadKey }

// Bytes is the binary form.
func (c *Cert) Bytes() []byte { return c.bytes }

// Armor is the ASCII-armored form, with CRLF.
func (c *Cert) Armor() string { return "" }

// Fingerprint of the primary key.
func (c *Cert) Fingerprint() Fingerprint { return c.fingerprint }

// Addresses are the addr-specs of the user ids, in their order.
func (c *Cert) Addresses() []string { return nil }

// CanEncrypt says whether mail can be encrypted to the certificate at a time.
func (c *Cert) CanEncrypt(now time.Time) bool { return false }

// SupportsSEIPDv2 says whether the owner announces that it reads version 2
// encrypted data packets (RFC 9580, section 5.2.3.32).
func (c *Cert) SupportsSEIPDv2() bool { return false }

// Minimal is the certificate cut down to what an Autocrypt header needs:
// primary key, user id, its self-signature, one encryption subkey, its
// binding (Autocrypt Level 1, section 2.1.1).
func (c *Cert) Minimal() []byte { return nil }
