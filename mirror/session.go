package mirror

import (
	"context"
	"errors"
	"sync"
	"time"

	"mailbridge/db"
	"mailbridge/mailbox"
	"mailbridge/upstream"
)

// session is one command connection and what is known while it lasts. Everything the mirror
// writes at the provider, and everything that arrives, goes through it, one thing at a time.
type session struct {
	m        *Mirror
	conn     *upstream.Conn
	selected mailbox.ID
	sel      upstream.Selected

	folders  time.Time // when LIST is due
	poll     time.Time // when STATUS of everything is due
	sweep    time.Time // when the Trash is due
	status   map[mailbox.ID]upstream.Status
	compared map[mailbox.ID]comparison
	filled   map[mailbox.ID]mailbox.UID // header blocks from there on were asked for
	idling   chan struct{}              // holds a token while INBOX is watched by IDLE
}

const (
	// pulseInterval is how often a waiting session looks whether its connection still lives.
	pulseInterval = 5 * time.Second
	// folderInterval is how often LIST is asked: mailboxes are made elsewhere now and then.
	folderInterval = 5 * time.Minute
	// sweepInterval is how often the Trash is searched for what is to leave it.
	sweepInterval = time.Hour
)

var errLost = errors.New("mirror: the connection to the provider was lost")

// live is the life of one command connection. It returns when the connection breaks, the
// index fails or ctx ends.
func (m *Mirror) live(ctx context.Context) error {
	m.setConnection(Connecting, nil)
	conn, err := upstream.Dial(ctx, m.config)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	var idle sync.WaitGroup
	defer idle.Wait()
	defer cancel()

	m.mu.Lock()
	m.chatmail = conn.Caps().XChatmail
	m.all = true
	m.rounds++
	m.mu.Unlock()
	s := &session{
		m: m, conn: conn,
		status:   map[mailbox.ID]upstream.Status{},
		compared: map[mailbox.ID]comparison{},
		filled:   map[mailbox.ID]mailbox.UID{},
		idling:   make(chan struct{}, 1),
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	m.setConnection(Connected, nil)
	m.backoff.Reset()
	m.refused.Reset()
	idle.Go(func() { m.watchInbox(ctx, s.idling) })
	return s.run(ctx)
}

// begin lists the mailboxes and settles the command whose outcome the last session left open.
func (s *session) begin(ctx context.Context) error {
	if err := s.listFolders(ctx); err != nil {
		return err
	}
	s.m.mu.Lock()
	r := s.m.unsettled
	s.m.unsettled = nil
	s.m.mu.Unlock()
	if r == nil {
		return nil
	}
	err := r.look(ctx, s)
	r.done <- refusal(err)
	if s.conn.Broken() {
		return err
	}
	return nil
}

// run does what is due, and waits for more.
func (s *session) run(ctx context.Context) error {
	for {
		if s.conn.Broken() {
			return errLost
		}
		worked, err := s.step(ctx)
		if err := s.fatal(ctx, err); err != nil {
			return err
		}
		if worked {
			continue
		}
		next, err := s.next(ctx)
		if err != nil {
			return err
		}
		timer := time.NewTimer(min(max(0, next.Sub(s.m.opts.Now())), pulseInterval))
		select {
		case r := <-s.m.requests:
			err = s.answer(ctx, r)
		case <-s.m.kick:
		case <-timer.C:
		case <-ctx.Done():
			err = ctx.Err()
		}
		timer.Stop()
		if err != nil {
			return err
		}
	}
}

// fatal sorts errors: one that leaves the connection and the index usable was about one
// mailbox, and is logged.
func (s *session) fatal(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case s.conn.Broken(), isIndexError(err):
		return err
	}
	s.m.log.Warn("sync", "err", err)
	return nil
}

// isIndexError reports that the index cannot do its work.
func isIndexError(err error) bool {
	for _, class := range []error{db.ErrFull, db.ErrIO, db.ErrCorrupt, db.ErrLocked, db.ErrClosed} {
		if errors.Is(err, class) {
			return true
		}
	}
	return false
}

