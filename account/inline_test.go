package account_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"mailbridge/headers"
	"mailbridge/internal/provider"
	"mailbridge/mailbox"
	"mailbridge/pgp"
)

// encryptTo encrypts a text for a person, signed by nobody.
func encryptTo(t *testing.T, p *person, text string) string {
	t.Helper()
	key, err := p.OwnKey(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := pgp.ParseCert([]byte(key.Armored))
	if err != nil {
		t.Fatal(err)
	}
	armored, err := pgp.Encrypt([]byte(text), pgp.EncryptOptions{To: []*pgp.Cert{cert}, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return string(armored)
}

// deliver puts a message of Carol's, who has no key, into a person's inbox.
func (p *person) deliver(t *testing.T, contentType, body string) {
	t.Helper()
	msg := "From: Carol <carol@example.org>\r\nTo: <" + p.addr + ">\r\nSubject: outside\r\nDate: Mon, 2 Nov 2026 10:00:00 +0100\r\n" +
		"Message-ID: <inline@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: " + contentType + "\r\n\r\n" + body
	if err := p.w.provider.Deliver(p.addr, []byte(msg)); err != nil {
		t.Fatal(err)
	}
}

func TestInline(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice := w.add("alice")
	alice.deliver(t, "text/plain; charset=utf-8", encryptTo(t, alice, "Grüße, inline 0815\r\n"))
	m := alice.wait(mailbox.Inbox, "inline 0815")
	s, _ := headers.ParseSecurity(m.header(headers.SecurityName))
	if s.Encryption != "openpgp" || s.Signature != "none" || s.Trust != "none" || m.header("Subject") != "outside" || !m.Flags.Has(mailbox.Encrypted) {
		t.Errorf("%+v %v\n%s", s, m.Flags, m.raw)
	}
	w.provider.AddUser("carol@"+domain, "x")
	_, err := alice.Submit(context.Background(), alice.addr, []string{"carol@" + domain},
		[]byte(letterTo(alice.addr, "carol@"+domain, "Re: outside", "quoted", "In-Reply-To: <inline@example.org>")))
	if err == nil || !strings.Contains(err.Error(), "no encryption key") {
		t.Errorf("the answer in the clear: %v", err)
	}
}

// TestInlineWithOtherText: armor inside other text, or in HTML, is not opened. An attacker
// wraps a question around an old message, and the answer quotes it.
func TestInlineWithOtherText(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice := w.add("alice")
	armor := encryptTo(t, alice, "old secret 0816")
	alice.deliver(t, "text/plain", "What was this again?\r\n\r\n"+armor)
	alice.deliver(t, "text/html", armor)
	w.eventually("both messages are there", func() bool { return len(alice.read(mailbox.Inbox)) == 2 })
	for _, m := range alice.read(mailbox.Inbox) {
		if strings.Contains(string(m.raw), "old secret") || m.header(headers.SecurityName) != "" {
			t.Errorf("opened:\n%s", m.raw)
		}
	}
}

// TestMangled: what Exchange makes of PGP/MIME is repaired, and a list's form is opened into
// an attachment without any standing.
func TestMangled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice := w.add("alice")
	payload := "Content-Type: text/plain\r\nSubject: inside\r\n\r\n"
	exchange := "--x\r\nContent-Type: text/plain\r\n\r\n\r\n--x\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--x\r\nContent-Type: application/octet-stream\r\n\r\n" +
		encryptTo(t, alice, payload+"mangled 0817\r\n") + "\r\n--x--\r\n"
	list := "--x\r\nContent-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=y\r\n\r\n--y\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--y\r\nContent-Type: application/octet-stream\r\n\r\n" +
		encryptTo(t, alice, payload+"by a list 0818\r\n") + "\r\n--y--\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\nthe list's footer\r\n--x--\r\n"
	alice.deliver(t, "multipart/mixed; boundary=x", exchange)
	m := alice.wait(mailbox.Inbox, "mangled 0817")
	if s, _ := headers.ParseSecurity(m.header(headers.SecurityName)); s.Encryption != "openpgp" || len(s.Warnings) != 0 {
		t.Errorf("%+v", s)
	}
	alice.deliver(t, "multipart/mixed; boundary=x", list)
	m = alice.wait(mailbox.Inbox, "by a list 0818")
	if s, _ := headers.ParseSecurity(m.header(headers.SecurityName)); s.Signature != "none" || len(s.Warnings) != 1 || s.Warnings[0] != "errant-layer" || m.header("Subject") != "outside" {
		t.Errorf("%+v\n%s", s, m.raw)
	}
}
