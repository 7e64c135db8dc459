package account_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mailbridge/account"
	"mailbridge/internal/provider"
	"mailbridge/mailbox"
	"mailbridge/message"
	"mailbridge/pgp"
)

// The tests in this file forge who writes into a group, and the local addresses of groups.

// TestAttackInAnothersName: a member who writes into the group in the name of another one is told
// from that one, whoever of them is a contact.
func TestAttackInAnothersName(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	people := w.circle("alice", "bob", "carol")
	alice, bob, carol := people[0], people[1], people[2]
	// Mallory is known as a member alone, and so is dave.
	w.provider.AddUser("mallory@example.org", "pw")
	w.provider.AddUser("dave@example.org", "pw")
	second, mallory, dave := w.newKey(carol.addr), w.newKey("mallory@example.org"), w.newKey("dave@example.org")
	add := func(by *pgp.Key, addr string, key *pgp.Key) {
		w.say(said{from: carol.addr, key: by, to: []*person{alice}, text: "adds " + string(key.Fingerprint()), more: fmt.Sprintf(
			"Cc: %s\nChat-Group-Member-Added: %s\nChat-Group-Member-Added-Fpr: %s\nChat-Group-Member-Fpr: %s %s\nChat-Group-Member-Timestamps: %d %d\n%s",
			addr, addr, key.Fingerprint(), alice.fpr(), key.Fingerprint(), w.now().Unix(), w.now().Unix(), gossipField(addr, key))})
		alice.wait(mailbox.Inbox, addr+" was added by")
	}
	add(carol.SecretKey(), carol.addr, second)
	add(second, "mallory@example.org", mallory)
	add(second, "dave@example.org", dave)
	for text, from := range map[string]string{"as a member": "dave@example.org", "as a contact": bob.addr} {
		w.say(said{from: from, key: mallory, to: []*person{alice}, text: text})
		m := alice.wait(mailbox.Inbox, text)
		s := securityOf(m)
		if s.Trust != "none" || !slices.Contains(s.Warnings, "from-mismatch") && !slices.Contains(s.Warnings, "key-changed") || m.Flags.Has(mailbox.Verified) {
			t.Errorf("%s: %+v", text, s)
		}
	}
	w.say(said{from: "mallory@example.org", key: mallory, to: []*person{alice}, text: "as himself"})
	if s := securityOf(alice.wait(mailbox.Inbox, "as himself")); len(s.Warnings) != 0 {
		t.Errorf("%+v", s)
	}
}

// TestAttackLocalAddress: nobody is a contact under an address that only the bridge has, and an
// answer that such an address was put into goes to the group alone or nowhere.
func TestAttackLocalAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	ctx := t.Context()
	people := w.circle("alice", "bob")
	alice, bob := people[0], people[1]
	local := alice.group().Address // it may leave by what a client quotes
	_, link := alice.invite(account.InviteOptions{})
	for n, addr := range []string{local, "x.aaaaaaaaaaaaaaaa@groups.mailbridge.invalid", "status@mailbridge.invalid"} {
		eve := &stranger{w, addr, w.newKey(addr)}
		id := fmt.Sprintf("forged%d@x", n)
		w.deliver(alice, []byte(crlf(outerOf(addr, alice.addr, id))+autocryptField(addr, eve.key)+"\r\nwritten by "+id+"\r\n"))
		alice.wait(mailbox.Inbox, "written by "+id)
		eve.send(alice, requestPubkey(link))
		eve.send(alice, withAuth(link))
	}
	alice.sent()
	contacts, err := alice.Contacts(ctx)
	if err != nil || len(contacts) != 1 || contacts[0].Address != bob.addr {
		t.Errorf("%+v, %v", contacts, err)
	}
	for _, s := range w.provider.Submissions() {
		if strings.Contains(fmt.Sprint(s.To), "invalid") {
			t.Errorf("sent to %v", s.To)
		}
	}

	// What eve wrote leads an answer into the group: in the clear nowhere, to her never.
	w.deliver(alice, []byte(crlf(strings.Replace(outerOf("eve@example.net", alice.addr, "lure@x"), "From:", "Reply-To: Me <"+local+">\nFrom:", 1)+"\nwhat is it?\n")))
	lure := alice.wait(mailbox.Inbox, "what is it?")
	_, err = alice.answer(lure, "answer to all", true)
	refused(t, err, "eve@example.net")
	if _, err := alice.answer(lure, "answer to one", false); err != nil {
		t.Fatal(err)
	}
	bob.wait(mailbox.Inbox, "answer to one")
	bob.sentTo("answer-to-one") // encrypted
	lure.raw = []byte(strings.Replace(string(lure.raw), localPart(local), "x.aaaaaaaaaaaaaaaa", 1))
	_, err = alice.answer(lure, "answer to nobody", false)
	refused(t, err, "no group or channel")
}

