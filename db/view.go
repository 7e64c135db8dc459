package db

import (
	"fmt"
	"time"
)

// viewChunk is the size of a view's pieces: SQLite has no incremental access to a value here,
// and a value in memory twice is bearable at this size.
const viewChunk = 256 << 10

// PutView stores bytes, sealed, and gives their id. A view belongs to the rows that name it
// and goes with the last of them.
func (tx *Tx) PutView(data []byte, now time.Time) (int64, error) {
	id, err := tx.insert(`INSERT INTO view (size, created) VALUES (?, ?)`, len(data), now.Unix())
	if err != nil {
		return 0, err
	}
	for n := 0; n*viewChunk < len(data); n++ {
		piece := data[n*viewChunk : min((n+1)*viewChunk, len(data))]
		_, err := tx.exec(`INSERT INTO view_chunk (view_id, n, data) VALUES (?, ?, ?)`, id, n,
			tx.seal("view_chunk", chunkRow(id, n, len(data)), "data", piece))
		if err != nil {
			return 0, err
		}
	}
	return id, nil
}

// chunkRow names a piece by view, number and the view's size, so that pieces can neither be
// exchanged nor left out at the end.
func chunkRow(view int64, n, size int) string { return fmt.Sprintf("%d/%d/%d", view, n, size) }

// View gives the bytes stored by PutView.
func (tx *Tx) View(id int64) ([]byte, error) {
	var size int
	if err := tx.queryRow(`SELECT size FROM view WHERE id = ?`, id).Scan(&size); err != nil {
		return nil, err
	}
	data, n := []byte{}, 0
	err := tx.query(func(scan func(...any) error) error {
		var sealed []byte
		if err := scan(&sealed); err != nil {
			return err
		}
		piece, err := tx.open("view_chunk", chunkRow(id, n, size), "data", sealed)
		data = append(data, piece...)
		n++
		return err
	}, `SELECT data FROM view_chunk WHERE view_id = ? ORDER BY n`, id)
	if err == nil && len(data) != size {
		err = fmt.Errorf("%w: view %d has %d of %d octets", ErrCorrupt, id, len(data), size)
	}
	return data, err
}

// SecretViews lists the views of mail that the provider has only as ciphertext, newest first.
func (tx *Tx) SecretViews() ([]int64, error) {
	var views []int64
	err := tx.query(func(scan func(...any) error) error {
		var id int64
		err := scan(&id)
		views = append(views, id)
		return err
	}, `SELECT DISTINCT view_id FROM message WHERE view_id IS NOT NULL AND kind IN ('opened', 'sealed') ORDER BY view_id DESC`)
	return views, err
}

// unusedView is true for a view that no row names.
const unusedView = `NOT EXISTS (SELECT 1 FROM message WHERE view_id = view.id)
	AND NOT EXISTS (SELECT 1 FROM message WHERE wire_id = view.id)
	AND NOT EXISTS (SELECT 1 FROM outbox WHERE wire_id = view.id)`

// DropView deletes a view once no row names it any more.
func (tx *Tx) DropView(id int64) error {
	if id == 0 {
		return nil
	}
	_, err := tx.exec(`DELETE FROM view WHERE id = ? AND `+unusedView, id)
	return err
}

func (tx *Tx) dropOrphanViews() error {
	_, err := tx.exec(`DELETE FROM view WHERE ` + unusedView)
	return err
}

// viewsKept is how long the views of vanished rows wait for their message to show up again:
// a restored backup or a mailbox renamed elsewhere does so within weeks.
const viewsKept = 30 * 24 * time.Hour

// Prune removes what has outlived its use: rows that vanished long ago, their views, and
// tombstones that no running session can ask for. It is for the start.
func (tx *Tx) Prune(now time.Time) error {
	limit := now.Add(-viewsKept).Unix()
	if _, err := tx.exec(`DELETE FROM message WHERE state = 'vanished' AND vanished_at < ?`, limit); err != nil {
		return err
	}
	if _, err := tx.exec(`DELETE FROM expunged WHERE at < ?`, limit); err != nil {
		return err
	}
	return tx.dropOrphanViews()
}
