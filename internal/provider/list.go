package provider

import (
	"slices"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

func (s *session) List(w *imapserver.ListWriter, ref string, patterns []string, options *imap.ListOptions) error {
	var found []*imap.ListData
	err := s.locked("LIST", "", func() error {
		if len(patterns) == 0 { // asks for the delimiter (RFC 3501, section 6.3.8)
			found = []*imap.ListData{{Attrs: []imap.MailboxAttr{imap.MailboxAttrNoSelect}, Delim: s.provider.opts.Delimiter}}
			return nil
		}
		for _, name := range s.user.names() {
			b := s.user.boxes[name]
			if s.listed(b, ref, patterns, options) {
				found = append(found, s.listData(b, options))
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, data := range found {
		if err := w.WriteList(data); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) listed(b *box, ref string, patterns []string, options *imap.ListOptions) bool {
	if options.SelectSubscribed && !b.subscribed || options.SelectSpecialUse && b.use == "" {
		return false
	}
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		return imapserver.MatchList(b.name, s.provider.opts.Delimiter, ref, canonicalName(pattern))
	})
}

func (s *session) listData(b *box, options *imap.ListOptions) *imap.ListData {
	p := s.provider
	data := &imap.ListData{Mailbox: b.name, Delim: p.opts.Delimiter}
	if b.noSelect {
		data.Attrs = append(data.Attrs, imap.MailboxAttrNoSelect)
	}
	if !p.lacks("CHILDREN") {
		attr := imap.MailboxAttrHasNoChildren
		if len(p.children(s.user, b.name)) > 0 {
			attr = imap.MailboxAttrHasChildren
		}
		data.Attrs = append(data.Attrs, attr)
	}
	if b.use != "" && !p.lacks("SPECIAL-USE") {
		data.Attrs = append(data.Attrs, b.use)
	}
	if b.subscribed && (options.ReturnSubscribed || options.SelectSubscribed) {
		data.Attrs = append(data.Attrs, imap.MailboxAttrSubscribed)
	}
	if options.ReturnStatus != nil && !b.noSelect {
		data.Status = b.status(b.name)
	}
	return data
}

func (s *session) Status(name string, options *imap.StatusOptions) (data *imap.StatusData, err error) {
	err = s.locked("STATUS", name, func() error {
		b := s.user.selectable(name)
		if b == nil {
			return errNoMailbox
		}
		data = b.status(name)
		return nil
	})
	return data, err
}

// status fills in every item; go-imap writes those that were asked for.
func (b *box) status(name string) *imap.StatusData {
	var unseen, deleted, recent uint32
	var size, deletedSize int64
	for _, m := range b.messages {
		size += int64(len(m.data))
		if !hasFlag(m.flags, imap.FlagSeen) {
			unseen++
		}
		if hasFlag(m.flags, imap.FlagDeleted) {
			deleted++
			deletedSize += int64(len(m.data))
		}
	}
	messages, limit := uint32(len(b.messages)), uint32(maxMessage)
	return &imap.StatusData{
		Mailbox: name, NumMessages: &messages, NumRecent: &recent, NumUnseen: &unseen, NumDeleted: &deleted,
		UIDNext: b.uidNext, UIDValidity: b.uidValidity, Size: &size, DeletedStorage: &deletedSize, AppendLimit: &limit,
	}
}
