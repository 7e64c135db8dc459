package account_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mailbridge/account"
	"mailbridge/internal/provider"
	"mailbridge/mailbox"
	"mailbridge/message"
)

// patience bounds every wait in these tests.
const patience = 20 * time.Second

const domain = "example.org"

// world is one provider with some accounts.
type world struct {
	*testing.T
	provider *provider.Provider
	ca       string
	family   *account.Family // nil: the accounts are different people's
	ahead    atomic.Int64    // by how much the accounts' clocks are ahead
	hooks    hooks
}

// now is the accounts' clock, advance moves it on: nobody waits for minutes.
func (w *world) now() time.Time          { return time.Now().Add(time.Duration(w.ahead.Load())) }
func (w *world) advance(d time.Duration) { w.ahead.Add(int64(d)) }

func newWorld(t *testing.T, o provider.Options) *world {
	t.Helper()
	w := &world{T: t}
	o.Trace = w.hooks.trace
	w.provider = provider.NewTest(t, o)
	w.ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(w.ca, w.provider.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

// person is one account with its engine running.
type person struct {
	*account.Account
	w    *world
	dir  string
	addr string
	stop func()
}

func (w *world) options(dir string) account.Options {
	o := account.Options{
		Dir:          dir,
		Now:          w.now,
		MasterKey:    func(context.Context) ([32]byte, error) { return [32]byte{1}, nil },
		PollInterval: 200 * time.Millisecond,
		SentGrace:    300 * time.Millisecond,
		SubmitWait:   5 * time.Second,
		Family:       w.family,
	}
	if os.Getenv("MAILBRIDGE_TEST_LOG") != "" {
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("dir", filepath.Base(filepath.Dir(dir)))
	}
	return o
}

func (w *world) add(name string) *person {
	w.Helper()
	return w.addIn(name, name)
}

// addIn adds an account with a directory of its own: two with one name are two
// installations, with different keys, of one address.
func (w *world) addIn(name, dir string) *person {
	w.Helper()
	addr := name + "@" + domain
	w.provider.AddUser(addr, "pw-"+name)
	p := &person{w: w, dir: filepath.Join(w.TempDir(), dir), addr: addr}
	a, err := account.Create(w.Context(), w.options(p.dir), account.Settings{
		Address: addr, Name: strings.ToUpper(name[:1]) + name[1:], CAFile: w.ca,
		IMAP: account.Server{Host: "127.0.0.1", Port: w.provider.IMAPSAddr().Port, TLS: "tls"},
		SMTP: account.Server{Host: "127.0.0.1", Port: w.provider.SMTPAddr().Port, TLS: "starttls"},
	}, "pw-"+name)
	if err != nil {
		w.Fatalf("create %s: %v", addr, err)
	}
	p.Account = a
	p.run()
	w.Cleanup(func() { p.end() })
	return p
}

// run starts the engine and waits until it is ready.
func (p *person) run() {
	p.w.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Account.Run(ctx) }()
	p.stop = func() {
		cancel()
		<-done
	}
	ready, ok := context.WithTimeout(ctx, patience)
	defer ok()
	if err := p.Ready(ready); err != nil {
		p.w.Fatalf("%s is not ready: %v", p.addr, err)
	}
}

// end stops the engine and closes the account.
func (p *person) end() {
	if p.stop == nil {
		return
	}
	p.stop()
	p.stop = nil
	if err := p.Close(); err != nil {
		p.w.Error(err)
	}
}

// restart ends the account and opens it again from its files.
func (p *person) restart() {
	p.w.Helper()
	p.end()
	p.open()
}

// mail is a message as a client sees it.
type mail struct {
	mailbox.Row
	raw []byte
}

func (m mail) header(name string) string {
	h, _ := message.ParseHeader(m.raw)
	return h.Text(name)
}

// read gives every message of a mailbox.
func (p *person) read(name string) []mail {
	p.w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	id, err := p.Select(ctx, name, func(string) {})
	if err != nil {
		p.w.Fatalf("select %s: %v", name, err)
	}
	snapshot, err := p.Snapshot(ctx, id)
	if err != nil {
		p.w.Fatal(err)
	}
	list := make([]mail, len(snapshot.Rows))
	for i, row := range snapshot.Rows {
		raw, err := p.Message(ctx, id, row.UID)
		if err != nil {
			p.w.Fatalf("message %d of %s: %v", row.UID, name, err)
		}
		if int64(len(raw)) != row.Size {
			p.w.Errorf("message %d of %s: size %d, but %d octets", row.UID, name, row.Size, len(raw))
		}
		list[i] = mail{row, raw}
	}
	return list
}

// wait waits for a message that holds text.
func (p *person) wait(name, text string) mail {
	p.w.Helper()
	var found mail
	p.w.eventually(fmt.Sprintf("%s sees %q in %s", p.addr, text, name), func() bool {
		for _, m := range p.read(name) {
			if bytes.Contains(m.raw, []byte(text)) {
				found = m
				return true
			}
		}
		return false
	})
	return found
}

// submit sends a message that must be taken.
func (p *person) submit(to []string, raw string) string {
	p.w.Helper()
	text, err := p.Submit(context.Background(), p.addr, to, []byte(strings.ReplaceAll(raw, "\n", "\r\n")))
	if err != nil {
		p.w.Fatalf("submit: %v", err)
	}
	return text
}

func (w *world) eventually(what string, cond func() bool) {
	w.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if cond() {
			return
		}
		if time.Now().After(deadline) {
			w.Fatalf("did not happen within %v: %s", patience, what)
		}
	}
}

// shake runs a handshake: b joins a's invite.
func (w *world) shake(a, b *person) {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	invite, err := a.Invite(ctx, account.InviteOptions{})
	if err != nil {
		w.Fatal(err)
	}
	join, err := b.Join(ctx, invite.Link, account.JoinOptions{})
	if err != nil {
		w.Fatal(err)
	}
	if join, err = b.WaitJoin(ctx, join.ID); err != nil || join.State != account.JoinCompleted {
		w.Fatalf("join: %+v, %v", join, err)
	}
	w.eventually("the inviter has verified the joiner", func() bool {
		c, err := a.Contact(ctx, b.addr)
		return err == nil && c.Verified
	})
}

// upstream gives the provider's messages of a person's mailbox.
func (p *person) upstream(name string) []provider.Message {
	return p.w.provider.Messages(p.addr, name)
}
