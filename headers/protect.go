package headers

import (
	"errors"
	"strings"
	"time"

	"mailbridge/message"
)

// Policy chooses what of a message stands outside the encryption: the header
// confidentiality policy of RFC 9788, section 3.2.
type Policy int

const (
	// Hidden is what Delta Chat 2.62 writes, and reads best: From without a name, no
	// recipients, no references, a Date that is handed in.
	Hidden Policy = iota
	// Bare is for recipients who may read nothing but PGP/MIME: addresses without names,
	// the date in UTC, references and Autocrypt outside, too (RFC 9788, section 3.2.2).
	Bare
)

// What Protect refuses: fields that it does not see could be secret or not meant to be
// sent, and without a sender there is no outer header.
var (
	ErrHeader = errors.New("message header is too large")
	ErrNoFrom = errors.New("message has no From address")
)

// ProtectOptions says how a message is protected.
type ProtectOptions struct {
	Policy        Policy
	OuterDate     time.Time       // with Hidden: the Date outside
	MessageID     string          // without brackets; for a message that has none
	Date          time.Time       // for a message that has none
	Autocrypt     string          // the value, put inside, with Bare outside, too; empty: none
	Gossip        []string        // Autocrypt-Gossip values, put inside
	LegacyDisplay bool            // show hidden fields in the text, for readers without RFC 9788
	Extra         []message.Field // put inside and outside
}

// Protect makes the outer header and the payload of an encrypted message from what a
// client submitted (RFC 9788, section 5.2.1). The payload is to be signed and encrypted;
// the outer header has neither MIME-Version nor Content-*, which PGP/MIME brings.
//
// The payload holds the client's fields in their order and its body byte for byte, but for
// what it did not mean to send. It bears both hp="cipher" and protected-headers="v1",
// as Delta Chat writes them.
func Protect(msg []byte, o ProtectOptions) (outer message.Header, payload []byte, err error) {
	msg = message.CRLF(msg)
	h, n := message.ParseHeader(msg)
	if n > message.MaxHeader {
		return message.Header{}, nil, ErrHeader
	}
	inner := innerHeader(h, o)
	outer, err = outerHeader(inner, o)
	if err != nil {
		return message.Header{}, nil, err
	}
	legacy := hiddenFields(inner, outer)
	addMachine(&inner, o)
	for _, f := range outer.Fields {
		inner.Add(message.RawField(append([]byte(nameHPOuter+": "), f.Raw...)))
	}
	payload = assemble(inner, msg[n:])
	if o.LegacyDisplay && len(legacy) > 0 {
		payload = addLegacyDisplay(payload, legacy)
	}
	return outer, payload, nil
}

// innerHeader gives the fields that the client sends, and what a message must have.
func innerHeader(h message.Header, o ProtectOptions) message.Header {
	var inner message.Header
	for _, f := range h.Fields {
		switch {
		case f.Name == "" || unsent(f.Name) || machine(f.Name):
		case strings.EqualFold(f.Name, "Subject"):
			inner.Add(tidy(stripTag(f)))
		case strings.EqualFold(f.Name, "Content-Type"):
			if !inner.Has("Content-Type") { // of two the first counts
				inner.Add(markedType(f))
			}
		default:
			inner.Add(tidy(f))
		}
	}
	if !inner.Has("Content-Type") {
		inner.Add(markedType(message.NewField("Content-Type", "text/plain")))
	}
	if !inner.Has("Message-ID") && o.MessageID != "" {
		inner.Add(message.NewField("Message-ID", "<"+o.MessageID+">"))
	}
	if !inner.Has("Date") && !o.Date.IsZero() {
		inner.Add(message.NewField("Date", message.FormatDate(o.Date)))
	}
	return inner
}

// markedType marks the Content-Type of a payload as carrying protected headers. All but
// the marks stays as the client wrote it.
func markedType(f message.Field) message.Field {
	_, v, _ := strings.Cut(string(tidy(f).Raw), ":")
	if mediaType, _ := message.ContentType(v); mediaType == "" {
		v = " text/plain" // RFC 2045, section 5.2
	}
	v = message.DelParam(v, "hp-legacy-display")
	v = message.SetParam(v, "protected-headers", "v1")
	v = message.SetParam(v, "hp", "cipher")
	return message.RawField([]byte(f.Name + ":" + v + "\r\n"))
}

