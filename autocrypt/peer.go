package autocrypt

import (
	"time"

	"mailbridge/message"
	"mailbridge/pgp"
)

// Peer is what Autocrypt knows about one address (Level 1, section 2.3).
// Certificates are named by fingerprint; they are kept elsewhere, because one
// may belong to several addresses.
type Peer struct {
	Addr            string // canonical
	LastSeen        time.Time
	Timestamp       time.Time // of the newest message with a header
	Cert            pgp.Fingerprint
	Prefer          Prefer
	GossipTimestamp time.Time
	GossipCert      pgp.Fingerprint
}

// Sighting is a message from a peer.
type Sighting struct {
	From      string
	Effective time.Time // see Effective; persisted, so that a second look gives the same
	Header    *Header   // nil: no valid header
	FromCount int       // addresses in From
	Report    bool      // multipart/report
	Spam      bool      // lies in \Junk
}

// Effective is the time that a message counts at: its Date, but the time of
// receipt where that is missing (zero) or in the future (Level 1,
// section 2.3).
func Effective(date, received time.Time) time.Time {
	if date.IsZero() || date.After(received) {
		return received
	}
	return date
}

// Counts says whether the message tells anything about a peer (Level 1,
// section 2.3).
func (s Sighting) Counts() bool { return !s.Report && !s.Spam && s.FromCount == 1 }

// Update returns the peer after a message from it (Level 1, section 2.3).
func (p Peer) Update(s Sighting) Peer {
	from := message.CanonicalAddr(s.From)
	if p.Addr == "" {
		p.Addr = from
	}
	if !s.Counts() || from == "" || from != p.Addr || s.Effective.Before(p.Timestamp) {
		return p
	}
	if s.Effective.After(p.LastSeen) {
		p.LastSeen = s.Effective
	}
	if s.Header == nil || s.Header.Cert == nil || s.Header.Addr != from {
		return p
	}
	p.Timestamp = s.Effective
	p.Cert = s.Header.Cert.Fingerprint()
	p.Prefer = s.Header.PreferEncrypt
	return p
}

// UpdateGossip returns the peer after gossip about it, which has passed
// GossipFor. It never touches the key that came from the peer itself
// (Level 1, section 2.3).
func (p Peer) UpdateGossip(h Header, effective time.Time) Peer {
	if p.Addr == "" {
		p.Addr = h.Addr
	}
	if h.Cert == nil || h.Addr != p.Addr || p.GossipTimestamp.After(effective) {
		return p
	}
	p.GossipTimestamp = effective
	p.GossipCert = h.Cert.Fingerprint()
	return p
}
