package pgp

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"iter"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/ProtonMail/go-crypto/openpgp/s2k"
)

// SymmetricOptions say by whom and when.
type SymmetricOptions struct {
	Signer   *Key // nil: not signed
	Now      time.Time
	Compress bool
}

// EncryptSymmetric encrypts a payload with a shared secret of high entropy in
// the form of SecureJoin v3 and of channels: one version 6 session key packet
// with a salted, not iterated string-to-key function, so that the reader can
// try many secrets; version 2 encrypted data; a signature that names no
// recipients.
func EncryptSymmetric(payload []byte, secret string, o SymmetricOptions) ([]byte, error) {
	sessionKey := make([]byte, cipherKeySize)
	rand.Read(sessionKey)
	config := &packet.Config{ // made anew each time: the library writes into S2KConfig
		DefaultCipher: cipherSuite.Cipher,
		AEADConfig:    &packet.AEADConfig{DefaultMode: cipherSuite.Mode, ChunkSize: chunkSize},
		S2KConfig:     &s2k.Config{S2KMode: s2k.SaltedS2K, PassphraseIsHighEntropy: true},
	}
	var out bytes.Buffer
	if err := packet.SerializeSymmetricKeyEncryptedAEADReuseKey(&out, sessionKey, []byte(secret), true, config); err != nil {
		return nil, err
	}
	content, err := packContent(payload, o.Signer, nil, o.Now, o.Compress)
	if err != nil {
		return nil, err
	}
	return finishMessage(out.Bytes(), content, sessionKey, true)
}

// maxSecrets bounds the trial loop: at 1.5 µs each this is 30 ms, at 5 µs in a form that nobody writes 100.
// What comes after them is not tried: the caller puts in front what is most likely to fit.
const maxSecrets = 80 * trialBlock

// OpenSymmetric opens a message in the form that EncryptSymmetric writes with
// the first of the secrets that fits; Opened.Secret is its index, and the later
// ones are not asked for, but for a few that are read ahead. Any other form, a
// slow string-to-key function above all, is refused before any secret is tried,
// for whoever sends such a message costs us all trials.
func OpenSymmetric(ciphertext []byte, secrets iter.Seq[string], o OpenOptions) (*Opened, error) {
	m, err := parseMessage(ciphertext)
	if err != nil {
		return nil, err
	}
	if err := m.checkSymmetric(); err != nil {
		return nil, err
	}
	skesk, err := parseSKESK(m.esks[0])
	if err != nil {
		return nil, err
	}
	i, secret := firstFitting(m.esks[0].body, skesk, secrets)
	if i < 0 {
		return nil, ErrNoSecret
	}
	sessionKey, _, err := skesk.Decrypt([]byte(secret))
	if err != nil {
		return nil, ErrNoSecret
	}
	data, err := decryptData(m.data, 0, sessionKey)
	if err != nil {
		return nil, err
	}
	opened, err := finishOpen(data, o)
	if err != nil {
		return nil, err
	}
	opened.Symmetric, opened.Secret = true, i
	return opened, nil
}

// OpenPassphrase opens a message that a person's passphrase protects, as the
// Autocrypt Setup Message is. Iterated string-to-key functions are allowed
// here: there is one passphrase and a person who waits. Argon2 is not: its
// memory is the sender's choice.
func OpenPassphrase(ciphertext []byte, passphrase string, o OpenOptions) (*Opened, error) {
	m, err := parseMessage(ciphertext)
	if err != nil {
		return nil, err
	}
	if len(m.esks) != 1 || m.esks[0].tag != tagSKESK {
		return nil, fmt.Errorf("%w: not exactly one passphrase", ErrUnsupported)
	}
	if f := skeskForm(m.esks[0].body); f.s2k != s2kSalted && f.s2k != s2kIterated {
		return nil, fmt.Errorf("%w: string-to-key function", ErrUnsupported)
	}
	skesk, err := parseSKESK(m.esks[0])
	if err != nil {
		return nil, err
	}
	sessionKey, cipher, err := skesk.Decrypt([]byte(passphrase))
	if err != nil {
		return nil, ErrNoSecret
	}
	data, err := decryptData(m.data, cipher, sessionKey)
	if err != nil && skesk.Version < 6 { // not authenticated: a wrong passphrase may have seemed right
		return nil, ErrNoSecret
	}
	if err != nil {
		return nil, err
	}
	opened, err := finishOpen(data, o)
	if err != nil {
		return nil, err
	}
	opened.Symmetric = true
	return opened, nil
}

func parseSKESK(raw rawPacket) (*packet.SymmetricKeyEncrypted, error) {
	parsed, err := raw.parse()
	if err != nil {
		return nil, fmt.Errorf("%w: session key packet", ErrUnsupported)
	}
	skesk, ok := parsed.(*packet.SymmetricKeyEncrypted)
	if !ok {
		return nil, fmt.Errorf("%w: session key packet", ErrUnsupported)
	}
	return skesk, nil
}

// String-to-key functions (RFC 9580, section 3.7.1).
const (
	s2kSalted   = 1
	s2kIterated = 3
)

// skesk is what the first octets of a session key packet say.
type skesk struct {
	version, cipher, mode, s2k, hash byte
}

// skeskForm reads them (RFC 9580, section 5.3); zeros where there are none.
func skeskForm(body []byte) skesk {
	at := func(i int) byte {
		if i < len(body) {
			return body[i]
		}
		return 0
	}
	switch at(0) {
	case 6:
		return skesk{6, at(2), at(3), at(5), at(6)}
	case 4:
		return skesk{4, at(1), 0, at(2), at(3)}
	}
	return skesk{version: at(0)}
}

// checkSymmetric admits exactly the form of SecureJoin v3.
func (m container) checkSymmetric() error {
	if len(m.esks) != 1 || m.esks[0].tag != tagSKESK {
		return fmt.Errorf("%w: not exactly one shared secret", ErrUnsupported)
	}
	f := skeskForm(m.esks[0].body)
	switch {
	case f.version != 6:
		return fmt.Errorf("%w: session key packet of version %d", ErrUnsupported, f.version)
	case f.s2k != s2kSalted:
		return fmt.Errorf("%w: string-to-key function %d", ErrUnsupported, f.s2k)
	case f.hash < 8 || f.hash > 10: // SHA-256, SHA-384, SHA-512
		return fmt.Errorf("%w: string-to-key hash %d", ErrUnsupported, f.hash)
	case !aesWith(f.cipher, f.mode):
		return fmt.Errorf("%w: cipher of the session key", ErrUnsupported)
	case len(m.data) < 4 || m.data[0] != 2 || !aesWith(m.data[1], m.data[2]):
		return fmt.Errorf("%w: form of the encrypted data", ErrUnsupported)
	}
	return nil
}

// aesWith: AES with OCB or GCM (RFC 9580, sections 9.3 and 9.6).
func aesWith(cipher, mode byte) bool {
	return cipher >= 7 && cipher <= 9 && (mode == byte(packet.AEADModeOCB) || mode == byte(packet.AEADModeGCM))
}
