package db

import (
	"time"

	"mailbridge/mailbox"
)

// Kind says what a message's bytes are.
type Kind string

const (
	Ordinary Kind = "ordinary" // the provider's bytes, as they are
	Opened   Kind = "opened"   // decrypted: a view
	Sealed   Kind = "sealed"   // the user's own, sealed at the provider: a view
	Signed   Kind = "signed"   // a prefix, then the provider's bytes
	Notice   Kind = "notice"   // says what is damaged: a view
	Note     Kind = "note"     // the bridge's own: a view, nowhere at the provider
	Control  Kind = "control"  // machine mail; no client sees it
)

// MessageState says whether a client can see a message, and if not, why.
type MessageState string

const (
	Visible  MessageState = "visible"  // has a UID
	Hidden   MessageState = "hidden"   // no client is to see it, or not yet
	Pending  MessageState = "pending"  // known, but not yet looked at
	Removed  MessageState = "removed"  // a client expunged it; the provider has still to hear of it
	Vanished MessageState = "vanished" // no longer at the provider; kept for its view
)

// Place is where the provider has a message. A mailbox without a UID: it is in there, but the
// provider did not say where.
type Place struct {
	Mailbox     mailbox.ID
	UIDValidity uint32
	UID         uint32
}

// Message is one row of the index.
type Message struct {
	ID           int64
	Mailbox      mailbox.ID
	UID          mailbox.UID // 0 unless Visible
	State        MessageState
	Kind         Kind
	Up           Place // the zero Place: not at the provider
	InternalDate time.Time
	Size         int64         // RFC822.SIZE as served
	Flags        mailbox.Flags // without the bridge's own keywords
	Keywords     mailbox.Flags // the bridge's own keywords
	UpSize       int64         // RFC822.SIZE as the provider says
	Digest       []byte        // SHA-256 of the provider's bytes, nil if not known
	MessageID    []byte        // Tx.MessageIDHash, nil if not known
	Prefix       []byte        // of Signed
	View, Wire   int64         // 0: none
	Old          bool          // was there before the account was added
	Attempts     int
	RetryAt      time.Time
	Created      time.Time
	TrashedAt    time.Time
	VanishedAt   time.Time
}

// worthKeeping are rows whose view, or whose verdict, would cost the user something if the
// same bytes came again from another place.
const worthKeeping = `(digest IS NOT NULL AND (view_id IS NOT NULL OR kind = 'control'))`

const messageColumns = `id, mailbox_id, ifnull(uid, 0), state, kind, ifnull(up_mailbox_id, 0), ifnull(up_uidvalidity, 0), ifnull(up_uid, 0),
	internal_date, internal_zone, size, flags, own_keywords, up_size, digest, message_id_hash, prefix,
	ifnull(view_id, 0), ifnull(wire_id, 0), old, attempts, retry_at, created, trashed_at, vanished_at`

func scanMessage(scan func(...any) error) (Message, error) {
	var m Message
	var date, retry, created, trashed, vanished int64
	var zone int
	var flags, keywords string
	err := scan(&m.ID, &m.Mailbox, &m.UID, &m.State, &m.Kind, &m.Up.Mailbox, &m.Up.UIDValidity, &m.Up.UID,
		&date, &zone, &m.Size, &flags, &keywords, &m.UpSize, &m.Digest, &m.MessageID, &m.Prefix,
		&m.View, &m.Wire, &m.Old, &m.Attempts, &retry, &created, &trashed, &vanished)
	m.InternalDate = inZone(date, zone)
	m.Flags, m.Keywords = mailbox.ParseFlags(flags), mailbox.ParseFlags(keywords)
	m.RetryAt, m.Created = fromUnix(retry), fromUnix(created)
	m.TrashedAt, m.VanishedAt = fromUnix(trashed), fromUnix(vanished)
	return m, err
}

// inZone restores an INTERNALDATE with the zone it came in, which clients show.
func inZone(sec int64, east int) time.Time {
	if east == 0 {
		return time.Unix(sec, 0).UTC()
	}
	return time.Unix(sec, 0).In(time.FixedZone("", east))
}

// messages collects rows.
func (tx *Tx) messages(query string, args ...any) ([]Message, error) {
	var all []Message
	err := tx.query(func(scan func(...any) error) error {
		m, err := scanMessage(scan)
		all = append(all, m)
		return err
	}, query, args...)
	return all, err
}

const selectMessage = `SELECT ` + messageColumns + ` FROM message `

