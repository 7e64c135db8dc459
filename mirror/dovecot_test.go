//go:build peers

package mirror

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"mailbridge/internal/peers"
	"mailbridge/mailbox"
	"mailbridge/upstream"
)

// TestDovecot goes through the mirror's life against Dovecot, with a second client of the
// same account beside it.
func TestDovecot(t *testing.T) {
	t.Parallel()
	real := peers.Start(t)
	addr := peers.Address("mirror")
	b := &bed{t: t, real: upstream.Config{
		IMAP:     upstream.Endpoint{Host: "127.0.0.1", Port: real.IMAPS, TLS: upstream.ImplicitTLS},
		Username: addr,
		RootCAs:  real.Pool(),
		Password: func(context.Context) (string, error) { return peers.Password, nil },
	}}
	b.prepare()
	other, err := upstream.Dial(t.Context(), b.real)
	b.no(err)
	defer other.Close()
	old := time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC)
	put := func(box string, raw []byte, date time.Time, flags ...mailbox.Flag) {
		t.Helper()
		_, _, err := other.Append(t.Context(), box, mailbox.NewFlags(flags...), date, raw)
		b.no(err)
	}
	put("INBOX", plain("one"), old, mailbox.Seen)
	put("INBOX", sealed("open two"), old)
	put("INBOX", plain("three"), old)
	b.start()
	b.synced()
	b.want("INBOX", `1 one \Seen`, "2 three", "3 view of open two $Encrypted")

	// News by IDLE.
	changed, stop := b.m.Watch(b.id("INBOX"))
	defer stop()
	began := time.Now()
	b.no(real.Deliver("bob@example.org", []string{addr}, sealed("consume four")))
	b.no(real.Deliver("bob@example.org", []string{addr}, plain("five")))
	select {
	case <-changed:
		t.Logf("delivered and seen after %v", time.Since(began))
	case <-time.After(patience):
		t.Fatal("no notice of a new message")
	}
	b.want("INBOX", `1 one \Seen`, "2 three", "3 view of open two $Encrypted", "4 five")
	b.synced()
	trash, err := b.m.Special(t.Context(), mailbox.UseTrash)
	b.no(err)
	b.want(trash.Name)
	if trashed := real.WaitMail(addr, trash.Name, 1); !bytes.Contains(trashed[0], []byte("consume four")) {
		t.Errorf("in the Trash: %q", trashed[0])
	}

	// News by asking, while the mailbox is the selected one.
	conn, err := upstream.Dial(t.Context(), b.real)
	b.no(err)
	defer conn.Close()
	inbox, err := b.m.mailboxByName(t.Context(), mailbox.Inbox)
	b.no(err)
	s := &session{m: b.m, conn: conn, status: map[mailbox.ID]upstream.Status{}}
	_, err = s.open(t.Context(), inbox)
	b.no(err)
	_, err = s.changed(t.Context(), inbox)
	b.no(err)
	b.no(real.Deliver("bob@example.org", []string{addr}, plain("six")))
	b.eventually("it is delivered", func() bool {
		there, err := real.Messages(addr, "INBOX")
		return err == nil && len(there) == 5
	})
	if changed, err := s.changed(t.Context(), inbox); err != nil || !changed {
		t.Errorf("not asked well: %v, %v", changed, err)
	}
	b.synced()
	b.want("INBOX", `1 one \Seen`, "2 three", "3 view of open two $Encrypted", "4 five", "5 six")
	b.store("INBOX", mailbox.StoreAdd, `\Deleted`, 5)
	b.no(b.m.Expunge(t.Context(), b.id("INBOX"), []mailbox.UID{5}))

	// Changes from here.
	_, err = b.m.Move(t.Context(), b.id("INBOX"), []mailbox.UID{1, 3}, trash.Name)
	b.no(err)
	b.store("INBOX", mailbox.StoreAdd, `\Flagged $Label1`, 2)
	b.store("INBOX", mailbox.StoreAdd, `\Deleted`, 4)
	b.no(b.m.Expunge(t.Context(), b.id("INBOX"), []mailbox.UID{4}))
	b.no(b.m.Create(t.Context(), "Work/2026"))
	_, err = b.m.Copy(t.Context(), b.id(trash.Name), []mailbox.UID{2}, "Work/2026")
	b.no(err)
	b.add(Local{Mailbox: "Work/2026", Kind: Sealed, View: plain("draft"), Wire: sealed("open draft")})
	b.synced()
	b.want("INBOX", `2 three $Label1 \Flagged`)
	b.want(trash.Name, `1 one \Seen`, "2 view of open two $Encrypted")
	b.want("Work/2026", "1 view of open two $Encrypted", "2 draft")

	// Changes from elsewhere.
	_, err = other.Select(t.Context(), "INBOX", false)
	b.no(err)
	uids, err := other.UIDs(t.Context())
	b.no(err)
	b.no(other.Store(t.Context(), uids, mailbox.StoreReplace, mailbox.NewFlags(mailbox.Answered)))
	b.eventually("the flags arrive", func() bool { return slices.Equal(b.list("INBOX"), []string{`2 three \Answered`}) })
	_, err = other.Move(t.Context(), uids, "Work.2026")
	b.no(err)
	b.synced()
	b.want("INBOX")
	if got := b.list("Work/2026"); len(got) != 3 || !strings.HasPrefix(got[2], `3 three \Answered`) {
		t.Errorf("Work/2026 %q", got)
	}
	b.no(b.m.Rename(t.Context(), "Work", "Old"))
	b.no(b.m.Delete(t.Context(), "Old/2026"))

	// Bytes are the provider's.
	raw, _, err := b.m.Bytes(t.Context(), b.id(trash.Name), 1)
	if err != nil || !bytes.Equal(raw, plain("one")) {
		t.Errorf("Bytes = %q, %v", raw, err)
	}
	if got := b.oracle.subjects(); slices.ContainsFunc(got[1:], func(s string) bool { return s == "open two" || s == "open draft" }) {
		t.Errorf("opened again: %q", got)
	}

	// A restart of both.
	b.stop()
	real.Down()
	b.start()
	b.no(real.Up())
	b.m.Wake()
	b.synced()
	b.want(trash.Name, `1 one \Seen`, "2 view of open two $Encrypted")
}
