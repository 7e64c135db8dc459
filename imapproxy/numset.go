package imapproxy

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/emersion/go-imap/v2"

	"mailbridge/mailbox"
)

// star is "*" in a range: the highest number there is.
const star = 0

// numRange is a range of sequence numbers or UIDs as the client gave it.
type numRange struct{ start, stop uint32 }

// bounds gives the range in ascending order where highest is the highest number in use.
// "n:*" holds the highest number even if that is below n (RFC 3501, section 6.4.8).
func (r numRange) bounds(highest uint32) (low, high uint32) {
	if r.start == star {
		r.start = highest
	}
	if r.stop == star {
		r.stop = highest
	}
	return min(r.start, r.stop), max(r.start, r.stop)
}

// parseNumSet reads a sequence set (RFC 3501, section 9).
func parseNumSet(s string) ([]numRange, bool) {
	var set []numRange
	for _, part := range strings.Split(s, ",") {
		first, last, isRange := strings.Cut(part, ":")
		r := numRange{}
		var ok1, ok2 bool
		r.start, ok1 = parseNum(first)
		r.stop, ok2 = r.start, true
		if isRange {
			r.stop, ok2 = parseNum(last)
		}
		if !ok1 || !ok2 {
			return nil, false
		}
		set = append(set, r)
	}
	return set, true
}

func parseNum(s string) (uint32, bool) {
	if s == "*" {
		return star, true
	}
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n > 0 && s[0] != '+'
}

// ranges gives go-imap's set as ranges. Its own enumeration of a set ends the process on
// 1:4294967295, so it is not used on what a client sent.
func ranges(set imap.NumSet) (rs []numRange, byUID bool, err error) {
	if imap.IsSearchRes(set) {
		return nil, false, badError("SEARCHRES is not supported")
	}
	switch set := set.(type) {
	case imap.SeqSet:
		for _, r := range set {
			rs = append(rs, numRange{r.Start, r.Stop})
		}
		return rs, false, nil
	case imap.UIDSet:
		for _, r := range set {
			rs = append(rs, numRange{uint32(r.Start), uint32(r.Stop)})
		}
		return rs, true, nil
	}
	return nil, false, badError("unknown kind of set")
}

// span is a range of indices into the rows of a view, the end excluded.
type span struct{ from, to int }

// spans finds the messages of a set: ascending and without overlap. Numbers without a
// message are passed over.
func spans(v *mailbox.View, set []numRange, byUID bool) []span {
	rows := v.Rows()
	if len(rows) == 0 {
		return nil
	}
	highest := v.Len()
	if byUID {
		highest = uint32(rows[len(rows)-1].UID)
	}
	var found []span
	for _, r := range set {
		low, high := r.bounds(highest)
		sp := span{int(low) - 1, int(min(high, v.Len()))}
		if byUID {
			sp.from, sp.to = v.UIDRange(mailbox.UID(low), mailbox.UID(high))
		}
		if sp.from < sp.to {
			found = append(found, sp)
		}
	}
	return mergeSpans(found)
}

func mergeSpans(found []span) []span {
	slices.SortFunc(found, func(a, b span) int { return a.from - b.from })
	var merged []span
	for _, sp := range found {
		if n := len(merged); n > 0 && sp.from <= merged[n-1].to {
			merged[n-1].to = max(merged[n-1].to, sp.to)
			continue
		}
		merged = append(merged, sp)
	}
	return merged
}

// numbered is a message with the sequence number it has for the client.
type numbered struct {
	seq uint32
	mailbox.Row
}

// messages gives the messages of a set in ascending order.
func messages(v *mailbox.View, set imap.NumSet) ([]numbered, error) {
	rs, byUID, err := ranges(set)
	if err != nil {
		return nil, err
	}
	var found []numbered
	for _, sp := range spans(v, rs, byUID) {
		for i := sp.from; i < sp.to; i++ {
			found = append(found, numbered{uint32(i + 1), v.Rows()[i]})
		}
	}
	return found, nil
}

func uidsOf(ms []numbered) []mailbox.UID {
	uids := make([]mailbox.UID, len(ms))
	for i, m := range ms {
		uids[i] = m.UID
	}
	return uids
}

// uidSet makes go-imap's set of UIDs that ascend strictly, and reports whether they do.
func uidSet(uids []mailbox.UID) (imap.UIDSet, bool) {
	var set imap.UIDSet
	for i, uid := range uids {
		if uid == 0 || uid == math.MaxUint32 || i > 0 && uid <= uids[i-1] {
			return nil, false
		}
		if n := len(set); n > 0 && set[n-1].Stop+1 == imap.UID(uid) {
			set[n-1].Stop = imap.UID(uid)
			continue
		}
		set = append(set, imap.UIDRange{Start: imap.UID(uid), Stop: imap.UID(uid)})
	}
	return set, true
}
