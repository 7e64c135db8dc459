package mirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mailbridge/db"
	"mailbridge/internal/provider"
	"mailbridge/mailbox"
)

func TestRenumbered(t *testing.T) {
	t.Parallel()
	b := newBed(t, provider.Options{}, Options{})
	b.deliver("INBOX", plain("one"), `\Seen`)
	b.deliver("INBOX", sealed("open two"))
	b.deliver("INBOX", plain("same"))
	b.deliver("INBOX", plain("same"))
	b.deliver("INBOX", sealed("hide three"))
	b.start()
	b.synced()
	before, err := b.m.Status(t.Context(), "INBOX")
	b.no(err)
	b.want("INBOX", `1 one \Seen`, "2 same", "3 same", "4 view of open two $Encrypted")
	asked := len(b.oracle.subjects())

	b.no(b.p.Renumber(user, "INBOX"))
	b.deliver("INBOX", plain("four"))
	b.synced()
	// Two messages that look alike are not told apart: they get new UIDs.
	b.want("INBOX", `1 one \Seen`, "4 view of open two $Encrypted", "5 same", "6 same", "7 four")
	after, err := b.m.Status(t.Context(), "INBOX")
	if err != nil || after.UIDValidity != before.UIDValidity {
		t.Errorf("UIDVALIDITY %d became %d, %v", before.UIDValidity, after.UIDValidity, err)
	}
	if got := b.oracle.subjects()[asked:]; slices.ContainsFunc(got, func(s string) bool { return strings.HasPrefix(s, "open") || strings.HasPrefix(s, "hide") }) {
		t.Errorf("opened again: %q", got)
	}
	b.store("INBOX", mailbox.StoreAdd, `\Flagged`, 1, 4)
	b.synced()
	b.wantUpstream("INBOX", `one \Flagged \Seen`, `open two \Flagged`, "same", "same", "hide three", "four")
}

// TestManyArrivals: what came while nobody looked is taken in batches, in the provider's order.
func TestManyArrivals(t *testing.T) {
	t.Parallel()
	b := newBed(t, provider.Options{}, Options{})
	b.start()
	b.synced()
	b.stop()
	var want []string
	for i := range 2*headerBatch + 7 {
		switch subject := fmt.Sprintf("m%d", i); i % 50 {
		case 49:
			b.deliver("INBOX", sealed("open "+subject), `\Flagged`)
			want = append(want, fmt.Sprintf(`%d view of open m%d $Encrypted \Flagged`, i+1, i))
		default:
			b.deliver("INBOX", plain(subject), `\Seen`)
			want = append(want, fmt.Sprintf(`%d m%d \Seen`, i+1, i))
		}
	}
	b.start()
	b.synced()
	b.want("INBOX", want...)
	snap, err := b.m.Snapshot(t.Context(), b.id("INBOX"))
	if err != nil || snap.Rows[0].Size != int64(len(plain("m0"))) || time.Since(snap.Rows[0].InternalDate) > time.Hour {
		t.Errorf("first row %+v, %v", snap.Rows[0], err)
	}
}

// TestRenumberedDeletion: after the provider has renumbered a mailbox, a deletion that waits
// runs only on what is certainly the same message.
func TestRenumberedDeletion(t *testing.T) {
	t.Parallel()
	b := newBed(t, provider.Options{}, Options{})
	b.deliver("INBOX", plain("one"))
	b.deliver("INBOX", sealed("open two"))
	b.start()
	b.synced()
	b.stop()
	b.store("INBOX", mailbox.StoreAdd, `\Deleted`, 1, 2)
	b.no(b.m.Expunge(t.Context(), b.id("INBOX"), []mailbox.UID{1, 2}))
	b.no(b.p.Renumber(user, "INBOX"))
	b.start()
	b.synced()
	if got := b.list("INBOX"); len(got) != 1 || !strings.HasPrefix(got[0], "3 one") {
		t.Errorf("INBOX %q", got)
	}
	if got := b.upstream("INBOX"); len(got) != 1 || !strings.HasPrefix(got[0], "one") {
		t.Errorf("INBOX at the provider %q", got)
	}
	b.wantNotes(1)
}

