package pgp

import (
	"bytes"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"mailbridge/internal/vectors"
	"mailbridge/message"
)

// autocryptKey is the certificate in the Autocrypt header of a recorded
// payload: with a direct-key signature that the exported key lacks.
func autocryptKey(t testing.TB, scenario, file string) []byte {
	t.Helper()
	h, _ := message.ParseHeader(vectors.Get(t, scenario).Message(t, file).Plain)
	_, data, ok := strings.Cut(h.Get("Autocrypt"), "keydata=")
	b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(data), ""))
	if !ok || err != nil {
		t.Fatal("no key in the Autocrypt header")
	}
	return b
}

func TestCertOfDeltaChat(t *testing.T) {
	t.Parallel()
	raw := autocryptKey(t, "v3-contact", "02-alice-bob.eml")
	c, err := ParseCert(raw)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(c.Bytes(), raw) {
		t.Error("the certificate is not kept as it came")
	}
	if a := c.Addresses(); !slices.Equal(a, []string{"alice@example.org"}) {
		t.Errorf("addresses %q", a)
	}
	if !c.SupportsSEIPDv2() || !c.CanEncrypt(recordedAt) || c.Revoked(recordedAt) {
		t.Error("not usable")
	}
	want := []string{"key 6 v4 algorithm=22", `user id "<alice@example.org>"`}
	small := listPackets(t, c.Minimal())
	if len(small) != 5 || !slices.Equal(small[:2], want) || !strings.HasPrefix(small[3], "key 14") {
		t.Errorf("minimal: %q", small)
	}
	if m, err := ParseCert(c.Minimal()); err != nil || !m.CanEncrypt(recordedAt) || m.Fingerprint() != c.Fingerprint() {
		t.Errorf("minimal: %v", err)
	}
	again, err := ParseCert([]byte(c.Armor()))
	if err != nil || !bytes.Equal(again.Bytes(), raw) {
		t.Errorf("armor: %v", err)
	}
}

var recordedAt = time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)

func TestMerge(t *testing.T) {
	t.Parallel()
	user := vectors.Get(t, "v3-contact").Users["alice"]
	exported, err1 := ParseCert(user.Cert)
	mailed, err2 := ParseCert(autocryptKey(t, "v3-contact", "02-alice-bob.eml"))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	ab, err1 := Merge(exported, mailed)
	ba, err2 := Merge(mailed, exported)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(ab.Bytes(), ba.Bytes()) || len(ab.primary.self) != 1 || !ab.SupportsSEIPDv2() {
		t.Error("the order matters, or the direct-key signature got lost")
	}
	if again, err := Merge(ab, mailed); err != nil || !bytes.Equal(again.Bytes(), ab.Bytes()) {
		t.Error("merging again changes something")
	}
	if _, err := Merge(exported, newTestKey(t, "alice@example.org").Cert()); !errors.Is(err, ErrBadKey) {
		t.Errorf("another key: %v", err)
	}
}

// TestMergeParts: revocations and subkeys that one copy lacks are kept, and
// the newest word on each part counts.
func TestMergeParts(t *testing.T) {
	t.Parallel()
	made := now.Add(-48 * time.Hour)
	e := entity(t, "a@example.org", made, nil)
	first := certOf(t, e)
	later := libConfig(made.Add(time.Hour))
	if err := errors.Join(e.AddEncryptionSubkey(later), e.AddUserId("", "", "b@example.org", later)); err != nil {
		t.Fatal(err)
	}
	second := certOf(t, e)
	if err := e.Subkeys[0].Revoke(packet.KeyRetired, "", libConfig(made.Add(2*time.Hour))); err != nil {
		t.Fatal(err)
	}
	third := certOf(t, e)
	m, err := Merge(third, first)
	if err != nil {
		t.Fatal(err)
	}
	if m, err = Merge(m, second); err != nil {
		t.Fatal(err)
	}
	if len(m.subkeys) != 2 || len(m.users) != 2 || len(m.subkeys[0].revocations) != 1 {
		t.Errorf("%d subkeys, %d user ids", len(m.subkeys), len(m.users))
	}
	if k, err := m.encryptionKey(now); err != nil || !bytes.Equal(k.Fingerprint, e.Subkeys[1].PublicKey.Fingerprint) {
		t.Errorf("encrypts to the wrong subkey: %v", err)
	}
	if k, err := m.encryptionKey(made.Add(time.Minute)); err != nil || k == nil {
		t.Errorf("clock behind: %v", err)
	}
	if err := e.Revoke(packet.NoReason, "", later); err != nil {
		t.Fatal(err)
	}
	if m, err = Merge(m, certOf(t, e)); err != nil || m.CanEncrypt(now) || !m.Revoked(now) {
		t.Errorf("revocation lost: %v", err)
	}
	if small, err := ParseCert(m.Minimal()); err != nil || !small.Revoked(now) {
		t.Errorf("revocation lost in the minimal form: %v", err)
	}
}

