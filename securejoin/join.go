package securejoin

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"mailbridge/pgp"
)

// JoinLifetime is how long a join waits for its inviter.
const JoinLifetime = 7 * 24 * time.Hour

// ResendAfter is how long a join waits before it repeats its last step, once
// and as a new message: longer than common greylisting, which delays mail by
// up to 15 minutes.
const ResendAfter = 30 * time.Minute

// JoinState is how far a join got.
type JoinState int

const (
	Requested      JoinState = iota // vc-request-pubkey was sent
	Authenticating                  // the inviter's key is proven, vc-request-with-auth was sent
	Completed                       // the inviter has confirmed
	Failed                          // see Join.Reason
)

var joinStates = [...]string{"requested", "authenticating", "completed", "failed"}

func (s JoinState) String() string { return joinStates[s] }

// ParseJoinState is the inverse of String.
func ParseJoinState(s string) (JoinState, bool) {
	n := slices.Index(joinStates[:], s)
	return JoinState(n), n >= 0
}

// Reasons of a failed join, for people.
const (
	ReasonTimeout   = "no answer from the inviter within 7 days"
	ReasonUnusable  = "the inviter's key cannot be used to encrypt"
	ReasonCancelled = "cancelled"
)

// Join is somebody else's invite that we follow. Receive returns a changed
// copy.
type Join struct {
	ID      int64
	Link    Link
	State   JoinState
	Addr    string // the inviter's address that answered; before that the link's first
	Claim   bool   // the address has another key; the user must accept the invite's
	Reason  string // why it failed
	Started time.Time
	Updated time.Time
	Resent  bool // the last step was repeated
	// Replaces is the key that an address of the link had, and that the user
	// agreed to give up.
	Replaces pgp.Fingerprint
	// Way is how the link came here; the caller knows, and may set it.
	Way Way
	// Observed: another device of the account follows the invite. Nothing is
	// sent; see Observe.
	Observed bool
	// RequestMessageID names the message last sent, for bounces. The caller
	// keeps it.
	RequestMessageID string
}

// Pending says whether the join waits for the inviter.
func (j Join) Pending() bool { return j.State == Requested || j.State == Authenticating }

// Reasons why a link is not joined.
var (
	// ErrOwnInvite: the link is the account's own.
	ErrOwnInvite = errors.New("this invite is your own")
	// ErrUnsupportedInvite: an invite that names neither protocol.
	ErrUnsupportedInvite = errors.New("this kind of invite is not supported")
)

// OtherKeyError: an address of the link has another key. A link proves its
// holder and not an address, so the user is asked.
type OtherKeyError struct {
	Addr       string
	Have, Want pgp.Fingerprint
}

func (e *OtherKeyError) Error() string {
	return fmt.Sprintf("%s has another key (%s) than this invite (%s)", e.Addr, e.Have, e.Want)
}

// NewJoin begins a join and sends its first step. holders are the keys that
// the account has for the link's addresses; replace says that the user gives
// them up.
func NewJoin(link Link, me Self, holders map[string]pgp.Fingerprint, replace bool, now time.Time) (Join, []Effect, error) {
	if link.Fingerprint == me.Fingerprint || slices.Contains(link.Addresses(), me.Addr) {
		return Join{}, nil, ErrOwnInvite
	}
	if !link.V3 && link.Number == "" {
		return Join{}, nil, ErrUnsupportedInvite
	}
	j := Join{Link: link, Addr: link.Addr, Started: now, Updated: now}
	for _, addr := range link.Addresses() {
		have := holders[addr]
		if have == "" || have == link.Fingerprint {
			continue
		}
		if !replace || j.Replaces != "" && j.Replaces != have {
			return Join{}, nil, &OtherKeyError{addr, have, link.Fingerprint}
		}
		j.Replaces = have
	}
	return j, []Effect{j.request()}, nil
}

