package autocrypt_test

import (
	"testing"
	"time"

	"mailbridge/autocrypt"
)

func day(n int) time.Time { return time.Date(2026, 3, n, 12, 0, 0, 0, time.UTC) }

func TestEffective(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ date, received, want time.Time }{
		{day(1), day(2), day(1)},
		{day(3), day(2), day(2)},
		{time.Time{}, day(2), day(2)},
	} {
		if got := autocrypt.Effective(test.date, test.received); !got.Equal(test.want) {
			t.Errorf("Effective(%v, %v) = %v", test.date, test.received, got)
		}
	}
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	a, b, _ := recorded(t)
	old := autocrypt.Peer{Addr: alice, LastSeen: day(5), Timestamp: day(4), Cert: a.Fingerprint(), Prefer: autocrypt.Mutual}
	other := &autocrypt.Header{Addr: alice, Cert: b}
	changed := func(change func(*autocrypt.Peer)) autocrypt.Peer {
		p := old
		change(&p)
		return p
	}
	for _, test := range []struct {
		name string
		from autocrypt.Peer
		s    autocrypt.Sighting
		want autocrypt.Peer
	}{
		{"first header", autocrypt.Peer{}, autocrypt.Sighting{From: "Alice@Example.org", Effective: day(1), FromCount: 1, Header: other},
			autocrypt.Peer{Addr: alice, LastSeen: day(1), Timestamp: day(1), Cert: b.Fingerprint()}},
		{"first mail without header", autocrypt.Peer{}, autocrypt.Sighting{From: alice, Effective: day(1), FromCount: 1},
			autocrypt.Peer{Addr: alice, LastSeen: day(1)}},
		{"newer", old, autocrypt.Sighting{From: alice, Effective: day(6), FromCount: 1, Header: other},
			autocrypt.Peer{Addr: alice, LastSeen: day(6), Timestamp: day(6), Cert: b.Fingerprint()}},
		{"between timestamp and last seen", old, autocrypt.Sighting{From: alice, Effective: day(4).Add(time.Hour), FromCount: 1, Header: other},
			autocrypt.Peer{Addr: alice, LastSeen: day(5), Timestamp: day(4).Add(time.Hour), Cert: b.Fingerprint()}},
		{"same time", old, autocrypt.Sighting{From: alice, Effective: day(4), FromCount: 1, Header: other},
			autocrypt.Peer{Addr: alice, LastSeen: day(5), Timestamp: day(4), Cert: b.Fingerprint()}},
		{"older", old, autocrypt.Sighting{From: alice, Effective: day(3), FromCount: 1, Header: other}, old},
		{"no header", old, autocrypt.Sighting{From: alice, Effective: day(7), FromCount: 1},
			changed(func(p *autocrypt.Peer) { p.LastSeen = day(7) })},
		{"report", old, autocrypt.Sighting{From: alice, Effective: day(7), FromCount: 1, Header: other, Report: true}, old},
		{"spam", old, autocrypt.Sighting{From: alice, Effective: day(7), FromCount: 1, Header: other, Spam: true}, old},
		{"two senders", old, autocrypt.Sighting{From: alice, Effective: day(7), FromCount: 2, Header: other}, old},
		{"another sender", old, autocrypt.Sighting{From: bob, Effective: day(7), FromCount: 1}, old},
		{"header of another address", old, autocrypt.Sighting{From: alice, Effective: day(7), FromCount: 1, Header: &autocrypt.Header{Addr: bob, Cert: b}},
			changed(func(p *autocrypt.Peer) { p.LastSeen = day(7) })},
	} {
		if got := test.from.Update(test.s); got != test.want {
			t.Errorf("%s:\n got %+v\nwant %+v", test.name, got, test.want)
		}
	}
}

func TestUpdateGossip(t *testing.T) {
	t.Parallel()
	a, b, _ := recorded(t)
	old := autocrypt.Peer{Addr: alice, Timestamp: day(9), Cert: a.Fingerprint(), GossipTimestamp: day(4), GossipCert: a.Fingerprint()}
	newer := old
	newer.GossipTimestamp, newer.GossipCert = day(4), b.Fingerprint()
	for _, test := range []struct {
		name string
		from autocrypt.Peer
		h    autocrypt.Header
		at   time.Time
		want autocrypt.Peer
	}{
		{"first", autocrypt.Peer{}, autocrypt.Header{Addr: alice, Cert: b}, day(1), autocrypt.Peer{Addr: alice, GossipTimestamp: day(1), GossipCert: b.Fingerprint()}},
		{"older", old, autocrypt.Header{Addr: alice, Cert: b}, day(3), old},
		{"same time", old, autocrypt.Header{Addr: alice, Cert: b}, day(4), newer},
		{"another address", old, autocrypt.Header{Addr: bob, Cert: b}, day(8), old},
	} {
		if got := test.from.UpdateGossip(test.h, test.at); got != test.want {
			t.Errorf("%s:\n got %+v\nwant %+v", test.name, got, test.want)
		}
	}
}
