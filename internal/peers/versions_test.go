//go:build peers

package peers

import (
	"slices"
	"testing"
)

// join lets b join by a link of a, and gives b's chat.
func join(a, b *Engine, link string) (chat int) {
	invited, joined := a.Mark(), b.Mark()
	chat = b.Join(link)
	a.WaitInvited(invited)
	b.WaitJoined(joined)
	return chat
}

// TestEngineVersions lets each old engine and the present one join groups of each other, which
// makes them each other's contacts too: all that the driver does works with all of them.
func TestEngineVersions(t *testing.T) {
	t.Parallel()
	for _, versions := range [][2]string{
		{EngineVersion, OldestEngine}, {OldestEngine, EngineVersion},
		{EngineVersion, OldEngine}, {OldEngine, EngineVersion},
	} {
		t.Run(versions[0]+" invites "+versions[1], func(t *testing.T) {
			t.Parallel()
			bed := Start(t)
			alice := OldDeltaChat(t, versions[0], bed, Address("alice"), "Alice")
			bob := OldDeltaChat(t, versions[1], bed, Address("bob"), "Bob")
			checkGroup(t, alice, bob)
		})
	}
}

func checkGroup(t *testing.T, alice, bob *Engine) {
	group := alice.CreateGroup("Garden")
	there := join(alice, bob, alice.ChatInvite(group))
	alice.WaitMembers(group, alice.Addr, bob.Addr)
	bob.WaitMembers(there, alice.Addr, bob.Addr)
	if a, b := alice.Members(group), bob.Members(there); !slices.Equal(a, b) || a[0].Fingerprint != alice.Fingerprint() {
		t.Errorf("the members are %v to alice, %v to bob", a, b)
	}
	bob.SendText(there, "the first apples 4713")
	if m := alice.WaitMessage("apples 4713"); m.ChatID != group || !m.ShowPadlock {
		t.Errorf("alice got %+v", m)
	}
	alice.SendText(group, "the last pears 4714")
	if m := bob.WaitMessage("pears 4714"); m.ChatID != there || !m.ShowPadlock {
		t.Errorf("bob got %+v", m)
	}
	alice.Rename(group, "Orchard")
	if chat := bob.WaitChat("Orchard"); chat != there {
		t.Errorf("bob has renamed chat %d, not %d", chat, there)
	}
	alice.RemoveMember(group, bob.Addr)
	bob.WaitMembers(there, alice.Addr)
	alice.AddMember(group, bob.Addr)
	bob.WaitMembers(there, alice.Addr, bob.Addr)
	bob.Leave(there)
	alice.WaitMembers(group, alice.Addr)
	systems := []string{}
	for _, m := range alice.Messages(group) {
		if m.IsInfo {
			systems = append(systems, m.System)
		}
	}
	if !slices.Contains(systems, "MemberAddedToGroup") || !slices.Contains(systems, "MemberRemovedFromGroup") {
		t.Errorf("alice's group shows %v", systems)
	}
}

// TestChannel lets one subscribe, read and leave, come back, and be removed.
func TestChannel(t *testing.T) {
	t.Parallel()
	bed := Start(t)
	alice := DeltaChat(t, bed, Address("alice"), "Alice")
	bob := DeltaChat(t, bed, Address("bob"), "Bob")
	channel := alice.CreateChannel("Harbour")
	for _, leave := range []func(chat int){
		func(chat int) { bob.Leave(chat) },
		func(int) { alice.RemoveMember(channel, bob.Addr) },
	} {
		chat := join(alice, bob, alice.ChatInvite(channel))
		alice.SendText(channel, "a ship has come 4715")
		if m := bob.WaitMessage("a ship has come 4715"); m.ChatID != chat || !m.ShowPadlock {
			t.Errorf("bob got %+v in chat %d", m, chat)
		}
		leave(chat)
		alice.Until("no subscriber is left", func() bool {
			return !slices.ContainsFunc(alice.Members(channel), func(m Member) bool { return m.Address == bob.Addr })
		})
	}
}

// TestOneKeyTwoEngines lets two engines with one key serve one account.
func TestOneKeyTwoEngines(t *testing.T) {
	t.Parallel()
	bed := Start(t)
	alice := DeltaChat(t, bed, Address("alice"), "Alice", "bcc_self", "1")
	second := DeltaChatWithKey(t, bed, alice.Addr, "Alice", alice.ExportKey())
	if second.Fingerprint() != alice.Fingerprint() {
		t.Fatalf("the keys are %s and %s", alice.Fingerprint(), second.Fingerprint())
	}
	bob := DeltaChat(t, bed, Address("bob"), "Bob")
	chat := join(alice, bob, alice.Invite())
	bob.SendText(chat, "to both of you 4716")
	alice.WaitMessage("to both of you 4716")
	second.WaitMessage("to both of you 4716")
	alice.SendText(alice.ChatWith(bob.Addr), "from one of us 4717")
	bob.WaitMessage("from one of us 4717")
	second.WaitCopy("from one of us 4717")
	if value := second.Config("bcc_self"); value != "1" {
		t.Errorf("bcc_self of the second device is %q after a sync message", value)
	}
}
