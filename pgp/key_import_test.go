package pgp

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/ProtonMail/go-crypto/openpgp/s2k"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"mailbridge/internal/vectors"
)

// exported is an entity's secret key as it is, armored.
func exported(t testing.TB, e *openpgp.Entity) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := armor.Encode(&b, armorPrivate, map[string]string{"Comment": "exported"})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.SerializePrivateWithoutSigning(w, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestImportRecorded: the exports of Delta Chat in the captures, and our own.
func TestImportRecorded(t *testing.T) {
	for name, user := range vectors.Get(t, "second-device").Users {
		k, err := ImportKey(user.Key, nil, now.AddDate(1, 0, 0))
		if err != nil || k.Fingerprint() == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	k, err := Generate("alice@example.org", now)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ImportKey([]byte("some text before it\r\n"+k.Armor()+"and after\r\n"), nil, now)
	if err != nil || !bytes.Equal(again.bytes, k.bytes) {
		t.Errorf("our own export: %v", err)
	}
	if _, err := ImportKey(k.bytes, nil, now); err != nil {
		t.Errorf("binary: %v", err)
	}
}

// TestImportPassphrase: every part is unlocked, and what is kept needs no passphrase.
func TestImportPassphrase(t *testing.T) {
	e := entity(t, "alice@example.org", now, nil)
	if err := e.EncryptPrivateKeys([]byte("right"), libConfig(now)); err != nil {
		t.Fatal(err)
	}
	locked := exported(t, e)
	if _, err := ImportKey(locked, nil, now); !errors.Is(err, ErrLocked) {
		t.Errorf("without a passphrase: %v", err)
	}
	if _, err := ImportKey(locked, []byte("wrong"), now); !errors.Is(err, ErrPassphrase) {
		t.Errorf("with a wrong one: %v", err)
	}
	k, err := ImportKey(locked, []byte("right"), now)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := k.Serialize()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseKey(stored); err != nil {
		t.Errorf("what is kept: %v", err)
	}
}

// TestImportRefused: what cannot be an own key, each with its reason.
func TestImportRefused(t *testing.T) {
	whole := entity(t, "alice@example.org", now, nil)
	other := entity(t, "bob@example.org", now, nil)
	short := entity(t, "alice@example.org", now, func(c *packet.Config) { c.KeyLifetimeSecs = 3600 })
	alone := entity(t, "alice@example.org", now, nil)
	alone.Subkeys = nil
	certifies := entity(t, "alice@example.org", now, nil)
	for _, id := range certifies.Identities {
		for _, c := range id.SelfCertifications {
			c.Packet.FlagSign = false
			if err := c.Packet.SignUserId(id.UserId.Id, certifies.PrimaryKey, certifies.PrivateKey, libConfig(now)); err != nil {
				t.Fatal(err)
			}
		}
	}
	var ring bytes.Buffer
	for _, e := range []*openpgp.Entity{whole, other} {
		if err := e.SerializePrivateWithoutSigning(&ring, nil); err != nil {
			t.Fatal(err)
		}
	}
	revoked := entity(t, "alice@example.org", now, nil)
	if err := revoked.Revoke(packet.NoReason, "", libConfig(now)); err != nil {
		t.Fatal(err)
	}
	binary, err := ParseCert([]byte(certOf(t, whole).Armor()))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key  []byte
		want error
	}{
		"public":           {[]byte(certOf(t, whole).Armor()), ErrPublicOnly},
		"public, binary":   {binary.Bytes(), ErrPublicOnly},
		"two blocks":       {append(exported(t, whole), exported(t, other)...), ErrSeveralKeys},
		"two keys":         {ring.Bytes(), ErrSeveralKeys},
		"expired":          {exported(t, short), ErrExpired},
		"revoked":          {exported(t, revoked), ErrRevoked},
		"no subkey":        {exported(t, alone), ErrNoEncryption},
		"certifies only":   {exported(t, certifies), ErrCannotSign},
		"subkey elsewhere": {withoutSecretSubkey(t, whole), ErrNoEncryption},
		"text":             {[]byte("no key at all"), ErrBadKey},
		"nothing":          {nil, ErrBadKey},
	} {
		if _, err := ImportKey(c.key, nil, now.Add(2*time.Hour)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// withoutSecretSubkey is a key whose subkey's secret part is not in it.
func withoutSecretSubkey(t testing.TB, e *openpgp.Entity) []byte {
	t.Helper()
	list, err := certPackets(armorPrivate, exported(t, e))
	if err != nil {
		t.Fatal(err)
	}
	var b []byte
	for _, p := range list {
		if p.tag == tagSecretSubkey {
			if _, p, err = parseSecret(p); err != nil {
				t.Fatal(err)
			}
		}
		b = p.append(b)
	}
	return b
}

// TestImportArgon2: a key whose passphrase is stretched by Argon2 is unlocked, in both versions; one
// that asks for all the memory there is, or for minutes, is refused before that.
func TestImportArgon2(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		e := entity(t, "alice@example.org", now, func(c *packet.Config) {
			if v6 {
				c.V6Keys, c.Algorithm = true, packet.PubKeyAlgoEd25519
			}
		})
		config := libConfig(now)
		config.AEADConfig = &packet.AEADConfig{}
		config.S2KConfig = &s2k.Config{S2KMode: s2k.Argon2S2K, Argon2Config: &s2k.Argon2Config{NumberOfPasses: 1, DegreeOfParallelism: 1, Memory: 1 << 10}}
		if err := e.EncryptPrivateKeys([]byte("right"), config); err != nil {
			t.Fatal(err)
		}
		locked := exported(t, e)
		if _, err := ImportKey(locked, []byte("right"), now); err != nil {
			t.Errorf("v6 %v: %v", v6, err)
		}
		if _, err := ImportKey(locked, []byte("wrong"), now); !errors.Is(err, ErrPassphrase) {
			t.Errorf("v6 %v, a wrong passphrase: %v", v6, err)
		}
		for name, hostile := range map[string][]byte{"memory": {1, 1, 31}, "passes": {255, 1, 10}} {
			list, err := certPackets(armorPrivate, locked)
			if err != nil {
				t.Fatal(err)
			}
			var b []byte
			for _, p := range list {
				if p.tag == tagSecretKey || p.tag == tagSecretSubkey {
					p.body = bytes.Clone(p.body)
					copy(p.body[bytes.Index(p.body, []byte{1, 1, 10}):], hostile)
				}
				b = p.append(b)
			}
			if _, err := ImportKey(b, []byte("right"), now); !errors.Is(err, ErrTooLarge) || !errors.Is(err, ErrBadKey) {
				t.Errorf("v6 %v, %s: %v", v6, name, err)
			}
		}
	}
}
