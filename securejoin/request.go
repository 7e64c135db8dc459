package securejoin

import (
	"strings"
	"time"

	"mailbridge/message"
)

// ReadRequest reads a vc-request or vg-request, the one step that is not
// encrypted. It reports false for what is none. Of the fields that only an
// encrypted and signed message may have, such as Secure-Join-Auth, it reads
// nothing. The caller fills in Key, from the Autocrypt field, and Blocked.
func ReadRequest(h message.Header) (Incoming, bool) {
	step, ok := StepOf(h)
	number := strings.TrimSpace(h.Get(FieldNumber))
	if !ok || step != Request || !validToken(number) {
		return Incoming{}, false
	}
	in := Incoming{Step: Request, Plain: true, Number: number}
	in.readCommon(h)
	in.OuterFrom = in.InnerFrom
	return in, true
}

// ByNumber finds the invite that answers a plain request: of those with the
// INVITENUMBER the newest that is live, or else the newest. Other programs
// use one number for all invites of a chat.
func ByNumber(invites []Invite, number string, now time.Time) (Invite, bool) {
	var best Invite
	found := false
	for _, i := range invites {
		if !same(i.Number, number) || number == "" {
			continue
		}
		live, bestLive := i.State(now) == Live, best.State(now) == Live
		if !found || live && !bestLive || live == bestLive && i.Created.After(best.Created) {
			best, found = i, true
		}
	}
	return best, found
}

// request is the joiner's first step in the older protocol: it brings the
// joiner's key and is answered, encrypted, with the inviter's. It proves the
// INVITENUMBER, which admits nobody.
func (i Invite) request(me Self, in Incoming, now time.Time) (Invite, Outcome) {
	switch {
	case i.opened(me, in):
		return i, refuse(Hide, ErrPlain)
	case !in.Plain || in.Proof != nil || in.Signer != "":
		return i, refuse(Deliver, ErrPlain)
	case i.Number == "" || !same(in.Number, i.Number):
		return i, refuse(Deliver, ErrNotOurs)
	}
	if err := checkSender(me, in); err != nil {
		return i, refuse(Deliver, err)
	}
	if in.Key == nil || !in.Key.CanEncrypt(now) || in.Key.Fingerprint() == me.Fingerprint {
		return i, refuse(Deliver, ErrKey)
	}
	if state := i.State(now); state != Live && (state != Used || !i.usedBy(in.Key.Fingerprint(), in.From())) {
		// The number alone is no secret that opens anything: the mail is
		// shown, and what it was is told beside it.
		out := refuse(Deliver, ErrBlocked)
		if !in.Blocked {
			i, out = i.ended(in, now)
			out.Verdict = Deliver
		}
		return i, out
	}
	switch {
	case in.Blocked:
		return i, refuse(Consume, ErrBlocked)
	case !i.isFor(in.From()):
		return i, refuse(Consume, ErrAddr)
	}
	i, at, ok := i.answer(AuthRequired, in.From(), now)
	if !ok {
		return i, refuse(Consume, ErrTooMany)
	}
	return i, Outcome{Verdict: Consume, Effects: []Effect{StoreCert{in.Key}, Send{
		Step: AuthRequired, To: []string{in.From()}, Key: in.Key.Fingerprint(), Signed: true,
		NotBefore: at, InviteID: i.ID, Kind: i.Kind,
	}}}
}

// authRequired is the inviter's key in the older protocol: encrypted to our
// key, which only the inviter of our request was told, and signed by the key
// whose fingerprint is in the link. A join that began with v3 takes it too.
func (j Join) authRequired(me Self, in Incoming, now time.Time) (Join, Outcome) {
	if refused, ok := j.checkSealed(me, in); !ok {
		return j, refused
	}
	return j.takeKey(in, HowLegacy, now)
}
