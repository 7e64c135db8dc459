package account_test

import (
	"context"
	"crypto/rand"
	"errors"
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

// ids are the Message-IDs of what was sent to the stranger.
func (s *stranger) ids() []string {
	var ids []string
	for _, m := range s.w.provider.Submissions() {
		if slices.Contains(m.To, s.addr) {
			h, _ := message.ParseHeader(m.Data)
			ids = append(ids, h.Get("Message-ID"))
		}
	}
	return ids
}

// state gives a join as it is.
func (p *person) state(id string) account.Join {
	p.w.Helper()
	j, err := p.GetJoin(context.Background(), id)
	if err != nil {
		p.w.Fatal(err)
	}
	return j
}

// tidied keeps house.
func (p *person) tidied() {
	p.w.Helper()
	if err := p.Tidy(context.Background()); err != nil {
		p.w.Fatal(err)
	}
}

// links of each protocol, and of each kind.
func (s *stranger) links() map[string]securejoin.Link {
	legacy, group, both := s.link(), s.link(), s.link()
	legacy.V3 = false
	group.Kind, group.GroupID, group.GroupName = securejoin.Group, "GroupIdGroupId", "Book club"
	both.Kind, both.GroupID, both.GroupName, both.V3 = securejoin.Channel, "ChannelIdChannel", "News", false
	return map[string]securejoin.Link{"v3": s.link(), "legacy": legacy, "group": group, "channel, legacy": both}
}

// TestJoinWaits: a join that gets no answer survives restarts, is repeated once as a new
// message, and fails after a week with a reason.
func TestJoinWaits(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"v3", "legacy", "group", "channel, legacy"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, provider.Options{})
			bob, ivy := w.add("bob"), w.stranger("ivy")
			link := ivy.links()[name]
			j := bob.follow(link)
			w.advance(securejoin.ResendAfter - time.Minute)
			bob.restart()
			bob.sent()
			if n := len(ivy.ids()); n != 1 {
				t.Errorf("%d messages before its time", n)
			}
			for range 2 {
				w.advance(securejoin.ResendAfter)
				bob.restart()
				w.eventually("it is repeated", func() bool { return len(ivy.ids()) > 1 })
				bob.sent()
			}
			ids, steps := ivy.ids(), ivy.answers(link.Secret())
			if len(ids) != 2 || ids[0] == ids[1] || steps[0] != steps[1] {
				t.Errorf("sent %v as %v", steps, ids)
			}
			if s := bob.state(j.ID); s.State != account.JoinPending || s.Kind != link.Kind.String() || s.GroupName != link.GroupName {
				t.Errorf("%+v", s)
			}
			w.advance(securejoin.JoinLifetime)
			bob.restart()
			w.eventually("it has failed", func() bool { return bob.state(j.ID).State == account.JoinFailed })
			if s := bob.state(j.ID); s.Reason != securejoin.ReasonTimeout {
				t.Errorf("%+v", s)
			}
			text := "The invite of " + ivy.addr
			if link.Kind != securejoin.Contact {
				text += " to the " + link.Kind.String() + " “" + link.GroupName + "”"
			}
			bob.want(mailbox.Bridge, text+" could not be joined: "+securejoin.ReasonTimeout, 1)
			again := bob.follow(link)
			if again.ID == j.ID {
				t.Error("a failed join stands in the way")
			}
		})
	}
}

