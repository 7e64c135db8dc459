package account

import (
	"context"
	"crypto/rand"
	"strings"

	"mailbridge/autocrypt"
	"mailbridge/db"
	"mailbridge/message"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// chat is what a message of a group or channel comes to on its way in. The zero value is an
// ordinary message.
type chat struct {
	hidden   bool            // there is nothing to show
	text     string          // of a system message, in place of the message's own; empty: as it came
	set      []message.Field // what the view says beside: Reply-To, List-Id
	del      []string        // what it must not say
	warnings []string        // for the security header
	// apply stores what the message changed, in the transaction that shows it. The state may
	// have moved since the message was read: it is merged anew. Nil: nothing.
	apply func(tx *db.Tx) error
}

// readChat reads what an opened message does in a group or channel. secret is the channel's
// secret that opened it; empty: it was encrypted to our key.
func (a *Account) readChat(ctx context.Context, m *arrival, inner message.Header, opened *pgp.Opened, secret string) (chat, error) {
	signer := signerOf(opened)
	keys := gossiped(inner)
	gossip := map[string]pgp.Fingerprint{}
	for _, h := range keys {
		gossip[h.Addr] = h.Cert.Fingerprint()
	}
	if g, ok := securejoin.ReadGroup(inner, signer, gossip, a.now()); ok && secret == "" {
		g.Proven = m.proven
		return a.readGroup(ctx, m, groupMail{GroupMessage: g, messageID: innerID(inner), keys: keys, local: newLocal(),
			elsewhere: m.origin == madeElsewhere, endsJoin: inner.Has(securejoin.FieldStep)})
	}
	if c, ok := securejoin.ReadChannel(inner, signer, gossip, secret, a.now()); ok {
		c.Proven = m.proven
		return a.readChannel(ctx, m, channelMail{c, innerID(inner), newLocal()})
	}
	return chat{}, nil
}

// innerID is the Message-ID by which others know a message; empty if it cannot be one.
func innerID(inner message.Header) string {
	if ids := message.ParseMessageIDs(inner.Get("Message-ID")); len(ids) > 0 && plainID(ids[0]) {
		return ids[0]
	}
	return ""
}

// gossiped reads the keys that a message brings of its recipients (Autocrypt Level 1, section
// 2.2).
func gossiped(inner message.Header) []autocrypt.Header {
	var recipients []string
	for _, field := range []string{"To", "Cc", "Reply-To"} {
		for _, to := range message.ParseAddresses(inner.Get(field)) {
			recipients = append(recipients, to.Addr)
		}
	}
	return autocrypt.GossipFor(inner.Values(autocrypt.GossipName), recipients)
}

// applyAlone stores what the message changed. Its row does not matter.
func (c chat) applyAlone(tx *db.Tx, _ int64) error {
	if c.apply == nil {
		return nil
	}
	return c.apply(tx)
}

// show puts into a view's header what the chat adds, and gives the payload that is shown.
func (c chat) show(h *message.Header, payload []byte) []byte {
	for _, name := range c.del {
		h.Del(name)
	}
	for _, f := range c.set {
		h.Set(f)
	}
	if c.text == "" {
		return payload
	}
	for _, f := range append([]message.Field(nil), h.Fields...) {
		if len(f.Name) > 8 && strings.EqualFold(f.Name[:8], "Content-") {
			h.Del(f.Name)
		}
	}
	var own message.Header
	own.Add(message.NewField("Content-Type", "text/plain; charset=utf-8"))
	own.Add(message.NewField("Content-Transfer-Encoding", "8bit"))
	for _, f := range own.Fields {
		h.Add(f)
	}
	return append(own.Bytes(), message.CRLF([]byte("\n"+c.text+"\n"))...)
}

// standing is how a joiner stands to what an invite is for.
func (a *Account) standing(tx *db.Tx, i securejoin.Invite, joiner pgp.Fingerprint) (securejoin.Standing, error) {
	switch i.Kind {
	case securejoin.Group:
		return a.groupStanding(tx, i.GroupID, joiner)
	case securejoin.Channel:
		return a.channelStanding(tx, i.GroupID, joiner)
	}
	return securejoin.NoGroup, nil
}

// admit takes somebody who joined by an invite into its group or channel.
func (a *Account) admit(tx *db.Tx, e securejoin.Admit) error {
	if e.Kind == securejoin.Channel {
		return a.admitToChannel(tx, e)
	}
	return a.admitToGroup(tx, e)
}

// chatDomain is the domain of the local addresses of groups and channels. Nothing is ever sent
// there (RFC 6761, section 6.4).
const chatDomain = "groups.mailbridge.invalid"

// maxSlug bounds the readable part of a local address.
const maxSlug = 24

// chatAddr is the local address of a group or channel. Its first part helps the reader and
// changes with the name; the random second part finds the chat.
func chatAddr(name, local string) string {
	var slug strings.Builder
	for _, r := range strings.ToLower(name) {
		switch {
		case slug.Len() >= maxSlug:
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			slug.WriteRune(r)
		case slug.Len() > 0 && !strings.HasSuffix(slug.String(), "-"):
			slug.WriteByte('-')
		}
	}
	readable := strings.Trim(slug.String(), "-")
	if readable == "" {
		readable = "group"
	}
	return readable + "." + local + "@" + chatDomain
}

// localOf gives the random part of a local address; empty for any other address.
func localOf(addr string) string {
	user, domain, _ := strings.Cut(message.CanonicalAddr(addr), "@")
	if domain != chatDomain {
		return ""
	}
	return user[strings.LastIndexByte(user, '.')+1:]
}

// newLocal makes the random part of a local address: 80 bits, of letters and digits that every
// client leaves as they are.
func newLocal() string {
	return strings.ToLower(rand.Text()[:16])
}
