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
	"mailbridge/mailbox"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// The tests in this file play somebody who holds an invite of alice's and is not who he says, or
// who wants more from it than it gives.

// TestAttackJoinUnderAnotherName: a link proves its holder and not an address. Who joins under
// an address that has another key, verified or not, in either protocol, is a claim: nothing is
// encrypted to it, and it hears nothing, until the user accepts it.
func TestAttackJoinUnderAnotherName(t *testing.T) {
	t.Parallel()
	for _, o := range []struct {
		name             string
		legacy, verified bool
		group            bool
	}{{"v3, verified", false, true, false}, {"legacy, verified", true, true, false}, {"v3, by mail", false, false, false}, {"group", false, true, true}} {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, provider.Options{})
			ctx := context.Background()
			alice, bob := w.add("alice"), w.stranger("bob")
			options := account.InviteOptions{Legacy: o.legacy}
			if o.group {
				if _, err := alice.CreateGroup(ctx, "Book club"); err != nil {
					t.Fatal(err)
				}
				options.Group = "Book club"
			}
			_, link := alice.invite(options)
			if o.verified {
				_, first := alice.invite(account.InviteOptions{})
				bob.join(alice, first)
			} else {
				w.deliver(alice, bob.mailFrom(alice, "first@x", "hello from bob"))
				alice.wait(mailbox.Inbox, "hello from bob")
			}
			before := len(bob.ids())
			eve := &stranger{w, bob.addr, w.newKey(bob.addr)}
			if o.legacy {
				eve.send(alice, plainRequest(link))
			} else {
				eve.send(alice, requestPubkey(link))
			}
			eve.send(alice, withAuth(link))
			alice.sent()
			c := alice.contact(bob.addr)
			if c.Fingerprint != bob.key.Fingerprint() || c.Verified != o.verified || !slices.Equal(c.Candidates, []pgp.Fingerprint{eve.key.Fingerprint()}) {
				t.Errorf("%+v", c)
			}
			accept := fmt.Sprintf("bridge contact accept %s %s", bob.addr, eve.key.Fingerprint())
			alice.want(mailbox.Bridge, accept, 1)
			if n := len(bob.ids()) - before; n != 1 {
				t.Errorf("%d answers to a claim", n)
			}
			if o.group {
				alice.wantMembers("Book club", alice.addr)
			}
			alice.submit([]string{bob.addr}, letterTo(alice.addr, bob.addr, "secret", "for bob alone"))
			if _, err := pgp.Open(ciphertextOf(t, w, bob.addr), pgp.OpenOptions{Keys: []*pgp.Key{eve.key}, Now: w.now()}); err == nil {
				t.Error("the holder of the link reads mail to the address")
			}
			if o.verified {
				w.deliver(alice, eve.mailFrom(alice, "forged@x", "I am bob"))
				w.untrusted(alice.wait(mailbox.Inbox, "I am bob"))
			}

			before = len(bob.ids())
			c, err := alice.AcceptKey(ctx, bob.addr, string(eve.key.Fingerprint()))
			if err != nil || !c.Verified || c.Fingerprint != eve.key.Fingerprint() {
				t.Errorf("%+v, %v", c, err)
			}
			alice.sent()
			if n := len(bob.ids()) - before; n != 1 {
				t.Errorf("%d answers after the user's yes", n)
			}
			if o.group {
				alice.wantMembers("Book club", alice.addr, bob.addr)
			}
		})
	}
}

// wantMembers checks who is in a group.
func (p *person) wantMembers(group string, want ...string) {
	p.w.Helper()
	members, err := p.GroupMembers(context.Background(), group)
	var got []string
	for _, m := range members {
		got = append(got, m.Address)
	}
	slices.Sort(got)
	if err != nil || !slices.Equal(got, want) {
		p.w.Errorf("members %v, %v", got, err)
	}
}

// ciphertextOf is the ciphertext of the last message that was sent to an address.
func ciphertextOf(t *testing.T, w *world, addr string) []byte {
	t.Helper()
	list := w.provider.Submissions()
	n := len(list) - 1
	for !slices.Contains(list[n].To, addr) {
		n--
	}
	return splitOf(t, list[n].Data)
}

