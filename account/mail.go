package account

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"mailbridge/db"
	"mailbridge/headers"
	"mailbridge/mailbox"
	"mailbridge/mirror"
)

// The methods below are what an IMAP session needs. Where the mirror's answer stands as it
// is they only pass it on.

// Mailboxes lists every mailbox, sorted by name, INBOX first.
func (a *Account) Mailboxes(ctx context.Context) ([]mailbox.Info, error) {
	return a.mirror.Mailboxes(ctx)
}

// Status answers STATUS.
func (a *Account) Status(ctx context.Context, name string) (mailbox.Status, error) {
	return a.mirror.Status(ctx, name)
}

// Create makes a mailbox at the provider.
func (a *Account) Create(ctx context.Context, name string) error {
	return told(a.mirror.Create(ctx, name))
}

// Delete removes a mailbox at the provider.
func (a *Account) Delete(ctx context.Context, name string) error {
	return told(a.mirror.Delete(ctx, name))
}

// Rename renames a mailbox at the provider.
func (a *Account) Rename(ctx context.Context, from, to string) error {
	return told(a.mirror.Rename(ctx, from, to))
}

// Subscribe changes a subscription.
func (a *Account) Subscribe(ctx context.Context, name string, on bool) error {
	return told(a.mirror.Subscribe(ctx, name, on))
}

// Select finds a mailbox and waits for its first sync.
func (a *Account) Select(ctx context.Context, name string, progress func(string)) (mailbox.ID, error) {
	return a.mirror.Select(ctx, name, progress)
}

// Snapshot gives every visible message of a mailbox.
func (a *Account) Snapshot(ctx context.Context, id mailbox.ID) (mailbox.Snapshot, error) {
	return a.mirror.Snapshot(ctx, id)
}

// Changes gives what happened in a mailbox after since.
func (a *Account) Changes(ctx context.Context, id mailbox.ID, since mailbox.ModSeq) (mailbox.Delta, error) {
	return a.mirror.Changes(ctx, id, since)
}

// Watch gives a channel that holds a token after each change of a mailbox.
func (a *Account) Watch(id mailbox.ID) (changed <-chan struct{}, stop func()) {
	return a.mirror.Watch(id)
}

// Header gives the header block of a message. In mail that the bridge did not open, names
// that only the bridge uses are changed at equal length.
func (a *Account) Header(ctx context.Context, id mailbox.ID, uid mailbox.UID) ([]byte, error) {
	b, kind, err := a.mirror.Header(ctx, id, uid)
	return defused(b, kind), err
}

// Message gives all bytes of a message, as Header does.
func (a *Account) Message(ctx context.Context, id mailbox.ID, uid mailbox.UID) ([]byte, error) {
	b, kind, err := a.mirror.Bytes(ctx, id, uid)
	return defused(b, kind), err
}

// defused changes forged status names in ordinary mail. A signed-only message begins with our
// own frozen line; what follows is the provider's.
func defused(b []byte, kind mirror.Kind) []byte {
	switch kind {
	case mirror.Ordinary:
		return headers.NeutraliseForged(b)
	case mirror.Signed:
		if end := bytes.Index(b, []byte("\r\n")) + len("\r\n"); end >= len("\r\n") {
			return slices.Concat(b[:end], headers.NeutraliseForged(b[end:]))
		}
	}
	return b
}

// Prefetch says that messages will be asked for soon.
func (a *Account) Prefetch(ctx context.Context, id mailbox.ID, uids []mailbox.UID) {
	a.mirror.Prefetch(ctx, id, uids)
}

// SearchText gives those of uids whose field holds text.
func (a *Account) SearchText(ctx context.Context, id mailbox.ID, uids []mailbox.UID, field mailbox.Field, text string) ([]mailbox.UID, error) {
	return a.mirror.SearchText(ctx, id, uids, field, text)
}

// Store changes flags.
func (a *Account) Store(ctx context.Context, id mailbox.ID, uids []mailbox.UID, action mailbox.StoreAction, flags mailbox.Flags) error {
	return told(a.mirror.Store(ctx, id, uids, action, flags))
}

// Expunge removes those of uids that are marked \Deleted.
func (a *Account) Expunge(ctx context.Context, id mailbox.ID, uids []mailbox.UID) error {
	return told(a.mirror.Expunge(ctx, id, uids))
}

// Copy copies messages; opened mail as the provider's ciphertext, with the same view.
func (a *Account) Copy(ctx context.Context, id mailbox.ID, uids []mailbox.UID, dest string) (mailbox.CopyUID, error) {
	c, err := a.mirror.Copy(ctx, id, uids, dest)
	return c, told(err)
}

// Move moves messages, as Copy does.
func (a *Account) Move(ctx context.Context, id mailbox.ID, uids []mailbox.UID, dest string) (mailbox.CopyUID, error) {
	c, err := a.mirror.Move(ctx, id, uids, dest)
	return c, told(err)
}

// told makes a full disk something that a client's user understands (RFC 5530: OVERQUOTA).
func told(err error) error {
	if errors.Is(err, db.ErrFull) {
		return &mailbox.Error{Code: mailbox.CodeOverQuota, Text: "The disk of this computer is full.", Err: err}
	}
	return err
}
