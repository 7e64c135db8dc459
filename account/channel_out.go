package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"mailbridge/db"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// channelStanding is how a joiner stands to a channel of ours.
func (a *Account) channelStanding(tx *db.Tx, id string, joiner pgp.Fingerprint) (securejoin.Standing, error) {
	c, err := tx.Channel(id)
	if errors.Is(err, db.ErrNotFound) {
		return securejoin.NoGroup, nil
	}
	return c.Standing(a.self(), joiner), err
}

// admitToChannel takes a joiner in and hands it the secret. What cannot be is told to the user:
// an error would bring the same message back for ever.
func (a *Account) admitToChannel(tx *db.Tx, e securejoin.Admit) error {
	c, err := tx.Channel(e.GroupID)
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return err
	}
	chat, post, refused := c.Add(a.self(), securejoin.Member{Fingerprint: e.Fingerprint, Addr: e.Addr, Name: e.Name}, a.now())
	if refused != nil {
		return a.leave(tx, note{"Not subscribed: " + e.Addr,
			fmt.Sprintf("%s has joined by an invite to a channel, but could not be taken in: %v.", e.Addr, refused)})
	}
	return a.changeChannel(tx, c, chat, []securejoin.Post{post}, e.NotBefore)
}

// changeChannel stores a channel together with the messages that tell of the change.
func (a *Account) changeChannel(tx *db.Tx, c db.Channel, chat securejoin.ChannelChat, posts []securejoin.Post, notBefore time.Time) error {
	c.ChannelChat = chat
	if err := tx.PutChannel(c); err != nil {
		return err
	}
	for _, p := range posts {
		if _, err := a.sendPost(tx, p, nil, notBefore); err != nil {
			return err
		}
	}
	return nil
}

// rotateChannels changes the secrets whose time has come.
func (a *Account) rotateChannels(tx *db.Tx) error {
	list, err := tx.Channels()
	if err != nil {
		return err
	}
	for _, c := range list {
		if !c.Due(a.now()) || !c.Own(a.self()) {
			continue
		}
		if err := a.rotate(tx, c); err != nil {
			return err
		}
	}
	return nil
}

// submitToChannel posts a letter to all subscribers: with the channel's secret, so that one
// ciphertext does for all and names none of them to the others.
func (a *Account) submitToChannel(ctx context.Context, l letter, addr string, c db.Channel) (string, error) {
	var others []recipient
	for _, other := range l.otherRecipients(addr) {
		if !a.own(other) {
			others = append(others, recipient{addr: other})
		}
	}
	switch post, err := c.Post(a.self()); {
	case c.Elsewhere:
		return "", refusePolicy("Another device of yours keeps the channel %s.\nWrite into it there.", c.Name)
	case err != nil:
		return "", refusePolicy("Only its owner writes into the channel %s.\nAnswer one of its posts to write to the owner.", c.Name)
	case len(others) > 0:
		return "", refusePolicy("A post goes to the channel %s alone.\nLeave out: %s", c.Name, names(others))
	case l.encrypted():
		return "", refusePolicy("The message is encrypted already, and no subscriber of %s could read it.\nSwitch encryption off in your mail program.", c.Name)
	case len(post.Recipients) == 0:
		return "", refusePolicy("Nobody has subscribed to the channel %s yet.\nMake an invite with: bridge invite --channel %s", c.Name, addr)
	default:
		return a.dispatchPost(ctx, l, post)
	}
}

func (a *Account) dispatchPost(ctx context.Context, l letter, p securejoin.Post) (string, error) {
	to := make([]string, 0, len(p.Recipients))
	for _, m := range p.Recipients {
		if !slices.Contains(to, m.Addr) {
			to = append(to, m.Addr)
		}
	}
	copies, err := a.chatCopies(l, p, to, nil, nil)
	if err != nil {
		a.log.Error("encrypting failed", "error", err)
		return "", refuseForNow("The message could not be encrypted, and was not sent.")
	}
	for n := range copies {
		copies[n].post = true
	}
	return a.dispatch(ctx, l, copies, true)
}
