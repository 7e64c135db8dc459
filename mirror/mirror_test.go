package mirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mailbridge/db"
	"mailbridge/internal/provider"
	"mailbridge/mailbox"
	"mailbridge/upstream"
)

const (
	user     = "alice@example.org"
	password = "correct horse"
)

// patience is how long a test waits for what must happen. It is never reached unless the
// test fails.
const patience = 30 * time.Second

// oracle is an Ingester that does what a message asks for in its own header.
type oracle struct {
	mu    sync.Mutex
	asked []string // subjects, in order
	hold  bool     // hold what asks for it
	pad   int      // octets by which views are longer
}

func (o *oracle) Candidate(header []byte) bool {
	return strings.HasPrefix(strings.TrimSpace(field(header, "Content-Type")), "multipart/encrypted")
}

func (o *oracle) Ingest(_ context.Context, a Arrival) (Ruling, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	subject := strings.TrimSpace(field(headerBlock(a.Raw), "Subject"))
	o.asked = append(o.asked, subject)
	switch verb, _, _ := strings.Cut(subject, " "); verb {
	case "open":
		view := append(viewOf(subject), make([]byte, o.pad)...)
		return Ruling{Verdict: Deliver, Kind: Opened, View: view, Keywords: mailbox.NewFlags(mailbox.Encrypted)}, nil
	case "hide":
		return Ruling{Verdict: Hide}, nil
	case "consume":
		return Ruling{Verdict: Consume}, nil
	case "fail":
		return Ruling{}, errors.New("no")
	case "hold":
		if o.hold {
			return Ruling{Verdict: Hold, RetryAt: time.Now().Add(time.Hour)}, nil
		}
		return Ruling{Verdict: Deliver, Kind: Opened, View: viewOf(subject)}, nil
	case "sign":
		return Ruling{Verdict: Deliver, Kind: Signed, Prefix: []byte("Mailbridge-Security: test\r\n")}, nil
	}
	return Ruling{Verdict: Deliver}, nil
}

func (o *oracle) subjects() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.asked)
}

// viewOf is what the oracle decrypts a message to.
func viewOf(subject string) []byte {
	return []byte("Subject: view of " + subject + "\r\n\r\nplaintext of " + subject + "\r\n")
}

// plain makes an ordinary message.
func plain(subject string) []byte {
	return []byte("From: bob@example.org\r\nTo: " + user + "\r\nSubject: " + subject + "\r\nMessage-ID: <" +
		strings.ReplaceAll(subject, " ", ".") + "@example.org>\r\nContent-Type: text/plain\r\n\r\nbody of " + subject + "\r\n")
}

// sealed makes a message that looks encrypted; its subject says what the oracle rules.
func sealed(subject string) []byte {
	return bytes.Replace(plain(subject), []byte("text/plain"), []byte("multipart/encrypted; boundary=x"), 1)
}

// bed is a provider, an index and a mirror between them.
type bed struct {
	t        *testing.T
	p        *provider.Provider
	real     upstream.Config // instead of p
	db       *db.DB
	m        *Mirror
	oracle   *oracle
	ingester Ingester
	opts     Options
	noted    sync.Mutex
	notes    []string // subjects
	cancel   context.CancelFunc
	ended    chan error
}

// newBed starts a provider and an index. The mirror is started by start.
func newBed(t *testing.T, po provider.Options, o Options) *bed {
	t.Helper()
	po.Users = map[string]string{user: password}
	po.Unguarded = true
	b := &bed{t: t, p: provider.NewTest(t, po), opts: o}
	b.prepare()
	return b
}

