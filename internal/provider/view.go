package provider

import (
	"cmp"
	"slices"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
)

// view is a mailbox as one session knows it: sequence numbers change only when the
// client is told. Provider.mu guards it, together with session.mu.
type view struct {
	box      *box
	readOnly bool
	rows     []*row // row i has the sequence number i+1
	next     imap.UID
	reported uint64 // box.change up to which the client was told everything
	keywords int    // how many of box.keywords it knows
	wake     chan struct{}
}

// row is one message in a view. known is message.change as far as the client was told.
type row struct {
	*message
	known uint64
}

// numbered is a row with its sequence number.
type numbered struct {
	seq uint32
	*row
}

// update writes one untagged response.
type update func(*imapserver.UpdateWriter) error

func newView(b *box, readOnly bool) *view {
	v := &view{box: b, readOnly: readOnly, wake: make(chan struct{}, 1)}
	v.appendNew()
	v.reported, v.keywords = b.change, len(b.keywords)
	b.watchers[v.wake] = struct{}{}
	return v
}

func (v *view) close() { delete(v.box.watchers, v.wake) }

// appendNew adds the messages the view does not have yet.
func (v *view) appendNew() {
	i, _ := slices.BinarySearchFunc(v.box.messages, v.next, func(m *message, uid imap.UID) int { return cmp.Compare(m.uid, uid) })
	for _, m := range v.box.messages[i:] {
		v.rows = append(v.rows, &row{message: m, known: m.change})
	}
	v.next = v.box.uidNext
}

func (v *view) selectData() *imap.SelectData {
	data := &imap.SelectData{
		Flags:          v.box.flags(),
		PermanentFlags: append(v.box.flags(), imap.FlagWildcard),
		NumMessages:    uint32(len(v.rows)),
		UIDNext:        v.box.uidNext,
		UIDValidity:    v.box.uidValidity,
	}
	if v.readOnly {
		data.PermanentFlags = nil
	}
	for i, r := range v.rows {
		if !hasFlag(r.flags, imap.FlagSeen) {
			data.FirstUnseenSeqNum = uint32(i + 1)
			break
		}
	}
	return data
}

// updates lists what the client has to be told, and changes the view accordingly:
// expunges first, because the numbers that follow count on them.
func (v *view) updates(allowExpunge bool) []update {
	if v.reported == v.box.change {
		return nil
	}
	var list []update
	if allowExpunge {
		list = v.expunges()
	}
	if n := len(v.box.keywords); n > v.keywords {
		v.keywords = n
		flags := v.box.flags()
		list = append(list, func(w *imapserver.UpdateWriter) error { return w.WriteMailboxFlags(flags) })
	}
	list = append(list, v.flagChanges()...)
	known := len(v.rows)
	v.appendNew()
	if n := uint32(len(v.rows)); int(n) > known {
		list = append(list, func(w *imapserver.UpdateWriter) error { return w.WriteNumMessages(n) })
	}
	if allowExpunge {
		v.reported = v.box.change
	}
	return list
}

func (v *view) expunges() []update {
	var list []update
	left := v.rows[:0]
	for _, r := range v.rows {
		if !r.gone {
			left = append(left, r)
			continue
		}
		seq := uint32(len(left) + 1)
		list = append(list, func(w *imapserver.UpdateWriter) error { return w.WriteExpunge(seq) })
	}
	clear(v.rows[len(left):])
	v.rows = left
	return list
}

func (v *view) flagChanges() []update {
	var list []update
	for i, r := range v.rows {
		if r.gone || r.known == r.change {
			continue
		}
		r.known = r.change
		seq, flags := uint32(i+1), r.flags
		// Without the UID, as servers without QRESYNC do (RFC 3501, section 7.4.2).
		list = append(list, func(w *imapserver.UpdateWriter) error { return w.WriteMessageFlags(seq, 0, flags) })
	}
	return list
}

// resolve finds the rows of a number set, in ascending order. "*" is the last one
// (RFC 3501, section 9, seq-number).
func (v *view) resolve(numSet imap.NumSet) []numbered {
	var list []numbered
	add := func(from, to int) { // indexes, to not included
		for i := from; i < to; i++ {
			list = append(list, numbered{seq: uint32(i + 1), row: v.rows[i]})
		}
	}
	if len(v.rows) == 0 {
		return nil
	}
	switch set := numSet.(type) {
	case imap.SeqSet:
		for _, r := range v.fixedSeqs(set) {
			add(int(r.Start)-1, min(int(r.Stop), len(v.rows)))
		}
	case imap.UIDSet:
		for _, r := range v.fixedUIDs(set) {
			to, found := v.index(r.Stop)
			if found {
				to++
			}
			from, _ := v.index(r.Start)
			add(from, to)
		}
	}
	return list
}

// index finds the first row with at least this UID, and whether it has just this one.
func (v *view) index(uid imap.UID) (i int, found bool) {
	return slices.BinarySearchFunc(v.rows, uid, func(r *row, uid imap.UID) int { return cmp.Compare(r.uid, uid) })
}

// contains makes a test out of a set. It is for a view with rows.
func (v *view) contains(numSet imap.NumSet) func(seq uint32, uid imap.UID) bool {
	switch set := numSet.(type) {
	case imap.SeqSet:
		fixed := v.fixedSeqs(set)
		return func(seq uint32, _ imap.UID) bool { return fixed.Contains(seq) }
	case imap.UIDSet:
		fixed := v.fixedUIDs(set)
		return func(_ uint32, uid imap.UID) bool { return fixed.Contains(uid) }
	}
	return func(uint32, imap.UID) bool { return false }
}

// fixedSeqs puts the last sequence number in place of "*"; the ranges come out sorted
// and apart.
func (v *view) fixedSeqs(set imap.SeqSet) imap.SeqSet {
	last := uint32(len(v.rows))
	fixed := make(imap.SeqSet, 0, len(set))
	for _, r := range set {
		fixed.AddRange(star(r.Start, last), star(r.Stop, last))
	}
	return fixed
}

// fixedUIDs does the same for UIDs.
func (v *view) fixedUIDs(set imap.UIDSet) imap.UIDSet {
	last := v.rows[len(v.rows)-1].uid
	fixed := make(imap.UIDSet, 0, len(set))
	for _, r := range set {
		fixed.AddRange(star(r.Start, last), star(r.Stop, last))
	}
	return fixed
}

// star puts the last number in place of "*", which go-imap writes as zero.
func star[N ~uint32](n, last N) N {
	if n == 0 {
		return last
	}
	return n
}

// matcher makes a test for messages out of a UID set; nil means all.
func (v *view) matcher(uids *imap.UIDSet) func(*message) bool {
	if uids == nil {
		return func(*message) bool { return true }
	}
	if len(v.rows) == 0 {
		return func(*message) bool { return false }
	}
	contains := v.contains(*uids)
	return func(m *message) bool { return contains(0, m.uid) }
}
