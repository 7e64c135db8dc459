package account

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"mailbridge/autocrypt"
	"mailbridge/db"
	"mailbridge/message"
	"mailbridge/mirror"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// self is this account as package securejoin wants it.
func (a *Account) self() securejoin.Self {
	return securejoin.Self{Addr: a.settings.Address, Name: a.settings.Name, Fingerprint: a.key().Fingerprint(), OtherDevices: a.shared.Load()}
}

// maxHandshake is larger than any step of a handshake, of which a key and an avatar are the
// largest parts. What is larger is shown: whoever holds a link could fill the mailbox with mail
// that nobody sees.
const maxHandshake = 256 << 10

// maxMemberAdded is larger than the one step that brings the keys of all members of a group, and
// that is shown: as many as there may be, with keys of twice the common size.
const maxMemberAdded = 4 << 20

// ingestHandshake takes a step of a handshake. ok is false for mail that is none, or that
// does not prove itself: it is treated as any other.
func (a *Account) ingestHandshake(ctx context.Context, m *arrival, opened *pgp.Opened, inner message.Header, proof *securejoin.Proof) (mirror.Ruling, bool, error) {
	in, ok := securejoin.ReadIncoming(m.outer, inner, opened, proof)
	if !ok {
		return mirror.Ruling{}, false, nil
	}
	limit := maxHandshake
	if in.Step == securejoin.MemberAdded {
		limit = maxMemberAdded
	}
	if len(m.Raw) > limit {
		return mirror.Ruling{}, false, nil
	}
	keys := a.readKeys(&in, m.outer, inner)
	if m.origin != notOurs {
		ruling, ok := a.ingestOwnStep(m, in, inner, keys)
		return ruling, ok, nil
	}
	if m.Old {
		return mirror.Ruling{}, false, nil
	}
	if ours, err := a.ownRequest(ctx, in); ours || err != nil {
		return hidden(nil), ours, err
	}
	ruling, ok, err := a.takeStep(ctx, in, func() (mirror.Ruling, error) { return a.showProven(ctx, m, opened, in) })
	if ok || err != nil {
		return ruling, ok, err
	}
	return a.ingestElsewhere(ctx, m, in)
}

// takeStep rules on a step by the state as it is, and takes it in the transaction of the ruling.
// show makes the ruling on one that is shown.
func (a *Account) takeStep(ctx context.Context, in securejoin.Incoming, show func() (mirror.Ruling, error)) (mirror.Ruling, bool, error) {
	var step handshakeStep
	err := a.db.View(ctx, func(tx *db.Tx) (err error) {
		if step, err = a.receive(tx, in); err != nil || step.verdict != securejoin.Show {
			return err
		}
		// What ended a join before does not lead into the group again, when another one waits.
		ended, err := tx.IsHandled(in.Handled())
		if ended {
			step.verdict = securejoin.Deliver
		}
		return err
	})
	if err != nil {
		return mirror.Ruling{}, false, err
	}
	switch step.verdict {
	case securejoin.Deliver:
		if len(step.effects) > 0 { // a note on what is shown
			err = a.db.Update(ctx, func(tx *db.Tx) error { return a.applyHandshake(tx, in) })
		}
		return mirror.Ruling{}, false, err
	case securejoin.Show:
		ruling, err := show()
		return ruling, true, err
	}
	verdict := mirror.Hide
	if step.verdict == securejoin.Consume {
		verdict = mirror.Consume
	}
	return mirror.Ruling{
		Verdict: verdict,
		Kind:    mirror.Control,
		Apply: func(tx *db.Tx, _ int64) error {
			// The state may have moved since it was looked at; what counts is what is committed.
			return a.applyHandshake(tx, in)
		},
		After: a.outbox.kick,
	}, true, nil
}

// showProven shows the message that ended a join of a group or channel: it is the first one in it.
func (a *Account) showProven(ctx context.Context, m *arrival, opened *pgp.Opened, in securejoin.Incoming) (mirror.Ruling, error) {
	m.proven = true
	ruling, err := a.ingestOpened(ctx, m, opened, "")
	if err != nil {
		return ruling, err
	}
	show := ruling.Apply
	ruling.Apply = func(tx *db.Tx, row int64) error {
		if err := a.applyHandshake(tx, in); err != nil {
			return err
		}
		return show(tx, row)
	}
	ruling.After = a.outbox.kick
	return ruling, nil
}

