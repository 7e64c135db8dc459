package account

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mailbridge/db"
	"mailbridge/upstream"
)

// outbox sends what the index says is to be sent, one message at a time. A message is
// marked before its first packet leaves, so that after a crash its outcome is known to be
// unknown and it is never silently sent twice.
type outbox struct {
	a     *Account
	wake  chan struct{}
	done  *watchers // by outbox id: the message was settled, or an attempt has failed
	retry map[int64]*upstream.Backoff
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

// maxNap bounds a wait, in case the clock jumps.
const maxNap = time.Minute

// run sends until ctx ends.
func (o *outbox) run(ctx context.Context) error {
	if err := o.recover(ctx); err != nil {
		return err
	}
	for {
		nap, err := o.turn(ctx)
		if err != nil {
			return err
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
func (o *outbox) recover(ctx context.Context) error {
	return o.a.db.Update(ctx, func(tx *db.Tx) error {
		list, err := tx.OutboxIn(db.Sending)
		if err != nil {
			return err
		}
		for _, m := range list {
			if err := o.settleUnknown(tx, m); err != nil {
				return err
			}
		}
		return nil
	})
}

// batch is how many messages are read at once.
const batch = 16

// turn sends what is due, shows Sent copies that no client saved, and says how long to wait.
func (o *outbox) turn(ctx context.Context) (time.Duration, error) {
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
	err := o.a.db.Update(ctx, func(tx *db.Tx) (err error) {
		if wire, err = tx.OutgoingWire(m); err != nil {
			return err
		}
		return tx.BeginSending(m.ID)
	})
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
	// What happened is recorded even if the program is about to end.
	err = o.a.db.Update(context.WithoutCancel(ctx), func(tx *db.Tx) error { return o.settle(tx, m, result) })
	if err != nil {
		return err
	}
	o.done.wake(m.ID)
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
	var accepted, deferred, unknown int
	var refused []db.OutgoingRecipient
	for _, r := range result.Recipients {
		row := db.OutgoingRecipient{Addr: r.Addr, Code: r.Code, Text: r.Text}
		switch r.Outcome {
		case upstream.Accepted:
			row.State, accepted = db.Sent, accepted+1
		case upstream.Refused:
			row.State = db.Refused
			refused = append(refused, row)
		case upstream.Uncertain:
			row.State, unknown = db.Unknown, unknown+1
		default:
			row.State, deferred = db.Queued, deferred+1
		}
		if m.Kind == db.OutHandshake && row.State == db.Unknown {
			row.State = db.Queued
		}
		if err := tx.SettleRecipient(m.ID, row); err != nil {
			return err
		}
	}
	switch {
	case unknown > 0:
		return o.settleUnknown(tx, m)
	case deferred > 0:
		return o.later(tx, m, accepted > 0)
	}
	m, err := tx.Outgoing(m.ID)
	if err != nil {
		return err
	}
	return o.finish(tx, m, refused)
}

// later queues another attempt.
func (o *outbox) later(tx *db.Tx, m db.Outgoing, partly bool) error {
	backoff, ok := o.retry[m.ID]
	if !ok {
		backoff = &upstream.Backoff{}
		o.retry[m.ID] = backoff
	}
	var sent time.Time
	if partly {
		sent = o.a.now()
	}
	return tx.SettleOutgoing(m.ID, db.Queued, o.a.now().Add(backoff.Next()), sent)
}

// settleUnknown handles a connection that was lost after the final dot: the message may or
// may not be on its way.
func (o *outbox) settleUnknown(tx *db.Tx, m db.Outgoing) error {
	if m.Kind == db.OutHandshake {
		return tx.SettleOutgoing(m.ID, db.Queued, time.Time{}, time.Time{})
	}
	if err := tx.SettleOutgoing(m.ID, db.Unknown, time.Time{}, o.a.now()); err != nil {
		return err
	}
	if err := o.a.settleSent(tx, m, db.Unknown); err != nil {
		return err
	}
	return o.a.leave(tx, note{
		subject: "It is not known whether a message was sent",
		text: fmt.Sprintf("The connection to your provider was lost just when a message to %s was handed over. "+
			"It may have been sent or not, and it is not sent again by itself.", addresses(m)),
	})
}

// finish settles a message that every recipient has a final answer for.
func (o *outbox) finish(tx *db.Tx, m db.Outgoing, refused []db.OutgoingRecipient) error {
	delete(o.retry, m.ID)
	state := db.Refused
	for _, r := range m.To {
		if r.State == db.Sent {
			state = db.Sent
		}
	}
	if err := tx.SettleOutgoing(m.ID, state, time.Time{}, o.a.now()); err != nil {
		return err
	}
	if m.Kind == db.OutHandshake {
		return nil
	}
	if err := o.a.settleSent(tx, m, state); err != nil {
		return err
	}
	for _, r := range refused {
		if err := o.a.leave(tx, refusedNote(m, r)); err != nil {
			return err
		}
	}
	return nil
}

func refusedNote(m db.Outgoing, r db.OutgoingRecipient) note {
	return note{
		subject: "Your provider refused a recipient: " + r.Addr,
		text: fmt.Sprintf("A message that you sent was not accepted for %s.\nYour provider said: %d %s",
			r.Addr, r.Code, strings.TrimSpace(r.Text)),
	}
}

func addresses(m db.Outgoing) string {
	addrs := make([]string, len(m.To))
	for i, r := range m.To {
		addrs[i] = r.Addr
	}
	return strings.Join(addrs, ", ")
}
