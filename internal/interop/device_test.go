//go:build peers

package interop

import (
	"os"
	"strings"
	"testing"

	"mailbridge/internal/peers"
)

// TestSecondDevice lets a Delta Chat and a bridge with the same key serve one account. Each makes
// and follows invites, and the other hears of it; what one sends is sent mail at the other.
func TestSecondDevice(t *testing.T) {
	t.Parallel()
	bed := peers.Start(t)
	app := peers.DeltaChat(t, bed, peers.Address("alice"), "Alice")
	b := newBridge(t, bed, "alice")
	c := connect(t, b, nil)
	if value := app.Config("bcc_self"); value == "1" {
		t.Fatal("the app knows of another device already")
	}
	silence(t, b, func() {
		key := app.ExportKey()
		if _, err := os.Stat(key); err != nil {
			t.Fatal(err)
		}
		b.ok("key", "import", key)
		app.Until("the app knows that it is not the only device", func() bool { return app.Config("bcc_self") == "1" })
	})
	if b.fingerprint() != app.Fingerprint() {
		t.Fatalf("the bridge's key is %s, the app's %s", b.fingerprint(), app.Fingerprint())
	}

	bob := peers.DeltaChat(t, bed, peers.Address("bob"), "Bob")
	silence(t, b, func() { joinsBridge(t, app, b, bob) })
	carol := peers.DeltaChat(t, bed, peers.Address("carol"), "Carol")
	silence(t, b, func() { joinsApp(t, app, b, carol) })
	dora := peers.DeltaChat(t, bed, peers.Address("dora"), "Dora")
	silence(t, b, func() { appJoins(t, app, b, dora) })

	// What comes in is read by both, what one sends the other has as sent.
	bob.SendText(bob.ChatWith(app.Addr), "to whichever of you 4728")
	app.WaitMessage("to whichever of you 4728")
	c.find("INBOX", "to whichever of you 4728")
	app.SendText(app.ChatWith(bob.Addr), "from the app 4729")
	bob.WaitMessage("from the app 4729")
	c.find("Sent", "from the app 4729")
	b.write(carol.Addr, "Hello", "from the bridge 4730")
	carol.WaitMessage("from the bridge 4730")
	if m := app.WaitCopy("from the bridge 4730"); m.ChatID != app.ChatWith(carol.Addr) {
		t.Errorf("the app filed %+v, and not in carol's chat", m)
	}
}

// TestSecondDeviceAlone lets each of a Delta Chat and a bridge with the same key stand in for the
// other: a shared invite is answered by the app while the bridge is off, one of the app by the
// bridge while the app is off; and what was withdrawn is answered by neither.
func TestSecondDeviceAlone(t *testing.T) {
	t.Parallel()
	bed := peers.Start(t)
	app := peers.DeltaChat(t, bed, peers.Address("alice"), "Alice")
	b := newBridge(t, bed, "alice")
	b.ok("key", "import", app.ExportKey())
	app.Until("the app knows that it is not the only device", func() bool { return app.Config("bcc_self") == "1" })

	bob := peers.DeltaChat(t, bed, peers.Address("bob"), "Bob")
	var shared struct{ ID, Link string }
	silence(t, b, func() {
		b.query(&shared, "invite", "--shared")
		app.Until("the app has the shared invite", func() bool { return app.Knows(shared.Link) })
	})
	b.stop()
	mark := bob.Mark()
	bob.Join(shared.Link)
	bob.WaitJoined(mark)
	b.start()
	b.waitVerified(bob)

	carol := peers.DeltaChat(t, bed, peers.Address("carol"), "Carol")
	link := app.Invite()
	eventually(t, "the bridge has the app's invite", func() bool { return b.openInvites() >= 2 })
	app.Pause()
	silence(t, b, func() {
		mark := carol.Mark()
		carol.Join(link)
		carol.WaitJoined(mark)
		b.waitVerified(carol)
	})
	app.Resume()
	knows(app, carol)

	app.Withdraw(link)
	eventually(t, "the bridge has withdrawn it, too", func() bool { return b.openInvites() == 0 })
}

