package account

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"mailbridge/autocrypt"
	"mailbridge/db"
	"mailbridge/headers"
	"mailbridge/mailbox"
	"mailbridge/message"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// sighting is what a message tells about keys.
type sighting struct {
	autocrypt.Sighting
	from        string // canonical; empty if there is not exactly one sender
	mismatch    bool   // inside and outside name different senders, and no signature binds the inner one
	effective   bool   // may have effects: plain mail, or opened mail with a good signature of its sender
	signer      pgp.Fingerprint
	readsHidden bool
	gossip      []autocrypt.Header
}

// sightingOf reads mail that was not opened.
func (a *Account) sightingOf(m *arrival) sighting {
	return a.newSighting(m, m.outer, soleSender(m.outer), m.outer.Values(autocrypt.HeaderName))
}

// sightingInside reads opened mail. It has effects only if its signature is good and was meant
// for us; a key that merely came along in an unsigned message is nobody's. The sender is the one
// that is shown: where the header inside is not protected it does not count.
//
// A key counts only for the address that the mail has outside, too: who signs may write any
// sender inside, and his own key for it (Delta Chat 2.62 does the same).
func (a *Account) sightingInside(m *arrival, merged headers.Merged, opened *pgp.Opened) sighting {
	from := shortAddr(merged.From.Addr)
	var fields []string
	if merged.Unbound {
		from = ""
	} else if !merged.FromMismatch {
		fields = merged.Inner.Values(autocrypt.HeaderName)
		if len(fields) == 0 {
			fields = m.outer.Values(autocrypt.HeaderName)
		}
	}
	s := a.newSighting(m, merged.Header, from, fields)
	s.mismatch = merged.Unbound
	s.readOpened(m, merged.Inner, opened)
	if s.Header != nil && s.Header.Cert.Fingerprint() != s.signer {
		s.Header = nil // the signer speaks for its own key alone
	}
	return s
}

// newSighting reads what all mail has. Our own key is nobody else's: mail to a contact who was
// given it could be read by us alone.
func (a *Account) newSighting(m *arrival, h message.Header, from string, fields []string) sighting {
	media, _ := message.ContentType(h.Get("Content-Type"))
	date, _ := message.ParseDate(h.Get("Date"))
	s := sighting{from: from, effective: !m.Old}
	s.Sighting = autocrypt.Sighting{
		From:      from,
		Effective: autocrypt.Effective(date, m.received(a.now())),
		FromCount: 1,
		Report:    media == "multipart/report",
		Spam:      m.Mailbox.Use == mailbox.UseJunk,
	}
	if from == "" {
		s.FromCount = 0
	}
	found, ok, _ := autocrypt.FromHeader(fields, from)
	if ok && !a.me().has(found.Cert.Fingerprint()) {
		s.Header = &found
	}
	return s
}

// readOpened reads what only opened mail has.
func (s *sighting) readOpened(m *arrival, h message.Header, opened *pgp.Opened) {
	good := opened.Signature.State == pgp.SignatureGood && opened.IntendedForUs
	s.effective = s.effective && good
	if !good {
		return
	}
	s.signer = opened.Signature.Signer
	_, params := message.ContentType(h.Get("Content-Type"))
	s.readsHidden = params["hp"] == "cipher" && len(message.ParseAddresses(m.outer.Get("To"))) == 0
	var recipients []string
	for _, field := range []string{"To", "Cc", "Reply-To"} {
		for _, to := range message.ParseAddresses(h.Get(field)) {
			recipients = append(recipients, to.Addr)
		}
	}
	s.gossip = autocrypt.GossipFor(h.Values(autocrypt.GossipName), recipients)
}

// applySighting learns from a message in the transaction that shows it.
func (a *Account) applySighting(tx *db.Tx, s sighting) error {
	if !s.effective || !s.Counts() || a.own(s.from) || bridgeAddr(s.from) {
		return nil
	}
	peer, err := tx.PeerOrNew(s.from)
	if err != nil {
		return err
	}
	if s.Header == nil && peer.Key() == "" {
		return nil // nothing is known, and nothing to learn
	}
	if s.Header != nil {
		if _, err := tx.MergeCert(s.Header.Cert, s.Effective); err != nil {
			return err
		}
	}
	peer, change := peer.Saw(s.Sighting)
	bound := s.signer != "" && s.signer == peer.Key()
	peer.ReadsHidden = peer.ReadsHidden || s.readsHidden && bound
	if err := tx.PutPeer(peer); err != nil {
		return err
	}
	if change == db.KeyCandidate {
		if err := a.leave(tx, candidateNote(peer, s.Header.Cert.Fingerprint())); err != nil {
			return err
		}
	}
	if !bound {
		return nil
	}
	introducer := ""
	if peer.Trust(s.signer) == db.TrustVerified {
		introducer = s.from
	}
	return a.applyGossip(tx, s, introducer)
}

