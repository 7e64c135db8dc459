package upstream

import (
	"context"
	"time"

	"mailbridge/mailbox"
)

// Conn is one IMAP connection, logged in. Its methods may be called from several
// goroutines; they run one after another. After an error for which Broken is true the
// connection is of no more use.
type Conn struct{}

// Dial connects, verifies the certificate and logs in.
func Dial(ctx context.Context, cfg Config) (*Conn, error) { return nil, ErrUnsupported }

// CheckLogin tries the login at both servers.
func CheckLogin(ctx context.Context, cfg Config) error { return ErrUnsupported }

// Submit hands a message to the provider. The error says why not every recipient was
// accepted, or is nil; the result always names every recipient.
func Submit(ctx context.Context, cfg Config, env Envelope, msg []byte) (Result, error) {
	return Result{}, ErrUnsupported
}

// Caps says what the server can do.
func (c *Conn) Caps() Caps { return Caps{} }

// Broken reports whether the connection was lost or closed.
func (c *Conn) Broken() bool { return true }

// Close ends the connection at once. A call in progress returns with an error.
func (c *Conn) Close() error { return nil }

// List gives every mailbox of the user.
func (c *Conn) List(ctx context.Context) ([]Folder, error) { return nil, ErrUnsupported }

// Status answers STATUS.
func (c *Conn) Status(ctx context.Context, name string) (Status, error) {
	return Status{}, ErrUnsupported
}

// Select opens a mailbox. readOnly: EXAMINE.
func (c *Conn) Select(ctx context.Context, name string, readOnly bool) (Selected, error) {
	return Selected{}, ErrUnsupported
}

// Index calls fn for each message with a UID of at least from, in ascending UID order. fields
// names the header fields wanted; nil means the whole header block, an empty slice none.
func (c *Conn) Index(ctx context.Context, from uint32, fields []string, fn func(Summary) error) error {
	return ErrUnsupported
}

// Headers calls fn with the whole header block of each of uids that is there, in no certain order.
func (c *Conn) Headers(ctx context.Context, uids []uint32, fn func(Summary) error) error {
	return ErrUnsupported
}

// UIDs gives every UID of the selected mailbox, ascending.
func (c *Conn) UIDs(ctx context.Context) ([]uint32, error) { return nil, ErrUnsupported }

// Flags gives the flags of every message, ascending by UID.
func (c *Conn) Flags(ctx context.Context) ([]UIDFlags, error) { return nil, ErrUnsupported }

// FlagsSince gives the flags of the messages changed after a mod-sequence (CONDSTORE).
func (c *Conn) FlagsSince(ctx context.Context, modseq uint64) ([]UIDFlags, error) {
	return nil, ErrUnsupported
}

// Body gives all bytes of one message. ErrNotFound, ErrTooLarge.
func (c *Conn) Body(ctx context.Context, uid uint32, limit int64) ([]byte, error) {
	return nil, ErrUnsupported
}

// Bodies calls fn with the bytes of each of uids that is there. A message over the limit
// comes with a nil body.
func (c *Conn) Bodies(ctx context.Context, uids []uint32, limit int64, fn func(uid uint32, msg []byte) error) error {
	return ErrUnsupported
}

// Peek gives the first n octets of the text behind the header (BODY.PEEK[TEXT]<0.n>).
func (c *Conn) Peek(ctx context.Context, uid uint32, n int64) ([]byte, error) {
	return nil, ErrUnsupported
}

// Store changes flags. The bridge's own keywords are never sent.
func (c *Conn) Store(ctx context.Context, uids []uint32, action mailbox.StoreAction, flags mailbox.Flags) error {
	return ErrUnsupported
}

// Copy copies messages of the selected mailbox.
func (c *Conn) Copy(ctx context.Context, uids []uint32, dest string) (CopyUID, error) {
	return CopyUID{}, ErrUnsupported
}

// Move moves messages: MOVE, else COPY, \Deleted and UID EXPUNGE. Without UIDPLUS the
// messages stay marked \Deleted in the source, since a plain EXPUNGE removes what others marked.
func (c *Conn) Move(ctx context.Context, uids []uint32, dest string) (CopyUID, error) {
	return CopyUID{}, ErrUnsupported
}

// Expunge removes those of uids that are marked \Deleted, by UID EXPUNGE.
// ErrUnsupported without UIDPLUS.
func (c *Conn) Expunge(ctx context.Context, uids []uint32) error { return ErrUnsupported }

// SearchMessageID gives the messages with a Message-ID (without angle brackets).
func (c *Conn) SearchMessageID(ctx context.Context, id string) ([]uint32, error) {
	return nil, ErrUnsupported
}

// SearchText gives those of uids whose body (or header and body) holds text.
func (c *Conn) SearchText(ctx context.Context, uids []uint32, field mailbox.Field, text string) ([]uint32, error) {
	return nil, ErrUnsupported
}

// Append stores a message. uidValidity and uid are 0 where the provider does not say.
func (c *Conn) Append(ctx context.Context, name string, flags mailbox.Flags, date time.Time, msg []byte) (uidValidity, uid uint32, err error) {
	return 0, 0, ErrUnsupported
}

// Create makes a mailbox.
func (c *Conn) Create(ctx context.Context, name string) error { return ErrUnsupported }

// Delete removes a mailbox.
func (c *Conn) Delete(ctx context.Context, name string) error { return ErrUnsupported }

// Rename renames a mailbox.
func (c *Conn) Rename(ctx context.Context, from, to string) error { return ErrUnsupported }

// Subscribe changes a subscription.
func (c *Conn) Subscribe(ctx context.Context, name string, on bool) error { return ErrUnsupported }

// Noop asks for news and keeps the connection alive.
func (c *Conn) Noop(ctx context.Context) error { return ErrUnsupported }

// Idle waits for news of the selected mailbox and calls changed at each; changed must not
// block. It returns nil when ctx ends, or the error that broke the connection.
func (c *Conn) Idle(ctx context.Context, changed func()) error { return ErrUnsupported }
