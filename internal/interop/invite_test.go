//go:build peers

package interop

import (
	"strings"
	"testing"

	"mailbridge/internal/peers"
)

// TestInviteTerms hands out invites for one use, that ask, and that were revoked: who is not to
// get in hears nothing, and the user is told.
func TestInviteTerms(t *testing.T) {
	t.Parallel()
	bed := peers.Start(t)
	b := newBridge(t, bed, "bridge")
	c := connect(t, b, nil)
	carol := peers.DeltaChat(t, bed, peers.Address("carol"), "Carol")
	dora := peers.DeltaChat(t, bed, peers.Address("dora"), "Dora")

	var once, ask, revoked struct{ ID, Link string }
	b.query(&once, "invite", "--once")
	b.query(&ask, "invite", "--ask")
	b.query(&revoked, "invite")
	b.ok("invite", "revoke", revoked.ID)
	silence(t, b, func() {
		mark := carol.Mark()
		carol.Join(once.Link)
		carol.WaitJoined(mark)
		b.waitVerified(carol)

		dora.Join(once.Link)
		note := c.find("Bridge", dora.Addr)
		if text := note.text(t); !strings.Contains(text, "used by "+carol.Addr) {
			t.Errorf("the note says: %s", text)
		}
		dora.Join(revoked.Link)
		c.find("Bridge", "revoked")
	})
	if contact, ok := b.contact(dora.Addr); ok && contact.Verified {
		t.Errorf("got in: %+v", contact)
	}

	silence(t, b, func() {
		mark := dora.Mark()
		dora.Join(ask.Link)
		eventually(t, "dora waits", func() bool { return strings.Contains(b.ok("invite", "list"), dora.Addr+" waits") })
		b.ok("invite", "accept", ask.ID, dora.Addr)
		dora.WaitJoined(mark)
		b.waitVerified(dora)
	})
}

// TestNewDevice lets somebody who lost the device join again with a new key: it is a claim until
// the user accepts it, and until then mail goes to the key that was verified.
func TestNewDevice(t *testing.T) {
	t.Parallel()
	bed := peers.Start(t)
	b := newBridge(t, bed, "bridge")
	lost := peers.DeltaChat(t, bed, peers.Address("carol"), "Carol")
	var first, second struct{ Link string }
	b.query(&first, "invite")
	mark := lost.Mark()
	lost.Join(first.Link)
	lost.WaitJoined(mark)
	b.waitVerified(lost)

	lost.Pause() // it would take the new one's mail, and delete it
	found := peers.DeltaChat(t, bed, peers.Address("carol"), "Carol")
	b.query(&second, "invite")
	silence(t, b, func() {
		mark = found.Mark()
		found.Join(second.Link)
		note := connect(t, b, nil).find("Bridge", found.Fingerprint())
		if !strings.Contains(note.text(t), lost.Fingerprint()) {
			t.Errorf("the note does not show the other key: %s", note.text(t))
		}
	})
	if c, ok := b.contact(found.Addr); !ok || c.Fingerprint != lost.Fingerprint() || !c.Verified {
		t.Errorf("contact %+v, the claim has %s", c, found.Fingerprint())
	}
	found.Pause()
	lost.Resume()
	b.write(found.Addr, "Hello", "to the old key 4734")
	lost.WaitMessage("to the old key 4734")
	lost.Pause()
	found.Resume()

	b.ok("contact", "accept", found.Addr, found.Fingerprint())
	found.WaitJoined(mark)
	b.waitVerified(found)
	b.write(found.Addr, "Hello", "to the new key 4735")
	if m := found.WaitMessage("to the new key 4735"); !m.ShowPadlock {
		t.Errorf("the new device got %+v", m)
	}
}
