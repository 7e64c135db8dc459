package db

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"mailbridge/pgp"
	"mailbridge/securejoin"
)

const (
	aliceFpr pgp.Fingerprint = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	bobFpr   pgp.Fingerprint = "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"
)

// addInvite stores a new invite.
func addInvite(t testing.TB, db *DB, created, expires time.Time, once bool) securejoin.Invite {
	t.Helper()
	i, err := securejoin.NewInvite(rand.Reader, created, securejoin.InviteOptions{Expires: expires, Once: once})
	if err != nil {
		t.Fatal(err)
	}
	update(t, db, func(tx *Tx) (err error) {
		i.ID, err = tx.AddInvite(i)
		return err
	})
	return i
}

func TestInviteRows(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	i := addInvite(t, db, day(1), day(8), true)
	i.Uses = []securejoin.Use{{Fingerprint: bobFpr, Addr: bobAddr, At: day(2)}}
	i.Answers = []securejoin.Answer{{Step: securejoin.Pubkey, Addr: bobAddr, At: day(2)}, {Step: securejoin.ContactConfirm, Addr: bobAddr, At: day(3)}}
	i.Asking = []securejoin.Asking{
		{Fingerprint: aliceFpr, Addr: bobAddr, Name: "Bob", How: securejoin.HowV3, At: day(2)},
		{Fingerprint: bobFpr, Addr: bobAddr, How: securejoin.HowLegacy, At: day(3)},
	}
	i.Noted = day(4)
	update(t, db, func(tx *Tx) error { return tx.PutInvite(i) })
	update(t, db, func(tx *Tx) error { return tx.PutInvite(i) })
	update(t, db, func(tx *Tx) error {
		byID, err1 := tx.Invite(i.ID)
		byAuth, err2 := tx.InviteByAuth(i.Auth)
		all, err3 := tx.Invites(day(2))
		byNumber, err4 := tx.InvitesByNumber(i.Number, day(2))
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			return err
		}
		if len(all) != 1 || len(byNumber) != 1 {
			t.Errorf("%d invites, %d by number", len(all), len(byNumber))
		}
		for _, got := range append(append(all, byNumber...), byID, byAuth) {
			if !reflect.DeepEqual(got, i) {
				t.Errorf("got %+v\nwant %+v", got, i)
			}
		}
		for _, auth := range []string{i.Number, "", "another-token"} {
			if _, err := tx.InviteByAuth(auth); !errors.Is(err, ErrNotFound) {
				t.Errorf("by %q: %v", auth, err)
			}
		}
		if err := tx.PutInvite(securejoin.Invite{ID: 99}); !errors.Is(err, ErrNotFound) {
			t.Errorf("unknown: %v", err)
		}
		return nil
	})
}

// TestInviteOptions: what the user asked for is kept.
func TestInviteOptions(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	for _, o := range []securejoin.InviteOptions{
		{Kind: securejoin.Group, GroupID: "group-id-group", Ask: true, Legacy: true},
		{Kind: securejoin.Channel, GroupID: "channel-id-channel", Shared: true, Way: securejoin.WayPrinted},
		{Once: true, For: bobAddr, Way: securejoin.WayMailed, Expires: day(9)},
	} {
		i, err := securejoin.NewInvite(rand.Reader, day(1), o)
		if err != nil {
			t.Fatal(err)
		}
		update(t, db, func(tx *Tx) (err error) {
			i.ID, err = tx.AddInvite(i)
			return err
		})
		update(t, db, func(tx *Tx) error {
			got, err := tx.Invite(i.ID)
			if !reflect.DeepEqual(got, i) {
				t.Errorf("got %+v\nwant %+v", got, i)
			}
			return err
		})
	}
}

// TestInvitesByNumber: several invites may have one number; those that are live come first.
func TestInvitesByNumber(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	var ids []int64
	for n, number := range []string{"AAAAAAAAAAAAAAAAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAAA", "BBBBBBBBBBBBBBBBBBBBBBBB"} {
		i := securejoin.Invite{Auth: rand.Text()[:24], Number: number, Created: day(n + 1)}
		update(t, db, func(tx *Tx) (err error) {
			i.ID, err = tx.AddInvite(i)
			return err
		})
		i.Uses = []securejoin.Use{{Fingerprint: bobFpr, Addr: bobAddr, At: day(n + 1)}}
		update(t, db, func(tx *Tx) error { return tx.PutInvite(i) })
		ids = append(ids, i.ID)
	}
	update(t, db, func(tx *Tx) error { return tx.RevokeInvite(ids[1], day(4)) })
	update(t, db, func(tx *Tx) error {
		got, err := tx.InvitesByNumber("AAAAAAAAAAAAAAAAAAAAAAAA", day(5))
		if len(got) != 2 || got[0].ID != ids[0] || got[1].ID != ids[1] || len(got[0].Uses) != 1 || len(got[1].Uses) != 1 {
			t.Errorf("got %+v", got)
		}
		none, err2 := tx.InvitesByNumber("CCCCCCCCCCCCCCCCCCCCCCCC", day(5))
		if len(none) != 0 {
			t.Errorf("of an unknown number: %+v", none)
		}
		return errors.Join(err, err2)
	})
}

