package account_test

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"mailbridge/account"
	"mailbridge/autocrypt"
	"mailbridge/internal/provider"
	"mailbridge/mailbox"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// The tests in this file are about what comes late, or again, and about what was to go out before
// the user decided otherwise.

// TestAttackLateSync: a link of another device that is told of late, and was made before somebody
// went, leads nobody into the group; one that was made after does.
func TestAttackLateSync(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	people := w.circle("alice", "bob", "carol")
	alice, bob, carol := people[0], people[1], people[2]
	phone := w.app(alice)
	g := alice.group()
	made := func() (securejoin.Invite, securejoin.SyncItem) {
		i, err := securejoin.NewInvite(rand.Reader, w.now(), securejoin.InviteOptions{Kind: securejoin.Group, GroupID: g.ID, Shared: true})
		if err != nil {
			t.Fatal(err)
		}
		item := phone.add(i)
		item.GroupID = g.ID
		return i, item
	}
	before, told := made()
	w.advance(time.Minute)
	bob.change("leave", "")
	w.agree("alice carol", alice, carol)
	w.advance(time.Minute)
	phone.sync(told)
	w.settled(alice)
	if s := alice.linksTo("group"); s != "revoked" {
		t.Errorf("links: %s", s)
	}
	bob.joinsLink(before.GroupLink(phone.self(), g.Name).String(), account.JoinPending)
	alice.wait(mailbox.Bridge, "tried to join")
	w.agree("alice carol", alice, carol)
	after, told := made()
	phone.sync(told)
	w.eventually("the new one is known", func() bool { return alice.linksTo("group") == "live revoked" })
	bob.joinsLink(after.GroupLink(phone.self(), g.Name).String(), account.JoinCompleted)
	w.agree("alice bob carol", alice, carol)
}

// linksTo are the states of the invites of a kind.
func (p *person) linksTo(kind string) string {
	p.w.Helper()
	list, err := p.Invites(context.Background())
	if err != nil {
		p.w.Fatal(err)
	}
	var states []string
	for _, i := range list {
		if i.Kind == kind {
			states = append(states, i.State)
		}
	}
	return strings.Join(states, " ")
}

// TestAttackRemovedByTheOtherDevice: when another device of ours removes somebody, our links end,
// and whom it removed we take in only if the user says so.
func TestAttackRemovedByTheOtherDevice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	ctx := t.Context()
	people := w.circle("alice", "bob", "carol")
	alice, carol := people[0], people[2]
	alice.inviteTo(account.InviteOptions{})
	w.advance(time.Minute)
	w.say(said{from: alice.addr, key: alice.SecretKey(), to: []*person{alice}, text: "removed by the phone", more: removes(carol)})
	alice.wait(mailbox.Inbox, "You removed "+carol.title())
	if s := alice.linksTo("group"); s != "revoked" {
		t.Errorf("links: %s", s)
	}
	if _, err := carol.LeaveGroup(ctx, carol.group().ID); err != nil { // too late: she was removed
		t.Fatal(err)
	}
	i := alice.inviteTo(account.InviteOptions{})
	carol.joinsLink(i.Link, account.JoinPending)
	alice.wait(mailbox.Bridge, carol.addr+" asks to join the group")
	w.agree("alice bob", alice)
}

