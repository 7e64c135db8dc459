package securejoin

import (
	"errors"
	"slices"
	"time"

	"mailbridge/pgp"
)

// MaxMembers bounds the members of a group, and the lists of a message: every
// message is encrypted to each of them, and larger audiences have channels.
const MaxMembers = 1000

// pastFor is how long those who left or were removed are told to others, and
// staleAfter how old a list may be that is told at all (Delta Chat 2.62).
const (
	pastFor    = 60 * 24 * time.Hour
	staleAfter = 60 * 24 * time.Hour
)

// tolerance is how far ahead of ours another's clock may be; later times
// count as this one (Delta Chat 2.62).
const tolerance = time.Minute

// GroupChat is a group as this account knows it. Its methods return a changed
// copy.
type GroupChat struct {
	ID         string
	Name       string
	NameAt     time.Time
	Members    []Member // of now and of the past, ourselves among them
	Encryption Encryption
	Heard      time.Time // when the members were last told by a member
}

// Member is somebody in a group or channel, known by the key: the address is
// an attribute.
type Member struct {
	Fingerprint pgp.Fingerprint
	Addr        string // canonical
	Name        string
	Added       time.Time // zero: unknown
	Removed     time.Time // zero: never
	// RemovedBy is whose message removed the member: the member's own if it
	// left; empty if we learnt it from a list.
	RemovedBy pgp.Fingerprint
}

// Current says whether the member is in the group now. A member added in the
// second in which it was removed is in.
func (m Member) Current() bool { return !m.Added.Before(m.Removed) }

// Outcast says whether the member was removed by somebody else.
func (m Member) Outcast() bool { return !m.Current() && m.RemovedBy != m.Fingerprint }

// Encryption says what is done with a member to whom mail cannot be
// encrypted.
type Encryption int

const (
	Required     Encryption = iota // nothing goes to the group then
	WhenPossible                   // the mail goes out plain
)

var encryptions = [...]string{"required", "when-possible"}

func (e Encryption) String() string { return encryptions[e] }

// ParseEncryption is the inverse of String.
func ParseEncryption(s string) (Encryption, bool) {
	n := slices.Index(encryptions[:], s)
	return Encryption(max(n, 0)), n >= 0
}

// Errors about groups and channels, for the user.
var (
	ErrNotMember    = errors.New("you are not in this group")
	ErrNotOwner     = errors.New("this channel is not yours")
	ErrNoSuchMember = errors.New("nobody with this key is in it")
	ErrNoName       = errors.New("a group needs a name")
	ErrTooLarge     = errors.New("a group has at most 1000 members; a channel has room for more")
	ErrNoAddress    = errors.New("a member needs a key and an address")
	// ErrUnknownGroup: a message does not make a group known; see EnterGroup.
	ErrUnknownGroup = errors.New("securejoin: message does not take us into a group")
)

// NewGroup makes a group with ourselves in it. id is from NewToken.
func NewGroup(id, name string, me Self, now time.Time) (GroupChat, error) {
	name = cleanName(name)
	if !visible(name) {
		return GroupChat{}, ErrNoName
	}
	now = seconds(now)
	return GroupChat{ID: id, Name: name, NameAt: now, Heard: now, Members: []Member{me.member(now)}}, nil
}

func (me Self) member(at time.Time) Member {
	return Member{Fingerprint: me.Fingerprint, Addr: me.Addr, Name: me.Name, Added: at}
}

// Find gives the member of a key, be it of the past.
func (g GroupChat) Find(fpr pgp.Fingerprint) (Member, bool) {
	if n := g.index(fpr); n >= 0 {
		return g.Members[n], true
	}
	return Member{}, false
}

func (g GroupChat) index(fpr pgp.Fingerprint) int {
	return slices.IndexFunc(g.Members, func(m Member) bool { return m.Fingerprint == fpr && fpr != "" })
}

// Has says whether a key is of a current member.
func (g GroupChat) Has(fpr pgp.Fingerprint) bool {
	m, ok := g.Find(fpr)
	return ok && m.Current()
}

