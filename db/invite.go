package db

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// authHash finds an AUTH without it being in the file.
func (tx *Tx) authHash(auth string) []byte { return tx.Hash("auth", auth) }

// numberHash finds an INVITENUMBER in the same way.
func (tx *Tx) numberHash(number string) []byte { return tx.Hash("number", number) }

// AddInvite stores a new invite and gives its id.
func (tx *Tx) AddInvite(i securejoin.Invite) (int64, error) {
	id, err := tx.insert(`INSERT INTO invite
			(kind, grp, auth, auth_hash, number, number_hash, created, expires, once, shared, ask,
			revoked, noted_at, legacy, for_addr, way)
		VALUES (?, ?, x'', ?, x'', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		i.Kind.String(), i.GroupID, tx.authHash(i.Auth), tx.numberHash(i.Number), unix(i.Created), unix(i.Expires),
		i.Once, i.Shared, i.Ask, unix(i.Revoked), unix(i.Noted), i.Legacy, i.For, i.Way)
	if err != nil {
		return 0, err
	}
	// The row's id is part of the seal.
	err = tx.execOne(`UPDATE invite SET auth = ?, number = ? WHERE id = ?`,
		tx.seal("invite", id, "auth", []byte(i.Auth)), tx.seal("invite", id, "number", []byte(i.Number)), id)
	if err != nil {
		return 0, err
	}
	return id, tx.bundle(id / bundleSize)
}

const selectInvite = `SELECT id, kind, grp, auth, number, created, expires, once, shared, ask, revoked, noted_at,
	legacy, for_addr, way FROM invite `

// newestFirst puts live invites before tombstones, each newest first.
const newestFirst = `ORDER BY ` + ended + `, created DESC, id DESC`

func (tx *Tx) scanInvite(scan func(...any) error) (securejoin.Invite, error) {
	var i securejoin.Invite
	var kind string
	var auth, number []byte
	var created, expires, revoked, noted int64
	err := scan(&i.ID, &kind, &i.GroupID, &auth, &number, &created, &expires,
		&i.Once, &i.Shared, &i.Ask, &revoked, &noted, &i.Legacy, &i.For, &i.Way)
	if err != nil {
		return i, err
	}
	i.Kind, _ = securejoin.ParseKind(kind)
	i.Created, i.Expires = fromUnix(created), fromUnix(expires)
	i.Revoked, i.Noted = fromUnix(revoked), fromUnix(noted)
	if auth, err = tx.open("invite", i.ID, "auth", auth); err != nil {
		return i, err
	}
	number, err = tx.open("invite", i.ID, "number", number)
	i.Auth, i.Number = string(auth), string(number)
	return i, err
}

// Invite gives an invite by its id, or ErrNotFound.
func (tx *Tx) Invite(id int64) (securejoin.Invite, error) {
	return tx.oneInvite(selectInvite+`WHERE id = ?`, id)
}

// InviteByAuth gives the invite with an AUTH, live or ended, or ErrNotFound.
func (tx *Tx) InviteByAuth(auth string) (securejoin.Invite, error) {
	return tx.oneInvite(selectInvite+`WHERE auth_hash = ?`, tx.authHash(auth))
}

func (tx *Tx) oneInvite(query string, args ...any) (securejoin.Invite, error) {
	i, err := tx.scanInvite(tx.queryRow(query, args...).Scan)
	if err != nil {
		return i, err
	}
	byID := map[int64]*securejoin.Invite{i.ID: &i}
	return i, tx.inviteLists(byID, `WHERE invite_id = ?`, i.ID)
}

// Invites gives all invites: those that are live at a time and then the ended ones, each
// newest first.
func (tx *Tx) Invites(now time.Time) ([]securejoin.Invite, error) {
	return tx.invites(``, selectInvite+newestFirst, unix(now))
}

// CountInvites counts the invites that are live at a time.
func (tx *Tx) CountInvites(now time.Time) (n int, err error) {
	err = tx.queryRow(`SELECT count(*) FROM invite WHERE NOT `+ended, unix(now)).Scan(&n)
	return n, err
}

// InvitesByNumber gives the invites with an INVITENUMBER, in the order of Invites. Other
// programs use one for all invites of a chat.
func (tx *Tx) InvitesByNumber(number string, now time.Time) ([]securejoin.Invite, error) {
	return tx.invites(`WHERE invite_id IN (SELECT id FROM invite WHERE number_hash = ?2)`,
		selectInvite+`WHERE number_hash = ?2 `+newestFirst, unix(now), tx.numberHash(number))
}

// invites runs a query for invites; lists says which of their lists are needed.
func (tx *Tx) invites(lists, query string, args ...any) ([]securejoin.Invite, error) {
	var invites []securejoin.Invite
	err := tx.query(func(scan func(...any) error) error {
		i, err := tx.scanInvite(scan)
		invites = append(invites, i)
		return err
	}, query, args...)
	if err != nil || len(invites) == 0 {
		return nil, err
	}
	byID := make(map[int64]*securejoin.Invite, len(invites))
	for n := range invites {
		byID[invites[n].ID] = &invites[n]
	}
	if lists == `` {
		args = nil
	}
	return invites, tx.inviteLists(byID, lists, args...)
}

// inviteLists fills in uses, who asks, and answers.
func (tx *Tx) inviteLists(invites map[int64]*securejoin.Invite, where string, args ...any) error {
	return errors.Join(
		tx.inviteUses(invites, where, args...),
		tx.inviteAsking(invites, where, args...),
		tx.inviteAnswers(invites, where, args...),
	)
}

func (tx *Tx) inviteUses(invites map[int64]*securejoin.Invite, where string, args ...any) error {
	return tx.query(func(scan func(...any) error) error {
		var id, at int64
		var u securejoin.Use
		if err := scan(&id, &u.Fingerprint, &u.Addr, &at); err != nil {
			return err
		}
		u.At = fromUnix(at)
		if i := invites[id]; i != nil {
			i.Uses = append(i.Uses, u)
		}
		return nil
	}, `SELECT invite_id, fpr, addr, at FROM invite_use `+where+` ORDER BY at, addr, fpr`, args...)
}

func (tx *Tx) inviteAsking(invites map[int64]*securejoin.Invite, where string, args ...any) error {
	return tx.query(func(scan func(...any) error) error {
		var id, at int64
		var a securejoin.Asking
		var name []byte
		if err := scan(&id, &a.Fingerprint, &a.Addr, &name, &a.How, &at); err != nil {
			return err
		}
		if len(name) > 0 {
			plain, err := tx.open("invite_asking", askingKey(id, a.Fingerprint, a.Addr), "name", name)
			if err != nil {
				return err
			}
			a.Name = string(plain)
		}
		a.At = fromUnix(at)
		if i := invites[id]; i != nil {
			i.Asking = append(i.Asking, a)
		}
		return nil
	}, `SELECT invite_id, fpr, addr, name, how, at FROM invite_asking `+where+` ORDER BY at, addr, fpr`, args...)
}

// askingKey is a row of invite_asking for its seal.
func askingKey(invite int64, fpr pgp.Fingerprint, addr string) string {
	return fmt.Sprintf("%d %s %s", invite, fpr, addr)
}

func (tx *Tx) inviteAnswers(invites map[int64]*securejoin.Invite, where string, args ...any) error {
	return tx.query(func(scan func(...any) error) error {
		var id, at int64
		var a securejoin.Answer
		if err := scan(&id, &a.Step, &a.Addr, &at); err != nil {
			return err
		}
		a.At = fromUnix(at)
		if i := invites[id]; i != nil {
			i.Answers = append(i.Answers, a)
		}
		return nil
	}, `SELECT invite_id, step, addr, at FROM invite_answer `+where+` ORDER BY id`, args...)
}

// ended tells tombstones from live invites.
const ended = `(revoked > 0 OR (expires > 0 AND expires <= ?1)
	OR (once AND EXISTS (SELECT 1 FROM invite_use u WHERE u.invite_id = invite.id)))`

// PutInvite stores what a handshake changed: uses, who asks, answers and the last note. What
// the user decided, such as to revoke it, is not touched: it may be newer than the copy at hand.
func (tx *Tx) PutInvite(i securejoin.Invite) error {
	if err := tx.execOne(`UPDATE invite SET noted_at = max(noted_at, ?) WHERE id = ?`, unix(i.Noted), i.ID); err != nil {
		return err
	}
	return errors.Join(tx.putUses(i), tx.putAsking(i), tx.putAnswers(i))
}

// putUses adds the joins that are new, which are the last, and forgets the oldest beyond
// securejoin.MaxUses.
func (tx *Tx) putUses(i securejoin.Invite) error {
	for _, u := range slices.Backward(i.Uses) {
		res, err := tx.exec(`INSERT OR IGNORE INTO invite_use (invite_id, fpr, addr, at) VALUES (?, ?, ?, ?)`,
			i.ID, u.Fingerprint, u.Addr, unix(u.At))
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil {
			return err
		} else if n == 0 {
			break // this one is known, and so are those before it
		}
	}
	if len(i.Uses) < securejoin.MaxUses {
		return nil
	}
	_, err := tx.exec(`DELETE FROM invite_use WHERE invite_id = ?1 AND (fpr, addr) IN (
		SELECT fpr, addr FROM invite_use WHERE invite_id = ?1 ORDER BY at DESC, addr DESC, fpr DESC LIMIT -1 OFFSET ?2)`,
		i.ID, securejoin.MaxUses)
	return err
}

// putAsking adds who has come to wait. At a revoked invite nobody waits.
func (tx *Tx) putAsking(i securejoin.Invite) error {
	for _, a := range i.Asking {
		name := []byte{}
		if a.Name != "" {
			name = tx.seal("invite_asking", askingKey(i.ID, a.Fingerprint, a.Addr), "name", []byte(a.Name))
		}
		_, err := tx.exec(`INSERT OR IGNORE INTO invite_asking (invite_id, fpr, addr, name, how, at)
			SELECT id, ?, ?, ?, ?, ? FROM invite WHERE id = ? AND revoked = 0`,
			a.Fingerprint, a.Addr, name, a.How, unix(a.At), i.ID)
		if err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) putAnswers(i securejoin.Invite) error {
	if _, err := tx.exec(`DELETE FROM invite_answer WHERE invite_id = ?`, i.ID); err != nil {
		return err
	}
	for _, a := range i.Answers {
		_, err := tx.exec(`INSERT INTO invite_answer (invite_id, step, addr, at) VALUES (?, ?, ?, ?)`,
			i.ID, a.Step, a.Addr, unix(a.At))
		if err != nil {
			return err
		}
	}
	return nil
}

// DropAsking ends a joiner's wait, as the user decided. ErrNotFound: nobody waits by that key
// and address.
func (tx *Tx) DropAsking(id int64, fpr pgp.Fingerprint, addr string) error {
	return tx.execOne(`DELETE FROM invite_asking WHERE invite_id = ? AND fpr = ? AND addr = ?`, id, fpr, addr)
}

// RevokeInvite ends an invite. One that is revoked keeps its date. Nobody waits at it any more.
func (tx *Tx) RevokeInvite(id int64, at time.Time) error {
	err := tx.execOne(`UPDATE invite SET revoked = CASE revoked WHEN 0 THEN ? ELSE revoked END WHERE id = ?`, unix(at), id)
	if err != nil {
		return err
	}
	_, err = tx.exec(`DELETE FROM invite_asking WHERE invite_id = ?`, id)
	return err
}

// ReviveInvite makes an invite good again, until a time (zero: for ever). Only the user does it.
func (tx *Tx) ReviveInvite(id int64, expires time.Time) error {
	return tx.execOne(`UPDATE invite SET revoked = 0, noted_at = 0, expires = ? WHERE id = ?`, unix(expires), id)
}

// PruneInvites forgets invites that ended before a time; see securejoin.Tombstone. When one has
// ended, Invite.Ended says.
func (tx *Tx) PruneInvites(before time.Time) error {
	const forgotten = `CASE
		WHEN revoked > 0 THEN revoked < ?1
		WHEN once AND EXISTS (SELECT 1 FROM invite_use u WHERE u.invite_id = invite.id)
			THEN (SELECT min(at) FROM invite_use u WHERE u.invite_id = invite.id) < ?1
		ELSE expires > 0 AND expires < ?1 END`
	bundles, err := tx.bundlesOf(forgotten, unix(before))
	if err != nil || len(bundles) == 0 {
		return err
	}
	if _, err := tx.exec(`DELETE FROM invite WHERE `+forgotten, unix(before)); err != nil {
		return err
	}
	for _, id := range bundles {
		err = errors.Join(err, tx.bundle(id))
	}
	return err
}

// hashNumbers fills in the hashes that invites of the first schema lack.
func hashNumbers(tx *Tx) error {
	invites, err := tx.invites(``, selectInvite+`WHERE number_hash = x''`)
	for _, i := range invites {
		if err := tx.execOne(`UPDATE invite SET number_hash = ? WHERE id = ?`, tx.numberHash(i.Number), i.ID); err != nil {
			return err
		}
	}
	return err
}
