package mirror

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"mailbridge/db"
	"mailbridge/mailbox"
	"mailbridge/upstream"
)

// arrival is a candidate on its way to a ruling.
type arrival struct {
	box       db.Mailbox
	place     db.Place
	flags     mailbox.Flags
	date      time.Time
	size      int64
	messageID string

	row      db.Message // the pending row, if there is one
	raw      []byte
	digest   [32]byte
	attempts int
	since    time.Time
}

func arrivals(box db.Mailbox, validity uint32, run []entry) []arrival {
	all := make([]arrival, len(run))
	for i, e := range run {
		all[i] = arrival{
			box: box, place: db.Place{Mailbox: box.ID, UIDValidity: validity, UID: e.UID},
			flags: e.Flags.Storable(), date: e.InternalDate, size: e.Size, messageID: e.messageID,
		}
	}
	return all
}

// Bodies of candidates are fetched ahead in batches, bounded by number and by size.
const (
	bodyBatch      = 20
	bodyBatchBytes = 8 << 20
)

// examine asks about candidates, in order, each in a transaction of its own.
func (s *session) examine(ctx context.Context, box db.Mailbox, validity uint32, all []arrival) error {
	for len(all) > 0 {
		n, size := 0, int64(0)
		for n < len(all) && n < bodyBatch && (n == 0 || size+all[n].size <= bodyBatchBytes) {
			size += all[n].size
			n++
		}
		if err := s.ensure(ctx, box, validity); err != nil {
			return err
		}
		bodies, err := s.bodies(ctx, all[:n])
		if err != nil {
			return err
		}
		for _, a := range all[:n] {
			raw, there := bodies[a.place.UID]
			if !there {
				continue // gone meanwhile: compare will see it
			}
			a.raw, a.digest = raw, sha256.Sum256(raw)
			if err := s.rule(ctx, a); err != nil {
				return err
			}
			if err := s.yield(ctx, box.ID); err != nil {
				return err
			}
		}
		all = all[n:]
	}
	return nil
}

// bodies fetches the bytes of candidates by UID. A message over the limit has nil bytes.
func (s *session) bodies(ctx context.Context, all []arrival) (map[uint32][]byte, error) {
	uids := make([]uint32, len(all))
	for i, a := range all {
		uids[i] = a.place.UID
	}
	bodies := map[uint32][]byte{}
	err := s.conn.Bodies(ctx, uids, maxMessage, func(uid uint32, msg []byte) error {
		bodies[uid] = msg
		return nil
	})
	return bodies, err
}

// rule decides about one candidate and stores the decision with its effects.
func (s *session) rule(ctx context.Context, a arrival) error {
	if a.raw == nil { // too large to look at: as it came
		return s.store(ctx, a, Ruling{Verdict: Deliver})
	}
	known := false
	err := s.m.db.Update(ctx, func(tx *db.Tx) (err error) {
		known, err = s.m.recognise(tx, a)
		return err
	})
	if known || err != nil {
		return err
	}
	if a.since.IsZero() {
		a.since = s.m.opts.Now()
	}
	ruling, err := s.m.ingest.Ingest(ctx, Arrival{
		Mailbox: info(a.box), Raw: a.raw, Digest: a.digest, InternalDate: a.date, Flags: a.flags,
		Old: s.m.isOld(a.date), Attempt: a.attempts, Since: a.since,
	})
	switch {
	case err == nil:
	case ctx.Err() != nil, isIndexError(err):
		return err
	case a.attempts >= maxAttempts:
		// What stays unreadable is shown in the end, as it came.
		s.m.log.Error("a message could not be looked at and is shown as it came", "mailbox", a.box.Name, "err", err)
		ruling = Ruling{Verdict: Deliver}
	default:
		s.m.log.Warn("a message could not be looked at", "mailbox", a.box.Name, "attempt", a.attempts, "err", err)
		ruling = Ruling{Verdict: Hold, RetryAt: s.m.opts.Now().Add(pause(a.attempts))}
	}
	return s.store(ctx, a, ruling)
}

// maxAttempts bounds how often a message is looked at that the Ingester fails on: with the
// pauses between, about two hours.
const maxAttempts = 8

// pause is the wait before another attempt: a minute, doubled each time, at most an hour.
func pause(attempts int) time.Duration {
	return min(time.Minute<<min(attempts, 10), time.Hour)
}

