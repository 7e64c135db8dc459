package account_test

import (
	"context"
	"crypto/rand"
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

// The tests in this file play somebody whose invite is joined, or who gets between the two.

// authRequired is the inviter's answer in the older protocol.
func authRequired() securejoin.Send {
	return securejoin.Send{Step: securejoin.AuthRequired, Signed: true}
}

// memberAdded takes a person into a group of the stranger's.
func (s *stranger) memberAdded(to *person, l securejoin.Link, twists ...twist) []byte {
	s.w.Helper()
	now := s.w.now()
	g, err := securejoin.NewGroup(l.GroupID, l.GroupName, s.self(), now.Add(-time.Hour))
	if err != nil {
		s.w.Fatal(err)
	}
	_, post, err := g.Add(s.self(), securejoin.Member{Fingerprint: to.cert().Fingerprint(), Addr: to.addr}, true, now)
	if err != nil {
		s.w.Fatal(err)
	}
	mail, err := securejoin.ComposePost(post, s.self(), securejoin.Env{
		Now: now, OuterDate: now.Add(-time.Hour), MessageID: rand.Text() + "@localhost",
		Autocrypt: strings.ReplaceAll(autocrypt.Header{Addr: s.addr, Cert: s.key.Cert()}.Value(), " ", "\r\n "),
		Gossips: []string{
			autocrypt.Header{Addr: s.addr, Cert: s.key.Cert()}.GossipValue(),
			autocrypt.Header{Addr: to.addr, Cert: to.cert()}.GossipValue(),
		},
	})
	if err != nil {
		s.w.Fatal(err)
	}
	for _, twist := range twists {
		twist(&mail)
	}
	ciphertext, err := pgp.Encrypt(mail.Inner, pgp.EncryptOptions{Signer: s.key, To: []*pgp.Cert{to.cert()}, Now: now})
	if err != nil {
		s.w.Fatal(err)
	}
	return pgp.JoinEncrypted(mail.Outer, ciphertext, "added")
}

// TestAttackLinkOfAnother: a link whose address, or one of whose relays, has another key is not
// joined before the user gives that key up.
func TestAttackLinkOfAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	ctx := context.Background()
	alice, bob, eve := w.add("alice"), w.stranger("bob"), w.stranger("eve")
	_, own := alice.invite(account.InviteOptions{})
	bob.join(alice, own)
	before := len(w.provider.Submissions())
	address, relay, legacy := eve.link(), eve.link(), eve.link()
	address.Addr, relay.Relays = bob.addr, []string{bob.addr}
	legacy.Addr, legacy.V3 = bob.addr, false
	for _, link := range []securejoin.Link{address, relay, legacy} {
		_, err := alice.Join(ctx, link.String(), account.JoinOptions{})
		wantBadData(t, err, bob.addr+" has another key already")
	}
	if n := len(w.provider.Submissions()) - before; n != 0 {
		t.Errorf("%d messages", n)
	}
	if c := alice.contact(bob.addr); c.Fingerprint != bob.key.Fingerprint() || len(c.Candidates) != 0 {
		t.Errorf("%+v", c)
	}
	// The user gives it up. Still only the link's key counts, from one of the link's addresses.
	if _, err := alice.Join(ctx, address.String(), account.JoinOptions{Replace: true}); err != nil {
		t.Fatal(err)
	}
	alice.sent()
	eve.send(alice, pubkey(address))
	if c := alice.contact(bob.addr); c.Fingerprint != bob.key.Fingerprint() {
		t.Errorf("from an address that is not in the link: %+v", c)
	}
	thief := &stranger{w, bob.addr, eve.key}
	thief.send(alice, pubkey(address))
	if c := alice.contact(bob.addr); c.Fingerprint != eve.key.Fingerprint() || !c.Verified {
		t.Errorf("%+v", c)
	}
}

