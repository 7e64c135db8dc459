package pgp

import (
	"bytes"
	"crypto"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
)

// entity is a key of the library's own making, for what the package itself
// never writes.
func entity(t testing.TB, addr string, made time.Time, change func(*packet.Config)) *openpgp.Entity {
	t.Helper()
	config := libConfig(made)
	if change != nil {
		change(config)
	}
	e, err := openpgp.NewEntity("", "", addr, config)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func libConfig(at time.Time) *packet.Config {
	return &packet.Config{
		Algorithm: packet.PubKeyAlgoEdDSA, Curve: packet.Curve25519,
		Time: func() time.Time { return at },
	}
}

func certOf(t testing.TB, e *openpgp.Entity) *Cert {
	t.Helper()
	var b bytes.Buffer
	if err := e.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	c, err := ParseCert(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func keyOf(t testing.TB, e *openpgp.Entity) *Key {
	t.Helper()
	var b bytes.Buffer
	if err := e.SerializePrivateWithoutSigning(&b, nil); err != nil {
		t.Fatal(err)
	}
	k, err := ParseKey(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// libEncrypt makes an armored message with the library's high level writer.
func libEncrypt(t testing.TB, payload string, to []*openpgp.Entity, signer *openpgp.Entity, config *packet.Config) []byte {
	t.Helper()
	var b bytes.Buffer
	var signers []*openpgp.Entity
	if signer != nil {
		signers = append(signers, signer)
	}
	w, err := openpgp.Encrypt(&b, to, nil, signers, nil, config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(payload)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// seal encrypts packets of the test's own making to a key.
func seal(t testing.TB, to *Key, content []byte) []byte {
	t.Helper()
	sessionKey := bytes.Repeat([]byte{7}, cipherKeySize)
	var b bytes.Buffer
	if err := writePKESK(&b, to.Cert(), sessionKey, true, now); err != nil {
		t.Fatal(err)
	}
	out, err := finishMessage(b.Bytes(), content, sessionKey, true)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// detach signs data with any key packet and hash.
func detach(t testing.TB, priv *packet.PrivateKey, kind packet.SignatureType, hash crypto.Hash, made time.Time, data []byte) []byte {
	t.Helper()
	sig := &packet.Signature{
		Version: priv.Version, SigType: kind, PubKeyAlgo: priv.PubKeyAlgo, Hash: hash,
		CreationTime: made, IssuerKeyId: &priv.KeyId,
	}
	h, err := sig.PrepareSign(nil)
	if err != nil {
		t.Fatal(err)
	}
	if kind == packet.SigTypeText {
		openpgp.NewCanonicalTextHash(h).Write(data)
	} else {
		h.Write(data)
	}
	if err := sig.Sign(h, priv, signConfig(false)); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := sig.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// offering answers every question for signers with these certificates.
func offering(certs ...*Cert) func([]byte, []Fingerprint) []*Cert {
	return func([]byte, []Fingerprint) []*Cert { return certs }
}
