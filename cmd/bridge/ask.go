package main

import (
	"context"
	"errors"
	"time"

	"mailbridge/account"
)

// ask runs a command about the account of --account.
func ask[Reply any](a *app, name string, args func(accountArgs) any) (reply Reply, err error) {
	address, err := a.account()
	if err == nil {
		err = a.call(name, args(accountArgs{address}), &reply)
	}
	return reply, err
}

// act is ask for a command that may send mail. Where no service runs, it waits until the
// mail is on its way, or says that it waits.
func act[Reply any](a *app, name string, args func(accountArgs) any) (reply Reply, err error) {
	address, err := a.account()
	if err != nil {
		return reply, err
	}
	conn, err := a.connect()
	if err != nil {
		return reply, err
	}
	defer conn.close()
	of := accountArgs{address}
	if err = conn.Call(a.ctx, name, args(of), &reply); err == nil {
		err = a.sendRest(conn, of)
	}
	return reply, err
}

const (
	// turn is how long a command that waits without a service keeps the home at least: it has
	// to connect to the provider, and to see what has come.
	turn = 3 * time.Second
	// turnPoll is how often it then looks whether others wait, and how long it leaves them the home
	// before it waits for it, too.
	turnPoll = 100 * time.Millisecond
)

// callInTurns runs a command that may take days. Where no service runs, others get at the home in
// between, and if a service is among them, that one goes on with it.
func (a *app) callInTurns(conn *connection, name string, args, reply any) error {
	for {
		ctx, cancel := context.WithCancel(a.ctx)
		go conn.giveWay(ctx, cancel)
		err := conn.Call(ctx, name, args, reply)
		ended := ctx.Err() == nil || a.ctx.Err() != nil
		cancel()
		if err == nil || ended {
			return err
		}
		conn.close()
		time.Sleep(turnPoll)
		next, err := a.connect()
		for errors.Is(err, errBusy) && a.ctx.Err() == nil { // so do others who wait
			next, err = a.connect()
		}
		if err != nil {
			conn.close = func() {}
			return err
		}
		*conn = *next
	}
}

// giveWay ends a call once others have waited for long enough.
func (c *connection) giveWay(ctx context.Context, end func()) {
	for wait := turn; ; wait = turnPoll {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		if c.awaited() {
			end()
			return
		}
	}
}

// sendRest sends what a command has caused, where no service does that.
func (a *app) sendRest(conn *connection, of accountArgs) error {
	if conn.service {
		return nil
	}
	var left sendReply
	if err := conn.Call(a.ctx, "send", of, &left); err != nil {
		return err
	}
	if left.Queued > 0 {
		a.tell("It is stored, but not all of its mail is sent%s: no bridge is running, the next bridge run does it.", left.because())
	}
	return nil
}

const (
	// sendWait is how long a command that works by itself tries to send. A provider that
	// is there takes a second for a few messages.
	sendWait = 20 * time.Second
	// sendPoll is the pause between two looks at the account's state, which has no event of its own.
	sendPoll = 20 * time.Millisecond
)

type sendReply struct {
	Queued int    `json:"queued"`
	Why    string `json:"why"` // the provider's trouble, if there is some
}

func (r sendReply) because() string {
	if r.Why == "" {
		return ""
	}
	return " (" + clean(r.Why) + ")"
}

func replySent(s account.Status) sendReply {
	r := sendReply{Queued: s.Queued}
	if len(s.Warnings) > 0 {
		r.Why = s.Warnings[0]
	}
	return r
}

// send lets an account of a bridge without a service send what waits. What cannot be
// sent now stays for the next run.
func (b *bridge) send(ctx context.Context, args accountArgs) (sendReply, error) {
	e, err := b.accounts.get(ctx, args.Account)
	if err != nil {
		return sendReply{}, err
	}
	s := e.State(ctx)
	if b.accounts.serving || s.Queued == 0 {
		return replySent(s), nil
	}
	if e, err = b.accounts.active(ctx, args.Account); err != nil {
		return sendReply{}, err
	}
	s = tryUntil(ctx, e, s, func(s account.Status) bool { return s.Queued == 0 })
	return replySent(s), ctx.Err()
}

// tryUntil gives an account that has just begun to run the time that it needs for something, or to
// learn that the provider is not there. s is its state as it was last seen.
func tryUntil(ctx context.Context, e engine, s account.Status, done func(account.Status) bool) account.Status {
	ctx, cancel := context.WithTimeout(ctx, sendWait)
	defer cancel()
	for !done(s) && !unreachable(s) {
		select {
		case <-time.After(sendPoll):
			s = e.State(ctx)
		case <-ctx.Done():
			return s
		}
	}
	return s
}

// unreachable says that the provider was tried and is not there. An account that has only
// begun is offline, too, but has no reason for it yet.
func unreachable(s account.Status) bool {
	switch s.Provider {
	case "login-refused", "certificate-not-trusted":
		return true
	case "offline":
		return len(s.Warnings) > 0
	}
	return false
}
