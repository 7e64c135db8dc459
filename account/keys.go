package account

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mailbridge/db"
	"mailbridge/message"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// settingFormerKeys holds the own keys of before, newest first, and when they were in use.
const settingFormerKeys = "former_keys"

type keysOfBefore struct {
	Keys [][]byte `json:"keys"`
	Eras []era    `json:"eras"`
}

// maxFormerKeys bounds them: each is tried on every message that does not say whose it is.
const maxFormerKeys = 16

// reasonOtherKey ends the joins that another own key began.
const reasonOtherKey = "the account has another key now"

func formerKeys(tx *db.Tx) ([]*pgp.Key, []era, error) {
	b, err := tx.Setting(settingFormerKeys)
	if errors.Is(err, db.ErrNotFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	var stored keysOfBefore
	if err := json.Unmarshal(b, &stored); err != nil {
		return nil, nil, err
	}
	keys := make([]*pgp.Key, len(stored.Keys))
	for i, s := range stored.Keys {
		if keys[i], err = pgp.ParseKey(s); err != nil {
			return nil, nil, err
		}
	}
	return keys, stored.Eras, nil
}

// OwnKey gives the account's public key.
func (a *Account) OwnKey(context.Context) (OwnKey, error) { return a.describeKey(a.key()), nil }

func (a *Account) describeKey(k *pgp.Key) OwnKey {
	return OwnKey{Address: a.settings.Address, Fingerprint: k.Fingerprint(), Armored: k.Cert().Armor()}
}

// ExportKey gives the account's key, armored: the public one, or the secret one without a
// passphrase, as a Delta Chat app imports it. From the latter on the account may have another
// device.
func (a *Account) ExportKey(ctx context.Context, secret bool) (OwnKey, error) {
	if !secret {
		return a.OwnKey(ctx)
	}
	var key *pgp.Key
	err := a.db.Update(ctx, func(tx *db.Tx) error {
		key = a.key()
		return a.expectDevice(tx, a.me(), true)
	})
	if err != nil {
		return OwnKey{}, err
	}
	k := a.describeKey(key)
	k.Armored = key.Armor()
	return k, nil
}

// ImportKey makes a key that another program has exported the account's own, as Delta Chat's
// export of a key. The passphrase may be empty. What the key before has begun ends: invites that
// name it are revoked and joins fail. It is kept to open old mail. A key that cannot be used is a
// *BadData.
func (a *Account) ImportKey(ctx context.Context, armored, passphrase []byte) (OwnKey, error) {
	key, err := pgp.ImportKey(armored, passphrase, a.now())
	if err != nil {
		return OwnKey{}, badKey(err)
	}
	if other := a.otherAddress(key); other != "" {
		return OwnKey{}, badData(nil, "This key is for %s, and not for %s. Nothing was changed.", other, a.settings.Address)
	}
	err = a.db.Update(ctx, func(tx *db.Tx) error { return a.replaceKey(tx, key) })
	if err != nil {
		return OwnKey{}, err
	}
	return a.describeKey(key), nil
}

// otherAddress is whose a key says it is, if that is somebody else. Keys of version 6 may say
// nothing.
func (a *Account) otherAddress(key *pgp.Key) string {
	addrs := key.Cert().Addresses()
	if len(addrs) == 0 || slices.ContainsFunc(addrs, func(addr string) bool { return a.own(message.CanonicalAddr(addr)) }) {
		return ""
	}
	return addrs[0]
}

// badKey words why a key cannot be imported.
func badKey(err error) error {
	text := "This is not a key that can be used."
	for _, why := range []struct {
		err  error
		text string
	}{
		{pgp.ErrLocked, "This key is protected by a passphrase, and none was given."},
		{pgp.ErrPassphrase, "This is not the passphrase of the key."},
		{pgp.ErrPublicOnly, "This is a public key. Export the secret key."},
		{pgp.ErrSeveralKeys, "There is more than one key. Export only the one to import."},
		{pgp.ErrExpired, "This key has expired."},
		{pgp.ErrRevoked, "This key was revoked."},
		{pgp.ErrCannotSign, "The primary key cannot sign. Delta Chat takes no signature of a subkey."},
		{pgp.ErrNoEncryption, "Nothing can be encrypted to this key: there is no subkey for it, or its secret part is missing."},
	} {
		if errors.Is(err, why.err) {
			text = why.text
			break
		}
	}
	return badData(err, "%s Nothing was changed.", text)
}

// replaceKey is ImportKey's transaction.
func (a *Account) replaceKey(tx *db.Tx, key *pgp.Key) error {
	old := a.me()
	if key.Fingerprint() == old.key.Fingerprint() {
		return a.expectDevice(tx, old, false) // it was exported from here, or is imported again
	}
	revoked, last, err := a.revokeAll(tx)
	if err != nil {
		return err
	}
	former := slices.DeleteFunc(old.keys(), func(k *pgp.Key) bool { return k.Fingerprint() == key.Fingerprint() })
	eras := append(slices.Clone(old.eras), era{old.key.Fingerprint(), last})
	me := newIdentity(a.settings, key, former[:min(len(former), maxFormerKeys)], eras[max(0, len(eras)-maxFormerKeys):])
	if err := storeIdentity(tx, me); err != nil {
		return err
	}
	tx.AfterCommit(func() { a.identity.Store(me) }) // before what else waits for the commit
	if err := a.failJoins(tx); err != nil {
		return err
	}
	if err := a.lookAgain(tx); err != nil {
		return err
	}
	return errors.Join(
		a.expectDevice(tx, me, false),
		tx.AddEvent(a.now(), "key", "another own key was imported: "+string(key.Fingerprint())),
		a.leave(tx, importNote(old.key, key, revoked)),
	)
}

func storeIdentity(tx *db.Tx, me *identity) error {
	secret, err := me.key.Serialize()
	if err != nil {
		return err
	}
	stored := keysOfBefore{Keys: make([][]byte, len(me.former)), Eras: me.eras}
	for i, k := range me.former {
		if stored.Keys[i], err = k.Serialize(); err != nil {
			return err
		}
	}
	former, err := json.Marshal(stored)
	if err != nil {
		return err
	}
	return errors.Join(tx.SetSetting(settingSecretKey, secret), tx.SetSetting(settingFormerKeys, former))
}

// revokeAll revokes all invites: their links name the key of before. It gives the id of the last.
func (a *Account) revokeAll(tx *db.Tx) (revoked int, last int64, err error) {
	invites, err := tx.Invites(a.now())
	if err != nil {
		return 0, 0, err
	}
	for _, i := range invites {
		last = max(last, i.ID)
		if !i.Revoked.IsZero() {
			continue
		}
		if i.State(a.now()) == securejoin.Live {
			revoked++
		}
		if err := tx.RevokeInvite(i.ID, a.now()); err != nil {
			return 0, 0, err
		}
	}
	return revoked, last, nil
}

// lookAgain asks about mail anew that could not be opened: the new key may do it.
func (a *Account) lookAgain(tx *db.Tx) error {
	list, err := tx.Unopened()
	if err != nil {
		return err
	}
	for _, m := range list {
		if err := a.mirror.Again(tx, m.ID); err != nil {
			return err
		}
	}
	return nil
}

// failJoins ends the joins that wait: what they have sent names the key of before.
func (a *Account) failJoins(tx *db.Tx) error {
	joins, err := tx.PendingJoins()
	if err != nil {
		return err
	}
	for _, j := range joins {
		next, effects := j.Fail(reasonOtherKey, a.now())
		if err := errors.Join(a.putJoin(tx, next), tx.DropWaiting(j.RequestMessageID), a.carryOut(tx, effects)); err != nil {
			return err
		}
	}
	return nil
}

func importNote(old, key *pgp.Key, revoked int) note {
	var links strings.Builder
	switch {
	case revoked == 1:
		links.WriteString(" One open invite named the key of before, and was revoked: make a new one.")
	case revoked > 1:
		fmt.Fprintf(&links, " %d open invites named the key of before, and were revoked: make new ones.", revoked)
	}
	return note{
		subject: "Your key was replaced",
		text: fmt.Sprintf("Another key was imported, and is your own from now on. The one before is kept to open old mail.%s "+
			"Contacts who have verified the key of before will be told that it has changed. Groups that you were in with it must be joined anew. Channels that you made with it cannot be written into any more.\n\n"+
			"Key of before:\n%s\nKey of now:\n%s", links.String(), old.Fingerprint(), key.Fingerprint()),
	}
}
