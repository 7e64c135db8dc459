package db

import (
	"cmp"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"mailbridge/mailbox"
)

// Mailbox is a mailbox as the index has it: the local numbering, and how far the provider's
// is known.
type Mailbox struct {
	ID           mailbox.ID
	Name         string
	UpstreamName string // the provider's name; empty: local only
	Delim        rune   // the provider's delimiter; 0: its name has no levels
	Use          mailbox.Use
	NoSelect     bool
	Subscribed   bool
	LocalOnly    bool

	UIDValidity uint32
	UIDNext     mailbox.UID
	ModSeq      mailbox.ModSeq

	UpUIDValidity uint32 // 0: never listed
	UpUIDNext     uint32 // every provider UID below was seen
	UpModSeq      uint64 // HIGHESTMODSEQ at the last look at all flags
	UpPermanent   mailbox.Flags
	ListedAt      time.Time // zero: the first sync is not done
}

const mailboxColumns = `id, name, ifnull(upstream_name, ''), upstream_delim, use, no_select, subscribed, local_only,
	uidvalidity, uidnext, modseq, up_uidvalidity, up_uidnext, up_modseq, up_permanent, listed_at`

func scanMailbox(scan func(...any) error) (Mailbox, error) {
	var m Mailbox
	var delim, permanent string
	var listed int64
	err := scan(&m.ID, &m.Name, &m.UpstreamName, &delim, &m.Use, &m.NoSelect, &m.Subscribed, &m.LocalOnly,
		&m.UIDValidity, &m.UIDNext, &m.ModSeq, &m.UpUIDValidity, &m.UpUIDNext, &m.UpModSeq, &permanent, &listed)
	if delim != "" {
		m.Delim, _ = utf8.DecodeRuneInString(delim)
	}
	m.UpPermanent = mailbox.ParseFlags(permanent)
	m.ListedAt = fromUnix(listed)
	return m, err
}

// fromUnix and unix map the zero time to 0, "never".
func fromUnix(sec int64) time.Time {
	if sec == 0 {
		return time.Time{}
	}
	return time.Unix(sec, 0)
}

func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// Mailboxes gives every mailbox, sorted by name, INBOX first.
func (tx *Tx) Mailboxes() ([]Mailbox, error) {
	var all []Mailbox
	err := tx.query(func(scan func(...any) error) error {
		m, err := scanMailbox(scan)
		all = append(all, m)
		return err
	}, `SELECT `+mailboxColumns+` FROM mailbox WHERE gone_at = 0`)
	slices.SortFunc(all, func(a, b Mailbox) int {
		return cmp.Or(cmp.Compare(rank(a.Name), rank(b.Name)), cmp.Compare(a.Name, b.Name))
	})
	return all, err
}

func rank(name string) int {
	if name == mailbox.Inbox {
		return 0
	}
	return 1
}

// Mailbox gives a mailbox by its id.
func (tx *Tx) Mailbox(id mailbox.ID) (Mailbox, error) {
	return scanMailbox(tx.queryRow(`SELECT `+mailboxColumns+` FROM mailbox WHERE id = ? AND gone_at = 0`, id).Scan)
}

// MailboxByName gives a mailbox by its local name.
func (tx *Tx) MailboxByName(name string) (Mailbox, error) {
	return scanMailbox(tx.queryRow(`SELECT `+mailboxColumns+` FROM mailbox WHERE name = ? AND gone_at = 0`, name).Scan)
}

// AddMailbox makes a mailbox with a UIDVALIDITY of its own.
func (tx *Tx) AddMailbox(m Mailbox, now time.Time) (Mailbox, error) {
	validity, err := tx.newUIDValidity(now)
	if err != nil {
		return m, err
	}
	id, err := tx.insert(`INSERT INTO mailbox (name, upstream_name, upstream_delim, use, no_select, subscribed, local_only,
		uidvalidity, listed_at) VALUES (?, nullif(?, ''), ?, ?, ?, ?, ?, ?, ?)`,
		m.Name, m.UpstreamName, delimText(m.Delim), m.Use, m.NoSelect, m.Subscribed, m.LocalOnly, validity, unix(m.ListedAt))
	if err != nil {
		return m, err
	}
	return tx.Mailbox(mailbox.ID(id))
}

func delimText(r rune) string {
	if r == 0 {
		return ""
	}
	return string(r)
}

// newUIDValidity gives max(now, last + 1): it grows strictly over all mailboxes, gone ones
// too, and all time, also when the index was lost and made anew.
func (tx *Tx) newUIDValidity(now time.Time) (uint32, error) {
	var last uint32
	if err := tx.queryRow(`SELECT ifnull(max(uidvalidity), 0) FROM mailbox`).Scan(&last); err != nil {
		return 0, err
	}
	return max(uint32(now.Unix()), last+1), nil
}

// SetMailbox stores what LIST says: name, use, and the provider's name.
func (tx *Tx) SetMailbox(m Mailbox) error {
	return tx.execOne(`UPDATE mailbox SET name = ?, upstream_name = nullif(?, ''), upstream_delim = ?, use = ?, no_select = ?,
		subscribed = ? WHERE id = ? AND gone_at = 0`,
		m.Name, m.UpstreamName, delimText(m.Delim), m.Use, m.NoSelect, m.Subscribed, m.ID)
}

