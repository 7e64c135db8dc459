package upstream

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"mailbridge/mailbox"
)

// storable gives the flags as imapclient takes them; it would close the connection at one
// that is not an atom.
func storable(flags mailbox.Flags) []imap.Flag {
	out := []imap.Flag{}
	for _, f := range flags.Storable() {
		if isAtom(strings.TrimPrefix(string(f), `\`)) {
			out = append(out, imap.Flag(f))
		}
	}
	return out
}

// each runs a command for UIDs in sets that fit a command line. When a later set fails the
// earlier ones have taken effect.
func (c *Conn) each(ctx context.Context, op string, uids []uint32, command func(imap.UIDSet) error) error {
	if !c.isSelected() {
		return ErrNotSelected
	}
	for _, set := range chunks(uids) {
		if err := c.run(ctx, op, true, nil, func() error { return command(set) }); err != nil {
			return err
		}
	}
	return nil
}

// Store changes flags. The bridge's own keywords are never sent.
func (c *Conn) Store(ctx context.Context, uids []uint32, action mailbox.StoreAction, flags mailbox.Flags) error {
	store := &imap.StoreFlags{Silent: true, Flags: storable(flags)}
	switch action {
	case mailbox.StoreAdd:
		store.Op = imap.StoreFlagsAdd
	case mailbox.StoreRemove:
		store.Op = imap.StoreFlagsDel
	default:
		store.Op = imap.StoreFlagsSet
	}
	if len(store.Flags) == 0 && action != mailbox.StoreReplace {
		return nil
	}
	return c.each(ctx, "UID STORE", uids, func(set imap.UIDSet) error {
		return c.client.Store(set, store, nil).Close()
	})
}

// Copy copies messages of the selected mailbox. With an error the result names what was
// copied before it.
func (c *Conn) Copy(ctx context.Context, uids []uint32, dest string) (CopyUID, error) {
	var result CopyUID
	err := c.each(ctx, "UID COPY", uids, func(set imap.UIDSet) error {
		_, err := c.client.Copy(set, dest).Wait()
		result.add(c.filter.answers().copied)
		return err
	})
	return result, err
}

func (u *CopyUID) add(codes []copied) {
	for _, code := range codes {
		if u.Map == nil {
			u.Map = make(map[uint32]uint32)
		}
		u.UIDValidity = code.uidValidity
		for i, uid := range code.source {
			u.Map[uid] = code.dest[i]
		}
	}
}

// Move moves messages: MOVE, else COPY, \Deleted and UID EXPUNGE. Without UIDPLUS the
// messages stay in the source, marked \Deleted, since a plain EXPUNGE would remove what
// others marked. With an error the result names what has a copy in dest.
func (c *Conn) Move(ctx context.Context, uids []uint32, dest string) (CopyUID, error) {
	if !c.caps.Move {
		return c.moveByCopy(ctx, uids, dest)
	}
	var result CopyUID
	err := c.each(ctx, "UID MOVE", uids, func(set imap.UIDSet) error {
		_, err := c.client.Move(set, dest).Wait()
		result.add(c.filter.answers().copied)
		return err
	})
	return result, err
}

func (c *Conn) moveByCopy(ctx context.Context, uids []uint32, dest string) (CopyUID, error) {
	result, err := c.Copy(ctx, uids, dest)
	if err != nil {
		return result, err
	}
	if err := c.Store(ctx, uids, mailbox.StoreAdd, mailbox.NewFlags(mailbox.Deleted)); err != nil {
		return result, err
	}
	if err := c.Expunge(ctx, uids); err != nil && !errors.Is(err, ErrUnsupported) {
		return result, err
	}
	return result, nil
}

// Expunge removes those of uids that are marked \Deleted, by UID EXPUNGE. ErrUnsupported
// without UIDPLUS.
func (c *Conn) Expunge(ctx context.Context, uids []uint32) error {
	if !c.caps.UIDPlus {
		return ErrUnsupported
	}
	return c.each(ctx, "UID EXPUNGE", uids, func(set imap.UIDSet) error {
		return c.client.UIDExpunge(set).Close()
	})
}

// Append stores a message. uidValidity and uid are 0 where the provider does not say. After
// a refusal the connection may be broken: imapclient cannot go on when a literal is refused.
func (c *Conn) Append(ctx context.Context, name string, flags mailbox.Flags, date time.Time, msg []byte) (uidValidity, uid uint32, err error) {
	options := &imap.AppendOptions{Flags: storable(flags), Time: date}
	err = c.run(ctx, "APPEND", true, nil, func() error {
		command := c.client.Append(name, int64(len(msg)), options)
		_, writing := command.Write(msg)
		if closing := command.Close(); writing == nil {
			writing = closing
		}
		if writing != nil {
			return c.unsent(writing)
		}
		if _, err := command.Wait(); err != nil {
			return err
		}
		got := c.filter.answers()
		uidValidity, uid = got.uidValidity, got.uid
		return nil
	})
	return uidValidity, uid, err
}

// unsent classifies an APPEND whose message did not leave as a whole: it cannot have
// happened, since the server waits for the announced octets.
func (c *Conn) unsent(err error) error {
	var refused *imap.Error
	if errors.As(err, &refused) {
		c.breakWith(errors.New("APPEND was refused"))
		return refusal("APPEND", refused)
	}
	c.breakWith(c.why(err))
	return lost("APPEND", Temporary, c.cause())
}
