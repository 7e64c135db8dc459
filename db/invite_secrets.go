package db

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
)

// InviteSecret is what is tried on a symmetric message.
type InviteSecret struct {
	ID   int64
	Auth string
}

// The secrets of invites are kept once more in bundles, each sealed as one. Every symmetric message
// asks for all of them, and there may be thousands: to read and open one value for each would cost
// as much again as to try it.

// bundleSize is how many invites share a bundle: those with the same id / bundleSize.
const bundleSize = 256

// InviteSecrets gives the AUTH of every invite and nothing else of them, ended ones included, each
// as they were made last. No more is read than is asked for, but for the rest of a bundle.
func (tx *Tx) InviteSecrets() iter.Seq2[InviteSecret, error] {
	return func(yield func(InviteSecret, error) bool) {
		err := tx.query(func(scan func(...any) error) error {
			var id int64
			var sealed []byte
			if err := scan(&id, &sealed); err != nil {
				return err
			}
			bundle, err := tx.open("invite_bundle", id, "secrets", sealed)
			if err != nil {
				return err
			}
			return unbundle(bundle, func(s InviteSecret) bool { return yield(s, nil) })
		}, `SELECT id, secrets FROM invite_bundle ORDER BY id DESC`)
		if err != nil && !errors.Is(err, errEnough) {
			yield(InviteSecret{}, err)
		}
	}
}

// errEnough ends a query whose reader wants no more.
var errEnough = errors.New("db: enough")

// unbundle gives the secrets of a bundle, the newest first: id, length and AUTH of each.
func unbundle(bundle []byte, yield func(InviteSecret) bool) error {
	for len(bundle) > 0 {
		id, n := binary.Varint(bundle)
		size, m := binary.Uvarint(bundle[max(n, 0):])
		if n <= 0 || m <= 0 || size > uint64(len(bundle)-n-m) {
			return fmt.Errorf("%w: bundle of secrets", ErrCorrupt)
		}
		bundle = bundle[n+m:]
		if !yield(InviteSecret{id, string(bundle[:size])}) {
			return errEnough
		}
		bundle = bundle[size:]
	}
	return nil
}

// bundle writes a bundle anew from the invites that there are, or removes it with the last of them.
func (tx *Tx) bundle(id int64) error {
	var bundle []byte
	err := tx.query(func(scan func(...any) error) error {
		var invite int64
		var sealed []byte
		if err := scan(&invite, &sealed); err != nil {
			return err
		}
		auth, err := tx.open("invite", invite, "auth", sealed)
		bundle = binary.AppendUvarint(binary.AppendVarint(bundle, invite), uint64(len(auth)))
		bundle = append(bundle, auth...)
		return err
	}, `SELECT id, auth FROM invite WHERE id BETWEEN ? AND ? ORDER BY id DESC`, id*bundleSize, (id+1)*bundleSize-1)
	if err != nil {
		return err
	}
	if len(bundle) == 0 {
		_, err = tx.exec(`DELETE FROM invite_bundle WHERE id = ?`, id)
		return err
	}
	_, err = tx.exec(`INSERT INTO invite_bundle (id, secrets) VALUES (?1, ?2)
		ON CONFLICT (id) DO UPDATE SET secrets = ?2`, id, tx.seal("invite_bundle", id, "secrets", bundle))
	return err
}

// bundlesOf gives the bundles of the invites that a condition names.
func (tx *Tx) bundlesOf(where string, args ...any) (ids []int64, err error) {
	err = tx.query(func(scan func(...any) error) error {
		var id int64
		err := scan(&id)
		ids = append(ids, id)
		return err
	}, fmt.Sprintf(`SELECT DISTINCT id / %d FROM invite WHERE `, bundleSize)+where, args...)
	return ids, err
}

// bundleAll writes the bundles that a file of an older version lacks.
func bundleAll(tx *Tx) error {
	ids, err := tx.bundlesOf(fmt.Sprintf(`id / %d NOT IN (SELECT id FROM invite_bundle)`, bundleSize))
	for _, id := range ids {
		err = errors.Join(err, tx.bundle(id))
	}
	return err
}
