package securejoin

import (
	"errors"
	"io"
	"time"
)

// DefaultLifetime of an invite to a contact or group.
const DefaultLifetime = 7 * 24 * time.Hour

// Lifetime is how long an invite is good for if the user says nothing; zero:
// for ever. The link of a channel is made to be published.
func (k Kind) Lifetime() time.Duration {
	if k == Channel {
		return 0
	}
	return DefaultLifetime
}

// Tombstone is how long an ended invite is remembered, so that the user can
// be told why a join was refused.
const Tombstone = 90 * 24 * time.Hour

// InviteOptions say what an invite is like.
type InviteOptions struct {
	Expires time.Time // zero: never
	Once    bool
	Kind    Kind
	GroupID string // of a group or channel
	Ask     bool
	Shared  bool
	Legacy  bool
	For     string // canonical
	Way     Way
}

// Errors about invites, for the user.
var (
	// ErrSharedInvite: what is announced to other devices carries neither an
	// expiry nor a number of uses, and they would not ask.
	ErrSharedInvite = errors.New("an invite that other devices answer, too, cannot expire, be for one use, ask, or be for one address")
	// ErrInviteUsed: a one-time invite is not revived after its use.
	ErrInviteUsed = errors.New("this invite was for one use, and is used up: make a new one")
	// ErrInviteEnded: a joiner that waits cannot be accepted any more.
	ErrInviteEnded = errors.New("this invite has ended")
	// ErrNotAsking: nobody waits under that key and address.
	ErrNotAsking = errors.New("no such joiner waits for this invite")
)

// NewInvite makes an invite.
func NewInvite(rand io.Reader, now time.Time, o InviteOptions) (Invite, error) {
	if o.Shared && (o.Once || o.Ask || o.For != "" || !o.Expires.IsZero()) {
		return Invite{}, ErrSharedInvite
	}
	auth, err := NewToken(rand)
	if err != nil {
		return Invite{}, err
	}
	number, err := NewToken(rand)
	if err != nil {
		return Invite{}, err
	}
	return Invite{
		Kind: o.Kind, GroupID: o.GroupID, Auth: auth, Number: number, Created: now, Expires: o.Expires,
		Once: o.Once, Ask: o.Ask, Shared: o.Shared, Legacy: o.Legacy, For: o.For, Way: o.Way,
	}, nil
}

// Link is the invite to a contact as it is handed over.
func (i Invite) Link(me Self) Link { return i.GroupLink(me, "") }

// GroupLink is the invite to a group or channel of a name.
func (i Invite) GroupLink(me Self, name string) Link {
	return Link{
		Fingerprint: me.Fingerprint,
		Addr:        me.Addr,
		Name:        me.Name,
		Auth:        i.Auth,
		Number:      i.Number,
		V3:          !i.Legacy,
		Kind:        i.Kind,
		GroupID:     i.GroupID,
		GroupName:   name,
	}
}

// InviteState says whether an invite still admits joiners.
type InviteState int

const (
	Live InviteState = iota
	Revoked
	Expired
	Used // up: it was for one join
)

var inviteStates = [...]string{"live", "revoked", "expired", "used"}

func (s InviteState) String() string { return inviteStates[s] }

// Spent says whether the invite was for one use and is used up, be it revoked or not.
func (i Invite) Spent() bool { return i.Once && len(i.Uses) > 0 }

// Unseen says whether this only remembers that another device withdrew a link, of which nothing
// was known before: there is nothing in it for the user.
func (i Invite) Unseen() bool { return i.Shared && i.Created.IsZero() }

// State at a time. Revocation outranks the other ends.
func (i Invite) State(now time.Time) InviteState {
	switch {
	case !i.Revoked.IsZero():
		return Revoked
	case i.Spent():
		return Used
	case !i.Expires.IsZero() && !now.Before(i.Expires):
		return Expired
	}
	return Live
}

// Ended is when the invite stopped admitting joiners; zero if it has not.
func (i Invite) Ended(now time.Time) time.Time {
	switch i.State(now) {
	case Revoked:
		return i.Revoked
	case Used:
		return i.Uses[0].At
	case Expired:
		return i.Expires
	}
	return time.Time{}
}

// Forgotten says whether an ended invite is remembered no more.
func (i Invite) Forgotten(now time.Time) bool {
	end := i.Ended(now)
	return !end.IsZero() && now.Sub(end) > Tombstone
}

// Revoke ends the invite. One that is revoked keeps its date.
func (i Invite) Revoke(now time.Time) Invite {
	if i.Revoked.IsZero() {
		i.Revoked = now
	}
	i.Asking = nil
	return i
}

// Revive makes a revoked or expired invite good again; nothing else lifts a
// revocation. One that had expired gets its lifetime anew.
func (i Invite) Revive(now time.Time) (Invite, error) {
	i.Revoked = time.Time{}
	if i.State(now) == Used {
		return i, ErrInviteUsed
	}
	if i.State(now) == Expired {
		i.Expires = now.Add(i.Expires.Sub(i.Created))
	}
	return i, nil
}

// OwnLink says whether a link is of our own invites, and of which: the
// program offers to revoke that one, or if there is none to revive the link.
func OwnLink(l Link, me Self, invites []Invite) (i Invite, known, own bool) {
	if l.Fingerprint != me.Fingerprint || l.Addr != me.Addr {
		return Invite{}, false, false
	}
	for _, i := range invites {
		if same(i.Auth, l.Auth) {
			return i, true, true
		}
	}
	return Invite{}, false, true
}

// ReviveLink makes an invite of a link of our own that is remembered no more.
func ReviveLink(l Link, me Self, now, expires time.Time) (Invite, error) {
	if _, _, own := OwnLink(l, me, nil); !own {
		return Invite{}, ErrNotInvite
	}
	return Invite{
		Kind: l.Kind, GroupID: l.GroupID, Auth: l.Auth, Number: l.Number,
		Created: now, Expires: expires, Legacy: !l.V3,
	}, nil
}

// RevokeGroup revokes the open invites to a group: when a member leaves or is
// removed, a link it knows must not lead back. Those that changed are handed
// back.
func RevokeGroup(invites []Invite, groupID string, now time.Time) []Invite {
	var changed []Invite
	for _, i := range invites {
		if i.Kind == Group && i.GroupID == groupID && i.Revoked.IsZero() {
			changed = append(changed, i.Revoke(now))
		}
	}
	return changed
}
