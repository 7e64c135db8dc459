package account_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"mailbridge/account"
	"mailbridge/headers"
	"mailbridge/internal/provider"
	"mailbridge/mailbox"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// mailFrom is a signed and encrypted message with the key of its sender.
func (s *stranger) mailFrom(to *person, id, text string) []byte {
	s.w.Helper()
	return s.w.encrypted(to, outerOf(s.addr, to.addr, id), protected(s.addr, to.addr, id, text, autocryptField(s.addr, s.key)), s.key)
}

// TestHowVerified: protocol, date and way are kept for every contact, and who introduced it.
func TestHowVerified(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	ctx := context.Background()
	alice, bob := w.add("alice"), w.add("bob")
	invite, _ := alice.invite(account.InviteOptions{Way: "printed"})
	j, err := bob.Join(ctx, invite.Link, account.JoinOptions{Way: "mailed"})
	if err != nil || j.Way != "mailed" {
		t.Fatal(j, err)
	}
	w.verified(alice, bob, j)
	a, b := alice.contact(bob.addr), bob.contact(alice.addr)
	for _, c := range []account.Contact{a, b} {
		if c.VerifiedHow != securejoin.HowV3 || c.VerifiedAt == nil || w.now().Sub(*c.VerifiedAt) > patience || c.Origin != "securejoin" {
			t.Errorf("%+v", c)
		}
	}
	if a.VerifiedWay != "printed" || b.VerifiedWay != "mailed" {
		t.Errorf("ways %q and %q", a.VerifiedWay, b.VerifiedWay)
	}
	_, err = bob.Join(ctx, invite.Link, account.JoinOptions{Way: "by pigeon"})
	wantBadData(t, err, "no way of handing")
	if list, err := bob.Joins(ctx); err != nil || len(list) != 1 || list[0].Way != "mailed" || list[0].State != account.JoinCompleted ||
		list[0].Name != "Alice" || list[0].Kind != "contact" || list[0].Started.IsZero() {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestVerifyByHand compares a fingerprint with the key that is known, at any time.
func TestVerifyByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	ctx := context.Background()
	alice, eve, other := w.add("alice"), w.stranger("eve"), w.stranger("other")
	fpr := string(eve.key.Fingerprint())
	_, err := alice.VerifyContact(ctx, eve.addr, fpr, "")
	wantBadData(t, err, "no key of "+eve.addr+" is known")
	w.deliver(alice, eve.mailFrom(alice, "one@x", "the first"))
	m := alice.wait(mailbox.Inbox, "the first")
	if m.Flags.Has(mailbox.Verified) {
		t.Error("verified by mail")
	}
	_, err = alice.VerifyContact(ctx, eve.addr, string(other.key.Fingerprint()), "")
	wantBadData(t, err, "known: "+fpr+"\ngiven: "+string(other.key.Fingerprint()))
	_, err = alice.VerifyContact(ctx, eve.addr, "ABC", "")
	wantBadData(t, err, "not a fingerprint")
	_, err = alice.VerifyContact(ctx, alice.addr, fpr, "")
	wantBadData(t, err, "your own")
	if c := alice.contact(eve.addr); c.Verified {
		t.Errorf("%+v", c)
	}
	v, err := alice.VerifyContact(ctx, strings.ToUpper(eve.addr), strings.ToLower(pgp.Fingerprint(fpr).Grouped()), "")
	if err != nil || v.Invite != nil || !v.Contact.Verified || v.Contact.VerifiedHow != "manual" || v.Contact.VerifiedAt == nil || v.Contact.Fingerprint != eve.key.Fingerprint() {
		t.Fatalf("%+v, %v", v, err)
	}
	w.eventually("the keyword follows", func() bool { return alice.wait(mailbox.Inbox, "the first").Flags.Has(mailbox.Verified) })
}

// TestVerifyByInvite makes an invite that is good for one address and one use.
func TestVerifyByInvite(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	ctx := context.Background()
	alice, bob, eve := w.add("alice"), w.stranger("bob"), w.stranger("eve")
	v, err := alice.VerifyContact(ctx, "Bob <"+bob.addr+">", "", "")
	if err != nil || v.Invite == nil || !v.Invite.Once || v.Invite.For != bob.addr || v.Contact.Address != bob.addr || v.Contact.Verified {
		t.Fatalf("%+v, %v", v, err)
	}
	link, err := securejoin.ParseLink(v.Invite.Link)
	if err != nil {
		t.Fatal(err)
	}
	eve.join(alice, link)
	eve.send(alice, plainRequest(link))
	bob.join(alice, link)
	if got := eve.answers(link.Secret()); len(got) != 0 {
		t.Errorf("answers to another address: %v", got)
	}
	alice.want(mailbox.Bridge, eve.addr+" tried to join by your invite "+v.Invite.ID+", which is for "+bob.addr+" alone", 1)
	if got := bob.answers(link.Secret()); !slices.Equal(got, joinSteps) || !alice.contact(bob.addr).Verified || alice.contact(eve.addr).Verified {
		t.Errorf("answers %v", got)
	}
}

// TestReset forgets a contact's key. The same invite may be joined again then.
func TestReset(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	ctx := context.Background()
	alice, bob := w.add("alice"), w.add("bob")
	if _, err := bob.ResetContact(ctx, alice.addr); !errors.Is(err, account.ErrNotFound) {
		t.Error(err)
	}
	j := w.begin(alice, bob, account.InviteOptions{})
	w.verified(alice, bob, j)
	c, err := bob.ResetContact(ctx, alice.addr)
	if err != nil || c.Verified || c.Fingerprint != "" || c.VerifiedHow != "" || c.VerifiedWay != "" || c.VerifiedAt != nil {
		t.Errorf("%+v, %v", c, err)
	}
	again := bob.follow(alice.anyLink())
	if again.ID == j.ID {
		t.Error("the old join stands")
	}
	if again, err := bob.WaitJoin(ctx, again.ID); err != nil || again.State != account.JoinCompleted || !bob.contact(alice.addr).Verified {
		t.Errorf("%+v, %v", again, err)
	}
}

// anyLink is the link of the newest invite.
func (p *person) anyLink() securejoin.Link {
	p.w.Helper()
	list, err := p.Invites(context.Background())
	if err != nil || len(list) == 0 {
		p.w.Fatal(list, err)
	}
	link, err := securejoin.ParseLink(list[0].Link)
	if err != nil {
		p.w.Fatal(err)
	}
	return link
}

// TestBlocked: the handshakes of a blocked contact have no effect and get no answer, in either
// role; mail is shown as before.
func TestBlocked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	ctx := context.Background()
	alice, eve, ivy := w.add("alice"), w.stranger("eve"), w.stranger("ivy")
	_, link := alice.invite(account.InviteOptions{})
	_, asking := alice.invite(account.InviteOptions{Ask: true})
	eve.join(alice, asking)
	pending := alice.follow(ivy.link())
	for _, addr := range []string{eve.addr, ivy.addr} {
		if c, err := alice.BlockContact(ctx, addr, true); err != nil || !c.Blocked || c.Address != addr {
			t.Errorf("%+v, %v", c, err)
		}
	}
	if j, err := alice.GetJoin(ctx, pending.ID); err != nil || j.State != account.JoinFailed || j.Reason != "you have blocked this contact" {
		t.Errorf("%+v, %v", j, err)
	}
	eve.join(alice, link)
	eve.send(alice, plainRequest(link))
	if got := eve.answers(asking.Secret()); !slices.Equal(got, []string{"vc-pubkey"}) {
		t.Errorf("answers %v", got)
	}
	if c := alice.contact(eve.addr); c.Verified || c.Fingerprint != "" {
		t.Errorf("%+v", c)
	}
	_, err := alice.AcceptJoiner(ctx, alice.waiting(), "")
	wantBadData(t, err, "you have blocked")
	_, err = alice.VerifyContact(ctx, eve.addr, "", "")
	wantBadData(t, err, "you have blocked")
	_, err = alice.Join(ctx, ivy.link().String(), account.JoinOptions{})
	wantBadData(t, err, "you have blocked")
	_, err = alice.BlockContact(ctx, alice.addr, true)
	wantBadData(t, err, "your own")
	w.deliver(alice, eve.mailFrom(alice, "mail@x", "shown as before"))
	alice.wait(mailbox.Inbox, "shown as before")
	if c, err := alice.BlockContact(ctx, eve.addr, false); err != nil || c.Blocked {
		t.Errorf("%+v, %v", c, err)
	}
	eve.join(alice, link)
	if got := eve.answers(link.Secret(), asking.Secret()); len(got) != 3 || !alice.contact(eve.addr).Verified {
		t.Errorf("answers %v", got)
	}
}

