package account

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mailbridge/db"
	"mailbridge/message"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// Contacts lists the correspondents that a key is known of, by address.
func (a *Account) Contacts(ctx context.Context) ([]Contact, error) {
	contacts := []Contact{}
	err := a.db.View(ctx, func(tx *db.Tx) error {
		peers, err := tx.Peers()
		for _, p := range peers {
			contacts = append(contacts, describeContact(p))
		}
		return err
	})
	return contacts, err
}

// Contact gives one correspondent.
func (a *Account) Contact(ctx context.Context, address string) (Contact, error) {
	var peer db.Peer
	err := a.db.View(ctx, func(tx *db.Tx) (err error) {
		peer, err = knownPeer(tx, address)
		return err
	})
	if err != nil {
		return Contact{}, err
	}
	return describeContact(peer), nil
}

func knownPeer(tx *db.Tx, address string) (db.Peer, error) {
	peer, err := tx.Peer(message.CanonicalAddr(address))
	if errors.Is(err, db.ErrNotFound) {
		return peer, fmt.Errorf("%w: no contact %s", ErrNotFound, address)
	}
	return peer, err
}

// AcceptKey makes a key that waits as a candidate the one that is used for an address, as the
// user decided. A claim is thereby verified, and its joiner gets what it waits for.
func (a *Account) AcceptKey(ctx context.Context, address, fingerprint string) (Contact, error) {
	fpr, err := pgp.ParseFingerprint(fingerprint)
	if err != nil {
		return Contact{}, badData(err, "%q is not a fingerprint", fingerprint)
	}
	var peer db.Peer
	err = a.db.Update(ctx, func(tx *db.Tx) (err error) {
		if peer, err = knownPeer(tx, address); err != nil {
			return err
		}
		accepted, waiting := peer.Accept(fpr, a.now())
		if !waiting {
			return fmt.Errorf("%w: no key %s waits for %s", ErrNotFound, fpr, address)
		}
		peer, err = a.takeKey(tx, peer, accepted)
		return err
	})
	if err != nil {
		return Contact{}, err
	}
	a.outbox.kick()
	return describeContact(peer), nil
}

// takeKey stores a contact whose key the user has decided about. If that ends a claim, its joiner
// is answered.
func (a *Account) takeKey(tx *db.Tx, before, after db.Peer) (db.Peer, error) {
	claim, claimed := before.Claim(after.VerifiedCert)
	if claimed {
		// Who has completed a handshake runs a program that speaks SecureJoin.
		after.ReadsHidden = true
	}
	if err := tx.PutPeer(after); err != nil {
		return after, err
	}
	if err := a.refreshKeywords(tx, after); err != nil || !claimed {
		return after, err
	}
	return after, errors.Join(a.settleJoins(tx, after), a.welcomeClaim(tx, after, claim))
}

// settleJoins ends the claims of our joins that the user has accepted.
func (a *Account) settleJoins(tx *db.Tx, peer db.Peer) error {
	joins, err := tx.JoinsByKey(peer.VerifiedCert)
	if err != nil {
		return err
	}
	for _, j := range joins {
		if !j.Claim || j.Addr != peer.Addr {
			continue
		}
		j.Claim = false
		if err := a.putJoin(tx, j); err != nil {
			return err
		}
	}
	return nil
}

// welcomeClaim answers a joiner whose claim the user has accepted: by all invites that it has
// joined by since it came up. An earlier use is another story: who has left a group since is not
// taken in again.
func (a *Account) welcomeClaim(tx *db.Tx, peer db.Peer, claim db.Candidate) error {
	invites, err := tx.Invites(a.now())
	if err != nil {
		return err
	}
	confirmed := false
	for _, i := range invites {
		used := slices.ContainsFunc(i.Uses, func(u securejoin.Use) bool {
			return u.Addr == peer.Addr && u.Fingerprint == peer.VerifiedCert && !u.At.Before(claim.SeenAt)
		})
		if !used || confirmed && i.Kind == securejoin.Contact {
			continue
		}
		welcome, err := a.mayWelcome(tx, i, peer.VerifiedCert)
		if err != nil {
			return err
		}
		if !welcome {
			continue
		}
		confirmed = confirmed || i.Kind == securejoin.Contact
		if err := a.carryOut(tx, []securejoin.Effect{i.Welcome(peer.Addr, peer.Name, peer.VerifiedCert)}); err != nil {
			return err
		}
	}
	return nil // without one it was our join, which needs no answer
}

// mayWelcome says whether somebody who joined by an invite may be taken in now: not by one that
// was revoked since, nor into a group from which it was removed.
func (a *Account) mayWelcome(tx *db.Tx, i securejoin.Invite, fpr pgp.Fingerprint) (bool, error) {
	if i.State(a.now()) == securejoin.Revoked {
		return false, nil
	}
	if i.Kind == securejoin.Contact {
		return true, nil
	}
	standing, err := a.standing(tx, i, fpr)
	return standing == securejoin.Outsider || standing == securejoin.Insider, err
}

