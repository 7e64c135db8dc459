package db

import (
	"fmt"
	"time"

	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// AddJoin stores a new join and gives its id.
func (tx *Tx) AddJoin(j securejoin.Join) (int64, error) {
	id, err := tx.insert(`INSERT INTO join_ (link, auth_hash, fpr, state, addr, replaces, started, updated, way, observed)
		VALUES (x'', ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		tx.authHash(j.Link.Auth), j.Link.Fingerprint, j.State.String(), j.Addr, j.Replaces,
		unix(j.Started), unix(j.Updated), j.Way, j.Observed)
	if err != nil {
		return 0, err
	}
	link := tx.seal("join_", id, "link", []byte(j.Link.String()))
	return id, tx.execOne(`UPDATE join_ SET link = ? WHERE id = ?`, link, id)
}

const selectJoin = `SELECT id, link, state, addr, claim, replaces, resent, started, updated, request_message_id, reason,
	way, observed FROM join_ `

func (tx *Tx) scanJoin(scan func(...any) error) (securejoin.Join, error) {
	var j securejoin.Join
	var link []byte
	var state string
	var started, updated int64
	err := scan(&j.ID, &link, &state, &j.Addr, &j.Claim, &j.Replaces, &j.Resent,
		&started, &updated, &j.RequestMessageID, &j.Reason, &j.Way, &j.Observed)
	if err != nil {
		return j, err
	}
	j.Started, j.Updated = fromUnix(started), fromUnix(updated)
	if link, err = tx.open("join_", j.ID, "link", link); err != nil {
		return j, err
	}
	var known bool
	if j.State, known = securejoin.ParseJoinState(state); !known {
		return j, fmt.Errorf("%w: join %d has an unknown state", ErrCorrupt, j.ID)
	}
	j.Link, err = securejoin.ParseLink(string(link))
	return j, err
}

// Join gives a join by its id, or ErrNotFound.
func (tx *Tx) Join(id int64) (securejoin.Join, error) {
	return tx.scanJoin(tx.queryRow(selectJoin+`WHERE id = ?`, id).Scan)
}

// Joins gives all joins, newest first.
func (tx *Tx) Joins() ([]securejoin.Join, error) {
	return tx.joins(selectJoin + `ORDER BY id DESC`)
}

// PendingJoins gives the joins that wait for their inviter, newest first.
func (tx *Tx) PendingJoins() ([]securejoin.Join, error) {
	return tx.joins(selectJoin + `WHERE state IN ('requested', 'authenticating') ORDER BY id DESC`)
}

// JoinSecrets gives the secrets of all joins that are remembered, those that wait first, each
// newest first. An ended join's is among them: another device of the inviter may answer late,
// and its answer must be known for what it is.
func (tx *Tx) JoinSecrets() ([]securejoin.Proof, error) {
	joins, err := tx.joins(selectJoin + `ORDER BY state IN ('completed', 'failed'), id DESC`)
	proofs := make([]securejoin.Proof, len(joins))
	for n, j := range joins {
		proofs[n] = j.Link.Proof()
	}
	return proofs, err
}

// JoinsByKey gives the joins, in any state, of invites with a fingerprint, newest first.
func (tx *Tx) JoinsByKey(fpr pgp.Fingerprint) ([]securejoin.Join, error) {
	return tx.joins(selectJoin+`WHERE fpr = ? ORDER BY id DESC`, fpr)
}

// JoinOf gives the newest join of the invite in a link that waits or is completed, or
// ErrNotFound: joining twice is once.
func (tx *Tx) JoinOf(l securejoin.Link) (securejoin.Join, error) {
	return tx.scanJoin(tx.queryRow(selectJoin+`WHERE fpr = ? AND auth_hash = ? AND state <> 'failed'
		ORDER BY id DESC LIMIT 1`, l.Fingerprint, tx.authHash(l.Auth)).Scan)
}

func (tx *Tx) joins(query string, args ...any) ([]securejoin.Join, error) {
	var joins []securejoin.Join
	err := tx.query(func(scan func(...any) error) error {
		j, err := tx.scanJoin(scan)
		joins = append(joins, j)
		return err
	}, query, args...)
	return joins, err
}

// PutJoin stores what changed in a join. Its link, its way and its start do not.
func (tx *Tx) PutJoin(j securejoin.Join) error {
	return tx.execOne(`UPDATE join_ SET state = ?, addr = ?, claim = ?, resent = ?, updated = ?,
		request_message_id = ?, reason = ? WHERE id = ?`,
		j.State.String(), j.Addr, j.Claim, j.Resent, unix(j.Updated), j.RequestMessageID, j.Reason, j.ID)
}

// JoinOver reports whether a message is the last step of a join that has failed: nobody waits
// for its answer.
func (tx *Tx) JoinOver(messageID string) (bool, error) {
	var n int
	err := tx.queryRow(`SELECT count(*) FROM join_ WHERE request_message_id = ? AND state = 'failed'`, messageID).Scan(&n)
	return n > 0, err
}

// PruneJoins forgets joins that ended before a time. Until then their secrets are remembered,
// so that a late answer is known for what it is.
func (tx *Tx) PruneJoins(before time.Time) error {
	_, err := tx.exec(`DELETE FROM join_ WHERE state IN ('completed', 'failed') AND updated < ?`, unix(before))
	return err
}
