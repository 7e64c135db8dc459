package securejoin_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mailbridge/pgp"
	"mailbridge/securejoin"
)

var (
	eveSelf  = securejoin.Self{Addr: "eve@example.org", Name: "Eve", Fingerprint: eveKey}
	daveKey  = pgp.Fingerprint(strings.Repeat("D", 40))
	daveSelf = securejoin.Self{Addr: "dave@example.org", Name: "Dave", Fingerprint: daveKey}
)

// TestLinkToAGroupWeAreIn: whoever knows a group's id can make a link to it. Following the link
// does not let the maker of it, who is not in the group, tell us who is.
func TestLinkToAGroupWeAreIn(t *testing.T) {
	t.Parallel()
	eves, err := securejoin.NewGroup(grp, "Book club", eveSelf, noon.Add(-time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	_, p, err := eves.Add(eveSelf, member(bobSelf), true, noon)
	if err != nil {
		t.Fatal(err)
	}
	m := sentAs(t, p, eveSelf, noon)
	m.Proven = true
	if _, c := merges(t, threeOf(t), bobSelf, m, "alice bob carol"); c.FromMember || c.Entered {
		t.Errorf("%+v", c)
	}
}

// TestJoinAgainByAnOldMessage: a member-added that was kept back does not bring back who was
// removed since.
func TestJoinAgainByAnOldMessage(t *testing.T) {
	t.Parallel()
	g := threeOf(t)
	_, p, err := g.Add(aliceSelf, member(bobSelf), true, noon.Add(-40*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	kept := sentAs(t, p, aliceSelf, noon.Add(-40*time.Minute))
	kept.Proven = true
	g, _, err = g.Remove(aliceSelf, carolKey, noon.Add(-30*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	left, _, err := g.Leave(bobSelf, noon.Add(-20*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	for _, timed := range []bool{true, false} {
		if !timed {
			kept.HasTimes, kept.Times = false, nil
		}
		again, _ := merges(t, left, bobSelf, kept, "alice bob")
		if again.Standing(bobSelf, carolKey) != securejoin.Outcast {
			t.Errorf("%+v", again)
		}
	}
}

// TestSharedAddress: of two members of one address both can read, whatever order they came in.
func TestSharedAddress(t *testing.T) {
	t.Parallel()
	twin := member(daveSelf)
	twin.Addr = bobAddr
	g, p, err := threeOf(t).Add(aliceSelf, twin, false, noon)
	if err != nil {
		t.Fatal(err)
	}
	reads := func(p securejoin.Post, key pgp.Fingerprint) bool {
		return slices.ContainsFunc(p.Recipients, func(m securejoin.Member) bool { return m.Fingerprint == key })
	}
	if !reads(p, bobKey) || !reads(p, daveKey) || addrs(p.To) != "bob carol" || addrs(p.Gossip) != "bob carol" {
		t.Errorf("%+v", p)
	}
	// Nor does it hide that one of them was removed.
	g, _, err = g.Remove(aliceSelf, daveKey, noon.Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	_, p, err = g.Remove(aliceSelf, bobKey, noon.Add(2*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	bobs := threeOf(t)
	bobs, _ = bobs.Merge(carolSelf, sentAs(t, p, aliceSelf, noon.Add(2*time.Second)), noon.Add(3*time.Second))
	if bobs.Has(bobKey) {
		t.Error("the removal is not told")
	}
}

// TestOldAddress: an old message of a member, sent again, does not bring back its old address.
func TestOldAddress(t *testing.T) {
	t.Parallel()
	g := threeOf(t)
	p, err := g.Post(carolSelf, noon)
	if err != nil {
		t.Fatal(err)
	}
	moved := carolSelf
	moved.Addr = "carol@new.example"
	old := sentAs(t, p, carolSelf, noon.Add(-20*time.Minute))
	g, _ = merges(t, g, bobSelf, sentAs(t, p, moved, noon.Add(-10*time.Minute)), "alice bob carol@new.example")
	merges(t, g, bobSelf, old, "alice bob carol@new.example")
}

// TestMemberMoves: a member that joins again from another address is answered there.
func TestMemberMoves(t *testing.T) {
	t.Parallel()
	moved := member(carolSelf)
	moved.Addr = "carol@new.example"
	g, p, err := threeOf(t).Add(aliceSelf, moved, true, noon)
	if err != nil || addrs(g.Current()) != "alice bob carol@new.example" || addrs(p.Recipients) != "bob carol@new.example" {
		t.Errorf("%+v, %v", p.Recipients, err)
	}
}

// TestFullOfThePast: a member who tells of a thousand that never were does not close the group.
func TestFullOfThePast(t *testing.T) {
	t.Parallel()
	g, _, err := threeOf(t).Remove(aliceSelf, carolKey, noon.Add(-2*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	m := said(t, bobSelf, nil, "Chat-Version: 1.0", "To: "+aliceAddr)
	m.HasTimes, m.Times = true, []time.Time{noon.Add(-time.Hour)}
	for n := range securejoin.MaxMembers {
		m.Past = append(m.Past, securejoin.Listed{Addr: fmt.Sprintf("p%d@example.org", n), Key: pgp.Fingerprint(fmt.Sprintf("%040X", n))})
		m.Times = append(m.Times, noon.Add(-time.Minute))
	}
	g, _ = merges(t, g, aliceSelf, m, "alice bob")
	next, _, err := g.Add(aliceSelf, member(daveSelf), false, noon)
	if err != nil || !next.Has(daveKey) || len(next.Members) > securejoin.MaxMembers {
		t.Errorf("%d members, %v", len(next.Members), err)
	}
	if next.Standing(aliceSelf, carolKey) != securejoin.Outcast {
		t.Error("who was removed is forgotten")
	}
	p, err := next.Post(bobSelf, noon)
	if err != nil {
		t.Fatal(err)
	}
	merges(t, g, aliceSelf, sentAs(t, p, bobSelf, noon.Add(-time.Second)), "alice bob dave")
}

// TestFullGroup: the end of a member's join is repeated also if there is no room for others.
func TestFullGroup(t *testing.T) {
	t.Parallel()
	g := aliceGroup(t)
	for n := 1; n < securejoin.MaxMembers; n++ {
		g.Members = append(g.Members, securejoin.Member{Fingerprint: pgp.Fingerprint(fmt.Sprintf("%040X", n)), Addr: fmt.Sprintf("m%d@example.org", n)})
	}
	if _, p, err := g.Add(aliceSelf, g.Members[5], true, noon); err != nil || len(p.Recipients) != securejoin.MaxMembers-1 {
		t.Error(err)
	}
	// A list as long as that, which replaces ours, keeps its sender.
	m := said(t, aliceSelf, nil, "Chat-Version: 1.0")
	for n := 1; n <= securejoin.MaxMembers; n++ {
		m.To = append(m.To, securejoin.Listed{Addr: fmt.Sprintf("m%d@example.org", n), Key: pgp.Fingerprint(fmt.Sprintf("%040X", n))})
	}
	g.Heard = noon.Add(-61 * 24 * time.Hour)
	me := securejoin.Self{Addr: "m5@example.org", Fingerprint: m.To[4].Key}
	if next, _ := g.Merge(me, m, noon); !next.Has(aliceKey) || !next.Has(me.Fingerprint) {
		t.Error("the sender is not in its own group")
	}
}

// TestRemovalFromAStaleList: a removal counts also where the list of its message replaces ours.
func TestRemovalFromAStaleList(t *testing.T) {
	t.Parallel()
	for _, gone := range []securejoin.Self{aliceSelf, bobSelf} { // she leaves; she removes us
		g := threeOf(t)
		g.Heard = noon.Add(-61 * 24 * time.Hour)
		m := said(t, aliceSelf, nil, "To: "+carolAddr, "Chat-Version: 1.0", "Chat-Group-Member-Fpr: "+string(carolKey),
			"Chat-Group-Member-Removed: "+gone.Addr, "Chat-Group-Member-Removed-Fpr: "+string(gone.Fingerprint))
		next, c := g.Merge(bobSelf, m, noon)
		if next.Has(gone.Fingerprint) || !c.Settled || len(c.Removed) == 0 {
			t.Errorf("%s is in: %+v", gone.Addr, c)
		}
	}
}

// TestMemberWithoutAddress: somebody to whom nothing can be sent is not made a member.
func TestMemberWithoutAddress(t *testing.T) {
	t.Parallel()
	at := noon.Add(-time.Minute).Unix()
	m := said(t, aliceSelf, nil, "Chat-Version: 1.0", "To: "+bobAddr+", \"no address\"@example.org",
		"Chat-Group-Member-Fpr: "+string(bobKey)+" "+string(eveKey), fmt.Sprintf("Chat-Group-Member-Timestamps: %d %d", at, at))
	if len(m.To) != 2 || m.To[1].Key != eveKey {
		t.Fatalf("%+v", m)
	}
	merges(t, threeOf(t), bobSelf, m, "alice bob carol")
}

// TestLeavingBeforeBeingRemoved: who leaves when it sees that it is being removed was removed.
func TestLeavingBeforeBeingRemoved(t *testing.T) {
	t.Parallel()
	g := threeOf(t)
	_, removal, err := g.Remove(aliceSelf, carolKey, noon.Add(-10*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	_, leaving, err := g.Leave(carolSelf, noon.Add(-9*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	bobs, _ := merges(t, g, bobSelf, sentAs(t, leaving, carolSelf, noon.Add(-9*time.Minute)), "alice bob")
	if bobs.Standing(bobSelf, carolKey) != securejoin.Outsider {
		t.Error("she left by herself")
	}
	removed := sentAs(t, removal, aliceSelf, noon.Add(-10*time.Minute))
	bobs, _ = merges(t, bobs, bobSelf, removed, "alice bob")
	if bobs.Standing(bobSelf, carolKey) != securejoin.Outcast {
		t.Error("she was removed")
	}
	// She is added again and leaves; the old removal, sent again, says nothing of that.
	bobs, _, err = bobs.Add(bobSelf, member(carolSelf), false, noon.Add(-5*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	_, leaving, err = bobs.Leave(carolSelf, noon.Add(-4*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	bobs, _ = merges(t, bobs, bobSelf, sentAs(t, leaving, carolSelf, noon.Add(-4*time.Minute)), "alice bob")
	bobs, _ = merges(t, bobs, bobSelf, removed, "alice bob")
	if bobs.Standing(bobSelf, carolKey) != securejoin.Outsider {
		t.Error("she left by herself")
	}
}

// TestOurAddressInAGroup: a list cannot give ourselves another address, and who takes us in has one.
func TestOurAddressInAGroup(t *testing.T) {
	t.Parallel()
	m := said(t, aliceSelf, nil, "Chat-Version: 1.0", "To: elsewhere@example.org", "Chat-Group-Name: x", "Chat-Group-Member-Fpr: "+string(bobKey))
	g, _, err := securejoin.EnterGroup(bobSelf, m, noon)
	if err != nil || addrs(g.Current()) != "alice bob" {
		t.Errorf("%+v, %v", g, err)
	}
	m.From.Addr = ""
	if _, _, err := securejoin.EnterGroup(bobSelf, m, noon); err == nil {
		t.Error("entered a group by somebody without an address")
	}
}

// TestSubscribeAgain: an owner whose clock is slow can take us in again right after we left.
func TestSubscribeAgain(t *testing.T) {
	t.Parallel()
	c := ownChannel(t, noise())
	left, _, err := subscribed(t, c, bobSelf).Leave(bobSelf, noon)
	if err != nil {
		t.Fatal(err)
	}
	_, p, err := c.Add(aliceSelf, member(bobSelf), noon)
	if err != nil {
		t.Fatal(err)
	}
	m := posted(t, p, aliceSelf, noon.Add(-5*time.Minute))
	m.Proven = true
	if next, event := left.Receive(bobSelf, m); event != securejoin.Subscribed || !next.Open() {
		t.Errorf("event %v", event)
	}
	// Where the owner removed us, an older one is one that was kept back.
	removal := securejoin.ChannelMessage{ID: c.ID, Signer: aliceKey, Date: noon, Removed: &securejoin.Listed{Addr: bobAddr, Key: bobKey}}
	out, event := subscribed(t, c, bobSelf).Receive(bobSelf, removal)
	if event != securejoin.Unsubscribed {
		t.Fatalf("event %v", event)
	}
	if next, event := out.Receive(bobSelf, m); next.Open() {
		t.Errorf("event %v", event)
	}
}

// TestFullChannel: those who went do not fill a channel.
func TestFullChannel(t *testing.T) {
	t.Parallel()
	c := ownChannel(t, noise())
	for n := len(c.Subscribers); n < securejoin.MaxSubscribers; n++ {
		c.Subscribers = append(c.Subscribers, securejoin.Member{
			Fingerprint: pgp.Fingerprint(fmt.Sprintf("%040X", n)), Addr: "x@example.org", Added: noon.Add(-time.Hour),
		})
	}
	if _, _, err := c.Add(aliceSelf, member(daveSelf), noon); err == nil {
		t.Error("added one too many")
	}
	c.Subscribers[77].Removed = noon.Add(-time.Minute)
	c, _, err := c.Add(aliceSelf, member(daveSelf), noon)
	if err != nil || len(c.Subscribers) != securejoin.MaxSubscribers || c.Standing(aliceSelf, daveKey) != securejoin.Insider {
		t.Errorf("%d, %v", len(c.Subscribers), err)
	}
}

// TestOldTokens: an announcement that is sent again when its withdrawal is forgotten, or that
// comes late after a withdrawal of its whole chat, makes nobody's link good again.
func TestOldTokens(t *testing.T) {
	t.Parallel()
	add := securejoin.SyncItem{Kind: securejoin.AddQrToken, At: noon, Number: inv, Auth: auth}
	if made := securejoin.ApplySync([]securejoin.SyncItem{add}, nil, noon.Add(securejoin.Tombstone+time.Second)); len(made) != 0 {
		t.Errorf("%+v", made)
	}
	gone := securejoin.SyncItem{Kind: securejoin.DeleteQrToken, At: noon.Add(time.Hour), Number: inv, Auth: "another-token-of-ours"}
	now := noon.Add(2 * time.Hour)
	known := securejoin.ApplySync([]securejoin.SyncItem{gone}, nil, now)
	for _, i := range securejoin.ApplySync([]securejoin.SyncItem{add}, known, now) {
		if i.State(now) != securejoin.Revoked {
			t.Errorf("%+v", i)
		}
	}
	add.At = gone.At.Add(time.Second) // a new one of the same number
	if made := securejoin.ApplySync([]securejoin.SyncItem{add}, known, now); len(made) != 1 || made[0].State(now) != securejoin.Live {
		t.Errorf("%+v", made)
	}
	// A withdrawal of no time withdraws.
	for _, i := range securejoin.ApplySync([]securejoin.SyncItem{{Kind: securejoin.DeleteQrToken, Auth: auth}}, nil, now) {
		if i.State(now) != securejoin.Revoked {
			t.Errorf("%+v", i)
		}
	}
}

// TestWithdrawnByASlowClock: the very invite that another device withdraws ends, whatever the time
// there.
func TestWithdrawnByASlowClock(t *testing.T) {
	t.Parallel()
	i := liveInvite()
	gone := securejoin.SyncItem{Kind: securejoin.DeleteQrToken, At: i.Created.Add(-5 * time.Minute), Number: inv, Auth: auth}
	if ended := securejoin.ApplySync([]securejoin.SyncItem{gone}, []securejoin.Invite{i}, noon); len(ended) != 1 || ended[0].State(noon) != securejoin.Revoked || ended[0].ID != i.ID {
		t.Errorf("%+v", ended)
	}
}

// TestOldStepOfAnotherDevice: when it is no longer remembered that a step was taken, it is too old.
func TestOldStepOfAnotherDevice(t *testing.T) {
	t.Parallel()
	in := securejoin.Incoming{
		Step: securejoin.RequestWithAuth, Signer: bobKey, InnerFrom: bobAddr, OuterFrom: bobAddr, To: []string{aliceAddr}, Date: noon,
		Auth: auth, Fingerprint: bobKey, MessageID: "1@localhost", Gossip: map[string]pgp.Fingerprint{aliceAddr: aliceKey},
	}
	if _, out := securejoin.Observe(bobSelf, in, noon.Add(8*24*time.Hour)); len(out.Effects) != 1 {
		t.Errorf("%+v", out)
	}
	for _, in.Date = range []time.Time{noon.Add(-securejoin.Tombstone - time.Hour), {}} {
		if j, out := securejoin.Observe(bobSelf, in, noon); j.Observed || len(out.Effects) != 0 {
			t.Errorf("%+v", out)
		}
	}
}

// TestClaimsDoNotShutOut: whoever impersonates somebody with a link uses up none of the answers
// that the real one gets.
func TestClaimsDoNotShutOut(t *testing.T) {
	t.Parallel()
	i := liveInvite()
	var out securejoin.Outcome
	for n := range 2 * securejoin.AnswersPerAddress {
		in := withAuth()
		in.Signer = pgp.Fingerprint(fmt.Sprintf("%040X", n))
		in.Fingerprint, in.Holder = in.Signer, bobKey
		i, out = i.Receive(aliceSelf, in, noon)
	}
	expect(t, out, securejoin.Consume, securejoin.ErrTooMany)
	in := withAuth()
	in.Holder = bobKey
	_, out = i.Receive(aliceSelf, in, noon)
	expect(t, out, securejoin.Consume, nil, "Bind", "Note", "Send")
}

// TestUnusableJoiner: a key to which nothing can be encrypted does not join.
func TestUnusableJoiner(t *testing.T) {
	t.Parallel()
	in := withAuth()
	in.Key = withoutSubkey(t, parsedCert(t))
	in.Signer, in.Fingerprint = in.Key.Fingerprint(), in.Key.Fingerprint()
	i, out := liveInvite().Receive(aliceSelf, in, noon)
	expect(t, out, securejoin.Hide, securejoin.ErrKey)
	if len(i.Uses) != 0 {
		t.Errorf("%+v", i.Uses)
	}
}

// TestNamesOfOneLine: a name cannot turn around or break the line of a system message that names it.
func TestNamesOfOneLine(t *testing.T) {
	t.Parallel()
	g, err := securejoin.NewGroup(grp, "a\u202eb\u2028c\u2029d\u2066e\u200ff", aliceSelf, noon)
	if err != nil || g.Name != "a b c d e\u200ff" {
		t.Errorf("%q, %v", g.Name, err)
	}
}

// TestEndOfAnEarlierJoin: what ended a join of last month does not end that of today.
func TestEndOfAnEarlierJoin(t *testing.T) {
	t.Parallel()
	j := authenticating(t)
	j.Link.Kind, j.Link.GroupID = securejoin.Group, grp
	in := memberAdded()
	in.Date = noon.Add(-30 * 24 * time.Hour)
	_, out := j.Receive(bobSelf, in, noon)
	expect(t, out, securejoin.Deliver, securejoin.ErrOutOfOrder)
	in.Date = noon.Add(-time.Hour) // her clock is slow
	_, out = j.Receive(bobSelf, in, noon)
	expect(t, out, securejoin.Show, nil, "Note")
}
