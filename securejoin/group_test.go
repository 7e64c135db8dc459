package securejoin_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mailbridge/internal/vectors"
	"mailbridge/message"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

func TestNewGroup(t *testing.T) {
	t.Parallel()
	g := aliceGroup(t)
	if !g.Has(aliceKey) || g.Encryption != securejoin.Required || g.Standing(aliceSelf, bobKey) != securejoin.Outsider || g.Standing(aliceSelf, aliceKey) != securejoin.Insider {
		t.Errorf("%+v", g)
	}
	if _, err := securejoin.NewGroup(grp, " \r\n\u200b", aliceSelf, noon); !errors.Is(err, securejoin.ErrNoName) {
		t.Error(err)
	}
	// Alone in it, a message goes to nobody and names ourselves.
	p, err := g.Post(aliceSelf, noon)
	if err != nil || len(p.Recipients) != 0 || addrs(p.To) != "alice" {
		t.Errorf("%+v, %v", p, err)
	}
	for _, e := range []securejoin.Encryption{securejoin.Required, securejoin.WhenPossible} {
		if got, ok := securejoin.ParseEncryption(e.String()); !ok || got != e {
			t.Errorf("%v reads as %v", e, got)
		}
	}
	if _, ok := securejoin.ParseEncryption("never"); ok {
		t.Error("reads nonsense")
	}
}

// TestGroupRefuses: who is not in a group changes nothing in it.
func TestGroupRefuses(t *testing.T) {
	t.Parallel()
	g := aliceGroup(t)
	_, _, add := g.Add(bobSelf, member(carolSelf), false, noon)
	_, _, remove := g.Remove(bobSelf, aliceKey, noon)
	_, _, rename := g.Rename(bobSelf, "x", noon)
	_, post := g.Post(bobSelf, noon)
	for _, err := range []error{add, remove, rename, post} {
		if !errors.Is(err, securejoin.ErrNotMember) {
			t.Error(err)
		}
	}
	if _, _, err := g.Add(aliceSelf, securejoin.Member{Addr: bobAddr}, false, noon); !errors.Is(err, securejoin.ErrNoAddress) {
		t.Error(err)
	}
	if _, _, err := g.Remove(aliceSelf, bobKey, noon); !errors.Is(err, securejoin.ErrNoSuchMember) {
		t.Error(err)
	}
	if _, _, err := g.Rename(aliceSelf, "\u200d", noon); !errors.Is(err, securejoin.ErrNoName) {
		t.Error(err)
	}
	var err error
	for n := 1; err == nil && n <= securejoin.MaxMembers; n++ {
		m := securejoin.Member{Fingerprint: pgp.Fingerprint(fmt.Sprintf("%040X", n)), Addr: fmt.Sprintf("m%d@example.org", n)}
		g, _, err = g.Add(aliceSelf, m, false, noon)
	}
	if !errors.Is(err, securejoin.ErrTooLarge) || len(g.Members) != securejoin.MaxMembers {
		t.Errorf("%d members, %v", len(g.Members), err)
	}
}

// TestRemove: the one removed is told, the others learn it with its time, and an older list does
// not bring it back.
func TestRemove(t *testing.T) {
	t.Parallel()
	g := threeOf(t)
	before, err := g.Post(aliceSelf, noon)
	if err != nil {
		t.Fatal(err)
	}
	at := noon.Add(-time.Minute)
	removed, p, err := g.Remove(aliceSelf, carolKey, at)
	if err != nil || addrs(p.Recipients) != "bob carol" || addrs(p.To) != "bob" || removed.Standing(aliceSelf, carolKey) != securejoin.Outcast {
		t.Fatalf("%+v, %v", p, err)
	}
	m := sentAs(t, p, aliceSelf, at)
	bobs, c := merges(t, g, bobSelf, m, "alice bob")
	if got := c.Lines(bobSelf); len(got) != 1 || got[0] != "Carol (carol@example.org) was removed by Alice (alice@example.org)." {
		t.Errorf("%q", got)
	}
	_, c = merges(t, g, carolSelf, m, "alice bob")
	if got := c.Lines(carolSelf); len(got) != 1 || got[0] != "You were removed by Alice (alice@example.org)." {
		t.Errorf("%q", got)
	}
	// An old message, sent again.
	merges(t, bobs, bobSelf, sentAs(t, before, aliceSelf, noon.Add(-40*time.Minute)), "alice bob")
	// Our own message comes back from another device.
	_, c = merges(t, removed, aliceSelf, m, "alice bob")
	if !c.Repeat() || len(c.Lines(aliceSelf)) != 0 {
		t.Errorf("%+v", c)
	}
	// It is added again; the old removal, sent again, changes nothing.
	again, p, err := bobs.Add(bobSelf, member(carolSelf), false, noon)
	if err != nil {
		t.Fatal(err)
	}
	merges(t, removed, aliceSelf, sentAs(t, p, bobSelf, noon), "alice bob carol")
	merges(t, again, bobSelf, m, "alice bob carol")
	withoutTimes := said(t, aliceSelf, nil, "Chat-Version: 1.0", "Chat-Group-Member-Removed: "+carolAddr)
	withoutTimes.Date = at
	if _, c = merges(t, again, bobSelf, withoutTimes, "alice bob carol"); c.Repeat() {
		t.Error("hides what it did not do")
	}
	withoutTimes.Date = noon
	merges(t, again, bobSelf, withoutTimes, "alice bob")
}

