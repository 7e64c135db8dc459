package message

import (
	"net/mail"
	"strings"
	"time"
)

// An Envelope is what IMAP's ENVELOPE says of a message (RFC 3501, section 7.4.2). Date,
// Subject and the ids are as in the header, unfolded and not decoded.
type Envelope struct {
	Date, Subject                      string
	From, Sender, ReplyTo, To, Cc, Bcc []Mailbox
	InReplyTo, MessageID               string
}

// ParseEnvelope reads the envelope of a header. Sender and ReplyTo are From's where the
// header has none.
func ParseEnvelope(h Header) Envelope {
	e := Envelope{
		Date:      h.Get("Date"),
		Subject:   h.Get("Subject"),
		From:      mailboxes(h, "From"),
		Sender:    mailboxes(h, "Sender"),
		ReplyTo:   mailboxes(h, "Reply-To"),
		To:        mailboxes(h, "To"),
		Cc:        mailboxes(h, "Cc"),
		Bcc:       mailboxes(h, "Bcc"),
		InReplyTo: h.Get("In-Reply-To"),
		MessageID: h.Get("Message-Id"),
	}
	if len(e.Sender) == 0 {
		e.Sender = e.From
	}
	if len(e.ReplyTo) == 0 {
		e.ReplyTo = e.From
	}
	return e
}

func mailboxes(h Header, name string) []Mailbox {
	var out []Mailbox
	for _, v := range h.Values(name) {
		out = append(out, ParseAddressList(v)...)
	}
	return out
}

// ParseMessageIDs gives the message ids of a References, In-Reply-To or Message-ID value,
// without angle brackets. Ids that lack the brackets are found by their "@".
func ParseMessageIDs(value string) []string {
	var out []string
	for value != "" {
		i := strings.IndexByte(value, '<')
		if i < 0 {
			return append(out, bareIDs(value)...)
		}
		out = append(out, bareIDs(value[:i])...)
		value = value[i+1:]
		end := strings.IndexAny(value, "<>")
		if end < 0 {
			return append(out, bareIDs(value)...)
		}
		if value[end] == '>' {
			if id := strings.Join(strings.Fields(value[:end]), ""); id != "" {
				out = append(out, id)
			}
			end++
		}
		value = value[end:]
	}
	return out
}

func bareIDs(s string) []string {
	var out []string
	for _, w := range strings.FieldsFunc(s, func(r rune) bool { return r <= ' ' || r == ',' }) {
		if strings.Contains(strings.Trim(w, "@"), "@") {
			out = append(out, w)
		}
	}
	return out
}

// maxDate is how long a date can be that is looked at; with comments and a zone name
// real ones stay below 60 octets.
const maxDate = 200

// The forms of a date that mail uses besides RFC 5322's, seen in mail of old programs.
var dateLayouts = []string{
	"2 Jan 2006 15:04:05 -0700", "2 Jan 2006 15:04:05 MST", "2 Jan 2006 15:04:05", "2 Jan 2006 15:04 -0700",
	"2 Jan 06 15:04:05 -0700", "2 Jan 06 15:04:05 MST", "2 January 2006 15:04:05 -0700",
	"Jan 2 15:04:05 2006", "Jan 2 15:04:05 MST 2006", "Jan 2 15:04:05 2006 -0700", "Jan 2, 2006 15:04:05 -0700",
	time.RFC3339, "2006-01-02 15:04:05 -0700", "2006-01-02 15:04:05",
}

// ParseDate reads a Date value (RFC 5322, section 3.3), with its obsolete and some wrong
// forms.
func ParseDate(value string) (time.Time, bool) {
	if len(value) > maxDate {
		return time.Time{}, false
	}
	if t, err := mail.ParseDate(value); err == nil {
		return t, true
	}
	s := strings.Join(strings.Fields(dropComments(value)), " ")
	if day, rest, ok := strings.Cut(s, " "); ok && weekday(day) {
		s = rest
	}
	for _, layout := range dateLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

func weekday(s string) bool {
	s = strings.TrimRight(s, ".,")
	return len(s) >= 3 && strings.Contains(" mon tue wed thu fri sat sun ", " "+strings.ToLower(s[:3])+" ")
}

// FormatDate gives a Date value.
func FormatDate(t time.Time) string {
	return t.Format("Mon, 02 Jan 2006 15:04:05 -0700")
}
