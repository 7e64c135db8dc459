package securejoin_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mailbridge/internal/vectors"
	"mailbridge/message"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

const (
	carolAddr                 = "carol@example.org"
	carolKey  pgp.Fingerprint = "CCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCC"
)

var carolSelf = securejoin.Self{Addr: carolAddr, Name: "Carol", Fingerprint: carolKey}

func member(s securejoin.Self) securejoin.Member {
	return securejoin.Member{Fingerprint: s.Fingerprint, Addr: s.Addr, Name: s.Name}
}

// threeOf is the group of Alice, Bob and Carol as one of them knows it.
func threeOf(t testing.TB) securejoin.GroupChat {
	t.Helper()
	g := aliceGroup(t)
	for n, s := range []securejoin.Self{bobSelf, carolSelf} {
		var err error
		g, _, err = g.Add(aliceSelf, member(s), false, noon.Add(time.Duration(n-50)*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
	}
	return g
}

// sentAs writes a message of the group as its receivers read it.
func sentAs(t fataler, p securejoin.Post, from securejoin.Self, at time.Time) securejoin.GroupMessage {
	t.Helper()
	m, ok := securejoin.ReadGroup(innerOf(t, p, from, at), from.Fingerprint, gossipOf(p), at.Add(time.Second))
	if !ok {
		t.Fatal("no message of a group")
	}
	return m
}

// innerOf is the inner header of a post, written and read.
func innerOf(t fataler, p securejoin.Post, from securejoin.Self, at time.Time) message.Header {
	t.Helper()
	if p.Text == "" {
		p.Text = "text"
	}
	mail, err := securejoin.ComposePost(p, from, securejoin.Env{Now: at, OuterDate: at, MessageID: "1@localhost"})
	if err != nil {
		t.Fatal(err)
	}
	inner, _ := message.ParseHeader(mail.Inner)
	return inner
}

func gossipOf(p securejoin.Post) map[string]pgp.Fingerprint {
	gossip := make(map[string]pgp.Fingerprint)
	for _, m := range p.Gossip {
		gossip[m.Addr] = m.Fingerprint
	}
	return gossip
}

// said reads a message of the group that is given as header lines.
func said(t testing.TB, from securejoin.Self, gossip map[string]pgp.Fingerprint, lines ...string) securejoin.GroupMessage {
	t.Helper()
	h := header("From: " + from.Addr + "\r\nDate: " + noon.Format(time.RFC1123Z) + "\r\nChat-Group-ID: " + grp + "\r\n" + strings.Join(lines, "\r\n") + "\r\n")
	m, ok := securejoin.ReadGroup(h, from.Fingerprint, gossip, noon)
	if !ok {
		t.Fatal("no message of a group")
	}
	return m
}

func addrs(list []securejoin.Member) string {
	var out []string
	for _, m := range list {
		out = append(out, strings.TrimSuffix(m.Addr, "@example.org"))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// merges takes a message and checks who is in afterwards.
func merges(t *testing.T, g securejoin.GroupChat, me securejoin.Self, m securejoin.GroupMessage, want string) (securejoin.GroupChat, securejoin.Changes) {
	t.Helper()
	g, c := g.Merge(me, m, noon)
	if got := addrs(g.Current()); got != want {
		t.Errorf("members are %s, want %s", got, want)
	}
	return g, c
}

var groupItems = []item{
	{"62", func(t *testing.T) { // what makes a reply land in the group, for exactly the members of now
		g, _, err := threeOf(t).Remove(aliceSelf, carolKey, noon)
		if err != nil {
			t.Fatal(err)
		}
		p, err := g.Post(aliceSelf, noon)
		if err != nil {
			t.Fatal(err)
		}
		h := innerOf(t, p, aliceSelf, noon)
		if h.Get("Chat-Group-ID") != grp || h.Get("Chat-Version") != "1.0" || h.Get("Chat-Group-Name") != "Book club" ||
			addrs(p.To) != "bob" || addrs(p.Recipients) != "bob" || !strings.Contains(h.Get("Chat-Group-Past-Members"), carolAddr) {
			t.Errorf("%s", h.Bytes())
		}
	}},
	{"63", func(t *testing.T) {
		g := aliceGroup(t)
		g, _, _ = g.Add(aliceSelf, member(bobSelf), false, noon.Add(-time.Hour))
		added, p, err := g.Add(aliceSelf, member(carolSelf), false, noon.Add(-time.Minute))
		if err != nil || addrs(p.Gossip) != "bob carol" || addrs(p.Recipients) != "bob carol" {
			t.Fatalf("%+v, %v", p, err)
		}
		m := sentAs(t, p, aliceSelf, noon.Add(-time.Minute))
		_, c := merges(t, g, bobSelf, m, "alice bob carol")
		if got := c.Lines(bobSelf); len(got) != 1 || got[0] != "Carol (carol@example.org) was added by Alice (alice@example.org)." {
			t.Errorf("%q", got)
		}
		merges(t, added, aliceSelf, m, "alice bob carol")
		// Without her key she is none, with a list and without.
		p.Gossip = p.Gossip[1:]
		merges(t, g, bobSelf, sentAs(t, p, aliceSelf, noon.Add(-time.Minute)), "alice bob")
		merges(t, g, bobSelf, said(t, aliceSelf, nil, "To: "+bobAddr+", "+carolAddr, "Chat-Version: 1.0", "Chat-Group-Member-Added: "+carolAddr,
			"Chat-Group-Member-Added-Fpr: "+string(carolKey)), "alice bob")
		merges(t, g, bobSelf, said(t, aliceSelf, map[string]pgp.Fingerprint{carolAddr: carolKey}, "To: "+bobAddr+", "+carolAddr, "Chat-Version: 1.0",
			"Chat-Group-Member-Added: "+carolAddr), "alice bob carol")
	}},
	{"64", func(t *testing.T) {
		g := threeOf(t)
		left, p, err := g.Leave(bobSelf, noon.Add(-time.Minute))
		if err != nil || left.Has(bobKey) || addrs(p.Recipients) != "alice carol" || addrs(p.To) != "alice carol" {
			t.Fatalf("%+v, %v", p, err)
		}
		next, c := merges(t, g, carolSelf, sentAs(t, p, bobSelf, noon.Add(-time.Minute)), "alice carol")
		if got := c.Lines(carolSelf); len(got) != 1 || got[0] != "Bob (bob@example.org) left the group." || !c.RevokesInvites() {
			t.Errorf("%q, %v", got, c.RevokesInvites())
		}
		if next.Standing(carolSelf, bobKey) != securejoin.Outsider {
			t.Error("who left by itself may come back")
		}
		// Times and past members are not needed.
		_, c = merges(t, g, carolSelf, said(t, bobSelf, nil, "To: "+aliceAddr+", "+carolAddr, "Chat-Version: 1.0", "Chat-Group-Member-Removed: "+bobAddr), "alice carol")
		if got := c.Lines(carolSelf); len(got) != 1 || got[0] != "Bob (bob@example.org) left the group." {
			t.Errorf("%q", got)
		}
	}},
	{"65", func(t *testing.T) {
		g, _, err := threeOf(t).Remove(aliceSelf, carolKey, noon.Add(-time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		eve := securejoin.Self{Addr: "eve@example.org", Fingerprint: eveKey}
		impostor := securejoin.Self{Addr: bobAddr, Fingerprint: eveKey}
		unsigned := securejoin.Self{Addr: bobAddr}
		for _, from := range []securejoin.Self{eve, impostor, unsigned, carolSelf} {
			for _, lines := range [][]string{
				{"Chat-Version: 1.0", "Chat-Group-Member-Removed: " + bobAddr, "Chat-Group-Member-Removed-Fpr: " + string(bobKey)},
				{"Chat-Version: 1.0", "Chat-Group-Member-Added: " + carolAddr},
				{"Chat-Version: 1.0", "Chat-Group-Name: Other", fmt.Sprintf("Chat-Group-Name-Timestamp: %d", noon.Unix())},
				{"To: " + carolAddr + ", " + eve.Addr},
				{"To: " + carolAddr, "Chat-Group-Member-Fpr: " + string(carolKey), fmt.Sprintf("Chat-Group-Member-Timestamps: %d", noon.Unix())},
			} {
				next, c := merges(t, g, aliceSelf, said(t, from, map[string]pgp.Fingerprint{carolAddr: carolKey}, lines...), "alice bob")
				if c.FromMember || c.Repeat() || next.Name != "Book club" || len(c.Lines(aliceSelf)) != 0 {
					t.Errorf("%s: %v has an effect: %+v", from.Addr, lines, c)
				}
			}
		}
	}},
	{"66", func(t *testing.T) {
		g := threeOf(t)
		for _, times := range []string{"", "1", fmt.Sprintf("%d %d %d", noon.Unix(), noon.Unix(), noon.Unix())} {
			m := said(t, aliceSelf, map[string]pgp.Fingerprint{"eve@example.org": eveKey}, "Chat-Version: 1.0", "To: "+bobAddr+", eve@example.org",
				"Chat-Group-Member-Fpr: "+string(bobKey)+" "+string(eveKey), "Chat-Group-Member-Timestamps: "+times)
			next, c := merges(t, g, bobSelf, m, "alice bob carol")
			if !c.FromMember || c.Repeat() || !slices.Equal(next.Current(), g.Current()) {
				t.Errorf("%q: %+v", times, c)
			}
		}
	}},
	{"67", func(t *testing.T) {
		c := subscription(t)
		post := securejoin.ChannelMessage{ID: grp, Signer: aliceKey, From: securejoin.Listed{Addr: aliceAddr, Key: aliceKey}, Opened: channelSecret, Date: noon, Name: "My news"}
		if _, event := c.Receive(bobSelf, post); event != securejoin.Posted {
			t.Errorf("event %v", event)
		}
		asymmetric := post
		asymmetric.Opened = ""
		if _, event := c.Receive(bobSelf, asymmetric); event != securejoin.Posted {
			t.Errorf("event %v", event)
		}
		before := c // as it is without the secret
		before.Secrets = nil
		if _, event := before.Receive(bobSelf, post); event != securejoin.NoEvent {
			t.Errorf("before the secret: %v", event)
		}
		for name, change := range map[string]func(*securejoin.ChannelMessage){
			"unsigned":        func(m *securejoin.ChannelMessage) { m.Signer = "" },
			"another signer":  func(m *securejoin.ChannelMessage) { m.Signer = eveKey },
			"another channel": func(m *securejoin.ChannelMessage) { m.ID = auth },
			"another secret":  func(m *securejoin.ChannelMessage) { m.Opened = strings.Repeat("x", 43) },
		} {
			m := post
			change(&m)
			if _, event := c.Receive(bobSelf, m); event != securejoin.NoEvent {
				t.Errorf("%s: %v", name, event)
			}
		}
		left, _, err := c.Leave(bobSelf, noon)
		if err != nil || left.Open() || len(left.Secrets) != 0 {
			t.Errorf("%+v, %v", left, err)
		}
		for _, m := range []securejoin.ChannelMessage{post, asymmetric} {
			if _, event := left.Receive(bobSelf, m); event != securejoin.NoEvent {
				t.Errorf("after leaving: %v", event)
			}
		}
	}},
	{"68", func(t *testing.T) {
		for _, secret := range []string{strings.Repeat("x", 43), strings.Repeat("-", 100)} {
			h := header("Chat-List-ID: My news <" + grp + ">\r\nChat-Broadcast-Secret: " + secret + "\r\n")
			if m, ok := securejoin.ReadChannel(h, aliceKey, nil, "", noon); !ok || m.Secret != secret {
				t.Errorf("%q: %+v", secret, m)
			}
		}
		for _, secret := range []string{strings.Repeat("x", 42), strings.Repeat("x", 101), strings.Repeat("x", 42) + "=", ""} {
			h := header("From: alice@example.org\r\nChat-List-ID: My news <" + grp + ">\r\nChat-Broadcast-Secret: " + secret + "\r\nChat-Group-Member-Added: " + bobAddr + "\r\n")
			m, ok := securejoin.ReadChannel(h, aliceKey, map[string]pgp.Fingerprint{bobAddr: bobKey}, "", noon)
			m.Proven = true
			c, err := securejoin.SubscribeTo(bobSelf, m)
			if !ok || err != nil || m.Secret != "" || c.Open() || len(c.Secrets) != 0 {
				t.Errorf("%q: %+v, %v", secret, c, err)
			}
			// A valid one that comes later mends it.
			m.Proven, m.Secret = false, channelSecret
			if c, event := c.Receive(bobSelf, m); event != securejoin.NewKey || !c.Open() {
				t.Errorf("%v, %+v", event, c)
			}
		}
	}},
}

const channelSecret = "8yX-vaat133qtLQUygDv0RAJ2D_gGX_9MAl9VELRjD7"

// subscription is what Bob has of Alice's channel.
func subscription(t testing.TB) securejoin.ChannelChat {
	t.Helper()
	c, err := securejoin.SubscribeTo(bobSelf, securejoin.ChannelMessage{
		ID: grp, Signer: aliceKey, From: securejoin.Listed{Addr: aliceAddr, Name: "Alice", Key: aliceKey},
		Date: noon.Add(-time.Hour), Name: "My news", Secret: channelSecret, Added: &securejoin.Listed{Addr: bobAddr, Key: bobKey}, Proven: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// synced reads the items of a recorded sync message.
func synced(t *testing.T, scenario, file string, now time.Time) []securejoin.SyncItem {
	t.Helper()
	items, ok := securejoin.ReadSync(vectors.Get(t, scenario).Message(t, file).Plain, now)
	if !ok {
		t.Fatalf("%s of %s is no sync message", file, scenario)
	}
	return items
}

var deviceItems = []item{
	{"69", func(t *testing.T) { // whose signature it is, the caller checks: see Observe and IsSync
		now := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
		items := synced(t, "second-device", "12-alice-alice.eml", now)
		if len(items) != 1 || items[0].Kind != securejoin.AddQrToken || items[0].At.Unix() != 1795228970 {
			t.Fatalf("%+v", items)
		}
		made := securejoin.ApplySync(items, nil, now)
		if len(made) != 1 || made[0].Auth != "X6d5YhrbC0gHQgJzeQ0sRkP-" || made[0].Number != "BoUENhxfL4O_fnqOyF_aBLWv" || !made[0].Shared || made[0].State(now) != securejoin.Live {
			t.Fatalf("%+v", made)
		}
		gone := items[0]
		gone.Kind = securejoin.DeleteQrToken
		ended := securejoin.ApplySync([]securejoin.SyncItem{gone}, made, now)
		if len(ended) != 1 || ended[0].State(now) != securejoin.Revoked {
			t.Fatalf("%+v", ended)
		}
		// Revocation wins: the same item again, or a later one, lifts nothing.
		later := items[0]
		later.At = now
		if again := securejoin.ApplySync([]securejoin.SyncItem{items[0], later}, ended, now); len(again) != 0 {
			t.Errorf("%+v", again)
		}
		// Also if the withdrawal came first.
		first := securejoin.ApplySync([]securejoin.SyncItem{gone, items[0]}, nil, now)
		if len(first) != 1 || first[0].State(now) != securejoin.Revoked {
			t.Errorf("%+v", first)
		}
		// An old withdrawal, sent again, does not hit newer invites.
		newer := liveInvite()
		newer.Number, newer.Created = made[0].Number, gone.At.Add(time.Second)
		if hit := securejoin.ApplySync([]securejoin.SyncItem{gone}, []securejoin.Invite{ended[0], newer}, now); len(hit) != 0 {
			t.Errorf("%+v", hit)
		}
	}},
	{"70", func(t *testing.T) {
		now := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
		for _, file := range []string{"09-alice-alice.eml", "10-alice-alice.eml", "11-alice-alice.eml"} {
			items := synced(t, "second-device", file, now)
			for _, item := range items {
				if item.Kind != securejoin.SyncOther {
					t.Errorf("%s: %+v", file, item)
				}
			}
			if len(items) == 0 || len(securejoin.ApplySync(items, nil, now)) != 0 {
				t.Errorf("%s: %+v", file, items)
			}
		}
		// Beside them the others count.
		payload := bytes.Replace(vectors.Get(t, "self-copy").Message(t, "01-alice-alice.eml").Plain, []byte(`{"items":[=0A`),
			[]byte(`{"items":[{"timestamp":1,"data":{"Frob":[]}},7,{"timestamp":"x"},=0A`), 1)
		items, ok := securejoin.ReadSync(payload, now)
		if !ok || len(items) != 4 || items[3].Kind != securejoin.AddQrToken || items[0].Kind != securejoin.SyncOther {
			t.Errorf("%+v, %v", items, ok)
		}
	}},
}

// fataler is a test, or a run of a property.
type fataler interface {
	Helper()
	Fatal(...any)
}