// TestAttackManyClaims: of those who come under somebody else's address no more are told of than
// can be accepted.
func TestAttackManyClaims(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.stranger("bob")
	_, link := alice.invite(account.InviteOptions{})
	bob.join(alice, link)
	for n := range 12 {
		if n%4 == 0 { // as many an hour are taken
			w.advance(61 * time.Minute)
		}
		eve := &stranger{w, bob.addr, w.newKey(bob.addr)}
		eve.send(alice, withAuth(link))
	}
	told := alice.count(mailbox.Bridge, "Another key for "+bob.addr)
	if c := alice.contact(bob.addr); len(c.Candidates) != 10 || told != 10 || !c.Verified || c.Fingerprint != bob.key.Fingerprint() {
		t.Errorf("told of %d: %+v", told, c)
	}
}

// TestAttackGroupLetterFields: what a client writes beside leads nobody out of the group, names no
// Bcc, and nobody who left gets it.
func TestAttackGroupLetterFields(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	people := w.circle("alice", "bob", "carol", "dave")
	alice, bob, carol, dave := people[0], people[1], people[2], people[3]
	alice.change("remove", carol.addr)
	dave.change("leave", "")
	w.agree("alice bob", alice, bob)
	addr := alice.group().Address
	alice.submit([]string{addr, carol.addr, dave.addr, bob.addr}, fmt.Sprintf("From: %s\nTo: %s, %s\nCc: %s\nBcc: %s\nResent-Bcc: %s\nReply-To: %s\nSubject: x\nMessage-ID: <fields@client>\n\nto who is in\n",
		alice.addr, addr, carol.addr, dave.addr, bob.addr, bob.addr, carol.addr))
	bob.wait(mailbox.Inbox, "to who is in")
	for _, p := range []*person{carol, dave} {
		for _, m := range p.upstream(mailbox.Inbox) {
			if strings.Contains(string(m.Data), "fields@client") {
				t.Errorf("%s got %s", p.addr, m.Data)
			}
		}
	}
	outer, inner, _ := bob.sentTo("fields@client")
	for _, h := range []message.Header{outer, inner} {
		for _, f := range h.Fields {
			if strings.HasPrefix(f.Name, "Resent-") || f.Name == "Bcc" || f.Name == "Cc" || f.Name == "Reply-To" || f.Name == "To" && strings.Contains(f.Value(), carol.addr) {
				t.Errorf("%s: %s", f.Name, f.Value())
			}
		}
	}
	w.agree("alice bob", alice, bob)
}

// TestAttackLargeMachineMail: what is between programs is not hidden where it is larger than what
// programs have to say to each other.
func TestAttackLargeMachineMail(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	people := w.circle("alice", "bob")
	alice, bob := people[0], people[1]
	if _, err := alice.ExportKey(context.Background(), true); err != nil {
		t.Fatal(err)
	}
	large := func(size int) string {
		var b strings.Builder
		for b.Len() < size {
			b.WriteString(rand.Text() + "\r\n") // which hardly compresses
		}
		return b.String()
	}
	report := func(id, subject, to, disposition, text string) string {
		return fmt.Sprintf("From: %s\r\nTo: %s\r\nSubject: %s\r\nMessage-ID: <%s>\r\n%s"+
			"Content-Type: multipart/report; report-type=disposition-notification; boundary=b; hp=\"cipher\"\r\n\r\n"+
			"--b\r\nContent-Type: text/plain\r\n\r\nthe text %s\r\n%s\r\n--b\r\nContent-Type: message/disposition-notification\r\n\r\n%s\r\n--b--\r\n",
			bob.addr, to, subject, id, autocryptField(bob.addr, bob.SecretKey()), id, text, disposition)
	}
	const update = "Disposition: automatic-action/MDN-sent-automatically; processed"
	const receipt = "Original-Message-ID: <of-the-app@localhost>\r\nDisposition: manual-action/MDN-sent-automatically; displayed"
	for _, size := range []int{10, 500 << 10} {
		id := fmt.Sprintf("update%d@x", size)
		w.deliver(alice, w.encrypted(alice, outerOf(bob.addr, "\"hidden-recipients\": ;", id), report(id, "Keyupdate", "\"hidden-recipients\": ;", update, large(size)), nil))
		id = fmt.Sprintf("receipt%d@x", size)
		w.deliver(alice, w.encrypted(alice, outerOf(bob.addr, alice.addr, id), report(id, "Receipt", alice.addr, receipt, large(size)), bob.SecretKey()))
	}
	for _, size := range []int{10, 7 << 20} {
		g, id := alice.group(), fmt.Sprintf("repeat%d@x", size)
		w.deliver(alice, w.encrypted(alice, outerOf(bob.addr, "\"hidden-recipients\": ;", id), protected(bob.addr, alice.addr, id, "the text "+id+"\r\n"+large(size),
			crlf(fmt.Sprintf("Chat-Version: 1.0\nChat-Group-ID: %s\nChat-Group-Name: %s\nChat-Group-Member-Added: %s\nChat-Group-Member-Added-Fpr: %s\n%s",
				g.ID, g.Name, alice.addr, alice.fpr(), gossipField(alice.addr, alice.SecretKey())))), bob.SecretKey()))
	}
	alice.synced()
	alice.want(mailbox.Inbox, "the text update10@x", 0)
	alice.want(mailbox.Inbox, "the text receipt10@x", 0)
	alice.want(mailbox.Inbox, "the text update512000@x", 1)
	alice.want(mailbox.Inbox, "the text receipt512000@x", 1)
	alice.want(mailbox.Inbox, "<repeat10@x>", 0)
	alice.want(mailbox.Inbox, "<repeat7340032@x>", 1)
}

