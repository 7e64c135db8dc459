package account

import (
	"context"
	"errors"
	"slices"

	"mailbridge/db"
	"mailbridge/message"
	"mailbridge/mirror"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// ingestPost shows what a channel's secret has opened, if it is a post: of exactly one signer,
// the channel's owner. All subscribers know the secret, so that what one of them wrote, or took
// from another channel, is shown as it came, and nothing of its content.
func (a *Account) ingestPost(ctx context.Context, m *arrival, opened *pgp.Opened, inner message.Header, secret string) (mirror.Ruling, error) {
	if len(opened.Signature.Issuers) != 1 {
		return a.asItCame(m), nil
	}
	c, ok := securejoin.ReadChannel(inner, signerOf(opened), nil, secret, a.now())
	if !ok {
		return a.asItCame(m), nil
	}
	_, event, err := a.channelAfter(ctx, channelMail{ChannelMessage: c})
	if err != nil || event != securejoin.Posted {
		return a.asItCame(m), err
	}
	return a.ingestOpened(ctx, m, opened, secret)
}

// signerOf is the signer whose word counts; empty: there is none.
func signerOf(opened *pgp.Opened) pgp.Fingerprint {
	if opened.Signature.State != pgp.SignatureGood || !opened.IntendedForUs {
		return ""
	}
	return opened.Signature.Signer
}

// channelMail is a message of a channel with what else it brings.
type channelMail struct {
	securejoin.ChannelMessage
	messageID string // by which others know it
	local     string // of the channel's address here, should it become known
}

// isChange says whether a signed message tells of a change, and can be remembered.
func (m channelMail) isChange() bool {
	return m.Signer != "" && m.messageID != "" && (m.Added != nil || m.Removed != nil)
}

// channelAfter is the channel of a message as the message leaves it. Where it is unknown, and
// the message does not make it known, nothing happens in it.
func (a *Account) channelAfter(ctx context.Context, m channelMail) (c db.Channel, event securejoin.ChannelEvent, err error) {
	err = a.db.View(ctx, func(tx *db.Tx) (err error) {
		c, event, err = a.receiveInChannel(tx, m)
		return err
	})
	return c, event, err
}

func (a *Account) receiveInChannel(tx *db.Tx, m channelMail) (db.Channel, securejoin.ChannelEvent, error) {
	c, err := tx.Channel(m.ID)
	if errors.Is(err, db.ErrNotFound) {
		c.ChannelChat, err = securejoin.SubscribeTo(a.self(), m.ChannelMessage)
		if err != nil {
			return db.Channel{}, securejoin.NoEvent, nil
		}
		c.Local = m.local
		return c, securejoin.Subscribed, nil
	}
	if err != nil {
		return db.Channel{}, securejoin.NoEvent, err
	}
	var event securejoin.ChannelEvent
	c.ChannelChat, event = c.Receive(a.self(), m.ChannelMessage)
	return c, event, nil
}

// channelFields are not shown. The secret lets its holder read all posts, and the channel's own id
// is of use to programs alone.
var channelFields = []string{
	securejoin.FieldListID, securejoin.FieldSecret, securejoin.FieldNameAt, securejoin.FieldAddedKey, securejoin.FieldRemovedKey,
}

// readChannel says how a message of a channel is shown, and what it changes. Mail from before
// the account was added changes nothing.
func (a *Account) readChannel(ctx context.Context, m *arrival, c channelMail) (chat, error) {
	channel, event, err := a.channelAfter(ctx, c)
	if err != nil || channel.ID == "" || m.Old && event != securejoin.Posted {
		return chat{del: channelFields}, err
	}
	small := len(m.Raw) <= maxHandshake
	if small && event != securejoin.Posted && c.isChange() {
		repeated, err := a.ask(ctx, func(tx *db.Tx) (bool, error) { return tx.IsHandled(string(c.Signer), c.messageID) })
		if err != nil || repeated {
			return chat{hidden: true}, err
		}
	}
	switch event {
	case securejoin.NoEvent:
		shown := chat{del: channelFields}
		if c.Signer != channel.Owner.Fingerprint {
			shown.warnings = []string{"not-a-member"}
		}
		return shown, nil
	case securejoin.Settled:
		return chat{hidden: small, del: channelFields}, nil
	}
	shown := chat{
		text: channel.Line(event),
		del:  slices.Concat(channelFields, notOfPosts),
		set:  []message.Field{listID(channel)},
	}
	if !m.Old {
		shown.apply = func(tx *db.Tx) error { return a.applyInChannel(tx, c) }
	}
	if event == securejoin.NewKey || event == securejoin.Departed {
		shown.hidden = small
	}
	return shown, nil
}

// applyInChannel takes a message again, from the committed state. What made a change is
// remembered: a copy of it that turns up again is not shown.
func (a *Account) applyInChannel(tx *db.Tx, m channelMail) error {
	was, err := tx.Channel(m.ID)
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return err
	}
	c, event, err := a.receiveInChannel(tx, m)
	switch {
	case err != nil:
		return err
	case event == securejoin.NoEvent, event == securejoin.Settled:
		return nil
	case event == securejoin.Posted && was.NameAt.Equal(c.NameAt):
		return nil // it did not rename the channel
	case event != securejoin.Posted && m.isChange():
		if _, err := tx.MarkHandled(string(m.Signer), m.messageID, a.now()); err != nil {
			return err
		}
	}
	if m.Secret != "" {
		tx.AfterCommit(a.mirror.Retry) // a post that came before its secret is held
	}
	return tx.PutChannel(c)
}

// notOfPosts are fields that would lead an answer to a post, or what a client offers for lists,
// elsewhere than to the owner.
var notOfPosts = []string{
	"Reply-To", "Mail-Reply-To", "Mail-Followup-To", "List-Id", "List-Post", "List-Help", "List-Subscribe",
	"List-Unsubscribe", "List-Unsubscribe-Post", "List-Owner", "List-Archive", "Archived-At",
}

// listID names a channel for the client's filters (RFC 2919).
func listID(c db.Channel) message.Field {
	return message.NewField("List-Id", message.Address{Name: c.Name, Addr: c.Local + "." + chatDomain}.String())
}
