package pgp

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// OpenOptions say what a message may be opened with.
type OpenOptions struct {
	// Keys are the own secret keys. OpenSymmetric needs them only to see
	// whether a signature names us.
	Keys []*Key
	// Certs finds candidate signers. It is called only after the integrity
	// of the whole message was checked, with the payload (an Autocrypt
	// header may be inside) and the issuers that the signatures claim.
	Certs func(payload []byte, issuers []Fingerprint) []*Cert
	// Now is the time of arrival, or the present; only signatures that carry
	// an expiry of their own look at it.
	Now time.Time
	// MaxSize bounds the payload after decompression; 0 means 128 MiB, more
	// than any provider takes.
	MaxSize int64
}

const defaultMaxSize = 128 << 20

func (o OpenOptions) maxSize() int64 {
	if o.MaxSize > 0 {
		return o.MaxSize
	}
	return defaultMaxSize
}

// Opened is a message that was decrypted to its end.
type Opened struct {
	Payload   []byte
	Signature Signature
	// Intended are the recipients that a good signature names
	// (RFC 9580, section 5.2.3.36).
	Intended []Fingerprint
	// IntendedForUs is false if a good signature names recipients and none
	// of our keys is among them: somebody passed on what was meant for
	// others.
	IntendedForUs bool
	// Symmetric says that a shared secret opened it, and Secret which.
	Symmetric bool
	Secret    int
}

// Open opens a message encrypted to one of our keys. Nothing is handed out
// before the last byte was checked.
func Open(ciphertext []byte, o OpenOptions) (*Opened, error) {
	m, err := parseMessage(ciphertext)
	if err != nil {
		return nil, err
	}
	data, err := m.decrypt(o.Keys)
	if err != nil {
		return nil, err
	}
	return finishOpen(data, o)
}

// decrypt tries the session keys in turn. Those without a recipient are
// tried with every key of ours.
func (m container) decrypt(keys []*Key) ([]byte, error) {
	failure := ErrNoKey
	for _, raw := range m.esks {
		if raw.tag != tagPKESK || len(raw.body) == 0 || !fits(raw.body[0], m.data[0]) {
			continue
		}
		for _, k := range keys {
			for _, priv := range k.decrypt {
				data, err := m.tryKey(raw, priv)
				if err == nil {
					return data, nil
				}
				if !errors.Is(err, ErrNoKey) {
					failure = err
				}
			}
		}
	}
	return nil, failure
}

// fits: version 3 session keys go with version 1 encrypted data, 6 with 2
// (RFC 9580, section 10.3.2.1).
func fits(esk, data byte) bool { return esk == 3 && data == 1 || esk == 6 && data == 2 }

func (m container) tryKey(raw rawPacket, priv *packet.PrivateKey) ([]byte, error) {
	parsed, err := raw.parse() // anew each time: Decrypt keeps what it found
	if err != nil {
		return nil, ErrNoKey
	}
	esk, ok := parsed.(*packet.EncryptedKey)
	if !ok || esk.KeyId != 0 && esk.KeyId != priv.KeyId || esk.Algo != priv.PubKeyAlgo {
		return nil, ErrNoKey
	}
	if err := esk.Decrypt(priv, nil); err != nil {
		if esk.KeyId != 0 {
			return nil, fmt.Errorf("%w: the session key does not decrypt", ErrDamaged)
		}
		return nil, ErrNoKey
	}
	return decryptData(m.data, esk.CipherFunc, esk.Key)
}

// decryptData decrypts the body of an encrypted data packet to its end and
// checks it; only then anything comes out.
func decryptData(body []byte, cipher packet.CipherFunction, sessionKey []byte) ([]byte, error) {
	parsed, err := rawPacket{tagSEIPD, body}.parse()
	if err != nil {
		return nil, fmt.Errorf("%w: encrypted data", ErrUnsupported)
	}
	se, ok := parsed.(*packet.SymmetricallyEncrypted)
	if !ok || !se.IntegrityProtected {
		return nil, fmt.Errorf("%w: encrypted data", ErrUnsupported)
	}
	r, err := se.Decrypt(cipher, sessionKey)
	if err != nil {
		return nil, errIntegrity
	}
	var b bytes.Buffer
	b.Grow(len(body) + bytes.MinRead)
	if _, err := b.ReadFrom(r); err != nil {
		return nil, errIntegrity
	}
	if err := r.Close(); err != nil {
		return nil, errIntegrity
	}
	return b.Bytes(), nil
}

// errIntegrity says nothing about where a check failed: that would be an
// oracle for whoever sees the answer.
var errIntegrity = fmt.Errorf("%w: the integrity check failed", ErrDamaged)

// finishOpen reads the packets inside, flattens RFC 1847 layering and checks
// the signatures.
func finishOpen(data []byte, o OpenOptions) (*Opened, error) {
	c, err := parseContent(data, o.maxSize())
	if err != nil {
		return nil, err
	}
	set := c.signatures()
	opened := &Opened{Payload: c.payload}
	if set.none() { // Thunderbird's way: multipart/signed inside
		if part, inner, ok := splitSigned(c.payload); ok {
			opened.Payload, set = part, inner
		}
	}
	var certs []*Cert
	if o.Certs != nil && !set.none() {
		certs = o.Certs(opened.Payload, set.issuers())
	}
	var sig *packet.Signature
	opened.Signature, sig = set.verify(certs, o.Now)
	opened.name(sig, o.Keys)
	return opened, nil
}

// name fills in whom a good signature names.
func (opened *Opened) name(sig *packet.Signature, keys []*Key) {
	opened.IntendedForUs = true
	if sig == nil || len(sig.IntendedRecipients) == 0 {
		return
	}
	opened.IntendedForUs = false
	for _, r := range sig.IntendedRecipients {
		f := newFingerprint(r.Fingerprint)
		opened.Intended = append(opened.Intended, f)
		for _, k := range keys {
			if k.Fingerprint() == f {
				opened.IntendedForUs = true
			}
		}
	}
}
