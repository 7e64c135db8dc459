package securejoin

import (
	"time"

	"mailbridge/pgp"
)

// maxBehind is how far the inviter's clock may be behind ours.
const maxBehind = 24 * time.Hour

// memberAdded is the end of a join of a group or channel. It counts only if
// signed by the key of the invite that was joined, for the group of that
// invite, and about our own key, and if it was not written before the join: it
// could end an earlier one. Any other member-added is an ordinary message of
// the group.
func (j Join) memberAdded(me Self, in Incoming, now time.Time) (Join, Outcome) {
	switch {
	case in.Proof != nil || in.Signer != j.Link.Fingerprint:
		return j, refuse(Deliver, ErrSigner)
	case !j.isOf(in.Chat) || !addsUs(me, in):
		return j, refuse(Deliver, ErrNotOurs)
	}
	if err := j.checkInviter(me, in); err != nil {
		return j, refuse(Deliver, err)
	}
	switch {
	case in.Gossip[me.Addr] != me.Fingerprint:
		return j, refuse(Deliver, ErrGossip)
	case j.State == Completed:
		// Whoever left and is added again is added as anybody else.
		return j, refuse(Deliver, ErrRepeat)
	case j.State != Authenticating, !in.Date.IsZero() && j.Started.Sub(in.Date) > maxBehind:
		return j, refuse(Deliver, ErrOutOfOrder)
	}
	j.State, j.Updated = Completed, now
	out := Outcome{Verdict: Show}
	if in.Key != nil {
		out.Effects = append(out.Effects, StoreCert{in.Key})
	}
	out.Effects = append(out.Effects, j.completed()...)
	return j, out
}

// anyChannel stands for the channel that another device joins: it does not say
// which.
const anyChannel = "any-channel-of-the-inviter"

// isOf says whether the join is of a group or channel.
func (j Join) isOf(chat string) bool {
	if j.Observed && j.Link.Kind == Channel && j.Link.GroupID == anyChannel {
		return chat != ""
	}
	return j.Link.Kind != Contact && chat != "" && chat == j.Link.GroupID
}

// addsUs says whether it is our key that a member-added is about. Where it
// names an address alone, as versions before 2025 do, the gossip says which
// key is meant.
func addsUs(me Self, in Incoming) bool {
	if in.AddedKey != "" {
		return in.AddedKey == me.Fingerprint
	}
	return in.Added == me.Addr && in.Gossip[me.Addr] == me.Fingerprint
}

// Observe takes a step that another device of the account has sent: it is
// signed by our own key, and its gossip names the key of whom it is for. Such
// a device is trusted as this one. Holder is the key of that one, see Other. The
// join of the other device, in the state in which it waits, is handed back so
// that the answer to it is known; one that is not Observed means there is
// none. Steps before the AUTH was sent say nothing, nor do old ones: anybody
// who had such a message can send it again, and nobody remembers for ever that
// it was taken.
func Observe(me Self, in Incoming, now time.Time) (Join, Outcome) {
	switch {
	case in.Signer != me.Fingerprint || in.Proof != nil || in.From() != me.Addr:
		return Join{}, refuse(Deliver, ErrNotOurs)
	case in.Step != RequestWithAuth && in.Step != ContactConfirm && in.Step != MemberAdded:
		return Join{}, refuse(Hide, ErrNotSupported)
	case now.Sub(in.Date) > Tombstone:
		return Join{}, refuse(Hide, ErrRepeat)
	}
	addr, key := in.Other()
	if key == "" || addr == me.Addr {
		return Join{}, refuse(Hide, ErrGossip)
	}
	out := Outcome{Verdict: Hide, Effects: []Effect{Bind{
		Addr: addr, Fingerprint: key, How: HowLegacy, At: now, Claim: in.Holder != "" && in.Holder != key,
	}}}
	if in.Step != RequestWithAuth || !validToken(in.Auth) {
		return Join{}, out
	}
	return observed(addr, key, in, now), out
}

// Other is whom a step of another device of ours is for, by the gossiped key:
// the first of To, or who was taken into a group or channel. The key is empty
// if it is not told.
func (in Incoming) Other() (addr string, key pgp.Fingerprint) {
	switch {
	case in.Step == MemberAdded:
		addr = in.Added
	case len(in.To) > 0:
		addr = in.To[0]
	}
	if key = in.Gossip[addr]; in.Step == MemberAdded && in.AddedKey != "" && in.AddedKey != key {
		return addr, ""
	}
	return addr, key
}

func observed(addr string, key pgp.Fingerprint, in Incoming, now time.Time) Join {
	j := Join{
		Link:  Link{Fingerprint: key, Addr: addr, Auth: in.Auth, V3: true},
		State: Authenticating, Addr: addr, Started: now, Updated: now, Observed: true,
	}
	switch {
	case validToken(in.Group):
		j.Link.Kind, j.Link.GroupID = Group, in.Group
	case in.OfChat:
		j.Link.Kind, j.Link.GroupID = Channel, anyChannel
	}
	return j
}

// Elsewhere says whether a step that no join of ours takes may be for one of
// another device of the account: it is what an inviter answers, signed, and it
// confirms our key. Once another device was seen, the caller holds such mail
// back for a time, and shows it if nobody takes it.
func Elsewhere(me Self, in Incoming) bool {
	switch in.Step {
	case AuthRequired, ContactConfirm:
		return in.Proof == nil && in.Signer != "" && in.Signer != me.Fingerprint && in.Gossip[me.Addr] == me.Fingerprint
	}
	return false
}
