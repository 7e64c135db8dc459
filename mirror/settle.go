package mirror

import (
	"context"
	"crypto/sha256"
	"slices"

	"mailbridge/db"
	"mailbridge/mailbox"
	"mailbridge/upstream"
)

// arrived lists what came into a mailbox since a guard was taken and has no row. The mailbox
// is selected afterwards.
func (s *session) arrived(ctx context.Context, target db.Mailbox, guard db.Entry) ([]entry, error) {
	sel, err := s.open(ctx, target)
	if err != nil {
		return nil, err
	}
	from := guard.GuardUID
	if sel.UIDValidity != guard.GuardUIDValidity {
		from = 1 // the guard says nothing about another numbering
	}
	if sel.Messages == 0 {
		return nil, nil
	}
	var found []entry
	err = s.conn.Index(ctx, max(from, 1), []string{"Message-ID"}, func(sum upstream.Summary) error {
		found = append(found, entry{Summary: sum, messageID: messageID(sum.Header)})
		return nil
	})
	if err != nil {
		return nil, err
	}
	var placed map[uint32]int64
	err = s.m.db.View(ctx, func(tx *db.Tx) error {
		placed, err = tx.PlacedUIDs(target.ID, sel.UIDValidity)
		return err
	})
	return slices.DeleteFunc(found, func(e entry) bool { _, known := placed[e.UID]; return known }), err
}

// withDigest gives the first of entries whose bytes have a digest; 0 if there is none.
func (s *session) withDigest(ctx context.Context, entries []entry, digest []byte) (uint32, error) {
	for _, e := range entries {
		raw, err := s.conn.Body(ctx, e.UID, maxMessage)
		if s.conn.Broken() {
			return 0, err
		}
		if sum := sha256.Sum256(raw); err == nil && string(sum[:]) == string(digest) {
			return e.UID, nil
		}
	}
	return 0, nil
}

// sizeSlack is by how much a provider's size may differ from the bytes that went up, by line
// ends and trace fields.
const sizeSlack = 4096

// settleUpload finds out whether an APPEND happened whose outcome was lost: by its bytes, or, as
// some providers change them, by its Message-ID among what came since. Otherwise it is due again.
func (s *session) settleUpload(ctx context.Context, target db.Mailbox, i item, wire []byte) error {
	came, err := s.arrived(ctx, target, i.Entry)
	if err != nil {
		return err
	}
	validity := s.sel.UIDValidity
	id := messageID(headerBlock(wire))
	likely := slices.DeleteFunc(slices.Clone(came), func(e entry) bool {
		return e.messageID != id || e.Size > int64(len(wire))+sizeSlack || e.Size < int64(len(wire))-sizeSlack
	})
	digest := sha256.Sum256(wire)
	uid, err := s.withDigest(ctx, likely, digest[:])
	if err != nil {
		return err
	}
	if uid == 0 && id != "" && len(likely) == 1 {
		uid = likely[0].UID
	}
	if uid != 0 {
		return s.uploaded(ctx, i, db.Place{Mailbox: target.ID, UIDValidity: validity, UID: uid}, wire)
	}
	return s.m.db.Update(ctx, func(tx *db.Tx) error { return tx.Requeue(i.ID, s.m.opts.Now()) })
}

// settleMove finds out how far a MOVE got whose outcome was lost. The message may be in the
// source, in the target, or in both where the provider copies and expunges.
func (s *session) settleMove(ctx context.Context, source, target db.Mailbox, i item) error {
	there, err := s.conn.Flags(ctx)
	if err != nil {
		return err
	}
	inSource := slices.ContainsFunc(there, func(f upstream.UIDFlags) bool { return f.UID == i.row.Up.UID })
	came, err := s.arrived(ctx, target, i.Entry)
	if err != nil {
		return err
	}
	validity := s.sel.UIDValidity
	uid, err := s.moved(ctx, came, i.row)
	if err != nil {
		return err
	}
	switch {
	case uid == 0 && inSource: // it did not happen
		return s.m.db.Update(ctx, func(tx *db.Tx) error { return tx.Requeue(i.ID, s.m.opts.Now()) })
	case uid != 0 && inSource: // copied, not yet removed
		if err := s.ensure(ctx, source, i.row.Up.UIDValidity); err != nil {
			return err
		}
		if err := s.removeSource(ctx, i.row.Up.UID); err != nil {
			return err
		}
	}
	err = s.finish(ctx, []item{i}, func(tx *db.Tx, i item) error {
		return s.m.place(tx, i.Message, db.Place{Mailbox: target.ID, UIDValidity: validity, UID: uid})
	})
	if err != nil || uid != 0 {
		return err
	}
	return s.sync(ctx, target.ID)
}

// removeSource finishes a move that has copied its message.
func (s *session) removeSource(ctx context.Context, uid uint32) error {
	if err := s.conn.Store(ctx, []uint32{uid}, mailbox.StoreAdd, mailbox.NewFlags(mailbox.Deleted)); err != nil {
		return err
	}
	if !s.conn.Caps().UIDPlus {
		return nil
	}
	return s.conn.Expunge(ctx, []uint32{uid})
}

// moved finds a row's message among what came into the target: by its bytes where they are
// known, else by Message-ID, INTERNALDATE and size where that is unique.
func (s *session) moved(ctx context.Context, came []entry, row db.Message) (uint32, error) {
	var likely []entry
	err := s.m.db.View(ctx, func(tx *db.Tx) error {
		for _, e := range came {
			sameID := e.messageID == "" && row.MessageID == nil || string(tx.MessageIDHash(e.messageID)) == string(row.MessageID)
			if e.Size == row.UpSize && (sameID || row.View != 0 || row.Kind == db.Control) {
				likely = append(likely, e)
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	if row.Digest != nil {
		return s.withDigest(ctx, likely, row.Digest)
	}
	likely = slices.DeleteFunc(likely, func(e entry) bool { return !e.InternalDate.Equal(row.InternalDate) })
	if len(likely) != 1 {
		return 0, nil
	}
	return likely[0].UID, nil
}
