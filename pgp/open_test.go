package pgp

import (
	"bytes"
	"crypto"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/ProtonMail/go-crypto/openpgp/s2k"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
)

const hello = "Content-Type: text/plain\r\n\r\nhello\r\n"

// TestDamage flips every octet of a message of each form, and cuts it at
// every length: it opens as it was, or not at all, and nobody is asked for
// signers before the integrity was checked.
func TestDamage(t *testing.T) {
	t.Parallel()
	alice, bob := newTestKey(t, "alice@example.org"), newTestKey(t, "bob@example.org")
	old := entity(t, "old@example.org", now.Add(-time.Hour), nil) // announces no version 2
	const secret = "securejoin/0123456789ABCDEF0123456789ABCDEF01234567/abcdefghijklmnopqrstuvwx"
	v2, err2 := Encrypt([]byte(hello), EncryptOptions{Signer: bob, To: []*Cert{bob.Cert(), alice.Cert()}, Now: now})
	v1, err1 := Encrypt([]byte(hello), EncryptOptions{Signer: bob, To: []*Cert{alice.Cert(), certOf(t, old)}, Now: now, Compress: true})
	sym, err0 := EncryptSymmetric([]byte(hello), secret, SymmetricOptions{Signer: bob, Now: now})
	if err := errors.Join(err0, err1, err2); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name      string
		armored   []byte
		symmetric bool
	}{{"version 2", v2, false}, {"version 1", v1, false}, {"symmetric", sym, true}}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			whole, err := dearmor(armorMessage, test.armored)
			if err != nil {
				t.Fatal(err)
			}
			asked := false
			open := func(b []byte) (*Opened, error) {
				asked = false
				o := OpenOptions{Keys: []*Key{alice}, Now: now, Certs: func(payload []byte, _ []Fingerprint) []*Cert {
					asked = true
					return []*Cert{bob.Cert()}
				}}
				if test.symmetric {
					return OpenSymmetric(b, slices.Values([]string{"another", secret}), o)
				}
				return Open(b, o)
			}
			good := func(o *Opened) bool {
				return string(o.Payload) == hello && o.Signature.State == SignatureGood && o.Signature.Signer == bob.Fingerprint()
			}
			if o, err := open(whole); err != nil || !good(o) {
				t.Fatalf("untouched: %v", err)
			}
			for i := range whole {
				b := slices.Clone(whole)
				b[i] ^= 0x11
				if o, err := open(b); err == nil && !good(o) || err != nil && asked {
					t.Errorf("octet %d flipped: asked for signers: %v, %v", i, asked, err)
				}
			}
			for n := range whole {
				if _, err := open(whole[:n]); err == nil || asked {
					t.Errorf("cut to %d octets: %v", n, err)
				}
			}
			for n := range test.armored {
				if n < len(test.armored)-len("-----\r\n") {
					if _, err := open(test.armored[:n]); !errors.Is(err, ErrDamaged) {
						t.Errorf("armor cut to %d octets: %v", n, err)
					}
				}
			}
		})
	}
}

