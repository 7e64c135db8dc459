package db

import (
	"time"
)

// OutboxKind says what an outgoing message is.
type OutboxKind string

const (
	OutMail      OutboxKind = "mail"
	OutHandshake OutboxKind = "handshake" // may be sent again: its receiver knows it by Message-ID
	OutCopy      OutboxKind = "copy"      // of one of those, to our own address, for other devices of ours; may be sent again, too
)

// OutboxState is how far an outgoing message got.
type OutboxState string

const (
	Queued  OutboxState = "queued"
	Sending OutboxState = "sending" // committed before the first packet
	Sent    OutboxState = "sent"
	Unknown OutboxState = "unknown" // the connection was lost after the final dot
	Refused OutboxState = "refused"
)

// Outgoing is a message on its way to the provider, with its finished bytes.
type Outgoing struct {
	ID        int64
	Kind      OutboxKind
	MessageID string // without angle brackets
	From      string
	To        []OutgoingRecipient
	State     OutboxState
	Encrypted bool
	Attempts  int
	NextAt    time.Time
	Created   time.Time
	SentAt    time.Time
	SentRow   int64 // the row of the sender's own copy; 0: none
	Invite    int64 // whose joiner it answers; 0: none's
	wire      int64
}

// OutgoingRecipient is one envelope recipient and what the provider said of it.
type OutgoingRecipient struct {
	Addr  string
	State OutboxState
	Code  int
	Text  string
}

// Enqueue stores an outgoing message with its wire bytes. It is sent no earlier than NextAt.
func (tx *Tx) Enqueue(o Outgoing, wire []byte) (int64, error) {
	view, err := tx.PutView(wire, o.Created)
	if err != nil {
		return 0, err
	}
	id, err := tx.insert(`INSERT INTO outbox (kind, message_id, mail_from, wire_id, state, encrypted, next_at, created, sent_row, invite)
		VALUES (?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?)`,
		o.Kind, o.MessageID, o.From, view, o.Encrypted, unix(o.NextAt), o.Created.Unix(), nullable(o.SentRow), o.Invite)
	if err != nil {
		return 0, err
	}
	for _, r := range o.To {
		_, err := tx.exec(`INSERT INTO outbox_recipient (outbox_id, addr, state) VALUES (?, ?, 'queued')`, id, r.Addr)
		if err != nil {
			return 0, err
		}
	}
	return id, nil
}

// Outgoing gives one message of the outbox.
func (tx *Tx) Outgoing(id int64) (Outgoing, error) {
	list, err := tx.outgoing(`WHERE id = ?`, id)
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Outgoing{}, err
	}
	return list[0], nil
}

// DueOutgoing gives the messages that may be sent now, handshakes first, then oldest first.
func (tx *Tx) DueOutgoing(now time.Time, limit int) ([]Outgoing, error) {
	return tx.outgoing(`WHERE state = 'queued' AND next_at <= ? ORDER BY kind = 'handshake' DESC, id LIMIT ?`, now.Unix(), limit)
}

// OutboxIn gives every message in one of the states, oldest first.
func (tx *Tx) OutboxIn(state OutboxState) ([]Outgoing, error) {
	return tx.outgoing(`WHERE state = ? ORDER BY id`, state)
}

// OutgoingByMessageID gives the newest mail with this Message-ID that was submitted since.
func (tx *Tx) OutgoingByMessageID(messageID string, since time.Time) (Outgoing, error) {
	list, err := tx.outgoing(`WHERE kind = 'mail' AND message_id = ? AND created >= ? AND sent_row IS NOT NULL
		ORDER BY id DESC LIMIT 1`, messageID, since.Unix())
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Outgoing{}, err
	}
	return list[0], nil
}

// SentHandshake reports whether a handshake message with this Message-ID was made here.
func (tx *Tx) SentHandshake(messageID string) (bool, error) {
	var n int
	err := tx.queryRow(`SELECT count(*) FROM outbox WHERE kind = 'handshake' AND message_id = ?`, messageID).Scan(&n)
	return n > 0, err
}

