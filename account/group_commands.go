package account

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"mailbridge/db"
	"mailbridge/message"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// Groups lists the groups that we are or were in, by name.
func (a *Account) Groups(ctx context.Context) ([]Group, error) {
	groups := []Group{}
	err := a.db.View(ctx, func(tx *db.Tx) error {
		known, err := tx.Groups()
		for _, g := range known {
			groups = append(groups, a.describeGroup(g))
		}
		return err
	})
	slices.SortFunc(groups, func(x, y Group) int { return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.ID, y.ID)) })
	return groups, err
}

// CreateGroup makes a group with nobody but ourselves in it.
func (a *Account) CreateGroup(ctx context.Context, name string) (Group, error) {
	id, err := securejoin.NewToken(rand.Reader)
	if err != nil {
		return Group{}, err
	}
	chat, err := securejoin.NewGroup(id, name, a.self(), a.now())
	if err != nil {
		return Group{}, badData(err, "%v", err)
	}
	g := db.Group{GroupChat: chat, Local: newLocal(), Made: true}
	err = a.db.Update(ctx, func(tx *db.Tx) error { return tx.PutGroup(g) })
	return a.describeGroup(g), err
}

// GroupMembers lists who is in a group.
func (a *Account) GroupMembers(ctx context.Context, group string) ([]Member, error) {
	members := []Member{}
	err := a.db.View(ctx, func(tx *db.Tx) error {
		g, err := a.findGroup(tx, group)
		members = describeMembers(g.Current())
		return err
	})
	return members, err
}

// AddMember takes a contact into a group, and says so to all.
func (a *Account) AddMember(ctx context.Context, group, address string) (Group, error) {
	return a.changeGroup(ctx, group, func(tx *db.Tx, g db.Group) (groupChange, error) {
		addr, err := soleAddress(address)
		if err != nil {
			return groupChange{}, err
		}
		r, err := a.lookUp(tx, addr, true)
		if err != nil {
			return groupChange{}, err
		}
		if r.cert == nil {
			return groupChange{}, badData(nil, "no usable key is known of %s: let them join with an invite to the group", addr)
		}
		if g.Has(r.cert.Fingerprint()) {
			return groupChange{}, badData(nil, "%s is in the group already", addr)
		}
		peer, err := tx.PeerOrNew(addr)
		if err != nil {
			return groupChange{}, err
		}
		next, p, err := g.Add(a.self(), securejoin.Member{Fingerprint: r.cert.Fingerprint(), Addr: addr, Name: peer.Name}, false, a.now())
		return groupChange{next: next, posts: []securejoin.Post{p}}, err
	})
}

// RemoveMember takes out of a group whoever has an address, or the one who has a key, and says so
// to all.
func (a *Account) RemoveMember(ctx context.Context, group, who string) (Group, error) {
	return a.changeGroup(ctx, group, func(_ *db.Tx, g db.Group) (groupChange, error) {
		key, addr, err := keyOrAddress(who)
		if err != nil {
			return groupChange{}, err
		}
		c := groupChange{next: g.GroupChat}
		for _, m := range g.Others(a.self()) {
			if m.Addr != addr && m.Fingerprint != key {
				continue
			}
			next, p, err := c.next.Remove(a.self(), m.Fingerprint, a.now())
			if err != nil {
				return c, err
			}
			c.next, c.posts = next, append(c.posts, p)
		}
		switch {
		case len(c.posts) > 0:
			return c, nil
		case a.own(addr), a.me().has(key):
			return c, badData(nil, "that is you: leave the group with: bridge group leave")
		}
		return c, fmt.Errorf("%w: no member %s", ErrNotFound, who)
	})
}

// RenameGroup gives a group another name.
func (a *Account) RenameGroup(ctx context.Context, group, name string) (Group, error) {
	return a.changeGroup(ctx, group, func(_ *db.Tx, g db.Group) (groupChange, error) {
		next, p, err := g.Rename(a.self(), name, a.now())
		return groupChange{next: next, posts: []securejoin.Post{p}}, err
	})
}

