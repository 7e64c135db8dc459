package account

import "mailbridge/pgp"

// SecretKey lets a test write what the account would never sign.
func (a *Account) SecretKey() *pgp.Key { return a.key() }
