package imapproxy

import "mailbridge/message"

// envelope writes an ENVELOPE (RFC 3501, section 7.4.2), everything in it as it is in the
// header.
func (r *response) envelope(e message.Envelope) {
	r.text("(")
	r.nstring(e.Date)
	r.text(" ")
	r.nstring(e.Subject)
	for _, list := range [][]message.Mailbox{e.From, e.Sender, e.ReplyTo, e.To, e.Cc, e.Bcc} {
		r.text(" ")
		r.addresses(list)
	}
	r.text(" ")
	r.nstring(e.InReplyTo)
	r.text(" ")
	r.nstring(e.MessageID)
	r.text(")")
}

func (r *response) addresses(list []message.Mailbox) {
	if len(list) == 0 {
		r.text("NIL")
		return
	}
	r.text("(")
	for _, a := range list {
		// The grammar has no space between addresses, nor an empty mailbox in an address
		// that is no end of a group.
		r.text("(")
		r.nstring(a.Name)
		r.text(" NIL ")
		r.nstring(a.Mailbox)
		r.text(" ")
		r.nstring(a.Host)
		r.text(")")
	}
	r.text(")")
}
