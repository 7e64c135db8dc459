package pgp

import (
	"bytes"
	"slices"
	"testing"

	"mailbridge/internal/vectors"
	"mailbridge/message"
)

// fuzzKey is the recipient of the seeds.
func fuzzKey(f *testing.F) *Key { return captured(f, "v3-contact", "alice") }

// ciphertexts are seeds in binary, for a change to armor is mostly noise.
func ciphertexts(f *testing.F, scenarios ...string) {
	for _, name := range scenarios {
		for _, m := range vectors.Get(f, name).Messages {
			c, _, ok := SplitEncrypted(m.Raw, message.Parse(m.Raw))
			if !ok {
				continue
			}
			if b, err := dearmor(armorMessage, c); err == nil {
				f.Add(b)
			}
		}
	}
}

func FuzzOpen(f *testing.F) {
	k := fuzzKey(f)
	ciphertexts(f, "v3-contact", "classic-pgp", "legacy-contact-2.62-1.160")
	f.Add(enarmor(armorMessage, literal([]byte("x"))))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := Open(b, OpenOptions{Keys: []*Key{k}, Certs: offering(k.Cert()), Now: now, MaxSize: 1 << 20})
		if (err == nil) != (o != nil) {
			t.Error("a result and an error, or neither")
		}
		if info, err := Inspect(b); err == nil && info.ESKs > maxESKs {
			t.Error("more session keys than allowed")
		}
	})
}

func FuzzOpenSymmetric(f *testing.F) {
	ciphertexts(f, "v3-contact", "channel")
	secrets := vectors.Get(f, "v3-contact").Secrets
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := OpenSymmetric(b, slices.Values(secrets), OpenOptions{Now: now, MaxSize: 1 << 20})
		if (err == nil) != (o != nil) {
			t.Error("a result and an error, or neither")
		}
	})
}

// FuzzContent goes behind the encryption, where changes are not noticed.
func FuzzContent(f *testing.F) {
	k := fuzzKey(f)
	signed, err := k.signed([]byte(hello), []*Cert{k.Cert()}, now)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed)
	f.Add(compressed(signed))
	f.Add(append(signed, rawPacket{tagPadding, make([]byte, 9)}.append(nil)...))
	f.Add(literal(multipartSigned(f, k, now, 0)))
	f.Fuzz(func(t *testing.T, b []byte) {
		o, err := finishOpen(b, OpenOptions{Keys: []*Key{k}, Certs: offering(k.Cert()), Now: now, MaxSize: 1 << 20})
		if err == nil && o.Signature.State == SignatureGood && o.Signature.Signer != k.Fingerprint() {
			t.Error("good signature by nobody")
		}
	})
}

func FuzzParseCert(f *testing.F) {
	f.Add(fuzzKey(f).Cert().Bytes())
	f.Add(autocryptKey(f, "v3-contact", "02-alice-bob.eml"))
	for _, u := range vectors.Get(f, "classic-pgp").Users {
		f.Add(u.Cert)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseCert(b)
		if err != nil {
			return
		}
		again, err := ParseCert(c.Bytes())
		if err != nil || !bytes.Equal(again.Bytes(), c.Bytes()) {
			t.Errorf("not stable: %v", err)
		}
		if small, err := ParseCert(c.Minimal()); err != nil || small.Fingerprint() != c.Fingerprint() {
			t.Errorf("minimal: %v", err)
		}
		if m, err := Merge(c, c); err != nil || m.Fingerprint() != c.Fingerprint() {
			t.Errorf("merge: %v", err)
		}
		c.Addresses()
		if c.CanEncrypt(now) {
			if _, err := Encrypt([]byte(hello), EncryptOptions{To: []*Cert{c}, Now: now}); err != nil {
				t.Errorf("encrypt: %v", err)
			}
		}
	})
}

func FuzzParseKey(f *testing.F) {
	b, err := fuzzKey(f).Serialize()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	for _, u := range vectors.Get(f, "classic-pgp").Users {
		f.Add(u.Key)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := ParseKey(b)
		if err != nil {
			return
		}
		b, _ = k.Serialize()
		if again, err := ParseKey(b); err != nil || again.Fingerprint() != k.Fingerprint() {
			t.Errorf("not stable: %v", err)
		}
	})
}

func FuzzArmor(f *testing.F) {
	f.Add([]byte("hello"), enarmor(armorMessage, []byte{0xc1, 0}))
	f.Add([]byte{}, []byte("-----BEGIN PGP MESSAGE-----\nA: b\n-----END PGP MESSAGE-----"))
	f.Fuzz(func(t *testing.T, data, text []byte) {
		if b, err := dearmor(armorMessage, text); len(b) > len(text) || err != nil && b != nil {
			t.Errorf("%d bytes of %d, %v", len(b), len(text), err)
		}
		if got, err := dearmor(armorMessage, enarmor(armorMessage, data)); err != nil || !bytes.Equal(got, data) {
			t.Errorf("round trip: %v", err)
		}
		InlineArmor(text)
	})
}

func FuzzMIME(f *testing.F) {
	k := fuzzKey(f)
	f.Add(multipartSigned(f, k, now, 0))
	for _, m := range vectors.Get(f, "v3-contact").Messages {
		f.Add(m.Raw)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		root := message.Parse(b)
		if c, form, ok := SplitEncrypted(b, root); ok == (form == FormNone) || !ok && c != nil {
			t.Error("a form without a result, or the other way round")
		}
		sig, err := VerifySigned(b, root, func([]Fingerprint) []*Cert { return []*Cert{k.Cert()} }, now)
		if err != nil && sig.State != SignatureNone {
			t.Error("a result and an error")
		}
	})
}
