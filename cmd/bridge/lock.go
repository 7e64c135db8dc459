package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/gofrs/flock"

	"mailbridge/web"
)

// One process at a time owns the accounts of a home: the service for as long as it runs,
// or a command that does its work itself. Who waits for it holds a lock on the queue, so that a
// command that waits for others, and maybe for long, lets them in.

const (
	// lockWait is how long a command waits for another command to end, which may have to send
	// first, or for a service that is starting to answer.
	lockWait = sendWait + 10*time.Second
	lockPoll = 20 * time.Millisecond
)

// errBusy says that another process owns the home.
var errBusy = errors.New("the home is in use")

// lock takes the home, or fails with errBusy.
func (d dirs) lock() (*flock.Flock, error) {
	if err := d.make(); err != nil {
		return nil, err
	}
	l := flock.New(d.lockFile(), flock.SetPermissions(0o600))
	ok, err := l.TryLock()
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errBusy
	}
	return l, nil
}

// dial connects to the running service.
func (d dirs) dial(ctx context.Context) (*web.Client, error) {
	path := d.socket()
	if note, err := os.ReadFile(d.socketNote()); err == nil {
		path = strings.TrimSpace(string(note))
	}
	return web.Dial(ctx, path)
}

// serviceOrLock gives a client of the running service, or, where none runs, the lock. It fails with
// errBusy if neither is to be had in lockWait.
func (d dirs) serviceOrLock(ctx context.Context) (*web.Client, *flock.Flock, error) {
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	queue := flock.New(d.queueFile(), flock.SetPermissions(0o600))
	defer queue.Close()
	for {
		client, err := d.dial(ctx)
		if err == nil {
			return client, nil, nil
		}
		l, err := d.lock()
		if err == nil {
			return nil, l, nil
		}
		if !errors.Is(err, errBusy) {
			return nil, nil, err
		}
		if _, err := queue.TryRLock(); err != nil {
			return nil, nil, err
		}
		select {
		case <-ctx.Done():
			return nil, nil, errors.Join(refuse(exitTemporary, "another bridge process holds %s and does not answer", d.lockFile()), errBusy)
		case <-time.After(lockPoll):
		}
	}
}

// awaited reports whether others wait for the lock.
func (d dirs) awaited() bool {
	queue := flock.New(d.queueFile(), flock.SetPermissions(0o600))
	defer queue.Close()
	alone, err := queue.TryLock()
	return err == nil && !alone
}

// serviceLock takes the home for a service. It waits for commands to end, but not for
// another service.
func (d dirs) serviceLock(ctx context.Context) (*flock.Flock, error) {
	client, l, err := d.serviceOrLock(ctx)
	if client != nil {
		return nil, refuse(exitUnavailable, "a bridge is running already for %s\nsee bridge status", d.data)
	}
	return l, err
}

// running says whether a service answers.
func (d dirs) running(ctx context.Context) (*web.Client, bool) {
	if _, err := os.Stat(d.lockFile()); errors.Is(err, fs.ErrNotExist) {
		return nil, false
	}
	client, err := d.dial(ctx)
	return client, err == nil
}
