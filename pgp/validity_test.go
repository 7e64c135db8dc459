package pgp

import (
	"bytes"
	"compress/flate"
	"crypto"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
)

// TestEffective: which of several self-signatures counts at a time.
func TestEffective(t *testing.T) {
	t.Parallel()
	day := func(n int) time.Time { return now.AddDate(0, 0, n) }
	short := uint32(24 * 3600)
	sig := func(n int, lifetime *uint32) selfSig {
		return selfSig{sig: &packet.Signature{CreationTime: day(n), SigLifetimeSecs: lifetime}}
	}
	tests := []struct {
		name string
		sigs []selfSig
		at   time.Time
		want int // day; -1: none
	}{
		{"the only one", []selfSig{sig(1, nil)}, day(2), 1},
		{"the newest by then", []selfSig{sig(1, nil), sig(3, nil), sig(5, nil)}, day(4), 3},
		{"the newest of all", []selfSig{sig(5, nil), sig(1, nil)}, time.Time{}, 5},
		{"all made later", []selfSig{sig(5, nil), sig(3, nil)}, day(1), 3},
		{"the newest expired", []selfSig{sig(1, nil), sig(3, &short)}, day(6), 1},
		{"all expired", []selfSig{sig(1, &short)}, day(6), -1},
		{"expired, but time does not count", []selfSig{sig(1, &short)}, time.Time{}, 1},
		{"none", nil, day(1), -1},
	}
	for _, test := range tests {
		got := effective(test.sigs, test.at)
		if got == nil != (test.want == -1) || got != nil && !got.sig.CreationTime.Equal(day(test.want)) {
			t.Errorf("%s: %+v, want day %d", test.name, got, test.want)
		}
	}
}

// certify adds a certification or its revocation to a user id.
func certify(t *testing.T, e *openpgp.Entity, id string, kind packet.SignatureType, made time.Time) {
	t.Helper()
	sig := &packet.Signature{
		Version: 4, SigType: kind, PubKeyAlgo: e.PrimaryKey.PubKeyAlgo, Hash: crypto.SHA256,
		CreationTime: made, IssuerKeyId: &e.PrimaryKey.KeyId,
		FlagsValid: true, FlagSign: true, FlagCertify: true,
	}
	if err := sig.SignUserId(id, e.PrimaryKey, e.PrivateKey, nil); err != nil {
		t.Fatal(err)
	}
	u := e.Identities[id]
	if kind == packet.SigTypeCertificationRevocation {
		u.Revocations = append(u.Revocations, packet.NewVerifiableSig(sig))
	} else {
		u.SelfCertifications = append(u.SelfCertifications, packet.NewVerifiableSig(sig))
	}
}

func TestRevokedUserID(t *testing.T) {
	t.Parallel()
	made := now.Add(-48 * time.Hour)
	e := entity(t, "a@example.org", made, nil)
	certify(t, e, "<a@example.org>", packet.SigTypeCertificationRevocation, made.Add(time.Hour))
	c := certOf(t, e)
	if c.CanEncrypt(now) || !c.CanEncrypt(made.Add(time.Minute)) {
		t.Error("the only user id is revoked")
	}
	if again, err := Merge(c, certOf(t, entityWithout(e))); err != nil || again.CanEncrypt(now) {
		t.Errorf("a merge takes the revocation back: %v", err)
	}
	certify(t, e, "<a@example.org>", packet.SigTypePositiveCert, made.Add(2*time.Hour))
	if !certOf(t, e).CanEncrypt(now) {
		t.Error("certified again after the revocation")
	}
	if err := e.AddUserId("", "", "b@example.org", libConfig(made)); err != nil {
		t.Fatal(err)
	}
	certify(t, e, "<a@example.org>", packet.SigTypeCertificationRevocation, made.Add(3*time.Hour))
	if c := certOf(t, e); !c.CanEncrypt(now) || string(c.users[c.mainUser(now)].raw.body) != "<b@example.org>" {
		t.Error("the other user id speaks for the key")
	}
}

// entityWithout is the certificate before the revocation.
func entityWithout(e *openpgp.Entity) *openpgp.Entity {
	old := *e
	old.Identities = make(map[string]*openpgp.Identity)
	for id, u := range e.Identities {
		v := *u
		v.Revocations = nil
		old.Identities[id] = &v
	}
	return &old
}

// TestPrimaryEncrypts: old RSA keys have one key for everything, and say so.
func TestPrimaryEncrypts(t *testing.T) {
	t.Parallel()
	made := now.Add(-time.Hour)
	for _, may := range []bool{true, false} {
		e := entity(t, "a@example.org", made, func(c *packet.Config) { c.Algorithm, c.RSABits = packet.PubKeyAlgoRSA, 2048 })
		e.Subkeys = nil
		u := e.Identities["<a@example.org>"]
		u.SelfCertifications[0].Packet.FlagEncryptCommunications = may
		if err := u.ReSign(libConfig(now)); err != nil {
			t.Fatal(err)
		}
		k := keyOf(t, e)
		if k.Cert().CanEncrypt(now) != may {
			t.Errorf("may encrypt: %v", !may)
		}
		if _, err := ParseCert(k.Cert().Minimal()); err != nil {
			t.Errorf("minimal: %v", err)
		}
		if !may {
			continue
		}
		b, err := Encrypt([]byte(hello), EncryptOptions{To: []*Cert{k.Cert()}, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		if o, err := Open(b, OpenOptions{Keys: []*Key{k}}); err != nil || string(o.Payload) != hello {
			t.Error(err)
		}
	}
}

func TestDecompress(t *testing.T) {
	t.Parallel()
	var zip bytes.Buffer
	w, err := flate.NewWriter(&zip, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(literal([]byte(hello)))
	w.Close()
	// bzip2 of nothing: the library reads it and cannot write it.
	bzip := []byte("\x03BZh9\x17\x72\x45\x38\x50\x90\x00\x00\x00\x00")
	for name, body := range map[string][]byte{
		"not at all": append([]byte{0}, literal([]byte(hello))...),
		"zip":        append([]byte{1}, zip.Bytes()...),
	} {
		c, err := parseContent(rawPacket{tagCompressed, body}.append(nil), 1000)
		if err != nil || string(c.payload) != hello {
			t.Errorf("%s: %q, %v", name, c.payload, err)
		}
	}
	if b, err := decompress(bzip, 1000); err != nil || len(b) != 0 {
		t.Errorf("bzip2: %d bytes, %v", len(b), err)
	}
	if _, err := decompress(nil, 1000); err == nil {
		t.Error("nothing is not compressed")
	}
}

// TestKeyID: signatures of old programs name no fingerprint.
func TestKeyID(t *testing.T) {
	t.Parallel()
	id := uint64(0x0123456789abcdef)
	if f := issuer(&packet.Signature{IssuerKeyId: &id}); f != "0123456789ABCDEF" {
		t.Errorf("got %q", f)
	}
	if f := issuer(&packet.Signature{}); f != "" {
		t.Errorf("got %q", f)
	}
}
