package account_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mailbridge/account"
	"mailbridge/internal/provider"
	"mailbridge/internal/vectors"
	"mailbridge/mailbox"
	"mailbridge/message"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// inviteTo makes an invite to the one group that a person knows.
func (p *person) inviteTo(o account.InviteOptions) account.Invite {
	p.w.Helper()
	o.Group = p.group().Address
	i, err := p.Invite(context.Background(), o)
	if err != nil {
		p.w.Fatal(err)
	}
	return i
}

// joins follows a link and waits for the end of it.
func (p *person) joins(link string) {
	p.w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	j, err := p.Join(ctx, link, account.JoinOptions{})
	if err != nil {
		p.w.Fatal(err)
	}
	if j, err = p.WaitJoin(ctx, j.ID); err != nil || j.State != account.JoinCompleted {
		p.w.Fatalf("%s: join: %+v, %v", p.addr, j, err)
	}
}

// TestJoinGroup: strangers join by the links of different members, by both protocols.
func TestJoinGroup(t *testing.T) {
	t.Parallel()
	for _, legacy := range []bool{false, true} {
		t.Run(fmt.Sprintf("legacy=%v", legacy), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, provider.Options{})
			alice, bob, carol := w.add("alice"), w.add("bob"), w.add("carol")
			if _, err := alice.CreateGroup(context.Background(), "Book club"); err != nil {
				t.Fatal(err)
			}
			bob.joins(alice.inviteTo(account.InviteOptions{Legacy: legacy}).Link)
			bob.wait(mailbox.Inbox, "You were added to the group “Book club” by Alice")
			carol.joins(bob.inviteTo(account.InviteOptions{Legacy: legacy}).Link)
			carol.wait(mailbox.Inbox, "You were added to the group “Book club” by Bob")
			added := alice.wait(mailbox.Inbox, carol.title()+" was added by "+bob.title())
			w.agree("alice bob carol", alice, bob, carol)
			if _, err := alice.answer(added, "welcome carol", false); err != nil {
				t.Fatal(err)
			}
			m := carol.wait(mailbox.Inbox, "welcome carol")
			bob.wait(mailbox.Inbox, "welcome carol")
			// Carol has never met Alice, whose key she has by Bob.
			if _, err := carol.answer(m, "thanks all", true); err != nil {
				t.Fatal(err)
			}
			alice.wait(mailbox.Inbox, "thanks all")
			bob.wait(mailbox.Inbox, "thanks all")
			// Nothing else is seen of the handshakes.
			for p, want := range map[*person]int{alice: 2, bob: 3, carol: 2} {
				if list := p.read(mailbox.Inbox); len(list) != want {
					t.Errorf("%s sees %d messages", p.addr, len(list))
				}
			}
		})
	}
}

// states are the states of a person's invites, newest first.
func (p *person) states() string {
	p.w.Helper()
	list, err := p.Invites(context.Background())
	if err != nil {
		p.w.Fatal(err)
	}
	var states []string
	for _, i := range list {
		states = append(states, i.State)
	}
	return strings.Join(states, " ")
}