// TestPastMembers: who went is told for sixty days.
func TestPastMembers(t *testing.T) {
	t.Parallel()
	g, _, err := threeOf(t).Remove(aliceSelf, carolKey, noon)
	if err != nil {
		t.Fatal(err)
	}
	g.Heard = noon.Add(90 * 24 * time.Hour)
	for days, want := range map[int]bool{59: true, 60: false} {
		p, err := g.Post(aliceSelf, noon.Add(time.Duration(days)*24*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		h := innerOf(t, p, aliceSelf, noon)
		if h.Has("Chat-Group-Past-Members") != want || len(strings.Fields(h.Get("Chat-Group-Member-Timestamps"))) != map[bool]int{true: 2, false: 1}[want] {
			t.Errorf("after %d days: %s", days, h.Bytes())
		}
	}
	// A list that was not heard of for as long is told without times.
	g.Heard = noon
	p, err := g.Post(aliceSelf, noon.Add(61*24*time.Hour))
	if err != nil || innerOf(t, p, aliceSelf, noon).Has("Chat-Group-Member-Timestamps") {
		t.Errorf("%+v, %v", p, err)
	}
}

// TestStaleList: what was not heard of for sixty days is replaced by a newer list, not by an
// older one.
func TestStaleList(t *testing.T) {
	t.Parallel()
	g := threeOf(t)
	g.Heard = noon.Add(-61 * 24 * time.Hour)
	m := said(t, aliceSelf, nil, "To: "+bobAddr, "Chat-Version: 1.0", "Chat-Group-Member-Fpr: "+string(bobKey))
	next, c := merges(t, g, bobSelf, m, "alice bob")
	if !c.RevokesInvites() || !next.Heard.Equal(noon) || next.Standing(bobSelf, carolKey) != securejoin.Outcast {
		t.Errorf("%+v", c)
	}
	m.Date = noon.Add(-62 * 24 * time.Hour)
	merges(t, g, bobSelf, m, "alice bob carol")
}

// TestPlainReplyAll: a mail program that keeps no groups adds whom it names, and removes nobody.
func TestPlainReplyAll(t *testing.T) {
	t.Parallel()
	gossip := map[string]pgp.Fingerprint{carolAddr: carolKey, "dave@example.org": ""}
	g, _, err := aliceGroup(t).Add(aliceSelf, member(bobSelf), false, noon.Add(-time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	merges(t, g, aliceSelf, said(t, bobSelf, gossip, "To: "+aliceAddr, "Cc: "+carolAddr+", dave@example.org"), "alice bob carol")
	merges(t, g, aliceSelf, said(t, bobSelf, gossip, "To: "+aliceAddr, "Cc: "+carolAddr, "Chat-Version: 1.0"), "alice bob")
	merges(t, threeOf(t), aliceSelf, said(t, bobSelf, gossip, "To: "+aliceAddr), "alice bob carol")
}

// TestTimesAreClipped: nobody can put a time of the future into others' lists.
func TestTimesAreClipped(t *testing.T) {
	t.Parallel()
	far := noon.Add(1000 * time.Hour).Unix()
	m := said(t, aliceSelf, nil, "To: "+bobAddr+", "+carolAddr, "Chat-Version: 1.0", "Chat-Group-Name: Other", fmt.Sprintf("Chat-Group-Name-Timestamp: %d", far),
		"Chat-Group-Member-Fpr: "+string(bobKey)+" "+string(carolKey), fmt.Sprintf("Chat-Group-Member-Timestamps: %d -5", far))
	g, _ := merges(t, threeOf(t), bobSelf, m, "alice bob carol")
	if bob, _ := g.Find(bobKey); bob.Added.After(noon.Add(time.Minute)) || g.NameAt.After(noon.Add(time.Minute)) {
		t.Errorf("%v, %v", bob.Added, g.NameAt)
	}
}

// TestChangedUnderAnothersName: a change is told as by who signed it.
func TestChangedUnderAnothersName(t *testing.T) {
	t.Parallel()
	m := said(t, bobSelf, nil, "Chat-Version: 1.0", "Chat-Group-Member-Removed: "+carolAddr, "Chat-Group-Member-Removed-Fpr: "+string(carolKey))
	m.From = securejoin.Listed{Addr: aliceAddr, Name: "Alice", Key: bobKey}
	_, c := merges(t, threeOf(t), aliceSelf, m, "alice bob")
	if got := c.Lines(aliceSelf); len(got) != 1 || !strings.Contains(got[0], "by Alice ("+bobAddr+")") {
		t.Errorf("%q", got)
	}
}

// TestOneAddress: a member does not take another's address, and of two who have one each removal
// is told.
func TestOneAddress(t *testing.T) {
	t.Parallel()
	m := said(t, bobSelf, nil, "Chat-Version: 1.0")
	m.From.Addr = carolAddr
	g, _ := merges(t, threeOf(t), aliceSelf, m, "alice bob carol")
	if bob, _ := g.Find(bobKey); bob.Addr != bobAddr {
		t.Errorf("%+v", bob)
	}
	twice := securejoin.Member{Fingerprint: eveKey, Addr: carolAddr}
	alices, p, err := threeOf(t).Add(aliceSelf, twice, false, noon.Add(-time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	bobs, _ := merges(t, threeOf(t), bobSelf, sentAs(t, p, aliceSelf, noon.Add(-time.Minute)), "alice bob carol carol")
	for _, fpr := range []pgp.Fingerprint{eveKey, carolKey} {
		// The one who was added last went, by the lists, after the other.
		if alices, p, err = alices.Remove(aliceSelf, fpr, noon.Add(-time.Minute)); err != nil {
			t.Fatal(err)
		}
		bobs, _ = bobs.Merge(bobSelf, sentAs(t, p, aliceSelf, noon), noon)
		if bobs.Has(fpr) {
			t.Errorf("%s is still in", fpr)
		}
	}
}

func TestRename(t *testing.T) {
	t.Parallel()
	g := threeOf(t)
	renamed, p, err := g.Rename(bobSelf, "Lesekreis äöü", noon.Add(-time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	m := sentAs(t, p, bobSelf, noon.Add(-time.Minute))
	next, c := merges(t, g, aliceSelf, m, "alice bob carol")
	if got := c.Lines(aliceSelf); next.Name != "Lesekreis äöü" || len(got) != 1 || got[0] != "The group “Book club” was renamed to “Lesekreis äöü” by Bob (bob@example.org)." {
		t.Errorf("%q, %q", next.Name, got)
	}
	if _, c = renamed.Merge(bobSelf, m, noon); !c.Repeat() {
		t.Errorf("%+v", c)
	}
	if got := func() []string { _, c := g.Merge(bobSelf, m, noon); return c.Lines(bobSelf) }(); len(got) != 1 || !strings.HasPrefix(got[0], "You renamed") {
		t.Errorf("%q", got)
	}
	// Of two names of one second all take the same.
	a, b := next, next
	b.Name = "Another"
	am, bm := said(t, aliceSelf, nil, "Chat-Group-Name: "+message.EncodeWord(a.Name)), said(t, aliceSelf, nil, "Chat-Group-Name: "+b.Name)
	am.NameAt, bm.NameAt = next.NameAt, next.NameAt
	a, _ = a.Merge(carolSelf, bm, noon)
	b, _ = b.Merge(carolSelf, am, noon)
	if a.Name != b.Name || a.Name != "Another" {
		t.Errorf("%q and %q", a.Name, b.Name)
	}
}

func TestEnterGroup(t *testing.T) {
	t.Parallel()
	g, p, err := aliceGroup(t).Add(aliceSelf, member(bobSelf), true, noon.Add(-time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	m := sentAs(t, p, aliceSelf, noon.Add(-time.Minute))
	bobs, c, err := securejoin.EnterGroup(bobSelf, m, noon)
	if err != nil || addrs(bobs.Current()) != "alice bob" || bobs.Name != g.Name || !bobs.NameAt.Equal(g.NameAt) {
		t.Fatalf("%+v, %v", bobs, err)
	}
	if got := c.Lines(bobSelf); len(got) != 1 || !strings.Contains(got[0], "Book club") || c.Repeat() {
		t.Errorf("%q", got)
	}
	for name, change := range map[string]func(*securejoin.GroupMessage){
		"unsigned":        func(m *securejoin.GroupMessage) { m.Signer = "" },
		"without name":    func(m *securejoin.GroupMessage) { m.Name = "" },
		"about a removal": func(m *securejoin.GroupMessage) { m.Removed = &securejoin.Listed{Addr: carolAddr} },
		"without us":      func(m *securejoin.GroupMessage) { m.To, m.Times, m.Added = nil, nil, nil },
	} {
		m := m
		change(&m)
		if _, _, err := securejoin.EnterGroup(bobSelf, m, noon); !errors.Is(err, securejoin.ErrUnknownGroup) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Of older programs the lists have no times.
	m.HasTimes, m.Times = false, nil
	if bobs, _, err = securejoin.EnterGroup(bobSelf, m, noon); err != nil || addrs(bobs.Current()) != "alice bob" {
		t.Errorf("%+v, %v", bobs, err)
	}
}

// TestAddressesAlone: versions before 2025 name no keys.
func TestAddressesAlone(t *testing.T) {
	t.Parallel()
	at := noon.Add(-time.Minute).Unix()
	m := said(t, aliceSelf, nil, "Chat-Version: 1.0", "To: "+bobAddr, "Chat-Group-Past-Members: "+carolAddr, fmt.Sprintf("Chat-Group-Member-Timestamps: %d %d", at, at),
		"Chat-Group-Member-Removed: "+carolAddr)
	g, c := merges(t, threeOf(t), bobSelf, m, "alice bob")
	if got := c.Lines(bobSelf); len(got) != 1 || got[0] != "Carol (carol@example.org) was removed by Alice (alice@example.org)." || g.Standing(bobSelf, carolKey) != securejoin.Outcast {
		t.Errorf("%q", got)
	}
	merges(t, threeOf(t), bobSelf, said(t, aliceSelf, nil, "Chat-Version: 1.0", "To: "+bobAddr, "Chat-Group-Past-Members: dave@example.org",
		fmt.Sprintf("Chat-Group-Member-Timestamps: %d %d", at, at)), "alice bob carol")
}

// TestAddedBack: a member of before may add us again after we left, an old message may not.
func TestAddedBack(t *testing.T) {
	t.Parallel()
	g := threeOf(t)
	left, _, err := g.Leave(bobSelf, noon.Add(-10*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	p, err := g.Post(aliceSelf, noon)
	if err != nil {
		t.Fatal(err)
	}
	merges(t, left, bobSelf, sentAs(t, p, aliceSelf, noon.Add(-11*time.Minute)), "alice carol")
	_, p, err = left.Add(aliceSelf, member(bobSelf), false, noon)
	if err != nil {
		t.Fatal(err)
	}
	_, c := merges(t, left, bobSelf, sentAs(t, p, aliceSelf, noon), "alice bob carol")
	if got := c.Lines(bobSelf); len(got) != 1 || got[0] != "You were added by Alice (alice@example.org)." {
		t.Errorf("%q", got)
	}
}

// TestJoinAgain: whoever left comes back by a link, also by one of somebody it never knew.
func TestJoinAgain(t *testing.T) {
	t.Parallel()
	dave := securejoin.Self{Addr: "dave@example.org", Fingerprint: eveKey}
	g, _, err := threeOf(t).Remove(aliceSelf, carolKey, noon.Add(-20*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	left, _, err := g.Leave(bobSelf, noon.Add(-10*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	left.Encryption = securejoin.WhenPossible
	daves, _, err := left.Add(aliceSelf, member(dave), false, noon.Add(-5*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	_, p, err := daves.Add(dave, member(bobSelf), true, noon)
	if err != nil {
		t.Fatal(err)
	}
	m := sentAs(t, p, dave, noon)
	merges(t, left, bobSelf, m, "alice")
	m.Proven = true
	again, c := merges(t, left, bobSelf, m, "alice bob dave")
	if !c.Entered || again.Encryption != securejoin.WhenPossible || again.Standing(bobSelf, carolKey) != securejoin.Outcast {
		t.Errorf("%+v, %+v", c, again)
	}
	if _, c = again.Merge(bobSelf, m, noon); c.Entered {
		t.Error("entered twice")
	}
}

// TestOtherDevicesGroup: what another device of ours founded becomes known by its messages.
func TestOtherDevicesGroup(t *testing.T) {
	t.Parallel()
	p, err := threeOf(t).Post(aliceSelf, noon)
	if err != nil {
		t.Fatal(err)
	}
	g, c, err := securejoin.EnterGroup(aliceSelf, sentAs(t, p, aliceSelf, noon), noon)
	if got := c.Lines(aliceSelf); err != nil || addrs(g.Current()) != "alice bob carol" || len(got) != 1 || !strings.Contains(got[0], "another device") {
		t.Errorf("%q, %+v, %v", got, g, err)
	}
}

// TestLines: what is changed by ourselves elsewhere, and what a list tells beside the message.
func TestLines(t *testing.T) {
	t.Parallel()
	carol := member(carolSelf)
	gone := carol
	gone.Added, gone.Removed = noon.Add(-time.Hour), noon
	alice := securejoin.Listed{Addr: aliceAddr, Name: "Alice", Key: aliceKey}
	for _, test := range []struct {
		me   securejoin.Self
		c    securejoin.Changes
		who  pgp.Fingerprint
		want string
	}{
		{aliceSelf, securejoin.Changes{By: alice, Asked: true, Added: []securejoin.Member{carol}}, "", "You added Carol (carol@example.org)."},
		{bobSelf, securejoin.Changes{By: alice, Added: []securejoin.Member{carol}}, "", "Carol (carol@example.org) was added."},
		{aliceSelf, securejoin.Changes{By: alice, Asked: true}, aliceKey, "You removed Carol (carol@example.org)."},
		{bobSelf, securejoin.Changes{By: alice}, "", "Carol (carol@example.org) was removed."},
		{carolSelf, securejoin.Changes{By: securejoin.Listed{Addr: carolAddr, Key: carolKey}, Asked: true}, carolKey, "You left the group."},
	} {
		if len(test.c.Added) == 0 {
			gone.RemovedBy = test.who
			test.c.Removed = []securejoin.Member{gone}
		}
		if got := test.c.Lines(test.me); len(got) != 1 || got[0] != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
	c := subscription(t)
	if c.Line(securejoin.Subscribed) != "You subscribed to the channel “My news” of Alice (alice@example.org)." ||
		c.Line(securejoin.Unsubscribed) == "" || c.Line(securejoin.Posted) != "" {
		t.Errorf("%q", c.Line(securejoin.Subscribed))
	}
}

// TestMembersAgree: after any order of additions, removals and departures, with messages lost,
// all who are in the group know the same members once each has written twice.
func TestMembersAgree(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := newCrowd(t)
		for range rapid.IntRange(1, 12).Draw(t, "changes") {
			c.change(t)
		}
		for range 2 {
			for _, m := range c.views[0].Current() {
				c.write(m.Fingerprint)
			}
		}
		want := addrs(c.views[0].Current())
		for n, s := range c.people {
			if c.views[0].Has(s.Fingerprint) && addrs(c.views[n].Current()) != want {
				t.Fatalf("%s knows %s, %s knows %s", s.Addr, addrs(c.views[n].Current()), c.people[0].Addr, want)
			}
		}
	})
}

// crowd is five people and what each knows of the group. The first one never leaves.
type crowd struct {
	*rapid.T
	now    time.Time
	people []securejoin.Self
	views  []securejoin.GroupChat
}

func newCrowd(t *rapid.T) *crowd {
	c := &crowd{T: t, now: noon}
	for n := range 5 {
		c.people = append(c.people, securejoin.Self{
			Addr: fmt.Sprintf("p%d@example.org", n), Fingerprint: pgp.Fingerprint(strings.Repeat(fmt.Sprint(n), 40)),
		})
	}
	c.views = make([]securejoin.GroupChat, len(c.people))
	c.views[0], _ = securejoin.NewGroup(grp, "Crowd", c.people[0], c.now)
	return c
}

// change is made by somebody who is in the group, and knows it.
func (c *crowd) change(t *rapid.T) {
	c.now = c.now.Add(time.Duration(rapid.IntRange(1, 100).Draw(t, "seconds")) * time.Second)
	var in []int
	for n, s := range c.people {
		if c.views[0].Has(s.Fingerprint) && c.views[n].Has(s.Fingerprint) {
			in = append(in, n)
		}
	}
	by := rapid.SampledFrom(in).Draw(t, "by")
	about := c.people[rapid.IntRange(1, len(c.people)-1).Draw(t, "about")]
	var p securejoin.Post
	var err error
	if c.views[by].Has(about.Fingerprint) {
		c.views[by], p, err = c.views[by].Remove(c.people[by], about.Fingerprint, c.now)
		c.send(by, p, err, 0)
		return
	}
	c.views[by], p, err = c.views[by].Add(c.people[by], member(about), false, c.now)
	lost := rapid.SampledFrom([]int{0, 0, 1, 2, 3, 4}).Draw(t, "lost for")
	if c.people[lost] == about {
		lost = 0 // who does not know to be in cannot agree
	}
	c.send(by, p, err, lost)
}

func (c *crowd) write(key pgp.Fingerprint) {
	c.now = c.now.Add(time.Second)
	by := slices.IndexFunc(c.people, func(s securejoin.Self) bool { return s.Fingerprint == key })
	p, err := c.views[by].Post(c.people[by], c.now)
	if err != nil {
		return // it was removed
	}
	c.send(by, p, nil, 0)
}

// send delivers to all recipients but the one for whom it is lost; 0 is nobody.
func (c *crowd) send(by int, p securejoin.Post, err error, lost int) {
	if err != nil {
		c.Fatal(err)
	}
	m := sentAs(c, p, c.people[by], c.now)
	for n, s := range c.people {
		if n == by || n == lost && n != 0 || !slices.ContainsFunc(p.Recipients, func(r securejoin.Member) bool { return r.Fingerprint == s.Fingerprint }) {
			continue
		}
		if c.views[n].ID == "" {
			if g, _, err := securejoin.EnterGroup(s, m, c.now); err == nil {
				c.views[n] = g
			}
			continue
		}
		c.views[n], _ = c.views[n].Merge(s, m, c.now)
	}
}

// FuzzReadGroup: whatever a message says, lists are bounded, and a stranger changes nothing.
func FuzzReadGroup(f *testing.F) {
	for _, name := range []string{"v3-group", "legacy-group-2.33-2.33", "channel"} {
		for _, m := range vectors.Get(f, name).Messages {
			f.Add(m.Plain)
		}
	}
	f.Add([]byte("From: alice@example.org\r\nChat-Group-ID: " + grp + "\r\nTo: bob@example.org\r\nChat-Group-Member-Timestamps: 99999999999999999999 -1 0\r\n\r\n"))
	f.Fuzz(func(t *testing.T, inner []byte) {
		h, _ := message.ParseHeader(inner)
		gossip := map[string]pgp.Fingerprint{bobAddr: bobKey}
		if m, ok := securejoin.ReadGroup(h, aliceKey, gossip, noon); ok {
			g := threeOf(t)
			g.ID = m.ID
			next, c := g.Merge(bobSelf, m, noon)
			c.Lines(bobSelf)
			if len(next.Members) > securejoin.MaxMembers || next.Heard.After(noon) || next.NameAt.After(noon.Add(time.Minute)) {
				t.Errorf("%+v", next)
			}
			m.Signer = eveKey
			if next, c = g.Merge(bobSelf, m, noon); c.FromMember || !slices.Equal(next.Members, g.Members) {
				t.Errorf("%+v", c)
			}
			if g, _, err := securejoin.EnterGroup(bobSelf, m, noon); err == nil && !g.Has(bobKey) {
				t.Errorf("%+v", g)
			}
		}
		if m, ok := securejoin.ReadChannel(h, aliceKey, gossip, "", noon); ok {
			c := subscription(t)
			c.ID = m.ID
			c.Receive(bobSelf, m)
			m.Signer = eveKey
			if next, event := c.Receive(bobSelf, m); event != securejoin.NoEvent || next.Name != c.Name {
				t.Errorf("%v", event)
			}
		}
		securejoin.ReadRequest(h)
		securejoin.ReadSync(inner, noon)
	})
}
