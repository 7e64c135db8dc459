package mirror

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"mailbridge/db"
	"mailbridge/mailbox"
	"mailbridge/upstream"
)

// errRenumbered: the provider's numbering changed under a piece of work, which starts over.
var errRenumbered = errors.New("mirror: the mailbox was renumbered at the provider")

// open selects a mailbox anew, which shows what is new in it.
func (s *session) open(ctx context.Context, box db.Mailbox) (upstream.Selected, error) {
	s.selected = 0
	sel, err := s.conn.Select(ctx, box.UpstreamName, false)
	if err != nil {
		return sel, err
	}
	s.selected, s.sel = box.ID, sel
	return sel, nil
}

// ensure selects a mailbox unless it is. The numbering must be the one the caller knows.
func (s *session) ensure(ctx context.Context, box db.Mailbox, validity uint32) error {
	if s.selected != box.ID {
		if _, err := s.open(ctx, box); err != nil {
			return err
		}
	}
	if s.sel.UIDValidity != validity {
		s.m.look(box.ID)
		return fmt.Errorf("%w: %s", errRenumbered, box.Name)
	}
	return nil
}

// sync makes the index agree with one mailbox: its numbering, what waits to be looked at, what
// is new, and what has changed.
func (s *session) sync(ctx context.Context, id mailbox.ID) error {
	box, err := s.m.mailbox(ctx, id)
	if errors.Is(err, db.ErrNotFound) || err == nil && (box.NoSelect || box.LocalOnly) {
		return nil
	}
	if err != nil {
		return err
	}
	sel, err := s.open(ctx, box)
	if upstream.IsRefused(err) {
		s.folders = time.Time{} // it may be gone
		return nil
	}
	if err != nil {
		return err
	}
	if sel.UIDValidity == 0 {
		return fmt.Errorf("mirror: %s has no UIDVALIDITY at the provider", box.Name)
	}
	for _, part := range []func(context.Context, db.Mailbox, upstream.Selected) error{
		s.enlist, s.lookPending, s.receiveNew, s.giveUpLost, s.compare,
	} {
		if box, err = s.m.mailbox(ctx, id); err != nil {
			return err
		}
		if err := s.ensure(ctx, box, sel.UIDValidity); err != nil {
			return err
		}
		if err := part(ctx, box, sel); err != nil {
			return err
		}
	}
	s.m.beat()
	return nil
}

// entry is one message of a list.
type entry struct {
	upstream.Summary
	candidate bool
	messageID string
}

func (m *Mirror) entry(sum upstream.Summary) entry {
	if sum.InternalDate.IsZero() { // the provider gave none that can be read
		sum.InternalDate = m.opts.Now()
	}
	return entry{sum, m.ingest.Candidate(sum.Header), messageID(sum.Header)}
}

func (m *Mirror) entries(sums []upstream.Summary) []entry {
	all := make([]entry, len(sums))
	for i, sum := range sums {
		all[i] = m.entry(sum)
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Compare(a.UID, b.UID) })
	return all
}

// progressEvery is how many messages pass between two reports while a long list runs.
const progressEvery = 1000

// enlist is the first sync of a mailbox, or the one after its numbering changed: the whole
// list comes first, and gets its local UIDs in the provider's order in one transaction. A
// later UID must be a higher UID. Candidates get theirs when they were looked at.
func (s *session) enlist(ctx context.Context, box db.Mailbox, sel upstream.Selected) error {
	if box.UpUIDValidity == sel.UIDValidity {
		return nil
	}
	s.m.setSyncing(true)
	defer s.m.setSyncing(false)
	var entries []entry
	err := s.conn.Index(ctx, 1, IndexFields, func(sum upstream.Summary) error {
		e := s.m.entry(sum)
		// What came after the account was added is looked at as an arrival, even if this list is
		// the first to show it: these few header fields do not tell all that it may.
		e.candidate = e.candidate || !s.m.isOld(e.InternalDate)
		entries = append(entries, e)
		if len(entries)%progressEvery == 0 {
			s.m.reportProgress(box.ID, fmt.Sprintf("Reading the list of %s: %d of %d messages.", box.Name, len(entries), sel.Messages))
		}
		return nil
	})
	if err != nil {
		return err
	}
	found := matches{}
	if box.UpUIDValidity != 0 {
		if found, err = s.match(ctx, box, entries); err != nil {
			return err
		}
	}
	box.UpUIDValidity, box.UpModSeq = sel.UIDValidity, 0
	box.UpUIDNext = sel.UIDNext
	if n := len(entries); n > 0 {
		box.UpUIDNext = max(box.UpUIDNext, entries[n-1].UID+1)
	}
	box.UpPermanent = permanent(sel)
	box.ListedAt = s.m.opts.Now()
	err = s.m.db.Update(ctx, func(tx *db.Tx) error { return s.m.number(tx, box, entries, found) })
	delete(s.filled, box.ID)
	s.m.beat()
	return err
}

