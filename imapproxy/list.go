package imapproxy

import (
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"mailbridge/mailbox"
)

// List answers LIST and LSUB (RFC 3501, RFC 5258, RFC 5819, RFC 6154).
func (s *session) List(w *imapserver.ListWriter, ref string, patterns []string, options *imap.ListOptions) error {
	if len(patterns) == 0 || len(patterns) == 1 && patterns[0] == "" {
		// The root of the hierarchy (RFC 3501, section 6.3.8).
		return w.WriteList(&imap.ListData{Attrs: []imap.MailboxAttr{imap.MailboxAttrNoSelect}, Delim: mailbox.Delimiter})
	}
	if options.ReturnStatus != nil {
		if err := checkStatus(options.ReturnStatus); err != nil {
			return err
		}
	}
	infos, err := s.account.Mailboxes(s.ctx)
	if err != nil {
		return s.refuse("LIST", err)
	}
	l := lister{session: s, options: options, lsub: s.guard.cmd.name == "LSUB", infos: infos}
	for _, p := range patterns {
		l.patterns = append(l.patterns, ref+p)
	}
	for _, data := range l.list() {
		if err := w.WriteList(data); err != nil {
			return err
		}
	}
	return nil
}

// lister selects the mailboxes of one LIST.
type lister struct {
	session  *session
	options  *imap.ListOptions
	lsub     bool
	patterns []string
	infos    []mailbox.Info
}

func (l *lister) list() []*imap.ListData {
	var found []*imap.ListData
	for _, info := range l.infos {
		if len(info.Name) > maxName || !l.matches(info.Name) {
			continue
		}
		if data := l.data(info); data != nil {
			found = append(found, data)
		}
	}
	if l.lsub {
		found = append(found, l.missingParents()...)
	}
	return found
}

// data gives the response for a mailbox that matches the patterns, or nil if the
// selection leaves it out.
func (l *lister) data(info mailbox.Info) *imap.ListData {
	data := &imap.ListData{Attrs: l.attrs(info), Delim: mailbox.Delimiter, Mailbox: info.Name}
	below := l.options.SelectRecursiveMatch && l.subscribedBelow(info.Name)
	if below {
		data.ChildInfo = &imap.ListDataChildInfo{Subscribed: true}
	}
	if l.options.SelectSubscribed && !info.Subscribed && !below {
		return nil
	}
	if l.options.SelectSpecialUse && info.Use == "" {
		return nil
	}
	if l.options.ReturnStatus != nil && !info.NoSelect {
		st, err := l.session.account.Status(l.session.ctx, info.Name)
		if err == nil { // RFC 5819, section 2: without STATUS where it cannot be had
			data.Status = statusData(info.Name, st)
		}
	}
	return data
}

func (l *lister) attrs(info mailbox.Info) []imap.MailboxAttr {
	var attrs []imap.MailboxAttr
	if info.NoSelect {
		attrs = append(attrs, imap.MailboxAttrNoSelect)
	}
	if l.lsub {
		return attrs
	}
	if info.HasChildren {
		attrs = append(attrs, imap.MailboxAttrHasChildren)
	} else {
		attrs = append(attrs, imap.MailboxAttrHasNoChildren)
	}
	if info.Subscribed && (l.options.SelectSubscribed || l.options.ReturnSubscribed) {
		attrs = append(attrs, imap.MailboxAttrSubscribed)
	}
	if info.Use != "" {
		attrs = append(attrs, imap.MailboxAttr(info.Use))
	}
	return attrs
}

func (l *lister) matches(name string) bool {
	for _, p := range l.patterns {
		if matchPattern(p, name) {
			return true
		}
	}
	return false
}

func (l *lister) subscribedBelow(name string) bool {
	for _, info := range l.infos {
		if info.Subscribed && strings.HasPrefix(info.Name, name+string(mailbox.Delimiter)) && !l.matches(info.Name) {
			return true
		}
	}
	return false
}

// missingParents gives the names that LSUB has to show because only a mailbox below them
// is subscribed (RFC 3501, section 6.3.9, the paragraph on "%").
func (l *lister) missingParents() []*imap.ListData {
	shown := make(map[string]bool)
	for _, info := range l.infos {
		if info.Subscribed {
			shown[info.Name] = true
		}
	}
	var found []*imap.ListData
	for _, info := range l.infos {
		if !info.Subscribed || l.matches(info.Name) {
			continue
		}
		for i, c := range info.Name {
			parent := info.Name[:i]
			if c == mailbox.Delimiter && !shown[parent] && l.matches(parent) {
				shown[parent] = true
				found = append(found, &imap.ListData{
					Attrs: []imap.MailboxAttr{imap.MailboxAttrNoSelect}, Delim: mailbox.Delimiter, Mailbox: parent,
				})
			}
		}
	}
	return found
}

// matchPattern matches a name against a pattern with "*" and "%" in time proportional to
// the product of their lengths; go-imap's own takes exponential time.
func matchPattern(pattern, name string) bool {
	if name == mailbox.Inbox && len(pattern) >= len(name) && strings.EqualFold(pattern, name) {
		return true
	}
	// reached[i] says that the pattern so far matches name[:i].
	reached := make([]bool, len(name)+1)
	reached[0] = true
	for i := range len(pattern) {
		c := pattern[i]
		if c == '*' || c == '%' {
			for j := 1; j <= len(name); j++ {
				reached[j] = reached[j] || reached[j-1] && (c == '*' || name[j-1] != mailbox.Delimiter)
			}
			continue
		}
		for j := len(name); j > 0; j-- {
			reached[j] = reached[j-1] && name[j-1] == c
		}
		reached[0] = false
	}
	return reached[len(name)]
}
