// Package mirror makes the account's index agree with the provider's mailboxes, and the
// provider's mailboxes with what the clients did.
//
// The bridge has its own UIDs and one row for every message; the bytes of mail that it neither
// opened nor made stay with the provider. One session at a time holds the command connection
// and does everything that changes something at the provider, and everything that arrives, one
// thing after another; a second connection is in IDLE on INBOX; a third is made when a client
// reads what is not in the cache.
//
// Invariants:
//
//   - A local UID never changes its bytes, its size or its structure. What becomes readable
//     later, or comes back with other bytes, appears under a new UID, the old one is expunged.
//   - A message that is to be looked at has no UID before that was done: what is hidden or
//     consumed is never visible, in any mailbox, not even for a moment.
//   - A change is a row of the journal before it is a command. Commands are idempotent (STORE,
//     UID EXPUNGE), or there is a way to find out whether they happened (MOVE, APPEND: what came
//     into the target since a mark taken before). COPY, CREATE, RENAME and DELETE need the
//     provider; after a lost connection they are looked for before the client gets its answer.
//   - The provider stays the truth. A deletion there comes only from a client's command or from
//     a verdict, never from reconciliation. After a change of UIDVALIDITY it runs only on a
//     message that is the same by its SHA-256.
//   - The only way to the provider's APPEND is the journal (see Mirror.Add).
//   - No network inside a transaction; sessions of clients hear of a change after its commit.
//
// Choices that the design leaves open: flags that the provider does not keep stay here. Without
// UIDPLUS a message that a client expunged is only marked \Deleted at the provider, since a plain
// EXPUNGE would remove what others marked. A message passed over for whatever reason gets its row
// at the next comparison. Without CONDSTORE a mailbox is compared as a whole, for at most a
// twentieth of the time. Mail is old, and never answered, if it came ten minutes or more before
// the account was added. Subscriptions are taken over once and then kept here.
package mirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
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
	// Contains reports whether a message holds text (in its body alone, or anywhere), compared
	// without case and decoded. Nil: the bytes are compared as they are.
	Contains func(msg []byte, text string, bodyOnly bool) bool
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
	log    *slog.Logger
	began  time.Time // when the account was added

	backoff  upstream.Backoff
	refused  upstream.Backoff
	cache    *cache
	fetcher  *fetcher
	watchers watchers
	requests chan *request
	kick     chan struct{} // a token: there is something to do

	mu        sync.Mutex
	state     State
	chatmail  bool                    // the provider deletes mail by age
	shared    bool                    // other programs that delete mail may use the account
	due       map[mailbox.ID]struct{} // mailboxes to look at
	all       bool                    // everything is to be looked at
	rounds    uint64                  // looks at everything that were begun
	done      uint64                  // the last that was finished
	retry     bool                    // held messages are to be asked about
	expected  expectation             // of something in INBOX
	unsettled *request                // left with an unknown outcome when the connection broke
	lines     map[mailbox.ID]string   // how far a first sync is, for the person
	pulse     chan struct{}           // closed and made anew when something waited for may be true
}

// The defaults of Options, and the limits.
const (
	// defaultPoll: STATUS of each mailbox costs the provider a little; a minute is what
	// clients without IDLE use.
	defaultPoll = time.Minute
	// defaultCache holds what a client reads in one go, some hundred messages.
	defaultCache = 64 << 20
	// maxMessage is above what providers take (150 MB at most) and bounds memory.
	maxMessage = 200 << 20
	// clockSkew is how far the provider's clock may be behind before mail that comes just
	// after the account was added counts as old.
	clockSkew = 10 * time.Minute
)

// beganSetting holds when the account was added.
const beganSetting = "mirror_began"

