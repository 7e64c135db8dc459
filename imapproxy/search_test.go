package imapproxy

import (
	"testing"

	"mailbridge/mailbox"
)

func testView() *mailbox.View {
	s := mailbox.Snapshot{UIDNext: 30}
	for _, uid := range []mailbox.UID{2, 3, 7, 20} {
		s.Rows = append(s.Rows, mailbox.Row{UID: uid, InternalDate: fakeDate, Size: int64(uid) * 100})
	}
	return mailbox.NewView(s)
}

func TestSpans(t *testing.T) {
	t.Parallel()
	tests := []struct {
		set   string
		byUID bool
		want  []span
	}{
		{"1:*", false, []span{{0, 4}}},
		{"*", false, []span{{3, 4}}},
		{"9:*", false, []span{{3, 4}}}, // the last message, whatever the number
		{"*:3", false, []span{{2, 4}}},
		{"4,1,2", false, []span{{0, 2}, {3, 4}}},
		{"5:4294967295", false, nil},
		{"2:4294967295", false, []span{{1, 4}}},
		{"1:*", true, []span{{0, 4}}},
		{"*", true, []span{{3, 4}}},
		{"100:*", true, []span{{3, 4}}},
		{"4:6", true, nil},
		{"3:7,7:3,20", true, []span{{1, 4}}},
		{"1:4294967295", true, []span{{0, 4}}},
	}
	for _, test := range tests {
		t.Run(test.set, func(t *testing.T) {
			t.Parallel()
			set, ok := parseNumSet(test.set)
			if !ok {
				t.Fatal("not a set")
			}
			got := spans(testView(), set, test.byUID)
			if len(got) != len(test.want) {
				t.Fatalf("got %v, want %v", got, test.want)
			}
			for i := range got {
				if got[i] != test.want[i] {
					t.Errorf("got %v, want %v", got, test.want)
				}
			}
		})
	}
	if got := spans(mailbox.NewView(mailbox.Snapshot{}), []numRange{{1, star}}, false); got != nil {
		t.Errorf("empty mailbox: got %v", got)
	}
}

func TestParseNumSetRefuses(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "0", "1,", "1:", ":", "-1", "+1", "1:2:3", "4294967296", "a", "$"} {
		if set, ok := parseNumSet(s); ok {
			t.Errorf("%q is %v", s, set)
		}
	}
}