// applyGossip learns the keys of the other recipients of a signed message.
func (a *Account) applyGossip(tx *db.Tx, s sighting, introducer string) error {
	for _, g := range s.gossip {
		if a.own(g.Addr) || bridgeAddr(g.Addr) || g.Addr == s.from || a.me().has(g.Cert.Fingerprint()) {
			continue
		}
		if _, err := tx.MergeCert(g.Cert, s.Effective); err != nil {
			return err
		}
		peer, err := tx.PeerOrNew(g.Addr)
		if err != nil {
			return err
		}
		if err := tx.PutPeer(peer.Gossiped(g, s.Effective, introducer)); err != nil {
			return err
		}
	}
	return nil
}

func candidateNote(p db.Peer, fpr pgp.Fingerprint) note {
	return note{
		subject: "Another key for " + p.Addr,
		text: fmt.Sprintf("A message from %s came with another key than the verified one. Nothing was changed: mail to this contact "+
			"is still encrypted to the verified key. If the contact confirms the new key, accept it:\n\n  bridge contact accept %s %s\n\n"+
			"Verified key:\n%s\nNew key:\n%s", p.Addr, p.Addr, fpr, p.VerifiedCert, fpr),
	}
}

// judge says what a signature is worth, as of now, for the security header and the
// keywords. It looks at the peer as the message leaves it.
//
// A good signature says who signed, which is not always who is shown as the sender: the signer
// is named only by an address that the key is known for.
func (a *Account) judge(ctx context.Context, security *headers.Security, s sighting, signature pgp.Signature) (mailbox.Flags, error) {
	peer, err := a.peerAfter(ctx, s)
	if err != nil {
		return nil, err
	}
	fpr := signature.Signer
	known, err := a.addressesOf(ctx, signature)
	if err != nil {
		return nil, err
	}
	mismatch := s.mismatch
	if signature.State == pgp.SignatureGood {
		security.Fingerprint, security.Trust = string(fpr), string(peer.Trust(fpr))
		switch {
		case security.Trust != string(db.TrustNone):
			security.Signer = s.from
		case len(known) > 0:
			security.Signer = known[0]
			mismatch = mismatch || known[0] != s.from
		}
	}
	if mismatch {
		security.Warnings = append(security.Warnings, "from-mismatch")
	}
	if brought := s.Header != nil && s.Header.Cert.Fingerprint() != peer.VerifiedCert; peer.Verified() && (brought || fpr != "" && fpr != peer.VerifiedCert) {
		security.Trust = string(db.TrustNone)
		security.Warnings = append(security.Warnings, "key-changed")
		return mailbox.NewFlags(mailbox.KeyChanged), nil
	}
	if security.Trust == string(db.TrustVerified) {
		return mailbox.NewFlags(mailbox.Verified), nil
	}
	return nil, nil
}

// peerAfter gives the sender as the message leaves it; nobody is known under our own address.
func (a *Account) peerAfter(ctx context.Context, s sighting) (peer db.Peer, err error) {
	if s.from == "" || a.own(s.from) {
		return db.Peer{}, nil
	}
	err = a.db.View(ctx, func(tx *db.Tx) (err error) {
		peer, err = tx.PeerOrNew(s.from)
		return err
	})
	if s.effective {
		peer, _ = peer.Saw(s.Sighting)
	}
	return peer, err
}

// maxSigners bounds how many candidate certificates are tried for one message; each costs a
// signature check.
const maxSigners = 16

// signers finds certificates that may have made a signature: those that came along with the
// message, those that are known by their fingerprint, and our own.
func (a *Account) signers(ctx context.Context, issuers []pgp.Fingerprint, fields []string) []*pgp.Cert {
	var certs []*pgp.Cert
	add := func(c *pgp.Cert) {
		i := slices.IndexFunc(certs, func(d *pgp.Cert) bool { return d.Fingerprint() == c.Fingerprint() })
		if i < 0 {
			certs = append(certs, c)
		} else if both, err := pgp.Merge(certs[i], c); err == nil {
			certs[i] = both // each is tried on each signature, over the whole text
		}
	}
	for _, value := range fields[:min(len(fields), maxSigners)] {
		if h, err := autocrypt.Parse(value); err == nil {
			add(h.Cert)
		}
	}
	for _, own := range a.me().keys() {
		add(own.Cert())
	}
	err := a.db.View(ctx, func(tx *db.Tx) error {
		known, err := tx.Certs(issuers[:min(len(issuers), maxSigners)]...)
		for _, c := range known {
			add(c)
		}
		return err
	})
	if err != nil && ctx.Err() == nil {
		a.log.Error("certificates cannot be read", "error", err)
	}
	return certs
}

