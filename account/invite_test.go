package account_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"mailbridge/account"
	"mailbridge/internal/provider"
	"mailbridge/mailbox"
	"mailbridge/securejoin"
)

// join runs a joiner's side by hand, to its end.
func (s *stranger) join(to *person, l securejoin.Link) {
	s.w.Helper()
	s.send(to, requestPubkey(l))
	s.send(to, withAuth(l))
	to.sent()
}

// list gives an invite as the list shows it.
func (p *person) listed(id string) account.Invite {
	p.w.Helper()
	list, err := p.Invites(context.Background())
	if err != nil {
		p.w.Fatal(err)
	}
	n := slices.IndexFunc(list, func(i account.Invite) bool { return i.ID == id })
	if n < 0 {
		return account.Invite{}
	}
	return list[n]
}

// wantBadData checks an error for the user.
func wantBadData(t *testing.T, err error, text string) {
	t.Helper()
	var bad *account.BadData
	if !errors.As(err, &bad) || !strings.Contains(bad.Text, text) {
		t.Errorf("%v, want %q", err, text)
	}
}

var joinSteps = []string{"vc-pubkey", "vc-contact-confirm"}

// TestInviteOnce: a one-time invite dies with the first join, answers that joiner's repeats, and
// is silent to others; its user is told by whom it was used, once a day.
func TestInviteOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob, eve := w.add("alice"), w.stranger("bob"), w.stranger("eve")
	invite, link := alice.invite(account.InviteOptions{Once: true})
	bob.join(alice, link)
	if i := alice.listed(invite.ID); i.State != "used" || len(i.Uses) != 1 || i.Uses[0].Address != bob.addr || i.Uses[0].Fingerprint != bob.key.Fingerprint() {
		t.Errorf("%+v", i)
	}
	bob.join(alice, link)
	if got := bob.answers(link.Secret()); !slices.Equal(got, slices.Concat(joinSteps, joinSteps)) {
		t.Errorf("answers to the joiner: %v", got)
	}
	eve.join(alice, link)
	eve.join(alice, link)
	why := "which was for one use and was already used by " + bob.addr + " on " + w.now().Format(time.DateOnly)
	alice.want(mailbox.Bridge, why, 1)
	w.advance(25 * time.Hour)
	eve.join(alice, link)
	alice.want(mailbox.Bridge, why, 2)
	if got := eve.answers(link.Secret()); len(got) != 0 {
		t.Errorf("answers to somebody else: %v", got)
	}
	if c := alice.contact(eve.addr); c.Fingerprint != "" {
		t.Errorf("%+v", c)
	}
	alice.want(mailbox.Inbox, "", 0)
	_, err := alice.ReviveInvite(context.Background(), invite.ID)
	wantBadData(t, err, "used up")
	if _, err := alice.RevokeInvite(context.Background(), invite.ID); err != nil {
		t.Fatal(err)
	}
	w.advance(25 * time.Hour)
	eve.join(alice, link)
	alice.want(mailbox.Bridge, "which was used by "+bob.addr+" and revoked on "+w.now().AddDate(0, 0, -1).Format(time.DateOnly), 1)
	alice.want(mailbox.Bridge, "bridge invite revive", 0)
}

// TestInviteEnds: who joins by an invite that was revoked or has expired hears nothing, and the
// user is told which it was. Only the user makes it good again.
func TestInviteEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	ctx := context.Background()
	alice, eve := w.add("alice"), w.stranger("eve")
	day := time.Hour * 24
	revoked, one := alice.invite(account.InviteOptions{})
	expired, two := alice.invite(account.InviteOptions{Expires: &day})
	if at := revoked.ExpiresAt; at == nil || at.Sub(w.now()).Round(time.Hour) != 7*day {
		t.Errorf("expires at %v", at)
	}
	if i, err := alice.RevokeInvite(ctx, revoked.ID); err != nil || i.State != "revoked" || i.RevokedAt == nil {
		t.Errorf("%+v, %v", i, err)
	}
	w.advance(25 * time.Hour)
	eve.join(alice, one)
	eve.join(alice, two)
	if got := eve.answers(); len(got) != 0 {
		t.Errorf("answers %v", got)
	}
	alice.want(mailbox.Bridge, "which was revoked on "+w.now().AddDate(0, 0, -1).Add(-time.Hour).Format(time.DateOnly), 1)
	alice.want(mailbox.Bridge, "which expired on ", 1)
	alice.want(mailbox.Bridge, "bridge invite revive "+revoked.ID, 1)
	alice.restart()
	for _, id := range []string{revoked.ID, expired.ID} {
		if i, err := alice.ReviveInvite(ctx, id); err != nil || i.State != "live" || !i.ExpiresAt.After(w.now()) {
			t.Errorf("%+v, %v", i, err)
		}
	}
	eve.join(alice, one)
	if got := eve.answers(one.Secret()); !slices.Equal(got, joinSteps) {
		t.Errorf("after its revival: %v", got)
	}
	if c := alice.contact(eve.addr); !c.Verified || c.VerifiedHow != securejoin.HowV3 {
		t.Errorf("%+v", c)
	}
	for _, id := range []string{"99", "x", ""} {
		if _, err := alice.RevokeInvite(ctx, id); !errors.Is(err, account.ErrNotFound) {
			t.Errorf("revoke %q: %v", id, err)
		}
	}
}

