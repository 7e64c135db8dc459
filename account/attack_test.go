package account_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mailbridge/account"
	"mailbridge/autocrypt"
	"mailbridge/headers"
	"mailbridge/internal/provider"
	"mailbridge/mailbox"
	"mailbridge/pgp"
)

// The tests in this file play somebody who wants to read, forge or hide mail: with a key of
// his own, with a free hand in every header field, inside and outside the encryption.

// crlf gives a message its line ends.
func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// newKey makes a key.
func (w *world) newKey(addr string) *pgp.Key {
	w.Helper()
	key, err := pgp.Generate(addr, time.Now().Add(-time.Hour))
	if err != nil {
		w.Fatal(err)
	}
	return key
}

// cert is the person's public certificate.
func (p *person) cert() *pgp.Cert {
	p.w.Helper()
	own, err := p.OwnKey(context.Background())
	if err != nil {
		p.w.Fatal(err)
	}
	cert, err := pgp.ParseCert([]byte(own.Armored))
	if err != nil {
		p.w.Fatal(err)
	}
	return cert
}

// autocryptField is an Autocrypt field that claims a key for an address.
func autocryptField(addr string, key *pgp.Key) string {
	value := autocrypt.Header{Addr: addr, Cert: key.Cert(), PreferEncrypt: autocrypt.Mutual}.Value()
	return "Autocrypt: " + strings.ReplaceAll(value, " ", "\r\n ") + "\r\n"
}

// encrypted wraps a payload for a person. signer is nil for an unsigned message.
func (w *world) encrypted(to *person, outer, payload string, signer *pgp.Key) []byte {
	w.Helper()
	ciphertext, err := pgp.Encrypt([]byte(payload), pgp.EncryptOptions{
		Signer: signer, To: []*pgp.Cert{to.cert()}, Now: time.Now(), Compress: true,
	})
	if err != nil {
		w.Fatal(err)
	}
	return pgp.JoinEncrypted([]byte(crlf(outer)), ciphertext, "attack")
}

// deliver puts a message into a person's INBOX.
func (w *world) deliver(to *person, msg []byte) {
	w.Helper()
	if err := w.provider.Deliver(to.addr, msg); err != nil {
		w.Fatal(err)
	}
}

// outerOf is the outer header of a message from somebody.
func outerOf(from, to, id string) string {
	return fmt.Sprintf("From: %s\nTo: %s\nSubject: [...]\nDate: %s\nMessage-ID: <%s>\n", from, to, time.Now().Format(time.RFC1123Z), id)
}

// protected is a payload that says hp="cipher".
func protected(from, to, id, body, more string) string {
	return fmt.Sprintf("From: %s\r\nTo: %s\r\nSubject: attack\r\nDate: %s\r\nMessage-ID: <%s>\r\n%s"+
		"Content-Type: text/plain; charset=\"utf-8\"; hp=\"cipher\"\r\n\r\n%s\r\n",
		from, to, time.Now().Format(time.RFC1123Z), id, more, body)
}

// securityOf reads the line that a client is shown.
func securityOf(m mail) headers.Security {
	s, _ := headers.ParseSecurity(m.header(headers.SecurityName))
	return s
}

// unverified fails if a message is shown with any trust.
func (w *world) untrusted(m mail) {
	w.Helper()
	s := securityOf(m)
	if m.Flags.Has(mailbox.Verified) || s.Trust != "none" && s.Trust != "" {
		w.Errorf("trust %q, flags %v:\n%.900s", s.Trust, m.Flags, m.raw)
	}
}

// A header without a mark of protection does not count: what is shown comes from outside, so
// that is what a signature must be measured against.
func TestAttackVerifiedContactUsesAnothersName(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob, mallory := w.add("alice"), w.add("bob"), w.add("mallory")
	w.shake(alice, bob)
	w.shake(alice, mallory)
	payload := crlf("From: " + mallory.addr + "\nContent-Type: text/plain\n\nsend the money to mallory\n")
	w.deliver(alice, w.encrypted(alice, outerOf(bob.addr, alice.addr, "m1@evil.example"), payload, mallory.SecretKey()))
	m := alice.wait(mailbox.Inbox, "send the money")
	w.untrusted(m)
	if s := securityOf(m); s.Signer == bob.addr || !strings.Contains(m.header(headers.SecurityName), "from-mismatch") {
		t.Errorf("security %+v of a message from %s", s, m.header("From"))
	}
}

