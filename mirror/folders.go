package mirror

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"

	"mailbridge/db"
	"mailbridge/mailbox"
	"mailbridge/upstream"
)

// foldersSetting is there once the list of mailboxes is known.
const foldersSetting = "mirror_folders"

// maxFolders bounds the list; the largest accounts have some thousand mailboxes.
const maxFolders = 20000

var errNoInbox = errors.New("mirror: the provider lists no INBOX")

// listFolders makes the list of mailboxes agree with the provider's.
func (s *session) listFolders(ctx context.Context) error {
	folders, err := s.conn.List(ctx)
	if err != nil {
		return err
	}
	// A list without INBOX is no list: nothing is taken for gone because of it.
	if !slices.ContainsFunc(folders, func(f upstream.Folder) bool { return strings.EqualFold(f.Name, mailbox.Inbox) }) {
		return errNoInbox
	}
	if len(folders) > maxFolders {
		folders = folders[:maxFolders]
	}
	missing, err := s.missing(ctx, folders)
	if err != nil {
		return err
	}
	var gone []db.Mailbox
	for _, box := range missing {
		kept, err := s.restore(ctx, box)
		if err != nil {
			return err
		}
		if !kept {
			gone = append(gone, box)
		}
	}
	err = s.m.db.Update(ctx, func(tx *db.Tx) error { return s.m.setFolders(tx, folders, gone) })
	if err != nil {
		return err
	}
	s.folders = s.m.opts.Now().Add(folderInterval)
	s.m.beat()
	return nil
}

// missing gives the mailboxes that we have and the provider does not list.
func (s *session) missing(ctx context.Context, folders []upstream.Folder) ([]db.Mailbox, error) {
	listed := map[string]bool{}
	for _, f := range folders {
		listed[upstreamKey(f.Name)] = true
	}
	boxes, err := s.m.mailboxes(ctx)
	return slices.DeleteFunc(boxes, func(b db.Mailbox) bool { return b.LocalOnly || listed[b.UpstreamName] }), err
}

// upstreamKey is the provider's name as the index has it: INBOX is compared without case
// (RFC 3501, section 5.1).
func upstreamKey(name string) string {
	if strings.EqualFold(name, mailbox.Inbox) {
		return mailbox.Inbox
	}
	return name
}

// restore makes a mailbox again that is gone at the provider while mail waits to go up into it.
func (s *session) restore(ctx context.Context, box db.Mailbox) (bool, error) {
	waiting := 0
	err := s.m.db.View(ctx, func(tx *db.Tx) (err error) {
		waiting, err = tx.JournalAppends(box.ID)
		return err
	})
	if err != nil || waiting == 0 {
		return false, err
	}
	if err := s.conn.Create(ctx, box.UpstreamName); err != nil && !upstream.IsRefused(err) {
		return false, err
	}
	return true, nil
}

// setFolders stores what LIST said.
func (m *Mirror) setFolders(tx *db.Tx, folders []upstream.Folder, gone []db.Mailbox) error {
	for _, box := range gone {
		if err := m.dropMailbox(tx, box); err != nil {
			return err
		}
	}
	boxes, err := tx.Mailboxes()
	if err != nil {
		return err
	}
	known := map[string]db.Mailbox{}
	for _, box := range boxes {
		known[box.UpstreamName] = box
	}
	// Where the provider tracks no subscriptions every mailbox counts as subscribed: clients
	// show only those.
	tracked := slices.ContainsFunc(folders, func(f upstream.Folder) bool {
		return f.Subscribed && !strings.EqualFold(f.Name, mailbox.Inbox)
	})
	for _, f := range folders {
		f.Subscribed = f.Subscribed || !tracked || f.Use != ""
		if err := m.setFolder(tx, f, known); err != nil {
			return err
		}
	}
	return tx.SetSetting(foldersSetting, []byte("listed"))
}

func (m *Mirror) setFolder(tx *db.Tx, f upstream.Folder, known map[string]db.Mailbox) error {
	key := upstreamKey(f.Name)
	box, ok := known[key]
	if !ok {
		box = db.Mailbox{
			Name: localName(f.Name, f.Delim), UpstreamName: key, Delim: f.Delim,
			Use: f.Use, NoSelect: f.NoSelect, Subscribed: f.Subscribed,
		}
		box, err := tx.AddMailbox(box, m.opts.Now())
		known[key] = box
		return err
	}
	if box.Delim == f.Delim && box.Use == f.Use && box.NoSelect == f.NoSelect {
		return nil
	}
	// The subscription is the local clients' once it was taken over.
	box.Delim, box.Use, box.NoSelect = f.Delim, f.Use, f.NoSelect
	return tx.SetMailbox(box)
}

