package securejoin_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/ProtonMail/go-crypto/openpgp/s2k"

	"mailbridge/message"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// form is how a request for the key is encrypted, in ways that we never write. The secret is right.
type form struct {
	s2k     *s2k.Config
	v4      bool // a session key of version 4, with data of version 1
	key     *pgp.Key
	secrets int // how often the secret stands there
}

var salted = &s2k.Config{S2KMode: s2k.SaltedS2K, PassphraseIsHighEntropy: true}

// encrypt makes the message with the library.
func (f form) encrypt(t *testing.T) []byte {
	t.Helper()
	c := *f.s2k // the library writes into it
	config := &packet.Config{DefaultCipher: packet.CipherAES128, S2KConfig: &c}
	if !f.v4 {
		config.AEADConfig = &packet.AEADConfig{DefaultMode: packet.AEADModeOCB}
	}
	sessionKey := bytes.Repeat([]byte{7}, 16)
	var b bytes.Buffer
	if f.key != nil {
		ring, err := openpgp.ReadArmoredKeyRing(strings.NewReader(f.key.Armor()))
		if err != nil {
			t.Fatal(err)
		}
		if err := packet.SerializeEncryptedKeyAEAD(&b, ring[0].Subkeys[0].PublicKey, packet.CipherAES128, !f.v4, sessionKey, config); err != nil {
			t.Fatal(err)
		}
	}
	for range f.secrets {
		if err := packet.SerializeSymmetricKeyEncryptedAEADReuseKey(&b, sessionKey, []byte(securejoin.Secret(aliceKey, auth)), !f.v4, config); err != nil {
			t.Fatal(err)
		}
	}
	w, err := packet.SerializeSymmetricallyEncrypted(&b, packet.CipherAES128, !f.v4, packet.CipherSuite{Cipher: packet.CipherAES128, Mode: packet.AEADModeOCB}, sessionKey, config)
	if err != nil {
		t.Fatal(err)
	}
	text := "From: bob@example.org\r\nMessage-ID: <1@localhost>\r\nSecure-Join: vc-request-pubkey\r\nSecure-Join-Auth: " + auth + "\r\n\r\n"
	literal, err := packet.SerializeLiteral(w, true, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := literal.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := literal.Close(); err != nil { // with what is around it
		t.Fatal(err)
	}
	return b.Bytes()
}

// refusedForm checks that a form is refused before any secret is tried on it.
func refusedForm(t *testing.T, f form) {
	t.Helper()
	raw := f.encrypt(t)
	tried := 0
	_, err := pgp.OpenSymmetric(raw, func(yield func(string) bool) {
		tried++
		yield(securejoin.Secret(aliceKey, auth))
	}, pgp.OpenOptions{Now: noon})
	if !errors.Is(err, pgp.ErrUnsupported) || tried != 0 {
		t.Errorf("%v, %d secrets were asked for", err, tried)
	}
	if info, err := pgp.Inspect(raw); err != nil || info.Kind == pgp.Symmetric {
		t.Errorf("%+v, %v", info, err)
	}
}

// TestForms: the form itself, and the secret in it, are right.
func TestForms(t *testing.T) {
	t.Parallel()
	if err := openWith(form{s2k: salted, secrets: 1}.encrypt(t)); err != nil {
		t.Error(err)
	}
}

// keyAndSecret: what is encrypted to our key, too, is a message to our key. That there is also a
// secret of ours in it proves nothing.
func keyAndSecret(t *testing.T) {
	key, err := pgp.Generate(aliceAddr, noon)
	if err != nil {
		t.Fatal(err)
	}
	f := form{s2k: salted, key: key, secrets: 1}
	refusedForm(t, f)
	opened, err := pgp.Open(f.encrypt(t), pgp.OpenOptions{Keys: []*pgp.Key{key}, Now: noon})
	if err != nil || opened.Symmetric {
		t.Fatalf("%+v, %v", opened, err)
	}
	inner, _ := message.ParseHeader(opened.Payload)
	in, ok := securejoin.ReadIncoming(header("From: bob@example.org\r\n"), inner, opened, nil)
	if !ok {
		t.Fatal("no step")
	}
	_, out := liveInvite().Receive(aliceSelf, in, noon)
	refused(t, out)
}