// TestAttackCancelledJoinOfGroup: a join that was cancelled takes us in neither by its late end, nor
// by the mail of those who believe us in, though the inviter is a verified contact by then; who
// takes us in by hand does.
func TestAttackCancelledJoinOfGroup(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	ctx := t.Context()
	bob, ivy := w.add("bob"), w.stranger("ivy")
	link := ivy.links()["group"]
	j := bob.follow(link)
	ivy.send(bob, pubkey(link))
	if _, err := bob.CancelJoin(ctx, j.ID); err != nil {
		t.Fatal(err)
	}
	if c := bob.contact(ivy.addr); !c.Verified {
		t.Fatalf("%+v", c)
	}
	text := func(s string) twist { return edit("Member "+bob.addr+" was added.", s) }
	w.deliver(bob, ivy.memberAdded(bob, link, text("the late end")))
	w.deliver(bob, ivy.memberAdded(bob, link, text("an ordinary letter"), without(securejoin.FieldStep), without(securejoin.FieldAdded), without(securejoin.FieldAddedKey)))
	for _, s := range []string{"the late end", "an ordinary letter"} {
		if m := bob.wait(mailbox.Inbox, s); !slices.Contains(securityOf(m).Warnings, "not-a-member") || m.header("Reply-To") != "" {
			t.Errorf("%s", m.raw)
		}
	}
	if groups, err := bob.Groups(ctx); err != nil || len(groups) != 0 {
		t.Errorf("%+v, %v", groups, err)
	}
	w.deliver(bob, ivy.memberAdded(bob, link, without(securejoin.FieldStep)))
	bob.wait(mailbox.Inbox, "You were added to the group “Book club” by")

	// The same for a group that we have left.
	w.advance(time.Minute)
	bob.change("leave", "")
	w.advance(time.Minute)
	j = bob.follow(link)
	ivy.send(bob, pubkey(link))
	if _, err := bob.CancelJoin(ctx, j.ID); err != nil {
		t.Fatal(err)
	}
	w.deliver(bob, ivy.memberAdded(bob, link, text("late again"), edit("Member-Added: "+bob.addr, "Member-Added:  "+bob.addr)))
	bob.synced()
	if bob.group().Member {
		t.Errorf("%+v", bob.group())
	}
	// Another join leads in.
	j = bob.follow(link)
	ivy.send(bob, pubkey(link))
	w.deliver(bob, ivy.memberAdded(bob, link))
	if j, err := bob.WaitJoin(ctx, j.ID); err != nil || j.State != account.JoinCompleted || !bob.group().Member {
		t.Errorf("%+v, %v", j, err)
	}
}

// TestAttackForgottenReplay: when it is not known any more that a step was taken, or a join
// cancelled, what is sent again has no effect all the same.
func TestAttackForgottenReplay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob, ivy := w.add("alice"), w.add("bob"), w.stranger("ivy")
	channel := alice.createChannel("News")
	w.subscribe(alice, channel.ID, bob)
	steps := w.provider.Submissions()
	if _, err := bob.LeaveChannel(t.Context(), channel.ID); err != nil {
		t.Fatal(err)
	}
	w.eventually("he is out", func() bool { return len(alice.subscribers()) == 0 })
	if _, err := alice.ResetContact(t.Context(), bob.addr); err != nil {
		t.Fatal(err)
	}
	link := ivy.links()["group"]
	j := bob.follow(link)
	ivy.send(bob, pubkey(link))
	if _, err := bob.CancelJoin(t.Context(), j.ID); err != nil {
		t.Fatal(err)
	}
	end := ivy.memberAdded(bob, link)
	for range 3 {
		w.advance(200 * 24 * time.Hour)
		alice.restart()
		bob.restart()
		alice.tidied()
		bob.tidied()
	}
	before := len(w.provider.Submissions())
	for _, s := range steps {
		for _, to := range s.To {
			if err := w.provider.Deliver(to, again(s.Data)); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.deliver(bob, end)
	alice.synced()
	bob.synced()
	if c := alice.contact(bob.addr); len(alice.subscribers()) != 0 || c.Verified || bob.channel().Open || len(w.provider.Submissions()) != before {
		t.Errorf("%v, %+v, %+v, %d messages", alice.subscribers(), c, bob.channel(), len(w.provider.Submissions())-before)
	}
	if groups, err := bob.Groups(t.Context()); err != nil || len(groups) != 0 {
		t.Errorf("%+v, %v", groups, err)
	}
}

// TestAttackSecondEndOfAJoin: of two messages that end a join the second does not end the next one,
// which waits for the inviter's approval.
func TestAttackSecondEndOfAJoin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	ctx := t.Context()
	bob, ivy := w.add("bob"), w.stranger("ivy")
	link := ivy.links()["group"]
	j := bob.follow(link)
	ivy.send(bob, pubkey(link))
	second := ivy.memberAdded(bob, link)
	w.deliver(bob, ivy.memberAdded(bob, link))
	w.deliver(bob, second)
	if j, err := bob.WaitJoin(ctx, j.ID); err != nil || j.State != account.JoinCompleted {
		t.Fatalf("%+v, %v", j, err)
	}
	bob.synced()
	w.advance(time.Minute)
	bob.change("leave", "")
	next := ivy.link()
	next.Kind, next.GroupID, next.GroupName = link.Kind, link.GroupID, link.GroupName
	j = bob.follow(next)
	ivy.send(bob, pubkey(next))
	w.deliver(bob, again(second))
	bob.synced()
	if s := bob.state(j.ID); s.State != account.JoinPending || bob.group().Member {
		t.Errorf("%+v, %+v", s, bob.group())
	}
}