// A classic message has no header inside; its signature counts for the sender outside.
func TestClassicMailIsTrusted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	w.shake(alice, bob)
	w.deliver(alice, w.encrypted(alice, outerOf(bob.addr, alice.addr, "c1@client.example"), crlf("Content-Type: text/plain\n\nas in the old days\n"), bob.SecretKey()))
	m := alice.wait(mailbox.Inbox, "as in the old days")
	if s := securityOf(m); s.Signature != "good" || s.Signer != bob.addr || s.Trust != "verified" || len(s.Warnings) != 0 || !m.Flags.Has(mailbox.Verified) {
		t.Errorf("%+v %v", s, m.Flags)
	}
}

// An address that the sender gives its own key inside, under another sender outside, is not
// bound to that key (RFC 9788, section 4.4; Autocrypt addresses must be the outer From).
func TestAttackKeySubstitutionInside(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice := w.add("alice")
	key := w.newKey("mallory@evil.example")
	for i, victim := range []string{"carol@example.net", alice.addr} {
		text := fmt.Sprintf("believe me %d", i)
		id := fmt.Sprintf("k%d@evil.example", i)
		payload := protected(victim, alice.addr, id, text, autocryptField(victim, key))
		w.deliver(alice, w.encrypted(alice, outerOf("mallory@evil.example", alice.addr, id), payload, key))
		m := alice.wait(mailbox.Inbox, text)
		w.untrusted(m)
		if from := m.header("From"); strings.Contains(from, victim) {
			t.Errorf("shown as from %s:\n%.700s", from, m.raw)
		}
		if _, err := alice.Contact(context.Background(), victim); !errors.Is(err, account.ErrNotFound) {
			t.Errorf("a key was learnt for %s", victim)
		}
	}
}

// Nobody but the account speaks for its own address.
func TestAttackOwnAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice := w.add("alice")
	key := w.newKey(alice.addr)
	payload := protected(alice.addr, alice.addr, "o1@evil.example", "note to myself", autocryptField(alice.addr, key))
	w.deliver(alice, w.encrypted(alice, outerOf(alice.addr, alice.addr, "o1@evil.example"), payload, key))
	w.untrusted(alice.wait(mailbox.Inbox, "note to myself"))
	plain := crlf(outerOf(alice.addr, alice.addr, "o2@evil.example")) + autocryptField(alice.addr, key) + "\r\nplain note\r\n"
	w.deliver(alice, []byte(plain))
	alice.wait(mailbox.Inbox, "plain note")
	if _, err := alice.Contact(context.Background(), alice.addr); !errors.Is(err, account.ErrNotFound) {
		t.Error("a key was learnt for the own address")
	}
}

// A correspondent who is given our own key would get mail that only we can read.
func TestAttackOwnKeyForAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice := w.add("alice")
	w.deliver(alice, []byte(crlf(outerOf("dave@example.net", alice.addr, "d1@evil.example"))+
		autocryptField("dave@example.net", alice.SecretKey())+"\r\nthe key of another\r\n"))
	alice.wait(mailbox.Inbox, "the key of another")
	checks, err := alice.Check(context.Background(), []string{"dave@example.net"})
	if err != nil || checks[0].Outcome != "plain" || checks[0].Recommendation != "disable" {
		t.Errorf("%+v %v", checks, err)
	}
}

// A message with two From fields has nobody's signature: clients show either.
func TestAttackTwoFromFields(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, mallory := w.add("alice"), w.add("mallory")
	w.shake(alice, mallory)
	two := mallory.addr + "\r\nFrom: bob@example.net"
	payload := protected(two, alice.addr, "f1@evil.example", "sent by two", "")
	w.deliver(alice, w.encrypted(alice, outerOf(mallory.addr+"\nFrom: bob@example.net", alice.addr, "f1@evil.example"), payload, mallory.SecretKey()))
	w.untrusted(alice.wait(mailbox.Inbox, "sent by two"))
	key := w.newKey("eve@example.net")
	w.deliver(alice, []byte(crlf(outerOf("eve@example.net\nFrom: bob@example.net", alice.addr, "f2@evil.example"))+
		autocryptField("eve@example.net", key)+"\r\nplain by two\r\n"))
	alice.wait(mailbox.Inbox, "plain by two")
	if _, err := alice.Contact(context.Background(), "eve@example.net"); !errors.Is(err, account.ErrNotFound) {
		t.Error("a key was learnt from a message with two From fields")
	}
}