// TestAttackGroupInTheClear: nothing that strangers or members write lets a letter out in the clear,
// into a group that need not be encrypted but whose members have keys, or into one that must be.
func TestAttackGroupInTheClear(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	ctx := t.Context()
	people := w.circle("alice", "bob")
	alice, bob := people[0], people[1]
	app := alice.group()
	w.provider.AddUser("zoe@example.org", "pw")
	zoe, other := w.newKey("zoe@example.org"), w.newKey("zoe@example.org")
	plain := func(from, id, more string) {
		w.deliver(alice, []byte(crlf(outerOf(from, alice.addr, id)+"Chat-Version: 1.0\nChat-Group-ID: "+app.ID+"\n")+more+"\r\nin the clear "+id+"\r\n"))
		alice.wait(mailbox.Inbox, "in the clear "+id)
	}
	plain("zoe@example.org", "key@x", autocryptField("zoe@example.org", zoe))
	open, err := alice.CreateGroup(ctx, "Open")
	if err != nil {
		t.Fatal(err)
	}
	for what, arg := range map[string]string{"add": "zoe@example.org", "encryption": "when-possible"} {
		if _, err := changeOf(alice, open.ID, what, arg); err != nil {
			t.Fatal(err)
		}
	}
	sealed := func(g account.Group, id string, to *pgp.Key, more string) {
		t.Helper()
		_, err := alice.Submit(ctx, alice.addr, []string{g.Address}, []byte(crlf(fmt.Sprintf("From: %s\nTo: %s\nSubject: Hello\nMessage-ID: <%s>\n%s\nfor members\n", alice.addr, g.Address, id, more))))
		last := w.last(alice)
		if err != nil || strings.Contains(string(last.Data), "for members") || !strings.Contains(string(last.Data), id) {
			t.Errorf("%v: %.900s", err, last.Data)
			return
		}
		if _, err := pgp.Open(splitOf(t, last.Data), pgp.OpenOptions{Keys: []*pgp.Key{to}, Now: w.now(), MaxSize: 1 << 20}); err != nil {
			t.Errorf("the member cannot read it: %v", err)
		}
	}
	sealed(open, "first@client", zoe, "")
	plain("zoe@example.org", "other@x", autocryptField("zoe@example.org", other))
	plain("zoe@example.org", "none@x", "")
	plain(bob.addr, "bobs@x", autocryptField(bob.addr, other))
	w.say(said{from: bob.addr, key: other, to: []*person{bob}, text: "to bob"})
	sealed(open, "second@client", zoe, "")
	sealed(app, "third@client", bob.SecretKey(), "")
	sealed(app, "plain@client", bob.SecretKey(), "Mailbridge-Encrypt: no\n")
	if _, err := alice.ResetContact(ctx, bob.addr); err != nil {
		t.Fatal(err)
	}
	if _, err := alice.ResetContact(ctx, "zoe@example.org"); err != nil {
		t.Fatal(err)
	}
	sealed(open, "fourth@client", zoe, "")
	sealed(app, "fifth@client", bob.SecretKey(), "")
	// A member whose program keeps groups adds somebody without a key, in the form of one that keeps
	// none: the group stays as it is.
	w.deliver(alice, w.encrypted(alice, outerOf(bob.addr, `"hidden-recipients": ;`, "mua@x"), crlf(fmt.Sprintf(
		"From: %s\nTo: %s, yan@example.org\nDate: %s\nMessage-ID: <mua@x>\nChat-Group-ID: %s\nChat-Group-Member-Fpr: %s %s\nContent-Type: text/plain; hp=\"cipher\"\n\nwith yan\n",
		bob.addr, alice.addr, w.now().Format(time.RFC1123Z), app.ID, alice.fpr(), strings.Repeat("AB", 20))), bob.SecretKey()))
	alice.wait(mailbox.Inbox, "with yan")
	_, err = alice.Submit(ctx, alice.addr, []string{app.Address}, []byte(crlf("From: "+alice.addr+"\nTo: "+app.Address+"\nSubject: x\n\nfor members\n")))
	refused(t, err, "yan@example.org")
	_, err = changeOf(alice, app.ID, "encryption", "when-possible")
	wantBadData(t, err, "may show only encrypted mail") // though nothing is known of his key any more
	for _, v := range w.provider.Violations() {
		t.Error(v)
	}
}
