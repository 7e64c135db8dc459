package db

import (
	"iter"
	"math"
	"strconv"
	"strings"
	"time"
)

// InviteSecret is what is tried on a symmetric message.
type InviteSecret struct {
	ID   int64
	Auth string
}

// InviteSecrets gives the AUTH of every invite and nothing else of them, the live ones first, each
// as they were made last. There may be thousands, and every symmetric message asks for them: no
// sorting, and no more is read than is asked for, but for the rest of a page.
func (tx *Tx) InviteSecrets(now time.Time) iter.Seq2[InviteSecret, error] {
	return func(yield func(InviteSecret, error) bool) {
		seals := tx.unsealer("invite", "auth")
		for _, which := range []string{`NOT ` + ended, ended} {
			for before := int64(math.MaxInt64); before > 0; {
				page, err := tx.secretsPage(which, now, before)
				if err != nil {
					yield(InviteSecret{}, err)
					return
				}
				for s, err := range page.open(seals) {
					if !yield(s, err) || err != nil {
						return
					}
				}
				before = page.before
			}
		}
	}
}

// secretsPage are sealed secrets that came as one row: to go into SQLite and back for each of
// them costs three times as much as to read it.
type secretsPage struct {
	ids, sizes string // comma separated
	sealed     []byte // one behind the other
	before     int64  // the least id; 0: there are no more
}

// maxSecretsPage is how many are read at a time: about half a millisecond's trials.
const maxSecretsPage = 512

// secretsPage reads the next secrets before an id. A blob that is cast to text keeps its bytes, as
// group_concat does; were it otherwise, they would not open.
func (tx *Tx) secretsPage(which string, now time.Time, before int64) (p secretsPage, err error) {
	err = tx.queryRow(`SELECT ifnull(min(id), 0), ifnull(group_concat(id), ''), ifnull(group_concat(length(auth)), ''),
		CAST(group_concat(CAST(auth AS TEXT), '') AS BLOB)
		FROM (SELECT id, auth FROM invite WHERE id < ?2 AND `+which+` ORDER BY id DESC LIMIT ?3)`,
		unix(now), before, maxSecretsPage).Scan(&p.before, &p.ids, &p.sizes, &p.sealed)
	return p, err
}

// open gives the secrets of a page.
func (p secretsPage) open(seals *unsealer) iter.Seq2[InviteSecret, error] {
	return func(yield func(InviteSecret, error) bool) {
		for p.ids != "" {
			s := InviteSecret{ID: cutNumber(&p.ids)}
			size := min(int(cutNumber(&p.sizes)), len(p.sealed))
			auth, err := seals.open(s.ID, p.sealed[:size])
			p.sealed = p.sealed[size:]
			s.Auth = string(auth)
			if !yield(s, err) {
				return
			}
		}
	}
}

// cutNumber takes the first number off a list that SQLite wrote.
func cutNumber(list *string) (n int64) {
	var number string
	number, *list, _ = strings.Cut(*list, ",")
	n, _ = strconv.ParseInt(number, 10, 64) // a wrong one opens nothing
	return n
}
