package mirror

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"mailbridge/db"
	"mailbridge/mailbox"
	"mailbridge/upstream"
)

// errGone is what a client is told of a UID that is not, or no longer, there.
var errGone = &mailbox.Error{Code: mailbox.CodeExpungeIssued, Text: "The message is no longer there."}

// Find gives the row of a visible message, for what the account stores about it.
func (m *Mirror) Find(ctx context.Context, id mailbox.ID, uid mailbox.UID) (row db.Message, err error) {
	err = m.db.View(ctx, func(tx *db.Tx) error {
		row, err = tx.MessageByUID(id, uid)
		return err
	})
	if errors.Is(err, db.ErrNotFound) {
		return row, errGone
	}
	return row, err
}

// Bytes gives all bytes of a visible message as it is served, and what they are. The caller
// must not change them.
func (m *Mirror) Bytes(ctx context.Context, id mailbox.ID, uid mailbox.UID) (served []byte, kind Kind, err error) {
	err = steady(func() error {
		served, kind, err = m.bytes(ctx, id, uid)
		return err
	})
	return served, kind, err
}

// steady runs a read again that came upon bytes which went away between two snapshots: a message
// lets go of what was to go up once it is at the provider.
func steady(read func() error) error {
	for tries := 0; ; tries++ {
		err := read()
		switch {
		case !errors.Is(err, db.ErrNotFound):
			return err
		case tries == maxFollow:
			return errGone
		}
	}
}

func (m *Mirror) bytes(ctx context.Context, id mailbox.ID, uid mailbox.UID) ([]byte, Kind, error) {
	row, err := m.Find(ctx, id, uid)
	if err != nil {
		return nil, "", err
	}
	if row.View != 0 {
		view, err := m.view(ctx, row.View)
		return view, row.Kind, err
	}
	raw, err := m.raw(ctx, row)
	if err != nil || row.Prefix == nil {
		return raw, row.Kind, err
	}
	return slices.Concat(row.Prefix, raw), row.Kind, nil
}

// Header gives the header block of a visible message as it is served, with the empty line at
// its end. That of ordinary mail is kept; where it is not there yet, those of its neighbours
// are fetched with it.
func (m *Mirror) Header(ctx context.Context, id mailbox.ID, uid mailbox.UID) (header []byte, kind Kind, err error) {
	err = steady(func() error {
		header, kind, err = m.header(ctx, id, uid)
		return err
	})
	return header, kind, err
}

func (m *Mirror) header(ctx context.Context, id mailbox.ID, uid mailbox.UID) ([]byte, Kind, error) {
	row, err := m.Find(ctx, id, uid)
	if err != nil {
		return nil, "", err
	}
	if row.View != 0 {
		view, err := m.view(ctx, row.View)
		return headerBlock(view), row.Kind, err
	}
	header, err := m.keptHeader(ctx, row)
	if errors.Is(err, db.ErrNotFound) {
		header, err = m.fetchHeader(ctx, row)
	}
	if err != nil {
		return nil, "", err
	}
	return slices.Concat(row.Prefix, header), row.Kind, nil
}

// Raw gives the bytes of a visible message as the provider has them, or is to have them.
func (m *Mirror) Raw(ctx context.Context, id mailbox.ID, uid mailbox.UID) (raw []byte, err error) {
	err = steady(func() error {
		row, err := m.Find(ctx, id, uid)
		if err != nil {
			return err
		}
		raw, err = m.raw(ctx, row)
		return err
	})
	return raw, err
}

func (m *Mirror) view(ctx context.Context, id int64) (data []byte, err error) {
	err = m.db.View(ctx, func(tx *db.Tx) error {
		data, err = tx.View(id)
		return err
	})
	return data, err
}

// raw gives the provider's bytes of a row. The first full read stores their digest; other bytes
// are served only under a new UID.
func (m *Mirror) raw(ctx context.Context, row db.Message) ([]byte, error) {
	if raw, ok := m.cache.get(row.ID); ok {
		return raw, nil
	}
	if row.Wire != 0 {
		return m.view(ctx, row.Wire)
	}
	if row.Up.UID == 0 && row.View != 0 {
		return m.view(ctx, row.View) // it is only here
	}
	row, err := m.placed(ctx, row)
	if err != nil {
		return nil, err
	}
	raw, err := m.fetcher.body(ctx, row)
	if err != nil {
		return nil, err
	}
	return raw, m.fetched(ctx, row.ID, raw)
}

// placeWait bounds how long a reader waits for a message that was just moved to be found.
const placeWait = 10 * time.Second

