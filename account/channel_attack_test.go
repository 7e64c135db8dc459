package account_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mailbridge/account"
	"mailbridge/headers"
	"mailbridge/internal/provider"
	"mailbridge/mailbox"
	"mailbridge/pgp"
)

// symmetric wraps a payload with a secret. signer is nil for an unsigned message.
func (w *world) symmetric(from, id, payload, secret string, signer *pgp.Key) []byte {
	w.Helper()
	ciphertext, err := pgp.EncryptSymmetric([]byte(payload), secret, pgp.SymmetricOptions{Signer: signer, Now: time.Now(), Compress: true})
	if err != nil {
		w.Fatal(err)
	}
	return pgp.JoinEncrypted([]byte(crlf(outerOf(from, `"hidden-recipients": ;`, id))), ciphertext, "attack")
}

// secrets are what opens a person's channels.
func (p *person) secrets() []string {
	p.w.Helper()
	list, err := p.ChannelSecrets()
	if err != nil {
		p.w.Fatal(err)
	}
	return list
}

// TestAttackForgedPosts: every subscriber knows the secret, and nobody but the owner can post.
func TestAttackForgedPosts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob, carol := w.add("alice"), w.add("bob"), w.add("carol")
	channel := alice.createChannel("news")
	w.subscribe(alice, channel.ID, bob, carol)
	secret := carol.secrets()[0]
	list := "Chat-List-ID: news <" + channel.ID + ">\r\nChat-Version: 1.0\r\n"
	other := "Chat-List-ID: news <" + strings.Repeat("o", 24) + ">\r\n"
	forge := func(id, from, more, secret string, signer *pgp.Key) {
		w.deliver(bob, w.symmetric(from, id, protected(from, `"hidden-recipients": ;`, id, "forged "+id, more), secret, signer))
	}
	forge("own@x", carol.addr, list+autocryptField(carol.addr, carol.SecretKey()), secret, carol.SecretKey())
	forge("name@x", alice.addr, list, secret, carol.SecretKey())
	forge("key@x", alice.addr, list+autocryptField(alice.addr, carol.SecretKey()), secret, carol.SecretKey())
	forge("unsigned@x", alice.addr, list, secret, nil)
	forge("another@x", alice.addr, other, secret, alice.SecretKey())
	forge("none@x", alice.addr, "", secret, alice.SecretKey())
	forge("group@x", alice.addr, list+"Chat-Group-ID: "+channel.ID+"\r\n", secret, alice.SecretKey())
	forge("step@x", alice.addr, list+"Secure-Join: vc-request-pubkey\r\n", secret, carol.SecretKey())
	forge("prefix@x", alice.addr, list, "securejoin/"+string(alice.cert().Fingerprint())+"/"+secret, alice.SecretKey())
	ids := []string{"own@x", "name@x", "key@x", "unsigned@x", "another@x", "none@x", "group@x", "step@x", "prefix@x"}
	bob.synced()
	w.advance(11 * time.Minute) // no secret opens the last one
	for _, id := range ids {
		m := bob.wait(mailbox.Inbox, id)
		if !bytes.Contains(m.raw, []byte("BEGIN PGP MESSAGE")) || bytes.Contains(m.raw, []byte("forged")) || m.header("List-Id") != "" || m.header(headers.SecurityName) != "" {
			t.Errorf("%s:\n%.800s", id, m.raw)
		}
	}
	// To bob's key anybody may write what he likes; it is shown for what it is.
	inside := func(id, from, more string, signer *pgp.Key) mail {
		w.deliver(bob, w.encrypted(bob, outerOf(from, bob.addr, id), protected(from, `"hidden-recipients": ;`, id, "inside "+id, more), signer))
		return bob.wait(mailbox.Inbox, "inside "+id)
	}
	removed := "Chat-Group-Member-Removed: " + bob.addr + "\r\nChat-Group-Member-Removed-Fpr: " + string(bob.cert().Fingerprint()) + "\r\n"
	for id, signer := range map[string]*pgp.Key{"carols@x": carol.SecretKey(), "nobodys@x": nil} {
		m := inside(id, alice.addr, list+removed, signer)
		if s := securityOf(m); m.header("List-Id") != "" || !slices.Contains(s.Warnings, "not-a-member") || s.Trust == "verified" {
			t.Errorf("%+v\n%.800s", s, m.raw)
		}
	}
	if c := bob.channel(); !c.Open || c.Name != "news" {
		t.Errorf("%+v", c)
	}
	// The owner may post to single keys, too, and give the channel another name.
	w.isPost(inside("owners@x", alice.addr, list, alice.SecretKey()), bob, alice, "news")
	renamed := list + fmt.Sprintf("Chat-Group-Name: other news\r\nChat-Group-Name-Timestamp: %d\r\n", w.now().Unix())
	inside("carols-name@x", carol.addr, renamed, carol.SecretKey())
	if c := bob.channel(); c.Name != "news" {
		t.Errorf("%+v", c)
	}
	w.isPost(inside("renamed@x", alice.addr, renamed, alice.SecretKey()), bob, alice, "other news")
	if c := bob.channel(); c.Name != "other news" {
		t.Errorf("%+v", c)
	}
	// What carol posts in the name of the channel to its owner is no post.
	w.deliver(alice, w.encrypted(alice, outerOf(carol.addr, alice.addr, "back@x"), protected(carol.addr, alice.addr, "back@x", "to the owner", list), carol.SecretKey()))
	if m := alice.wait(mailbox.Inbox, "to the owner"); m.header("List-Id") != "" || !slices.Contains(securityOf(m).Warnings, "not-a-member") {
		t.Errorf("%.800s", m.raw)
	}
	if got := alice.subscribers(); len(got) != 2 {
		t.Errorf("%v", got)
	}
}

