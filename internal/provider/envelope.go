package provider

import (
	"net/mail"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// envelope reads what ENVELOPE tells (RFC 3501, section 7.4.2). An address list with a
// mistake in it is left out as a whole.
func envelope(data []byte) *imap.Envelope {
	date, _ := mail.ParseDate(fieldValue(data, "Date"))
	return &imap.Envelope{
		Date:      date,
		Subject:   decodeWords(fieldValue(data, "Subject")),
		From:      addresses(data, "From"),
		Sender:    addresses(data, "Sender"),
		ReplyTo:   addresses(data, "Reply-To"),
		To:        addresses(data, "To"),
		Cc:        addresses(data, "Cc"),
		Bcc:       addresses(data, "Bcc"),
		InReplyTo: messageIDs(data, "In-Reply-To"),
		MessageID: strings.Join(messageIDs(data, "Message-ID"), " "),
	}
}

func addresses(data []byte, name string) []imap.Address {
	parsed, err := mail.ParseAddressList(fieldValue(data, name))
	if err != nil {
		return nil
	}
	list := make([]imap.Address, len(parsed))
	for i, a := range parsed {
		at := strings.LastIndexByte(a.Address, '@') // net/mail has seen to it that there is one
		list[i] = imap.Address{Name: a.Name, Mailbox: a.Address[:at], Host: a.Address[at+1:]}
	}
	return list
}

// messageIDs gives the words of a field without their brackets, which go-imap adds.
func messageIDs(data []byte, name string) []string {
	ids := strings.Fields(fieldValue(data, name))
	for i, id := range ids {
		ids[i] = strings.Trim(id, "<>")
	}
	return ids
}