// TestInviteForgotten: an ended invite is remembered for 90 days. Its link can be revived.
func TestInviteForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	ctx := context.Background()
	alice, eve := w.add("alice"), w.stranger("eve")
	invite, link := alice.invite(account.InviteOptions{})
	_, foreign := alice.invite(account.InviteOptions{})
	foreign.Fingerprint = eve.key.Fingerprint()
	w.advance(96 * 24 * time.Hour)
	alice.restart()
	if i := alice.listed(invite.ID); i.State != "expired" {
		t.Errorf("%+v", i)
	}
	_, err := alice.Join(ctx, invite.Link, account.JoinOptions{})
	wantBadData(t, err, "it is expired\nmake it good again with: bridge invite revive "+invite.ID)
	w.advance(2 * 24 * time.Hour)
	alice.restart()
	w.eventually("both are forgotten", func() bool {
		list, err := alice.Invites(ctx)
		return err == nil && len(list) == 0
	})
	_, err = alice.Join(ctx, invite.Link, account.JoinOptions{})
	wantBadData(t, err, "bridge invite revive '"+invite.Link+"'")
	revived, err := alice.ReviveInvite(ctx, invite.Link)
	if err != nil || revived.Link != invite.Link || revived.State != "live" || revived.ExpiresAt.Sub(w.now()).Round(time.Hour) != 7*24*time.Hour {
		t.Errorf("%+v, %v", revived, err)
	}
	_, err = alice.Join(ctx, invite.Link, account.JoinOptions{})
	wantBadData(t, err, "end it with: bridge invite revoke "+revived.ID)
	eve.join(alice, link)
	if got := eve.answers(link.Secret()); !slices.Equal(got, joinSteps) {
		t.Errorf("answers %v", got)
	}
	for _, text := range []string{foreign.String(), "https://example.org", "no invite"} {
		_, err := alice.ReviveInvite(ctx, text)
		wantBadData(t, err, "")
	}
	if _, err := alice.ReviveInvite(ctx, "99"); !errors.Is(err, account.ErrNotFound) {
		t.Error(err)
	}
}

// TestInviteOptions: what cannot be meant is refused, and nothing is made.
func TestInviteOptions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	ctx := context.Background()
	alice := w.add("alice")
	never, negative, hour := time.Duration(0), -time.Hour, time.Hour
	for text, o := range map[string]account.InviteOptions{
		"cannot expire":     {Shared: true, Expires: &hour},
		"be for one use":    {Shared: true, Once: true},
		", ask,":            {Shared: true, Ask: true},
		"one address":       {Shared: true, For: "bob@example.net"},
		"a second at least": {Expires: &negative},
		"no way of handing": {Way: "by pigeon"},
		"not a mail addr":   {For: "bob"},
		"your own address":  {For: alice.addr},
		"the bridge itself": {For: "invite@mailbridge.invalid"},
		"not for both":      {Group: "x", Channel: "y"},
	} {
		_, err := alice.Invite(ctx, o)
		wantBadData(t, err, text)
	}
	for _, o := range []account.InviteOptions{{Group: "x"}, {Channel: "y"}} {
		if _, err := alice.Invite(ctx, o); !errors.Is(err, account.ErrNotFound) {
			t.Error(err)
		}
	}
	if list, err := alice.Invites(ctx); len(list) != 0 || err != nil {
		t.Errorf("%+v, %v", list, err)
	}
	for _, o := range []account.InviteOptions{{Expires: &never}, {Shared: true}, {Shared: true, Expires: &never}} {
		if i, err := alice.Invite(ctx, o); err != nil || i.ExpiresAt != nil || i.State != "live" || i.Shared != o.Shared {
			t.Errorf("%+v, %v", i, err)
		}
	}
}