// request is the first step, of the protocol that the link names. It is sent
// to all addresses: one relay may be down.
func (j Join) request() Send {
	if !j.Link.V3 {
		return Send{
			Step: Request, To: j.Link.Addresses(), Number: j.Link.Number,
			Kind: j.Link.Kind, JoinID: j.ID,
		}
	}
	return Send{
		Step: RequestPubkey, To: j.Link.Addresses(), Auth: j.Link.Auth,
		Secret: j.Link.Secret(), JoinID: j.ID,
	}
}

// authenticate is the second step, signed.
func (j Join) authenticate() Send {
	s := Send{
		Step: RequestWithAuth, To: []string{j.Addr}, ToName: j.Link.Name, Auth: j.Link.Auth,
		Key: j.Link.Fingerprint, Signed: true, JoinID: j.ID, Kind: j.Link.Kind,
	}
	if j.Link.Kind == Group {
		s.Group = j.Link.GroupID // inviters before 2025 want it
	}
	return s
}

// Receive takes a step of an inviter. The caller offers it to every join
// whose link has the fingerprint of the signer, or of the secret that opened
// the message: one vc-pubkey proves the key for all of them, and each sends
// its own AUTH.
func (j Join) Receive(me Self, in Incoming, now time.Time) (Join, Outcome) {
	switch {
	case in.Step == Pubkey:
		return j.pubkey(me, in, now)
	case in.Step == AuthRequired:
		return j.authRequired(me, in, now)
	case in.Step == ContactConfirm && j.Link.Kind == Contact:
		return j.confirmed(me, in, now)
	case in.Step == MemberAdded && !j.opened(in):
		return j.memberAdded(me, in, now)
	case j.opened(in):
		return j, refuse(Hide, ErrNotSupported)
	}
	return j, refuse(Deliver, ErrNotOurs)
}

// opened says whether a secret of the join's inviter opened the message.
func (j Join) opened(in Incoming) bool {
	return in.Proof != nil && in.Proof.Fingerprint == j.Link.Fingerprint
}

// checkInviter is what every step of the inviter must pass.
func (j Join) checkInviter(me Self, in Incoming) error {
	switch {
	case in.Signer == "":
		return ErrUnsigned
	case in.Signer != j.Link.Fingerprint:
		return ErrSigner
	case in.Key != nil && in.Key.Fingerprint() != in.Signer:
		return ErrKey
	}
	if err := checkSender(me, in); err != nil {
		return err
	}
	if !slices.Contains(j.Link.Addresses(), in.From()) {
		return ErrAddr
	}
	return nil
}

// checkSealed is what a step of the inviter must pass that is encrypted to our
// key: it is signed by the key of the link, and names ours by gossip.
func (j Join) checkSealed(me Self, in Incoming) (Outcome, bool) {
	switch {
	case j.opened(in):
		return refuse(Hide, ErrPlain), false
	case in.Proof != nil || in.Signer != j.Link.Fingerprint:
		return refuse(Deliver, ErrSigner), false
	}
	if err := j.checkInviter(me, in); err != nil {
		return refuse(Hide, err), false
	}
	if in.Gossip[me.Addr] != me.Fingerprint {
		return refuse(Hide, ErrGossip), false
	}
	return Outcome{}, true
}

// pubkey is the inviter's key, encrypted with the secret of the link and
// signed by the key whose fingerprint is in it. Its Secure-Join-Auth may be
// missing; a wrong one is refused.
func (j Join) pubkey(me Self, in Incoming, now time.Time) (Join, Outcome) {
	switch {
	case in.Proof == nil:
		return j, refuse(Deliver, ErrPlain)
	case !j.opened(in):
		return j, refuse(Deliver, ErrNotOurs)
	case in.Auth != "" && !same(in.Auth, in.Proof.Auth):
		return j, refuse(Hide, ErrAuth)
	}
	if err := j.checkInviter(me, in); err != nil {
		return j, refuse(Hide, err)
	}
	return j.takeKey(in, HowV3, now)
}

