package mailbox

import (
	"slices"
	"sort"
)

// View is one session's picture of its selected mailbox: which message has which
// sequence number, as far as the client was told. Changes are taken in with Record and
// handed out with Updates, so that the client is told of them only where the protocol
// allows it: a sequence number must not move while a command that uses sequence numbers
// runs (RFC 3501, section 7.4.1).
//
// A View belongs to one goroutine.
type View struct {
	rows   []Row // ascending; the first told of them have sequence numbers
	told   int
	top    UID // highest UID ever seen, so that an expunged message never comes back
	next   UID
	modSeq ModSeq
	gone   map[UID]struct{} // expunged, and the client was not told yet
	dirty  map[UID]struct{} // new flags that the client was not told of yet
}

// Updates is what a client has to be told, in this order.
type Updates struct {
	// Expunged are the sequence numbers of EXPUNGE responses, highest first, so that none
	// moves another.
	Expunged []uint32
	// Flags are the sequence numbers of messages with new flags, ascending, counted after
	// the expunges.
	Flags []uint32
	// Exists is the new number of messages, or 0 if no message arrived.
	Exists uint32
}

// Empty reports whether there is nothing to tell.
func (u Updates) Empty() bool { return len(u.Expunged) == 0 && len(u.Flags) == 0 && u.Exists == 0 }

// NewView starts with everything in s told.
func NewView(s Snapshot) *View {
	v := &View{
		rows:   slices.Clone(s.Rows),
		told:   len(s.Rows),
		next:   s.UIDNext,
		modSeq: s.ModSeq,
		gone:   make(map[UID]struct{}),
		dirty:  make(map[UID]struct{}),
	}
	if n := len(s.Rows); n > 0 {
		v.top = s.Rows[n-1].UID
	}
	return v
}

// ModSeq is the point up to which changes were recorded.
func (v *View) ModSeq() ModSeq { return v.modSeq }

// UIDNext is the UIDNEXT of the last change.
func (v *View) UIDNext() UID { return v.next }

// Len is the number of messages the client knows of.
func (v *View) Len() uint32 { return uint32(v.told) }

// Rows gives the messages the client knows of; row i has sequence number i+1. The
// caller must not change them, and they are good until the next Record or Updates.
func (v *View) Rows() []Row { return v.rows[:v.told] }

// At gives the message with a sequence number.
func (v *View) At(seq uint32) (Row, bool) {
	if seq == 0 || int64(seq) > int64(v.told) {
		return Row{}, false
	}
	return v.rows[seq-1], true
}

// Seq gives the sequence number of a UID.
func (v *View) Seq(uid UID) (uint32, bool) {
	i, ok := v.find(uid)
	if !ok || i >= v.told {
		return 0, false
	}
	return uint32(i + 1), true
}

// Gone reports whether a message was expunged and the client was not told yet.
func (v *View) Gone(uid UID) bool {
	_, ok := v.gone[uid]
	return ok
}

// UIDRange gives the index range within Rows of the UIDs from low to high, both included.
func (v *View) UIDRange(low, high UID) (from, to int) {
	rows := v.Rows()
	from = sort.Search(len(rows), func(i int) bool { return rows[i].UID >= low })
	to = sort.Search(len(rows), func(i int) bool { return rows[i].UID > high })
	return from, to
}

// Record takes in what happened in the mailbox. Nothing moves until Updates.
func (v *View) Record(d Delta) {
	for _, row := range d.Changed {
		v.record(row)
	}
	for _, uid := range d.Expunged {
		if _, ok := v.find(uid); ok {
			v.gone[uid] = struct{}{}
		}
		v.top = max(v.top, uid)
	}
	v.modSeq = max(v.modSeq, d.ModSeq)
	v.next = max(v.next, d.UIDNext)
}

func (v *View) record(row Row) {
	if i, ok := v.find(row.UID); ok {
		if !v.rows[i].Flags.Equal(row.Flags) {
			v.rows[i].Flags = row.Flags
			v.dirty[row.UID] = struct{}{}
		}
		return
	}
	// UIDs grow strictly (RFC 3501, section 2.3.1.1): a lower one that is not in the view
	// was expunged before it could be shown.
	if row.UID > v.top {
		v.rows = append(v.rows, row)
		v.top = row.UID
	}
}

// Tell asks for the flags of a message to be among the next Updates, changed or not.
func (v *View) Tell(uid UID) {
	if _, ok := v.find(uid); ok {
		v.dirty[uid] = struct{}{}
	}
}

// Told says that the client knows these flags of a message, so that they need not be
// among the next Updates. If the message has other flags by now, they stay to be told.
func (v *View) Told(uid UID, flags Flags) {
	if i, ok := v.find(uid); ok && v.rows[i].Flags.Equal(flags) {
		delete(v.dirty, uid)
	}
}

// Updates gives what the client must be told now and takes it as told. Expunges wait
// for a call with expunge set.
func (v *View) Updates(expunge bool) Updates {
	var u Updates
	if expunge {
		u.Expunged = v.takeExpunged()
	}
	arrived := v.told < len(v.rows)
	u.Flags = v.takeDirty()
	if arrived {
		v.told = len(v.rows)
		u.Exists = uint32(v.told)
	}
	return u
}

// takeExpunged removes the gone messages and gives the sequence numbers of those the
// client knew, highest first.
func (v *View) takeExpunged() []uint32 {
	if len(v.gone) == 0 {
		return nil
	}
	var seqs []uint32
	kept := v.rows[:0]
	told := v.told
	for i, row := range v.rows {
		if _, ok := v.gone[row.UID]; !ok {
			kept = append(kept, row)
			continue
		}
		delete(v.dirty, row.UID)
		if i < told {
			seqs = append(seqs, uint32(i+1))
			v.told--
		}
	}
	clear(v.rows[len(kept):])
	v.rows = kept
	clear(v.gone)
	slices.Reverse(seqs)
	return seqs
}

// takeDirty gives the sequence numbers of messages with flags to tell. A message that the
// client was not told of yet needs no telling: the client will ask for its flags.
func (v *View) takeDirty() []uint32 {
	var seqs []uint32
	for uid := range v.dirty {
		if seq, ok := v.Seq(uid); ok && !v.Gone(uid) {
			seqs = append(seqs, seq)
		}
	}
	clear(v.dirty)
	slices.Sort(seqs)
	return seqs
}

func (v *View) find(uid UID) (int, bool) {
	return slices.BinarySearchFunc(v.rows, uid, func(r Row, uid UID) int {
		switch {
		case r.UID < uid:
			return -1
		case r.UID > uid:
			return 1
		}
		return 0
	})
}
