package securejoin

import (
	"slices"
	"time"

	"mailbridge/pgp"
)

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
	Legacy  bool      // its link offers the older protocol alone
	For     string    // the one address that may join, canonical; empty: any
	Way     Way       // how it was handed over

	Uses    []Use    // completed joins, one for each key and address, oldest first; the last MaxUses
	Asking  []Asking // joiners that wait for the user, oldest first
	Answers []Answer // of the last hour, and those that wait
}

// MaxUses bounds the completed joins that an invite remembers: a published link may have any
// number of them, and each step of a joiner reads all. Who is forgotten and comes again is a
// joiner as any other.
const MaxUses = 1000

// Use is a completed join.
type Use struct {
	Fingerprint pgp.Fingerprint
	Addr        string
	At          time.Time
}

// Receive takes a step of a joiner. The caller has found the invite by the
// secret that opened the message, or by its AUTH.
func (i Invite) Receive(me Self, in Incoming, now time.Time) (Invite, Outcome) {
	switch {
	case in.Step == Request:
		return i.request(me, in, now)
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
	switch {
	case in.Blocked:
		return i, refuse(Consume, ErrBlocked)
	case in.forgotten(now):
		return i, refuse(Consume, ErrRepeat)
	case !i.isFor(in.From()):
		return i.refused(in, Note{Kind: NoteNotFor, For: i.For}, ErrAddr, now)
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
	if err := checkJoiner(me, in, now); err != nil {
		return i, refuse(Hide, err)
	}
	switch {
	case in.Blocked:
		return i, refuse(Consume, ErrBlocked)
	case in.forgotten(now):
		return i, refuse(Consume, ErrRepeat)
	case !i.isFor(in.From()):
		return i.refused(in, Note{Kind: NoteNotFor, For: i.For}, ErrAddr, now)
	case in.Key != nil && !in.Key.CanEncrypt(now):
		return i, refuse(Hide, ErrKey) // it could not be answered
	case i.Kind != Contact && in.Standing == NoGroup:
		return i, refuse(Hide, ErrNoGroup)
	}
	known := i.usedBy(in.Signer, in.From())
	if state := i.State(now); state == Live || state == Used && known {
		if i.mustAsk(in, known) {
			return i.ask(me, in, now)
		}
		return i.admit(me, in, known, now)
	}
	if known {
		return i, refuse(Consume, ErrEnded) // nothing to tell: it is a repeat
	}
	return i.ended(in, now)
}

// checkJoiner is what a signed step must pass.
func checkJoiner(me Self, in Incoming, now time.Time) error {
	if err := checkSender(me, in); err != nil {
		return err
	}
	switch {
	case in.Gossip[me.Addr] != me.Fingerprint:
		return ErrGossip
	case in.Fingerprint != in.Signer:
		return ErrFingerprint
	case in.Key != nil && (in.Key.Fingerprint() != in.Signer || !in.Key.CanEncrypt(now)):
		return ErrKey
	}
	return nil
}

// admit completes a join, or answers the repeat of one. A link proves its
// holder and not an address: under an address that has another key the join
// is a claim, and nothing is encrypted to it before the user accepts it. It
// counts against the caps all the same.
func (i Invite) admit(me Self, in Incoming, known bool, now time.Time) (Invite, Outcome) {
	j := joiner{in.Signer, in.From(), in.Name, i.how(in.From()), in.Holder}
	i, at, ok := i.answer(i.welcomeStep(), j.counted(), now)
	if !ok {
		return i, refuse(i.done(me), ErrTooMany)
	}
	out := Outcome{Verdict: i.done(me)}
	if in.Key != nil {
		out.Effects = append(out.Effects, StoreCert{in.Key})
	}
	if !known {
		i = i.use(j, now)
	}
	if !known || j.holder == "" { // or the user has reset the contact since
		out.Effects = append(out.Effects, i.bind(j, now), i.joined(j))
	}
	if !j.claims() {
		out.Effects = append(out.Effects, i.welcome(j.addr, j.name, j.key, at))
	}
	return i, out
}

// done is the verdict on a joiner's last step. That of a group or channel
// ends in a message to all, which other devices of the account see.
func (i Invite) done(me Self) Verdict {
	if i.Kind != Contact {
		return Consume
	}
	return me.done()
}

// how is the protocol that a joiner began with, as far as our answers tell.
func (i Invite) how(addr string) string {
	how := HowV3
	if i.Legacy {
		how = HowLegacy
	}
	for _, a := range answersTo(i.Answers, addr) {
		switch a.Step {
		case Pubkey:
			how = HowV3
		case AuthRequired:
			how = HowLegacy
		}
	}
	return how
}

// joiner is who completed a join.
type joiner struct {
	key    pgp.Fingerprint
	addr   string
	name   string
	how    string
	holder pgp.Fingerprint
}

func (j joiner) claims() bool { return j.holder != "" && j.holder != j.key }

// counted is under what the join counts against the caps. Claims to an address
// count by themselves, so that they use up nothing of what its holder is
// answered.
func (j joiner) counted() string {
	if j.claims() {
		return "claim " + j.addr
	}
	return j.addr
}

func (i Invite) use(j joiner, now time.Time) Invite {
	uses := append(i.Uses[:len(i.Uses):len(i.Uses)], Use{j.key, j.addr, now})
	i.Uses = uses[max(0, len(uses)-MaxUses):]
	return i
}

func (i Invite) bind(j joiner, now time.Time) Bind {
	return Bind{
		Addr: j.addr, Name: j.name, Fingerprint: j.key, How: j.how,
		At: now, Claim: j.claims(), InviteID: i.ID, Way: i.Way,
	}
}

func (i Invite) joined(j joiner) Note {
	n := Note{Kind: NoteJoined, Addr: j.addr, Key: j.key, InviteID: i.ID}
	if j.claims() {
		n.Kind, n.Holder = NoteClaim, j.holder
	}
	return n
}

// Welcome is the last message to a joiner: vc-contact-confirm, or what takes
// it into the group or channel. Receive gives it by itself; the caller asks
// for it when the user has accepted a claim.
func (i Invite) Welcome(addr, name string, fpr pgp.Fingerprint) Effect {
	return i.welcome(addr, name, fpr, time.Time{})
}

func (i Invite) welcome(addr, name string, fpr pgp.Fingerprint, at time.Time) Effect {
	if i.Kind != Contact {
		return Admit{
			Kind: i.Kind, GroupID: i.GroupID, Addr: addr, Name: name, Fingerprint: fpr,
			NotBefore: at, InviteID: i.ID,
		}
	}
	send := i.Confirm(addr, name, fpr)
	send.NotBefore = at
	return send
}

func (i Invite) welcomeStep() Step {
	if i.Kind != Contact {
		return MemberAdded
	}
	return ContactConfirm
}

// Confirm is the last message to a contact that joined.
func (i Invite) Confirm(addr, name string, fpr pgp.Fingerprint) Send {
	return Send{
		Step: ContactConfirm, To: []string{addr}, ToName: name,
		Key: fpr, Signed: true, InviteID: i.ID,
	}
}

// refused answers nothing and tells the user, once a day.
func (i Invite) refused(in Incoming, n Note, reason error, now time.Time) (Invite, Outcome) {
	out := refuse(Consume, reason)
	if !i.Noted.IsZero() && now.Sub(i.Noted) < noteEvery {
		return i, out
	}
	i.Noted = now
	n.Addr, n.Key, n.InviteID = in.From(), in.Signer, i.ID
	out.Effects = []Effect{n}
	return i, out
}

// ended refuses a join by an invite that has ended.
func (i Invite) ended(in Incoming, now time.Time) (Invite, Outcome) {
	n := Note{At: i.Ended(now)}
	switch i.State(now) {
	case Revoked:
		n.Kind = NoteRevoked
		if i.Spent() {
			n.UsedBy = i.Uses[0].Addr
		}
	case Expired:
		n.Kind = NoteExpired
	case Used:
		n.Kind, n.UsedBy = NoteUsed, i.Uses[0].Addr
	}
	return i.refused(in, n, ErrEnded, now)
}

func (i Invite) usedBy(fpr pgp.Fingerprint, addr string) bool {
	return slices.ContainsFunc(i.Uses, func(u Use) bool { return u.Fingerprint == fpr && u.Addr == addr })
}

func (i Invite) usedFrom(addr string) bool {
	return slices.ContainsFunc(i.Uses, func(u Use) bool { return u.Addr == addr })
}

func (i Invite) isFor(addr string) bool { return i.For == "" || i.For == addr }