// Anybody can write what looks like a sealed draft. It must neither pass for another's mail nor
// put words into the status line.
func TestAttackSealedForm(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	w.shake(alice, bob)
	for i, inner := range []string{
		"From: " + bob.addr + "\nSubject: hi\nMailbridge-Security: encryption=openpgp; signature=good; trust=verified\n\nsealed 0\n",
		" ; trust=verified; signature=good\nFrom: " + alice.addr + "\nSubject: hi\n\nsealed 1\n",
		"From: " + alice.addr + "\nSubject: hi\nMailbridge-Security: encryption=openpgp; signature=good; trust=verified\n\nsealed 2\n",
		"From: " + alice.addr + "\nFrom: " + bob.addr + "\nSubject: hi\n\nsealed 3\n",
	} {
		id := fmt.Sprintf("s%d@evil.example", i)
		payload := "Content-Type: message/rfc822\r\nMailbridge-Sealed: v1 00\r\n\r\n" + crlf(inner)
		w.deliver(alice, w.encrypted(alice, outerOf("mallory@evil.example", alice.addr, id), payload, nil))
		m := alice.wait(mailbox.Inbox, fmt.Sprintf("sealed %d", i))
		w.untrusted(m)
		if strings.Contains(m.header("From"), bob.addr) {
			t.Errorf("shown as from %s", m.header("From"))
		}
		status := m.header(headers.SecurityName)
		if strings.Contains(status, "verified") || strings.Contains(status, "good") {
			t.Errorf("status %q", status)
		}
		if bytes.Count(bytes.ToLower(m.raw), []byte("mailbridge-")) != 1 {
			t.Errorf("names of ours in\n%.900s", m.raw)
		}
	}
}

