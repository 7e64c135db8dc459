package account

import (
	"context"
	"errors"
	"time"

	"mailbridge/db"
	"mailbridge/mailbox"
	"mailbridge/message"
	"mailbridge/mirror"
)

// learnWait is how long the first upload of a Sent copy waits for a copy that the provider
// saves by itself, as Gmail does: nothing goes up twice.
const learnWait = 60 * time.Second

// What is known of the provider's own Sent copies (settingProviderSaves).
const (
	savesYes = "yes"
	savesNo  = "no"
)

// sentWindow is how long after the submission an APPEND is taken for the client's own copy of it.
const sentWindow = 24 * time.Hour

// settleSent decides about the sender's own copy once a message is settled. After a refusal
// it goes away, unless another copy of the message went out or may yet; else it may go up,
// at once where the provider is known to save nothing by itself.
func (a *Account) settleSent(tx *db.Tx, m db.Outgoing, state db.OutboxState) error {
	if m.SentRow == 0 {
		return nil
	}
	if state == db.Refused {
		alive, err := tx.OutboxAlive(m.SentRow)
		if err != nil || alive {
			return err
		}
		hidden, err := tx.IsHidden(m.SentRow)
		if err != nil {
			return err
		}
		if hidden {
			return a.mirror.Drop(tx, m.SentRow)
		}
		// The client has saved it, while the message waited: it is the user's.
	}
	saves, err := tx.Setting(settingProviderSaves)
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return err
	}
	at := a.now()
	if string(saves) != savesNo {
		at = at.Add(learnWait)
	}
	return a.mirror.Upload(tx, m.SentRow, at)
}

// savedByProvider recognises a copy of what was just submitted that the provider has put into
// Sent by itself. It is the row that we have, it proves that the message was sent, and
// nothing more goes up. Copies of handshake steps are nobody's business.
func (a *Account) savedByProvider(ctx context.Context, m *arrival) (mirror.Ruling, bool, error) {
	ids := message.ParseMessageIDs(m.outer.Get("Message-ID"))
	// Exchange gives the message another Message-ID and keeps the first.
	ids = append(ids, message.ParseMessageIDs(m.outer.Get("X-Microsoft-Original-Message-ID"))...)
	if m.Mailbox.Use != mailbox.UseSent || m.Old || !a.own(soleSender(m.outer)) {
		return mirror.Ruling{}, false, nil
	}
	var found db.Outgoing
	var waiting int64
	handshake := false
	err := a.db.View(ctx, func(tx *db.Tx) (err error) {
		for _, id := range ids {
			if handshake, err = tx.SentHandshake(id); handshake || err != nil {
				return err
			}
			found, err = tx.OutgoingByMessageID(id, a.now().Add(-sentWindow))
			if !errors.Is(err, db.ErrNotFound) {
				return err
			}
			if waiting, err = a.waitingCopy(tx, m.Mailbox.ID, id); waiting != 0 || err != nil {
				return err
			}
		}
		return db.ErrNotFound
	})
	if errors.Is(err, db.ErrNotFound) {
		return mirror.Ruling{}, false, nil
	}
	if waiting != 0 { // another device has saved what it sent
		return mirror.Ruling{Verdict: mirror.Hide, Kind: mirror.Sealed, Same: waiting}, err == nil, err
	}
	if handshake {
		return mirror.Ruling{Verdict: mirror.Consume, Kind: mirror.Control}, true, err
	}
	return mirror.Ruling{
		Verdict: mirror.Hide,
		Kind:    mirror.Sealed,
		Same:    found.SentRow,
		Apply: func(tx *db.Tx, _ int64) error {
			copies, err := tx.OutboxCopies(found.SentRow)
			if err != nil {
				return err
			}
			// The copies for Bcc recipients look alike: which of them was saved is not known.
			if found.State == db.Unknown && copies == 1 {
				if err := tx.SettleOutgoing(found.ID, db.Sent, time.Time{}, a.now()); err != nil {
					return err
				}
			}
			return tx.SetSetting(settingProviderSaves, []byte(savesYes))
		},
	}, err == nil, err
}

// learnSaves concludes that the provider saves nothing by itself, once the first mail has
// been out long enough.
func (a *Account) learnSaves(tx *db.Tx) error {
	known, err := tx.HasSetting(settingProviderSaves)
	if err != nil || known {
		return err
	}
	out, err := tx.AnySentBefore(a.now().Add(-learnWait))
	if err != nil || !out {
		return err
	}
	return tx.SetSetting(settingProviderSaves, []byte(savesNo))
}

// showSent gives a UID to Sent copies of mail that went out a while ago and that no client
// has saved a copy of. It says when the next one is due; zero if none waits.
func (a *Account) showSent(ctx context.Context) (time.Time, error) {
	var next time.Time
	err := a.db.Update(ctx, func(tx *db.Tx) error {
		if err := a.learnSaves(tx); err != nil {
			return err
		}
		waiting, err := tx.HiddenSent(a.now())
		if err != nil {
			return err
		}
		shown := map[int64]bool{} // the copies for Bcc recipients share one row
		for _, m := range waiting {
			if shown[m.SentRow] {
				continue
			}
			due := m.SentAt.Add(a.options.sentGrace())
			if due.After(a.now()) {
				if next.IsZero() || due.Before(next) {
					next = due
				}
				continue
			}
			if _, err := a.mirror.Show(tx, m.SentRow, nil, mailbox.NewFlags(mailbox.Seen), m.SentAt); err != nil {
				return err
			}
			shown[m.SentRow] = true
		}
		return nil
	})
	return next, err
}

// claimSent takes an APPEND for the client's own copy of a message that it has just
// submitted: the row of our copy gets its UID, its bytes and its flags. ok is false if the
// message is none of ours.
func (a *Account) claimSent(tx *db.Tx, msg []byte, flags mailbox.Flags, date time.Time) (added mirror.Added, ok bool, err error) {
	h, _ := message.ParseHeader(msg)
	ids := message.ParseMessageIDs(h.Get("Message-ID"))
	if len(ids) != 1 || !a.own(soleSender(h)) {
		return mirror.Added{}, false, nil
	}
	m, err := tx.OutgoingByMessageID(ids[0], a.now().Add(-sentWindow))
	if errors.Is(err, db.ErrNotFound) {
		return mirror.Added{}, false, nil
	}
	if err != nil {
		return mirror.Added{}, false, err
	}
	hidden, err := tx.IsHidden(m.SentRow)
	if err != nil {
		return mirror.Added{}, false, err
	}
	if hidden {
		added, err = a.mirror.Show(tx, m.SentRow, msg, flags, date)
	} else {
		added, err = a.mirror.Reopen(tx, m.SentRow, mirror.Sealed, msg, sentKeywords(m))
	}
	if errors.Is(err, db.ErrNotFound) {
		return mirror.Added{}, false, nil // ours was deleted meanwhile
	}
	return added, err == nil, err
}

// sentKeywords are the bridge's own keywords of a Sent copy.
func sentKeywords(m db.Outgoing) mailbox.Flags {
	if m.Encrypted {
		return mailbox.NewFlags(mailbox.Encrypted)
	}
	return nil
}

func (o Options) sentGrace() time.Duration {
	if o.SentGrace > 0 {
		return o.SentGrace
	}
	return sentGrace
}
