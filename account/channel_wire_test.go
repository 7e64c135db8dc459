package account_test

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strconv"
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

// captured is the channel that bob got by the member-added of a recorded conversation.
func captured(t *testing.T, s vectors.Scenario) securejoin.ChannelChat {
	t.Helper()
	added := s.Message(t, "04-alice-bob.eml")
	h, _ := message.ParseHeader(added.Plain)
	gossip := map[string]pgp.Fingerprint{}
	me := securejoin.Self{Addr: s.Users["bob"].Addr, Fingerprint: pgp.Fingerprint(h.Get("Chat-Group-Member-Added-Fpr"))}
	gossip[me.Addr] = me.Fingerprint
	m, ok := securejoin.ReadChannel(h, pgp.Fingerprint(added.Signer), gossip, "", time.Now())
	m.Proven = true
	c, err := securejoin.SubscribeTo(me, m)
	if !ok || err != nil || !slices.Contains(s.Secrets, c.Secrets[0]) {
		t.Fatalf("%+v, %v", c, err)
	}
	return c
}

// TestChannelFromDeltaChat reads what Delta Chat 2.62 and 2.33 posted.
func TestChannelFromDeltaChat(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"channel", "channel-2.33-2.62", "channel-2.62-2.33"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := vectors.Get(t, name)
			w := newWorld(t, provider.Options{})
			bob := w.add("bob")
			if err := bob.PutChannel(captured(t, s)); err != nil {
				t.Fatal(err)
			}
			id := bob.channel().ID
			for file, text := range map[string]string{"05-alice-bob.eml": "first channel post", "06-alice-bob.eml": "second channel post"} {
				w.deliver(bob, s.Message(t, file).Raw)
				m := bob.wait(mailbox.Inbox, text)
				security := securityOf(m)
				if m.header("List-Id") != "Harbour channel <"+localPart(bob.channel().Address)+".groups.mailbridge.invalid>" || m.header("List-Post") != "" ||
					!strings.Contains(m.header("From"), "<alice@example.org>") || strings.Contains(string(m.raw), id) ||
					security.Signature != "good" || security.Fingerprint != s.Message(t, file).Signer || len(security.Warnings) != 0 {
					t.Errorf("%+v\n%s", security, m.raw)
				}
			}
			// The same posts are nothing without the owner's say.
			stranger := w.add("stranger")
			c := captured(t, s)
			c.Owner.Fingerprint = bob.cert().Fingerprint()
			if err := stranger.PutChannel(c); err != nil {
				t.Fatal(err)
			}
			w.deliver(stranger, s.Message(t, "05-alice-bob.eml").Raw)
			if m := stranger.wait(mailbox.Inbox, "BEGIN PGP MESSAGE"); strings.Contains(string(m.raw), "first channel post") {
				t.Errorf("%s", m.raw)
			}
		})
	}
}

