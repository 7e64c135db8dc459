package imapproxy

import (
	"slices"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"mailbridge/mailbox"
)

// Copy copies messages to another mailbox.
func (s *session) Copy(set imap.NumSet, dest string) (*imap.CopyData, error) {
	ms, err := messages(s.box.view, set)
	if err != nil || len(ms) == 0 {
		return nil, err
	}
	copied, err := s.account.Copy(s.ctx, s.box.id, uidsOf(ms), dest)
	if err != nil {
		return nil, s.refuseDest("COPY", err)
	}
	return copyData(copied), nil
}

// Move moves messages (RFC 6851): COPYUID first, then the expunges, which come from the
// view alone.
func (s *session) Move(w *imapserver.MoveWriter, set imap.NumSet, dest string) error {
	if s.box.readOnly {
		return errReadOnly
	}
	ms, err := messages(s.box.view, set)
	if err != nil || len(ms) == 0 {
		return err
	}
	moved, err := s.account.Move(s.ctx, s.box.id, uidsOf(ms), dest)
	if err != nil {
		return s.refuseDest("MOVE", err)
	}
	if data := copyData(moved); data != nil {
		if err := w.WriteCopyData(data); err != nil {
			return err
		}
	}
	if err := s.recordNow(); err != nil {
		return err
	}
	return s.tell(true)
}

// copyData makes COPYUID (RFC 4315, section 3). The two sets are written in ascending
// order, so there is none if they do not ascend together: a client must not be told a
// wrong pair.
func copyData(c mailbox.CopyUID) *imap.CopyData {
	pairs := make([][2]mailbox.UID, 0, len(c.Source))
	if len(c.Source) != len(c.Dest) {
		return nil
	}
	for i := range c.Source {
		pairs = append(pairs, [2]mailbox.UID{c.Source[i], c.Dest[i]})
	}
	slices.SortFunc(pairs, func(a, b [2]mailbox.UID) int { return int(int64(a[0]) - int64(b[0])) })
	var from, to []mailbox.UID
	for _, p := range pairs {
		from, to = append(from, p[0]), append(to, p[1])
	}
	source, ok1 := uidSet(from)
	target, ok2 := uidSet(to)
	if !ok1 || !ok2 || len(pairs) == 0 {
		return nil
	}
	return &imap.CopyData{UIDValidity: c.UIDValidity, SourceUIDs: source, DestUIDs: target}
}
