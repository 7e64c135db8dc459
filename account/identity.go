package account

import (
	"slices"

	"mailbridge/autocrypt"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// identity is the account's own key with what goes with it. It is immutable: an import puts
// another one in its place, between two write transactions, so that a transaction never sees
// both. Who makes a message outside of one takes the identity once.
type identity struct {
	key       *pgp.Key
	autocrypt string     // value of our own Autocrypt field
	former    []*pgp.Key // newest first; they open old mail, and do nothing else
	eras      []era      // oldest first, without that of now
}

// era is the time of an own key of before. The links of its invites name that key.
type era struct {
	Key        pgp.Fingerprint `json:"key"`
	LastInvite int64           `json:"last_invite"`
}

func newIdentity(s Settings, key *pgp.Key, former []*pgp.Key, eras []era) *identity {
	return &identity{
		key:    key,
		former: former,
		eras:   eras,
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

// inviteKey is the key that the link of an invite names. ended says that it is not the one of now.
func (i *identity) inviteKey(invite int64) (key pgp.Fingerprint, ended bool) {
	for _, e := range i.eras {
		if invite <= e.LastInvite {
			return e.Key, true
		}
	}
	return i.key.Fingerprint(), false
}

// inviter is this account as the maker of an invite.
func (a *Account) inviter(invite int64) securejoin.Self {
	me := a.self()
	me.Fingerprint, _ = a.me().inviteKey(invite)
	return me
}

// me is the account's identity as of now.
func (a *Account) me() *identity { return a.identity.Load() }

// key is the account's own key as of now.
func (a *Account) key() *pgp.Key { return a.me().key }
