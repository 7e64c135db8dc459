package account_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"mailbridge/account"
	"mailbridge/headers"
	"mailbridge/internal/provider"
	"mailbridge/mailbox"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// The tests in this file try to make mail invisible: nothing that has not proved itself is.

// A key update is hidden only in exactly its form: nothing for a reader is lost in it.
func TestAttackTextInKeyUpdate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	w.shake(alice, bob)
	update := func(id, more string) string {
		return fmt.Sprintf("From: %s\r\nTo: \"hidden-recipients\": ;\r\nSubject: Keyupdate\r\nMessage-ID: <%s>\r\n%s"+
			"Content-Type: multipart/report; report-type=disposition-notification; boundary=b; hp=\"cipher\"\r\n\r\n"+
			"--b\r\nContent-Type: text/plain\r\n\r\nupdate %s\r\n--b\r\nContent-Type: message/disposition-notification\r\n\r\n"+
			"Disposition: automatic-action/MDN-sent-automatically; processed\r\n%s--b--\r\n", bob.addr, id, autocryptField(bob.addr, bob.SecretKey()), id, more)
	}
	for id, more := range map[string]string{"u1@x": "", "u2@x": "--b\r\nContent-Type: text/plain\r\n\r\nmore\r\n"} {
		w.deliver(alice, w.encrypted(alice, outerOf(bob.addr, "\"hidden-recipients\": ;", id), update(id, more), nil))
	}
	w.untrusted(alice.wait(mailbox.Inbox, "update u2@x"))
	w.deliver(alice, []byte(crlf(outerOf("x@example.net", alice.addr, "last@x")+"\nthe last\n")))
	alice.wait(mailbox.Inbox, "the last")
	if n := len(alice.read(mailbox.Inbox)); n != 2 {
		t.Errorf("%d messages", n)
	}
}

