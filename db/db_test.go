package db

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailbridge/mailbox"
)

// openTest opens a fresh index.
func openTest(t *testing.T) *DB {
	t.Helper()
	db, err := Open(context.Background(), filepath.Join(t.TempDir(), "index.db"), NewKey(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestOpen(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "a directory?", "index #1.db")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	key := NewKey()
	for range 2 {
		db, err := Open(ctx, path, key, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{path, path + "-wal"} {
			if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", name, info, err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if err := db.Update(ctx, func(*Tx) error { return nil }); !errors.Is(err, ErrClosed) {
			t.Errorf("Update after Close: %v", err)
		}
	}
	if _, err := Open(ctx, path, NewKey(), Options{}); !errors.Is(err, ErrLocked) {
		t.Errorf("another key: %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	key := NewKey()
	dir := t.TempDir()

	newer := filepath.Join(dir, "newer.db")
	db, err := Open(ctx, newer, key, Options{})
	if err != nil {
		t.Fatal(err)
	}
	update(t, db, func(tx *Tx) error {
		_, err := tx.exec(fmt.Sprintf(`PRAGMA user_version = %d`, len(migrations)+1))
		return err
	})
	db.Close()
	foreign := filepath.Join(dir, "foreign.db")
	if db, err = Open(ctx, foreign, key, Options{}); err != nil {
		t.Fatal(err)
	}
	update(t, db, func(tx *Tx) error {
		_, err := tx.exec(`PRAGMA application_id = 1`)
		return err
	})
	db.Close()
	garbage := filepath.Join(dir, "garbage.db")
	if err := os.WriteFile(garbage, bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{
		newer: ErrNewer, foreign: ErrCorrupt, garbage: ErrCorrupt, filepath.Join(dir, "none", "x.db"): ErrIO,
	} {
		before, _ := os.ReadFile(path)
		if _, err := Open(ctx, path, key, Options{}); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", filepath.Base(path), err, want)
		}
		if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
			t.Errorf("%s was changed", filepath.Base(path))
		}
	}
}

func TestStrictTables(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	update(t, db, func(tx *Tx) error {
		return tx.query(func(scan func(...any) error) error {
			var name, sql string
			err := scan(&name, &sql)
			if !strings.Contains(sql, "STRICT") && !strings.HasPrefix(name, "sqlite_") {
				t.Errorf("table %s is not STRICT", name)
			}
			return err
		}, `SELECT name, sql FROM sqlite_schema WHERE type = 'table'`)
	})
}

func TestTransactions(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := openTest(t)
	boom := errors.New("boom")
	after := 0
	err := db.Update(ctx, func(tx *Tx) error {
		tx.AfterCommit(func() { after++ })
		if err := tx.SetSetting("a", []byte("1")); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) || after != 0 {
		t.Errorf("failed transaction: %v, after ran %d times", err, after)
	}
	update(t, db, func(tx *Tx) error {
		if ok, err := tx.HasSetting("a"); ok || err != nil {
			t.Errorf("a failed transaction left its mark: %v, %v", ok, err)
		}
		tx.AfterCommit(func() { after++ })
		return tx.SetSetting("a", []byte("2"))
	})
	if after != 1 {
		t.Errorf("after ran %d times", after)
	}
	canceled, cancel := context.WithCancel(ctx)
	err = db.Update(canceled, func(tx *Tx) error {
		cancel()
		return tx.SetSetting("a", []byte("3"))
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("canceled transaction: %v", err)
	}
	err = db.View(ctx, func(tx *Tx) error {
		v, err := tx.Setting("a")
		if string(v) != "2" {
			t.Errorf("a = %q", v)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestSnapshot: a reader sees one state, whatever is written meanwhile.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := openTest(t)
	update(t, db, func(tx *Tx) error { return tx.SetSetting("a", []byte("1")) })
	err := db.View(ctx, func(tx *Tx) error {
		for range 2 {
			if v, err := tx.Setting("a"); string(v) != "1" || err != nil {
				t.Errorf("a = %q, %v", v, err)
			}
			update(t, db, func(tx *Tx) error { return tx.SetSetting("a", []byte("2")) })
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestSeal(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	update(t, db, func(tx *Tx) error {
		sealed := tx.seal("peer", "a@b", "name", []byte("secret"))
		if bytes.Contains(sealed, []byte("secret")) {
			t.Error("not sealed")
		}
		if plain, err := tx.open("peer", "a@b", "name", sealed); err != nil || string(plain) != "secret" {
			t.Errorf("open = %q, %v", plain, err)
		}
		flipped := bytes.Clone(sealed)
		flipped[len(flipped)-1] ^= 1
		for what, c := range map[string]struct {
			table, row, column string
			sealed             []byte
		}{
			"another table": {"cert", "a@b", "name", sealed}, "another row": {"peer", "b@b", "name", sealed},
			"another column": {"peer", "a@b", "policy", sealed}, "a flipped bit": {"peer", "a@b", "name", flipped},
			"cut": {"peer", "a@b", "name", sealed[:20]}, "nothing": {"peer", "a@b", "name", nil},
		} {
			if plain, err := tx.open(c.table, c.row, c.column, c.sealed); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s opens: %q, %v", what, plain, err)
			}
		}
		if bytes.Equal(tx.Hash("a", "x"), tx.Hash("b", "x")) || !bytes.Equal(tx.Hash("a", "x"), tx.Hash("a", "x")) {
			t.Error("Hash does not separate, or is not constant")
		}
		return nil
	})
}

func TestWrapKey(t *testing.T) {
	t.Parallel()
	master, data := NewKey(), NewKey()
	wrapped := WrapKey(master, data)
	if got, err := UnwrapKey(master, wrapped); err != nil || got != data {
		t.Errorf("UnwrapKey: %v", err)
	}
	if _, err := UnwrapKey(NewKey(), wrapped); !errors.Is(err, ErrLocked) {
		t.Errorf("another master key: %v", err)
	}
	if s := fmt.Sprintf("%v %+v %#v %s", data, data, data, data); strings.Trim(s, "[key] ") != "" {
		t.Errorf("a key prints as %q", s)
	}
}

func TestViews(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db := openTest(t)
	now := time.Now()
	for _, size := range []int{0, 1, viewChunk - 1, viewChunk, 2*viewChunk + 1} {
		want := bytes.Repeat([]byte("x"), size)
		var id int64
		update(t, db, func(tx *Tx) (err error) {
			id, err = tx.PutView(want, now)
			return err
		})
		err := db.View(ctx, func(tx *Tx) error {
			got, err := tx.View(id)
			if !bytes.Equal(got, want) {
				t.Errorf("%d octets became %d", size, len(got))
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	var id int64
	update(t, db, func(tx *Tx) (err error) {
		id, err = tx.PutView(bytes.Repeat([]byte("y"), 3*viewChunk), now)
		return err
	})
	for what, damage := range map[string]string{
		"a piece is missing":    `DELETE FROM view_chunk WHERE view_id = ? AND n = 2`,
		"pieces are exchanged":  `UPDATE view_chunk SET n = 1 - n WHERE view_id = ? AND n < 2 AND n = 3`,
		"the size is another":   `UPDATE view SET size = size - 1 WHERE id = ?`,
		"a piece is of another": `UPDATE view_chunk SET data = x'00' WHERE view_id = ? AND n = 0`,
	} {
		err := db.Update(ctx, func(tx *Tx) error {
			if _, err := tx.exec(damage, id); err != nil {
				return err
			}
			if what == "pieces are exchanged" {
				if _, err := tx.exec(`UPDATE view_chunk SET data = (SELECT data FROM view_chunk WHERE view_id = ?1 AND n = 1)
					WHERE view_id = ?1 AND n = 0`, id); err != nil {
					return err
				}
			}
			if got, err := tx.View(id); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s: %d octets, %v", what, len(got), err)
			}
			return errors.New("roll back")
		})
		if err == nil {
			t.Error("not rolled back")
		}
	}
}

// TestFull: a transaction that does not fit leaves nothing, and the next smaller one works.
func TestFull(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	db, err := Open(ctx, filepath.Join(t.TempDir(), "index.db"), NewKey(), Options{MaxBytes: 512 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.Update(ctx, func(tx *Tx) error {
		_, err := tx.PutView(make([]byte, 1<<20), time.Now())
		return err
	})
	if !errors.Is(err, ErrFull) {
		t.Errorf("too much: %v", err)
	}
	update(t, db, func(tx *Tx) error { return tx.SetSetting("a", []byte("b")) })
}

func addMailbox(t *testing.T, db *DB, m Mailbox) Mailbox {
	t.Helper()
	update(t, db, func(tx *Tx) (err error) {
		m, err = tx.AddMailbox(m, time.Now())
		return err
	})
	return m
}

func TestUIDValidityGrows(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	last := uint32(time.Now().Unix()) - 1
	for i := range 20 {
		m := addMailbox(t, db, Mailbox{Name: "a", UpstreamName: "a"})
		if m.UIDValidity <= last {
			t.Fatalf("UIDVALIDITY %d after %d", m.UIDValidity, last)
		}
		last = m.UIDValidity
		update(t, db, func(tx *Tx) error {
			if i%2 == 0 {
				return tx.DeleteMailbox(m.ID, time.Now())
			}
			m.Name, m.UpstreamName = fmt.Sprint("b", i), fmt.Sprint("b", i)
			return tx.RenameMailbox(m, time.Now())
		})
	}
	// A name that had a later UIDVALIDITY gives the renamed mailbox a new one.
	first := addMailbox(t, db, Mailbox{Name: "first", UpstreamName: "first"})
	second := addMailbox(t, db, Mailbox{Name: "second", UpstreamName: "second"})
	update(t, db, func(tx *Tx) error {
		if err := tx.DeleteMailbox(second.ID, time.Now()); err != nil {
			return err
		}
		first.Name, first.UpstreamName = "second", "second"
		if err := tx.RenameMailbox(first, time.Now()); err != nil {
			return err
		}
		m, err := tx.MailboxByName("second")
		if m.UIDValidity <= second.UIDValidity || m.ID != first.ID {
			t.Errorf("renamed: %+v; before %+v", m, second)
		}
		return err
	})
}

func TestMessages(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	box := addMailbox(t, db, Mailbox{Name: "INBOX", UpstreamName: "INBOX"})
	now := time.Now()
	date := time.Date(2024, 2, 29, 1, 2, 3, 0, time.FixedZone("", -5*3600))
	var added []Message
	update(t, db, func(tx *Tx) (err error) {
		var all []Message
		for i, state := range []MessageState{Visible, Hidden, Visible, Pending} {
			all = append(all, Message{
				Mailbox: box.ID, State: state, Kind: Ordinary, Up: Place{box.ID, 7, uint32(i + 1)}, InternalDate: date,
				Size: 10, Flags: mailbox.NewFlags(mailbox.Seen, mailbox.Verified), Created: now,
			})
		}
		added, err = tx.AddMessages(all, [][]byte{[]byte("A: b\r\n\r\n"), nil, nil, nil})
		return err
	})
	update(t, db, func(tx *Tx) error {
		rows, err := tx.Rows(box.ID)
		if len(rows) != 2 || rows[1].UID != 2 || rows[1].InternalDate.String() != date.String() || rows[1].Flags.String() != `\Seen` {
			t.Errorf("Rows = %+v", rows)
		}
		return err
	})
	update(t, db, func(tx *Tx) error {
		header, err := tx.Header(added[0].ID)
		if string(header) != "A: b\r\n\r\n" {
			t.Errorf("Header = %q", header)
		}
		if err := tx.SetHeader(added[0].ID, []byte("C: d\r\n\r\n")); err != nil {
			return err
		}
		if again, _ := tx.Header(added[0].ID); string(again) != string(header) {
			t.Errorf("a header block was replaced: %q", again)
		}
		return err
	})
	before, err := mailboxOf(db, box.ID)
	if err != nil {
		t.Fatal(err)
	}
	update(t, db, func(tx *Tx) error {
		uid, err := tx.Show(added[1].ID)
		if uid != 3 {
			t.Errorf("Show = %d", uid)
		}
		if err := tx.Unshow(added[0].ID, Removed, now); err != nil {
			return err
		}
		if err := tx.DeleteMessage(added[2].ID); !errors.Is(err, ErrNotFound) {
			t.Errorf("a visible row went without an EXPUNGE: %v", err)
		}
		return err
	})
	update(t, db, func(tx *Tx) error {
		delta, err := tx.Delta(box.ID, before.ModSeq)
		if len(delta.Changed) != 1 || delta.Changed[0].UID != 3 || len(delta.Expunged) != 1 || delta.Expunged[0] != 1 {
			t.Errorf("Delta = %+v", delta)
		}
		return err
	})
}

func mailboxOf(db *DB, id mailbox.ID) (m Mailbox, err error) {
	err = db.View(context.Background(), func(tx *Tx) error {
		m, err = tx.Mailbox(id)
		return err
	})
	return m, err
}

// TestViewsGoWithTheirRows: a view lives as long as some row names it.
func TestViewsGoWithTheirRows(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	box := addMailbox(t, db, Mailbox{Name: "INBOX", UpstreamName: "INBOX"})
	now := time.Now()
	update(t, db, func(tx *Tx) error {
		view, err := tx.PutView([]byte("view"), now)
		if err != nil {
			return err
		}
		first, err := tx.AddMessage(Message{Mailbox: box.ID, State: Hidden, Kind: Opened, View: view, InternalDate: now, Created: now}, nil)
		if err != nil {
			return err
		}
		second, err := tx.CloneMessage(first.ID, box.ID, Place{}, Visible, now)
		if err != nil || second.View != view || second.UID != 1 {
			t.Errorf("CloneMessage = %+v, %v", second, err)
		}
		if err := tx.DeleteMessage(first.ID); err != nil {
			return err
		}
		if _, err := tx.View(view); err != nil {
			t.Errorf("the view of another row went: %v", err)
		}
		if err := tx.Unshow(second.ID, Removed, now); err != nil {
			return err
		}
		if err := tx.DeleteMessage(second.ID); err != nil {
			return err
		}
		if _, err := tx.View(view); !errors.Is(err, ErrNotFound) {
			t.Errorf("the view stays behind: %v", err)
		}
		return nil
	})
}

func TestPrune(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	box := addMailbox(t, db, Mailbox{Name: "INBOX", UpstreamName: "INBOX"})
	now := time.Now()
	var msg Message
	update(t, db, func(tx *Tx) error {
		view, err := tx.PutView([]byte("view"), now)
		if err != nil {
			return err
		}
		msg, err = tx.AddMessage(Message{Mailbox: box.ID, State: Visible, Kind: Opened, View: view, Digest: make([]byte, 32), InternalDate: now, Created: now}, nil)
		if err != nil {
			return err
		}
		return tx.Unshow(msg.ID, Vanished, now)
	})
	for age, there := range map[time.Duration]bool{29 * 24 * time.Hour: true, 31 * 24 * time.Hour: false} {
		err := db.Update(context.Background(), func(tx *Tx) error {
			if err := tx.Prune(now.Add(age)); err != nil {
				return err
			}
			_, row := tx.Message(msg.ID)
			_, view := tx.View(msg.View)
			if (row == nil) != there || (view == nil) != there {
				t.Errorf("after %v: row %v, view %v", age, row, view)
			}
			return errors.New("roll back")
		})
		if err == nil {
			t.Error("not rolled back")
		}
	}
}

func TestJournal(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	box := addMailbox(t, db, Mailbox{Name: "INBOX", UpstreamName: "INBOX"})
	now := time.Now()
	update(t, db, func(tx *Tx) error {
		var ids []int64
		for range 2 {
			msg, err := tx.AddMessage(Message{Mailbox: box.ID, State: Visible, Kind: Ordinary, InternalDate: now, Created: now}, nil)
			if err != nil {
				return err
			}
			ids = append(ids, msg.ID)
		}
		for _, e := range []Entry{
			{Op: OpStore, Message: ids[0], Add: mailbox.NewFlags(mailbox.Seen)},
			{Op: OpExpunge, Message: ids[0]},
			{Op: OpMove, Message: ids[1], Mailbox: box.ID, NextAt: now.Add(time.Hour)},
		} {
			e.Created = now
			if _, err := tx.Record(e); err != nil {
				return err
			}
		}
		heads, err := tx.JournalHeads(now, 10)
		if err != nil || len(heads) != 1 || heads[0].Op != OpStore {
			t.Fatalf("JournalHeads = %+v, %v", heads, err)
		}
		if err := tx.SetEntryFlags(heads[0].ID, nil, mailbox.NewFlags(mailbox.Seen)); err != nil {
			return err
		}
		if err := tx.MarkSent(heads[0], 1, 2); !errors.Is(err, ErrNotFound) {
			t.Errorf("an entry that changed was marked: %v", err)
		}
		if heads, err = tx.JournalHeads(now, 10); err != nil {
			return err
		}
		if err := tx.MarkSent(heads[0], 1, 2); err != nil {
			return err
		}
		if err := tx.SetEntryFlags(heads[0].ID, nil, nil); !errors.Is(err, ErrNotFound) {
			t.Errorf("an entry that was sent was changed: %v", err)
		}
		n, next, err := tx.JournalSize(now)
		if n != 3 || next.Unix() != now.Add(time.Hour).Unix() {
			t.Errorf("JournalSize = %d, %v", n, next)
		}
		return err
	})
}

func FuzzDecompress(f *testing.F) {
	f.Add(compress([]byte("Subject: x\r\n\r\n")))
	f.Add([]byte{headerVersion, 0xff})
	f.Fuzz(func(t *testing.T, packed []byte) {
		header, err := decompress(packed)
		if err != nil {
			return
		}
		if again, err := decompress(compress(header)); err != nil || len(header) > maxHeader || !bytes.Equal(again, header) {
			t.Errorf("%d octets, %v", len(header), err)
		}
	})
}
