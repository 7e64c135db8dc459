package account

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mailbridge/autocrypt"
	"mailbridge/db"
	"mailbridge/securejoin"
)

// minRotateEvery bounds how often a secret changes by itself: each time a message goes to every
// subscriber.
const minRotateEvery = time.Hour

// Channels lists our channels and those that we subscribe to, by name.
func (a *Account) Channels(ctx context.Context) ([]Channel, error) {
	list := []Channel{}
	err := a.db.View(ctx, func(tx *db.Tx) error {
		channels, err := tx.Channels()
		for _, c := range channels {
			list = append(list, a.describeChannel(c))
		}
		return err
	})
	slices.SortStableFunc(list, func(a, b Channel) int { return cmp.Compare(a.Name, b.Name) })
	return list, err
}

// CreateChannel makes a channel of our own. Nobody is in it yet: that is what invites are for.
func (a *Account) CreateChannel(ctx context.Context, name string) (Channel, error) {
	chat, err := securejoin.NewChannel(rand.Reader, name, a.self(), a.now())
	if errors.Is(err, securejoin.ErrNoName) {
		return Channel{}, badData(err, "A channel needs a name.")
	}
	if err != nil {
		return Channel{}, err
	}
	c := db.Channel{ChannelChat: chat, Local: newLocal()}
	err = a.db.Update(ctx, func(tx *db.Tx) error { return tx.PutChannel(c) })
	return a.describeChannel(c), err
}

// Subscribers lists who has subscribed to a channel of ours, as they came.
func (a *Account) Subscribers(ctx context.Context, word string) ([]Member, error) {
	list := []Member{}
	err := a.db.View(ctx, func(tx *db.Tx) error {
		c, err := a.ownChannel(tx, word)
		if err != nil {
			return err
		}
		for _, m := range c.Current() {
			list = append(list, describeMember(m))
		}
		return nil
	})
	return list, err
}

// RemoveSubscriber takes somebody out of a channel of ours and changes its secret, which each who
// stays gets in the same transaction. The channel's invites stay as they are: their links may be
// in public places, and whoever comes back with the same key needs approval. With another key he
// may come back as anybody else.
func (a *Account) RemoveSubscriber(ctx context.Context, word, who string) (Channel, error) {
	key, addr, err := keyOrAddress(who)
	if err != nil {
		return Channel{}, err
	}
	return a.changeOwnChannel(ctx, word, func(tx *db.Tx, c db.Channel) error {
		chat, posts := c.ChannelChat, []securejoin.Post(nil)
		for _, m := range c.Current() { // one address may have subscribed with several keys
			if m.Addr != addr && m.Fingerprint != key {
				continue
			}
			next, more, err := chat.Remove(rand.Reader, a.self(), m.Fingerprint, a.now())
			if err != nil {
				return err
			}
			chat, posts = next, append(posts, more...)
		}
		if len(posts) == 0 {
			return fmt.Errorf("%w: no subscriber %s", ErrNotFound, who)
		}
		return a.changeChannel(tx, c, chat, posts, time.Time{})
	})
}

// RotateChannel changes the secret of a channel of ours, or how often that happens by itself:
// 0 for only when a subscriber is removed.
func (a *Account) RotateChannel(ctx context.Context, word string, every *time.Duration) (Channel, error) {
	if every != nil && *every != 0 && *every < minRotateEvery {
		return Channel{}, badData(nil, "A channel's secret changes at most every %s, or by itself never (0).", minRotateEvery)
	}
	return a.changeOwnChannel(ctx, word, func(tx *db.Tx, c db.Channel) error {
		if every == nil {
			return a.rotate(tx, c)
		}
		c.RotateEvery = *every
		return tx.PutChannel(c)
	})
}

func (a *Account) rotate(tx *db.Tx, c db.Channel) error {
	chat, posts, err := c.Rotate(rand.Reader, a.self(), a.now())
	if err != nil {
		return err
	}
	return a.changeChannel(tx, c, chat, posts, time.Time{})
}

