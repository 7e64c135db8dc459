package pgp

import "time"

// Key is an own secret key: a primary key that certifies and signs, and its
// encryption subkeys. It is immutable and safe for concurrent use.
type Key struct {
	cert *Cert
}

// Generate makes a key for one address.
func Generate(addr string, now time.Time) (*Key, error) { return nil, ErrBadKey }

// ParseKey reads one secret key, binary or armored. A key under a passphrase
// gives ErrLocked.
func ParseKey(b []byte) (*Key, error) { return nil, ErrBadKey }

// Serialize returns the secret key in binary form, unprotected: seal it.
func (k *Key) Serialize() ([]byte, error) { return nil, ErrBadKey }

// Cert is the public half.
func (k *Key) Cert() *Cert { return k.cert }

// Fingerprint of the primary key.
func (k *Key) Fingerprint() Fingerprint { return k.cert.Fingerprint() }