// TestGroupInvitesEnd: when somebody goes, the links of all members end, and who was removed comes
// back only with approval.
func TestGroupInvitesEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	ctx := context.Background()
	alice, bob, carol := w.add("alice"), w.add("bob"), w.add("carol")
	if _, err := alice.CreateGroup(ctx, "Book club"); err != nil {
		t.Fatal(err)
	}
	link := alice.inviteTo(account.InviteOptions{}).Link
	bob.joins(link)
	carol.joins(link)
	w.agree("alice bob carol", alice, bob, carol)
	bobs := bob.inviteTo(account.InviteOptions{}).Link

	alice.change("remove", carol.addr)
	if s := alice.states(); s != "revoked" {
		t.Errorf("alice's invites: %s", s)
	}
	carol.wait(mailbox.Inbox, "You were removed by "+alice.title())
	bob.wait(mailbox.Inbox, carol.title()+" was removed by")
	if s := bob.states(); s != "revoked" {
		t.Errorf("bob's invites: %s", s)
	}
	for _, old := range []string{link, bobs} {
		if _, err := carol.Join(ctx, old, account.JoinOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	alice.wait("Bridge", "tried to join")
	bob.wait("Bridge", "tried to join")
	w.agree("alice bob", alice, bob)

	// By a new link of Bob's, who did not remove her, she waits all the same.
	i := bob.inviteTo(account.InviteOptions{})
	j, err := carol.Join(ctx, i.Link, account.JoinOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.eventually("carol waits for bob", func() bool {
		list, err := bob.Invites(ctx)
		return err == nil && len(list[0].Asking) == 1 && list[0].Asking[0].Address == carol.addr
	})
	w.agree("alice bob", alice, bob)
	if _, err := bob.AcceptJoiner(ctx, i.ID, ""); err != nil {
		t.Fatal(err)
	}
	if j, err = carol.WaitJoin(ctx, j.ID); err != nil || j.State != account.JoinCompleted {
		t.Errorf("%+v, %v", j, err)
	}
	w.agree("alice bob carol", alice, bob, carol)

	// Who leaves ends the links of all, too, and comes back by a new one as anybody else.
	bob.change("leave", "")
	if s := bob.states(); s != "revoked revoked" {
		t.Errorf("bob's invites: %s", s)
	}
	if _, err := bob.Invite(ctx, account.InviteOptions{Group: bob.group().ID}); !isBadData(err) {
		t.Errorf("an invite to a group that was left: %v", err)
	}
	alice.wait(mailbox.Inbox, bob.title()+" left the group.")
	bob.joins(alice.inviteTo(account.InviteOptions{}).Link)
	w.agree("alice bob carol", alice, bob, carol)
	bob.write("back again")
	carol.wait(mailbox.Inbox, "back again")
}

// TestGroupRestarts: nothing is lost when a bridge ends between two steps.
func TestGroupRestarts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	ctx := context.Background()
	alice, bob, carol := w.add("alice"), w.add("bob"), w.add("carol")
	if _, err := alice.CreateGroup(ctx, "Book club"); err != nil {
		t.Fatal(err)
	}
	link := alice.inviteTo(account.InviteOptions{}).Link
	alice.end()
	if _, err := bob.Join(ctx, link, account.JoinOptions{}); err != nil {
		t.Fatal(err)
	}
	bob.restart()
	alice.open()
	bob.wait(mailbox.Inbox, "You were added to the group")
	carol.joins(bob.inviteTo(account.InviteOptions{}).Link)
	// Two members change the group at the same time, while none hears of the other.
	alice.end()
	bob.change("rename", "Reading club")
	carol.change("leave", "")
	bob.end()
	alice.open()
	alice.wait(mailbox.Inbox, "left the group")
	bob.open()
	w.agree("alice bob", alice, bob)
	for _, p := range []*person{alice, bob} {
		w.eventually("the name is known", func() bool { return p.group().Name == "Reading club" })
		if n := p.count(mailbox.Inbox, "left the group"); n != 1 {
			t.Errorf("%s sees it %d times", p.addr, n)
		}
	}
}

// TestConcurrentChanges: two change the same at once, and all agree in the end.
func TestConcurrentChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	people := w.circle("alice", "bob", "carol", "dave")
	alice, bob, carol, dave := people[0], people[1], people[2], people[3]
	carol.end()
	dave.end()
	alice.change("remove", dave.addr)
	bob.change("rename", "By Bob")
	alice.change("rename", "By Alice")
	bob.change("remove", carol.addr)
	carol.open()
	dave.open()
	w.agree("alice bob", alice, bob)
	for _, p := range []*person{carol, dave} {
		w.eventually(p.addr+" is out", func() bool { return !p.group().Member })
	}
	w.eventually("both have one name", func() bool { return alice.group().Name == bob.group().Name })
}

