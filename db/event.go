package db

import "time"

// Event is one line of what the bridge did by itself.
type Event struct {
	ID   int64
	At   time.Time
	Kind string
	Text string
}

// keepEvents is how many events are kept: some months of an ordinary account.
const keepEvents = 10000

// AddEvent records what the bridge did by itself. Text holds no secret and no content of a mail.
func (tx *Tx) AddEvent(at time.Time, kind, text string) error {
	id, err := tx.insert(`INSERT INTO event (at, kind, text) VALUES (?, ?, x'')`, at.Unix(), kind)
	if err != nil {
		return err
	}
	if err := tx.execOne(`UPDATE event SET text = ? WHERE id = ?`, tx.seal("event", id, "text", []byte(text)), id); err != nil {
		return err
	}
	_, err = tx.exec(`DELETE FROM event WHERE id <= ?`, id-keepEvents)
	return err
}

// Events gives the newest events, oldest first.
func (tx *Tx) Events(limit int) ([]Event, error) {
	var events []Event
	err := tx.query(func(scan func(...any) error) error {
		var e Event
		var at int64
		var sealed []byte
		if err := scan(&e.ID, &at, &e.Kind, &sealed); err != nil {
			return err
		}
		text, err := tx.open("event", e.ID, "text", sealed)
		e.At, e.Text = time.Unix(at, 0), string(text)
		events = append(events, e)
		return err
	}, `SELECT id, at, kind, text FROM (SELECT * FROM event ORDER BY id DESC LIMIT ?) ORDER BY id`, limit)
	return events, err
}
