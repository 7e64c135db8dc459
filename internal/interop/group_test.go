//go:build peers

package interop

import (
	"slices"
	"strings"
	"testing"

	"mailbridge/internal/peers"
)

// chatRow is a group or channel of `bridge group list --json` or `bridge channel list --json`.
type chatRow struct{ ID, Name, Address string }

func (b *bridge) createGroup(name string) (g chatRow) {
	b.t.Helper()
	b.query(&g, "group", "create", name)
	return g
}

// group waits for a group by its name.
func (b *bridge) group(name string) (g chatRow) {
	b.t.Helper()
	eventually(b.t, b.addr+" has a group "+name, func() (ok bool) {
		g, ok = b.chatNamed("group", name)
		return ok
	})
	return g
}

func (b *bridge) hasGroup(name string) bool {
	_, ok := b.chatNamed("group", name)
	return ok
}

func (b *bridge) chatNamed(kind, name string) (chatRow, bool) {
	b.t.Helper()
	var all []chatRow
	b.query(&all, kind, "list")
	i := slices.IndexFunc(all, func(g chatRow) bool { return g.Name == name })
	if i < 0 {
		return chatRow{}, false
	}
	return all[i], true
}

// members lists the members of a group, or the subscribers of a channel, sorted by address.
func (b *bridge) members(kind, verb, id string) (members []peers.Member) {
	b.t.Helper()
	b.query(&members, kind, verb, id)
	slices.SortFunc(members, func(a, b peers.Member) int { return strings.Compare(a.Address, b.Address) })
	return members
}

func (b *bridge) groupMembers(id string) []peers.Member { return b.members("group", "members", id) }

// waitMembers waits until a group has exactly the members with these addresses.
func (b *bridge) waitMembers(id string, addrs ...string) {
	b.t.Helper()
	want := slices.Sorted(slices.Values(addrs))
	eventually(b.t, b.addr+" sees the members "+strings.Join(want, ", "), func() bool {
		var got []string
		for _, m := range b.groupMembers(id) {
			got = append(got, m.Address)
		}
		return slices.Equal(got, want)
	})
}

func sameMembers(t *testing.T, b *bridge, id string, chat *peers.Engine, there int) {
	t.Helper()
	if ours, theirs := b.groupMembers(id), chat.Members(there); !slices.Equal(ours, theirs) {
		t.Errorf("the members are %v to the bridge, %v to %s", ours, theirs, chat.Name)
	}
}

// TestGroupOfFive lets three Delta Chats and two bridges keep a group: each adds somebody, each
// writes and all read it, one leaves and comes back, one is removed.
func TestGroupOfFive(t *testing.T) {
	t.Parallel()
	bed := peers.Start(t)
	alice := peers.DeltaChat(t, bed, peers.Address("alice"), "Alice")
	bob := peers.DeltaChat(t, bed, peers.Address("bob"), "Bob")
	carol := peers.DeltaChat(t, bed, peers.Address("carol"), "Carol")
	xenia, yuri := newBridge(t, bed, "xenia"), newBridge(t, bed, "yuri")
	acquaint(t, alice, bob, xenia, carol, yuri)

	f := five{t: t, engines: []*peers.Engine{alice, bob, carol}, bridges: []*bridge{xenia, yuri}, chats: map[*peers.Engine]int{}, groups: map[*bridge]chatRow{}}
	silence(t, xenia, func() {
		silence(t, yuri, func() { f.run(alice, bob, carol, xenia, yuri) },
			"You were added to the group “Five” by Carol", "words of ", "Carol (t-carol@example.org) left the group", "Bob (t-bob@example.org) was removed by")
	}, "You were added to the group “Five” by Bob", "was added by", "words of ", "Carol (t-carol@example.org) left the group")
}

// acquaint makes each of a row known to its neighbours.
func acquaint(t *testing.T, alice, bob *peers.Engine, xenia *bridge, carol *peers.Engine, yuri *bridge) {
	t.Helper()
	invited, joined := alice.Mark(), bob.Mark()
	bob.Join(alice.Invite())
	carolInvited := carol.Mark()
	xenia.join(bob.Invite())
	xenia.join(carol.Invite())
	yuri.join(carol.Invite())
	alice.WaitInvited(invited)
	bob.WaitJoined(joined)
	carol.WaitInvited(carolInvited)
}

// five is a group of three engines and two bridges.
type five struct {
	t       *testing.T
	engines []*peers.Engine
	bridges []*bridge
	chats   map[*peers.Engine]int
	groups  map[*bridge]chatRow
}

