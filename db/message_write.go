package db

import (
	"time"

	"mailbridge/mailbox"
)

const insertMessage = `INSERT INTO message (mailbox_id, uid, modseq, state, kind, up_mailbox_id, up_uidvalidity, up_uid,
	internal_date, internal_zone, size, flags, own_keywords, up_size, digest, message_id_hash, header, prefix,
	view_id, wire_id, old, attempts, retry_at, created, trashed_at)
	VALUES (?, nullif(?, 0), ?, ?, ?, nullif(?, 0), nullif(?, 0), nullif(?, 0), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
	nullif(?, 0), nullif(?, 0), ?, ?, ?, ?, ?)`

// AddMessage makes a row; a Visible one gets the mailbox's next UID. header is the header
// block of ordinary mail, or nil. The message comes back with its id and its UID.
func (tx *Tx) AddMessage(m Message, header []byte) (Message, error) {
	added, err := tx.AddMessages([]Message{m}, [][]byte{header})
	if err != nil {
		return m, err
	}
	return added[0], nil
}

// AddMessages is AddMessage for many messages of one mailbox. headers has one entry for each
// message, or is nil.
func (tx *Tx) AddMessages(all []Message, headers [][]byte) ([]Message, error) {
	if len(all) == 0 {
		return nil, nil
	}
	visible := 0
	for _, m := range all {
		if m.State == Visible {
			visible++
		}
	}
	uid, seq, err := tx.assign(all[0].Mailbox, visible)
	if err != nil {
		return nil, err
	}
	stmt, err := tx.prepare(insertMessage)
	if err != nil {
		return nil, err
	}
	defer stmt.Close()
	for i := range all {
		m := &all[i]
		m.UID = 0
		if m.State == Visible {
			m.UID = uid
			uid++
		}
		var header []byte
		if headers != nil {
			header = headers[i]
		}
		res, err := stmt.ExecContext(tx.quiet, m.insertArgs(seq, header)...)
		if err != nil {
			return nil, classify(err)
		}
		if m.ID, err = res.LastInsertId(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (m *Message) insertArgs(seq mailbox.ModSeq, header []byte) []any {
	if m.UID == 0 {
		seq = 0
	}
	var up Place
	if m.Up.UID != 0 {
		up = m.Up
	}
	_, zone := m.InternalDate.Zone()
	return []any{m.Mailbox, m.UID, seq, m.State, m.Kind, up.Mailbox, up.UIDValidity, up.UID,
		m.InternalDate.Unix(), zone, m.Size, m.Flags.Storable().String(), m.Keywords.String(), m.UpSize, m.Digest, m.MessageID,
		compress(header), m.Prefix, m.View, m.Wire, m.Old, m.Attempts, unix(m.RetryAt), m.Created.Unix(), unix(m.TrashedAt)}
}

// CloneMessage makes a row in another mailbox that serves the same bytes, with the same date
// and flags, and that the provider has at another place.
func (tx *Tx) CloneMessage(id int64, box mailbox.ID, up Place, state MessageState, now time.Time) (Message, error) {
	var uid mailbox.UID
	var seq mailbox.ModSeq
	if state == Visible {
		var err error
		if uid, seq, err = tx.assign(box, 1); err != nil {
			return Message{}, err
		}
	}
	if up.UID == 0 {
		up = Place{}
	}
	const same = `kind, internal_date, internal_zone, size, flags, own_keywords, sender, signer, up_size, digest, message_id_hash, header, prefix, view_id, old, trashed_at`
	clone, err := tx.insert(`INSERT INTO message (mailbox_id, uid, modseq, state, up_mailbox_id, up_uidvalidity, up_uid, created, `+same+`)
		SELECT ?, nullif(?, 0), ?, ?, nullif(?, 0), nullif(?, 0), nullif(?, 0), ?, `+same+` FROM message WHERE id = ?`,
		box, uid, seq, state, up.Mailbox, up.UIDValidity, up.UID, now.Unix(), id)
	if err != nil {
		return Message{}, err
	}
	return tx.Message(clone)
}

// Show gives a row that no client sees a UID in its mailbox.
func (tx *Tx) Show(id int64) (mailbox.UID, error) {
	var box mailbox.ID
	if err := tx.queryRow(`SELECT mailbox_id FROM message WHERE id = ? AND uid IS NULL`, id).Scan(&box); err != nil {
		return 0, err
	}
	uid, seq, err := tx.assign(box, 1)
	if err != nil {
		return 0, err
	}
	return uid, tx.execOne(`UPDATE message SET uid = ?, modseq = ?, state = 'visible', vanished_at = 0 WHERE id = ?`, uid, seq, id)
}

// Unshow takes a row out of the clients' sight. If it had a UID, that is expunged for ever.
func (tx *Tx) Unshow(id int64, state MessageState, now time.Time) error {
	var box mailbox.ID
	var uid mailbox.UID
	if err := tx.queryRow(`SELECT mailbox_id, ifnull(uid, 0) FROM message WHERE id = ?`, id).Scan(&box, &uid); err != nil {
		return err
	}
	if uid != 0 {
		seq, err := tx.bump(box)
		if err != nil {
			return err
		}
		if _, err := tx.exec(`INSERT INTO expunged (mailbox_id, uid, modseq, at) VALUES (?, ?, ?, ?)`, box, uid, seq, now.Unix()); err != nil {
			return err
		}
	}
	var vanished int64
	if state == Vanished {
		vanished = now.Unix()
	}
	return tx.execOne(`UPDATE message SET uid = NULL, modseq = 0, state = ?, vanished_at = ? WHERE id = ?`, state, vanished, id)
}

// DeleteMessage removes a row with its journal and its view. A visible one must be taken out
// of sight before, or its UID would go without an EXPUNGE.
func (tx *Tx) DeleteMessage(id int64) error {
	var view, wire int64
	err := tx.queryRow(`DELETE FROM message WHERE id = ? AND uid IS NULL RETURNING ifnull(view_id, 0), ifnull(wire_id, 0)`, id).Scan(&view, &wire)
	if err != nil {
		return err
	}
	if err := tx.DropView(view); err != nil {
		return err
	}
	return tx.DropView(wire)
}

// SetMailboxOf places a row that no client sees in another local mailbox.
func (tx *Tx) SetMailboxOf(id int64, box mailbox.ID) error {
	return tx.execOne(`UPDATE message SET mailbox_id = ? WHERE id = ? AND uid IS NULL`, box, id)
}

// SetState changes the state of a row that no client sees.
func (tx *Tx) SetState(id int64, state MessageState) error {
	return tx.execOne(`UPDATE message SET state = ? WHERE id = ? AND uid IS NULL`, state, id)
}

// change runs an update of a row that a client would see, and raises its mod-sequence.
func (tx *Tx) change(id int64, set string, args ...any) error {
	var box mailbox.ID
	var uid mailbox.UID
	if err := tx.queryRow(`SELECT mailbox_id, ifnull(uid, 0) FROM message WHERE id = ?`, id).Scan(&box, &uid); err != nil {
		return err
	}
	var seq mailbox.ModSeq
	if uid != 0 {
		var err error
		if seq, err = tx.bump(box); err != nil {
			return err
		}
	}
	return tx.execOne(`UPDATE message SET `+set+`, modseq = ? WHERE id = ?`, append(args, seq, id)...)
}

// SetFlags replaces a message's flags; the bridge's own keywords are left out.
func (tx *Tx) SetFlags(id int64, flags mailbox.Flags) error {
	return tx.change(id, `flags = ?`, flags.Storable().String())
}

// SetKeywords replaces the bridge's own keywords of a message.
func (tx *Tx) SetKeywords(id int64, keywords mailbox.Flags) error {
	return tx.change(id, `own_keywords = ?`, keywords.String())
}

// SetPlace says where the provider has a message; the zero Place: nowhere.
func (tx *Tx) SetPlace(id int64, p Place) error {
	if p.UID == 0 {
		p.UIDValidity = 0
	}
	return tx.execOne(`UPDATE message SET up_mailbox_id = nullif(?, 0), up_uidvalidity = nullif(?, 0), up_uid = nullif(?, 0) WHERE id = ?`,
		p.Mailbox, p.UIDValidity, p.UID, id)
}

// SetUpstreamBytes says what the provider has of a message. A nil digest leaves the old one.
func (tx *Tx) SetUpstreamBytes(id int64, size int64, digest []byte) error {
	return tx.execOne(`UPDATE message SET up_size = ?, digest = ifnull(?, digest) WHERE id = ?`, size, digest, id)
}

// SetDigest stores the SHA-256 of the provider's bytes.
func (tx *Tx) SetDigest(id int64, digest []byte) error {
	return tx.execOne(`UPDATE message SET digest = ? WHERE id = ?`, digest, id)
}

// SetContent stores what a row is and what it serves. The row must be out of sight: a UID
// never changes its bytes.
func (tx *Tx) SetContent(m Message) error {
	_, zone := m.InternalDate.Zone()
	return tx.execOne(`UPDATE message SET kind = ?, size = ?, flags = ?, own_keywords = ?, internal_date = ?, internal_zone = ?,
		digest = ?, message_id_hash = ?, prefix = ?, view_id = nullif(?, 0), up_size = ?, trashed_at = ?, old = ?
		WHERE id = ? AND uid IS NULL`,
		m.Kind, m.Size, m.Flags.Storable().String(), m.Keywords.String(), m.InternalDate.Unix(), zone,
		m.Digest, m.MessageID, m.Prefix, m.View, m.UpSize, unix(m.TrashedAt), m.Old, m.ID)
}

// SetWire sets or, with 0, drops what is to go up; what was there before is deleted if unused.
func (tx *Tx) SetWire(id, wire int64) error {
	var old int64
	if err := tx.queryRow(`SELECT ifnull(wire_id, 0) FROM message WHERE id = ?`, id).Scan(&old); err != nil {
		return err
	}
	if err := tx.execOne(`UPDATE message SET wire_id = nullif(?, 0) WHERE id = ?`, wire, id); err != nil {
		return err
	}
	return tx.DropView(old)
}

// Postpone says when a pending row is to be looked at again.
func (tx *Tx) Postpone(id int64, at time.Time) error {
	return tx.execOne(`UPDATE message SET retry_at = ?, attempts = attempts + 1 WHERE id = ? AND state = 'pending'`, unix(at), id)
}

// Header gives the header block of ordinary mail; ErrNotFound if it was not stored yet.
func (tx *Tx) Header(id int64) ([]byte, error) {
	var packed []byte
	if err := tx.queryRow(`SELECT header FROM message WHERE id = ? AND header IS NOT NULL`, id).Scan(&packed); err != nil {
		return nil, err
	}
	return decompress(packed)
}

// SetHeader stores the header block of ordinary mail. The first one stays: a UID never
// changes its bytes.
func (tx *Tx) SetHeader(id int64, header []byte) error {
	_, err := tx.exec(`UPDATE message SET header = ? WHERE id = ? AND header IS NULL`, compress(header), id)
	return err
}

// ReplaceHeader stores the header block of a message that is out of sight.
func (tx *Tx) ReplaceHeader(id int64, header []byte) error {
	return tx.execOne(`UPDATE message SET header = ? WHERE id = ? AND uid IS NULL`, compress(header), id)
}