// MadeHere reports whether a message with this Message-ID was sent from here, and whether a copy
// of it for our other devices was.
func (tx *Tx) MadeHere(messageID string) (made, copied bool, err error) {
	err = tx.queryRow(`SELECT count(*) > 0, ifnull(max(kind = 'copy'), 0) FROM outbox WHERE message_id = ?`, messageID).Scan(&made, &copied)
	return made, copied, err
}

// WaitsInOutbox reports whether a handshake message was not yet begun to be sent.
func (tx *Tx) WaitsInOutbox(messageID string) (bool, error) {
	var n int
	err := tx.queryRow(`SELECT count(*) FROM outbox WHERE kind = 'handshake' AND message_id = ? AND state = 'queued'`, messageID).Scan(&n)
	return n > 0, err
}

// DropWaiting forgets a handshake message that was not yet begun to be sent, and its copy.
func (tx *Tx) DropWaiting(messageID string) error {
	list, err := tx.outgoing(`WHERE kind IN ('handshake', 'copy') AND message_id = ? AND state = 'queued'`, messageID)
	if err != nil {
		return err
	}
	for _, o := range list {
		if _, err := tx.exec(`DELETE FROM outbox WHERE id = ?`, o.ID); err != nil {
			return err
		}
		if err := tx.DropView(o.wire); err != nil {
			return err
		}
	}
	return nil
}

// HiddenSent gives the mail that went out no later than before and whose Sent row still has
// no UID, because the client saved no copy of its own.
func (tx *Tx) HiddenSent(before time.Time) ([]Outgoing, error) {
	return tx.outgoing(`WHERE kind = 'mail' AND state IN ('sent', 'unknown', 'queued') AND sent_at > 0 AND sent_at <= ?
		AND sent_row IN (SELECT id FROM message WHERE state = 'hidden') ORDER BY id`, before.Unix())
}

// NextOutgoing gives the earliest moment at which a queued message may be sent; zero if there is none.
func (tx *Tx) NextOutgoing() (time.Time, error) {
	var at *int64
	err := tx.queryRow(`SELECT min(next_at) FROM outbox WHERE state = 'queued'`).Scan(&at)
	if err != nil || at == nil {
		return time.Time{}, err
	}
	return time.Unix(*at, 0), nil
}

