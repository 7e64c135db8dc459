package securejoin

import (
	"time"

	"mailbridge/pgp"
)

// Asking is a joiner that waits for the user.
type Asking struct {
	Fingerprint pgp.Fingerprint
	Addr        string
	Name        string
	How         string
	At          time.Time
}

// maxAsking bounds who waits at one invite: a person reads the list.
const maxAsking = 50

// mustAsk says whether a joiner waits for the user: at an invite that asks,
// and always if it was once removed from the group.
func (i Invite) mustAsk(in Incoming, known bool) bool {
	switch {
	case i.Kind != Contact && in.Standing == Outcast:
		return true
	case i.Kind != Contact && in.Standing == Insider:
		return false
	}
	return i.Ask && !known
}

// ask lets a joiner wait. It hears nothing, and repeats change nothing.
func (i Invite) ask(me Self, in Incoming, now time.Time) (Invite, Outcome) {
	if i.asking(in.Signer, in.From()) >= 0 {
		return i, refuse(i.done(me), ErrAsked)
	}
	if len(i.Asking) >= maxAsking {
		return i, refuse(i.done(me), ErrTooMany)
	}
	a := Asking{in.Signer, in.From(), in.Name, i.how(in.From()), now}
	i.Asking = append(i.Asking[:len(i.Asking):len(i.Asking)], a)
	out := Outcome{Verdict: i.done(me)}
	if in.Key != nil {
		out.Effects = append(out.Effects, StoreCert{in.Key})
	}
	out.Effects = append(out.Effects, Note{Kind: NoteAsked, Addr: a.Addr, Key: a.Fingerprint, InviteID: i.ID})
	return i, out
}

func (i Invite) asking(fpr pgp.Fingerprint, addr string) int {
	for n, a := range i.Asking {
		if a.Fingerprint == fpr && a.Addr == addr {
			return n
		}
	}
	return -1
}

// Waiting are those whom the user can accept: at an invite that is used up nobody can be, and
// at one that has expired only after its revival.
func (i Invite) Waiting(now time.Time) []Asking {
	var waiting []Asking
	for _, a := range i.Asking {
		if i.State(now) == Live || i.usedBy(a.Fingerprint, a.Addr) {
			waiting = append(waiting, a)
		}
	}
	return waiting
}

// Accept is the user's yes to a joiner that waits. holder is the key that the
// account has for the address: under another's address the join stays a claim,
// which is another question.
func (i Invite) Accept(fpr pgp.Fingerprint, addr string, holder pgp.Fingerprint, now time.Time) (Invite, Outcome, error) {
	n := i.asking(fpr, addr)
	if n < 0 {
		return i, Outcome{}, ErrNotAsking
	}
	a := i.Asking[n]
	known := i.usedBy(fpr, addr)
	if i.State(now) != Live && !known {
		return i, Outcome{}, ErrInviteEnded
	}
	i = i.Decline(fpr, addr)
	j := joiner{fpr, addr, a.Name, a.How, holder}
	var out Outcome
	if !known {
		i = i.use(j, now)
	}
	out.Effects = append(out.Effects, i.bind(j, now), i.joined(j))
	if !j.claims() {
		out.Effects = append(out.Effects, i.Welcome(addr, a.Name, fpr))
	}
	return i, out, nil
}

// Decline is the user's no. The joiner hears nothing and may ask again.
func (i Invite) Decline(fpr pgp.Fingerprint, addr string) Invite {
	if n := i.asking(fpr, addr); n >= 0 {
		rest := append([]Asking(nil), i.Asking[:n]...)
		i.Asking = append(rest, i.Asking[n+1:]...)
	}
	return i
}
