package imapproxy

import (
	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"mailbridge/mailbox"
)

var storeActions = map[imap.StoreFlagsOp]mailbox.StoreAction{
	imap.StoreFlagsSet: mailbox.StoreReplace,
	imap.StoreFlagsAdd: mailbox.StoreAdd,
	imap.StoreFlagsDel: mailbox.StoreRemove,
}

var errReadOnly = noError(mailbox.CodeNone, "the mailbox is open read-only")

// Store changes flags. The bridge's own keywords in them are without effect. A .SILENT
// change is told only where the flags became other than the client can know.
func (s *session) Store(_ *imapserver.FetchWriter, set imap.NumSet, store *imap.StoreFlags, _ *imap.StoreOptions) error {
	ms, err := messages(s.box.view, set)
	if err != nil {
		return err
	}
	flags, err := storableFlags(store.Flags)
	if err != nil {
		return err
	}
	if s.box.readOnly {
		return errReadOnly
	}
	if len(ms) == 0 {
		return nil
	}
	action := storeActions[store.Op]
	if err := s.account.Store(s.ctx, s.box.id, uidsOf(ms), action, flags); err != nil {
		return s.refuse("STORE", err)
	}
	if err := s.recordNow(); err != nil {
		return err
	}
	for _, m := range ms {
		if store.Silent {
			s.box.view.Told(m.UID, m.Flags.Apply(action, flags))
		} else {
			s.box.view.Tell(m.UID)
		}
	}
	r := s.response()
	if action != mailbox.StoreRemove {
		s.announce(r, flags)
	}
	if err := r.flush(); err != nil {
		return err
	}
	return s.tell(false)
}
