package mirror

import (
	"context"
	"crypto/sha256"
	"fmt"

	"mailbridge/db"
)

// matches says which rows the messages of a renumbered mailbox are, by new UID.
type matches map[uint32]match

type match struct {
	row      int64
	byDigest bool // certain; else by Message-ID, INTERNALDATE and size, which a sender chooses
}

// match finds the rows of a mailbox again after the provider changed its UIDVALIDITY: what the
// bridge knows the bytes of by their SHA-256, other mail by Message-ID, INTERNALDATE and size,
// where that is unique on both sides.
func (s *session) match(ctx context.Context, box db.Mailbox, entries []entry) (matches, error) {
	var rows []db.Message
	err := s.m.db.View(ctx, func(tx *db.Tx) (err error) {
		rows, err = tx.MessagesPlaced(box.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	found := matches{}
	if err := s.matchDigests(ctx, box, entries, rows, found); err != nil {
		return nil, err
	}
	return found, s.m.matchLikeness(ctx, entries, rows, found)
}

// matchDigests fetches the candidates among the entries and compares their bytes.
func (s *session) matchDigests(ctx context.Context, box db.Mailbox, entries []entry, rows []db.Message, found matches) error {
	byDigest := map[string][]db.Message{}
	for _, row := range rows {
		if row.Digest != nil {
			byDigest[string(row.Digest)] = append(byDigest[string(row.Digest)], row)
		}
	}
	sizes := map[int64]bool{}
	for _, row := range rows {
		sizes[row.UpSize] = sizes[row.UpSize] || row.Digest != nil
	}
	for _, e := range entries {
		if !sizes[e.Size] {
			continue
		}
		raw, err := s.conn.Body(ctx, e.UID, maxMessage)
		if s.conn.Broken() {
			return err
		}
		if err != nil {
			continue
		}
		digest := sha256.Sum256(raw)
		if alike := byDigest[string(digest[:])]; len(alike) > 0 {
			found[e.UID] = match{alike[0].ID, true}
			byDigest[string(digest[:])] = alike[1:]
		}
		s.m.reportProgress(box.ID, fmt.Sprintf("The provider renumbered %s: finding its messages again.", box.Name))
	}
	return nil
}

// likeness is what ordinary mail is known by.
type likeness struct {
	messageID string
	date      int64
	size      int64
}

func (m *Mirror) matchLikeness(ctx context.Context, entries []entry, rows []db.Message, found matches) error {
	taken := map[int64]bool{}
	for _, f := range found {
		taken[f.row] = true
	}
	ours := map[likeness][]int64{}
	for _, row := range rows {
		if row.MessageID != nil && !taken[row.ID] && row.View == 0 && row.Kind != db.Control {
			key := likeness{string(row.MessageID), row.InternalDate.Unix(), row.UpSize}
			ours[key] = append(ours[key], row.ID)
		}
	}
	theirs := map[likeness][]uint32{}
	err := m.db.View(ctx, func(tx *db.Tx) error {
		for _, e := range entries {
			if _, done := found[e.UID]; !done && e.messageID != "" {
				key := likeness{string(tx.MessageIDHash(e.messageID)), e.InternalDate.Unix(), e.Size}
				theirs[key] = append(theirs[key], e.UID)
			}
		}
		return nil
	})
	for key, uids := range theirs {
		if len(uids) == 1 && len(ours[key]) == 1 {
			found[uids[0]] = match{ours[key][0], false}
		}
	}
	return err
}

// rematch gives the rows of a renumbered mailbox their new places. What was not found again
// has vanished. A deletion that waits runs only on a message that is certainly the same.
func (m *Mirror) rematch(tx *db.Tx, box db.Mailbox, found matches) error {
	rows, err := tx.MessagesPlaced(box.ID)
	if err != nil {
		return err
	}
	places := map[int64]db.Place{}
	certain := map[int64]bool{}
	for uid, f := range found {
		places[f.row] = db.Place{Mailbox: box.ID, UIDValidity: box.UpUIDValidity, UID: uid}
		certain[f.row] = f.byDigest
	}
	for _, row := range rows {
		if row.Up.UIDValidity == box.UpUIDValidity {
			continue // placed by COPYUID or APPENDUID under the new numbering
		}
		place, ok := places[row.ID]
		if !ok {
			if err := m.vanish(tx, row); err != nil {
				return err
			}
			continue
		}
		if err := tx.SetPlace(row.ID, place); err != nil {
			return err
		}
		if row.State == db.Removed && !certain[row.ID] {
			if err := m.reappear(tx, row, "The provider renumbered the mailbox, and it is not certain which message was meant."); err != nil {
				return err
			}
		}
	}
	return nil
}

// reappear shows a message again whose deletion or move did not happen, under a new UID, and
// tells the user.
func (m *Mirror) reappear(tx *db.Tx, row db.Message, reason string) error {
	if err := tx.ClearJournal(row.ID); err != nil {
		return err
	}
	if _, err := tx.Show(row.ID); err != nil {
		return err
	}
	m.changed(tx, row.Mailbox)
	return m.note(tx, "A deletion did not happen", "A message that was deleted here is still at the provider, and is shown again. "+reason)
}

// note tells the user something, in the transaction that makes it true.
func (m *Mirror) note(tx *db.Tx, subject, text string) error {
	m.log.Warn(subject, "text", text)
	if m.opts.Note == nil {
		return nil
	}
	return m.opts.Note(tx, subject, text)
}