// prepare opens the index.
func (b *bed) prepare() {
	t := b.t
	t.Helper()
	b.oracle = &oracle{}
	b.ingester = b.oracle
	index, err := db.Open(t.Context(), filepath.Join(t.TempDir(), "index.db"), db.NewKey(), db.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b.db = index
	t.Cleanup(func() {
		b.stop()
		index.Close()
	})
}

func (b *bed) config() upstream.Config {
	if b.p == nil {
		return b.real
	}
	addr := b.p.IMAPSAddr()
	return upstream.Config{
		IMAP:     upstream.Endpoint{Host: addr.IP.String(), Port: addr.Port, TLS: upstream.ImplicitTLS},
		Username: user,
		Password: func(context.Context) (string, error) { return password, nil },
		RootCAs:  b.p.Pool(),
	}
}

// start runs a new mirror over the index, as after a restart.
func (b *bed) start() {
	b.t.Helper()
	b.make()
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel, b.ended = cancel, make(chan error, 1)
	go func(m *Mirror) { b.ended <- m.Run(ctx) }(b.m)
}

// make makes the mirror without running it.
func (b *bed) make() {
	b.t.Helper()
	o := b.opts
	o.Note = func(tx *db.Tx, subject, text string) error {
		tx.AfterCommit(func() {
			b.noted.Lock()
			defer b.noted.Unlock()
			b.notes = append(b.notes, subject)
		})
		return nil
	}
	m, err := New(context.Background(), b.db, b.config(), b.ingester, o)
	if err != nil {
		b.t.Fatal(err)
	}
	m.backoff.Min, m.backoff.Max = time.Millisecond, 10*time.Millisecond
	b.m = m
}

// stop ends the mirror as a crash would: whatever it was doing is not finished.
func (b *bed) stop() {
	b.t.Helper()
	if b.cancel == nil {
		return
	}
	b.cancel()
	select {
	case err := <-b.ended:
		if !errors.Is(err, context.Canceled) {
			b.t.Errorf("Run: %v", err)
		}
	case <-time.After(patience):
		b.t.Fatal("Run did not end")
	}
	b.cancel = nil
}

// synced waits until both sides agree.
func (b *bed) synced() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	if err := b.m.Synced(ctx); err != nil {
		b.t.Fatalf("not in sync: %v, state %+v", err, b.m.State())
	}
}

