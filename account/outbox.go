package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"mailbridge/db"
	"mailbridge/securejoin"
	"mailbridge/upstream"
)

// outbox sends what the index says is to be sent, one message at a time. A message is
// marked before its first packet leaves, so that after a crash its outcome is known to be
// unknown and it is never silently sent twice.
type outbox struct {
	a         *Account
	wake      chan struct{}
	done      *watchers // by outbox id: the message was settled, or an attempt has failed
	retry     map[int64]*upstream.Backoff
	answers   sync.Map  // ids of messages that are answered at once if somebody is there
	unsettled []attempt // what happened and is not recorded yet, because the disk is full
}

// attempt is what the provider said of a message.
type attempt struct {
	m      db.Outgoing
	result upstream.Result
}

func newOutbox(a *Account) *outbox {
	return &outbox{a: a, wake: make(chan struct{}, 1), done: newWatchers(), retry: map[int64]*upstream.Backoff{}}
}

// kick says that something was enqueued.
func (o *outbox) kick() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// expectAnswer lets INBOX be watched more closely once a message has left.
func (o *outbox) expectAnswer(id int64) { o.answers.Store(id, nil) }

// maxNap bounds a wait, in case the clock jumps.
const maxNap = time.Minute

// run sends until ctx ends, or the index fails for good. While the disk is full it waits for
// room, and remembers what it could not record.
func (o *outbox) run(ctx context.Context) error {
	work := o.recover
	pause := &upstream.Backoff{Max: maxNap}
	for {
		nap, err := work(ctx)
		switch {
		case err == nil:
			work, pause = o.turn, &upstream.Backoff{Max: maxNap}
		case ctx.Err() != nil, errors.Is(err, db.ErrClosed), errors.Is(err, db.ErrCorrupt), errors.Is(err, db.ErrLocked):
			return err
		default:
			nap = pause.Next()
			o.a.log.Error("the outbox cannot work", "error", err, "again", nap)
		}
		timer := time.NewTimer(nap)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-o.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// recover settles what a crash left in the midst of sending: a handshake is sent again with
// the same Message-ID, which its receiver knows; mail is unknown.
func (o *outbox) recover(ctx context.Context) (time.Duration, error) {
	return 0, o.a.db.Update(ctx, func(tx *db.Tx) error {
		list, err := tx.OutboxIn(db.Sending)
		if err != nil {
			return err
		}
		for _, m := range list {
			if err := o.settle(tx, m, uncertain(m)); err != nil {
				return err
			}
		}
		return nil
	})
}

// uncertain is the result of an attempt that nothing is known of.
func uncertain(m db.Outgoing) upstream.Result {
	var r upstream.Result
	for _, addr := range waiting(m) {
		r.Recipients = append(r.Recipients, upstream.RecipientResult{Addr: addr, Outcome: upstream.Uncertain})
	}
	return r
}

// batch is how many messages are read at once.
const batch = 16

// turn sends what is due, shows Sent copies that no client saved, and says how long to wait.
func (o *outbox) turn(ctx context.Context) (time.Duration, error) {
	if err := o.record(ctx); err != nil {
		return 0, err
	}
	for {
		var due []db.Outgoing
		err := o.a.db.View(ctx, func(tx *db.Tx) (err error) {
			due, err = tx.DueOutgoing(o.a.now(), batch)
			return err
		})
		if err != nil {
			return 0, err
		}
		if len(due) == 0 {
			break
		}
		for _, m := range due {
			if err := o.send(ctx, m); err != nil {
				return 0, err
			}
		}
	}
	next, err := o.a.showSent(ctx)
	if err != nil {
		return 0, err
	}
	return o.nap(ctx, next)
}

// nap is the time to the next thing to do.
func (o *outbox) nap(ctx context.Context, sent time.Time) (time.Duration, error) {
	var next time.Time
	err := o.a.db.View(ctx, func(tx *db.Tx) (err error) {
		next, err = tx.NextOutgoing()
		return err
	})
	if err != nil {
		return 0, err
	}
	nap := maxNap
	for _, at := range []time.Time{next, sent} {
		if !at.IsZero() {
			// The index keeps whole seconds; never spin on the rest of one.
			nap = min(nap, max(at.Sub(o.a.now()), 50*time.Millisecond))
		}
	}
	return nap, nil
}

// send makes one attempt. It returns an error only if the index fails.
func (o *outbox) send(ctx context.Context, m db.Outgoing) error {
	var wire []byte
	err := o.a.db.Update(ctx, func(tx *db.Tx) error {
		over, err := o.a.isOver(tx, m)
		if err != nil {
			return err
		}
		if over {
			return tx.DropWaiting(m.MessageID)
		}
		if wire, err = tx.OutgoingWire(m); err != nil {
			return err
		}
		return tx.BeginSending(m.ID)
	})
	if err == nil && wire == nil {
		return nil
	}
	if errors.Is(err, db.ErrNotFound) {
		return nil // dropped in the meantime
	}
	if err != nil {
		return err
	}
	result, failure := upstream.Submit(ctx, o.a.upstream, upstream.Envelope{From: m.From, To: waiting(m)}, wire)
	if failure != nil {
		o.a.log.Info("sending failed", "id", m.ID, "error", failure)
	}
	o.unsettled = append(o.unsettled, attempt{m, result})
	// What happened is recorded even if the program is about to end.
	return o.record(context.WithoutCancel(ctx))
}

// isOver says whether nobody is to get a message any more: the step of a join that was ended while
// an attempt was under way, or an answer that had to wait, and whose invite was revoked before
// it was used, or whose joiner was blocked.
func (a *Account) isOver(tx *db.Tx, m db.Outgoing) (bool, error) {
	if m.Invite == 0 {
		return tx.JoinOver(m.MessageID)
	}
	i, err := tx.Invite(m.Invite)
	if err != nil {
		return true, notFoundIsNone(err)
	}
	for _, r := range m.To {
		joined := func(u securejoin.Use) bool { return u.Addr == r.Addr } // and is told so
		if !i.Revoked.IsZero() && !slices.ContainsFunc(i.Uses, joined) {
			return true, nil
		}
		if h, err := a.holder(tx, r.Addr); err != nil || h.blocked {
			return h.blocked, err
		}
	}
	return false, nil
}

// record settles what has happened.
func (o *outbox) record(ctx context.Context) error {
	for len(o.unsettled) > 0 {
		next := o.unsettled[0]
		err := o.a.db.Update(ctx, func(tx *db.Tx) error { return o.settle(tx, next.m, next.result) })
		if err != nil && !errors.Is(err, db.ErrNotFound) {
			return err
		}
		o.unsettled = o.unsettled[1:]
		o.done.wake(next.m.ID)
		if slices.ContainsFunc(next.result.Recipients, isAccepted) {
			if _, answered := o.answers.LoadAndDelete(next.m.ID); answered {
				o.a.mirror.Expect()
			}
		}
	}
	return nil
}

// waiting lists the recipients that no final answer was given for.
func waiting(m db.Outgoing) []string {
	var to []string
	for _, r := range m.To {
		if r.State == db.Queued {
			to = append(to, r.Addr)
		}
	}
	return to
}

// settle records what became of each recipient, and from that what becomes of the message.
func (o *outbox) settle(tx *db.Tx, m db.Outgoing, result upstream.Result) error {
	mail := m.Kind == db.OutMail
	for _, r := range result.Recipients {
		row := db.OutgoingRecipient{Addr: r.Addr, Code: r.Code, Text: r.Text, State: stateOf(r.Outcome)}
		if row.State == db.Unknown && !mail {
			row.State = db.Queued
		}
		if err := tx.SettleRecipient(m.ID, row); err != nil {
			return err
		}
		if row.State == db.Refused && mail {
			if err := o.a.leave(tx, refusedNote(m, row)); err != nil {
				return err
			}
		}
	}
	m, err := tx.Outgoing(m.ID)
	if err != nil {
		return err
	}
	if mail && slices.ContainsFunc(result.Recipients, isUncertain) {
		if err := o.a.leave(tx, unknownNote(m)); err != nil {
			return err
		}
	}
	if len(waiting(m)) > 0 {
		return o.later(tx, m, slices.ContainsFunc(result.Recipients, isUncertain))
	}
	return o.finish(tx, m)
}

func isAccepted(r upstream.RecipientResult) bool { return r.Outcome == upstream.Accepted }

func isUncertain(r upstream.RecipientResult) bool { return r.Outcome == upstream.Uncertain }

// stateOf is what an outcome means for a recipient.
func stateOf(outcome upstream.Outcome) db.OutboxState {
	switch outcome {
	case upstream.Accepted:
		return db.Sent
	case upstream.Refused:
		return db.Refused
	case upstream.Uncertain:
		return db.Unknown
	}
	return db.Queued
}

// later queues another attempt: after a pause, or at once for a handshake step whose outcome
// was unknown for the first time.
func (o *outbox) later(tx *db.Tx, m db.Outgoing, uncertain bool) error {
	backoff, again := o.retry[m.ID]
	if !again {
		backoff = &upstream.Backoff{}
		o.retry[m.ID] = backoff
	}
	var next, sent time.Time
	if m.Kind == db.OutMail || !uncertain || again {
		next = o.a.now().Add(backoff.Next())
	}
	if left(m) {
		sent = o.a.now()
	}
	return tx.SettleOutgoing(m.ID, db.Queued, next, sent)
}

// left reports whether a message has left for some recipient, or may have.
func left(m db.Outgoing) bool {
	return slices.ContainsFunc(m.To, func(r db.OutgoingRecipient) bool { return r.State == db.Sent || r.State == db.Unknown })
}

// finish settles a message that every recipient has a final answer for, or none for ever: the
// connection was lost after the final dot, and the message may or may not be on its way.
func (o *outbox) finish(tx *db.Tx, m db.Outgoing) error {
	delete(o.retry, m.ID)
	state := db.Refused
	for _, r := range m.To {
		if r.State == db.Unknown || r.State == db.Sent && state != db.Unknown {
			state = r.State
		}
	}
	if err := tx.SettleOutgoing(m.ID, state, time.Time{}, o.a.now()); err != nil {
		return err
	}
	switch {
	case m.Kind == db.OutMail:
		return o.a.settleSent(tx, m, state)
	case m.Kind == db.OutHandshake && state == db.Refused:
		return o.a.failJoin(tx, m)
	}
	return nil
}

func unknownNote(m db.Outgoing) note {
	var to []string
	for _, r := range m.To {
		if r.State == db.Unknown {
			to = append(to, r.Addr)
		}
	}
	return note{
		subject: "It is not known whether a message was sent",
		text: fmt.Sprintf("The connection to your provider was lost just when a message to %s was handed over. "+
			"It may have been sent or not, and it is not sent again by itself.", strings.Join(to, ", ")),
	}
}

func refusedNote(m db.Outgoing, r db.OutgoingRecipient) note {
	return note{
		subject: "Your provider refused a recipient: " + r.Addr,
		text: fmt.Sprintf("A message that you sent was not accepted for %s.\nYour provider said: %d %s",
			r.Addr, r.Code, strings.TrimSpace(r.Text)),
	}
}
