package db

import (
	"errors"

	"mailbridge/autocrypt"
	"mailbridge/pgp"
)

const selectPeer = `SELECT addr, name, last_seen, autocrypt_timestamp, cert_fpr, prefer,
	gossip_timestamp, gossip_fpr, verified_fpr, verified_at, verified_how, introduced_by,
	origin, policy, blocked, reads_hidden, verified_way FROM peer `

func (tx *Tx) scanPeer(scan func(...any) error) (Peer, error) {
	var p Peer
	var name []byte
	var prefer string
	var seen, timestamp, gossip, verified int64
	err := scan(&p.Addr, &name, &seen, &timestamp, &p.Cert, &prefer,
		&gossip, &p.GossipCert, &p.VerifiedCert, &verified, &p.VerifiedHow, &p.IntroducedBy,
		&p.Origin, &p.Policy, &p.Blocked, &p.ReadsHidden, &p.VerifiedWay)
	if err != nil {
		return Peer{}, err
	}
	p.LastSeen, p.Timestamp = fromUnix(seen), fromUnix(timestamp)
	p.GossipTimestamp, p.VerifiedAt = fromUnix(gossip), fromUnix(verified)
	p.Prefer = autocrypt.ParsePrefer(prefer)
	if len(name) > 0 {
		plain, err := tx.open("peer", p.Addr, "name", name)
		if err != nil {
			return Peer{}, err
		}
		p.Name = string(plain)
	}
	return p, nil
}

// Peer gives what is known about an address in canonical form, or ErrNotFound.
func (tx *Tx) Peer(addr string) (Peer, error) {
	p, err := tx.scanPeer(tx.queryRow(selectPeer+`WHERE addr = ?`, addr).Scan)
	if err != nil {
		return Peer{}, err
	}
	err = tx.candidates(map[string]*Peer{addr: &p}, `WHERE addr = ?`, addr)
	return p, err
}

// PeerOrNew is Peer, but gives a new peer where none is known.
func (tx *Tx) PeerOrNew(addr string) (Peer, error) {
	p, err := tx.Peer(addr)
	if errors.Is(err, ErrNotFound) {
		return NewPeer(addr), nil
	}
	return p, err
}

// Peers gives all peers, by address.
func (tx *Tx) Peers() ([]Peer, error) {
	return tx.peers(selectPeer + `ORDER BY addr`)
}

// PeersByKey gives the peers that use a key, or were gossiped it, by address.
func (tx *Tx) PeersByKey(fpr pgp.Fingerprint) ([]Peer, error) {
	if fpr == "" {
		return nil, nil
	}
	return tx.peers(selectPeer+`WHERE cert_fpr = ?1 OR gossip_fpr = ?1 ORDER BY addr`, fpr)
}

func (tx *Tx) peers(query string, args ...any) ([]Peer, error) {
	var peers []Peer
	err := tx.query(func(scan func(...any) error) error {
		p, err := tx.scanPeer(scan)
		peers = append(peers, p)
		return err
	}, query, args...)
	if err != nil {
		return nil, err
	}
	byAddr := make(map[string]*Peer, len(peers))
	for n := range peers {
		byAddr[peers[n].Addr] = &peers[n]
	}
	return peers, tx.candidates(byAddr, ``)
}

// candidates fills in the candidates of peers, oldest first.
func (tx *Tx) candidates(peers map[string]*Peer, where string, args ...any) error {
	return tx.query(func(scan func(...any) error) error {
		var addr string
		var c Candidate
		var seen int64
		if err := scan(&addr, &c.Fingerprint, &c.Kind, &c.How, &seen, &c.Way); err != nil {
			return err
		}
		c.SeenAt = fromUnix(seen)
		if p := peers[addr]; p != nil {
			p.Candidates = append(p.Candidates, c)
		}
		return nil
	}, `SELECT addr, fpr, kind, how, seen_at, way FROM peer_candidate `+where+` ORDER BY seen_at, fpr, kind`, args...)
}

// PutPeer stores everything about a peer.
func (tx *Tx) PutPeer(p Peer) error {
	name := []byte{}
	if p.Name != "" {
		name = tx.seal("peer", p.Addr, "name", []byte(p.Name))
	}
	_, err := tx.exec(`INSERT INTO peer (addr, name, last_seen, autocrypt_timestamp, cert_fpr, prefer,
			gossip_timestamp, gossip_fpr, verified_fpr, verified_at, verified_how, introduced_by,
			origin, policy, blocked, reads_hidden, verified_way)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (addr) DO UPDATE SET name = excluded.name, last_seen = excluded.last_seen,
			autocrypt_timestamp = excluded.autocrypt_timestamp, cert_fpr = excluded.cert_fpr,
			prefer = excluded.prefer, gossip_timestamp = excluded.gossip_timestamp,
			gossip_fpr = excluded.gossip_fpr, verified_fpr = excluded.verified_fpr,
			verified_at = excluded.verified_at, verified_how = excluded.verified_how,
			introduced_by = excluded.introduced_by, origin = excluded.origin,
			policy = excluded.policy, blocked = excluded.blocked, reads_hidden = excluded.reads_hidden,
			verified_way = excluded.verified_way`,
		p.Addr, name, unix(p.LastSeen), unix(p.Timestamp), p.Cert, p.Prefer.String(),
		unix(p.GossipTimestamp), p.GossipCert, p.VerifiedCert, unix(p.VerifiedAt), p.VerifiedHow, p.IntroducedBy,
		p.Origin, p.Policy, p.Blocked, p.ReadsHidden, p.VerifiedWay)
	if err != nil {
		return err
	}
	return tx.putCandidates(p)
}

func (tx *Tx) putCandidates(p Peer) error {
	if _, err := tx.exec(`DELETE FROM peer_candidate WHERE addr = ?`, p.Addr); err != nil {
		return err
	}
	for _, c := range p.Candidates {
		_, err := tx.exec(`INSERT INTO peer_candidate (addr, fpr, kind, how, seen_at, way) VALUES (?, ?, ?, ?, ?, ?)`,
			p.Addr, c.Fingerprint, c.Kind, c.How, unix(c.SeenAt), c.Way)
		if err != nil {
			return err
		}
	}
	return nil
}