// TestJoinDeltaChatGroup plays what Delta Chat 2.62 sent when somebody joined its group: all of it
// is understood, and what we answer it understands.
func TestJoinDeltaChatGroup(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	s := vectors.Get(t, "v3-group")
	recorded := time.Date(2026, 11, 21, 2, 41, 30, 0, time.UTC)
	w.advance(time.Until(recorded))
	bob := w.add("bob")
	for _, name := range []string{"alice", "charlie"} {
		w.provider.AddUser(s.Users[name].Addr, "pw")
	}
	ctx := context.Background()
	if _, err := bob.ImportKey(ctx, s.Users["bob"].Key, nil); err != nil {
		t.Fatal(err)
	}
	j, err := bob.Join(ctx, s.Invites[0].Link, account.JoinOptions{})
	if err != nil {
		t.Fatal(err)
	}
	play := func(files ...string) {
		for _, f := range files {
			w.deliver(bob, s.Message(t, f+".eml").Raw)
		}
	}
	play("02-alice-bob")
	w.eventually("bob has answered", func() bool {
		return slices.ContainsFunc(w.provider.Submissions(), func(sub provider.Submission) bool { return sub.User == bob.addr })
	})
	play("04-alice-bob", "05-alice-bob", "10-alice-bob", "13-charlie-bob")
	if j, err = bob.WaitJoin(ctx, j.ID); err != nil || j.State != account.JoinCompleted {
		t.Fatalf("%+v, %v", j, err)
	}
	for _, text := range []string{"You were added to the group “Garden group” by Alice", "welcome bob", "Charlie (charlie@example.org) was added by Alice", "charlie is here"} {
		m := bob.wait(mailbox.Inbox, text)
		if addresses(m.header("Reply-To"))[0] != bob.group().Address || strings.Contains(string(m.raw), "not-a-member") {
			t.Errorf("%s", m.raw)
		}
	}
	w.agree("alice bob charlie", bob)

	if _, err := bob.answer(bob.wait(mailbox.Inbox, "charlie is here"), "hello garden", false); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"alice", "charlie"} {
		key, err := pgp.ImportKey(s.Users[name].Key, nil, recorded)
		if err != nil {
			t.Fatal(err)
		}
		g := readAs(t, w.provider.Messages(s.Users[name].Addr, mailbox.Inbox), key, bob.cert(), "hello-garden")
		if g.ID != "CXpP6r5kxAG5nMsTfv5VxP_R" || g.Name != "Garden group" || !g.Chat || len(g.To) != 2 || len(g.Times) != 2 ||
			slices.ContainsFunc(g.To, func(l securejoin.Listed) bool { return l.Key == "" }) {
			t.Errorf("%+v", g)
		}
	}
}

// readAs reads a group message that somebody with another program was sent.
func readAs(t *testing.T, list []provider.Message, key *pgp.Key, from *pgp.Cert, id string) securejoin.GroupMessage {
	t.Helper()
	for _, m := range list {
		outer, _ := message.ParseHeader(m.Data)
		if !strings.Contains(outer.Get("Message-ID"), id) {
			continue
		}
		ciphertext, _, _ := pgp.SplitEncrypted(m.Data, message.Parse(m.Data))
		opened, err := pgp.Open(ciphertext, pgp.OpenOptions{Keys: []*pgp.Key{key}, Now: time.Now(), MaxSize: 1 << 20,
			Certs: func([]byte, []pgp.Fingerprint) []*pgp.Cert { return []*pgp.Cert{from} }})
		if err != nil || opened.Signature.Signer != from.Fingerprint() || !opened.IntendedForUs {
			t.Fatalf("%+v, %v", opened, err)
		}
		inner, _ := message.ParseHeader(opened.Payload)
		g, _ := securejoin.ReadGroup(inner, opened.Signature.Signer, nil, time.Now())
		return g
	}
	t.Fatalf("nothing was sent with %s", id)
	return securejoin.GroupMessage{}
}
