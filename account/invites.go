package account

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"mailbridge/db"
	"mailbridge/message"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// Invite makes an invite: for a contact, into a group that we are in, or to a channel of ours.
func (a *Account) Invite(ctx context.Context, o InviteOptions) (Invite, error) {
	var made Invite
	err := a.db.Update(ctx, func(tx *db.Tx) error {
		i, err := a.newInvite(tx, o)
		if err != nil {
			return err
		}
		made, err = a.describeInvite(tx, i)
		return err
	})
	if err != nil {
		return Invite{}, err
	}
	a.mirror.Retry() // a message that was held may be meant for it
	a.outbox.kick()
	return made, nil
}

func (a *Account) newInvite(tx *db.Tx, o InviteOptions) (securejoin.Invite, error) {
	options, err := a.inviteOptions(tx, o)
	if err != nil {
		return securejoin.Invite{}, err
	}
	i, err := securejoin.NewInvite(rand.Reader, a.now(), options)
	if errors.Is(err, securejoin.ErrSharedInvite) {
		return i, badData(err, "%v", err)
	}
	if err != nil {
		return i, err
	}
	if i.ID, err = tx.AddInvite(i); err != nil || !i.Shared {
		return i, err
	}
	return i, a.announce(tx, i)
}

// inviteOptions checks what the user asks for.
func (a *Account) inviteOptions(tx *db.Tx, o InviteOptions) (securejoin.InviteOptions, error) {
	s := securejoin.InviteOptions{Once: o.Once, Ask: o.Ask, Shared: o.Shared, Legacy: o.Legacy}
	var err error
	if s.Way, err = parseWay(o.Way); err != nil {
		return s, err
	}
	if o.For != "" {
		if s.For, err = a.otherAddr(o.For); err != nil {
			return s, err
		}
	}
	text := o.Group
	switch {
	case o.Group != "" && o.Channel != "":
		return s, badData(nil, "an invite is for a group or for a channel, not for both")
	case o.Group != "":
		s.Kind = securejoin.Group
	case o.Channel != "":
		s.Kind, text = securejoin.Channel, o.Channel
	}
	if s.Kind != securejoin.Contact {
		c, err := a.findChat(tx, s.Kind, text)
		if err != nil {
			return s, err
		}
		if err := c.admits(); err != nil {
			return s, err
		}
		s.GroupID = c.id
	}
	s.Expires, err = a.expiry(o, s.Kind)
	return s, err
}

// expiry is when an invite ends; zero: never. What other devices answer, too, has no end: they
// would not know of it.
func (a *Account) expiry(o InviteOptions, kind securejoin.Kind) (time.Time, error) {
	life := kind.Lifetime()
	if o.Shared {
		life = 0
	}
	if o.Expires != nil {
		life = *o.Expires
	}
	switch {
	case life == 0:
		return time.Time{}, nil
	case life < time.Second:
		return time.Time{}, badData(nil, "an invite must be good for a second at least; 0 is for ever")
	}
	return a.now().Add(life).Truncate(time.Second), nil
}

func parseWay(s string) (securejoin.Way, error) {
	switch way := securejoin.Way(s); way {
	case "", securejoin.WayShown, securejoin.WayPrinted, securejoin.WayCopied, securejoin.WayMailed:
		return way, nil
	}
	return "", badData(nil, "%q is no way of handing over a link: shown, printed, copied or mailed", s)
}

// otherAddr reads the address of somebody else.
func (a *Account) otherAddr(text string) (string, error) {
	addr, err := soleAddress(text)
	switch {
	case err != nil:
		return "", err
	case bridgeAddr(addr):
		return "", badData(nil, "%s is an address of the bridge itself", addr)
	case a.own(addr):
		return "", badData(nil, "%s is your own address", addr)
	}
	return addr, nil
}

// Invites lists the invites that are live, and those that ended in the last 90 days.
func (a *Account) Invites(ctx context.Context) ([]Invite, error) {
	list := []Invite{}
	err := a.db.View(ctx, func(tx *db.Tx) error {
		invites, err := tx.Invites(a.now())
		if err != nil {
			return err
		}
		for _, i := range invites {
			if i.Unseen() {
				continue
			}
			d, err := a.describeInvite(tx, i)
			if err != nil {
				return err
			}
			list = append(list, d)
		}
		return nil
	})
	return list, err
}

// RevokeInvite ends an invite, for good unless the user revives it. Joiners hear nothing. Of a
// shared one other devices withdraw all links of that chat, of which the user is to be told before.
func (a *Account) RevokeInvite(ctx context.Context, id string) (Invite, error) {
	return a.changeInvite(ctx, id, func(tx *db.Tx, i securejoin.Invite) error {
		if err := tx.RevokeInvite(i.ID, a.now()); err != nil || !i.Shared {
			return err
		}
		return a.withdraw(tx, i)
	})
}

