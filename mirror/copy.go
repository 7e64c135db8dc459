package mirror

import (
	"context"
	"errors"
	"fmt"

	"mailbridge/db"
	"mailbridge/mailbox"
	"mailbridge/upstream"
)

// Copy copies messages at the provider, which must be online; opened mail's view follows.
func (m *Mirror) Copy(ctx context.Context, id mailbox.ID, uids []mailbox.UID, dest string) (mailbox.CopyUID, error) {
	source, target, err := m.transfer(ctx, id, dest)
	if err != nil {
		return mailbox.CopyUID{}, err
	}
	if source.LocalOnly {
		return m.copyNotes(ctx, id, uids, target)
	}
	c := copying{box: id, uids: uids, target: target, copied: mailbox.CopyUID{UIDValidity: target.UIDValidity}}
	err = m.online(ctx, c.run, c.look)
	return c.copied, err
}

// copyNotes copies what is only here, and stays so.
func (m *Mirror) copyNotes(ctx context.Context, id mailbox.ID, uids []mailbox.UID, target db.Mailbox) (mailbox.CopyUID, error) {
	copied := mailbox.CopyUID{UIDValidity: target.UIDValidity}
	err := m.each(ctx, id, uids, func(tx *db.Tx, row db.Message) error {
		clone, err := tx.CloneMessage(row.ID, target.ID, db.Place{}, db.Visible, m.opts.Now())
		copied.Source, copied.Dest = append(copied.Source, row.UID), append(copied.Dest, clone.UID)
		m.changed(tx, target.ID)
		return err
	})
	return copied, err
}

// copying is one COPY.
type copying struct {
	box    mailbox.ID
	uids   []mailbox.UID
	target db.Mailbox
	copied mailbox.CopyUID

	rows  []db.Message
	guard db.Entry // what lies in the target from there on may be the copies
	sent  bool
}

// errNotAtProvider refuses to copy what cannot be copied there.
var errNotAtProvider = &mailbox.Error{Code: mailbox.CodeCannot, Text: "The message is not at the provider, or not yet, and cannot be copied."}

func (c *copying) run(ctx context.Context, s *session) error {
	if err := c.prepare(ctx, s); err != nil || len(c.rows) == 0 {
		return err
	}
	status, err := s.conn.Status(ctx, c.target.UpstreamName)
	if err != nil {
		return err
	}
	c.guard = db.Entry{GuardUIDValidity: status.UIDValidity, GuardUID: status.UIDNext}
	c.sent = true
	unmapped := false
	for _, group := range byPlace(c.rows) {
		source, err := s.m.mailbox(ctx, group[0].Up.Mailbox)
		if err != nil {
			return err
		}
		if err := s.ensure(ctx, source, group[0].Up.UIDValidity); err != nil {
			return err
		}
		places, err := s.conn.Copy(ctx, placedUIDs(group), c.target.UpstreamName)
		if err != nil {
			return err
		}
		all, err := c.follow(ctx, s.m, group, places)
		if err != nil {
			return err
		}
		unmapped = unmapped || !all
	}
	if unmapped {
		return s.sync(ctx, c.target.ID) // the copies arrive like new mail
	}
	return nil
}

// prepare lets the provider hear of what the clients did before, and reads the rows.
func (c *copying) prepare(ctx context.Context, s *session) error {
	for {
		worked, err := s.flush(ctx)
		if err != nil {
			return err
		}
		if !worked {
			break
		}
	}
	for _, uid := range c.uids {
		row, err := s.m.Find(ctx, c.box, uid)
		if errors.Is(err, errGone) {
			continue
		}
		if err != nil {
			return err
		}
		if row.Up.UID == 0 {
			return errNotAtProvider
		}
		c.rows = append(c.rows, row)
	}
	return nil
}

// follow makes the rows of copies whose places the provider told. It reports whether it told all.
func (c *copying) follow(ctx context.Context, m *Mirror, group []db.Message, places upstream.CopyUID) (bool, error) {
	all := true
	var copied mailbox.CopyUID
	err := m.db.Update(ctx, func(tx *db.Tx) error {
		copied = mailbox.CopyUID{}
		for _, row := range group {
			place := db.Place{Mailbox: c.target.ID, UIDValidity: places.UIDValidity, UID: places.Map[row.Up.UID]}
			if place.UID == 0 {
				all = false
				continue
			}
			clone, err := tx.CloneMessage(row.ID, c.target.ID, place, db.Visible, m.opts.Now())
			if err != nil {
				return err
			}
			copied.Source, copied.Dest = append(copied.Source, row.UID), append(copied.Dest, clone.UID)
		}
		m.changed(tx, c.target.ID)
		return nil
	})
	c.copied.Source = append(c.copied.Source, copied.Source...)
	c.copied.Dest = append(c.copied.Dest, copied.Dest...)
	return all, err
}

// look finds out whether the copies were made before the connection broke.
func (c *copying) look(ctx context.Context, s *session) error {
	if !c.sent {
		return errOffline
	}
	came, err := s.arrived(ctx, c.target, c.guard)
	if err != nil {
		return err
	}
	found := len(c.copied.Dest)
	for _, row := range c.rows {
		uid, err := s.moved(ctx, came, row)
		if err != nil {
			return err
		}
		if uid != 0 {
			found++
		}
	}
	if found < len(c.rows) {
		return mailbox.Errorf(mailbox.CodeUnavailable, "The connection to the provider was lost: %s.",
			fmt.Sprintf("%d of %d messages were copied", found, len(c.rows)))
	}
	c.copied.Source, c.copied.Dest = nil, nil // the copies arrive like new mail; COPYUID may be left out
	return s.sync(ctx, c.target.ID)
}

// byPlace groups rows by where the provider has them, in the order of the first of each group.
func byPlace(rows []db.Message) [][]db.Message {
	type key struct {
		box      mailbox.ID
		validity uint32
	}
	var groups [][]db.Message
	at := map[key]int{}
	for _, row := range rows {
		k := key{row.Up.Mailbox, row.Up.UIDValidity}
		if _, known := at[k]; !known {
			at[k] = len(groups)
			groups = append(groups, nil)
		}
		groups[at[k]] = append(groups[at[k]], row)
	}
	return groups
}

func placedUIDs(rows []db.Message) []uint32 {
	list := make([]uint32, len(rows))
	for i, row := range rows {
		list[i] = row.Up.UID
	}
	return list
}