// ownRequest reports whether an unsigned step is one that this account has sent, as a copy of it
// that came back: we made the Message-ID of what our secret opened, or of a plain request.
func (a *Account) ownRequest(ctx context.Context, in securejoin.Incoming) (bool, error) {
	if !a.own(in.InnerFrom) || in.Proof == nil && !in.Plain || in.Signer != "" {
		return false, nil
	}
	return a.ask(ctx, func(tx *db.Tx) (bool, error) { return tx.SentHandshake(in.MessageID) })
}

// readKeys fills in what Autocrypt says in a handshake message, and gives the gossip. Versions of
// Delta Chat before 2025 write their key outside of what they encrypt to a key. There it counts
// only for who signed: nothing else says whose it is.
func (a *Account) readKeys(in *securejoin.Incoming, outer, inner message.Header) []autocrypt.Header {
	if h, found, _ := autocrypt.FromHeader(inner.Values("Autocrypt"), in.InnerFrom); found {
		in.Key = h.Cert
	} else if h, found, _ := autocrypt.FromHeader(outer.Values("Autocrypt"), in.InnerFrom); found &&
		in.Proof == nil && in.Signer != "" && h.Cert.Fingerprint() == in.Signer {
		in.Key = h.Cert
	}
	keys := gossiped(inner)
	in.Gossip = map[string]pgp.Fingerprint{}
	for _, g := range keys {
		in.Gossip[g.Addr] = g.Cert.Fingerprint()
	}
	return keys
}

// handshakeStep is what a message comes to, with the rows that it changes.
type handshakeStep struct {
	verdict securejoin.Verdict
	effects []securejoin.Effect
	refused error
	invite  *securejoin.Invite
	joins   []securejoin.Join
}

// receive finds whose step a message is and takes it, without effects.
func (a *Account) receive(tx *db.Tx, in securejoin.Incoming) (handshakeStep, error) {
	if bridgeAddr(in.InnerFrom) { // our groups and channels have such, and nobody else
		return handshakeStep{verdict: securejoin.Deliver}, nil
	}
	if err := a.knowKey(tx, &in); err != nil {
		return handshakeStep{}, err
	}
	switch in.Step {
	case securejoin.Request, securejoin.RequestPubkey, securejoin.RequestWithAuth:
		return a.receiveAsInviter(tx, in)
	case securejoin.AuthRequired, securejoin.Pubkey, securejoin.ContactConfirm, securejoin.MemberAdded:
		return a.receiveAsJoiner(tx, in)
	}
	return handshakeStep{verdict: securejoin.Deliver}, nil
}

// knowSender fills in how the sender of a step stands to us.
func (a *Account) knowSender(tx *db.Tx, in *securejoin.Incoming) error {
	key := in.Signer
	if in.Plain && in.Key != nil {
		key = in.Key.Fingerprint() // it is nobody's word, and good enough for no answer
	}
	h, err := a.claimant(tx, in.InnerFrom, key)
	in.Holder, in.Blocked = h.fingerprint, h.blocked
	return err
}

// knowKey finds the certificate of a signer that did not send it along. Where it is not known
// either, it came with something that nobody signed, and the signature is nobody's.
func (a *Account) knowKey(tx *db.Tx, in *securejoin.Incoming) error {
	if in.Signer == "" || in.Key != nil || a.me().has(in.Signer) {
		return nil
	}
	cert, err := tx.Cert(in.Signer)
	if errors.Is(err, db.ErrNotFound) {
		in.Signer = ""
		return nil
	}
	in.Key = cert
	return err
}

// stepInvite finds the invite that a joiner's step is for.
func (a *Account) stepInvite(tx *db.Tx, in securejoin.Incoming) (securejoin.Invite, error) {
	switch {
	case in.Proof != nil:
		return tx.InviteByAuth(in.Proof.Auth)
	case !in.Plain:
		return tx.InviteByAuth(in.Auth)
	}
	invites, err := tx.InvitesByNumber(in.Number, a.now())
	if err != nil {
		return securejoin.Invite{}, err
	}
	found, ok := securejoin.ByNumber(invites, in.Number, a.now())
	if !ok {
		return found, db.ErrNotFound
	}
	return found, nil
}

