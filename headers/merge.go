package headers

import (
	"strings"

	"mailbridge/message"
)

// Opened is a message whose encryption was undone and whose signature was checked.
type Opened struct {
	Outer           message.Header
	Payload         []byte
	Encrypted       bool
	SignatureGood   bool
	SignerAddresses []string // the addresses that the signing certificate is bound to
}

// Merged is the one header that a message has after both were looked at.
type Merged struct {
	// Header is what is shown, Content-* of the payload included.
	Header message.Header
	// Inner is the header of the payload as it came: the only one whose Autocrypt,
	// Secure-Join and Chat fields may have an effect.
	Inner message.Header
	// Protected says that Inner bears the mark of RFC 9788 or of protected-headers="v1".
	// Without it Header comes from outside.
	Protected bool

	// From and OuterFrom are the address in From, inside and outside; they are empty where
	// there is not exactly one (nobody has signed such a message as its sender).
	From, OuterFrom message.Address
	// FromMismatch says that inside and outside name different senders.
	FromMismatch bool
	// Unbound says that, moreover, no signature binds the inner sender: the reader is to be
	// warned (RFC 9788, section 4.4).
	Unbound bool
	// ShowOuterFrom says that therefore Header has the outer sender: there is one.
	ShowOuterFrom bool

	encrypted bool
	mark      mark
}

// A mark says by which rules the payload's header is protected.
type mark int

const (
	unmarked mark = iota
	markV1        // protected-headers="v1"
	markHP        // RFC 9788
)

// markOf reads the mark of a payload. It stands in the Content-Type of its root, and
// nowhere else (RFC 9788, section 2.1.1).
func markOf(inner message.Header) mark {
	_, params := message.ContentType(inner.Get("Content-Type"))
	switch hp := strings.ToLower(params["hp"]); {
	case hp == "clear" || hp == "cipher":
		return markHP
	case strings.EqualFold(params["protected-headers"], "v1"):
		return markV1
	}
	return unmarked
}

// Merge decides which fields of an opened message are shown (RFC 9788, section 4).
func Merge(o Opened) Merged {
	inner, _ := message.ParseHeader(o.Payload)
	m := Merged{Inner: inner, encrypted: o.Encrypted, mark: markOf(inner)}
	m.Protected = m.mark != unmarked
	for _, f := range o.Outer.Fields {
		if m.mark == unmarked && fromOutside(f.Name) || m.mark != unmarked && trace(f.Name) {
			m.Header.Add(tidy(f))
		}
	}
	for _, f := range inner.Fields {
		// Of two structural fields the first counts, here as in package message.
		if structural(f.Name) && !m.Header.Has(f.Name) || m.Protected && fromInside(f.Name) {
			m.Header.Add(tidy(f))
		}
	}
	if m.Protected {
		fillGaps(&m.Header, o.Outer, m.mark)
	}
	m.chooseFrom(o)
	return m
}

// trace tells whether a field was added on the way: it is shown although nobody protects
// it (RFC 9788, section 7). DKIM-Signature is not among them: it signs what is not shown.
func trace(name string) bool {
	return added(name) || list(name)
}

// added are the fields of the mail servers. A sender has no business to write them, so
// that inside the encryption they are dropped.
func added(name string) bool {
	return in(name, "Return-Path", "Delivered-To", "X-Original-To", "Envelope-To", "Received",
		"Received-SPF", "Authentication-Results", "X-Spam-Status", "X-Spam-Flag", "X-Spam-Score", "X-Spam-Level")
}

// list are the fields of mailing lists.
func list(name string) bool {
	return hasPrefixFold(name, "List-") || in(name, "Archived-At", "Precedence")
}

// fromInside tells whether a protected field of the payload is shown.
func fromInside(name string) bool {
	return name != "" && !own(name) && !machine(name) && !added(name) && !structural(name)
}

// fromOutside tells whether an unprotected field is shown where the payload has no
// protected ones. What speaks to chat programs counts only from inside.
func fromOutside(name string) bool {
	return name != "" && !own(name) && !machine(name) && !structural(name) &&
		!hasPrefixFold(name, "Chat-") && !in(name, "DKIM-Signature")
}