// New makes a Mirror over an open index. Local operations work at once; Run talks to the
// provider. The mailboxes INBOX and Bridge exist from the start.
func New(ctx context.Context, index *db.DB, config upstream.Config, ingest Ingester, o Options) (*Mirror, error) {
	m := &Mirror{
		db: index, config: config, ingest: ingest, opts: o.withDefaults(),
		refused:  upstream.Backoff{Min: time.Minute, Max: time.Hour}, // a login refused too often locks the account
		requests: make(chan *request),
		kick:     make(chan struct{}, 1),
		due:      map[mailbox.ID]struct{}{},
		lines:    map[mailbox.ID]string{},
		pulse:    make(chan struct{}),
	}
	m.log = m.opts.Log
	m.cache = newCache(m.opts.CacheBytes)
	m.fetcher = newFetcher(m)
	if err := index.Update(ctx, m.found); err != nil {
		return nil, err
	}
	return m, nil
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.PollInterval <= 0 {
		o.PollInterval = defaultPoll
	}
	if o.CacheBytes <= 0 {
		o.CacheBytes = defaultCache
	}
	if o.Contains == nil {
		o.Contains = func(msg []byte, text string, _ bool) bool { return bytes.Contains(msg, []byte(text)) }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// found makes what every account has, and removes what has outlived its use.
func (m *Mirror) found(tx *db.Tx) error {
	now := m.opts.Now()
	began, err := tx.Setting(beganSetting)
	if errors.Is(err, db.ErrNotFound) {
		began = []byte(now.UTC().Format(time.RFC3339))
		err = tx.SetSetting(beganSetting, began)
	}
	if err != nil {
		return err
	}
	if m.began, err = time.Parse(time.RFC3339, string(began)); err != nil {
		return fmt.Errorf("mirror: setting %s: %w", beganSetting, err)
	}
	for _, box := range []db.Mailbox{
		{Name: mailbox.Inbox, UpstreamName: mailbox.Inbox, Subscribed: true},
		{Name: mailbox.Bridge, Subscribed: true, LocalOnly: true, ListedAt: now},
	} {
		_, err := tx.MailboxByName(box.Name)
		if errors.Is(err, db.ErrNotFound) {
			_, err = tx.AddMailbox(box, now)
		}
		if err != nil {
			return err
		}
	}
	return tx.Prune(now)
}

// isOld reports whether a message was there before the account was added. Such mail is
// never answered.
func (m *Mirror) isOld(date time.Time) bool { return date.Before(m.began.Add(-clockSkew)) }

// Run keeps the index and the provider in agreement until ctx ends. It returns earlier only
// if the index fails for good.
func (m *Mirror) Run(ctx context.Context) error {
	m.fetcher.start(ctx)
	defer m.fetcher.stop()
	for {
		err := m.live(ctx)
		m.setConnection(Offline, err)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, db.ErrClosed), errors.Is(err, db.ErrCorrupt), errors.Is(err, db.ErrLocked):
			return err
		}
		m.log.Warn("provider connection ended", "err", err)
		wait := &m.backoff
		if upstream.IsAuth(err) || upstream.IsCertificate(err) {
			wait = &m.refused
		}
		if err := wait.Wait(ctx); err != nil {
			return err
		}
	}
}

// Wake asks for a look at everything now, and ends a wait for the next attempt to connect.
func (m *Mirror) Wake() {
	m.mu.Lock()
	m.all = true
	m.rounds++
	m.mu.Unlock()
	m.backoff.Reset()
	m.refused.Reset()
	m.poke()
}

// Retry asks about every held message again, soon.
func (m *Mirror) Retry() {
	m.mu.Lock()
	m.retry = true
	m.mu.Unlock()
	m.poke()
}

// KeepExpired keeps opened messages that vanish at the provider from now on, as
// Options.KeepExpired does from the start.
func (m *Mirror) KeepExpired() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shared = true
}

// State says how things are.
func (m *Mirror) State() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state
}

func (m *Mirror) setConnection(c Connection, err error) {
	m.mu.Lock()
	m.state.Connection = c
	m.state.Err = err
	m.mu.Unlock()
	m.beat()
}

// poke tells the session that there is something to do.
func (m *Mirror) poke() {
	select {
	case m.kick <- struct{}{}:
	default:
	}
}

// look asks for a look at a mailbox.
func (m *Mirror) look(id mailbox.ID) {
	m.mu.Lock()
	m.due[id] = struct{}{}
	m.mu.Unlock()
	m.poke()
}

// beat wakes everything that waits in await.
func (m *Mirror) beat() {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(m.pulse)
	m.pulse = make(chan struct{})
}

// await waits until cond holds. cond is asked again after each beat.
func (m *Mirror) await(ctx context.Context, cond func() (bool, error)) error {
	for {
		m.mu.Lock()
		pulse := m.pulse
		m.mu.Unlock()
		if ok, err := cond(); ok || err != nil {
			return err
		}
		select {
		case <-pulse:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Ready waits until the list of mailboxes is known.
func (m *Mirror) Ready(ctx context.Context) error {
	return m.await(ctx, func() (known bool, err error) {
		err = m.db.View(ctx, func(tx *db.Tx) error {
			known, err = tx.HasSetting(foldersSetting)
			return err
		})
		return known, err
	})
}

// Synced waits until the provider has heard of every change that is due, and everything was
// looked at after the call.
func (m *Mirror) Synced(ctx context.Context) error {
	m.Wake()
	m.mu.Lock()
	round := m.rounds
	m.mu.Unlock()
	return m.await(ctx, func() (bool, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.done >= round, nil
	})
}
