//go:build peers

package interop

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"mailbridge/internal/peers"
)

// silence watches every mailbox but Bridge in IDLE while something runs, and fails the test
// for whatever a client sees but new messages with one of the visible texts, of which each must
// come.
func silence(t *testing.T, b *bridge, run func(), visible ...string) {
	t.Helper()
	c := connect(t, b, nil)
	var witnesses []*witness
	before := map[string][]message{}
	for _, name := range c.mailboxes() {
		if name == "Bridge" {
			continue
		}
		before[name] = c.messages(name)
		witnesses = append(witnesses, watch(t, b, name))
	}
	if len(witnesses) < 4 {
		t.Fatalf("only %d mailboxes to watch", len(witnesses))
	}
	run()
	time.Sleep(2 * time.Second) // what comes late is seen, too
	seen := map[string]bool{}
	for _, w := range witnesses {
		checkNews(t, b, w, before[w.mailbox], c.messages(w.mailbox), visible, seen)
	}
	for _, text := range visible {
		if !seen[text] {
			t.Errorf("%s: no message with the text %q", b.addr, text)
		}
	}
}

// checkNews compares a mailbox before and after, and with what the client in IDLE was told.
func checkNews(t *testing.T, b *bridge, w *witness, before, after []message, visible []string, seen map[string]bool) {
	t.Helper()
	if len(after) < len(before) || fmt.Sprint(after[:len(before)]) != fmt.Sprint(before) {
		t.Errorf("%s: %s changed", b.addr, w.mailbox)
		return
	}
	for _, m := range after[len(before):] {
		i := slices.IndexFunc(visible, func(text string) bool { return strings.Contains(m.text(t), text) })
		if i < 0 {
			t.Errorf("%s: a client sees in %s:\n%s", b.addr, w.mailbox, m.Raw)
			continue
		}
		seen[visible[i]] = true
	}
	for _, event := range w.events() {
		if strings.HasSuffix(event, ": FETCH") && len(after) > len(before) {
			continue // another program has set a flag on what is new
		}
		var n int
		if _, err := fmt.Sscanf(strings.TrimPrefix(event, w.mailbox), ": %d EXISTS", &n); err != nil || n <= len(before) || n > len(after) {
			t.Errorf("%s: a client in IDLE saw %s", b.addr, event)
		}
	}
}

// consumed waits until at least n messages lie in the provider's Trash, and in its INBOX the
// ones that are for the user.
func consumed(t *testing.T, b *bridge, n, forUser int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d handshake messages in the provider's Trash", n), func() bool {
		inbox, err := b.bed.Messages(b.addr, "INBOX")
		if err != nil {
			t.Fatal(err)
		}
		trash, err := b.bed.Messages(b.addr, "Trash")
		return err == nil && len(inbox) == forUser && len(trash) >= n
	})
}

// handshake is one run of TestSecureJoin.
type handshake struct {
	version string // of the engine
	legacy  bool   // the older protocol
	group   bool
	invites bool // the bridge does, and not the engine
}

func (h handshake) String() string {
	name := h.version
	if h.legacy && h.version == peers.EngineVersion {
		name += " legacy"
	}
	return name + "/" + choose(h.group, "group", "contact") + "/" + choose(h.invites, "bridge invites", "engine invites")
}

func choose(cond bool, yes, no string) string {
	if cond {
		return yes
	}
	return no
}

func (h handshake) how() string { return choose(h.legacy, "securejoin", "securejoin-v3") }

// TestSecureJoin shakes hands with each Delta Chat, in both roles, for a contact and a group, by
// each protocol that the two have in common. No mail client sees any of it; afterwards both
// sides hold each other's key, and write to each other.
func TestSecureJoin(t *testing.T) {
	t.Parallel()
	for _, h := range handshakes() {
		t.Run(h.String(), func(t *testing.T) {
			t.Parallel()
			bed := peers.Start(t)
			b := newBridge(t, bed, "bridge")
			chat := peers.OldDeltaChat(t, h.version, bed, peers.Address("carol"), "Carol")
			switch {
			case !h.group && h.invites:
				h.bridgeInvitesContact(t, b, chat)
			case !h.group:
				h.engineInvitesContact(t, b, chat)
			case h.invites:
				h.bridgeInvitesGroup(t, b, chat)
			default:
				h.engineInvitesGroup(t, b, chat)
			}
		})
	}
}

