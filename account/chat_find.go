package account

import (
	"errors"

	"mailbridge/db"
	"mailbridge/securejoin"
)

// foundChat is a group or channel as invites and joins need it.
type foundChat struct {
	kind  securejoin.Kind
	id    string
	name  string
	local string
	in    bool // we are in it now, or it is ours, or we read it
	ours  bool // of a channel: we own it
}

// admits says, by an error for the user, whether others can be invited to it.
func (c foundChat) admits() error {
	switch {
	case c.kind == securejoin.Group && !c.in:
		return badData(securejoin.ErrNotMember, "you are not in the group “%s”", c.name)
	case c.kind == securejoin.Channel && !c.ours:
		return badData(securejoin.ErrNotOwner, "the channel “%s” is not yours: only its owner can invite to it", c.name)
	}
	return nil
}

func (a *Account) foundGroup(g db.Group) foundChat {
	return foundChat{securejoin.Group, g.ID, g.Name, g.Local, g.Has(a.self().Fingerprint), false}
}

func (a *Account) foundChannel(c db.Channel) foundChat {
	own := c.Own(a.self())
	return foundChat{securejoin.Channel, c.ID, c.Name, c.Local, own || c.Open(), own}
}

// chatOf finds a group or channel by its id. It reports false if there is none.
func (a *Account) chatOf(tx *db.Tx, kind securejoin.Kind, id string) (c foundChat, found bool, err error) {
	switch kind {
	case securejoin.Group:
		var g db.Group
		if g, err = tx.Group(id); err == nil {
			return a.foundGroup(g), true, nil
		}
	case securejoin.Channel:
		var ch db.Channel
		if ch, err = tx.Channel(id); err == nil {
			return a.foundChannel(ch), true, nil
		}
	}
	if errors.Is(err, db.ErrNotFound) {
		err = nil
	}
	return c, false, err
}

// findChat finds a group or channel as a person names it.
func (a *Account) findChat(tx *db.Tx, kind securejoin.Kind, text string) (foundChat, error) {
	if kind == securejoin.Channel {
		c, err := a.findChannel(tx, text)
		return a.foundChannel(c), err
	}
	g, err := a.findGroup(tx, text)
	return a.foundGroup(g), err
}

// stillAdmits says, by an error for the user, whether an invite can lead anywhere: of a group or
// channel only while we are in it, or own it.
func (a *Account) stillAdmits(tx *db.Tx, i securejoin.Invite) error {
	if i.Kind == securejoin.Contact {
		return nil
	}
	c, found, err := a.chatOf(tx, i.Kind, i.GroupID)
	if err != nil {
		return err
	}
	if !found {
		return badData(securejoin.ErrNoGroup, "the %s of this invite is gone", i.Kind)
	}
	return c.admits()
}
