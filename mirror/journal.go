package mirror

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"mailbridge/db"
	"mailbridge/mailbox"
	"mailbridge/upstream"
)

// item is an entry of the journal with the row it is about.
type item struct {
	db.Entry
	row db.Message
}

// journalBatch is how many entries are read at once, and the most that one command names.
const journalBatch = 500

// flush does the next run of entries that are due and alike. It reports whether there was one.
func (s *session) flush(ctx context.Context) (bool, error) {
	var items []item
	err := s.m.db.View(ctx, func(tx *db.Tx) error {
		heads, err := tx.JournalHeads(s.m.opts.Now(), journalBatch)
		for _, e := range heads {
			row, err := tx.Message(e.Message)
			if err != nil {
				return err
			}
			items = append(items, item{e, row})
		}
		return err
	})
	if err != nil || len(items) == 0 {
		return false, err
	}
	run := alike(items)
	if err := s.perform(ctx, run); err != nil {
		return true, s.postpone(ctx, run, err)
	}
	return true, nil
}

// alike gives the entries at the front that one command can do. The order between messages is
// kept: a client that saves a new draft and removes the old one wants them in this order.
func alike(items []item) []item {
	first := items[0]
	settled := func(i item) bool { return i.Op == db.OpMove && i.Sent } // its outcome is looked for
	if first.Op == db.OpAppend || settled(first) {
		return items[:1]
	}
	n := slices.IndexFunc(items, func(i item) bool {
		return i.Op != first.Op || settled(i) || i.Mailbox != first.Mailbox || !i.Add.Equal(first.Add) || !i.Del.Equal(first.Del) ||
			i.row.Up.Mailbox != first.row.Up.Mailbox || i.row.Up.UIDValidity != first.row.Up.UIDValidity
	})
	if n < 0 {
		return items
	}
	return items[:n]
}

// perform tells the provider, or finds out what became of what it was told.
func (s *session) perform(ctx context.Context, run []item) error {
	first := run[0]
	if first.Op == db.OpAppend {
		return s.upload(ctx, first)
	}
	if first.row.Up.UID == 0 {
		return s.sync(ctx, first.row.Up.Mailbox) // a provider that does not say where it moved it to
	}
	box, err := s.m.mailbox(ctx, first.row.Up.Mailbox)
	if err != nil {
		return err
	}
	if err := s.ensure(ctx, box, first.row.Up.UIDValidity); err != nil {
		if errors.Is(err, errRenumbered) {
			return s.sync(ctx, box.ID)
		}
		return err
	}
	switch first.Op {
	case db.OpStore:
		return s.pushFlags(ctx, run)
	case db.OpExpunge:
		return s.pushExpunge(ctx, run)
	default:
		return s.pushMove(ctx, box, run)
	}
}

// postpone handles a command that did not succeed on a connection that still lives. An entry
// that may have happened stays marked, and is settled first.
func (s *session) postpone(ctx context.Context, run []item, cause error) error {
	if ctx.Err() != nil || s.conn.Broken() || isIndexError(cause) {
		return cause
	}
	s.m.log.Warn("the provider refused a change", "op", run[0].Op, "n", len(run), "attempt", run[0].Attempts, "err", cause)
	return s.m.db.Update(ctx, func(tx *db.Tx) error {
		for _, i := range run {
			if err := s.m.postponeItem(tx, i, cause); err != nil && !errors.Is(err, db.ErrNotFound) {
				return err
			}
		}
		return nil
	})
}

// maxRefusals is how often a refused change is tried before it is taken back: long enough for
// a provider's maintenance, and short enough that client and provider do not differ for days.
const maxRefusals = 6

func (m *Mirror) postponeItem(tx *db.Tx, i item, cause error) error {
	entries, err := tx.JournalOf(i.Message)
	if err != nil || !slices.ContainsFunc(entries, func(e db.Entry) bool { return e.ID == i.ID }) {
		return err // the client has thought better of it meanwhile
	}
	if i.Op != db.OpAppend && (upstream.ClassOf(cause) == upstream.Permanent && upstream.IsRefused(cause) || i.Attempts >= maxRefusals) {
		return m.takeBack(tx, i, cause)
	}
	if i.Op == db.OpAppend && i.Attempts == 0 {
		err := m.note(tx, "The provider does not take a message",
			"A message that was stored here could not be stored at the provider. It stays here and is tried again.\n\n"+cause.Error())
		if err != nil {
			return err
		}
	}
	return tx.Requeue(i.ID, m.opts.Now().Add(pause(i.Attempts)))
}

