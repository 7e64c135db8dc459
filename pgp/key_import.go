package pgp

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Why a key that somebody exported cannot become an own key. All of them are
// ErrBadKey, too.
var (
	ErrPublicOnly   = fmt.Errorf("%w: it is a public key only", ErrBadKey)
	ErrSeveralKeys  = fmt.Errorf("%w: there is more than one key", ErrBadKey)
	ErrPassphrase   = fmt.Errorf("%w: the passphrase is wrong", ErrBadKey)
	ErrExpired      = fmt.Errorf("%w: it has expired", ErrBadKey)
	ErrRevoked      = fmt.Errorf("%w: it was revoked", ErrBadKey)
	ErrCannotSign   = fmt.Errorf("%w: the primary key cannot sign", ErrBadKey)
	ErrNoEncryption = fmt.Errorf("%w: there is no subkey that mail can be encrypted to", ErrBadKey)
)

// ImportKey reads one secret key that another program has exported, binary or
// armored, and checks that it can be used from now on: the primary key signs,
// since Delta Chat 2.62 takes no other signature, and mail can be encrypted to
// it and opened again. The passphrase may be empty; where the key needs one
// and none is given the error is ErrLocked.
func ImportKey(b, passphrase []byte, now time.Time) (*Key, error) {
	plain, err := unlockKey(b, passphrase)
	if err != nil {
		return nil, err
	}
	k, err := ParseKey(plain)
	if err != nil {
		return nil, err
	}
	if err := k.usable(now); err != nil {
		return nil, err
	}
	return k, nil
}

// unlockKey gives the packets of an exported key without its passphrase.
func unlockKey(b, passphrase []byte) ([]byte, error) {
	if bytes.Count(b, []byte(armorBegin+armorPrivate+armorDash)) > 1 {
		return nil, ErrSeveralKeys
	}
	list, err := certPackets(armorPrivate, b)
	if err != nil {
		if _, public := ParseCert(b); public == nil {
			return nil, ErrPublicOnly
		}
		return nil, err
	}
	var plain []byte
	for i, p := range list {
		switch {
		case p.tag == tagPublicKey && i == 0:
			return nil, ErrPublicOnly
		case i > 0 && (p.tag == tagSecretKey || p.tag == tagPublicKey):
			return nil, ErrSeveralKeys
		case p.tag == tagSecretKey || p.tag == tagSecretSubkey:
			if p, err = unlockPacket(p, passphrase); err != nil {
				return nil, err
			}
		}
		plain = p.append(plain)
	}
	return plain, nil
}

// unlockPacket takes the passphrase off a secret key. One whose secret part
// is kept elsewhere, as on a card, stays as it is.
func unlockPacket(p rawPacket, passphrase []byte) (rawPacket, error) {
	parsed, err := p.parse()
	if err != nil {
		return p, fmt.Errorf("%w: %w", ErrBadKey, ErrUnsupported)
	}
	key, ok := parsed.(*packet.PrivateKey)
	switch {
	case !ok:
		return p, ErrBadKey
	case key.Dummy() || !key.Encrypted:
		return p, nil
	case len(passphrase) == 0:
		return p, ErrLocked
	case tooCostly(p, key):
		return p, badKey(ErrTooLarge)
	}
	if err := key.Decrypt(passphrase); err != nil {
		return p, ErrPassphrase
	}
	var b bytes.Buffer
	if err := key.Serialize(&b); err != nil {
		return p, badKey(err)
	}
	plain, _, err := nextPacket(b.Bytes())
	return plain, err
}

// The bounds on Argon2, which a file may ask for with 2 TiB and 255 passes: those that RFC 9106,
// section 4 recommends, and some more passes.
const (
	maxArgonMemory = 21 // as a power of two, in KiB
	maxArgonPasses = 16
)

// tooCostly says whether to take the passphrase off a key would take more memory or time than there
// is. What says so follows the public part (RFC 9580, sections 5.5.3 and 3.7.1.4).
func tooCostly(p rawPacket, key *packet.PrivateKey) bool {
	var public bytes.Buffer
	if err := key.PublicKey.Serialize(&public); err != nil {
		return true
	}
	head, _, err := nextPacket(public.Bytes())
	if err != nil || len(p.body) < len(head.body) {
		return true
	}
	const usageAEAD, argon2, saltSize = 253, 4, 16
	b := p.body[len(head.body):]
	if len(b) == 0 || b[0] != usageAEAD {
		return false // Argon2 is for that usage alone
	}
	s2k := 3 // behind usage, cipher and mode
	if key.Version == 6 {
		s2k = 5 // and two lengths
	}
	passes, memory := s2k+1+saltSize, s2k+1+saltSize+2
	return len(b) > memory && b[s2k] == argon2 && (b[passes] > maxArgonPasses || b[memory] > maxArgonMemory)
}

// usable says why a key cannot be used. What its flags and dates promise is
// tried: the secret parts may be of another key.
func (k *Key) usable(now time.Time) error {
	c := k.cert
	expires, ends := c.Expires()
	switch {
	case c.Revoked(now):
		return ErrRevoked
	case ends && !now.Before(expires):
		return ErrExpired
	case !c.mayVerify(&c.primary, now):
		return ErrCannotSign
	}
	if _, err := c.encryptionKey(now); err != nil {
		return errors.Join(ErrNoEncryption, err)
	}
	const text = "mailbridge"
	sealed, err := Encrypt([]byte(text), EncryptOptions{Signer: k, To: []*Cert{c}, Now: now})
	if err != nil {
		return badKey(err)
	}
	certs := func([]byte, []Fingerprint) []*Cert { return []*Cert{c} }
	opened, err := Open(sealed, OpenOptions{Keys: []*Key{k}, Certs: certs, Now: now})
	switch {
	case err != nil || !slices.Equal(opened.Payload, []byte(text)):
		return ErrNoEncryption
	case opened.Signature.State != SignatureGood:
		return ErrCannotSign
	}
	return nil
}
