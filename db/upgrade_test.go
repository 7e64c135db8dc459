package db

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"mailbridge/autocrypt"
	"mailbridge/securejoin"
)

// TestUpgradeFromFirstSchema opens a file as the first release left it: invites, joins and
// contacts are as they were, and an invite is found by its number, which that schema did not do.
func TestUpgradeFromFirstSchema(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "index.db")
	key := NewKey()
	i := securejoin.Invite{Auth: "AAAAAAAAAAAAAAAAAAAAAAAA", Number: "BBBBBBBBBBBBBBBBBBBBBBBB", Created: day(1), Expires: day(8)}
	link := i.Link(securejoin.Self{Addr: "alice@example.org", Name: "Alice", Fingerprint: aliceFpr})
	peer := Peer{
		Peer: autocrypt.Peer{Addr: bobAddr, Cert: bobFpr, Timestamp: day(1), LastSeen: day(1)}, Name: "Bob",
		VerifiedCert: bobFpr, VerifiedAt: day(1), VerifiedHow: securejoin.HowV3, Origin: OriginSecureJoin,
		Candidates: []Candidate{{Fingerprint: aliceFpr, Kind: CandidateClaim, How: securejoin.HowV3, SeenAt: day(2)}},
	}
	firstSchema(t, path, key, i, link, peer)

	db, err := Open(ctx, path, key, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	i.ID = 1
	i.Uses = []securejoin.Use{{Fingerprint: bobFpr, Addr: bobAddr, At: day(2)}}
	update(t, db, func(tx *Tx) error {
		byNumber, err1 := tx.InvitesByNumber(i.Number, day(2))
		if len(byNumber) != 1 || !reflect.DeepEqual(byNumber[0], i) {
			t.Errorf("invites %+v\nwant %+v", byNumber, i)
		}
		if got := secretsOf(t, tx, 2); !slices.Equal(got, []InviteSecret{{i.ID, i.Auth}}) {
			t.Errorf("secrets %v", got)
		}
		j, err2 := tx.Join(1)
		if j.Link.Auth != link.Auth || j.State != securejoin.Requested || j.Way != "" || j.Observed {
			t.Errorf("join %+v", j)
		}
		p, err3 := tx.Peer(bobAddr)
		if !reflect.DeepEqual(p, peer) {
			t.Errorf("contact %+v\nwant %+v", p, peer)
		}
		_, err4 := tx.Groups()
		return errors.Join(err1, err2, err3, err4)
	})
}

// firstSchema writes a file with the statements of the first release.
func firstSchema(t *testing.T, path string, key Key, i securejoin.Invite, link securejoin.Link, p Peer) {
	t.Helper()
	if err := touch(path); err != nil {
		t.Fatal(err)
	}
	db := &DB{writer: connect(path, "rwc", "immediate", Options{}), reader: connect(path, "rw", "deferred", Options{}),
		write: make(chan struct{}, 1), keys: deriveKeys(key)}
	db.write <- struct{}{}
	defer db.Close()
	update(t, db, func(tx *Tx) error {
		run := func(query string, args ...any) {
			if _, err := tx.exec(query, args...); err != nil {
				t.Fatalf("%.60s: %v", query, err)
			}
		}
		run(migrations[0])
		run(`PRAGMA user_version = 1`)
		run(fmt.Sprintf(`PRAGMA application_id = %d`, applicationID))
		run(`INSERT INTO invite (id, kind, auth, auth_hash, number, created, expires) VALUES (1, 'contact', ?, ?, ?, ?, ?)`,
			tx.seal("invite", 1, "auth", []byte(i.Auth)), tx.authHash(i.Auth), tx.seal("invite", 1, "number", []byte(i.Number)),
			unix(i.Created), unix(i.Expires))
		run(`INSERT INTO invite_use (invite_id, fpr, addr, at) VALUES (1, ?, ?, ?)`, bobFpr, bobAddr, unix(day(2)))
		run(`INSERT INTO join_ (id, link, auth_hash, fpr, state, addr, started, updated) VALUES (1, ?, ?, ?, 'requested', ?, ?, ?)`,
			tx.seal("join_", 1, "link", []byte(link.String())), tx.authHash(link.Auth), link.Fingerprint, link.Addr, unix(day(1)), unix(day(1)))
		run(`INSERT INTO peer (addr, name, last_seen, autocrypt_timestamp, cert_fpr, verified_fpr, verified_at, verified_how, origin)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`, p.Addr, tx.seal("peer", p.Addr, "name", []byte(p.Name)), unix(p.LastSeen),
			unix(p.Timestamp), p.Cert, p.VerifiedCert, unix(p.VerifiedAt), p.VerifiedHow, p.Origin)
		c := p.Candidates[0]
		run(`INSERT INTO peer_candidate (addr, fpr, kind, how, seen_at) VALUES (?, ?, ?, ?, ?)`, p.Addr, c.Fingerprint, c.Kind, c.How, unix(c.SeenAt))
		return proveKey(tx)
	})
}
