package imapproxy

import (
	"context"

	"github.com/emersion/go-imap/v2"

	"mailbridge/mailbox"
)

// arrivalsLooked is at how many of the last messages a new EXISTS looks for unannounced
// keywords.
const arrivalsLooked = 1000

// Select opens a mailbox. The client is told how far the first sync is while it waits.
func (s *session) Select(name string, options *imap.SelectOptions) (*imap.SelectData, error) {
	ctx, cancel := context.WithTimeout(s.ctx, s.server.options.SelectTimeout)
	defer cancel()
	progress := func(line string) { _ = s.guard.sendString("* OK " + clean(line) + "\r\n") }
	id, err := s.account.Select(ctx, name, progress)
	if err != nil {
		return nil, s.refuse("SELECT", err)
	}
	// Watching begins before the snapshot, so that no change falls between.
	changed, stop := s.account.Watch(id)
	snap, err := s.account.Snapshot(ctx, id)
	if err != nil {
		stop()
		return nil, s.refuse("SELECT", err)
	}
	s.box = &selected{
		id:       id,
		readOnly: options.ReadOnly,
		view:     mailbox.NewView(snap),
		keywords: keywordsOf(snap.Rows),
		changed:  changed,
		stop:     stop,
	}
	data := &imap.SelectData{
		Flags:             flagList(s.box.keywords),
		NumMessages:       uint32(len(snap.Rows)),
		UIDNext:           imap.UID(snap.UIDNext),
		UIDValidity:       snap.UIDValidity,
		FirstUnseenSeqNum: firstUnseen(snap.Rows),
	}
	if !options.ReadOnly {
		data.PermanentFlags = flagList(permanent(s.box.keywords))
	}
	return data, nil
}

// Unselect closes the mailbox and removes nothing.
func (s *session) Unselect() error {
	if s.box != nil {
		s.box.stop()
		s.box = nil
	}
	return nil
}

// keywordsOf gives the flags a mailbox offers: the system flags, the bridge's own
// keywords and those in use.
func keywordsOf(rows []mailbox.Row) mailbox.Flags {
	known := make(map[mailbox.Flag]bool)
	flags := append(append(mailbox.Flags{}, mailbox.SystemFlags...), mailbox.OwnKeywords...)
	for _, f := range flags {
		known[f] = true
	}
	for _, row := range rows {
		for _, f := range row.Flags {
			if !known[f] {
				known[f] = true
				flags = append(flags, f)
			}
		}
	}
	return mailbox.NewFlags(flags...)
}

// permanent gives the flags a client may change. The star says that it may make keywords;
// without \Deleted among them Thunderbird leaves every old draft in place.
func permanent(flags mailbox.Flags) mailbox.Flags {
	return append(flags.Storable(), wildcard)
}

const wildcard mailbox.Flag = `\*`

func flagList(flags mailbox.Flags) []imap.Flag {
	var list []imap.Flag
	for _, f := range flags {
		if f == wildcard || isFlag(string(f)) {
			list = append(list, imap.Flag(f))
		}
	}
	return list
}

func firstUnseen(rows []mailbox.Row) uint32 {
	for i, row := range rows {
		if !row.Flags.Has(mailbox.Seen) {
			return uint32(i + 1)
		}
	}
	return 0
}

// Namespace gives the one namespace there is (RFC 2342).
func (s *session) Namespace() (*imap.NamespaceData, error) {
	return &imap.NamespaceData{Personal: []imap.NamespaceDescriptor{{Delim: mailbox.Delimiter}}}, nil
}

// Status answers STATUS.
func (s *session) Status(name string, options *imap.StatusOptions) (*imap.StatusData, error) {
	if err := checkStatus(options); err != nil {
		return nil, err
	}
	st, err := s.account.Status(s.ctx, name)
	if err != nil {
		return nil, s.refuse("STATUS", err)
	}
	return statusData(name, st), nil
}

// checkStatus refuses items of extensions that are not offered.
func checkStatus(options *imap.StatusOptions) error {
	if options.NumDeleted || options.DeletedStorage || options.AppendLimit {
		return badError("unknown STATUS item")
	}
	return nil
}

func statusData(name string, st mailbox.Status) *imap.StatusData {
	var recent uint32
	return &imap.StatusData{
		Mailbox:     name,
		NumMessages: &st.Messages,
		UIDNext:     imap.UID(st.UIDNext),
		UIDValidity: st.UIDValidity,
		NumUnseen:   &st.Unseen,
		Size:        &st.Size,
		NumRecent:   &recent,
	}
}
