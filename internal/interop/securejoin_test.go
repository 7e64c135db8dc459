//go:build peers

package interop

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"mailbridge/internal/peers"
)

// silence watches every mailbox but Bridge in IDLE while something runs, and fails the test
// for whatever a client sees.
func silence(t *testing.T, b *bridge, run func()) {
	t.Helper()
	c := connect(t, b, nil)
	var witnesses []*witness
	before := map[string]string{}
	for _, name := range c.mailboxes() {
		if name == "Bridge" {
			continue
		}
		before[name] = fmt.Sprint(c.messages(name))
		witnesses = append(witnesses, watch(t, b, name))
	}
	if len(witnesses) < 4 {
		t.Fatalf("only %d mailboxes to watch", len(witnesses))
	}
	run()
	time.Sleep(2 * time.Second) // what comes late is seen, too
	for _, w := range witnesses {
		for _, event := range w.events() {
			t.Errorf("a client in IDLE saw %s", event)
		}
		if after := fmt.Sprint(c.messages(w.mailbox)); after != before[w.mailbox] {
			t.Errorf("%s changed: %s", w.mailbox, after)
		}
	}
}

// trashed waits until n messages lie in the provider's Trash, and none in its INBOX.
func trashed(t *testing.T, b *bridge, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d handshake messages in the provider's Trash", n), func() bool {
		inbox, err := b.bed.Messages(b.addr, "INBOX")
		if err != nil {
			t.Fatal(err)
		}
		trash, err := b.bed.Messages(b.addr, "Trash")
		return err == nil && len(inbox) == 0 && len(trash) >= n
	})
}

func TestBridgeInvites(t *testing.T) {
	t.Parallel()
	bed := peers.Start(t)
	b := newBridge(t, bed, "bridge")
	chat := peers.DeltaChat(t, bed, peers.Address("carol"), "Carol")
	silence(t, b, func() {
		var invite struct{ Link string }
		b.query(&invite, "invite")
		mark := chat.Mark()
		chat.Join(invite.Link)
		chat.WaitJoined(mark)
		eventually(t, "the bridge has verified carol", func() bool {
			c, ok := b.contact(peers.Address("carol"))
			return ok && c.Verified
		})
		trashed(t, b, 2)
	})
	checkVerified(t, b, chat)
	connect(t, b, nil).find("Bridge", "Verified: "+peers.Address("carol"))
}

func TestDeltaChatInvites(t *testing.T) {
	t.Parallel()
	bed := peers.Start(t)
	b := newBridge(t, bed, "bridge")
	chat := peers.DeltaChat(t, bed, peers.Address("carol"), "Carol")
	silence(t, b, func() {
		mark := chat.Mark()
		out, code := b.run(chat.Invite()+"\n", "join", "-", "--wait")
		if code != 0 {
			t.Fatalf("join: exit %d: %s", code, out)
		}
		chat.WaitInvited(mark)
		trashed(t, b, 2)
	})
	checkVerified(t, b, chat)
}

// checkVerified compares what both sides hold after a handshake.
func checkVerified(t *testing.T, b *bridge, chat *peers.Engine) {
	t.Helper()
	c, ok := b.contact(peers.Address("carol"))
	if !ok || !c.Verified || c.VerifiedHow != "securejoin-v3" || c.Fingerprint != chat.Fingerprint() {
		t.Errorf("contact %+v, fingerprint %s", c, chat.Fingerprint())
	}
	var key struct{ Fingerprint string }
	b.query(&key, "key", "show")
	if got := chat.ContactFingerprint(b.addr); got != key.Fingerprint {
		t.Errorf("Delta Chat holds %s, the bridge is %s", got, key.Fingerprint)
	}
	delivered, err := b.bed.Archive()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range delivered {
		if !bytes.Contains(d.Data, []byte("multipart/encrypted")) {
			t.Errorf("a message of the handshake is not encrypted:\n%s", d.Data)
		}
		if strings.Contains(string(d.Data), "Secure-Join") {
			t.Errorf("a handshake field is in the clear")
		}
	}
}
