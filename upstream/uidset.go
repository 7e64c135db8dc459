package upstream

import (
	"slices"
	"strconv"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// maxUIDs bounds what a UID set from the provider may expand to: "1:4294967295" is 12 bytes.
// Four million messages are more than any provider keeps in one mailbox.
const maxUIDs = 4 << 20

// expandSet expands a UID set in the order in which it is written, which is what relates
// the two sets of a COPYUID (RFC 4315, section 3).
func expandSet(set string) ([]uint32, bool) {
	var uids []uint32
	for part := range strings.SplitSeq(set, ",") {
		low, high, isRange := strings.Cut(part, ":")
		if !isRange {
			high = low
		}
		from, err1 := strconv.ParseUint(low, 10, 32)
		to, err2 := strconv.ParseUint(high, 10, 32)
		if err1 != nil || err2 != nil || from == 0 || to == 0 {
			return nil, false
		}
		if from > to {
			from, to = to, from
		}
		if to-from >= maxUIDs || len(uids)+int(to-from) >= maxUIDs {
			return nil, false
		}
		for n := from; n <= to; n++ {
			uids = append(uids, uint32(n))
		}
	}
	return uids, true
}

// maxSetLength keeps a command line below the 1,000 octets of the strictest provider.
const maxSetLength = 800

// chunks cuts UIDs into sets short enough for one command.
func chunks(uids []uint32) []imap.UIDSet {
	sorted := slices.Clone(uids)
	slices.Sort(sorted)
	sorted = slices.Compact(sorted)
	var sets []imap.UIDSet
	var set imap.UIDSet
	length := 0
	for i := 0; i < len(sorted); {
		last := i
		for last+1 < len(sorted) && sorted[last+1] == sorted[last]+1 {
			last++
		}
		if length += len("4294967295:4294967295,"); length > maxSetLength {
			sets, set, length = append(sets, set), nil, 0
		}
		set.AddRange(imap.UID(sorted[i]), imap.UID(sorted[last]))
		i = last + 1
	}
	if len(set) > 0 {
		sets = append(sets, set)
	}
	return sets
}