// store makes the row of a ruling, with its effects.
func (s *session) store(ctx context.Context, a arrival, r Ruling) error {
	if r.Verdict == Consume {
		if err := s.ensureTrash(ctx); err != nil {
			return err
		}
	}
	err := s.m.db.Update(ctx, func(tx *db.Tx) error {
		row, err := s.m.settle(tx, a, r)
		if err != nil || r.Apply == nil {
			return err
		}
		return r.Apply(tx, row)
	})
	if err == nil && r.After != nil {
		r.After()
	}
	return err
}

// ensureTrash makes a Trash where the provider has none.
func (s *session) ensureTrash(ctx context.Context) error {
	boxes, err := s.m.mailboxes(ctx)
	if err != nil {
		return err
	}
	if _, ok := special(boxes, mailbox.UseTrash); ok {
		return nil
	}
	prefix, _ := s.conn.Namespace()
	if err := s.conn.Create(ctx, prefix+"Trash"); err != nil {
		if upstream.IsRefused(err) {
			return nil // then it stays where it is, hidden
		}
		return err
	}
	return s.listFolders(ctx)
}

// settle stores a ruling and gives the row.
func (m *Mirror) settle(tx *db.Tx, a arrival, r Ruling) (int64, error) {
	if r.Same != 0 {
		taken, err := m.adoptCopy(tx, a, r.Same)
		if taken || err != nil {
			return r.Same, err
		}
		r = Ruling{Verdict: Hide} // the provider saved more than one: one is shown
	}
	msg, err := m.ruled(tx, a, r)
	if err != nil {
		return 0, err
	}
	if msg.ID != 0 {
		err = m.settlePending(tx, msg, headerBlock(a.raw))
	} else {
		msg, err = tx.AddMessage(msg, headerOf(msg, a.raw))
	}
	if err != nil {
		return 0, err
	}
	if r.Verdict == Consume && msg.Mailbox != a.box.ID {
		_, err := tx.Record(db.Entry{Op: db.OpMove, Message: msg.ID, Mailbox: msg.Mailbox, Created: m.opts.Now()})
		if err != nil {
			return 0, err
		}
		tx.AfterCommit(m.poke)
	}
	if msg.State == db.Visible {
		m.changed(tx, a.box.ID)
		if msg.View == 0 {
			tx.AfterCommit(func() { m.cache.put(msg.ID, a.raw) }) // it will be read next
		}
	}
	return msg.ID, tx.SetUpUIDNext(a.box.ID, a.place.UID+1)
}

// ruled is the row that a ruling asks for.
func (m *Mirror) ruled(tx *db.Tx, a arrival, r Ruling) (db.Message, error) {
	now := m.opts.Now()
	msg := db.Message{
		ID: a.row.ID, Mailbox: a.box.ID, Kind: r.Kind, Up: a.place, InternalDate: a.date, Size: a.size, UpSize: a.size,
		Flags: a.flags, Keywords: r.Keywords, Prefix: r.Prefix, Old: m.isOld(a.date), Created: now,
	}
	if a.raw != nil {
		msg.Digest = a.digest[:]
	}
	if id := cmp.Or(r.MessageID, a.messageID, messageID(headerBlock(a.raw))); id != "" {
		msg.MessageID = tx.MessageIDHash(id)
	}
	switch r.Verdict {
	case Hide, Consume:
		msg.State = db.Hidden
		msg.Kind = cmp.Or(msg.Kind, db.Control)
	case Hold:
		msg.State, msg.Kind = db.Pending, db.Ordinary
		msg.Attempts, msg.RetryAt = a.attempts+1, r.RetryAt
		return msg, nil
	default:
		msg.State = db.Visible
		msg.Kind = cmp.Or(msg.Kind, db.Ordinary)
	}
	if r.Verdict == Consume {
		msg.TrashedAt = now
		boxes, err := tx.Mailboxes()
		if err != nil {
			return msg, err
		}
		if trash, ok := special(boxes, mailbox.UseTrash); ok {
			msg.Mailbox = trash.ID
		}
	}
	switch {
	case r.View != nil:
		view, err := tx.PutView(r.View, now)
		if err != nil {
			return msg, err
		}
		msg.View, msg.Size = view, int64(len(r.View))
	case r.Prefix != nil:
		msg.Size += int64(len(r.Prefix))
	}
	return msg, nil
}