// eventually waits for cond, which is asked again whenever a mailbox changes.
func (b *bed) eventually(what string, cond func() bool) {
	b.t.Helper()
	deadline := time.Now().Add(patience)
	for !cond() {
		if time.Now().After(deadline) {
			b.t.Fatalf("never: %s; state %+v", what, b.m.State())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// wantNotes compares the number of notes that the user got.
func (b *bed) wantNotes(n int) {
	b.t.Helper()
	b.noted.Lock()
	defer b.noted.Unlock()
	if len(b.notes) != n {
		b.t.Errorf("notes: %q, want %d", b.notes, n)
	}
}

// deliver puts a message at the provider. What comes before the first start is old mail.
func (b *bed) deliver(box string, raw []byte, flags ...string) uint32 {
	b.t.Helper()
	date := time.Now().Truncate(time.Second)
	if b.m == nil {
		date = time.Date(2024, 2, 29, 12, 0, 0, 0, time.FixedZone("", 3600))
	}
	uid, err := b.p.Put(user, box, raw, flags, date)
	if err != nil {
		b.t.Fatal(err)
	}
	return uid
}

func (b *bed) id(name string) mailbox.ID {
	b.t.Helper()
	info, err := b.m.Mailbox(b.t.Context(), name)
	if err != nil {
		b.t.Fatal(err)
	}
	return info.ID
}

// list gives a line per visible message: UID, flags, subject.
func (b *bed) list(name string) []string {
	b.t.Helper()
	id := b.id(name)
	snap, err := b.m.Snapshot(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	var lines []string
	for _, row := range snap.Rows {
		header, _, err := b.m.Header(b.t.Context(), id, row.UID)
		if err != nil {
			b.t.Fatalf("%s UID %d: %v", name, row.UID, err)
		}
		lines = append(lines, strings.TrimRight(fmt.Sprintf("%d %s %s", row.UID, strings.TrimSpace(field(header, "Subject")), row.Flags), " "))
	}
	return lines
}

func (b *bed) want(name string, lines ...string) {
	b.t.Helper()
	if got := b.list(name); !slices.Equal(got, lines) {
		b.t.Errorf("%s:\n got %q\nwant %q", name, got, lines)
	}
}

// upstream gives a line per message at the provider: flags and subject.
func (b *bed) upstream(name string) []string {
	var lines []string
	for _, msg := range b.p.Messages(user, name) {
		flags := mailbox.ParseFlags(strings.Join(msg.Flags, " "))
		lines = append(lines, strings.TrimRight(fmt.Sprintf("%s %s", strings.TrimSpace(field(headerBlock(msg.Data), "Subject")), flags), " "))
	}
	return lines
}

func (b *bed) wantUpstream(name string, lines ...string) {
	b.t.Helper()
	if got := b.upstream(name); !slices.Equal(got, lines) {
		b.t.Errorf("%s at the provider:\n got %q\nwant %q", name, got, lines)
	}
}

func (b *bed) no(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func TestFirstSync(t *testing.T) {
	t.Parallel()
	b := newBed(t, provider.Options{}, Options{})
	b.deliver("INBOX", plain("one"), `\Seen`)
	b.deliver("INBOX", sealed("open two"))
	b.deliver("INBOX", plain("three"), `\Flagged`, "$Label1")
	b.deliver("INBOX", sealed("hide four"))
	b.deliver("Sent", plain("five"))
	b.start()
	b.synced()
	b.want("INBOX", `1 one \Seen`, `2 three $Label1 \Flagged`, `3 view of open two $Encrypted`)
	b.want("Sent", "1 five")
	b.wantUpstream("INBOX", `one \Seen`, "open two", `three $Label1 \Flagged`, "hide four")

	id := b.id("INBOX")
	raw, kind, err := b.m.Bytes(t.Context(), id, 1)
	if err != nil || kind != Ordinary || !bytes.Equal(raw, plain("one")) {
		t.Errorf("Bytes(1) = %q, %s, %v", raw, kind, err)
	}
	view, kind, err := b.m.Bytes(t.Context(), id, 3)
	if err != nil || kind != Opened || !bytes.Equal(view, viewOf("open two")) {
		t.Errorf("Bytes(3) = %q, %s, %v", view, kind, err)
	}
	if raw, err := b.m.Raw(t.Context(), id, 3); err != nil || !bytes.Equal(raw, sealed("open two")) {
		t.Errorf("Raw(3) = %q, %v", raw, err)
	}
	status, err := b.m.Status(t.Context(), "inbox")
	if err != nil || status.Messages != 3 || status.Unseen != 2 || status.UIDNext != 4 {
		t.Errorf("Status = %+v, %v", status, err)
	}
}

func TestArrivals(t *testing.T) {
	t.Parallel()
	b := newBed(t, provider.Options{}, Options{})
	b.start()
	b.synced()
	id := b.id("INBOX")
	changed, stop := b.m.Watch(id)
	defer stop()
	b.deliver("INBOX", plain("one"))
	select {
	case <-changed:
	case <-time.After(patience):
		t.Fatal("no notice of a new message")
	}
	b.want("INBOX", "1 one")
	b.deliver("INBOX", sealed("consume two"))
	b.deliver("INBOX", sealed("open three"))
	b.deliver("INBOX", plain("four"))
	b.eventually("four arrives", func() bool { return len(b.list("INBOX")) == 3 })
	b.want("INBOX", "1 one", "2 view of open three $Encrypted", "3 four")
	b.synced()
	b.wantUpstream("INBOX", "one", "open three", "four")
	b.wantUpstream("Trash", "consume two")
	b.want("Trash")
	delta, err := b.m.Changes(t.Context(), id, 0)
	if err != nil || len(delta.Changed) != 3 || len(delta.Expunged) != 0 {
		t.Errorf("Changes = %+v, %v", delta, err)
	}
	if got := b.oracle.subjects(); !slices.Equal(got, []string{"consume two", "open three"}) {
		t.Errorf("asked about %q", got)
	}
}
