package imapproxy

import (
	"context"
	"time"

	"mailbridge/mailbox"
)

// Backend finds the account that a login name and a local password open. A refusal is
// a *mailbox.Error whose text the client is shown.
type Backend interface {
	Login(ctx context.Context, username, password string) (Account, error)
}

// Account is one account's mail as a session needs it. Every method may be called from
// several sessions at once. Refusals are *mailbox.Error; any other error becomes
// NO [SERVERBUG] and is logged.
type Account interface {
	// Mailboxes lists every mailbox, sorted by name, INBOX first.
	Mailboxes(ctx context.Context) ([]mailbox.Info, error)
	// Status answers STATUS for a mailbox by its name.
	Status(ctx context.Context, name string) (mailbox.Status, error)
	Create(ctx context.Context, name string) error
	Delete(ctx context.Context, name string) error
	Rename(ctx context.Context, from, to string) error
	Subscribe(ctx context.Context, name string, on bool) error
	// Append stores a message and says under which UID (RFC 4315, APPENDUID).
	Append(ctx context.Context, name string, msg []byte, flags mailbox.Flags, date time.Time) (uidValidity uint32, uid mailbox.UID, err error)

	// Select finds a mailbox by name. It waits for the first sync of the mailbox, at most
	// until ctx ends; progress is called now and then with a line for the person.
	Select(ctx context.Context, name string, progress func(string)) (mailbox.ID, error)
	Snapshot(ctx context.Context, id mailbox.ID) (mailbox.Snapshot, error)
	// Changes gives what happened after since. A mailbox that is gone, or whose
	// UIDVALIDITY changed, is a *mailbox.Error with CodeNonExistent.
	Changes(ctx context.Context, id mailbox.ID, since mailbox.ModSeq) (mailbox.Delta, error)
	// Watch gives a channel that holds a token after each change of the mailbox. The channel
	// has room for one token; stop ends the watch.
	Watch(id mailbox.ID) (changed <-chan struct{}, stop func())

	// Header gives the header block of a message, with the empty line that ends it.
	Header(ctx context.Context, id mailbox.ID, uid mailbox.UID) ([]byte, error)
	// Message gives all bytes of a message. The caller must not change them.
	Message(ctx context.Context, id mailbox.ID, uid mailbox.UID) ([]byte, error)
	// Prefetch says that the messages will be asked for soon, in this order.
	Prefetch(ctx context.Context, id mailbox.ID, uids []mailbox.UID)
	// SearchText gives those of uids whose field holds text, compared without case.
	SearchText(ctx context.Context, id mailbox.ID, uids []mailbox.UID, field mailbox.Field, text string) ([]mailbox.UID, error)

	Store(ctx context.Context, id mailbox.ID, uids []mailbox.UID, action mailbox.StoreAction, flags mailbox.Flags) error
	// Expunge removes those of uids that are marked \Deleted.
	Expunge(ctx context.Context, id mailbox.ID, uids []mailbox.UID) error
	Copy(ctx context.Context, id mailbox.ID, uids []mailbox.UID, dest string) (mailbox.CopyUID, error)
	Move(ctx context.Context, id mailbox.ID, uids []mailbox.UID, dest string) (mailbox.CopyUID, error)
}
