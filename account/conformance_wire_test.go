package account_test

import (
	"bytes"
	"crypto/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"mailbridge/account"
	"mailbridge/autocrypt"
	"mailbridge/headers"
	"mailbridge/internal/provider"
	"mailbridge/internal/vectors"
	"mailbridge/mailbox"
	"mailbridge/message"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// The items of the list that package securejoin shows as a rule, and whose rule is carried out here.

// id gives a step a Message-ID.
func id(value string) twist {
	return func(m *securejoin.Mail) {
		h, _ := message.ParseHeader(m.Outer)
		was := strings.Trim(h.Get("Message-ID"), "<>")
		edit(was, value)(m)
		editOuter(was, value)(m)
	}
}

// offersToRevokeAndRevive: the own link says what can be done with it.
func offersToRevokeAndRevive(t *testing.T) {
	w := newWorld(t, provider.Options{})
	ctx := t.Context()
	alice, bob := w.add("alice"), w.add("bob")
	invite, link := alice.invite(account.InviteOptions{})
	offers := func(text string) {
		t.Helper()
		for _, form := range []string{link.String(), link.Scheme()} {
			_, err := alice.Join(ctx, form, account.JoinOptions{})
			wantBadData(t, err, "this invite is your own")
			wantBadData(t, err, text)
		}
	}
	offers("bridge invite revoke " + invite.ID)
	if _, err := alice.RevokeInvite(ctx, invite.ID); err != nil {
		t.Fatal(err)
	}
	offers("bridge invite revive " + invite.ID)
	w.advance(securejoin.Tombstone + time.Hour)
	alice.tidied()
	offers("bridge invite revive '")
	if _, err := bob.ReviveInvite(ctx, link.String()); err == nil {
		t.Error("revived another's link")
	}
	if _, err := alice.ReviveInvite(ctx, link.String()); err != nil {
		t.Fatal(err)
	}
	bob.joinsLink(link.String(), account.JoinCompleted)
	if n := len(w.provider.Submissions()); n != 4 {
		t.Errorf("%d messages", n)
	}
}

// answersOnce: 8 to 10.
func answersOnce(t *testing.T) {
	w := newWorld(t, provider.Options{})
	alice, eve := w.add("alice"), w.stranger("eve")
	_, link := alice.invite(account.InviteOptions{})
	wants := func(steps ...string) {
		t.Helper()
		alice.sent()
		if got := eve.answers(link.Secret()); !slices.Equal(got, steps) {
			t.Errorf("answers %v", got)
		}
	}
	for range 2 { // the same message, and another of the same Message-ID
		raw := eve.write(alice, requestPubkey(link), id("one@localhost"))
		w.deliver(alice, raw)
		w.deliver(alice, again(raw))
		alice.synced()
	}
	wants("vc-pubkey")
	eve.send(alice, requestPubkey(link), id("two@localhost"))
	wants("vc-pubkey", "vc-pubkey")
	for range 2 {
		eve.send(alice, withAuth(link), id("three@localhost"))
	}
	wants("vc-pubkey", "vc-pubkey", "vc-contact-confirm")
	eve.send(alice, withAuth(link), id("four@localhost"))
	wants("vc-pubkey", "vc-pubkey", "vc-contact-confirm", "vc-contact-confirm")
}

// wrongPassword: 12 to 14.
func wrongPassword(of func(securejoin.Link) string) func(*testing.T) {
	return func(t *testing.T) {
		w := newWorld(t, provider.Options{})
		alice, eve := w.add("alice"), w.stranger("eve")
		_, link := alice.invite(account.InviteOptions{})
		step := requestPubkey(link)
		step.Secret = of(link)
		eve.send(alice, step)
		alice.unmoved("a wrong password", eve.addr)
		if alice.Tried() == 0 {
			t.Error("no secret was tried")
		}
		eve.send(alice, requestPubkey(link))
		alice.sent()
		if got := eve.answers(link.Secret()); len(got) != 1 {
			t.Errorf("answers %v", got)
		}
	}
}

// takesNoUnsignedStep: under the secret of a link nobody proves who he is.
func takesNoUnsignedStep(t *testing.T) {
	w := newWorld(t, provider.Options{})
	alice, eve, ivy := w.add("alice"), w.stranger("eve"), w.stranger("ivy")
	_, link := alice.invite(account.InviteOptions{})
	under := func(s securejoin.Send, secret string, signed bool) securejoin.Send {
		s.Secret, s.Signed = secret, signed
		return s
	}
	own := ivy.link()
	j := alice.follow(own)
	ivy.send(alice, under(authRequired(), own.Secret(), false))
	ivy.send(alice, under(authRequired(), own.Secret(), true))
	alice.sent()
	if got := ivy.answers(own.Secret()); len(got) != 1 || alice.contact(ivy.addr).Verified {
		t.Errorf("sent %v", got)
	}
	ivy.send(alice, pubkey(own))
	alice.sent()
	before := len(w.provider.Submissions())
	for _, signed := range []bool{false, true} {
		eve.send(alice, under(withAuth(link), link.Secret(), signed))
		ivy.send(alice, under(confirm(), own.Secret(), signed))
	}
	eve.send(alice, under(withAuth(link), link.Secret(), false), without(securejoin.FieldFingerprint))
	eve.send(alice, requestPubkey(link), without(securejoin.FieldStep)) // text
	alice.sent()
	if n := len(w.provider.Submissions()) - before; n != 0 || alice.contact(eve.addr).Verified || alice.state(j.ID).State != account.JoinPending {
		t.Errorf("%d answers, %+v, %+v", n, alice.contact(eve.addr), alice.state(j.ID))
	}
	ivy.send(alice, confirm())
	if s := alice.state(j.ID); s.State != account.JoinCompleted {
		t.Errorf("%+v", s)
	}
}

// answersImpersonally: whoever holds the link can read vc-pubkey.
func answersImpersonally(t *testing.T) {
	w := newWorld(t, provider.Options{})
	alice, eve := w.add("alice"), w.stranger("eve")
	_, link := alice.invite(account.InviteOptions{})
	eve.send(alice, requestPubkey(link))
	alice.sent()
	sent := w.last(alice)
	opened, err := pgp.OpenSymmetric(splitOf(t, sent.Data), slices.Values([]string{link.Secret()}), pgp.OpenOptions{
		Now: w.now(), Certs: func([]byte, []pgp.Fingerprint) []*pgp.Cert { return []*pgp.Cert{alice.cert()} },
	})
	if err != nil || opened.Signature.State != pgp.SignatureGood || len(opened.Intended) != 0 {
		t.Fatalf("%+v, %v", opened, err)
	}
	outer, _ := message.ParseHeader(sent.Data)
	inner, _ := message.ParseHeader(opened.Payload)
	for _, h := range []message.Header{outer, inner} {
		if h.Get("From") != "<"+alice.addr+">" || h.Get("To") != `"hidden-recipients": ;` || h.Has("Chat-User-Avatar") || bytes.Contains(h.Bytes(), []byte(eve.addr)) {
			t.Errorf("%s", h.Bytes())
		}
	}
	if h, ok, err := autocrypt.FromHeader(inner.Values("Autocrypt"), alice.addr); !ok || h.Cert.Fingerprint() != link.Fingerprint || outer.Has("Autocrypt") {
		t.Errorf("%v\n%s", err, inner.Bytes())
	}
	if bytes.Contains(opened.Payload, []byte("Alice")) || !slices.Equal(sent.To, []string{eve.addr}) {
		t.Errorf("to %v\n%s", sent.To, opened.Payload)
	}
}

// requestsAsDeltaChat: the fields of the first step are those that Delta Chat 2.62 sends, and no
// copy of it goes to ourselves, though there is another device.
func requestsAsDeltaChat(t *testing.T) {
	w := newWorld(t, provider.Options{})
	bob, ivy := w.add("bob"), w.stranger("ivy")
	if _, err := bob.ExportKey(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	bob.sent()
	link := ivy.link()
	link.Relays = []string{"ivy@relay." + domain}
	w.provider.AddUser(link.Relays[0], "x")
	before := len(w.provider.Submissions())
	bob.follow(link)
	sent := w.provider.Submissions()[before:]
	if len(sent) != 1 || !slices.Equal(sent[0].To, link.Addresses()) {
		t.Fatalf("%d messages, to %v", len(sent), sent[0].To)
	}
	opened, err := pgp.OpenSymmetric(splitOf(t, sent[0].Data), slices.Values([]string{link.Secret()}), pgp.OpenOptions{Now: w.now()})
	if err != nil || opened.Signature.State != pgp.SignatureNone {
		t.Fatalf("%+v, %v", opened, err)
	}
	theirs := vectors.Get(t, "v3-contact").Messages[0]
	for _, pair := range [][2][]byte{{sent[0].Data, theirs.Raw}, {opened.Payload, theirs.Plain}} {
		ours, _ := message.ParseHeader(pair[0])
		want, _ := message.ParseHeader(pair[1])
		if got, want := namesIn(ours), namesIn(want); !slices.Equal(got, want) {
			t.Errorf("%v\nDelta Chat writes\n%v", got, want)
		}
		if ours.Get("To") != want.Get("To") || ours.Get("Subject") != want.Get("Subject") || ours.Get("Secure-Join") != want.Get("Secure-Join") {
			t.Errorf("%s", ours.Bytes())
		}
	}
	// Of the second step there is one, which is the first that the other device gets.
	ivy.send(bob, pubkey(link))
	var copies []provider.Submission
	w.eventually("the second step is copied", func() bool {
		copies = slices.DeleteFunc(w.provider.Submissions()[before:], func(s provider.Submission) bool { return !slices.Equal(s.To, []string{bob.addr}) })
		return len(copies) > 0
	})
	if info, err := pgp.Inspect(splitOf(t, copies[0].Data)); err != nil || info.Kind == pgp.Symmetric || len(copies) != 1 {
		t.Errorf("%+v, %v, %d copies", info, err, len(copies))
	}
}

// namesIn are the names of the fields, sorted, but for what servers add.
func namesIn(h message.Header) []string {
	var names []string
	for _, f := range h.Fields {
		if !slices.Contains([]string{"Return-Path", "Delivered-To", "Received"}, f.Name) {
			names = append(names, f.Name)
		}
	}
	slices.Sort(names)
	return names
}

// takesKeyWithoutMarks: vc-pubkey needs neither Secure-Join-Auth nor hp.
func takesKeyWithoutMarks(t *testing.T) {
	w := newWorld(t, provider.Options{})
	bob, ivy := w.add("bob"), w.stranger("ivy")
	link := ivy.link()
	j := bob.follow(link)
	ivy.send(bob, pubkey(link), edit("Secure-Join-Auth: "+link.Auth, "Secure-Join-Auth: "+rand.Text()[:24]))
	if c := bob.contact(ivy.addr); c.Verified {
		t.Errorf("with another AUTH: %+v", c)
	}
	marks := `; protected-headers="v1"; hp="cipher"`
	ivy.send(bob, pubkey(link), without(securejoin.FieldAuth), func(m *securejoin.Mail) {
		if !bytes.Contains(m.Inner, []byte(marks)) {
			t.Errorf("no marks in\n%s", m.Inner)
		}
		edit(marks, "")(m)
	})
	bob.sent()
	if got := ivy.answers(link.Secret()); !slices.Equal(got, []string{"vc-request-pubkey", "vc-request-with-auth"}) || !bob.contact(ivy.addr).Verified {
		t.Errorf("sent %v", got)
	}
	// Nobody confirms it: 49.
	bob.submit([]string{ivy.addr}, letterTo(bob.addr, ivy.addr, "hello", "no answer yet"))
	if _, _, opened := w.submittedLast(bob, ivy.key); !bytes.Contains(opened.Payload, []byte("no answer yet")) || bob.state(j.ID).State != account.JoinPending {
		t.Errorf("%s", opened.Payload)
	}
}

// submittedLast opens the last message that a person has sent.
func (w *world) submittedLast(by *person, key *pgp.Key) (outer, inner message.Header, opened *pgp.Opened) {
	w.Helper()
	raw := w.last(by).Data
	opened, err := pgp.Open(splitOf(w.T, raw), pgp.OpenOptions{Keys: []*pgp.Key{key}, Now: w.now(),
		Certs: func([]byte, []pgp.Fingerprint) []*pgp.Cert { return []*pgp.Cert{by.cert()} }})
	if err != nil {
		w.Fatal(err)
	}
	outer, _ = message.ParseHeader(raw)
	inner, _ = message.ParseHeader(opened.Payload)
	return outer, inner, opened
}

// answersPlainRequest: with our key and, by gossip, the one that the request brought.
func answersPlainRequest(t *testing.T) {
	w := newWorld(t, provider.Options{})
	alice, eve := w.add("alice"), w.stranger("eve")
	_, link := alice.invite(account.InviteOptions{})
	unknown := link
	unknown.Number = rand.Text()[:24]
	eve.send(alice, plainRequest(unknown))
	alice.unmoved("an unknown number", eve.addr)
	eve.send(alice, plainRequest(link))
	alice.sent()
	outer, inner, opened := w.submittedLast(alice, eve.key)
	if opened.Signature.State != pgp.SignatureGood || !opened.IntendedForUs || inner.Get("Secure-Join") != "vc-auth-required" || outer.Get("To") != `"hidden-recipients": ;` {
		t.Errorf("%+v\n%s", opened.Signature, inner.Bytes())
	}
	gossip := autocrypt.GossipFor(inner.Values(autocrypt.GossipName), []string{eve.addr})
	if len(gossip) != 1 || gossip[0].Cert.Fingerprint() != eve.key.Fingerprint() || bytes.Contains(opened.Payload, []byte("Alice")) {
		t.Errorf("%s", inner.Bytes())
	}
	if alice.contact(eve.addr).Verified {
		t.Error("a number admits somebody")
	}
}

// requestsInPlain: in the one form that chatmail relays let pass.
func requestsInPlain(t *testing.T) {
	w := newWorld(t, provider.Options{})
	bob, ivy := w.add("bob"), w.stranger("ivy")
	for kind, name := range map[string]string{"legacy": "vc-request", "channel, legacy": "vg-request"} {
		link := ivy.links()[kind]
		bob.follow(link)
		raw := w.last(bob).Data
		root := message.Parse(raw)
		if root.MediaType != "multipart/mixed" || len(root.Children) != 1 || root.Children[0].MediaType != "text/plain" || len(root.Children[0].Children) != 0 ||
			strings.ToLower(strings.TrimSpace(root.Children[0].Text(raw))) != "secure-join: "+name || root.Header.Get("Secure-Join") != name {
			t.Errorf("a relay refuses\n%s", raw)
		}
		if bytes.Contains(raw, []byte(link.Auth)) || bytes.Contains(raw, []byte("Bob <")) || strings.Contains(root.Header.Get("Subject"), "Bob") {
			t.Errorf("tells too much:\n%s", raw)
		}
	}
}

// readsNoPlainStep: of plain mail nothing but a request is read, and of that not who it says it is
// by.
func readsNoPlainStep(t *testing.T) {
	w := newWorld(t, provider.Options{})
	alice, eve, ivy := w.add("alice"), w.stranger("eve"), w.stranger("ivy")
	_, link := alice.invite(account.InviteOptions{})
	j, k := alice.follow(ivy.link()), alice.follow(ivy.link())
	own := ivy.link()
	l := alice.follow(own)
	before := len(w.provider.Submissions())
	plain := func(s *stranger, step, more string) {
		gossip := autocrypt.Header{Addr: alice.addr, Cert: alice.cert()}.GossipValue()
		w.deliver(alice, []byte(crlf(outerOf(s.addr, alice.addr, rand.Text()+"@x"))+autocryptField(s.addr, s.key)+
			"Autocrypt-Gossip: "+strings.ReplaceAll(gossip, " ", "\r\n ")+"\r\nChat-Version: 1.0\r\nSecure-Join: "+step+"\r\nSecure-Join-Fingerprint: "+string(s.key.Fingerprint())+
			"\r\n"+more+"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=p\r\n\r\n--p\r\nContent-Type: text/plain\r\n\r\nSecure-Join: "+step+"\r\n--p--\r\n"))
		alice.synced()
	}
	steps := []string{"vc-request-pubkey", "vc-pubkey", "vc-auth-required", "vc-request-with-auth", "vg-request-with-auth", "vc-contact-confirm", "vg-member-added"}
	for _, step := range steps {
		plain(eve, step, "Secure-Join-Auth: "+link.Auth+"\r\n")
		plain(ivy, step, "Secure-Join-Auth: "+own.Auth+"\r\nChat-Group-Member-Added: "+alice.addr+"\r\n")
	}
	alice.sent()
	if n := len(w.provider.Submissions()) - before; n != 0 {
		t.Errorf("%d answers", n)
	}
	alice.want(mailbox.Inbox, "Secure-Join: v", 2*len(steps)) // it is mail
	plain(eve, "vc-request", "Secure-Join-Auth: "+link.Auth+"\r\nSecure-Join-Invitenumber: "+link.Number+"\r\n")
	alice.sent()
	if got := eve.answers(); !slices.Equal(got, []string{"vc-auth-required"}) {
		t.Errorf("answers %v", got)
	}
	for _, addr := range []string{eve.addr, ivy.addr} {
		if c := alice.contact(addr); c.Verified {
			t.Errorf("%+v", c)
		}
	}
	for _, id := range []string{j.ID, k.ID, l.ID} {
		if s := alice.state(id); s.State != account.JoinPending {
			t.Errorf("%+v", s)
		}
	}
}

// trustsNobodyUnsigned: what is encrypted and not signed changes nothing: no key, no member, no join.
func trustsNobodyUnsigned(t *testing.T) {
	w := newWorld(t, provider.Options{})
	people := w.circle("alice", "bob")
	alice, bob := people[0], people[1]
	eve, carol := w.stranger("eve"), w.newKey("carol@example.net")
	_, link := alice.invite(account.InviteOptions{})
	unsigned := withAuth(link)
	unsigned.Signed = false
	eve.send(alice, unsigned)
	eve.send(alice, unsigned, without(securejoin.FieldFingerprint))
	gossip := strings.ReplaceAll(gossipField("carol@example.net", carol), "\n", "\r\n")
	for from, key := range map[string]*pgp.Key{eve.addr: eve.key, bob.addr: bob.SecretKey()} {
		name := "unsigned by " + from
		w.deliver(alice, w.encrypted(alice, outerOf(from, alice.addr, name+"@x"), strings.Replace(
			protected(from, alice.addr, "u@x", name, autocryptField(from, key)+gossip), "To: "+alice.addr, "To: "+alice.addr+", carol@example.net", 1), nil))
		m := alice.wait(mailbox.Inbox, name)
		w.untrusted(m)
		if s := securityOf(m); s.Signature != "none" || s.Signer != "" {
			t.Errorf("%+v", s)
		}
	}
	w.say(said{from: bob.addr, to: []*person{alice}, text: "nobody leaves", more: removes(bob)})
	alice.strange("nobody leaves")
	if c := alice.contact(eve.addr); c.Verified || c.Fingerprint != "" {
		t.Errorf("%+v", c)
	}
	if c := alice.contact("carol@example.net"); c.Fingerprint != "" {
		t.Errorf("%+v", c)
	}
	w.agree("alice bob", alice)
	if got := eve.answers(); len(got) != 0 {
		t.Errorf("answers %v", got)
	}
}

// knowsTheSigner: 32 and 42. A signature counts if its key is that of the Autocrypt field, or is
// known; one that came along for another address is neither.
func knowsTheSigner(t *testing.T) {
	w := newWorld(t, provider.Options{})
	alice, eve, ivy := w.add("alice"), w.stranger("eve"), w.stranger("ivy")
	_, link := alice.invite(account.InviteOptions{})
	own := ivy.link()
	alice.follow(own)
	before := len(w.provider.Submissions())
	for _, key := range []twist{without("Autocrypt"), autocryptOf("another@"+domain, eve.key)} {
		eve.send(alice, withAuth(link), key)
	}
	for _, key := range []twist{without("Autocrypt"), autocryptOf("another@"+domain, ivy.key)} {
		ivy.send(alice, pubkey(own), key)
	}
	alice.sent()
	if n := len(w.provider.Submissions()) - before; n != 0 || alice.contact(eve.addr).Verified || alice.contact(ivy.addr).Verified {
		t.Errorf("%d messages, %+v, %+v", n, alice.contact(eve.addr), alice.contact(ivy.addr))
	}
	for _, s := range []*stranger{eve, ivy} {
		w.deliver(alice, s.mailFrom(alice, "known@"+s.addr, "my key, "+s.addr))
		alice.wait(mailbox.Inbox, "my key, "+s.addr)
	}
	eve.send(alice, withAuth(link), without("Autocrypt"))
	ivy.send(alice, pubkey(own), without("Autocrypt"))
	alice.sent()
	if !alice.contact(eve.addr).Verified || !alice.contact(ivy.addr).Verified {
		t.Errorf("%+v, %+v", alice.contact(eve.addr), alice.contact(ivy.addr))
	}
}

// passedOn gives a message that was encrypted to one key to somebody else: with its signature, and
// without knowing anything of who signed.
func passedOn(t *testing.T, raw []byte, from *pgp.Key, to *person) []byte {
	t.Helper()
	return remade(t, raw, func(b []byte) []byte {
		ring, err := openpgp.ReadArmoredKeyRing(strings.NewReader(from.Armor()))
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := openpgp.ReadArmoredKeyRing(strings.NewReader(to.SecretKey().Armor()))
		if err != nil {
			t.Fatal(err)
		}
		p, err := packet.Read(bytes.NewReader(b))
		key, ok := p.(*packet.EncryptedKey)
		if !ok || err != nil {
			t.Fatalf("%T, %v", p, err)
		}
		if err := key.Decrypt(ring[0].Subkeys[0].PrivateKey, nil); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := packet.SerializeEncryptedKeyAEAD(&out, theirs[0].Subkeys[0].PublicKey, key.CipherFunc, key.Version == 6, key.Key, nil); err != nil {
			t.Fatal(err)
		}
		_, head, size := packetAt(b)
		return append(out.Bytes(), b[head+size:]...)
	})
}

// countsOnlyWhatIsForUs: a signature that names others as the recipients counts for nothing here.
func countsOnlyWhatIsForUs(t *testing.T) {
	w := newWorld(t, provider.Options{})
	people := w.circle("alice", "bob")
	alice, bob, mallory := people[0], people[1], w.add("mallory")
	eve := w.stranger("eve")
	_, link := alice.invite(account.InviteOptions{})
	fields := gossipField(alice.addr, alice.SecretKey())
	mail := func(from string, key *pgp.Key, text, more string) []byte {
		raw := w.encrypted(mallory, outerOf(from, alice.addr, text+"@x"), protected(from, alice.addr, text+"@x", text, autocryptField(from, key)+crlf(more)), key)
		return passedOn(t, raw, mallory.SecretKey(), alice)
	}
	w.deliver(alice, mail(eve.addr, eve.key, "step", fields+"Secure-Join: vc-request-with-auth\nSecure-Join-Auth: "+link.Auth+"\nSecure-Join-Fingerprint: "+string(eve.key.Fingerprint())+"\n"))
	w.deliver(alice, mail(bob.addr, bob.SecretKey(), "leaves", "Chat-Version: 1.0\nChat-Group-ID: "+alice.group().ID+"\n"+removes(bob)))
	w.deliver(alice, mail(bob.addr, bob.SecretKey(), "a-text-for-mallory", ""))
	for _, text := range []string{"step", "leaves", "a-text-for-mallory"} {
		m := alice.wait(mailbox.Inbox, text+"@x")
		w.untrusted(m)
		if s := securityOf(m); !slices.Contains(s.Warnings, "unauthenticated") {
			t.Errorf("%s: %+v", text, s)
		}
	}
	if c := alice.contact(eve.addr); c.Verified || c.Fingerprint != "" || len(eve.ids()) != 0 {
		t.Errorf("%+v", c)
	}
	w.agree("alice bob", alice)
	// What our own key has signed for somebody else is no word of ours, either.
	sync := w.app(alice)
	i, _ := sync.invite()
	items, err := securejoin.ComposeSync([]securejoin.SyncItem{sync.add(i)}, sync.self(), sync.env())
	if err != nil {
		t.Fatal(err)
	}
	raw := w.encrypted(mallory, string(bytes.ReplaceAll(items.Outer, []byte("\r\n"), []byte("\n"))), string(items.Inner), alice.SecretKey())
	open := alice.State(t.Context()).OpenInvites
	w.deliver(alice, passedOn(t, raw, mallory.SecretKey(), alice))
	alice.synced()
	if n := alice.State(t.Context()).OpenInvites; n != open {
		t.Errorf("%d open invites", n)
	}
	// The same from the same, for alice.
	w.deliver(alice, w.encrypted(alice, outerOf(bob.addr, alice.addr, "for-alice@x"), protected(bob.addr, alice.addr, "for-alice@x", "for alice", ""), bob.SecretKey()))
	if m := alice.wait(mailbox.Inbox, "for-alice@x"); !m.Flags.Has(mailbox.Verified) {
		t.Errorf("%s", m.header(headers.SecurityName))
	}
}
