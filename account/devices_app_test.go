package account_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
	"time"

	"mailbridge/account"
	"mailbridge/autocrypt"
	"mailbridge/internal/provider"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// The tests in this file play an app with the account's own key, and what it leaves in the INBOX.

// app writes mail as a program of p does that has key. sent counts its messages.
type app struct {
	p    *person
	key  *pgp.Key
	sent int
}

func (w *world) app(p *person) *app { return &app{p: p, key: p.SecretKey()} }

func (d *app) self() securejoin.Self {
	return securejoin.Self{Addr: d.p.addr, Name: "App", Fingerprint: d.key.Fingerprint()}
}

func (d *app) env() securejoin.Env {
	d.sent++
	now := d.p.w.now()
	return securejoin.Env{
		Now: now, OuterDate: now, MessageID: fmt.Sprintf("app%d@localhost", d.sent), Boundary: "app",
		Autocrypt: autocrypt.Header{Addr: d.p.addr, Cert: d.key.Cert()}.Value(),
	}
}

// copy puts what the app has sent into the INBOX of the account; more are whom else it was for.
func (d *app) copy(m securejoin.Mail, more ...*pgp.Cert) []byte {
	d.p.w.Helper()
	to := append([]*pgp.Cert{d.p.cert()}, more...)
	ciphertext, err := pgp.Encrypt(m.Inner, pgp.EncryptOptions{Signer: d.key, To: to, Now: d.p.w.now(), Compress: true})
	if err != nil {
		d.p.w.Fatal(err)
	}
	wire := pgp.JoinEncrypted(m.Outer, ciphertext, "app-boundary")
	d.p.w.deliver(d.p, wire)
	return wire
}

// sync tells of items.
func (d *app) sync(items ...securejoin.SyncItem) []byte {
	d.p.w.Helper()
	m, err := securejoin.ComposeSync(items, d.self(), d.env())
	if err != nil {
		d.p.w.Fatal(err)
	}
	return d.copy(m)
}

// step leaves the copy of a step to somebody.
func (d *app) step(s securejoin.Send, to *pgp.Cert) {
	d.p.w.Helper()
	env := d.env()
	env.Gossip = autocrypt.Header{Addr: s.To[0], Cert: to}.GossipValue()
	m, err := securejoin.Compose(s, d.self(), env)
	if err != nil {
		d.p.w.Fatal(err)
	}
	d.copy(m, to)
}

// invite is an invite of the app's, with its link.
func (d *app) invite() (securejoin.Invite, string) {
	d.p.w.Helper()
	i, err := securejoin.NewInvite(rand.Reader, d.p.w.now(), securejoin.InviteOptions{Shared: true})
	if err != nil {
		d.p.w.Fatal(err)
	}
	return i, i.Link(d.self()).String()
}

func (d *app) add(i securejoin.Invite) securejoin.SyncItem {
	return securejoin.SyncItem{Kind: securejoin.AddQrToken, At: d.p.w.now(), Number: i.Number, Auth: i.Auth}
}

func (d *app) delete(i securejoin.Invite) securejoin.SyncItem {
	item := d.add(i)
	item.Kind = securejoin.DeleteQrToken
	return item
}

// joinsLink joins a link, which must be answered or not.
func (p *person) joinsLink(link string, state string) {
	p.w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	j, err := p.Join(ctx, link, account.JoinOptions{})
	if err == nil && state == account.JoinCompleted {
		j, err = p.WaitJoin(ctx, j.ID)
	}
	if err != nil || j.State != state {
		p.w.Fatalf("join: %+v, %v; want %s", j, err, state)
	}
}

