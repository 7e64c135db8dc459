package securejoin_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mailbridge/internal/vectors"
	"mailbridge/message"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// whole is the world of property_test.go with both protocols, contacts, groups and channels: Alice
// invites, Bob joins, Eve holds the link, reads and sends any mail, and can do everything but
// sign with another's key or read what is encrypted to it. Keys are real where a plain request
// brings them.
type whole struct {
	*rapid.T
	now     time.Time
	link    securejoin.Link
	invite  securejoin.Invite
	join    securejoin.Join
	alice   *end
	bob     *end
	eve     *end
	mail    []mail
	secrets []string // that Alice's channel has had
	counter int
}

// end is a party with what it believes.
type end struct {
	self    securejoin.Self
	cert    *pgp.Cert
	holders map[string]pgp.Fingerprint
	handled map[[2]string]bool
	group   securejoin.GroupChat
	channel securejoin.ChannelChat
}

// mail is what its receiver reads, to be delivered in any order and number.
type mail struct {
	to      *end
	in      securejoin.Incoming
	group   *securejoin.GroupMessage
	channel *securejoin.ChannelMessage
}

// timeOfGroup is how long the group or channel was there before the invite is joined.
const timeOfGroup = time.Hour

type certs map[string]*pgp.Cert

// loadCerts has three real keys.
func loadCerts(t testing.TB) certs {
	list := make(certs)
	s := vectors.Get(t, "v3-group")
	for name, user := range map[string]string{"alice": "alice", "bob": "bob", "eve": "charlie"} {
		cert, err := pgp.ParseCert(s.Users[user].Cert)
		if err != nil {
			t.Fatal(err)
		}
		list[name] = cert
	}
	return list
}

func newWhole(t *rapid.T, c certs) *whole {
	w := &whole{T: t, now: noon}
	party := func(name string) *end {
		return &end{
			self: securejoin.Self{Addr: name + "@example.org", Name: name, Fingerprint: c[name].Fingerprint()},
			cert: c[name], holders: make(map[string]pgp.Fingerprint), handled: make(map[[2]string]bool),
		}
	}
	w.alice, w.bob, w.eve = party("alice"), party("bob"), party("eve")
	w.invite = liveInvite()
	w.invite.Once = rapid.Bool().Draw(t, "once")
	w.invite.Legacy = rapid.Bool().Draw(t, "legacy")
	switch rapid.SampledFrom([]securejoin.Kind{securejoin.Contact, securejoin.Group, securejoin.Channel}).Draw(t, "kind") {
	case securejoin.Group:
		w.invite.Kind, w.invite.GroupID = securejoin.Group, grp
		w.alice.group, _ = securejoin.NewGroup(grp, "Book club", w.alice.self, noon.Add(-timeOfGroup))
	case securejoin.Channel:
		w.ownChannel()
	}
	if rapid.Bool().Draw(t, "alice knows bob") {
		w.alice.holders[bobAddr] = w.bob.self.Fingerprint
	}
	w.link = w.invite.GroupLink(w.alice.self, "Book club")
	join, effects, err := securejoin.NewJoin(w.link, w.bob.self, w.bob.holders, false, w.now)
	if err != nil {
		t.Fatal(err)
	}
	w.join = join
	w.carryOut(w.bob, effects)
	return w
}

func (w *whole) carryOut(p *end, effects []securejoin.Effect) {
	for _, e := range effects {
		switch e := e.(type) {
		case securejoin.Send:
			w.send(p, e)
		case securejoin.Bind:
			w.bind(p, e)
		case securejoin.Admit:
			w.admit(p, e)
		}
	}
}

func (w *whole) bind(p *end, b securejoin.Bind) {
	if b.Claim {
		return
	}
	if have := p.holders[b.Addr]; have != "" && have != b.Fingerprint {
		w.Fatalf("%s: %s is bound to %s instead of %s", p.self.Addr, b.Addr, b.Fingerprint, have)
	}
	p.holders[b.Addr] = b.Fingerprint
}

// id makes a Message-ID.
func (w *whole) id() string {
	w.counter++
	return fmt.Sprintf("%d@localhost", w.counter)
}

// reader is who has a key.
func (w *whole) reader(key pgp.Fingerprint) *end {
	for _, p := range []*end{w.alice, w.bob, w.eve} {
		if p.self.Fingerprint == key {
			return p
		}
	}
	return nil
}