// Message gives a row by its id.
func (tx *Tx) Message(id int64) (Message, error) {
	return scanMessage(tx.queryRow(selectMessage+`WHERE id = ?`, id).Scan)
}

// MessageByUID gives a visible message.
func (tx *Tx) MessageByUID(box mailbox.ID, uid mailbox.UID) (Message, error) {
	return scanMessage(tx.queryRow(selectMessage+`WHERE mailbox_id = ? AND uid = ?`, box, uid).Scan)
}

// MessageAt gives the row of what the provider has at a place.
func (tx *Tx) MessageAt(p Place) (Message, error) {
	return scanMessage(tx.queryRow(selectMessage+`WHERE up_mailbox_id = ? AND up_uidvalidity = ? AND up_uid = ?`,
		p.Mailbox, p.UIDValidity, p.UID).Scan)
}

// MessagesByDigest gives the rows whose provider bytes have a digest, newest first.
func (tx *Tx) MessagesByDigest(digest []byte) ([]Message, error) {
	return tx.messages(selectMessage+`WHERE digest = ? ORDER BY id DESC`, digest)
}

// MessagesByID gives the rows with a Message-ID (without angle brackets), newest first. A
// sender chooses Message-IDs: more than one row is normal.
func (tx *Tx) MessagesByID(messageID string) ([]Message, error) {
	return tx.messages(selectMessage+`WHERE message_id_hash = ? ORDER BY id DESC`, tx.MessageIDHash(messageID))
}

// MessagesHashed is MessagesByID for a hash.
func (tx *Tx) MessagesHashed(hash []byte) ([]Message, error) {
	if hash == nil {
		return nil, nil
	}
	return tx.messages(selectMessage+`WHERE message_id_hash = ? ORDER BY id DESC`, hash)
}

// MessagesPlaced gives the rows of what the provider has in a mailbox, in its order.
func (tx *Tx) MessagesPlaced(box mailbox.ID) ([]Message, error) {
	return tx.messages(selectMessage+`WHERE up_mailbox_id = ? AND up_uid IS NOT NULL ORDER BY up_uidvalidity, up_uid`, box)
}

// PlacedUIDs maps the UIDs of what the provider has in a mailbox to the rows' ids.
func (tx *Tx) PlacedUIDs(box mailbox.ID, validity uint32) (map[uint32]int64, error) {
	placed := map[uint32]int64{}
	err := tx.query(func(scan func(...any) error) error {
		var uid uint32
		var id int64
		err := scan(&uid, &id)
		placed[uid] = id
		return err
	}, `SELECT up_uid, id FROM message WHERE up_mailbox_id = ? AND up_uidvalidity = ? AND up_uid IS NOT NULL`, box, validity)
	return placed, err
}

// CountPlaced counts the rows that MessagesPlaced gives.
func (tx *Tx) CountPlaced(box mailbox.ID) (n uint32, err error) {
	err = tx.queryRow(`SELECT count(*) FROM message WHERE up_mailbox_id = ? AND up_uid IS NOT NULL`, box).Scan(&n)
	return n, err
}

// MessagesLost gives the rows of what the provider has moved to a mailbox without saying under
// which UID.
func (tx *Tx) MessagesLost(box mailbox.ID) ([]Message, error) {
	return tx.messages(selectMessage+`WHERE up_mailbox_id = ? AND up_uid IS NULL ORDER BY id`, box)
}

// MessagesMovedIn gives the rows of a mailbox that the provider still has elsewhere.
func (tx *Tx) MessagesMovedIn(box mailbox.ID) ([]Message, error) {
	return tx.messages(selectMessage+`WHERE mailbox_id = ? AND up_mailbox_id <> mailbox_id ORDER BY id`, box)
}

// MessagesMovedOut gives the rows of other mailboxes that the provider still has in this one.
func (tx *Tx) MessagesMovedOut(box mailbox.ID) ([]Message, error) {
	return tx.messages(selectMessage+`WHERE up_mailbox_id = ? AND up_mailbox_id <> mailbox_id ORDER BY id`, box)
}

// Unopened gives the messages that are shown as they came though they are known to be encrypted:
// another key may open them.
func (tx *Tx) Unopened() ([]Message, error) {
	return tx.messages(selectMessage + `WHERE kind = 'ordinary' AND state = 'visible' AND up_uid IS NOT NULL
		AND message_id_hash IN (SELECT message_id_hash FROM protection WHERE encrypted = 1) ORDER BY id`)
}