// VerifyContact verifies a contact: with the fingerprint that the user has compared, at once, or
// without one by an invite that is good for this address and one use.
func (a *Account) VerifyContact(ctx context.Context, address, fingerprint, way string) (Verification, error) {
	addr, err := a.otherAddr(address)
	if err != nil {
		return Verification{}, err
	}
	var v Verification
	err = a.db.Update(ctx, func(tx *db.Tx) error {
		peer, err := tx.PeerOrNew(addr)
		if err != nil {
			return err
		}
		if peer.Blocked {
			return badData(securejoin.ErrBlocked, "you have blocked %s", addr)
		}
		if strings.TrimSpace(fingerprint) != "" {
			peer, err = a.verifyByHand(tx, peer, fingerprint)
		} else {
			v.Invite, err = a.inviteOnly(tx, addr, way)
		}
		v.Contact = describeContact(peer)
		return err
	})
	if err != nil {
		return Verification{}, err
	}
	if v.Invite != nil {
		a.mirror.Retry()
	}
	a.outbox.kick()
	return v, nil
}

// inviteOnly makes an invite for one address and one use.
func (a *Account) inviteOnly(tx *db.Tx, addr, way string) (*Invite, error) {
	i, err := a.newInvite(tx, InviteOptions{For: addr, Once: true, Way: way})
	if err != nil {
		return nil, err
	}
	d, err := a.describeInvite(tx, i)
	return &d, err
}

// verifyByHand compares a fingerprint with the keys that the address has shown.
func (a *Account) verifyByHand(tx *db.Tx, peer db.Peer, fingerprint string) (db.Peer, error) {
	fpr, err := pgp.ParseFingerprint(fingerprint)
	if err != nil {
		return peer, badData(err, "%q is not a fingerprint", fingerprint)
	}
	keys := peer.Keys()
	if len(keys) == 0 {
		return peer, badData(nil, "no key of %s is known yet: there is nothing to compare %s with\nmake an invite for this contact with: bridge contact verify %s", peer.Addr, fpr, peer.Addr)
	}
	match := slices.IndexFunc(keys, func(k pgp.Fingerprint) bool {
		return subtle.ConstantTimeCompare([]byte(k), []byte(fpr)) == 1
	})
	if match < 0 {
		return peer, badData(nil, "the key of %s is another one, and nothing was changed\nknown: %s\ngiven: %s", peer.Addr, keys[0], fpr)
	}
	if _, err := tx.Cert(fpr); err != nil {
		return peer, err
	}
	return a.takeKey(tx, peer, peer.VerifyByHand(fpr, a.now()))
}

// ResetContact forgets the keys of a contact, as the user decided. What the user has set stays.
func (a *Account) ResetContact(ctx context.Context, address string) (Contact, error) {
	var peer db.Peer
	err := a.db.Update(ctx, func(tx *db.Tx) (err error) {
		if peer, err = knownPeer(tx, address); err != nil {
			return err
		}
		peer = peer.Reset()
		return errors.Join(tx.PutPeer(peer), a.refreshKeywords(tx, peer))
	})
	if err != nil {
		return Contact{}, err
	}
	return describeContact(peer), nil
}

// reasonBlocked ends the joins of a contact that the user blocks.
const reasonBlocked = "you have blocked this contact"

// BlockContact says that nothing of a contact's handshakes counts and that they get no answer, or
// that they count again. Mail is shown as before.
func (a *Account) BlockContact(ctx context.Context, address string, on bool) (Contact, error) {
	addr, err := a.otherAddr(address)
	if err != nil {
		return Contact{}, err
	}
	var peer db.Peer
	err = a.db.Update(ctx, func(tx *db.Tx) (err error) {
		if peer, err = tx.PeerOrNew(addr); err != nil {
			return err
		}
		peer.Blocked = on
		if err := tx.PutPeer(peer); err != nil || !on {
			return err
		}
		return a.endJoinsOf(tx, addr, reasonBlocked)
	})
	if err != nil {
		return Contact{}, err
	}
	return describeContact(peer), nil
}

func describeContact(p db.Peer) Contact {
	c := Contact{
		Address: p.Addr, Name: p.Name, Fingerprint: p.Key(),
		Verified: p.Verified(), VerifiedAt: timeOrNil(p.VerifiedAt), VerifiedHow: p.VerifiedHow, VerifiedWay: string(p.VerifiedWay),
		IntroducedBy: p.IntroducedBy, Origin: string(p.Origin), Policy: p.Policy, Blocked: p.Blocked,
		PreferEncrypt: p.Prefer.String(), LastSeen: timeOrNil(p.LastSeen),
		AutocryptTimestamp: timeOrNil(p.Timestamp), Candidates: []pgp.Fingerprint{},
	}
	if c.Policy == "" {
		c.Policy = "auto"
	}
	for _, k := range p.Candidates {
		if !slices.Contains(c.Candidates, k.Fingerprint) {
			c.Candidates = append(c.Candidates, k.Fingerprint)
		}
	}
	return c
}