// TestAttackBadSecret: what is no secret is not kept, and neither is one that does not come from
// the owner.
func TestAttackBadSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob, carol := w.add("alice"), w.add("bob"), w.add("carol")
	channel := alice.createChannel("news")
	w.subscribe(alice, channel.ID, bob)
	first := bob.secrets()
	send := func(id, secret string, signer *pgp.Key) {
		more := fmt.Sprintf("Chat-List-ID: news <%s>\r\nChat-Version: 1.0\r\nChat-Broadcast-Secret: %s\r\nChat-Group-Member-Added: %s\r\nChat-Group-Member-Added-Fpr: %s\r\nSecure-Join: vg-member-added\r\n",
			channel.ID, secret, bob.addr, bob.cert().Fingerprint())
		w.deliver(bob, w.encrypted(bob, outerOf(alice.addr, bob.addr, id), protected(alice.addr, bob.addr, id, "added "+id, more), signer))
	}
	good := strings.Repeat("s", 43)
	send("short@x", strings.Repeat("x", 42), alice.SecretKey())
	send("long@x", strings.Repeat("x", 101), alice.SecretKey())
	send("alphabet@x", strings.Repeat("%", 43), alice.SecretKey())
	send("carol@x", strings.Repeat("c", 43), carol.SecretKey())
	send("unsigned@x", strings.Repeat("u", 43), nil)
	for _, id := range []string{"carol@x", "unsigned@x"} {
		if s := securityOf(bob.wait(mailbox.Inbox, "added "+id)); !slices.Contains(s.Warnings, "not-a-member") {
			t.Errorf("%s: %+v", id, s)
		}
	}
	bob.synced()
	if got := bob.secrets(); !slices.Equal(got, first) {
		t.Errorf("%v", got)
	}
	// What hands another subscriber a secret hands bob none, whoever passes it on.
	more := fmt.Sprintf("Chat-List-ID: news <%s>\r\nChat-Version: 1.0\r\nChat-Broadcast-Secret: %s\r\nChat-Group-Member-Added: %s\r\nChat-Group-Member-Added-Fpr: %s\r\nSecure-Join: vg-member-added\r\n",
		channel.ID, strings.Repeat("p", 43), carol.addr, carol.cert().Fingerprint())
	for id, signer := range map[string]*pgp.Key{"owner@x": alice.SecretKey(), "passed@x": carol.SecretKey()} {
		w.deliver(bob, w.encrypted(bob, outerOf(alice.addr, bob.addr, id), protected(alice.addr, carol.addr, id, "for carol "+id, more), signer))
		if m := bob.wait(mailbox.Inbox, "for carol "+id); strings.Contains(string(m.raw), "pppppp") {
			t.Errorf("the secret is shown:\n%s", m.raw)
		}
	}
	if got := bob.secrets(); !slices.Equal(got, first) {
		t.Errorf("%v", got)
	}
	send("good@x", good, alice.SecretKey())
	w.eventually("the owner's new secret is kept", func() bool { return slices.Contains(bob.secrets(), good) })
	for _, id := range []string{"short@x", "long@x", "alphabet@x", "good@x"} {
		bob.want(mailbox.Inbox, "added "+id, 0)
	}
}

