package account

import (
	"context"
	"errors"
	"iter"
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
	if len(list.channels) == 0 && len(m.Raw) > maxHandshake {
		return a.asItCame(m), nil // too large for a handshake, and there is no channel: nothing is awaited
	}
	opened, err := pgp.OpenSymmetric(ciphertext, list.secrets(ctx, a), a.openOptions(ctx, m))
	a.trials.spend(list.tried)
	if list.err != nil {
		return mirror.Ruling{}, list.err
	}
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
// tried: there are few joins and channels, and there may be thousands of invites. Those are read
// while they are tried, the newest first, and no further than to the one that fits.
type trialList struct {
	joins    []securejoin.Proof
	channels []string
	invites  []securejoin.Proof // as far as they were read

	small bool  // the message may be a handshake's
	tried int   // secrets
	err   error // why reading ended
}

// trialsFor begins the list of what is tried on a message. A post may be as large as any mail, so
// that a channel's secrets are tried on everything. What is larger than a handshake can only be a
// post; and mail that was there before the account takes no step of a handshake.
func (a *Account) trialsFor(ctx context.Context, m *arrival) (*trialList, error) {
	list := &trialList{small: !m.Old && len(m.Raw) <= maxHandshake}
	err := a.db.View(ctx, func(tx *db.Tx) (err error) {
		if list.channels, err = tx.ChannelSecrets(); err != nil || !list.small {
			return err
		}
		list.joins, err = tx.JoinSecrets()
		return err
	})
	return list, err
}

// secrets gives them one by one.
func (l *trialList) secrets(ctx context.Context, a *Account) iter.Seq[string] {
	return func(yield func(string) bool) {
		try := func(secret string) bool {
			l.tried++
			return yield(secret)
		}
		for _, p := range l.joins {
			if !try(p.Secret()) {
				return
			}
		}
		for _, secret := range l.channels {
			if !try(secret) {
				return
			}
		}
		if l.small {
			l.err = a.db.View(ctx, func(tx *db.Tx) error { return l.readInvites(tx, a, try) })
		}
	}
}

func (l *trialList) readInvites(tx *db.Tx, a *Account, try func(string) bool) error {
	me := a.me()
	for s, err := range tx.InviteSecrets() {
		if err != nil {
			return err
		}
		key, _ := me.inviteKey(s.ID)
		proof := securejoin.Proof{Fingerprint: key, Auth: s.Auth}
		l.invites = append(l.invites, proof)
		if !try(proof.Secret()) {
			return nil
		}
	}
	return nil
}

// opened says whose secret number n is: a join's or invite's, or that of a channel.
func (l *trialList) opened(n int) (proof *securejoin.Proof, channel string) {
	if n < len(l.joins) {
		return &l.joins[n], ""
	}
	if n -= len(l.joins); n < len(l.channels) {
		return nil, l.channels[n]
	}
	return &l.invites[n-len(l.channels)], ""
}