func TestVanished(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		p     provider.Options
		o     Options
		stays bool
	}{
		{"by default", provider.Options{}, Options{}, false},
		{"keep_expired", provider.Options{}, Options{KeepExpired: true}, true},
		{"a relay", provider.Options{Extra: []string{"XCHATMAIL"}}, Options{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, c.p, c.o)
			one := b.deliver("INBOX", plain("one"))
			two := b.deliver("INBOX", sealed("open two"))
			three := b.deliver("INBOX", sealed("hide three"))
			b.deliver("INBOX", plain("four"))
			b.start()
			b.synced()
			b.no(b.p.Remove(user, "INBOX", one, two, three))
			b.synced()
			want := []string{"2 four"}
			if c.stays {
				want = append(want, "3 view of open two $Encrypted")
			}
			b.want("INBOX", want...)
			if c.stays {
				view, _, err := b.m.Bytes(t.Context(), b.id("INBOX"), 3)
				if err != nil || !bytes.Equal(view, viewOf("open two")) {
					t.Errorf("Bytes = %q, %v", view, err)
				}
			}
			// Its bytes come again: the view is not made again.
			b.deliver("INBOX", sealed("open two"))
			b.deliver("INBOX", sealed("hide three"))
			b.synced()
			if got := b.list("INBOX"); len(got) != 2 || !strings.Contains(got[1], "view of open two $Encrypted") {
				t.Errorf("INBOX %q", got)
			}
			if got := b.oracle.subjects(); len(got) != 2 {
				t.Errorf("looked at again: %q", got)
			}
		})
	}
}

func TestMovedByAnotherClient(t *testing.T) {
	t.Parallel()
	b := newBed(t, provider.Options{}, Options{})
	b.deliver("INBOX", plain("one"))
	two := b.deliver("INBOX", sealed("open two"))
	b.start()
	b.synced()
	_, err := b.p.Transfer(user, "INBOX", two, "Junk")
	b.no(err)
	b.synced()
	b.want("INBOX", "1 one")
	b.want("Junk", "1 view of open two $Encrypted")
	if got := b.oracle.subjects(); len(got) != 1 {
		t.Errorf("opened again: %q", got)
	}
}

// clock is a clock that tests can set.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

func TestTrash(t *testing.T) {
	t.Parallel()
	for name, without := range providers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var c clock
			b := newBed(t, provider.Options{Without: without}, Options{Now: c.now})
			b.deliver("Trash", plain("old"))
			b.start()
			b.synced()
			b.deliver("INBOX", sealed("consume one"))
			b.deliver("INBOX", plain("two"))
			b.synced()
			b.eventually("it is in the Trash", func() bool { return len(b.p.Messages(user, "Trash")) == 2 })
			b.synced()
			b.want("INBOX", "1 two")
			b.want("Trash", "1 old")
			if got := b.oracle.subjects(); !slices.Equal(got, []string{"consume one"}) {
				t.Errorf("looked at %q", got)
			}
			c.advance(6 * 24 * time.Hour)
			b.stop()
			b.start()
			b.synced()
			if n := len(b.p.Messages(user, "Trash")); n != 2 {
				t.Errorf("after 6 days the Trash holds %d messages", n)
			}
			c.advance(25 * time.Hour)
			b.stop()
			b.start()
			b.synced()
			b.eventually("it has left the Trash", func() bool {
				msgs := b.upstream("Trash")
				return len(msgs) == 1 || slices.Contains(msgs, `consume one \Deleted`) && slices.Contains(without, "UIDPLUS")
			})
			b.want("Trash", "1 old")
		})
	}
}