// TestAttackClaimAfterLeaving: to accept a claim takes nobody into a group that it had joined long
// before, and has left.
func TestAttackClaimAfterLeaving(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	ctx := context.Background()
	alice, bob := w.add("alice"), w.add("bob")
	if _, err := alice.CreateGroup(ctx, "Book club"); err != nil {
		t.Fatal(err)
	}
	invite, link := alice.invite(account.InviteOptions{Group: "Book club"})
	if j, err := bob.WaitJoin(ctx, bob.follow(link).ID); err != nil || j.State != account.JoinCompleted {
		t.Fatalf("%+v, %v", j, err)
	}
	if _, err := bob.LeaveGroup(ctx, "Book club"); err != nil {
		t.Fatal(err)
	}
	w.eventually("the invite is revoked", func() bool { return alice.listed(invite.ID).State == "revoked" })
	alice.wantMembers("Book club", alice.addr)
	if _, err := alice.ReviveInvite(ctx, invite.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := alice.ResetContact(ctx, bob.addr); err != nil {
		t.Fatal(err)
	}
	w.advance(time.Hour)
	other := &stranger{w, bob.addr, w.newKey(bob.addr)}
	w.deliver(alice, other.mailFrom(alice, "new@x", "a new key"))
	alice.wait(mailbox.Inbox, "a new key")
	_, contact := alice.invite(account.InviteOptions{})
	bob.follow(contact)
	fpr := bob.cert().Fingerprint()
	w.eventually("the claim waits", func() bool { return slices.Contains(alice.contact(bob.addr).Candidates, fpr) })
	if c, err := alice.AcceptKey(ctx, bob.addr, string(fpr)); err != nil || !c.Verified {
		t.Fatalf("%+v, %v", c, err)
	}
	alice.sent()
	alice.wantMembers("Book club", alice.addr)
}

// TestAttackSteps: every step of a joiner that is not as it must be has no effect and no answer.
func TestAttackSteps(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, eve := w.add("alice"), w.stranger("eve")
	_, link := alice.invite(account.InviteOptions{})
	_, second := alice.invite(account.InviteOptions{})
	stranger := w.newKey("stranger@example.net")
	unsigned := func(s securejoin.Send) securejoin.Send { s.Signed = false; return s }
	own := string(eve.key.Fingerprint())
	from := func(t twist) []twist { return []twist{t} }
	for name, step := range map[string]struct {
		send   securejoin.Send
		twists []twist
	}{
		"request: AUTH of another invite":  {requestPubkey(link), from(edit(link.Auth, second.Auth))},
		"request: without AUTH":            {requestPubkey(link), from(without("Secure-Join-Auth"))},
		"request: another sender inside":   {requestPubkey(link), from(edit("From: <"+eve.addr, "From: <bob@"+domain))},
		"request: another sender outside":  {requestPubkey(link), from(editOuter(eve.addr, "bob@"+domain))},
		"request: without Message-ID":      {requestPubkey(link), from(without("Message-ID"))},
		"request: our address":             {requestPubkey(link), []twist{edit(eve.addr, alice.addr), editOuter(eve.addr, alice.addr)}},
		"auth: with the secret":            {securejoin.Send{Step: securejoin.RequestPubkey, Auth: link.Auth, Secret: link.Secret()}, from(edit("vc-request-pubkey", "vc-request-with-auth"))},
		"auth: number as AUTH":             {withAuth(link), from(edit(link.Auth, link.Number))},
		"auth: without AUTH":               {withAuth(link), from(without("Secure-Join-Auth"))},
		"auth: unsigned":                   {unsigned(withAuth(link)), nil},
		"auth: another sender inside":      {withAuth(link), from(edit("From: <"+eve.addr, "From: <bob@"+domain))},
		"auth: another sender outside":     {withAuth(link), from(editOuter(eve.addr, "bob@"+domain))},
		"auth: without gossip":             {withAuth(link), from(without("Autocrypt-Gossip"))},
		"auth: gossip of another key":      {withAuth(link), from(gossipOf(alice.addr, stranger))},
		"auth: without fingerprint":        {withAuth(link), from(without("Secure-Join-Fingerprint"))},
		"auth: fingerprint of another key": {withAuth(link), from(edit("Fingerprint: "+own, "Fingerprint: "+string(stranger.Fingerprint())))},
		"auth: another key inside":         {withAuth(link), from(autocryptOf(eve.addr, stranger))},
		"auth: without Message-ID":         {withAuth(link), from(without("Message-ID"))},
	} {
		eve.send(alice, step.send, step.twists...)
		alice.sent()
		if got := eve.answers(link.Secret(), second.Secret()); len(got) != 0 {
			t.Fatalf("%s: answers %v", name, got)
		}
	}
	if c := alice.contact(eve.addr); c.Verified || slices.Contains(c.Candidates, eve.key.Fingerprint()) {
		t.Errorf("%+v", c)
	}
	if c := alice.contact("bob@" + domain); c.Fingerprint != "" {
		t.Errorf("%+v", c)
	}
	alice.want(mailbox.Bridge, "", 0)
	eve.join(alice, link) // and as it must be
	if got := eve.answers(link.Secret()); !slices.Equal(got, joinSteps) {
		t.Errorf("answers %v", got)
	}
}

// TestAttackUnknownKey: a step that is signed by a key which is neither inside nor known is
// nobody's.
func TestAttackUnknownKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, eve := w.add("alice"), w.stranger("eve")
	_, link := alice.invite(account.InviteOptions{})
	eve.send(alice, withAuth(link), without("Autocrypt"))
	alice.sent()
	if got := eve.answers(); len(got) != 0 {
		t.Errorf("answers %v", got)
	}
	alice.want(mailbox.Inbox, "", 1)
	w.deliver(alice, eve.mailFrom(alice, "key@x", "my key"))
	alice.wait(mailbox.Inbox, "my key")
	eve.send(alice, withAuth(link), without("Autocrypt"))
	alice.sent()
	if got := eve.answers(); !slices.Equal(got, []string{"vc-contact-confirm"}) || !alice.contact(eve.addr).Verified {
		t.Errorf("answers %v", got)
	}
}