// changeOwnChannel changes a channel of ours in a transaction, and gives it as it is then.
func (a *Account) changeOwnChannel(ctx context.Context, word string, change func(*db.Tx, db.Channel) error) (Channel, error) {
	var c db.Channel
	err := a.db.Update(ctx, func(tx *db.Tx) (err error) {
		if c, err = a.ownChannel(tx, word); err != nil {
			return err
		}
		if err = change(tx, c); err != nil {
			return err
		}
		c, err = tx.Channel(c.ID)
		return err
	})
	if err != nil {
		return Channel{}, err
	}
	a.outbox.kick()
	return a.describeChannel(c), nil
}

// LeaveChannel ends a subscription. Its secrets are forgotten.
func (a *Account) LeaveChannel(ctx context.Context, word string) (Channel, error) {
	var c db.Channel
	err := a.db.Update(ctx, func(tx *db.Tx) (err error) {
		if c, err = a.findChannel(tx, word); err != nil {
			return err
		}
		chat, post, err := c.Leave(a.self(), a.now())
		switch {
		case c.Own(a.self()) || c.Elsewhere:
			return badData(err, "The channel %s is yours. Remove its subscribers, and revoke its invites.", c.Name)
		case err != nil:
			return badData(err, "You have no subscription to the channel %s.", c.Name)
		}
		if err := a.changeChannel(tx, c, chat, []securejoin.Post{post}, time.Time{}); err != nil {
			return err
		}
		c.ChannelChat = chat
		return nil
	})
	if err != nil {
		return Channel{}, err
	}
	a.outbox.kick()
	return a.describeChannel(c), nil
}

// ownChannel finds a channel that is ours.
func (a *Account) ownChannel(tx *db.Tx, word string) (db.Channel, error) {
	c, err := a.findChannel(tx, word)
	switch {
	case err != nil || c.Own(a.self()):
		return c, err
	case c.Elsewhere:
		return c, badData(securejoin.ErrNotOwner, "Another device of yours keeps the channel %s. Change it there.", c.Name)
	}
	return c, badData(securejoin.ErrNotOwner, "The channel %s is not yours.", c.Name)
}

// findChannel finds a channel by its id, its local address, or its name if no other has it.
func (a *Account) findChannel(tx *db.Tx, word string) (db.Channel, error) {
	word = strings.TrimSpace(word)
	c, err := tx.Channel(word)
	if errors.Is(err, db.ErrNotFound) && localOf(word) != "" {
		c, err = tx.ChannelByLocal(localOf(word))
	}
	if !errors.Is(err, db.ErrNotFound) {
		return c, err
	}
	all, err := tx.Channels()
	if err != nil {
		return db.Channel{}, err
	}
	named := slices.DeleteFunc(all, func(c db.Channel) bool { return c.Name != word })
	switch len(named) {
	case 0:
		return db.Channel{}, fmt.Errorf("%w: no channel %s", ErrNotFound, word)
	case 1:
		return named[0], nil
	}
	return db.Channel{}, badData(nil, "There are %d channels with the name %s. Give the address of one: bridge channel list names them.", len(named), word)
}

func (a *Account) describeChannel(c db.Channel) Channel {
	d := Channel{
		ID: c.ID, Name: c.Name, Address: chatAddr(c.Name, c.Local), Own: c.Own(a.self()), Owner: describeMember(c.Owner),
		Open: c.Open(), Subscribers: len(c.Current()), RotatedAt: timeOrNil(c.RotatedAt),
	}
	if c.RotateEvery > 0 {
		d.RotateEvery = c.RotateEvery.String()
	}
	return d
}

func describeMember(m securejoin.Member) Member {
	return Member{Address: m.Addr, Name: m.Name, Fingerprint: m.Fingerprint, Since: timeOrNil(m.Added)}
}

// checkChannel says what would happen to a new message for a channel's address.
func (a *Account) checkChannel(check Check, c db.Channel) Check {
	switch post, err := c.Post(a.self()); {
	case err != nil:
		check.Reason = fmt.Sprintf("only its owner writes into the channel %s", c.Name)
	case len(post.Recipients) == 0:
		check.Reason = fmt.Sprintf("nobody has subscribed to the channel %s", c.Name)
	default:
		check.Outcome, check.Recommendation = outcomeEncrypt.String(), autocrypt.Encrypt.String()
		check.Reason = fmt.Sprintf("it is a post to the %d subscribers of the channel %s", len(post.Recipients), c.Name)
	}
	return check
}
