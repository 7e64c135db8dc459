package upstream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"mailbridge/internal/provider"
	"mailbridge/mailbox"
	"mailbridge/upstream"
)

const (
	alice    = "alice@example.org"
	password = "geheim, mit ümläuten \"und\" \\"
)

func newProvider(t *testing.T, without ...string) *provider.Provider {
	t.Helper()
	users := map[string]string{alice: password, "bob@example.org": "pw-bob"}
	return provider.NewTest(t, provider.Options{Users: users, Without: without})
}

func endpoint(addr *net.TCPAddr, mode upstream.TLSMode) upstream.Endpoint {
	return upstream.Endpoint{Host: addr.IP.String(), Port: addr.Port, TLS: mode}
}

func configOf(p *provider.Provider) upstream.Config {
	return upstream.Config{
		IMAP:     endpoint(p.IMAPSAddr(), upstream.ImplicitTLS),
		SMTP:     endpoint(p.SMTPSAddr(), upstream.ImplicitTLS),
		Username: alice,
		Password: func(context.Context) (string, error) { return password, nil },
		RootCAs:  p.Pool(),
	}
}

func dial(t *testing.T, cfg upstream.Config) *upstream.Conn {
	t.Helper()
	conn, err := upstream.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// open dials and selects INBOX.
func open(t *testing.T, p *provider.Provider) *upstream.Conn {
	t.Helper()
	conn := dial(t, configOf(p))
	if _, err := conn.Select(t.Context(), "INBOX", false); err != nil {
		t.Fatal(err)
	}
	return conn
}

func deliver(t *testing.T, p *provider.Provider, n int) [][]byte {
	t.Helper()
	var all [][]byte
	for i := range n {
		msg := fmt.Appendf(nil, "From: bob@example.org\r\nSubject: number %d\r\nMessage-ID: <m%d@example.org>\r\n\r\nText %d\r\n", i, i, i)
		if err := p.Deliver(alice, msg); err != nil {
			t.Fatal(err)
		}
		all = append(all, msg)
	}
	return all
}

func TestCheckLogin(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	wrong := func(context.Context) (string, error) { return "wrong", nil }
	locked := errors.New("the key is locked")
	tests := []struct {
		name   string
		change func(*upstream.Config)
		ok     func(error) bool
	}{
		{"implicit TLS", func(*upstream.Config) {}, func(err error) bool { return err == nil }},
		{"STARTTLS", func(c *upstream.Config) {
			c.IMAP, c.SMTP = endpoint(p.IMAPAddr(), upstream.StartTLS), endpoint(p.SMTPAddr(), upstream.StartTLS)
		}, func(err error) bool { return err == nil }},
		{"wrong password", func(c *upstream.Config) { c.Password = wrong }, upstream.IsAuth},
		{"unknown user", func(c *upstream.Config) { c.Username = "nobody@example.org" }, upstream.IsAuth},
		{"no password", func(c *upstream.Config) {
			c.Password = func(context.Context) (string, error) { return "", locked }
		}, func(err error) bool { return errors.Is(err, locked) }},
		{"certificate of an unknown authority", func(c *upstream.Config) { c.RootCAs = nil }, upstream.IsCertificate},
		{"certificate of an unknown authority, STARTTLS", func(c *upstream.Config) {
			c.RootCAs, c.IMAP = nil, endpoint(p.IMAPAddr(), upstream.StartTLS)
		}, upstream.IsCertificate},
		{"SMTP certificate of an unknown authority, STARTTLS", func(c *upstream.Config) {
			c.RootCAs = nil
			c.IMAP = endpoint(p.SMTPAddr(), upstream.StartTLS)
		}, func(err error) bool { return err != nil }},
		{"TLS on the STARTTLS port", func(c *upstream.Config) { c.IMAP = endpoint(p.IMAPAddr(), upstream.ImplicitTLS) }, upstream.IsCertificate},
		{"nobody listens", func(c *upstream.Config) { c.IMAP.Port = 1 }, upstream.IsUnreachable},
		{"nobody listens for SMTP", func(c *upstream.Config) { c.SMTP.Port = 1 }, upstream.IsUnreachable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			cfg := configOf(p)
			test.change(&cfg)
			if err := upstream.CheckLogin(t.Context(), cfg); !test.ok(err) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestNoCleartext(t *testing.T) {
	t.Parallel()
	p := provider.NewTest(t, provider.Options{Users: map[string]string{alice: password}, Plaintext: true,
		Trace: func(c provider.Command) { t.Errorf("the provider saw %s", c.Name) }})
	cfg := configOf(p)
	cfg.IMAP, cfg.SMTP = endpoint(p.IMAPAddr(), upstream.StartTLS), endpoint(p.SMTPAddr(), upstream.StartTLS)
	if _, err := upstream.Dial(t.Context(), cfg); !upstream.IsCertificate(err) {
		t.Errorf("IMAP without STARTTLS: %v", err)
	}
	_, err := upstream.Submit(t.Context(), cfg, upstream.Envelope{From: alice, To: []string{alice}}, []byte("x"))
	if !upstream.IsCertificate(err) {
		t.Errorf("SMTP without STARTTLS: %v", err)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	for _, without := range [][]string{nil, {"SPECIAL-USE", "LIST-EXTENDED", "LIST-STATUS"}} {
		p := newProvider(t, without...)
		for _, name := range []string{"Ärger & Söhne", "Projekte/2026 “neu”"} {
			if err := p.Create(alice, name, ""); err != nil {
				t.Fatal(err)
			}
		}
		conn := dial(t, configOf(p))
		folders, err := conn.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		use := map[string]mailbox.Use{}
		for _, f := range folders {
			use[f.Name] = f.Use
		}
		for name, want := range map[string]mailbox.Use{
			"INBOX": "", "Sent": mailbox.UseSent, "Trash": mailbox.UseTrash, "Drafts": mailbox.UseDrafts,
			"Junk": mailbox.UseJunk, "Ärger & Söhne": "", "Projekte/2026 “neu”": "",
		} {
			if got, ok := use[name]; !ok || got != want {
				t.Errorf("without %v: %q: use %q, listed %v", without, name, got, ok)
			}
		}
		deliver(t, p, 3)
		names := []string{"INBOX", "Ärger & Söhne", "nowhere"}
		statuses, err := conn.Statuses(t.Context(), names)
		if err != nil || statuses["INBOX"].Messages != 3 || statuses["INBOX"].UIDNext != 4 {
			t.Errorf("Statuses: %v, %v", statuses, err)
		}
		if _, ok := statuses["nowhere"]; ok {
			t.Error("status of a mailbox that is not there")
		}
		if st, err := conn.Status(t.Context(), "Ärger & Söhne"); err != nil || st.UIDValidity == 0 {
			t.Errorf("Status: %v, %v", st, err)
		}
	}
}

func TestFolders(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	conn, ctx := dial(t, configOf(p)), t.Context()
	for _, step := range []func() error{
		func() error { return conn.Create(ctx, "Grüße/neu") },
		func() error { return conn.Subscribe(ctx, "Grüße/neu", true) },
		func() error { return conn.Subscribe(ctx, "Grüße/neu", false) },
		func() error { return conn.Rename(ctx, "Grüße/neu", "Grüße/alt") },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	if names := p.Mailboxes(alice); !slices.Contains(names, "Grüße/alt") || slices.Contains(names, "Grüße/neu") {
		t.Errorf("mailboxes: %q", names)
	}
	if err := conn.Delete(ctx, "Grüße/alt"); err != nil {
		t.Error(err)
	}
	if err := conn.Delete(ctx, "Grüße/alt"); !upstream.IsRefused(err) || upstream.ClassOf(err) != upstream.Permanent {
		t.Errorf("deleting twice: %v", err)
	}
	if _, err := conn.Select(ctx, "Grüße/alt", false); !upstream.IsRefused(err) {
		t.Errorf("selecting what is gone: %v", err)
	}
	if _, err := conn.UIDs(ctx); !errors.Is(err, upstream.ErrNotSelected) {
		t.Errorf("after a refused SELECT: %v", err)
	}
}

func TestIndex(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	msgs := deliver(t, p, 300)
	if err := p.SetFlags(alice, "INBOX", 7, `\Seen`, "$Forwarded", "$Encrypted"); err != nil {
		t.Fatal(err)
	}
	conn := open(t, p)
	index := func(from uint32, fields []string) (list []upstream.Summary) {
		t.Helper()
		err := conn.Index(t.Context(), from, fields, func(s upstream.Summary) error {
			list = append(list, s)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	all := index(1, nil)
	if len(all) != 300 {
		t.Fatalf("%d messages", len(all))
	}
	for i, s := range all {
		header, _, _ := bytes.Cut(msgs[i], []byte("\r\n\r\n"))
		if s.UID != uint32(i+1) || s.Size != int64(len(msgs[i])) || s.InternalDate.IsZero() || !bytes.Equal(s.Header, append(header, "\r\n\r\n"...)) {
			t.Fatalf("message %d: %+v", i, s)
		}
	}
	if got := all[6].Flags.String(); got != `$Forwarded \Seen` {
		t.Errorf("flags: %q", got)
	}
	if some := index(299, []string{"Subject"}); len(some) != 2 || string(some[0].Header) != "Subject: number 298\r\n\r\n" {
		t.Errorf("from 299: %+v", some)
	}
	if none := index(301, []string{}); len(none) != 0 {
		t.Errorf("from 301: %+v", none)
	}
	stop := errors.New("enough")
	if err := conn.Index(t.Context(), 1, nil, func(upstream.Summary) error { return stop }); err != stop {
		t.Errorf("error of the caller: %v", err)
	}
	if uids, err := conn.UIDs(t.Context()); err != nil || len(uids) != 300 || conn.Broken() {
		t.Errorf("after it: %d UIDs, %v", len(uids), err)
	}
}

func TestFetch(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	msgs := deliver(t, p, 3)
	big := []byte("Subject: big\r\n\r\n" + strings.Repeat("0123456789\r\n", 1<<18))
	if err := p.Deliver(alice, big); err != nil {
		t.Fatal(err)
	}
	conn, ctx := open(t, p), t.Context()
	if got, err := conn.Body(ctx, 4, 64<<20); err != nil || !bytes.Equal(got, big) {
		t.Errorf("big: %d octets, %v", len(got), err)
	}
	if _, err := conn.Body(ctx, 4, int64(len(big)-1)); !errors.Is(err, upstream.ErrTooLarge) {
		t.Errorf("over the limit: %v", err)
	}
	if got, err := conn.Body(ctx, 4, int64(len(big))); err != nil || len(got) != len(big) {
		t.Errorf("at the limit: %v", err)
	}
	if _, err := conn.Body(ctx, 99, 1000); !errors.Is(err, upstream.ErrNotFound) {
		t.Errorf("not there: %v", err)
	}
	starts := map[uint32]string{}
	err := conn.Peeks(ctx, []uint32{2, 3, 99}, 4, func(uid uint32, text []byte) error {
		starts[uid] = string(text)
		return nil
	})
	if err != nil || len(starts) != 2 || starts[2] != "Text" || len(starts[3]) > 4 {
		t.Errorf("Peeks: %v, %v", starts, err)
	}
	bodies := map[uint32][]byte{}
	err = conn.Bodies(ctx, []uint32{3, 1, 4, 50}, 1000, func(uid uint32, msg []byte) error {
		bodies[uid] = msg
		return nil
	})
	if err != nil || len(bodies) != 3 || !bytes.Equal(bodies[3], msgs[2]) || !bytes.Equal(bodies[1], msgs[0]) || bodies[4] != nil {
		t.Errorf("Bodies: %d, %v", len(bodies), err)
	}
	headers := 0
	err = conn.Headers(ctx, []uint32{2, 3}, func(s upstream.Summary) error {
		headers++
		if !bytes.HasSuffix(s.Header, []byte("\r\n\r\n")) {
			t.Errorf("header: %q", s.Header)
		}
		return nil
	})
	if err != nil || headers != 2 {
		t.Errorf("Headers: %d, %v", headers, err)
	}
	for _, m := range p.Messages(alice, "INBOX") {
		if slices.Contains(m.Flags, `\Seen`) {
			t.Errorf("reading marked UID %d as seen", m.UID)
		}
	}
}

func flagsOf(t *testing.T, conn *upstream.Conn) map[uint32]string {
	t.Helper()
	list, err := conn.Flags(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	out := map[uint32]string{}
	for _, f := range list {
		out[f.UID] = f.Flags.String()
	}
	return out
}

func TestStore(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	deliver(t, p, 5)
	conn, ctx := open(t, p), t.Context()
	steps := []struct {
		uids   []uint32
		action mailbox.StoreAction
		flags  mailbox.Flags
	}{
		{[]uint32{1, 2, 5}, mailbox.StoreAdd, mailbox.NewFlags(mailbox.Seen, "Todo", mailbox.Verified)},
		{[]uint32{2}, mailbox.StoreRemove, mailbox.NewFlags("Todo")},
		{[]uint32{5}, mailbox.StoreReplace, mailbox.NewFlags(mailbox.Flagged)},
		{[]uint32{3}, mailbox.StoreAdd, mailbox.NewFlags(mailbox.Encrypted, "bad]flag")},
	}
	for _, s := range steps {
		if err := conn.Store(ctx, s.uids, s.action, s.flags); err != nil {
			t.Fatal(err)
		}
	}
	got := flagsOf(t, conn)
	for uid, want := range map[uint32]string{1: `Todo \Seen`, 2: `\Seen`, 3: "", 4: "", 5: `\Flagged`} {
		if got[uid] != want {
			t.Errorf("UID %d: %q, want %q", uid, got[uid], want)
		}
	}
}

func TestMove(t *testing.T) {
	t.Parallel()
	tests := []struct {
		without []string
		mapped  bool
		left    int // of 200 messages, 100 of which were marked by somebody else
	}{
		{nil, true, 100},
		{[]string{"MOVE"}, true, 100},
		{[]string{"MOVE", "UIDPLUS"}, false, 200},
	}
	for _, test := range tests {
		t.Run(strings.Join(test.without, " "), func(t *testing.T) {
			t.Parallel()
			p := newProvider(t, test.without...)
			deliver(t, p, 200)
			conn, ctx := open(t, p), t.Context()
			var odd, even []uint32
			for uid := uint32(1); uid <= 200; uid++ {
				if uid%2 == 1 {
					odd = append(odd, uid)
				} else {
					even = append(even, uid)
				}
			}
			if err := conn.Store(ctx, even, mailbox.StoreAdd, mailbox.NewFlags(mailbox.Deleted)); err != nil {
				t.Fatal(err)
			}
			result, err := conn.Move(ctx, odd, "Trash")
			if err != nil {
				t.Fatal(err)
			}
			if moved := p.Messages(alice, "Trash"); len(moved) != 100 {
				t.Errorf("%d in Trash", len(moved))
			}
			if left := p.Messages(alice, "INBOX"); len(left) != test.left {
				t.Errorf("%d in INBOX", len(left))
			}
			if test.mapped && (len(result.Map) != 100 || result.Map[3] != 2 || result.UIDValidity == 0) {
				t.Errorf("COPYUID: %d entries, 3 -> %d", len(result.Map), result.Map[3])
			}
		})
	}
}

func TestCopyExpunge(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	deliver(t, p, 4)
	conn, ctx := open(t, p), t.Context()
	result, err := conn.Copy(ctx, []uint32{4, 2}, "Junk")
	if err != nil || result.Map[2] != 1 || result.Map[4] != 2 {
		t.Errorf("Copy: %v, %v", result, err)
	}
	if _, err := conn.Copy(ctx, []uint32{1}, "nowhere"); !upstream.IsRefused(err) {
		t.Errorf("Copy to nowhere: %v", err)
	}
	for _, uids := range [][]uint32{{1, 2}, {3}} {
		if err := conn.Store(ctx, uids, mailbox.StoreAdd, mailbox.NewFlags(mailbox.Deleted)); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Expunge(ctx, []uint32{1, 2, 4}); err != nil {
		t.Fatal(err)
	}
	if uids, err := conn.UIDs(ctx); err != nil || !slices.Equal(uids, []uint32{3, 4}) {
		t.Errorf("left: %v, %v", uids, err)
	}
}

func TestAppendSearch(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	conn, ctx := dial(t, configOf(p)), t.Context()
	date := time.Date(2021, 3, 4, 5, 6, 7, 0, time.FixedZone("", 3600))
	small := []byte("Message-ID: <a@example.org>\r\nSubject: small\r\n\r\nGrüße\r\n")
	big := append([]byte("Message-ID: <b@example.org>\r\n\r\n"), bytes.Repeat([]byte("line of text\r\n"), 100_000)...)
	validity, uid, err := conn.Append(ctx, "Sent", mailbox.NewFlags(mailbox.Seen, mailbox.Encrypted, "Work"), date, small)
	if err != nil || uid != 1 || validity == 0 {
		t.Errorf("small: %d %d %v", validity, uid, err)
	}
	if _, uid, err := conn.Append(ctx, "Sent", nil, time.Time{}, big); err != nil || uid != 2 {
		t.Errorf("big: %d %v", uid, err)
	}
	stored := p.Messages(alice, "Sent")
	if len(stored) != 2 || !bytes.Equal(stored[0].Data, small) || !bytes.Equal(stored[1].Data, big) || !stored[0].InternalDate.Equal(date) {
		t.Fatalf("stored: %d", len(stored))
	}
	if slices.Contains(stored[0].Flags, "$Encrypted") || !slices.Contains(stored[0].Flags, `\Seen`) {
		t.Errorf("flags: %q", stored[0].Flags)
	}
	if _, err := conn.Select(ctx, "Sent", true); err != nil {
		t.Fatal(err)
	}
	if found, err := conn.SearchMessageID(ctx, "b@example.org"); err != nil || !slices.Equal(found, []uint32{2}) {
		t.Errorf("by Message-ID: %v, %v", found, err)
	}
	if found, err := conn.SearchText(ctx, []uint32{1, 2}, mailbox.FieldBody, "Grüße"); err != nil || !slices.Equal(found, []uint32{1}) {
		t.Errorf("by text: %v, %v", found, err)
	}
	_, _, err = conn.Append(ctx, "nowhere", nil, date, small)
	if !upstream.IsRefused(err) || upstream.ClassOf(err) != upstream.Permanent {
		t.Errorf("append to nowhere: %v", err)
	}
}

// TestUnknownOutcome cuts the connection around a change; the class must not lie.
func TestUnknownOutcome(t *testing.T) {
	t.Parallel()
	tests := []struct {
		command string
		call    func(context.Context, *upstream.Conn) error
		want    upstream.Class
	}{
		{"APPEND", func(ctx context.Context, c *upstream.Conn) error {
			_, _, err := c.Append(ctx, "Sent", nil, time.Time{}, []byte("Subject: x\r\n\r\nx\r\n"))
			return err
		}, upstream.Unknown},
		{"MOVE", func(ctx context.Context, c *upstream.Conn) error {
			_, err := c.Move(ctx, []uint32{1}, "Trash")
			return err
		}, upstream.Unknown},
		{"STORE", func(ctx context.Context, c *upstream.Conn) error {
			return c.Store(ctx, []uint32{1}, mailbox.StoreAdd, mailbox.NewFlags(mailbox.Seen))
		}, upstream.Unknown},
		{"CREATE", func(ctx context.Context, c *upstream.Conn) error { return c.Create(ctx, "New") }, upstream.Unknown},
		{"FETCH", func(ctx context.Context, c *upstream.Conn) error {
			_, err := c.Body(ctx, 1, 1000)
			return err
		}, upstream.Temporary},
	}
	for _, test := range tests {
		for _, effect := range []provider.Effect{provider.CutBefore, provider.CutAfter} {
			t.Run(fmt.Sprint(test.command, effect), func(t *testing.T) {
				t.Parallel()
				p := newProvider(t)
				deliver(t, p, 1)
				conn := open(t, p)
				p.Inject(provider.Fault{Command: test.command, Effect: effect, Times: 1})
				err := test.call(t.Context(), conn)
				if upstream.ClassOf(err) != test.want || !upstream.IsUnreachable(err) {
					t.Errorf("got %v, class %v", err, upstream.ClassOf(err))
				}
				if !conn.Broken() {
					t.Error("the connection is not broken")
				}
				if err := conn.Store(t.Context(), []uint32{1}, mailbox.StoreAdd, mailbox.NewFlags(mailbox.Seen)); upstream.ClassOf(err) != upstream.Temporary {
					t.Errorf("on a broken connection: %v", err)
				}
			})
		}
	}
}

// TestCancel ends the context of a command that the provider does not answer.
func TestCancel(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	deliver(t, p, 1)
	conn := open(t, p)
	held := p.Inject(provider.Fault{Command: "STORE", Effect: provider.Hold})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-held.Reached()
		cancel()
	}()
	err := conn.Store(ctx, []uint32{1}, mailbox.StoreAdd, mailbox.NewFlags(mailbox.Seen))
	if !errors.Is(err, context.Canceled) || upstream.ClassOf(err) != upstream.Unknown {
		t.Errorf("got %v", err)
	}
	held.Release()
}

// TestSilence has a provider that takes a command and says nothing.
func TestSilence(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	cfg := configOf(p)
	cfg.Timeouts.Command = 100 * time.Millisecond
	conn := dial(t, cfg)
	held := p.Inject(provider.Fault{Command: "SELECT", Effect: provider.Hold})
	_, err := conn.Select(t.Context(), "INBOX", false)
	if !upstream.IsUnreachable(err) || !strings.Contains(err.Error(), "silent") {
		t.Errorf("got %v", err)
	}
	held.Release()
}

func TestIdle(t *testing.T) {
	t.Parallel()
	for _, without := range [][]string{nil, {"IDLE"}} {
		t.Run(strings.Join(without, " "), func(t *testing.T) {
			t.Parallel()
			p := newProvider(t, without...)
			deliver(t, p, 1)
			cfg := configOf(p)
			cfg.Timeouts.IdlePoll = 20 * time.Millisecond
			cfg.Timeouts.Idle = 50 * time.Millisecond // so that it is re-issued on the way
			conn := dial(t, cfg)
			if _, err := conn.Select(t.Context(), "INBOX", false); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			news, done := make(chan struct{}, 100), make(chan error, 1)
			go func() { done <- conn.Idle(ctx, func() { news <- struct{}{} }) }()
			for i := range 5 {
				deliver(t, p, 1)
				<-news
				if i == 3 {
					if err := p.Remove(alice, "INBOX", 1); err != nil {
						t.Fatal(err)
					}
					<-news
				}
			}
			cancel()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if uids, err := conn.UIDs(t.Context()); err != nil || len(uids) != 5 {
				t.Errorf("after IDLE: %v, %v", uids, err)
			}
		})
	}
}

// TestNewsBeforeIdle delivers between SELECT and IDLE; it must not be lost.
func TestNewsBeforeIdle(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	conn := open(t, p)
	deliver(t, p, 1)
	if err := conn.Noop(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := conn.Idle(ctx, cancel); err != nil {
		t.Fatal(err)
	}
}

func TestIdleLost(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	conn := open(t, p)
	deliver(t, p, 1)
	err := conn.Idle(t.Context(), p.Cut)
	if !upstream.IsUnreachable(err) || !conn.Broken() {
		t.Errorf("got %v", err)
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	conn := open(t, p)
	idle := make(chan error, 1)
	deliver(t, p, 1)
	news := make(chan struct{}, 10)
	go func() { idle <- conn.Idle(t.Context(), func() { news <- struct{}{} }) }()
	<-news
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-idle; !errors.Is(err, upstream.ErrClosed) {
		t.Errorf("Idle: %v", err)
	}
	if err := conn.Noop(t.Context()); !errors.Is(err, upstream.ErrClosed) {
		t.Errorf("Noop: %v", err)
	}
}
