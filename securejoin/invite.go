package securejoin

import (
	"io"
	"slices"
	"time"

	"mailbridge/pgp"
)

// DefaultLifetime of an invite to a contact.
const DefaultLifetime = 7 * 24 * time.Hour

// Tombstone is how long an ended invite is remembered, so that the user can
// be told why a join was refused.
const Tombstone = 90 * 24 * time.Hour

// noteEvery: one note for each ended invite and day.
const noteEvery = 24 * time.Hour

// Self is the account that runs the handshake.
type Self struct {
	Addr        string // canonical
	Name        string // display name; may be empty
	Fingerprint pgp.Fingerprint
	// OtherDevices: another device of the account was seen. Contact steps
	// that it may need are hidden and not consumed.
	OtherDevices bool
}

// done is the verdict on a contact step that was taken.
func (me Self) done() Verdict {
	if me.OtherDevices {
		return Hide
	}
	return Consume
}

// Invite is an invite of ours. Receive returns a changed copy.
type Invite struct {
	ID      int64
	Kind    Kind
	GroupID string
	Auth    string
	Number  string
	Created time.Time
	Expires time.Time // zero: never
	Once    bool
	Shared  bool // announced to own devices
	Ask     bool // each joiner waits for the user
	Revoked time.Time
	Noted   time.Time // when the user was last told of a join after its end

	Uses    []Use    // completed joins, one for each key and address, oldest first
	Answers []Answer // of the last hour, and those that wait
}

// Use is a completed join.
type Use struct {
	Fingerprint pgp.Fingerprint
	Addr        string
	At          time.Time
}

// InviteOptions say what an invite is like.
type InviteOptions struct {
	Expires time.Time // zero: never
	Once    bool
}

// NewInvite makes an invite to a contact.
func NewInvite(rand io.Reader, now time.Time, o InviteOptions) (Invite, error) {
	auth, err := NewToken(rand)
	if err != nil {
		return Invite{}, err
	}
	number, err := NewToken(rand)
	if err != nil {
		return Invite{}, err
	}
	return Invite{Kind: Contact, Auth: auth, Number: number, Created: now, Expires: o.Expires, Once: o.Once}, nil
}