// send puts a step into the mail; Eve sees what is encrypted with the link's secret or not at
// all, which she knows how to make anyway.
func (w *whole) send(p *end, s securejoin.Send) {
	in := securejoin.Incoming{
		Step: s.Step, OuterFrom: p.self.Addr, InnerFrom: p.self.Addr, Auth: s.Auth, Number: s.Number, MessageID: w.id(), Key: p.cert,
	}
	to := w.alice
	if p == w.alice {
		to = w.bob
	}
	switch {
	case s.Secret != "":
		proof := w.link.Proof()
		in.Proof = &proof
	case s.Step == securejoin.Request:
		in.Plain = true
	default:
		if to = w.reader(s.Key); to == nil {
			return
		}
		in.Gossip = map[string]pgp.Fingerprint{s.To[0]: s.Key}
	}
	if s.Signed {
		in.Signer = p.self.Fingerprint
	}
	if s.Step == securejoin.RequestPubkey {
		in.Key = nil
	}
	if s.Step == securejoin.RequestWithAuth {
		in.Fingerprint = p.self.Fingerprint
	}
	w.mail = append(w.mail, mail{to: to, in: in})
}

// admit takes a joiner into Alice's group, and tells everybody, or into her channel.
func (w *whole) admit(p *end, a securejoin.Admit) {
	who := securejoin.Member{Fingerprint: a.Fingerprint, Addr: a.Addr, Name: a.Name}
	if a.Kind == securejoin.Channel {
		w.subscribe(p, who)
		return
	}
	group, post, err := p.group.Add(p.self, who, true, w.now)
	if err != nil {
		w.Fatal(err)
	}
	p.group = group
	w.publish(p, post, w.now)
}

// publish sends a message of a group to whom it is encrypted to.
func (w *whole) publish(p *end, post securejoin.Post, at time.Time) {
	if post.Text == "" {
		post.Text = "text"
	}
	m, err := securejoin.ComposePost(post, p.self, securejoin.Env{Now: at, OuterDate: at, MessageID: w.id()})
	if err != nil {
		w.Fatal(err)
	}
	inner, _ := message.ParseHeader(m.Inner)
	outer, _ := message.ParseHeader(append(m.Outer, "\r\n"...))
	opened := &pgp.Opened{Signature: pgp.Signature{State: pgp.SignatureGood, Signer: p.self.Fingerprint}, IntendedForUs: true}
	gm, _ := securejoin.ReadGroup(inner, p.self.Fingerprint, gossipOf(post), at)
	in, _ := securejoin.ReadIncoming(outer, inner, opened, nil)
	in.Gossip, in.Key = gossipOf(post), p.cert
	for _, r := range post.Recipients {
		if to := w.reader(r.Fingerprint); to != nil {
			w.mail = append(w.mail, mail{to: to, in: in, group: &gm})
		}
	}
}

func (w *whole) deliver(t *rapid.T) {
	if len(w.mail) > 0 {
		w.receive(w.mail[rapid.IntRange(0, len(w.mail)-1).Draw(t, "mail")])
	}
}

func (w *whole) receive(m mail) {
	if m.to == w.eve {
		return
	}
	proven := false
	if m.in.Step != securejoin.NoStep {
		var taken bool
		if taken, proven = w.handshake(m.to, m.in); taken && !proven {
			return
		}
	}
	if m.group != nil {
		w.chat(m.to, *m.group, proven)
	}
	if m.channel != nil {
		w.feed(m.to, *m.channel, proven)
	}
}

// handshake gives whether the message went no further, and whether it ended a join.
func (w *whole) handshake(p *end, in securejoin.Incoming) (taken, proven bool) {
	signer, id := in.Handled()
	if p.handled[[2]string{signer, id}] {
		return true, false
	}
	in.Holder = p.holders[in.InnerFrom]
	in.Standing = p.group.Standing(p.self, in.Signer)
	if w.invite.Kind == securejoin.Channel {
		in.Standing = p.channel.Standing(p.self, in.Signer)
	}
	var out securejoin.Outcome
	before := w.join.State
	if p == w.alice {
		w.invite, out = w.invite.Receive(p.self, in, w.now)
	} else {
		w.join, out = w.join.Receive(p.self, in, w.now)
	}
	w.silent(out)
	if w.join.State != before && in.Signer != w.alice.self.Fingerprint {
		w.Fatalf("the join went from %v to %v by a message of %q", before, w.join.State, in.Signer)
	}
	if out.Verdict != securejoin.Deliver {
		p.handled[[2]string{signer, id}] = true
	}
	w.carryOut(p, out.Effects)
	return out.Verdict != securejoin.Deliver, out.Verdict == securejoin.Show
}

