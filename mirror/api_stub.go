package mirror

import (
	"context"
	"errors"
	"time"

	"mailbridge/db"
	"mailbridge/mailbox"
	"mailbridge/upstream"
)

var errStub = errors.New("not yet")

// New makes a Mirror over an open index. Local operations work at once; Run talks to the
// provider. The mailboxes INBOX and Bridge exist from the start.
func New(ctx context.Context, index *db.DB, config upstream.Config, ingest Ingester, o Options) (*Mirror, error) {
	return &Mirror{db: index, config: config, ingest: ingest, opts: o}, nil
}

// Run keeps the index and the provider in agreement until ctx ends. It returns another error
// than ctx's only if the index fails for good.
func (m *Mirror) Run(ctx context.Context) error { return errStub }

// Wake asks for a look at everything now, and ends a wait for the next attempt to connect.
func (m *Mirror) Wake() {}

// Retry asks about every held message again, soon.
func (m *Mirror) Retry() {}

// State says how things are.
func (m *Mirror) State() State { return State{} }

// Ready waits until the list of mailboxes is known.
func (m *Mirror) Ready(ctx context.Context) error { return errStub }

// Synced waits until the provider has heard of every change and every mailbox was looked at
// after the call.
func (m *Mirror) Synced(ctx context.Context) error { return errStub }

// Mailboxes lists every mailbox, sorted by name, INBOX first.
func (m *Mirror) Mailboxes(ctx context.Context) ([]mailbox.Info, error) { return nil, errStub }

// Mailbox finds a mailbox by its name; a *mailbox.Error if there is none.
func (m *Mirror) Mailbox(ctx context.Context, name string) (mailbox.Info, error) {
	return mailbox.Info{}, errStub
}

// Special gives the mailbox with a special use: by what the provider says, else by its usual
// names. It is a *mailbox.Error with CodeNonExistent if there is none.
func (m *Mirror) Special(ctx context.Context, use mailbox.Use) (mailbox.Info, error) {
	return mailbox.Info{}, errStub
}

// Status answers STATUS for a mailbox by its name.
func (m *Mirror) Status(ctx context.Context, name string) (mailbox.Status, error) {
	return mailbox.Status{}, errStub
}

// Create makes a mailbox at the provider, and here.
func (m *Mirror) Create(ctx context.Context, name string) error { return errStub }

// Delete removes a mailbox at the provider, and here.
func (m *Mirror) Delete(ctx context.Context, name string) error { return errStub }

// Rename renames a mailbox and those below it at the provider, and here.
func (m *Mirror) Rename(ctx context.Context, from, to string) error { return errStub }

// Subscribe changes a subscription.
func (m *Mirror) Subscribe(ctx context.Context, name string, on bool) error { return errStub }

// Select finds a mailbox by name and waits for its first sync.
func (m *Mirror) Select(ctx context.Context, name string, progress func(string)) (mailbox.ID, error) {
	return 0, errStub
}

// Snapshot gives every visible message.
func (m *Mirror) Snapshot(ctx context.Context, id mailbox.ID) (mailbox.Snapshot, error) {
	return mailbox.Snapshot{}, errStub
}

// Changes gives what happened after since.
func (m *Mirror) Changes(ctx context.Context, id mailbox.ID, since mailbox.ModSeq) (mailbox.Delta, error) {
	return mailbox.Delta{}, errStub
}

// Watch gives a channel that holds a token after each change of the mailbox.
func (m *Mirror) Watch(id mailbox.ID) (changed <-chan struct{}, stop func()) {
	return nil, func() {}
}

// Bytes gives all bytes of a visible message as it is served, and what they are. The caller
// must not change them.
func (m *Mirror) Bytes(ctx context.Context, id mailbox.ID, uid mailbox.UID) ([]byte, Kind, error) {
	return nil, "", errStub
}

// Header gives the header block of a visible message as it is served, with the empty line at
// its end.
func (m *Mirror) Header(ctx context.Context, id mailbox.ID, uid mailbox.UID) ([]byte, Kind, error) {
	return nil, "", errStub
}

// Raw gives the bytes of a visible message as the provider has them, or is to have them.
func (m *Mirror) Raw(ctx context.Context, id mailbox.ID, uid mailbox.UID) ([]byte, error) {
	return nil, errStub
}

// Prefetch says that the messages will be asked for soon, in this order.
func (m *Mirror) Prefetch(ctx context.Context, id mailbox.ID, uids []mailbox.UID) {}

// Store changes flags.
func (m *Mirror) Store(ctx context.Context, id mailbox.ID, uids []mailbox.UID, action mailbox.StoreAction, flags mailbox.Flags) error {
	return errStub
}

// Expunge removes those of uids that are marked \Deleted.
func (m *Mirror) Expunge(ctx context.Context, id mailbox.ID, uids []mailbox.UID) error {
	return errStub
}

// Copy copies messages.
func (m *Mirror) Copy(ctx context.Context, id mailbox.ID, uids []mailbox.UID, dest string) (mailbox.CopyUID, error) {
	return mailbox.CopyUID{}, errStub
}

// Move moves messages.
func (m *Mirror) Move(ctx context.Context, id mailbox.ID, uids []mailbox.UID, dest string) (mailbox.CopyUID, error) {
	return mailbox.CopyUID{}, errStub
}

// Find gives the row of a visible message, for what the account stores about it.
func (m *Mirror) Find(ctx context.Context, id mailbox.ID, uid mailbox.UID) (db.Message, error) {
	return db.Message{}, errStub
}

// Add stores a message that comes from this side, in the caller's transaction. Wire goes up
// through the journal, which is the only way to the provider's APPEND.
func (m *Mirror) Add(tx *db.Tx, l Local) (Added, error) { return Added{}, errStub }

// Show gives a hidden row its UID. view replaces what is served, which no client has seen yet;
// nil leaves it. date and flags are the message's from now on.
func (m *Mirror) Show(tx *db.Tx, row int64, view []byte, flags mailbox.Flags, date time.Time) (Added, error) {
	return Added{}, errStub
}

// Drop takes a row away that no client has seen and that was not uploaded: a Sent row whose
// sending was refused.
func (m *Mirror) Drop(tx *db.Tx, row int64) error { return errStub }

// Reopen serves other bytes for a message from now on: what was unreadable became readable, or
// the client's own copy replaces ours. If the row was visible its UID is expunged and it appears
// under a new one, with the same date and flags.
func (m *Mirror) Reopen(tx *db.Tx, row int64, kind Kind, view []byte, keywords mailbox.Flags) (Added, error) {
	return Added{}, errStub
}

// SetKeywords sets the bridge's own keywords of a row.
func (m *Mirror) SetKeywords(tx *db.Tx, row int64, keywords mailbox.Flags) error { return errStub }
