package autocrypt

import (
	"time"

	"mailbridge/pgp"
)

// Stale is how much older than the last sign of life the newest header may be
// before encryption is discouraged (Level 1, section 2.4).
const Stale = 35 * 24 * time.Hour

// Recommendation is Autocrypt's answer to "encrypt this?" (Level 1,
// section 2.4), in the order of the words there.
type Recommendation int

const (
	Disable    Recommendation = iota // impossible
	Discourage                       // possible, but may not be readable
	Available                        // possible, if the user asks for it
	Encrypt                          // do it
)

var recommendations = [...]string{"disable", "discourage", "available", "encrypt"}

func (r Recommendation) String() string {
	if r < Disable || r > Encrypt {
		return recommendations[Disable]
	}
	return recommendations[r]
}

// Candidate is a recipient. A key is usable if mail can be encrypted to it:
// not revoked, not expired, with an encryption subkey.
type Candidate struct {
	Peer         Peer
	CertUsable   bool // of Peer.Cert
	GossipUsable bool // of Peer.GossipCert
}

// Advice is the recommendation for one recipient, and the key to encrypt to
// if it is done; the key is empty iff Recommendation is Disable.
type Advice struct {
	Recommendation Recommendation
	Target         pgp.Fingerprint
}

// Recommend advises for each recipient and for all together. reply says that
// the message answers an encrypted one.
func Recommend(recipients []Candidate, own Prefer, reply bool) (Recommendation, []Advice) {
	advice := make([]Advice, len(recipients))
	for i, c := range recipients {
		advice[i] = c.advise(own, reply)
	}
	return Combine(advice), advice
}

func (c Candidate) advise(own Prefer, reply bool) Advice {
	a := c.preliminary()
	if a.Recommendation == Disable {
		return a
	}
	mutual := own == Mutual && c.Peer.Prefer == Mutual
	if reply || (a.Recommendation == Available && mutual) {
		a.Recommendation = Encrypt
	}
	return a
}

func (c Candidate) preliminary() Advice {
	switch {
	case c.Peer.Cert != "" && c.CertUsable:
		if c.Peer.LastSeen.Sub(c.Peer.Timestamp) > Stale {
			return Advice{Discourage, c.Peer.Cert}
		}
		return Advice{Available, c.Peer.Cert}
	case c.Peer.GossipCert != "" && c.GossipUsable:
		return Advice{Discourage, c.Peer.GossipCert}
	}
	return Advice{Disable, ""}
}

// Combine is the recommendation for a message to all of several recipients:
// the most cautious of theirs, which is what Level 1's cascade comes to.
// Without any recipient there is nothing to encrypt to.
func Combine(advice []Advice) Recommendation {
	if len(advice) == 0 {
		return Disable
	}
	lowest := Encrypt
	for _, a := range advice {
		lowest = min(lowest, a.Recommendation)
	}
	return lowest
}
