package pgp

import (
	"bytes"
	"fmt"
	"slices"
)

// Merge joins two copies of one certificate: the union of user ids and
// subkeys, each with its newest self-signature, and every revocation. A
// revocation that one copy lacks is thus never lost, and neither is a subkey
// that the sender's other device does not know yet.
func Merge(old, update *Cert) (*Cert, error) {
	if old.fingerprint != update.fingerprint {
		return nil, fmt.Errorf("%w: certificates of two different keys", ErrBadKey)
	}
	merged := &Cert{
		primary: mergeComponent(old.primary, update.primary),
		users:   slices.Clone(old.users),
		subkeys: slices.Clone(old.subkeys),
	}
	for _, u := range update.users {
		merged.addUser(u)
	}
	for _, s := range update.subkeys {
		merged.addSubkey(s)
	}
	for i, u := range merged.users {
		merged.users[i].self = newest(u.self)
	}
	for i, s := range merged.subkeys {
		merged.subkeys[i].self = newest(s.self)
	}
	if len(merged.users) > maxUserIDs || len(merged.subkeys) > maxSubkeys {
		return nil, fmt.Errorf("%w: the merged certificate has too many parts", ErrTooLarge)
	}
	return merged.finish()
}

func (c *Cert) addUser(u userID) {
	i := slices.IndexFunc(c.users, func(v userID) bool { return bytes.Equal(u.raw.body, v.raw.body) })
	if i < 0 {
		c.users = append(c.users, u)
		return
	}
	c.users[i].self = union(c.users[i].self, u.self)
	c.users[i].revocations = union(c.users[i].revocations, u.revocations)
}

func (c *Cert) addSubkey(s component) {
	i := slices.IndexFunc(c.subkeys, func(v component) bool { return bytes.Equal(s.key.Fingerprint, v.key.Fingerprint) })
	if i < 0 {
		c.subkeys = append(c.subkeys, s)
		return
	}
	c.subkeys[i] = mergeComponent(c.subkeys[i], s)
}

func mergeComponent(a, b component) component {
	a.self = newest(union(a.self, b.self))
	a.revocations = union(a.revocations, b.revocations)
	return a
}

// union keeps each signature once, oldest first, so that the result does not
// depend on which copy came first.
func union(a, b []selfSig) []selfSig {
	list := slices.Clone(a)
	for _, s := range b {
		list = keep(list, s.raw, s.sig, nil)
	}
	slices.SortStableFunc(list, func(x, y selfSig) int {
		if c := x.sig.CreationTime.Compare(y.sig.CreationTime); c != 0 {
			return c
		}
		return bytes.Compare(x.raw.body, y.raw.body)
	})
	return list
}
