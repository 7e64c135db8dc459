package db

import "time"

// handledKey: two messages are the same if their signer and their Message-ID are. The signer
// comes first and holds no line end, so that no two pairs give one key.
func (tx *Tx) handledKey(signer, messageID string) []byte {
	return tx.Hash("handled", signer+"\n"+messageID)
}

// MarkHandled remembers an authenticated handshake or sync message and reports whether it is
// new. A message that is not must have no effect.
func (tx *Tx) MarkHandled(signer, messageID string, at time.Time) (bool, error) {
	res, err := tx.exec(`INSERT OR IGNORE INTO handled (message, at) VALUES (?, ?)`,
		tx.handledKey(signer, messageID), unix(at))
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n == 1, err
}

// IsHandled reports whether MarkHandled remembers a message.
func (tx *Tx) IsHandled(signer, messageID string) (bool, error) {
	var n int
	err := tx.queryRow(`SELECT count(*) FROM handled WHERE message = ?`, tx.handledKey(signer, messageID)).Scan(&n)
	return n > 0, err
}

// PruneHandled forgets messages handled before a time.
func (tx *Tx) PruneHandled(before time.Time) error {
	_, err := tx.exec(`DELETE FROM handled WHERE at < ?`, unix(before))
	return err
}
