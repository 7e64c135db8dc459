package imapproxy

import (
	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"mailbridge/mailbox"
)

// Expunge removes the messages marked \Deleted that the client knows, or those of uids.
// EXPUNGE responses come from the view alone.
func (s *session) Expunge(_ *imapserver.ExpungeWriter, uids *imap.UIDSet) error {
	closing := s.guard.cmd.name == "CLOSE"
	if s.box.readOnly {
		if closing {
			return nil // RFC 3501, section 6.4.2: nothing is removed, and it is no error
		}
		return errReadOnly
	}
	marked, err := s.marked(uids)
	if err != nil {
		return err
	}
	if len(marked) == 0 {
		return nil
	}
	if err := s.account.Expunge(s.ctx, s.box.id, marked); err != nil {
		return s.refuse("EXPUNGE", err)
	}
	if closing {
		return nil
	}
	if err := s.recordNow(); err != nil {
		return err
	}
	return s.tell(true)
}

// marked gives the messages that an expunge is about. What arrived since the last update
// is not among them: the client did not ask to remove what it does not know.
func (s *session) marked(uids *imap.UIDSet) ([]mailbox.UID, error) {
	all := imap.NumSet(imap.SeqSet{{Start: 1, Stop: star}})
	if uids != nil {
		all = *uids
	}
	ms, err := messages(s.box.view, all)
	if err != nil {
		return nil, err
	}
	if err := s.record(); err != nil {
		return nil, err
	}
	var marked []mailbox.UID
	for _, m := range ms {
		row, ok := s.box.view.At(m.seq)
		if ok && row.Flags.Has(mailbox.Deleted) && !s.box.view.Gone(row.UID) {
			marked = append(marked, row.UID)
		}
	}
	return marked, nil
}
