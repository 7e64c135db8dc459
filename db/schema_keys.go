package db

// schemaKeys holds keys, correspondents and handshakes. Conventions as in schema.go.
const schemaKeys = `
CREATE TABLE cert (
	fpr        TEXT PRIMARY KEY,
	cert       BLOB NOT NULL,
	first_seen INTEGER NOT NULL,
	last_seen  INTEGER NOT NULL -- to the day
) STRICT, WITHOUT ROWID;

CREATE TABLE peer (
	addr                TEXT PRIMARY KEY,
	name                BLOB NOT NULL,              -- sealed; empty: none
	last_seen           INTEGER NOT NULL DEFAULT 0,
	autocrypt_timestamp INTEGER NOT NULL DEFAULT 0,
	cert_fpr            TEXT NOT NULL DEFAULT '',
	prefer              TEXT NOT NULL DEFAULT '',
	gossip_timestamp    INTEGER NOT NULL DEFAULT 0,
	gossip_fpr          TEXT NOT NULL DEFAULT '',
	verified_fpr        TEXT NOT NULL DEFAULT '',
	verified_at         INTEGER NOT NULL DEFAULT 0,
	verified_how        TEXT NOT NULL DEFAULT '',
	introduced_by       TEXT NOT NULL DEFAULT '',   -- the verified contact that gossiped gossip_fpr
	origin              TEXT NOT NULL DEFAULT '',
	policy              TEXT NOT NULL DEFAULT '',
	blocked             INTEGER NOT NULL DEFAULT 0,
	reads_hidden        INTEGER NOT NULL DEFAULT 0, -- its program shows the inner header alone
	CHECK (verified_fpr = '' OR cert_fpr = verified_fpr)
) STRICT, WITHOUT ROWID;
CREATE INDEX peer_cert ON peer (cert_fpr) WHERE cert_fpr <> '';
CREATE INDEX peer_gossip ON peer (gossip_fpr) WHERE gossip_fpr <> '';

CREATE TABLE peer_candidate ( -- keys that an address has shown but that are not used for it
	addr    TEXT NOT NULL REFERENCES peer (addr) ON DELETE CASCADE,
	fpr     TEXT NOT NULL,
	kind    TEXT NOT NULL CHECK (kind IN ('claim', 'key')),
	how     TEXT NOT NULL DEFAULT '', -- the handshake of a claim
	seen_at INTEGER NOT NULL,
	PRIMARY KEY (addr, fpr, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE invite ( -- ours; an ended one stays for a while as a tombstone
	id        INTEGER PRIMARY KEY AUTOINCREMENT,
	kind      TEXT NOT NULL CHECK (kind IN ('contact', 'group', 'channel')),
	grp       TEXT NOT NULL DEFAULT '',
	auth      BLOB NOT NULL, -- sealed
	auth_hash BLOB NOT NULL, -- Tx.Hash
	number    BLOB NOT NULL, -- sealed
	created   INTEGER NOT NULL,
	expires   INTEGER NOT NULL DEFAULT 0,
	once      INTEGER NOT NULL DEFAULT 0,
	shared    INTEGER NOT NULL DEFAULT 0,
	ask       INTEGER NOT NULL DEFAULT 0,
	revoked   INTEGER NOT NULL DEFAULT 0,
	noted_at  INTEGER NOT NULL DEFAULT 0 -- last note about a join after its end: one a day
) STRICT;
CREATE UNIQUE INDEX invite_auth ON invite (auth_hash);

CREATE TABLE invite_use ( -- completed joins
	invite_id INTEGER NOT NULL REFERENCES invite (id) ON DELETE CASCADE,
	fpr       TEXT NOT NULL,
	addr      TEXT NOT NULL,
	at        INTEGER NOT NULL,
	PRIMARY KEY (invite_id, fpr, addr)
) STRICT, WITHOUT ROWID;

CREATE TABLE invite_answer ( -- of the last hour, for the caps on them
	id        INTEGER PRIMARY KEY,
	invite_id INTEGER NOT NULL REFERENCES invite (id) ON DELETE CASCADE,
	step      INTEGER NOT NULL,
	addr      TEXT NOT NULL,
	at        INTEGER NOT NULL
) STRICT;
CREATE INDEX invite_answer_invite ON invite_answer (invite_id);

CREATE TABLE join_ ( -- somebody else's invites that we follow
	id                 INTEGER PRIMARY KEY AUTOINCREMENT,
	link               BLOB NOT NULL, -- sealed
	auth_hash          BLOB NOT NULL, -- Tx.Hash
	fpr                TEXT NOT NULL,
	state              TEXT NOT NULL CHECK (state IN ('requested', 'authenticating', 'completed', 'failed')),
	addr               TEXT NOT NULL,
	claim              INTEGER NOT NULL DEFAULT 0,
	replaces           TEXT NOT NULL DEFAULT '',
	resent             INTEGER NOT NULL DEFAULT 0,
	started            INTEGER NOT NULL,
	updated            INTEGER NOT NULL,
	request_message_id TEXT NOT NULL DEFAULT '',
	reason             TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX join_fpr ON join_ (fpr);

CREATE TABLE handled ( -- authenticated handshake and sync messages, against repeats
	message BLOB PRIMARY KEY, -- Tx.Hash of signer and Message-ID
	at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX handled_at ON handled (at);
`
