package mirror

import (
	"context"
	"errors"
	"slices"

	"mailbridge/db"
	"mailbridge/mailbox"
)

// journalChanged wakes the session after the commit, and those who wait for the journal.
func (m *Mirror) journalChanged(tx *db.Tx) {
	tx.AfterCommit(func() {
		m.poke()
		m.beat()
	})
}

// each runs fn for the visible messages among uids, in one transaction.
func (m *Mirror) each(ctx context.Context, id mailbox.ID, uids []mailbox.UID, fn func(tx *db.Tx, row db.Message) error) error {
	return m.db.Update(ctx, func(tx *db.Tx) error {
		for _, uid := range uids {
			row, err := tx.MessageByUID(id, uid)
			if errors.Is(err, db.ErrNotFound) {
				continue // expunged meanwhile
			}
			if err != nil {
				return err
			}
			if err := fn(tx, row); err != nil {
				return err
			}
		}
		m.changed(tx, id)
		m.journalChanged(tx)
		return nil
	})
}

// Store changes flags, here at once and at the provider through the journal. The bridge's own
// keywords in flags have no effect.
func (m *Mirror) Store(ctx context.Context, id mailbox.ID, uids []mailbox.UID, action mailbox.StoreAction, flags mailbox.Flags) error {
	return m.each(ctx, id, uids, func(tx *db.Tx, row db.Message) error {
		return m.setFlags(tx, row, row.Flags.Apply(action, flags).Storable())
	})
}

// setFlags replaces a row's flags and records the difference.
func (m *Mirror) setFlags(tx *db.Tx, row db.Message, flags mailbox.Flags) error {
	if flags.Equal(row.Flags) {
		return nil
	}
	if err := tx.SetFlags(row.ID, flags); err != nil {
		return err
	}
	add, del := flags.Without(row.Flags...), row.Flags.Without(flags...)
	entries, err := tx.JournalOf(row.ID)
	if err != nil {
		return err
	}
	if len(entries) == 0 && row.Up.Mailbox == 0 {
		return nil // the message is only here
	}
	if n := len(entries); n > 0 && !entries[n-1].Sent {
		switch last := entries[n-1]; last.Op {
		case db.OpAppend: // it takes the flags of the moment it goes up
			return nil
		case db.OpStore:
			add, del = last.Add.With(add...).Without(del...), last.Del.With(del...).Without(add...)
			return tx.SetEntryFlags(last.ID, add, del)
		}
	}
	_, err = tx.Record(db.Entry{Op: db.OpStore, Message: row.ID, Add: add, Del: del, Created: m.opts.Now()})
	return err
}

// Expunge removes those of uids that are marked \Deleted: here at once, and at the provider by
// their UIDs through the journal.
func (m *Mirror) Expunge(ctx context.Context, id mailbox.ID, uids []mailbox.UID) error {
	return m.each(ctx, id, uids, func(tx *db.Tx, row db.Message) error {
		if !row.Flags.Has(mailbox.Deleted) {
			return nil
		}
		return m.remove(tx, row)
	})
}

// remove expunges a visible row.
func (m *Mirror) remove(tx *db.Tx, row db.Message) error {
	entries, err := tx.JournalOf(row.ID)
	if err != nil {
		return err
	}
	if err := tx.Unshow(row.ID, db.Removed, m.opts.Now()); err != nil {
		return err
	}
	m.cache.drop(row.ID)
	unsent := len(entries) > 0 && entries[0].Op == db.OpAppend && !entries[0].Sent
	if unsent || len(entries) == 0 && row.Up.Mailbox == 0 {
		return tx.DeleteMessage(row.ID) // the provider never had it
	}
	// What the flags were to become no longer matters.
	for _, e := range entries {
		if e.Op == db.OpStore && !e.Sent {
			if err := tx.DeleteEntry(e.ID); err != nil {
				return err
			}
		}
	}
	_, err = tx.Record(db.Entry{Op: db.OpExpunge, Message: row.ID, Created: m.opts.Now()})
	return err
}

// Move moves messages: here at once, and at the provider through the journal. The message keeps
// its bytes and flags; its UID in the source is expunged.
func (m *Mirror) Move(ctx context.Context, id mailbox.ID, uids []mailbox.UID, dest string) (mailbox.CopyUID, error) {
	source, target, err := m.transfer(ctx, id, dest)
	if err != nil {
		return mailbox.CopyUID{}, err
	}
	if target.ID == source.ID {
		return mailbox.CopyUID{}, mailbox.Errorf(mailbox.CodeCannot, "The messages are there already.")
	}
	moved := mailbox.CopyUID{UIDValidity: target.UIDValidity}
	err = m.each(ctx, id, uids, func(tx *db.Tx, row db.Message) error {
		uid, err := m.move(tx, row, target)
		moved.Source, moved.Dest = append(moved.Source, row.UID), append(moved.Dest, uid)
		m.changed(tx, target.ID)
		return err
	})
	return moved, err
}

// transfer finds both ends of a COPY or MOVE and refuses what must not be.
func (m *Mirror) transfer(ctx context.Context, id mailbox.ID, dest string) (source, target db.Mailbox, err error) {
	if source, err = m.mailbox(ctx, id); err != nil {
		return source, target, gone(err)
	}
	target, err = m.mailboxByName(ctx, canonical(dest))
	switch {
	case errors.Is(err, db.ErrNotFound):
		return source, target, mailbox.Errorf(mailbox.CodeTryCreate, "There is no mailbox %q.", dest)
	case err != nil:
		return source, target, err
	case target.LocalOnly:
		return source, target, mailbox.Errorf(mailbox.CodeCannot, "The mailbox %s only holds notes of mailbridge.", target.Name)
	case target.NoSelect:
		return source, target, mailbox.Errorf(mailbox.CodeCannot, "The mailbox %q only holds other mailboxes.", dest)
	case !source.LocalOnly:
		return source, target, nil
	}
	boxes, err := m.mailboxes(ctx)
	if err != nil {
		return source, target, err
	}
	if trash, ok := special(boxes, mailbox.UseTrash); !ok || trash.ID != target.ID {
		return source, target, mailbox.Errorf(mailbox.CodeCannot, "Notes of mailbridge can only be moved to the Trash.")
	}
	return source, target, nil
}

// move places a visible row in another mailbox and records what the provider is to hear.
func (m *Mirror) move(tx *db.Tx, row db.Message, target db.Mailbox) (mailbox.UID, error) {
	entries, err := tx.JournalOf(row.ID)
	if err != nil {
		return 0, err
	}
	if err := tx.Unshow(row.ID, db.Hidden, m.opts.Now()); err != nil {
		return 0, err
	}
	if err := tx.SetMailboxOf(row.ID, target.ID); err != nil {
		return 0, err
	}
	uid, err := tx.Show(row.ID)
	if err != nil || len(entries) == 0 && row.Up.Mailbox == 0 {
		return uid, err // the message is only here, and stays so
	}
	// An upload or a move that has not left yet goes to the new target instead.
	i := slices.IndexFunc(entries, func(e db.Entry) bool { return !e.Sent && (e.Op == db.OpAppend || e.Op == db.OpMove) })
	if i >= 0 {
		return uid, tx.RetargetEntry(entries[i].ID, target.ID)
	}
	_, err = tx.Record(db.Entry{Op: db.OpMove, Message: row.ID, Mailbox: target.ID, Created: m.opts.Now()})
	return uid, err
}
