//go:build peers

package peers

import (
	"bytes"
	"strings"
	"testing"
)

// TestHandshake lets two engines shake hands over the bed and talk: the bed is of use.
func TestHandshake(t *testing.T) {
	t.Parallel()
	bed := Start(t)
	alice := DeltaChat(t, bed, Address("alice"), "Alice")
	bob := DeltaChat(t, bed, Address("bob"), "Bob")

	invited, joined := alice.Mark(), bob.Mark()
	chat := bob.Join(alice.Invite())
	alice.WaitInvited(invited)
	bob.WaitJoined(joined)
	if got := bob.ContactFingerprint(alice.Addr); got != alice.Fingerprint() {
		t.Errorf("bob has %q for alice, who is %q", got, alice.Fingerprint())
	}
	if got := alice.ContactFingerprint(bob.Addr); got != bob.Fingerprint() {
		t.Errorf("alice has %q for bob, who is %q", got, bob.Fingerprint())
	}

	bob.WaitDelivered(bob.SendText(chat, "schöne Grüße 4711"))
	m := alice.WaitMessage("schöne Grüße 4711")
	if !m.ShowPadlock || m.Sender.Address != bob.Addr {
		t.Errorf("alice got %+v", m)
	}
	alice.Reply(m, "ebenso 4712")
	if m := bob.WaitMessage("ebenso 4712"); m.Quote == nil || m.ChatID != chat {
		t.Errorf("bob got %+v", m)
	}

	archive, err := bed.Archive()
	if err != nil || len(archive) < 6 {
		t.Fatalf("%d messages were delivered, %v", len(archive), err)
	}
	for _, d := range archive {
		if !bytes.Contains(d.Data, []byte("multipart/encrypted")) || d.From == "" || !strings.HasPrefix(d.To, "t-") {
			t.Errorf("delivered from %s to %s:\n%s", d.From, d.To, d.Data)
		}
	}
}

// TestMailFromOutside delivers through the MX port and finds it on the provider's disk,
// also after the provider was down.
func TestMailFromOutside(t *testing.T) {
	t.Parallel()
	bed := Start(t)
	addr := Address("carol")
	msg := "From: x@elsewhere.example\r\nTo: " + addr + "\r\nSubject: hello\r\n\r\nText\r\n"
	for n := 1; n <= 2; n++ {
		if err := bed.Deliver("x@elsewhere.example", []string{addr}, []byte(msg)); err != nil {
			t.Fatal(err)
		}
		bed.WaitMail(addr, "INBOX", n)
		bed.Down()
		if err := bed.Up(); err != nil {
			t.Fatal(err)
		}
	}
	if err := bed.Deliver("x@elsewhere.example", []string{"nobody@" + Domain}, []byte(msg)); err == nil {
		t.Error("mail for nobody was taken")
	}
}
