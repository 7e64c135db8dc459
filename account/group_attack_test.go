package account_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mailbridge/account"
	"mailbridge/autocrypt"
	"mailbridge/internal/provider"
	"mailbridge/mailbox"
	"mailbridge/message"
	"mailbridge/pgp"
)

// said is a message of the group as somebody may write it who knows its id, with a free hand in
// every field. text is in its Message-ID, too.
type said struct {
	from string
	key  *pgp.Key
	to   []*person // whose names it bears; it is delivered to the first
	at   time.Time
	more string // further fields
	text string
}

func (w *world) say(s said) {
	w.Helper()
	g := s.to[0].group()
	var to []string
	for _, p := range s.to {
		to = append(to, p.addr)
	}
	if s.at.IsZero() {
		s.at = w.now()
	}
	id := strings.ReplaceAll(s.text, " ", "-") + "@attack"
	payload := fmt.Sprintf("From: %s\nTo: %s\nSubject: %s\nDate: %s\nMessage-ID: <%s>\nChat-Version: 1.0\nChat-Group-ID: %s\nChat-Group-Name: %s\n%s"+
		"Content-Type: text/plain; charset=\"utf-8\"; hp=\"cipher\"\n\n%s\n",
		s.from, strings.Join(to, ", "), g.Name, s.at.Format(time.RFC1123Z), id, g.ID, g.Name, s.more, s.text)
	w.deliver(s.to[0], w.encrypted(s.to[0], outerOf(s.from, `"hidden-recipients": ;`, id), crlf(payload)+"", s.key))
}

func (p *person) fpr() pgp.Fingerprint { return p.cert().Fingerprint() }

// removes are the fields of a message that removes somebody.
func removes(p *person) string {
	return fmt.Sprintf("Chat-Group-Member-Removed: %s\nChat-Group-Member-Removed-Fpr: %s\n", p.addr, p.fpr())
}

// shownOnly waits for a message and fails unless it is shown as a stranger's.
func (p *person) strange(text string) {
	p.w.Helper()
	m := p.wait(mailbox.Inbox, text)
	if !strings.Contains(m.header("Mailbridge-Security"), "warning=not-a-member") || strings.Contains(m.header("Reply-To"), "invalid") ||
		strings.Contains(string(m.raw), "was removed by") {
		p.w.Errorf("%s", m.raw)
	}
}

// TestAttackGroupByStrangers: changes count only from who is in the group, whatever he knows.
func TestAttackGroupByStrangers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	people := w.circle("alice", "bob", "carol", "dave")
	alice, bob, carol, dave := people[0], people[1], people[2], people[3]
	alice.change("remove", dave.addr)
	bob.wait(mailbox.Inbox, "was removed by Alice")
	mallory := w.newKey("mallory@evil.example")
	own := autocryptField("mallory@evil.example", mallory)

	lists := fmt.Sprintf("Chat-Group-Member-Fpr: %s %s\nChat-Group-Member-Timestamps: %d %d\n", bob.fpr(), mallory.Fingerprint(), w.now().Unix(), w.now().Unix())
	for text, s := range map[string]said{
		"stranger removes":    {from: "mallory@evil.example", key: mallory, more: own + removes(carol)},
		"stranger adds":       {from: "mallory@evil.example", key: mallory, more: own + "Chat-Group-Member-Added: mallory@evil.example\n" + lists},
		"stranger renames":    {from: "mallory@evil.example", key: mallory, more: own + "Chat-Group-Name-Changed: Book club\nChat-Group-Name-Timestamp: 99999999999\n"},
		"stranger as alice":   {from: alice.addr, key: mallory, more: own + removes(carol)},
		"nobody signed":       {from: alice.addr, more: removes(carol)},
		"who was removed":     {from: dave.addr, key: dave.SecretKey(), more: removes(carol)},
		"who was removed two": {from: dave.addr, key: dave.SecretKey(), more: fmt.Sprintf("Chat-Group-Member-Added: %s\nChat-Group-Member-Added-Fpr: %s\n", dave.addr, dave.fpr())},
	} {
		s.text, s.to = text, []*person{bob, carol}
		w.say(s)
		bob.strange(text)
	}
	w.agree("alice bob carol", bob)
	if g := bob.group(); g.Name != "Book club" {
		t.Errorf("renamed to %q", g.Name)
	}
	// Nobody is told by them that the group has changed.
	bob.write("still here")
	alice.wait(mailbox.Inbox, "still here")
	for _, s := range w.provider.Submissions() {
		for _, to := range s.To {
			if strings.Contains(to, "evil") || to == dave.addr && strings.Contains(string(s.Data), "still-here") {
				t.Errorf("sent to %s", to)
			}
		}
	}
}

