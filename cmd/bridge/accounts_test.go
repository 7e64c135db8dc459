package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mailbridge/account"
	"mailbridge/mailbox"
	"mailbridge/smtpproxy"
)

// fakeEngine is an account whose life the test decides. What it does not define panics.
type fakeEngine struct {
	engine
	address string
	ready   bool
	run     func(ctx context.Context) error
	closed  *atomic.Int32
}

func (e *fakeEngine) Address() string            { return e.address }
func (e *fakeEngine) Settings() account.Settings { return account.Settings{Address: e.address} }
func (e *fakeEngine) LocalPassword() string      { return "secret of " + e.address }
func (e *fakeEngine) Close() error               { e.closed.Add(1); return nil }

func (e *fakeEngine) Invites(context.Context) ([]account.Invite, error) { return nil, nil }
func (e *fakeEngine) Joins(context.Context) ([]account.Join, error)     { return nil, nil }

func (e *fakeEngine) CheckPassword(user, password string) bool {
	return canonical(user) == e.address && password == e.LocalPassword()
}

func (e *fakeEngine) State(context.Context) account.Status {
	return account.Status{Address: e.address, State: "running"}
}

func (e *fakeEngine) Ready(ctx context.Context) error {
	if !e.ready {
		<-ctx.Done()
	}
	return ctx.Err()
}

func (e *fakeEngine) Run(ctx context.Context) error {
	if e.run != nil {
		return e.run(ctx)
	}
	<-ctx.Done()
	return ctx.Err()
}

const (
	alice = "alice@example.org"
	bob   = "bob@example.org"
)

// world is a home with accounts that fake engines run.
type world struct {
	dirs   dirs
	open   map[string]func() (engine, error) // what opening an account gives
	closed atomic.Int32
}

func newWorld(t *testing.T, addresses ...string) *world {
	w := &world{dirs: testDirs(t), open: map[string]func() (engine, error){}}
	for _, address := range addresses {
		if err := os.Mkdir(w.dirs.account(address), 0o700); err != nil {
			t.Fatal(err)
		}
		w.open[w.dirs.account(address)] = w.good(address)
	}
	return w
}

func (w *world) good(address string) func() (engine, error) {
	return func() (engine, error) { return &fakeEngine{address: address, ready: true, closed: &w.closed}, nil }
}

func (w *world) accounts(t *testing.T) *accounts {
	t.Helper()
	a, err := newAccounts(w.dirs, slog.New(slog.DiscardHandler), maker{
		open: func(_ context.Context, o account.Options) (engine, error) { return w.open[o.Dir]() },
		create: func(_ context.Context, o account.Options, s account.Settings, password string) (engine, error) {
			if password != "right" {
				return nil, fmt.Errorf("login: %w", account.ErrLocked)
			}
			w.open[w.dirs.account(s.Address)] = w.good(s.Address)
			return w.good(s.Address)()
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	a.ready = readyWait
	return a
}

// TestOneAccountFails shows that an account that cannot be opened, and one that breaks
// later, do not keep the other from its clients, and come back by themselves.
func TestOneAccountFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, alice, bob)
		broken := errors.New("no space left")
		tries := 0
		w.open[w.dirs.account(alice)] = func() (engine, error) {
			switch tries++; tries {
			case 1: // cannot be opened
				return nil, broken
			case 2: // breaks when it runs
				return &fakeEngine{address: alice, ready: true, closed: &w.closed, run: func(context.Context) error { return broken }}, nil
			}
			return w.good(alice)()
		}
		a := w.accounts(t)
		defer a.close()
		began := time.Now()
		if err := a.serve(nil); err != nil {
			t.Fatal(err)
		}
		a.waitSettled(t.Context())
		if time.Since(began) != 0 {
			t.Error("bob waited for alice")
		}
		b := &bridge{accounts: a, listen: map[string]string{}}
		for range 2 {
			synctest.Wait()
			if _, err := a.login("BOB@example.org", "secret of "+bob); err != nil {
				t.Errorf("bob: %v", err)
			}
			_, err := a.login(alice, "secret of "+alice)
			if e, ok := errors.AsType[*mailbox.Error](err); !ok || e.Code != mailbox.CodeUnavailable {
				t.Errorf("alice: %v", err)
			}
			_, err = smtpBackend{a}.Login(t.Context(), alice, "secret of "+alice)
			if status, ok := errors.AsType[smtpproxy.Status](err); !ok {
				t.Errorf("alice by SMTP: %v", err)
			} else if code, _, _ := status.SMTPStatus(); code != 454 {
				t.Errorf("alice by SMTP: %d", code)
			}
			s, err := b.status(t.Context(), noArgs{})
			if err != nil || s.Accounts[0].State != "failed" || len(s.Accounts[0].Warnings) != 1 || s.Accounts[1].State != "running" {
				t.Errorf("%+v %v", s.Accounts, err)
			}
			time.Sleep(retryAfter)
		}
		synctest.Wait()
		if _, err := a.login(alice, "secret of "+alice); err != nil || tries != 3 {
			t.Errorf("alice after %d tries: %v", tries, err)
		}
	})
}

