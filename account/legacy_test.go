package account_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"mailbridge/account"
	"mailbridge/internal/provider"
	"mailbridge/mailbox"
	"mailbridge/message"
	"mailbridge/securejoin"
)

// TestLegacyHandshake runs the protocol of two tokens between two bridges: nobody sees any of it,
// and both know how the other was verified.
func TestLegacyHandshake(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]provider.Options{"plain": {}, "saves": {SaveSent: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, o)
			alice, bob := w.add("alice"), w.add("bob")
			invite, link := alice.invite(account.InviteOptions{Legacy: true, Way: "shown"})
			if link.V3 || !invite.Legacy {
				t.Errorf("%+v", invite)
			}
			j, err := bob.Join(context.Background(), invite.Link, account.JoinOptions{Way: "copied"})
			if err != nil {
				t.Fatal(err)
			}
			w.verified(alice, bob, j)
			for _, c := range []account.Contact{alice.contact(bob.addr), bob.contact(alice.addr)} {
				if c.VerifiedHow != securejoin.HowLegacy || c.VerifiedAt == nil {
					t.Errorf("%+v", c)
				}
			}
			if a, b := alice.contact(bob.addr).VerifiedWay, bob.contact(alice.addr).VerifiedWay; a != "shown" || b != "copied" {
				t.Errorf("ways %q and %q", a, b)
			}
		})
	}
}

// TestRequestOfOldApp: an app that knows nothing of version 3 sends a plain request to a link
// that offers both, and writes its key outside of what it encrypts (Delta Chat 1.160).
func TestRequestOfOldApp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, eve := w.add("alice"), w.stranger("eve")
	_, link := alice.invite(account.InviteOptions{})
	eve.send(alice, plainRequest(link))
	alice.sent()
	if got := eve.answers(); !slices.Equal(got, []string{"vc-auth-required"}) {
		t.Fatalf("answers %v", got)
	}
	outside := func(m *securejoin.Mail) {
		h, _ := message.ParseHeader(m.Inner)
		m.Outer = append(m.Outer, h.Fields[slices.IndexFunc(h.Fields, func(f message.Field) bool { return f.Name == "Autocrypt" })].Raw...)
		without("Autocrypt")(m)
	}
	eve.send(alice, withAuth(link), outside)
	alice.sent()
	if got := eve.answers(); !slices.Equal(got, []string{"vc-auth-required", "vc-contact-confirm"}) {
		t.Errorf("answers %v", got)
	}
	if c := alice.contact(eve.addr); !c.Verified || c.VerifiedHow != securejoin.HowLegacy || c.Fingerprint != eve.key.Fingerprint() {
		t.Errorf("%+v", c)
	}
	alice.want(mailbox.Inbox, "", 0)
}

// TestInviterWithoutKeyInside: an inviter of that time writes its key outside, too.
func TestInviterWithoutKeyInside(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	bob, eve := w.add("bob"), w.stranger("eve")
	link := eve.link()
	link.V3 = false
	j := bob.follow(link)
	if got := eve.answers(); !slices.Equal(got, []string{"vc-request"}) {
		t.Fatalf("sent %v", got)
	}
	required := securejoin.Send{Step: securejoin.AuthRequired, Signed: true}
	move := func(m *securejoin.Mail) {
		h, _ := message.ParseHeader(m.Inner)
		m.Outer = append(m.Outer, h.Fields[slices.IndexFunc(h.Fields, func(f message.Field) bool { return f.Name == "Autocrypt" })].Raw...)
		without("Autocrypt")(m)
	}
	eve.send(bob, required, move)
	bob.sent()
	if got := eve.answers(); !slices.Equal(got, []string{"vc-request", "vc-request-with-auth"}) {
		t.Fatalf("sent %v", got)
	}
	eve.send(bob, confirm())
	if j, err := bob.GetJoin(context.Background(), j.ID); err != nil || j.State != account.JoinCompleted {
		t.Errorf("%+v, %v", j, err)
	}
	bob.want(mailbox.Inbox, "", 0)
}