// TestAttackGroupOutOfNothing: a stranger puts nobody into a group, and a verified contact does.
func TestAttackGroupOutOfNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	w.shake(alice, bob)
	mallory := w.newKey("mallory@evil.example")
	say := func(from string, key *pgp.Key, text, more string) {
		payload := fmt.Sprintf("From: %s\nTo: %s\nDate: %s\nMessage-ID: <%s@attack>\nChat-Version: 1.0\nChat-Group-ID: GroupGroupGroup1\nChat-Group-Name: Trap\n"+
			"Chat-Group-Member-Fpr: %s\n%sContent-Type: text/plain; hp=\"cipher\"\n\n%s\n", from, bob.addr, w.now().Format(time.RFC1123Z), text, bob.fpr(), more, text)
		w.deliver(bob, w.encrypted(bob, outerOf(from, `"hidden-recipients": ;`, text+"@attack"), crlf(payload), key))
	}
	say("mallory@evil.example", mallory, "by-mallory", autocryptField("mallory@evil.example", mallory))
	say(alice.addr, mallory, "as-alice", autocryptField(alice.addr, mallory))
	for _, text := range []string{"by-mallory", "as-alice"} {
		bob.strange(text)
	}
	ctx := context.Background()
	if _, err := bob.BlockContact(ctx, alice.addr, true); err != nil {
		t.Fatal(err)
	}
	say(alice.addr, alice.SecretKey(), "by-alice-who-is-blocked", "")
	bob.strange("by-alice-who-is-blocked")
	if groups, err := bob.Groups(ctx); err != nil || len(groups) != 0 {
		t.Errorf("%+v, %v", groups, err)
	}
	if _, err := bob.BlockContact(ctx, alice.addr, false); err != nil {
		t.Fatal(err)
	}
	say(alice.addr, alice.SecretKey(), "by-nobody-else", "")
	m := bob.wait(mailbox.Inbox, "by-nobody-else")
	if strings.Contains(string(m.raw), "not-a-member") || addresses(m.header("Reply-To"))[0] != bob.group().Address || bob.members() != "alice bob" {
		t.Errorf("%s", m.raw)
	}
	if refs := m.header("Subject"); strings.Contains(refs, "Trap") {
		t.Errorf("a person's message is shown as another: %s", m.raw)
	}
	bob.wait("Bridge", bob.group().Address)
}

