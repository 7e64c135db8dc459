package db

import "time"

// SetProtected remembers that the message with this Message-ID was encrypted, so that an
// answer to it never goes out in the clear (RFC 9788, section 6.1). It is never forgotten.
func (tx *Tx) SetProtected(messageID string, at time.Time) error {
	_, err := tx.exec(`INSERT INTO protection (message_id_hash, encrypted, at) VALUES (?, 1, ?)
		ON CONFLICT (message_id_hash) DO UPDATE SET encrypted = 1`, tx.MessageIDHash(messageID), at.Unix())
	return err
}

// AnyProtected reports whether one of the messages was encrypted.
func (tx *Tx) AnyProtected(messageIDs []string) (bool, error) {
	for _, id := range messageIDs {
		var n int
		err := tx.queryRow(`SELECT count(*) FROM protection WHERE message_id_hash = ? AND encrypted = 1`,
			tx.MessageIDHash(id)).Scan(&n)
		if err != nil || n > 0 {
			return n > 0, err
		}
	}
	return false, nil
}
