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
	OuterFrom   string // canonical
	InnerFrom   string // canonical
	Name        string // of the sender, inside
	Auth        string
	Fingerprint pgp.Fingerprint // Secure-Join-Fingerprint
	Group       string
	MessageID   string // inside, without brackets
	Date        time.Time

	// Key is the certificate of the Autocrypt field inside whose address is
	// InnerFrom; nil if there is none.
	Key *pgp.Cert
	// Gossip are the gossiped keys, by canonical address.
	Gossip map[string]pgp.Fingerprint
	// Holder is the key that the account has for InnerFrom; empty: none.
	Holder pgp.Fingerprint
	// Blocked says that the user blocked InnerFrom.
	Blocked bool
}

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
	}
	if opened.Signature.State == pgp.SignatureGood && opened.IntendedForUs {
		in.Signer = opened.Signature.Signer
	}
	from := sender(inner)
	in.InnerFrom, in.Name = from.Addr, cleanName(from.Name)
	if fpr, err := pgp.ParseFingerprint(inner.Get(FieldFingerprint)); err == nil {
		in.Fingerprint = fpr
	}
	if ids := message.ParseMessageIDs(inner.Get("Message-ID")); len(ids) == 1 {
		in.MessageID = ids[0]
	}
	in.Date, _ = message.ParseDate(inner.Get("Date"))
	return in, true
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

// Handled is the key under which the message is remembered, so that it is
// processed once: its signer, or for an unsigned one whose secret opened it,
// and its Message-ID.
func (in Incoming) Handled() (signer, messageID string) {
	if in.Signer == "" && in.Proof != nil {
		return in.Proof.String(), in.MessageID
	}
	return string(in.Signer), in.MessageID
}
