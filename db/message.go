package db

import (
	"time"

	"mailbridge/mailbox"
)

// Kind says what a message's bytes are.
type Kind string

const (
	Ordinary Kind = "ordinary" // the provider's bytes, as they are
	Opened   Kind = "opened"   // decrypted: a view
	Sealed   Kind = "sealed"   // the user's own, sealed at the provider: a view
	Signed   Kind = "signed"   // a prefix, then the provider's bytes
	Notice   Kind = "notice"   // says what is damaged: a view
	Note     Kind = "note"     // the bridge's own: a view, nowhere at the provider
	Control  Kind = "control"  // machine mail; no client sees it
)

// MessageState says whether a client can see a message, and if not, why.
type MessageState string

const (
	Visible  MessageState = "visible"  // has a UID
	Hidden   MessageState = "hidden"   // no client is to see it, or not yet
	Pending  MessageState = "pending"  // known, but not yet looked at
	Removed  MessageState = "removed"  // a client expunged it; the provider has still to hear of it
	Vanished MessageState = "vanished" // no longer at the provider; kept for its view
)

// Place is where the provider has a message.
type Place struct {
	Mailbox     mailbox.ID
	UIDValidity uint32
	UID         uint32
}

// Message is one row of the index.
type Message struct {
	ID           int64
	Mailbox      mailbox.ID
	UID          mailbox.UID // 0 unless Visible
	State        MessageState
	Kind         Kind
	Up           Place // zero UID: not at the provider
	InternalDate time.Time
	Size         int64
	Flags        mailbox.Flags // without the bridge's own keywords
	Keywords     mailbox.Flags // the bridge's own keywords
	UpSize       int64
	Digest       []byte // SHA-256 of the provider's bytes, nil if not known
	MessageID    []byte // Tx.MessageIDHash, nil if not known
	View, Wire   int64  // 0: none
	Old          bool
	Attempts     int
	RetryAt      time.Time
	Created      time.Time
	TrashedAt    time.Time
	VanishedAt   time.Time
}
