package account

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

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

// ingestHandshake takes a step of a handshake. ok is false for mail that is none, or that
// does not prove itself: it is treated as any other.
func (a *Account) ingestHandshake(ctx context.Context, m *arrival, opened *pgp.Opened, inner message.Header, proof *securejoin.Proof) (mirror.Ruling, bool, error) {
	in, ok := securejoin.ReadIncoming(m.outer, inner, opened, proof)
	if !ok || len(m.Raw) > maxHandshake {
		return mirror.Ruling{}, false, nil
	}
	keys := a.readKeys(&in, inner)
	if m.origin != notOurs {
		ruling, ok := a.ingestOwnStep(m, in, keys)
		return ruling, ok, nil
	}
	if m.Old {
		return mirror.Ruling{}, false, nil
	}
	if ours, err := a.ownRequest(ctx, in); ours || err != nil {
		return hidden(nil), ours, err
	}
	var step handshakeStep
	err := a.db.View(ctx, func(tx *db.Tx) (err error) {
		step, err = a.receive(tx, in)
		return err
	})
	if err != nil {
		return mirror.Ruling{}, false, err
	}
	switch step.verdict {
	case securejoin.Deliver:
		return a.ingestElsewhere(ctx, m, in)
	case securejoin.Show:
		ruling, err := a.showProven(ctx, m, opened, in)
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
// that came back: we made the Message-ID of what our secret opened.
func (a *Account) ownRequest(ctx context.Context, in securejoin.Incoming) (bool, error) {
	if !a.own(in.InnerFrom) || in.Proof == nil || in.Signer != "" {
		return false, nil
	}
	return a.ask(ctx, func(tx *db.Tx) (bool, error) { return tx.SentHandshake(in.MessageID) })
}

// readKeys fills in what Autocrypt says in a handshake message, and gives the gossip.
func (a *Account) readKeys(in *securejoin.Incoming, inner message.Header) []autocrypt.Header {
	if h, found, _ := autocrypt.FromHeader(inner.Values("Autocrypt"), in.InnerFrom); found {
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
	holder, err := a.holder(tx, in.InnerFrom)
	if err != nil {
		return handshakeStep{}, err
	}
	in.Holder, in.Blocked = holder.fingerprint, holder.blocked
	switch in.Step {
	case securejoin.RequestPubkey, securejoin.RequestWithAuth:
		return a.receiveAsInviter(tx, in)
	case securejoin.AuthRequired, securejoin.Pubkey, securejoin.ContactConfirm, securejoin.MemberAdded:
		return a.receiveAsJoiner(tx, in)
	}
	return handshakeStep{verdict: securejoin.Deliver}, nil
}

func (a *Account) receiveAsInviter(tx *db.Tx, in securejoin.Incoming) (handshakeStep, error) {
	auth := in.Auth
	if in.Proof != nil {
		auth = in.Proof.Auth
	}
	found, err := tx.InviteByAuth(auth)
	if errors.Is(err, db.ErrNotFound) {
		return handshakeStep{verdict: securejoin.Deliver}, nil
	}
	if err != nil {
		return handshakeStep{}, err
	}
	if in.Standing, err = a.standing(tx, found, in.Signer); err != nil {
		return handshakeStep{}, err
	}
	invite, out := found.Receive(a.self(), in, a.now())
	return handshakeStep{out.Verdict, out.Effects, out.Refused, &invite, nil}, nil
}

// receiveAsJoiner offers a message to every join of that inviter: one vc-pubkey proves the
// key for all of them.
func (a *Account) receiveAsJoiner(tx *db.Tx, in securejoin.Incoming) (handshakeStep, error) {
	fpr := in.Signer
	if in.Proof != nil {
		fpr = in.Proof.Fingerprint
	}
	joins, err := tx.JoinsByKey(fpr)
	if err != nil {
		return handshakeStep{}, err
	}
	step := handshakeStep{verdict: securejoin.Deliver}
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

// carryOut makes effects into rows.
func (a *Account) carryOut(tx *db.Tx, effects []securejoin.Effect) error {
	for _, e := range effects {
		var err error
		switch e := e.(type) {
		case securejoin.StoreCert:
			_, err = tx.MergeCert(e.Cert, a.now())
		case securejoin.Bind:
			err = a.bind(tx, e)
		case securejoin.Send:
			err = a.sendStep(tx, e)
		case securejoin.Admit:
			err = a.admit(tx, e)
		case securejoin.Note:
			err = a.leave(tx, handshakeNote(e))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sendStep composes a handshake message and puts it into the outbox.
func (a *Account) sendStep(tx *db.Tx, s securejoin.Send) error {
	now := a.now()
	env := securejoin.Env{Now: now, OuterDate: outerDate(now), MessageID: newMessageID(), Autocrypt: a.me().autocrypt}
	var cert *pgp.Cert
	if s.Secret == "" {
		var err error
		if cert, err = tx.Cert(s.Key); err != nil {
			return err
		}
		env.Gossip = autocrypt.Header{Addr: s.To[0], Cert: cert}.GossipValue()
	}
	mail, err := securejoin.Compose(s, a.self(), env)
	if err != nil {
		return err
	}
	ciphertext, err := a.encryptStep(s, mail.Inner, cert, now)
	if err != nil {
		return err
	}
	o := db.Outgoing{Kind: db.OutHandshake, MessageID: env.MessageID, From: a.settings.Address,
		Encrypted: true, NextAt: s.NotBefore, Created: now}
	for _, addr := range s.To {
		o.To = append(o.To, db.OutgoingRecipient{Addr: addr})
	}
	wire := pgp.JoinEncrypted(mail.Outer, ciphertext, newBoundary())
	id, err := tx.Enqueue(o, wire)
	if err != nil {
		return err
	}
	if s.Step.Answered() {
		tx.AfterCommit(func() { a.outbox.expectAnswer(id) })
	}
	if copied(s.Step) {
		if err := a.copyToDevices(tx, o.MessageID, wire, o.NextAt); err != nil {
			return err
		}
	}
	if s.JoinID == 0 {
		return nil
	}
	j, err := tx.Join(s.JoinID)
	if err != nil {
		return err
	}
	j.RequestMessageID = env.MessageID
	return tx.PutJoin(j)
}

func (a *Account) encryptStep(s securejoin.Send, inner []byte, cert *pgp.Cert, now time.Time) ([]byte, error) {
	var signer *pgp.Key
	if s.Signed {
		signer = a.key()
	}
	if s.Secret != "" {
		return pgp.EncryptSymmetric(inner, s.Secret, pgp.SymmetricOptions{Signer: signer, Now: now})
	}
	return pgp.Encrypt(inner, pgp.EncryptOptions{Signer: signer, To: []*pgp.Cert{a.key().Cert(), cert}, Now: now})
}

// handshakeNote words what a handshake has to tell.
func handshakeNote(n securejoin.Note) note {
	switch n.Kind {
	case securejoin.NoteJoined:
		return note{"Verified: " + n.Addr, fmt.Sprintf("%s has joined by your invite. Mail to this contact is always encrypted from now on.\n\nFingerprint:\n%s", n.Addr, n.Key)}
	case securejoin.NoteCompleted:
		return note{"Verified: " + n.Addr, fmt.Sprintf("You have joined the invite of %s. Mail to this contact is always encrypted from now on.\n\nFingerprint:\n%s", n.Addr, n.Key)}
	case securejoin.NoteClaim:
		return note{"Another key for " + n.Addr, fmt.Sprintf("Somebody who holds an invite uses the address %s with another key than the one you have for it. "+
			"Nothing is encrypted to the new key until you accept it:\n\n  bridge contact accept %s %s\n\nKnown key:\n%s\nNew key:\n%s",
			n.Addr, n.Addr, n.Key, n.Holder, n.Key)}
	case securejoin.NoteRevoked, securejoin.NoteExpired, securejoin.NoteUsed:
		return note{"A join was refused: " + n.Addr, fmt.Sprintf("%s tried to join by an invite that %s on %s.", n.Addr, endOf(n), n.At.Format(time.DateOnly))}
	default:
		return note{"A join has failed: " + n.Addr, fmt.Sprintf("The invite of %s could not be joined: %s.", n.Addr, n.Reason)}
	}
}

func endOf(n securejoin.Note) string {
	switch n.Kind {
	case securejoin.NoteRevoked:
		return "was revoked"
	case securejoin.NoteExpired:
		return "expired"
	}
	return "was used up by " + n.UsedBy
}
