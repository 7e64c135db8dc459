package provider

import (
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
)

const inbox = "INBOX"

// user is one account: a password and mailboxes. Provider.mu guards it.
type user struct {
	addr, password string
	boxes          map[string]*box
	encrypted      map[string]bool // Message-IDs, see user.note
}

// box is one mailbox. It never changes its UIDVALIDITY: a box that is numbered anew is
// replaced by another one, and gone tells the sessions that still look at it.
type box struct {
	name        string
	use         imap.MailboxAttr
	subscribed  bool
	noSelect    bool
	gone        bool
	uidValidity uint32
	uidNext     imap.UID
	messages    []*message // ascending UIDs
	keywords    []imap.Flag
	change      uint64 // counts all changes
	watchers    map[chan struct{}]struct{}
}

// message is one message in one mailbox. All but flags, change and gone stay as they are.
type message struct {
	uid    imap.UID
	data   []byte
	date   time.Time
	flags  []imap.Flag
	change uint64 // box.change when the flags were last set
	gone   bool
}

var systemFlags = []imap.Flag{imap.FlagAnswered, imap.FlagFlagged, imap.FlagDeleted, imap.FlagSeen, imap.FlagDraft}

func (p *Provider) newUser(addr, password string) *user {
	u := &user{addr: addr, password: password, boxes: make(map[string]*box), encrypted: make(map[string]bool)}
	for name, use := range map[string]imap.MailboxAttr{
		inbox: "", "Sent": imap.MailboxAttrSent, "Drafts": imap.MailboxAttrDrafts,
		"Trash": imap.MailboxAttrTrash, "Junk": imap.MailboxAttrJunk,
	} {
		u.boxes[name] = p.newBox(name, use)
	}
	return u
}

func (p *Provider) newBox(name string, use imap.MailboxAttr) *box {
	return &box{
		name: name, use: use, subscribed: true,
		uidValidity: p.nextUIDValidity(), uidNext: 1,
		watchers: make(map[chan struct{}]struct{}),
	}
}

// nextUIDValidity grows strictly, so that a name that is used again never gets an old
// value (RFC 3501, section 2.3.1.1).
func (p *Provider) nextUIDValidity() uint32 {
	p.clock = max(p.clock+1, uint32(time.Now().Unix()))
	return p.clock
}

// canonicalAddr makes addresses comparable: the provider tells no case apart.
func canonicalAddr(addr string) string { return strings.ToLower(strings.TrimSpace(addr)) }

// canonicalName gives a mailbox name as the store has it: INBOX has no case.
func canonicalName(name string) string {
	if strings.EqualFold(name, inbox) {
		return inbox
	}
	return name
}

func (u *user) names() []string {
	names := make([]string, 0, len(u.boxes))
	for name := range u.boxes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (u *user) byUse(use imap.MailboxAttr) *box {
	for _, name := range u.names() {
		if u.boxes[name].use == use {
			return u.boxes[name]
		}
	}
	return nil
}

// selectable finds a mailbox that can hold messages, or nil.
func (u *user) selectable(name string) *box {
	if b := u.boxes[canonicalName(name)]; b != nil && !b.noSelect {
		return b
	}
	return nil
}

func (p *Provider) find(addr, mailbox string) (*box, error) {
	u := p.users[canonicalAddr(addr)]
	if u == nil {
		return nil, ErrNoUser
	}
	if b := u.selectable(mailbox); b != nil {
		return b, nil
	}
	return nil, ErrNoMailbox
}

func (p *Provider) message(addr, mailbox string, uid uint32) (*box, *message, error) {
	b, err := p.find(addr, mailbox)
	if err != nil {
		return nil, nil, err
	}
	for _, m := range b.messages {
		if m.uid == imap.UID(uid) {
			return b, m, nil
		}
	}
	return nil, nil, ErrNoMessage
}

// changed counts a change and wakes the sessions that watch.
func (b *box) changed() {
	b.change++
	for ch := range b.watchers {
		select {
		case ch <- struct{}{}:
		default: // it has a token already
		}
	}
}

func (b *box) add(data []byte, flags []imap.Flag, date time.Time) *message {
	m := &message{uid: b.uidNext, data: data, date: date.Truncate(time.Second)}
	b.uidNext++
	b.messages = append(b.messages, m)
	b.setFlags(m, flags)
	return m
}

func (b *box) setFlags(m *message, flags []imap.Flag) {
	m.flags = canonicalFlags(flags)
	for _, f := range m.flags {
		if !slices.Contains(systemFlags, f) && !slices.Contains(b.keywords, f) {
			b.keywords = append(b.keywords, f)
		}
	}
	b.changed()
	m.change = b.change
}

// remove expunges the messages that match.
func (b *box) remove(match func(*message) bool) {
	before := len(b.messages)
	b.messages = slices.DeleteFunc(b.messages, func(m *message) bool {
		m.gone = match(m)
		return m.gone
	})
	if len(b.messages) != before {
		b.changed()
	}
}

// end takes a box out of service; sessions that look at it are disconnected.
func (b *box) end() {
	b.gone = true
	b.changed()
}

// flags lists the flags the mailbox knows: the system flags and every keyword so far.
func (b *box) flags() []imap.Flag { return slices.Concat(systemFlags, b.keywords) }

// canonicalFlags spells system flags as RFC 3501 does, and drops repetitions and
// \Recent, which nobody can set. A keyword keeps its spelling.
func canonicalFlags(flags []imap.Flag) []imap.Flag {
	set := make([]imap.Flag, 0, len(flags))
	for _, f := range flags {
		if i := slices.IndexFunc(systemFlags, func(g imap.Flag) bool { return strings.EqualFold(string(f), string(g)) }); i >= 0 {
			f = systemFlags[i]
		}
		if f != "" && !strings.EqualFold(string(f), `\Recent`) && !hasFlag(set, f) {
			set = append(set, f)
		}
	}
	return set
}

func hasFlag(set []imap.Flag, f imap.Flag) bool {
	return slices.ContainsFunc(set, func(g imap.Flag) bool { return strings.EqualFold(string(f), string(g)) })
}

func imapFlags(flags []string) []imap.Flag {
	list := make([]imap.Flag, len(flags))
	for i, f := range flags {
		list[i] = imap.Flag(f)
	}
	return list
}

func flagStrings(flags []imap.Flag) []string {
	list := make([]string, len(flags))
	for i, f := range flags {
		list[i] = string(f)
	}
	return list
}

func imapAttr(use string) imap.MailboxAttr { return imap.MailboxAttr(use) }
