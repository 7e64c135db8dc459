package imapproxy

import (
	"slices"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"mailbridge/mailbox"
	"mailbridge/message"
)

// maxFetchFailures is how many messages of one FETCH may fail before the rest is given
// up: with the provider away every further one would, each after its own wait.
const maxFetchFailures = 10

// Fetch writes the items that the guard has parsed; go-imap parsed the set.
func (s *session) Fetch(_ *imapserver.FetchWriter, set imap.NumSet, _ *imap.FetchOptions) error {
	ms, err := messages(s.box.view, set)
	if err != nil {
		return err
	}
	f := newFetcher(s)
	if _, byUID := set.(imap.UIDSet); byUID {
		f.withUID()
	}
	if f.needsBody && len(ms) > 1 {
		s.account.Prefetch(s.ctx, s.box.id, uidsOf(ms))
	}
	for _, m := range ms {
		if err := f.fetch(m); err != nil {
			return err
		}
	}
	if err := f.r.flush(); err != nil {
		return err
	}
	if f.failure == nil && f.gone && !f.byUID {
		// RFC 2180, section 4.1.2. UID FETCH passes over what does not exist.
		return noError(mailbox.CodeExpungeIssued, "some of the messages are gone")
	}
	return s.refuse("FETCH", f.failure)
}

// fetcher runs one FETCH.
type fetcher struct {
	session     *session
	r           *response
	items       []fetchItem
	byUID       bool
	needsHeader bool
	needsBody   bool
	marksSeen   bool

	gone     bool
	failures int
	failure  error // the first
}

func newFetcher(s *session) *fetcher {
	f := &fetcher{session: s, r: s.response(), items: s.guard.cmd.fetch}
	for _, item := range f.items {
		switch item.kind {
		case itemEnvelope:
			f.needsHeader = true
		case itemStructure:
			f.needsBody = true
		case itemSection:
			f.marksSeen = f.marksSeen || !item.peek && !s.box.readOnly
			if item.section.headerOnly() {
				f.needsHeader = true
			} else {
				f.needsBody = true
			}
		}
	}
	return f
}

// withUID adds the UID that every response to UID FETCH has.
func (f *fetcher) withUID() {
	f.byUID = true
	if !slices.ContainsFunc(f.items, func(i fetchItem) bool { return i.kind == itemUID }) {
		f.items = append([]fetchItem{{kind: itemUID, name: "UID"}}, f.items...)
	}
}

// fetch writes the response for one message. Its bytes are at hand before the first
// octet of the response is written.
func (f *fetcher) fetch(m numbered) error {
	if f.failures >= maxFetchFailures {
		return nil
	}
	c, err := f.content(m.UID)
	if err != nil {
		if isGone(err) {
			f.gone = true
			return nil
		}
		if f.failure == nil {
			f.failure = err
		}
		f.failures++
		return nil
	}
	items, row := f.items, m.Row
	if f.marksSeen && !row.Flags.Has(mailbox.Seen) {
		if row, err = f.markSeen(m); err != nil {
			return err
		}
		items = withFlags(items)
	}
	f.write(m.seq, row, c, items)
	return f.r.err
}

// content reads what the items need.
func (f *fetcher) content(uid mailbox.UID) (*content, error) {
	s, c := f.session, &content{}
	var err error
	switch {
	case f.needsBody:
		c.full, err = s.account.Message(s.ctx, s.box.id, uid)
	case f.needsHeader:
		c.header, err = s.account.Header(s.ctx, s.box.id, uid)
	case s.box.view.Gone(uid):
		err = mailbox.Errorf(mailbox.CodeExpungeIssued, "the message is gone")
	}
	return c, err
}

// markSeen sets \Seen as reading does (RFC 3501, section 6.4.5).
func (f *fetcher) markSeen(m numbered) (mailbox.Row, error) {
	s := f.session
	seen := mailbox.NewFlags(mailbox.Seen)
	if err := s.account.Store(s.ctx, s.box.id, []mailbox.UID{m.UID}, mailbox.StoreAdd, seen); err != nil {
		return m.Row, s.refuse("FETCH", err)
	}
	if err := s.recordNow(); err != nil {
		return m.Row, err
	}
	row, _ := s.box.view.At(m.seq)
	s.box.view.Told(m.UID, row.Flags)
	return row, nil
}

// withFlags adds FLAGS: reading changed them.
func withFlags(items []fetchItem) []fetchItem {
	if slices.ContainsFunc(items, func(i fetchItem) bool { return i.kind == itemFlags }) {
		return items
	}
	return append(slices.Clone(items), fetchItem{kind: itemFlags, name: "FLAGS"})
}

func (f *fetcher) write(seq uint32, row mailbox.Row, c *content, items []fetchItem) {
	r := f.r
	r.text("* ")
	r.number(int64(seq))
	r.text(" FETCH (")
	for i, item := range items {
		if i > 0 {
			r.text(" ")
		}
		r.text(item.name)
		r.text(" ")
		r.item(item, row, c)
	}
	r.text(")")
	r.line()
}

func (r *response) item(item fetchItem, row mailbox.Row, c *content) {
	switch item.kind {
	case itemFlags:
		r.flags(row.Flags)
	case itemUID:
		r.number(int64(row.UID))
	case itemInternalDate:
		r.date(row.InternalDate)
	case itemSize:
		r.number(row.Size)
	case itemEnvelope:
		h, _ := message.ParseHeader(c.headerBlock())
		r.envelope(message.ParseEnvelope(h))
	case itemStructure:
		r.structure(c.root(), item.extended)
	case itemSection:
		if b, ok := item.section.extract(c); ok {
			r.literal(b)
		} else {
			r.text("NIL")
		}
	}
}
