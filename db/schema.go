package db

import "fmt"

// applicationID marks the file as ours ("mbri", PRAGMA application_id).
const applicationID = 0x6d627269

// migrations bring a file from one schema version (PRAGMA user_version) to the next. What
// was released is never edited; a change is a new entry.
//
// Conventions: every table is STRICT; times are Unix seconds, 0 = never; booleans are 0 and
// 1; addresses are in Autocrypt's canonical form; fingerprints are upper-case hex, empty =
// none; a column whose comment says "sealed" holds what Tx.seal gives.
var migrations = []string{schemaCore + schemaMail + schemaKeys + schemaOutbox, schemaChats}

const schemaCore = `
CREATE TABLE settings (
	key   TEXT PRIMARY KEY,
	value BLOB NOT NULL -- sealed
) STRICT, WITHOUT ROWID;

CREATE TABLE event ( -- what "bridge log" tells
	id   INTEGER PRIMARY KEY,
	at   INTEGER NOT NULL,
	kind TEXT NOT NULL,
	text BLOB NOT NULL -- sealed
) STRICT;
CREATE INDEX event_at ON event (at);
`

const schemaMail = `
CREATE TABLE mailbox (
	id             INTEGER PRIMARY KEY AUTOINCREMENT, -- an id is never used again: sessions hold it
	name           TEXT NOT NULL,
	upstream_name  TEXT,                       -- NULL: local only
	upstream_delim TEXT NOT NULL DEFAULT '',
	use            TEXT NOT NULL DEFAULT '',
	no_select      INTEGER NOT NULL DEFAULT 0,
	subscribed     INTEGER NOT NULL DEFAULT 1,
	local_only     INTEGER NOT NULL DEFAULT 0,
	uidvalidity    INTEGER NOT NULL,
	uidnext        INTEGER NOT NULL DEFAULT 1,
	modseq         INTEGER NOT NULL DEFAULT 1,
	up_uidvalidity INTEGER NOT NULL DEFAULT 0, -- 0: never listed
	up_uidnext     INTEGER NOT NULL DEFAULT 1, -- every provider UID below was seen
	up_modseq      INTEGER NOT NULL DEFAULT 0, -- HIGHESTMODSEQ at the last look at all flags
	up_permanent   TEXT NOT NULL DEFAULT '\*', -- PERMANENTFLAGS
	listed_at      INTEGER NOT NULL DEFAULT 0, -- 0: the first sync is not done
	gone_at        INTEGER NOT NULL DEFAULT 0  -- deleted; kept so that the name's UIDVALIDITY grows
) STRICT;
CREATE UNIQUE INDEX mailbox_name ON mailbox (name) WHERE gone_at = 0;
CREATE UNIQUE INDEX mailbox_upstream ON mailbox (upstream_name) WHERE gone_at = 0 AND upstream_name IS NOT NULL;

CREATE TABLE view ( -- bytes the bridge made: served views, and what goes up
	id      INTEGER PRIMARY KEY AUTOINCREMENT, -- the id is part of the seal
	size    INTEGER NOT NULL,
	created INTEGER NOT NULL
) STRICT;
CREATE TABLE view_chunk (
	view_id INTEGER NOT NULL REFERENCES view (id) ON DELETE CASCADE,
	n       INTEGER NOT NULL,
	data    BLOB NOT NULL, -- sealed
	PRIMARY KEY (view_id, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE message (
	id              INTEGER PRIMARY KEY AUTOINCREMENT, -- the journal and the outbox hold it
	mailbox_id      INTEGER NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE,
	uid             INTEGER,                    -- NULL: no client can see it
	modseq          INTEGER NOT NULL DEFAULT 0,
	state           TEXT NOT NULL CHECK (state IN ('visible', 'hidden', 'pending', 'removed', 'vanished')),
	kind            TEXT NOT NULL CHECK (kind IN ('ordinary', 'opened', 'sealed', 'signed', 'notice', 'note', 'control')),
	up_mailbox_id   INTEGER REFERENCES mailbox (id) ON DELETE SET NULL,
	up_uidvalidity  INTEGER,
	up_uid          INTEGER,                    -- where the provider has it; NULL: not there
	internal_date   INTEGER NOT NULL,
	internal_zone   INTEGER NOT NULL,           -- seconds east of UTC
	size            INTEGER NOT NULL,           -- RFC822.SIZE as served
	flags           TEXT NOT NULL DEFAULT '',   -- without the bridge's own keywords
	own_keywords    TEXT NOT NULL DEFAULT '',
	sender          BLOB,                       -- Tx.Hash of who is shown as the sender of signed mail
	signer          TEXT NOT NULL DEFAULT '',   -- the key that signed it, in that sender's name
	up_size         INTEGER NOT NULL DEFAULT 0, -- RFC822.SIZE as the provider says
	digest          BLOB,                       -- SHA-256 of the provider's bytes
	message_id_hash BLOB,                       -- Tx.MessageIDHash
	header          BLOB,                       -- header block of ordinary mail, compressed
	prefix          BLOB,                       -- in front of the provider's bytes (signed-only mail)
	view_id         INTEGER REFERENCES view (id),
	wire_id         INTEGER REFERENCES view (id), -- what is to go up, while it is not there
	old             INTEGER NOT NULL DEFAULT 0, -- was there before the account was added
	attempts        INTEGER NOT NULL DEFAULT 0, -- of ingesting a pending row
	retry_at        INTEGER NOT NULL DEFAULT 0,
	created         INTEGER NOT NULL,
	trashed_at      INTEGER NOT NULL DEFAULT 0, -- consumed; leaves the Trash 7 days later
	vanished_at     INTEGER NOT NULL DEFAULT 0, -- views of vanished rows are kept 30 days
	CHECK ((state = 'visible') = (uid IS NOT NULL)),
	CHECK ((up_uid IS NULL) = (up_uidvalidity IS NULL))
) STRICT;
CREATE UNIQUE INDEX message_uid ON message (mailbox_id, uid) WHERE uid IS NOT NULL;
CREATE UNIQUE INDEX message_place ON message (up_mailbox_id, up_uidvalidity, up_uid) WHERE up_uid IS NOT NULL;
CREATE INDEX message_modseq ON message (mailbox_id, modseq);
CREATE INDEX message_digest ON message (digest) WHERE digest IS NOT NULL;
CREATE INDEX message_id_hash ON message (message_id_hash) WHERE message_id_hash IS NOT NULL;
CREATE INDEX message_view ON message (view_id) WHERE view_id IS NOT NULL;
CREATE INDEX message_wire ON message (wire_id) WHERE wire_id IS NOT NULL;
CREATE INDEX message_sender ON message (sender) WHERE sender IS NOT NULL;
CREATE INDEX message_pending ON message (up_mailbox_id, up_uid) WHERE state = 'pending';
CREATE INDEX message_vanished ON message (vanished_at) WHERE vanished_at > 0;
CREATE INDEX message_trashed ON message (trashed_at) WHERE trashed_at > 0;
CREATE INDEX message_headless ON message (mailbox_id, uid) WHERE header IS NULL AND view_id IS NULL AND state = 'visible';

CREATE TABLE expunged (
	mailbox_id INTEGER NOT NULL REFERENCES mailbox (id) ON DELETE CASCADE,
	uid        INTEGER NOT NULL,
	modseq     INTEGER NOT NULL,
	at         INTEGER NOT NULL,
	PRIMARY KEY (mailbox_id, uid)
) STRICT, WITHOUT ROWID;
CREATE INDEX expunged_modseq ON expunged (mailbox_id, modseq);

CREATE TABLE journal ( -- changes that the provider has still to hear of, oldest first per message
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	op         TEXT NOT NULL CHECK (op IN ('store', 'move', 'expunge', 'append')),
	message_id INTEGER NOT NULL REFERENCES message (id) ON DELETE CASCADE,
	mailbox_id INTEGER REFERENCES mailbox (id) ON DELETE CASCADE, -- target of move and append
	add_flags  TEXT NOT NULL DEFAULT '',
	del_flags  TEXT NOT NULL DEFAULT '',
	state      TEXT NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'sent')),
	-- a place in the target that was known to be empty before the command was sent: what is
	-- found from there on may be its outcome
	up_uidvalidity INTEGER NOT NULL DEFAULT 0,
	up_uid         INTEGER NOT NULL DEFAULT 0,
	attempts   INTEGER NOT NULL DEFAULT 0,
	next_at    INTEGER NOT NULL DEFAULT 0,
	created    INTEGER NOT NULL
) STRICT;
CREATE INDEX journal_message ON journal (message_id, id);
CREATE INDEX journal_mailbox ON journal (mailbox_id);
`

