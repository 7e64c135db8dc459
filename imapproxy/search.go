package imapproxy

import (
	"context"
	"sort"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"mailbridge/mailbox"
	"mailbridge/message"
)

// Search evaluates the keys that the guard has parsed. Flags, dates and sizes are in the
// view; headers are read one by one; texts are looked for by the account, and only in
// those messages that nothing else has decided.
func (s *session) Search(kind imapserver.NumKind, _ *imap.SearchCriteria, _ *imap.SearchOptions) (*imap.SearchData, error) {
	run := &searchRun{session: s, key: s.guard.cmd.search, view: s.box.view}
	hits, err := run.hits()
	if err != nil {
		return nil, s.refuse("SEARCH", err)
	}
	return searchData(hits, kind == imapserver.NumKindUID), nil
}

func searchData(hits []numbered, byUID bool) *imap.SearchData {
	nums := make([]uint32, len(hits))
	for i, m := range hits {
		nums[i] = m.seq
		if byUID {
			nums[i] = uint32(m.UID)
		}
	}
	data := &imap.SearchData{Count: uint32(len(nums))}
	if len(nums) > 0 {
		data.Min, data.Max = nums[0], nums[len(nums)-1]
	}
	seqs, uids := imap.SeqSet{}, imap.UIDSet{}
	for i, n := range nums {
		if i > 0 && nums[i-1]+1 == n {
			seqs[len(seqs)-1].Stop = n
			uids[len(uids)-1].Stop = imap.UID(n)
			continue
		}
		seqs = append(seqs, imap.SeqRange{Start: n, Stop: n})
		uids = append(uids, imap.UIDRange{Start: imap.UID(n), Stop: imap.UID(n)})
	}
	data.All = seqs
	if byUID {
		data.All = uids
	}
	return data
}

// searchRun is one SEARCH under way.
type searchRun struct {
	session *session
	key     searchKey
	view    *mailbox.View
	err     error
}

func (run *searchRun) ctx() context.Context { return run.session.ctx }

// hits gives the messages that match, in ascending order.
func (run *searchRun) hits() ([]numbered, error) {
	run.key.prepare(run.view)
	var hits, open []numbered
	for i, row := range run.view.Rows() {
		switch m := (numbered{uint32(i + 1), row}); run.match(m) {
		case yes:
			hits = append(hits, m)
		case unknown:
			open = append(open, m)
		}
		if run.err != nil {
			return nil, run.err
		}
	}
	for _, text := range run.key.texts(nil) {
		if len(open) == 0 {
			break
		}
		if err := run.searchText(text, open); err != nil {
			return nil, err
		}
		var decided []numbered
		decided, open = run.decide(open)
		hits = append(hits, decided...)
		if run.err != nil {
			return nil, run.err
		}
	}
	sort.Slice(hits, func(i, j int) bool { return hits[i].seq < hits[j].seq })
	return hits, nil
}

func (run *searchRun) match(m numbered) verdict {
	return run.key.match(&candidate{numbered: m, run: run})
}

// decide splits candidates into hits and those that another text has to decide.
func (run *searchRun) decide(candidates []numbered) (hits, open []numbered) {
	for _, m := range candidates {
		switch run.match(m) {
		case yes:
			hits = append(hits, m)
		case unknown:
			open = append(open, m)
		}
	}
	return hits, open
}

func (run *searchRun) searchText(key *textKey, in []numbered) error {
	found, err := run.session.account.SearchText(run.ctx(), run.session.box.id, uidsOf(in), key.field, key.text)
	if err != nil {
		return err
	}
	key.hits = make(map[mailbox.UID]bool, len(found))
	for _, uid := range found {
		key.hits[uid] = true
	}
	return nil
}

// candidate is a message that is being matched. Its header is read when first needed.
type candidate struct {
	numbered
	run    *searchRun
	header *message.Header
}

func (c *candidate) fields() message.Header {
	if c.header == nil {
		b, err := c.run.session.account.Header(c.run.ctx(), c.run.session.box.id, c.UID)
		if err != nil && !isGone(err) {
			c.run.err = err
		}
		h, _ := message.ParseHeader(b)
		c.header = &h
	}
	return *c.header
}

// verdict is what is known of a message and a key.
type verdict int

const (
	no verdict = iota
	yes
	unknown // until a text was searched for
)

func verdictOf(b bool) verdict {
	if b {
		return yes
	}
	return no
}

// What it costs to match a key.
type cost int

const (
	costView cost = iota
	costHeader
	costText
)

// searchKey is one key of SEARCH. A key belongs to one command.
type searchKey interface {
	cost() cost
	// prepare looks up what depends on the view alone.
	prepare(v *mailbox.View)
	match(c *candidate) verdict
	// texts adds the texts that an account has to search for.
	texts(found []*textKey) []*textKey
}

// simpleKey is a key that has nothing to prepare and no text.
type simpleKey struct{}

func (simpleKey) cost() cost                    { return costView }
func (simpleKey) prepare(*mailbox.View)         {}
func (simpleKey) texts(f []*textKey) []*textKey { return f }
