package account

import (
	"context"
	"errors"
	"time"

	"mailbridge/db"
	"mailbridge/securejoin"
)

const (
	// houseEvery is how often joins that wait are looked at; their times are hours and days.
	houseEvery = time.Minute
	// handledFor is a day longer than a message that comes again must be known: the clock of who
	// wrote it may be ahead.
	handledFor = securejoin.HandledFor + 24*time.Hour
)

// keepHouse repeats or fails joins that wait too long, and forgets what has outlived its use.
func (a *Account) keepHouse(ctx context.Context) error {
	ticker := time.NewTicker(houseEvery)
	defer ticker.Stop()
	for {
		if err := a.db.Update(ctx, a.tidy); err != nil && ctx.Err() == nil {
			a.log.Error("housekeeping failed", "error", err) // a full disk may have room later
		}
		a.outbox.kick()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

func (a *Account) tidy(tx *db.Tx) error {
	now := a.now()
	joins, err := tx.PendingJoins()
	if err != nil {
		return err
	}
	for _, j := range joins {
		if err := a.tick(tx, j, now); err != nil {
			return err
		}
	}
	return errors.Join(
		a.rotateChannels(tx),
		a.callDevices(tx),
		tx.PruneInvites(now.Add(-securejoin.Tombstone)),
		tx.PruneJoins(now.Add(-securejoin.Tombstone)),
		tx.PruneHandled(now.Add(-handledFor)),
	)
}

// tick moves a join that waits. A step that has not even left is not repeated.
func (a *Account) tick(tx *db.Tx, j securejoin.Join, now time.Time) error {
	next, effects := j.Tick(now)
	switch {
	case next.State == j.State && next.Resent == j.Resent:
		return nil
	case !next.Pending():
		return errors.Join(a.putJoin(tx, next), tx.DropWaiting(j.RequestMessageID), a.carryOut(tx, effects))
	}
	if waits, err := tx.WaitsInOutbox(j.RequestMessageID); waits || err != nil {
		return err
	}
	return errors.Join(a.putJoin(tx, next), a.carryOut(tx, effects))
}
