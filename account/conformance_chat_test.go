package account_test

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mailbridge/account"
	"mailbridge/internal/provider"
	"mailbridge/mailbox"
	"mailbridge/message"
	"mailbridge/securejoin"
)

// The items about groups and about other devices, see conformance_wire_test.go.

// admitsByToken: 33 to 35 and 37. What an AUTH is for, its inviter knows.
func admitsByToken(t *testing.T) {
	w := newWorld(t, provider.Options{})
	ctx := t.Context()
	alice, eve, mia := w.add("alice"), w.stranger("eve"), w.stranger("mia")
	g, err := alice.CreateGroup(ctx, "Book club")
	if err != nil {
		t.Fatal(err)
	}
	_, contact := alice.invite(account.InviteOptions{})
	_, group := alice.invite(account.InviteOptions{Group: "Book club"})
	claims := withAuth(contact)
	claims.Kind, claims.Group = securejoin.Group, g.ID
	eve.send(alice, claims)
	alice.sent()
	if got := eve.answers(); !slices.Equal(got, []string{"vc-contact-confirm"}) {
		t.Errorf("answers %v", got)
	}
	alice.wantMembers("Book club", alice.addr)
	bare := withAuth(group)
	bare.Kind, bare.Group = securejoin.Contact, ""
	for range 2 {
		mia.send(alice, bare)
		alice.sent()
	}
	if got := mia.answers(); !slices.Equal(got, []string{"vg-member-added", "vg-member-added"}) {
		t.Errorf("answers %v", got)
	}
	alice.wantMembers("Book club", alice.addr, mia.addr)
}

// admitsNobodyWhenOut: 37. Where the group of a token is gone, or we are not in it, nobody is taken
// in; also by a token that another device has announced since.
func admitsNobodyWhenOut(t *testing.T) {
	w := newWorld(t, provider.Options{})
	people := w.circle("alice", "bob")
	alice, bob, eve, phone := people[0], people[1], w.stranger("eve"), w.app(people[0])
	_, link := alice.invite(account.InviteOptions{Group: alice.group().ID})
	w.advance(time.Minute)
	w.say(said{from: bob.addr, key: bob.SecretKey(), to: []*person{alice}, text: "removes alice", more: removes(alice)})
	w.eventually("alice is out", func() bool { return !alice.group().Member })
	w.advance(time.Minute)
	links := []securejoin.Link{link}
	for _, id := range []string{alice.group().ID, "GroupThatIsGone"} {
		i, _ := phone.invite()
		item := phone.add(i)
		item.GroupID, i.Kind, i.GroupID = id, securejoin.Group, id
		phone.sync(item)
		links = append(links, i.GroupLink(phone.self(), "Book club"))
	}
	w.settled(alice)
	if s := alice.linksTo("group"); strings.Count(s, "live") != 2 {
		t.Errorf("links: %s", s)
	}
	for _, l := range links {
		before := len(w.provider.Submissions())
		eve.send(alice, withAuth(l))
		alice.sent()
		if n := len(w.provider.Submissions()) - before; n != 0 || alice.contact(eve.addr).Verified {
			t.Errorf("%s: %d answers, %+v", l.GroupID, n, alice.contact(eve.addr))
		}
	}
}

// answersWhereItIsAsked: an answer to the group goes into it, one to its writer alone does not.
func answersWhereItIsAsked(t *testing.T) {
	w := newWorld(t, provider.Options{})
	people := w.circle("alice", "bob", "carol")
	alice, bob, carol := people[0], people[1], people[2]
	alice.write("what shall we read")
	m := bob.wait(mailbox.Inbox, "what shall we read")
	if _, err := bob.answer(m, "Walden", false); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*person{alice, carol} {
		if got := p.wait(mailbox.Inbox, "Walden"); addresses(got.header("Reply-To"))[0] != p.group().Address || got.header("In-Reply-To") == "" {
			t.Errorf("%s", got.raw)
		}
		if _, inner, _ := p.sentTo("Walden@client"); inner.Get("Chat-Group-ID") != bob.group().ID {
			t.Errorf("%s", inner.Bytes())
		}
	}
	bob.submit([]string{alice.addr}, letterTo(bob.addr, alice.addr, "Re: Hello all", "for you alone", "In-Reply-To: "+m.header("Message-ID"), "References: "+m.header("Message-ID")))
	if got := alice.wait(mailbox.Inbox, "for you alone"); strings.Contains(got.header("Reply-To"), "invalid") {
		t.Errorf("%s", got.raw)
	}
	_, inner, _ := w.submittedLast(bob, alice.SecretKey())
	if to := message.ParseAddresses(inner.Get("To")); inner.Has("Chat-Group-ID") || len(to) != 1 || to[0].Addr != alice.addr {
		t.Errorf("%s", inner.Bytes())
	}
	carol.synced()
	carol.want(mailbox.Inbox, "for you alone", 0)
}