// ReviveInvite makes a revoked or expired invite good again, named by its id or by its link. A
// link of ours may be of an invite that is remembered no more.
func (a *Account) ReviveInvite(ctx context.Context, idOrLink string) (Invite, error) {
	if isNumber(idOrLink) {
		return a.changeInvite(ctx, idOrLink, a.revive)
	}
	link, err := securejoin.ParseLink(idOrLink)
	if err != nil {
		return Invite{}, badData(err, "%v, and not the number of one", err)
	}
	return a.reviveLink(ctx, link)
}

// mayRevive says, by an error for the user, whether an invite that has ended could lead anywhere.
func (a *Account) mayRevive(tx *db.Tx, i securejoin.Invite) error {
	if _, ended := a.me().inviteKey(i.ID); ended {
		return badData(nil, "this invite names a key that you do not use any more; make a new one")
	}
	return a.stillAdmits(tx, i)
}

// finalEnd says why an invite that has ended cannot live again; empty: it can.
func (a *Account) finalEnd(tx *db.Tx, i securejoin.Invite) (string, error) {
	err := a.mayRevive(tx, i)
	if bad, ok := errors.AsType[*BadData](err); ok {
		return bad.Text, nil
	}
	return "", err
}

func (a *Account) revive(tx *db.Tx, i securejoin.Invite) error {
	if err := a.mayRevive(tx, i); err != nil {
		return err
	}
	revived, err := i.Revive(a.now())
	if err != nil {
		return badData(err, "%v", err)
	}
	if err := tx.ReviveInvite(i.ID, revived.Expires); err != nil || !i.Shared {
		return err
	}
	return a.announce(tx, revived)
}

func (a *Account) reviveLink(ctx context.Context, link securejoin.Link) (Invite, error) {
	var revived Invite
	err := a.db.Update(ctx, func(tx *db.Tx) error {
		i, known, own, err := a.ownLink(tx, link)
		switch {
		case err != nil:
			return err
		case !own:
			return badData(securejoin.ErrNotInvite, "this invite is not your own")
		case known:
			err = a.revive(tx, i)
		default:
			i, err = a.reviveForgotten(tx, link)
		}
		if err != nil {
			return err
		}
		if i, err = tx.Invite(i.ID); err != nil {
			return err
		}
		revived, err = a.describeInvite(tx, i)
		return err
	})
	if err != nil {
		return Invite{}, err
	}
	a.mirror.Retry()
	return revived, nil
}

// reviveForgotten makes an invite anew of its link.
func (a *Account) reviveForgotten(tx *db.Tx, link securejoin.Link) (securejoin.Invite, error) {
	expires, err := a.expiry(InviteOptions{}, link.Kind)
	if err != nil {
		return securejoin.Invite{}, err
	}
	i, err := securejoin.ReviveLink(link, a.self(), a.now(), expires)
	if err != nil {
		return i, badData(err, "%v", err)
	}
	if err := a.stillAdmits(tx, i); err != nil {
		return i, err
	}
	i.ID, err = tx.AddInvite(i)
	return i, err
}

// ownLink finds the invite of ours that a link is of.
func (a *Account) ownLink(tx *db.Tx, link securejoin.Link) (i securejoin.Invite, known, own bool, err error) {
	found, err := tx.InviteByAuth(link.Auth)
	if errors.Is(err, db.ErrNotFound) {
		_, _, own = securejoin.OwnLink(link, a.self(), nil)
		return i, false, own, nil
	}
	if err != nil {
		return i, false, false, err
	}
	i, known, own = securejoin.OwnLink(link, a.inviter(found.ID), []securejoin.Invite{found})
	return i, known, own, nil
}

// ownInvite says of a link that is our own what can be done with it.
func (a *Account) ownInvite(tx *db.Tx, i securejoin.Invite, known bool, link string) error {
	err := securejoin.ErrOwnInvite
	switch state := i.State(a.now()); {
	case !known:
		return badData(err, "this invite is your own, and it is not valid any more\nmake it good again with: bridge invite revive '%s'", strings.TrimSpace(link))
	case state == securejoin.Live:
		return badData(err, "this invite is your own\nend it with: bridge invite revoke %d", i.ID)
	case state == securejoin.Used:
		return badData(err, "this invite is your own, and it is used up")
	default:
		hint, failed := a.finalEnd(tx, i)
		if failed != nil {
			return failed
		}
		if hint == "" {
			hint = fmt.Sprintf("make it good again with: bridge invite revive %d", i.ID)
		}
		return badData(err, "this invite is your own; it is %s\n%s", state, hint)
	}
}

