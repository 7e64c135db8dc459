package mailbox

import (
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func snapshot(uids ...UID) Snapshot {
	s := Snapshot{UIDValidity: 1, UIDNext: 1, ModSeq: 1}
	for _, uid := range uids {
		s.Rows = append(s.Rows, Row{UID: uid})
		s.UIDNext = uid + 1
	}
	return s
}

func TestViewUpdates(t *testing.T) {
	t.Parallel()
	seen := NewFlags(Seen)
	tests := []struct {
		name    string
		start   []UID
		delta   Delta
		expunge bool
		want    Updates
		left    []UID
	}{
		{"nothing", []UID{1, 2}, Delta{}, true, Updates{}, []UID{1, 2}},
		{"arrival", []UID{1, 2}, Delta{Changed: []Row{{UID: 5}, {UID: 7}}}, false, Updates{Exists: 4}, []UID{1, 2, 5, 7}},
		{"first arrival", nil, Delta{Changed: []Row{{UID: 5}}}, true, Updates{Exists: 1}, []UID{5}},
		{"flags", []UID{3, 4}, Delta{Changed: []Row{{UID: 4, Flags: seen}}}, false, Updates{Flags: []uint32{2}}, []UID{3, 4}},
		{"same flags", []UID{3, 4}, Delta{Changed: []Row{{UID: 4}}}, false, Updates{}, []UID{3, 4}},
		{"expunges highest first", []UID{1, 2, 3, 4}, Delta{Expunged: []UID{1, 3}}, true, Updates{Expunged: []uint32{3, 1}}, []UID{2, 4}},
		{"expunge waits", []UID{1, 2, 3}, Delta{Expunged: []UID{1}}, false, Updates{}, []UID{1, 2, 3}},
		{
			"flags count after expunges", []UID{1, 2, 3},
			Delta{Expunged: []UID{1}, Changed: []Row{{UID: 3, Flags: seen}, {UID: 9}}}, true,
			Updates{Expunged: []uint32{1}, Flags: []uint32{2}, Exists: 3}, []UID{2, 3, 9},
		},
		{
			"no flags of the gone", []UID{1, 2},
			Delta{Expunged: []UID{2}, Changed: []Row{{UID: 2, Flags: seen}}}, false, Updates{}, []UID{1, 2},
		},
		{"come and gone", []UID{1}, Delta{Changed: []Row{{UID: 5}}, Expunged: []UID{5}}, true, Updates{}, []UID{1}},
		{"expunged unseen", []UID{1}, Delta{Expunged: []UID{5}}, true, Updates{}, []UID{1}},
		{"a late lower UID", []UID{1, 6}, Delta{Changed: []Row{{UID: 4}}}, true, Updates{}, []UID{1, 6}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			v := NewView(snapshot(test.start...))
			v.Record(test.delta)
			if got := v.Updates(test.expunge); !reflect.DeepEqual(got, test.want) {
				t.Errorf("updates: got %+v, want %+v", got, test.want)
			}
			if got := uids(v); !slices.Equal(got, test.left) {
				t.Errorf("rows: got %v, want %v", got, test.left)
			}
		})
	}
}

func uids(v *View) []UID {
	var us []UID
	for _, r := range v.Rows() {
		us = append(us, r.UID)
	}
	return us
}

func TestViewHeldBackExpungeComesLater(t *testing.T) {
	t.Parallel()
	v := NewView(snapshot(1, 2, 3))
	v.Record(Delta{Expunged: []UID{2}, ModSeq: 7, UIDNext: 9})
	v.Updates(false)
	if !v.Gone(2) || v.ModSeq() != 7 || v.UIDNext() != 9 {
		t.Fatalf("gone %v, modseq %d, next %d", v.Gone(2), v.ModSeq(), v.UIDNext())
	}
	if got := v.Updates(true); !slices.Equal(got.Expunged, []uint32{2}) {
		t.Fatalf("got %+v", got)
	}
	// A delta that repeats an expunge is without effect.
	v.Record(Delta{Expunged: []UID{2}})
	if got := v.Updates(true); !got.Empty() {
		t.Fatalf("got %+v", got)
	}
}

