package db

import (
	"database/sql"
	"time"

	"mailbridge/securejoin"
)

// authHash finds an AUTH without it being in the file.
func (tx *Tx) authHash(auth string) []byte { return tx.Hash("auth", auth) }

// AddInvite stores a new invite and gives its id.
func (tx *Tx) AddInvite(i securejoin.Invite) (int64, error) {
	id, err := tx.insert(`INSERT INTO invite
			(kind, grp, auth, auth_hash, number, created, expires, once, shared, ask, revoked, noted_at)
		VALUES (?, ?, x'', ?, x'', ?, ?, ?, ?, ?, ?, ?)`,
		i.Kind.String(), i.GroupID, tx.authHash(i.Auth), unix(i.Created), unix(i.Expires),
		i.Once, i.Shared, i.Ask, unix(i.Revoked), unix(i.Noted))
	if err != nil {
		return 0, err
	}
	// The row's id is part of the seal.
	err = tx.execOne(`UPDATE invite SET auth = ?, number = ? WHERE id = ?`,
		tx.seal("invite", id, "auth", []byte(i.Auth)), tx.seal("invite", id, "number", []byte(i.Number)), id)
	return id, err
}

const selectInvite = `SELECT id, kind, grp, auth, number, created, expires, once, shared, ask, revoked, noted_at
	FROM invite `

// newestFirst puts live invites before tombstones, each newest first.
const newestFirst = `ORDER BY ` + ended + `, created DESC, id DESC`

func (tx *Tx) scanInvite(scan func(...any) error) (securejoin.Invite, error) {
	var i securejoin.Invite
	var kind string
	var auth, number []byte
	var created, expires, revoked, noted int64
	err := scan(&i.ID, &kind, &i.GroupID, &auth, &number, &created, &expires,
		&i.Once, &i.Shared, &i.Ask, &revoked, &noted)
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
	var invites []securejoin.Invite
	err := tx.query(func(scan func(...any) error) error {
		i, err := tx.scanInvite(scan)
		invites = append(invites, i)
		return err
	}, selectInvite+newestFirst, unix(now))
	if err != nil {
		return nil, err
	}
	byID := make(map[int64]*securejoin.Invite, len(invites))
	for n := range invites {
		byID[invites[n].ID] = &invites[n]
	}
	return invites, tx.inviteLists(byID, ``)
}

// inviteLists fills in uses and answers.
func (tx *Tx) inviteLists(invites map[int64]*securejoin.Invite, where string, args ...any) error {
	err := tx.query(func(scan func(...any) error) error {
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
	if err != nil {
		return err
	}
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

// InviteSecret is what is tried on a symmetric message.
type InviteSecret struct {
	ID   int64
	Auth string
}

// ended tells tombstones from live invites.
const ended = `(revoked > 0 OR (expires > 0 AND expires <= ?1)
	OR (once AND EXISTS (SELECT 1 FROM invite_use u WHERE u.invite_id = invite.id)))`

// InviteSecrets gives the AUTH of every invite and nothing else of them, the live ones first, each
// as they were made last. There may be thousands, and every symmetric message asks for them: no
// sorting, and nothing made anew for each row but its secret.
func (tx *Tx) InviteSecrets(now time.Time) ([]InviteSecret, error) {
	var secrets []InviteSecret
	var id any // a driver's value is handed over as it is, and sealed without a copy
	var sealed sql.RawBytes
	into := []any{&id, &sealed}
	seals := tx.unsealer("invite", "auth")
	add := func(scan func(...any) error) error {
		if err := scan(into...); err != nil {
			return err
		}
		s := InviteSecret{ID: id.(int64)}
		auth, err := seals.open(s.ID, sealed)
		s.Auth = string(auth)
		secrets = append(secrets, s)
		return err
	}
	for _, which := range []string{`NOT ` + ended, ended} {
		if err := tx.query(add, `SELECT id, auth FROM invite WHERE `+which+` ORDER BY id DESC`, unix(now)); err != nil {
			return nil, err
		}
	}
	return secrets, nil
}

// PutInvite stores what a handshake changed: uses, answers and the last note. What the user
// decided, such as to revoke it, is not touched: it may be newer than the copy at hand.
func (tx *Tx) PutInvite(i securejoin.Invite) error {
	if err := tx.execOne(`UPDATE invite SET noted_at = max(noted_at, ?) WHERE id = ?`, unix(i.Noted), i.ID); err != nil {
		return err
	}
	for _, u := range i.Uses {
		_, err := tx.exec(`INSERT OR IGNORE INTO invite_use (invite_id, fpr, addr, at) VALUES (?, ?, ?, ?)`,
			i.ID, u.Fingerprint, u.Addr, unix(u.At))
		if err != nil {
			return err
		}
	}
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

// RevokeInvite ends an invite. One that is revoked keeps its date.
func (tx *Tx) RevokeInvite(id int64, at time.Time) error {
	return tx.execOne(`UPDATE invite SET revoked = CASE revoked WHEN 0 THEN ? ELSE revoked END WHERE id = ?`, unix(at), id)
}

// PruneInvites forgets invites that ended before a time; see securejoin.Tombstone.
func (tx *Tx) PruneInvites(before time.Time) error {
	_, err := tx.exec(`DELETE FROM invite WHERE (revoked > 0 AND revoked < ?1) OR (expires > 0 AND expires < ?1)
		OR (once AND EXISTS (SELECT 1 FROM invite_use u WHERE u.invite_id = invite.id AND u.at < ?1))`, unix(before))
	return err
}
