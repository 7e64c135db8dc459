package pgp

import (
	"bytes"
	"crypto"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"mailbridge/internal/vectors"
	"mailbridge/message"
)

func crlf(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r\n")) }

func TestSplitEncrypted(t *testing.T) {
	t.Parallel()
	const (
		version = "--b\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n"
		octets  = "--b\nContent-Type: application/octet-stream\n\nCIPHERTEXT\n"
		base64d = "--b\nContent-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\nQ0lQSEVSVEVYVA==\n"
		empty   = "--b\nContent-Type: text/plain\n\n \n\n"
		text    = "--b\nContent-Type: text/plain\n\nWhat do you make of this?\n"
		footer  = "--l\nContent-Type: text/plain\n\n_____\nA list\n"
		end     = "--b--\n"
		proper  = "Content-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=b\n\n"
		mixed   = "Content-Type: multipart/mixed; boundary=b\n\n"
		list    = "Content-Type: multipart/mixed; boundary=l\n\n"
	)
	tests := []struct {
		name string
		mail string
		form Form
		want string
	}{
		{"proper", proper + version + octets + end, FormProper, "CIPHERTEXT"},
		{"encoded", proper + version + base64d + end, FormProper, "CIPHERTEXT"},
		{"without protocol", strings.Replace(proper, "protocol", "p", 1) + version + octets + end, FormProper, "CIPHERTEXT"},
		{"cut in the second part", proper + version + octets, FormProper, "CIPHERTEXT\r\n"},
		{"cut in the first part", proper + version, FormProper, ""},
		{"no parts", proper, FormProper, ""},
		{"three parts", proper + version + octets + octets + end, FormNone, ""},
		{"other protocol", "Content-Type: multipart/encrypted; protocol=\"application/x\"; boundary=b\n\n--b\nContent-Type: application/x\n\nx\n" + octets + end, FormNone, ""},
		{"no parts, other protocol", "Content-Type: multipart/encrypted; boundary=b\n\n", FormNone, ""},
		{"Exchange", mixed + empty + version + octets + end, FormMixedUp, "CIPHERTEXT"},
		{"Exchange, encoded", mixed + empty + version + base64d + end, FormMixedUp, "CIPHERTEXT"},
		{"a text in front", mixed + text + version + octets + end, FormNone, ""},
		{"without text", mixed + version + octets + end, FormNone, ""},
		{"list", list + "--l\n" + proper + version + octets + end + footer + "--l--\n", FormListWrapped, "CIPHERTEXT"},
		{"list, two footers", list + "--l\n" + proper + version + octets + end + footer + footer + "--l--\n", FormListWrapped, "CIPHERTEXT"},
		{"list, a footer in HTML", list + "--l\n" + proper + version + octets + end + strings.Replace(footer, "plain", "html", 1) + "--l--\n", FormNone, ""},
		{"a text before the envelope", list + footer + "--l\n" + proper + version + octets + end + "--l--\n", FormNone, ""},
		{"envelope in an alternative", strings.Replace(list, "mixed", "alternative", 1) + "--l\n" + proper + version + octets + end + footer + "--l--\n", FormNone, ""},
		{"deeper", list + "--l\nContent-Type: multipart/mixed; boundary=m\n\n--m\n" + proper + version + octets + end + "--m--\n--l--\n", FormNone, ""},
		{"attached mail", "Content-Type: message/rfc822\n\n" + proper + version + octets + end, FormNone, ""},
		{"text", "Content-Type: text/plain\n\nhello\n", FormNone, ""},
		{"nothing", "", FormNone, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			raw := crlf("From: a@example.org\n" + test.mail)
			got, form, ok := SplitEncrypted(raw, message.Parse(raw))
			if form != test.form || ok != (form != FormNone) || string(got) != test.want {
				t.Errorf("got %q, %v, %v", got, form, ok)
			}
		})
	}
	if _, _, ok := SplitEncrypted(nil, nil); ok {
		t.Error("found something in nothing")
	}
}

