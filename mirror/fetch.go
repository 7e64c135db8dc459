package mirror

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"mailbridge/db"
	"mailbridge/mailbox"
	"mailbridge/upstream"
)

// fetcher reads at the provider what clients ask for, on a connection of its own that is made
// when it is needed, so that a long sync does not keep a reader waiting.
type fetcher struct {
	m     *Mirror
	turn  chan struct{} // holds a token while nobody fetches
	tasks sync.WaitGroup

	mu      sync.Mutex
	ctx     context.Context // of Run; nil while it does not run
	running int             // tasks

	// The holder of the token owns what follows.
	conn     *upstream.Conn
	selected db.Mailbox
	validity uint32
	next     uint32 // the connection shows every UID below
	idle     *time.Timer
}

// fetchIdle is how long the connection waits for more: providers count connections.
const fetchIdle = 2 * time.Minute

func newFetcher(m *Mirror) *fetcher {
	f := &fetcher{m: m, turn: make(chan struct{}, 1)}
	f.turn <- struct{}{}
	return f
}

func (f *fetcher) start(ctx context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ctx = ctx
}

// stop ends the connection and waits for what runs in the background.
func (f *fetcher) stop() {
	f.mu.Lock()
	f.ctx = nil
	f.mu.Unlock()
	f.tasks.Wait()
	<-f.turn
	f.hangUp()
	f.turn <- struct{}{}
}

// maxTasks bounds what clients can leave running in the background; they share a connection.
const maxTasks = 16

// background runs fn while Run does; it gives up at the end of it. What is one too many is left
// out: nothing that runs here has to.
func (f *fetcher) background(fn func(ctx context.Context)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ctx == nil || f.running >= maxTasks {
		return
	}
	ctx := f.ctx
	f.running++
	f.tasks.Go(func() {
		fn(ctx)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.running--
	})
}

// hangUp closes the connection.
func (f *fetcher) hangUp() {
	if f.idle != nil {
		f.idle.Stop()
	}
	if f.conn != nil {
		f.conn.Close()
	}
	f.conn, f.selected = nil, db.Mailbox{}
}

var errOffline = &mailbox.Error{Code: mailbox.CodeUnavailable, Text: "The provider cannot be reached at the moment."}

// do runs fn with the connection, the mailbox of place selected. A connection that turns out
// to be dead is replaced once.
func (f *fetcher) do(ctx context.Context, place db.Place, fn func(ctx context.Context, conn *upstream.Conn) error) error {
	select {
	case <-f.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { f.turn <- struct{}{} }()
	fresh := f.conn == nil || f.conn.Broken()
	err := f.attempt(ctx, place, fn)
	if err != nil && !fresh && f.conn != nil && f.conn.Broken() {
		err = f.attempt(ctx, place, fn)
	}
	f.rest()
	return err
}

func (f *fetcher) attempt(ctx context.Context, place db.Place, fn func(ctx context.Context, conn *upstream.Conn) error) error {
	f.mu.Lock()
	running := f.ctx
	f.mu.Unlock()
	if running == nil || f.m.State().Connection == Offline {
		return errOffline
	}
	if f.conn == nil || f.conn.Broken() {
		f.hangUp()
		conn, err := upstream.Dial(ctx, f.m.config)
		if err != nil {
			return err
		}
		f.conn = conn
	}
	box, err := f.m.mailbox(ctx, place.Mailbox)
	if err != nil {
		return err
	}
	if f.selected.ID != box.ID || f.selected.UpstreamName != box.UpstreamName || f.validity != place.UIDValidity {
		sel, err := f.conn.Select(ctx, box.UpstreamName, true)
		if err != nil {
			f.selected = db.Mailbox{}
			return err
		}
		f.selected, f.validity = box, sel.UIDValidity
		f.next = max(sel.UIDNext, box.UpUIDNext, place.UID+1)
	}
	if f.validity != place.UIDValidity {
		f.m.look(box.ID)
		return errRenumbered
	}
	// A session does not show what came after its last look at the mailbox, and answers a FETCH
	// of it with nothing (RFC 3501, sections 5.2 and 7.3.1).
	if newest := max(box.UpUIDNext, place.UID+1); newest > f.next {
		if err := f.conn.Noop(ctx); err != nil {
			return err
		}
		f.next = newest
	}
	return fn(ctx, f.conn)
}

// rest closes the connection after a while without work.
func (f *fetcher) rest() {
	if f.conn == nil {
		return
	}
	if f.idle != nil {
		f.idle.Stop()
	}
	conn := f.conn
	f.idle = time.AfterFunc(fetchIdle, func() { conn.Close() })
}

// maxFollow is how often a reader follows a message that moves under its hands.
const maxFollow = 3

// body fetches the provider's bytes of a row, following it if it moves meanwhile.
func (f *fetcher) body(ctx context.Context, row db.Message) ([]byte, error) {
	for tries := 0; ; tries++ {
		var raw []byte
		err := f.do(ctx, row.Up, func(ctx context.Context, conn *upstream.Conn) (err error) {
			var cached bool
			if raw, cached = f.m.cache.get(row.ID); cached {
				return nil // somebody else asked for it just before
			}
			raw, err = conn.Body(ctx, row.Up.UID, maxMessage)
			return err
		})
		if err == nil {
			return raw, nil
		}
		next, moved := f.m.follow(ctx, row)
		if !moved || tries > maxFollow {
			return nil, f.m.fetchFailure(row, err)
		}
		row = next
	}
}

// follow says where a message is that was not where its row said: a move may just be on its
// way, and is waited for.
func (m *Mirror) follow(ctx context.Context, row db.Message) (db.Message, bool) {
	ctx, cancel := context.WithTimeout(ctx, placeWait)
	defer cancel()
	var now db.Message
	err := m.await(ctx, func() (settled bool, err error) {
		err = m.db.View(ctx, func(tx *db.Tx) error {
			if now, err = tx.Message(row.ID); err != nil {
				return err
			}
			entries, err := tx.JournalOf(row.ID)
			settled = !slices.ContainsFunc(entries, func(e db.Entry) bool { return e.Op == db.OpMove && e.Sent })
			return err
		})
		return settled || now.Up != row.Up, err
	})
	if err == nil && now.Up.UID == 0 && now.Up.Mailbox != 0 {
		now, err = m.placed(ctx, now)
	}
	return now, err == nil && now.Up.UID != 0 && now.Up != row.Up
}

// fetchFailure says to a client why a message cannot be had.
func (m *Mirror) fetchFailure(row db.Message, err error) error {
	switch {
	case errors.Is(err, upstream.ErrNotFound), errors.Is(err, errRenumbered), errors.Is(err, db.ErrNotFound):
		m.look(row.Up.Mailbox)
		return &mailbox.Error{Code: mailbox.CodeExpungeIssued, Text: "The message is no longer there.", Err: err}
	case errors.Is(err, upstream.ErrTooLarge):
		return &mailbox.Error{Code: mailbox.CodeLimit, Text: "The message is too large.", Err: err}
	}
	return refusal(err)
}
