package mirror

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"mailbridge/db"
	"mailbridge/internal/provider"
	"mailbridge/mailbox"
)

func code(err error) mailbox.Code {
	var e *mailbox.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func (b *bed) store(name string, action mailbox.StoreAction, flags string, uids ...mailbox.UID) {
	b.t.Helper()
	b.no(b.m.Store(b.t.Context(), b.id(name), uids, action, mailbox.ParseFlags(flags)))
}

func TestFlagsBothWays(t *testing.T) {
	t.Parallel()
	b := newBed(t, provider.Options{}, Options{})
	uid := b.deliver("INBOX", plain("one"), `\Answered`)
	b.deliver("INBOX", sealed("open two"))
	b.start()
	b.synced()

	b.store("INBOX", mailbox.StoreAdd, `\Seen $Label1 $Verified`, 1, 2)
	b.want("INBOX", `1 one $Label1 \Answered \Seen`, `2 view of open two $Encrypted $Label1 \Seen`)
	b.synced()
	b.wantUpstream("INBOX", `one $Label1 \Answered \Seen`, `open two $Label1 \Seen`)

	b.no(b.p.SetFlags(user, "INBOX", uid, `\Flagged`, "$Encrypted"))
	b.eventually("the provider's flags arrive", func() bool { return b.list("INBOX")[0] == `1 one \Flagged` })

	// A replacement leaves alone what the bridge computes.
	b.store("INBOX", mailbox.StoreReplace, `\Draft`, 2)
	b.want("INBOX", `1 one \Flagged`, `2 view of open two $Encrypted \Draft`)
	b.synced()
	b.wantUpstream("INBOX", `one $Encrypted \Flagged`, `open two \Draft`)
}

func TestFlagsOffline(t *testing.T) {
	t.Parallel()
	b := newBed(t, provider.Options{}, Options{})
	uid := b.deliver("INBOX", plain("one"), `\Answered`, `\Seen`)
	b.start()
	b.synced()
	b.stop()
	b.store("INBOX", mailbox.StoreAdd, `\Flagged`, 1)
	b.store("INBOX", mailbox.StoreRemove, `\Answered`, 1)
	b.no(b.p.SetFlags(user, "INBOX", uid, `\Answered`, "$Other"))
	b.start()
	b.synced()
	b.want("INBOX", `1 one $Other \Flagged`)
	b.wantUpstream("INBOX", `one $Other \Flagged`)
}

func TestExpungeLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	b := newBed(t, provider.Options{}, Options{})
	b.deliver("INBOX", plain("one"))
	b.deliver("INBOX", plain("two"), `\Deleted`)
	b.deliver("INBOX", plain("three"))
	b.start()
	b.synced()
	b.store("INBOX", mailbox.StoreAdd, `\Deleted`, 1)
	b.no(b.m.Expunge(t.Context(), b.id("INBOX"), []mailbox.UID{1, 3}))
	b.want("INBOX", `2 two \Deleted`, "3 three")
	b.synced()
	b.wantUpstream("INBOX", `two \Deleted`, "three")
	b.want("INBOX", `2 two \Deleted`, "3 three")
	delta, err := b.m.Changes(t.Context(), b.id("INBOX"), 0)
	if err != nil || !slices.Equal(delta.Expunged, []mailbox.UID{1}) {
		t.Errorf("Changes = %+v, %v", delta, err)
	}
}

// providers are those that a move or a copy must work with.
var providers = map[string][]string{
	"all":             nil,
	"without MOVE":    {"MOVE"},
	"without UIDPLUS": {"MOVE", "UIDPLUS"},
	"only MOVE":       {"UIDPLUS"},
}