// step does one piece of work, the most urgent first: what the clients did, then INBOX, then
// the rest. It reports whether there was any.
func (s *session) step(ctx context.Context) (bool, error) {
	if err := s.yield(ctx, 0); err != nil {
		return false, err
	}
	if worked, err := s.flush(ctx); worked || err != nil {
		return worked, err
	}
	now := s.m.opts.Now()
	if id, ok := s.takeDue(ctx); ok {
		return true, s.sync(ctx, id)
	}
	if id, ok := s.takePutOff(); ok {
		return true, s.sync(ctx, id)
	}
	switch {
	case s.takeAll():
		return true, s.round(ctx)
	case s.takeRetry():
		return true, s.m.db.Update(ctx, (*db.Tx).RetryPending)
	case s.takeExpected(now):
		return true, s.lookExpected(ctx)
	case !s.folders.After(now):
		return true, s.listFolders(ctx)
	case !s.poll.After(now):
		return true, s.pollAll(ctx)
	case !s.sweep.After(now):
		s.sweep = now.Add(sweepInterval)
		return true, s.sweepTrash(ctx)
	}
	if worked, err := s.lookHeld(ctx); worked || err != nil {
		return worked, err
	}
	return s.fillHeaders(ctx)
}

// yield does what cannot wait for a long piece of work on the mailbox current to end: what
// clients wait for, and INBOX. The selected mailbox may be another one afterwards.
func (s *session) yield(ctx context.Context, current mailbox.ID) error {
	for {
		select {
		case r := <-s.m.requests:
			if err := s.answer(ctx, r); err != nil {
				return err
			}
			continue
		case <-ctx.Done():
			return ctx.Err()
		default:
		}
		inbox, err := s.m.mailboxByName(ctx, mailbox.Inbox)
		if err != nil || current == 0 || current == inbox.ID || !s.take(inbox.ID) {
			return err
		}
		if err := s.fatal(ctx, s.sync(ctx, inbox.ID)); err != nil {
			return err
		}
	}
}

// take takes a mailbox off the list of those to be looked at.
func (s *session) take(id mailbox.ID) bool {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	_, due := s.m.due[id]
	delete(s.m.due, id)
	return due
}

