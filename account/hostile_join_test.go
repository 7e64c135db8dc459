package account_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mailbridge/account"
	"mailbridge/db"
	"mailbridge/internal/provider"
	"mailbridge/mailbox"
	"mailbridge/message"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// The tests in this file are about who holds a link and does not play by the rules. Refused means:
// nobody is verified, and nobody gets an answer.

// TestHostileRequests: what a joiner must not get away with.
func TestHostileRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, eve, blocked := w.add("alice"), w.stranger("eve"), w.stranger("blocked")
	_, link := alice.invite(account.InviteOptions{})
	_, second := alice.invite(account.InviteOptions{})
	gone, revoked := alice.invite(account.InviteOptions{})
	if _, err := alice.RevokeInvite(t.Context(), gone.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := alice.BlockContact(t.Context(), blocked.addr, true); err != nil {
		t.Fatal(err)
	}
	unsigned, symmetric := withAuth(link), withAuth(link)
	unsigned.Signed = false
	symmetric.Signed, symmetric.Secret = false, link.Secret()
	signed := symmetric
	signed.Signed = true
	const other = "other@" + domain
	for _, attempt := range []struct {
		name   string
		step   securejoin.Send
		twists []twist
	}{
		{"no AUTH", requestPubkey(link), []twist{without(securejoin.FieldAuth)}},
		{"AUTH of another invite", requestPubkey(link), []twist{edit(link.Auth, second.Auth)}},
		{"unknown AUTH", requestPubkey(link), []twist{edit(link.Auth, strings.Repeat("x", 24))}},
		{"another sender outside", requestPubkey(link), []twist{editOuter(eve.addr, other)}},
		{"another sender inside", requestPubkey(link), []twist{edit(eve.addr, other)}},
		{"a revoked invite", requestPubkey(revoked), nil},
		{"a revoked invite, with AUTH", withAuth(revoked), nil},
		{"unsigned", unsigned, nil},
		{"under the link, unsigned", symmetric, nil},
		{"under the link, signed", signed, []twist{edit(link.Auth, second.Auth)}},
		{"with AUTH, no AUTH", withAuth(link), []twist{without(securejoin.FieldAuth)}},
		{"with AUTH, unknown", withAuth(link), []twist{edit(link.Auth, strings.Repeat("x", 24))}},
		{"with AUTH, the number", withAuth(link), []twist{edit(link.Auth, link.Number)}},
		{"with AUTH, no gossip", withAuth(link), []twist{without("Autocrypt-Gossip")}},
		{"with AUTH, no fingerprint", withAuth(link), []twist{without(securejoin.FieldFingerprint)}},
		{"with AUTH, our fingerprint", withAuth(link), []twist{edit(string(eve.key.Fingerprint()), string(link.Fingerprint))}},
		{"with AUTH, another sender outside", withAuth(link), []twist{editOuter(eve.addr, other)}},
		{"with AUTH, another sender inside", withAuth(link), []twist{edit(eve.addr, other)}},
	} {
		eve.send(alice, attempt.step, attempt.twists...)
		alice.unmoved(attempt.name, eve.addr, other)
	}
	blocked.send(alice, requestPubkey(link))
	blocked.send(alice, withAuth(link))
	alice.unmoved("blocked", blocked.addr)
	// The same without a twist.
	eve.send(alice, requestPubkey(link))
	eve.send(alice, withAuth(link))
	alice.sent()
	if got := eve.answers(link.Secret()); !slices.Equal(got, []string{"vc-pubkey", "vc-contact-confirm"}) {
		t.Errorf("answers %q", got)
	}
	if c := alice.contact(eve.addr); !c.Verified || c.Fingerprint != eve.key.Fingerprint() {
		t.Errorf("%+v", c)
	}
}

// unmoved checks that an attempt had no effect and got no answer.
func (p *person) unmoved(name string, addrs ...string) {
	p.w.Helper()
	p.sent()
	for _, s := range p.w.provider.Submissions() {
		if s.User == p.addr {
			p.w.Fatalf("%s: answered to %v", name, s.To)
		}
	}
	for _, addr := range addrs {
		if c := p.contact(addr); c.Verified {
			p.w.Fatalf("%s: %+v", name, c)
		}
	}
}

