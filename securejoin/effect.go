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
)

var verdicts = [...]string{"deliver", "hide", "consume"}

func (v Verdict) String() string { return verdicts[v] }

// Outcome is what follows from a message. Effects are in the order in which
// they are to be carried out, in one transaction with the new state.
type Outcome struct {
	Verdict Verdict
	Effects []Effect
	Refused error // why the message had no effect; for the log
}

// Effect is one of Send, StoreCert, Bind and Note.
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
}

// HowV3 is how a contact was verified by this handshake (contacts --json,
// verified_how).
const HowV3 = "securejoin-v3"

// Note is something to tell the user.
type Note struct {
	Kind     NoteKind
	Addr     string
	Key      pgp.Fingerprint // that was shown in the handshake
	Holder   pgp.Fingerprint // NoteClaim: the key that the address has
	UsedBy   string          // NoteUsed: who used the invite before
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
	NoteFailed                    // our join failed
)

func (Send) effect()      {}
func (StoreCert) effect() {}
func (Bind) effect()      {}
func (Note) effect()      {}
