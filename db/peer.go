package db

import (
	"slices"
	"time"

	"mailbridge/autocrypt"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// Origin says where a peer's key was learnt.
type Origin string

const (
	OriginAutocrypt  Origin = "autocrypt"
	OriginGossip     Origin = "gossip"
	OriginSecureJoin Origin = "securejoin"
)

// Trust is what is known of a key under an address.
type Trust string

const (
	TrustVerified   Trust = "verified"
	TrustIntroduced Trust = "introduced"
	TrustAutocrypt  Trust = "autocrypt"
	TrustGossip     Trust = "gossip"
	TrustNone       Trust = "none"
)

// HowManual: the user compared the fingerprint; see Peer.VerifiedHow.
const HowManual = "manual"

// CandidateKind says how a candidate came up.
type CandidateKind string

const (
	CandidateKey   CandidateKind = "key"   // by mail, beside a verified key
	CandidateClaim CandidateKind = "claim" // by a completed handshake, beside another key
)

// maxCandidates bounds the candidates of one kind for one address. Anybody can forge mail
// with a new key; beyond this nothing is added and nobody told until the user has decided.
const maxCandidates = 10

// Candidate is a key that an address has shown but that is not used for it.
type Candidate struct {
	Fingerprint pgp.Fingerprint
	Kind        CandidateKind
	How         string         // the handshake of a claim
	Way         securejoin.Way // of its link
	SeenAt      time.Time
}

// Peer is everything known about one address.
//
// Its rules: a key that arrives by mail never replaces a verified one, it is a candidate; a
// handshake proves the holder of a link and not an address, so under an address with another
// key it is a claim; an introduction never verifies. A verified key is always the one used.
type Peer struct {
	autocrypt.Peer
	Name         string
	VerifiedCert pgp.Fingerprint // empty, or the same as Cert
	VerifiedAt   time.Time
	VerifiedHow  string         // securejoin.HowV3, HowManual
	VerifiedWay  securejoin.Way // how the link was handed over; empty: unknown
	IntroducedBy string         // the verified contact that gossiped GossipCert; empty: none did
	Origin       Origin
	Policy       string // empty: auto
	Blocked      bool
	ReadsHidden  bool // its program shows mail whose outer header hides the recipients
	Candidates   []Candidate
}

// NewPeer is a peer of whom only the address, in canonical form, is known.
func NewPeer(addr string) Peer { return Peer{Peer: autocrypt.Peer{Addr: addr}} }

// Verified says whether the peer's key is verified.
func (p Peer) Verified() bool { return p.VerifiedCert != "" }

// Key is the key that mail to the address would be encrypted to; empty: none.
func (p Peer) Key() pgp.Fingerprint {
	if p.Cert != "" {
		return p.Cert
	}
	return p.GossipCert
}

// Trust is what is known of a key, for instance a signer's, under the peer's address.
func (p Peer) Trust(fpr pgp.Fingerprint) Trust {
	switch {
	case fpr == "":
		return TrustNone
	case p.Verified():
		if fpr == p.VerifiedCert {
			return TrustVerified
		}
		return TrustNone
	case fpr == p.GossipCert && p.IntroducedBy != "":
		return TrustIntroduced
	case fpr == p.Cert:
		return TrustAutocrypt
	case fpr == p.GossipCert:
		return TrustGossip
	}
	return TrustNone
}

// KeyChange is what a message did to a peer's key.
type KeyChange int

const (
	KeyKept      KeyChange = iota
	KeyLearnt              // the first one
	KeyReplaced            // of a peer that is not verified, by Autocrypt's rules
	KeyDiffers             // from the verified one; a candidate that was known before
	KeyCandidate           // from the verified one; a new candidate, to be told of
)

// Saw returns the peer after a message from it. The keys of a verified peer do not change.
func (p Peer) Saw(s autocrypt.Sighting) (Peer, KeyChange) {
	if !s.Counts() {
		return p, KeyKept
	}
	if p.Verified() && s.Header != nil && s.Header.Cert.Fingerprint() != p.VerifiedCert {
		fpr := s.Header.Cert.Fingerprint()
		s.Header = nil
		p.Peer = p.Peer.Update(s)
		return p.candidate(Candidate{Fingerprint: fpr, Kind: CandidateKey, SeenAt: s.Effective})
	}
	before := p.Cert
	p.Peer = p.Peer.Update(s)
	switch {
	case p.Cert == before:
		return p, KeyKept
	case before == "":
		p.Origin = OriginAutocrypt
		return p, KeyLearnt
	}
	p.Origin = OriginAutocrypt
	return p, KeyReplaced
}

// candidate adds a candidate, if it is new and there is room.
func (p Peer) candidate(c Candidate) (Peer, KeyChange) {
	same := 0
	for _, known := range p.Candidates {
		if known.Kind != c.Kind {
			continue
		}
		if known.Fingerprint == c.Fingerprint {
			return p, KeyDiffers
		}
		same++
	}
	if same >= maxCandidates {
		return p, KeyDiffers
	}
	p.Candidates = append(p.Candidates[:len(p.Candidates):len(p.Candidates)], c)
	return p, KeyCandidate
}

// Gossiped returns the peer after gossip about it. introducer is the address of the sender if
// that one is verified, else empty. What a verified contact has introduced is not displaced by
// the gossip of others.
func (p Peer) Gossiped(h autocrypt.Header, effective time.Time, introducer string) Peer {
	known := p.GossipCert == h.Cert.Fingerprint()
	if introducer == "" && p.IntroducedBy != "" && !known {
		return p
	}
	before := p.GossipTimestamp
	p.Peer = p.Peer.UpdateGossip(h, effective)
	if p.GossipCert != h.Cert.Fingerprint() || before.After(effective) {
		return p
	}
	if introducer != "" || !known {
		p.IntroducedBy = introducer
	}
	if p.Cert == "" {
		p.Origin = OriginGossip
	}
	return p
}

// Joined returns the peer after a completed handshake under its address. It reports whether
// there is a new claim for the user to decide.
func (p Peer) Joined(b securejoin.Bind) (Peer, bool) {
	if p.Name == "" {
		p.Name = b.Name
	}
	free := p.Key() == "" || p.Key() == b.Fingerprint || b.Replaces != "" && p.Key() == b.Replaces
	if b.Claim || !free {
		// The key may have come up since the handshake was looked at.
		p, change := p.candidate(Candidate{b.Fingerprint, CandidateClaim, b.How, b.Way, b.At})
		return p, change == KeyCandidate
	}
	return p.verify(b.Fingerprint, b.How, b.Way, b.At), false
}

// verify makes a key the verified one. One that was verified before keeps its date.
func (p Peer) verify(fpr pgp.Fingerprint, how string, way securejoin.Way, at time.Time) Peer {
	if p.VerifiedCert == fpr {
		return p.withoutCandidate(fpr)
	}
	p = p.use(fpr, at)
	p.VerifiedCert, p.VerifiedAt, p.VerifiedHow, p.VerifiedWay = fpr, at, how, way
	if how != HowManual {
		p.Origin = OriginSecureJoin
	}
	return p
}

// Keys are the keys that the address has shown, in use or not, each once.
func (p Peer) Keys() []pgp.Fingerprint {
	var keys []pgp.Fingerprint
	add := func(fpr pgp.Fingerprint) {
		if fpr != "" && !slices.Contains(keys, fpr) {
			keys = append(keys, fpr)
		}
	}
	add(p.Cert)
	add(p.GossipCert)
	for _, c := range p.Candidates {
		add(c.Fingerprint)
	}
	return keys
}

// Claim gives the claim of a key, or false.
func (p Peer) Claim(fpr pgp.Fingerprint) (Candidate, bool) {
	for _, c := range p.Candidates {
		if c.Fingerprint == fpr && c.Kind == CandidateClaim {
			return c, true
		}
	}
	return Candidate{}, false
}

// VerifyByHand makes one of Keys the verified one: the user compared its fingerprint.
func (p Peer) VerifyByHand(fpr pgp.Fingerprint, at time.Time) Peer {
	return p.verify(fpr, HowManual, "", at)
}

// use makes a key the peer's, as if it had come by mail at that time: older mail with another
// key does not replace it.
func (p Peer) use(fpr pgp.Fingerprint, at time.Time) Peer {
	if p.Cert != fpr {
		p.Cert, p.Prefer = fpr, autocrypt.NoPreference
	}
	if at.After(p.Timestamp) {
		p.Timestamp = at
	}
	if at.After(p.LastSeen) {
		p.LastSeen = at
	}
	return p.withoutCandidate(fpr)
}

func (p Peer) withoutCandidate(fpr pgp.Fingerprint) Peer {
	var kept []Candidate
	for _, c := range p.Candidates {
		if c.Fingerprint != fpr {
			kept = append(kept, c)
		}
	}
	p.Candidates = kept
	return p
}

// Accept makes a candidate the peer's key, as the user decided. A claim is then verified by
// its handshake; a key that came by mail is not. It reports false if there is no such
// candidate.
func (p Peer) Accept(fpr pgp.Fingerprint, at time.Time) (Peer, bool) {
	found := Candidate{}
	for _, c := range p.Candidates {
		if c.Fingerprint == fpr && found.Kind != CandidateClaim {
			found = c
		}
	}
	switch found.Kind {
	case CandidateClaim:
		return p.verify(fpr, found.How, found.Way, at), true
	case CandidateKey:
		p.VerifiedCert, p.VerifiedAt, p.VerifiedHow, p.VerifiedWay = "", time.Time{}, "", ""
		p.Origin = OriginAutocrypt
		return p.use(fpr, at), true
	}
	return p, false
}

// Reset returns the peer without any key, as the user decided; what the user set stays.
func (p Peer) Reset() Peer {
	return Peer{
		Peer: autocrypt.Peer{Addr: p.Addr, LastSeen: p.LastSeen},
		Name: p.Name, Policy: p.Policy, Blocked: p.Blocked, ReadsHidden: p.ReadsHidden,
	}
}

// Recipient is the peer as Autocrypt's recommendation takes it; usable says whether mail can
// be encrypted to a key.
func (p Peer) Recipient(usable func(pgp.Fingerprint) bool) autocrypt.Candidate {
	return autocrypt.Candidate{
		Peer:         p.Peer,
		CertUsable:   p.Cert != "" && usable(p.Cert),
		GossipUsable: p.GossipCert != "" && usable(p.GossipCert),
	}
}