// TestForeignParts: what others could attach to a certificate does not stay.
func TestForeignParts(t *testing.T) {
	t.Parallel()
	made := now.Add(-48 * time.Hour)
	victim, thief := entity(t, "victim@example.org", made, nil), entity(t, "thief@example.org", made, nil)
	want := certOf(t, victim).Bytes()
	if err := victim.SignIdentity("<victim@example.org>", thief, libConfig(now)); err != nil {
		t.Fatal(err)
	}
	v, th := packetsOf(t, victim), packetsOf(t, thief)
	tests := map[string][]rawPacket{
		"third party's signature": v,
		"foreign subkey":          append(slices.Clone(v), th[3:]...),
		"foreign user id":         append(slices.Clone(v[:3]), append(slices.Clone(th[1:3]), v[3:]...)...),
		"user attribute":          append(slices.Clone(v), rawPacket{tagUserAttr, []byte{1, 2}}, v[2]),
		"unsigned user id":        append(slices.Clone(v), rawPacket{tagUserID, []byte("<x@example.org>")}),
		"trust packets":           append(slices.Clone(v), rawPacket{tagTrust, []byte{1, 2}}),
		"twice":                   append(slices.Clone(v[:3]), append([]rawPacket{v[2]}, v[3:]...)...),
	}
	for name, list := range tests {
		var b []byte
		for _, p := range list {
			b = p.append(b)
		}
		c, err := ParseCert(b)
		if err != nil || !bytes.Equal(c.Bytes(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func packetsOf(t *testing.T, e *openpgp.Entity) []rawPacket {
	t.Helper()
	var b bytes.Buffer
	if err := e.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	list, err := splitPackets(b.Bytes(), 99)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestRefusedCerts(t *testing.T) {
	t.Parallel()
	k := newTestKey(t, "alice@example.org")
	good := k.Cert().Bytes()
	list, _ := splitPackets(good, 9)
	secret, _ := k.Serialize()
	join := func(packets ...rawPacket) []byte {
		var b []byte
		for _, p := range packets {
			b = p.append(b)
		}
		return b
	}
	sig := slices.Clone(list[2].body)
	sig[len(sig)-1] ^= 1
	tests := map[string]struct {
		in   []byte
		want error
	}{
		"nothing":            {nil, ErrBadKey},
		"text":               {[]byte("alice"), ErrBadKey},
		"cut":                {good[:len(good)-1], ErrBadKey},
		"a secret key":       {secret, ErrBadKey},
		"armored message":    {enarmor(armorMessage, good), ErrBadKey},
		"cut armor":          {[]byte(k.Cert().Armor()[:300]), ErrBadKey},
		"no user id":         {join(list[0], list[3], list[4]), ErrBadKey},
		"bad self-signature": {join(list[0], list[1], rawPacket{tagSignature, sig}, list[3], list[4]), ErrBadKey},
		"two keys":           {append(slices.Clone(good), good...), ErrBadKey},
		"begins with a user": {join(list[1:]...), ErrBadKey},
		"holds a message":    {append(slices.Clone(good), literal([]byte("x"))...), ErrBadKey},
		"unknown version":    {join(rawPacket{tagPublicKey, append([]byte{9}, list[0].body[1:]...)}), ErrUnsupported},
		"too large":          {make([]byte, 2*maxCertSize+1), ErrTooLarge},
		"too many packets":   {join(append(list, slices.Repeat([]rawPacket{{tagTrust, nil}}, maxCertPackets)...)...), ErrTooLarge},
		"too many subkeys":   {join(append(list[:3:3], slices.Repeat([]rawPacket{list[3]}, maxSubkeys+1)...)...), ErrTooLarge},
		"too many user ids":  {join(append(list[:1:1], slices.Repeat([]rawPacket{list[1]}, maxUserIDs+1)...)...), ErrTooLarge},
		"too many self-sigs": {join(append(list[:2:2], slices.Repeat([]rawPacket{list[2]}, maxSelfSigs+1)...)...), ErrTooLarge},
	}
	for name, test := range tests {
		if _, err := ParseCert(test.in); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

// TestWeakKeys: keys of algorithms that nobody should use any more.
func TestWeakKeys(t *testing.T) {
	t.Parallel()
	made := now.Add(-time.Hour)
	small := entity(t, "a@example.org", made, func(c *packet.Config) { c.Algorithm, c.RSABits = packet.PubKeyAlgoRSA, 1024 })
	curve := entity(t, "a@example.org", made, func(c *packet.Config) { c.Algorithm, c.Curve = packet.PubKeyAlgoECDSA, packet.CurveSecP256k1 })
	for name, e := range map[string]*openpgp.Entity{"RSA 1024": small, "secp256k1": curve} {
		var b bytes.Buffer
		if err := e.Serialize(&b); err != nil {
			t.Fatal(err)
		}
		if _, err := ParseCert(b.Bytes()); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A weak subkey is dropped.
	e := entity(t, "a@example.org", made, nil)
	good := certOf(t, e).Bytes()
	b := append(slices.Clone(good), rawPacket{tagPublicSubkey, packetsOf(t, small)[3].body}.append(nil)...)
	if c, err := ParseCert(b); err != nil || !bytes.Equal(c.Bytes(), good) {
		t.Errorf("weak subkey: %v", err)
	}
}

// TestCurves: others' keys that are not Curve25519.
func TestCurves(t *testing.T) {
	t.Parallel()
	for _, curve := range []packet.Curve{packet.CurveNistP256, packet.CurveNistP384, packet.CurveNistP521, packet.CurveBrainpoolP256} {
		e := entity(t, "a@example.org", now.Add(-time.Hour), func(c *packet.Config) { c.Algorithm, c.Curve = packet.PubKeyAlgoECDSA, curve })
		k := keyOf(t, e)
		b, err := Encrypt([]byte(hello), EncryptOptions{Signer: k, To: []*Cert{k.Cert()}, Now: now})
		if err != nil {
			t.Errorf("%s: %v", curve, err)
			continue
		}
		o, err := Open(b, OpenOptions{Keys: []*Key{k}, Certs: offering(k.Cert()), Now: now})
		if err != nil || o.Signature.State != SignatureGood {
			t.Errorf("%s: %+v, %v", curve, o, err)
		}
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	k := newTestKey(t, "alice@example.org")
	b, err := k.Serialize()
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range [][]byte{b, []byte(k.Armor())} {
		again, err := ParseKey(in)
		if err != nil || !bytes.Equal(again.bytes, b) || !bytes.Equal(again.Cert().Bytes(), k.Cert().Bytes()) {
			t.Errorf("round trip: %v", err)
		}
	}
	if s := k.String() + k.GoString(); strings.Contains(s, string(b[60:70])) || !strings.Contains(s, string(k.Fingerprint())) {
		t.Error("a key prints more than its fingerprint")
	}
	locked := entity(t, "l@example.org", now.Add(-time.Hour), nil)
	if err := locked.EncryptPrivateKeys([]byte("secret"), nil); err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if err := locked.SerializePrivateWithoutSigning(&buf, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := ParseKey(buf.Bytes()); !errors.Is(err, ErrLocked) {
		t.Errorf("locked: %v", err)
	}
	if _, err := ParseKey(k.Cert().Bytes()); !errors.Is(err, ErrBadKey) {
		t.Errorf("a certificate: %v", err)
	}
	for _, addr := range []string{"", "alice", "a@b>", "a b@c", "a\r\nb@c", "ä\x00@b", strings.Repeat("a", maxUserID) + "@b"} {
		if _, err := Generate(addr, now); !errors.Is(err, ErrBadKey) {
			t.Errorf("address %q: %v", addr, err)
		}
	}
	if k, err := Generate("jörg@bücher.example", now); err != nil || !slices.Equal(k.Cert().Addresses(), []string{"jörg@bücher.example"}) {
		t.Errorf("address that is not ASCII: %v", err)
	}
}

// TestExpiry of the key and of what it says about itself.
func TestExpiry(t *testing.T) {
	t.Parallel()
	made := now.Add(-48 * time.Hour)
	c := certOf(t, entity(t, "a@example.org", made, func(c *packet.Config) { c.KeyLifetimeSecs = 3600 }))
	end, ok := c.Expires()
	if !ok || !end.Equal(made.Add(time.Hour)) || !c.CanEncrypt(end) || c.CanEncrypt(end.Add(time.Second)) {
		t.Errorf("expires %v, %v", end, ok)
	}
	own := newTestKey(t, "a@example.org").Cert()
	if _, ok := own.Expires(); ok || !own.CanEncrypt(now.AddDate(50, 0, 0)) || !own.Created().Equal(now.Add(-time.Hour)) {
		t.Error("a new key expires")
	}
	if !own.CanEncrypt(now.Add(-2 * time.Hour)) {
		t.Error("our clock behind the key's: nothing can be encrypted")
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"<a@example.org>":                   "a@example.org",
		"a@example.org":                     "a@example.org",
		"Ann (work) <Ann@Example.org>":      "Ann@Example.org",
		"\"<x@y>\" <ann@example.org>":       "ann@example.org",
		"Ann":                               "",
		"":                                  "",
		"<ann@example.org":                  "",
		"<@example.org>":                    "",
		"<a b@example.org>":                 "",
		"<a@example.org,b@example.org>":     "",
		"<a@example.org>\r\nBcc: <b@c.org>": "b@c.org",
	}
	for id, want := range tests {
		if got := addrSpec(id); got != want {
			t.Errorf("%q: %q, want %q", id, got, want)
		}
	}
}

// TestConcurrentUse: one certificate and one key, many users.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	k, peer := newTestKey(t, "alice@example.org"), captured(t, "v3-contact", "bob")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			b, err := Encrypt([]byte(hello), EncryptOptions{Signer: k, To: []*Cert{k.Cert(), peer.Cert()}, Now: now})
			if err != nil {
				t.Error(err)
				return
			}
			o, err := Open(b, OpenOptions{Keys: []*Key{peer, k}, Certs: offering(k.Cert()), Now: now})
			if err != nil || o.Signature.State != SignatureGood {
				t.Error(err)
			}
			k.Cert().Minimal()
		})
	}
	wg.Wait()
}

func TestFingerprints(t *testing.T) {
	t.Parallel()
	f := "0123456789ABCDEF0123456789ABCDEF01234567"
	for _, in := range []string{f, strings.ToLower(f), "0x" + f, " 0123 4567 89ab cdef 0123  4567 89ab cdef 0123 4567\n", Fingerprint(f).Grouped()} {
		if got, err := ParseFingerprint(in); err != nil || string(got) != f {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	if v6, err := ParseFingerprint(f + f[:24]); err != nil || len(v6) != 64 {
		t.Errorf("version 6: %v", err)
	}
	for _, in := range []string{"", "x", f[1:], f + "0", strings.Replace(f, "0", "g", 1)} {
		if got, err := ParseFingerprint(in); !errors.Is(err, ErrBadKey) {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	v4 := Fingerprint(f)
	if !v4.IsIssuer(v4) || !v4.IsIssuer(v4[24:]) || v4.IsIssuer(v4[:16]) || v4.IsIssuer("") || v4.IsIssuer(v4[32:]) {
		t.Error("version 4: key id")
	}
	v6 := Fingerprint(f + f[:24])
	if !v6.IsIssuer(v6[:16]) || v6.IsIssuer(v6[48:]) {
		t.Error("version 6: key id")
	}
}