// PendingMessages gives at most n rows of a mailbox that wait to be looked at and whose time
// has come, in the provider's order.
func (tx *Tx) PendingMessages(box mailbox.ID, now time.Time, n int) ([]Message, error) {
	return tx.messages(selectMessage+`WHERE up_mailbox_id = ? AND state = 'pending' AND retry_at <= ? ORDER BY up_uid LIMIT ?`,
		box, now.Unix(), n)
}

// PendingDue gives a mailbox that has a pending row whose time has come.
func (tx *Tx) PendingDue(now time.Time) (mailbox.ID, error) {
	var box mailbox.ID
	err := tx.queryRow(`SELECT up_mailbox_id FROM message WHERE state = 'pending' AND retry_at <= ? AND up_mailbox_id IS NOT NULL
		LIMIT 1`, now.Unix()).Scan(&box)
	return box, err
}

// NextRetry gives the time at which the next pending row is due; zero if there is none.
func (tx *Tx) NextRetry() (time.Time, error) {
	var sec int64
	err := tx.queryRow(`SELECT ifnull(min(max(retry_at, 1)), 0) FROM message WHERE state = 'pending'`).Scan(&sec)
	return fromUnix(sec), err
}

// RetryPending makes every pending row due.
func (tx *Tx) RetryPending() error {
	_, err := tx.exec(`UPDATE message SET retry_at = 0 WHERE state = 'pending'`)
	return err
}

// TrashedBefore gives the consumed messages that were trashed before t and lie at the provider
// with nothing in the journal.
func (tx *Tx) TrashedBefore(t time.Time) ([]Message, error) {
	return tx.messages(selectMessage+`WHERE trashed_at > 0 AND trashed_at < ? AND state = 'hidden' AND up_uid IS NOT NULL
		AND NOT EXISTS (SELECT 1 FROM journal WHERE message_id = message.id)`, t.Unix())
}

// HeadlessMessages gives at most n visible rows of a mailbox without a header block whose UID
// is at most top, newest first.
func (tx *Tx) HeadlessMessages(box mailbox.ID, top mailbox.UID, n int) ([]Message, error) {
	return tx.messages(selectMessage+`WHERE mailbox_id = ? AND uid <= ? AND header IS NULL AND view_id IS NULL AND wire_id IS NULL
		AND state = 'visible' AND up_uid IS NOT NULL ORDER BY uid DESC LIMIT ?`, box, top, n)
}

// Rows gives what a client sees of a mailbox, in UID order.
func (tx *Tx) Rows(box mailbox.ID) ([]mailbox.Row, error) {
	return tx.rows(`SELECT uid, flags, own_keywords, internal_date, internal_zone, size FROM message
		WHERE mailbox_id = ? AND uid IS NOT NULL ORDER BY uid`, box)
}

func (tx *Tx) rows(query string, args ...any) ([]mailbox.Row, error) {
	var all []mailbox.Row
	var flags, keywords string
	cache := map[[2]string]mailbox.Flags{} // most messages share a few sets
	err := tx.query(func(scan func(...any) error) error {
		var r mailbox.Row
		var date int64
		var zone int
		if err := scan(&r.UID, &flags, &keywords, &date, &zone, &r.Size); err != nil {
			return err
		}
		set, known := cache[[2]string{flags, keywords}]
		if !known {
			set = mailbox.ParseFlags(flags + " " + keywords)
			cache[[2]string{flags, keywords}] = set
		}
		r.Flags, r.InternalDate = set, inZone(date, zone)
		all = append(all, r)
		return nil
	}, query, args...)
	return all, err
}

// Delta gives what a client can see to have happened in a mailbox after since.
func (tx *Tx) Delta(box mailbox.ID, since mailbox.ModSeq) (mailbox.Delta, error) {
	m, err := tx.Mailbox(box)
	if err != nil {
		return mailbox.Delta{}, err
	}
	d := mailbox.Delta{ModSeq: m.ModSeq, UIDNext: m.UIDNext}
	d.Changed, err = tx.rows(`SELECT uid, flags, own_keywords, internal_date, internal_zone, size FROM message
		WHERE mailbox_id = ? AND modseq > ? AND uid IS NOT NULL ORDER BY uid`, box, since)
	if err != nil {
		return d, err
	}
	err = tx.query(func(scan func(...any) error) error {
		var uid mailbox.UID
		err := scan(&uid)
		d.Expunged = append(d.Expunged, uid)
		return err
	}, `SELECT uid FROM expunged WHERE mailbox_id = ? AND modseq > ? ORDER BY uid`, box, since)
	return d, err
}