// takeDue takes one of the mailboxes to be looked at, INBOX first.
func (s *session) takeDue(ctx context.Context) (mailbox.ID, bool) {
	if inbox, err := s.m.mailboxByName(ctx, mailbox.Inbox); err == nil && s.take(inbox.ID) {
		return inbox.ID, true
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	for id := range s.m.due {
		delete(s.m.due, id)
		return id, true
	}
	return 0, false
}

func (s *session) takeAll() bool {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	all := s.m.all
	s.m.all = false
	return all
}

func (s *session) takeRetry() bool {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	retry := s.m.retry
	s.m.retry = false
	return retry
}

// round looks at everything: the list of mailboxes, each mailbox, and the journal at the end,
// which an arrival may have filled.
func (s *session) round(ctx context.Context) error {
	s.m.mu.Lock()
	round := s.m.rounds
	s.m.mu.Unlock()
	if err := s.listFolders(ctx); err != nil {
		return err
	}
	boxes, err := s.m.mailboxes(ctx)
	if err != nil {
		return err
	}
	for _, box := range boxes {
		s.take(box.ID)
		if err := s.fatal(ctx, s.sync(ctx, box.ID)); err != nil {
			return err
		}
		if err := s.yield(ctx, box.ID); err != nil {
			return err
		}
	}
	for worked := true; worked; {
		if worked, err = s.flush(ctx); s.fatal(ctx, err) != nil {
			return err
		}
	}
	s.poll = s.m.opts.Now().Add(s.m.opts.PollInterval)
	s.m.finishRound(round)
	return nil
}

func (m *Mirror) finishRound(round uint64) {
	m.mu.Lock()
	m.done = max(m.done, round)
	m.state.LastSync = m.opts.Now()
	m.mu.Unlock()
	m.beat()
}

// pollAll asks for the STATUS of every mailbox and looks at those that have changed. INBOX is
// among them although it is watched by IDLE: a server that loses a notice, as Dovecot was seen
// to do for mail that came in the moment IDLE began, would keep it back until IDLE is re-issued.
func (s *session) pollAll(ctx context.Context) error {
	now := s.m.opts.Now()
	s.poll = now.Add(s.m.opts.PollInterval)
	boxes, err := s.m.mailboxes(ctx)
	if err != nil {
		return err
	}
	for _, box := range boxes {
		if box.LocalOnly || box.NoSelect {
			continue
		}
		changed, err := s.changed(ctx, box)
		if err != nil {
			return err
		}
		if changed {
			if err := s.fatal(ctx, s.sync(ctx, box.ID)); err != nil {
				return err
			}
		}
		if err := s.yield(ctx, box.ID); err != nil {
			return err
		}
	}
	s.m.mu.Lock()
	s.m.state.LastSync = now
	s.m.mu.Unlock()
	return nil
}

// changed reports whether a mailbox needs a look. Without CONDSTORE a STATUS does not show a
// changed flag, so a mailbox that a client has open is looked at each time.
func (s *session) changed(ctx context.Context, box db.Mailbox) (bool, error) {
	if s.selected == box.ID {
		// QUIRK: of the selected mailbox Dovecot's STATUS tells what this session has seen of it
		// already (RFC 9051, section 6.3.11, does not allow to ask). NOOP makes it look.
		if err := s.conn.Noop(ctx); err != nil {
			return false, err
		}
	}
	status, err := s.conn.Status(ctx, box.UpstreamName)
	if upstream.IsRefused(err) {
		s.folders = time.Time{} // it may be gone
		return false, nil
	}
	if err != nil {
		return false, err
	}
	before, known := s.status[box.ID]
	s.status[box.ID] = status
	unseen := status.HighestModSeq == 0 && (s.m.watchers.watched(box.ID) || s.comparisonDue(box.ID))
	return !known || before != status || unseen, nil
}

// next says when something is due.
func (s *session) next(ctx context.Context) (time.Time, error) {
	next := s.poll
	earlier := func(t time.Time) {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	earlier(s.folders)
	earlier(s.sweep)
	earlier(s.nextPutOff())
	earlier(s.nextExpected())
	err := s.m.db.View(ctx, func(tx *db.Tx) error {
		waiting, at, err := tx.JournalSize(s.m.opts.Now())
		if err != nil {
			return err
		}
		earlier(at)
		held, err := tx.NextRetry()
		earlier(held)
		s.m.setWaiting(waiting)
		return err
	})
	return next, err
}

func (m *Mirror) setWaiting(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state.Waiting = n
}

// watchInbox keeps a second connection in IDLE on INBOX while the session lasts.
func (m *Mirror) watchInbox(ctx context.Context, idling chan struct{}) {
	var backoff upstream.Backoff
	for ctx.Err() == nil {
		err := m.idle(ctx, idling, &backoff)
		select {
		case <-idling:
		default:
		}
		if ctx.Err() != nil {
			return
		}
		m.log.Warn("IDLE ended", "err", err)
		if inbox, err := m.mailboxByName(ctx, mailbox.Inbox); err == nil {
			m.look(inbox.ID) // the command connection may be lost, too
		}
		if backoff.Wait(ctx) != nil {
			return
		}
	}
}

func (m *Mirror) idle(ctx context.Context, idling chan struct{}, backoff *upstream.Backoff) error {
	inbox, err := m.mailboxByName(ctx, mailbox.Inbox)
	if err != nil {
		return err
	}
	conn, err := upstream.Dial(ctx, m.config)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Select(ctx, inbox.UpstreamName, true); err != nil {
		return err
	}
	backoff.Reset()
	idling <- struct{}{}
	m.look(inbox.ID) // what came while nobody watched
	return conn.Idle(ctx, func() { m.look(inbox.ID) })
}