// TestHostileForms: a form that would cost much, or that proves nothing, is refused before a single
// secret is tried.
func TestHostileForms(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, eve := w.add("alice"), w.stranger("eve")
	_, link := alice.invite(account.InviteOptions{})
	// Offsets into the session key packet (RFC 9580, section 5.3.2).
	const version, s2k = 2, 7
	for name, change := range map[string]func(b []byte) []byte{
		"iterated":        func(b []byte) []byte { b[s2k] = 3; return b },
		"Argon2":          func(b []byte) []byte { b[s2k] = 4; return b },
		"version 4":       func(b []byte) []byte { b[version] = 4; return b },
		"two secrets":     func(b []byte) []byte { return append(bytes.Clone(b[:2+int(b[1])]), b...) },
		"a key, a secret": func(b []byte) []byte { return append([]byte{0xc1, 3, 3, 0, 0}, b...) },
	} {
		w.deliver(alice, remade(t, eve.write(alice, requestPubkey(link)), change))
		alice.synced()
		alice.unmoved(name, eve.addr)
		if n := alice.Tried(); n != 0 {
			t.Errorf("%s: %d secrets tried", name, n)
		}
	}
	w.deliver(alice, remade(t, eve.write(alice, requestPubkey(link)), func(b []byte) []byte { return b }))
	alice.synced()
	alice.sent()
	if got := eve.answers(link.Secret()); len(got) != 1 || alice.Tried() == 0 {
		t.Errorf("unchanged: answers %q, %d tried", got, alice.Tried())
	}
}

// remade changes the packets of an encrypted mail.
func remade(t *testing.T, raw []byte, change func([]byte) []byte) []byte {
	t.Helper()
	ciphertext, _, ok := pgp.SplitEncrypted(raw, message.Parse(raw))
	_, body, found := strings.Cut(string(ciphertext), "\r\n\r\n")
	body, _, _ = strings.Cut(body, "\r\n-----END")
	if n := strings.LastIndex(body, "\r\n="); n > 0 {
		body = body[:n]
	}
	b, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(body, "\r\n", ""))
	if !ok || !found || err != nil || b[0] != 0xc1 && b[0] != 0xc3 {
		t.Fatalf("%v, % x", err, b)
	}
	text := base64.StdEncoding.EncodeToString(change(b))
	var lines strings.Builder
	for len(text) > 64 {
		lines.WriteString(text[:64] + "\r\n")
		text = text[64:]
	}
	armored := "-----BEGIN PGP MESSAGE-----\r\n\r\n" + lines.String() + text + "\r\n-----END PGP MESSAGE-----\r\n"
	header, _, _ := bytes.Cut(raw, []byte("Content-Type: "))
	return pgp.JoinEncrypted(header, []byte(armored), "remade")
}

// TestHostileInvitee: who holds a link and writes under a verified contact's address does not become
// that contact; nor does mail to it go to another key.
func TestHostileInvitee(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	w.shake(alice, bob)
	before, answered := alice.contact(bob.addr), len(w.provider.Submissions())
	_, link := alice.invite(account.InviteOptions{})
	eve := &stranger{w, bob.addr, w.newKey(bob.addr)}
	eve.send(alice, withAuth(link))
	alice.wait(mailbox.Bridge, "Another key for "+bob.addr)
	c := alice.contact(bob.addr)
	if c.Fingerprint != before.Fingerprint || !c.Verified || !slices.Contains(c.Candidates, eve.key.Fingerprint()) {
		t.Errorf("%+v", c)
	}
	if n := len(w.provider.Submissions()); n != answered {
		t.Errorf("%d answers", n-answered)
	}
	alice.submit([]string{bob.addr}, letterTo(alice.addr, bob.addr, "to bob", "for bob alone"))
	if s := securityOf(bob.wait(mailbox.Inbox, "for bob alone")); s.Signature != "good" || s.Trust != "verified" {
		t.Errorf("%+v", s)
	}
	w.deliver(alice, w.encrypted(alice, outerOf(bob.addr, alice.addr, "f@x"), protected(bob.addr, alice.addr, "f@x", "not by bob", autocryptField(bob.addr, eve.key)), eve.key))
	w.untrusted(alice.wait(mailbox.Inbox, "not by bob"))
}