// RenameMailbox gives a mailbox another name, and another UIDVALIDITY if a mailbox of that
// name once had a later one.
func (tx *Tx) RenameMailbox(m Mailbox, now time.Time) error {
	var last uint32
	err := tx.queryRow(`SELECT ifnull(max(uidvalidity), 0) FROM mailbox WHERE name = ? AND id <> ?`, m.Name, m.ID).Scan(&last)
	if err != nil {
		return err
	}
	if err := tx.SetMailbox(m); err != nil || last < m.UIDValidity {
		return err
	}
	validity, err := tx.newUIDValidity(now)
	if err != nil {
		return err
	}
	return tx.execOne(`UPDATE mailbox SET uidvalidity = ? WHERE id = ?`, validity, m.ID)
}

// SetUpstream stores how far the provider's numbering is known.
func (tx *Tx) SetUpstream(m Mailbox) error {
	return tx.execOne(`UPDATE mailbox SET up_uidvalidity = ?, up_uidnext = ?, up_modseq = ?, up_permanent = ?, listed_at = ? WHERE id = ?`,
		m.UpUIDValidity, m.UpUIDNext, int64(m.UpModSeq), m.UpPermanent.String(), unix(m.ListedAt), m.ID)
}

// SetUpUIDNext moves the mark below which every provider UID was seen. It never moves back.
func (tx *Tx) SetUpUIDNext(id mailbox.ID, next uint32) error {
	return tx.execOne(`UPDATE mailbox SET up_uidnext = max(up_uidnext, ?) WHERE id = ?`, next, id)
}

// SetSubscribed stores a subscription.
func (tx *Tx) SetSubscribed(id mailbox.ID, on bool) error {
	return tx.execOne(`UPDATE mailbox SET subscribed = ? WHERE id = ? AND gone_at = 0`, on, id)
}

// DeleteMailbox makes a mailbox gone. What the provider may still have of its mail elsewhere
// keeps its view for a while; the rest of its rows goes.
func (tx *Tx) DeleteMailbox(id mailbox.ID, now time.Time) error {
	if err := tx.execOne(`UPDATE mailbox SET gone_at = ? WHERE id = ? AND gone_at = 0`, now.Unix(), id); err != nil {
		return err
	}
	for _, step := range []struct {
		query string
		args  []any
	}{
		{`DELETE FROM journal WHERE mailbox_id = ?1 OR message_id IN (SELECT id FROM message WHERE mailbox_id = ?1)`, []any{id}},
		{`DELETE FROM message WHERE mailbox_id = ? AND NOT ` + worthKeeping, []any{id}},
		{`UPDATE message SET state = 'vanished', uid = NULL, up_mailbox_id = NULL, up_uidvalidity = NULL, up_uid = NULL,
			trashed_at = 0, vanished_at = max(vanished_at, ?) WHERE mailbox_id = ?`, []any{now.Unix(), id}},
		{`DELETE FROM expunged WHERE mailbox_id = ?`, []any{id}},
	} {
		if _, err := tx.exec(step.query, step.args...); err != nil {
			return fmt.Errorf("delete mailbox: %w", err)
		}
	}
	return tx.dropOrphanViews()
}

// MailboxStatus answers STATUS. Only what a client can see counts.
func (tx *Tx) MailboxStatus(id mailbox.ID) (mailbox.Status, error) {
	var s mailbox.Status
	err := tx.queryRow(`SELECT uidvalidity, uidnext FROM mailbox WHERE id = ? AND gone_at = 0`, id).Scan(&s.UIDValidity, &s.UIDNext)
	if err != nil {
		return s, err
	}
	err = tx.queryRow(`SELECT count(*), ifnull(sum(size), 0), ifnull(sum(instr(flags, '\Seen') = 0), 0)
		FROM message WHERE mailbox_id = ? AND uid IS NOT NULL`, id).Scan(&s.Messages, &s.Size, &s.Unseen)
	return s, err
}

// bump raises the mailbox's mod-sequence by one and gives it.
func (tx *Tx) bump(id mailbox.ID) (mailbox.ModSeq, error) {
	var seq mailbox.ModSeq
	err := tx.queryRow(`UPDATE mailbox SET modseq = modseq + 1 WHERE id = ? RETURNING modseq`, id).Scan(&seq)
	return seq, err
}

// assign takes the next n UIDs and gives the first.
func (tx *Tx) assign(id mailbox.ID, n int) (mailbox.UID, mailbox.ModSeq, error) {
	var uid mailbox.UID
	var seq mailbox.ModSeq
	err := tx.queryRow(`UPDATE mailbox SET modseq = modseq + (?1 > 0), uidnext = uidnext + ?1 WHERE id = ?2 AND gone_at = 0
		RETURNING uidnext - ?1, modseq`, n, id).Scan(&uid, &seq)
	return uid, seq, err
}

// SetUpObserved stores what was seen at the last look at all flags.
func (tx *Tx) SetUpObserved(m Mailbox) error {
	return tx.execOne(`UPDATE mailbox SET up_modseq = ?, up_permanent = ? WHERE id = ?`, int64(m.UpModSeq), m.UpPermanent.String(), m.ID)
}