// takeKey takes the key of an inviter that has proved itself, once.
func (j Join) takeKey(in Incoming, how string, now time.Time) (Join, Outcome) {
	if j.State != Requested {
		return j, refuse(Consume, ErrRepeat)
	}
	if in.Key != nil && !in.Key.CanEncrypt(now) {
		j, effects := j.Fail(ReasonUnusable, now)
		return j, Outcome{Verdict: Consume, Effects: effects, Refused: ErrKey}
	}
	return j.proven(in, how, now)
}

// proven: the link's holder has answered from one of the link's addresses.
// The key is bound now and not with the confirmation, which proves nothing
// more and may get lost.
func (j Join) proven(in Incoming, how string, now time.Time) (Join, Outcome) {
	j.State, j.Addr, j.Updated, j.Resent = Authenticating, in.From(), now, false
	bind := Bind{
		Addr: j.Addr, Name: j.Link.Name, Fingerprint: j.Link.Fingerprint, How: how, At: now,
		JoinID: j.ID, Way: j.Way,
	}
	out := Outcome{Verdict: Consume}
	if in.Key != nil {
		out.Effects = append(out.Effects, StoreCert{in.Key})
	}
	switch in.Holder {
	case "", j.Link.Fingerprint:
	case j.Replaces:
		bind.Replaces = j.Replaces
	default: // came up since the user was asked
		j.Claim, bind.Claim = true, true
	}
	out.Effects = append(out.Effects, bind)
	if j.Claim {
		out.Effects = append(out.Effects, Note{
			Kind: NoteClaim, Addr: j.Addr, Key: j.Link.Fingerprint, Holder: in.Holder, JoinID: j.ID,
		})
	}
	out.Effects = append(out.Effects, j.authenticate())
	return j, out
}

// confirmed is the end: it counts only if signed by the key of the invite
// that was joined, and only while the join waits for it.
func (j Join) confirmed(me Self, in Incoming, now time.Time) (Join, Outcome) {
	if refused, ok := j.checkSealed(me, in); !ok {
		return j, refused
	}
	switch j.State {
	case Completed:
		return j, refuse(me.done(), ErrRepeat)
	case Authenticating:
	default:
		return j, refuse(Hide, ErrOutOfOrder)
	}
	j.State, j.Updated = Completed, now
	return j, Outcome{Verdict: me.done(), Effects: j.completed()}
}

// completed tells the user, unless another device of the account joined.
func (j Join) completed() []Effect {
	if j.Observed {
		return nil
	}
	return []Effect{Note{Kind: NoteCompleted, Addr: j.Addr, Key: j.Link.Fingerprint, JoinID: j.ID}}
}

// Tick moves a join that waits: its last step is repeated once, and after
// JoinLifetime it fails. A join that got as far as Authenticating keeps the
// key it has proven.
func (j Join) Tick(now time.Time) (Join, []Effect) {
	switch {
	case !j.Pending():
		return j, nil
	case j.Observed && now.Sub(j.Started) < JoinLifetime:
		return j, nil // the other device repeats
	case now.Sub(j.Started) >= JoinLifetime:
		return j.Fail(ReasonTimeout, now)
	case j.Resent || now.Sub(j.Updated) < ResendAfter:
		return j, nil
	}
	j.Resent = true
	if j.State == Requested {
		return j, []Effect{j.request()}
	}
	return j, []Effect{j.authenticate()}
}

// Fail ends a join that waits.
func (j Join) Fail(reason string, now time.Time) (Join, []Effect) {
	if !j.Pending() {
		return j, nil
	}
	j.State, j.Reason, j.Updated = Failed, reason, now
	if j.Observed {
		return j, nil
	}
	return j, []Effect{Note{
		Kind: NoteFailed, Addr: j.Addr, Key: j.Link.Fingerprint, Reason: reason, JoinID: j.ID,
	}}
}
