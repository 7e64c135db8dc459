// Package mirror makes the account's index agree with the provider's mailboxes, and the
// provider's mailboxes with what the clients did.
package mirror

import (
	"context"
	"log/slog"
	"time"

	"mailbridge/db"
	"mailbridge/mailbox"
	"mailbridge/upstream"
)

// Kind says what a message's bytes are.
type Kind = db.Kind

const (
	Ordinary = db.Ordinary // served as the provider has it
	Opened   = db.Opened   // decrypted: served from a view
	Sealed   = db.Sealed   // the user's own, sealed at the provider: served as the client gave it
	Signed   = db.Signed   // a frozen prefix, then the provider's bytes
	Notice   = db.Notice   // what was damaged: served from a view
	Note     = db.Note     // the bridge's own: nowhere but here
	Control  = db.Control  // handshakes and other machine mail
)

// Verdict is what becomes of an arrival.
type Verdict int

const (
	Deliver Verdict = iota + 1 // show it
	Hide                       // a row without a UID; it stays at the provider
	Consume                    // hidden, and moved to the provider's Trash
	Hold                       // not yet decided: hidden, and asked again at Ruling.RetryAt or after Retry
)

// Arrival is a message that is new, with all its bytes.
type Arrival struct {
	Mailbox      mailbox.Info
	Raw          []byte // the provider's bytes; not to be changed
	Digest       [32]byte
	InternalDate time.Time
	Flags        mailbox.Flags
	Old          bool      // was there before the account was added
	Attempt      int       // how often it was held before
	Since        time.Time // when it was first asked about
}

// Ruling is what the Ingester decided about an arrival.
type Ruling struct {
	Verdict   Verdict
	Kind      Kind          // default: Ordinary
	View      []byte        // what is served; nil: the provider's bytes
	Prefix    []byte        // Signed: what is served in front of the provider's bytes
	Keywords  mailbox.Flags // the bridge's own keywords
	MessageID string        // of the opened message, without angle brackets; empty: that of the header
	RetryAt   time.Time     // Hold: when to ask again
	// Same, if not zero, is the row of which this is the provider's own copy (a Sent copy that
	// the provider saved by itself). That row gets the arrival's place, a waiting upload of it is
	// dropped, and the arrival gets no row of its own; Verdict counts no more.
	Same int64
	// Apply makes the effects, in the transaction that makes the row.
	Apply func(tx *db.Tx, messageID int64) error
	// After runs after the commit.
	After func()
}

// Ingester is the account's policy about what arrives.
type Ingester interface {
	// Candidate reports whether a message with these header fields must be looked at as a
	// whole. At the first sync header holds only the fields in IndexFields.
	Candidate(header []byte) bool
	// Ingest decides about a message. It is called outside of any transaction, one message at
	// a time, and for each mailbox in the provider's order. An error means "not now": the
	// message is held and asked about again.
	Ingest(ctx context.Context, a Arrival) (Ruling, error)
}

// IndexFields are the header fields that the first sync asks for.
var IndexFields = []string{"Content-Type", "Message-ID", "Secure-Join", "Secure-Join-Invitenumber", "Autocrypt-Setup-Message"}

// Options tune a Mirror. The zero value is right for an account in use.
type Options struct {
	Log *slog.Logger
	// PollInterval is how often mailboxes other than INBOX are looked at.
	PollInterval time.Duration
	// CacheBytes bounds the cache of ordinary mail in memory.
	CacheBytes int64
	// KeepExpired keeps opened messages that vanish at the provider without a client's command.
	KeepExpired bool
	// Note tells the user something in the mailbox Bridge; it may use tx, in which the change
	// that is told is made. Nil: only the log tells it.
	Note func(tx *db.Tx, subject, text string) error
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Local is a message that comes from this side: an APPEND, a note, a Sent row.
type Local struct {
	Mailbox   string // local name
	Kind      Kind
	View      []byte        // what is served; nil: Wire
	Wire      []byte        // what is uploaded; nil: the message is nowhere but here
	Flags     mailbox.Flags // system flags and keywords
	Keywords  mailbox.Flags // the bridge's own
	Date      time.Time     // INTERNALDATE
	MessageID string        // without angle brackets; it makes the row findable by ByMessageID
	Hidden    bool          // no UID before Show
	UploadAt  time.Time     // not before; zero: at once
}

// Added says where a local message is. UID is 0 for a hidden one.
type Added struct {
	Row         int64
	UIDValidity uint32
	UID         mailbox.UID
}

// Connection is the state of the connection to the provider.
type Connection int

const (
	Offline Connection = iota
	Connecting
	Connected
)

// State is what the person may want to know of a Mirror.
type State struct {
	Connection Connection
	LastSync   time.Time // when everything was last looked at; zero: never
	Syncing    bool      // a first sync is not done
	Waiting    int       // changes that the provider has still to hear of
	Err        error     // why it is offline
}

// Mirror is one account's mailboxes. Its methods may be called from several goroutines.
type Mirror struct {
	db     *db.DB
	config upstream.Config
	ingest Ingester
	opts   Options
}