// TestAttackOwnLetterAgain: a letter of ours into a group that we left since, which somebody sends
// back to us, does not lead in again, whatever date the client gave it.
func TestAttackOwnLetterAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	people := w.circle("alice", "bob")
	alice, bob := people[0], people[1]
	addr := alice.group().Address
	alice.submit([]string{addr}, fmt.Sprintf("From: %s\nTo: %s\nSubject: x\nDate: %s\nMessage-ID: <early@client>\n\nthe letter\n",
		alice.addr, addr, w.now().Add(time.Hour).Format(time.RFC1123Z)))
	bob.wait(mailbox.Inbox, "the letter")
	var letter []byte
	for _, m := range bob.upstream(mailbox.Inbox) {
		if strings.Contains(string(m.Data), "early@client") {
			letter = m.Data
		}
	}
	alice.change("leave", "")
	w.advance(2 * time.Hour)
	w.deliver(alice, again(letter))
	alice.synced()
	alice.wait(mailbox.Inbox, "the letter")
	if alice.group().Member {
		t.Errorf("%+v", alice.group())
	}
}

// TestAttackAnswersThatWait: an answer that was put off is not sent once its invite was revoked or
// its joiner blocked.
func TestAttackAnswersThatWait(t *testing.T) {
	t.Parallel()
	for name, decide := range map[string]func(alice *person, invite account.Invite, eve *stranger) error{
		"revoked": func(alice *person, invite account.Invite, _ *stranger) error {
			return second(alice.RevokeInvite(context.Background(), invite.ID))
		},
		"blocked": func(alice *person, _ account.Invite, eve *stranger) error {
			return second(alice.BlockContact(context.Background(), eve.addr, true))
		},
		"another key": func(alice *person, _ account.Invite, _ *stranger) error {
			return second(alice.ImportKey(context.Background(), []byte(alice.w.fromApp(alice.addr).Armor()), nil))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, provider.Options{})
			alice, eve := w.add("alice"), w.stranger("eve")
			invite, link := alice.invite(account.InviteOptions{})
			for range securejoin.AnswersPerAddress + 1 {
				eve.send(alice, requestPubkey(link))
			}
			w.eventually("the first are sent", func() bool { return len(eve.ids()) == securejoin.AnswersPerAddress })
			if n := alice.State(t.Context()).Queued; n != 1 {
				t.Fatalf("%d wait", n)
			}
			if err := decide(alice, invite, eve); err != nil {
				t.Fatal(err)
			}
			w.advance(2 * time.Hour)
			alice.tidied()
			alice.sent()
			if n := len(eve.ids()); n != securejoin.AnswersPerAddress {
				t.Errorf("%d answers", n)
			}
		})
	}
}

// TestLateConfirmation: who has joined is told so, though the invite was revoked meanwhile.
func TestLateConfirmation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.stranger("bob")
	invite, link := alice.invite(account.InviteOptions{})
	bob.join(alice, link)
	for range securejoin.AnswersPerAddress {
		bob.send(alice, withAuth(link))
	}
	w.eventually("the first are sent", func() bool { return len(bob.ids()) == securejoin.AnswersPerAddress })
	if _, err := alice.RevokeInvite(t.Context(), invite.ID); err != nil {
		t.Fatal(err)
	}
	w.advance(2 * time.Hour)
	alice.tidied()
	alice.sent()
	if n := len(bob.ids()); n <= securejoin.AnswersPerAddress {
		t.Errorf("%d answers: what waited is lost", n)
	}
}

// TestAttackBlockedUnderAnotherAddress: who is blocked joins nothing with the same key from another
// address.
func TestAttackBlockedUnderAnotherAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.stranger("bob")
	_, link := alice.invite(account.InviteOptions{})
	bob.join(alice, link)
	if _, err := alice.BlockContact(t.Context(), bob.addr, true); err != nil {
		t.Fatal(err)
	}
	other := w.stranger("bobby")
	other.key = bob.key
	other.send(alice, requestPubkey(link)) // who sends it is not known yet
	before := len(other.ids())
	other.send(alice, withAuth(link))
	alice.sent()
	_, old := alice.invite(account.InviteOptions{Legacy: true})
	other.send(alice, plainRequest(old))
	other.send(alice, withAuth(old))
	alice.sent()
	if c := alice.contact(other.addr); c.Verified || len(other.ids()) != before {
		t.Errorf("%+v, %d answers", c, len(other.ids())-before)
	}
	own := other.link()
	if _, err := alice.Join(t.Context(), own.String(), account.JoinOptions{}); !isBadData(err) {
		t.Errorf("joined the link of who is blocked: %v", err)
	}
}

