package headers

import (
	"bytes"
	"strings"
	"time"

	"mailbridge/message"
)

// Wish is what a submitted message asks for itself.
type Wish int

const (
	NoWish Wish = iota
	// WishEncrypt refuses to send rather than to send in the clear.
	WishEncrypt
	// WishPlain sends in the clear.
	WishPlain
)

// The tags that count as the very first token of a subject.
const (
	tagEncrypt = "[enc]"
	tagPlain   = "[plain]"
)

// AskedFor reads the subject tag and Mailbridge-Encrypt of a submitted message. A wish for
// plain text never counts in an answer or a forward: otherwise whoever writes "[plain]"
// into a subject switches encryption off in the answer. Of two wishes encryption wins.
func AskedFor(h message.Header) Wish {
	encrypt, plain := false, false
	switch tagOf(h.Text("Subject")) {
	case tagEncrypt:
		encrypt = true
	case tagPlain:
		plain = true
	}
	for _, v := range h.Values(nameEncrypt) {
		encrypt = encrypt || strings.EqualFold(v, "yes")
		plain = plain || strings.EqualFold(v, "no")
	}
	switch {
	case encrypt:
		return WishEncrypt
	case plain && !IsAnswer(h):
		return WishPlain
	}
	return NoWish
}

// tagOf gives the tag at the start of a subject, in lower case.
func tagOf(subject string) string {
	subject = strings.TrimLeft(subject, " \t")
	for _, tag := range []string{tagEncrypt, tagPlain} {
		if hasPrefixFold(subject, tag) {
			return tag
		}
	}
	return ""
}

// stripTag takes the tag off a Subject field. All else stays as it is where the tag is not
// inside an encoded word.
func stripTag(f message.Field) message.Field {
	text := f.Text()
	tag := tagOf(text)
	if tag == "" {
		return f
	}
	name, v, _ := strings.Cut(string(f.Raw), ":")
	if v = strings.TrimLeft(v, " \t\r\n"); hasPrefixFold(v, tag) {
		rest := strings.TrimLeft(v[len(tag):], " \t\r\n")
		if rest == "" {
			rest = string(f.Raw[len(bytes.TrimRight(f.Raw, "\r\n")):])
		}
		return message.RawField([]byte(name + ": " + rest))
	}
	rest := strings.TrimSpace(strings.TrimLeft(text, " \t")[len(tag):])
	return message.NewField(name, message.EncodeWord(rest))
}

// References gives the ids of all messages that a message answers, continues or forwards.
func References(h message.Header) []string {
	var out []string
	for _, name := range []string{"In-Reply-To", "References", nameForwarded} {
		for _, v := range h.Values(name) {
			out = append(out, message.ParseMessageIDs(v)...)
		}
	}
	return out
}

// IsAnswer tells whether a message answers or forwards another.
func IsAnswer(h message.Header) bool {
	return h.Has("In-Reply-To") || h.Has("References") || h.Has(nameForwarded)
}

// SubmitOptions says what is added to a message that is sent in the clear.
type SubmitOptions struct {
	Autocrypt string    // the value; empty: none is added
	MessageID string    // without brackets; for a message that has none
	Date      time.Time // for a message that has none
}

// Submit gives a message as it is sent in the clear. All bytes stay but for what the client
// did not mean to send (Bcc, the subject tag, Mailbridge-*, Autocrypt-Draft-State), an
// added Autocrypt field, and a Message-ID or Date where there was none. A message that
// brings an Autocrypt field keeps that one: two would void each other (Autocrypt Level 1).
func Submit(msg []byte, o SubmitOptions) []byte {
	var out bytes.Buffer
	out.Grow(len(msg) + len(o.Autocrypt) + 1024)
	has := map[string]bool{}
	size := 0
	message.EachField(msg, func(name string, start, end int) bool {
		size = end
		has[strings.ToLower(name)] = true
		if raw := msg[start:end]; strings.EqualFold(name, "Subject") {
			out.Write(stripTag(message.RawField(raw)).Raw)
		} else if !unsent(name) && !hidesOwn(raw) {
			out.Write(raw)
		}
		return true
	})
	for _, f := range missing(has, o) {
		if n := out.Len(); n > 0 && out.Bytes()[n-1] != '\n' {
			out.WriteString("\r\n")
		}
		out.Write(f.Raw)
	}
	out.Write(msg[size:])
	return out.Bytes()
}

// missing gives the fields that are added, by the names, in lower case, that are there.
func missing(has map[string]bool, o SubmitOptions) []message.Field {
	var out []message.Field
	if !has["message-id"] && o.MessageID != "" {
		out = append(out, message.NewField("Message-ID", "<"+o.MessageID+">"))
	}
	if !has["date"] && !o.Date.IsZero() {
		out = append(out, message.NewField("Date", message.FormatDate(o.Date)))
	}
	if !has["autocrypt"] && o.Autocrypt != "" {
		out = append(out, keyField(nameAutocrypt, o.Autocrypt))
	}
	return out
}
