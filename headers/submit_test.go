package headers

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"mailbridge/message"
)

func TestSubmit(t *testing.T) {
	t.Parallel()
	o := SubmitOptions{Autocrypt: "addr=a@b; keydata=AAAA", MessageID: "made@example.org", Date: realDate}
	const added = "Autocrypt: addr=a@b; keydata=\r\n AAAA\r\n"
	for _, tt := range []struct{ name, msg, want string }{
		{"nothing to remove", "Message-ID: <a@b>\r\nDate: x\r\nSubject:  odd   blanks \r\n\t\r\nX :y\r\n\r\nb\n\r\r\n", "Message-ID: <a@b>\r\nDate: x\r\nSubject:  odd   blanks \r\n\t\r\nX :y\r\n" + added + "\r\nb\n\r\r\n"},
		{"Bcc, folded", "Message-ID: <a@b>\r\nBcc: x@y,\r\n z@y\r\nDate: x\r\n\r\n", "Message-ID: <a@b>\r\nDate: x\r\n" + added + "\r\n"},
		{"names of ours and the draft state", "Mailbridge-Encrypt: no\r\nmessage-id: <a@b>\r\nDate: x\r\nAutocrypt-Draft-State: encrypt=no\r\nX-Forge: a\rMailbridge-X: b\r\n\r\n", "message-id: <a@b>\r\nDate: x\r\n" + added + "\r\n"},
		{"subject tag", "Message-ID: <a@b>\r\nDate: x\r\nSubject: [PLAIN]  Lunch\r\n today\r\n\r\n", "Message-ID: <a@b>\r\nDate: x\r\nSubject: Lunch\r\n today\r\n" + added + "\r\n"},
		{"subject tag alone", "Message-ID: <a@b>\r\nDate: x\r\nSubject: [enc]\r\n\r\n", "Message-ID: <a@b>\r\nDate: x\r\nSubject: \r\n" + added + "\r\n"},
		{"encoded subject tag", "Message-ID: <a@b>\r\nDate: x\r\nSubject: =?utf-8?q?[plain]_K=C3=BCche?=\r\n\r\n", "Message-ID: <a@b>\r\nDate: x\r\nSubject: =?utf-8?q?K=C3=BCche?=\r\n" + added + "\r\n"},
		{"missing Message-ID and Date", "Subject: Re: [plain] x\r\n\r\nb", "Subject: Re: [plain] x\r\nMessage-ID: <made@example.org>\r\nDate: Sat, 21 Nov 2026 09:30:00 +0100\r\n" + added + "\r\nb"},
		{"its own Autocrypt", "Message-ID: <a@b>\r\nDate: x\r\nAutocrypt: addr=own\r\n\r\n", "Message-ID: <a@b>\r\nDate: x\r\nAutocrypt: addr=own\r\n\r\n"},
		{"header alone", "Date: x\r\nMessage-ID: <a@b>", "Date: x\r\nMessage-ID: <a@b>\r\n" + added},
	} {
		if got := string(Submit([]byte(tt.msg), o)); got != tt.want {
			t.Errorf("%s:\n%q\nwant:\n%q", tt.name, got, tt.want)
		}
	}
}

