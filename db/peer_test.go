package db

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"mailbridge/autocrypt"
	"mailbridge/internal/vectors"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

const bobAddr = "bob@example.org"

func day(n int) time.Time { return time.Unix(0, 0).AddDate(56, 0, n) }

// testCerts are certificates of three people.
func testCerts(t testing.TB) []*pgp.Cert {
	t.Helper()
	var certs []*pgp.Cert
	for _, name := range []string{"v3-contact", "chat", "channel"} {
		cert, err := pgp.ParseCert(vectors.Get(t, name).Users["bob"].Cert)
		if err != nil {
			t.Fatal(err)
		}
		certs = append(certs, cert)
	}
	return certs
}

func mailFrom(cert *pgp.Cert, at time.Time) autocrypt.Sighting {
	return autocrypt.Sighting{From: bobAddr, Effective: at, FromCount: 1, Header: &autocrypt.Header{Addr: bobAddr, Cert: cert, PreferEncrypt: autocrypt.Mutual}}
}

func joined(cert *pgp.Cert, at time.Time) securejoin.Bind {
	return securejoin.Bind{Addr: bobAddr, Name: "Bob", Fingerprint: cert.Fingerprint(), How: securejoin.HowV3, At: at}
}

func verifiedPeer(t testing.TB, cert *pgp.Cert) Peer {
	t.Helper()
	p, claim := NewPeer(bobAddr).Joined(joined(cert, day(1)))
	if !p.Verified() || claim {
		t.Fatalf("%+v", p)
	}
	return p
}

// TestMailDoesNotReplaceVerified: neither key, nor mark, nor policy changes; it is a candidate,
// and told of once.
func TestMailDoesNotReplaceVerified(t *testing.T) {
	t.Parallel()
	c := testCerts(t)
	p := verifiedPeer(t, c[0])
	p.Policy = "always"
	next, change := p.Saw(mailFrom(c[1], day(2)))
	if change != KeyCandidate || next.Key() != c[0].Fingerprint() || next.VerifiedAt != p.VerifiedAt || next.Policy != "always" ||
		next.Prefer != p.Prefer || next.Timestamp != p.Timestamp || !next.LastSeen.Equal(day(2)) {
		t.Errorf("change %v: %+v", change, next)
	}
	if len(next.Candidates) != 1 || next.Candidates[0].Fingerprint != c[1].Fingerprint() || next.Candidates[0].Kind != CandidateKey {
		t.Errorf("candidates %+v", next.Candidates)
	}
	if _, change := next.Saw(mailFrom(c[1], day(3))); change != KeyDiffers {
		t.Errorf("a second mail: %v", change)
	}
	junk := mailFrom(c[1], day(2))
	junk.Spam = true
	if next, change := p.Saw(junk); change != KeyKept || len(next.Candidates) != 0 {
		t.Errorf("spam: %v, %+v", change, next)
	}
	if next.Trust(c[1].Fingerprint()) != TrustNone || next.Trust(c[0].Fingerprint()) != TrustVerified {
		t.Error("trust")
	}
	if same, change := next.Saw(mailFrom(c[0], day(4))); change != KeyKept || same.Prefer != autocrypt.Mutual || !same.Timestamp.Equal(day(4)) {
		t.Errorf("mail with the verified key: %v, %+v", change, same)
	}
}

// TestCandidatesAreBounded: mail with ever new keys does not fill the index.
func TestCandidatesAreBounded(t *testing.T) {
	t.Parallel()
	p := verifiedPeer(t, testCerts(t)[0])
	for n := range 2 * maxCandidates {
		p, _ = p.candidate(Candidate{Fingerprint: pgp.Fingerprint(fmt.Sprint(n)), Kind: CandidateKey})
	}
	if len(p.Candidates) != maxCandidates {
		t.Errorf("%d candidates", len(p.Candidates))
	}
	if p, change := p.candidate(Candidate{Fingerprint: "X", Kind: CandidateClaim}); change != KeyCandidate || len(p.Candidates) != maxCandidates+1 {
		t.Error("no room for a claim")
	}
}

