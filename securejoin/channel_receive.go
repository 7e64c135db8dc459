package securejoin

import (
	"strconv"
	"strings"
	"time"

	"mailbridge/message"
	"mailbridge/pgp"
)

// ChannelMessage is what a message says about its channel.
type ChannelMessage struct {
	ID      string
	Signer  pgp.Fingerprint // as in GroupMessage
	From    Listed
	Opened  string // the secret that opened it; empty: encrypted to our key
	Date    time.Time
	Name    string
	NameAt  time.Time
	Secret  string // a valid one that it brings; empty: none
	Added   *Listed
	Removed *Listed
	Proven  bool // it ended a join of ours, see Show
}

// ReadChannel reads the inner header of a message; see ReadGroup. opened is
// the channel secret that opened it, if one did. It reports false for what is
// of no channel.
func ReadChannel(inner message.Header, signer pgp.Fingerprint, gossip map[string]pgp.Fingerprint, opened string, now time.Time) (ChannelMessage, bool) {
	id, name := listID(inner)
	if id == "" || inner.Has(FieldGroupID) {
		return ChannelMessage{}, false
	}
	m := ChannelMessage{ID: id, Signer: signer, Opened: opened, Date: dateOf(inner, now), Name: groupName(inner)}
	if m.Name == "" {
		m.Name = name
	}
	m.NameAt = m.Date
	if n, err := strconv.ParseInt(strings.TrimSpace(inner.Get(FieldNameAt)), 10, 64); err == nil {
		m.NameAt = clip(fromUnix(n), now)
	}
	from := sender(inner)
	m.From = Listed{from.Addr, cleanName(from.Name), signer}
	if secret := strings.TrimSpace(inner.Get(FieldSecret)); validSecret(secret) {
		m.Secret = secret
	}
	m.Added = explicit(inner, FieldAdded, FieldAddedKey)
	if m.Added != nil {
		m.Added.resolve(gossip)
	}
	m.Removed = explicit(inner, FieldRemoved, FieldRemovedKey)
	return m, true
}

// ChannelEvent is what a message did in a channel.
type ChannelEvent int

const (
	NoEvent      ChannelEvent = iota // it is not of this channel, or from somebody who has no say in it
	Posted                           // a post, to be shown
	Subscribed                       // we are in it, with the secret or still without
	NewKey                           // another secret came; nothing to show
	Unsubscribed                     // we are out of it
	Departed                         // a subscriber of ours left, or we did by another device; nothing to show
	Settled                          // an older secret, or what another device of ours did; nothing to show
)

// SubscribeTo makes a channel known by the message that ended a join of ours
// (Show). Without a valid secret its posts cannot be read, until one comes.
func SubscribeTo(me Self, m ChannelMessage) (ChannelChat, error) {
	if m.Signer == "" || m.Opened != "" || m.Signer == me.Fingerprint || !m.Proven || !m.adds(me) {
		return ChannelChat{}, ErrUnknownGroup
	}
	c := ChannelChat{ID: m.ID, Name: m.Name, NameAt: m.NameAt, Owner: Member{
		Fingerprint: m.Signer, Addr: m.From.Addr, Name: m.From.Name, Added: m.Date,
	}}
	if m.Secret != "" {
		c.Secrets, c.RotatedAt = []string{m.Secret}, m.Date
	}
	return c, nil
}

func (m ChannelMessage) adds(me Self) bool {
	return m.Added != nil && (m.Added.Key == me.Fingerprint || m.Added.Key == "" && m.Added.Addr == me.Addr)
}

func (m ChannelMessage) removes(fpr pgp.Fingerprint) bool {
	return m.Removed != nil && m.Removed.Key == fpr && fpr != ""
}

// Receive takes a message in the channel. It counts only with the owner's
// signature; of a subscriber, to ourselves as the owner, only its leaving.
// Once out of a channel, only a join of ours leads back: the reference takes
// any member-added of the owner.
func (c ChannelChat) Receive(me Self, m ChannelMessage) (ChannelChat, ChannelEvent) {
	switch {
	case m.ID != c.ID || m.Signer == "":
		return c, NoEvent
	case c.Own(me) || c.Elsewhere:
		return c.receiveAsOwner(me, m)
	case m.Signer == me.Fingerprint && m.removes(me.Fingerprint) && m.Opened == "":
		return c.leftElsewhere(m)
	case m.Signer != c.Owner.Fingerprint || m.Opened != "" && !c.has(m.Opened):
		return c, NoEvent
	case m.adds(me) && m.Opened == "":
		return c.readmit(m)
	case !c.Ended.IsZero():
		return c, NoEvent
	case m.removes(me.Fingerprint):
		if m.Date.Before(c.RotatedAt) {
			return c, NoEvent // an old one, sent again
		}
		c.Secrets, c.Ended, c.RotatedAt = nil, m.Date, m.Date
		return c, Unsubscribed
	}
	return c.rename(m), Posted
}

// leftElsewhere ends a subscription that another device of ours has ended.
func (c ChannelChat) leftElsewhere(m ChannelMessage) (ChannelChat, ChannelEvent) {
	if !c.Ended.IsZero() || m.Date.Before(c.RotatedAt) {
		return c, Settled
	}
	c.Secrets, c.Ended = nil, m.Date
	return c, Departed
}

func (c ChannelChat) has(secret string) bool {
	for _, s := range c.Secrets {
		if same(s, secret) {
			return true
		}
	}
	return false
}

// readmit takes the secret of a member-added about us. An old one, sent
// again, changes nothing: what it is older than is what came from the owner,
// because when we left stands by another clock.
func (c ChannelChat) readmit(m ChannelMessage) (ChannelChat, ChannelEvent) {
	switch {
	case !c.Ended.IsZero() && (!m.Proven || m.Date.Before(c.RotatedAt)):
		return c, NoEvent
	case m.Date.Before(c.RotatedAt):
		return c, Settled
	}
	event := NewKey
	if !c.Ended.IsZero() {
		event, c.Ended = Subscribed, time.Time{}
	}
	c = c.rename(m)
	if m.Secret != "" {
		c = c.learn(m.Secret)
		c.RotatedAt = m.Date
	}
	return c, event
}

func (c ChannelChat) rename(m ChannelMessage) ChannelChat {
	if m.Name != "" && m.NameAt.After(c.NameAt) {
		c.Name, c.NameAt = m.Name, m.NameAt
	}
	return c
}

// receiveAsOwner takes the posts of our other devices, and that a subscriber
// leaves. Whoever leaves keeps the secret until the next one is made: if every
// leaving made one, anybody with the link could make us write to all
// subscribers, as often as he likes.
func (c ChannelChat) receiveAsOwner(me Self, m ChannelMessage) (ChannelChat, ChannelEvent) {
	if m.Signer == me.Fingerprint {
		return c, c.ownDevice(m)
	}
	n := c.index(m.Signer)
	if n < 0 || !c.Subscribers[n].Current() || !m.removes(m.Signer) || m.Opened != "" {
		return c, NoEvent
	}
	was := c.Subscribers[n]
	if !m.Date.After(was.Removed) {
		return c, NoEvent // an old one, sent again
	}
	was.Removed, was.RemovedBy = later(m.Date, was.Added.Add(time.Second)), m.Signer
	return c.put(was), Departed
}

// ownDevice tells a post of another device of ours from what it tells single
// subscribers.
func (c ChannelChat) ownDevice(m ChannelMessage) ChannelEvent {
	switch {
	case m.Opened != "" && !c.has(m.Opened):
		return NoEvent
	case m.Added != nil || m.Removed != nil:
		return Settled
	}
	return Posted
}
