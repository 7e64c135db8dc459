package mailbox

import (
	"errors"
	"testing"
)

func TestFlagSets(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		got, want Flags
	}{
		{"canonical spelling", NewFlags(`\seen`, "$encrypted", "$Label1"), Flags{"$Encrypted", "$Label1", Seen}},
		{"no repetition, whatever the case", NewFlags("work", "Work", `\SEEN`, Seen), Flags{Seen, "work"}},
		{"no recent, no empty", NewFlags(`\Recent`, "", Draft), Flags{Draft}},
		{"with", NewFlags(Seen).With(Flagged, Seen), NewFlags(Flagged, Seen)},
		{"without", NewFlags(Seen, "work").Without("WORK"), NewFlags(Seen)},
		{"storable", NewFlags(Encrypted, Verified, KeyChanged, Seen).Storable(), NewFlags(Seen)},
		{"add", NewFlags(Seen).Apply(StoreAdd, NewFlags(Flagged, Verified)), NewFlags(Seen, Flagged)},
		{"remove leaves our own", NewFlags(Seen, Encrypted).Apply(StoreRemove, NewFlags(Seen, Encrypted)), NewFlags(Encrypted)},
		{"replace leaves our own", NewFlags(Seen, Encrypted).Apply(StoreReplace, NewFlags(Draft, Verified)), NewFlags(Draft, Encrypted)},
		{"parse", ParseFlags(`\Seen  work`), NewFlags(Seen, "work")},
		{"parse nothing", ParseFlags(""), NewFlags()},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if !test.got.Equal(test.want) {
				t.Errorf("got %v, want %v", test.got, test.want)
			}
		})
	}
}

func TestFlagsAreNotChangedInPlace(t *testing.T) {
	t.Parallel()
	fs := NewFlags(Seen, Draft)
	fs.With(Flagged)
	fs.Without(Seen)
	fs.Apply(StoreReplace, NewFlags(Deleted))
	if !fs.Equal(NewFlags(Draft, Seen)) {
		t.Errorf("got %v", fs)
	}
}

func FuzzParseFlags(f *testing.F) {
	f.Add(`\Seen $Label1`)
	f.Add(`\recent $ENCRYPTED x X`)
	f.Fuzz(func(t *testing.T, s string) {
		fs := ParseFlags(s)
		if again := ParseFlags(fs.String()); !again.Equal(fs) {
			t.Errorf("%q: %v became %v", s, fs, again)
		}
	})
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	cause := errors.New("disk full")
	err := &Error{Code: CodeUnavailable, Text: "cannot store", Err: cause}
	if err.Error() != "cannot store: disk full" || !errors.Is(err, cause) {
		t.Errorf("got %q", err)
	}
	if got := Errorf(CodeLimit, "at most %d", 3).Error(); got != "at most 3" {
		t.Errorf("got %q", got)
	}
}
