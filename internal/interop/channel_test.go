//go:build peers

package interop

import (
	"slices"
	"strings"
	"testing"

	"mailbridge/internal/peers"
)

// TestOwnChannel lets three Delta Chats subscribe to a channel of the bridge, and takes one out:
// the others go on reading, and the one that is out cannot, should a post get to it.
func TestOwnChannel(t *testing.T) {
	t.Parallel()
	bed := peers.Start(t)
	b := newBridge(t, bed, "bridge")
	carol := peers.DeltaChat(t, bed, peers.Address("carol"), "Carol")
	dora := peers.DeltaChat(t, bed, peers.Address("dora"), "Dora")
	emil := peers.OldDeltaChat(t, peers.OldEngine, bed, peers.Address("emil"), "Emil")
	var channel chatRow
	b.query(&channel, "channel", "create", "Harbour")
	var invite struct{ Link string }
	b.query(&invite, "invite", "--channel", channel.ID)
	chats := map[*peers.Engine]int{}
	silence(t, b, func() {
		for _, e := range []*peers.Engine{carol, dora, emil} {
			mark := e.Mark()
			chats[e] = e.Join(invite.Link)
			e.WaitJoined(mark)
		}
		consumed(t, b, 6, 0)
	})
	b.write(channel.Address, "Ships", "a ship has come 4722")
	for e, chat := range chats {
		checkPost(t, e, chat, "a ship has come 4722")
	}

	silence(t, b, func() {
		b.ok("channel", "remove", channel.ID, carol.Addr)
		carol.Until("carol hears that she is out", func() bool {
			return slices.ContainsFunc(carol.Messages(chats[carol]), func(m peers.Message) bool { return m.System == "MemberRemovedFromGroup" })
		})
	})
	stay := []peers.Member{{Address: dora.Addr, Fingerprint: dora.Fingerprint()}, {Address: emil.Addr, Fingerprint: emil.Fingerprint()}}
	if left := b.members("channel", "subscribers", channel.ID); !slices.Equal(left, stay) {
		t.Errorf("subscribers %v", left)
	}
	b.write(channel.Address, "Ships", "another ship has come 4723")
	checkPost(t, dora, chats[dora], "another ship has come 4723")
	checkPost(t, emil, chats[emil], "another ship has come 4723")
	checkLocked(t, b, carol, dora, "another ship has come 4723")

	silence(t, b, func() {
		dora.Leave(chats[dora])
		emil.Leave(chats[emil])
		eventually(t, "nobody subscribes any more", func() bool { return len(b.members("channel", "subscribers", channel.ID)) == 0 })
	})
}

func checkPost(t *testing.T, e *peers.Engine, chat int, text string) {
	t.Helper()
	if m := e.WaitMessage(text); m.ChatID != chat || !m.ShowPadlock {
		t.Errorf("%s got %+v, and not in chat %d", e.Name, m, chat)
	}
}

// checkLocked hands the last post that went to one reader to another, who must not read it.
func checkLocked(t *testing.T, b *bridge, out, reader *peers.Engine, text string) {
	t.Helper()
	delivered, err := b.bed.Archive()
	if err != nil {
		t.Fatal(err)
	}
	var last []byte
	for _, d := range delivered {
		if d.To == reader.Addr {
			last = d.Data
		}
	}
	if last == nil {
		t.Fatalf("nothing was delivered to %s", reader.Addr)
	}
	if err := b.bed.Deliver(b.addr, []string{out.Addr}, last); err != nil {
		t.Fatal(err)
	}
	b.write(out.Addr, "Farewell", "this comes later 4724")
	out.WaitMessage("this comes later 4724")
	for _, chat := range out.Chats() {
		for _, m := range out.Messages(chat.ID) {
			if strings.Contains(m.Text, text) {
				t.Errorf("%s still reads %+v", out.Name, m)
			}
		}
	}
}

// TestTheirChannel subscribes to a channel of Delta Chat, reads it as mail, and leaves.
func TestTheirChannel(t *testing.T) {
	t.Parallel()
	for _, version := range []string{peers.EngineVersion, peers.OldEngine} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			testTheirChannel(t, version)
		})
	}
}

func testTheirChannel(t *testing.T, version string) {
	bed := peers.Start(t)
	b := newBridge(t, bed, "bridge")
	chat := peers.OldDeltaChat(t, version, bed, peers.Address("carol"), "Carol")
	theirs := chat.CreateChannel("Harbour")
	silence(t, b, func() {
		mark := chat.Mark()
		b.join(chat.ChatInvite(theirs))
		chat.WaitInvited(mark)
		consumed(t, b, 1, 1)
	}, "You subscribed to the channel “Harbour” of Carol")
	chat.SendText(theirs, "a ship has come 4725")
	c := connect(t, b, nil)
	post := c.find("INBOX", "a ship has come 4725")
	channel, ok := b.chatNamed("channel", "Harbour")
	if !ok {
		t.Fatal("the bridge has no channel Harbour")
	}
	if got := post.header(t, "List-Id"); !strings.Contains(got, "Harbour") {
		t.Errorf("List-Id: %q", got)
	}
	if got := post.parsed(t).Header; got.Get("List-Post") != "" && got.Get("List-Post") != "NO" {
		t.Errorf("List-Post: %q", got.Get("List-Post"))
	}
	checkReceived(t, post, chat, chat.Addr)
	if err := b.send([]string{channel.Address}, compose(b.addr, channel.Address, "Ships", "not-mine@mailbridge.example", "I have no say here")); err == nil {
		t.Error("a post in another's channel was taken")
	}

	silence(t, b, func() {
		b.ok("channel", "leave", channel.ID)
		chat.WaitMembers(theirs)
	})
	chat.SendText(theirs, "one more ship 4726")
	before := len(c.messages("INBOX"))
	chat.SendText(chat.ChatWith(b.addr), "did you see it? 4727")
	c.find("INBOX", "did you see it? 4727")
	if after := c.messages("INBOX"); len(after) != before+1 {
		t.Errorf("after leaving, INBOX has %d messages more", len(after)-before)
	}
}