func TestMove(t *testing.T) {
	t.Parallel()
	for name, without := range providers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, provider.Options{Without: without}, Options{})
			b.deliver("INBOX", plain("one"), `\Seen`)
			b.deliver("INBOX", sealed("open two"))
			b.deliver("INBOX", plain("three"))
			b.start()
			b.synced()
			moved, err := b.m.Move(t.Context(), b.id("INBOX"), []mailbox.UID{1, 3, 9}, "Junk")
			if err != nil || !slices.Equal(moved.Source, []mailbox.UID{1, 3}) || !slices.Equal(moved.Dest, []mailbox.UID{1, 2}) {
				t.Errorf("Move = %+v, %v", moved, err)
			}
			b.want("INBOX", "2 three")
			b.want("Junk", `1 one \Seen`, "2 view of open two $Encrypted")
			b.store("Junk", mailbox.StoreAdd, `\Flagged`, 2)
			b.synced()
			b.eventually("the provider hears of it", func() bool { return b.m.State().Waiting == 0 })
			b.want("INBOX", "2 three")
			b.want("Junk", `1 one \Seen`, `2 view of open two $Encrypted \Flagged`)
			b.wantUpstream("Junk", `one \Seen`, `open two \Flagged`)
			if got := b.oracle.subjects(); len(got) != 1 {
				t.Errorf("opened again: %q", got)
			}
			raw, _, err := b.m.Bytes(t.Context(), b.id("Junk"), 1)
			if err != nil || !bytes.Equal(raw, plain("one")) {
				t.Errorf("Bytes = %q, %v", raw, err)
			}
		})
	}
}

func TestMoveThereAndBack(t *testing.T) {
	t.Parallel()
	b := newBed(t, provider.Options{}, Options{})
	b.deliver("INBOX", plain("one"))
	b.start()
	b.synced()
	b.stop()
	_, err := b.m.Move(t.Context(), b.id("INBOX"), []mailbox.UID{1}, "Junk")
	b.no(err)
	_, err = b.m.Move(t.Context(), b.id("Junk"), []mailbox.UID{1}, "INBOX")
	b.no(err)
	b.start()
	b.synced()
	b.want("INBOX", "2 one")
	b.wantUpstream("INBOX", "one")
	b.wantUpstream("Junk")
}

func TestMoveRefused(t *testing.T) {
	t.Parallel()
	b := newBed(t, provider.Options{}, Options{})
	b.deliver("INBOX", plain("one"))
	b.start()
	b.synced()
	b.p.Inject(provider.Fault{Command: "MOVE", Times: 1, Effect: provider.Refuse, IMAPCode: "CANNOT"})
	_, err := b.m.Move(t.Context(), b.id("INBOX"), []mailbox.UID{1}, "Junk")
	b.no(err)
	b.eventually("the message is back", func() bool { return len(b.list("INBOX")) == 1 })
	b.want("INBOX", "2 one")
	b.want("Junk")
	if _, err := b.m.Move(t.Context(), b.id("INBOX"), []mailbox.UID{2}, "Nowhere"); code(err) != mailbox.CodeTryCreate {
		t.Errorf("into a mailbox that is not there: %v", err)
	}
}

func TestCopy(t *testing.T) {
	t.Parallel()
	for name, without := range providers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, provider.Options{Without: without}, Options{})
			b.deliver("INBOX", plain("one"))
			b.deliver("INBOX", sealed("open two"))
			b.start()
			b.synced()
			b.store("INBOX", mailbox.StoreAdd, `\Flagged`, 1)
			_, err := b.m.Copy(t.Context(), b.id("INBOX"), []mailbox.UID{1, 2}, "Junk")
			b.no(err)
			b.synced()
			b.want("INBOX", `1 one \Flagged`, "2 view of open two $Encrypted")
			b.want("Junk", `1 one \Flagged`, "2 view of open two $Encrypted")
			b.wantUpstream("Junk", `one \Flagged`, "open two")
			if got := b.oracle.subjects(); len(got) != 1 {
				t.Errorf("opened again: %q", got)
			}
		})
	}
}

func TestOfflineRefusals(t *testing.T) {
	t.Parallel()
	b := newBed(t, provider.Options{}, Options{})
	b.deliver("INBOX", plain("one"))
	b.start()
	b.synced()
	b.p.Down()
	b.eventually("offline", func() bool { return b.m.State().Connection == Offline })
	ctx := t.Context()
	_, err := b.m.Copy(ctx, b.id("INBOX"), []mailbox.UID{1}, "Junk")
	for what, err := range map[string]error{
		"COPY": err, "CREATE": b.m.Create(ctx, "New"), "RENAME": b.m.Rename(ctx, "Junk", "Old"), "DELETE": b.m.Delete(ctx, "Junk"),
	} {
		if code(err) != mailbox.CodeUnavailable {
			t.Errorf("%s while offline: %v", what, err)
		}
	}
	if _, _, err := b.m.Bytes(ctx, b.id("INBOX"), 1); code(err) != mailbox.CodeUnavailable {
		t.Errorf("a body while offline: %v", err)
	}
	b.store("INBOX", mailbox.StoreAdd, `\Seen`, 1)
	b.no(b.p.Up())
	b.m.Wake()
	b.synced()
	b.wantUpstream("INBOX", `one \Seen`)
}

