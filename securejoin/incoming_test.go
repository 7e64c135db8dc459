package securejoin_test

import (
	"testing"

	"mailbridge/internal/vectors"
	"mailbridge/message"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

func header(lines string) message.Header {
	h, _ := message.ParseHeader([]byte(lines + "\r\n"))
	return h
}

func TestStepOf(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		header string
		want   securejoin.Step
	}{
		{"Subject: x\r\n", securejoin.NoStep},
		{"Secure-Join: nonsense\r\n", securejoin.NoStep},
		{"Secure-Join: vc-contact-confirm-received\r\n", securejoin.NoStep},
		{"Secure-Join: vg-pubkey\r\n", securejoin.NoStep},
		{"Secure-Join: vg-contact-confirm\r\n", securejoin.NoStep},
		{"Secure-Join:  VC-Pubkey \r\n", securejoin.Pubkey},
		{"Secure-Join: vc-request-pubkey\r\n", securejoin.RequestPubkey},
		{"Secure-Join: vc-request-with-auth\r\n", securejoin.RequestWithAuth},
		{"Secure-Join: vg-request-with-auth\r\n", securejoin.RequestWithAuth},
		{"Secure-Join: vc-contact-confirm\r\n", securejoin.ContactConfirm},
		{"Secure-Join: vg-member-added\r\n", securejoin.MemberAdded},
		{"Secure-Join: vc-auth-required\r\n", securejoin.AuthRequired},
		{"Secure-Join: vg-auth-required\r\n", securejoin.AuthRequired},
		{"Secure-Join: vg-request\r\n", securejoin.Request},
		{"Secure-Join: vc-contact-confirm\r\nSecure-Join-Invitenumber: x\r\n", securejoin.Request},
	} {
		got, ok := securejoin.StepOf(header(test.header))
		if got != test.want || ok != (test.want != securejoin.NoStep) {
			t.Errorf("%q: %v, %v", test.header, got, ok)
		}
	}
}

func TestReadIncoming(t *testing.T) {
	t.Parallel()
	const inner = "From: \"Bob\" <Bob@Example.org>\r\nMessage-ID: <2@localhost>\r\nDate: Fri, 01 May 2026 12:00:00 +0000\r\n" +
		"Secure-Join: vc-request-with-auth\r\nSecure-Join-Auth: " + auth + "\r\nSecure-Join-Group: " + grp + "\r\n" +
		"Secure-Join-Fingerprint: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n"
	signed := &pgp.Opened{Signature: pgp.Signature{State: pgp.SignatureGood, Signer: bobKey}, IntendedForUs: true}
	in, ok := securejoin.ReadIncoming(header("From: bob@example.org\r\n"), header(inner), signed, nil)
	if !ok || in.From() != bobAddr || in.Name != "Bob" || in.Signer != bobKey || in.Fingerprint != bobKey ||
		in.Auth != auth || in.Group != grp || in.MessageID != "2@localhost" || !in.Date.Equal(noon) || in.Step != securejoin.RequestWithAuth {
		t.Errorf("%+v", in)
	}
	if signer, id := in.Handled(); signer != string(bobKey) || id != "2@localhost" {
		t.Errorf("handled as %q, %q", signer, id)
	}
	if _, ok := securejoin.ReadIncoming(header(""), header("Subject: x\r\n"), signed, nil); ok {
		t.Error("reads a step out of nothing")
	}

	for name, opened := range map[string]*pgp.Opened{
		"unsigned":       {},
		"unknown signer": {Signature: pgp.Signature{State: pgp.SignatureUnknown, Issuers: []pgp.Fingerprint{bobKey}}, IntendedForUs: true},
		"bad signature":  {Signature: pgp.Signature{State: pgp.SignatureBad, Signer: bobKey}, IntendedForUs: true},
		"for others":     {Signature: pgp.Signature{State: pgp.SignatureGood, Signer: bobKey}},
	} {
		if in, _ := securejoin.ReadIncoming(header(""), header(inner), opened, nil); in.Signer != "" {
			t.Errorf("%s: signer %s", name, in.Signer)
		}
	}
	for name, outer := range map[string]string{
		"no sender":                "Subject: x\r\n",
		"two fields":               "From: bob@example.org\r\nFrom: bob@example.org\r\n",
		"two addresses":            "From: bob@example.org, bob@example.org\r\n",
		"somebody else":            "From: eve@example.org\r\n",
		"an address that is none":  "From: bob\r\n",
		"the address as the name":  "From: \"bob@example.org\" <eve@example.org>\r\n",
		"the address as a comment": "From: eve@example.org (bob@example.org)\r\n",
	} {
		if in, _ := securejoin.ReadIncoming(header(outer), header(inner), signed, nil); in.From() != "" {
			t.Errorf("%s: sender is %q", name, in.From())
		}
	}
}

func TestHandledUnsigned(t *testing.T) {
	t.Parallel()
	if signer, id := request().Handled(); signer != "secret of "+string(aliceKey) || id != "1@localhost" {
		t.Errorf("%q, %q", signer, id)
	}
}

// FuzzReadIncoming: whatever the header, what is read is bounded and fits into header fields.
func FuzzReadIncoming(f *testing.F) {
	for _, m := range vectors.Get(f, "v3-contact").Messages {
		f.Add(m.Raw, m.Plain)
	}
	f.Fuzz(func(t *testing.T, outer, inner []byte) {
		o, _ := message.ParseHeader(outer)
		i, _ := message.ParseHeader(inner)
		opened := &pgp.Opened{Signature: pgp.Signature{State: pgp.SignatureGood, Signer: bobKey}, IntendedForUs: true}
		in, ok := securejoin.ReadIncoming(o, i, opened, request().Proof)
		if !ok {
			return
		}
		for _, s := range []string{in.From(), in.Name} {
			for _, r := range s {
				if r < ' ' || r == 0x7f {
					t.Errorf("control character in %q", s)
				}
			}
		}
		liveInvite().Receive(aliceSelf, in, noon)
		newJoin(t).Receive(bobSelf, in, noon)
	})
}
