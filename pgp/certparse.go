package pgp

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// certParser gathers the packets of a certificate. A signature belongs to the
// last key or user id before it (RFC 9580, section 10.1).
type certParser struct {
	cert   *Cert
	attach func(raw rawPacket, sig *packet.Signature) // nil: to something that was dropped
	sigs   int                                        // that were verified
}

// newCert makes a certificate of public packets.
func newCert(list []rawPacket) (*Cert, error) {
	if len(list) == 0 || list[0].tag != tagPublicKey {
		return nil, fmt.Errorf("%w: it does not begin with a public key", ErrBadKey)
	}
	key, err := parsePublicKey(list[0])
	if err != nil {
		return nil, err
	}
	if !key.PubKeyAlgo.CanSign() {
		return nil, fmt.Errorf("%w: primary key cannot sign", ErrBadKey)
	}
	p := certParser{cert: &Cert{primary: component{raw: list[0], key: key}}}
	p.attach = p.toPrimary
	for _, raw := range list[1:] {
		if err := p.packet(raw); err != nil {
			return nil, err
		}
	}
	c := p.cert
	c.users = slices.DeleteFunc(c.users, func(u userID) bool { return len(u.self) == 0 })
	c.subkeys = slices.DeleteFunc(c.subkeys, func(s component) bool { return len(s.self) == 0 })
	return c.finish()
}

func parsePublicKey(raw rawPacket) (*packet.PublicKey, error) {
	parsed, err := raw.parse()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadKey, ErrUnsupported)
	}
	key, ok := parsed.(*packet.PublicKey)
	if !ok || key.Version != 4 && key.Version != 6 || !acceptable(key) {
		return nil, fmt.Errorf("%w: %w", ErrBadKey, ErrUnsupported)
	}
	return key, nil
}

// The bounds on RSA: what no longer protects, and what only keeps the
// processor of its reader busy.
const (
	minRSA = 2047 // bits; some moduli of 2048 bits begin with a zero
	maxRSA = 16384
)

// acceptable refuses keys that protect nothing, and those that make checking
// a signature expensive, before the first check: short and huge RSA, DSA and
// ElGamal, and curves outside RFC 9580.
func acceptable(key *packet.PublicKey) bool {
	switch key.PubKeyAlgo {
	case packet.PubKeyAlgoElGamal, packet.PubKeyAlgoDSA:
		return false
	case packet.PubKeyAlgoRSA, packet.PubKeyAlgoRSAEncryptOnly, packet.PubKeyAlgoRSASignOnly:
		bits, err := key.BitLength()
		return err == nil && bits >= minRSA && bits <= maxRSA
	case packet.PubKeyAlgoECDH, packet.PubKeyAlgoECDSA, packet.PubKeyAlgoEdDSA:
		curve, err := key.Curve()
		return err == nil && curve != packet.CurveSecP256k1
	}
	return true
}

func (p *certParser) packet(raw rawPacket) error {
	switch raw.tag {
	case tagPublicKey, tagSecretKey:
		return fmt.Errorf("%w: more than one key", ErrBadKey)
	case tagPublicSubkey:
		return p.subkey(raw)
	case tagUserID:
		return p.userID(raw)
	case tagUserAttr:
		p.attach = nil
	case tagSignature:
		return p.signature(raw)
	case tagTrust: // local to a keyring
	default:
		if !raw.ignorable() {
			return fmt.Errorf("%w: it holds a packet of type %d", ErrBadKey, raw.tag)
		}
	}
	return nil
}

func (p *certParser) subkey(raw rawPacket) error {
	p.attach = nil
	key, err := parsePublicKey(raw)
	if err != nil || key.Version != p.cert.primary.key.Version {
		return nil // of a kind that we cannot use
	}
	if len(p.cert.subkeys) == maxSubkeys {
		return fmt.Errorf("%w: more than %d subkeys", ErrTooLarge, maxSubkeys)
	}
	p.cert.subkeys = append(p.cert.subkeys, component{raw: raw, key: key})
	p.attach = p.toSubkey
	return nil
}

func (p *certParser) userID(raw rawPacket) error {
	if len(p.cert.users) == maxUserIDs {
		return fmt.Errorf("%w: more than %d user ids", ErrTooLarge, maxUserIDs)
	}
	p.cert.users = append(p.cert.users, userID{raw: raw})
	p.attach = p.toUser
	return nil
}

func (p *certParser) signature(raw rawPacket) error {
	if p.attach == nil {
		return nil
	}
	parsed, err := raw.parse()
	if err != nil {
		return nil // of a version or algorithm that we cannot use
	}
	sig, ok := parsed.(*packet.Signature)
	if !ok || !sig.CheckKeyIdOrFingerprint(p.cert.primary.key) || hasUnknownCritical(sig) {
		return nil
	}
	if p.sigs++; p.sigs > maxSelfSigs {
		return fmt.Errorf("%w: more than %d self-signatures", ErrTooLarge, maxSelfSigs)
	}
	p.attach(raw, sig)
	return nil
}

// hasUnknownCritical says whether a notation must be understood and is not
// (RFC 9580, section 5.2.3.24). Unknown critical subpackets do not get here.
func hasUnknownCritical(sig *packet.Signature) bool {
	return slices.ContainsFunc(sig.Notations, func(n *packet.Notation) bool { return n.IsCritical })
}

func (p *certParser) toPrimary(raw rawPacket, sig *packet.Signature) {
	c := &p.cert.primary
	switch sig.SigType {
	case packet.SigTypeDirectSignature:
		c.self = keep(c.self, raw, sig, c.key.VerifyDirectKeySignature(sig))
	case packet.SigTypeKeyRevocation:
		c.revocations = keep(c.revocations, raw, sig, c.key.VerifyRevocationSignature(sig))
	}
}

func (p *certParser) toUser(raw rawPacket, sig *packet.Signature) {
	u, key := &p.cert.users[len(p.cert.users)-1], p.cert.primary.key
	id := string(u.raw.body)
	switch sig.SigType {
	case packet.SigTypeGenericCert, packet.SigTypePersonaCert, packet.SigTypeCasualCert, packet.SigTypePositiveCert:
		u.self = keep(u.self, raw, sig, key.VerifyUserIdSignature(id, key, sig))
	case packet.SigTypeCertificationRevocation:
		u.revocations = keep(u.revocations, raw, sig, key.VerifyUserIdSignature(id, key, sig))
	}
}

func (p *certParser) toSubkey(raw rawPacket, sig *packet.Signature) {
	s, key := &p.cert.subkeys[len(p.cert.subkeys)-1], p.cert.primary.key
	switch sig.SigType {
	case packet.SigTypeSubkeyBinding: // with the back signature of a signing subkey
		s.self = keep(s.self, raw, sig, key.VerifyKeySignature(s.key, sig))
	case packet.SigTypeSubkeyRevocation:
		s.revocations = keep(s.revocations, raw, sig, key.VerifySubkeyRevocationSignature(sig, s.key))
	}
}

// keep appends a signature that verified, once.
func keep(list []selfSig, raw rawPacket, sig *packet.Signature, err error) []selfSig {
	if err != nil || slices.ContainsFunc(list, func(s selfSig) bool { return bytes.Equal(s.raw.body, raw.body) }) {
		return list
	}
	return append(list, selfSig{raw, sig})
}