func (w *whole) silent(out securejoin.Outcome) {
	for _, e := range out.Effects {
		if _, note := e.(securejoin.Note); out.Refused != nil && !note {
			w.Fatalf("a refused message had the effect %+v", e)
		}
	}
}

func (w *whole) chat(p *end, m securejoin.GroupMessage, proven bool) {
	if p.group.ID == "" {
		if g, _, err := securejoin.EnterGroup(p.self, m, w.now); proven && err == nil {
			p.group = g
		}
		return
	}
	before := p.group
	var c securejoin.Changes
	p.group, c = p.group.Merge(p.self, m, w.now)
	if !before.Has(m.Signer) && (c.FromMember || len(c.Added)+len(c.Removed) > 0 || c.Renamed) {
		w.Fatalf("%s is no member and changed %+v", m.From.Addr, c)
	}
}

// attack sends what Eve can make of the honest steps.
func (w *whole) attack(t *rapid.T) {
	honest := map[string]func() securejoin.Incoming{
		"request": request, "pubkey": pubkey, "with auth": withAuth, "confirm": confirm, "auth required": authRequired, "added": memberAdded,
		"plain": func() securejoin.Incoming { return plainRequest(w.eve.cert) },
	}
	in := honest[rapid.SampledFrom([]string{"request", "pubkey", "with auth", "confirm", "auth required", "added", "plain"}).Draw(t, "like")]()
	in.MessageID = w.id()
	if in.Chat != "" {
		in.Chat = w.invite.GroupID
	}
	proof := w.link.Proof()
	if in.Proof != nil {
		in.Proof = &proof
	}
	real := map[pgp.Fingerprint]pgp.Fingerprint{aliceKey: w.alice.self.Fingerprint, bobKey: w.bob.self.Fingerprint, eveKey: w.eve.self.Fingerprint}
	for addr, key := range in.Gossip {
		in.Gossip[addr] = real[key]
	}
	in.Fingerprint, in.AddedKey = real[in.Fingerprint], real[in.AddedKey]
	if in.Signer != "" {
		in.Signer, in.Fingerprint, in.Key = w.eve.self.Fingerprint, w.eve.self.Fingerprint, w.eve.cert
	}
	for range rapid.IntRange(0, 2).Draw(t, "changes") {
		w.forge(t, &in)
	}
	to := rapid.SampledFrom([]*end{w.alice, w.bob}).Draw(t, "to")
	w.mail = append(w.mail, mail{to: to, in: in})
	w.receive(mail{to: to, in: in})
}

func (w *whole) forge(t *rapid.T, in *securejoin.Incoming) {
	addr := rapid.SampledFrom([]string{aliceAddr, bobAddr, "eve@example.org", ""}).Draw(t, "addr")
	who := rapid.SampledFrom([]*end{w.alice, w.bob, w.eve}).Draw(t, "who")
	proof := w.link.Proof()
	switch rapid.IntRange(0, 9).Draw(t, "field") {
	case 0:
		in.Step = securejoin.Step(rapid.IntRange(1, int(securejoin.MemberAdded)).Draw(t, "step"))
	case 1:
		in.Signer = ""
	case 2:
		in.OuterFrom, in.InnerFrom = addr, addr
	case 3:
		in.InnerFrom = addr
	case 4:
		in.Auth = rapid.SampledFrom([]string{inv, auth, ""}).Draw(t, "auth")
	case 5:
		in.Fingerprint, in.AddedKey = who.self.Fingerprint, who.self.Fingerprint
	case 6:
		in.Gossip = map[string]pgp.Fingerprint{addr: who.self.Fingerprint}
	case 7:
		in.Proof = nil
	case 8:
		in.Proof = &proof
	case 9:
		in.Key = who.cert
	}
}

// intrude sends messages of the group in Eve's name, or in another's without the signature.
func (w *whole) intrude(t *rapid.T) {
	from := rapid.SampledFrom([]*end{w.alice, w.bob, w.eve}).Draw(t, "from")
	signer := rapid.SampledFrom([]pgp.Fingerprint{"", w.eve.self.Fingerprint}).Draw(t, "signer")
	who := rapid.SampledFrom([]*end{w.alice, w.bob, w.eve}).Draw(t, "who")
	lines := []string{"From: " + from.self.Addr, "Chat-Group-ID: " + grp, "To: " + who.self.Addr, "Chat-Group-Name: Eve's"}
	lines = append(lines, rapid.SampledFrom([]string{
		"Chat-Group-Member-Added: " + who.self.Addr, "Chat-Group-Member-Removed: " + who.self.Addr,
		"Chat-Group-Member-Removed-Fpr: " + string(who.self.Fingerprint), "Subject: x",
		fmt.Sprintf("Chat-Group-Member-Fpr: %s\r\nChat-Group-Member-Timestamps: %d", who.self.Fingerprint, w.now.Unix()),
	}).Draw(t, "line"))
	h := header(strings.Join(lines, "\r\n") + "\r\n")
	m, _ := securejoin.ReadGroup(h, signer, map[string]pgp.Fingerprint{who.self.Addr: who.self.Fingerprint}, w.now)
	w.chat(rapid.SampledFrom([]*end{w.alice, w.bob}).Draw(t, "to"), m, false)
}