// number stores a whole list.
func (m *Mirror) number(tx *db.Tx, box db.Mailbox, entries []entry, found matches) error {
	if err := m.rematch(tx, box, found); err != nil {
		return err
	}
	placed, err := tx.PlacedUIDs(box.ID, box.UpUIDValidity)
	if err != nil {
		return err
	}
	var fresh []db.Message
	for _, e := range entries {
		if _, known := placed[e.UID]; !known {
			place := db.Place{Mailbox: box.ID, UIDValidity: box.UpUIDValidity, UID: e.UID}
			fresh = append(fresh, m.row(tx, box, place, e))
		}
	}
	if _, err := tx.AddMessages(fresh, nil); err != nil {
		return err
	}
	m.changed(tx, box.ID)
	return tx.SetUpstream(box)
}

// row is the index row of a message that nobody has looked at: ordinary mail, which is
// visible, or a candidate, which waits.
func (m *Mirror) row(tx *db.Tx, box db.Mailbox, place db.Place, e entry) db.Message {
	msg := db.Message{
		Mailbox: box.ID, State: db.Visible, Kind: db.Ordinary, Up: place,
		InternalDate: e.InternalDate, Size: e.Size, UpSize: e.Size, Flags: e.Flags.Storable(),
		Old: m.isOld(e.InternalDate), Created: m.opts.Now(),
	}
	if e.messageID != "" {
		msg.MessageID = tx.MessageIDHash(e.messageID)
	}
	if e.candidate {
		msg.State = db.Pending
	}
	return msg
}

// permanent gives the flags that the provider keeps; \* stands for any keyword.
func permanent(sel upstream.Selected) mailbox.Flags {
	if sel.AnyKeyword {
		return sel.PermanentFlags.With(anyKeyword)
	}
	return sel.PermanentFlags
}

// anyKeyword is what PERMANENTFLAGS says where new keywords are kept.
const anyKeyword mailbox.Flag = `\*`

// keeps reports whether the provider keeps a flag. A client may set any; those that the
// provider does not keep stay here.
func keeps(permanent mailbox.Flags, f mailbox.Flag) bool {
	return permanent.Has(f) || permanent.Has(anyKeyword) && f[0] != '\\'
}

// receiveNew takes in what is new since the last look, in the provider's order.
func (s *session) receiveNew(ctx context.Context, box db.Mailbox, sel upstream.Selected) error {
	switch {
	case sel.UIDNext != 0 && sel.UIDNext <= box.UpUIDNext:
		return nil
	case sel.Messages == 0:
		return s.m.db.Update(ctx, func(tx *db.Tx) error { return tx.SetUpUIDNext(box.ID, sel.UIDNext) })
	}
	few := sel.UIDNext != 0 && sel.UIDNext-box.UpUIDNext <= headerBatch
	var fields []string // nil: the whole header block
	if !few {
		fields = []string{}
	}
	var sums []upstream.Summary
	err := s.conn.Index(ctx, box.UpUIDNext, fields, func(sum upstream.Summary) error {
		sums = append(sums, sum)
		return nil
	})
	if err != nil {
		return err
	}
	if few {
		err = s.takeIn(ctx, box, sel.UIDValidity, s.m.entries(sums))
	} else {
		err = s.receive(ctx, box, sel.UIDValidity, sums)
	}
	if err != nil {
		return err
	}
	return s.m.db.Update(ctx, func(tx *db.Tx) error { return tx.SetUpUIDNext(box.ID, sel.UIDNext) })
}

// headerBatch is how many header blocks are asked for at once: a few hundred kilobytes.
const headerBatch = 100

