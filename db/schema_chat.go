package db

// schemaChats adds groups and channels, and what invites and joins know since then.
// Conventions as in schema.go.
const schemaChats = `
CREATE TABLE grp ( -- groups that we are or were in
	id    TEXT PRIMARY KEY,
	local TEXT NOT NULL UNIQUE, -- random; in the group's local address
	chat  BLOB NOT NULL         -- sealed JSON of Group
) STRICT, WITHOUT ROWID;

CREATE TABLE channel ( -- our own, and those that we subscribe to
	id      TEXT PRIMARY KEY,
	local   TEXT NOT NULL UNIQUE,
	chat    BLOB NOT NULL,            -- sealed JSON of Channel
	secrets BLOB NOT NULL DEFAULT x'' -- sealed, one a line: every symmetric message asks for them, and not for the subscribers
) STRICT, WITHOUT ROWID;

ALTER TABLE invite ADD COLUMN legacy INTEGER NOT NULL DEFAULT 0;
ALTER TABLE invite ADD COLUMN for_addr TEXT NOT NULL DEFAULT '';
ALTER TABLE invite ADD COLUMN way TEXT NOT NULL DEFAULT '';
ALTER TABLE invite ADD COLUMN number_hash BLOB NOT NULL DEFAULT x''; -- Tx.Hash
CREATE INDEX invite_number ON invite (number_hash);

CREATE TABLE invite_bundle ( -- of the invites with the same id / 256
	id      INTEGER PRIMARY KEY,
	secrets BLOB NOT NULL -- sealed: id and AUTH of each
) STRICT;

CREATE TABLE invite_asking ( -- joiners that wait for the user
	invite_id INTEGER NOT NULL REFERENCES invite (id) ON DELETE CASCADE,
	fpr       TEXT NOT NULL,
	addr      TEXT NOT NULL,
	name      BLOB NOT NULL, -- sealed; empty: none
	how       TEXT NOT NULL,
	at        INTEGER NOT NULL,
	PRIMARY KEY (invite_id, fpr, addr)
) STRICT, WITHOUT ROWID;

ALTER TABLE outbox ADD COLUMN invite INTEGER NOT NULL DEFAULT 0; -- whose joiner the message answers; 0: none's

ALTER TABLE join_ ADD COLUMN way TEXT NOT NULL DEFAULT '';
ALTER TABLE join_ ADD COLUMN observed INTEGER NOT NULL DEFAULT 0;

ALTER TABLE peer ADD COLUMN verified_way TEXT NOT NULL DEFAULT ''; -- how the link was handed over
ALTER TABLE peer_candidate ADD COLUMN way TEXT NOT NULL DEFAULT '';
`
