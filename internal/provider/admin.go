package provider

import (
	"slices"
	"time"
)

// AddUser adds a user with the mailboxes INBOX, Sent, Drafts, Trash and Junk. For a
// user that exists it sets the password.
func (p *Provider) AddUser(addr, password string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	addr = canonicalAddr(addr)
	if u := p.users[addr]; u != nil {
		u.password = password
		return
	}
	p.users[addr] = p.newUser(addr, password)
}

// Deliver puts raw into the recipient's INBOX exactly as it is, without trace headers,
// as mail that comes from outside.
func (p *Provider) Deliver(to string, raw []byte) error {
	_, err := p.Put(to, inbox, raw, nil, time.Now())
	return err
}

// Put stores a message as another client of the user would have. It raises no alarm.
func (p *Provider) Put(addr, mailbox string, raw []byte, flags []string, date time.Time) (uid uint32, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, err := p.find(addr, mailbox)
	if err != nil {
		return 0, err
	}
	p.users[canonicalAddr(addr)].note(raw)
	return uint32(b.add(slices.Clone(raw), imapFlags(flags), date).uid), nil
}

// Messages lists what a mailbox holds, in ascending UID order; nothing where there is
// no such user or mailbox.
func (p *Provider) Messages(addr, mailbox string) []Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, err := p.find(addr, mailbox)
	if err != nil {
		return nil
	}
	list := make([]Message, len(b.messages))
	for i, m := range b.messages {
		list[i] = Message{UID: uint32(m.uid), Flags: flagStrings(m.flags), InternalDate: m.date, Data: m.data}
	}
	return list
}

// Mailboxes lists the names of a user's mailboxes, sorted.
func (p *Provider) Mailboxes(addr string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.users[canonicalAddr(addr)]
	if u == nil {
		return nil
	}
	return u.names()
}

// Create makes a mailbox with the special use that is given (RFC 6154), or none.
func (p *Provider) Create(addr, mailbox, use string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.users[canonicalAddr(addr)]
	if u == nil {
		return ErrNoUser
	}
	return p.create(u, mailbox, imapAttr(use))
}

// SetFlags replaces the flags of a message, as another client would.
func (p *Provider) SetFlags(addr, mailbox string, uid uint32, flags ...string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, m, err := p.message(addr, mailbox, uid)
	if err != nil {
		return err
	}
	b.setFlags(m, imapFlags(flags))
	return nil
}

// Remove expunges messages, as another client would. UIDs that do not exist are ignored.
func (p *Provider) Remove(addr, mailbox string, uids ...uint32) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, err := p.find(addr, mailbox)
	if err != nil {
		return err
	}
	b.remove(func(m *message) bool { return slices.Contains(uids, uint32(m.uid)) })
	return nil
}

// Transfer moves a message to another mailbox, as another client would, and gives its
// new UID.
func (p *Provider) Transfer(addr, mailbox string, uid uint32, dest string) (uint32, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, m, err := p.message(addr, mailbox, uid)
	if err != nil {
		return 0, err
	}
	to, err := p.find(addr, dest)
	if err != nil {
		return 0, err
	}
	moved := to.add(m.data, m.flags, m.date)
	b.remove(func(other *message) bool { return other == m })
	return uint32(moved.uid), nil
}

// Renumber gives a mailbox a new UIDVALIDITY and its messages new UIDs. Sessions that
// have it selected are disconnected.
func (p *Provider) Renumber(addr, mailbox string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, err := p.find(addr, mailbox)
	if err != nil {
		return err
	}
	p.renumber(p.users[canonicalAddr(addr)], b)
	return nil
}

// Submissions lists everything that came in by submission and was accepted, in order.
func (p *Provider) Submissions() []Submission {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.outbox)
}