func TestViewTellAndTold(t *testing.T) {
	t.Parallel()
	seen := NewFlags(Seen)
	v := NewView(snapshot(1, 2))
	v.Record(Delta{Changed: []Row{{UID: 1, Flags: seen}}})
	v.Told(1, NewFlags(Flagged)) // not what it has
	v.Tell(2)
	v.Tell(3)
	if got := v.Updates(true); !slices.Equal(got.Flags, []uint32{1, 2}) {
		t.Fatalf("got %+v", got)
	}
	v.Record(Delta{Changed: []Row{{UID: 1}}})
	v.Told(1, nil)
	if got := v.Updates(true); !got.Empty() {
		t.Fatalf("got %+v", got)
	}
}

func TestViewLookups(t *testing.T) {
	t.Parallel()
	v := NewView(snapshot(2, 4, 6))
	v.Record(Delta{Changed: []Row{{UID: 8}}})
	if _, ok := v.At(4); ok {
		t.Error("a message that was not announced has a sequence number")
	}
	if _, ok := v.Seq(8); ok {
		t.Error("a message that was not announced is found by UID")
	}
	if _, ok := v.At(0); ok {
		t.Error("sequence number 0 exists")
	}
	if seq, ok := v.Seq(4); !ok || seq != 2 {
		t.Errorf("got %d %v", seq, ok)
	}
	if from, to := v.UIDRange(3, 99); from != 1 || to != 3 {
		t.Errorf("got %d:%d", from, to)
	}
}

// client applies updates as a mail client does: it knows sequence numbers alone and asks
// for UIDs and flags of what it is told.
type client struct {
	uids  []UID
	flags map[UID]string
}

func (c *client) apply(v *View, u Updates) {
	for _, seq := range u.Expunged {
		delete(c.flags, c.uids[seq-1])
		c.uids = slices.Delete(c.uids, int(seq-1), int(seq))
	}
	for _, seq := range u.Flags {
		row, _ := v.At(seq)
		c.flags[row.UID] = row.Flags.String()
	}
	for n := uint32(len(c.uids)) + 1; n <= u.Exists; n++ {
		row, _ := v.At(n)
		c.uids = append(c.uids, row.UID)
		c.flags[row.UID] = row.Flags.String()
	}
}

// TestViewFollowsMailbox lets a mailbox change at random and checks that a client which
// only hears the updates knows the truth whenever expunges were allowed.
func TestViewFollowsMailbox(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		truth := map[UID]Flags{}
		v := NewView(snapshot())
		c := &client{flags: map[UID]string{}}
		next := UID(1)
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			var d Delta
			for range rapid.IntRange(0, 3).Draw(t, "arrivals") {
				truth[next] = nil
				d.Changed = append(d.Changed, Row{UID: next})
				next++
			}
			for _, uid := range sortedKeys(truth) {
				switch rapid.IntRange(0, 5).Draw(t, "fate") {
				case 0:
					delete(truth, uid)
					d.Expunged = append(d.Expunged, uid)
				case 1:
					truth[uid] = truth[uid].Apply(StoreAdd, NewFlags(Seen))
					d.Changed = append(d.Changed, Row{UID: uid, Flags: truth[uid]})
				}
			}
			slices.SortStableFunc(d.Changed, func(a, b Row) int { return int(a.UID) - int(b.UID) })
			v.Record(d)
			c.apply(v, v.Updates(rapid.Bool().Draw(t, "expunge")))
		}
		c.apply(v, v.Updates(true))
		if want := sortedKeys(truth); !slices.Equal(c.uids, want) {
			t.Fatalf("client has %v, mailbox has %v", c.uids, want)
		}
		for uid, flags := range truth {
			if c.flags[uid] != flags.String() {
				t.Fatalf("UID %d: client has %q, mailbox has %q", uid, c.flags[uid], flags)
			}
		}
	})
}

func sortedKeys(m map[UID]Flags) []UID {
	var keys []UID
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