// addMachine adds the fields that only programs read.
func addMachine(inner *message.Header, o ProtectOptions) {
	for _, f := range o.Extra {
		inner.Set(f)
	}
	if o.Autocrypt != "" {
		inner.Add(keyField(nameAutocrypt, o.Autocrypt))
	}
	for _, v := range o.Gossip {
		inner.Add(keyField(nameGossip, v))
	}
}

// keyField folds the key data of an Autocrypt field, which is one word of base64
// (Autocrypt Level 1 lets white space into it).
func keyField(name, value string) message.Field {
	head, data, ok := strings.Cut(value, "keydata=")
	if !ok {
		return message.NewField(name, value)
	}
	data = strings.Join(strings.Fields(data), "")
	var b strings.Builder
	b.WriteString(name + ": " + strings.Join(strings.Fields(head), " ") + " keydata=")
	for len(data) > 0 {
		n := min(76, len(data))
		b.WriteString("\r\n " + data[:n])
		data = data[n:]
	}
	b.WriteString("\r\n")
	return message.RawField([]byte(b.String()))
}

// outerHeader gives the fields outside the encryption.
func outerHeader(inner message.Header, o ProtectOptions) (message.Header, error) {
	from := addresses(inner, "From")
	if len(from) == 0 {
		return message.Header{}, ErrNoFrom
	}
	var h message.Header
	h.Add(message.NewField("From", bareList(from)))
	outerDate := o.OuterDate
	if o.Policy == Bare {
		outerDate = date(inner, o.Date)
	}
	if !outerDate.IsZero() {
		h.Add(message.NewField("Date", message.FormatDate(outerDate.UTC())))
	}
	if id := messageID(inner); id != "" {
		h.Add(message.NewField("Message-ID", "<"+id+">"))
	}
	addRecipients(&h, inner, o.Policy)
	h.Add(message.NewField("Subject", outerSubject))
	if o.Policy == Bare {
		addReferences(&h, inner)
		if o.Autocrypt != "" {
			h.Add(keyField(nameAutocrypt, o.Autocrypt))
		}
	}
	for _, f := range o.Extra {
		h.Set(f)
	}
	return h, nil
}

// addRecipients names the recipients outside, or says that they are hidden.
func addRecipients(h *message.Header, inner message.Header, p Policy) {
	named := false
	for _, name := range []string{"To", "Cc"} {
		if list := addresses(inner, name); p == Bare && len(list) > 0 {
			h.Add(message.NewField(name, bareList(list)))
			named = true
		}
	}
	if !named {
		h.Add(message.NewField("To", hiddenRecipients))
	}
}

// addReferences repeats the message ids, and nothing else that stands in these fields.
func addReferences(h *message.Header, inner message.Header) {
	for _, name := range []string{"In-Reply-To", "References"} {
		var ids []string
		for _, v := range inner.Values(name) {
			for _, id := range message.ParseMessageIDs(v) {
				ids = append(ids, "<"+id+">")
			}
		}
		if len(ids) > 0 {
			h.Add(message.NewField(name, strings.Join(ids, " ")))
		}
	}
}

// addresses gives the addresses of all fields of a name.
func addresses(h message.Header, name string) []message.Address {
	var out []message.Address
	for _, v := range h.Values(name) {
		out = append(out, message.ParseAddresses(v)...)
	}
	return out
}

// bareList writes addresses without their names.
func bareList(list []message.Address) string {
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = message.Address{Addr: a.Addr}.String()
	}
	return strings.Join(out, ", ")
}

func messageID(h message.Header) string {
	if ids := message.ParseMessageIDs(h.Get("Message-ID")); len(ids) > 0 {
		return ids[0]
	}
	return ""
}

func date(h message.Header, missing time.Time) time.Time {
	if t, ok := message.ParseDate(h.Get("Date")); ok {
		return t
	}
	return missing
}