func handshakes() (all []handshake) {
	for _, group := range []bool{false, true} {
		for _, invites := range []bool{false, true} {
			all = append(all,
				handshake{peers.EngineVersion, false, group, invites},
				handshake{peers.EngineVersion, true, group, invites},
				// An old engine joins a link with v=3 by its INVITENUMBER, and makes links without.
				handshake{peers.OldEngine, true, group, invites},
				handshake{peers.OldestEngine, true, group, invites})
		}
	}
	return all
}

// link makes the bridge's link. The present engine takes the older protocol only where the link
// offers no other.
func (h handshake) link(b *bridge, more ...string) string {
	b.t.Helper()
	args := append([]string{"invite"}, more...)
	if h.legacy && h.version == peers.EngineVersion {
		args = append(args, "--legacy")
	}
	var invite struct{ Link string }
	b.query(&invite, args...)
	return invite.Link
}

var offersV3 = regexp.MustCompile(`&v=3\b`)

// theirs gives a link of the engine, if need be without the offer of version 3.
func (h handshake) theirs(link string) string {
	if !h.legacy {
		return link
	}
	return offersV3.ReplaceAllString(link, "")
}

func (h handshake) bridgeInvitesContact(t *testing.T, b *bridge, chat *peers.Engine) {
	var there int
	silence(t, b, func() {
		mark := chat.Mark()
		there = chat.Join(h.link(b))
		chat.WaitJoined(mark)
		b.waitVerified(chat)
		consumed(t, b, 2, 0)
	})
	h.check(t, b, chat)
	connect(t, b, nil).find("Bridge", "Verified: "+chat.Addr)
	converse(t, b, chat, there, chat.Addr)
}

func (h handshake) engineInvitesContact(t *testing.T, b *bridge, chat *peers.Engine) {
	silence(t, b, func() {
		mark := chat.Mark()
		b.join(h.theirs(chat.Invite()))
		chat.WaitInvited(mark)
		consumed(t, b, 2, 0)
	})
	h.check(t, b, chat)
	converse(t, b, chat, chat.ChatWith(b.addr), chat.Addr)
}

func (h handshake) bridgeInvitesGroup(t *testing.T, b *bridge, chat *peers.Engine) {
	g := b.createGroup("Garden")
	var there int
	silence(t, b, func() {
		mark := chat.Mark()
		there = chat.Join(h.link(b, "--group", g.ID))
		chat.WaitJoined(mark)
		chat.WaitMembers(there, b.addr, chat.Addr)
		b.waitVerified(chat)
		consumed(t, b, 2, 0)
	})
	h.check(t, b, chat)
	sameMembers(t, b, g.ID, chat, there)
	converse(t, b, chat, there, g.Address)
	b.ok("group", "rename", g.ID, "Orchard")
	if renamed := chat.WaitChat("Orchard"); renamed != there {
		t.Errorf("the engine renamed chat %d and not %d", renamed, there)
	}
	chat.Leave(there)
	b.waitMembers(g.ID, b.addr)
	connect(t, b, nil).find("INBOX", "left the group")
}

func (h handshake) engineInvitesGroup(t *testing.T, b *bridge, chat *peers.Engine) {
	group := chat.CreateGroup("Garden")
	silence(t, b, func() {
		mark := chat.Mark()
		b.join(h.theirs(chat.ChatInvite(group)))
		chat.WaitInvited(mark)
		consumed(t, b, 1, 1)
	}, "You were added to the group “Garden” by")
	h.check(t, b, chat)
	g := b.group("Garden")
	sameMembers(t, b, g.ID, chat, group)
	converse(t, b, chat, group, g.Address)
	chat.Rename(group, "Orchard")
	eventually(t, "the bridge has heard of the new name", func() bool { return b.hasGroup("Orchard") })
	b.ok("group", "leave", g.ID)
	chat.WaitMembers(group, chat.Addr)
}

// join runs the joiner's side to its end.
func (b *bridge) join(link string) {
	b.t.Helper()
	if out, code := b.run(link+"\n", "join", "-", "--wait"); code != 0 {
		b.t.Fatalf("join: exit %d: %s", code, out)
	}
}