// TestInviteAsk: each joiner waits for the user, who is asked once, and hears nothing before.
func TestInviteAsk(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	ctx := context.Background()
	alice, bob, eve := w.add("alice"), w.stranger("bob"), w.stranger("eve")
	invite, link := alice.invite(account.InviteOptions{Ask: true})
	_, err := alice.AcceptJoiner(ctx, invite.ID, "")
	wantBadData(t, err, "no such joiner")
	bob.join(alice, link)
	bob.join(alice, link)
	eve.join(alice, link)
	alice.want(mailbox.Bridge, "Somebody asks to join: "+bob.addr, 1)
	alice.want(mailbox.Bridge, "bridge invite accept "+invite.ID+" "+eve.addr, 1)
	if c := alice.contact(bob.addr); c.Verified || c.Fingerprint != "" {
		t.Errorf("%+v", c)
	}
	if i := alice.listed(invite.ID); len(i.Asking) != 2 || len(i.Uses) != 0 {
		t.Errorf("%+v", i)
	}
	_, err = alice.AcceptJoiner(ctx, invite.ID, "")
	wantBadData(t, err, "several joiners wait")
	_, err = alice.AcceptJoiner(ctx, invite.ID, "carol@example.net")
	wantBadData(t, err, "no such joiner")
	if _, err := alice.AcceptJoiner(ctx, "99", bob.addr); !errors.Is(err, account.ErrNotFound) {
		t.Error(err)
	}
	alice.restart()
	i, err := alice.AcceptJoiner(ctx, invite.ID, strings.ToUpper(bob.addr))
	if err != nil || len(i.Asking) != 1 || len(i.Uses) != 1 || i.Uses[0].Address != bob.addr {
		t.Errorf("%+v, %v", i, err)
	}
	alice.sent()
	if got := bob.answers(link.Secret()); !slices.Equal(got, []string{"vc-pubkey", "vc-pubkey", "vc-contact-confirm"}) {
		t.Errorf("answers %v", got)
	}
	if got := eve.answers(link.Secret()); !slices.Equal(got, []string{"vc-pubkey"}) {
		t.Errorf("answers to who waits: %v", got)
	}
	if c := alice.contact(bob.addr); !c.Verified || c.VerifiedHow != securejoin.HowV3 {
		t.Errorf("%+v", c)
	}
	if i, err := alice.RevokeInvite(ctx, invite.ID); err != nil || len(i.Asking) != 0 {
		t.Errorf("%+v, %v", i, err)
	}
	_, err = alice.AcceptJoiner(ctx, invite.ID, eve.addr)
	wantBadData(t, err, "no such joiner")
	alice.want(mailbox.Inbox, "", 0)
}

// TestInviteAskOnce: who waits at an invite for one use is not offered to the user any more when
// somebody else was let in.
func TestInviteAskOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob, eve := w.add("alice"), w.stranger("bob"), w.stranger("eve")
	invite, link := alice.invite(account.InviteOptions{Ask: true, Once: true})
	bob.join(alice, link)
	eve.join(alice, link)
	if i := alice.listed(invite.ID); len(i.Asking) != 2 {
		t.Errorf("%+v", i)
	}
	if i, err := alice.AcceptJoiner(t.Context(), invite.ID, bob.addr); err != nil || i.State != "used" || len(i.Asking) != 0 {
		t.Errorf("%+v, %v", i, err)
	}
	_, err := alice.AcceptJoiner(t.Context(), invite.ID, eve.addr)
	wantBadData(t, err, "has ended")
}

