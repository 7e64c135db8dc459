package upstream

import (
	"time"

	"mailbridge/mailbox"
)

// Caps is what the provider's IMAP server can do beyond IMAP4rev1.
type Caps struct {
	UIDPlus      bool // RFC 4315
	Move         bool // RFC 6851
	Idle         bool // RFC 2177
	SpecialUse   bool // RFC 6154
	Condstore    bool // RFC 7162
	Namespace    bool // RFC 2342
	ESearch      bool // RFC 4731
	ListExtended bool // RFC 5258
	ListStatus   bool // RFC 5819
	XChatmail    bool // a chatmail relay, which deletes mail by age
}

// Folder is what LIST says of a mailbox.
type Folder struct {
	Name       string // the provider's name in UTF-8, its own delimiter kept
	Delim      rune   // 0: the name has no levels
	NoSelect   bool
	Use        mailbox.Use
	Subscribed bool
}

// Status is what STATUS says. HighestModSeq is 0 without CONDSTORE.
type Status struct {
	UIDValidity, UIDNext uint32
	Messages             uint32
	HighestModSeq        uint64
}

// Selected is what SELECT or EXAMINE says.
type Selected struct {
	UIDValidity, UIDNext uint32
	Messages             uint32
	HighestModSeq        uint64
	PermanentFlags       mailbox.Flags
	AnyKeyword           bool // PERMANENTFLAGS has \*: new keywords are kept
	UIDNotSticky         bool // RFC 4315: COPYUID and APPENDUID mean nothing here
}

// Summary is one message without its body.
type Summary struct {
	UID          uint32
	Flags        mailbox.Flags
	InternalDate time.Time
	Size         int64
	Header       []byte // as asked for, with the empty line at its end
}

// UIDFlags are the flags of one message.
type UIDFlags struct {
	UID   uint32
	Flags mailbox.Flags
}

// CopyUID says where copied messages are now. Map is empty where the provider does not say.
type CopyUID struct {
	UIDValidity uint32
	Map         map[uint32]uint32 // source UID to destination UID
}

// Envelope is the SMTP envelope of a submission.
type Envelope struct {
	From string
	To   []string
}

// Outcome is what became of one recipient.
type Outcome int

const (
	Accepted  Outcome = iota + 1 // the provider took responsibility
	Refused                      // for good
	Deferred                     // not now; it was not sent
	Uncertain                    // the connection was lost after the final dot
)

func (o Outcome) String() string {
	switch o {
	case Accepted:
		return "accepted"
	case Refused:
		return "refused"
	case Deferred:
		return "deferred"
	case Uncertain:
		return "unknown"
	}
	return "none"
}

// RecipientResult is the outcome for one recipient, with the provider's reply.
type RecipientResult struct {
	Addr    string
	Outcome Outcome
	Code    int // SMTP reply code, 0 if there was none
	Text    string
}

// Result is the outcome of a submission, recipients in the envelope's order.
type Result struct {
	Recipients []RecipientResult
}