func TestInlineArmor(t *testing.T) {
	t.Parallel()
	armor := string(enarmor(armorMessage, []byte("\xc1\x00")))
	tests := []struct {
		name string
		text string
		ok   bool
	}{
		{"alone", armor, true},
		{"with empty lines", "\r\n \r\n" + armor + "\r\n\r\n", true},
		{"text in front", "see:\r\n" + armor, false},
		{"text behind", armor + "\r\n-- \r\nAnn\r\n", false},
		{"two of them", armor + armor, false},
		{"quoted", "> " + strings.ReplaceAll(armor, "\n", "\n> "), false},
		{"a key", strings.ReplaceAll(armor, armorMessage, armorPublic), false},
		{"signed text", strings.ReplaceAll(armor, armorMessage, "PGP SIGNED MESSAGE"), false},
		{"not closed", armor[:40], false},
		{"nothing", "", false},
	}
	for _, test := range tests {
		got, ok := InlineArmor([]byte(test.text))
		if ok != test.ok || ok && string(got) != strings.TrimSpace(armor) {
			t.Errorf("%s: %q, %v", test.name, got, ok)
		}
	}
}

// TestJoinEncrypted: the body is what Delta Chat 2.62 writes, to the byte,
// but for the blank that it leaves at the end of a header line and the empty
// line before the first boundary.
func TestJoinEncrypted(t *testing.T) {
	t.Parallel()
	raw := vectors.Get(t, "v3-contact").Message(t, "01-bob-alice.eml").Raw
	root := message.Parse(raw)
	ciphertext, _, _ := SplitEncrypted(raw, root)
	boundary := root.Params["boundary"]
	got := JoinEncrypted([]byte("From: <bob@example.org>\r\n"), ciphertext, boundary)
	want := "From: <bob@example.org>\r\nMIME-Version: 1.0\r\n" +
		string(raw[bytes.Index(raw, []byte("Content-Type: multipart")):])
	want = strings.Replace(want, "; \r\n", ";\r\n", 1)
	want = strings.Replace(want, "\r\n\r\n\r\n--", "\r\n\r\n--", 1)
	if string(got) != strings.TrimSuffix(want, "\r\n") {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	again, form, _ := SplitEncrypted(got, message.Parse(got))
	if form != FormProper || !bytes.Equal(again, ciphertext) {
		t.Error("it does not come apart again")
	}
}

// TestRelay judges an own mail as a chatmail relay does (filtermail 0.2).
func TestRelay(t *testing.T) {
	t.Parallel()
	k := newTestKey(t, "alice@example.org")
	for size := range 100 { // every padding of the armor
		ciphertext, err := Encrypt(make([]byte, size*37), EncryptOptions{Signer: k, To: []*Cert{k.Cert()}, Now: now})
		if err != nil {
			t.Fatal(err)
		}
		mail := JoinEncrypted([]byte("From: <alice@example.org>\r\nSubject: [...]\r\n"), ciphertext, "bnd")
		root := message.Parse(mail)
		if len(root.Children) != 2 || string(root.Children[0].Body(mail)) != "Version: 1\r\n" {
			t.Fatalf("parts: %q", root.Children[0].Body(mail))
		}
		body := root.Children[1].Body(mail)
		if !bytes.HasPrefix(body, []byte("-----BEGIN PGP MESSAGE-----\r\n\r\n")) {
			t.Fatalf("second part begins %q", body[:40])
		}
		got := listArmored(t, body)
		if !slices.Equal(got, []string{"PKESK v6 recipient= algorithm=18", "SEIPD v2 cipher=7 aead=2 chunks=7"}) {
			t.Fatalf("packets %q", got)
		}
	}
}

const signedText = "Content-Type: text/plain; charset=utf-8\r\nSubject: inside\r\n\r\nhello \r\n-- \r\nAnn\r\n"

func multipartSigned(t testing.TB, by *Key, made time.Time, kind packet.SignatureType) []byte {
	t.Helper()
	sig := enarmor(armorSignature, detach(t, by.signer, kind, crypto.SHA256, made, []byte(signedText)))
	return slices.Concat([]byte("From: <a@example.org>\r\nContent-Type: multipart/signed; micalg=pgp-sha256;\r\n"+
		" protocol=\"application/pgp-signature\"; boundary=s\r\n\r\npreamble\r\n--s\r\n"), []byte(signedText),
		[]byte("\r\n--s\r\nContent-Type: application/pgp-signature; name=signature.asc\r\n\r\n"), sig, []byte("\r\n--s--\r\n"))
}

func TestVerifySigned(t *testing.T) {
	t.Parallel()
	alice, bob := newTestKey(t, "a@example.org"), newTestKey(t, "b@example.org")
	good := multipartSigned(t, alice, now, packet.SigTypeBinary)
	edit := func(old, new string) []byte { return bytes.Replace(good, []byte(old), []byte(new), 1) }
	tests := []struct {
		name  string
		mail  []byte
		certs []*Cert
		want  SignatureState
		err   error
	}{
		{"good", good, []*Cert{bob.Cert(), alice.Cert()}, SignatureGood, nil},
		{"as text", multipartSigned(t, alice, now, packet.SigTypeText), []*Cert{alice.Cert()}, SignatureGood, nil},
		{"stored with LF", bytes.ReplaceAll(good, []byte("\r\n"), []byte("\n")), []*Cert{alice.Cert()}, SignatureGood, nil},
		{"signer unknown", good, []*Cert{bob.Cert()}, SignatureUnknown, nil},
		{"nobody known", good, nil, SignatureUnknown, nil},
		{"body changed", edit("hello", "Hello"), []*Cert{alice.Cert()}, SignatureBad, nil},
		{"header changed", edit("inside", "Inside"), []*Cert{alice.Cert()}, SignatureBad, nil},
		{"blank stripped", edit("hello \r\n", "hello\r\n"), []*Cert{alice.Cert()}, SignatureBad, nil},
		{"a line more", edit("Ann\r\n", "Ann\r\n\r\n"), []*Cert{alice.Cert()}, SignatureBad, nil},
		{"signature lost", good[:bytes.Index(good, []byte("-----BEGIN"))], []*Cert{alice.Cert()}, SignatureBad, nil},
		{"signature cut", good[:len(good)-100], []*Cert{alice.Cert()}, SignatureBad, nil},
		{"not a signature", edit("PGP SIGNATURE", "PGP MESSAGE"), []*Cert{alice.Cert()}, SignatureBad, nil},
		{"a part more", edit("\r\n--s--", "\r\n--s\r\nContent-Type: text/plain\r\n\r\nfooter\r\n--s--"), []*Cert{alice.Cert()}, 0, ErrNotSigned},
		{"S/MIME", edit("protocol=\"application/pgp-signature\"", "protocol=\"application/pkcs7-signature\""), []*Cert{alice.Cert()}, 0, ErrNotSigned},
		{"not signed", []byte("From: <a@example.org>\r\n\r\nhello\r\n"), []*Cert{alice.Cert()}, 0, ErrNotSigned},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			sig, err := VerifySigned(test.mail, message.Parse(test.mail), func([]Fingerprint) []*Cert { return test.certs }, now)
			if !errors.Is(err, test.err) || sig.State != test.want {
				t.Errorf("got %v, %v, want %v, %v", sig.State, err, test.want, test.err)
			}
			if (sig.Signer == alice.Fingerprint()) != (test.want == SignatureGood) {
				t.Errorf("signer %q", sig.Signer)
			}
		})
	}
	if sig, err := VerifySigned(good, message.Parse(good), nil, now); err != nil || sig.State != SignatureUnknown {
		t.Errorf("no answer on certificates: %v, %v", sig.State, err)
	}
}