// TestReviveAndAccept: what the user decided stands, whatever copy a handshake has at hand.
func TestReviveAndAccept(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	stale := addInvite(t, db, day(1), day(8), false)
	stale.Asking = []securejoin.Asking{{Fingerprint: bobFpr, Addr: bobAddr, At: day(2)}}
	stale.Noted = day(3)
	update(t, db, func(tx *Tx) error {
		return errors.Join(tx.PutInvite(stale), tx.DropAsking(stale.ID, bobFpr, bobAddr))
	})
	update(t, db, func(tx *Tx) error {
		if err := tx.DropAsking(stale.ID, bobFpr, bobAddr); !errors.Is(err, ErrNotFound) {
			t.Errorf("dropped twice: %v", err)
		}
		return errors.Join(tx.PutInvite(stale), tx.RevokeInvite(stale.ID, day(4)), tx.PutInvite(stale))
	})
	update(t, db, func(tx *Tx) error {
		i, err := tx.Invite(stale.ID)
		if len(i.Asking) != 0 || i.State(day(4)) != securejoin.Revoked {
			t.Errorf("revoked: %+v", i)
		}
		return errors.Join(err, tx.ReviveInvite(stale.ID, day(20)))
	})
	update(t, db, func(tx *Tx) error {
		i, err := tx.Invite(stale.ID)
		if i.State(day(9)) != securejoin.Live || !i.Expires.Equal(day(20)) || !i.Noted.IsZero() {
			t.Errorf("revived: %+v", i)
		}
		if err := tx.ReviveInvite(99, day(20)); !errors.Is(err, ErrNotFound) {
			t.Errorf("unknown: %v", err)
		}
		return err
	})
}

// TestInviteOrder: live ones newest first, then what has ended.
func TestInviteOrder(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	expired := addInvite(t, db, day(5), day(6), false)
	old := addInvite(t, db, day(1), time.Time{}, false)
	revoked := addInvite(t, db, day(7), day(99), false)
	young := addInvite(t, db, day(3), day(99), false)
	used := addInvite(t, db, day(4), day(99), true)
	used.Uses = []securejoin.Use{{Fingerprint: bobFpr, Addr: bobAddr, At: day(4)}}
	update(t, db, func(tx *Tx) error {
		return errors.Join(tx.RevokeInvite(revoked.ID, day(8)), tx.PutInvite(used))
	})
	update(t, db, func(tx *Tx) error {
		var got []int64
		all, err := tx.Invites(day(6))
		if err != nil {
			return err
		}
		for _, i := range all {
			got = append(got, i.ID)
		}
		if want := []int64{young.ID, old.ID, revoked.ID, expired.ID, used.ID}; !reflect.DeepEqual(got, want) {
			t.Errorf("order %v, want %v", got, want)
		}
		if n, err := tx.CountInvites(day(6)); n != 2 || err != nil {
			t.Errorf("%d are live, %v", n, err)
		}
		// The secrets come without being sorted by what the user sees: the last one made first.
		var secrets, want []InviteSecret
		for s, err := range tx.InviteSecrets() {
			if err != nil {
				t.Error(err)
			}
			secrets = append(secrets, s)
		}
		for _, i := range []securejoin.Invite{young, old, used, revoked, expired} {
			want = append(want, InviteSecret{i.ID, i.Auth})
		}
		slices.SortFunc(want, func(a, b InviteSecret) int { return cmp.Compare(b.ID, a.ID) })
		if !reflect.DeepEqual(secrets, want) {
			t.Errorf("secrets %v, want %v", secrets, want)
		}
		for s := range tx.InviteSecrets() {
			if s != want[0] {
				t.Errorf("%v after the first one, which was enough", s)
			}
			break
		}
		return err
	})
}