// addressesOf lists the addresses that a good signature's key is known for. What others gossip
// about a key binds nothing, nor does what its holder says of himself.
func (a *Account) addressesOf(ctx context.Context, signature pgp.Signature) ([]string, error) {
	if signature.State != pgp.SignatureGood {
		return nil, nil
	}
	if a.me().has(signature.Signer) {
		return []string{a.settings.Address}, nil
	}
	var addrs []string
	err := a.db.View(ctx, func(tx *db.Tx) error {
		peers, err := tx.PeersByKey(signature.Signer)
		for _, p := range peers {
			if trust := p.Trust(signature.Signer); trust != db.TrustNone && trust != db.TrustGossip {
				addrs = append(addrs, p.Addr)
			}
		}
		return err
	})
	return addrs, err
}

// knownFor reports whether a key is known for an address.
func (a *Account) knownFor(ctx context.Context, addr string, fpr pgp.Fingerprint) (bool, error) {
	known := false
	err := a.db.View(ctx, func(tx *db.Tx) error {
		peer, err := tx.PeerOrNew(addr)
		known = fpr != "" && (peer.Cert == fpr || peer.GossipCert == fpr || peer.VerifiedCert == fpr)
		return err
	})
	return known, err
}

// lookUp gathers what is known of a recipient.
func (a *Account) lookUp(tx *db.Tx, addr string, reply bool) (recipient, error) {
	r := recipient{addr: addr}
	if a.own(addr) {
		r.cert, r.recommendation, r.readsHidden = a.key().Cert(), autocrypt.Available, true
		return r, nil
	}
	peer, err := tx.PeerOrNew(addr)
	if err != nil {
		return r, err
	}
	certs := map[pgp.Fingerprint]*pgp.Cert{}
	candidate := peer.Recipient(func(fpr pgp.Fingerprint) bool {
		cert, err := tx.Cert(fpr)
		if err != nil || !cert.CanEncrypt(a.now()) {
			return false
		}
		certs[fpr] = cert
		return true
	})
	_, advice := autocrypt.Recommend([]autocrypt.Candidate{candidate}, autocrypt.ParsePrefer(a.settings.PreferEncrypt), reply)
	r.recommendation, r.cert = advice[0].Recommendation, certs[advice[0].Target]
	if peer.Verified() {
		r.cert = certs[peer.VerifiedCert] // and no other, even if it cannot be used
	}
	r.verified, r.policy, r.readsHidden = peer.Verified(), peer.Policy, peer.ReadsHidden
	for _, c := range peer.Candidates {
		r.candidates = append(r.candidates, c.Fingerprint)
	}
	return r, nil
}

// holder is the key that an address has, and whether the user blocked it.
type holder struct {
	fingerprint pgp.Fingerprint
	blocked     bool
}

func (a *Account) holder(tx *db.Tx, addr string) (holder, error) {
	peer, err := tx.Peer(addr)
	if errors.Is(err, db.ErrNotFound) {
		return holder{}, nil
	}
	return holder{peer.Key(), peer.Blocked}, err
}

// claimant is how an address stands to somebody who comes under it with a key. Where the address is
// nobody's contact, it is that of the member of a group who has it; and who is blocked stays so
// under other addresses.
func (a *Account) claimant(tx *db.Tx, addr string, key pgp.Fingerprint) (holder, error) {
	h, err := a.holder(tx, addr)
	if err != nil || key == "" {
		return h, err
	}
	if h.fingerprint == "" {
		if h.fingerprint, err = a.memberAt(tx, addr, key); err != nil {
			return h, err
		}
	}
	peers, err := tx.PeersByKey(key)
	h.blocked = h.blocked || slices.ContainsFunc(peers, func(p db.Peer) bool { return p.Blocked && p.VerifiedCert == key })
	return h, err
}

// memberAt is the key of who has an address in a group that we are in; empty if nobody does, or if
// one who has it has this very key.
func (a *Account) memberAt(tx *db.Tx, addr string, key pgp.Fingerprint) (pgp.Fingerprint, error) {
	groups, err := tx.Groups()
	if err != nil {
		return "", err
	}
	var found pgp.Fingerprint
	for _, g := range groups {
		if !g.Has(a.key().Fingerprint()) {
			continue
		}
		for _, m := range g.Current() {
			switch {
			case m.Addr != addr:
			case m.Fingerprint == key:
				return "", nil
			default:
				found = m.Fingerprint
			}
		}
	}
	return found, nil
}

// bind gives an address the key that its handshake has shown. Who speaks SecureJoin reads mail
// that hides its recipients.
func (a *Account) bind(tx *db.Tx, b securejoin.Bind) error {
	peer, err := tx.PeerOrNew(b.Addr)
	if err != nil {
		return err
	}
	peer, _ = peer.Joined(b)
	if peer.VerifiedCert == b.Fingerprint {
		peer.ReadsHidden = true
	}
	if err := tx.PutPeer(peer); err != nil {
		return err
	}
	return a.refreshKeywords(tx, peer)
}
