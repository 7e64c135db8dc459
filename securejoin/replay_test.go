package securejoin_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"mailbridge/internal/vectors"
	"mailbridge/message"
	"mailbridge/securejoin"
)

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
		compare(t, mail, want)
	}
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

// TestRecordedAdmission takes a joiner into a group as a Delta Chat 2.62 did: one whose key was
// known, so that it began with its last step, and one with names of many kinds of characters.
func TestRecordedAdmission(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{"v3-shortcut": "05-bob-alice.eml", "v3-unicode": "03-bob-alice.eml"} {
		s := vectors.Get(t, name)
		m := s.Message(t, file)
		want := after(s, m)
		inner, _ := message.ParseHeader(want.Plain)
		alice := newPlayer(t, s, "alice", message.ParseAddresses(inner.Get("From"))[0].Name)
		now := lastDate(s)
		link := alice.invite(s.Invites[len(s.Invites)-1].Link, now.Add(-time.Hour))
		var err error
		alice.group, err = securejoin.NewGroup(link.GroupID, inner.Text("Chat-Group-Name"), alice.self, now.Add(-time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		out, _ := alice.receive(m, now)
		admit := effect[securejoin.Admit](t, out)
		admit.Name = message.ParseAddresses(inner.Get("To"))[0].Name
		alice.admit(t, admit, want, true)
	}
}

// TestRecordedSync compares a composed sync message with a recorded one, field by field.
func TestRecordedSync(t *testing.T) {
	t.Parallel()
	s := vectors.Get(t, "self-copy")
	m := s.Message(t, "01-alice-alice.eml")
	now := lastDate(s)
	items, ok := securejoin.ReadSync(m.Plain, now)
	if !ok {
		t.Fatal("no sync message")
	}
	env := envOf(m)
	root := message.Parse(m.Plain)
	env.Boundary = root.Params["boundary"]
	got, err := securejoin.ComposeSync(items, newPlayer(t, s, "alice", "Alice").self, env)
	if err != nil {
		t.Fatal(err)
	}
	wantOuter, _ := message.ParseHeader(m.Raw)
	gotOuter, _ := message.ParseHeader(append(slices.Clone(got.Outer), "\r\n"...))
	compareLines(t, "outside", lines(gotOuter, nil), lines(wantOuter, notOurs))
	gotRoot := message.Parse(got.Inner)
	compareLines(t, "inside", lines(gotRoot.Header, nil), lines(root.Header, nil))
	if len(gotRoot.Children) != 2 || gotRoot.Children[1].Disposition != "attachment" || gotRoot.Children[1].MediaType != "application/json" {
		t.Errorf("%s", got.Inner)
	}
	want := strings.Join(strings.Fields(string(root.Children[1].Decoded(m.Plain))), " ")
	if text := strings.Join(strings.Fields(string(gotRoot.Children[1].Decoded(got.Inner))), " "); text != want {
		t.Errorf("%s\n%s", text, want)
	}
}