func (tx *Tx) outgoing(where string, args ...any) ([]Outgoing, error) {
	var list []Outgoing
	err := tx.query(func(scan func(...any) error) error {
		var o Outgoing
		var next, created, sent int64
		var row, wire *int64
		if err := scan(&o.ID, &o.Kind, &o.MessageID, &o.From, &wire, &o.State, &o.Encrypted, &o.Attempts,
			&next, &created, &sent, &row, &o.Invite); err != nil {
			return err
		}
		o.NextAt, o.Created, o.SentAt = fromUnix(next), fromUnix(created), fromUnix(sent)
		o.SentRow, o.wire = deref(row), deref(wire)
		list = append(list, o)
		return nil
	}, `SELECT id, kind, message_id, mail_from, wire_id, state, encrypted, attempts, next_at, created, sent_at, sent_row, invite
		FROM outbox `+where, args...)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if list[i].To, err = tx.outgoingRecipients(list[i].ID); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (tx *Tx) outgoingRecipients(id int64) ([]OutgoingRecipient, error) {
	var to []OutgoingRecipient
	err := tx.query(func(scan func(...any) error) error {
		var r OutgoingRecipient
		err := scan(&r.Addr, &r.State, &r.Code, &r.Text)
		to = append(to, r)
		return err
	}, `SELECT addr, state, code, text FROM outbox_recipient WHERE outbox_id = ? ORDER BY addr`, id)
	return to, err
}

// OutgoingWire gives the bytes that are sent.
func (tx *Tx) OutgoingWire(o Outgoing) ([]byte, error) { return tx.View(o.wire) }

// BeginSending marks a message before its first packet leaves.
func (tx *Tx) BeginSending(id int64) error {
	return tx.execOne(`UPDATE outbox SET state = 'sending', attempts = attempts + 1 WHERE id = ? AND state = 'queued'`, id)
}

// SettleRecipient records what became of one recipient.
func (tx *Tx) SettleRecipient(id int64, r OutgoingRecipient) error {
	return tx.execOne(`UPDATE outbox_recipient SET state = ?, code = ?, text = ? WHERE outbox_id = ? AND addr = ?`,
		r.State, r.Code, r.Text, id, r.Addr)
}

// SettleOutgoing moves a message on. A final state lets go of the wire bytes, which an
// unknown outcome keeps: the user may want them sent again.
func (tx *Tx) SettleOutgoing(id int64, state OutboxState, next, sent time.Time) error {
	err := tx.execOne(`UPDATE outbox SET state = ?, next_at = ?, sent_at = CASE WHEN sent_at = 0 THEN ? ELSE sent_at END WHERE id = ?`,
		state, unix(next), unix(sent), id)
	if err != nil || (state != Sent && state != Refused) {
		return err
	}
	o, err := tx.Outgoing(id)
	if err != nil || o.wire == 0 {
		return err
	}
	if _, err := tx.exec(`UPDATE outbox SET wire_id = NULL WHERE id = ?`, id); err != nil {
		return err
	}
	return tx.DropView(o.wire)
}

// CountOutbox counts the mail that waits and the mail whose outcome is unknown. Copies for other
// devices are nothing that the user waits for.
func (tx *Tx) CountOutbox() (queued, unknown int, err error) {
	err = tx.queryRow(`SELECT count(*) FILTER (WHERE state IN ('queued', 'sending')), count(*) FILTER (WHERE state = 'unknown')
		FROM outbox WHERE kind <> 'copy'`).Scan(&queued, &unknown)
	return queued, unknown, err
}

// OutboxAlive reports whether some copy of a message went out, or may yet, by the row of
// the sender's own copy.
func (tx *Tx) OutboxAlive(sentRow int64) (bool, error) {
	var n int
	err := tx.queryRow(`SELECT count(*) FROM outbox WHERE sent_row = ? AND state <> 'refused'`, sentRow).Scan(&n)
	return n > 0, err
}

// OutboxCopies counts the copies of a message, by the row of the sender's own.
func (tx *Tx) OutboxCopies(sentRow int64) (n int, err error) {
	err = tx.queryRow(`SELECT count(*) FROM outbox WHERE sent_row = ?`, sentRow).Scan(&n)
	return n, err
}

// IsHidden reports whether a message has no UID yet.
func (tx *Tx) IsHidden(row int64) (bool, error) {
	var n int
	err := tx.queryRow(`SELECT count(*) FROM message WHERE id = ? AND state = 'hidden'`, row).Scan(&n)
	return n > 0, err
}

// AnyOpened reports whether one of the Message-IDs is that of a message that was opened or
// sealed here.
func (tx *Tx) AnyOpened(messageIDs []string) (bool, error) {
	for _, id := range messageIDs {
		var n int
		err := tx.queryRow(`SELECT count(*) FROM message WHERE message_id_hash = ? AND kind IN ('opened', 'sealed')`,
			tx.MessageIDHash(id)).Scan(&n)
		if err != nil || n > 0 {
			return n > 0, err
		}
	}
	return false, nil
}

// AnySentBefore reports whether some mail was accepted by the provider no later than t.
func (tx *Tx) AnySentBefore(t time.Time) (bool, error) {
	var n int
	err := tx.queryRow(`SELECT count(*) FROM outbox WHERE kind = 'mail' AND state = 'sent' AND sent_at <= ?`, t.Unix()).Scan(&n)
	return n > 0, err
}
