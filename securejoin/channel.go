package securejoin

import (
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"time"

	"mailbridge/message"
	"mailbridge/pgp"
)

// Lengths of a channel's secret: Delta Chat 2.62 makes 43 characters, 258
// random bits, and accepts these.
const (
	minSecret = 43
	maxSecret = 100
)

// maxSecrets is how many secrets of a channel open its posts: the one of now
// and, for posts that were under way when it was changed, those before.
const maxSecrets = 3

// MaxSubscribers bounds a channel: the envelope of a post names all of them.
const MaxSubscribers = 10000

// ChannelChat is a channel, owned or subscribed to. Its methods return a
// changed copy.
type ChannelChat struct {
	ID     string
	Name   string
	NameAt time.Time
	Owner  Member // ourselves: it is our own
	// Secrets encrypt and open the posts, the newest first. None are kept of
	// a channel that we left or were removed from.
	Secrets     []string
	Ended       time.Time     // of a subscription; zero: it lasts
	RotatedAt   time.Time     // when the newest secret was made, or the owner last gave or took one, by its clock
	RotateEvery time.Duration // zero: only when somebody is removed
	Subscribers []Member      // of our own; of now and of the past
	// Elsewhere: it is ours, but another device keeps it; see KeptElsewhere.
	Elsewhere bool
}

