package mirror

import (
	"context"
	"errors"
	"strings"
	"time"

	"mailbridge/db"
	"mailbridge/mailbox"
)

// errNoMailbox is what a client is told of a name that is not there.
func errNoMailbox(name string) error {
	return mailbox.Errorf(mailbox.CodeNonExistent, "There is no mailbox %q.", name)
}

// canonical gives the spelling of a local name: INBOX is compared without case (RFC 3501,
// section 5.1).
func canonical(name string) string {
	first, rest, below := strings.Cut(name, string(mailbox.Delimiter))
	if !strings.EqualFold(first, mailbox.Inbox) {
		return name
	}
	if below {
		return mailbox.Inbox + string(mailbox.Delimiter) + rest
	}
	return mailbox.Inbox
}

func info(box db.Mailbox) mailbox.Info {
	return mailbox.Info{ID: box.ID, Name: box.Name, NoSelect: box.NoSelect, Subscribed: box.Subscribed, Use: box.Use}
}

// Mailboxes lists every mailbox, sorted by name, INBOX first.
func (m *Mirror) Mailboxes(ctx context.Context) ([]mailbox.Info, error) {
	boxes, err := m.mailboxes(ctx)
	if err != nil {
		return nil, err
	}
	parents := map[string]bool{}
	for _, box := range boxes {
		for i, r := range box.Name {
			if r == mailbox.Delimiter {
				parents[box.Name[:i]] = true
			}
		}
	}
	all := make([]mailbox.Info, len(boxes))
	for i, box := range boxes {
		all[i] = info(box)
		all[i].HasChildren = parents[box.Name]
	}
	return all, nil
}

// Mailbox finds a mailbox by its name; a *mailbox.Error if there is none.
func (m *Mirror) Mailbox(ctx context.Context, name string) (mailbox.Info, error) {
	box, err := m.find(ctx, name)
	return info(box), err
}

func (m *Mirror) find(ctx context.Context, name string) (db.Mailbox, error) {
	box, err := m.mailboxByName(ctx, canonical(name))
	if errors.Is(err, db.ErrNotFound) {
		return box, errNoMailbox(name)
	}
	return box, err
}

// Special gives the mailbox with a special use: by what the provider says, else by its usual
// names. It is a *mailbox.Error with CodeNonExistent if there is none.
func (m *Mirror) Special(ctx context.Context, use mailbox.Use) (mailbox.Info, error) {
	boxes, err := m.mailboxes(ctx)
	if err != nil {
		return mailbox.Info{}, err
	}
	box, ok := special(boxes, use)
	if !ok {
		return mailbox.Info{}, mailbox.Errorf(mailbox.CodeNonExistent, "There is no mailbox for %s.", strings.TrimPrefix(string(use), `\`))
	}
	return info(box), nil
}

// Status answers STATUS for a mailbox by its name.
func (m *Mirror) Status(ctx context.Context, name string) (mailbox.Status, error) {
	box, err := m.find(ctx, name)
	if err != nil {
		return mailbox.Status{}, err
	}
	if box.NoSelect {
		return mailbox.Status{}, errNoMailbox(name)
	}
	// Zeros would tell a client that its mailbox was emptied, and it would empty its cache.
	if box.ListedAt.IsZero() && m.State().Err != nil {
		return mailbox.Status{}, errIncomplete(m.State().Err)
	}
	wait, cancel := context.WithTimeout(ctx, statusWait)
	defer cancel()
	if err := m.awaitList(wait, box, nil); err != nil {
		return mailbox.Status{}, err
	}
	var status mailbox.Status
	err = m.db.View(ctx, func(tx *db.Tx) error {
		status, err = tx.MailboxStatus(box.ID)
		return err
	})
	return status, err
}

// statusWait is how long STATUS waits for the first sync of a mailbox: clients ask for every
// mailbox in a row, and give up on a server that is silent for a minute.
const statusWait = 20 * time.Second

// Select finds a mailbox by name. It waits for the first sync of the mailbox, at most until
// ctx ends; progress is called now and then with a line for the person.
func (m *Mirror) Select(ctx context.Context, name string, progress func(string)) (mailbox.ID, error) {
	box, err := m.find(ctx, name)
	if err != nil {
		return 0, err
	}
	if box.NoSelect {
		return 0, mailbox.Errorf(mailbox.CodeCannot, "The mailbox %q only holds other mailboxes.", name)
	}
	if err := m.awaitList(ctx, box, progress); err != nil {
		return 0, err
	}
	return box.ID, nil
}

// awaitList waits for the first sync of a mailbox: a partial list is never shown.
func (m *Mirror) awaitList(ctx context.Context, box db.Mailbox, progress func(string)) error {
	if !box.ListedAt.IsZero() {
		return nil
	}
	m.look(box.ID)
	told := ""
	err := m.await(ctx, func() (bool, error) {
		now, err := m.mailbox(context.WithoutCancel(ctx), box.ID)
		if errors.Is(err, db.ErrNotFound) {
			return false, errNoMailbox(box.Name)
		}
		if line := m.progress(box.ID); line != told && progress != nil {
			progress(line)
			told = line
		}
		return !now.ListedAt.IsZero(), err
	})
	if ctx.Err() != nil {
		return errIncomplete(err)
	}
	return err
}

// errIncomplete is what a client is told while the first sync runs, or cannot.
func errIncomplete(err error) error {
	return &mailbox.Error{
		Code: mailbox.CodeUnavailable, Text: "The list of messages is not complete yet. Try again in a while.", Err: err,
	}
}

// reportProgress stores a line for those who wait for a mailbox.
func (m *Mirror) reportProgress(id mailbox.ID, line string) {
	m.mu.Lock()
	m.lines[id] = line
	m.mu.Unlock()
	m.beat()
}

func (m *Mirror) progress(id mailbox.ID) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.lines[id]
}

// Snapshot gives every visible message.
func (m *Mirror) Snapshot(ctx context.Context, id mailbox.ID) (mailbox.Snapshot, error) {
	var snap mailbox.Snapshot
	err := m.db.View(ctx, func(tx *db.Tx) error {
		box, err := tx.Mailbox(id)
		if err != nil {
			return err
		}
		snap.UIDValidity, snap.UIDNext, snap.ModSeq = box.UIDValidity, box.UIDNext, box.ModSeq
		snap.Rows, err = tx.Rows(id)
		return err
	})
	return snap, gone(err)
}

// Changes gives what happened after since.
func (m *Mirror) Changes(ctx context.Context, id mailbox.ID, since mailbox.ModSeq) (mailbox.Delta, error) {
	var delta mailbox.Delta
	err := m.db.View(ctx, func(tx *db.Tx) (err error) {
		delta, err = tx.Delta(id, since)
		return err
	})
	return delta, gone(err)
}

// gone says to a session that its mailbox is no longer there.
func gone(err error) error {
	if errors.Is(err, db.ErrNotFound) {
		return &mailbox.Error{Code: mailbox.CodeNonExistent, Text: "The mailbox is no longer there."}
	}
	return err
}
