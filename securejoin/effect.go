package securejoin

import (
	"time"

	"mailbridge/pgp"
)

// Verdict is what becomes of a message.
type Verdict int

const (
	// Deliver: it is no proven part of a handshake of ours; it is treated as
	// any other mail. What a stranger can make invisible is nothing.
	Deliver Verdict = iota
	// Hide: it proved itself, but is refused, or another device of the
	// account may need it; it stays at the provider.
	Hide
	// Consume: it proved itself and is done with.
	Consume
	// Show: it proved itself as the end of a join of ours. It goes on as the
	// first message of the group or channel, see EnterGroup and SubscribeTo,
	// and is delivered as its system message.
	Show
)

var verdicts = [...]string{"deliver", "hide", "consume", "show"}

func (v Verdict) String() string { return verdicts[v] }

// Outcome is what follows from a message. Effects are in the order in which
// they are to be carried out, in one transaction with the new state.
type Outcome struct {
	Verdict Verdict
	Effects []Effect
	Refused error // why the message had no effect; for the log
}

// Effect is one of Send, StoreCert, Bind, Admit and Note.
type Effect interface{ effect() }

// Send is a handshake message to be composed, encrypted and sent.
type Send struct {
	Step   Step
	To     []string // envelope recipients; of an asymmetric step exactly one
	ToName string   // display name inside; may be empty
	Auth   string   // Secure-Join-Auth; empty: none
	Secret string   // symmetric: the secret; empty: asymmetric
	Key    pgp.Fingerprint
	Signed bool
	// NotBefore delays an answer beyond the hourly cap; zero: at once.
	NotBefore time.Time
	InviteID  int64
	JoinID    int64

	Number string // Secure-Join-Invitenumber, of a Request; the mail is not encrypted
	Kind   Kind   // what is joined
	Group  string // Secure-Join-Group; empty: none
}

// StoreCert keeps a certificate that arrived. It says nothing about whose
// address it belongs to.
type StoreCert struct{ Cert *pgp.Cert }

// Bind says that the holder of a key completed a handshake under an address.
type Bind struct {
	Addr        string
	Name        string
	Fingerprint pgp.Fingerprint
	How         string // see HowV3
	At          time.Time
	// Claim: the address has another key. Nothing is encrypted to this one
	// until the user accepts it.
	Claim bool
	// Replaces is the key that the user, asked beforehand, gave up for this
	// one; empty if there was none.
	Replaces pgp.Fingerprint
	InviteID int64
	JoinID   int64
	// Way is how the link went from one to the other; empty: unknown.
	Way Way
}

// Admit says that somebody who completed a handshake is to be taken into the
// group or channel of the invite, see GroupChat.Add and ChannelChat.Add, with
// vg-member-added as the answer. Of one who is in it already the answer is
// repeated.
type Admit struct {
	Kind        Kind
	GroupID     string
	Addr        string
	Name        string
	Fingerprint pgp.Fingerprint
	NotBefore   time.Time // as in Send
	InviteID    int64
}

// How a contact was verified (contacts --json, verified_how).
const (
	HowV3     = "securejoin-v3"
	HowLegacy = "securejoin"
)

// Way is how a link was handed over, as the user said or the program saw.
type Way string

// The ways of a link. The first is the only one at which nobody between the
// two can have exchanged it.
const (
	WayShown   Way = "shown" // on a screen, and scanned from it
	WayPrinted Way = "printed"
	WayCopied  Way = "copied" // through another program
	WayMailed  Way = "mailed"
)

// Note is something to tell the user.
type Note struct {
	Kind     NoteKind
	Addr     string
	Key      pgp.Fingerprint // that was shown in the handshake
	Holder   pgp.Fingerprint // NoteClaim: the key that the address has
	UsedBy   string          // NoteUsed: who used the invite before; NoteRevoked: if it was for one use and used up
	For      string          // NoteNotFor: the one address that may join
	At       time.Time       // of the end of the invite, for NoteRevoked, NoteExpired, NoteUsed
	Reason   string          // NoteFailed
	InviteID int64
	JoinID   int64
}

// NoteKind is what a note is about.
type NoteKind int

const (
	NoteJoined    NoteKind = iota // somebody joined by our invite
	NoteCompleted                 // our join is complete
	NoteClaim                     // a completed handshake under an address that has another key
	NoteRevoked                   // a join by an invite that was revoked
	NoteExpired                   // … that has expired
	NoteUsed                      // … that was used up
	NoteNotFor                    // … that is for another address alone
	NoteFailed                    // our join failed
	NoteAsked                     // a joiner waits for the user
)

func (Send) effect()      {}
func (StoreCert) effect() {}
func (Bind) effect()      {}
func (Admit) effect()     {}
func (Note) effect()      {}
