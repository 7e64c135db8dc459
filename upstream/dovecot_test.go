//go:build peers

package upstream_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"mailbridge/internal/peers"
	"mailbridge/mailbox"
	"mailbridge/upstream"
)

// TestDovecotPostfix walks through everything once against real servers.
func TestDovecotPostfix(t *testing.T) {
	t.Parallel()
	bed := peers.Start(t)
	me, you := peers.Address("me"), peers.Address("you")
	configs := map[string]upstream.Config{}
	for name, mode := range map[string]upstream.TLSMode{"TLS": upstream.ImplicitTLS, "STARTTLS": upstream.StartTLS} {
		cfg := upstream.Config{
			IMAP:     upstream.Endpoint{Host: "127.0.0.1", Port: bed.IMAPS, TLS: mode},
			SMTP:     upstream.Endpoint{Host: "127.0.0.1", Port: bed.Submissions, TLS: mode},
			Username: me, RootCAs: bed.Pool(),
			Password: func(context.Context) (string, error) { return peers.Password, nil },
		}
		if mode == upstream.StartTLS {
			cfg.IMAP.Port, cfg.SMTP.Port = bed.IMAP, bed.Submission
		}
		configs[name] = cfg
		if err := upstream.CheckLogin(t.Context(), cfg); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		cfg.Password = func(context.Context) (string, error) { return "wrong", nil }
		if err := upstream.CheckLogin(t.Context(), cfg); !upstream.IsAuth(err) {
			t.Errorf("%s with a wrong password: %v", name, err)
		}
		imapOnly := cfg
		imapOnly.IMAP = configs[name].IMAP
		if _, err := upstream.Submit(t.Context(), imapOnly, upstream.Envelope{From: me, To: []string{you}}, letter); !upstream.IsAuth(err) {
			t.Errorf("%s, submission with a wrong password: %v", name, err)
		}
	}
	cfg := configs["STARTTLS"]
	idle, conn := dial(t, cfg), dial(t, configs["TLS"])
	caps := conn.Caps()
	if !caps.UIDPlus || !caps.Move || !caps.Idle || !caps.SpecialUse || !caps.Condstore || !caps.ESearch || !caps.ListStatus || caps.XChatmail {
		t.Errorf("capabilities: %+v", caps)
	}
	dovecotFolders(t, conn)
	dovecotNews(t, bed, cfg, idle, conn, me, you)
	dovecotChanges(t, conn)
}

func dovecotFolders(t *testing.T, conn *upstream.Conn) {
	t.Helper()
	ctx := t.Context()
	for _, name := range []string{"Ärger & Söhne", "A.B", "gone"} {
		if err := conn.Create(ctx, name); err != nil {
			t.Fatal(err)
		}
		if err := conn.Subscribe(ctx, name, true); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Rename(ctx, "gone", "kept"); err != nil {
		t.Fatal(err)
	}
	folders, err := conn.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]upstream.Folder{}
	for _, f := range folders {
		got[f.Name] = f
	}
	for name, want := range map[string]upstream.Folder{
		"INBOX": {}, "Ärger & Söhne": {Subscribed: true}, "A": {NoSelect: true}, "A.B": {Subscribed: true},
		"Sent": {Use: mailbox.UseSent, Subscribed: true}, "Trash": {Use: mailbox.UseTrash, Subscribed: true}, "kept": {},
	} {
		want.Name, want.Delim = name, '.'
		if name == "INBOX" {
			want.Subscribed = got[name].Subscribed
		}
		if got[name] != want {
			t.Errorf("got  %+v\nwant %+v", got[name], want)
		}
	}
	statuses, err := conn.Statuses(ctx, []string{"INBOX", "Ärger & Söhne", "nowhere"})
	if err != nil || len(statuses) < 2 || statuses["Ärger & Söhne"].UIDValidity == 0 {
		t.Errorf("Statuses: %v, %v", statuses, err)
	}
	if err := conn.Create(ctx, "kept"); !upstream.IsRefused(err) {
		t.Errorf("creating twice: %v", err)
	}
}

