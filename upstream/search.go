package upstream

import (
	"context"
	"slices"

	"github.com/emersion/go-imap/v2"

	"mailbridge/mailbox"
)

// search runs UID SEARCH and gives the result in ascending order.
func (c *Conn) search(ctx context.Context, criteria *imap.SearchCriteria) ([]uint32, error) {
	if !c.isSelected() {
		return nil, ErrNotSelected
	}
	var options *imap.SearchOptions
	if c.caps.ESearch {
		options = &imap.SearchOptions{ReturnAll: true} // ranges are far shorter than UIDs
	}
	var found []uint32
	err := c.run(ctx, "UID SEARCH", false, nil, func() error {
		_, err := c.client.UIDSearch(criteria, options).Wait()
		found = c.filter.answers().found
		return err
	})
	slices.Sort(found)
	return slices.Compact(found), err
}

// SearchMessageID gives the messages with a Message-ID (without angle brackets).
func (c *Conn) SearchMessageID(ctx context.Context, id string) ([]uint32, error) {
	header := imap.SearchCriteriaHeaderField{Key: "Message-ID", Value: "<" + id + ">"}
	return c.search(ctx, &imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{header}})
}

// SearchText gives those of uids whose body (or header and body) holds text.
func (c *Conn) SearchText(ctx context.Context, uids []uint32, field mailbox.Field, text string) ([]uint32, error) {
	var found []uint32
	for _, set := range chunks(uids) {
		criteria := &imap.SearchCriteria{UID: []imap.UIDSet{set}}
		if field == mailbox.FieldBody {
			criteria.Body = []string{text}
		} else {
			criteria.Text = []string{text}
		}
		part, err := c.search(ctx, criteria)
		if err != nil {
			return nil, err
		}
		found = append(found, part...)
	}
	return found, nil
}

// UIDs gives every UID of the selected mailbox, ascending.
func (c *Conn) UIDs(ctx context.Context) ([]uint32, error) {
	return c.search(ctx, &imap.SearchCriteria{})
}
