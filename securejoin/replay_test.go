package securejoin_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"mailbridge/autocrypt"
	"mailbridge/internal/vectors"
	"mailbridge/message"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// player is one end of a recorded scenario: it receives what was recorded and says what it would
// have sent.
type player struct {
	*device
	invites []securejoin.Invite
	joins   []securejoin.Join
	group   securejoin.GroupChat
	channel securejoin.ChannelChat
	lines   []string // of system messages
	posts   int      // that were shown
}

// arrived is an opened message.
type arrived struct {
	outer, inner message.Header
	payload      []byte
	opened       *pgp.Opened
	proof        *securejoin.Proof
	secret       string // of a channel
	signer       pgp.Fingerprint
	gossip       map[string]pgp.Fingerprint
}

// take opens a mail with the keys, the secrets of links and those of the channel.
func (p *player) take(raw []byte, now time.Time) arrived {
	p.t.Helper()
	var a arrived
	a.outer, _ = message.ParseHeader(raw)
	p.learn(a.outer) // Delta Chat 1.160 has its key there
	ciphertext, _, ok := pgp.SplitEncrypted(raw, message.Parse(raw))
	if !ok {
		return a
	}
	o := pgp.OpenOptions{Keys: []*pgp.Key{p.key}, Now: now, Certs: p.signers}
	info, err := pgp.Inspect(ciphertext)
	if err != nil {
		p.t.Fatal(err)
	}
	if info.Kind != pgp.Symmetric {
		if a.opened, err = pgp.Open(ciphertext, o); err != nil {
			p.t.Fatal(err)
		}
	} else {
		a.openSymmetric(p, ciphertext, o)
	}
	a.payload = a.opened.Payload
	a.inner, _ = message.ParseHeader(a.payload)
	if a.opened.Signature.State == pgp.SignatureGood && a.opened.IntendedForUs {
		a.signer = a.opened.Signature.Signer
	}
	a.gossip = p.learn(a.inner)
	return a
}

func (a *arrived) openSymmetric(p *player, ciphertext []byte, o pgp.OpenOptions) {
	p.t.Helper()
	var secrets []string
	for _, proof := range p.proof {
		secrets = append(secrets, proof.Secret())
	}
	secrets = append(secrets, p.channel.Secrets...)
	var err error
	if a.opened, err = pgp.OpenSymmetric(ciphertext, secrets, o); err != nil {
		p.t.Fatal(err)
	}
	if n := a.opened.Secret; n < len(p.proof) {
		a.proof = &p.proof[n]
	} else {
		a.secret = secrets[n]
	}
}

// learn keeps the keys in a message and gives those of the gossip.
func (p *player) learn(inner message.Header) map[string]pgp.Fingerprint {
	var to []string
	for _, a := range message.ParseAddresses(inner.Get("To")) {
		to = append(to, a.Addr)
	}
	gossip := make(map[string]pgp.Fingerprint)
	for _, h := range autocrypt.GossipFor(inner.Values(autocrypt.GossipName), to) {
		gossip[h.Addr] = h.Cert.Fingerprint()
		p.certs[h.Cert.Fingerprint()] = h.Cert
	}
	for _, value := range inner.Values(autocrypt.HeaderName) {
		if h, err := autocrypt.Parse(value); err == nil {
			p.certs[h.Cert.Fingerprint()] = h.Cert
		}
	}
	return gossip
}

// receive takes a recorded message and gives the effects that follow from it.
func (p *player) receive(m vectors.Message, now time.Time) (securejoin.Outcome, bool) {
	p.t.Helper()
	a := p.take(m.Raw, now)
	in, ok := p.incoming(a)
	if ok {
		out := p.handshake(in, now)
		if out.Verdict != securejoin.Deliver {
			if out.Verdict == securejoin.Show {
				p.chat(a, true, now)
			}
			return out, true
		}
	}
	p.chat(a, false, now)
	return securejoin.Outcome{}, ok
}

