package account_test

import (
	"context"
	"database/sql"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mailbridge/account"
	"mailbridge/internal/provider"
)

// hook is something that happens just before a command at the provider.
type hook struct {
	user, command, arg string // as in provider.Command; arg may be empty: any
	skip               int    // so many matching commands pass first
	do                 func()
	reached            chan struct{}
}

// hooks are those to come.
type hooks struct {
	mu   sync.Mutex
	list []*hook
}

// before hooks into a command to come.
func (w *world) before(h hook) *hook {
	h.reached = make(chan struct{})
	w.hooks.mu.Lock()
	defer w.hooks.mu.Unlock()
	w.hooks.list = append(w.hooks.list, &h)
	return &h
}

// trace is called before each command at the provider.
func (hs *hooks) trace(c provider.Command) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	for i, h := range hs.list {
		if c.User != h.user || c.Name != h.command || h.arg != "" && !strings.EqualFold(c.Arg, h.arg) {
			continue
		}
		if h.skip > 0 {
			h.skip--
			continue
		}
		hs.list = append(hs.list[:i:i], hs.list[i+1:]...)
		h.do()
		close(h.reached)
		return
	}
}

// wait waits until the command has come.
func (h *hook) wait(w *world) {
	w.Helper()
	select {
	case <-h.reached:
	case <-time.After(patience):
		w.Fatalf("%s was never sent", h.command)
	}
}

// death is the end of a person's process at one of its commands, as kill -9 or a power cut
// ends it: what was committed when the command came stays, and nothing that the process does
// afterwards reaches the index or the provider. The command itself happens or does not.
type death struct {
	p        *person
	at       *hook
	happened bool

	image   string // the account's directory as it was left
	failed  error
	silence *provider.Injection
}

// dieAt lets a person's process die at a command to come.
func (p *person) dieAt(command, arg string, skip int, happened bool) *death {
	d := &death{p: p, happened: happened, image: filepath.Join(p.w.TempDir(), "image")}
	d.at = p.w.before(hook{user: p.addr, command: command, arg: arg, skip: skip, do: d.strike})
	return d
}

func (d *death) strike() {
	d.failed = d.takeImage()
	if d.happened {
		d.p.w.provider.Inject(provider.Fault{User: d.p.addr, Command: d.at.command, Arg: d.at.arg, Times: 1, Effect: provider.CutAfter})
	}
	d.silence = d.p.w.provider.Inject(provider.Fault{User: d.p.addr, Effect: provider.CutBefore})
}

// takeImage keeps what was committed.
func (d *death) takeImage() error {
	if err := os.MkdirAll(d.image, 0o700); err != nil {
		return err
	}
	key, err := os.ReadFile(filepath.Join(d.p.dir, "data.key"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(d.image, "data.key"), key, 0o600); err != nil {
		return err
	}
	index, err := sql.Open("sqlite3", "file:"+filepath.Join(d.p.dir, "index.db")+"?mode=ro&_busy_timeout=5000")
	if err != nil {
		return err
	}
	defer index.Close()
	_, err = index.Exec("VACUUM INTO ?", filepath.Join(d.image, "index.db"))
	return err
}

// revive waits for the death and starts a new process with what the old one left.
func (d *death) revive() {
	d.p.w.Helper()
	d.at.wait(d.p.w)
	if d.failed != nil {
		d.p.w.Fatal(d.failed)
	}
	d.p.end()
	d.silence.Release()
	d.p.dir = d.image
	d.p.open()
}

// open starts a process with the account's directory as it is.
func (p *person) open() {
	p.w.Helper()
	a, err := account.Open(context.Background(), p.w.options(p.dir))
	if err != nil {
		p.w.Fatal(err)
	}
	p.Account = a
	p.run()
}

// synced waits until the provider has heard of everything that is due, and everything was
// looked at.
func (p *person) synced() {
	p.w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := p.Synced(ctx); err != nil {
		p.w.Fatalf("%s: %v", p.addr, err)
	}
}

// count is how many messages of a mailbox hold text, and want checks it.
func (p *person) count(name, text string) int {
	p.w.Helper()
	n := 0
	for _, m := range p.read(name) {
		if strings.Contains(string(m.raw), text) {
			n++
		}
	}
	return n
}

func (p *person) want(name, text string, n int) {
	p.w.Helper()
	if got := p.count(name, text); got != n {
		p.w.Errorf("%s sees %d messages with %q in %s, not %d", p.addr, got, text, name, n)
	}
}

// wantUpstream checks how many messages the provider has in a mailbox.
func (p *person) wantUpstream(name string, n int) {
	p.w.Helper()
	if got := p.upstream(name); len(got) != n {
		var first []string
		for _, m := range got {
			first = append(first, fmt.Sprintf("%d: %.200s", m.UID, m.Data))
		}
		p.w.Errorf("the provider has %d messages of %s in %s, not %d:\n%s", len(got), p.addr, name, n, strings.Join(first, "\n"))
	}
}

// sampled reports whether a row of a crash table is run. `make test` runs them all; with -short,
// as in `make test-fast`, it is always the same fifth.
func sampled(name string) bool {
	h := fnv.New32a()
	h.Write([]byte(name))
	return !testing.Short() || h.Sum32()%5 == 0
}