func (b *bed) add(l Local) Added {
	b.t.Helper()
	var added Added
	err := b.db.Update(b.t.Context(), func(tx *db.Tx) (err error) {
		added, err = b.m.Add(tx, l)
		return err
	})
	b.no(err)
	return added
}

func TestAdd(t *testing.T) {
	t.Parallel()
	for name, without := range providers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t, provider.Options{Without: without}, Options{})
			b.start()
			b.synced()
			date := time.Date(2024, 5, 6, 7, 8, 9, 0, time.FixedZone("", 7200))
			given := b.add(Local{Mailbox: "INBOX", Wire: plain("given"), Flags: mailbox.NewFlags(mailbox.Seen), Date: date})
			draft := b.add(Local{Mailbox: "Drafts", Kind: Sealed, View: plain("draft"), Wire: sealed("open draft"), Flags: mailbox.NewFlags(mailbox.Draft)})
			b.store("Drafts", mailbox.StoreAdd, `\Flagged`, draft.UID)
			b.want("INBOX", `1 given \Seen`)
			b.want("Drafts", `1 draft \Draft \Flagged`)
			b.synced()
			b.want("INBOX", `1 given \Seen`)
			b.want("Drafts", `1 draft \Draft \Flagged`)
			b.wantUpstream("INBOX", `given \Seen`)
			b.wantUpstream("Drafts", `open draft \Draft \Flagged`)
			if got := b.p.Messages(user, "INBOX")[0].InternalDate; !got.Equal(date) {
				t.Errorf("INTERNALDATE = %v, want %v", got, date)
			}
			for box, want := range map[string][]byte{"INBOX": plain("given"), "Drafts": plain("draft")} {
				if got, _, err := b.m.Bytes(t.Context(), b.id(box), given.UID); err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s: Bytes = %q, %v", box, got, err)
				}
			}
			if got := b.oracle.subjects(); len(got) != 0 {
				t.Errorf("own mail was looked at as if it were new: %q", got)
			}
		})
	}
}

func TestSentCopy(t *testing.T) {
	t.Parallel()
	b := newBed(t, provider.Options{}, Options{})
	b.start()
	b.synced()
	later := time.Now().Add(time.Hour)
	sent := b.add(Local{Mailbox: "Sent", Kind: Sealed, View: plain("ours"), Wire: sealed("open sent"), Hidden: true, UploadAt: later})
	refused := b.add(Local{Mailbox: "Sent", Kind: Sealed, View: plain("refused"), Wire: sealed("open refused"), Hidden: true, UploadAt: later})
	b.synced()
	b.want("Sent")
	b.wantUpstream("Sent")
	b.no(b.db.Update(t.Context(), func(tx *db.Tx) error {
		if err := b.m.Drop(tx, refused.Row); err != nil {
			return err
		}
		added, err := b.m.Show(tx, sent.Row, plain("the client's"), mailbox.NewFlags(mailbox.Seen), time.Now())
		if err != nil || added.UID != 1 {
			t.Errorf("Show = %+v, %v", added, err)
		}
		return b.m.Upload(tx, sent.Row, time.Time{})
	}))
	b.want("Sent", `1 the client's \Seen`)
	b.synced()
	b.wantUpstream("Sent", `open sent \Seen`)
	b.no(b.db.Update(t.Context(), func(tx *db.Tx) error {
		_, err := b.m.Reopen(tx, sent.Row, Sealed, plain("another"), nil)
		return err
	}))
	b.synced()
	b.want("Sent", `2 another \Seen`)
	b.wantUpstream("Sent", `open sent \Seen`)
}