// TestAttackAddressOfMember: who holds a link and comes under the address of the member of a group
// of ours, who is no contact, is a claim, though the invite is for that very address; and the link
// of somebody else under that address is asked about. The member itself is welcome.
func TestAttackAddressOfMember(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	people := w.circle("alice", "carol")
	alice, carol := people[0], people[1]
	dave := w.stranger("dave")
	// The contact of carol's address has another key than the member, so that what she says of others
	// makes nobody known.
	second := w.newKey(carol.addr)
	now := w.now().Unix()
	w.say(said{from: carol.addr, key: carol.SecretKey(), to: []*person{alice}, text: "adds a second carol", more: fmt.Sprintf(
		"Cc: %s\nChat-Group-Member-Added: %s\nChat-Group-Member-Added-Fpr: %s\nChat-Group-Member-Fpr: %s %s\nChat-Group-Member-Timestamps: %d %d\n%s",
		carol.addr, carol.addr, second.Fingerprint(), alice.fpr(), second.Fingerprint(), now, now, gossipField(carol.addr, second))})
	w.agree("alice carol carol", alice)
	w.say(said{from: carol.addr, key: second, to: []*person{alice}, text: "adds dave", more: fmt.Sprintf(
		"Cc: %s\nChat-Group-Member-Added: %s\nChat-Group-Member-Added-Fpr: %s\n%s", dave.addr, dave.addr, dave.key.Fingerprint(), gossipField(dave.addr, dave.key))})
	w.agree("alice carol carol dave", alice)
	if c := alice.contact(dave.addr); c.Fingerprint != "" {
		t.Fatalf("%+v", c)
	}

	_, link := alice.invite(account.InviteOptions{For: dave.addr})
	eve := &stranger{w, dave.addr, w.newKey(dave.addr)}
	eve.join(alice, link)
	if c := alice.contact(dave.addr); c.Verified || c.Fingerprint != "" || !slices.Equal(c.Candidates, []pgp.Fingerprint{eve.key.Fingerprint()}) {
		t.Errorf("%+v", c)
	}
	alice.wait(mailbox.Bridge, string(dave.key.Fingerprint()))
	if _, err := alice.Join(t.Context(), eve.link().String(), account.JoinOptions{}); !isBadData(err) {
		t.Errorf("%v", err)
	}
	dave.join(alice, link)
	if c := alice.contact(dave.addr); !c.Verified || c.Fingerprint != dave.key.Fingerprint() {
		t.Errorf("%+v", c)
	}
}

// gossipField is what a message says of the key of one of its recipients.
func gossipField(addr string, key *pgp.Key) string {
	return "Autocrypt-Gossip: " + autocrypt.Header{Addr: addr, Cert: key.Cert()}.GossipValue() + "\n"
}