// TestReplayedGroupMessages: what is sent again, or comes late, changes nothing and is not shown
// twice if it is about a change.
func TestReplayedGroupMessages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	people := w.circle("alice", "bob", "carol")
	alice, bob, carol := people[0], people[1], people[2]
	w.advance(time.Minute)
	alice.change("remove", carol.addr)
	bob.wait(mailbox.Inbox, carol.title()+" was removed by Alice")
	removal := bob.upstream("INBOX")
	w.advance(time.Minute)
	alice.change("add", carol.addr)
	w.agree("alice bob carol", alice, bob, carol)

	for _, m := range removal {
		w.deliver(bob, append([]byte("Received: again\r\n"), m.Data...))
	}
	w.deliver(bob, []byte(crlf(outerOf("x@example.net", bob.addr, "last@x")+"\nthe last\n")))
	bob.wait(mailbox.Inbox, "the last")
	w.agree("alice bob carol", bob)
	if n := bob.count(mailbox.Inbox, "carol@example.org) was removed by Alice"); n != 1 {
		t.Errorf("the removal is shown %d times", n)
	}
	if n := bob.count(mailbox.Inbox, "You were added to the group"); n != 1 {
		t.Errorf("we are added %d times", n)
	}
	bob.want(mailbox.Inbox, "about a change of the group that does not hold", 1)
	// The list of a message that does not fit its times is nobody's list.
	now := w.now().Unix()
	w.say(said{from: alice.addr, key: alice.SecretKey(), to: []*person{bob}, text: "wrong times",
		more: fmt.Sprintf("Chat-Group-Member-Fpr: %s\nChat-Group-Past-Members: %s\nChat-Group-Member-Timestamps: %d\n", bob.fpr(), carol.addr, now+1)})
	m := bob.wait(mailbox.Inbox, "wrong times")
	if strings.Contains(string(m.raw), "not-a-member") || bob.members() != "alice bob carol" {
		t.Errorf("%s knows %s", bob.addr, bob.members())
	}
}

// TestReplayedEndOfAJoin: what ended a join does not end the next one, which waits for the
// inviter's approval.
func TestReplayedEndOfAJoin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	ctx := context.Background()
	alice, bob := w.add("alice"), w.add("bob")
	g, err := alice.CreateGroup(ctx, "Book club")
	if err != nil {
		t.Fatal(err)
	}
	join := func(o account.InviteOptions) account.Join {
		o.Group = g.ID
		invite, _ := alice.invite(o)
		j, err := bob.Join(ctx, invite.Link, account.JoinOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return j
	}
	if j, err := bob.WaitJoin(ctx, join(account.InviteOptions{}).ID); err != nil || j.State != account.JoinCompleted {
		t.Fatalf("%+v, %v", j, err)
	}
	bob.wait(mailbox.Inbox, "You were added to the group")
	before := bob.upstream("INBOX")
	w.advance(time.Minute)
	bob.change("leave", "")
	alice.wait(mailbox.Inbox, "left the group")
	join(account.InviteOptions{Ask: true})
	alice.wait(mailbox.Bridge, "Somebody asks to join")

	for _, m := range before {
		w.deliver(bob, append([]byte("Received: again\r\n"), m.Data...))
	}
	w.deliver(bob, []byte(crlf(outerOf("x@example.net", bob.addr, "last@x")+"\nthe last\n")))
	bob.wait(mailbox.Inbox, "the last")
	if g := bob.group(); g.Member {
		t.Errorf("%+v", g)
	}
}

