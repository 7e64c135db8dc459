package main

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"mailbridge/web"
)

// endless is a call that nothing but the end of its context ends.
type endless struct{}

func (endless) Call(ctx context.Context, _ string, _, _ any) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestTurns shows that a command that waits without a service leaves the home to others for as long
// as they need it, and that other commands do not wait for ever.
func TestTurns(t *testing.T) {
	t.Setenv("MAILBRIDGE_HOME", t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		d, err := findDirs(os.Getenv)
		if err != nil {
			t.Fatal(err)
		}
		other, err := d.lock()
		if err != nil {
			t.Fatal(err)
		}
		a := &app{ctx: t.Context(), stderr: io.Discard, grammar: &grammar{}}
		began := time.Now()
		if _, err := a.connect(); classify(err).Exit != exitTemporary || time.Since(began) != lockWait {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		closed := false
		conn := &connection{Caller: endless{}, awaited: func() bool { return true }, close: func() { closed = true }}
		unlocked := make(chan error, 1)
		time.AfterFunc(5*lockWait, func() { unlocked <- other.Unlock() })
		began = time.Now()
		err = a.callInTurns(conn, "no-such-command", nil, nil)
		if refused, ok := errors.AsType[*web.Error](err); !ok || refused.Exit == exitTemporary || !closed || time.Since(began) < 5*lockWait {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		conn.close()
		if err := <-unlocked; err != nil {
			t.Error(err)
		}
		if other, err = d.lock(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = other.Unlock() }()
		ctx, cancel := context.WithTimeout(t.Context(), 2*lockWait)
		defer cancel()
		a.ctx, conn = ctx, &connection{Caller: endless{}, awaited: func() bool { return true }, close: func() {}}
		if err := a.callInTurns(conn, "no-such-command", nil, nil); classify(err).Exit != exitTemporary {
			t.Error(err)
		}
	})
}