// TestOldPost: a post from before the account is opened, and nothing is learnt from it.
func TestOldPost(t *testing.T) {
	t.Parallel()
	s := vectors.Get(t, "channel")
	w := newWorld(t, provider.Options{})
	w.advance(time.Hour) // the account is added an hour after the provider gets the mail
	bob := w.add("bob")
	if err := bob.PutChannel(captured(t, s)); err != nil {
		t.Fatal(err)
	}
	w.deliver(bob, s.Message(t, "05-alice-bob.eml").Raw)
	if m := bob.wait(mailbox.Inbox, "first channel post"); m.header("List-Id") == "" {
		t.Errorf("%s", m.raw)
	}
	if c, err := bob.Contact(context.Background(), "alice@example.org"); !errors.Is(err, account.ErrNotFound) {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestChannelFull: more than a channel has room for are not taken in; the user is told.
func TestChannelFull(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	c, err := securejoin.NewChannel(rand.Reader, "full", securejoin.Self{Addr: alice.addr, Fingerprint: alice.cert().Fingerprint()}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for n := range securejoin.MaxSubscribers {
		c.Subscribers = append(c.Subscribers, securejoin.Member{Fingerprint: pgp.Fingerprint(strconv.Itoa(n)), Addr: "x@example.org", Added: time.Now()})
	}
	if err := alice.PutChannel(c); err != nil {
		t.Fatal(err)
	}
	invite, err := alice.Invite(context.Background(), account.InviteOptions{Channel: c.ID})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bob.Join(context.Background(), invite.Link, account.JoinOptions{}); err != nil {
		t.Fatal(err)
	}
	alice.wait(mailbox.Bridge, "Not subscribed: "+bob.addr)
	alice.synced()
	if got := alice.channel(); got.Subscribers != securejoin.MaxSubscribers || len(bob.secrets()) != 0 {
		t.Errorf("%d subscribers", got.Subscribers)
	}
}

// localPart is the random part of a local address.
func localPart(addr string) string {
	user, _, _ := strings.Cut(addr, "@")
	return user[strings.LastIndexByte(user, '.')+1:]
}

// fieldNames lists the fields of a header block, each as often as it stands there.
func fieldNames(block []byte, without ...string) []string {
	h, _ := message.ParseHeader(block)
	var list []string
	for _, f := range h.Fields {
		if !slices.Contains(without, f.Name) {
			list = append(list, f.Name)
		}
	}
	return list
}

// TestChannelWire compares what an owner here sends with what Delta Chat 2.62 sends.
func TestChannelWire(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	channel := alice.createChannel("Harbour channel")
	w.subscribe(alice, channel.ID, bob)
	added := w.last(alice).Data
	alice.submit([]string{channel.Address}, letterTo(alice.addr, channel.Address, "Harbour channel", "first channel post"))
	posted := w.last(alice).Data
	s := vectors.Get(t, "channel")

	open := func(raw []byte) *pgp.Opened {
		t.Helper()
		ciphertext, _, ok := pgp.SplitEncrypted(raw, message.Parse(raw))
		if !ok {
			t.Fatalf("%s", raw)
		}
		o := pgp.OpenOptions{Keys: []*pgp.Key{bob.SecretKey()}, Certs: func([]byte, []pgp.Fingerprint) []*pgp.Cert { return []*pgp.Cert{alice.cert()} }, Now: time.Now()}
		opened, err := pgp.Open(ciphertext, o)
		if err != nil {
			opened, err = pgp.OpenSymmetric(ciphertext, slices.Values(bob.secrets()), o)
		}
		if err != nil || opened.Signature.Signer != alice.cert().Fingerprint() {
			t.Fatalf("%+v, %v", opened, err)
		}
		return opened
	}
	theirAdded, theirPost := s.Message(t, "04-alice-bob.eml"), s.Message(t, "05-alice-bob.eml")
	onTheWay := []string{"Return-Path", "Delivered-To", "Received"}
	for name, pair := range map[string][2][]byte{"member-added": {added, theirAdded.Raw}, "post": {posted, theirPost.Raw}} {
		ours, theirs := fieldNames(pair[0], "MIME-Version"), fieldNames(pair[1], append(onTheWay, "MIME-Version")...)
		if !slices.Equal(ours, theirs) {
			t.Errorf("%s: outside %v, Delta Chat has %v", name, ours, theirs)
		}
	}
	ours := open(added)
	// A description and an avatar we have not.
	if got, want := fieldNames(ours.Payload), fieldNames(theirAdded.Plain, "Chat-Group-Description", "Chat-User-Avatar"); !slices.Equal(got, want) {
		t.Errorf("member-added: inside %v, Delta Chat has %v", got, want)
	}
	if len(ours.Intended) != 2 || !slices.Contains(ours.Intended, bob.cert().Fingerprint()) {
		t.Errorf("member-added is meant for %v", ours.Intended)
	}
	// In a post the order is that of the client, which asks for no receipts.
	post := open(posted)
	got, want := fieldNames(post.Payload, "MIME-Version"), fieldNames(theirPost.Plain, "Chat-Disposition-Notification-To", "References", "Content-Transfer-Encoding")
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) || !post.Symmetric || len(post.Intended) != 0 {
		t.Errorf("post: inside %v, Delta Chat has %v", got, want)
	}
	h, _ := message.ParseHeader(post.Payload)
	their, _ := message.ParseHeader(theirPost.Plain)
	for _, name := range []string{"To", "Chat-Version", "Chat-Group-Name", "Chat-List-ID"} {
		if got, want := h.Get(name), strings.ReplaceAll(their.Get(name), captured(t, s).ID, channel.ID); got != want {
			t.Errorf("%s: %q, Delta Chat has %q", name, got, want)
		}
	}
}
