// Package mailbox is the local mailbox model that every layer shares: identifiers,
// flags, rows, changes and the errors a mail client is told.
//
// It knows no protocol, no disk and no clock.
package mailbox

import (
	"fmt"
	"time"
)

// UID is a local unique identifier (RFC 3501, section 2.3.1.1). Zero is never a UID.
//
// Invariant: a local UID never changes its bytes, its size or its structure.
type UID uint32

// ID names a local mailbox for as long as it exists. It survives a rename.
type ID int64

// ModSeq counts the changes of one mailbox. It grows with every change that a
// session could see: a new message, new flags, an expunge.
type ModSeq int64

// Delimiter separates the levels of a local mailbox name, whatever the provider's is.
const Delimiter = '/'

// Inbox and Bridge are the two names with a meaning of their own: INBOX is RFC 3501's,
// Bridge holds the bridge's own notes and never exists at the provider.
const (
	Inbox  = "INBOX"
	Bridge = "Bridge"
)

// Use is a special use (RFC 6154, section 2), or empty.
type Use string

const (
	UseArchive Use = `\Archive`
	UseAll     Use = `\All`
	UseDrafts  Use = `\Drafts`
	UseFlagged Use = `\Flagged`
	UseJunk    Use = `\Junk`
	UseSent    Use = `\Sent`
	UseTrash   Use = `\Trash`
)

// Info is what LIST says of a mailbox.
type Info struct {
	ID          ID
	Name        string // UTF-8, levels separated by Delimiter
	NoSelect    bool
	HasChildren bool
	Subscribed  bool
	Use         Use
}

// Status is what STATUS says of a mailbox.
type Status struct {
	UIDValidity uint32
	UIDNext     UID
	Messages    uint32
	Unseen      uint32
	Size        int64 // octets
}

// Row is one visible message.
type Row struct {
	UID          UID
	Flags        Flags
	InternalDate time.Time
	Size         int64 // RFC822.SIZE, octets
}

// Snapshot is a mailbox at one moment, rows in ascending UID order.
type Snapshot struct {
	UIDValidity uint32
	UIDNext     UID
	ModSeq      ModSeq
	Rows        []Row
}

// Delta is what happened in a mailbox after some ModSeq. Changed holds new messages
// and messages with new flags, in ascending UID order; Expunged is ascending, too.
type Delta struct {
	ModSeq   ModSeq
	UIDNext  UID
	Changed  []Row
	Expunged []UID
}

// CopyUID is RFC 4315's COPYUID: Source[i] became Dest[i].
type CopyUID struct {
	UIDValidity uint32
	Source      []UID
	Dest        []UID
}

// StoreAction says how STORE changes flags.
type StoreAction int

const (
	StoreReplace StoreAction = iota
	StoreAdd
	StoreRemove
)

// Field chooses where a text search looks (RFC 3501, section 6.4.4).
type Field int

const (
	FieldBody Field = iota // the body alone
	FieldText              // header and body
)

// Code is the response code of a refusal (RFC 3501, section 7.1; RFC 5530).
type Code string

const (
	CodeNone           Code = ""
	CodeNonExistent    Code = "NONEXISTENT"
	CodeAlreadyExists  Code = "ALREADYEXISTS"
	CodeTryCreate      Code = "TRYCREATE"
	CodeCannot         Code = "CANNOT"
	CodeUnavailable    Code = "UNAVAILABLE"
	CodeExpungeIssued  Code = "EXPUNGEISSUED"
	CodeLimit          Code = "LIMIT"
	CodeOverQuota      Code = "OVERQUOTA"
	CodeAuthentication Code = "AUTHENTICATIONFAILED"
	CodeServerBug      Code = "SERVERBUG"
)

// Error is a refusal that a mail client may be told. Text is for the person and
// names nothing internal; Err, if any, is for the log.
type Error struct {
	Code Code
	Text string
	Err  error
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %v", e.Text, e.Err)
	}
	return e.Text
}

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error with a code and a formatted text.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Text: fmt.Sprintf(format, args...)}
}
