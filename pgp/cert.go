package pgp

import (
	"crypto"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Limits of a certificate from outside. The largest honest ones are keyring
// exports with years of re-signed user ids.
const (
	maxCertSize    = 1 << 20 // bytes; third parties' signatures make up nearly all of a large one
	maxCertPackets = 4096
	maxSubkeys     = 64
	maxUserIDs     = 64
	maxSelfSigs    = 128 // verified, at 60 µs each with Ed25519, milliseconds with the slowest
)

// Cert is a public certificate (RFC 9580, section 10.1). It holds only what
// its own primary key has signed, is immutable and safe for concurrent use.
type Cert struct {
	bytes       []byte
	fingerprint Fingerprint
	primary     component
	users       []userID
	subkeys     []component
}

// component is a primary key or a subkey with what the primary key says
// about it: direct-key signatures, or bindings.
type component struct {
	raw         rawPacket
	key         *packet.PublicKey
	self        []selfSig
	revocations []selfSig
}

// userID is a user id with its certifications by the primary key.
type userID struct {
	raw         rawPacket
	self        []selfSig
	revocations []selfSig
}

// selfSig is a verified signature by the primary key.
type selfSig struct {
	raw rawPacket
	sig *packet.Signature
}

// ParseCert reads one certificate, binary or armored. Self-signatures are
// checked; user ids and subkeys without a valid one, third parties'
// signatures and user attributes are dropped.
func ParseCert(b []byte) (*Cert, error) {
	list, err := certPackets(armorPublic, b)
	if err != nil {
		return nil, err
	}
	return newCert(list)
}

func certPackets(kind string, b []byte) ([]rawPacket, error) {
	if len(b) > 2*maxCertSize {
		return nil, fmt.Errorf("%w: more than %d bytes in a key", ErrTooLarge, maxCertSize)
	}
	data, err := dearmor(kind, b)
	if err != nil {
		return nil, badKey(err)
	}
	if len(data) > maxCertSize {
		return nil, fmt.Errorf("%w: more than %d bytes in a key", ErrTooLarge, maxCertSize)
	}
	list, err := splitPackets(data, maxCertPackets)
	if err != nil {
		return nil, badKey(err)
	}
	return list, nil
}

// badKey makes an error about packets one about a key.
func badKey(err error) error { return fmt.Errorf("%w: %w", ErrBadKey, err) }

// Bytes is the binary form. Do not change it.
func (c *Cert) Bytes() []byte { return c.bytes }

// Armor is the ASCII-armored form, with CRLF.
func (c *Cert) Armor() string { return string(enarmor(armorPublic, c.bytes)) }

// Fingerprint of the primary key.
func (c *Cert) Fingerprint() Fingerprint { return c.fingerprint }

// Created is when the primary key was made.
func (c *Cert) Created() time.Time { return c.primary.key.CreationTime }

// Addresses are the addr-specs of the user ids, in their order, as written.
func (c *Cert) Addresses() []string {
	var list []string
	for _, u := range c.users {
		if a := addrSpec(string(u.raw.body)); a != "" && !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}

// addrSpec takes the address out of a user id, "Name <address>" or the
// address alone (RFC 9580, section 5.11).
func addrSpec(id string) string {
	if i := strings.LastIndexByte(id, '<'); i >= 0 {
		if j := strings.IndexByte(id[i:], '>'); j > 0 {
			id = id[i+1 : i+j]
		}
	}
	if strings.IndexByte(id, '@') <= 0 || strings.ContainsFunc(id, notInAddress) {
		return ""
	}
	return id
}

func notInAddress(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune("<>(),;", r) }

// CanEncrypt says whether mail can be encrypted to the certificate at a time.
func (c *Cert) CanEncrypt(now time.Time) bool {
	_, err := c.encryptionKey(now)
	return err == nil
}

// SupportsSEIPDv2 says whether the owner announces that it reads version 2
// encrypted data packets (RFC 9580, section 5.2.3.32).
func (c *Cert) SupportsSEIPDv2() bool {
	return slices.ContainsFunc(c.properties(time.Time{}), func(s *packet.Signature) bool { return s.SEIPDv2 })
}

// Minimal is the certificate cut down to what an Autocrypt header needs:
// primary key, user id, its self-signature, one encryption subkey, its
// binding (Autocrypt Level 1, section 2.1.1). Revocations stay, or whoever
// knows the certificate only from here would use a revoked key.
func (c *Cert) Minimal() []byte {
	small := &Cert{primary: component{raw: c.primary.raw, key: c.primary.key, revocations: c.primary.revocations}}
	if len(c.users) > 0 {
		u := c.users[c.mainUser(time.Time{})]
		small.users = []userID{{raw: u.raw, self: newest(u.self), revocations: u.revocations}}
	} else { // a version 6 key needs no user id (RFC 9580, section 10.1.1)
		small.primary.self = newest(c.primary.self)
	}
	if s := c.minimalSubkey(); s != nil {
		small.subkeys = []component{{raw: s.raw, key: s.key, self: newest(s.self), revocations: s.revocations}}
	}
	return small.serialize(nil)
}

func (c *Cert) minimalSubkey() *component {
	if s := c.encryptionSubkey(time.Time{}); s != nil || len(c.subkeys) == 0 {
		return s
	}
	return &c.subkeys[0] // none is in use; keep the shape
}

// newest is the last made of the signatures.
func newest(sigs []selfSig) []selfSig {
	if s := effective(sigs, time.Time{}); s != nil {
		return []selfSig{*s}
	}
	return nil
}

// serialize writes the packets in the order of RFC 9580, section 10.1, with
// the secret packets of a key in place of the public ones.
func (c *Cert) serialize(secret map[Fingerprint]rawPacket) []byte {
	var b []byte
	write := func(head rawPacket, key *packet.PublicKey, lists ...[]selfSig) {
		if key != nil {
			if s, ok := secret[newFingerprint(key.Fingerprint)]; ok {
				head = s
			}
		}
		b = head.append(b)
		for _, list := range lists {
			for _, s := range list {
				b = s.raw.append(b)
			}
		}
	}
	write(c.primary.raw, c.primary.key, c.primary.revocations, c.primary.self)
	for _, u := range c.users {
		write(u.raw, nil, u.revocations, u.self)
	}
	for _, s := range c.subkeys {
		write(s.raw, s.key, s.revocations, s.self)
	}
	return b
}

// finish checks that a certificate is whole and freezes it.
func (c *Cert) finish() (*Cert, error) {
	if c.primary.key.Version == 6 && len(c.primary.self) == 0 {
		return nil, fmt.Errorf("%w: no direct-key signature", ErrBadKey) // RFC 9580, section 10.1.1
	}
	if c.primary.key.Version < 6 && len(c.users) == 0 {
		return nil, fmt.Errorf("%w: no user id that it signed itself", ErrBadKey)
	}
	c.fingerprint = newFingerprint(c.primary.key.Fingerprint)
	c.bytes = c.serialize(nil)
	return c, nil
}

// hashFor is the hash that the signer's algorithm asks for (RFC 9580,
// section 5.2.3): SHA-256 except for the large curves.
func hashFor(key *packet.PublicKey) crypto.Hash {
	curve, _ := key.Curve()
	switch {
	case key.PubKeyAlgo == packet.PubKeyAlgoEd448, curve == packet.Curve448, curve == packet.CurveNistP521:
		return crypto.SHA512
	case curve == packet.CurveNistP384:
		return crypto.SHA384
	}
	return crypto.SHA256
}
