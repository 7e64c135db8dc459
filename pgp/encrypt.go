package pgp

import (
	"bytes"
	"compress/zlib"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// The one cipher that everybody must read in both forms (RFC 9580, sections
// 9.3 and 9.6), and the chunks that Delta Chat 2.62 writes.
const (
	cipherKeySize = 16
	chunkSize     = 8192
)

var cipherSuite = packet.CipherSuite{Cipher: packet.CipherAES128, Mode: packet.AEADModeOCB}

// EncryptOptions say to whom, by whom and when.
type EncryptOptions struct {
	Signer   *Key // nil: not signed
	To       []*Cert
	Now      time.Time
	Compress bool
}

// Encrypt encrypts a payload to certificates; the caller puts its own among
// them. The result is armored, with CRLF.
//
// Recipients are anonymous to those who only carry the message, and named in
// the signature, so that none of them can pass the message on as if it had
// been meant for somebody else. Version 2 encrypted data is written if all
// read it, else version 1.
func Encrypt(payload []byte, o EncryptOptions) ([]byte, error) {
	to, err := distinct(o.To)
	if err != nil {
		return nil, err
	}
	sessionKey := make([]byte, cipherKeySize)
	rand.Read(sessionKey)
	v2 := !slices.ContainsFunc(to, func(c *Cert) bool { return !c.SupportsSEIPDv2() })
	var out bytes.Buffer
	for _, c := range to {
		if err := writePKESK(&out, c, sessionKey, v2, o.Now); err != nil {
			return nil, err
		}
	}
	content, err := packContent(payload, o.Signer, to, o.Now, o.Compress)
	if err != nil {
		return nil, err
	}
	return finishMessage(out.Bytes(), content, sessionKey, v2)
}

// distinct drops certificates that are named twice, as in mail to oneself.
func distinct(to []*Cert) ([]*Cert, error) {
	var list []*Cert
	for _, c := range to {
		if !slices.ContainsFunc(list, func(d *Cert) bool { return c.fingerprint == d.fingerprint }) {
			list = append(list, c)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%w: nobody to encrypt to", ErrBadKey)
	}
	if len(list) > maxESKs {
		return nil, fmt.Errorf("%w: more than %d recipients", ErrTooLarge, maxESKs)
	}
	return list, nil
}

func writePKESK(out *bytes.Buffer, c *Cert, sessionKey []byte, v2 bool, now time.Time) error {
	key, err := c.encryptionKey(now)
	if err == nil {
		const hidden = true
		err = packet.SerializeEncryptedKeyAEADwithHiddenOption(out, key, cipherSuite.Cipher, v2, sessionKey, hidden, nil)
	}
	if err != nil {
		return fmt.Errorf("encrypt to %s: %w", c.fingerprint, err)
	}
	return nil
}

// packContent makes the packets that go inside the encrypted data.
func packContent(payload []byte, signer *Key, intended []*Cert, now time.Time, deflate bool) ([]byte, error) {
	content := []byte(nil)
	if signer == nil {
		content = literal(payload)
	} else {
		var err error
		if content, err = signer.signed(payload, intended, now); err != nil {
			return nil, err
		}
	}
	if deflate {
		content = compressed(content)
	}
	return content, nil
}

// compressed is a ZLIB compressed data packet (RFC 9580, section 5.6).
func compressed(content []byte) []byte {
	b := bytes.NewBuffer([]byte{2})
	w := zlib.NewWriter(b)
	w.Write(content) // a bytes.Buffer takes everything
	w.Close()
	return rawPacket{tagCompressed, b.Bytes()}.append(nil)
}

// finishMessage encrypts the content behind the encrypted session keys.
func finishMessage(head, content, sessionKey []byte, v2 bool) ([]byte, error) {
	config := &packet.Config{AEADConfig: &packet.AEADConfig{DefaultMode: cipherSuite.Mode, ChunkSize: chunkSize}}
	var b bytes.Buffer
	b.Grow(len(content) + len(content)/256 + 128)
	w, err := packet.SerializeSymmetricallyEncrypted(&b, cipherSuite.Cipher, v2, cipherSuite, sessionKey, config)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(content); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	// The library writes partial lengths; the length is known by now.
	data, _, err := nextPacket(b.Bytes())
	if err != nil {
		return nil, err
	}
	return enarmor(armorMessage, data.append(head)), nil
}