// settlePending turns a pending row into what was ruled.
func (m *Mirror) settlePending(tx *db.Tx, msg db.Message, header []byte) error {
	if msg.State == db.Pending {
		return tx.Postpone(msg.ID, msg.RetryAt)
	}
	if err := tx.SetContent(msg); err != nil {
		return err
	}
	if msg.View == 0 && header != nil {
		if err := tx.ReplaceHeader(msg.ID, header); err != nil {
			return err
		}
	}
	if msg.State == db.Visible {
		_, err := tx.Show(msg.ID)
		return err
	}
	if err := tx.SetMailboxOf(msg.ID, msg.Mailbox); err != nil {
		return err
	}
	return tx.SetState(msg.ID, msg.State)
}

// headerOf is the header block to keep: that of mail served as it came.
func headerOf(msg db.Message, raw []byte) []byte {
	if msg.View != 0 || raw == nil {
		return nil
	}
	return headerBlock(raw)
}

// adoptCopy gives a row the place of the provider's own copy of it. It reports false if the
// row has a place already.
func (m *Mirror) adoptCopy(tx *db.Tx, a arrival, row int64) (bool, error) {
	msg, err := tx.Message(row)
	if errors.Is(err, db.ErrNotFound) || err == nil && msg.Up.UID != 0 {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if a.row.ID != 0 {
		if err := tx.DeleteMessage(a.row.ID); err != nil {
			return false, err
		}
	}
	if err := m.dropUpload(tx, row); err != nil {
		return false, err
	}
	if err := m.placeAt(tx, msg, a.place, a.size, a.digest[:]); err != nil {
		return false, err
	}
	return true, tx.SetUpUIDNext(a.box.ID, a.place.UID+1)
}

// dropUpload takes a waiting upload out of the journal.
func (m *Mirror) dropUpload(tx *db.Tx, row int64) error {
	entries, err := tx.JournalOf(row)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Op == db.OpAppend {
			if err := tx.DeleteEntry(e.ID); err != nil {
				return err
			}
		}
	}
	return tx.SetWire(row, 0)
}

// placeAt says where the provider has a row, and what bytes. If the provider has the message in
// another mailbox than the client was shown, the difference goes into the journal.
func (m *Mirror) placeAt(tx *db.Tx, msg db.Message, place db.Place, size int64, digest []byte) error {
	if err := tx.SetPlace(msg.ID, place); err != nil {
		return err
	}
	return tx.SetUpstreamBytes(msg.ID, size, digest)
}

// recognise finds a candidate whose bytes are known: it was there before, here or in another
// mailbox. Its view follows and is not made again, nor are its effects.
func (m *Mirror) recognise(tx *db.Tx, a arrival) (bool, error) {
	if a.row.ID == 0 {
		_, err := tx.MessageAt(a.place)
		if err == nil {
			return true, tx.SetUpUIDNext(a.box.ID, a.place.UID+1)
		}
		if !errors.Is(err, db.ErrNotFound) {
			return false, err
		}
	}
	alike, err := tx.MessagesByDigest(a.digest[:])
	if err != nil {
		return false, err
	}
	alike = slices.DeleteFunc(alike, func(msg db.Message) bool { return msg.State == db.Pending || msg.ID == a.row.ID })
	twin, lost := bestTwin(alike, a.box.ID)
	if twin.ID == 0 {
		return false, nil
	}
	if a.row.ID != 0 {
		if err := tx.DeleteMessage(a.row.ID); err != nil {
			return false, err
		}
	}
	switch {
	case lost:
		err = m.placeAt(tx, twin, a.place, a.size, nil)
	case twin.State == db.Vanished:
		err = m.revive(tx, twin, a)
	default:
		err = m.clone(tx, twin, a)
	}
	if err != nil {
		return false, err
	}
	m.changed(tx, a.box.ID)
	return true, tx.SetUpUIDNext(a.box.ID, a.place.UID+1)
}

// bestTwin chooses among rows with the same bytes: first one that the provider moved to this
// mailbox without saying where to (lost), then one that vanished, then any other. Ordinary
// mail without a view has nothing that could follow.
func bestTwin(alike []db.Message, box mailbox.ID) (twin db.Message, lost bool) {
	var vanished, live db.Message
	for _, msg := range alike {
		switch {
		case msg.Up.UID == 0 && msg.Up.Mailbox == box:
			return msg, true
		case msg.State == db.Visible && msg.Up.Mailbox == 0 && msg.Wire == 0 && msg.Mailbox == box:
			return msg, true // it was kept when it vanished
		case msg.View == 0 && msg.Kind != db.Control:
		case msg.State == db.Vanished:
			vanished = msg
		default:
			live = msg
		}
	}
	if vanished.ID != 0 {
		return vanished, false
	}
	return live, false
}