// TestSyncTokens: an invite of the app is answered here once it is known, also to a request that
// came before; a withdrawal ends it, and nothing that is said again lifts it.
func TestSyncTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob, carol := w.add("alice"), w.add("bob"), w.add("carol")
	phone := w.app(alice)
	i, link := phone.invite()
	j, err := bob.Join(t.Context(), link, account.JoinOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.settled(alice)
	announced := phone.sync(phone.add(i))
	if j, err = bob.WaitJoin(t.Context(), j.ID); err != nil || j.State != account.JoinCompleted {
		t.Fatalf("join: %+v, %v", j, err)
	}
	alice.knows(bob)

	w.advance(time.Second)
	phone.sync(phone.delete(i))
	w.eventually("the invite is withdrawn", func() bool { return alice.State(t.Context()).OpenInvites == 0 })
	w.deliver(alice, announced)        // the same message again
	w.deliver(alice, again(announced)) // with other bytes
	phone.sync(phone.add(i))           // said anew
	other, unknown := phone.invite()
	phone.sync(phone.delete(other)) // before it was announced
	phone.sync(phone.add(other))
	w.settled(alice)
	if n := alice.State(t.Context()).OpenInvites; n != 0 {
		t.Errorf("%d open invites after what was said again", n)
	}
	before := len(w.provider.Submissions())
	carol.joinsLink(link, account.JoinPending)
	carol.joinsLink(unknown, account.JoinPending)
	w.settled(carol, alice)
	if sent := len(w.provider.Submissions()) - before; sent != 2 { // carol's own
		t.Errorf("%d messages were sent, want carol's two requests alone", sent)
	}
	alice.sees("INBOX")
}

// again changes a message's bytes on its way.
func again(wire []byte) []byte { return append([]byte("X-Relay: again\r\n"), wire...) }

// TestSyncForeign: a sync message counts only with our own signature. Another's is mail.
func TestSyncForeign(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	w.shake(alice, bob)
	alice.withdrawAll()
	mallory := &app{p: alice, key: bob.SecretKey()}
	i, _ := mallory.invite()
	env := mallory.env()
	m, err := securejoin.ComposeSync([]securejoin.SyncItem{mallory.add(i)}, securejoin.Self{Addr: bob.addr}, env)
	if err != nil {
		t.Fatal(err)
	}
	mallory.copy(m)
	alice.wait("INBOX", "synchronize data")
	unsigned, err := pgp.Encrypt(m.Inner, pgp.EncryptOptions{To: []*pgp.Cert{alice.cert()}, Now: w.now()})
	if err != nil {
		t.Fatal(err)
	}
	w.deliver(alice, pgp.JoinEncrypted(m.Outer, unsigned, "unsigned"))
	w.eventually("both are shown", func() bool { return len(alice.read("INBOX")) == 2 })
	if n := alice.State(t.Context()).OpenInvites; n != 0 {
		t.Errorf("%d invites by a foreign message", n)
	}
}

// withdrawAll revokes all invites.
func (p *person) withdrawAll() {
	p.w.Helper()
	list, err := p.Invites(p.w.Context())
	if err != nil {
		p.w.Fatal(err)
	}
	for _, i := range list {
		if _, err := p.RevokeInvite(p.w.Context(), i.ID); err != nil {
			p.w.Fatal(err)
		}
	}
}