// TestInviteSecrets: more secrets than one bundle holds come all and once, and who has seen enough,
// at whatever place, can go on with the transaction. What is forgotten is in no bundle any more.
func TestInviteSecrets(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	var want []InviteSecret // the last one made first
	update(t, db, func(tx *Tx) error {
		for n := range 3 * bundleSize {
			i, err := securejoin.NewInvite(rand.Reader, day(1), securejoin.InviteOptions{})
			if err != nil {
				return err
			}
			if n%3 == 0 || n < bundleSize {
				i = i.Revoke(day(2))
			}
			if i.ID, err = tx.AddInvite(i); err != nil {
				return err
			}
			want = slices.Insert(want, 0, InviteSecret{i.ID, i.Auth})
		}
		return nil
	})
	update(t, db, func(tx *Tx) error {
		for _, enough := range []int{1, bundleSize - 1, bundleSize, bundleSize + 1, len(want)} {
			if got := secretsOf(t, tx, enough); !slices.Equal(got, want[:enough]) {
				t.Errorf("%d of %d are others", len(got), enough)
			}
		}
		return tx.PruneInvites(day(3))
	})
	update(t, db, func(tx *Tx) error {
		want = slices.DeleteFunc(want, func(s InviteSecret) bool {
			_, err := tx.InviteByAuth(s.Auth)
			return errors.Is(err, ErrNotFound)
		})
		if got := secretsOf(t, tx, len(want)+1); len(got) < bundleSize || !slices.Equal(got, want) {
			t.Errorf("%d secrets of %d invites", len(got), len(want))
		}
		return nil
	})
}

// secretsOf reads some secrets.
func secretsOf(t *testing.T, tx *Tx, enough int) (got []InviteSecret) {
	t.Helper()
	for s, err := range tx.InviteSecrets() {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, s); len(got) == enough {
			break
		}
	}
	return got
}

// TestRevocationWins: a handshake that was under way with an older copy does not lift it.
func TestRevocationWins(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	stale := addInvite(t, db, day(1), day(8), false)
	update(t, db, func(tx *Tx) error { return tx.RevokeInvite(stale.ID, day(2)) })
	update(t, db, func(tx *Tx) error { return errors.Join(tx.PutInvite(stale), tx.RevokeInvite(stale.ID, day(3))) })
	update(t, db, func(tx *Tx) error {
		i, err := tx.Invite(stale.ID)
		if !i.Revoked.Equal(day(2)) {
			t.Errorf("revoked at %v", i.Revoked)
		}
		if err := tx.RevokeInvite(99, day(3)); !errors.Is(err, ErrNotFound) {
			t.Errorf("unknown: %v", err)
		}
		return err
	})
}

func TestPruneInvites(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	addInvite(t, db, day(1), day(2), false)
	gone := addInvite(t, db, day(1), day(99), false)
	used := addInvite(t, db, day(1), day(99), true)
	used.Uses = []securejoin.Use{{Fingerprint: bobFpr, Addr: bobAddr, At: day(3)}}
	live := addInvite(t, db, day(1), time.Time{}, false)
	late := addInvite(t, db, day(1), day(6), false)
	old := addInvite(t, db, day(1), day(2), false) // expired long ago, and revoked lately
	update(t, db, func(tx *Tx) error { return tx.RevokeInvite(old.ID, day(5)) })
	update(t, db, func(tx *Tx) error {
		return errors.Join(tx.RevokeInvite(gone.ID, day(3)), tx.PutInvite(used), tx.PruneInvites(day(5)))
	})
	update(t, db, func(tx *Tx) error {
		all, err := tx.Invites(day(5))
		if len(all) != 3 || all[0].ID != late.ID || all[1].ID != live.ID || all[2].ID != old.ID {
			t.Errorf("left %+v", all)
		}
		return err
	})
}