// placed waits for a message to be found that a provider moved without saying where to.
func (m *Mirror) placed(ctx context.Context, row db.Message) (db.Message, error) {
	if row.Up.UID != 0 {
		return row, nil
	}
	ctx, cancel := context.WithTimeout(ctx, placeWait)
	defer cancel()
	m.look(row.Up.Mailbox)
	err := m.await(ctx, func() (bool, error) {
		now, err := m.message(ctx, row.ID)
		row = now
		return now.Up.UID != 0, err
	})
	switch {
	case errors.Is(err, db.ErrNotFound):
		return row, errGone
	case err != nil:
		return row, errOffline
	}
	return row, nil
}

// fetched checks bytes against the row's digest, or stores it, and keeps the bytes.
func (m *Mirror) fetched(ctx context.Context, id int64, raw []byte) error {
	digest := sha256.Sum256(raw)
	row, err := m.message(ctx, id)
	if err != nil {
		return errGone
	}
	switch {
	case row.Digest == nil:
		err = m.db.Update(ctx, func(tx *db.Tx) error {
			if err := tx.SetDigest(id, digest[:]); err != nil {
				return err
			}
			return tx.SetHeader(id, headerBlock(raw))
		})
	case string(row.Digest) != string(digest[:]):
		if err := m.renew(ctx, id, raw, digest); err != nil {
			return err
		}
		return errGone
	}
	if err == nil {
		m.cache.put(id, raw)
	}
	return err
}

// renew gives a message whose bytes have changed at the provider a new UID. What was found out
// about the bytes that it had says nothing about these: a signature was checked over others.
func (m *Mirror) renew(ctx context.Context, id int64, raw []byte, digest [32]byte) error {
	return m.db.Update(ctx, func(tx *db.Tx) error {
		row, err := tx.Message(id)
		if err != nil || row.State != db.Visible || row.View != 0 {
			return err
		}
		if err := tx.Unshow(id, db.Hidden, m.opts.Now()); err != nil {
			return err
		}
		row.Kind, row.Prefix, row.Keywords = Ordinary, nil, nil
		row.Digest = digest[:]
		row.Size, row.UpSize = int64(len(raw)), int64(len(raw))
		if err := tx.SetContent(row); err != nil {
			return err
		}
		if err := tx.ReplaceHeader(id, headerBlock(raw)); err != nil {
			return err
		}
		m.changed(tx, row.Mailbox)
		tx.AfterCommit(func() { m.cache.put(id, raw) })
		_, err = tx.Show(id)
		return err
	})
}

func (m *Mirror) keptHeader(ctx context.Context, row db.Message) (header []byte, err error) {
	err = m.db.View(ctx, func(tx *db.Tx) error {
		header, err = tx.Header(row.ID)
		if errors.Is(err, db.ErrNotFound) && row.Wire != 0 {
			var wire []byte
			wire, err = tx.View(row.Wire)
			header = headerBlock(wire)
		}
		return err
	})
	return header, err
}

// fetchHeader fetches a missing header block together with the next ones below it: a client
// that asks for one asks for its neighbours.
func (m *Mirror) fetchHeader(ctx context.Context, row db.Message) ([]byte, error) {
	if raw, ok := m.cache.get(row.ID); ok {
		return headerBlock(raw), nil
	}
	for tries := 0; ; tries++ {
		var err error
		if row, err = m.placed(ctx, row); err != nil {
			return nil, err
		}
		err = m.fillHeaders(ctx, row.Mailbox, row.UID, row)
		if err == nil {
			var header []byte
			if header, err = m.keptHeader(ctx, row); err == nil {
				return header, nil
			}
		}
		next, moved := m.follow(ctx, row)
		if !moved || tries > maxFollow {
			return nil, m.fetchFailure(row, err)
		}
		row = next
	}
}

// fillHeaders fetches the missing header blocks from UID top downwards, one batch of those
// that the provider has in the same place as first.
func (m *Mirror) fillHeaders(ctx context.Context, box mailbox.ID, top mailbox.UID, first db.Message) error {
	rows, err := m.headless(ctx, box, top)
	if err != nil || len(rows) == 0 {
		return err
	}
	return m.fetcher.do(ctx, first.Up, func(ctx context.Context, conn *upstream.Conn) error {
		return m.readHeaders(ctx, conn, rows, first.Up)
	})
}

// headless gives the newest rows up to a UID that have no header block yet.
func (m *Mirror) headless(ctx context.Context, box mailbox.ID, top mailbox.UID) (rows []db.Message, err error) {
	err = m.db.View(ctx, func(tx *db.Tx) error {
		rows, err = tx.HeadlessMessages(box, top, headerBatch)
		return err
	})
	return rows, err
}