func TestAskedFor(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		header string
		want   Wish
	}{
		{"Subject: Lunch", NoWish},
		{"Subject: [enc] Lunch", WishEncrypt},
		{"Subject: [ENC]Lunch", WishEncrypt},
		{"Subject: =?utf-8?b?W2VuY10gS8O8Y2hl?=", WishEncrypt},
		{"Subject: Re: [enc] Lunch", NoWish},
		{"Subject: [plain] Lunch", WishPlain},
		{"Subject: Re: [plain] Lunch", NoWish},
		{"Subject: [plain] Lunch\r\nIn-Reply-To: <a@b>", NoWish},
		{"Subject: [plain] Lunch\r\nReferences:", NoWish},
		{"Subject: [plain] Lunch\r\nX-Forwarded-Message-Id: <a@b>", NoWish},
		{"Subject: [enc] Lunch\r\nIn-Reply-To: <a@b>", WishEncrypt},
		{"Mailbridge-Encrypt: YES", WishEncrypt},
		{"mailbridge-encrypt: no", WishPlain},
		{"Mailbridge-Encrypt: no\r\nReferences: <a@b>", NoWish},
		{"Mailbridge-Encrypt: no\r\nMailbridge-Encrypt: yes", WishEncrypt},
		{"Subject: [plain] [enc]\r\nMailbridge-Encrypt: yes", WishEncrypt},
		{"Mailbridge-Encrypt: maybe", NoWish},
	} {
		h, _ := message.ParseHeader([]byte(tt.header + "\r\n"))
		if got := AskedFor(h); got != tt.want {
			t.Errorf("%q: %v, want %v", tt.header, got, tt.want)
		}
	}
}

func TestReferences(t *testing.T) {
	t.Parallel()
	h, _ := message.ParseHeader([]byte("References: <a@b>\r\n <c@d>\r\nIn-Reply-To: <e@f> (x)\r\nX-Forwarded-Message-Id: <g@h>\r\n"))
	if got := References(h); !reflect.DeepEqual(got, []string{"e@f", "a@b", "c@d", "g@h"}) {
		t.Errorf("References %q", got)
	}
	if !IsAnswer(h) || IsAnswer(message.Header{}) {
		t.Error("IsAnswer is wrong")
	}
}

func TestSecurity(t *testing.T) {
	t.Parallel()
	s := Security{
		Encryption: "openpgp", Signature: "good", Signer: `"a; trust=verified"@exämple.org`,
		Fingerprint: "ABCD", Trust: "none", Warnings: []string{"from-mismatch", "key-changed"},
	}
	const want = `encryption=openpgp; signature=good; signer=%22a%3B%20trust%3Dverified%22@ex%C3%A4mple.org; fingerprint=ABCD; trust=none; warning=from-mismatch; warning=key-changed`
	if s.String() != want {
		t.Errorf("%s\nwant\n%s", s, want)
	}
	if got, ok := ParseSecurity(want); !ok || !reflect.DeepEqual(got, s) {
		t.Errorf("read back as %+v", got)
	}
	for _, bad := range []string{"", "encryption", "signature=good", "encryption=none; x=y", "encryption=%zz"} {
		if _, ok := ParseSecurity(bad); ok {
			t.Errorf("%q is accepted", bad)
		}
	}
	if got := string(SignedPrefix(Security{Encryption: "none"})); got != "Mailbridge-Security: encryption=none\r\n" {
		t.Errorf("prefix %q", got)
	}
}

func TestNeutraliseForged(t *testing.T) {
	t.Parallel()
	msg := []byte("Mailbridge-Security: a\r\nX: Mailbridge-Y\r\n mailbridge-z: b\r\nmAILBRIDGE-X : c\rMailbridge-Q: d\r\n\r\nMailbridge-Security: text\r\n")
	want := "Xailbridge-Security: a\r\nX: Mailbridge-Y\r\n mailbridge-z: b\r\nxAILBRIDGE-X : c\rXailbridge-Q: d\r\n\r\nMailbridge-Security: text\r\n"
	before := bytes.Clone(msg)
	if got := string(NeutraliseForged(msg)); got != want {
		t.Errorf("%q\nwant\n%q", got, want)
	}
	if !bytes.Equal(msg, before) {
		t.Error("the argument was changed")
	}
	plain := []byte("Subject: x\r\n\r\n")
	if got := NeutraliseForged(plain); &got[0] != &plain[0] {
		t.Error("an innocent message was copied")
	}
}