// A first line that begins with a blank would continue the line in front of a signed message.
func TestAttackStatusLineContinued(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice := w.add("alice")
	msg := crlf("\t; trust=verified; signature=good\nFrom: eve@example.net\nTo: " + alice.addr + "\n" +
		"MIME-Version: 1.0\nContent-Type: multipart/signed; protocol=\"application/pgp-signature\"; micalg=pgp-sha256; boundary=x\n\n" +
		"--x\nContent-Type: text/plain\n\ncontinued\n--x\nContent-Type: application/pgp-signature\n\n" +
		"-----BEGIN PGP SIGNATURE-----\n\nwsB=\n-----END PGP SIGNATURE-----\n--x--\n")
	if _, err := w.provider.Put(alice.addr, "INBOX", []byte(msg), nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	m := alice.wait(mailbox.Inbox, "continued")
	if strings.Contains(m.header(headers.SecurityName), "verified") {
		t.Errorf("status %q", m.header(headers.SecurityName))
	}
}

// base64Lines encodes as a mail client does.
func base64Lines(b []byte) string {
	text := base64.StdEncoding.EncodeToString(b)
	var lines []string
	for len(text) > 76 {
		lines, text = append(lines, text[:76]), text[76:]
	}
	return strings.Join(append(lines, text), "\n")
}

// Another key for a verified contact changes nothing, and the message that brought it is marked.
func TestAttackKeyOfVerifiedContact(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	w.shake(alice, bob)
	key := w.newKey(bob.addr)
	w.deliver(alice, []byte(crlf(outerOf(bob.addr, alice.addr, "v1@evil.example"))+autocryptField(bob.addr, key)+"\r\nplain, with a new key\r\n"))
	m := alice.wait(mailbox.Inbox, "plain, with a new key")
	if !m.Flags.Has(mailbox.KeyChanged) || m.header(headers.SecurityName) != "" {
		t.Errorf("flags %v", m.Flags)
	}
	payload := protected(bob.addr, alice.addr, "v2@evil.example", "sealed, with a new key", autocryptField(bob.addr, key))
	w.deliver(alice, w.encrypted(alice, outerOf(bob.addr, alice.addr, "v2@evil.example"), payload, key))
	m = alice.wait(mailbox.Inbox, "sealed, with a new key")
	w.untrusted(m)
	if s := securityOf(m); !m.Flags.Has(mailbox.KeyChanged) || s.Signer != "" || !slices.Contains(s.Warnings, "key-changed") {
		t.Errorf("flags %v, %+v", m.Flags, s)
	}
	if c, err := alice.Contact(context.Background(), bob.addr); err != nil || c.Fingerprint != bob.cert().Fingerprint() || !c.Verified || len(c.Candidates) != 1 {
		t.Errorf("%+v %v", c, err)
	}
}

// A small mail that unfolds to a large one is not unfolded.
func TestAttackCompressedBomb(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice := w.add("alice")
	payload := "Content-Type: text/plain\r\n\r\n" + strings.Repeat("bomb bomb bomb bomb bomb bomb bomb bomb bomb bomb bomb bomb\r\n", 1<<19)
	w.deliver(alice, w.encrypted(alice, outerOf("eve@example.net", alice.addr, "bomb@x"), payload, nil))
	var m mail
	w.eventually("the bomb is shown", func() bool {
		list := alice.read(mailbox.Inbox)
		if len(list) == 1 {
			m = list[0]
		}
		return len(list) == 1
	})
	if len(m.raw) > 1<<20 || !strings.Contains(m.header(headers.SecurityName), "warning=damaged") {
		t.Errorf("%d octets are shown", len(m.raw))
	}
}

// An answer to ciphertext that lies inside other mail, or to what a list has wrapped, is an
// answer to encrypted mail.
func TestAttackAnswerToWrappedCiphertext(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice := w.add("alice")
	w.provider.AddUser("eve@"+domain, "x")
	eve := "eve@" + domain
	inside := w.encrypted(alice, "X: y\n", protected(eve, alice.addr, "inner@x", "old secret", ""), nil)
	body := inside[bytes.Index(inside, []byte("Content-Type: multipart/encrypted")):]
	wrap := func(id, before, after string) []byte {
		return []byte(crlf(outerOf(eve, alice.addr, id)+"List-Id: <l.example.org>\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=outer\n\n"+before+"--outer\n") +
			string(body) + crlf("\n"+after+"--outer--\n"))
	}
	w.deliver(alice, wrap("question@x", "--outer\nContent-Type: text/plain\n\nWhat was that? Question\n", ""))
	w.deliver(alice, wrap("list@x", "", "--outer\nContent-Type: text/plain\n\nList footer\n"))
	if m := alice.wait(mailbox.Inbox, "Question"); bytes.Contains(m.raw, []byte("old secret")) {
		t.Errorf("opened:\n%s", m.raw)
	}
	m := alice.wait(mailbox.Inbox, "List footer")
	w.untrusted(m)
	if !bytes.Contains(m.raw, []byte("old secret")) || !strings.Contains(m.header(headers.SecurityName), "warning=errant-layer") {
		t.Errorf("%.1500s", m.raw)
	}
	for _, id := range []string{"question@x", "list@x", "inner@x"} {
		var refusal *account.Refusal
		_, err := alice.Submit(context.Background(), alice.addr, []string{eve}, []byte(crlf(letterTo(alice.addr, eve, "Re: ?", "quoted", "In-Reply-To: <"+id+">"))))
		if !errors.As(err, &refusal) || refusal.Enhanced != [3]int{5, 7, 5} {
			t.Errorf("answer to %s: %v", id, err)
		}
	}
}

// A client that stores its copy after it has deleted ours keeps it.
func TestSentCopyAfterDeletion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	w.shake(alice, bob)
	w.provider.Watch("Wiedergaenger")
	msg := letterTo(alice.addr, bob.addr, "twice", "Wiedergaenger")
	alice.submit([]string{bob.addr}, msg)
	own := alice.wait("Sent", "Wiedergaenger")
	ctx := context.Background()
	id, err := alice.Select(ctx, "Sent", func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(alice.Store(ctx, id, []mailbox.UID{own.UID}, mailbox.StoreAdd, mailbox.NewFlags(mailbox.Deleted)),
		alice.Expunge(ctx, id, []mailbox.UID{own.UID})); err != nil {
		t.Fatal(err)
	}
	if _, uid, err := alice.Append(ctx, "Sent", []byte(crlf(msg)), nil, time.Now()); err != nil || uid == 0 {
		t.Fatal(uid, err)
	}
	if list := alice.read("Sent"); len(list) != 1 {
		t.Errorf("%d messages", len(list))
	}
}

// A person with two accounts answers mail of one from the other, and copies between them.
func TestOtherAccountOfTheSamePerson(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	bob := w.add("bob")
	w.family = account.NewFamily()
	alice, second := w.add("alice"), w.add("second")
	w.shake(alice, bob)
	const secret = "Zweitwohnsitz"
	w.provider.Watch(secret)
	bob.submit([]string{alice.addr}, letterTo(bob.addr, alice.addr, "to the first", secret))
	id := alice.wait(mailbox.Inbox, secret).header("Message-ID")
	ctx := context.Background()
	var refusal *account.Refusal
	_, err := second.Submit(ctx, second.addr, []string{"nobody@" + domain}, []byte(crlf(letterTo(second.addr, "nobody@"+domain, "Re: to the first", secret, "In-Reply-To: "+id))))
	if !errors.As(err, &refusal) || refusal.Enhanced != [3]int{5, 7, 5} {
		t.Errorf("an answer from the other account: %v", err)
	}
	draft := letterTo(alice.addr, bob.addr, "draft", secret)
	if _, _, err := alice.Append(ctx, "Drafts", []byte(crlf(draft)), mailbox.NewFlags(mailbox.Draft), time.Now()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := second.Append(ctx, mailbox.Inbox, []byte(crlf(draft)), nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	w.eventually("the copy is stored", func() bool { return len(second.upstream(mailbox.Inbox)) == 1 })
}

// What a server writes outside must not lead the answer to a protected message elsewhere.
func TestAttackAnswerLedAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	w.shake(alice, bob)
	outer := outerOf(bob.addr, alice.addr, "led@x") + "Reply-To: eve@evil.example\nMail-Followup-To: eve@evil.example\nCc: eve@evil.example\n" +
		"Sender: eve@evil.example\nDisposition-Notification-To: eve@evil.example\nReturn-Receipt-To: eve@evil.example\nResent-From: eve@evil.example\n"
	for mark, text := range map[string]string{"protected-headers=\"v1\"": "marked v1", "hp=\"cipher\"": "marked hp"} {
		payload := strings.Replace(protected(bob.addr, alice.addr, "led@x", text, ""), "hp=\"cipher\"", mark, 1)
		w.deliver(alice, w.encrypted(alice, outer, payload, bob.SecretKey()))
		if m := alice.wait(mailbox.Inbox, text); bytes.Contains(m.raw, []byte("eve@evil.example")) {
			t.Errorf("%s:\n%.900s", mark, m.raw)
		}
	}
}

// A provider that saves what is submitted saves the steps of handshakes, too. Nobody sees them.
func TestHandshakeSavedByProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{SaveSent: true})
	alice, bob := w.add("alice"), w.add("bob")
	w.shake(alice, bob)
	w.eventually("all copies are looked at", func() bool {
		return len(alice.upstream("Sent")) == 0 && len(bob.upstream("Sent")) == 0 &&
			len(alice.upstream("Trash")) == 4 && len(bob.upstream("Trash")) == 4
	})
	for _, p := range []*person{alice, bob} {
		for _, name := range []string{"INBOX", "Sent", "Trash"} {
			for _, m := range p.read(name) {
				t.Errorf("%s sees in %s\n%.300s", p.addr, name, m.raw)
			}
		}
	}
}

