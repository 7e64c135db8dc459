package mirror

import (
	"context"
	"errors"
	"strings"

	"mailbridge/db"
	"mailbridge/mailbox"
)

// Create makes a mailbox at the provider, and here.
func (m *Mirror) Create(ctx context.Context, name string) error {
	name = strings.TrimSuffix(canonical(name), string(mailbox.Delimiter)) // RFC 3501, section 6.3.3
	if _, err := m.find(ctx, name); err == nil {
		return mailbox.Errorf(mailbox.CodeAlreadyExists, "The mailbox %q exists already.", name)
	}
	up, err := m.newName(ctx, name)
	if err != nil {
		return err
	}
	return m.online(ctx, func(ctx context.Context, s *session) error {
		if err := s.conn.Create(ctx, up); err != nil {
			return err
		}
		return s.introduce(ctx, name)
	}, func(ctx context.Context, s *session) error { return s.introduce(ctx, name) })
}

// introduce makes a new mailbox known, with its first sync.
func (s *session) introduce(ctx context.Context, name string) error {
	if err := s.listFolders(ctx); err != nil {
		return err
	}
	box, err := s.m.find(ctx, name)
	if err != nil {
		return err
	}
	return s.sync(ctx, box.ID)
}

// newName gives the provider's name for a new local one.
func (m *Mirror) newName(ctx context.Context, name string) (string, error) {
	inbox, err := m.mailboxByName(ctx, mailbox.Inbox)
	if err != nil {
		return "", err
	}
	up, ok := upstreamName(name, inbox.Delim)
	if !ok {
		return "", mailbox.Errorf(mailbox.CodeCannot, "A mailbox cannot be called %q at this provider.", name)
	}
	return up, nil
}

// fixed refuses to delete or rename what every account has.
func fixed(box db.Mailbox) error {
	if box.Name == mailbox.Inbox || box.LocalOnly {
		return mailbox.Errorf(mailbox.CodeCannot, "The mailbox %s cannot be deleted or renamed.", box.Name)
	}
	return nil
}

// Delete removes a mailbox at the provider, and here.
func (m *Mirror) Delete(ctx context.Context, name string) error {
	box, err := m.find(ctx, name)
	if err != nil {
		return err
	}
	if err := fixed(box); err != nil {
		return err
	}
	return m.online(ctx, func(ctx context.Context, s *session) error {
		if err := s.deselect(ctx, box); err != nil {
			return err
		}
		if err := s.conn.Delete(ctx, box.UpstreamName); err != nil {
			return err
		}
		return s.listFolders(ctx)
	}, func(ctx context.Context, s *session) error {
		_, err := s.m.mailbox(ctx, box.ID)
		if errors.Is(err, db.ErrNotFound) {
			return nil
		}
		if err == nil {
			err = mailbox.Errorf(mailbox.CodeUnavailable, "The mailbox was not deleted: the connection to the provider was lost.")
		}
		return err
	})
}

// deselect leaves a mailbox that is about to go or to change its name: some servers refuse it
// while it is selected, others break the connection.
func (s *session) deselect(ctx context.Context, box db.Mailbox) error {
	inbox, err := s.m.mailboxByName(ctx, mailbox.Inbox)
	if err != nil || s.selected != box.ID {
		return err
	}
	_, err = s.open(ctx, inbox)
	return err
}

// Rename renames a mailbox and those below it at the provider, and here.
func (m *Mirror) Rename(ctx context.Context, from, to string) error {
	box, err := m.find(ctx, from)
	if err != nil {
		return err
	}
	if err := fixed(box); err != nil {
		return err
	}
	to = canonical(to)
	if _, err := m.find(ctx, to); err == nil {
		return mailbox.Errorf(mailbox.CodeAlreadyExists, "The mailbox %q exists already.", to)
	}
	up, err := m.newName(ctx, to)
	if err != nil {
		return err
	}
	r := renaming{box: box, to: to, up: up}
	return m.online(ctx, r.run, r.look)
}

// renaming is one RENAME.
type renaming struct {
	box    db.Mailbox
	to, up string
}

func (r renaming) run(ctx context.Context, s *session) error {
	if err := s.deselect(ctx, r.box); err != nil {
		return err
	}
	if err := s.conn.Rename(ctx, r.box.UpstreamName, r.up); err != nil {
		return err
	}
	if err := s.m.db.Update(ctx, func(tx *db.Tx) error { return r.apply(tx, s.m) }); err != nil {
		return err
	}
	return s.listFolders(ctx)
}

// apply gives the mailbox and those below it their new names. Their messages keep their UIDs.
func (r renaming) apply(tx *db.Tx, m *Mirror) error {
	boxes, err := tx.Mailboxes()
	if err != nil {
		return err
	}
	for _, box := range boxes {
		localBelow, ok := below(box.Name, r.box.Name, string(mailbox.Delimiter))
		if !ok || box.LocalOnly {
			continue
		}
		upBelow, ok := below(box.UpstreamName, r.box.UpstreamName, string(r.box.Delim))
		if !ok {
			continue
		}
		box.Name, box.UpstreamName = r.to+localBelow, r.up+upBelow
		if err := tx.RenameMailbox(box, m.opts.Now()); err != nil {
			return err
		}
	}
	return nil
}

// below gives what follows parent in name, if name is parent or below it.
func below(name, parent, delim string) (string, bool) {
	rest, ok := strings.CutPrefix(name, parent)
	return rest, ok && (rest == "" || strings.HasPrefix(rest, delim))
}

// look finds out whether the rename happened. The list of mailboxes was made anew by then, so
// that a rename that happened looks like one mailbox gone and another one new.
func (r renaming) look(ctx context.Context, s *session) error {
	_, err := s.m.find(ctx, r.to)
	if err != nil {
		return mailbox.Errorf(mailbox.CodeUnavailable, "The mailbox was not renamed: the connection to the provider was lost.")
	}
	return nil
}

// Subscribe changes a subscription. It is kept here; the provider is told if it can be reached.
func (m *Mirror) Subscribe(ctx context.Context, name string, on bool) error {
	box, err := m.find(ctx, name)
	if err != nil {
		return err
	}
	if err := m.db.Update(ctx, func(tx *db.Tx) error { return tx.SetSubscribed(box.ID, on) }); err != nil {
		return err
	}
	if box.LocalOnly {
		return nil
	}
	m.fetcher.background(func(ctx context.Context) {
		err := m.online(ctx, func(ctx context.Context, s *session) error { return s.conn.Subscribe(ctx, box.UpstreamName, on) },
			func(context.Context, *session) error { return nil })
		if err != nil {
			m.log.Debug("subscribe", "err", err)
		}
	})
	return nil
}