// waiting is the id of the invite at which somebody waits.
func (p *person) waiting() string {
	p.w.Helper()
	list, err := p.Invites(context.Background())
	if err != nil {
		p.w.Fatal(err)
	}
	n := slices.IndexFunc(list, func(i account.Invite) bool { return len(i.Asking) > 0 })
	return list[max(n, 0)].ID
}

// TestKeyChanges: a key that comes by mail beside a verified one, however it was verified, is a
// candidate: it changes nothing, and says so. The user's ways out are to accept it, to verify it,
// and to forget the contact.
func TestKeyChanges(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"v3", "legacy", "manual", "group"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, provider.Options{})
			ctx := context.Background()
			alice, bob := w.add("alice"), w.stranger("bob")
			o := account.InviteOptions{Legacy: how == "legacy"}
			if how == "group" {
				g, err := alice.CreateGroup(ctx, "Book club")
				if err != nil {
					t.Fatal(err)
				}
				o.Group = g.ID
			}
			_, link := alice.invite(o)
			w.deliver(alice, bob.mailFrom(alice, "first@x", "with the old key"))
			alice.wait(mailbox.Inbox, "with the old key")
			if how == "manual" {
				if _, err := alice.VerifyContact(ctx, bob.addr, string(bob.key.Fingerprint()), ""); err != nil {
					t.Fatal(err)
				}
			} else {
				bob.join(alice, link)
			}
			old := alice.contact(bob.addr)
			if !old.Verified || old.Fingerprint != bob.key.Fingerprint() {
				t.Fatalf("%+v", old)
			}
			thief := &stranger{w, bob.addr, w.newKey(bob.addr)}
			for _, id := range []string{"forged1@x", "forged2@x"} {
				w.deliver(alice, thief.mailFrom(alice, id, "another key "+id))
				m := alice.wait(mailbox.Inbox, "another key "+id)
				w.untrusted(m)
				if s := securityOf(m); !m.Flags.Has(mailbox.KeyChanged) || !strings.Contains(m.header(headers.SecurityName), "warning=key-changed") || s.Trust != "none" {
					t.Errorf("%+v %v", s, m.Flags)
				}
			}
			alice.want(mailbox.Bridge, "Another key for "+bob.addr, 1)
			c := alice.contact(bob.addr)
			if !slices.Equal(c.Candidates, []pgp.Fingerprint{thief.key.Fingerprint()}) {
				t.Errorf("candidates %v", c.Candidates)
			}
			if c.Fingerprint != old.Fingerprint || c.VerifiedHow != old.VerifiedHow || !c.VerifiedAt.Equal(*old.VerifiedAt) {
				t.Errorf("%+v\n%+v", c, old)
			}
			if v, err := alice.VerifyContact(ctx, bob.addr, string(thief.key.Fingerprint()), ""); err != nil ||
				v.Contact.Fingerprint != thief.key.Fingerprint() || v.Contact.VerifiedHow != "manual" || len(v.Contact.Candidates) != 0 {
				t.Errorf("%+v, %v", v, err)
			}
		})
	}
}
