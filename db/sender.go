package db

import (
	"mailbridge/mailbox"
	"mailbridge/pgp"
)

// SignedMessage is a message whose signature was good, in the name of one sender.
type SignedMessage struct {
	ID       int64
	Signer   pgp.Fingerprint
	Keywords mailbox.Flags // the bridge's own
}

// SetSender remembers which key signed a message in whose name, so that its keywords can follow
// what becomes of that key.
func (tx *Tx) SetSender(id int64, addr string, signer pgp.Fingerprint) error {
	return tx.execOne(`UPDATE message SET sender = ?, signer = ? WHERE id = ?`, tx.senderHash(addr), signer, id)
}

// SignedBy lists the messages that were signed in the name of an address.
func (tx *Tx) SignedBy(addr string) ([]SignedMessage, error) {
	var list []SignedMessage
	err := tx.query(func(scan func(...any) error) error {
		var m SignedMessage
		var keywords string
		err := scan(&m.ID, &m.Signer, &keywords)
		m.Keywords = mailbox.ParseFlags(keywords)
		list = append(list, m)
		return err
	}, `SELECT id, signer, own_keywords FROM message WHERE sender = ? AND signer <> '' ORDER BY id`, tx.senderHash(addr))
	return list, err
}

func (tx *Tx) senderHash(addr string) []byte { return tx.Hash("sender", addr) }