func (a *Account) receiveAsInviter(tx *db.Tx, in securejoin.Incoming) (handshakeStep, error) {
	found, err := a.stepInvite(tx, in)
	if errors.Is(err, db.ErrNotFound) {
		return handshakeStep{verdict: securejoin.Deliver}, nil
	}
	if err != nil {
		return handshakeStep{}, err
	}
	if err := a.knowSender(tx, &in); err != nil {
		return handshakeStep{}, err
	}
	if in.Standing, err = a.standing(tx, found, in.Signer); err != nil {
		return handshakeStep{}, err
	}
	invite, out := found.Receive(a.inviter(found.ID), in, a.now())
	return handshakeStep{out.Verdict, out.Effects, out.Refused, &invite, nil}, nil
}

// receiveAsJoiner offers a message to every join of that inviter: one vc-pubkey proves the
// key for all of them.
func (a *Account) receiveAsJoiner(tx *db.Tx, in securejoin.Incoming) (handshakeStep, error) {
	fpr := in.Signer
	if in.Proof != nil {
		fpr = in.Proof.Fingerprint
	}
	step := handshakeStep{verdict: securejoin.Deliver}
	joins, err := tx.JoinsByKey(fpr)
	if err != nil || len(joins) == 0 {
		return step, err
	}
	if err := a.knowSender(tx, &in); err != nil {
		return handshakeStep{}, err
	}
	for _, j := range joins {
		next, out := j.Receive(a.self(), in, a.now())
		step.verdict = max(step.verdict, out.Verdict)
		if out.Refused != nil {
			step.refused = out.Refused
		}
		if len(out.Effects) > 0 || next.State != j.State {
			step.joins = append(step.joins, next)
			step.effects = append(step.effects, out.Effects...)
		}
	}
	return step, nil
}

// applyHandshake takes a step once, with all its effects.
func (a *Account) applyHandshake(tx *db.Tx, in securejoin.Incoming) error {
	signer, id := in.Handled()
	first, err := tx.MarkHandled(signer, id, a.now())
	if err != nil || !first {
		return err
	}
	step, err := a.receive(tx, in)
	if err != nil {
		return err
	}
	if step.refused != nil {
		a.log.Info("handshake step without effect", "step", in.Step, "from", in.InnerFrom, "reason", step.refused)
	}
	if step.invite != nil {
		if err := tx.PutInvite(*step.invite); err != nil {
			return err
		}
	}
	for _, j := range step.joins {
		if err := a.putJoin(tx, j); err != nil {
			return err
		}
	}
	err = tx.AddEvent(a.now(), "handshake", fmt.Sprintf("%s from %s", in.Step, in.InnerFrom))
	if err != nil {
		return err
	}
	return a.carryOut(tx, step.effects)
}

// putJoin stores a join and wakes who waits for it.
func (a *Account) putJoin(tx *db.Tx, j securejoin.Join) error {
	if err := tx.PutJoin(j); err != nil {
		return err
	}
	tx.AfterCommit(func() { a.joins.wake(j.ID) })
	return nil
}

// failJoin ends the join whose last step the provider has taken for none of the inviter's
// addresses: no answer can come.
func (a *Account) failJoin(tx *db.Tx, m db.Outgoing) error {
	joins, err := tx.PendingJoins()
	if err != nil {
		return err
	}
	for _, j := range joins {
		if j.RequestMessageID != m.MessageID {
			continue
		}
		next, effects := j.Fail(refusal(m), a.now())
		if err := errors.Join(a.putJoin(tx, next), a.carryOut(tx, effects)); err != nil {
			return err
		}
	}
	return nil
}

// refusal says what the provider said of a message that it took for nobody.
func refusal(m db.Outgoing) string {
	for _, r := range m.To {
		if r.State == db.Refused {
			return fmt.Sprintf("the provider does not take mail for %s: %d %s", r.Addr, r.Code, strings.Join(strings.Fields(r.Text), " "))
		}
	}
	return "the provider does not take the mail"
}