func (f *five) run(alice, bob, carol *peers.Engine, xenia, yuri *bridge) {
	const name = "Five"
	f.chats[alice] = alice.CreateGroup(name)
	alice.AddMember(f.chats[alice], bob.Addr)
	alice.SendText(f.chats[alice], "here we go 4721")
	bob.WaitMessage("here we go 4721")
	f.chats[bob] = bob.WaitChat(name)
	bob.AddMember(f.chats[bob], xenia.addr)
	f.groups[xenia] = xenia.group(name)
	xenia.ok("group", "add", f.groups[xenia].ID, carol.Addr)
	f.chats[carol] = carol.WaitChat(name)
	carol.WaitMembers(f.chats[carol], alice.Addr, bob.Addr, carol.Addr, xenia.addr)
	carol.AddMember(f.chats[carol], yuri.addr)
	f.groups[yuri] = yuri.group(name)
	f.agree(alice.Addr, bob.Addr, carol.Addr, xenia.addr, yuri.addr)
	f.write()

	carol.Leave(f.chats[carol])
	f.agree(alice.Addr, bob.Addr, xenia.addr, yuri.addr)
	yuri.ok("group", "add", f.groups[yuri].ID, carol.Addr)
	f.agree(alice.Addr, bob.Addr, carol.Addr, xenia.addr, yuri.addr)
	xenia.ok("group", "remove", f.groups[xenia].ID, bob.Addr)
	f.agree(alice.Addr, carol.Addr, xenia.addr, yuri.addr)
	f.sameKeys(bob)
}

// agree waits until everybody sees these members. Who has just left sees what it saw last.
func (f *five) agree(addrs ...string) {
	f.t.Helper()
	for _, e := range f.engines {
		e.WaitMembers(f.chats[e], addrs...)
	}
	for _, b := range f.bridges {
		b.waitMembers(f.groups[b].ID, addrs...)
	}
}

// sameKeys compares the members' keys as well. Somebody who was removed may not know them all.
func (f *five) sameKeys(except *peers.Engine) {
	f.t.Helper()
	for _, b := range f.bridges {
		for _, e := range f.engines {
			if e != except {
				sameMembers(f.t, b, f.groups[b].ID, e, f.chats[e])
			}
		}
	}
}

// write lets each write, and all others read it in the group.
func (f *five) write() {
	f.t.Helper()
	for _, e := range f.engines {
		e.SendText(f.chats[e], "words of "+e.Name)
	}
	for _, b := range f.bridges {
		b.write(f.groups[b].Address, "Greeting", "words of "+b.addr)
	}
	for _, reader := range f.engines {
		for _, text := range f.texts(reader.Name) {
			if m := reader.WaitMessage(text); m.ChatID != f.chats[reader] || !m.ShowPadlock {
				f.t.Errorf("%s got %+v, and not in chat %d", reader.Name, m, f.chats[reader])
			}
		}
	}
	for _, reader := range f.bridges {
		c := connect(f.t, reader, nil)
		for _, text := range f.texts(reader.addr) {
			m := c.find("INBOX", text)
			if got := m.header(f.t, "Reply-To"); !strings.Contains(got, f.groups[reader].Address) {
				f.t.Errorf("Reply-To of %q is %q", text, got)
			}
		}
	}
}

// texts are what all wrote but one.
func (f *five) texts(except string) (texts []string) {
	var names []string
	for _, e := range f.engines {
		names = append(names, e.Name)
	}
	for _, b := range f.bridges {
		names = append(names, b.addr)
	}
	for _, name := range names {
		if name != except {
			texts = append(texts, "words of "+name)
		}
	}
	return texts
}

// TestGroupOfAges lets Delta Chats of three ages and two bridges keep a group of one of the
// bridges: all join by its link, each writes and all read it, and all agree on the members.
func TestGroupOfAges(t *testing.T) {
	t.Parallel()
	bed := peers.Start(t)
	xenia, yuri := newBridge(t, bed, "xenia"), newBridge(t, bed, "yuri")
	f := five{t: t, bridges: []*bridge{xenia, yuri}, chats: map[*peers.Engine]int{}, groups: map[*bridge]chatRow{}}
	f.groups[xenia] = xenia.createGroup("Ages")
	var invite struct{ Link string }
	xenia.query(&invite, "invite", "--group", f.groups[xenia].ID)
	addrs := []string{xenia.addr, yuri.addr}
	for _, version := range []string{peers.EngineVersion, peers.OldEngine, peers.OldestEngine} {
		e := peers.OldDeltaChat(t, version, bed, peers.Address("age-"+strings.ReplaceAll(version, ".", "-")), "Age "+version)
		mark := e.Mark()
		f.chats[e] = e.Join(invite.Link)
		e.WaitJoined(mark)
		f.engines, addrs = append(f.engines, e), append(addrs, e.Addr)
	}
	yuri.join(invite.Link)
	f.groups[yuri] = yuri.group("Ages")
	f.agree(addrs...)
	f.write()

	oldest := f.engines[2]
	oldest.RemoveMember(f.chats[oldest], f.engines[1].Addr)
	f.agree(slices.DeleteFunc(addrs, func(addr string) bool { return addr == f.engines[1].Addr })...)
	f.sameKeys(f.engines[1])
}
