package mirror

import (
	"errors"
	"time"

	"mailbridge/db"
	"mailbridge/mailbox"
)

// Add stores a message that comes from this side, in the caller's transaction. Wire goes up
// through the journal, which is the only way to the provider's APPEND.
func (m *Mirror) Add(tx *db.Tx, l Local) (Added, error) {
	box, err := tx.MailboxByName(canonical(l.Mailbox))
	switch {
	case errors.Is(err, db.ErrNotFound):
		return Added{}, mailbox.Errorf(mailbox.CodeTryCreate, "There is no mailbox %q.", l.Mailbox)
	case err != nil:
		return Added{}, err
	case box.NoSelect, box.LocalOnly && l.Wire != nil:
		return Added{}, mailbox.Errorf(mailbox.CodeCannot, "Nothing can be stored in the mailbox %q.", l.Mailbox)
	}
	msg, err := m.localRow(tx, box, l)
	if err != nil {
		return Added{}, err
	}
	var header []byte
	if l.View == nil {
		header = headerBlock(l.Wire)
	}
	if msg, err = tx.AddMessage(msg, header); err != nil {
		return Added{}, err
	}
	m.changed(tx, box.ID)
	if l.Wire != nil {
		_, err = tx.Record(db.Entry{Op: db.OpAppend, Message: msg.ID, Mailbox: box.ID, NextAt: l.UploadAt, Created: m.opts.Now()})
		m.journalChanged(tx)
	}
	return Added{Row: msg.ID, UIDValidity: box.UIDValidity, UID: msg.UID}, err
}

func (m *Mirror) localRow(tx *db.Tx, box db.Mailbox, l Local) (msg db.Message, err error) {
	now := m.opts.Now()
	msg = db.Message{
		Mailbox: box.ID, State: db.Visible, Kind: l.Kind, InternalDate: l.Date, Flags: l.Flags.Storable(),
		Keywords: l.Keywords, Size: int64(len(l.Wire)), Created: now,
	}
	if l.Hidden {
		msg.State = db.Hidden
	}
	if msg.Kind == "" {
		msg.Kind = db.Ordinary
	}
	if msg.InternalDate.IsZero() {
		msg.InternalDate = now
	}
	if l.MessageID != "" {
		msg.MessageID = tx.MessageIDHash(l.MessageID)
	}
	if l.View != nil {
		msg.Size = int64(len(l.View))
		if msg.View, err = tx.PutView(l.View, now); err != nil {
			return msg, err
		}
	}
	if l.Wire != nil {
		msg.Wire, err = tx.PutView(l.Wire, now)
	}
	return msg, err
}

// Upload says when the waiting upload of a row may go (see Local.UploadAt). It does nothing for
// a message that is at the provider already.
func (m *Mirror) Upload(tx *db.Tx, row int64, at time.Time) error {
	entries, err := tx.JournalOf(row)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Op == db.OpAppend && !e.Sent {
			if err := tx.Reschedule(e.ID, at); err != nil {
				return err
			}
		}
	}
	m.journalChanged(tx)
	return nil
}

// Show gives a hidden row its UID. view replaces what is served, which no client has seen yet;
// nil leaves it. date and flags are the message's from now on.
func (m *Mirror) Show(tx *db.Tx, row int64, view []byte, flags mailbox.Flags, date time.Time) (Added, error) {
	msg, err := tx.Message(row)
	if err != nil {
		return Added{}, err
	}
	if msg.State != db.Hidden {
		return Added{}, db.ErrNotFound
	}
	if view != nil {
		if msg, err = m.serve(tx, msg, msg.Kind, view, msg.Keywords); err != nil {
			return Added{}, err
		}
	}
	msg.InternalDate = date
	if err := tx.SetContent(msg); err != nil {
		return Added{}, err
	}
	if err := m.setFlags(tx, msg, flags.Storable()); err != nil {
		return Added{}, err
	}
	return m.show(tx, msg)
}

// serve gives a row that is out of sight another view.
func (m *Mirror) serve(tx *db.Tx, msg db.Message, kind Kind, view []byte, keywords mailbox.Flags) (db.Message, error) {
	old := msg.View
	id, err := tx.PutView(view, m.opts.Now())
	if err != nil {
		return msg, err
	}
	msg.View, msg.Size, msg.Kind, msg.Keywords, msg.Prefix = id, int64(len(view)), kind, keywords, nil
	if err := tx.SetContent(msg); err != nil {
		return msg, err
	}
	return msg, tx.DropView(old)
}

func (m *Mirror) show(tx *db.Tx, msg db.Message) (Added, error) {
	box, err := tx.Mailbox(msg.Mailbox)
	if err != nil {
		return Added{}, err
	}
	uid, err := tx.Show(msg.ID)
	m.changed(tx, msg.Mailbox)
	m.journalChanged(tx)
	return Added{Row: msg.ID, UIDValidity: box.UIDValidity, UID: uid}, err
}

// Drop takes a row away that no client has seen: a Sent row whose sending was refused. If its
// upload has left, the copy at the provider is removed, too.
func (m *Mirror) Drop(tx *db.Tx, row int64) error {
	msg, err := tx.Message(row)
	if err != nil {
		return err
	}
	if msg.State != db.Hidden {
		return db.ErrNotFound
	}
	m.journalChanged(tx)
	return m.remove(tx, msg)
}

// Reopen serves other bytes for a message from now on: what was unreadable became readable, or
// the client's own copy replaces ours. If the row was visible its UID is expunged and it appears
// under a new one, with the same date and flags.
func (m *Mirror) Reopen(tx *db.Tx, row int64, kind Kind, view []byte, keywords mailbox.Flags) (Added, error) {
	msg, err := tx.Message(row)
	if err != nil {
		return Added{}, err
	}
	if msg.State != db.Visible && msg.State != db.Hidden {
		return Added{}, db.ErrNotFound
	}
	if err := tx.Unshow(row, db.Hidden, m.opts.Now()); err != nil {
		return Added{}, err
	}
	if msg, err = m.serve(tx, msg, kind, view, keywords); err != nil {
		return Added{}, err
	}
	return m.show(tx, msg)
}

// Again asks about a message anew that is shown as it came: what it takes to open it may be here
// now. Until then no client sees it, and then it has another UID.
func (m *Mirror) Again(tx *db.Tx, row int64) error {
	msg, err := tx.Message(row)
	if err != nil {
		return err
	}
	if msg.State != db.Visible || msg.Kind != Ordinary || msg.Up.UID == 0 {
		return db.ErrNotFound
	}
	m.cache.drop(row)
	m.changed(tx, msg.Mailbox)
	tx.AfterCommit(m.Retry)
	return tx.Unshow(row, db.Pending, m.opts.Now())
}

// SetKeywords sets the bridge's own keywords of a row.
func (m *Mirror) SetKeywords(tx *db.Tx, row int64, keywords mailbox.Flags) error {
	msg, err := tx.Message(row)
	if err != nil || msg.Keywords.Equal(keywords) {
		return err
	}
	m.changed(tx, msg.Mailbox)
	return tx.SetKeywords(row, keywords)
}
