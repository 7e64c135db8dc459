package mirror

import (
	"context"
	"slices"
	"time"

	"mailbridge/db"
	"mailbridge/mailbox"
	"mailbridge/upstream"
)

// comparison says when a mailbox was compared as a whole, and what that cost.
type comparison struct {
	at   time.Time
	cost time.Duration
	due  bool // put off
}

// comparisonShare bounds the time spent on comparing a mailbox as a whole: without CONDSTORE
// each changed flag means reading all of them, which is nothing for a thousand messages and a
// second for a hundred thousand.
const comparisonShare = 20

// comparisonDue reports whether a comparison was put off and is due now.
func (s *session) comparisonDue(id mailbox.ID) bool {
	c := s.compared[id]
	return c.due && !s.m.opts.Now().Before(c.at.Add(comparisonShare*c.cost))
}

// takePutOff gives a mailbox whose comparison was put off and is due now.
func (s *session) takePutOff() (mailbox.ID, bool) {
	for id := range s.compared {
		if s.comparisonDue(id) {
			return id, true
		}
	}
	return 0, false
}

// nextPutOff says when the first comparison that was put off is due; zero if there is none.
func (s *session) nextPutOff() time.Time {
	var next time.Time
	for _, c := range s.compared {
		if at := c.at.Add(comparisonShare * c.cost); c.due && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return next
}

// compare makes flags agree with the provider's, and finds what has vanished there.
func (s *session) compare(ctx context.Context, box db.Mailbox, sel upstream.Selected) error {
	var known uint32
	err := s.m.db.View(ctx, func(tx *db.Tx) (err error) {
		known, err = tx.CountPlaced(box.ID)
		return err
	})
	if err != nil {
		return err
	}
	began := s.m.opts.Now()
	switch c := s.compared[box.ID]; {
	case sel.HighestModSeq != 0 && sel.HighestModSeq == box.UpModSeq && known == sel.Messages:
		return nil
	case sel.HighestModSeq == 0 && known == sel.Messages && began.Before(c.at.Add(comparisonShare*c.cost)):
		c.due = true
		s.compared[box.ID] = c
		return nil
	}
	seen, complete, err := s.observe(ctx, box, sel, known)
	if err != nil {
		return err
	}
	unknown, err := s.m.reconcile(ctx, box, sel, seen, complete)
	if err != nil {
		return err
	}
	now := s.m.opts.Now()
	s.compared[box.ID] = comparison{at: now, cost: now.Sub(began)}
	return s.heal(ctx, box, sel, unknown)
}

// observe asks for the provider's flags by UID: all of them, or, with CONDSTORE and where no
// message is missing, those that changed. complete says that what is not in it is not there.
func (s *session) observe(ctx context.Context, box db.Mailbox, sel upstream.Selected, known uint32) (seen map[uint32]mailbox.Flags, complete bool, err error) {
	var list []upstream.UIDFlags
	if sel.HighestModSeq != 0 && box.UpModSeq != 0 && known == sel.Messages {
		list, err = s.conn.FlagsSince(ctx, box.UpModSeq)
	} else {
		list, err = s.conn.Flags(ctx)
		complete = true
	}
	seen = make(map[uint32]mailbox.Flags, len(list))
	for _, f := range list {
		seen[f.UID] = f.Flags
	}
	return seen, complete, err
}

// reconcile applies what was observed, and gives the UIDs that have no row though they lie
// below the mark of what was seen.
func (m *Mirror) reconcile(ctx context.Context, box db.Mailbox, sel upstream.Selected, seen map[uint32]mailbox.Flags, complete bool) (unknown []uint32, err error) {
	var rows []db.Message
	err = m.db.View(ctx, func(tx *db.Tx) (err error) {
		rows, err = tx.MessagesPlaced(box.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	var differ []db.Message // only these are written
	placed := make(map[uint32]bool, len(rows))
	for _, row := range rows {
		if row.Up.UIDValidity != sel.UIDValidity {
			continue
		}
		placed[row.Up.UID] = true
		if flags, there := seen[row.Up.UID]; !there && complete || there && !flags.Storable().Equal(row.Flags) {
			differ = append(differ, row)
		}
	}
	for uid, flags := range seen {
		if complete && !placed[uid] && uid < box.UpUIDNext && !flags.Has(mailbox.Deleted) {
			unknown = append(unknown, uid)
		}
	}
	slices.Sort(unknown)
	box.UpModSeq, box.UpPermanent = sel.HighestModSeq, permanent(sel)
	return unknown, m.db.Update(ctx, func(tx *db.Tx) error {
		if err := m.applyObserved(tx, box, differ, seen); err != nil {
			return err
		}
		return tx.SetUpObserved(box)
	})
}

// applyObserved writes the differences. What the journal says about a message has still to
// reach the provider, and stands above what the provider says.
func (m *Mirror) applyObserved(tx *db.Tx, box db.Mailbox, differ []db.Message, seen map[uint32]mailbox.Flags) error {
	if len(differ) == 0 {
		return nil
	}
	waiting, err := tx.JournalStores(box.ID)
	if err != nil {
		return err
	}
	stores := map[int64][]db.Entry{}
	for _, e := range waiting {
		stores[e.Message] = append(stores[e.Message], e)
	}
	touched := map[mailbox.ID]bool{}
	for _, before := range differ {
		row, err := tx.Message(before.ID)
		if err != nil || row.Up != before.Up {
			continue // changed since: the next look sees it
		}
		touched[row.Mailbox] = true
		flags, there := seen[row.Up.UID]
		if !there {
			if err := m.vanish(tx, row); err != nil {
				return err
			}
			continue
		}
		if merged := overlay(row, flags, stores[row.ID], box.UpPermanent); !merged.Equal(row.Flags) {
			if err := tx.SetFlags(row.ID, merged); err != nil {
				return err
			}
		}
	}
	for id := range touched {
		m.changed(tx, id)
	}
	return nil
}

// overlay gives the flags of a row by what the provider says, what waits in the journal, and
// what the provider does not keep.
func overlay(row db.Message, provider mailbox.Flags, stores []db.Entry, permanent mailbox.Flags) mailbox.Flags {
	flags := provider.Storable()
	for _, f := range row.Flags {
		if !keeps(permanent, f) {
			flags = flags.With(f)
		}
	}
	for _, e := range stores {
		flags = flags.With(e.Add...).Without(e.Del...)
	}
	return flags
}

// vanish handles a message that is no longer at the provider. Reconciliation deletes nothing
// there; what the client sees follows, but for opened mail that is to be kept.
func (m *Mirror) vanish(tx *db.Tx, row db.Message) error {
	if row.State != db.Visible || row.View == 0 || !m.keepsVanished() {
		return m.forget(tx, row)
	}
	m.cache.drop(row.ID)
	if err := tx.ClearJournal(row.ID); err != nil {
		return err
	}
	return tx.SetPlace(row.ID, db.Place{})
}

// forget takes away the row of a message that is no longer there. What was opened waits a
// while for its message to show up again.
func (m *Mirror) forget(tx *db.Tx, row db.Message) error {
	m.cache.drop(row.ID)
	m.changed(tx, row.Mailbox)
	if err := tx.ClearJournal(row.ID); err != nil {
		return err
	}
	if err := tx.SetPlace(row.ID, db.Place{}); err != nil {
		return err
	}
	worth := row.Digest != nil && (row.View != 0 || row.Kind == db.Control)
	if worth && row.State != db.Removed && row.State != db.Pending {
		return tx.Unshow(row.ID, db.Vanished, m.opts.Now())
	}
	if err := tx.Unshow(row.ID, db.Removed, m.opts.Now()); err != nil {
		return err
	}
	return tx.DeleteMessage(row.ID)
}

// keepsVanished reports whether opened mail stays when it vanishes at the provider without a
// client's command: relays delete by age, and apps on the same account what they have read.
func (m *Mirror) keepsVanished() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.opts.KeepExpired || m.shared || m.chatmail
}

// heal takes in messages that have no row though they were passed over: each message has one.
func (s *session) heal(ctx context.Context, box db.Mailbox, sel upstream.Selected, unknown []uint32) error {
	if len(unknown) == 0 {
		return nil
	}
	s.m.log.Warn("messages without a row", "mailbox", box.Name, "n", len(unknown))
	var sums []upstream.Summary
	err := s.conn.Index(ctx, unknown[0], []string{}, func(sum upstream.Summary) error {
		if _, ok := slices.BinarySearch(unknown, sum.UID); ok {
			sums = append(sums, sum)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.receive(ctx, box, sel.UIDValidity, sums)
}