func (p *player) incoming(a arrived) (securejoin.Incoming, bool) {
	var in securejoin.Incoming
	var ok bool
	header := a.inner
	if a.opened == nil {
		header = a.outer
		in, ok = securejoin.ReadRequest(a.outer)
	} else {
		in, ok = securejoin.ReadIncoming(a.outer, a.inner, a.opened, a.proof)
		in.Gossip = a.gossip
	}
	if !header.Has(autocrypt.HeaderName) {
		header = a.outer
	}
	if h, found, _ := autocrypt.FromHeader(header.Values(autocrypt.HeaderName), in.InnerFrom); found {
		in.Key = h.Cert
	}
	return in, ok
}

func (p *player) handshake(in securejoin.Incoming, now time.Time) securejoin.Outcome {
	p.t.Helper()
	for n, i := range p.invites {
		in.Standing = p.group.Standing(p.self, in.Signer)
		if i.Kind == securejoin.Channel {
			in.Standing = p.channel.Standing(p.self, in.Signer)
		}
		var out securejoin.Outcome
		if p.invites[n], out = i.Receive(p.self, in, now); out.Verdict != securejoin.Deliver {
			return out
		}
	}
	for n, j := range p.joins {
		var out securejoin.Outcome
		if p.joins[n], out = j.Receive(p.self, in, now); out.Verdict != securejoin.Deliver {
			return out
		}
	}
	return securejoin.Outcome{}
}

// chat takes a message of the group or channel.
func (p *player) chat(a arrived, proven bool, now time.Time) {
	p.t.Helper()
	if m, ok := securejoin.ReadGroup(a.inner, a.signer, a.gossip, now); ok {
		p.takeGroup(m, proven, now)
	}
	if m, ok := securejoin.ReadChannel(a.inner, a.signer, a.gossip, a.secret, now); ok {
		m.Proven = proven
		p.takeChannel(m)
	}
}

func (p *player) takeGroup(m securejoin.GroupMessage, proven bool, now time.Time) {
	var c securejoin.Changes
	if p.group.ID == "" && proven {
		var err error
		if p.group, c, err = securejoin.EnterGroup(p.self, m, now); err != nil {
			p.t.Fatal(err)
		}
	} else {
		p.group, c = p.group.Merge(p.self, m, now)
	}
	if !c.FromMember {
		p.t.Errorf("message of %s is from no member", m.From.Addr)
	}
	p.lines = append(p.lines, c.Lines(p.self)...)
}

func (p *player) takeChannel(m securejoin.ChannelMessage) {
	if p.channel.ID == "" {
		var err error
		if p.channel, err = securejoin.SubscribeTo(p.self, m); err != nil {
			p.t.Fatal(err)
		}
		return
	}
	var event securejoin.ChannelEvent
	if p.channel, event = p.channel.Receive(p.self, m); event == securejoin.Posted {
		p.posts++
	}
}

// invite gives the inviter what it hands out in a recorded link.
func (p *player) invite(text string, created time.Time) securejoin.Link {
	p.t.Helper()
	l, err := securejoin.ParseLink(text)
	if err != nil {
		p.t.Fatal(err)
	}
	p.invites = append(p.invites, securejoin.Invite{
		ID: 1, Kind: l.Kind, GroupID: l.GroupID, Auth: l.Auth, Number: l.Number, Created: created, Legacy: !l.V3,
	})
	p.proof = append(p.proof, l.Proof())
	return l
}

// follow begins a join.
func (p *player) follow(l securejoin.Link, now time.Time) []securejoin.Effect {
	p.t.Helper()
	j, effects, err := securejoin.NewJoin(l, p.self, nil, false, now)
	if err != nil {
		p.t.Fatal(err)
	}
	p.joins = append(p.joins, j)
	p.proof = append(p.proof, l.Proof())
	return effects
}

func newPlayer(t testing.TB, s vectors.Scenario, user, name string) *player {
	return &player{device: recordedDevice(t, s, user, name)}
}

// sends gives the one message of effects.
func sends(t testing.TB, effects []securejoin.Effect) securejoin.Send {
	t.Helper()
	return effect[securejoin.Send](t, securejoin.Outcome{Effects: effects})
}

