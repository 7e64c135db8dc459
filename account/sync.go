package account

import (
	"crypto/rand"
	"errors"
	"time"

	"mailbridge/db"
	"mailbridge/message"
	"mailbridge/mirror"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// ingestSync takes a sync message of another device of ours. Whoever calls has seen our
// signature. What was there before the account was added has no effect.
func (a *Account) ingestSync(m *arrival, opened *pgp.Opened, inner message.Header) mirror.Ruling {
	ids := message.ParseMessageIDs(inner.Get("Message-ID"))
	if m.Old || m.origin != madeElsewhere || len(ids) != 1 {
		return hidden(nil)
	}
	items, ok := securejoin.ReadSync(opened.Payload, a.now())
	if !ok {
		a.log.Info("a sync message cannot be read")
	}
	r := hidden(func(tx *db.Tx) error {
		first, err := tx.MarkHandled(string(opened.Signature.Signer), ids[0], a.now())
		if err != nil || !first {
			return err
		}
		return errors.Join(a.sawDevice(tx), a.applySync(tx, items))
	})
	r.After = func() {
		a.outbox.kick()
		a.mirror.Retry() // a request that was held may be meant for a new invite
	}
	return r
}

// applySync takes over what another device did to its invites.
func (a *Account) applySync(tx *db.Tx, items []securejoin.SyncItem) error {
	if len(items) == 0 {
		return nil
	}
	known, err := tx.Invites(a.now())
	if err != nil {
		return err
	}
	for _, i := range securejoin.ApplySync(items, known, a.now()) {
		if err := a.takeInvite(tx, i); err != nil {
			return err
		}
	}
	for _, item := range items {
		if item.Kind != securejoin.NewBroadcast {
			continue
		}
		if err := a.keepBroadcast(tx, item.GroupID, item.Name, item.Secret, item.At); err != nil {
			return err
		}
	}
	return tx.AddEvent(a.now(), "sync", "another device of the account has told what it did")
}

// keepBroadcast makes a channel known that another device keeps, so that its posts can be read.
func (a *Account) keepBroadcast(tx *db.Tx, id, name, secret string, at time.Time) error {
	chat, ok := securejoin.KeptElsewhere(a.self(), id, name, secret, at)
	if !ok {
		return nil
	}
	_, err := tx.Channel(id)
	if !errors.Is(err, db.ErrNotFound) {
		return err
	}
	return tx.PutChannel(db.Channel{ChannelChat: chat, Local: newLocal()})
}

// takeInvite stores an invite that another device has made or withdrawn.
func (a *Account) takeInvite(tx *db.Tx, i securejoin.Invite) error {
	if i.ID != 0 {
		return tx.RevokeInvite(i.ID, i.Revoked)
	}
	if i.GroupID != "" {
		_, err := tx.Channel(i.GroupID)
		switch {
		case err == nil:
			i.Kind = securejoin.Channel
		case !errors.Is(err, db.ErrNotFound):
			return err
		}
		g, err := tx.Group(i.GroupID)
		switch {
		case err == nil && !i.Created.After(g.LastRemoved()):
			i = i.Revoke(a.now()) // who went knows it; the other device has said so late
		case err != nil && !errors.Is(err, db.ErrNotFound):
			return err
		}
	}
	_, err := tx.AddInvite(i)
	return err
}

// announce tells the other devices of a shared invite that was made here.
func (a *Account) announce(tx *db.Tx, i securejoin.Invite) error {
	item, err := i.SyncAdd(a.now())
	if err != nil {
		return err
	}
	return a.sendSync(tx, a.me(), item)
}

// withdraw tells the other devices that a shared invite was revoked here. They withdraw all links
// of that chat: they know no other way.
func (a *Account) withdraw(tx *db.Tx, i securejoin.Invite) error {
	item, err := i.SyncDelete(a.now())
	if err != nil {
		return err
	}
	return a.sendSync(tx, a.me(), item)
}

// call tells a Delta Chat app that it is not the only device: only then it leaves mail at the
// provider, and sends copies of its own. The item changes nothing.
func (a *Account) call(tx *db.Tx, me *identity) error {
	item, err := securejoin.SyncNothing(rand.Reader, a.now())
	if err != nil {
		return err
	}
	return a.sendSync(tx, me, item)
}

// sendSync sends items to the other devices.
func (a *Account) sendSync(tx *db.Tx, me *identity, items ...securejoin.SyncItem) error {
	now := a.now()
	env := securejoin.Env{
		Now: now, OuterDate: outerDate(now), MessageID: newMessageID(),
		Autocrypt: me.autocrypt, Boundary: newBoundary(),
	}
	mail, err := securejoin.ComposeSync(items, a.self(), env)
	if err != nil {
		return err
	}
	ciphertext, err := pgp.Encrypt(mail.Inner, pgp.EncryptOptions{
		Signer: me.key, To: []*pgp.Cert{me.key.Cert()}, Now: now, Compress: true,
	})
	if err != nil {
		return err
	}
	_, err = tx.Enqueue(db.Outgoing{
		Kind: db.OutHandshake, MessageID: env.MessageID, From: a.settings.Address, Encrypted: true,
		To: []db.OutgoingRecipient{{Addr: a.settings.Address}}, Created: now,
	}, pgp.JoinEncrypted(mail.Outer, ciphertext, newBoundary()))
	tx.AfterCommit(a.outbox.kick)
	return err
}
