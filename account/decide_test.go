package account

import (
	"testing"

	"pgregory.net/rapid"

	"mailbridge/autocrypt"
	"mailbridge/headers"
	"mailbridge/pgp"
)

var someKey = &pgp.Cert{}

func TestDecide(t *testing.T) {
	t.Parallel()
	verified := recipient{addr: "v@example.org", cert: someKey, verified: true}
	mutual := recipient{addr: "m@example.org", cert: someKey, recommendation: autocrypt.Encrypt}
	available := recipient{addr: "a@example.org", cert: someKey, recommendation: autocrypt.Available}
	stranger := recipient{addr: "s@example.org"}
	lost := recipient{addr: "l@example.org", verified: true} // verified, but the key cannot be used
	for _, test := range []struct {
		name string
		to   []recipient
		q    request
		want outcome
	}{
		{"a stranger", []recipient{stranger}, request{}, outcomePlain},
		{"both prefer it", []recipient{mutual}, request{}, outcomeEncrypt},
		{"possible, not preferred", []recipient{available}, request{}, outcomePlain},
		{"possible, and one asks for it", []recipient{available, mutual}, request{}, outcomeEncrypt},
		{"one asks for it, one has no key", []recipient{mutual, stranger}, request{}, outcomeRefuse},
		{"verified", []recipient{verified}, request{}, outcomeEncrypt},
		{"verified beats [plain]", []recipient{verified}, request{wish: headers.WishPlain}, outcomeEncrypt},
		{"verified without a usable key", []recipient{lost}, request{}, outcomeRefuse},
		{"[plain] beats the recommendation", []recipient{mutual}, request{wish: headers.WishPlain}, outcomePlain},
		{"[plain] beats the policy", []recipient{{addr: "p", cert: someKey, policy: "always"}}, request{wish: headers.WishPlain}, outcomePlain},
		{"[enc] without a key", []recipient{stranger}, request{wish: headers.WishEncrypt}, outcomeRefuse},
		{"[enc] with a key", []recipient{available}, request{wish: headers.WishEncrypt}, outcomeEncrypt},
		{"an answer to encrypted mail", []recipient{available}, request{reply: true}, outcomeEncrypt},
		{"an answer, with a new recipient without a key", []recipient{available, stranger}, request{reply: true}, outcomeRefuse},
		{"an answer, and [plain]", []recipient{stranger}, request{reply: true, wish: headers.WishPlain}, outcomeRefuse},
		{"policy never", []recipient{{addr: "p", cert: someKey, policy: "never", recommendation: autocrypt.Encrypt}}, request{}, outcomePlain},
	} {
		if got := decide(test.to, test.q); got.outcome != test.want {
			t.Errorf("%s: %v (%s), want %v", test.name, got.outcome, got.reason, test.want)
		}
	}
}

// TestDecideNeverLeaks: whatever the circumstances, an answer to encrypted mail and mail to a
// verified contact never go out plain, and nobody without a key is ever written to encrypted.
func TestDecideNeverLeaks(t *testing.T) {
	t.Parallel()
	one := rapid.Custom(func(t *rapid.T) recipient {
		r := recipient{
			addr:           "x@example.org",
			verified:       rapid.Bool().Draw(t, "verified"),
			policy:         rapid.SampledFrom([]string{"", "auto", "always", "never"}).Draw(t, "policy"),
			recommendation: rapid.SampledFrom([]autocrypt.Recommendation{autocrypt.Disable, autocrypt.Discourage, autocrypt.Available, autocrypt.Encrypt}).Draw(t, "recommendation"),
		}
		if rapid.Bool().Draw(t, "key") {
			r.cert = someKey
		}
		return r
	})
	rapid.Check(t, func(t *rapid.T) {
		to := rapid.SliceOfN(one, 1, 5).Draw(t, "recipients")
		q := request{
			reply: rapid.Bool().Draw(t, "reply"),
			wish:  rapid.SampledFrom([]headers.Wish{headers.NoWish, headers.WishEncrypt, headers.WishPlain}).Draw(t, "wish"),
		}
		d := decide(to, q)
		for _, r := range to {
			if d.outcome == outcomePlain && (q.reply || r.verified) {
				t.Fatalf("plain, although reply=%v verified=%v", q.reply, r.verified)
			}
			if d.outcome == outcomeEncrypt && r.cert == nil {
				t.Fatal("encrypted for somebody without a key")
			}
		}
	})
}
