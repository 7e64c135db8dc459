package mirror

import (
	"context"
)

// Peeker is an Ingester that tells some candidates only by the beginning of their text.
type Peeker interface {
	// Peek reports whether the text of a message with this header must be looked into.
	Peek(header []byte) bool
	// Peeked is Candidate for such a message: start is the beginning of its text.
	Peeked(header, start []byte) bool
}

// peekSize is how much of a text a Peeker sees: the header of a first part, or the first
// lines of an armor.
const peekSize = 4096

// peek looks into those new messages that their header does not decide about.
func (s *session) peek(ctx context.Context, entries []entry) error {
	peeker, ok := s.m.ingest.(Peeker)
	if !ok {
		return nil
	}
	at := map[uint32]int{}
	var uids []uint32
	for i, e := range entries {
		if !e.candidate && peeker.Peek(e.Header) {
			at[e.UID] = i
			uids = append(uids, e.UID)
		}
	}
	if len(uids) == 0 {
		return nil
	}
	return s.conn.Peeks(ctx, uids, peekSize, func(uid uint32, start []byte) error {
		if i, ok := at[uid]; ok {
			entries[i].candidate = peeker.Peeked(entries[i].Header, start)
		}
		return nil
	})
}
