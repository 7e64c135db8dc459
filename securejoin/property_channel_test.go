package securejoin_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"mailbridge/message"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// What channels add to the world of property_whole_test.go: Alice owns one, Bob joins it by the
// link, and Eve, who may join it too, knows its secrets then.

// ownChannel gives Alice a channel that the invite is for.
func (w *whole) ownChannel() {
	w.counter++
	entropy := strings.NewReader(strings.Repeat(fmt.Sprintf("entropy %d ", w.counter), 20))
	c, err := securejoin.NewChannel(entropy, "My news", w.alice.self, w.now.Add(-timeOfGroup))
	if err != nil {
		w.Fatal(err)
	}
	w.invite.Kind, w.invite.GroupID = securejoin.Channel, c.ID
	w.alice.channel, w.secrets = c, slices.Clone(c.Secrets)
}

// subscribe takes a joiner into Alice's channel and hands it the secret.
func (w *whole) subscribe(p *end, who securejoin.Member) {
	c, post, err := p.channel.Add(p.self, who, w.now)
	if err != nil {
		w.Fatal(err)
	}
	p.channel = c
	w.broadcast(p, post)
}

// broadcast sends a message of a channel to its recipients.
func (w *whole) broadcast(p *end, post securejoin.Post) {
	if post.Text == "" {
		post.Text = "text"
	}
	m, err := securejoin.ComposePost(post, p.self, securejoin.Env{Now: w.now, OuterDate: w.now, MessageID: w.id()})
	if err != nil {
		w.Fatal(err)
	}
	inner, _ := message.ParseHeader(m.Inner)
	outer, _ := message.ParseHeader(append(m.Outer, "\r\n"...))
	cm, _ := securejoin.ReadChannel(inner, p.self.Fingerprint, gossipOf(post), post.Secret, w.now)
	var in securejoin.Incoming
	if post.Secret == "" { // a post proves nothing about a handshake
		opened := &pgp.Opened{Signature: pgp.Signature{State: pgp.SignatureGood, Signer: p.self.Fingerprint}, IntendedForUs: true}
		in, _ = securejoin.ReadIncoming(outer, inner, opened, nil)
		in.Gossip, in.Key = gossipOf(post), p.cert
	}
	for _, r := range post.Recipients {
		if to := w.reader(r.Fingerprint); to != nil {
			w.mail = append(w.mail, mail{to: to, in: in, channel: &cm})
		}
	}
}

// feed lets a message of a channel arrive.
func (w *whole) feed(p *end, m securejoin.ChannelMessage, proven bool) {
	m.Proven = proven
	if p.channel.ID == "" {
		if c, err := securejoin.SubscribeTo(p.self, m); err == nil {
			p.channel = c
		}
		return
	}
	before := p.channel
	var event securejoin.ChannelEvent
	p.channel, event = p.channel.Receive(p.self, m)
	byOwner := m.Signer == w.alice.self.Fingerprint
	if !byOwner && event != securejoin.NoEvent && !(p == w.alice && (event == securejoin.Departed || event == securejoin.Settled)) {
		w.Fatalf("%q did %v in the channel of %s", m.Signer, event, p.self.Addr)
	}
	if event == securejoin.Departed && m.Signer != m.Removed.Key {
		w.Fatalf("%s took %+v out", m.Signer, m.Removed)
	}
	if event == securejoin.NoEvent && !slices.Equal(before.Secrets, p.channel.Secrets) {
		w.Fatal("a refused message has changed the secrets")
	}
}

// news lets Alice write to her channel, or change its secret.
func (w *whole) news(t *rapid.T) {
	if w.invite.Kind != securejoin.Channel {
		return
	}
	if rapid.Bool().Draw(t, "rotate") {
		w.counter++
		w.now = w.now.Add(time.Minute) // which secret is newer, messages tell by the second
		entropy := strings.NewReader(strings.Repeat(fmt.Sprintf("rotated %d ", w.counter), 20))
		c, posts, err := w.alice.channel.Rotate(entropy, w.alice.self, w.now)
		if err != nil {
			t.Fatal(err)
		}
		w.alice.channel = c
		w.secrets = append(w.secrets, c.Secrets[0])
		for _, p := range posts {
			w.broadcast(w.alice, p)
		}
		return
	}
	post, err := w.alice.channel.Post(w.alice.self)
	if err != nil {
		t.Fatal(err)
	}
	w.broadcast(w.alice, post)
}

// jam sends what Eve can write into the channel: under any of its secrets, with her signature or
// none, in anybody's name.
func (w *whole) jam(t *rapid.T) {
	if w.invite.Kind != securejoin.Channel {
		return
	}
	from := rapid.SampledFrom([]*end{w.alice, w.bob, w.eve}).Draw(t, "from")
	who := rapid.SampledFrom([]*end{w.alice, w.bob, w.eve}).Draw(t, "who")
	signer := rapid.SampledFrom([]pgp.Fingerprint{"", w.eve.self.Fingerprint}).Draw(t, "signer")
	opened := rapid.SampledFrom(append([]string{"", strings.Repeat("e", 43)}, w.secrets...)).Draw(t, "under")
	line := rapid.SampledFrom([]string{
		"Chat-Broadcast-Secret: " + strings.Repeat("e", 43) + "\r\nChat-Group-Member-Added: " + who.self.Addr,
		"Chat-Broadcast-Secret: " + strings.Repeat("e", 43) + "\r\nChat-Group-Member-Added: " + who.self.Addr + "\r\nChat-Group-Member-Added-Fpr: " + string(who.self.Fingerprint),
		"Chat-Group-Member-Removed: " + who.self.Addr + "\r\nChat-Group-Member-Removed-Fpr: " + string(who.self.Fingerprint),
		"Chat-Group-Name: Eve's news", "Subject: a post",
	}).Draw(t, "line")
	h := header("From: " + from.self.Addr + "\r\nChat-List-ID: News <" + w.invite.GroupID + ">\r\n" + line + "\r\n")
	m, _ := securejoin.ReadChannel(h, signer, map[string]pgp.Fingerprint{who.self.Addr: who.self.Fingerprint}, opened, w.now)
	w.feed(rapid.SampledFrom([]*end{w.alice, w.bob}).Draw(t, "to"), m, false)
}

// checkChannel is what holds at all times.
func (w *whole) checkChannel() {
	c := w.bob.channel
	if c.ID != "" && (w.invite.Kind != securejoin.Channel || c.ID != w.invite.GroupID || c.Owner.Fingerprint != w.alice.self.Fingerprint) {
		w.Fatalf("bob has subscribed to %+v", c)
	}
	for _, s := range c.Secrets {
		if !slices.Contains(w.secrets, s) {
			w.Fatal("bob has a secret that is none of alice's")
		}
	}
	for _, m := range w.alice.channel.Current() {
		if !w.used(m.Fingerprint) {
			w.Fatalf("%s has subscribed without a join", m.Addr)
		}
	}
}