// dovecotNews submits mail while another connection is in IDLE.
func dovecotNews(t *testing.T, bed *peers.Bed, cfg upstream.Config, idle, conn *upstream.Conn, me, you string) {
	t.Helper()
	if _, err := idle.Select(t.Context(), "INBOX", true); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	news, done := make(chan struct{}, 10), make(chan error, 1)
	go func() { done <- idle.Idle(ctx, func() { news <- struct{}{} }) }()
	env := upstream.Envelope{From: me, To: []string{me, you, "nobody@" + peers.Domain, "x@elsewhere.example"}}
	result, err := upstream.Submit(ctx, cfg, env, letter)
	if err != nil {
		t.Fatal(err)
	}
	var outcomes []upstream.Outcome
	for _, r := range result.Recipients {
		outcomes = append(outcomes, r.Outcome)
	}
	if want := []upstream.Outcome{upstream.Accepted, upstream.Accepted, upstream.Refused, upstream.Refused}; !slices.Equal(outcomes, want) {
		t.Errorf("outcomes: %+v", result)
	}
	select {
	case <-news:
	case <-ctx.Done():
		t.Fatal("no news of the mail")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	stored := bed.WaitMail(me, "INBOX", 1)
	if _, err := conn.Select(t.Context(), "INBOX", false); err != nil {
		t.Fatal(err)
	}
	body, err := conn.Body(t.Context(), 1, 1<<20)
	if err != nil || !bytes.Equal(body, stored[0]) || !bytes.HasSuffix(body, []byte("\r\n\r\n.\r\n..dots\r\nGrüße\r\n")) {
		t.Errorf("got %q, %v\non disk %q", body, err, stored[0])
	}
}

func dovecotChanges(t *testing.T, conn *upstream.Conn) {
	t.Helper()
	ctx := t.Context()
	before, err := conn.Select(ctx, "Drafts", false)
	if err != nil {
		t.Fatal(err)
	}
	if !before.AnyKeyword || before.UIDNext != 1 {
		t.Errorf("Drafts: %+v", before)
	}
	for i := range 10 {
		msg := fmt.Appendf(nil, "Message-ID: <d%d@x>\r\nSubject: %d\r\n\r\nText %d\r\n", i, i, i)
		validity, uid, err := conn.Append(ctx, "Drafts", mailbox.NewFlags(mailbox.Draft), time.Now(), msg)
		if err != nil || uid != uint32(i+1) || validity != before.UIDValidity {
			t.Fatalf("append: %d %d %v", validity, uid, err)
		}
	}
	if err := conn.Store(ctx, []uint32{2, 4}, mailbox.StoreAdd, mailbox.NewFlags("$Todo", mailbox.Deleted)); err != nil {
		t.Fatal(err)
	}
	st, err := conn.Status(ctx, "Drafts")
	if err != nil || st.HighestModSeq == 0 || st.Messages != 10 {
		t.Errorf("status: %+v, %v", st, err)
	}
	since, err := conn.FlagsSince(ctx, before.HighestModSeq)
	if err != nil || len(since) != 10 {
		t.Errorf("changed: %v, %v", since, err)
	}
	if found, err := conn.SearchMessageID(ctx, "d7@x"); err != nil || !slices.Equal(found, []uint32{8}) {
		t.Errorf("by Message-ID: %v, %v", found, err)
	}
	if found, err := conn.SearchText(ctx, []uint32{1, 2, 3}, mailbox.FieldBody, "text 1"); err != nil || !slices.Equal(found, []uint32{2}) {
		t.Errorf("by text: %v, %v", found, err)
	}
	copied, err := conn.Copy(ctx, []uint32{1, 3}, "Junk")
	if err != nil || copied.Map[3] != 2 {
		t.Errorf("copy: %v, %v", copied, err)
	}
	moved, err := conn.Move(ctx, []uint32{9, 5}, "Trash")
	if err != nil || moved.Map[5] != 1 || moved.Map[9] != 2 {
		t.Errorf("move: %v, %v", moved, err)
	}
	if err := conn.Expunge(ctx, []uint32{1, 4}); err != nil {
		t.Error(err)
	}
	if uids, err := conn.UIDs(ctx); err != nil || !slices.Equal(uids, []uint32{1, 2, 3, 6, 7, 8, 10}) {
		t.Errorf("left: %v, %v", uids, err)
	}
	n := 0
	err = conn.Index(ctx, 3, []string{"Subject", "Secure-Join"}, func(s upstream.Summary) error {
		n++
		if want := fmt.Sprintf("Subject: %d\r\n\r\n", s.UID-1); string(s.Header) != want || s.InternalDate.IsZero() {
			t.Errorf("index: %+v", s)
		}
		return nil
	})
	if err != nil || n != 5 {
		t.Errorf("index: %d, %v", n, err)
	}
}
