package account

import (
	"context"

	"mailbridge/db"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// SecretKey lets a test write what the account would never sign.
func (a *Account) SecretKey() *pgp.Key { return a.key() }

// ChannelSecrets gives what opens the posts of all open channels.
func (a *Account) ChannelSecrets() (secrets []string, err error) {
	err = a.db.View(context.Background(), func(tx *db.Tx) (err error) {
		secrets, err = tx.ChannelSecrets()
		return err
	})
	return secrets, err
}

// PutChannel makes a channel known.
func (a *Account) PutChannel(c securejoin.ChannelChat) error {
	return a.db.Update(context.Background(), func(tx *db.Tx) error {
		return tx.PutChannel(db.Channel{ChannelChat: c, Local: newLocal()})
	})
}