const schemaOutbox = `
CREATE TABLE outbox (
	id              INTEGER PRIMARY KEY AUTOINCREMENT,
	kind            TEXT NOT NULL, -- mail, handshake, copy
	message_id      TEXT NOT NULL,
	mail_from       TEXT NOT NULL,
	wire_id         INTEGER REFERENCES view (id),
	state           TEXT NOT NULL CHECK (state IN ('queued', 'sending', 'sent', 'unknown', 'refused')),
	encrypted       INTEGER NOT NULL DEFAULT 0,
	attempts        INTEGER NOT NULL DEFAULT 0,
	next_at         INTEGER NOT NULL DEFAULT 0,
	created         INTEGER NOT NULL,
	sent_at         INTEGER NOT NULL DEFAULT 0,
	sent_row        INTEGER REFERENCES message (id) ON DELETE SET NULL
) STRICT;
CREATE INDEX outbox_state ON outbox (state, next_at);
CREATE INDEX outbox_message_id ON outbox (message_id);
CREATE INDEX outbox_wire ON outbox (wire_id) WHERE wire_id IS NOT NULL;
CREATE INDEX outbox_sent_row ON outbox (sent_row) WHERE sent_row IS NOT NULL;

CREATE TABLE outbox_recipient (
	outbox_id INTEGER NOT NULL REFERENCES outbox (id) ON DELETE CASCADE,
	addr      TEXT NOT NULL,
	state     TEXT NOT NULL CHECK (state IN ('queued', 'sent', 'unknown', 'refused')),
	code      INTEGER NOT NULL DEFAULT 0,
	text      TEXT NOT NULL DEFAULT '',
	PRIMARY KEY (outbox_id, addr)
) STRICT, WITHOUT ROWID;

CREATE TABLE protection ( -- which messages were encrypted, so that an answer to one is
	message_id_hash BLOB PRIMARY KEY,
	encrypted       INTEGER NOT NULL,
	at              INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`

// migrate brings the file up to date in the transaction tx.
func migrate(tx *Tx) error {
	var version, app int
	if err := tx.queryRow(`PRAGMA user_version`).Scan(&version); err != nil {
		return err
	}
	if err := tx.queryRow(`PRAGMA application_id`).Scan(&app); err != nil {
		return err
	}
	switch {
	case version > len(migrations):
		return ErrNewer
	case version > 0 && app != applicationID:
		return fmt.Errorf("%w: not an index of mailbridge", ErrCorrupt)
	}
	for ; version < len(migrations); version++ {
		if _, err := tx.exec(migrations[version]); err != nil {
			return err
		}
		if _, err := tx.exec(fmt.Sprintf(`PRAGMA user_version = %d`, version+1)); err != nil {
			return err
		}
	}
	_, err := tx.exec(fmt.Sprintf(`PRAGMA application_id = %d`, applicationID))
	return err
}