func (w *whole) pass(t *rapid.T) {
	w.now = w.now.Add(time.Duration(rapid.IntRange(1, 600).Draw(t, "minutes")) * time.Minute)
	join, effects := w.join.Tick(w.now)
	w.join = join
	w.carryOut(w.bob, effects)
}

// check is what holds at all times.
func (w *whole) check(*rapid.T) {
	w.checkChannel()
	for addr, key := range w.bob.holders {
		if addr != aliceAddr || key != w.alice.self.Fingerprint {
			w.Fatalf("bob has %s for %s", key, addr)
		}
	}
	if w.bob.group.ID != "" && !w.bob.group.Has(w.alice.self.Fingerprint) && w.invite.Kind == securejoin.Contact {
		w.Fatalf("bob is in %+v", w.bob.group)
	}
	if w.invite.Once && len(w.invite.Uses) > 1 {
		w.Fatalf("a one-time invite was used by %+v", w.invite.Uses)
	}
	if w.alice.holders[aliceAddr] != "" || w.join.Claim {
		w.Fatal("own address bound, or a claim out of nothing")
	}
	for _, m := range w.alice.group.Current() {
		if m.Fingerprint != w.alice.self.Fingerprint && !w.used(m.Fingerprint) && !w.used(w.eve.self.Fingerprint) {
			w.Fatalf("%s is in the group without a join", m.Addr)
		}
	}
}

// used says whether a key completed a join.
func (w *whole) used(key pgp.Fingerprint) bool {
	for _, u := range w.invite.Uses {
		if u.Fingerprint == key {
			return true
		}
	}
	return false
}

// TestNoWrongKeyAtAll is TestNoWrongKey for both protocols, contacts, groups and channels.
func TestNoWrongKeyAtAll(t *testing.T) {
	t.Parallel()
	c := loadCerts(t)
	rapid.Check(t, func(t *rapid.T) {
		w := newWhole(t, c)
		known := w.alice.holders[bobAddr] != ""
		t.Repeat(map[string]func(*rapid.T){
			"deliver": w.deliver, "attack": w.attack, "intrude": w.intrude, "news": w.news, "jam": w.jam, "pass": w.pass, "": w.check,
		})
		if known && w.alice.holders[bobAddr] != w.bob.self.Fingerprint {
			t.Fatalf("alice has %s for bob", w.alice.holders[bobAddr])
		}
	})
}

// TestFairRunAtAll: without an attacker both sides are complete, in a group both know the same
// members, and in a channel the same secret, once every message has arrived, in any order and with
// any repetition.
func TestFairRunAtAll(t *testing.T) {
	t.Parallel()
	c := loadCerts(t)
	rapid.Check(t, func(t *rapid.T) {
		w := newWhole(t, c)
		t.Repeat(map[string]func(*rapid.T){"deliver": w.deliver, "news": w.news, "": w.check})
		for n := 0; n < len(w.mail); n++ {
			w.receive(w.mail[n])
		}
		if w.join.State != securejoin.Completed || w.alice.holders[bobAddr] != w.bob.self.Fingerprint || w.bob.holders[aliceAddr] != w.alice.self.Fingerprint {
			t.Fatalf("join is %v, alice has %v, bob has %v", w.join.State, w.alice.holders, w.bob.holders)
		}
		if c := w.bob.channel; w.invite.Kind == securejoin.Channel && (addrs(w.alice.channel.Current()) != "bob" || !c.Open() || c.Secrets[0] != w.alice.channel.Secrets[0]) {
			t.Fatalf("alice has %s, bob has %+v", addrs(w.alice.channel.Current()), c)
		}
		if w.invite.Kind == securejoin.Group && (addrs(w.alice.group.Current()) != "alice bob" || addrs(w.bob.group.Current()) != "alice bob") {
			t.Fatalf("alice knows %s, bob knows %s", addrs(w.alice.group.Current()), addrs(w.bob.group.Current()))
		}
	})
}