// TestRefusedForms: what is refused for what it is, before any key or secret
// is tried.
func TestRefusedForms(t *testing.T) {
	t.Parallel()
	k := newTestKey(t, "alice@example.org")
	message, err := Encrypt([]byte(hello), EncryptOptions{To: []*Cert{k.Cert()}, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	data, _ := dearmor(armorMessage, message)
	pkesk, rest, _ := nextPacket(data)
	seipd, _, _ := nextPacket(rest)
	join := func(packets ...rawPacket) []byte {
		var b []byte
		for _, p := range packets {
			b = p.append(b)
		}
		return b
	}
	tests := []struct {
		name string
		in   []byte
		want error
	}{
		{"nothing", nil, ErrDamaged},
		{"text", []byte("hello\r\n"), ErrDamaged},
		{"not authenticated", join(pkesk, rawPacket{tagSED, seipd.body}), ErrUnsupported},
		{"draft AEAD", join(pkesk, rawPacket{tagAEAD, seipd.body}), ErrUnsupported},
		{"not encrypted", literal([]byte(hello)), ErrNotEncrypted},
		{"only compressed", compressed(literal([]byte(hello))), ErrNotEncrypted},
		{"a key", k.Cert().Bytes(), ErrNotEncrypted},
		{"no data", join(pkesk), ErrDamaged},
		{"empty data", join(pkesk, rawPacket{tagSEIPD, nil}), ErrDamaged},
		{"unknown data version", join(pkesk, rawPacket{tagSEIPD, []byte{9, 9, 9}}), ErrNoKey},
		{"two messages", join(pkesk, seipd, seipd), ErrDamaged},
		{"text behind", join(pkesk, seipd, rawPacket{tagLiteral, []byte("b\x00\x00\x00\x00\x00x")}), ErrDamaged},
		{"no session key", join(seipd), ErrNoKey},
		{"too many session keys", join(append(slices.Repeat([]rawPacket{pkesk}, maxESKs+1), seipd)...), ErrTooLarge},
		{"old session key, new data", join(rawPacket{tagPKESK, append([]byte{3}, pkesk.body[1:]...)}, seipd), ErrNoKey},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if _, err := Open(test.in, OpenOptions{Keys: []*Key{k}, Now: now}); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
	padded := join(rawPacket{tagMarker, []byte("PGP")}, pkesk, seipd, rawPacket{tagPadding, make([]byte, 99)})
	if o, err := Open(padded, OpenOptions{Keys: []*Key{k}}); err != nil || string(o.Payload) != hello {
		t.Errorf("padding: %v", err)
	}
	other := newTestKey(t, "bob@example.org")
	if _, err := Open(message, OpenOptions{Keys: []*Key{other}}); !errors.Is(err, ErrNoKey) {
		t.Errorf("another key: %v", err)
	}
	if o, err := Open(message, OpenOptions{Keys: []*Key{other, k}}); err != nil || o.Signature.State != SignatureNone {
		t.Errorf("the second key: %v", err)
	}
}

func TestSymmetricForms(t *testing.T) {
	t.Parallel()
	const secret = "securejoin/FPR/AUTH"
	ocb := &packet.AEADConfig{DefaultMode: packet.AEADModeOCB}
	salted := func() *s2k.Config { return &s2k.Config{S2KMode: s2k.SaltedS2K, PassphraseIsHighEntropy: true} }
	tests := []struct {
		name    string
		config  *packet.Config
		aead    bool
		repeat  int
		symOpen error
		pass    error
	}{
		{"as SecureJoin v3", &packet.Config{AEADConfig: ocb, S2KConfig: salted()}, true, 1, nil, nil},
		{"AES-256 and GCM", &packet.Config{DefaultCipher: packet.CipherAES256, AEADConfig: &packet.AEADConfig{DefaultMode: packet.AEADModeGCM}, S2KConfig: salted()}, true, 1, nil, nil},
		{"EAX", &packet.Config{AEADConfig: &packet.AEADConfig{DefaultMode: packet.AEADModeEAX}, S2KConfig: salted()}, true, 1, ErrUnsupported, nil},
		{"version 4", &packet.Config{S2KConfig: salted()}, false, 1, ErrUnsupported, nil},
		{"iterated", &packet.Config{AEADConfig: ocb, S2KConfig: &s2k.Config{S2KMode: s2k.IteratedSaltedS2K, S2KCount: 65536}}, true, 1, ErrUnsupported, nil},
		{"Argon2", &packet.Config{AEADConfig: ocb, S2KConfig: &s2k.Config{S2KMode: s2k.Argon2S2K, Argon2Config: &s2k.Argon2Config{Memory: 10}}}, true, 1, ErrUnsupported, ErrUnsupported},
		{"two session keys", &packet.Config{AEADConfig: ocb, S2KConfig: salted()}, true, 2, ErrUnsupported, ErrUnsupported},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cipher := test.config.Cipher()
			sessionKey := make([]byte, cipher.KeySize())
			var b bytes.Buffer
			for range test.repeat {
				if err := packet.SerializeSymmetricKeyEncryptedAEADReuseKey(&b, sessionKey, []byte(secret), test.aead, test.config); err != nil {
					t.Fatal(err)
				}
			}
			suite := packet.CipherSuite{Cipher: cipher}
			if test.aead {
				suite.Mode = test.config.AEADConfig.Mode()
			}
			w, err := packet.SerializeSymmetricallyEncrypted(&b, cipher, test.aead, suite, sessionKey, test.config)
			if err != nil {
				t.Fatal(err)
			}
			w.Write(literal([]byte(hello)))
			w.Close()
			if o, err := OpenSymmetric(b.Bytes(), slices.Values([]string{"wrong", secret}), OpenOptions{}); !errors.Is(err, test.symOpen) || err == nil && (o.Secret != 1 || !o.Symmetric || string(o.Payload) != hello) {
				t.Errorf("OpenSymmetric: %v, want %v", err, test.symOpen)
			}
			if o, err := OpenPassphrase(b.Bytes(), secret, OpenOptions{}); !errors.Is(err, test.pass) || err == nil && string(o.Payload) != hello {
				t.Errorf("OpenPassphrase: %v, want %v", err, test.pass)
			}
			if _, err := OpenPassphrase(b.Bytes(), "wrong", OpenOptions{}); err == nil {
				t.Error("a wrong passphrase opens it")
			}
			info, err := Inspect(b.Bytes())
			if err != nil || (info.Kind == Symmetric) != (test.symOpen == nil) || info.ESKs != test.repeat {
				t.Errorf("Inspect: %+v, %v", info, err)
			}
		})
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	b, err := EncryptSymmetric([]byte(hello), "right", SymmetricOptions{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSymmetric(b, slices.Values([]string{}), OpenOptions{}); !errors.Is(err, ErrNoSecret) {
		t.Errorf("no secrets: %v", err)
	}
	if _, err := OpenSymmetric(b, slices.Values(append(make([]string, maxSecrets), "right")), OpenOptions{}); !errors.Is(err, ErrNoSecret) {
		t.Errorf("behind too many: %v", err)
	}
	if o, err := OpenSymmetric(b, slices.Values(append(make([]string, maxSecrets-1), "right")), OpenOptions{}); err != nil || o.Secret != maxSecrets-1 {
		t.Errorf("the last one: %v", err)
	}
	if _, err := Open(b, OpenOptions{Keys: []*Key{newTestKey(t, "a@example.org")}}); !errors.Is(err, ErrNoKey) {
		t.Errorf("opened with a key: %v", err)
	}
}

// TestIntended: a message passed on to somebody whom its signature does not
// name.
func TestIntended(t *testing.T) {
	t.Parallel()
	alice, bob, carol := newTestKey(t, "alice@example.org"), newTestKey(t, "bob@example.org"), newTestKey(t, "carol@example.org")
	for _, test := range []struct {
		name  string
		named []*Cert
		ours  bool
	}{
		{"named", []*Cert{alice.Cert(), bob.Cert()}, true},
		{"not named", []*Cert{alice.Cert(), carol.Cert()}, false},
		{"nobody named", nil, true},
	} {
		content, err := alice.signed([]byte(hello), test.named, now)
		if err != nil {
			t.Fatal(err)
		}
		o, err := Open(seal(t, bob, content), OpenOptions{Keys: []*Key{bob}, Certs: offering(alice.Cert()), Now: now})
		if err != nil || o.Signature.State != SignatureGood || o.IntendedForUs != test.ours || len(o.Intended) != len(test.named) {
			t.Errorf("%s: %+v, %v", test.name, o, err)
		}
		// An unknown signer's word on recipients counts for nothing.
		o, err = Open(seal(t, bob, content), OpenOptions{Keys: []*Key{bob}, Certs: offering(carol.Cert()), Now: now})
		if err != nil || o.Signature.State != SignatureUnknown || !o.IntendedForUs || o.Signature.Signer != "" {
			t.Errorf("%s, signer unknown: %+v, %v", test.name, o, err)
		}
		if !slices.Equal(o.Signature.Issuers, []Fingerprint{alice.Fingerprint()}) {
			t.Errorf("issuers: %v", o.Signature.Issuers)
		}
	}
}

// TestSignatures checks every reason for which a signature is good or not.
func TestSignatures(t *testing.T) {
	t.Parallel()
	made := now.Add(-48 * time.Hour)
	bob := newTestKey(t, "bob@example.org")
	plain := entity(t, "a@example.org", made, nil)
	signing := entity(t, "s@example.org", made, nil)
	if err := signing.AddSigningSubkey(libConfig(made)); err != nil {
		t.Fatal(err)
	}
	brief := entity(t, "b@example.org", made, func(c *packet.Config) { c.KeyLifetimeSecs = 3600 })
	revoked := entity(t, "r@example.org", made, nil)
	if err := revoked.Revoke(packet.KeyCompromised, "", libConfig(now)); err != nil {
		t.Fatal(err)
	}
	retired := entity(t, "t@example.org", made, nil)
	if err := retired.Revoke(packet.KeyRetired, "", libConfig(made.Add(time.Hour))); err != nil {
		t.Fatal(err)
	}
	subkey := signing.Subkeys[1].PrivateKey
	binary, text := packet.SigTypeBinary, packet.SigTypeText
	tests := []struct {
		name  string
		by    *openpgp.Entity
		key   *packet.PrivateKey
		kind  packet.SignatureType
		hash  crypto.Hash
		at    time.Time
		certs []*openpgp.Entity
		want  SignatureState
	}{
		{"primary key", plain, plain.PrivateKey, binary, crypto.SHA256, now, []*openpgp.Entity{plain}, SignatureGood},
		{"second candidate", plain, plain.PrivateKey, binary, crypto.SHA512, now, []*openpgp.Entity{brief, plain}, SignatureGood},
		{"as text", plain, plain.PrivateKey, text, crypto.SHA256, now, []*openpgp.Entity{plain}, SignatureGood},
		{"signing subkey", signing, subkey, binary, crypto.SHA256, now, []*openpgp.Entity{signing}, SignatureGood},
		{"clock ahead", plain, plain.PrivateKey, binary, crypto.SHA256, now.Add(time.Hour), []*openpgp.Entity{plain}, SignatureGood},
		{"expired since", brief, brief.PrivateKey, binary, crypto.SHA256, made.Add(time.Minute), []*openpgp.Entity{brief}, SignatureGood},
		{"retired since", retired, retired.PrivateKey, binary, crypto.SHA256, made.Add(time.Minute), []*openpgp.Entity{retired}, SignatureGood},
		{"no candidate", plain, plain.PrivateKey, binary, crypto.SHA256, now, nil, SignatureUnknown},
		{"other candidates", plain, plain.PrivateKey, binary, crypto.SHA256, now, []*openpgp.Entity{brief, signing}, SignatureUnknown},
		{"expired before", brief, brief.PrivateKey, binary, crypto.SHA256, now, []*openpgp.Entity{brief}, SignatureBad},
		{"retired before", retired, retired.PrivateKey, binary, crypto.SHA256, now, []*openpgp.Entity{retired}, SignatureBad},
		{"compromised", revoked, revoked.PrivateKey, binary, crypto.SHA256, made.Add(time.Minute), []*openpgp.Entity{revoked}, SignatureBad},
		{"older than the key", plain, plain.PrivateKey, binary, crypto.SHA256, made.Add(-time.Hour), []*openpgp.Entity{plain}, SignatureBad},
		{"SHA-1", plain, plain.PrivateKey, binary, crypto.SHA1, now, []*openpgp.Entity{plain}, SignatureBad},
		{"by the encryption subkey's owner, not on data", plain, plain.PrivateKey, packet.SigTypeGenericCert, crypto.SHA256, now, []*openpgp.Entity{plain}, SignatureBad},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			content := append(detach(t, test.key, test.kind, test.hash, test.at, []byte(hello)), literal([]byte(hello))...)
			var certs []*Cert
			for _, e := range test.certs {
				certs = append(certs, certOf(t, e))
			}
			o, err := Open(seal(t, bob, content), OpenOptions{Keys: []*Key{bob}, Certs: offering(certs...), Now: now})
			if err != nil || o.Signature.State != test.want {
				t.Fatalf("got %+v, %v, want %v", o, err, test.want)
			}
			signer := Fingerprint("")
			if test.want == SignatureGood {
				signer = newFingerprint(test.by.PrimaryKey.Fingerprint)
			}
			if o.Signature.Signer != signer || (test.want == SignatureGood) != o.Signature.At.Equal(test.at) && test.want == SignatureGood {
				t.Errorf("signer %q at %v", o.Signature.Signer, o.Signature.At)
			}
		})
	}
}

// TestContent: what may be inside.
func TestContent(t *testing.T) {
	t.Parallel()
	k := newTestKey(t, "alice@example.org")
	good, err := k.signed([]byte(hello), nil, now)
	if err != nil {
		t.Fatal(err)
	}
	ops, rest, _ := nextPacket(good)
	lit, rest, _ := nextPacket(rest)
	sig, _, _ := nextPacket(rest)
	join := func(packets ...rawPacket) []byte {
		var b []byte
		for _, p := range packets {
			b = p.append(b)
		}
		return b
	}
	big := make([]byte, 1<<20)
	inner := seal(t, k, good)
	innerBinary, _ := dearmor(armorMessage, inner)
	tests := []struct {
		name    string
		content []byte
		err     error
		state   SignatureState
	}{
		{"signed", good, nil, SignatureGood},
		{"padded", join(ops, lit, sig, rawPacket{tagPadding, make([]byte, 300)}), nil, SignatureGood},
		{"compressed", compressed(good), nil, SignatureGood},
		{"two signatures", join(ops, ops, lit, sig, sig), nil, SignatureGood},
		{"announced, not signed", join(ops, lit), nil, SignatureBad},
		{"announced once, signed twice", join(ops, lit, sig, sig), nil, SignatureBad},
		{"signature of an unknown version", join(ops, lit, rawPacket{tagSignature, []byte{3, 5}}), nil, SignatureUnknown},
		{"empty", nil, ErrDamaged, 0},
		{"no literal", join(ops, sig), ErrDamaged, 0},
		{"two literals", join(lit, lit), ErrUnsupported, 0},
		{"encrypted again", innerBinary, ErrUnsupported, 0},
		{"compressed twice", compressed(compressed(good)), ErrUnsupported, 0},
		{"compressed by an unknown algorithm", join(rawPacket{tagCompressed, []byte{77, 1}}), ErrUnsupported, 0},
		{"cut inside the compression", join(rawPacket{tagCompressed, []byte{2, 0x78, 0x9c, 1}}), ErrDamaged, 0},
		{"cut literal", join(rawPacket{tagLiteral, []byte("b\xff")}), ErrDamaged, 0},
		{"a key inside", k.Cert().Bytes(), ErrUnsupported, 0},
		{"too many signatures", join(append(slices.Repeat([]rawPacket{sig}, maxSignatures+1), lit)...), ErrTooLarge, 0},
		{"too many packets", join(slices.Repeat([]rawPacket{{tagPadding, nil}}, maxInnerPackets+1)...), ErrTooLarge, 0},
		{"too large", literal(big), ErrTooLarge, 0},
		{"bomb", compressed(literal(big)), ErrTooLarge, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o, err := Open(seal(t, k, test.content), OpenOptions{Keys: []*Key{k}, Certs: offering(k.Cert()), Now: now, MaxSize: 1 << 16})
			if !errors.Is(err, test.err) || err == nil && (o.Signature.State != test.state || string(o.Payload) != hello) {
				t.Errorf("got %+v, %v, want %v, %v", o, err, test.state, test.err)
			}
		})
	}
}

// TestLibraryMessages: named recipients and old forms of others.
func TestLibraryMessages(t *testing.T) {
	t.Parallel()
	rsa := entity(t, "rsa@example.org", now.Add(-time.Hour), func(c *packet.Config) { c.Algorithm, c.RSABits = packet.PubKeyAlgoRSA, 2048 })
	v6 := entity(t, "v6@example.org", now.Add(-time.Hour), func(c *packet.Config) {
		c.Algorithm, c.V6Keys = packet.PubKeyAlgoEd25519, true
		c.AEADConfig = &packet.AEADConfig{}
	})
	signer := entity(t, "signer@example.org", now.Add(-time.Hour), nil)
	for name, to := range map[string]*openpgp.Entity{"RSA": rsa, "version 6": v6} {
		config := libConfig(now)
		config.DefaultCompressionAlgo = packet.CompressionZIP
		config.AEADConfig = &packet.AEADConfig{}
		k := keyOf(t, to)
		b := libEncrypt(t, hello, []*openpgp.Entity{to}, signer, config)
		o, err := Open(b, OpenOptions{Keys: []*Key{newTestKey(t, "x@example.org"), k}, Certs: offering(certOf(t, signer)), Now: now})
		if err != nil || string(o.Payload) != hello || o.Signature.State != SignatureGood || !o.IntendedForUs || len(o.Intended) != 1 {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
		// And back, signed with that key.
		if b, err = Encrypt([]byte(hello), EncryptOptions{Signer: k, To: []*Cert{k.Cert(), k.Cert()}, Now: now}); err != nil {
			t.Fatal(err)
		}
		o, err = Open(b, OpenOptions{Keys: []*Key{k}, Certs: offering(k.Cert()), Now: now})
		if err != nil || o.Signature.State != SignatureGood || len(o.Intended) != 1 {
			t.Errorf("%s, ours: %+v, %v", name, o, err)
		}
	}
}

func TestEncryptRefuses(t *testing.T) {
	t.Parallel()
	if _, err := Encrypt([]byte(hello), EncryptOptions{Now: now}); !errors.Is(err, ErrBadKey) {
		t.Errorf("nobody: %v", err)
	}
	brief := entity(t, "b@example.org", now.Add(-48*time.Hour), func(c *packet.Config) { c.KeyLifetimeSecs = 3600 })
	if _, err := Encrypt([]byte(hello), EncryptOptions{To: []*Cert{certOf(t, brief)}, Now: now}); !errors.Is(err, ErrBadKey) {
		t.Errorf("expired: %v", err)
	}
}