// TestLayered opens what Thunderbird sends: multipart/signed, then encrypted
// without a signature (RFC 3156, section 6.1).
func TestLayered(t *testing.T) {
	t.Parallel()
	alice, bob := newTestKey(t, "a@example.org"), newTestKey(t, "b@example.org")
	good := multipartSigned(t, alice, now, packet.SigTypeBinary)
	tests := []struct {
		name    string
		payload []byte
		signer  *Key
		want    SignatureState
		flat    bool
	}{
		{"good", good, nil, SignatureGood, true},
		{"changed", bytes.Replace(good, []byte("hello"), []byte("Hello"), 1), nil, SignatureBad, true},
		{"signature unreadable", bytes.Replace(good, []byte("-----BEGIN"), []byte("-----begin"), 1), nil, SignatureBad, true},
		{"signed outside too", good, alice, SignatureGood, false},
		{"not signed", []byte(signedText), nil, SignatureNone, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b, err := Encrypt(test.payload, EncryptOptions{Signer: test.signer, To: []*Cert{bob.Cert()}, Now: now})
			if err != nil {
				t.Fatal(err)
			}
			var asked []byte
			o, err := Open(b, OpenOptions{Keys: []*Key{bob}, Now: now, Certs: func(payload []byte, _ []Fingerprint) []*Cert {
				asked = payload
				return []*Cert{alice.Cert()}
			}})
			if err != nil {
				t.Fatal(err)
			}
			want := test.payload
			if test.flat {
				want = bytes.Replace([]byte(signedText), []byte("hello"), test.payload[bytes.Index(test.payload, []byte("ello"))-1:][:5], 1)
			}
			if o.Signature.State != test.want || !bytes.Equal(o.Payload, want) || asked != nil && !bytes.Equal(asked, want) {
				t.Errorf("got %v, payload %q", o.Signature.State, o.Payload)
			}
		})
	}
}