// comparePlain checks a plain request against a recorded one.
func comparePlain(t *testing.T, got securejoin.Mail, want vectors.Message) {
	t.Helper()
	wantHeader, _ := message.ParseHeader(want.Raw)
	gotHeader, _ := message.ParseHeader(got.Plain)
	compareLines(t, want.File, lines(gotHeader, notOurs), lines(wantHeader, notOurs))
	gotRoot, wantRoot := message.Parse(got.Plain), message.Parse(want.Raw)
	if gotRoot.MediaType != wantRoot.MediaType || len(gotRoot.Children) != 1 || len(wantRoot.Children) != 1 ||
		gotRoot.Children[0].Text(got.Plain) != wantRoot.Children[0].Text(want.Raw) {
		t.Errorf("%s: %s\n%s", want.File, gotRoot.MediaType, got.Plain)
	}
}

// TestRecordedLegacyHandshake plays both ends of contacts' handshakes in the older protocol;
// what two Delta Chat 2.62 sent is also compared with what is composed here.
func TestRecordedLegacyHandshake(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"legacy-contact-2.62-link-without-v3", "legacy-contact-2.33-2.33", "legacy-contact-2.33-2.62",
		"legacy-contact-2.62-2.33", "legacy-contact-2.62-1.160", "legacy-contact-1.160-2.62",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			replayLegacy(t, vectors.Get(t, name), name == "legacy-contact-2.62-link-without-v3")
		})
	}
}

func replayLegacy(t *testing.T, s vectors.Scenario, exact bool) {
	alice, bob := newPlayer(t, s, "alice", "Alice"), newPlayer(t, s, "bob", "Bob")
	text := strings.Replace(s.Invites[0].Link, "&v=3", "", 1)
	header, _ := message.ParseHeader(s.Messages[0].Raw)
	start, _ := message.ParseDate(header.Get("Date"))
	now := start.Add(time.Minute)
	effects := bob.follow(alice.invite(text, start), start)
	if alice.invites[0].Link(alice.self).V3 {
		t.Error("the link offers v3")
	}
	for _, m := range s.Messages {
		if m.From == m.To {
			continue // a copy to itself
		}
		if bob.joins[0].State == securejoin.Completed {
			break
		}
		if exact {
			mail, err := securejoin.Compose(sends(t, effects), map[string]*player{"alice": alice, "bob": bob}[m.From].self, legacyEnv(m))
			if err != nil {
				t.Fatal(err)
			}
			if mail.Plain != nil {
				comparePlain(t, mail, m)
			} else {
				compare(t, mail, m)
			}
		}
		out, _ := map[string]*player{"alice": alice, "bob": bob}[m.To].receive(m, now)
		if out.Verdict != securejoin.Consume || out.Refused != nil {
			t.Fatalf("%s: %v, %v", m.File, out.Verdict, out.Refused)
		}
		effects = out.Effects
		for _, e := range effects {
			if b, ok := e.(securejoin.Bind); ok && b.How != securejoin.HowLegacy {
				t.Errorf("%s: verified by %s", m.File, b.How)
			}
		}
	}
	if bob.joins[0].State != securejoin.Completed || len(alice.invites[0].Uses) != 1 {
		t.Errorf("join is %v, uses %+v", bob.joins[0].State, alice.invites[0].Uses)
	}
}

func legacyEnv(m vectors.Message) securejoin.Env {
	if m.Plain != nil {
		return envOf(m)
	}
	h, _ := message.ParseHeader(m.Raw)
	now, _ := message.ParseDate(h.Get("Date"))
	return securejoin.Env{Now: now, MessageID: strings.Trim(m.MessageID, "<>"), Autocrypt: h.Get("Autocrypt"), Boundary: "boundary"}
}

// TestRecordedGroup plays all ends of groups that two joined, one after the other: everybody
// knows the same members in the end, and what a Delta Chat 2.62 sent as the inviter is what is
// composed here.
func TestRecordedGroup(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"v3-group", "legacy-group-2.33-2.33", "legacy-group-2.33-2.62", "legacy-group-2.62-2.33"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			replayGroup(t, vectors.Get(t, name))
		})
	}
}

