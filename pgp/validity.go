package pgp

import (
	"fmt"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// effective is the signature that counted at a time: the newest that was
// made by then. If all are younger the oldest counts, because certificates
// are re-signed (Delta Chat 2.62 does so when its relays change) and the
// older signature is then gone while old messages are still read; and
// because clocks differ. The zero time asks for the newest.
func effective(sigs []selfSig, at time.Time) *selfSig {
	var best, oldest *selfSig
	for i := range sigs {
		s := &sigs[i]
		switch made := s.sig.CreationTime; {
		case !at.IsZero() && made.After(at):
			if oldest == nil || made.Before(oldest.sig.CreationTime) {
				oldest = s
			}
		case expiredSig(s.sig, at):
		case best == nil || made.After(best.sig.CreationTime):
			best = s
		}
	}
	if best != nil {
		return best
	}
	return oldest
}

func expiredSig(sig *packet.Signature, at time.Time) bool {
	return !at.IsZero() && past(sig.CreationTime, sig.SigLifetimeSecs, at)
}

func past(start time.Time, seconds *uint32, at time.Time) bool {
	return seconds != nil && *seconds != 0 && at.After(start.Add(time.Duration(*seconds)*time.Second))
}

// mainUser is the index of the user id that speaks for the key: the one
// marked as primary, else the newest (RFC 9580, section 5.2.3.27).
func (c *Cert) mainUser(at time.Time) int {
	best, bestSig, bestMark := 0, (*selfSig)(nil), false
	for i, u := range c.users {
		s := effective(u.self, at)
		if s == nil || revokedUser(u, s, at) {
			continue
		}
		mark := s.sig.IsPrimaryId != nil && *s.sig.IsPrimaryId
		if bestSig == nil || mark && !bestMark || mark == bestMark && s.sig.CreationTime.After(bestSig.sig.CreationTime) {
			best, bestSig, bestMark = i, s, mark
		}
	}
	return best
}

// revokedUser: a later certification takes a revocation back.
func revokedUser(u userID, s *selfSig, at time.Time) bool {
	for _, r := range u.revocations {
		if !r.sig.CreationTime.Before(s.sig.CreationTime) && (at.IsZero() || !r.sig.CreationTime.After(at)) {
			return true
		}
	}
	return false
}

// properties are the signatures that carry the key's flags, features and
// expiry: of the main user id, and directly on the key.
func (c *Cert) properties(at time.Time) []*packet.Signature {
	var list []*packet.Signature
	if len(c.users) > 0 {
		u := c.users[c.mainUser(at)]
		if s := effective(u.self, at); s != nil && !revokedUser(u, s, at) {
			list = append(list, s.sig)
		}
	}
	if s := effective(c.primary.self, at); s != nil {
		list = append(list, s.sig)
	}
	return list
}

// validPrimary says whether the primary key could be used at a time.
func (c *Cert) validPrimary(at time.Time) error {
	list := c.properties(at)
	if len(list) == 0 {
		return fmt.Errorf("%w: no valid self-signature", ErrBadKey)
	}
	if revoked(c.primary.revocations, at) {
		return fmt.Errorf("%w: revoked", ErrBadKey)
	}
	for _, s := range list {
		if !at.IsZero() && past(c.primary.key.CreationTime, s.KeyLifetimeSecs, at) {
			return fmt.Errorf("%w: expired", ErrBadKey)
		}
	}
	return nil
}

// revoked: a key that was compromised, or revoked without a reason, is
// revoked for its whole life; one that was superseded or retired from then
// on (RFC 9580, section 5.2.3.31).
func revoked(revocations []selfSig, at time.Time) bool {
	for _, r := range revocations {
		soft := false
		if why := r.sig.RevocationReason; why != nil {
			soft = *why == packet.KeySuperseded || *why == packet.KeyRetired
		}
		if !soft || at.IsZero() || !r.sig.CreationTime.After(at) {
			return true
		}
	}
	return false
}

// Revoked says whether the primary key was revoked by a time.
func (c *Cert) Revoked(now time.Time) bool { return revoked(c.primary.revocations, now) }

// Expires is when the primary key expires; false if it does not.
func (c *Cert) Expires() (time.Time, bool) {
	var first time.Time
	for _, s := range c.properties(time.Time{}) {
		if s.KeyLifetimeSecs == nil || *s.KeyLifetimeSecs == 0 {
			continue
		}
		end := c.primary.key.CreationTime.Add(time.Duration(*s.KeyLifetimeSecs) * time.Second)
		if first.IsZero() || end.Before(first) {
			first = end
		}
	}
	return first, !first.IsZero()
}

// validSubkey returns the binding that lets a subkey be used at a time.
func (s *component) validSubkey(at time.Time) *packet.Signature {
	b := effective(s.self, at)
	if b == nil || revoked(s.revocations, at) {
		return nil
	}
	if !at.IsZero() && past(s.key.CreationTime, b.sig.KeyLifetimeSecs, at) {
		return nil
	}
	return b.sig
}

// encryptionKey picks the key to encrypt to: the newest valid subkey, else
// the primary key if it says that it may be used so.
func (c *Cert) encryptionKey(at time.Time) (*packet.PublicKey, error) {
	if err := c.validPrimary(at); err != nil {
		return nil, err
	}
	if s := c.encryptionSubkey(at); s != nil {
		return s.key, nil
	}
	if c.primary.key.PubKeyAlgo.CanEncrypt() {
		for _, s := range c.properties(at) {
			if s.FlagsValid && mayEncrypt(s) {
				return c.primary.key, nil
			}
		}
	}
	return nil, fmt.Errorf("%w: it has no usable encryption key", ErrBadKey)
}

func (c *Cert) encryptionSubkey(at time.Time) *component {
	var best *component
	for i := range c.subkeys {
		s := &c.subkeys[i]
		b := s.validSubkey(at)
		if b == nil || !s.key.PubKeyAlgo.CanEncrypt() || b.FlagsValid && !mayEncrypt(b) {
			continue
		}
		if best == nil || s.key.CreationTime.After(best.key.CreationTime) {
			best = s
		}
	}
	return best
}

func mayEncrypt(s *packet.Signature) bool { return s.FlagEncryptCommunications || s.FlagEncryptStorage }

// mayVerify says whether a key of the certificate could make signatures on
// data at a time. Subkeys must say so, for only then their back signature
// was checked; a primary key signs unless its flags deny it.
func (c *Cert) mayVerify(k *component, at time.Time) bool {
	if at.Before(k.key.CreationTime) || c.validPrimary(at) != nil {
		return false
	}
	if k != &c.primary {
		b := k.validSubkey(at)
		return b != nil && b.FlagsValid && b.FlagSign
	}
	for _, s := range c.properties(at) {
		if s.FlagsValid {
			return s.FlagSign
		}
	}
	return true
}
