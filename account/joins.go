package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"mailbridge/db"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// Join begins to follow somebody's invite. A link that is no invite, one of our own, one that
// leads where we are already, and one whose addresses have another key are a *BadData.
func (a *Account) Join(ctx context.Context, text string, o JoinOptions) (Join, error) {
	link, err := securejoin.ParseLink(text)
	if err != nil {
		return Join{}, badData(err, "%v", err)
	}
	way, err := parseWay(o.Way)
	if err != nil {
		return Join{}, err
	}
	var j securejoin.Join
	err = a.db.Update(ctx, func(tx *db.Tx) error {
		i, remembered, own, err := a.ownLink(tx, link)
		switch {
		case err != nil:
			return err
		case own:
			return a.ownInvite(tx, i, remembered, text)
		}
		known, again, err := a.joinedBefore(tx, link)
		if err != nil {
			return err
		}
		if again && !o.Replace {
			j = known // joining twice is once
			return nil
		}
		if again && known.Pending() {
			if _, err := a.endJoin(tx, known, reasonAgain); err != nil {
				return err
			}
		}
		j, err = a.startJoin(tx, link, o.Replace, way)
		return err
	})
	if err != nil {
		return Join{}, joinError(err)
	}
	a.outbox.kick()
	return describeJoin(j), nil
}

// reasonAgain ends a join in whose place the user puts another.
const reasonAgain = "joined again"

// joinError words why a link is not joined.
func joinError(err error) error {
	var other *securejoin.OtherKeyError
	switch {
	case errors.As(err, &other):
		return badData(err, "%s has another key already. If this invite is right, join it with --replace.", other.Addr)
	case errors.As(err, new(*BadData)):
		return err
	case errors.Is(err, securejoin.ErrOwnInvite), errors.Is(err, securejoin.ErrUnsupportedInvite):
		return badData(err, "%v", err)
	}
	return err
}

// joinedBefore finds a join of the same invite that waits, or that is done and still holds: a
// contact that was reset since may be joined again, and so may a group that we left.
func (a *Account) joinedBefore(tx *db.Tx, link securejoin.Link) (securejoin.Join, bool, error) {
	c, _, err := a.chatOf(tx, link.Kind, link.GroupID)
	if err != nil {
		return securejoin.Join{}, false, err
	}
	j, err := tx.JoinOf(link)
	switch {
	case errors.Is(err, db.ErrNotFound) && c.in:
		return j, false, badData(nil, "you are in the %s “%s” already", link.Kind, c.name)
	case errors.Is(err, db.ErrNotFound):
		return j, false, nil
	case err != nil || j.Pending() || j.Claim:
		return j, err == nil, err
	case link.Kind != securejoin.Contact:
		return j, c.in, nil
	}
	h, err := a.holder(tx, j.Addr)
	return j, h.fingerprint == link.Fingerprint, err
}

// startJoin is Join's transaction.
func (a *Account) startJoin(tx *db.Tx, link securejoin.Link, replace bool, way securejoin.Way) (securejoin.Join, error) {
	holders := map[string]pgp.Fingerprint{}
	for _, addr := range link.Addresses() {
		h, err := a.claimant(tx, addr, link.Fingerprint)
		if err != nil {
			return securejoin.Join{}, err
		}
		if h.blocked {
			return securejoin.Join{}, badData(securejoin.ErrBlocked, "you have blocked %s, of whom this invite is", addr)
		}
		holders[addr] = h.fingerprint
	}
	j, effects, err := securejoin.NewJoin(link, a.self(), holders, replace, a.now())
	if err != nil {
		return securejoin.Join{}, err
	}
	j.Way = way
	if j.ID, err = tx.AddJoin(j); err != nil {
		return securejoin.Join{}, err
	}
	for i, e := range effects {
		if s, ok := e.(securejoin.Send); ok {
			s.JoinID = j.ID // it was not known before
			effects[i] = s
		}
	}
	return j, a.carryOut(tx, effects)
}