// TestNeverVisible looks from the side of a client in IDLE: no change is seen from a message
// that is consumed or hidden.
func TestNeverVisible(t *testing.T) {
	t.Parallel()
	b := newBed(t, provider.Options{}, Options{})
	b.start()
	b.synced()
	ids := []mailbox.ID{b.id("INBOX"), b.id("Trash")}
	var seen []mailbox.Delta
	before := map[mailbox.ID]mailbox.ModSeq{}
	look := func() {
		for _, id := range ids {
			delta, err := b.m.Changes(t.Context(), id, before[id])
			b.no(err)
			if len(delta.Changed)+len(delta.Expunged) > 0 {
				seen = append(seen, delta)
			}
			before[id] = delta.ModSeq
		}
	}
	for _, id := range ids {
		snap, err := b.m.Snapshot(t.Context(), id)
		b.no(err)
		before[id] = snap.ModSeq
	}
	for i := range 5 {
		b.deliver("INBOX", sealed(fmt.Sprintf("consume %d", i)))
		b.deliver("INBOX", sealed(fmt.Sprintf("hide %d", i)))
	}
	b.eventually("all are in the Trash", func() bool {
		look()
		return len(b.p.Messages(user, "Trash")) == 5
	})
	b.synced()
	look()
	if len(seen) > 0 {
		t.Errorf("a client sees %+v", seen)
	}
}

func TestHold(t *testing.T) {
	t.Parallel()
	b := newBed(t, provider.Options{}, Options{})
	b.oracle.hold = true
	b.start()
	b.synced()
	b.deliver("INBOX", sealed("hold one"))
	b.deliver("INBOX", plain("two"))
	b.synced()
	b.want("INBOX", "1 two")
	b.oracle.mu.Lock()
	b.oracle.hold = false
	b.oracle.mu.Unlock()
	b.m.Retry()
	b.eventually("it is shown", func() bool { return len(b.list("INBOX")) == 2 })
	b.want("INBOX", "1 two", "2 view of hold one")
}

func TestIngestFails(t *testing.T) {
	t.Parallel()
	var c clock
	b := newBed(t, provider.Options{}, Options{Now: c.now})
	b.start()
	b.synced()
	b.deliver("INBOX", sealed("fail one"))
	b.deliver("INBOX", plain("two"))
	b.synced()
	b.want("INBOX", "1 two")
	for range maxAttempts + 1 {
		c.advance(2 * time.Hour)
		b.synced()
	}
	// What stays unreadable is shown in the end, as it came.
	b.want("INBOX", "1 two", "2 fail one")
	raw, kind, err := b.m.Bytes(t.Context(), b.id("INBOX"), 2)
	if err != nil || kind != Ordinary || !bytes.Equal(raw, sealed("fail one")) {
		t.Errorf("Bytes = %q, %s, %v", raw, kind, err)
	}
}

func TestSigned(t *testing.T) {
	t.Parallel()
	b := newBed(t, provider.Options{}, Options{})
	b.start()
	b.synced()
	b.deliver("INBOX", sealed("sign one"))
	b.synced()
	want := append([]byte("Mailbridge-Security: test\r\n"), sealed("sign one")...)
	raw, kind, err := b.m.Bytes(t.Context(), b.id("INBOX"), 1)
	if err != nil || kind != Signed || !bytes.Equal(raw, want) {
		t.Errorf("Bytes = %q, %s, %v", raw, kind, err)
	}
	header, _, err := b.m.Header(t.Context(), b.id("INBOX"), 1)
	if err != nil || !bytes.Equal(header, headerBlock(want)) {
		t.Errorf("Header = %q, %v", header, err)
	}
	snap, err := b.m.Snapshot(t.Context(), b.id("INBOX"))
	if err != nil || snap.Rows[0].Size != int64(len(want)) {
		t.Errorf("Snapshot = %+v, %v", snap, err)
	}
}