func TestMailOfUnverified(t *testing.T) {
	t.Parallel()
	c := testCerts(t)
	p, change := NewPeer(bobAddr).Saw(mailFrom(c[0], day(2)))
	if change != KeyLearnt || p.Key() != c[0].Fingerprint() || p.Origin != OriginAutocrypt || p.Trust(p.Key()) != TrustAutocrypt {
		t.Errorf("first: %v, %+v", change, p)
	}
	if old, change := p.Saw(mailFrom(c[1], day(1))); change != KeyKept || old.Key() != c[0].Fingerprint() {
		t.Errorf("older: %v", change)
	}
	if next, change := p.Saw(mailFrom(c[1], day(3))); change != KeyReplaced || next.Key() != c[1].Fingerprint() || next.Verified() {
		t.Errorf("newer: %v", change)
	}
	plain := mailFrom(c[0], day(4))
	plain.Header = nil
	if next, change := p.Saw(plain); change != KeyKept || !next.LastSeen.Equal(day(4)) {
		t.Errorf("without header: %v", change)
	}
}

// TestJoined: a handshake binds an address that has no other key; else it is a claim.
func TestJoined(t *testing.T) {
	t.Parallel()
	c := testCerts(t)
	for _, test := range []struct {
		name  string
		from  Peer
		bind  func(*securejoin.Bind)
		claim bool
	}{
		{"new address", NewPeer(bobAddr), nil, false},
		{"same key by Autocrypt", saw(NewPeer(bobAddr), c[0]), nil, false},
		{"same key, verified", verifiedPeer(t, c[0]), nil, false},
		{"other key by Autocrypt", saw(NewPeer(bobAddr), c[1]), nil, true},
		{"other key by gossip", NewPeer(bobAddr).Gossiped(gossip(c[1]), day(1), ""), nil, true},
		{"other key, verified", verifiedPeer(t, c[1]), nil, true},
		{"other key, given up", verifiedPeer(t, c[1]), func(b *securejoin.Bind) { b.Replaces = c[1].Fingerprint() }, false},
		{"a third key, another given up", verifiedPeer(t, c[2]), func(b *securejoin.Bind) { b.Replaces = c[1].Fingerprint() }, true},
		{"claim from the start", NewPeer(bobAddr), func(b *securejoin.Bind) { b.Claim = true }, true},
	} {
		b := joined(c[0], day(5))
		if test.bind != nil {
			test.bind(&b)
		}
		p, claim := test.from.Joined(b)
		if claim != test.claim {
			t.Errorf("%s: claim %v", test.name, claim)
		}
		if !claim && (p.VerifiedCert != c[0].Fingerprint() || p.VerifiedHow != securejoin.HowV3 || p.Key() != c[0].Fingerprint() || p.Origin != OriginSecureJoin) {
			t.Errorf("%s: %+v", test.name, p)
		}
		if claim && (p.Key() != test.from.Key() || p.VerifiedCert != test.from.VerifiedCert || len(p.Candidates) != 1 || p.Candidates[0].Kind != CandidateClaim) {
			t.Errorf("%s: %+v", test.name, p)
		}
		if again, claim := p.Joined(b); claim || !reflect.DeepEqual(again, p) {
			t.Errorf("%s: a repeat changes %+v to %+v", test.name, p, again)
		}
	}
}