// Joins lists our joins, the newest first; ended ones for 90 days. Those of other devices of
// the account are theirs.
func (a *Account) Joins(ctx context.Context) ([]Join, error) {
	list := []Join{}
	err := a.db.View(ctx, func(tx *db.Tx) error {
		joins, err := tx.Joins()
		for _, j := range joins {
			if !j.Observed {
				list = append(list, describeJoin(j))
			}
		}
		return err
	})
	return list, err
}

// CancelJoin ends a join that waits. What was not sent yet is not sent, and an answer that comes
// late changes nothing.
func (a *Account) CancelJoin(ctx context.Context, id string) (Join, error) {
	number, err := joinNumber(id)
	if err != nil {
		return Join{}, err
	}
	var j securejoin.Join
	err = a.db.Update(ctx, func(tx *db.Tx) error {
		if j, err = tx.Join(number); err != nil {
			return err
		}
		if !j.Pending() {
			return badData(nil, "this join has ended already: %s", describeJoin(j).State)
		}
		j, err = a.endJoin(tx, j, securejoin.ReasonCancelled)
		return err
	})
	if errors.Is(err, db.ErrNotFound) {
		return Join{}, fmt.Errorf("%w: join %q", ErrNotFound, id)
	}
	if err != nil {
		return Join{}, err
	}
	return describeJoin(j), nil
}

// endJoin fails a join because the user does not want it any more. There is nothing to tell.
func (a *Account) endJoin(tx *db.Tx, j securejoin.Join, reason string) (securejoin.Join, error) {
	j, _ = j.Fail(reason, a.now())
	return j, errors.Join(a.putJoin(tx, j), tx.DropWaiting(j.RequestMessageID))
}

// endJoinsOf fails the joins that wait for an address.
func (a *Account) endJoinsOf(tx *db.Tx, addr, reason string) error {
	joins, err := tx.PendingJoins()
	if err != nil {
		return err
	}
	for _, j := range joins {
		if !slices.Contains(j.Link.Addresses(), addr) {
			continue
		}
		if _, err := a.endJoin(tx, j, reason); err != nil {
			return err
		}
	}
	return nil
}

func joinNumber(id string) (int64, error) {
	number, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: join %q", ErrNotFound, id)
	}
	return number, nil
}

// GetJoin says how far a join got.
func (a *Account) GetJoin(ctx context.Context, id string) (Join, error) {
	number, err := joinNumber(id)
	if err != nil {
		return Join{}, err
	}
	var j securejoin.Join
	err = a.db.View(ctx, func(tx *db.Tx) (err error) {
		j, err = tx.Join(number)
		return err
	})
	if errors.Is(err, db.ErrNotFound) {
		return Join{}, fmt.Errorf("%w: join %q", ErrNotFound, id)
	}
	if err != nil {
		return Join{}, err
	}
	return describeJoin(j), nil
}

// WaitJoin waits until a join is done or has failed.
func (a *Account) WaitJoin(ctx context.Context, id string) (Join, error) {
	number, err := joinNumber(id)
	if err != nil {
		return Join{}, err
	}
	for {
		moved := a.joins.watch(number)
		j, err := a.GetJoin(ctx, id)
		if err != nil || j.State != JoinPending {
			a.joins.forget(number, moved)
			return j, err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			a.joins.forget(number, moved)
			return j, ctx.Err()
		}
	}
}

func describeJoin(j securejoin.Join) Join {
	d := Join{
		ID: strconv.FormatInt(j.ID, 10), Address: j.Addr, Name: j.Link.Name, Fingerprint: j.Link.Fingerprint,
		Kind: j.Link.Kind.String(), GroupName: j.Link.GroupName, Reason: j.Reason, Way: string(j.Way),
		Started: j.Started, Updated: j.Updated,
	}
	switch {
	case j.Pending():
		d.State = JoinPending
	case j.State == securejoin.Failed:
		d.State = JoinFailed
	case j.Claim:
		d.State = JoinClaim
		d.Reason = fmt.Sprintf("%s has another key; accept this one with: bridge contact accept %s %s", j.Addr, j.Addr, j.Link.Fingerprint)
	default:
		d.State = JoinCompleted
	}
	return d
}