// AcceptJoiner is the user's yes to a joiner that waits at an invite which asks, or that was
// once removed from its group. who is an address, or the fingerprint where several keys wait
// under one address; it may be empty if one joiner waits.
func (a *Account) AcceptJoiner(ctx context.Context, id, who string) (Invite, error) {
	d, err := a.changeInvite(ctx, id, func(tx *db.Tx, i securejoin.Invite) error {
		asking, err := whoAsks(i, who)
		if err != nil {
			return err
		}
		return a.acceptJoiner(tx, i, asking)
	})
	a.outbox.kick()
	return d, err
}

func (a *Account) acceptJoiner(tx *db.Tx, i securejoin.Invite, who securejoin.Asking) error {
	if err := a.stillAdmits(tx, i); err != nil {
		return err
	}
	h, err := a.claimant(tx, who.Addr, who.Fingerprint)
	if err != nil {
		return err
	}
	if h.blocked {
		return badData(securejoin.ErrBlocked, "you have blocked %s", who.Addr)
	}
	accepted, out, err := i.Accept(who.Fingerprint, who.Addr, h.fingerprint, a.now())
	if err != nil {
		return badData(err, "%v", err)
	}
	if err := tx.DropAsking(i.ID, who.Fingerprint, who.Addr); err != nil {
		return err
	}
	if err := tx.PutInvite(accepted); err != nil {
		return err
	}
	return a.carryOut(tx, out.Effects)
}

// whoAsks finds the joiner that the user means.
func whoAsks(i securejoin.Invite, who string) (securejoin.Asking, error) {
	fpr, _ := pgp.ParseFingerprint(who)
	addr := message.CanonicalAddr(who)
	var found []securejoin.Asking
	for _, a := range i.Asking {
		if who == "" || a.Fingerprint == fpr || a.Addr == addr {
			found = append(found, a)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0:
		return securejoin.Asking{}, badData(securejoin.ErrNotAsking, "%v", securejoin.ErrNotAsking)
	}
	names := make([]string, len(found))
	for n, a := range found {
		names[n] = a.Addr + " " + string(a.Fingerprint)
	}
	return securejoin.Asking{}, badData(nil, "several joiners wait; name one, by its address or its fingerprint: %s", strings.Join(names, ", "))
}

// changeInvite changes an invite as the user decided, and describes it.
func (a *Account) changeInvite(ctx context.Context, id string, change func(*db.Tx, securejoin.Invite) error) (Invite, error) {
	number, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return Invite{}, fmt.Errorf("%w: invite %q", ErrNotFound, id)
	}
	var d Invite
	err = a.db.Update(ctx, func(tx *db.Tx) error {
		i, err := tx.Invite(number)
		if errors.Is(err, db.ErrNotFound) {
			return fmt.Errorf("%w: invite %q", ErrNotFound, id)
		}
		if err != nil {
			return err
		}
		if err := change(tx, i); err != nil {
			return err
		}
		if i, err = tx.Invite(number); err != nil {
			return err
		}
		d, err = a.describeInvite(tx, i)
		return err
	})
	if err != nil {
		return Invite{}, err
	}
	a.mirror.Retry()
	return d, nil
}

func isNumber(s string) bool {
	_, err := strconv.ParseInt(s, 10, 64)
	return err == nil
}

func (a *Account) describeInvite(tx *db.Tx, i securejoin.Invite) (Invite, error) {
	d := Invite{
		ID: strconv.FormatInt(i.ID, 10), Kind: i.Kind.String(), State: i.State(a.now()).String(),
		Created: i.Created.Truncate(time.Second), ExpiresAt: timeOrNil(i.Expires), RevokedAt: timeOrNil(i.Revoked),
		Once: i.Once, Ask: i.Ask, Shared: i.Shared, Legacy: i.Legacy, For: i.For, Way: string(i.Way),
		Uses: []InviteJoiner{}, Asking: []InviteJoiner{},
	}
	for _, u := range i.Uses {
		d.Uses = append(d.Uses, InviteJoiner{Address: u.Addr, Fingerprint: u.Fingerprint, At: u.At})
	}
	for _, w := range i.Waiting(a.now()) {
		d.Asking = append(d.Asking, InviteJoiner{Address: w.Addr, Name: w.Name, Fingerprint: w.Fingerprint, At: w.At})
	}
	if i.Kind == securejoin.Contact {
		d.Link = i.Link(a.inviter(i.ID)).String()
		return d, nil
	}
	c, found, err := a.chatOf(tx, i.Kind, i.GroupID)
	if found && err == nil {
		d.Address, d.GroupName = chatAddr(c.name, c.local), c.name
		d.Link = i.GroupLink(a.inviter(i.ID), c.name).String()
	}
	return d, err
}
