package account

import (
	"slices"

	"mailbridge/autocrypt"
	"mailbridge/pgp"
)

// identity is the account's own key with what goes with it. It is immutable: an import puts
// another one in its place, between two write transactions, so that a transaction never sees
// both. Who makes a message outside of one takes the identity once.
type identity struct {
	key       *pgp.Key
	autocrypt string     // value of our own Autocrypt field
	former    []*pgp.Key // newest first; they open old mail, and do nothing else
}

func newIdentity(s Settings, key *pgp.Key, former []*pgp.Key) *identity {
	return &identity{
		key:    key,
		former: former,
		autocrypt: autocrypt.Header{
			Addr:          s.Address,
			PreferEncrypt: autocrypt.ParsePrefer(s.PreferEncrypt),
			Cert:          key.Cert(),
		}.Value(),
	}
}

// keys are all keys that open mail.
func (i *identity) keys() []*pgp.Key { return append([]*pgp.Key{i.key}, i.former...) }

// has reports whether a fingerprint is of a key of ours, of now or of before.
func (i *identity) has(fpr pgp.Fingerprint) bool {
	return slices.ContainsFunc(i.keys(), func(k *pgp.Key) bool { return k.Fingerprint() == fpr })
}

// me is the account's identity as of now.
func (a *Account) me() *identity { return a.identity.Load() }

// key is the account's own key as of now.
func (a *Account) key() *pgp.Key { return a.me().key }