// An answer is known by the Message-ID of what it answers. A sender cannot take that away.
func TestAttackNoMessageID(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice := w.add("alice")
	key := w.newKey("eve@example.net")
	for i, ids := range []string{"", "Message-ID: none\r\n", "Message-ID: <one@x>\r\nMessage-ID: <two@x>\r\n", "Message-ID: <a,b>\r\n", "Message-ID: (c) <with@x> d\r\n"} {
		text := fmt.Sprintf("without %d", i)
		payload := strings.Replace(protected("eve@example.net", alice.addr, "gone", text, ids), "Message-ID: <gone>\r\n", "", 1)
		outer := strings.Replace(outerOf("eve@example.net", alice.addr, "gone"), "Message-ID: <gone>\n", "", 1)
		w.deliver(alice, w.encrypted(alice, outer, payload, key))
		m := alice.wait(mailbox.Inbox, text)
		id := m.header("Message-ID")
		if n := bytes.Count(bytes.ToLower(m.raw), []byte("message-id:")); n != 1 || !strings.HasPrefix(id, "<") || !strings.HasSuffix(id, ">") {
			t.Errorf("%d ids, %q", n, id)
		}
		var refusal *account.Refusal
		_, err := alice.Submit(context.Background(), alice.addr, []string{"nobody@" + domain}, []byte(crlf(letterTo(alice.addr, "nobody@"+domain, "Re: ?", "quoted", "In-Reply-To: "+id))))
		if !errors.As(err, &refusal) || refusal.Enhanced != [3]int{5, 7, 5} {
			t.Errorf("%q: %v", ids, err)
		}
	}
}

// Without a sender outside, the one inside is still only claimed.
func TestAttackNoOuterFrom(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice := w.add("alice")
	key := w.newKey("carol@example.net")
	payload := protected("carol@example.net", alice.addr, "n@x", "from nowhere", autocryptField("carol@example.net", key))
	outer := strings.Replace(outerOf("x@x", alice.addr, "n@x"), "From: x@x\n", "", 1)
	w.deliver(alice, w.encrypted(alice, outer, payload, key))
	m := alice.wait(mailbox.Inbox, "from nowhere")
	w.untrusted(m)
	if s := securityOf(m); !slices.Contains(s.Warnings, "from-mismatch") || s.Signer != "" {
		t.Errorf("%+v", s)
	}
}