// LeaveGroup takes ourselves out of a group. It stays known.
func (a *Account) LeaveGroup(ctx context.Context, group string) (Group, error) {
	return a.changeGroup(ctx, group, func(_ *db.Tx, g db.Group) (groupChange, error) {
		next, p, err := g.Leave(a.self(), a.now())
		return groupChange{next: next, posts: []securejoin.Post{p}}, err
	})
}

// SetGroupEncryption says what is done with a member to whom mail cannot be encrypted.
func (a *Account) SetGroupEncryption(ctx context.Context, group, mode string) (Group, error) {
	encryption, ok := securejoin.ParseEncryption(mode)
	if !ok {
		return Group{}, badData(nil, "%q is neither required nor when-possible", mode)
	}
	return a.changeGroup(ctx, group, func(tx *db.Tx, g db.Group) (groupChange, error) {
		if encryption == securejoin.WhenPossible {
			if !g.Made {
				return groupChange{}, badData(nil, "only a group that was made here can do without encryption")
			}
			if chat, err := a.chatMember(tx, g); err != nil || chat != "" {
				return groupChange{}, errors.Join(err, badData(nil, "the program of %s may show only encrypted mail", chat))
			}
		}
		g.Encryption = encryption
		return groupChange{next: g.GroupChat}, nil
	})
}

// groupChange is what the user changes in a group: the state after it, and the messages that tell
// the others.
type groupChange struct {
	next      securejoin.GroupChat
	posts     []securejoin.Post
	notBefore time.Time
}

// changeGroup changes a group and tells the others, in one transaction.
func (a *Account) changeGroup(ctx context.Context, group string, change func(*db.Tx, db.Group) (groupChange, error)) (Group, error) {
	var g db.Group
	err := a.db.Update(ctx, func(tx *db.Tx) (err error) {
		if g, err = a.findGroup(tx, group); err != nil {
			return err
		}
		if !g.Has(a.key().Fingerprint()) {
			return forUser(securejoin.ErrNotMember)
		}
		c, err := change(tx, g)
		if err != nil {
			return forUser(err)
		}
		g, err = a.changed(tx, g, c)
		return err
	})
	if err != nil {
		return Group{}, err
	}
	a.outbox.kick()
	return a.describeGroup(g), nil
}

// changed stores a changed group, sends the messages about it, and ends our invites to it if
// somebody went.
func (a *Account) changed(tx *db.Tx, g db.Group, c groupChange) (db.Group, error) {
	left := someoneLeft(g.GroupChat, c.next)
	g.GroupChat = c.next
	for _, p := range c.posts {
		id, err := a.sendPost(tx, p, g.Thread, c.notBefore)
		if err != nil {
			return g, err
		}
		g.Thread = db.Followed(g.Thread, id)
	}
	g, err := a.keepSecret(tx, g, "")
	if err != nil {
		return g, err
	}
	if left {
		if err := a.revokeGroupInvites(tx, g.ID); err != nil {
			return g, err
		}
	}
	return g, tx.PutGroup(g)
}

// forUser words the errors of a change as what the user asked for.
func forUser(err error) error {
	for _, known := range []error{securejoin.ErrNotMember, securejoin.ErrNoSuchMember, securejoin.ErrNoName, securejoin.ErrTooLarge, securejoin.ErrNoAddress} {
		if errors.Is(err, known) {
			return badData(err, "%v", known)
		}
	}
	return err
}

// keyOrAddress reads how the user named somebody: one of them is empty.
func keyOrAddress(text string) (pgp.Fingerprint, string, error) {
	if key, err := pgp.ParseFingerprint(text); err == nil {
		return key, "", nil
	}
	addr, err := soleAddress(text)
	return "", addr, err
}

// soleAddress reads the one address that the user gave.
func soleAddress(text string) (string, error) {
	list := message.ParseAddresses(text)
	if len(list) != 1 || shortAddr(list[0].Addr) == "" {
		return "", badData(nil, "%q is not a mail address", text)
	}
	return shortAddr(list[0].Addr), nil
}