func TestSeal(t *testing.T) {
	t.Parallel()
	for _, msg := range []string{submitted, "", "no header", "\r\n\r\n", "a\nb\r\n\x00\xff", "Mailbridge-Sealed: v1 x\r\n\r\n"} {
		outer, payload := Seal([]byte(msg), "anna@example.org", "m1@example.org", realDate, "TAG=")
		want := "From: <anna@example.org>\r\nDate: Sat, 21 Nov 2026 09:30:00 +0100\r\nMessage-ID: <m1@example.org>\r\nSubject: [...]\r\n"
		if got := string(outer.Bytes()); got != want {
			t.Errorf("outer header:\n%s", got)
		}
		got, tag, ok := Unseal(payload)
		if !ok || tag != "TAG=" || string(got) != msg {
			t.Errorf("%q comes back as %q, tag %q, %v", msg, got, tag, ok)
		}
	}
	_, payload := Seal([]byte("x"), "a@b", "", realDate, "")
	if msg, tag, ok := Unseal(payload); !ok || tag != "" || string(msg) != "x" {
		t.Errorf("without a tag: %q %q %v", msg, tag, ok)
	}
	for _, other := range []string{"", "Content-Type: message/rfc822\r\n\r\nx", "Mailbridge-Sealed: v1\r\n\r\n", "Subject: x\r\n" + string(payload)} {
		if _, _, ok := Unseal([]byte(other)); ok {
			t.Errorf("%q counts as sealed", other)
		}
	}
}

func FuzzSubmit(f *testing.F) {
	f.Add([]byte(submitted))
	f.Add([]byte("Subject: =?utf-8?q?[enc]?=\r\nBcc:x"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		out := Submit(msg, SubmitOptions{Autocrypt: "addr=a@b; keydata=AA==", MessageID: "a@b", Date: realDate})
		removed := false
		message.EachField(msg, func(name string, start, end int) bool {
			removed = removed || unsent(name) || hidesOwn(msg[start:end]) || strings.EqualFold(name, "Subject")
			return true
		})
		body := msg[message.HeaderSize(msg):]
		if !bytes.HasSuffix(out, body) {
			t.Errorf("body of %q changed to %q", msg, out)
		}
		if !removed && !bytes.HasPrefix(out, bytes.TrimRight(msg[:len(msg)-len(body)], "\r\n")) {
			t.Errorf("header of %q changed to %q", msg, out)
		}
		message.EachField(out, func(name string, start, end int) bool {
			if unsent(name) {
				t.Errorf("still there: %q", out[start:end])
			}
			return true
		})
		h, _ := message.ParseHeader(msg)
		AskedFor(h)
	})
}

func FuzzNeutraliseForged(f *testing.F) {
	f.Add([]byte("Mailbridge-Security: x\r\n\r\nMailbridge-"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		out := NeutraliseForged(msg)
		if len(out) != len(msg) || message.HeaderSize(out) != message.HeaderSize(msg) {
			t.Fatalf("%q became %q", msg, out)
		}
		h, _ := message.ParseHeader(out)
		for _, f := range h.Fields {
			if own(f.Name) {
				t.Errorf("still there: %q", f.Raw)
			}
		}
	})
}

func FuzzSecurity(f *testing.F) {
	f.Add("openpgp", "a@b", "x")
	f.Fuzz(func(t *testing.T, encryption, signer, warning string) {
		s := Security{Encryption: encryption, Signer: signer}
		if warning != "" {
			s.Warnings = []string{warning}
		}
		line := s.String()
		if strings.ContainsAny(line, "\r\n\x00") {
			t.Errorf("%q is no line", line)
		}
		got, ok := ParseSecurity(line)
		if encryption != "" && (!ok || !reflect.DeepEqual(got, s)) {
			t.Errorf("%+v comes back as %+v from %q", s, got, line)
		}
	})
}

func FuzzUnseal(f *testing.F) {
	_, payload := Seal([]byte("x"), "a@b", "", realDate, "t")
	f.Add(payload)
	f.Fuzz(func(t *testing.T, payload []byte) {
		if msg, _, ok := Unseal(payload); ok && !bytes.HasSuffix(payload, msg) {
			t.Errorf("%q holds %q", payload, msg)
		}
	})
}