// TestHostileInviter: the same the other way. A link may name any address, and whoever else knows it
// may answer.
func TestHostileInviter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob, eve := w.add("alice"), w.add("bob"), w.stranger("eve")
	w.shake(alice, bob)
	before := alice.contact(bob.addr)
	safe := func(what string) {
		t.Helper()
		if c := alice.contact(bob.addr); c.Fingerprint != before.Fingerprint || !c.Verified || !c.VerifiedAt.Equal(*before.VerifiedAt) {
			t.Errorf("%s: %+v", what, c)
		}
	}
	// A link with bob's address and another key.
	forged := eve.link()
	forged.Addr = bob.addr
	var bad *account.BadData
	if _, err := alice.Join(t.Context(), forged.String(), account.JoinOptions{}); !errors.As(err, &bad) {
		t.Errorf("joined: %v", err)
	}
	// One with bob's address among the others: whatever comes from there is not bound to it.
	relayed := eve.link()
	relayed.Relays = []string{bob.addr}
	if j, err := alice.Join(t.Context(), relayed.String(), account.JoinOptions{}); err == nil {
		impostor := &stranger{w, bob.addr, eve.key}
		impostor.send(alice, pubkey(relayed))
		safe("a relay's address " + j.ID)
		impostor.send(alice, confirm())
	}
	safe("another's relay")
	// An honest link that eve knows, too.
	carol := w.stranger("carol")
	link := carol.link()
	join := alice.follow(link)
	for _, from := range []string{carol.addr, eve.addr, bob.addr} {
		impostor := &stranger{w, from, eve.key}
		impostor.send(alice, pubkey(link))
		impostor.send(alice, confirm(), without("Autocrypt")) // which would make it a claim, see TestHostileInvitee
		unsigned := pubkey(link)
		unsigned.Signed = false
		impostor.send(alice, unsigned)
	}
	bobs := &stranger{w, carol.addr, bob.SecretKey()} // a verified contact, too
	bobs.send(alice, pubkey(link))
	bobs.send(alice, confirm(), without("Autocrypt"))
	safe("answers of another")
	if j, err := alice.GetJoin(t.Context(), join.ID); err != nil || j.State != account.JoinPending {
		t.Fatalf("%+v, %v", j, err)
	}
	if c := alice.contact(carol.addr); c.Verified || c.Fingerprint == eve.key.Fingerprint() {
		t.Errorf("%+v", c)
	}
	carol.send(alice, pubkey(link))
	carol.send(alice, confirm())
	if j, err := alice.GetJoin(t.Context(), join.ID); err != nil || j.State != account.JoinCompleted {
		t.Errorf("%+v, %v", j, err)
	}
	if c := alice.contact(carol.addr); !c.Verified || c.Fingerprint != carol.key.Fingerprint() {
		t.Errorf("%+v", c)
	}
}

// TestAnswersAreCapped: whoever holds a link gets five answers an hour under one address, and one
// later, however often it asks.
func TestAnswersAreCapped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, eve := w.add("alice"), w.stranger("eve")
	_, link := alice.invite(account.InviteOptions{})
	for range 3 * securejoin.AnswersPerAddress {
		w.deliver(alice, eve.write(alice, requestPubkey(link)))
	}
	answers := func() int { // a restart may send one again, with the Message-ID that it had
		ids := map[string]bool{}
		for _, s := range w.provider.Submissions() {
			if slices.Contains(s.To, eve.addr) {
				ids[message.Parse(s.Data).Header.Get("Message-ID")] = true
			}
		}
		return len(ids)
	}
	alice.synced()
	w.eventually("the first answers", func() bool { return answers() >= securejoin.AnswersPerAddress })
	alice.restart()
	alice.synced()
	if n := answers(); n != securejoin.AnswersPerAddress {
		t.Errorf("%d answers at once", n)
	}
	w.advance(time.Hour + time.Minute)
	alice.restart()
	w.eventually("the one that waited", func() bool { return answers() > securejoin.AnswersPerAddress })
	alice.restart()
	alice.synced()
	if n := answers(); n != securejoin.AnswersPerAddress+1 {
		t.Errorf("%d answers after an hour", n)
	}
}

// TestPublicKeyMailReadsNoInviteSecret: ordinary encrypted mail costs nothing for the open invites.
// Their secrets are made unreadable here.
func TestPublicKeyMailReadsNoInviteSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, eve := w.add("alice"), w.stranger("eve")
	_, link := alice.invite(account.InviteOptions{})
	text := w.encrypted(alice, outerOf(eve.addr, alice.addr, "m@x"), protected(eve.addr, alice.addr, "m@x", "an ordinary text", autocryptField(eve.addr, eve.key)), eve.key)
	request := eve.write(alice, requestPubkey(link))
	alice.end()
	index, err := sql.Open("sqlite3", "file:"+filepath.Join(alice.dir, "index.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := index.Exec("UPDATE invite SET auth = x'00', number = x'00'"); err != nil {
		t.Fatal(err)
	}
	if err := index.Close(); err != nil {
		t.Fatal(err)
	}
	a, err := account.Open(context.Background(), w.options(alice.dir))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	alice.Account = a
	w.deliver(alice, text)
	if s := securityOf(alice.wait(mailbox.Inbox, "an ordinary text")); s.Signature != "good" {
		t.Errorf("%+v", s)
	}
	if n := a.Tried(); n != 0 {
		t.Errorf("%d secrets tried", n)
	}
	w.deliver(alice, request) // which needs them
	select {
	case err := <-ended:
		if !errors.Is(err, db.ErrCorrupt) {
			t.Errorf("ended with %v", err)
		}
	case <-time.After(patience):
		t.Error("a symmetric message was looked at without them")
	}
}
