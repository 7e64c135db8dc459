package pgp

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Key is an own secret key: a primary key that certifies and signs, and its
// encryption subkeys. It is immutable and safe for concurrent use.
type Key struct {
	cert    *Cert
	bytes   []byte // binary, not protected
	signer  *packet.PrivateKey
	decrypt []*packet.PrivateKey // those that decrypt, in the certificate's order
}

// maxUserID bounds the address in a new key: longer than any address that
// SMTP can carry (RFC 5321, section 4.5.3.1).
const maxUserID = 320

// Generate makes a key for one address, of the shape that Delta Chat 2.62
// makes and every Autocrypt program reads: version 4, an Ed25519 primary key
// that certifies and signs, one Curve25519 subkey that decrypts, the user id
// "<address>", no expiry.
func Generate(addr string, now time.Time) (*Key, error) {
	if len(addr) > maxUserID || strings.ContainsFunc(addr, notInAddress) || !strings.Contains(addr, "@") {
		return nil, fmt.Errorf("%w: %q is not an address", ErrBadKey, addr)
	}
	// A salt notation would set our signatures apart from everybody else's;
	// it guards Ed25519 against faults of the hardware only.
	noSalt := false
	config := &packet.Config{
		Algorithm:                             packet.PubKeyAlgoEdDSA,
		Curve:                                 packet.Curve25519,
		DefaultCipher:                         packet.CipherAES256,
		DefaultCompressionAlgo:                packet.CompressionZLIB,
		AEADConfig:                            &packet.AEADConfig{DefaultMode: packet.AEADModeOCB},
		NonDeterministicSignaturesViaNotation: &noSalt,
		Time:                                  func() time.Time { return now },
	}
	e, err := openpgp.NewEntity("", "", addr, config)
	if err != nil {
		return nil, badKey(err)
	}
	var b bytes.Buffer
	if err := e.SerializePrivateWithoutSigning(&b, config); err != nil {
		return nil, badKey(err)
	}
	return ParseKey(b.Bytes())
}

// ParseKey reads one secret key, binary or armored. A key under a passphrase
// gives ErrLocked.
func ParseKey(b []byte) (*Key, error) {
	list, err := certPackets(armorPrivate, b)
	if err != nil {
		return nil, err
	}
	secret := make(map[Fingerprint]*packet.PrivateKey)
	raw := make(map[Fingerprint]rawPacket)
	for i, p := range list {
		if p.tag != tagSecretKey && p.tag != tagSecretSubkey {
			continue
		}
		key, public, err := parseSecret(p)
		if err != nil {
			return nil, err
		}
		f := newFingerprint(key.Fingerprint)
		secret[f], raw[f], list[i] = key, p, public
	}
	cert, err := newCert(list)
	if err != nil {
		return nil, err
	}
	return newKey(cert, secret, raw)
}

func newKey(cert *Cert, secret map[Fingerprint]*packet.PrivateKey, raw map[Fingerprint]rawPacket) (*Key, error) {
	k := &Key{cert: cert, signer: secret[cert.fingerprint], bytes: cert.serialize(raw)}
	if k.signer == nil || k.signer.Dummy() {
		return nil, fmt.Errorf("%w: the secret part of the primary key is missing", ErrBadKey)
	}
	for _, c := range append([]component{cert.primary}, cert.subkeys...) {
		s := secret[newFingerprint(c.key.Fingerprint)]
		if s != nil && !s.Dummy() && s.PubKeyAlgo.CanEncrypt() {
			k.decrypt = append(k.decrypt, s)
		}
	}
	return k, nil
}

// parseSecret splits a secret key packet into the key and its public packet.
func parseSecret(p rawPacket) (*packet.PrivateKey, rawPacket, error) {
	parsed, err := p.parse()
	if err != nil {
		return nil, p, fmt.Errorf("%w: %w", ErrBadKey, ErrUnsupported)
	}
	key, ok := parsed.(*packet.PrivateKey)
	if !ok {
		return nil, p, ErrBadKey
	}
	if key.Encrypted && !key.Dummy() {
		return nil, p, ErrLocked
	}
	var b bytes.Buffer
	if err := key.PublicKey.Serialize(&b); err != nil {
		return nil, p, badKey(err)
	}
	public, _, err := nextPacket(b.Bytes())
	return key, public, err
}

// Serialize returns the secret key in binary form, unprotected: seal it.
func (k *Key) Serialize() ([]byte, error) { return bytes.Clone(k.bytes), nil }

// Armor is the secret key in ASCII armor, unprotected, as a Delta Chat app
// exports and imports it.
func (k *Key) Armor() string { return string(enarmor(armorPrivate, k.bytes)) }

// Cert is the public half.
func (k *Key) Cert() *Cert { return k.cert }

// Fingerprint of the primary key.
func (k *Key) Fingerprint() Fingerprint { return k.cert.Fingerprint() }

// String keeps the secret out of logs.
func (k *Key) String() string { return "pgp key " + string(k.Fingerprint()) }

// GoString keeps the secret out of logs.
func (k *Key) GoString() string { return k.String() }
