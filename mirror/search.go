package mirror

import (
	"context"
	"errors"
	"slices"

	"mailbridge/db"
	"mailbridge/mailbox"
	"mailbridge/upstream"
)

// SearchText gives those of uids whose field holds text, compared without case: the provider
// looks through what it has in the clear, Options.Contains through what is served from here.
// The provider is not asked for what stands in opened mail: the question would tell it. Then
// everything is searched here.
func (m *Mirror) SearchText(ctx context.Context, id mailbox.ID, uids []mailbox.UID, field mailbox.Field, text string) ([]mailbox.UID, error) {
	secret, err := m.secret(ctx, text)
	if err != nil {
		return nil, err
	}
	var found []mailbox.UID
	rest := uids
	if !secret {
		if found, rest, err = m.searchUpstream(ctx, id, uids, field, text); err != nil {
			return nil, err
		}
	}
	for _, uid := range rest {
		served, _, err := m.Bytes(ctx, id, uid)
		if errors.Is(err, errGone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if m.opts.Contains(served, text, field == mailbox.FieldBody) {
			found = append(found, uid)
		}
	}
	slices.Sort(found)
	return found, nil
}

// searchUpstream asks the provider which of uids hold text. It gives those that do, and those
// that the provider cannot be asked about, because what is served is not what it has.
func (m *Mirror) searchUpstream(ctx context.Context, id mailbox.ID, uids []mailbox.UID, field mailbox.Field, text string) (found, rest []mailbox.UID, err error) {
	type key struct {
		box      mailbox.ID
		validity uint32
	}
	groups := map[key]map[uint32]mailbox.UID{}
	for _, uid := range uids {
		row, err := m.Find(ctx, id, uid)
		if err != nil {
			continue
		}
		if row.View != 0 || row.Prefix != nil || row.Up.UID == 0 {
			rest = append(rest, uid)
			continue
		}
		k := key{row.Up.Mailbox, row.Up.UIDValidity}
		if groups[k] == nil {
			groups[k] = map[uint32]mailbox.UID{}
		}
		groups[k][row.Up.UID] = uid
	}
	for k, local := range groups {
		var asked []uint32
		for up := range local {
			asked = append(asked, up)
		}
		slices.Sort(asked)
		err := m.fetcher.do(ctx, db.Place{Mailbox: k.box, UIDValidity: k.validity}, func(ctx context.Context, conn *upstream.Conn) error {
			hits, err := conn.SearchText(ctx, asked, field, text)
			for _, up := range hits {
				if uid, ok := local[up]; ok {
					found = append(found, uid)
				}
			}
			return err
		})
		if err != nil {
			return nil, nil, refusal(err)
		}
	}
	return found, rest, nil
}

// secret reports whether a text stands in something that the provider has only as ciphertext.
func (m *Mirror) secret(ctx context.Context, text string) (bool, error) {
	var views []int64
	err := m.db.View(ctx, func(tx *db.Tx) (err error) {
		views, err = tx.SecretViews()
		return err
	})
	if err != nil {
		return false, err
	}
	for _, view := range views {
		var data []byte
		err := m.db.View(ctx, func(tx *db.Tx) (err error) {
			data, err = tx.View(view)
			return err
		})
		if errors.Is(err, db.ErrNotFound) {
			continue // gone in the meantime
		}
		if err != nil || m.opts.Contains(data, text, false) {
			return err == nil, err
		}
	}
	return false, nil
}