// TestAttackKeyBetween: a key that came up for the inviter's address after the user was asked
// makes the join a claim.
func TestAttackKeyBetween(t *testing.T) {
	t.Parallel()
	for _, legacy := range []bool{false, true} {
		w := newWorld(t, provider.Options{})
		ctx := context.Background()
		alice, bob := w.add("alice"), w.stranger("bob")
		eve := &stranger{w, bob.addr, w.newKey(bob.addr)}
		link, answer := eve.link(), authRequired()
		link.V3 = !legacy
		if !legacy {
			answer = pubkey(link)
		}
		j := alice.follow(link)
		w.deliver(alice, bob.mailFrom(alice, "bob@x", "hello from bob"))
		alice.wait(mailbox.Inbox, "hello from bob")
		eve.send(alice, answer)
		eve.send(alice, confirm())
		alice.sent()
		if s := alice.state(j.ID); s.State != account.JoinClaim || !strings.Contains(s.Reason, "bridge contact accept "+bob.addr) {
			t.Errorf("%+v", s)
		}
		if c := alice.contact(bob.addr); c.Verified || c.Fingerprint != bob.key.Fingerprint() || !slices.Equal(c.Candidates, []pgp.Fingerprint{eve.key.Fingerprint()}) {
			t.Errorf("%+v", c)
		}
		alice.want(mailbox.Bridge, "Another key for "+bob.addr, 1)
		before := len(eve.ids())
		if c, err := alice.AcceptKey(ctx, bob.addr, string(eve.key.Fingerprint())); err != nil || !c.Verified || c.VerifiedHow == "" {
			t.Errorf("%+v, %v", c, err)
		}
		alice.sent()
		if s := alice.state(j.ID); s.State != account.JoinCompleted {
			t.Errorf("%+v", s)
		}
		if n := len(eve.ids()) - before; n != 0 {
			t.Errorf("%d messages to an inviter, who waits for none", n)
		}
	}
}

// inviterAttack is a message that must not move a join.
type inviterAttack struct {
	name   string
	by     *stranger
	send   securejoin.Send
	twists []twist
}

// TestAttackKeyOfInviter: no key but that of the link, sent as it must be, moves a join.
func TestAttackKeyOfInviter(t *testing.T) {
	t.Parallel()
	for _, legacy := range []bool{false, true} {
		w := newWorld(t, provider.Options{})
		alice, ivy, eve := w.add("alice"), w.stranger("ivy"), w.stranger("eve")
		posing := &stranger{w, ivy.addr, eve.key} // knows the link, and writes in her name
		link := ivy.link()
		link.V3 = !legacy
		other := link
		other.Auth = eve.link().Auth
		good, name := authRequired(), "Secure-Join: vc-auth-required"
		if !legacy {
			good, name = pubkey(link), "Secure-Join: vc-pubkey"
		}
		unsigned := good
		unsigned.Signed = false
		j := alice.follow(link)
		attacks := []inviterAttack{
			{"another key", posing, good, nil},
			{"another key, with hers beside it", posing, good, []twist{autocryptOf(ivy.addr, ivy.key)}},
			{"unsigned", ivy, unsigned, nil},
			{"another address", &stranger{w, eve.addr, ivy.key}, good, nil},
			{"another sender inside", ivy, good, []twist{edit("From: <"+ivy.addr, "From: <"+eve.addr)}},
			{"another sender outside", ivy, good, []twist{editOuter(ivy.addr, eve.addr)}},
			{"another key inside", ivy, good, []twist{autocryptOf(ivy.addr, eve.key)}},
			{"without key", ivy, good, []twist{without("Autocrypt")}},
			{"without Message-ID", ivy, good, []twist{without("Message-ID")}},
			{"the end before its time", ivy, confirm(), nil},
			{"another step", ivy, good, []twist{edit(name, "Secure-Join: vc-contact-confirm")}},
		}
		if legacy {
			attacks = append(attacks, inviterAttack{"without gossip", ivy, good, []twist{without("Autocrypt-Gossip")}})
		} else {
			attacks = append(attacks,
				inviterAttack{"another AUTH inside", ivy, good, []twist{edit(link.Auth, other.Auth)}},
				inviterAttack{"another secret", ivy, pubkey(other), nil},
				inviterAttack{"asymmetric", ivy, securejoin.Send{Step: securejoin.ContactConfirm, Signed: true}, []twist{edit("vc-contact-confirm", "vc-pubkey")}})
		}
		for _, attack := range attacks {
			attack.by.send(alice, attack.send, attack.twists...)
			alice.sent()
			if n := len(ivy.ids()); n != 1 {
				t.Fatalf("%s: %d messages", attack.name, n)
			}
			if c := alice.contact(ivy.addr); c.Verified {
				t.Fatalf("%s: %+v", attack.name, c)
			}
		}
		if s := alice.state(j.ID); s.State != account.JoinPending {
			t.Errorf("%+v", s)
		}
		// What was no step was mail, and has brought another key for her address.
		if _, err := alice.ResetContact(context.Background(), ivy.addr); err != nil {
			t.Fatal(err)
		}
		ivy.send(alice, good) // and as it must be
		ivy.send(alice, confirm())
		if s := alice.state(j.ID); s.State != account.JoinCompleted || !alice.contact(ivy.addr).Verified {
			t.Errorf("%+v", s)
		}
	}
}

