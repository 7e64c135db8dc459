package account

import (
	"fmt"
	"slices"
	"strings"

	"mailbridge/autocrypt"
	"mailbridge/headers"
	"mailbridge/pgp"
)

// outcome is what is done with an outgoing message.
type outcome int

const (
	outcomePlain outcome = iota
	outcomeEncrypt
	outcomeRefuse
)

func (o outcome) String() string {
	return [...]string{"plain", "encrypt", "refuse"}[o]
}

// recipient is one envelope recipient with what is known of it.
type recipient struct {
	addr           string
	cert           *pgp.Cert // the key mail would be encrypted to; nil: none usable
	verified       bool
	policy         string // always, never or auto
	readsHidden    bool   // its program shows mail whose outer header hides the recipients
	recommendation autocrypt.Recommendation
	candidates     []pgp.Fingerprint // keys that came by mail and wait for the user
}

// request is what decides besides the recipients.
type request struct {
	reply bool // to, forward of, or thread of encrypted mail
	wish  headers.Wish
}

// decision is the outcome for all recipients together.
type decision struct {
	outcome outcome
	reason  string
	lacking []recipient // without a usable key, where that is why it is refused
}

// demand is what a single rule asks for.
type demand int

const (
	demandNothing demand = iota
	demandPlain
	demandEncrypt
)

// demandOf applies the rules for one recipient, highest first: a reply to encrypted mail,
// a verified recipient, the user's wish for this message, the policy, and Autocrypt's
// recommendation.
func demandOf(r recipient, q request) (demand, string) {
	switch {
	case q.reply:
		return demandEncrypt, "it answers or forwards encrypted mail"
	case r.verified:
		return demandEncrypt, "the contact is verified"
	case q.wish == headers.WishEncrypt:
		return demandEncrypt, "encryption was asked for"
	case q.wish == headers.WishPlain:
		return demandPlain, "plain was asked for"
	case r.policy == "always":
		return demandEncrypt, "the policy is always"
	case r.policy == "never":
		return demandPlain, "the policy is never"
	case r.recommendation == autocrypt.Encrypt:
		return demandEncrypt, "both sides prefer encryption (Autocrypt)"
	case r.recommendation == autocrypt.Disable:
		return demandNothing, "no key is known"
	default:
		return demandNothing, "a key is known, but encryption is not preferred by both sides (Autocrypt)"
	}
}

// decide settles one outcome for all recipients: as soon as one of them asks for
// encryption, all get it or the message is refused. Nothing is ever sent partly in the clear.
func decide(recipients []recipient, q request) decision {
	var encryptFor, plainFor string
	var lacking []recipient
	for _, r := range recipients {
		d, reason := demandOf(r, q)
		switch {
		case d == demandEncrypt && encryptFor == "":
			encryptFor = reason
		case d != demandEncrypt && plainFor == "":
			plainFor = reason
		}
		if r.cert == nil {
			lacking = append(lacking, r)
		}
	}
	switch {
	case encryptFor == "":
		return decision{outcome: outcomePlain, reason: plainFor}
	case len(lacking) > 0:
		return decision{outcome: outcomeRefuse, reason: encryptFor, lacking: lacking}
	default:
		return decision{outcome: outcomeEncrypt, reason: encryptFor}
	}
}

// shown is how many recipients a refusal names; the note in Bridge names all.
const shown = 3

// names lists addresses for a refusal: "a, b, c and 17 more".
func names(rs []recipient) string {
	addrs := make([]string, len(rs))
	for i, r := range rs {
		addrs[i] = r.addr
	}
	if len(addrs) <= shown {
		return strings.Join(addrs, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(addrs[:shown], ", "), len(addrs)-shown)
}

// allReadHidden reports whether every recipient's program is known to show the inner
// header alone.
func allReadHidden(rs []recipient) bool {
	return !slices.ContainsFunc(rs, func(r recipient) bool { return !r.readsHidden })
}