// dropMailbox takes a mailbox away that is gone at the provider. Messages whose move into it
// the provider has not heard of come back to where they are.
func (m *Mirror) dropMailbox(tx *db.Tx, box db.Mailbox) error {
	in, err := tx.MessagesMovedIn(box.ID)
	if err != nil {
		return err
	}
	for _, msg := range in {
		if err := tx.ClearJournal(msg.ID); err != nil {
			return err
		}
		if err := m.replace(tx, msg, msg.Up.Mailbox); err != nil {
			return err
		}
	}
	out, err := tx.MessagesMovedOut(box.ID)
	if err != nil {
		return err
	}
	for _, msg := range out {
		if err := m.vanish(tx, msg); err != nil {
			return err
		}
	}
	m.changed(tx, box.ID)
	return tx.DeleteMailbox(box.ID, m.opts.Now())
}

// replace places a row in another local mailbox. A visible one gets a new UID there.
func (m *Mirror) replace(tx *db.Tx, msg db.Message, box mailbox.ID) error {
	visible := msg.State == db.Visible
	if visible {
		if err := tx.Unshow(msg.ID, db.Hidden, m.opts.Now()); err != nil {
			return err
		}
	}
	m.changed(tx, msg.Mailbox, box)
	if err := tx.SetMailboxOf(msg.ID, box); err != nil {
		return err
	}
	if !visible {
		return nil
	}
	_, err := tx.Show(msg.ID)
	return err
}

// changed tells the sessions of mail clients, after the commit.
func (m *Mirror) changed(tx *db.Tx, ids ...mailbox.ID) {
	tx.AfterCommit(func() {
		for _, id := range ids {
			m.watchers.notify(id)
		}
	})
}

func (m *Mirror) mailboxes(ctx context.Context) (boxes []db.Mailbox, err error) {
	err = m.db.View(ctx, func(tx *db.Tx) error {
		boxes, err = tx.Mailboxes()
		return err
	})
	return boxes, err
}

func (m *Mirror) mailbox(ctx context.Context, id mailbox.ID) (box db.Mailbox, err error) {
	err = m.db.View(ctx, func(tx *db.Tx) error {
		box, err = tx.Mailbox(id)
		return err
	})
	return box, err
}

func (m *Mirror) mailboxByName(ctx context.Context, name string) (box db.Mailbox, err error) {
	err = m.db.View(ctx, func(tx *db.Tx) error {
		box, err = tx.MailboxByName(name)
		return err
	})
	return box, err
}

// usualNames are what mailboxes with a special use are called where the provider does not
// say (RFC 6154), in lower case and in order of trust.
var usualNames = map[mailbox.Use][]string{
	mailbox.UseSent:    {"sent", "sent items", "sent messages", "sent mail", "gesendet", "gesendete objekte", "gesendete elemente"},
	mailbox.UseDrafts:  {"drafts", "draft", "entwürfe"},
	mailbox.UseTrash:   {"trash", "deleted items", "deleted messages", "deleted", "papierkorb", "gelöscht", "gelöschte elemente"},
	mailbox.UseJunk:    {"junk", "spam", "junk e-mail", "junk email", "bulk mail"},
	mailbox.UseArchive: {"archive", "archives", "archiv"},
}

// special finds the mailbox with a special use among all.
func special(boxes []db.Mailbox, use mailbox.Use) (db.Mailbox, bool) {
	for _, box := range boxes {
		if box.Use == use && !box.NoSelect {
			return box, true
		}
	}
	best, rank := db.Mailbox{}, -1
	for _, box := range boxes {
		name := strings.TrimPrefix(strings.ToLower(box.Name), "inbox/")
		at := slices.Index(usualNames[use], name)
		if at < 0 || box.NoSelect || box.LocalOnly || box.Use != "" {
			continue
		}
		if rank < 0 || cmp.Less(at, rank) {
			best, rank = box, at
		}
	}
	return best, rank >= 0
}