// receive takes in messages that are known but for their header blocks.
func (s *session) receive(ctx context.Context, box db.Mailbox, validity uint32, sums []upstream.Summary) error {
	for batch := range slices.Chunk(sums, headerBatch) {
		if err := s.ensure(ctx, box, validity); err != nil {
			return err
		}
		at := make(map[uint32]int, len(batch))
		uids := make([]uint32, len(batch))
		for i, sum := range batch {
			at[sum.UID], uids[i] = i, sum.UID
		}
		err := s.conn.Headers(ctx, uids, func(sum upstream.Summary) error {
			if i, ok := at[sum.UID]; ok {
				batch[i].Header = sum.Header
			}
			return nil
		})
		if err != nil {
			return err
		}
		batch = slices.DeleteFunc(batch, func(sum upstream.Summary) bool { return sum.Header == nil }) // gone meanwhile
		if err := s.takeIn(ctx, box, validity, s.m.entries(batch)); err != nil {
			return err
		}
		if err := s.yield(ctx, box.ID); err != nil {
			return err
		}
	}
	return nil
}

// takeIn makes rows for new messages, in the order given. A run of mail that need not be
// looked at is one transaction; each candidate is one of its own.
func (s *session) takeIn(ctx context.Context, box db.Mailbox, validity uint32, entries []entry) error {
	if err := s.peek(ctx, entries); err != nil {
		return err
	}
	var err error
	for len(entries) > 0 {
		n := slices.IndexFunc(entries, func(e entry) bool { return e.candidate != entries[0].candidate })
		if n < 0 {
			n = len(entries)
		}
		run := entries[:n]
		entries = entries[n:]
		if !run[0].candidate {
			err = s.m.db.Update(ctx, func(tx *db.Tx) error { return s.m.addOrdinary(tx, box, validity, run) })
		} else {
			err = s.examine(ctx, box, validity, arrivals(box, validity, run))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// addOrdinary makes rows for new mail that need not be looked at.
func (m *Mirror) addOrdinary(tx *db.Tx, box db.Mailbox, validity uint32, run []entry) error {
	var fresh []db.Message
	var headers [][]byte
	for _, e := range run {
		place := db.Place{Mailbox: box.ID, UIDValidity: validity, UID: e.UID}
		msg := m.row(tx, box, place, e)
		taken, err := m.adoptLost(tx, msg)
		if err != nil {
			return err
		}
		if !taken {
			fresh, headers = append(fresh, msg), append(headers, e.Header)
		}
	}
	if _, err := tx.AddMessages(fresh, headers); err != nil {
		return err
	}
	m.changed(tx, box.ID)
	return tx.SetUpUIDNext(box.ID, run[len(run)-1].UID+1)
}

// adoptLost finds the row of a message at a place: one that is there already, or one that the
// provider moved here without saying where to, if that is certain.
func (m *Mirror) adoptLost(tx *db.Tx, msg db.Message) (bool, error) {
	_, err := tx.MessageAt(msg.Up)
	if err == nil {
		return true, nil
	}
	if !errors.Is(err, db.ErrNotFound) {
		return false, err
	}
	alike, err := tx.MessagesHashed(msg.MessageID)
	if err != nil {
		return false, err
	}
	alike = slices.DeleteFunc(alike, func(other db.Message) bool {
		return other.Up.Mailbox != msg.Mailbox || other.Up.UID != 0 || other.Kind != db.Ordinary ||
			other.UpSize != msg.UpSize || !other.InternalDate.Equal(msg.InternalDate)
	})
	if len(alike) != 1 {
		return false, nil
	}
	return true, tx.SetPlace(alike[0].ID, msg.Up)
}

// giveUpLost is for messages that the provider moved here without saying where to, and that
// were not found among what came: they came as new mail, under new UIDs.
func (s *session) giveUpLost(ctx context.Context, box db.Mailbox, _ upstream.Selected) error {
	return s.m.db.Update(ctx, func(tx *db.Tx) error {
		lost, err := tx.MessagesLost(box.ID)
		for _, row := range lost {
			if err := s.m.forget(tx, row); err != nil {
				return err
			}
		}
		return err
	})
}

func (m *Mirror) setSyncing(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.Syncing = on
}
