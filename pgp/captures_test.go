package pgp_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"mailbridge/internal/vectors"
	"mailbridge/message"
	"mailbridge/pgp"
)

// recorded is about when the captures were made.
var recorded = time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)

// TestCaptures opens every recorded message with the recipient's key and the
// scenario's secrets and compares the payload with what another program
// found.
func TestCaptures(t *testing.T) {
	t.Parallel()
	for _, s := range vectors.Load(t) {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			b := newBox(t, s)
			for _, m := range s.Messages {
				b.check(t, m)
			}
		})
	}
}

// box is what one may know in a scenario.
type box struct {
	s     vectors.Scenario
	keys  map[string]*pgp.Key
	certs []*pgp.Cert
}

func newBox(t *testing.T, s vectors.Scenario) box {
	b := box{s: s, keys: make(map[string]*pgp.Key)}
	for name, u := range s.Users {
		if u.Key == nil {
			continue
		}
		key, err := pgp.ParseKey(u.Key)
		if err != nil {
			t.Fatalf("key of %s: %v", name, err)
		}
		b.keys[name] = key
		cert, err := pgp.ParseCert(u.Cert)
		if err != nil {
			t.Fatalf("certificate of %s: %v", name, err)
		}
		if cert.Fingerprint() != key.Fingerprint() || !cert.CanEncrypt(recorded) {
			t.Errorf("certificate of %s does not go with its key", name)
		}
		b.certs = append(b.certs, cert)
	}
	return b
}

func (b box) check(t *testing.T, m vectors.Message) {
	ciphertext, form, ok := pgp.SplitEncrypted(m.Raw, message.Parse(m.Raw))
	if m.State == "plain" {
		if ok {
			t.Errorf("%s: found ciphertext in a plain message", m.File)
		}
		return
	}
	opened, err := b.open(t, m, ciphertext, ok)
	if m.State == "closed" {
		if !errors.Is(err, pgp.ErrNoSecret) {
			t.Errorf("%s: opened with the wrong secret: %v", m.File, err)
		}
		return
	}
	if err != nil {
		t.Errorf("%s: %v", m.File, err)
		return
	}
	if ok && form != pgp.FormProper {
		t.Errorf("%s: form is %v", m.File, form)
	}
	b.compare(t, m, opened)
}

func (b box) open(t *testing.T, m vectors.Message, ciphertext []byte, mime bool) (*pgp.Opened, error) {
	o := pgp.OpenOptions{
		Keys:  []*pgp.Key{b.keys[m.To]},
		Certs: func([]byte, []pgp.Fingerprint) []*pgp.Cert { return b.certs },
		Now:   recorded,
	}
	if !mime { // the setup messages: armor in an attachment
		root := message.Parse(m.Raw)
		return pgp.OpenPassphrase(root.Find(1, 2).Decoded(m.Raw), b.s.Secrets[0], o)
	}
	info, err := pgp.Inspect(ciphertext)
	if err != nil {
		t.Errorf("%s: inspect: %v", m.File, err)
	}
	if info.Kind == pgp.Symmetric {
		return pgp.OpenSymmetric(ciphertext, slices.Values(b.s.Secrets), o)
	}
	return pgp.Open(ciphertext, o)
}

func (b box) compare(t *testing.T, m vectors.Message, opened *pgp.Opened) {
	if !bytes.Equal(opened.Payload, m.Plain) {
		t.Errorf("%s: payload differs from the recorded one", m.File)
	}
	state := pgp.SignatureGood
	if m.Signer == "" {
		state = pgp.SignatureNone
	}
	if opened.Signature.State != state || string(opened.Signature.Signer) != m.Signer {
		t.Errorf("%s: signature %v by %q, want %v by %q", m.File,
			opened.Signature.State, opened.Signature.Signer, state, m.Signer)
	}
	if !opened.IntendedForUs || opened.Symmetric != m.Symmetric {
		t.Errorf("%s: for us %v, symmetric %v", m.File, opened.IntendedForUs, opened.Symmetric)
	}
	if state == pgp.SignatureGood && opened.Signature.At.After(recorded) {
		t.Errorf("%s: signed at %v", m.File, opened.Signature.At)
	}
}