// TestInviteToGroup: a group is joined by a link, in both protocols. Notes, list and joins name
// it; its members cannot join it again, and who is not in it cannot invite.
func TestInviteToGroup(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	ctx := context.Background()
	alice, bob, carol := w.add("alice"), w.add("bob"), w.add("carol")
	g, err := alice.CreateGroup(ctx, "Book club")
	if err != nil {
		t.Fatal(err)
	}
	v3, link := alice.invite(account.InviteOptions{Group: g.Address})
	if v3.Kind != "group" || v3.GroupName != "Book club" || v3.Address != g.Address || v3.ExpiresAt == nil || link.GroupID != g.ID || link.GroupName != "Book club" {
		t.Errorf("%+v\n%+v", v3, link)
	}
	legacy, _ := alice.invite(account.InviteOptions{Group: "Book club", Legacy: true})
	for _, step := range []struct {
		p    *person
		link string
	}{{bob, v3.Link}, {carol, legacy.Link}} {
		j, err := step.p.Join(ctx, step.link, account.JoinOptions{})
		if err != nil || j.Kind != "group" || j.GroupName != "Book club" {
			t.Fatalf("%+v, %v", j, err)
		}
		if j, err = step.p.WaitJoin(ctx, j.ID); err != nil || j.State != account.JoinCompleted {
			t.Fatalf("%+v, %v", j, err)
		}
		step.p.want(mailbox.Bridge, "You have joined the group “Book club” by the invite of "+alice.addr, 1)
		alice.wait(mailbox.Bridge, step.p.addr+" has joined the group “Book club” by your invite")
		if again, err := step.p.Join(ctx, step.link, account.JoinOptions{}); err != nil || again.ID != j.ID {
			t.Errorf("joined again: %+v, %v", again, err)
		}
	}
	_, err = carol.Join(ctx, v3.Link, account.JoinOptions{})
	wantBadData(t, err, "you are in the group “Book club” already")
	if _, err := bob.LeaveGroup(ctx, g.ID); err != nil {
		t.Fatal(err)
	}
	_, err = bob.Invite(ctx, account.InviteOptions{Group: g.ID})
	wantBadData(t, err, "you are not in the group “Book club”")
	w.eventually("the invites are revoked", func() bool { return alice.listed(v3.ID).State == "revoked" })
	if _, err := alice.LeaveGroup(ctx, g.ID); err != nil {
		t.Fatal(err)
	}
	_, err = alice.ReviveInvite(ctx, v3.ID)
	wantBadData(t, err, "you are not in the group")
}

// TestInviteToChannel: only its owner invites to a channel, for ever.
func TestInviteToChannel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	ctx := context.Background()
	alice, bob := w.add("alice"), w.add("bob")
	c, err := alice.CreateChannel(ctx, "News")
	if err != nil {
		t.Fatal(err)
	}
	invite, link := alice.invite(account.InviteOptions{Channel: c.Address, Shared: true})
	if invite.Kind != "channel" || invite.ExpiresAt != nil || link.GroupName != "News" {
		t.Errorf("%+v", invite)
	}
	j, err := bob.Join(ctx, invite.Link, account.JoinOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if j, err = bob.WaitJoin(ctx, j.ID); err != nil || j.State != account.JoinCompleted || j.Kind != "channel" || j.GroupName != "News" {
		t.Fatalf("%+v, %v", j, err)
	}
	alice.wait(mailbox.Bridge, bob.addr+" has joined the channel “News” by your invite")
	_, err = bob.Invite(ctx, account.InviteOptions{Channel: "News"})
	wantBadData(t, err, "is not yours")
}

// TestRejoinAfterRemoval: who was removed from a group comes back only with the user's yes, by
// whatever invite.
func TestRejoinAfterRemoval(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	ctx := context.Background()
	alice, bob := w.add("alice"), w.add("bob")
	if _, err := alice.CreateGroup(ctx, "Book club"); err != nil {
		t.Fatal(err)
	}
	_, link := alice.invite(account.InviteOptions{Group: "Book club"})
	if j, err := bob.WaitJoin(ctx, bob.follow(link).ID); err != nil || j.State != account.JoinCompleted {
		t.Fatalf("%+v, %v", j, err)
	}
	if _, err := alice.RemoveMember(ctx, "Book club", bob.addr); err != nil {
		t.Fatal(err)
	}
	bob.wait(mailbox.Inbox, "removed")
	again, other := alice.invite(account.InviteOptions{Group: "Book club"})
	j := bob.follow(other)
	alice.wait(mailbox.Bridge, bob.addr+" asks to join the group “Book club” by your invite "+again.ID)
	alice.wantMembers("Book club", alice.addr)
	if s := bob.state(j.ID); s.State != account.JoinPending {
		t.Errorf("%+v", s)
	}
	if _, err := alice.AcceptJoiner(ctx, again.ID, ""); err != nil {
		t.Fatal(err)
	}
	if j, err := bob.WaitJoin(ctx, j.ID); err != nil || j.State != account.JoinCompleted {
		t.Errorf("%+v, %v", j, err)
	}
	alice.wantMembers("Book club", alice.addr, bob.addr)
}