// Whoever holds a link knows a secret that opens mail. What he writes with it, but for the steps
// of a handshake, is not hidden from the user.
func TestAttackHiddenUnderLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice := w.add("alice")
	invite, err := alice.Invite(context.Background(), account.InviteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	link, err := securejoin.ParseLink(invite.Link)
	if err != nil {
		t.Fatal(err)
	}
	step := "Secure-Join: vc-request-pubkey\r\nSecure-Join-Auth: " + link.Auth + "\r\n"
	for id, payload := range map[string]string{
		"text@evil.example":  protected("eve@evil.example", alice.addr, "text@evil.example", "under the link", ""),
		"large@evil.example": protected("eve@evil.example", alice.addr, "large@evil.example", strings.Repeat("x", 300<<10), step),
		"other@evil.example": protected("eve@evil.example", alice.addr, "other@evil.example", "s", "Secure-Join: vc-something\r\n"),
	} {
		ciphertext, err := pgp.EncryptSymmetric([]byte(payload), link.Secret(), pgp.SymmetricOptions{Now: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		w.deliver(alice, pgp.JoinEncrypted([]byte(crlf(outerOf("eve@evil.example", alice.addr, id))), ciphertext, "attack"))
		m := alice.wait(mailbox.Inbox, id)
		if m.header(headers.SecurityName) != "" || bytes.Contains(m.raw, []byte("under the link")) {
			t.Errorf("%s is opened:\n%.500s", id, m.raw)
		}
	}
	if list := w.provider.Submissions(); len(list) != 0 {
		t.Errorf("%d answers", len(list))
	}
}

// Whatever somebody sends without proof stays where it is and is seen, and gets no answer.
func TestAttackNothingVanishes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	w.shake(alice, bob)
	before := len(w.provider.Submissions())
	const eve = "eve@evil.example"
	key := w.newKey(eve)
	invite, err := alice.Invite(context.Background(), account.InviteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	link, err := securejoin.ParseLink(invite.Link)
	if err != nil {
		t.Fatal(err)
	}
	step := func(name, more string) string {
		return "Secure-Join: " + name + "\r\n" + more
	}
	inside := func(id, from, more string, signer *pgp.Key) []byte {
		return w.encrypted(alice, outerOf(from, alice.addr, id), protected(from, alice.addr, id, "text of "+id, more), signer)
	}
	report := func(kind string) string {
		return crlf("From: " + bob.addr + "\nTo: " + alice.addr + "\nContent-Type: multipart/report; report-type=" + kind + "; boundary=r; hp=\"cipher\"\n\n--r\n\nx\n--r--\n")
	}
	damaged := inside("damaged@x", eve, "", key)
	at := bytes.Index(damaged, []byte("-----BEGIN")) + 400
	damaged[at] = 'A' + (damaged[at]-'A'+1)%26
	mails := map[string][]byte{
		"confirm@x":   inside("confirm@x", bob.addr, step("vc-contact-confirm", ""), key),
		"unsigned@x":  inside("unsigned@x", bob.addr, step("vc-contact-confirm", ""), nil),
		"auth@x":      inside("auth@x", eve, step("vc-request-with-auth", "Secure-Join-Auth: "+strings.Repeat("x", 24)+"\r\nSecure-Join-Fingerprint: "+string(key.Fingerprint())+"\r\n"), key),
		"authplain@x": inside("authplain@x", eve, step("vc-request-with-auth", "Secure-Join-Auth: "+link.Auth+"\r\n"), nil),
		"pubkey@x":    inside("pubkey@x", bob.addr, step("vc-pubkey", ""), key),
		"request@x":   inside("request@x", eve, step("vc-request-pubkey", "Secure-Join-Auth: "+link.Auth+"\r\n"), nil),
		"number@x":    inside("number@x", eve, "Secure-Join-Invitenumber: "+link.Number+"\r\n", key),
		"plain@x":     []byte(crlf(outerOf(eve, alice.addr, "plain@x")) + step("vc-contact-confirm", "") + "\r\nplain step\r\n"),
		"sync@x":      w.encrypted(alice, outerOf(alice.addr, alice.addr, "sync@x"), report("multi-device-sync"), key),
		"sync2@x":     w.encrypted(alice, outerOf(alice.addr, alice.addr, "sync2@x"), report("multi-device-sync"), nil),
		"mdn@x":       w.encrypted(alice, outerOf(bob.addr, alice.addr, "mdn@x"), report("disposition-notification"), nil),
		"other@x":     w.encrypted(bob, outerOf(eve, alice.addr, "other@x"), "Content-Type: text/plain\r\n\r\nfor bob\r\n", key),
		"empty@x":     []byte(crlf(outerOf(eve, alice.addr, "empty@x") + "Content-Type: multipart/encrypted; protocol=\"application/pgp-encrypted\"; boundary=e\n\n--e--\n")),
		"garbage@x":   pgp.JoinEncrypted([]byte(crlf(outerOf(eve, alice.addr, "garbage@x"))), []byte("-----BEGIN PGP MESSAGE-----\r\n\r\nwcBM\r\n-----END PGP MESSAGE-----\r\n"), "g"),
		"damaged@x":   damaged,
	}
	for id, raw := range mails {
		w.deliver(alice, raw)
		m := alice.wait(mailbox.Inbox, id)
		w.untrusted(m)
		if id == "damaged@x" && (bytes.Contains(m.raw, []byte("text of")) || !strings.Contains(m.header(headers.SecurityName), "warning=damaged")) {
			t.Errorf("damaged:\n%.900s", m.raw)
		}
	}
	if n := len(alice.upstream("INBOX")); n != len(mails) {
		t.Errorf("%d of %d messages are left at the provider", n, len(mails))
	}
	for _, s := range w.provider.Submissions()[before:] {
		t.Errorf("an answer to %v", s.To)
	}
	if c, err := alice.Contact(context.Background(), bob.addr); err != nil || !c.Verified || c.Fingerprint != bob.cert().Fingerprint() {
		t.Errorf("%+v %v", c, err)
	}
}