// TestJoinOffline: a step that has not even left is not repeated beside itself.
func TestJoinOffline(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	bob, ivy := w.add("bob"), w.stranger("ivy")
	fault := w.provider.Inject(provider.Fault{User: bob.addr, Command: "MAIL", Effect: provider.CutBefore})
	defer fault.Release()
	link := ivy.link()
	j, err := bob.Join(context.Background(), link.String(), account.JoinOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.advance(2 * securejoin.ResendAfter)
	bob.tidied()
	if s := bob.State(context.Background()); s.Queued != 1 {
		t.Errorf("%d wait", s.Queued)
	}
	w.advance(securejoin.JoinLifetime)
	bob.restart()
	w.eventually("it has failed", func() bool { return bob.state(j.ID).State == account.JoinFailed })
	fault.Release()
	bob.nothingLeaves(ivy)
}

// nothingLeaves tries again what is queued, and checks that it does not go to the stranger.
func (p *person) nothingLeaves(s *stranger) {
	p.w.Helper()
	p.w.advance(24 * time.Hour)
	p.restart()
	p.sent()
	if n := len(s.ids()); n != 0 {
		p.w.Errorf("%d messages", n)
	}
}

// TestCancelJoin: a cancelled join sends nothing more, and what comes late changes nothing.
func TestCancelJoin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	ctx := context.Background()
	bob, ivy := w.add("bob"), w.stranger("ivy")
	for _, id := range []string{"99", "x", ""} {
		if _, err := bob.CancelJoin(ctx, id); !errors.Is(err, account.ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
	}
	for name, link := range ivy.links() {
		before := len(ivy.ids())
		j := bob.follow(link)
		c, err := bob.CancelJoin(ctx, j.ID)
		if err != nil || c.State != account.JoinFailed || c.Reason != securejoin.ReasonCancelled {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
		_, err = bob.CancelJoin(ctx, j.ID)
		wantBadData(t, err, "ended already")
		ivy.send(bob, pubkey(link))
		ivy.send(bob, securejoin.Send{Step: securejoin.AuthRequired, Signed: true})
		if link.Kind == securejoin.Contact {
			ivy.send(bob, confirm())
		}
		w.advance(2 * securejoin.ResendAfter)
		bob.tidied()
		bob.sent()
		if n := len(ivy.ids()) - before; n != 1 {
			t.Errorf("%s: %d messages", name, n)
		}
		if s := bob.state(j.ID); s.State != account.JoinFailed || s.Reason != securejoin.ReasonCancelled {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if c := bob.contact(ivy.addr); c.Verified || c.Fingerprint != "" {
		t.Errorf("%+v", c)
	}
	bob.want(mailbox.Bridge, "", 0)
	bob.want(mailbox.Inbox, "", 0)
}

// TestCancelBeforeSending: what was not begun to be sent is not sent.
func TestCancelBeforeSending(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	bob, ivy := w.add("bob"), w.stranger("ivy")
	fault := w.provider.Inject(provider.Fault{User: bob.addr, Command: "MAIL", Effect: provider.CutBefore})
	j, err := bob.Join(context.Background(), ivy.link().String(), account.JoinOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.eventually("the message waits for another try", func() bool { return fault.Hits() > 0 && bob.State(context.Background()).Queued == 1 })
	if _, err := bob.CancelJoin(context.Background(), j.ID); err != nil {
		t.Fatal(err)
	}
	fault.Release()
	bob.nothingLeaves(ivy)
}

// TestJoinUnusable: the reasons of what is not joined are words.
func TestJoinUnusable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	bob, ivy := w.add("bob"), w.stranger("ivy")
	good := ivy.link().String()
	for text, part := range map[string]string{
		"hello":                                "not an invite link",
		strings.Replace(good, "&s=", "&q=", 1): "only shows a fingerprint",
		strings.Replace(good, "ivy%40", "ivy", 1): "address",
	} {
		_, err := bob.Join(context.Background(), text, account.JoinOptions{})
		wantBadData(t, err, part)
	}
	if list, err := bob.Joins(context.Background()); len(list) != 0 || err != nil {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestTwoJoinsOfOneInviter: one vc-pubkey proves the key for all that wait, and each sends its
// own AUTH; a later one begins anew.
func TestTwoJoinsOfOneInviter(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	bob, ivy := w.add("bob"), w.stranger("ivy")
	one, two, three := ivy.link(), ivy.links()["group"], ivy.link()
	a, b := bob.follow(one), bob.follow(two)
	ivy.send(bob, pubkey(one))
	bob.sent()
	if got := ivy.answers(one.Secret(), two.Secret()); !slices.Equal(slices.Sorted(slices.Values(got)), []string{
		"vc-request-pubkey", "vc-request-pubkey", "vc-request-with-auth", "vg-request-with-auth"}) {
		t.Errorf("sent %v", got)
	}
	ivy.send(bob, confirm())
	if bob.state(a.ID).State != account.JoinCompleted || bob.state(b.ID).State != account.JoinPending {
		t.Errorf("%+v\n%+v", bob.state(a.ID), bob.state(b.ID))
	}
	c, d := bob.follow(three), bob.follow(ivy.link())
	ivy.send(bob, pubkey(three))
	ivy.send(bob, confirm())
	for _, id := range []string{c.ID, d.ID} {
		if bob.state(id).State != account.JoinCompleted {
			t.Errorf("%+v", bob.state(id))
		}
	}
	bob.want(mailbox.Bridge, "You have joined the invite of "+ivy.addr, 2) // once for each confirmation
	bob.want(mailbox.Inbox, "", 0)
}

// TestJoinReplaced: a join that waits makes room for another of the same link.
func TestJoinReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	ctx := context.Background()
	bob, ivy := w.add("bob"), w.stranger("ivy")
	link := ivy.link()
	first := bob.follow(link)
	second, err := bob.Join(ctx, link.String(), account.JoinOptions{Replace: true})
	if err != nil || second.ID == first.ID {
		t.Fatalf("%+v, %v", second, err)
	}
	bob.sent()
	ivy.send(bob, pubkey(link))
	ivy.send(bob, confirm())
	if a, b := bob.state(first.ID), bob.state(second.ID); a.State != account.JoinFailed || b.State != account.JoinCompleted {
		t.Errorf("%+v\n%+v", a, b)
	}
	if n := len(ivy.ids()); n != 3 {
		t.Errorf("%d messages", n)
	}
}

// TestLargeMemberAdded: the message that takes us into a group brings the keys of all its members,
// and is larger than any other step.
func TestLargeMemberAdded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	bob, ivy := w.add("bob"), w.stranger("ivy")
	link := ivy.links()["group"]
	j := bob.follow(link)
	ivy.send(bob, pubkey(link))
	bob.sent()
	padded := func(size int) twist {
		return func(m *securejoin.Mail) {
			var pad strings.Builder
			for n := range securejoin.MaxMembers - 2 {
				fmt.Fprintf(&pad, "Autocrypt-Gossip: addr=%d@example.net; keydata=%s\r\n", n, rand.Text()+strings.Repeat("A", size/securejoin.MaxMembers))
			}
			m.Inner = append([]byte(pad.String()), m.Inner...)
		}
	}
	w.deliver(bob, ivy.memberAdded(bob, link, padded(500<<10)))
	bob.synced()
	if s := bob.state(j.ID); s.State != account.JoinCompleted {
		t.Errorf("%+v", s)
	}
	bob.wantMembers(link.GroupID, bob.addr, ivy.addr)
}