func TestNotes(t *testing.T) {
	t.Parallel()
	b := newBed(t, provider.Options{}, Options{})
	b.start()
	b.synced()
	b.deliver("INBOX", plain("one"))
	b.synced()
	b.add(Local{Mailbox: "Bridge", Kind: Note, View: plain("note")})
	b.add(Local{Mailbox: "Bridge", Kind: Note, View: plain("note two")})
	ctx := t.Context()
	bridge := b.id("Bridge")
	if _, err := b.m.Move(ctx, b.id("INBOX"), []mailbox.UID{1}, "Bridge"); code(err) != mailbox.CodeCannot {
		t.Errorf("MOVE into Bridge: %v", err)
	}
	if _, err := b.m.Copy(ctx, b.id("INBOX"), []mailbox.UID{1}, "Bridge"); code(err) != mailbox.CodeCannot {
		t.Errorf("COPY into Bridge: %v", err)
	}
	if _, err := b.m.Move(ctx, bridge, []mailbox.UID{1}, "INBOX"); code(err) != mailbox.CodeCannot {
		t.Errorf("MOVE out of Bridge: %v", err)
	}
	_, err := b.m.Move(ctx, bridge, []mailbox.UID{1}, "Trash")
	b.no(err)
	b.store("Bridge", mailbox.StoreAdd, `\Deleted`, 2)
	b.no(b.m.Expunge(ctx, bridge, []mailbox.UID{2}))
	b.synced()
	b.want("Bridge")
	b.want("Trash", "1 note")
	b.wantUpstream("Trash")
	if slices.Contains(b.p.Mailboxes(user), "Bridge") {
		t.Error("Bridge is at the provider")
	}
}

func TestMailboxes(t *testing.T) {
	t.Parallel()
	b := newBed(t, provider.Options{Delimiter: '.'}, Options{})
	b.no(b.p.Create(user, "Bridge", ""))
	b.no(b.p.Create(user, "a/b", ""))
	b.start()
	b.synced()
	ctx := t.Context()
	b.no(b.m.Create(ctx, "Work/2026"))
	b.deliver("Work.2026", plain("one"))
	b.synced()
	b.want("Work/2026", "1 one")
	before, err := b.m.Status(ctx, "Work/2026")
	b.no(err)
	b.no(b.m.Rename(ctx, "Work", "Old"))
	b.synced()
	b.want("Old/2026", "1 one")
	if after, err := b.m.Status(ctx, "Old/2026"); err != nil || after.UIDValidity != before.UIDValidity {
		t.Errorf("after RENAME: %+v, %v; before %+v", after, err, before)
	}
	b.no(b.m.Delete(ctx, "Old/2026"))
	if _, err := b.m.Status(ctx, "Old/2026"); code(err) != mailbox.CodeNonExistent {
		t.Errorf("after DELETE: %v", err)
	}
	b.no(b.m.Create(ctx, "Work/2026"))
	if again, err := b.m.Status(ctx, "Work/2026"); err != nil || again.UIDValidity <= before.UIDValidity {
		t.Errorf("made again: %+v, %v; before %+v", again, err, before)
	}
	for what, err := range map[string]error{
		"CREATE of what is there": b.m.Create(ctx, "Junk"),
		"RENAME to what is there": b.m.Rename(ctx, "Work", "Junk"),
	} {
		if code(err) != mailbox.CodeAlreadyExists {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, err := range map[string]error{
		"CREATE below Bridge": b.m.Create(ctx, "Bridge/x"), "CREATE with the delimiter": b.m.Create(ctx, "x.y"),
		"DELETE INBOX": b.m.Delete(ctx, "inbox"), "RENAME Bridge": b.m.Rename(ctx, "Bridge", "x"),
	} {
		if code(err) != mailbox.CodeCannot {
			t.Errorf("%s: %v", what, err)
		}
	}
	infos, err := b.m.Mailboxes(ctx)
	b.no(err)
	var names []string
	for _, info := range infos {
		names = append(names, info.Name)
	}
	want := []string{"INBOX", "Bridge", "Bridge_", "Drafts", "Junk", "Old", "Sent", "Trash", "Work", "Work/2026", "a=2Fb"}
	if !slices.Equal(names, want) {
		t.Errorf("Mailboxes = %q, want %q", names, want)
	}
}

func TestSubscribe(t *testing.T) {
	t.Parallel()
	b := newBed(t, provider.Options{}, Options{})
	b.start()
	b.synced()
	b.no(b.m.Subscribe(context.Background(), "Junk", false))
	b.synced()
	info, err := b.m.Mailbox(t.Context(), "Junk")
	if err != nil || info.Subscribed {
		t.Errorf("Mailbox = %+v, %v", info, err)
	}
}
