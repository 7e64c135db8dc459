package account_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"mailbridge/account"
	"mailbridge/internal/provider"
	"mailbridge/mailbox"
)

// The tests in this file try to make plaintext of encrypted mail reach the provider.

// A signature is no encryption: an answer to encrypted mail that the client has only signed
// must not go out as it is.
func TestAttackSignedAnswerIsNotPlain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	w.shake(alice, bob)
	const secret = "Blutwurstrezept"
	w.provider.Watch(secret)
	alice.submit([]string{bob.addr}, letterTo(alice.addr, bob.addr, "first", secret))
	got := bob.wait(mailbox.Inbox, secret)
	id := got.header("Message-ID")
	bodies := map[string]string{
		"multipart/signed; protocol=\"application/pgp-signature\"; micalg=pgp-sha256; boundary=x": "--x\nContent-Type: text/plain\n\n> " + secret + " signed\n--x\nContent-Type: application/pgp-signature\n\nx\n--x--\n",
		"application/pkcs7-mime; smime-type=signed-data; name=smime.p7m":                          "> " + secret + " opaque\n",
		"multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=x":                 "--x\nContent-Type: text/plain\n\n> " + secret + " pretended\n--x--\n",
		"multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=y":                 "--y\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n\n--y\nContent-Type: application/octet-stream\n\n> " + secret + " unarmored\n--y--\n",
	}
	n := 0
	for media, body := range bodies {
		n++
		msg := fmt.Sprintf("From: %s\nTo: %s\nSubject: Re: first\nDate: %s\nMessage-ID: <signed%d@client.example>\nIn-Reply-To: %s\nMIME-Version: 1.0\nContent-Type: %s\n\n%s",
			bob.addr, alice.addr, time.Now().Format(time.RFC1123Z), n, id, media, body)
		if _, err := bob.Submit(context.Background(), bob.addr, []string{alice.addr}, []byte(crlf(msg))); err != nil {
			t.Errorf("%s: %v", media, err)
		}
		var refusal *account.Refusal
		if _, err := bob.Submit(context.Background(), bob.addr, []string{"nobody@" + domain}, []byte(crlf(msg))); !errors.As(err, &refusal) || refusal.Code != 550 || refusal.Enhanced != [3]int{5, 7, 5} {
			t.Errorf("%s to somebody without a key: %v", media, err)
		}
	}
	for _, text := range []string{" signed", " opaque", " pretended", " unarmored"} {
		alice.wait(mailbox.Inbox, text)
	}
}

// What the client has really encrypted passes as it is.
func TestClientsOwnEncryptionPasses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	msg := w.encrypted(bob, outerOf(alice.addr, bob.addr, "own@client.example"), "Content-Type: text/plain\r\n\r\nby the client\r\n", nil)
	if _, err := alice.Submit(context.Background(), alice.addr, []string{bob.addr}, msg); err != nil {
		t.Fatal(err)
	}
	if sent := w.provider.Submissions()[0].Data; !bytes.Contains(sent, msg[bytes.Index(msg, []byte("-----BEGIN")):]) {
		t.Errorf("sent\n%s", sent)
	}
	bob.wait(mailbox.Inbox, "by the client")
}

// A header so long that its end is not read could hide what the message answers.
func TestAttackLongHeaderHidesReference(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	w.provider.AddUser("carol@"+domain, "x")
	w.shake(alice, bob)
	alice.submit([]string{bob.addr}, letterTo(alice.addr, bob.addr, "first", "Leberkaesgeheimnis"))
	id := bob.wait(mailbox.Inbox, "Leberkaesgeheimnis").header("Message-ID")
	w.provider.Watch("Leberkaesgeheimnis")
	long := strings.Repeat("X-Filler: "+strings.Repeat("f", 900)+"\n", 300)
	msg := letterTo(bob.addr, "carol@"+domain, "Re: first", "> Leberkaesgeheimnis", strings.TrimSuffix(long, "\n"), "In-Reply-To: "+id)
	var refusal *account.Refusal
	if _, err := bob.Submit(context.Background(), bob.addr, []string{"carol@" + domain}, []byte(crlf(msg))); !errors.As(err, &refusal) {
		t.Errorf("got %v", err)
	}
}

// Opened mail that a client stores again is sealed, whatever its form says.
func TestAttackOpenedMailIsStoredSealed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	w.shake(alice, bob)
	if err := alice.Create(context.Background(), "Archive"); err != nil {
		t.Fatal(err)
	}
	const secret = "Himbeergeistrezept"
	w.provider.Watch(secret)
	// The payload says of itself that it is encrypted.
	payload := fmt.Sprintf("From: %s\r\nTo: %s\r\nSubject: s\r\nDate: %s\r\nMessage-ID: <form@bob.example>\r\n"+
		"Content-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=z; hp=\"cipher\"\r\n\r\n"+
		"--z\r\nContent-Type: text/plain\r\n\r\n%s\r\n--z--\r\n", bob.addr, alice.addr, time.Now().Format(time.RFC1123Z), secret)
	w.deliver(alice, w.encrypted(alice, outerOf(bob.addr, alice.addr, "form@bob.example"), payload, bob.SecretKey()))
	m := alice.wait(mailbox.Inbox, secret)
	// A draft that says so.
	draft := []byte(crlf("From: " + alice.addr + "\nSubject: " + secret + "\nContent-Type: multipart/encrypted; boundary=q\n\n--q\n\n" + secret + "\n--q--\n"))
	// A copy of what was sent, stored where no use is known, by a client that kept no header of ours.
	sent := []byte(crlf(letterTo(alice.addr, bob.addr, "sent", secret)))
	if _, err := alice.Submit(context.Background(), alice.addr, []string{bob.addr}, sent); err != nil {
		t.Fatal(err)
	}
	bob.wait(mailbox.Inbox, "Subject: sent")
	// A template, and what is below one.
	template := []byte(crlf("From: " + alice.addr + "\nX-Mozilla-Draft-Info: internal/draft; vcard=0\nSubject: t\n\n" + secret + "\n"))
	// A forward whose attachment was encoded.
	attached := []byte(crlf("From: " + alice.addr + "\nSubject: f\nContent-Type: multipart/mixed; boundary=w\n\n--w\n" +
		"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n" + base64Lines(m.raw) + "\n--w--\n"))
	for name, msg := range map[string][]byte{"opened": m.raw, "draft": draft, "sent": sent, "template": template, "attached": attached} {
		flags := mailbox.Flags(nil)
		if name == "draft" {
			flags = mailbox.NewFlags(mailbox.Draft)
		}
		if _, _, err := alice.Append(context.Background(), "Archive", msg, flags, time.Now()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.eventually("all are stored", func() bool { return len(alice.upstream("Archive")) == 5 })
}

// A note names what was not sent. A client may store a copy of it elsewhere.
func TestAttackNoteIsStoredSealed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice := w.add("alice")
	w.provider.Watch("Mauerbluemchen")
	if _, err := alice.Submit(context.Background(), alice.addr, []string{"x@example.net"}, []byte(crlf(letterTo(alice.addr, "x@example.net", "[enc] Mauerbluemchen", "b")))); err == nil {
		t.Fatal("sent")
	}
	note := alice.wait(mailbox.Bridge, "Mauerbluemchen")
	if _, _, err := alice.Append(context.Background(), mailbox.Inbox, note.raw, nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	w.eventually("the copy is stored", func() bool { return len(alice.upstream(mailbox.Inbox)) == 1 })
}