// TestReadyDoesNotWaitForever shows that a provider that is down does not keep the
// service from being ready.
func TestReadyDoesNotWaitForever(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, alice)
		w.open[w.dirs.account(alice)] = func() (engine, error) {
			return &fakeEngine{address: alice, closed: &w.closed}, nil
		}
		a := w.accounts(t)
		began := time.Now()
		if err := a.serve(nil); err != nil {
			t.Fatal(err)
		}
		a.waitSettled(t.Context())
		if time.Since(began) != readyWait {
			t.Errorf("waited %v", time.Since(began))
		}
		a.close()
		if w.closed.Load() != 1 {
			t.Errorf("closed %d times", w.closed.Load())
		}
	})
}

func TestLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, alice, bob)
	a := w.accounts(t)
	defer a.close()
	if err := a.serve(nil); err != nil {
		t.Fatal(err)
	}
	a.waitSettled(t.Context())
	for _, tc := range []struct{ user, password, want string }{
		{alice, "secret of " + alice, alice},
		{"Alice@EXAMPLE.org", "secret of " + alice, alice},
		{bob, "secret of " + bob, bob},
		{alice, "secret of " + bob, ""},
		{alice, "", ""},
		{"carol@example.org", "secret of " + alice, ""},
	} {
		e, err := a.login(tc.user, tc.password)
		got := ""
		if e != nil {
			got = e.Address()
		}
		refusal, _ := errors.AsType[*mailbox.Error](err)
		if got != tc.want || tc.want == "" && (refusal == nil || refusal.Code != mailbox.CodeAuthentication) {
			t.Errorf("%s %q: %q %v", tc.user, tc.password, got, err)
		}
	}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		known []string
		wish  string
		want  string
		exit  int
	}{
		{"none there", nil, "", "", exitNoInput},
		{"the only one", []string{alice}, "", alice, 0},
		{"which?", []string{alice, bob}, "", "", exitUsage},
		{"this one", []string{alice, bob}, "Bob@Example.ORG", bob, 0},
		{"unknown", []string{alice}, bob, "", exitNoInput},
	} {
		a := newWorld(t, tc.known...).accounts(t)
		if got, err := a.choose(tc.wish); got != tc.want || exitOf(err) != tc.exit {
			t.Errorf("%s: %q %v", tc.name, got, err)
		}
		a.close()
	}
}

func TestServeOnly(t *testing.T) {
	t.Parallel()
	a := newWorld(t, alice, bob).accounts(t)
	defer a.close()
	if err := a.serve([]string{"carol@example.org"}); exitOf(err) != exitNoInput {
		t.Errorf("unknown: %v", err)
	}
	if err := a.serve([]string{"Alice@example.org"}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.get(t.Context(), bob); exitOf(err) != exitUnavailable {
		t.Errorf("bob is not served: %v", err)
	}
	if _, err := a.get(t.Context(), alice); err != nil {
		t.Error(err)
	}
}

// TestAdd shows that an account is there as a whole or not at all.
func TestAdd(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	for _, serving := range []bool{false, true} {
		w := newWorld(t)
		a := w.accounts(t)
		if serving {
			if err := a.serve(nil); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := a.add(t.Context(), account.Settings{Address: alice}, "wrong"); exitOf(err) != exitDenied {
			t.Errorf("wrong password: %v", err)
		}
		if left, err := os.ReadDir(w.dirs.accounts()); err != nil || len(left) != 0 || len(a.addresses()) != 0 {
			t.Errorf("left behind: %v %v", left, err)
		}
		e, err := a.add(t.Context(), account.Settings{Address: alice}, "right")
		if err != nil || e.Address() != alice {
			t.Fatalf("%v %v", e, err)
		}
		if _, err := a.login(alice, "secret of "+alice); (err == nil) != serving && serving {
			t.Errorf("login: %v", err)
		}
		if _, err := a.add(t.Context(), account.Settings{Address: "Alice@example.org"}, "right"); exitOf(err) != exitUsage {
			t.Errorf("twice: %v", err)
		}
		a.close()
		if got, err := w.dirs.addresses(); err != nil || !slices.Equal(got, []string{alice}) {
			t.Errorf("%v %v", got, err)
		}
		if w.closed.Load() != 2 { // once when it was made, once at the end
			t.Errorf("closed %d times", w.closed.Load())
		}
	}
}