// showsWithoutTimes: a list of times that does not fit is ignored, and the message is shown.
func showsWithoutTimes(t *testing.T) {
	w := newWorld(t, provider.Options{})
	people := w.circle("alice", "bob")
	alice, bob, mallory := people[0], people[1], w.newKey("mallory@evil.example")
	now := w.now().Unix()
	for text, times := range map[string]string{"too few": fmt.Sprint(now), "too many": fmt.Sprint(now, now, now), "no number": "x " + fmt.Sprint(now)} {
		w.say(said{from: bob.addr, key: bob.SecretKey(), to: []*person{alice}, text: text, more: fmt.Sprintf(
			"Cc: mallory@evil.example\nChat-Group-Member-Fpr: %s %s\nChat-Group-Member-Timestamps: %s\n%s",
			alice.fpr(), mallory.Fingerprint(), times, gossipField("mallory@evil.example", mallory))})
		if m := alice.wait(mailbox.Inbox, text+"\r\n"); addresses(m.header("Reply-To"))[0] != alice.group().Address {
			t.Errorf("%s", m.raw)
		}
	}
	w.agree("alice bob", alice)
	w.say(said{from: bob.addr, key: bob.SecretKey(), to: []*person{alice}, text: "as it must be", more: fmt.Sprintf(
		"Cc: mallory@evil.example\nChat-Group-Member-Fpr: %s %s\nChat-Group-Member-Timestamps: %d %d\n%s",
		alice.fpr(), mallory.Fingerprint(), now, now, gossipField("mallory@evil.example", mallory))})
	w.agree("alice bob mallory", alice)
}

// withdraws: DeleteQrToken ends all links of its chat; what the user revokes here, and revives, is
// one invite.
func withdraws(t *testing.T) {
	w := newWorld(t, provider.Options{})
	ctx := t.Context()
	alice, eve := w.add("alice"), w.stranger("eve")
	if _, err := alice.CreateGroup(ctx, "Book club"); err != nil {
		t.Fatal(err)
	}
	invite, own := alice.invite(account.InviteOptions{})
	_, group := alice.invite(account.InviteOptions{Group: "Book club"})
	phone := w.app(alice)
	first, _ := phone.invite()
	second := first
	second.Auth = rand.Text()[:24] // of another showing of the same code
	phone.sync(phone.add(first), phone.add(second))
	w.settled(alice)
	one, two := first.Link(phone.self()), second.Link(phone.self())
	answered := func(what string, want ...securejoin.Link) {
		t.Helper()
		for _, l := range []securejoin.Link{own, group, one, two} {
			before := len(eve.ids())
			eve.send(alice, requestPubkey(l))
			alice.sent()
			if n := len(eve.ids()) - before; (n == 1) != slices.ContainsFunc(want, func(o securejoin.Link) bool { return o.Auth == l.Auth }) {
				t.Errorf("%s: %d answers to %s of a %s", what, n, l.Auth, l.Kind)
			}
		}
		w.advance(2 * time.Hour) // the caps
	}
	answered("all", own, group, one, two)
	if _, err := alice.RevokeInvite(ctx, invite.ID); err != nil {
		t.Fatal(err)
	}
	answered("revoked", group, one, two)
	if _, err := alice.ReviveInvite(ctx, invite.ID); err != nil {
		t.Fatal(err)
	}
	answered("revived", own, group, one, two)
	phone.sync(phone.delete(first))
	w.settled(alice)
	answered("withdrawn", group)
	// An AUTH is no more than its invite for the second step, either.
	before := len(eve.ids())
	eve.send(alice, withAuth(two))
	alice.sent()
	if n := len(eve.ids()) - before; n != 0 || alice.contact(eve.addr).Verified {
		t.Errorf("%d answers, %+v", n, alice.contact(eve.addr))
	}
}

// syncsByOwnKeyAlone: tokens count with our own signature, at once.
func syncsByOwnKeyAlone(t *testing.T) {
	w := newWorld(t, provider.Options{})
	alice, bob, eve := w.add("alice"), w.add("bob"), w.stranger("eve")
	w.shake(alice, bob)
	phone, mallory := w.app(alice), &app{p: alice, key: bob.SecretKey(), sent: 100}
	i, _ := phone.invite()
	link := i.Link(phone.self())
	answers := func(what string, want int) {
		t.Helper()
		before := len(eve.ids())
		eve.send(alice, requestPubkey(link))
		alice.sent()
		if n := len(eve.ids()) - before; n != want {
			t.Errorf("%s: %d answers", what, n)
		}
	}
	mallory.sync(mallory.add(i))
	alice.synced()
	answers("added by another", 0)
	phone.sync(phone.add(i))
	alice.synced()
	w.eventually("the request that was held is answered", func() bool { return len(eve.ids()) == 1 })
	answers("added", 1)
	mallory.sync(mallory.delete(i))
	alice.synced()
	answers("deleted by another", 1)
	phone.sync(phone.delete(i))
	alice.synced()
	answers("deleted", 0)
}