// waitVerified waits until the bridge has verified the engine's key.
func (b *bridge) waitVerified(chat *peers.Engine) {
	b.t.Helper()
	eventually(b.t, b.addr+" has verified "+chat.Addr, func() bool {
		c, ok := b.contact(chat.Addr)
		return ok && c.Verified && c.Fingerprint == chat.Fingerprint()
	})
}

// check compares what both sides hold after a handshake, and looks at what went over the wire.
func (h handshake) check(t *testing.T, b *bridge, chat *peers.Engine) {
	t.Helper()
	c, ok := b.contact(chat.Addr)
	if !ok || !c.Verified || c.VerifiedHow != h.how() || c.Fingerprint != chat.Fingerprint() {
		t.Errorf("contact %+v, not %s with the fingerprint %s", c, h.how(), chat.Fingerprint())
	}
	if got := chat.ContactFingerprint(b.addr); got != b.fingerprint() {
		t.Errorf("Delta Chat holds %s, the bridge is %s", got, b.fingerprint())
	}
	delivered, err := b.bed.Archive()
	if err != nil {
		t.Fatal(err)
	}
	plain := 0
	for _, d := range delivered {
		if d.From == d.To { // Delta Chat 1.160 keeps copies of what it sends
			continue
		}
		if bytes.Contains(d.Data, []byte("multipart/encrypted")) && !bytes.Contains(d.Data, []byte("Secure-Join")) {
			continue
		}
		if plain++; !bytes.Contains(d.Data, []byte("Secure-Join-Invitenumber: ")) {
			t.Errorf("a message of the handshake is in the clear:\n%s", d.Data)
		}
	}
	if want := map[bool]int{true: 1}[h.legacy]; plain != want {
		t.Errorf("%d messages were not encrypted, not %d", plain, want)
	}
}

func (b *bridge) fingerprint() string {
	b.t.Helper()
	var key struct{ Fingerprint string }
	b.query(&key, "key", "show")
	return key.Fingerprint
}

// converse sends a text each way. to is the address that the mail client writes to, of the contact
// or the group.
func converse(t *testing.T, b *bridge, chat *peers.Engine, there int, to string) {
	t.Helper()
	b.write(to, "Weather", "the rain has stopped 4718")
	if m := chat.WaitMessage("the rain has stopped 4718"); m.ChatID != there || !m.ShowPadlock || m.Sender.Address != b.addr {
		t.Errorf("the engine got %+v, and not in chat %d", m, there)
	}
	chat.SendText(there, "the sun is out 4719")
	c := connect(t, b, nil)
	m := c.find("INBOX", "the sun is out 4719")
	checkReceived(t, m, chat, to)
	// What answers goes the same way.
	reply := compose(b.addr, to, "Re: Weather", fmt.Sprintf("reply-%d@mailbridge.example", m.UID), "so we go out 4720",
		"In-Reply-To: "+m.header(t, "Message-ID"), "References: "+m.header(t, "Message-ID"))
	if err := b.send([]string{to}, reply); err != nil {
		t.Fatal(err)
	}
	if m := chat.WaitMessage("so we go out 4720"); m.ChatID != there || !m.ShowPadlock {
		t.Errorf("the engine got the reply %+v, and not in chat %d", m, there)
	}
}

// checkReceived looks at a message as the mail client has it. to is where an answer goes.
func checkReceived(t *testing.T, m message, from *peers.Engine, to string) {
	t.Helper()
	if got := m.header(t, "From"); !strings.Contains(got, from.Addr) {
		t.Errorf("From: %s", got)
	}
	if got := m.header(t, "Reply-To"); to != from.Addr && !strings.Contains(got, to) {
		t.Errorf("Reply-To: %q, not %s", got, to)
	}
	if got := m.header(t, "Mailbridge-Security"); !strings.HasPrefix(got, "encryption=openpgp; signature=good; signer="+from.Addr) || strings.Contains(got, "warning") {
		t.Errorf("Mailbridge-Security: %s", got)
	}
	if !m.has(imap.Flag("$Encrypted")) || !m.has(imap.Flag("$Verified")) {
		t.Errorf("flags %v", m.Flags)
	}
}

// write sends a mail of the bridge's user.
func (b *bridge) write(to, subject, text string) {
	b.t.Helper()
	id := fmt.Sprintf("%d@mailbridge.example", time.Now().UnixNano())
	if err := b.send([]string{to}, compose(b.addr, to, subject, id, text)); err != nil {
		b.t.Fatalf("mail to %s: %v", to, err)
	}
}