// Link is the invite as it is handed over.
func (i Invite) Link(me Self) Link {
	return Link{
		Fingerprint: me.Fingerprint,
		Addr:        me.Addr,
		Name:        me.Name,
		Auth:        i.Auth,
		Number:      i.Number,
		V3:          true,
		Kind:        i.Kind,
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

// State at a time. Revocation outranks the other ends.
func (i Invite) State(now time.Time) InviteState {
	switch {
	case !i.Revoked.IsZero():
		return Revoked
	case i.Once && len(i.Uses) > 0:
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

// Receive takes a step of a joiner. The caller has found the invite by the
// secret that opened the message, or by its AUTH.
func (i Invite) Receive(me Self, in Incoming, now time.Time) (Invite, Outcome) {
	switch {
	case in.Step == RequestPubkey:
		return i.requestPubkey(me, in, now)
	case in.Step == RequestWithAuth:
		return i.requestWithAuth(me, in, now)
	case i.opened(me, in):
		// Proven by the secret, but nothing that a joiner says with it.
		return i, refuse(Hide, ErrNotSupported)
	}
	return i, refuse(Deliver, ErrNotOurs)
}

// opened says whether the invite's secret opened the message.
func (i Invite) opened(me Self, in Incoming) bool {
	return in.Proof != nil && in.Proof.Fingerprint == me.Fingerprint && same(in.Proof.Auth, i.Auth)
}

// requestPubkey is the joiner's first step: encrypted with the secret, and
// unsigned because the inviter does not know the joiner's key yet.
func (i Invite) requestPubkey(me Self, in Incoming, now time.Time) (Invite, Outcome) {
	if in.Proof == nil {
		return i, refuse(Deliver, ErrPlain)
	}
	if !i.opened(me, in) {
		return i, refuse(Deliver, ErrNotOurs)
	}
	if !same(in.Auth, i.Auth) {
		return i, refuse(Hide, ErrAuth)
	}
	if err := checkSender(me, in); err != nil {
		return i, refuse(Hide, err)
	}
	if in.Blocked {
		return i, refuse(Consume, ErrBlocked)
	}
	if state := i.State(now); state != Live && (state != Used || !i.usedFrom(in.From())) {
		return i.ended(in, now)
	}
	i, at, ok := i.answer(Pubkey, in.From(), now)
	if !ok {
		return i, refuse(Consume, ErrTooMany)
	}
	return i, Outcome{Verdict: Consume, Effects: []Effect{Send{
		Step: Pubkey, To: []string{in.From()}, Auth: i.Auth, Secret: i.Link(me).Secret(),
		Signed: true, NotBefore: at, InviteID: i.ID,
	}}}
}

// checkSender is what every step must pass, once it has proved itself.
func checkSender(me Self, in Incoming) error {
	switch {
	case in.From() == "":
		return ErrFrom
	case in.From() == me.Addr || in.Signer == me.Fingerprint:
		return ErrOwn
	case in.MessageID == "":
		return ErrNoMessageID
	}
	return nil
}

// requestWithAuth is the joiner's second step: signed by the key it names,
// with the AUTH, and with our key by gossip.
func (i Invite) requestWithAuth(me Self, in Incoming, now time.Time) (Invite, Outcome) {
	switch {
	case i.opened(me, in):
		return i, refuse(Hide, ErrPlain)
	case in.Proof != nil:
		return i, refuse(Deliver, ErrNotOurs)
	case in.Signer == "":
		return i, refuse(Deliver, ErrUnsigned)
	case !same(in.Auth, i.Auth):
		return i, refuse(Deliver, ErrAuth)
	}
	if err := checkJoiner(me, in); err != nil {
		return i, refuse(Hide, err)
	}
	if in.Blocked {
		return i, refuse(Consume, ErrBlocked)
	}
	known := i.usedBy(in.Signer, in.From())
	if state := i.State(now); state == Live || state == Used && known {
		return i.admit(me, in, known, now)
	}
	if known {
		return i, refuse(Consume, ErrEnded) // nothing to tell: it is a repeat
	}
	return i.ended(in, now)
}

// checkJoiner is what a signed step must pass.
func checkJoiner(me Self, in Incoming) error {
	if err := checkSender(me, in); err != nil {
		return err
	}
	switch {
	case in.Gossip[me.Addr] != me.Fingerprint:
		return ErrGossip
	case in.Fingerprint != in.Signer:
		return ErrFingerprint
	case in.Key != nil && in.Key.Fingerprint() != in.Signer:
		return ErrKey
	}
	return nil
}

// admit completes a join, or answers the repeat of one. A link proves its
// holder and not an address: under an address that has another key the join
// is a claim, and nothing is encrypted to it before the user accepts it. It
// counts against the caps all the same.
func (i Invite) admit(me Self, in Incoming, known bool, now time.Time) (Invite, Outcome) {
	from, claim := in.From(), in.Holder != "" && in.Holder != in.Signer
	i, at, ok := i.answer(ContactConfirm, from, now)
	if !ok {
		return i, refuse(me.done(), ErrTooMany)
	}
	out := Outcome{Verdict: me.done()}
	if in.Key != nil {
		out.Effects = append(out.Effects, StoreCert{in.Key})
	}
	if !known {
		i.Uses = append(i.Uses[:len(i.Uses):len(i.Uses)], Use{in.Signer, from, now})
		out.Effects = append(out.Effects, i.bind(in, claim, now), i.joined(in, claim))
	}
	if !claim {
		send := i.Confirm(from, in.Name, in.Signer)
		send.NotBefore = at
		out.Effects = append(out.Effects, send)
	}
	return i, out
}

func (i Invite) bind(in Incoming, claim bool, now time.Time) Bind {
	return Bind{
		Addr: in.From(), Name: in.Name, Fingerprint: in.Signer, How: HowV3,
		At: now, Claim: claim, InviteID: i.ID,
	}
}

func (i Invite) joined(in Incoming, claim bool) Note {
	n := Note{Kind: NoteJoined, Addr: in.From(), Key: in.Signer, InviteID: i.ID}
	if claim {
		n.Kind, n.Holder = NoteClaim, in.Holder
	}
	return n
}

// Confirm is the last message to a joiner. Receive sends it by itself; the
// caller does when the user has accepted a claim.
func (i Invite) Confirm(addr, name string, fpr pgp.Fingerprint) Send {
	return Send{
		Step: ContactConfirm, To: []string{addr}, ToName: name,
		Key: fpr, Signed: true, InviteID: i.ID,
	}
}

// ended answers nothing and tells the user, once a day.
func (i Invite) ended(in Incoming, now time.Time) (Invite, Outcome) {
	out := refuse(Consume, ErrEnded)
	if !i.Noted.IsZero() && now.Sub(i.Noted) < noteEvery {
		return i, out
	}
	i.Noted = now
	n := Note{Addr: in.From(), Key: in.Signer, At: i.Ended(now), InviteID: i.ID}
	switch i.State(now) {
	case Revoked:
		n.Kind = NoteRevoked
	case Expired:
		n.Kind = NoteExpired
	case Used:
		n.Kind, n.UsedBy = NoteUsed, i.Uses[0].Addr
	}
	out.Effects = []Effect{n}
	return i, out
}

func (i Invite) usedBy(fpr pgp.Fingerprint, addr string) bool {
	return slices.ContainsFunc(i.Uses, func(u Use) bool { return u.Fingerprint == fpr && u.Addr == addr })
}

func (i Invite) usedFrom(addr string) bool {
	return slices.ContainsFunc(i.Uses, func(u Use) bool { return u.Addr == addr })
}