// gossipOf claims a key for an address.
func gossipOf(addr string, key *pgp.Key) twist {
	return func(m *securejoin.Mail) {
		without("Autocrypt-Gossip")(m)
		field := strings.Replace(strings.Replace(autocryptField(addr, key), "Autocrypt:", "Autocrypt-Gossip:", 1), "prefer-encrypt=mutual;", "", 1)
		m.Inner = append([]byte(field), m.Inner...)
	}
}

// autocryptOf claims a key for the sender.
func autocryptOf(addr string, key *pgp.Key) twist {
	return func(m *securejoin.Mail) {
		without("Autocrypt")(m)
		m.Inner = append([]byte(autocryptField(addr, key)), m.Inner...)
	}
}

// TestAttackReplay: a step that is sent again changes nothing and is answered once, however often
// and in whatever order it comes.
func TestAttackReplay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, eve := w.add("alice"), w.stranger("eve")
	_, link := alice.invite(account.InviteOptions{})
	request, auth := eve.write(alice, requestPubkey(link)), eve.write(alice, withAuth(link))
	for _, raw := range [][]byte{auth, request, auth, request, request, auth} {
		w.deliver(alice, raw)
		alice.synced()
	}
	alice.sent()
	if got := eve.answers(link.Secret()); !slices.Equal(got, []string{"vc-contact-confirm", "vc-pubkey"}) {
		t.Errorf("answers %v", got)
	}
	if c := alice.contact(eve.addr); !c.Verified {
		t.Errorf("%+v", c)
	}
	if _, err := alice.ResetContact(context.Background(), eve.addr); err != nil {
		t.Fatal(err)
	}
	w.advance(30 * 24 * time.Hour)
	w.deliver(alice, auth)
	alice.synced()
	if c := alice.contact(eve.addr); c.Verified || c.Fingerprint != "" {
		t.Errorf("after a replay: %+v", c)
	}
	alice.want(mailbox.Inbox, "", 0)
	alice.want(mailbox.Bridge, "", 1)
}

// TestAttackCaps: whoever holds a link makes alice send five answers an hour to one address, and
// sixty in all. The rest goes later, and what does not fit into the next hour not at all.
func TestAttackCaps(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice := w.add("alice")
	_, link := alice.invite(account.InviteOptions{})
	var eves []*stranger
	ask := func(eve *stranger, times int) {
		for range times {
			w.deliver(alice, eve.write(alice, requestPubkey(link)))
		}
		alice.synced()
	}
	answers := func() (n int) {
		for _, eve := range eves {
			n += len(eve.ids())
		}
		return n
	}
	const few = 3
	for n := range securejoin.AnswersPerInvite/securejoin.AnswersPerAddress + few {
		eves = append(eves, w.stranger(fmt.Sprintf("eve%d", n)))
	}
	for _, eve := range eves[few:] {
		ask(eve, securejoin.AnswersPerAddress)
	}
	w.eventually("all that the cap allows are sent", func() bool { return answers() == securejoin.AnswersPerInvite })
	for _, eve := range eves[:few+1] { // the last of them has had its five
		ask(eve, 2)
	}
	if waiting := alice.State(context.Background()).Queued; waiting != few+1 || answers() != securejoin.AnswersPerInvite {
		t.Errorf("%d wait, %d are sent", waiting, answers())
	}
	w.advance(61 * time.Minute)
	alice.tidied()
	alice.sent()
	if n := answers(); n != securejoin.AnswersPerInvite+few+1 {
		t.Errorf("%d answers", n)
	}
	alice.want(mailbox.Inbox, "", 0)
}

// TestAttackAnswerElsewhere: an answer goes to the one address that the step came from.
func TestAttackAnswerElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, eve := w.add("alice"), w.stranger("eve")
	_, link := alice.invite(account.InviteOptions{})
	more := func(m *securejoin.Mail) {
		m.Inner = append([]byte("Reply-To: <bob@"+domain+">\r\nCc: <carol@"+domain+">\r\n"), m.Inner...)
		m.Outer = append([]byte("Reply-To: <bob@"+domain+">\r\nSender: <carol@"+domain+">\r\n"), m.Outer...)
	}
	eve.send(alice, requestPubkey(link), more)
	eve.send(alice, withAuth(link), more)
	alice.sent()
	for _, m := range w.provider.Submissions() {
		if !slices.Equal(m.To, []string{eve.addr}) {
			t.Errorf("an answer to %v", m.To)
		}
	}
	if got := eve.answers(link.Secret()); !slices.Equal(got, joinSteps) {
		t.Errorf("answers %v", got)
	}
}
