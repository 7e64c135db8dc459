package autocrypt_test

import (
	"slices"
	"testing"
	"time"

	"mailbridge/autocrypt"
)

func TestRecommendOne(t *testing.T) {
	t.Parallel()
	fresh := autocrypt.Peer{Addr: alice, LastSeen: day(20), Timestamp: day(19), Cert: "K", Prefer: autocrypt.Mutual}
	neutral := fresh
	neutral.Prefer = autocrypt.NoPreference
	limit := fresh
	limit.LastSeen = limit.Timestamp.Add(autocrypt.Stale)
	stale := fresh
	stale.LastSeen = stale.Timestamp.Add(autocrypt.Stale + time.Second)
	gossip := autocrypt.Peer{Addr: alice, GossipCert: "G", GossipTimestamp: day(1)}
	both := fresh
	both.GossipCert = "G"
	for _, test := range []struct {
		name  string
		c     autocrypt.Candidate
		own   autocrypt.Prefer
		reply bool
		want  autocrypt.Advice
	}{
		{"no peer", autocrypt.Candidate{}, autocrypt.Mutual, true, autocrypt.Advice{Recommendation: autocrypt.Disable}},
		{"both mutual", autocrypt.Candidate{Peer: fresh, CertUsable: true}, autocrypt.Mutual, false, autocrypt.Advice{Recommendation: autocrypt.Encrypt, Target: "K"}},
		{"we do not prefer", autocrypt.Candidate{Peer: fresh, CertUsable: true}, autocrypt.NoPreference, false, autocrypt.Advice{Recommendation: autocrypt.Available, Target: "K"}},
		{"peer does not prefer", autocrypt.Candidate{Peer: neutral, CertUsable: true}, autocrypt.Mutual, false, autocrypt.Advice{Recommendation: autocrypt.Available, Target: "K"}},
		{"reply", autocrypt.Candidate{Peer: neutral, CertUsable: true}, autocrypt.NoPreference, true, autocrypt.Advice{Recommendation: autocrypt.Encrypt, Target: "K"}},
		{"35 days", autocrypt.Candidate{Peer: limit, CertUsable: true}, autocrypt.Mutual, false, autocrypt.Advice{Recommendation: autocrypt.Encrypt, Target: "K"}},
		{"stale", autocrypt.Candidate{Peer: stale, CertUsable: true}, autocrypt.Mutual, false, autocrypt.Advice{Recommendation: autocrypt.Discourage, Target: "K"}},
		{"stale, reply", autocrypt.Candidate{Peer: stale, CertUsable: true}, autocrypt.Mutual, true, autocrypt.Advice{Recommendation: autocrypt.Encrypt, Target: "K"}},
		{"gossip", autocrypt.Candidate{Peer: gossip, GossipUsable: true}, autocrypt.Mutual, false, autocrypt.Advice{Recommendation: autocrypt.Discourage, Target: "G"}},
		{"gossip, reply", autocrypt.Candidate{Peer: gossip, GossipUsable: true}, autocrypt.Mutual, true, autocrypt.Advice{Recommendation: autocrypt.Encrypt, Target: "G"}},
		{"own key before gossip", autocrypt.Candidate{Peer: both, CertUsable: true, GossipUsable: true}, autocrypt.Mutual, false, autocrypt.Advice{Recommendation: autocrypt.Encrypt, Target: "K"}},
		{"unusable key, gossip", autocrypt.Candidate{Peer: both, GossipUsable: true}, autocrypt.Mutual, false, autocrypt.Advice{Recommendation: autocrypt.Discourage, Target: "G"}},
		{"no usable key", autocrypt.Candidate{Peer: both}, autocrypt.Mutual, true, autocrypt.Advice{Recommendation: autocrypt.Disable}},
	} {
		all, one := autocrypt.Recommend([]autocrypt.Candidate{test.c}, test.own, test.reply)
		if one[0] != test.want || all != test.want.Recommendation {
			t.Errorf("%s: %v and %v together, want %v", test.name, one[0], all, test.want)
		}
	}
}

func TestCombine(t *testing.T) {
	t.Parallel()
	const d, g, a, e = autocrypt.Disable, autocrypt.Discourage, autocrypt.Available, autocrypt.Encrypt
	for _, test := range []struct {
		in   []autocrypt.Recommendation
		want autocrypt.Recommendation
	}{
		{nil, d},
		{[]autocrypt.Recommendation{e, d, g}, d},
		{[]autocrypt.Recommendation{e, e}, e},
		{[]autocrypt.Recommendation{e, g, a}, g},
		{[]autocrypt.Recommendation{e, a}, a},
		{[]autocrypt.Recommendation{a, a}, a},
	} {
		var advice []autocrypt.Advice
		for _, r := range test.in {
			advice = append(advice, autocrypt.Advice{Recommendation: r})
		}
		if got := autocrypt.Combine(advice); got != test.want {
			t.Errorf("%v: %v, want %v", test.in, got, test.want)
		}
		slices.Reverse(advice)
		if got := autocrypt.Combine(advice); got != test.want {
			t.Errorf("%v backwards: %v, want %v", test.in, got, test.want)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	if got := autocrypt.Encrypt.String() + autocrypt.Disable.String() + autocrypt.Discourage.String() + autocrypt.Available.String(); got != "encryptdisablediscourageavailable" {
		t.Error(got)
	}
	for _, p := range []autocrypt.Prefer{autocrypt.NoPreference, autocrypt.Mutual} {
		if autocrypt.ParsePrefer(p.String()) != p {
			t.Errorf("%v does not read back", p)
		}
	}
}
