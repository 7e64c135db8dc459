package account

import (
	"errors"
	"slices"
	"time"

	"mailbridge/autocrypt"
	"mailbridge/db"
	"mailbridge/message"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// maxEnvelope is how many recipients one transaction with the provider names: more than 100 a
// server may refuse (RFC 5321, section 4.5.3.1.8).
const maxEnvelope = 100

// sendPost sends a message about a change in a group or channel, and gives its Message-ID, which
// continues the thread. Who has no usable key is left out: no message would be read there.
func (a *Account) sendPost(tx *db.Tx, p securejoin.Post, thread []string, notBefore time.Time) (string, error) {
	now := a.now()
	env := securejoin.Env{Now: now, OuterDate: outerDate(now), MessageID: newMessageID(), Autocrypt: a.me().autocrypt, References: thread}
	if len(thread) > 0 {
		env.InReplyTo = thread[len(thread)-1]
	}
	var err error
	if env.Gossips, err = a.gossipOf(tx, p.Gossip); err != nil {
		return "", err
	}
	mail, err := securejoin.ComposePost(p, a.self(), env)
	if err != nil {
		return "", err
	}
	to, certs, err := a.readers(tx, p)
	if err != nil || len(to) == 0 && !(ofGroup(p) && a.shared.Load()) {
		return env.MessageID, err
	}
	ciphertext, err := a.encryptPost(a.me(), mail.Inner, p, certs)
	if err != nil {
		return "", err
	}
	wire := pgp.JoinEncrypted(mail.Outer, ciphertext, newBoundary())
	for some := range slices.Chunk(to, maxEnvelope) {
		o := db.Outgoing{Kind: db.OutHandshake, MessageID: env.MessageID, From: a.settings.Address,
			Encrypted: true, NextAt: notBefore, Created: now}
		for _, addr := range some {
			o.To = append(o.To, db.OutgoingRecipient{Addr: addr})
		}
		if _, err := tx.Enqueue(o, wire); err != nil {
			return "", err
		}
	}
	if !ofGroup(p) {
		return env.MessageID, nil // other devices of ours do not know our channels
	}
	return env.MessageID, a.copyToDevices(tx, env.MessageID, wire, notBefore)
}

func ofGroup(p securejoin.Post) bool {
	return slices.ContainsFunc(p.Fields, func(f message.Field) bool { return f.Name == securejoin.FieldGroupID })
}

// gossipOf gives the Autocrypt-Gossip values of members.
func (a *Account) gossipOf(tx *db.Tx, members []securejoin.Member) ([]string, error) {
	var values []string
	for _, m := range members {
		cert, err := a.memberCert(tx, m)
		if err != nil {
			return nil, err
		}
		if cert == nil {
			continue
		}
		if v := (autocrypt.Header{Addr: m.Addr, Cert: cert}).GossipValue(); v != "" {
			values = append(values, v)
		}
	}
	return values, nil
}

// readers gives the addresses and keys that a post goes to. A post that is encrypted with a
// channel's secret needs no keys.
func (a *Account) readers(tx *db.Tx, p securejoin.Post) (to []string, certs []*pgp.Cert, err error) {
	for _, m := range p.Recipients {
		if p.Secret == "" {
			cert, err := a.memberCert(tx, m)
			if err != nil {
				return nil, nil, err
			}
			if cert == nil {
				a.log.Warn("a member has no usable key", "addr", m.Addr)
				continue
			}
			certs = append(certs, cert)
		}
		if !slices.Contains(to, m.Addr) {
			to = append(to, m.Addr)
		}
	}
	return to, certs, nil
}

// memberCert is the certificate of a member; nil if mail cannot be encrypted to it.
func (a *Account) memberCert(tx *db.Tx, m securejoin.Member) (*pgp.Cert, error) {
	if m.Fingerprint == a.key().Fingerprint() {
		return a.key().Cert(), nil
	}
	cert, err := tx.Cert(m.Fingerprint)
	if errors.Is(err, db.ErrNotFound) || err == nil && !cert.CanEncrypt(a.now()) {
		return nil, nil
	}
	return cert, err
}

// encryptPost encrypts with the channel's secret, or to the members' keys and our own.
func (a *Account) encryptPost(me *identity, payload []byte, p securejoin.Post, certs []*pgp.Cert) ([]byte, error) {
	if p.Secret != "" {
		return pgp.EncryptSymmetric(payload, p.Secret, pgp.SymmetricOptions{Signer: me.key, Now: a.now(), Compress: true})
	}
	return pgp.Encrypt(payload, pgp.EncryptOptions{Signer: me.key, To: append([]*pgp.Cert{me.key.Cert()}, certs...), Now: a.now(), Compress: true})
}