// fillGaps takes from outside what a protected header lacks.
func fillGaps(h *message.Header, outer message.Header, k mark) {
	// protected-headers="v1" has programs that protect the subject alone. Where one of the
	// address fields is protected, a missing one was left out on purpose.
	if k == markV1 && !h.Has("From") && !h.Has("To") && !h.Has("Cc") {
		fill(h, outer, "From", "To", "Cc")
	}
	// QUIRK: RFC 9788 shows nothing from outside. But a message has a sender, a date and an
	// id (RFC 5322, section 3.6); without them it cannot be sorted nor answered, and older
	// programs leave them out inside. None of them was a secret outside.
	fill(h, outer, "From", "Date")
	if !h.Has("Message-ID") && outer.Has(nameExchangeID) {
		// Exchange has put an id of its own in its place.
		h.Add(message.NewField("Message-ID", outer.Get(nameExchangeID)))
	}
	fill(h, outer, "Message-ID")
	if k != markV1 {
		return
	}
	for _, f := range outer.Fields {
		if fromOutside(f.Name) && !trace(f.Name) && !in(f.Name, userFacing...) && !directs(f.Name) {
			fill(h, outer, f.Name)
		}
	}
}

// directs tells whether a field says where answers, receipts and reports go to. From outside it
// could lead an answer, which quotes, away from who wrote the message.
func directs(name string) bool {
	return hasPrefixFold(name, "Resent-") || in(name, "Sender", "Mail-Followup-To", "Mail-Reply-To",
		"Disposition-Notification-To", "Return-Receipt-To", "X-Confirm-Reading-To", "Errors-To")
}

// Contradicts tells whether what a signed part says of itself in protected fields is not what
// the header outside shows, which no signature covers (RFC 9788, section 4.3): whether another
// sender is named, and whether anything else differs.
func Contradicts(outer, signed message.Header) (from, other bool) {
	if markOf(signed) == unmarked {
		return false, false
	}
	from = signed.Has("From") && !sameAddresses(addresses(signed, "From"), addresses(outer, "From"))
	for _, name := range []string{"To", "Cc", "Reply-To"} {
		other = other || signed.Has(name) && !sameAddresses(addresses(signed, name), addresses(outer, name))
	}
	for _, name := range []string{"Subject", "Date"} {
		other = other || signed.Has(name) && signed.Text(name) != outer.Text(name)
	}
	return from, other || outer.Has("Reply-To") && !signed.Has("Reply-To")
}

// fill copies all fields of each name that h has none of.
func fill(h *message.Header, outer message.Header, names ...string) {
	for _, name := range names {
		if h.Has(name) {
			continue
		}
		for _, f := range outer.Fields {
			if strings.EqualFold(f.Name, name) {
				h.Add(tidy(f))
			}
		}
	}
}

// chooseFrom applies RFC 9788, section 4.4, to From.
func (m *Merged) chooseFrom(o Opened) {
	outer := addresses(o.Outer, "From")
	inner := outer
	if m.Protected && m.Inner.Has("From") {
		inner = addresses(m.Inner, "From")
	}
	m.From, m.OuterFrom = single(inner), single(outer)
	m.FromMismatch = !sameAddresses(inner, outer)
	m.Unbound = m.FromMismatch && !boundBySignature(inner, o)
	m.ShowOuterFrom = m.Unbound && len(outer) > 0
	if !m.ShowOuterFrom {
		return
	}
	if !m.Header.Has("Reply-To") {
		// An answer goes where the inside says (RFC 9788, section 4.4.4).
		m.Header.Add(message.NewField("Reply-To", m.Inner.Get("From")))
	}
	m.Header.Set(tidy(message.NewField("From", o.Outer.Get("From"))))
}

func single(list []message.Address) message.Address {
	if len(list) == 1 {
		return list[0]
	}
	return message.Address{}
}

func sameAddresses(a, b []message.Address) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if message.CanonicalAddr(a[i].Addr) != message.CanonicalAddr(b[i].Addr) {
			return false
		}
	}
	return true
}

// boundBySignature tells whether a good signature vouches for all senders.
func boundBySignature(from []message.Address, o Opened) bool {
	if !o.SignatureGood || len(from) == 0 {
		return false
	}
	bound := make(map[string]bool)
	for _, a := range o.SignerAddresses {
		bound[message.CanonicalAddr(a)] = true
	}
	for _, a := range from {
		if !bound[message.CanonicalAddr(a.Addr)] {
			return false
		}
	}
	return true
}