// TestAttackEverythingAgain: whoever has all that was ever sent, and sends it again in whatever
// order, brings nobody back into a group or channel, lifts no revocation and changes no key.
func TestAttackEverythingAgain(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, provider.Options{})
			people := w.circle("alice", "bob", "carol", "dave")
			alice, bob, carol, dave := people[0], people[1], people[2], people[3]
			erin := w.add("erin")
			erin.joins(alice.inviteTo(account.InviteOptions{}).Link)
			channel := bob.createChannel("News")
			w.subscribe(bob, channel.ID, carol, dave, erin)
			w.agree("alice bob carol dave erin", people...)
			w.advance(time.Minute)
			alice.change("remove", carol.addr)
			erin.change("leave", "")
			if _, err := bob.RemoveSubscriber(t.Context(), channel.ID, carol.addr); err != nil {
				t.Fatal(err)
			}
			if _, err := dave.LeaveChannel(t.Context(), channel.ID); err != nil {
				t.Fatal(err)
			}
			w.agree("alice bob dave", alice, bob, dave)
			bob.change("rename", "Reading club")
			w.eventually("the name is known", func() bool { return dave.group().Name == "Reading club" && alice.group().Name == "Reading club" })
			w.eventually("one is left", func() bool { return len(bob.subscribers()) == 1 })
			w.eventually("with the new secret", func() bool { return slices.Equal(erin.secrets(), bob.secrets()) })
			people = append(people, erin)
			state := func() string {
				var all []string
				for _, p := range people {
					p.synced()
					contacts, err := p.Contacts(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					for _, c := range contacts {
						all = append(all, fmt.Sprint(p.addr, c.Address, c.Fingerprint, c.Verified, c.Candidates))
					}
					g := p.group()
					all = append(all, fmt.Sprint(g.Name, g.Member, p.members(), len(p.secrets()), p.linksTo("group"), p.State(t.Context()).OpenInvites))
				}
				return strings.Join(append(all, bob.subscribers()...), "\n")
			}
			before := state()
			sent := w.provider.Submissions()
			random := mathrand.New(mathrand.NewPCG(seed, 1))
			random.Shuffle(len(sent), func(i, j int) { sent[i], sent[j] = sent[j], sent[i] })
			w.advance(time.Minute)
			for _, s := range sent {
				for _, to := range s.To {
					if err := w.provider.Deliver(to, again(s.Data)); err != nil {
						t.Fatal(err)
					}
				}
			}
			if after := state(); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
			if n := len(w.provider.Submissions()); n != len(sent) {
				t.Errorf("%d messages were answered", n-len(sent))
			}
		})
	}
}

// TestAttackEndForTheKeyBefore: what ends a join that another own key began takes us in nowhere.
func TestAttackEndForTheKeyBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	bob, ivy := w.add("bob"), w.stranger("ivy")
	link := ivy.links()["group"]
	j := bob.follow(link)
	ivy.send(bob, pubkey(link))
	bob.sent()
	end := ivy.memberAdded(bob, link)
	bob.imports(w.fromApp(bob.addr))
	w.deliver(bob, end)
	w.deliver(bob, ivy.write(bob, pubkey(link)))
	bob.synced()
	if s := bob.state(j.ID); s.State != account.JoinFailed {
		t.Errorf("%+v", s)
	}
	if groups, err := bob.Groups(t.Context()); err != nil || len(groups) != 0 {
		t.Errorf("%+v, %v", groups, err)
	}
	if m := bob.wait(mailbox.Inbox, "was added"); !slices.Contains(securityOf(m).Warnings, "not-a-member") {
		t.Errorf("%s", m.raw)
	}
}

// TestAttackJoinOfTheOtherDevice: whom another device of ours joins as a contact, and who has not
// confirmed that yet, puts us into no channel; whose channel it joins does.
func TestAttackJoinOfTheOtherDevice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, ivy := w.add("alice"), w.stranger("ivy")
	phone := w.app(alice)
	added := func(id string) {
		more := crlf(fmt.Sprintf("Chat-List-ID: News <%s>\nChat-Version: 1.0\nChat-Broadcast-Secret: %s\nChat-Group-Member-Added: %s\nChat-Group-Member-Added-Fpr: %s\nSecure-Join: vg-member-added\n%s",
			strings.Repeat("n", 24), strings.Repeat("s", 43), alice.addr, alice.fpr(), gossipField(alice.addr, alice.SecretKey()))) + autocryptField(ivy.addr, ivy.key)
		w.deliver(alice, w.encrypted(alice, outerOf(ivy.addr, alice.addr, id), protected(ivy.addr, alice.addr, id, "added "+id, more), ivy.key))
		w.settled(alice)
	}
	for n, kind := range []securejoin.Kind{securejoin.Contact, securejoin.Channel} {
		phone.step(securejoin.Send{Step: securejoin.RequestWithAuth, Kind: kind, To: []string{ivy.addr}, Auth: strings.Repeat("a", 23) + fmt.Sprint(n),
			Key: ivy.key.Fingerprint(), Signed: true}, ivy.key.Cert())
		w.eventually("she is known", func() bool { return alice.contact(ivy.addr).Verified })
		w.settled(alice)
		alice.restart()
		added(fmt.Sprintf("added%d@x", n))
		channels, err := alice.Channels(t.Context())
		if err != nil || len(channels) != n {
			t.Errorf("%s: %+v, %v", kind, channels, err)
		}
	}
}
