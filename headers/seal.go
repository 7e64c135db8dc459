package headers

import (
	"strings"
	"time"

	"mailbridge/message"
)

// Seal makes the outer header and the payload of a message that is encrypted to its own
// author: a draft, a template, a copy of what was sent. The payload holds the original
// bytes without loss and a tag of the caller's, which proves where they come from; tag is
// one word, or empty.
//
// The outer header says nothing but From, Date and Message-ID: a draft's recipient is
// nobody's business.
func Seal(msg []byte, from, messageID string, date time.Time, tag string) (outer message.Header, payload []byte) {
	outer.Add(message.NewField("From", message.Address{Addr: from}.String()))
	outer.Add(message.NewField("Date", message.FormatDate(date)))
	if messageID != "" {
		outer.Add(message.NewField("Message-ID", "<"+messageID+">"))
	}
	outer.Add(message.NewField("Subject", outerSubject))
	var h message.Header
	h.Add(message.NewField("Content-Type", "message/rfc822"))
	h.Add(message.NewField(nameSealed, strings.TrimSpace("v1 "+tag)))
	return outer, assemble(h, msg)
}

// Unseal gives what Seal put into a payload. That a payload has this form proves nothing:
// the caller checks the tag, or the signature around it.
func Unseal(payload []byte) (msg []byte, tag string, ok bool) {
	h, n := message.ParseHeader(payload)
	version, tag, _ := strings.Cut(h.Get(nameSealed), " ")
	if len(h.Fields) != 2 || h.Get("Content-Type") != "message/rfc822" || version != "v1" {
		return nil, "", false
	}
	return payload[n:], tag, true
}
