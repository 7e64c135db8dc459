package securejoin

import (
	"strings"
	"time"

	"mailbridge/message"
	"mailbridge/pgp"
)

// Incoming is a handshake message, opened and read. The caller has opened it
// to its last byte and checked its signature.
type Incoming struct {
	Step Step
	// Proof is the secret that opened a symmetric message; nil otherwise.
	Proof *Proof
	// Signer is set only by a good signature that was meant for us.
	Signer      pgp.Fingerprint
	OuterFrom   string   // canonical
	InnerFrom   string   // canonical
	Name        string   // of the sender, inside
	To          []string // inside, canonical
	Auth        string
	Fingerprint pgp.Fingerprint // Secure-Join-Fingerprint
	Group       string
	OfChat      bool // its name begins with "vg-": it is of a group or channel, as its sender says
	// Number is the INVITENUMBER of a Request, and Plain says that it was
	// not encrypted, as it must be.
	Number string
	Plain  bool
	// Chat is the id of the group or channel, and Added who was taken into
	// it: AddedKey is empty with programs that name addresses alone.
	Chat      string
	Added     string
	AddedKey  pgp.Fingerprint
	MessageID string // inside, without brackets
	Date      time.Time

	// Key is the certificate of the Autocrypt field inside whose address is
	// InnerFrom, or where none is inside of the one outside: versions before
	// 2025 write it there. Nil if there is none.
	Key *pgp.Cert
	// Gossip are the gossiped keys, by canonical address.
	Gossip map[string]pgp.Fingerprint
	// Holder is the key that the account has for InnerFrom; empty: none.
	Holder pgp.Fingerprint
	// Blocked says that the user blocked InnerFrom.
	Blocked bool
	// Standing is how the signer stands to the group or channel that the
	// invite is for; see GroupChat.Standing and ChannelChat.Standing.
	Standing Standing
}

// Standing is how a joiner stands to a group or channel of ours.
type Standing int

const (
	NoGroup  Standing = iota // it is gone, or we are not in it: nobody can be taken in
	Outsider                 // was never in it, or left by itself
	Insider                  // is in it
	Outcast                  // was removed: comes back only with the user's approval
)

// ReadIncoming reads the header of the opened payload beside that of the mail
// around it. proof is nil for a message to our public key. It reports false
// for what is no handshake message. The caller fills in Key, Gossip, Holder
// and Blocked.
func ReadIncoming(outer, inner message.Header, opened *pgp.Opened, proof *Proof) (Incoming, bool) {
	step, ok := StepOf(inner)
	if !ok {
		return Incoming{}, false
	}
	in := Incoming{
		Step:      step,
		Proof:     proof,
		OuterFrom: sender(outer).Addr,
		Auth:      strings.TrimSpace(inner.Get(FieldAuth)),
		Group:     strings.TrimSpace(inner.Get(FieldGroup)),
		OfChat:    groupPrefixed(inner.Get(FieldStep)),
	}
	in.readChat(inner)
	if opened.Signature.State == pgp.SignatureGood && opened.IntendedForUs {
		in.Signer = opened.Signature.Signer
	}
	if fpr, err := pgp.ParseFingerprint(inner.Get(FieldFingerprint)); err == nil {
		in.Fingerprint = fpr
	}
	in.readCommon(inner)
	return in, true
}

// readCommon reads what every step has.
func (in *Incoming) readCommon(inner message.Header) {
	from := sender(inner)
	in.InnerFrom, in.Name = from.Addr, cleanName(from.Name)
	in.To = recipients(inner, "To")
	if ids := message.ParseMessageIDs(inner.Get("Message-ID")); len(ids) == 1 {
		in.MessageID = ids[0]
	}
	in.Date, _ = message.ParseDate(inner.Get("Date"))
}

// readChat reads which group or channel a member-added is about, and whom.
func (in *Incoming) readChat(inner message.Header) {
	in.Chat = chatID(inner)
	in.Added = canonical(strings.TrimSpace(inner.Get(FieldAdded)))
	if fpr, err := pgp.ParseFingerprint(inner.Get(FieldAddedKey)); err == nil {
		in.AddedKey = fpr
	}
}

// recipients are the addresses of a field, canonical; those that are none
// are left out.
func recipients(h message.Header, name string) []string {
	var list []string
	for _, a := range message.ParseAddresses(h.Get(name)) {
		if addr := canonical(a.Addr); addr != "" && len(list) < MaxMembers {
			list = append(list, addr)
		}
	}
	return list
}

// sender is the one address of the one From field; empty if there are more.
func sender(h message.Header) message.Address {
	values := h.Values("From")
	if len(values) != 1 {
		return message.Address{}
	}
	list := message.ParseAddresses(values[0])
	if len(list) != 1 {
		return message.Address{}
	}
	return message.Address{Name: list[0].Name, Addr: canonical(list[0].Addr)}
}

// From is the sender's address, inside and outside the same; empty if the two
// differ. No step of a handshake is taken with a message of two senders.
func (in Incoming) From() string {
	if in.InnerFrom != in.OuterFrom {
		return ""
	}
	return in.InnerFrom
}

// HandledFor is how long a message is remembered, so that a copy of it that
// turns up again changes nothing. No provider keeps mail in a queue for longer.
// A joiner's step that is older is not taken: nobody knows any more whether it
// was.
const HandledFor = 400 * 24 * time.Hour

// forgotten says whether a message may have been handled longer ago than it is
// remembered.
func (in Incoming) forgotten(now time.Time) bool {
	return !in.Date.IsZero() && now.Sub(in.Date) >= HandledFor
}

// Handled is the key under which the message is remembered, so that it is
// processed once: its signer, or for an unsigned one whose secret opened it,
// and its Message-ID.
func (in Incoming) Handled() (signer, messageID string) {
	if in.Plain && in.Key != nil {
		return "request of " + string(in.Key.Fingerprint()), in.MessageID
	}
	if in.Signer == "" && in.Proof != nil {
		return in.Proof.String(), in.MessageID
	}
	return string(in.Signer), in.MessageID
}
