package db

import (
	"errors"
	"testing"
)

// TestDropWaiting: a handshake message is dropped only before its first packet.
func TestDropWaiting(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	add := func(kind OutboxKind, id string) (row int64) {
		update(t, db, func(tx *Tx) (err error) {
			row, err = tx.Enqueue(Outgoing{Kind: kind, MessageID: id, From: bobAddr, Created: day(1),
				To: []OutgoingRecipient{{Addr: "alice@example.org"}}}, []byte("wire"))
			return err
		})
		return row
	}
	waits, begun, mail := add(OutHandshake, "waits@x"), add(OutHandshake, "begun@x"), add(OutMail, "mail@x")
	update(t, db, func(tx *Tx) error { return tx.BeginSending(begun) })
	update(t, db, func(tx *Tx) error {
		for id, want := range map[string]bool{"waits@x": true, "begun@x": false, "mail@x": false} {
			if got, err := tx.WaitsInOutbox(id); got != want || err != nil {
				t.Errorf("%s waits: %v, %v", id, got, err)
			}
		}
		o, err := tx.Outgoing(waits)
		err = errors.Join(err, tx.DropWaiting("waits@x"), tx.DropWaiting("begun@x"), tx.DropWaiting("mail@x"))
		if _, gone := tx.OutgoingWire(o); !errors.Is(gone, ErrNotFound) {
			t.Errorf("its bytes: %v", gone)
		}
		return err
	})
	update(t, db, func(tx *Tx) error {
		if _, err := tx.Outgoing(waits); !errors.Is(err, ErrNotFound) {
			t.Errorf("dropped: %v", err)
		}
		_, err1 := tx.Outgoing(begun)
		_, err2 := tx.Outgoing(mail)
		return errors.Join(err1, err2)
	})
}
