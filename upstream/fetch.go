package upstream

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"mailbridge/mailbox"
)

// maxHeaderBlock bounds what is read of one header block; what is longer is cut. Sixteen
// times what any part of the bridge looks at.
const maxHeaderBlock = 4 << 20

// message is what one FETCH response says.
type message struct {
	Summary
	section []byte // nil: the server has none
}

// fetch runs UID FETCH and calls fn for each answer, in the server's order. An error of fn
// ends the calls; the rest of the answers is read away, since the connection goes on.
func (c *Conn) fetch(ctx context.Context, set imap.UIDSet, want wanted, options *imap.FetchOptions, fn func(message) error) error {
	if !c.isSelected() {
		return ErrNotSelected
	}
	options.UID = true
	return c.run(ctx, "UID FETCH", false, &want, func() error {
		command := c.client.Fetch(set, options)
		var failed error
		for data := command.Next(); data != nil; data = command.Next() {
			if failed != nil {
				continue
			}
			m, err := readMessage(data)
			if err != nil {
				continue // the connection broke: Close says so
			}
			failed = fn(m)
		}
		if err := command.Close(); err != nil {
			return err
		}
		if failed != nil {
			return &callerError{failed}
		}
		return nil
	})
}

func readMessage(data *imapclient.FetchMessageData) (message, error) {
	var m message
	var failed error
	for item := data.Next(); item != nil; item = data.Next() {
		switch item := item.(type) {
		case imapclient.FetchItemDataUID:
			m.UID = uint32(item.UID)
		case imapclient.FetchItemDataFlags:
			m.Flags = newFlags(item.Flags)
		case imapclient.FetchItemDataInternalDate:
			m.InternalDate = item.Time
		case imapclient.FetchItemDataRFC822Size:
			m.Size = item.Size
		case imapclient.FetchItemDataBodySection:
			var err error
			if m.section, err = readSection(item.Literal); err != nil {
				failed = err
			}
		}
	}
	return m, failed
}

func readSection(literal imap.LiteralReader) ([]byte, error) {
	if literal == nil {
		return nil, nil
	}
	// The filter has bounded the size by what was asked for.
	b := make([]byte, literal.Size())
	if _, err := io.ReadFull(literal, b); err != nil {
		return nil, err
	}
	// imapclient reads on only when the literal's end was seen.
	if _, err := io.Copy(io.Discard, literal); err != nil {
		return nil, err
	}
	return b, nil
}

func newFlags(flags []imap.Flag) mailbox.Flags {
	out := make([]mailbox.Flag, len(flags))
	for i, f := range flags {
		out[i] = mailbox.Flag(f)
	}
	return mailbox.NewFlags(out...).Storable()
}

// from gives the set "n:*".
func from(uid uint32) imap.UIDSet {
	return imap.UIDSet{{Start: imap.UID(max(uid, 1)), Stop: 0}}
}

// Index calls fn for each message with a UID of at least from, in the provider's order
// (ascending with every server known). fields names the header fields wanted; nil means the
// whole header block, an empty slice none. InternalDate is zero where the provider's is
// not a date. An error of fn ends the calls and is returned as it is.
func (c *Conn) Index(ctx context.Context, first uint32, fields []string, fn func(Summary) error) error {
	want := wanted{items: itemFlags | itemDate | itemSize, from: first, limit: maxHeaderBlock}
	options := &imap.FetchOptions{Flags: true, InternalDate: true, RFC822Size: true}
	if fields == nil || len(fields) > 0 {
		want.items |= itemSection
		options.BodySection = []*imap.FetchItemBodySection{{Specifier: imap.PartSpecifierHeader, HeaderFields: fields, Peek: true}}
	}
	return c.fetch(ctx, from(first), want, options, func(m message) error {
		m.Header = m.section
		return fn(m.Summary)
	})
}

// Headers calls fn with the whole header block of each of uids that is there, in no
// certain order. Only UID and Header are set.
func (c *Conn) Headers(ctx context.Context, uids []uint32, fn func(Summary) error) error {
	section := &imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader, Peek: true}
	return c.sections(ctx, uids, section, maxHeaderBlock, func(uid uint32, header []byte) error {
		return fn(Summary{UID: uid, Header: header[:min(len(header), maxHeaderBlock)]})
	})
}

func (c *Conn) sections(ctx context.Context, uids []uint32, section *imap.FetchItemBodySection, limit int64, fn func(uint32, []byte) error) error {
	for _, set := range chunks(uids) {
		options := &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{section}}
		err := c.fetch(ctx, set, wanted{items: itemSection, limit: limit}, options, func(m message) error {
			return fn(m.UID, m.section)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Bodies calls fn with the bytes of each of uids that is there. A message over the limit
// comes with a nil body.
func (c *Conn) Bodies(ctx context.Context, uids []uint32, limit int64, fn func(uid uint32, msg []byte) error) error {
	return c.sections(ctx, uids, &imap.FetchItemBodySection{Peek: true}, limit, func(uid uint32, msg []byte) error {
		if int64(len(msg)) > limit {
			msg = nil
		}
		return fn(uid, msg)
	})
}

// Body gives all bytes of one message. ErrNotFound, ErrTooLarge.
func (c *Conn) Body(ctx context.Context, uid uint32, limit int64) ([]byte, error) {
	found := false
	var body []byte
	err := c.Bodies(ctx, []uint32{uid}, limit, func(_ uint32, msg []byte) error {
		found, body = true, msg
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case !found:
		return nil, fmt.Errorf("UID %d: %w", uid, ErrNotFound)
	case body == nil:
		return nil, fmt.Errorf("UID %d: %w", uid, ErrTooLarge)
	}
	return body, nil
}

// Peeks calls fn with the first n octets of the text behind the header
// (BODY.PEEK[TEXT]<0.n>) of each of uids that is there.
func (c *Conn) Peeks(ctx context.Context, uids []uint32, n int64, fn func(uid uint32, text []byte) error) error {
	section := &imap.FetchItemBodySection{Specifier: imap.PartSpecifierText, Peek: true, Partial: &imap.SectionPartial{Size: n}}
	return c.sections(ctx, uids, section, n, func(uid uint32, b []byte) error {
		return fn(uid, b[:min(int64(len(b)), n)])
	})
}

// Flags gives the flags of every message, ascending by UID.
func (c *Conn) Flags(ctx context.Context) ([]UIDFlags, error) { return c.flags(ctx, 0) }

// FlagsSince gives the flags of the messages changed after a mod-sequence, ascending by
// UID. ErrUnsupported without CONDSTORE.
func (c *Conn) FlagsSince(ctx context.Context, modseq uint64) ([]UIDFlags, error) {
	if !c.caps.Condstore {
		return nil, ErrUnsupported
	}
	return c.flags(ctx, max(modseq, 1))
}

func (c *Conn) flags(ctx context.Context, since uint64) ([]UIDFlags, error) {
	var out []UIDFlags
	options := &imap.FetchOptions{Flags: true, ChangedSince: since}
	err := c.fetch(ctx, from(1), wanted{items: itemFlags}, options, func(m message) error {
		if len(out) >= maxUIDs {
			return ErrTooLarge
		}
		out = append(out, UIDFlags{m.UID, m.Flags})
		return nil
	})
	slices.SortFunc(out, func(a, b UIDFlags) int { return cmp.Compare(a.UID, b.UID) })
	return out, err
}