// revive puts a vanished row back where its message has shown up.
func (m *Mirror) revive(tx *db.Tx, twin db.Message, a arrival) error {
	if err := tx.SetMailboxOf(twin.ID, a.box.ID); err != nil {
		return err
	}
	if err := m.placeAt(tx, twin, a.place, a.size, nil); err != nil {
		return err
	}
	if twin.Kind == db.Control {
		return errors.Join(tx.SetState(twin.ID, db.Hidden), m.consumeAgain(tx, twin.ID, twin, a))
	}
	if err := tx.SetFlags(twin.ID, a.flags); err != nil {
		return err
	}
	_, err := tx.Show(twin.ID)
	return err
}

// clone makes a second row for a second copy.
func (m *Mirror) clone(tx *db.Tx, twin db.Message, a arrival) error {
	state := db.Visible
	if twin.Kind == db.Control {
		state = db.Hidden
	}
	copied, err := tx.CloneMessage(twin.ID, a.box.ID, a.place, state, m.opts.Now())
	if err != nil {
		return err
	}
	return errors.Join(tx.SetFlags(copied.ID, a.flags), m.consumeAgain(tx, copied.ID, twin, a))
}

// consumeAgain lets another copy of a consumed message follow it into the Trash.
func (m *Mirror) consumeAgain(tx *db.Tx, row int64, twin db.Message, a arrival) error {
	if twin.TrashedAt.IsZero() || twin.Mailbox == a.box.ID {
		return nil
	}
	if err := tx.SetMailboxOf(row, twin.Mailbox); err != nil {
		return err
	}
	_, err := tx.Record(db.Entry{Op: db.OpMove, Message: row, Mailbox: twin.Mailbox, Created: m.opts.Now()})
	tx.AfterCommit(m.poke)
	return err
}

// lookPending asks about the rows of a mailbox that wait for it.
func (s *session) lookPending(ctx context.Context, box db.Mailbox, sel upstream.Selected) error {
	for {
		var rows []db.Message
		err := s.m.db.View(ctx, func(tx *db.Tx) (err error) {
			rows, err = tx.PendingMessages(box.ID, s.m.opts.Now(), bodyBatch)
			return err
		})
		if err != nil || len(rows) == 0 {
			return err
		}
		all := make([]arrival, len(rows))
		for i, row := range rows {
			all[i] = arrival{
				box: box, place: row.Up, flags: row.Flags, date: row.InternalDate, size: row.UpSize,
				row: row, attempts: row.Attempts, since: row.Created,
			}
		}
		if err := s.examine(ctx, box, sel.UIDValidity, all); err != nil {
			return err
		}
		if err := s.dropVanishedPending(ctx, rows); err != nil {
			return err
		}
	}
}

// dropVanishedPending removes the rows that examine found no bytes for: they are still as they were.
func (s *session) dropVanishedPending(ctx context.Context, rows []db.Message) error {
	return s.m.db.Update(ctx, func(tx *db.Tx) error {
		for _, before := range rows {
			row, err := tx.Message(before.ID)
			if errors.Is(err, db.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			if row.State == db.Pending && row.Attempts == before.Attempts && row.Up == before.Up {
				if err := tx.DeleteMessage(row.ID); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// lookHeld asks about held rows whose time has come.
func (s *session) lookHeld(ctx context.Context) (bool, error) {
	var due mailbox.ID
	err := s.m.db.View(ctx, func(tx *db.Tx) (err error) {
		due, err = tx.PendingDue(s.m.opts.Now())
		return err
	})
	if errors.Is(err, db.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, s.sync(ctx, due)
}

// headerBlock gives the header of a message with the empty line that ends it.
func headerBlock(raw []byte) []byte {
	if raw == nil {
		return nil
	}
	if bytes.HasPrefix(raw, []byte("\r\n")) {
		return raw[:2]
	}
	if i := bytes.Index(raw, []byte("\r\n\r\n")); i >= 0 {
		return raw[:i+4]
	}
	return raw
}