// TestSyncUnknown: items that are not understood do not harm the others, and none counts that
// was there before the account.
func TestSyncUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice := w.add("alice")
	phone := w.app(alice)
	i, _ := phone.invite()
	m, err := securejoin.ComposeSync([]securejoin.SyncItem{phone.add(i)}, phone.self(), phone.env())
	if err != nil {
		t.Fatal(err)
	}
	old := bytes.Clone(m.Inner)
	m.Inner = bytes.Replace(m.Inner, []byte(`{"items":[`), []byte(`{"items":[{"timestamp":1,"data":{"Transports":{"x":[]}}},`), 1)
	phone.copy(m)
	w.eventually("the token is known", func() bool { return alice.State(t.Context()).OpenInvites == 1 })

	other, _ := phone.invite()
	m.Inner = bytes.Replace(old, []byte(i.Auth), []byte(other.Auth), 1)
	m.Inner = bytes.ReplaceAll(m.Inner, []byte("app1@"), []byte("old1@"))
	ciphertext, err := pgp.Encrypt(m.Inner, pgp.EncryptOptions{Signer: phone.key, To: []*pgp.Cert{alice.cert()}, Now: w.now()})
	if err != nil {
		t.Fatal(err)
	}
	wire := pgp.JoinEncrypted(bytes.ReplaceAll(m.Outer, []byte("app1@"), []byte("old1@")), ciphertext, "old")
	if _, err := w.provider.Put(alice.addr, "INBOX", wire, nil, w.now().Add(-24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	w.settled(alice)
	if n := alice.State(t.Context()).OpenInvites; n != 1 {
		t.Errorf("%d open invites, want the one that came after the account", n)
	}
	alice.sees("INBOX")
}

// confirmFor is what an inviter sends to whom has joined from elsewhere.
func (p *person) confirmFor(alice *person, id string) []byte {
	p.w.Helper()
	env := (&app{p: p, key: p.SecretKey()}).env()
	env.MessageID = id
	env.Gossip = autocrypt.Header{Addr: alice.addr, Cert: alice.cert()}.GossipValue()
	self := securejoin.Self{Addr: p.addr, Fingerprint: p.SecretKey().Fingerprint()}
	m, err := securejoin.Compose(securejoin.Invite{}.Confirm(alice.addr, "", alice.cert().Fingerprint()), self, env)
	if err != nil {
		p.w.Fatal(err)
	}
	ciphertext, err := pgp.Encrypt(m.Inner, pgp.EncryptOptions{Signer: p.SecretKey(), To: []*pgp.Cert{alice.cert(), p.cert()}, Now: p.w.now()})
	if err != nil {
		p.w.Fatal(err)
	}
	return pgp.JoinEncrypted(m.Outer, ciphertext, "confirm")
}

// TestForTheOtherDevice: the answer to a join that is not known here is mail, unless there may be
// another device: then it is held, stays where it is, and is shown if nobody takes it; or it is
// hidden, once it is seen that the other device has joined.
func TestForTheOtherDevice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	w.deliver(alice, bob.confirmFor(alice, "alone@localhost"))
	alice.wait("INBOX", "vc-contact-confirm")

	if _, err := alice.ExportKey(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	w.deliver(alice, bob.confirmFor(alice, "nobodys@localhost"))
	w.settled(alice)
	if n := len(alice.read("INBOX")); n != 1 {
		t.Fatalf("%d messages are shown, want the first alone", n)
	}
	w.advance(11 * time.Minute)
	w.eventually("it is shown in the end", func() bool { return len(alice.read("INBOX")) == 2 })

	w.deliver(alice, bob.confirmFor(alice, "taken@localhost"))
	w.settled(alice)
	phone := w.app(alice)
	phone.step(securejoin.Send{
		Step: securejoin.RequestWithAuth, To: []string{bob.addr}, Auth: strings.Repeat("a", 24), Key: bob.cert().Fingerprint(), Signed: true,
	}, bob.cert())
	alice.knows(bob)
	w.advance(time.Hour)
	w.settled(alice)
	if n := len(alice.read("INBOX")); n != 2 {
		t.Errorf("%d messages are shown, want 2", n)
	}
	if left := len(alice.upstream("INBOX")); left < 4 {
		t.Errorf("%d messages are left at the provider: something was taken away", left)
	}
	if trash := alice.upstream("Trash"); len(trash) != 0 {
		t.Errorf("%d messages were moved to the trash", len(trash))
	}
}

// TestVanishedStays: what another device deletes at the provider stays readable here.
func TestVanishedStays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	w.shake(alice, bob)
	remove := func(text string) {
		bob.submit([]string{alice.addr}, letterTo(bob.addr, alice.addr, text, text))
		alice.wait("INBOX", text)
		for _, m := range alice.upstream("INBOX") {
			if err := w.provider.Remove(alice.addr, "INBOX", m.UID); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove("goes with the provider")
	w.eventually("it goes", func() bool { return len(alice.read("INBOX")) == 0 })
	if _, err := alice.ExportKey(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	alice.restart()
	remove("stays when an app deletes it")
	w.settled(alice)
	alice.sees("INBOX", "stays when an app deletes it")
}

// TestReceipts: receipts for what the app has sent, and its own, are nobody's mail. One for what
// was sent from here is.
func TestReceipts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	w.shake(alice, bob)
	if _, err := alice.ExportKey(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	alice.submit([]string{bob.addr}, strings.Replace(letterTo(alice.addr, bob.addr, "from here", "x"), "\n", "\nMessage-ID: <here@localhost>\n", 1))
	receipt := func(from *person, id, original string) {
		w.deliver(alice, w.encrypted(alice, outerOf(from.addr, alice.addr, id), fmt.Sprintf(
			"From: %s\r\nTo: %s\r\nSubject: Receipt %s\r\nMessage-ID: <%s>\r\nDate: %s\r\n"+
				"Content-Type: multipart/report; report-type=disposition-notification; boundary=b; hp=\"cipher\"\r\n\r\n"+
				"--b\r\nContent-Type: text/plain\r\n\r\nread\r\n--b\r\nContent-Type: message/disposition-notification\r\n\r\n"+
				"Original-Message-ID: <%s>\r\nDisposition: manual-action/MDN-sent-automatically; displayed\r\n\r\n--b--\r\n",
			from.addr, alice.addr, id, id, w.now().Format(time.RFC1123Z), original), from.SecretKey()))
	}
	receipt(bob, "r1@localhost", "app@localhost")
	receipt(alice, "r2@localhost", "bobs@localhost")
	receipt(bob, "r3@localhost", "here@localhost")
	alice.wait("INBOX", "Receipt r3")
	w.settled(alice)
	alice.sees("INBOX", "Receipt r3@localhost")
}

// TestChannelOfTheApp: posts of a channel that the app keeps are read here, and what it tells its
// subscribers is not seen.
func TestChannelOfTheApp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	phone := w.app(alice)
	secret, id := strings.Repeat("s", 43), strings.Repeat("c", 24)
	post := func(name string) {
		payload := protected(alice.addr, alice.addr, name+"@localhost", "post "+name, "Chat-Version: 1.0\r\nChat-List-ID: News <"+id+">\r\n")
		ciphertext, err := pgp.EncryptSymmetric([]byte(payload), secret, pgp.SymmetricOptions{Signer: phone.key, Now: w.now(), Compress: true})
		if err != nil {
			t.Fatal(err)
		}
		w.deliver(alice, pgp.JoinEncrypted([]byte(crlf(outerOf(alice.addr, alice.addr, name+"@localhost"))), ciphertext, "post"))
	}
	post("early") // is held
	w.settled(alice)
	alice.sees("INBOX")
	added := "Chat-Version: 1.0\r\nSecure-Join: vg-member-added\r\nChat-List-ID: News <" + id + ">\r\nChat-Group-Name: News\r\n" +
		"Chat-Group-Member-Added: " + bob.addr + "\r\nChat-Group-Member-Added-Fpr: " + string(bob.cert().Fingerprint()) + "\r\nChat-Broadcast-Secret: " + secret + "\r\n"
	w.deliver(alice, w.encrypted(alice, outerOf(alice.addr, alice.addr, "added@localhost"), protected(alice.addr, bob.addr, "added@localhost", "added", added), phone.key))
	m := alice.wait("INBOX", "post early")
	if m.header("List-Id") == "" || m.header("Mailbridge-Security") != "" {
		t.Errorf("not a post of ours:\n%s", m.raw)
	}
	post("late")
	alice.wait("INBOX", "post late")
	if n := len(alice.read("INBOX")); n != 2 {
		t.Errorf("%d messages, want the posts alone", n)
	}
	if list, err := alice.Channels(t.Context()); err != nil || len(list) != 1 || list[0].Own || list[0].Name != "News" {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestOwnMailRewritten: mail that our key signed is our own, whatever a relay wrote outside; what
// it gossips is learnt.
func TestOwnMailRewritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice := w.add("alice")
	phone, carol := w.app(alice), w.newKey("carol@example.net")
	gossip := autocrypt.Header{Addr: "carol@example.net", Cert: carol.Cert()}.GossipValue()
	w.deliver(alice, w.encrypted(alice, outerOf("list@lists.example", "x@lists.example", "own@localhost"),
		protected(alice.addr, "carol@example.net", "own@localhost", "by the app", "Autocrypt-Gossip: "+strings.ReplaceAll(gossip, " ", "\r\n ")+"\r\n"), phone.key))
	m := alice.wait("INBOX", "by the app")
	if m.header("Mailbridge-Security") != "" || m.header("From") != alice.addr {
		t.Errorf("not shown as our own:\n%s", m.raw)
	}
	c, err := alice.Contact(t.Context(), "carol@example.net")
	if err != nil || c.Fingerprint != carol.Fingerprint() || c.Verified || c.Origin != "gossip" {
		t.Errorf("%+v, %v", c, err)
	}
}
