package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"mailbridge/autocrypt"
	"mailbridge/db"
	"mailbridge/headers"
	"mailbridge/mailbox"
	"mailbridge/message"
	"mailbridge/mirror"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// ingestOwnStep takes a step of a handshake that our own key has signed. One that was made here
// is a copy that came back. Of another device's it is learnt whom it is for. What takes somebody
// into a group is a message of that group, too, and goes on.
func (a *Account) ingestOwnStep(m *arrival, in securejoin.Incoming, inner message.Header, keys []autocrypt.Header) (mirror.Ruling, bool) {
	switch {
	case m.origin != madeElsewhere || m.Old:
		return hidden(nil), true
	case in.Step == securejoin.MemberAdded && inner.Has(securejoin.FieldGroupID):
		m.observe = func(tx *db.Tx) error { return a.observe(tx, in, keys) }
		return mirror.Ruling{}, false
	}
	r := hidden(func(tx *db.Tx) error {
		if in.Step == securejoin.MemberAdded {
			if err := a.observeChannel(tx, in, inner); err != nil {
				return err
			}
		}
		return errors.Join(a.sawDevice(tx), a.observe(tx, in, keys))
	})
	r.After = func() {
		a.outbox.kick()
		a.mirror.Retry() // what was held may be the answer to it, or what it answers
	}
	return r, true
}

// observeChannel takes what another device has told a new subscriber about its channel.
func (a *Account) observeChannel(tx *db.Tx, in securejoin.Incoming, inner message.Header) error {
	c, ok := securejoin.ReadChannel(inner, in.Signer, in.Gossip, "", a.now())
	if !ok {
		return nil
	}
	return a.keepBroadcast(tx, c.ID, c.Name, c.Secret, c.Date)
}

// observe takes a step of another device of ours, once.
func (a *Account) observe(tx *db.Tx, in securejoin.Incoming, keys []autocrypt.Header) error {
	first, err := tx.MarkHandled(string(in.Signer), in.MessageID, a.now())
	if err != nil || !first {
		return err
	}
	addr, key := in.Other()
	h, err := a.holder(tx, addr)
	if err != nil {
		return err
	}
	in.Holder = h.fingerprint
	j, out := securejoin.Observe(a.self(), in, a.now())
	if out.Refused != nil {
		a.log.Info("a step of another device without effect", "step", in.Step, "reason", out.Refused)
		return nil
	}
	for _, k := range keys {
		if k.Addr != addr {
			continue
		}
		if _, err := tx.MergeCert(k.Cert, a.now()); err != nil {
			return err
		}
	}
	if err := a.addObserved(tx, j); err != nil {
		return err
	}
	if in.Step != securejoin.RequestWithAuth {
		if err := a.answeredElsewhere(tx, key); err != nil {
			return err
		}
	}
	err = tx.AddEvent(a.now(), "handshake", fmt.Sprintf("%s of another device to %s", in.Step, addr))
	return errors.Join(err, a.carryOut(tx, withClaims(out.Effects, in.Holder)))
}

// withClaims tells the user of a key that another device has accepted for an address with
// another key here.
func withClaims(effects []securejoin.Effect, holder pgp.Fingerprint) []securejoin.Effect {
	for _, e := range effects {
		if b, ok := e.(securejoin.Bind); ok && b.Claim {
			effects = append(effects, securejoin.Note{Kind: securejoin.NoteClaim, Addr: b.Addr, Key: b.Fingerprint, Holder: holder})
		}
	}
	return effects
}

// addObserved stores the join of another device, so that the answer to it is known.
func (a *Account) addObserved(tx *db.Tx, j securejoin.Join) error {
	if !j.Observed {
		return nil
	}
	_, err := tx.JoinOf(j.Link)
	if errors.Is(err, db.ErrNotFound) {
		_, err = tx.AddJoin(j)
	}
	return err
}

// answeredElsewhere remembers that another device has taken a joiner's step.
func (a *Account) answeredElsewhere(tx *db.Tx, joiner pgp.Fingerprint) error {
	_, err := tx.MarkHandled(string(joiner), answerMark, a.now())
	return err
}

// applyElsewhere learns from what another device has sent: whom it knows.
func (a *Account) applyElsewhere(tx *db.Tx, m *arrival, s sighting) error {
	if m.observe != nil {
		if err := m.observe(tx); err != nil {
			return err
		}
		tx.AfterCommit(a.mirror.Retry)
	}
	return errors.Join(a.sawDevice(tx), a.applyGossip(tx, s, ""))
}

// answerMark is no Message-ID.
const answerMark = "answered by another device"

// elsewhereFor is how long a step that may be for another device is held back before it is
// shown: an app that is not running is started some time, but what nobody takes the user is to see.
const elsewhereFor = 10 * time.Minute

// ingestElsewhere rules about a step that nothing here takes, while there may be another
// device. It is held, hidden once it is known that the other device has taken it, and shown if
// nobody does. It is never moved: the other device may still need it.
func (a *Account) ingestElsewhere(ctx context.Context, m *arrival, in securejoin.Incoming) (mirror.Ruling, bool, error) {
	me := a.self()
	if !me.OtherDevices || m.origin != notOurs {
		return mirror.Ruling{}, false, nil
	}
	request := in.Step == securejoin.RequestWithAuth && in.Proof == nil && in.Signer != "" && in.Gossip[me.Addr] == me.Fingerprint
	if !request && !securejoin.Elsewhere(me, in) {
		return mirror.Ruling{}, false, nil
	}
	if request {
		taken, err := a.ask(ctx, func(tx *db.Tx) (bool, error) { return tx.IsHandled(string(in.Signer), answerMark) })
		if taken || err != nil {
			return hidden(nil), taken, err
		}
	}
	ruling, held := a.holdFor(m, elsewhereFor)
	if held && m.Attempt == 0 {
		ruling.Apply = func(tx *db.Tx, _ int64) error { return a.suspectDevice(tx) }
	}
	return ruling, held, nil
}