// TestAttackPlainRequest: a plain request is hidden and answered only if it proves the number of
// a live invite, in its own form and with a key that can be answered. All else is ordinary mail; of
// what proves the number of an ended invite the user is told, too.
func TestAttackPlainRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, eve := w.add("alice"), w.stranger("eve")
	_, link := alice.invite(account.InviteOptions{})
	revoked, dead := alice.invite(account.InviteOptions{})
	if _, err := alice.RevokeInvite(context.Background(), revoked.ID); err != nil {
		t.Fatal(err)
	}
	unknown := link
	unknown.Number = strings.Repeat("x", 24)
	auth := link
	auth.Number = link.Auth
	for name, raw := range map[string][]byte{
		"revoked":     eve.write(alice, plainRequest(dead)),
		"unknown":     eve.write(alice, plainRequest(unknown)),
		"AUTH":        eve.write(alice, plainRequest(auth)),
		"no key":      eve.write(alice, plainRequest(link), editOuter("Autocrypt:", "X-Other:")),
		"other key":   eve.write(alice, plainRequest(link), editOuter("Autocrypt: addr="+eve.addr, "Autocrypt: addr=other@example.net")),
		"own address": eve.write(alice, plainRequest(link), editOuter(eve.addr, alice.addr)),
		"two senders": eve.write(alice, plainRequest(link), editOuter("MIME-Version:", "From: <bob@example.net>\r\nMIME-Version:")),
		"no id":       eve.write(alice, plainRequest(link), editOuter("Message-ID:", "X-Message-ID:")),
		"more parts":  eve.write(alice, plainRequest(link), editOuter("--step--", "--step\r\nContent-Type: text/plain\r\n\r\nread me\r\n--step--")),
		"longer": eve.write(alice, plainRequest(link), editOuter("\r\n\r\nSecure-Join: vc-request\r\n",
			"\r\n\r\n"+strings.Repeat("a letter that nobody would see\r\n", 100))),
		"html": eve.write(alice, plainRequest(link), editOuter("text/plain", "text/html")),
	} {
		before := alice.count(mailbox.Inbox, "")
		w.deliver(alice, raw)
		alice.synced()
		if after := alice.count(mailbox.Inbox, ""); after != before+1 {
			t.Errorf("%s: %d messages after %d", name, after, before)
		}
	}
	alice.sent()
	if got := eve.answers(); len(got) != 0 {
		t.Errorf("answers %v", got)
	}
	alice.want(mailbox.Bridge, "by your invite "+revoked.ID+", which was revoked on", 1)
	alice.want(mailbox.Bridge, "", 1)
}

// TestPlainRequestBeforeTheAccount: mail that was there before the account is never answered.
func TestPlainRequestBeforeTheAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, eve := w.add("alice"), w.stranger("eve")
	_, link := alice.invite(account.InviteOptions{})
	raw := eve.write(alice, plainRequest(link))
	if _, err := w.provider.Put(alice.addr, mailbox.Inbox, raw, nil, w.now().AddDate(0, 0, -1)); err != nil {
		t.Fatal(err)
	}
	alice.synced()
	alice.want(mailbox.Inbox, "", 1)
	if got := eve.answers(); len(got) != 0 {
		t.Errorf("answers %v", got)
	}
}

// TestAttackPlainRequestReplayed: the same request twice is answered once, and more of them no
// oftener than the cap allows; the rest comes later.
func TestAttackPlainRequestReplayed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, eve := w.add("alice"), w.stranger("eve")
	_, link := alice.invite(account.InviteOptions{})
	raw := eve.write(alice, plainRequest(link))
	for range 3 {
		w.deliver(alice, raw)
	}
	alice.synced()
	w.eventually("one answer", func() bool { return len(eve.answers()) == 1 })
	for range 2 * securejoin.AnswersPerAddress {
		eve.send(alice, plainRequest(link))
	}
	w.eventually("as many answers as the cap allows", func() bool { return len(eve.answers()) == securejoin.AnswersPerAddress })
	alice.want(mailbox.Inbox, "", 0)
	if s := alice.State(context.Background()); s.Queued != 1 {
		t.Errorf("%d wait", s.Queued)
	}
}

// TestMixedProtocols: the answer of either protocol moves a join that began with the other.
func TestMixedProtocols(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	for name, v3 := range map[string]bool{"ivy": true, "jane": false} {
		bob, ivy := w.add("bob-of-"+name), w.stranger(name)
		link, answer, how := ivy.link(), authRequired(), securejoin.HowLegacy
		if link.V3 = v3; !v3 {
			answer, how = pubkey(link), securejoin.HowV3
		}
		j := bob.follow(link)
		ivy.send(bob, answer)
		bob.sent()
		if got := ivy.answers(link.Secret()); len(got) != 2 || got[1] != "vc-request-with-auth" {
			t.Errorf("%s: sent %v", name, got)
		}
		ivy.send(bob, confirm())
		if s, c := bob.state(j.ID), bob.contact(ivy.addr); s.State != account.JoinCompleted || c.VerifiedHow != how {
			t.Errorf("%s: %+v\n%+v", name, s, c)
		}
	}
}
