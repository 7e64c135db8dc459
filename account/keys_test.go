package account_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"mailbridge/account"
	"mailbridge/internal/provider"
	"mailbridge/message"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// fromApp is a key that an app has made and exported.
func (w *world) fromApp(addr string) *pgp.Key {
	w.Helper()
	key, err := pgp.Generate(addr, time.Now().Add(-time.Hour))
	if err != nil {
		w.Fatal(err)
	}
	return key
}

// imports must succeed.
func (p *person) imports(key *pgp.Key) {
	p.w.Helper()
	own, err := p.ImportKey(p.w.Context(), []byte(key.Armor()), nil)
	if err != nil || own.Fingerprint != key.Fingerprint() {
		p.w.Fatalf("import: %v, %v", own.Fingerprint, err)
	}
}

// syncs are the sync messages for a key that lie at the provider. One that was under way at a
// restart may be there twice.
func (p *person) syncs(key *pgp.Key) (items [][]securejoin.SyncItem) {
	p.w.Helper()
	known := map[string]bool{}
	for _, m := range p.upstream("INBOX") {
		h, _ := message.ParseHeader(m.Data)
		if known[h.Get("Message-ID")] {
			continue
		}
		known[h.Get("Message-ID")] = true
		ciphertext, _, ok := pgp.SplitEncrypted(m.Data, message.Parse(m.Data))
		if !ok {
			continue
		}
		certs := func([]byte, []pgp.Fingerprint) []*pgp.Cert { return []*pgp.Cert{key.Cert()} }
		opened, err := pgp.Open(ciphertext, pgp.OpenOptions{Keys: []*pgp.Key{key}, Certs: certs, Now: p.w.now()})
		if err != nil || opened.Signature.State != pgp.SignatureGood || opened.Signature.Signer != key.Fingerprint() {
			continue
		}
		if list, ok := securejoin.ReadSync(opened.Payload, p.w.now()); ok {
			items = append(items, list)
		}
	}
	return items
}

// TestImportKey: another key takes the place of the own one while the account runs. What the one
// before has begun ends, what it can read stays, and the app is told that it is not alone.
func TestImportKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	ctx := t.Context()
	w.shake(alice, bob)
	before, oldCert := alice.SecretKey(), alice.cert()
	key := w.fromApp(alice.addr)

	// What the bridge cannot open yet.
	ciphertext, err := pgp.Encrypt([]byte(protected("x@example.net", alice.addr, "early@x", "for the app's key", "")),
		pgp.EncryptOptions{To: []*pgp.Cert{key.Cert()}, Now: w.now()})
	if err != nil {
		t.Fatal(err)
	}
	w.deliver(alice, pgp.JoinEncrypted([]byte(crlf(outerOf("x@example.net", alice.addr, "early@x"))), ciphertext, "early"))
	closed := alice.wait("INBOX", "BEGIN PGP MESSAGE")

	_, link := (&app{p: &person{w: w, addr: "nobody@example.org"}, key: w.fromApp("nobody@example.org")}).invite()
	joining, err := alice.Join(ctx, link, account.JoinOptions{})
	if err != nil {
		t.Fatal(err)
	}
	alice.imports(key)

	opened := alice.wait("INBOX", "for the app's key")
	if opened.UID <= closed.UID {
		t.Errorf("UID %d was used again", opened.UID)
	}
	if j, err := alice.WaitJoin(ctx, joining.ID); err != nil || j.State != account.JoinFailed || j.Reason == "" {
		t.Errorf("the join that was begun: %+v, %v", j, err)
	}
	list, err := alice.Invites(ctx)
	if err != nil || len(list) == 0 {
		t.Fatal(list, err)
	}
	for _, i := range list {
		if i.State != "revoked" {
			t.Errorf("invite %s is %s", i.ID, i.State)
		}
	}
	alice.wait("Bridge", string(key.Fingerprint()))
	if c, err := alice.Contact(ctx, bob.addr); err != nil || !c.Verified {
		t.Errorf("the contact: %+v, %v", c, err)
	}
	w.eventually("the app is told", func() bool { return len(alice.syncs(key)) == 1 })

	for _, again := range []string{"running", "restarted"} {
		late, err := pgp.Encrypt([]byte(protected("x@example.net", alice.addr, again+"@x", "for the key before, "+again, "")),
			pgp.EncryptOptions{To: []*pgp.Cert{oldCert}, Now: w.now()})
		if err != nil {
			t.Fatal(err)
		}
		w.deliver(alice, pgp.JoinEncrypted([]byte(crlf(outerOf("x@example.net", alice.addr, again+"@x"))), late, "late"))
		alice.wait("INBOX", "for the key before, "+again)
		if alice.SecretKey().Fingerprint() != key.Fingerprint() {
			t.Errorf("%s: the own key is %s", again, alice.SecretKey().Fingerprint())
		}
		alice.restart()
	}
	w.shakeAnew(alice, bob)
	alice.submit([]string{bob.addr}, letterTo(alice.addr, bob.addr, "new", "with the new key"))
	if s := securityOf(bob.wait("INBOX", "with the new key")); s.Fingerprint != string(key.Fingerprint()) {
		t.Errorf("signed by %s", s.Fingerprint)
	}
	alice.imports(before) // and back
	if n := len(alice.syncs(before)); n > 1 {
		t.Errorf("%d sync messages", n)
	}
}

