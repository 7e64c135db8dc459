package db

import (
	"time"

	"mailbridge/mailbox"
)

// Op is what the provider is to be told.
type Op string

const (
	OpStore   Op = "store"
	OpMove    Op = "move"
	OpExpunge Op = "expunge"
	OpAppend  Op = "append"
)

// Entry is one change that the provider has still to hear of. The message's row says where
// the provider has it now; entries of one message are done in the order of their ids.
type Entry struct {
	ID       int64
	Op       Op
	Message  int64
	Mailbox  mailbox.ID // target of OpMove and OpAppend
	Add, Del mailbox.Flags
	Sent     bool // the command may have left
	// Guard is a place in the target that was empty before the command was sent: its outcome
	// is to be looked for from there on.
	GuardUIDValidity, GuardUID uint32
	Attempts                   int
	NextAt, Created            time.Time
}

const journalColumns = `j.id, j.op, j.message_id, ifnull(j.mailbox_id, 0), j.add_flags, j.del_flags, j.state = 'sent',
	j.up_uidvalidity, j.up_uid, j.attempts, j.next_at, j.created`

func (tx *Tx) entries(query string, args ...any) ([]Entry, error) {
	var all []Entry
	err := tx.query(func(scan func(...any) error) error {
		var e Entry
		var add, del string
		var next, created int64
		err := scan(&e.ID, &e.Op, &e.Message, &e.Mailbox, &add, &del, &e.Sent, &e.GuardUIDValidity, &e.GuardUID, &e.Attempts, &next, &created)
		e.Add, e.Del = mailbox.ParseFlags(add), mailbox.ParseFlags(del)
		e.NextAt, e.Created = fromUnix(next), fromUnix(created)
		all = append(all, e)
		return err
	}, query, args...)
	return all, err
}

// Record adds an entry behind those that the message has.
func (tx *Tx) Record(e Entry) (int64, error) {
	return tx.insert(`INSERT INTO journal (op, message_id, mailbox_id, add_flags, del_flags, next_at, created)
		VALUES (?, ?, nullif(?, 0), ?, ?, ?, ?)`,
		e.Op, e.Message, e.Mailbox, e.Add.String(), e.Del.String(), unix(e.NextAt), e.Created.Unix())
}

// JournalHeads gives at most n entries that are the first of their message and due.
func (tx *Tx) JournalHeads(now time.Time, n int) ([]Entry, error) {
	return tx.entries(`SELECT `+journalColumns+` FROM journal j WHERE j.next_at <= ?
		AND NOT EXISTS (SELECT 1 FROM journal k WHERE k.message_id = j.message_id AND k.id < j.id) ORDER BY j.id LIMIT ?`, now.Unix(), n)
}

// JournalOf gives the entries of a message, in order.
func (tx *Tx) JournalOf(message int64) ([]Entry, error) {
	return tx.entries(`SELECT `+journalColumns+` FROM journal j WHERE j.message_id = ? ORDER BY j.id`, message)
}

// JournalStores gives the flag changes that wait for messages the provider has in a mailbox.
func (tx *Tx) JournalStores(box mailbox.ID) ([]Entry, error) {
	return tx.entries(`SELECT `+journalColumns+` FROM journal j JOIN message m ON m.id = j.message_id
		WHERE j.op = 'store' AND m.up_mailbox_id = ? ORDER BY j.id`, box)
}

// JournalAppends counts the uploads that wait for a mailbox.
func (tx *Tx) JournalAppends(box mailbox.ID) (n int, err error) {
	err = tx.queryRow(`SELECT count(*) FROM journal WHERE op = 'append' AND mailbox_id = ?`, box).Scan(&n)
	return n, err
}

// JournalSize counts the entries, and says when the first of those that are not due is.
func (tx *Tx) JournalSize(now time.Time) (n int, next time.Time, err error) {
	var sec int64
	err = tx.queryRow(`SELECT count(*), ifnull(min(iif(next_at > ?, next_at, NULL)), 0) FROM journal`, now.Unix()).Scan(&n, &sec)
	return n, fromUnix(sec), err
}

// SetEntryFlags merges a later flag change into an entry that has not been sent.
func (tx *Tx) SetEntryFlags(id int64, add, del mailbox.Flags) error {
	return tx.execOne(`UPDATE journal SET add_flags = ?, del_flags = ? WHERE id = ? AND state = 'queued'`, add.String(), del.String(), id)
}

// RetargetEntry changes where an entry that has not been sent goes.
func (tx *Tx) RetargetEntry(id int64, box mailbox.ID) error {
	return tx.execOne(`UPDATE journal SET mailbox_id = ? WHERE id = ? AND state = 'queued'`, box, id)
}

// MarkSent says that the command is about to leave, and from which place on its outcome is
// to be looked for. ErrNotFound: the entry is not any more what it was when it was read.
func (tx *Tx) MarkSent(e Entry, uidValidity, uid uint32) error {
	return tx.execOne(`UPDATE journal SET state = 'sent', up_uidvalidity = ?, up_uid = ?
		WHERE id = ? AND add_flags = ? AND del_flags = ? AND ifnull(mailbox_id, 0) = ?`,
		uidValidity, uid, e.ID, e.Add.String(), e.Del.String(), e.Mailbox)
}

// Requeue says that the command is known not to have happened; it is due again at next.
func (tx *Tx) Requeue(id int64, next time.Time) error {
	return tx.execOne(`UPDATE journal SET state = 'queued', attempts = attempts + 1, next_at = ? WHERE id = ?`, unix(next), id)
}

// Reschedule says when a waiting entry may go.
func (tx *Tx) Reschedule(id int64, at time.Time) error {
	return tx.execOne(`UPDATE journal SET next_at = ? WHERE id = ?`, unix(at), id)
}

// DeleteEntry removes an entry that is done, or given up.
func (tx *Tx) DeleteEntry(id int64) error {
	return tx.execOne(`DELETE FROM journal WHERE id = ?`, id)
}

// ClearJournal removes every entry of a message.
func (tx *Tx) ClearJournal(message int64) error {
	_, err := tx.exec(`DELETE FROM journal WHERE message_id = ?`, message)
	return err
}