// NewSecret makes a secret for a channel.
func NewSecret(rand io.Reader) (string, error) {
	var raw [33]byte
	if _, err := io.ReadFull(rand, raw[:]); err != nil {
		return "", fmt.Errorf("securejoin: make a secret: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(raw[:])[:minSecret], nil
}

func validSecret(s string) bool {
	return len(s) >= minSecret && len(s) <= maxSecret && tokenAlphabet(s)
}

// NewChannel makes a channel of our own.
func NewChannel(rand io.Reader, name string, me Self, now time.Time) (ChannelChat, error) {
	name = cleanName(name)
	if !visible(name) {
		return ChannelChat{}, ErrNoName
	}
	id, err := NewToken(rand)
	if err != nil {
		return ChannelChat{}, err
	}
	secret, err := NewSecret(rand)
	if err != nil {
		return ChannelChat{}, err
	}
	now = seconds(now)
	return ChannelChat{ID: id, Name: name, NameAt: now, Owner: me.member(now), Secrets: []string{secret}, RotatedAt: now}, nil
}

// Own says whether the channel is ours, and kept here.
func (c ChannelChat) Own(me Self) bool { return c.Owner.Fingerprint == me.Fingerprint && !c.Elsewhere }

// Open says whether posts can be read, or written.
func (c ChannelChat) Open() bool { return len(c.Secrets) > 0 }

// Current gives the subscribers of now.
func (c ChannelChat) Current() []Member {
	return slices.DeleteFunc(slices.Clone(c.Subscribers), func(m Member) bool { return !m.Current() })
}

func (c ChannelChat) index(fpr pgp.Fingerprint) int {
	return slices.IndexFunc(c.Subscribers, func(m Member) bool { return m.Fingerprint == fpr && fpr != "" })
}

// Standing is how a joiner stands to the channel; see Incoming.
func (c ChannelChat) Standing(me Self, fpr pgp.Fingerprint) Standing {
	n := c.index(fpr)
	switch {
	case !c.Own(me) || !c.Open():
		return NoGroup
	case n < 0:
		return Outsider
	case c.Subscribers[n].Current():
		return Insider
	case c.Subscribers[n].Outcast():
		return Outcast
	}
	return Outsider
}

func (c ChannelChat) put(m Member) ChannelChat {
	c.Subscribers = slices.Clone(c.Subscribers)
	n := c.index(m.Fingerprint)
	if n < 0 && len(c.Subscribers) >= MaxSubscribers {
		n = forgettable(c.Subscribers)
	}
	if n >= 0 {
		c.Subscribers[n] = m
	} else {
		c.Subscribers = append(c.Subscribers, m)
	}
	return c
}

// listID is how messages name the channel.
func (c ChannelChat) listID() string { return message.Address{Name: c.Name, Addr: c.ID}.String() }

// post begins a message of ours in the channel.
func (c ChannelChat) post() Post {
	return Post{Subject: c.Name, Fields: fieldList(FieldListID, c.listID())}
}

// named adds what the owner says about the channel.
func (p Post) named(c ChannelChat, secret string) Post {
	p.Fields = append(p.Fields, fieldList(
		FieldSecret, secret,
		FieldChat, chatVersion,
		FieldGroupName, message.EncodeWord(c.Name),
		FieldNameAt, nonZero(c.NameAt))...)
	return p
}

// Post addresses a post to all subscribers. It names nobody: subscribers do
// not learn of each other.
func (c ChannelChat) Post(me Self) (Post, error) {
	if !c.Own(me) || !c.Open() {
		return Post{}, ErrNotOwner
	}
	p := c.post().named(c, "")
	p.Recipients, p.Secret = c.Current(), c.Secrets[0]
	return p, nil
}

// Add takes a subscriber in and gives the message that ends its handshake: to
// it alone, with the secret. Of one who is in already it is repeated, to the
// address that it has now.
func (c ChannelChat) Add(me Self, who Member, now time.Time) (ChannelChat, Post, error) {
	switch {
	case !c.Own(me) || !c.Open():
		return c, Post{}, ErrNotOwner
	case who.Fingerprint == "" || canonical(who.Addr) == "":
		return c, Post{}, ErrNoAddress
	}
	m := Member{Fingerprint: who.Fingerprint, Addr: canonical(who.Addr), Name: cleanName(who.Name), Added: seconds(now)}
	if n := c.index(who.Fingerprint); n >= 0 {
		was := c.Subscribers[n]
		m.Removed, m.RemovedBy = was.Removed, was.RemovedBy
		m.Added = later(m.Added, m.Removed)
		if was.Current() {
			m.Added = was.Added
		}
	} else if len(c.Current()) >= MaxSubscribers {
		return c, Post{}, ErrTooLarge
	}
	return c.put(m), c.added(m), nil
}

// added is what a subscriber gets the secret with.
func (c ChannelChat) added(m Member) Post {
	p := c.post().named(c, c.Secrets[0])
	p.Recipients, p.To, p.Gossip = []Member{m}, []Member{m}, []Member{m}
	p.Text = "Member " + m.Addr + " was added."
	p.Fields = append(p.Fields, fieldList(
		FieldAdded, m.Addr, FieldAddedKey, string(m.Fingerprint), FieldStep, MemberAdded.String())...)
	return p
}

// Remove takes a subscriber out and changes the secret, which Delta Chat 2.62
// does not: otherwise who was removed could go on reading. The posts are for
// the one removed and, with the new secret, for each who stays.
func (c ChannelChat) Remove(rand io.Reader, me Self, fpr pgp.Fingerprint, now time.Time) (ChannelChat, []Post, error) {
	n := c.index(fpr)
	switch {
	case !c.Own(me) || !c.Open():
		return c, nil, ErrNotOwner
	case n < 0 || !c.Subscribers[n].Current():
		return c, nil, ErrNoSuchMember
	}
	m := c.Subscribers[n]
	m.Removed, m.RemovedBy = later(seconds(now), m.Added.Add(time.Second)), me.Fingerprint
	c, posts, err := c.put(m).Rotate(rand, me, now)
	if err != nil {
		return c, nil, err
	}
	p := c.post().named(c, "")
	p.Recipients, p.To = []Member{m}, []Member{m}
	p.Text = "Member " + m.Addr + " was removed."
	p.Fields = append(p.Fields, fieldList(FieldRemoved, m.Addr, FieldRemovedKey, string(m.Fingerprint))...)
	return c, append([]Post{p}, posts...), nil
}

// Rotate changes the secret and hands it to each subscriber, by a member-added
// once more: Delta Chat 2.33 and 2.62 take its secret in place of theirs, and
// show nothing.
func (c ChannelChat) Rotate(rand io.Reader, me Self, now time.Time) (ChannelChat, []Post, error) {
	if !c.Own(me) || !c.Open() {
		return c, nil, ErrNotOwner
	}
	secret, err := NewSecret(rand)
	if err != nil {
		return c, nil, err
	}
	c = c.learn(secret)
	c.RotatedAt = seconds(now)
	var posts []Post
	for _, m := range c.Current() {
		posts = append(posts, c.added(m))
	}
	return c, posts, nil
}

// Due says whether it is time to rotate.
func (c ChannelChat) Due(now time.Time) bool {
	return c.RotateEvery > 0 && c.Open() && now.Sub(c.RotatedAt) >= c.RotateEvery
}

func (c ChannelChat) learn(secret string) ChannelChat {
	if slices.Contains(c.Secrets, secret) {
		return c
	}
	c.Secrets = append([]string{secret}, c.Secrets...)
	c.Secrets = c.Secrets[:min(len(c.Secrets), maxSecrets)]
	return c
}

// Leave ends a subscription: the secrets are forgotten, and the owner is
// told.
func (c ChannelChat) Leave(me Self, now time.Time) (ChannelChat, Post, error) {
	if c.Own(me) || c.Elsewhere || !c.Ended.IsZero() {
		return c, Post{}, ErrNotMember
	}
	c.Secrets, c.Ended = nil, seconds(now)
	p := c.post()
	p.Recipients, p.To = []Member{c.Owner}, []Member{c.Owner}
	p.Text = me.member(time.Time{}).Title() + " has left the channel."
	p.Fields = append(p.Fields, fieldList(
		FieldChat, chatVersion, FieldRemoved, me.Addr, FieldRemovedKey, string(me.Fingerprint))...)
	return c, p, nil
}