// takeBack makes the client see what the provider insists on.
func (m *Mirror) takeBack(tx *db.Tx, i item, cause error) error {
	row, err := tx.Message(i.Message)
	if err != nil {
		return err
	}
	switch i.Op {
	case db.OpExpunge:
		return m.reappear(tx, row, cause.Error())
	case db.OpMove:
		if err := tx.ClearJournal(row.ID); err != nil {
			return err
		}
		if row.State == db.Removed {
			return m.reappear(tx, row, cause.Error())
		}
		if row.State == db.Visible {
			if err := m.note(tx, "A message was not moved", "The provider refused to move a message. It is back where it was.\n\n"+cause.Error()); err != nil {
				return err
			}
		}
		return m.replace(tx, row, row.Up.Mailbox)
	default: // the next comparison brings the provider's flags back
		tx.AfterCommit(func() { m.look(row.Up.Mailbox) })
		return tx.DeleteEntry(i.ID)
	}
}

// markSent marks entries before the command leaves, and leaves out those that the client has
// changed since they were read. guard is a place in the target that is known to be empty.
func (s *session) markSent(ctx context.Context, run []item, guard db.Place) ([]item, error) {
	var marked []item
	err := s.m.db.Update(ctx, func(tx *db.Tx) error {
		marked = marked[:0]
		for _, i := range run {
			err := tx.MarkSent(i.Entry, guard.UIDValidity, guard.UID)
			if errors.Is(err, db.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			marked = append(marked, i)
		}
		return nil
	})
	return marked, err
}

// finish removes entries that are done, with what else that means. An entry that went with its
// message meanwhile is passed over.
func (s *session) finish(ctx context.Context, run []item, also func(tx *db.Tx, i item) error) error {
	return s.m.db.Update(ctx, func(tx *db.Tx) error {
		for _, i := range run {
			err := tx.DeleteEntry(i.ID)
			if err == nil && also != nil {
				err = also(tx, i)
			}
			if err != nil && !errors.Is(err, db.ErrNotFound) {
				return err
			}
		}
		s.m.journalChanged(tx)
		return nil
	})
}

func uids(run []item) []uint32 {
	list := make([]uint32, len(run))
	for i := range run {
		list[i] = run[i].row.Up.UID
	}
	return list
}

// pushFlags is idempotent: done twice it is done.
func (s *session) pushFlags(ctx context.Context, run []item) error {
	run, err := s.markSent(ctx, run, db.Place{})
	if err != nil || len(run) == 0 {
		return err
	}
	permitted := permanent(s.sel)
	kept := func(flags mailbox.Flags) mailbox.Flags {
		return slices.DeleteFunc(flags.Storable(), func(f mailbox.Flag) bool { return !keeps(permitted, f) })
	}
	if add := kept(run[0].Add); len(add) > 0 {
		if err := s.conn.Store(ctx, uids(run), mailbox.StoreAdd, add); err != nil {
			return err
		}
	}
	if del := kept(run[0].Del); len(del) > 0 {
		if err := s.conn.Store(ctx, uids(run), mailbox.StoreRemove, del); err != nil {
			return err
		}
	}
	return s.finish(ctx, run, nil)
}

// pushExpunge removes messages that a client expunged, or that leave the Trash, by their UIDs
// and never by a plain EXPUNGE, which would remove what others marked. It is idempotent.
func (s *session) pushExpunge(ctx context.Context, run []item) error {
	run, err := s.markSent(ctx, run, db.Place{})
	if err != nil || len(run) == 0 {
		return err
	}
	if err := s.conn.Store(ctx, uids(run), mailbox.StoreAdd, mailbox.NewFlags(mailbox.Deleted)); err != nil {
		return err
	}
	err = s.conn.Expunge(ctx, uids(run))
	if errors.Is(err, upstream.ErrUnsupported) {
		// Without UIDPLUS the mark is all that can be done: it is the user's wish, and whatever
		// expunges the mailbox next removes the message.
		err = nil
	}
	if err != nil {
		return err
	}
	return s.finish(ctx, run, func(tx *db.Tx, i item) error { return tx.DeleteMessage(i.Message) })
}

// pushMove moves messages. Their rows follow by COPYUID, or are found again.
func (s *session) pushMove(ctx context.Context, source db.Mailbox, run []item) error {
	target, err := s.m.mailbox(ctx, run[0].Mailbox)
	if err != nil {
		return err
	}
	if run[0].Sent {
		return s.settleMove(ctx, source, target, run[0])
	}
	if run[0].Mailbox == run[0].row.Up.Mailbox { // moved there and back before the provider heard of it
		return s.finish(ctx, run, nil)
	}
	guard, err := s.conn.Status(ctx, target.UpstreamName)
	if err != nil {
		return err
	}
	run, err = s.markSent(ctx, run, db.Place{UIDValidity: guard.UIDValidity, UID: guard.UIDNext})
	if err != nil || len(run) == 0 {
		return err
	}
	copied, err := s.conn.Move(ctx, uids(run), target.UpstreamName)
	if err != nil {
		return err
	}
	lost := false
	err = s.finish(ctx, run, func(tx *db.Tx, i item) error {
		place := db.Place{Mailbox: target.ID, UIDValidity: copied.UIDValidity, UID: copied.Map[i.row.Up.UID]}
		lost = lost || place.UID == 0
		return s.m.place(tx, i.Message, place)
	})
	if err != nil || !lost {
		return err
	}
	return s.sync(ctx, target.ID)
}

// place says where a row's message is now. Where a row for that place was made meanwhile, by a
// look at the mailbox, that row makes way: no client has seen it as the moved message.
func (m *Mirror) place(tx *db.Tx, row int64, place db.Place) error {
	if place.UID == 0 {
		return tx.SetPlace(row, place)
	}
	other, err := tx.MessageAt(place)
	if err == nil && other.ID != row {
		m.changed(tx, other.Mailbox)
		if err := tx.Unshow(other.ID, db.Removed, m.opts.Now()); err != nil {
			return err
		}
		err = tx.DeleteMessage(other.ID)
	}
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return err
	}
	return tx.SetPlace(row, place)
}