// TestMemberWithAnotherKey: a member is who has the key, and that it is not the one of the verified
// contact of the same address is told; neither gets the other's mail.
func TestMemberWithAnotherKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	people := w.circle("alice", "bob", "carol")
	alice, bob, carol := people[0], people[1], people[2]
	second := w.newKey(bob.addr)
	now := w.now().Unix()
	w.say(said{from: carol.addr, key: carol.SecretKey(), to: []*person{alice, bob}, text: "adds a second bob", more: fmt.Sprintf(
		"Chat-Group-Member-Added: %s\nChat-Group-Member-Added-Fpr: %s\nChat-Group-Member-Fpr: %s %s\nChat-Group-Member-Timestamps: %d %d\nAutocrypt-Gossip: %s\n",
		bob.addr, second.Fingerprint(), alice.fpr(), second.Fingerprint(), now, now, autocrypt.Header{Addr: bob.addr, Cert: second.Cert()}.GossipValue())})
	alice.wait(mailbox.Inbox, "bob@example.org was added by "+carol.title())
	n := alice.wait("Bridge", "with another key than the one that you have verified")
	for _, fpr := range []pgp.Fingerprint{bob.fpr(), second.Fingerprint()} {
		if !strings.Contains(string(n.raw), string(fpr)) {
			t.Errorf("%s", n.raw)
		}
		if !slices.ContainsFunc(alice.group().Members, func(m account.Member) bool { return m.Address == bob.addr && m.Fingerprint == fpr }) {
			t.Errorf("%+v", alice.group().Members)
		}
	}
	if c, err := alice.Contact(context.Background(), bob.addr); err != nil || c.Fingerprint != bob.fpr() || !c.Verified {
		t.Errorf("%+v, %v", c, err)
	}
	alice.write("to both bobs")
	bob.wait(mailbox.Inbox, "to both bobs")
	readAs(t, bob.upstream(mailbox.Inbox), second, alice.cert(), "to-both-bobs")
	alice.submit([]string{bob.addr}, "From: "+alice.addr+"\nTo: "+bob.addr+"\nMessage-ID: <to-one@client>\nSubject: x\n\nto one bob\n")
	bob.wait(mailbox.Inbox, "to one bob")
	for _, m := range bob.upstream(mailbox.Inbox) {
		ciphertext, _, ok := pgp.SplitEncrypted(m.Data, message.Parse(m.Data))
		if !ok || !strings.Contains(string(m.Data), "to-one@client") {
			continue
		}
		if _, err := pgp.Open(ciphertext, pgp.OpenOptions{Keys: []*pgp.Key{second}, Now: w.now(), MaxSize: 1 << 20}); err == nil {
			t.Error("the contact's mail is encrypted to the member's key")
		}
	}
	// Whom the second one adds has a key for us, too, though his is not the contact's.
	w.provider.AddUser("dave@example.org", "pw")
	dave := w.newKey("dave@example.org")
	w.say(said{from: bob.addr, key: second, to: []*person{alice}, text: "adds dave", more: fmt.Sprintf(
		"Cc: dave@example.org\nChat-Group-Member-Added: dave@example.org\nChat-Group-Member-Added-Fpr: %s\nAutocrypt-Gossip: %s\n",
		dave.Fingerprint(), autocrypt.Header{Addr: "dave@example.org", Cert: dave.Cert()}.GossipValue())})
	alice.wait(mailbox.Inbox, "dave@example.org was added by")
	alice.write("to dave as well")
	readAs(t, w.provider.Messages("dave@example.org", mailbox.Inbox), dave, alice.cert(), "to-dave-as-well")
	alice.change("remove", "dave@example.org")
	// Both go when the address is removed.
	alice.change("remove", bob.addr)
	w.agree("alice carol", alice, carol)
}

// TestGroupOfAnotherDevice: what another device with our key does in a group is known here, and its
// words are our own.
func TestGroupOfAnotherDevice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	people := w.circle("alice", "bob", "carol")
	alice, bob, carol := people[0], people[1], people[2]
	own := said{from: alice.addr, key: alice.SecretKey(), to: []*person{alice, bob}}
	own.text = "words from the phone"
	w.say(own)
	m := alice.wait(mailbox.Inbox, own.text)
	if m.header("Mailbridge-Security") != "" || addresses(m.header("Reply-To"))[0] != alice.group().Address {
		t.Errorf("%s", m.raw)
	}
	own.text, own.more = "removes by the phone", removes(carol)
	w.say(own)
	alice.wait(mailbox.Inbox, "You removed "+carol.title())
	w.agree("alice bob", alice)
	// Out of the group for one of us is out for all, until the other is in again.
	w.advance(time.Minute)
	alice.change("leave", "")
	own.text, own.more, own.at = "from before", "", w.now().Add(-30*time.Second)
	w.say(own)
	alice.wait(mailbox.Inbox, own.text)
	if alice.group().Member {
		t.Error("an old message leads back")
	}
	own.text, own.at = "joined by the phone", w.now().Add(30*time.Second)
	w.advance(time.Minute)
	w.say(own)
	alice.wait(mailbox.Inbox, own.text)
	if !alice.group().Member {
		t.Errorf("%+v", alice.group())
	}
}