// TestAttackChannelReplay: messages of the owner that come again change nothing.
func TestAttackChannelReplay(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob, carol := w.add("alice"), w.add("bob"), w.add("carol")
	channel := alice.createChannel("news")
	w.subscribe(alice, channel.ID, bob, carol)
	admitted := w.last(alice).Data // carol's
	w.advance(time.Hour)
	if _, err := alice.RemoveSubscriber(context.Background(), channel.ID, carol.addr); err != nil {
		t.Fatal(err)
	}
	carol.wait(mailbox.Inbox, "You were removed from the channel “news” by Alice (alice@example.org).")
	if c := carol.channel(); c.Open || len(carol.secrets()) != 0 {
		t.Errorf("%+v", c)
	}
	w.eventually("bob has the new secret", func() bool { return len(bob.secrets()) == 2 })
	before := bob.secrets()
	for _, s := range w.provider.Submissions() {
		if s.From == alice.addr {
			w.deliver(carol, s.Data)
			w.deliver(bob, s.Data)
		}
	}
	w.deliver(carol, bytes.Replace(admitted, []byte("\r\nMessage-ID: <"), []byte("\r\nMessage-ID: <again"), 1))
	for _, p := range []*person{carol, bob} {
		p.synced()
	}
	if c := carol.channel(); c.Open || len(carol.secrets()) != 0 || !slices.Equal(bob.secrets(), before) || !bob.channel().Open {
		t.Errorf("%+v, %d secrets", c, len(bob.secrets()))
	}
	bob.want(mailbox.Inbox, "Member bob@example.org was added", 0)
	carol.want(mailbox.Inbox, "You were removed", 1)
	if got := alice.subscribers(); !slices.Equal(got, []string{bob.addr}) {
		t.Errorf("%v", got)
	}
	// The removed one's link brings it back only if the owner says so.
	if _, err := carol.Join(context.Background(), w.subscribe(alice, channel.ID), account.JoinOptions{}); err != nil {
		t.Fatal(err)
	}
	var asked string
	w.eventually("carol waits for the owner's word", func() bool {
		invites, err := alice.Invites(context.Background())
		for _, i := range invites {
			if len(i.Asking) == 1 && i.Asking[0].Address == carol.addr {
				asked = i.ID
			}
		}
		return err == nil && asked != ""
	})
	if got := alice.subscribers(); !slices.Equal(got, []string{bob.addr}) || len(carol.secrets()) != 0 {
		t.Errorf("%v", got)
	}
	if _, err := alice.AcceptJoiner(context.Background(), asked, ""); err != nil {
		t.Fatal(err)
	}
	w.eventually("carol is back", func() bool { return carol.channel().Open && slices.Equal(carol.secrets()[:1], before[:1]) })
	if got := alice.subscribers(); len(got) != 2 {
		t.Errorf("%v", got)
	}
}