func replayGroup(t *testing.T, s vectors.Scenario) {
	players := map[string]*player{
		"alice": newPlayer(t, s, "alice", "Alice"), "bob": newPlayer(t, s, "bob", "Bob"), "charlie": newPlayer(t, s, "charlie", "Charlie"),
	}
	alice := players["alice"]
	now := lastDate(s).Add(time.Minute)
	for n, name := range []string{"bob", "charlie"} {
		link := alice.invite(s.Invites[n].Link, now.Add(-time.Hour))
		link.V3 = strings.HasPrefix(s.Name, "v3")
		players[name].follow(link, now.Add(-time.Hour))
		alice.group.ID = link.GroupID
	}
	var err error
	alice.group, err = securejoin.NewGroup(alice.group.ID, "Garden group", alice.self, now.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range s.Messages {
		if m.To != "alice" && m.From == "alice" {
			alice.takeOwn(m, s)
		}
		players[m.From].compareLists(t, m, now)
		out, _ := players[m.To].receive(m, now)
		if out.Refused != nil {
			t.Fatalf("%s: %v", m.File, out.Refused)
		}
		for _, e := range out.Effects {
			if e, ok := e.(securejoin.Admit); ok {
				alice.admit(t, e, after(s, m), s.Users["alice"].Version == "2.62.0")
			}
		}
	}
	if want := []string{
		"You were added to the group “Garden group” by Alice (alice@example.org).",
		"Charlie (charlie@example.org) was added by Alice (alice@example.org).",
	}; !slices.Equal(players["bob"].lines, want) {
		t.Errorf("bob reads %q", players["bob"].lines)
	}
	for name, p := range players {
		if got := memberAddrs(p.group); got != "alice@example.org bob@example.org charlie@example.org" || p.group.Name != "Garden group" {
			t.Errorf("%s knows %q with %s", name, p.group.Name, got)
		}
	}
}

// compareLists checks whom a recorded message of a joiner names against whom the same player
// would name.
func (p *player) compareLists(t *testing.T, m vectors.Message, now time.Time) {
	t.Helper()
	inner, _ := message.ParseHeader(m.Plain)
	if m.From == "alice" || !inner.Has("Chat-Group-ID") {
		return
	}
	post, err := p.group.Post(p.self, now)
	if err != nil {
		t.Fatal(err)
	}
	var to, want []string
	for _, m := range post.To {
		to = append(to, m.Addr)
	}
	for _, a := range message.ParseAddresses(inner.Get("To")) {
		want = append(want, a.Addr)
	}
	if !slices.Equal(to, want) {
		t.Errorf("%s: to %v, want %v", m.File, to, want)
	}
	for _, f := range slices.Concat(post.Lists, post.Fields) {
		if f.Value() != inner.Get(f.Name) {
			t.Errorf("%s: %s: %s, want %s", m.File, f.Name, f.Value(), inner.Get(f.Name))
		}
	}
}

// takeOwn is what the inviter knows of its own message: its members' times are those of the
// recording.
func (p *player) takeOwn(m vectors.Message, s vectors.Scenario) {
	inner, _ := message.ParseHeader(m.Plain)
	gm, ok := securejoin.ReadGroup(inner, p.self.Fingerprint, p.learn(inner), lastDate(s))
	if ok {
		p.group, _ = p.group.Merge(p.self, gm, lastDate(s))
	}
}

// after finds the inviter's answer to a message.
func after(s vectors.Scenario, m vectors.Message) vectors.Message {
	n := slices.IndexFunc(s.Messages, func(o vectors.Message) bool { return o.File == m.File })
	return s.Messages[n+1]
}

// admit takes a joiner in as the recorded inviter did.
func (p *player) admit(t *testing.T, e securejoin.Admit, want vectors.Message, exact bool) {
	t.Helper()
	env := envOf(want)
	inner, _ := message.ParseHeader(want.Plain)
	env.Gossips = inner.Values("Autocrypt-Gossip")
	if ids := message.ParseMessageIDs(inner.Get("In-Reply-To")); len(ids) == 1 {
		env.InReplyTo, env.References = ids[0], message.ParseMessageIDs(inner.Get("References"))
	}
	who := securejoin.Member{Fingerprint: e.Fingerprint, Addr: e.Addr, Name: e.Name}
	var post securejoin.Post
	var err error
	if e.Kind == securejoin.Channel {
		p.channel, post, err = p.channel.Add(p.self, who, env.Now)
	} else {
		p.group.NameAt = unixTime(t, strings.Fields(inner.Get("Chat-Group-Name-Timestamp")))
		p.group, post, err = p.group.Add(p.self, who, true, env.Now)
	}
	if err != nil {
		t.Fatal(err)
	}
	mail, err := securejoin.ComposePost(post, p.self, env)
	if err != nil {
		t.Fatal(err)
	}
	if exact {
		want.Plain = withoutDescription(want.Plain)
		compare(t, mail, want)
	}
}

// withoutDescription leaves out what a program without descriptions of groups does not write.
func withoutDescription(plain []byte) []byte {
	h, n := message.ParseHeader(plain)
	h.Del("Chat-Group-Description")
	h.Del("Chat-Group-Description-Timestamp")
	return append(append(h.Bytes(), "\r\n"...), plain[n:]...)
}

func lastDate(s vectors.Scenario) time.Time {
	var last time.Time
	for _, m := range s.Messages {
		h, _ := message.ParseHeader(m.Plain)
		if date, ok := message.ParseDate(h.Get("Date")); ok && date.After(last) {
			last = date
		}
	}
	return last
}

func memberAddrs(g securejoin.GroupChat) string {
	var addrs []string
	for _, m := range g.Current() {
		addrs = append(addrs, m.Addr)
	}
	slices.Sort(addrs)
	return strings.Join(addrs, " ")
}

// TestRecordedChannel plays both ends of channels: the subscriber reads the posts, and what a
// Delta Chat 2.62 wrote as the owner is what is composed here.
func TestRecordedChannel(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"channel", "channel-2.33-2.62", "channel-2.62-2.33"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			replayChannel(t, vectors.Get(t, name))
		})
	}
}