// TestOtherBytes: a UID never changes its bytes. What the provider changed gets a new one.
func TestOtherBytes(t *testing.T) {
	t.Parallel()
	b := newBed(t, provider.Options{}, Options{})
	b.deliver("INBOX", plain("one"))
	b.start()
	b.synced()
	id := b.id("INBOX")
	row, err := b.m.Find(t.Context(), id, 1)
	b.no(err)
	b.no(b.db.Update(t.Context(), func(tx *db.Tx) error { return tx.SetDigest(row.ID, make([]byte, 32)) }))
	if _, _, err := b.m.Bytes(t.Context(), id, 1); code(err) != mailbox.CodeExpungeIssued {
		t.Errorf("other bytes under the old UID: %v", err)
	}
	b.want("INBOX", "2 one")
	if raw, _, err := b.m.Bytes(t.Context(), id, 2); err != nil || !bytes.Equal(raw, plain("one")) {
		t.Errorf("Bytes = %q, %v", raw, err)
	}
}

// TestSelectWaits: a client never gets a partial list.
func TestSelectWaits(t *testing.T) {
	t.Parallel()
	b := newBed(t, provider.Options{}, Options{})
	b.deliver("INBOX", plain("one"))
	hold := b.p.Inject(provider.Fault{Command: "FETCH", Effect: provider.Hold})
	defer hold.Release()
	b.start()
	<-hold.Reached()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := b.m.Select(ctx, "INBOX", func(string) {}); code(err) != mailbox.CodeUnavailable {
		t.Errorf("Select while the list runs: %v", err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := b.m.Select(context.Background(), "INBOX", nil)
		done <- err
	}()
	hold.Release()
	select {
	case err := <-done:
		b.no(err)
	case <-time.After(patience):
		t.Fatal("Select waits for ever")
	}
	b.want("INBOX", "1 one")
}

func TestProviderSavesSent(t *testing.T) {
	t.Parallel()
	b := newBed(t, provider.Options{}, Options{})
	saved := &adopter{oracle: b.oracle}
	b.ingester = saved
	b.start()
	b.synced()
	sent := b.add(Local{Mailbox: "Sent", Kind: Sealed, View: plain("ours"), Wire: sealed("open sent"), Hidden: true, UploadAt: time.Now().Add(time.Hour)})
	saved.row.Store(sent.Row)
	b.deliver("Sent", sealed("copy one"))
	b.deliver("Sent", sealed("copy two"))
	b.synced()
	b.want("Sent")
	b.no(b.db.Update(t.Context(), func(tx *db.Tx) error {
		_, err := b.m.Show(tx, sent.Row, nil, mailbox.NewFlags(mailbox.Seen), time.Now())
		return err
	}))
	b.synced()
	b.want("Sent", `1 ours \Seen`)
	b.wantUpstream("Sent", `copy one \Seen`, "copy two")
	if n := b.waiting(); n != 0 {
		t.Errorf("%d changes wait", n)
	}
}

// adopter takes copies for those of a row.
type adopter struct {
	*oracle
	row atomic.Int64
}

func (a *adopter) Ingest(ctx context.Context, m Arrival) (Ruling, error) {
	if strings.HasPrefix(strings.TrimSpace(field(headerBlock(m.Raw), "Subject")), "copy") {
		return Ruling{Same: a.row.Load()}, nil
	}
	return a.oracle.Ingest(ctx, m)
}

// TestFull: a full disk stops the work and loses nothing.
func TestFull(t *testing.T) {
	t.Parallel()
	b := newBed(t, provider.Options{}, Options{})
	path, key := filepath.Join(t.TempDir(), "small.db"), db.NewKey()
	small, err := db.Open(t.Context(), path, key, db.Options{MaxBytes: 400 << 10})
	b.no(err)
	b.db.Close()
	b.db = small
	for i := range 40 {
		big := append(plain(fmt.Sprintf("m%02d", i)), bytes.Repeat([]byte("X-Long: incompressible\r\n"), 10)...)
		b.deliver("INBOX", append(sealed(fmt.Sprintf("open m%02d", i)), big...))
	}
	b.oracle.pad = 20 << 10
	b.start()
	b.eventually("the disk is full", func() bool { return errors.Is(b.m.State().Err, db.ErrFull) })
	b.stop()
	b.no(b.db.Close())
	b.db, err = db.Open(t.Context(), path, key, db.Options{})
	b.no(err)
	t.Cleanup(func() { b.stop(); b.db.Close() })
	b.start()
	b.synced()
	if got := b.list("INBOX"); len(got) != 40 || !strings.HasPrefix(got[0], "1 view of open m00") || !strings.HasPrefix(got[39], "40 view of open m39") {
		t.Errorf("INBOX: %d, %q", len(got), got)
	}
}

func TestSearchText(t *testing.T) {
	t.Parallel()
	b := newBed(t, provider.Options{}, Options{})
	b.deliver("INBOX", plain("one"))
	b.deliver("INBOX", plain("two"))
	b.deliver("INBOX", sealed("open one"))
	b.start()
	b.synced()
	got, err := b.m.SearchText(t.Context(), b.id("INBOX"), []mailbox.UID{1, 2, 3, 4}, mailbox.FieldBody, "one")
	if err != nil || !slices.Equal(got, []mailbox.UID{1, 3}) {
		t.Errorf("SearchText = %v, %v", got, err)
	}
}

func TestPrefetch(t *testing.T) {
	t.Parallel()
	var bodies atomic.Int32
	b := newBed(t, provider.Options{Trace: func(c provider.Command) {
		if c.Name == "FETCH" && c.Arg == "body" {
			bodies.Add(1)
		}
	}}, Options{})
	uids := make([]mailbox.UID, 15)
	for i := range uids {
		b.deliver("INBOX", plain(fmt.Sprintf("m%d", i)))
		uids[i] = mailbox.UID(i + 1)
	}
	b.start()
	b.synced()
	id := b.id("INBOX")
	b.m.Prefetch(t.Context(), id, uids)
	b.eventually("the last is in the cache", func() bool {
		row, err := b.m.Find(t.Context(), id, 15)
		b.no(err)
		_, ok := b.m.cache.get(row.ID)
		return ok
	})
	for i, uid := range uids {
		if raw, _, err := b.m.Bytes(t.Context(), id, uid); err != nil || !bytes.Equal(raw, plain(fmt.Sprintf("m%d", i))) {
			t.Errorf("Bytes(%d) = %q, %v", uid, raw, err)
		}
	}
	if n := bodies.Load(); n != 1 {
		t.Errorf("%d fetches for %d messages", n, len(uids))
	}
}

func TestCache(t *testing.T) {
	t.Parallel()
	c := newCache(100)
	for row := range int64(10) {
		c.put(row, make([]byte, 20))
		c.get(0)
	}
	c.put(10, make([]byte, 26)) // too large a part of the whole
	for row, want := range map[int64]bool{0: true, 1: false, 5: false, 6: true, 9: true, 10: false} {
		if _, ok := c.get(row); ok != want {
			t.Errorf("row %d: %v, want %v", row, ok, want)
		}
	}
	c.drop(0)
	if _, ok := c.get(0); ok || c.size != 80 {
		t.Errorf("after drop: %v, size %d", ok, c.size)
	}
}

func TestMessageID(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"Message-ID: <a@b>\r\n\r\n":                     "a@b",
		"Subject: x\r\nmessage-id:\r\n <a@b>\r\n\r\n":   "a@b",
		"Message-Id : a@b \r\n":                         "a@b",
		"Message-ID: <a@b\r\n\r\n":                      "a@b",
		"Subject: Message-ID: <x>\r\n\r\nMessage-ID: y": "",
		"": "",
	} {
		if got := messageID([]byte(header)); got != want {
			t.Errorf("messageID(%q) = %q, want %q", header, got, want)
		}
	}
}

func FuzzMessageID(f *testing.F) {
	f.Add([]byte("Message-ID: <a@b>\r\n\tc\r\n\r\n"))
	f.Add([]byte("\r\n\n : \n"))
	f.Fuzz(func(t *testing.T, header []byte) {
		if id := messageID(header); strings.ContainsAny(id, "\r\n") {
			t.Errorf("%q", id)
		}
	})
}
