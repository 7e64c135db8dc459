package account

import (
	"time"

	"mailbridge/autocrypt"
	"mailbridge/db"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// carryOut makes effects into rows.
func (a *Account) carryOut(tx *db.Tx, effects []securejoin.Effect) error {
	var told []note // several joins may end with one message
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
			told, err = a.tell(tx, e, told)
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
	me := a.me()
	env := securejoin.Env{Now: now, OuterDate: outerDate(now), MessageID: newMessageID(), Autocrypt: me.autocrypt, Boundary: newBoundary()}
	var cert *pgp.Cert
	if s.Key != "" {
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
	wire := mail.Plain
	if wire == nil {
		ciphertext, err := a.encryptStep(s, mail.Inner, cert, now)
		if err != nil {
			return err
		}
		wire = pgp.JoinEncrypted(mail.Outer, ciphertext, env.Boundary)
	}
	o := db.Outgoing{Kind: db.OutHandshake, MessageID: env.MessageID, From: a.settings.Address,
		Encrypted: mail.Plain == nil, NextAt: s.NotBefore, Created: now, Invite: s.InviteID}
	for _, addr := range s.To {
		o.To = append(o.To, db.OutgoingRecipient{Addr: addr})
	}
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
