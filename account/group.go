package account

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mailbridge/db"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// findGroup finds a group by its id, its local address, of which only the random part counts, or
// its name if no other group has it.
func (a *Account) findGroup(tx *db.Tx, text string) (db.Group, error) {
	text = strings.TrimSpace(text)
	g, err := tx.Group(text)
	if errors.Is(err, db.ErrNotFound) && localOf(text) != "" {
		g, err = tx.GroupByLocal(localOf(text))
	}
	if !errors.Is(err, db.ErrNotFound) {
		return g, err
	}
	groups, err := tx.Groups()
	if err != nil {
		return db.Group{}, err
	}
	groups = slices.DeleteFunc(groups, func(g db.Group) bool { return g.Name != text })
	switch len(groups) {
	case 0:
		return db.Group{}, fmt.Errorf("%w: no group %q", ErrNotFound, text)
	case 1:
		return groups[0], nil
	}
	return db.Group{}, badData(nil, "several groups are called %q: name one by its id or address", text)
}

// groupStanding is how a joiner stands to a group that an invite is for.
func (a *Account) groupStanding(tx *db.Tx, id string, joiner pgp.Fingerprint) (securejoin.Standing, error) {
	g, err := tx.Group(id)
	if errors.Is(err, db.ErrNotFound) {
		return securejoin.NoGroup, nil
	}
	return g.Standing(a.self(), joiner), err
}

// admitToGroup takes in who joined by an invite, and says so to all.
func (a *Account) admitToGroup(tx *db.Tx, e securejoin.Admit) error {
	g, err := tx.Group(e.GroupID)
	if err != nil {
		return err
	}
	who := securejoin.Member{Fingerprint: e.Fingerprint, Addr: e.Addr, Name: e.Name}
	next, p, err := g.Add(a.self(), who, true, a.now())
	if err != nil { // it is full, or we left while the joiner waited: nothing that another try would change
		return a.leave(tx, note{
			subject: "Not added to " + g.Name + ": " + e.Addr,
			text:    fmt.Sprintf("%s has joined your invite to the group “%s”, but was not added: %v.", e.Addr, g.Name, err),
		})
	}
	o := groupChange{next: next, posts: []securejoin.Post{p}, notBefore: e.NotBefore}
	_, err = a.changed(tx, g, o)
	return err
}

// keepSecret makes encryption a must once a program in the group keeps groups by itself: it shows
// no plain mail. by is who is known to have one; empty: what is known of the members decides.
func (a *Account) keepSecret(tx *db.Tx, g db.Group, by string) (db.Group, error) {
	if g.Encryption != securejoin.WhenPossible {
		return g, nil
	}
	if by == "" {
		var err error
		if by, err = a.chatMember(tx, g); err != nil || by == "" {
			return g, err
		}
	}
	g.Encryption = securejoin.Required
	return g, a.leave(tx, note{
		subject: "Always encrypted now: " + g.Name,
		text:    fmt.Sprintf("The program of %s may show only encrypted mail. Mail to the group “%s” is always encrypted from now on.", by, g.Name),
	})
}

// chatMember gives a member whose program shows no plain mail; empty: none is known.
func (a *Account) chatMember(tx *db.Tx, g db.Group) (string, error) {
	for _, m := range g.Others(a.self()) {
		peers, err := tx.PeersByKey(m.Fingerprint)
		if err != nil {
			return "", err
		}
		peer, err := tx.PeerOrNew(m.Addr) // whose key may be another one, or was reset
		if err != nil {
			return "", err
		}
		if slices.Contains(g.Apps, m.Fingerprint) || slices.ContainsFunc(append(peers, peer), func(p db.Peer) bool { return p.ReadsHidden }) {
			return m.Addr, nil
		}
	}
	return "", nil
}

// revokeGroupInvites ends our open invites to a group, on all our devices: who went knows them.
func (a *Account) revokeGroupInvites(tx *db.Tx, id string) error {
	invites, err := tx.Invites(a.now())
	if err != nil {
		return err
	}
	for _, i := range securejoin.RevokeGroup(invites, id, a.now()) {
		if err := tx.RevokeInvite(i.ID, a.now()); err != nil {
			return err
		}
		if !i.Shared {
			continue
		}
		if err := a.withdraw(tx, i); err != nil {
			return err
		}
	}
	return nil
}

// someoneLeft reports whether somebody who was in a group is not any more.
func someoneLeft(before, after securejoin.GroupChat) bool {
	return slices.ContainsFunc(before.Current(), func(m securejoin.Member) bool { return !after.Has(m.Fingerprint) })
}

// groupAddr is the local address of a group.
func groupAddr(g db.Group) string { return chatAddr(g.Name, g.Local) }

// describeGroup gives a group as the user sees it.
func (a *Account) describeGroup(g db.Group) Group {
	return Group{
		ID: g.ID, Name: g.Name, Address: groupAddr(g), Encryption: g.Encryption.String(),
		Member: g.Has(a.key().Fingerprint()), Members: describeMembers(g.Current()),
	}
}

func describeMembers(members []securejoin.Member) []Member {
	list := make([]Member, len(members))
	for n, m := range members {
		list[n] = describeMember(m)
	}
	slices.SortFunc(list, func(x, y Member) int {
		return cmp.Or(cmp.Compare(x.Address, y.Address), cmp.Compare(x.Fingerprint, y.Fingerprint))
	})
	return list
}