// holdFor holds a message back until some time after it was first looked at; false: it is over.
func (a *Account) holdFor(m *arrival, wait time.Duration) (mirror.Ruling, bool) {
	shown := m.Since.Add(wait)
	if m.Since.IsZero() || !a.now().Before(shown) {
		return mirror.Ruling{}, false
	}
	return mirror.Ruling{Verdict: mirror.Hold, RetryAt: shown}, true
}

// consumedFor is longer than another bridge leaves in the Trash what it has consumed.
const consumedFor = 8 * 24 * time.Hour

// lockedFor is how long a symmetric message that no secret opens is held back. What another
// bridge on the account has consumed waits in the Trash until that one expunges it.
func (a *Account) lockedFor(m *arrival) time.Duration {
	if a.shared.Load() && m.Mailbox.Use == mailbox.UseTrash {
		return consumedFor
	}
	return lockedAfter
}

// isReceipt knows the receipts (RFC 8098) that come and go between other programs while
// another device reads: its own, by our signature, and those for what it has sent, by the
// signature of who is the sender. The bridge asks for none.
func (a *Account) isReceipt(ctx context.Context, m *arrival, opened *pgp.Opened, inner message.Header) (bool, error) {
	if !a.shared.Load() || m.origin == madeElsewhere {
		return m.origin == madeElsewhere, nil
	}
	parts := message.Parse(opened.Payload).Children
	from := soleSender(inner)
	if m.origin != notOurs || len(m.Raw) > maxHandshake || len(parts) != 2 || opened.Signature.State != pgp.SignatureGood || !opened.IntendedForUs || from != soleSender(m.outer) {
		return false, nil
	}
	report, _ := message.ParseHeader(parts[1].Decoded(opened.Payload))
	ids := message.ParseMessageIDs(report.Get("Original-Message-ID"))
	if parts[1].MediaType != "message/disposition-notification" || len(ids) != 1 {
		return false, nil
	}
	known, err := a.knownFor(ctx, from, opened.Signature.Signer)
	if !known || err != nil {
		return false, err
	}
	made, err := a.ask(ctx, func(tx *db.Tx) (bool, error) {
		made, _, err := tx.MadeHere(ids[0])
		return made, err
	})
	return !made && err == nil, err
}

// sentElsewhere lets mail that another device has sent lie in the Sent mailbox, where the user
// looks for own mail, and not among what came in. The copy that came here is hidden, and stays
// for the other devices.
func (a *Account) sentElsewhere(ctx context.Context, m *arrival, merged headers.Merged, r mirror.Ruling) (mirror.Ruling, error) {
	if m.Old || m.Mailbox.Name != mailbox.Inbox || a.addressed(merged.Header) || !a.own(soleSender(merged.Header)) || !a.own(soleSender(m.outer)) {
		return r, nil // what came by way of a list has another sender outside
	}
	sent, err := a.mirror.Special(ctx, mailbox.UseSent)
	var refusal *mailbox.Error
	if errors.As(err, &refusal) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	copied := mirror.Local{
		Mailbox: sent.Name, Kind: r.Kind, View: r.View, Wire: m.Raw, Flags: mailbox.NewFlags(mailbox.Seen),
		Keywords: r.Keywords, Date: m.InternalDate, MessageID: r.MessageID, UploadAt: a.now().Add(otherUpload),
	}
	learn := r.Apply
	r.Verdict, r.Kind, r.View, r.Keywords = mirror.Hide, mirror.Control, nil, nil
	r.Apply = func(tx *db.Tx, row int64) error {
		if err := learn(tx, row); err != nil {
			return err
		}
		known, err := tx.MessagesByID(r.MessageID)
		if err != nil || slices.ContainsFunc(known, func(k db.Message) bool { return k.Mailbox == sent.ID }) {
			return err
		}
		_, err = a.mirror.Add(tx, copied)
		return err
	}
	return r, nil
}

// otherUpload is how long another bridge has to upload the Sent copy of what it has sent, before
// this one does it: one is enough.
const otherUpload = 10 * time.Minute

// addressed reports whether we are among those that a message names as its recipients.
func (a *Account) addressed(h message.Header) bool {
	for _, field := range []string{"To", "Cc"} {
		for _, to := range message.ParseAddresses(h.Get(field)) {
			if a.own(to.Addr) {
				return true
			}
		}
	}
	return false
}

// waitingCopy gives the row in the Sent mailbox of mail that another device has sent, as long as
// its upload waits; 0: there is none.
func (a *Account) waitingCopy(tx *db.Tx, box mailbox.ID, messageID string) (int64, error) {
	known, err := tx.MessagesByID(messageID)
	if err != nil {
		return 0, err
	}
	for _, k := range known {
		if k.Mailbox != box || k.Kind != mirror.Opened {
			continue
		}
		entries, err := tx.JournalOf(k.ID)
		if err != nil || slices.ContainsFunc(entries, func(e db.Entry) bool { return e.Op == db.OpAppend && !e.Sent }) {
			return k.ID, err
		}
	}
	return 0, nil
}
