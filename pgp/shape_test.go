package pgp

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"mailbridge/internal/vectors"
	"mailbridge/message"
)

var now = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

func newTestKey(t testing.TB, addr string) *Key {
	t.Helper()
	k, err := Generate(addr, now.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func captured(t testing.TB, scenario, user string) *Key {
	t.Helper()
	k, err := ParseKey(vectors.Get(t, scenario).Users[user].Key)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// whole lists the packets outside and inside of a message, as they are told
// apart by nobody but the reader.
func whole(t *testing.T, armored []byte, secret string, keys ...*Key) (outside, inside []string) {
	t.Helper()
	outside = listArmored(t, armored)
	m, err := parseMessage(armored)
	if err != nil {
		t.Fatal(err)
	}
	data, err := m.decrypt(keys)
	if secret != "" {
		s, err1 := parseSKESK(m.esks[0])
		if err1 != nil {
			t.Fatal(err1)
		}
		sessionKey, _, err1 := s.Decrypt([]byte(secret))
		if err1 != nil {
			t.Fatal(err1)
		}
		data, err = decryptData(m.data, 0, sessionKey)
	}
	if err != nil {
		t.Fatal(err)
	}
	inside = listPackets(t, data)
	if strings.HasPrefix(inside[0], "compressed") {
		p, _, _ := nextPacket(data)
		if data, err = decompress(p.body, 1<<20); err != nil {
			t.Fatal(err)
		}
		inside = append(inside, listPackets(t, data)...)
	}
	return outside, inside
}

// TestShape compares what the package writes packet by packet with what
// Delta Chat 2.62 wrote at the same step.
func TestShape(t *testing.T) {
	t.Parallel()
	s := vectors.Get(t, "v3-contact")
	alice, bob := captured(t, "v3-contact", "alice"), captured(t, "v3-contact", "bob")
	// The exported keys lack what the keys in the mails announce; ours have it.
	ownAlice, ownBob := newTestKey(t, "alice@example.org"), newTestKey(t, "bob@example.org")
	payload := []byte("Content-Type: text/plain\r\n\r\nhello\r\n")
	secret := s.Invites[0].Passphrase
	tests := []struct {
		file     string
		secret   string
		compress bool
		write    func(compress bool) ([]byte, error)
	}{
		{"01-bob-alice.eml", secret, false, func(c bool) ([]byte, error) {
			return EncryptSymmetric(payload, secret, SymmetricOptions{Now: now, Compress: c})
		}},
		{"02-alice-bob.eml", secret, false, func(c bool) ([]byte, error) {
			return EncryptSymmetric(payload, secret, SymmetricOptions{Signer: ownAlice, Now: now, Compress: c})
		}},
		{"03-bob-alice.eml", "", false, func(c bool) ([]byte, error) {
			return Encrypt(payload, EncryptOptions{Signer: ownBob, To: []*Cert{ownBob.Cert(), ownAlice.Cert()}, Now: now, Compress: c})
		}},
		{"05-bob-alice.eml", "", true, func(c bool) ([]byte, error) {
			return Encrypt(payload, EncryptOptions{Signer: ownBob, To: []*Cert{ownBob.Cert(), ownAlice.Cert()}, Now: now, Compress: c})
		}},
	}
	for _, test := range tests {
		t.Run(test.file, func(t *testing.T) {
			t.Parallel()
			raw := s.Message(t, test.file).Raw
			theirs, _, _ := SplitEncrypted(raw, message.Parse(raw))
			ours, err := test.write(test.compress)
			if err != nil {
				t.Fatal(err)
			}
			wantOut, wantIn := whole(t, theirs, test.secret, alice, bob)
			gotOut, gotIn := whole(t, ours, test.secret, ownAlice, ownBob)
			if !slices.Equal(gotOut, wantOut) {
				t.Errorf("outside\n got %q\nwant %q", gotOut, wantOut)
			}
			if !slices.Equal(gotIn, wantIn) {
				t.Errorf("inside\n got %q\nwant %q", gotIn, wantIn)
			}
		})
	}
}

// TestShapeVersion1: one recipient who does not announce version 2 makes the
// message version 1 for all, as Delta Chat 2.62 wrote to 2.33.
func TestShapeVersion1(t *testing.T) {
	t.Parallel()
	old := captured(t, "legacy-contact-2.62-2.33", "bob")
	own := newTestKey(t, "alice@example.org")
	if old.Cert().SupportsSEIPDv2() || !own.Cert().SupportsSEIPDv2() {
		t.Fatal("the keys do not announce what they should")
	}
	s := vectors.Get(t, "legacy-contact-2.62-2.33")
	raw := s.Message(t, "02-alice-bob.eml").Raw
	theirs, _, _ := SplitEncrypted(raw, message.Parse(raw))
	ours, err := Encrypt([]byte("hello"), EncryptOptions{Signer: own, To: []*Cert{own.Cert(), old.Cert()}, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	wantOut, wantIn := whole(t, theirs, "", old)
	gotOut, gotIn := whole(t, ours, "", old)
	if !slices.Equal(gotOut, wantOut) || !slices.Equal(gotIn, wantIn) {
		t.Errorf("got %q %q\nwant %q %q", gotOut, gotIn, wantOut, wantIn)
	}
}

// TestShapeKey: the five packets of Autocrypt Level 1, and nothing that sets
// the key apart.
func TestShapeKey(t *testing.T) {
	t.Parallel()
	want := []string{
		"key 6 v4 algorithm=22",
		`user id "<alice@example.org>"`,
		"signature v4 type=19 algorithm=22 hash=8 [11 16 2! 21 22 25 27! 30 33 39]",
		"key 14 v4 algorithm=18",
		"signature v4 type=24 algorithm=22 hash=8 [16 2! 27! 33]",
	}
	k := newTestKey(t, "alice@example.org")
	if got := listPackets(t, k.Cert().Bytes()); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if !bytes.Equal(k.Cert().Minimal(), k.Cert().Bytes()) {
		t.Error("a new key is not minimal")
	}
	if n := len(k.Cert().Bytes()); n > 600 {
		t.Errorf("%d bytes", n)
	}
}