// Current gives the members of now, those added last first: in a large group
// a new member hears of itself before it hears from others.
func (g GroupChat) Current() []Member {
	list := slices.DeleteFunc(slices.Clone(g.Members), func(m Member) bool { return !m.Current() })
	slices.SortStableFunc(list, func(a, b Member) int { return b.Added.Compare(a.Added) })
	return list
}

// Others are the members of now without ourselves.
func (g GroupChat) Others(me Self) []Member {
	return slices.DeleteFunc(g.Current(), func(m Member) bool { return m.Fingerprint == me.Fingerprint })
}

// LastRemoved is when somebody left or was removed last, be it in again or not; zero: nobody was.
// Invites that were made before do not lead in.
func (g GroupChat) LastRemoved() time.Time {
	var last time.Time
	for _, m := range g.Members {
		last = later(last, m.Removed)
	}
	return last
}

// past gives those who went within the time in which they are told, before
// all others the one that the message is about, and then the last first: a
// removal that is news is told, whoever else had the address.
func (g GroupChat) past(about pgp.Fingerprint, now time.Time) []Member {
	list := slices.DeleteFunc(slices.Clone(g.Members), func(m Member) bool {
		return m.Current() || !m.Removed.Add(pastFor).After(now)
	})
	slices.SortStableFunc(list, func(a, b Member) int {
		switch about {
		case a.Fingerprint:
			return -1
		case b.Fingerprint:
			return 1
		}
		return b.Removed.Compare(a.Removed)
	})
	return list
}

// Standing is how a joiner stands to the group; see Incoming.
func (g GroupChat) Standing(me Self, fpr pgp.Fingerprint) Standing {
	if !g.Has(me.Fingerprint) {
		return NoGroup
	}
	m, ok := g.Find(fpr)
	switch {
	case !ok:
		return Outsider
	case m.Current():
		return Insider
	case m.Outcast():
		return Outcast
	}
	return Outsider
}

// stale: the members were not told for so long that they may be others.
func (g GroupChat) stale(now time.Time) bool { return g.Heard.Add(staleAfter).Before(now) }

// put replaces or adds a member, in a copy.
func (g GroupChat) put(m Member) GroupChat {
	return g.clone().set(m)
}

func (g GroupChat) clone() GroupChat {
	g.Members = slices.Clone(g.Members)
	return g
}

// set is put for a group of which nobody else has a copy: a message may be
// about all members. To somebody without an address nothing can be sent. Where
// there is no room, one who is in takes the place of one who went, so that
// nobody closes a group with a list of those who went.
func (g GroupChat) set(m Member) GroupChat {
	if n := g.index(m.Fingerprint); n >= 0 {
		g.Members[n] = m
		return g
	}
	switch {
	case m.Fingerprint == "" || m.Addr == "":
	case len(g.Members) < MaxMembers:
		g.Members = append(g.Members, m)
	case m.Current():
		if n := forgettable(g.Members); n >= 0 {
			g.Members[n] = m
		}
	}
	return g
}

// forgettable gives the index of the one who went first, and before all others
// of one who, as far as we know, never was in: lists tell of anybody. It is
// negative if all are in.
func forgettable(members []Member) int {
	best := -1
	for n, m := range members {
		if m.Current() {
			continue
		}
		if best < 0 || m.stranger() && !members[best].stranger() ||
			m.stranger() == members[best].stranger() && m.Removed.Before(members[best].Removed) {
			best = n
		}
	}
	return best
}

// stranger says that all we know is that a list told of the member's removal.
func (m Member) stranger() bool { return m.Added.IsZero() && m.RemovedBy == "" }

// seconds is a time as it stands in header fields.
func seconds(t time.Time) time.Time { return fromUnix(unix(t)) }

// unix is 0 for the zero time, which means unknown.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func fromUnix(n int64) time.Time {
	if n <= 0 {
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}