// TestSecondDeviceGroups lets a Delta Chat and a bridge with the same key be one member of groups:
// of one that the app made, and of one that the bridge has joined.
func TestSecondDeviceGroups(t *testing.T) {
	t.Parallel()
	bed := peers.Start(t)
	app := peers.DeltaChat(t, bed, peers.Address("alice"), "Alice")
	b := newBridge(t, bed, "alice")
	b.ok("key", "import", app.ExportKey())
	app.Until("the app knows that it is not the only device", func() bool { return app.Config("bcc_self") == "1" })
	bob := peers.DeltaChat(t, bed, peers.Address("bob"), "Bob")

	made := app.CreateGroup("Made")
	var there int
	silence(t, b, func() {
		mark, invited := bob.Mark(), app.Mark()
		there = bob.Join(app.ChatInvite(made))
		bob.WaitJoined(mark)
		app.WaitInvited(invited)
		b.waitVerified(bob)
		b.waitMembers(b.group("Made").ID, app.Addr, bob.Addr)
	}, "You are in the group “Made” by another device of yours.")
	oneMember(t, app, b, bob, made, there, "Made")

	joined := bob.CreateGroup("Joined")
	silence(t, b, func() {
		mark := bob.Mark()
		b.join(bob.ChatInvite(joined))
		bob.WaitInvited(mark)
	}, "You were added to the group “Joined” by Bob")
	chat := app.WaitChat("Joined")
	app.Accept(chat) // to the app it is a group that somebody has made
	oneMember(t, app, b, bob, chat, joined, "Joined")
	b.ok("group", "leave", b.group("Joined").ID)
	bob.WaitMembers(joined, bob.Addr)
	app.WaitMembers(chat, bob.Addr)
}

// oneMember lets both devices and the other member write into a group, and all read it.
func oneMember(t *testing.T, app *peers.Engine, b *bridge, bob *peers.Engine, chat, there int, name string) {
	t.Helper()
	g := b.group(name)
	sameMembers(t, b, g.ID, bob, there)
	sameMembers(t, b, g.ID, app, chat)
	c := connect(t, b, nil)
	app.SendText(chat, name+": the app 4731")
	bob.WaitMessage(name + ": the app 4731")
	c.find("Sent", name+": the app 4731")
	bob.SendText(there, name+": the other 4732")
	app.WaitMessage(name + ": the other 4732")
	if m := c.find("INBOX", name+": the other 4732"); !strings.Contains(m.header(t, "Reply-To"), g.Address) {
		t.Errorf("Reply-To: %s", m.header(t, "Reply-To"))
	}
	b.write(g.Address, "Hello", name+": the bridge 4733")
	if m := bob.WaitMessage(name + ": the bridge 4733"); m.ChatID != there {
		t.Errorf("bob got %+v, and not in chat %d", m, there)
	}
	if m := app.WaitCopy(name + ": the bridge 4733"); m.ChatID != chat {
		t.Errorf("the app filed %+v, and not in chat %d", m, chat)
	}
}

func (b *bridge) openInvites() int {
	b.t.Helper()
	var status struct {
		Accounts []struct {
			OpenInvites int `json:"open_invites"`
		}
	}
	b.query(&status, "status")
	return status.Accounts[0].OpenInvites
}

// joinsBridge lets somebody join by a link of the bridge; the app gets to know the contact.
func joinsBridge(t *testing.T, app *peers.Engine, b *bridge, bob *peers.Engine) {
	t.Helper()
	var invite struct{ Link string }
	b.query(&invite, "invite")
	mark := bob.Mark()
	bob.Join(invite.Link)
	bob.WaitJoined(mark)
	b.waitVerified(bob)
	knows(app, bob)
}

// joinsApp is the other way round.
func joinsApp(t *testing.T, app *peers.Engine, b *bridge, carol *peers.Engine) {
	t.Helper()
	mark, invited := carol.Mark(), app.Mark()
	carol.Join(app.Invite())
	carol.WaitJoined(mark)
	app.WaitInvited(invited)
	b.waitVerified(carol)
	knows(app, carol)
}

// appJoins lets the app join somebody: the bridge must leave the answers to it, and learn of
// the contact by the app's own copies.
func appJoins(t *testing.T, app *peers.Engine, b *bridge, dora *peers.Engine) {
	t.Helper()
	mark, invited := app.Mark(), dora.Mark()
	app.Join(dora.Invite())
	app.WaitJoined(mark)
	dora.WaitInvited(invited)
	b.waitVerified(dora)
}

// knows waits until the app holds somebody's key.
func knows(app, other *peers.Engine) {
	app.Until("the app knows "+other.Name, func() bool { return app.ContactFingerprint(other.Addr) == other.Fingerprint() })
}