// upload is the only way to the provider's APPEND.
func (s *session) upload(ctx context.Context, i item) error {
	if i.row.Wire == 0 {
		return s.finish(ctx, []item{i}, nil) // nothing is left to go up
	}
	target, err := s.m.mailbox(ctx, i.Mailbox)
	if err != nil {
		return err
	}
	var wire []byte
	err = s.m.db.View(ctx, func(tx *db.Tx) error {
		wire, err = tx.View(i.row.Wire)
		return err
	})
	if err != nil {
		return err
	}
	if i.Sent {
		return s.settleUpload(ctx, target, i, wire)
	}
	guard, err := s.conn.Status(ctx, target.UpstreamName)
	if err != nil {
		return err
	}
	if guard.UIDValidity == target.UpUIDValidity && guard.UIDNext > target.UpUIDNext {
		// What came meanwhile may be the provider's own copy of it; then there is no entry any more.
		if err := s.sync(ctx, target.ID); err != nil {
			return err
		}
	}
	run, err := s.markSent(ctx, []item{i}, db.Place{UIDValidity: guard.UIDValidity, UID: guard.UIDNext})
	if err != nil || len(run) == 0 {
		return err
	}
	row, err := s.m.message(ctx, i.Message) // its flags as of now: a later change queues behind
	if err != nil {
		return err
	}
	validity, uid, err := s.conn.Append(ctx, target.UpstreamName, row.Flags.Storable(), row.InternalDate, wire)
	if err != nil {
		return err
	}
	if uid == 0 {
		i.GuardUIDValidity, i.GuardUID = guard.UIDValidity, guard.UIDNext
		return s.settleUpload(ctx, target, i, wire)
	}
	return s.uploaded(ctx, i, db.Place{Mailbox: target.ID, UIDValidity: validity, UID: uid}, wire)
}

// uploaded stores where an uploaded message is. The bytes that went up are not kept.
func (s *session) uploaded(ctx context.Context, i item, place db.Place, wire []byte) error {
	digest := sha256.Sum256(wire)
	return s.finish(ctx, []item{i}, func(tx *db.Tx, i item) error {
		if err := s.m.place(tx, i.Message, place); err != nil {
			return err
		}
		if err := tx.SetUpstreamBytes(i.Message, int64(len(wire)), digest[:]); err != nil {
			return err
		}
		if i.row.View == 0 {
			tx.AfterCommit(func() { s.m.cache.put(i.Message, wire) })
		}
		return tx.SetWire(i.Message, 0)
	})
}

func (m *Mirror) message(ctx context.Context, id int64) (row db.Message, err error) {
	err = m.db.View(ctx, func(tx *db.Tx) error {
		row, err = tx.Message(id)
		return err
	})
	return row, err
}

// trashedFor is how long a consumed handshake stays in the provider's Trash: another device of
// the account, or a person looking for a fault, finds it there for a week.
const trashedFor = 7 * 24 * time.Hour

// sweepTrash lets the consumed messages go that have been in the Trash long enough.
func (s *session) sweepTrash(ctx context.Context) error {
	now := s.m.opts.Now()
	return s.m.db.Update(ctx, func(tx *db.Tx) error {
		rows, err := tx.TrashedBefore(now.Add(-trashedFor))
		if err != nil {
			return err
		}
		for _, row := range rows {
			if err := tx.SetState(row.ID, db.Removed); err != nil {
				return err
			}
			if _, err := tx.Record(db.Entry{Op: db.OpExpunge, Message: row.ID, Created: now}); err != nil {
				return err
			}
		}
		return nil
	})
}