// shakeAnew is shake where the joiner knows another key for the inviter.
func (w *world) shakeAnew(a, b *person) {
	w.Helper()
	i, err := a.Invite(w.Context(), account.InviteOptions{})
	if err != nil {
		w.Fatal(err)
	}
	j, err := b.Join(w.Context(), i.Link, account.JoinOptions{Replace: true})
	if err == nil {
		j, err = b.WaitJoin(w.Context(), j.ID)
	}
	if err != nil || j.State != account.JoinCompleted {
		w.Fatalf("join: %+v, %v", j, err)
	}
}

// TestImportRefused: what is no key for this account changes nothing.
func TestImportRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice := w.add("alice")
	before := alice.SecretKey().Fingerprint()
	for name, c := range map[string]struct{ key, say string }{
		"public":          {w.fromApp(alice.addr).Cert().Armor(), "public key"},
		"of another":      {w.fromApp("bob@example.org").Armor(), "bob@example.org"},
		"several":         {w.fromApp(alice.addr).Armor() + w.fromApp(alice.addr).Armor(), "more than one"},
		"nothing of that": {"Hello", "not a key"},
	} {
		_, err := alice.ImportKey(t.Context(), []byte(c.key), nil)
		var bad *account.BadData
		if !errors.As(err, &bad) || !strings.Contains(bad.Text, c.say) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.settled(alice)
	if alice.SecretKey().Fingerprint() != before || len(w.provider.Submissions()) != 0 {
		t.Error("something was changed")
	}
}

// TestExportKey: the public key is nobody's secret. With the secret one there may be a device
// that is told of us, again and again until it is seen.
func TestExportKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice := w.add("alice")
	key := alice.SecretKey()
	public, err := alice.ExportKey(t.Context(), false)
	if err != nil || strings.Contains(public.Armored, "PRIVATE") || len(w.provider.Submissions()) != 0 {
		t.Fatalf("%v\n%s", err, public.Armored)
	}
	secret, err := alice.ExportKey(t.Context(), true)
	if err != nil || secret.Armored != key.Armor() {
		t.Fatalf("%v\n%s", err, secret.Armored)
	}
	for calls, pause := range []time.Duration{0, 11 * time.Minute, 2 * time.Hour} {
		w.advance(pause)
		alice.restart()
		w.eventually(fmt.Sprintf("call %d", calls+1), func() bool { return len(alice.syncs(key)) == calls+1 })
	}
	phone := w.app(alice)
	i, _ := phone.invite()
	phone.sync(phone.add(i))
	w.eventually("it was seen", func() bool { return len(alice.syncs(key)) == 5 }) // its own, and one call for it
	w.advance(30 * 24 * time.Hour)
	alice.restart()
	w.settled(alice)
	if n := len(alice.syncs(key)); n != 5 {
		t.Errorf("%d sync messages, want no more calls", n)
	}
	alice.sees("INBOX")
}

// TestImportCrash: the import and what it tells the app are one: after an end at any moment both
// are there, or neither.
func TestImportCrash(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice := w.add("alice")
	key := w.fromApp(alice.addr)
	w.provider.Down()
	alice.imports(key)
	alice.end()
	if err := w.provider.Up(); err != nil {
		t.Fatal(err)
	}
	alice.open()
	w.eventually("the app is told", func() bool { return len(alice.syncs(key)) == 1 })
	w.settled(alice)
	alice.sees("INBOX")
}

// TestImportWhileSending: each message is of one key, whole, whatever happens meanwhile.
func TestImportWhileSending(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	w.shake(alice, bob)
	var sending sync.WaitGroup
	for n := range 8 {
		sending.Go(func() {
			alice.submit([]string{bob.addr}, letterTo(alice.addr, bob.addr, "many", fmt.Sprintf("letter %d", n)))
		})
	}
	alice.imports(w.fromApp(alice.addr))
	sending.Wait()
	w.eventually("all have arrived", func() bool { return len(bob.read("INBOX")) == 8 })
	for _, m := range bob.read("INBOX") {
		if s := securityOf(m); s.Signature != "good" || bytes.Contains(m.raw, []byte("BEGIN PGP")) {
			t.Errorf("%s: %+v", m.header("Subject"), s)
		}
	}
}

// TestLinkOfTheKeyBefore: the joiner of a link that names the key of before hears nothing, and the
// user is told why, once more after a restart. The invite does not live again.
func TestLinkOfTheKeyBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob, carol := w.add("alice"), w.add("bob"), w.add("carol")
	i, err := alice.Invite(t.Context(), account.InviteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	alice.imports(w.fromApp(alice.addr))
	if list, err := alice.Invites(t.Context()); err != nil || list[0].Link != i.Link {
		t.Errorf("the link has become %s, %v", list[0].Link, err)
	}
	bob.joinsLink(i.Link, account.JoinPending)
	alice.wait("Bridge", "bob@example.org tried to join by")
	w.settled(alice, bob)
	alice.sees("INBOX")
	_, err = alice.ReviveInvite(t.Context(), i.ID)
	var bad *account.BadData
	if !errors.As(err, &bad) {
		t.Errorf("revived: %v", err)
	}
	_, err = alice.Join(t.Context(), i.Link, account.JoinOptions{})
	wantBadData(t, err, "it is revoked\nthis invite names a key that you do not use any more")
	alice.want("Bridge", "It cannot be made good again: this invite names a key", 1)
	alice.want("Bridge", "bridge invite revive", 0)
	w.advance(25 * time.Hour) // one note a day
	alice.restart()
	carol.joinsLink(i.Link, account.JoinPending)
	alice.wait("Bridge", "carol@example.org tried to join by")
	if fresh, err := alice.Invite(t.Context(), account.InviteOptions{}); err != nil {
		t.Error(err)
	} else {
		carol.joinsLink(fresh.Link, account.JoinCompleted)
	}
}