func TestJoinRows(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	link := securejoin.Link{Fingerprint: aliceFpr, Addr: "alice@example.org", Relays: []string{"alice@relay.example"}, Name: "Älice",
		Auth: "AAAAAAAAAAAAAAAAAAAAAAAA", Number: "BBBBBBBBBBBBBBBBBBBBBBBB", V3: true}
	add := func(auth string) securejoin.Join {
		link.Auth = auth
		j := securejoin.Join{Link: link, Addr: link.Addr, Replaces: bobFpr, Started: day(1), Updated: day(1), Way: securejoin.WayShown, Observed: auth[0] == 'D'}
		update(t, db, func(tx *Tx) (err error) {
			j.ID, err = tx.AddJoin(j)
			return err
		})
		return j
	}
	first, second, third := add("AAAAAAAAAAAAAAAAAAAAAAAA"), add("CCCCCCCCCCCCCCCCCCCCCCCC"), add("DDDDDDDDDDDDDDDDDDDDDDDD")
	first.State, first.Addr, first.Claim, first.Resent = securejoin.Completed, "alice@relay.example", true, true
	first.Updated, first.RequestMessageID = day(2), "1@localhost"
	second.State, second.Reason, second.Updated = securejoin.Failed, securejoin.ReasonTimeout, day(9)
	second.RequestMessageID = "2@localhost"
	update(t, db, func(tx *Tx) error { return errors.Join(tx.PutJoin(first), tx.PutJoin(second)) })
	update(t, db, func(tx *Tx) error {
		one, err1 := tx.Join(first.ID)
		all, err2 := tx.Joins()
		pending, err3 := tx.PendingJoins()
		byKey, err4 := tx.JoinsByKey(aliceFpr)
		none, err5 := tx.JoinsByKey(bobFpr)
		again, err6 := tx.JoinOf(first.Link)
		proofs, err7 := tx.JoinSecrets()
		if err := errors.Join(err1, err2, err3, err4, err5, err6, err7); err != nil {
			return err
		}
		whole := []securejoin.Join{third, second, first}
		if !reflect.DeepEqual(one, first) || !reflect.DeepEqual(all, whole) || !reflect.DeepEqual(byKey, whole) || none != nil ||
			!reflect.DeepEqual(pending, []securejoin.Join{third}) || !reflect.DeepEqual(again, first) {
			t.Errorf("one %+v\nall %+v\npending %+v\nagain %+v", one, all, pending, again)
		}
		if want := []securejoin.Proof{third.Link.Proof(), second.Link.Proof(), first.Link.Proof()}; !reflect.DeepEqual(proofs, want) {
			t.Errorf("secrets %v", proofs)
		}
		for id, want := range map[string]bool{"1@localhost": false, "2@localhost": true, "": false} {
			if over, err := tx.JoinOver(id); over != want || err != nil {
				t.Errorf("%q is over: %v, %v", id, over, err)
			}
		}
		if _, err := tx.JoinOf(second.Link); !errors.Is(err, ErrNotFound) {
			t.Errorf("failed join: %v", err)
		}
		if err := tx.PutJoin(securejoin.Join{ID: 99}); !errors.Is(err, ErrNotFound) {
			t.Errorf("unknown: %v", err)
		}
		return tx.PruneJoins(day(5))
	})
	update(t, db, func(tx *Tx) error {
		all, err := tx.Joins()
		if len(all) != 2 || all[1].ID != second.ID {
			t.Errorf("left %+v", all)
		}
		return err
	})
}

func TestHandled(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	mark := func(signer, id string, at time.Time) (first bool) {
		update(t, db, func(tx *Tx) (err error) {
			first, err = tx.MarkHandled(signer, id, at)
			return err
		})
		return first
	}
	if !mark("A", "1@localhost", day(1)) || mark("A", "1@localhost", day(2)) {
		t.Error("a repeat is new, or the first is not")
	}
	if !mark("B", "1@localhost", day(1)) || !mark("A", "2@localhost", day(3)) {
		t.Error("another signer or another message is a repeat")
	}
	update(t, db, func(tx *Tx) error { return tx.PruneHandled(day(2)) })
	if !mark("A", "1@localhost", day(4)) || mark("A", "2@localhost", day(4)) {
		t.Error("pruned too much or too little")
	}
}

// TestNoSecretInFile: neither tokens nor links nor names are in the file or beside it.
func TestNoSecretInFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, err := Open(context.Background(), filepath.Join(dir, "index.db"), NewKey(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	i := addInvite(t, db, day(1), day(8), false)
	link := i.Link(securejoin.Self{Addr: "alice@example.org", Name: "Wunderlich", Fingerprint: aliceFpr})
	peer := NewPeer(bobAddr)
	peer.Name = "Wunderlich"
	i.Asking = []securejoin.Asking{{Fingerprint: bobFpr, Addr: bobAddr, Name: "Waiter", At: day(1)}}
	update(t, db, func(tx *Tx) error { return tx.PutInvite(i) })
	update(t, db, func(tx *Tx) error {
		_, err1 := tx.AddJoin(securejoin.Join{Link: link, Addr: link.Addr})
		_, err2 := tx.MarkHandled(string(bobFpr), "hidden-id@localhost", day(1))
		return errors.Join(err1, err2, tx.PutPeer(peer))
	})
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{i.Auth, i.Number, "Wunderlich", "hidden-id", "Waiter"} {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("%s holds %q", filepath.Base(name), secret)
			}
		}
	}
}

// TestUsesAreBounded: the oldest joins by an invite are forgotten, and the others stay.
func TestUsesAreBounded(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	i := addInvite(t, db, day(1), time.Time{}, false)
	for n := range securejoin.MaxUses {
		i.Uses = append(i.Uses, securejoin.Use{Fingerprint: bobFpr, Addr: fmt.Sprintf("%04d@example.org", n), At: day(2).Add(time.Duration(n) * time.Second)})
	}
	update(t, db, func(tx *Tx) error { return tx.PutInvite(i) })
	i.Uses = append(i.Uses[1:], securejoin.Use{Fingerprint: aliceFpr, Addr: "last@example.org", At: day(3)})
	update(t, db, func(tx *Tx) error {
		err := tx.PutInvite(i)
		got, err2 := tx.Invite(i.ID)
		if !reflect.DeepEqual(got, i) {
			t.Errorf("%d uses, the first %+v", len(got.Uses), got.Uses[0])
		}
		return errors.Join(err, err2)
	})
}
