package mailbox

import (
	"slices"
	"strings"
)

// Flag is a system flag or a keyword, spelled canonically (RFC 3501, section 2.3.2).
type Flag string

const (
	Seen     Flag = `\Seen`
	Answered Flag = `\Answered`
	Flagged  Flag = `\Flagged`
	Deleted  Flag = `\Deleted`
	Draft    Flag = `\Draft`
)

// The bridge's own keywords. They are computed from the row: neither the provider
// nor a client can set or clear them, and they are never sent up.
const (
	Encrypted  Flag = "$Encrypted"
	Verified   Flag = "$Verified"
	KeyChanged Flag = "$KeyChanged"
)

// SystemFlags are the flags every mailbox offers.
var SystemFlags = []Flag{Answered, Flagged, Deleted, Seen, Draft}

// OwnKeywords are the keywords only the bridge sets.
var OwnKeywords = []Flag{Encrypted, Verified, KeyChanged}

// Canonical gives the one spelling of a flag: system flags as RFC 3501 writes them and
// the bridge's own keywords as declared here, since flags are compared without case;
// every other keyword as it came.
func Canonical(s string) Flag {
	for _, f := range slices.Concat(SystemFlags, OwnKeywords) {
		if strings.EqualFold(s, string(f)) {
			return f
		}
	}
	return Flag(s)
}

// Own reports whether f is one of the bridge's own keywords.
func Own(f Flag) bool { return slices.Contains(OwnKeywords, Canonical(string(f))) }

// Flags is a set of flags, sorted, without repetition. The zero value is empty.
// A Flags value is never changed in place.
type Flags []Flag

// NewFlags makes a set. \Recent is dropped: it is not a flag a client or a provider
// can store (RFC 3501, section 2.3.2).
func NewFlags(flags ...Flag) Flags {
	set := make(Flags, 0, len(flags))
	for _, f := range flags {
		f = Canonical(string(f))
		if f == "" || strings.EqualFold(string(f), `\Recent`) || set.Has(f) {
			continue
		}
		set = append(set, f)
	}
	slices.Sort(set)
	return set
}

// ParseFlags is the inverse of Flags.String.
func ParseFlags(s string) Flags {
	fields := strings.Fields(s)
	flags := make([]Flag, len(fields))
	for i, f := range fields {
		flags[i] = Flag(f)
	}
	return NewFlags(flags...)
}

// String gives the flags separated by spaces.
func (fs Flags) String() string {
	words := make([]string, len(fs))
	for i, f := range fs {
		words[i] = string(f)
	}
	return strings.Join(words, " ")
}

// Has reports whether f is in the set; case does not matter.
func (fs Flags) Has(f Flag) bool {
	return slices.ContainsFunc(fs, func(g Flag) bool { return strings.EqualFold(string(f), string(g)) })
}

// With gives the union.
func (fs Flags) With(more ...Flag) Flags { return NewFlags(append(slices.Clone(fs), more...)...) }

// Without gives the difference.
func (fs Flags) Without(less ...Flag) Flags {
	drop := NewFlags(less...)
	return slices.DeleteFunc(slices.Clone(fs), drop.Has)
}

// Storable gives the set without the bridge's own keywords: what may be taken from a
// client or a provider, and what may be sent up.
func (fs Flags) Storable() Flags { return fs.Without(OwnKeywords...) }

// Equal reports whether both sets hold the same flags.
func (fs Flags) Equal(other Flags) bool { return slices.Equal(fs, other) }

// Apply gives the set after a STORE of flags by action. The bridge's own keywords in
// flags have no effect.
func (fs Flags) Apply(action StoreAction, flags Flags) Flags {
	flags = flags.Storable()
	switch action {
	case StoreAdd:
		return fs.With(flags...)
	case StoreRemove:
		return fs.Without(flags...)
	default:
		own := slices.DeleteFunc(slices.Clone(fs), func(f Flag) bool { return !Own(f) })
		return own.With(flags...)
	}
}