func replayChannel(t *testing.T, s vectors.Scenario) {
	alice, bob := newPlayer(t, s, "alice", "Alice"), newPlayer(t, s, "bob", "Bob")
	now := lastDate(s).Add(time.Minute)
	link := alice.invite(s.Invites[0].Link, now.Add(-time.Hour))
	link.V3 = s.Name == "channel"
	bob.follow(link, now.Add(-time.Hour))
	added, _ := message.ParseHeader(s.Messages[3].Plain)
	alice.channel = securejoin.ChannelChat{
		ID: link.GroupID, Name: "Harbour channel", Owner: securejoin.Member{Fingerprint: alice.self.Fingerprint},
		Secrets: []string{added.Get("Chat-Broadcast-Secret")},
		NameAt:  unixTime(t, strings.Fields(added.Get("Chat-Group-Name-Timestamp"))),
	}
	for _, m := range s.Messages {
		p := map[string]*player{"alice": alice, "bob": bob}[m.To]
		out, _ := p.receive(m, now)
		if out.Refused != nil {
			t.Fatalf("%s: %v", m.File, out.Refused)
		}
		for _, e := range out.Effects {
			if e, ok := e.(securejoin.Admit); ok {
				alice.admit(t, e, after(s, m), s.Users["alice"].Version == "2.62.0")
			}
		}
	}
	if bob.joins[0].State != securejoin.Completed || bob.posts != 2 || bob.channel.Name != "Harbour channel" || bob.channel.ID != link.GroupID {
		t.Errorf("join is %v, %d posts in %+v", bob.joins[0].State, bob.posts, bob.channel)
	}
}

// unixTime reads a timestamp; no words are the zero time.
func unixTime(t testing.TB, words []string) time.Time {
	t.Helper()
	if len(words) == 0 {
		return time.Time{}
	}
	var n int64
	for _, c := range words[0] {
		n = n*10 + int64(c-'0')
	}
	return time.Unix(n, 0).UTC()
}