// TestHowVerified: how a key was verified stays with it, through a claim as well, and a
// fingerprint compared by hand needs no handshake.
func TestHowVerified(t *testing.T) {
	t.Parallel()
	c := testCerts(t)
	b := joined(c[0], day(5))
	b.How, b.Way = securejoin.HowLegacy, securejoin.WayShown
	direct, _ := NewPeer(bobAddr).Joined(b)
	claimed, _ := saw(NewPeer(bobAddr), c[1]).Joined(b)
	if _, ok := claimed.Claim(c[1].Fingerprint()); ok {
		t.Error("the key in use is a claim")
	}
	if found, ok := claimed.Claim(c[0].Fingerprint()); !ok || !found.SeenAt.Equal(day(5)) {
		t.Errorf("claim %+v", found)
	}
	accepted, _ := claimed.Accept(c[0].Fingerprint(), day(6))
	for name, p := range map[string]Peer{"direct": direct, "accepted": accepted} {
		if p.VerifiedHow != securejoin.HowLegacy || p.VerifiedWay != securejoin.WayShown || p.Origin != OriginSecureJoin {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if keys := claimed.Keys(); !reflect.DeepEqual(keys, []pgp.Fingerprint{c[1].Fingerprint(), c[0].Fingerprint()}) {
		t.Errorf("keys %v", keys)
	}
	byHand := claimed.VerifyByHand(c[1].Fingerprint(), day(7))
	if byHand.VerifiedCert != c[1].Fingerprint() || byHand.VerifiedHow != HowManual || !byHand.VerifiedAt.Equal(day(7)) ||
		byHand.VerifiedWay != "" || byHand.Origin != OriginAutocrypt || len(byHand.Candidates) != 1 {
		t.Errorf("by hand: %+v", byHand)
	}
	if again := direct.VerifyByHand(c[0].Fingerprint(), day(8)); !reflect.DeepEqual(again, direct) {
		t.Errorf("verified before: %+v", again)
	}
}

func saw(p Peer, cert *pgp.Cert) Peer {
	p, _ = p.Saw(mailFrom(cert, day(1)))
	return p
}

func gossip(cert *pgp.Cert) autocrypt.Header { return autocrypt.Header{Addr: bobAddr, Cert: cert} }

// TestOlderMailAfterJoin: mail from before the handshake does not bring the old key back.
func TestOlderMailAfterJoin(t *testing.T) {
	t.Parallel()
	c := testCerts(t)
	p := verifiedPeer(t, c[0])
	p.VerifiedCert = "" // even if the mark were taken away
	if p, change := p.Saw(mailFrom(c[1], day(1).Add(-time.Hour))); change != KeyKept || p.Key() != c[0].Fingerprint() {
		t.Errorf("%v, %+v", change, p)
	}
}

func TestGossiped(t *testing.T) {
	t.Parallel()
	c := testCerts(t)
	p := NewPeer(bobAddr).Gossiped(gossip(c[0]), day(1), "")
	if p.Trust(c[0].Fingerprint()) != TrustGossip || p.Origin != OriginGossip || p.Verified() {
		t.Errorf("gossip: %+v", p)
	}
	p = p.Gossiped(gossip(c[1]), day(2), "alice@example.org")
	if p.Trust(c[1].Fingerprint()) != TrustIntroduced || p.IntroducedBy != "alice@example.org" || p.Verified() || p.Trust(c[0].Fingerprint()) != TrustNone {
		t.Errorf("introduction: %+v", p)
	}
	if next := p.Gossiped(gossip(c[2]), day(3), ""); next.GossipCert != c[1].Fingerprint() {
		t.Errorf("a stranger displaced an introduction: %+v", next)
	}
	if next := p.Gossiped(gossip(c[1]), day(3), ""); next.IntroducedBy != "alice@example.org" {
		t.Errorf("a stranger's agreement took an introduction away: %+v", next)
	}
	if next := p.Gossiped(gossip(c[2]), day(1), "alice@example.org"); next.GossipCert != c[1].Fingerprint() {
		t.Errorf("older gossip counted: %+v", next)
	}
	// What the peer itself sends goes before.
	if p = saw(p, c[0]); p.Key() != c[0].Fingerprint() || p.Origin != OriginAutocrypt || p.Trust(c[0].Fingerprint()) != TrustAutocrypt {
		t.Errorf("own header: %+v", p)
	}
	if v := verifiedPeer(t, c[0]).Gossiped(gossip(c[1]), day(9), "alice@example.org"); v.Key() != c[0].Fingerprint() || v.Trust(c[1].Fingerprint()) != TrustNone {
		t.Errorf("an introduction beside a verified key: %+v", v)
	}
}

func TestAcceptAndReset(t *testing.T) {
	t.Parallel()
	c := testCerts(t)
	p := verifiedPeer(t, c[0])
	p, _ = p.Saw(mailFrom(c[1], day(2)))
	p, _ = p.Joined(joined(c[2], day(3)))
	if _, ok := p.Accept("NOBODY", day(4)); ok {
		t.Error("accepted a key that was never seen")
	}
	byMail, ok := p.Accept(c[1].Fingerprint(), day(4))
	if !ok || byMail.Verified() || byMail.Key() != c[1].Fingerprint() || len(byMail.Candidates) != 1 {
		t.Errorf("by mail: %+v", byMail)
	}
	claim, ok := p.Accept(c[2].Fingerprint(), day(4))
	if !ok || claim.VerifiedCert != c[2].Fingerprint() || claim.VerifiedHow != securejoin.HowV3 || claim.Key() != c[2].Fingerprint() {
		t.Errorf("claim: %+v", claim)
	}
	p.Policy = "always"
	r := p.Reset()
	if r.Key() != "" || r.Verified() || len(r.Candidates) != 0 || r.Policy != "always" || r.Name != "Bob" {
		t.Errorf("reset: %+v", r)
	}
}

func TestRecipient(t *testing.T) {
	t.Parallel()
	p := Peer{Peer: autocrypt.Peer{Cert: "K", GossipCert: "G"}}
	c := p.Recipient(func(fpr pgp.Fingerprint) bool { return fpr == "G" })
	if c.CertUsable || !c.GossipUsable || c.Peer != p.Peer {
		t.Errorf("%+v", c)
	}
}

// update runs a transaction that must succeed.
func update(t testing.TB, db *DB, fn func(*Tx) error) {
	t.Helper()
	if err := db.Update(context.Background(), fn); err != nil {
		t.Fatal(err)
	}
}

func TestPeerRows(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	c := testCerts(t)
	full := verifiedPeer(t, c[0])
	full, _ = full.Saw(mailFrom(c[0], day(2)))
	full, _ = full.Saw(mailFrom(c[1], day(3)))
	other := joined(c[2], day(4))
	other.Way = securejoin.WayMailed
	full, _ = full.Joined(other)
	full.VerifiedWay = securejoin.WayCopied
	full = full.Gossiped(gossip(c[1]), day(5), "alice@example.org")
	full.Policy, full.Blocked, full.ReadsHidden = "always", true, true
	bare := NewPeer("zoe@example.org")
	update(t, db, func(tx *Tx) error { return errors.Join(tx.PutPeer(bare), tx.PutPeer(full)) })
	update(t, db, func(tx *Tx) error { return tx.PutPeer(full) })
	update(t, db, func(tx *Tx) error {
		for _, want := range []Peer{full, bare} {
			if got, err := tx.Peer(want.Addr); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, %v\nwant %+v", got, err, want)
			}
		}
		all, err := tx.Peers()
		if err != nil || !reflect.DeepEqual(all, []Peer{full, bare}) {
			t.Errorf("all: %+v, %v", all, err)
		}
		for _, fpr := range []pgp.Fingerprint{full.Cert, full.GossipCert} {
			if byKey, err := tx.PeersByKey(fpr); err != nil || !reflect.DeepEqual(byKey, []Peer{full}) {
				t.Errorf("by key: %+v, %v", byKey, err)
			}
		}
		if none, err := tx.PeersByKey(""); err != nil || none != nil {
			t.Errorf("by no key: %+v, %v", none, err)
		}
		if _, err := tx.Peer("eve@example.org"); !errors.Is(err, ErrNotFound) {
			t.Errorf("unknown: %v", err)
		}
		if p, err := tx.PeerOrNew("eve@example.org"); err != nil || !reflect.DeepEqual(p, NewPeer("eve@example.org")) {
			t.Errorf("new: %+v, %v", p, err)
		}
		return nil
	})
}

func TestCertRows(t *testing.T) {
	t.Parallel()
	db := openTest(t)
	c := testCerts(t)
	update(t, db, func(tx *Tx) error {
		if _, err := tx.Cert(c[0].Fingerprint()); !errors.Is(err, ErrNotFound) {
			t.Errorf("unknown: %v", err)
		}
		for _, at := range []int{1, 1, 9} {
			if got, err := tx.MergeCert(c[0], day(at)); err != nil || got.Fingerprint() != c[0].Fingerprint() {
				t.Errorf("day %d: %v", at, err)
			}
		}
		var first, last int64
		if err := tx.queryRow(`SELECT first_seen, last_seen FROM cert`).Scan(&first, &last); err != nil || first != day(1).Unix() || last != day(9).Unix() {
			t.Errorf("seen %d, %d, %v", first, last, err)
		}
		certs, err := tx.Certs(c[1].Fingerprint(), c[0].Fingerprint())
		if err != nil || len(certs) != 1 || certs[0].Fingerprint() != c[0].Fingerprint() {
			t.Errorf("%v, %v", certs, err)
		}
		_, err = tx.exec(`UPDATE cert SET cert = ?`, c[1].Bytes())
		return err
	})
	update(t, db, func(tx *Tx) error {
		if _, err := tx.Cert(c[0].Fingerprint()); !errors.Is(err, ErrCorrupt) {
			t.Errorf("another certificate in its row: %v", err)
		}
		return nil
	})
}
