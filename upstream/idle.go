package upstream

import (
	"context"
	"time"
)

// closingWait is how long the provider may take to end IDLE when the caller is going.
const closingWait = 5 * time.Second

// Noop asks for news and keeps the connection alive.
func (c *Conn) Noop(ctx context.Context) error {
	return c.run(ctx, "NOOP", false, nil, func() error { return c.client.Noop().Wait() })
}

// Idle waits for news of the selected mailbox and calls changed at each, at once for news
// that came since Select; changed must not block. It returns nil when ctx ends, and then the
// connection is still of use, or the error that broke the connection. A server without IDLE
// is asked every Timeouts.IdlePoll. Other calls wait meanwhile.
func (c *Conn) Idle(ctx context.Context, changed func()) error {
	if !c.isSelected() {
		return ErrNotSelected
	}
	c.filter.watch(changed)
	defer c.filter.watch(nil)
	for {
		var err error
		if c.caps.Idle {
			err = c.idleOnce(ctx)
		} else {
			err = c.pollOnce(ctx)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// pollOnce waits and then asks.
func (c *Conn) pollOnce(ctx context.Context) error {
	timer := time.NewTimer(c.timeouts.IdlePoll)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-c.client.Closed():
		return lost("NOOP", Temporary, c.why(nil))
	case <-timer.C:
		return c.Noop(context.WithoutCancel(ctx))
	}
}

// idleOnce is one IDLE, of Timeouts.Idle at most (RFC 2177 asks clients to end it in time).
func (c *Conn) idleOnce(ctx context.Context) error {
	// The end of ctx must not close the connection here, so run gets another.
	return c.run(context.WithoutCancel(ctx), "IDLE", false, nil, func() error {
		command, err := c.client.Idle()
		if err != nil {
			return err
		}
		c.wire.raw.expect(0)
		timer := time.NewTimer(c.timeouts.Idle)
		defer timer.Stop()
		answer := c.timeouts.Command
		select {
		case <-ctx.Done():
			answer = min(answer, closingWait)
		case <-timer.C:
		case <-c.client.Closed():
		}
		c.wire.raw.expect(answer)
		if err := command.Close(); err != nil {
			return err
		}
		return command.Wait()
	})
}
