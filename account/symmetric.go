package account

import (
	"context"
	"errors"
	"time"

	"mailbridge/db"
	"mailbridge/message"
	"mailbridge/mirror"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// ingestSymmetric tries the secrets of our joins, of channels and of our invites.
func (a *Account) ingestSymmetric(ctx context.Context, m *arrival, ciphertext []byte, form pgp.Form) (mirror.Ruling, error) {
	if form != pgp.FormProper {
		return a.asItCame(m), nil
	}
	if wait := a.trials.wait(a.now()); wait > 0 {
		return mirror.Ruling{Verdict: mirror.Hold, RetryAt: a.now().Add(wait)}, nil
	}
	list, err := a.trialsFor(ctx, m)
	if err != nil {
		return mirror.Ruling{}, err
	}
	secrets := list.secrets()
	if len(secrets) == 0 && len(m.Raw) > maxHandshake {
		return a.asItCame(m), nil // too large for a handshake, and there is no channel: nothing is awaited
	}
	a.trials.spend(len(secrets))
	opened, err := pgp.OpenSymmetric(ciphertext, secrets, a.openOptions(ctx, m))
	switch {
	case errors.Is(err, pgp.ErrNoSecret):
		return a.locked(m), nil
	case errors.Is(err, pgp.ErrDamaged), errors.Is(err, pgp.ErrTooLarge):
		return a.damaged(m), nil
	case err != nil:
		return a.asItCame(m), nil
	}
	inner, _ := message.ParseHeader(opened.Payload)
	if err := a.readOrigin(ctx, m, opened, inner); err != nil {
		return mirror.Ruling{}, err
	}
	proof, channel := list.opened(opened.Secret)
	if proof == nil {
		return a.ingestPost(ctx, m, opened, inner, channel)
	}
	ruling, ok, err := a.ingestHandshake(ctx, m, opened, inner, proof)
	if err != nil || ok {
		return ruling, err
	}
	// Opened with a secret of ours, but no step of a handshake: whoever holds a link could hide
	// anything in that form.
	return a.asItCame(m), nil
}

// lockedAfter is how long a symmetric message that no secret opens is held back before it is
// shown as it came: a secret may come later than what it opens, or from another device.
const lockedAfter = 10 * time.Minute

func (a *Account) locked(m *arrival) mirror.Ruling {
	if ruling, held := a.holdFor(m, a.lockedFor(m)); held && !m.Old {
		return ruling
	}
	return a.asItCame(m)
}

// trialList are the secrets that may open a symmetric message, in the order in which they are
// tried: there are few joins and channels, and there may be thousands of invites.
type trialList struct {
	joins    []securejoin.Proof
	channels []string
	invites  []securejoin.Proof
}

// trialsFor lists what is tried on a message. A post may be as large as any mail, so that a
// channel's secrets are tried on everything. What is larger than a handshake can only be a post;
// and mail that was there before the account takes no step of a handshake.
func (a *Account) trialsFor(ctx context.Context, m *arrival) (trialList, error) {
	var list trialList
	err := a.db.View(ctx, func(tx *db.Tx) (err error) {
		if list.channels, err = tx.ChannelSecrets(); err != nil || m.Old || len(m.Raw) > maxHandshake {
			return err
		}
		if list.joins, err = tx.JoinSecrets(); err != nil {
			return err
		}
		secrets, err := tx.InviteSecrets(a.now())
		me := a.me()
		list.invites = make([]securejoin.Proof, len(secrets))
		for n, s := range secrets {
			key, _ := me.inviteKey(s.ID)
			list.invites[n] = securejoin.Proof{Fingerprint: key, Auth: s.Auth}
		}
		return err
	})
	return list, err
}

func (l trialList) secrets() []string {
	secrets := make([]string, 0, len(l.joins)+len(l.channels)+len(l.invites))
	for _, p := range l.joins {
		secrets = append(secrets, p.Secret())
	}
	secrets = append(secrets, l.channels...)
	for _, p := range l.invites {
		secrets = append(secrets, p.Secret())
	}
	return secrets
}

// opened says whose secret number n is: a join's or invite's, or that of a channel.
func (l trialList) opened(n int) (proof *securejoin.Proof, channel string) {
	if n < len(l.joins) {
		return &l.joins[n], ""
	}
	if n -= len(l.joins); n < len(l.channels) {
		return nil, l.channels[n]
	}
	return &l.invites[n-len(l.channels)], ""
}