// readHeaders fetches and keeps the header blocks of those rows that the provider has in the
// selected mailbox, which is that of place.
func (m *Mirror) readHeaders(ctx context.Context, conn *upstream.Conn, rows []db.Message, place db.Place) error {
	byUID := map[uint32]int64{}
	var uids []uint32
	for _, row := range rows {
		if row.Up.Mailbox == place.Mailbox && row.Up.UIDValidity == place.UIDValidity {
			byUID[row.Up.UID] = row.ID
			uids = append(uids, row.Up.UID)
		}
	}
	if len(uids) == 0 {
		return nil
	}
	headers := map[int64][]byte{}
	err := conn.Headers(ctx, uids, func(sum upstream.Summary) error {
		if id, ok := byUID[sum.UID]; ok {
			headers[id] = sum.Header
		}
		return nil
	})
	if err != nil {
		return err
	}
	return m.db.Update(ctx, func(tx *db.Tx) error {
		for id, header := range headers {
			if err := tx.SetHeader(id, header); err != nil {
				return err
			}
		}
		return nil
	})
}

// fillHeaders fetches a batch of missing header blocks while there is nothing else to do, the
// newest of a mailbox first.
func (s *session) fillHeaders(ctx context.Context) (bool, error) {
	boxes, err := s.m.mailboxes(ctx)
	if err != nil {
		return false, err
	}
	for _, box := range boxes {
		below, begun := s.filled[box.ID]
		if !begun {
			below = box.UIDNext
		}
		if below <= 1 || box.LocalOnly {
			continue
		}
		rows, err := s.m.headless(ctx, box.ID, below-1)
		if err != nil {
			return false, err
		}
		if len(rows) == 0 {
			s.filled[box.ID] = 1
			continue
		}
		s.filled[box.ID] = rows[len(rows)-1].UID
		if err := s.ensure(ctx, box, box.UpUIDValidity); err != nil {
			return true, err
		}
		return true, s.m.readHeaders(ctx, s.conn, rows, db.Place{Mailbox: box.ID, UIDValidity: box.UpUIDValidity})
	}
	return false, nil
}

// Prefetch says that the messages will be asked for soon, in this order. It fetches ahead what
// the cache can hold without losing what is in it.
func (m *Mirror) Prefetch(ctx context.Context, id mailbox.ID, uids []mailbox.UID) {
	if len(uids) < 2 {
		return // it is asked for at once anyway
	}
	m.fetcher.background(func(ctx context.Context) {
		if err := m.fetchAhead(ctx, id, uids); err != nil && ctx.Err() == nil {
			m.log.Debug("prefetch", "err", err)
		}
	})
}

func (m *Mirror) fetchAhead(ctx context.Context, id mailbox.ID, uids []mailbox.UID) error {
	budget := m.opts.CacheBytes / 2
	for batch := range slices.Chunk(uids, bodyBatch) {
		var rows []db.Message
		for _, uid := range batch {
			row, err := m.Find(ctx, id, uid)
			if err != nil {
				continue
			}
			_, cached := m.cache.get(row.ID)
			if cached || row.View != 0 || row.Wire != 0 || row.Up.UID == 0 {
				continue
			}
			if budget -= row.UpSize; budget < 0 {
				return nil
			}
			rows = append(rows, row)
		}
		if err := m.fetchBatch(ctx, rows); err != nil {
			return err
		}
	}
	return nil
}

// fetchBatch fetches the bytes of rows with as few commands as their places allow.
func (m *Mirror) fetchBatch(ctx context.Context, rows []db.Message) error {
	for len(rows) > 0 {
		first := rows[0].Up
		byUID := map[uint32]int64{}
		var uids []uint32
		rows = slices.DeleteFunc(rows, func(row db.Message) bool {
			same := row.Up.Mailbox == first.Mailbox && row.Up.UIDValidity == first.UIDValidity
			if same {
				byUID[row.Up.UID] = row.ID
				uids = append(uids, row.Up.UID)
			}
			return same
		})
		got := map[int64][]byte{}
		err := m.fetcher.do(ctx, first, func(ctx context.Context, conn *upstream.Conn) error {
			return conn.Bodies(ctx, uids, maxMessage, func(uid uint32, raw []byte) error {
				if id, ok := byUID[uid]; ok && raw != nil {
					got[id] = raw
				}
				return nil
			})
		})
		if err != nil {
			return err
		}
		for _, uid := range uids {
			raw, id := got[byUID[uid]], byUID[uid]
			if raw == nil {
				continue
			}
			if err := m.fetched(ctx, id, raw); err != nil && !errors.Is(err, errGone) {
				return err
			}
		}
	}
	return nil
}
