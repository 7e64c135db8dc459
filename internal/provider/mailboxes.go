package provider

import (
	"strings"

	"github.com/emersion/go-imap/v2"
)

// maxNameLength bounds a mailbox name in octets, as file-backed servers do.
const maxNameLength = 255

func refuse(code imap.ResponseCode, text string) *imap.Error {
	return &imap.Error{Type: imap.StatusResponseTypeNo, Code: code, Text: text}
}

var (
	errNoMailbox = refuse(imap.ResponseCodeNonExistent, "Mailbox doesn't exist")
	errTryCreate = refuse(imap.ResponseCodeTryCreate, "Mailbox doesn't exist")
	errExists    = refuse(imap.ResponseCodeAlreadyExists, "Mailbox already exists")
	errBadName   = refuse(imap.ResponseCodeCannot, "Invalid mailbox name")
)

// create makes a mailbox and the levels above it (RFC 3501, section 6.3.3).
func (p *Provider) create(u *user, name string, use imap.MailboxAttr) error {
	delim := string(p.opts.Delimiter)
	name = canonicalName(strings.TrimSuffix(name, delim))
	if !validName(name, delim) {
		return errBadName
	}
	if b := u.boxes[name]; b != nil && !b.noSelect {
		return errExists
	}
	for i := range name {
		if strings.HasPrefix(name[i:], delim) && u.boxes[canonicalName(name[:i])] == nil {
			u.boxes[name[:i]] = p.newBox(name[:i], "")
		}
	}
	u.boxes[name] = p.newBox(name, use)
	return nil
}

func validName(name, delim string) bool {
	if len(name) > maxNameLength {
		return false
	}
	for _, level := range strings.Split(name, delim) {
		if level == "" || strings.ContainsAny(level, "*%\r\n\x00") {
			return false
		}
	}
	return true
}

func (p *Provider) children(u *user, name string) []*box {
	var list []*box
	for _, other := range u.names() {
		if strings.HasPrefix(other, name+string(p.opts.Delimiter)) {
			list = append(list, u.boxes[other])
		}
	}
	return list
}

// remove deletes a mailbox. One that has children stays as a name that cannot be
// selected (RFC 3501, section 6.3.4).
func (p *Provider) remove(u *user, name string) error {
	name = canonicalName(name)
	b := u.boxes[name]
	switch {
	case b == nil:
		return errNoMailbox
	case name == inbox:
		return refuse(imap.ResponseCodeCannot, "INBOX cannot be deleted")
	}
	hasChildren := len(p.children(u, name)) > 0
	if b.noSelect && hasChildren {
		return refuse(imap.ResponseCodeHasChildren, "Mailbox has children")
	}
	b.end()
	delete(u.boxes, name)
	if hasChildren {
		left := p.newBox(name, "")
		left.noSelect = true
		u.boxes[name] = left
	}
	return nil
}

// rename moves a mailbox and its children; they keep UIDVALIDITY and UIDs. Renaming
// INBOX moves its messages and leaves it empty (RFC 3501, section 6.3.5).
func (p *Provider) rename(u *user, from, to string) error {
	delim := string(p.opts.Delimiter)
	from, to = canonicalName(from), canonicalName(strings.TrimSuffix(to, delim))
	b := u.boxes[from]
	switch {
	case b == nil:
		return errNoMailbox
	case u.boxes[to] != nil:
		return errExists
	case !validName(to, delim) || strings.HasPrefix(to, from+delim):
		return errBadName
	}
	if from == inbox {
		return p.renameInbox(u, b, to)
	}
	if i := strings.LastIndex(to, delim); i > 0 && u.boxes[to[:i]] == nil {
		if err := p.create(u, to[:i], ""); err != nil {
			return err
		}
	}
	for _, moved := range append(p.children(u, from), b) {
		delete(u.boxes, moved.name)
		moved.name = to + strings.TrimPrefix(moved.name, from)
		u.boxes[moved.name] = moved
	}
	return nil
}

func (p *Provider) renameInbox(u *user, from *box, to string) error {
	if err := p.create(u, to, ""); err != nil {
		return err
	}
	for _, m := range from.messages {
		u.boxes[to].add(m.data, m.flags, m.date)
	}
	from.remove(func(*message) bool { return true })
	return nil
}

// renumber replaces a box by one with the same messages and new numbers.
func (p *Provider) renumber(u *user, b *box) {
	fresh := p.newBox(b.name, b.use)
	fresh.subscribed = b.subscribed
	for _, m := range b.messages {
		fresh.add(m.data, m.flags, m.date)
	}
	u.boxes[b.name] = fresh
	b.end()
}