// TestAttackEndOfJoin: the end of a join counts only if signed by the key of the link, and about
// our key; for a group it is the member-added of that group alone.
func TestAttackEndOfJoin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, ivy, eve := w.add("alice"), w.stranger("ivy"), w.stranger("eve")
	contact, group := ivy.links()["v3"], ivy.links()["group"]
	a, b := alice.follow(contact), alice.follow(group)
	ivy.send(alice, pubkey(contact))
	alice.sent()
	_, own := alice.invite(account.InviteOptions{})
	eve.join(alice, own) // a verified contact of alice's, even
	posing := &stranger{w, ivy.addr, eve.key}
	unsigned := confirm()
	unsigned.Signed = false
	elsewhere := group
	elsewhere.GroupID = "AnotherGroupId"
	other := w.newKey(alice.addr)
	check := func(name string) {
		t.Helper()
		for _, id := range []string{a.ID, b.ID} {
			if s := alice.state(id); s.State != account.JoinPending {
				t.Fatalf("%s: %+v", name, s)
			}
		}
	}
	for _, attack := range []inviterAttack{
		{"signed by another", eve, confirm(), nil},
		{"signed by another, in her name", posing, confirm(), nil},
		{"unsigned", ivy, unsigned, nil},
		{"without gossip", ivy, confirm(), []twist{without("Autocrypt-Gossip")}},
		{"about another key", ivy, confirm(), []twist{gossipOf(alice.addr, other)}},
		{"another sender inside", ivy, confirm(), []twist{edit("From: <"+ivy.addr, "From: <"+eve.addr)}},
		{"another sender outside", ivy, confirm(), []twist{editOuter(ivy.addr, eve.addr)}},
		{"another address", &stranger{w, eve.addr, ivy.key}, confirm(), nil},
		{"with the secret", ivy, pubkey(contact), []twist{edit("vc-pubkey", "vc-contact-confirm")}},
	} {
		attack.by.send(alice, attack.send, attack.twists...)
		check(attack.name)
	}
	fpr := string(alice.cert().Fingerprint())
	for name, raw := range map[string][]byte{
		"added by another":          eve.memberAdded(alice, group),
		"added in her name":         posing.memberAdded(alice, group),
		"another group":             ivy.memberAdded(alice, elsewhere),
		"somebody else added":       ivy.memberAdded(alice, group, edit("Added-Fpr: "+fpr, "Added-Fpr: "+string(other.Fingerprint())), edit("Member-Added: "+alice.addr, "Member-Added: "+eve.addr)),
		"added without gossip":      ivy.memberAdded(alice, group, without("Autocrypt-Gossip")),
		"added from another sender": ivy.memberAdded(alice, group, editOuter(ivy.addr, eve.addr)),
	} {
		w.deliver(alice, raw)
		alice.synced()
		check(name)
	}
	ivy.send(alice, confirm())
	if s := alice.state(a.ID); s.State != account.JoinCompleted {
		t.Errorf("%+v", s)
	}
	if s := alice.state(b.ID); s.State != account.JoinPending {
		t.Errorf("the confirmation of a contact ends the join of a group: %+v", s)
	}
	w.deliver(alice, ivy.memberAdded(alice, group))
	alice.synced()
	if s := alice.state(b.ID); s.State != account.JoinCompleted {
		t.Errorf("%+v", s)
	}
	members, err := alice.GroupMembers(context.Background(), group.GroupID)
	in := func(addr string) bool {
		return slices.ContainsFunc(members, func(m account.Member) bool { return m.Address == addr })
	}
	if err != nil || !in(alice.addr) || !in(ivy.addr) {
		t.Errorf("members %+v, %v", members, err)
	}
}

// TestAttackReplayToJoiner: replayed and late steps of an inviter change nothing.
func TestAttackReplayToJoiner(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, ivy := w.add("alice"), w.stranger("ivy")
	link := ivy.link()
	j := alice.follow(link)
	key, end := ivy.write(alice, pubkey(link)), ivy.write(alice, confirm())
	for _, raw := range [][]byte{end, key, key, ivy.write(alice, confirm()), end, key, ivy.write(alice, pubkey(link)), ivy.write(alice, authRequired())} {
		w.deliver(alice, raw)
		alice.synced()
	}
	alice.sent()
	if got := ivy.answers(link.Secret()); !slices.Equal(got, []string{"vc-request-pubkey", "vc-request-with-auth"}) {
		t.Errorf("sent %v", got)
	}
	if s := alice.state(j.ID); s.State != account.JoinCompleted {
		t.Errorf("%+v", s)
	}
	alice.want(mailbox.Inbox, "", 0)
	alice.want(mailbox.Bridge, "", 1)
	if _, err := alice.ResetContact(context.Background(), ivy.addr); err != nil {
		t.Fatal(err)
	}
	w.deliver(alice, key)
	w.deliver(alice, end)
	alice.synced()
	if c := alice.contact(ivy.addr); c.Verified || c.Fingerprint != "" {
		t.Errorf("after a replay: %+v", c)
	}
}
