package pgp

import (
	"encoding/binary"
	"hash"
	"slices"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
)

// SignatureState is the outcome of a signature check.
type SignatureState int

const (
	SignatureNone    SignatureState = iota // no signature
	SignatureGood                          // by Signature.Signer, and valid at Signature.At
	SignatureBad                           // by a candidate signer, and it does not verify
	SignatureUnknown                       // none of the candidate signers made it
)

func (s SignatureState) String() string {
	return [...]string{"none", "good", "bad", "unknown"}[s]
}

// Signature is what is known about the signer.
type Signature struct {
	State  SignatureState
	Signer Fingerprint // of the primary key; only if good
	// Issuers are claimed: fingerprints of the signing keys, which may be
	// subkeys, or a 16-digit key id where no fingerprint is given.
	Issuers []Fingerprint
	At      time.Time // when it was made; only if good
}

// signatures are the signatures over one text.
type signatures struct {
	text    []byte
	list    []*packet.Signature
	unknown int // of a version or algorithm that we cannot use
	broken  bool
}

// signatures parses the signature packets of a message.
func (c content) signatures() signatures {
	s := parseSignatures(c.payload, c.sigs)
	// A one-pass signature without its signature, or the other way round,
	// is not what somebody signed (RFC 9580, section 5.4).
	s.broken = c.onePass > 0 && c.onePass != len(c.sigs)
	return s
}

func parseSignatures(text []byte, raw []rawPacket) signatures {
	s := signatures{text: text}
	for _, p := range raw {
		parsed, err := p.parse()
		sig, ok := parsed.(*packet.Signature)
		if err != nil || !ok || sig.Version != 4 && sig.Version != 6 {
			s.unknown++
			continue
		}
		s.list = append(s.list, sig)
	}
	return s
}

func (s signatures) none() bool { return len(s.list) == 0 && s.unknown == 0 && !s.broken }

// issuers are the claimed makers, each once.
func (s signatures) issuers() []Fingerprint {
	var list []Fingerprint
	for _, sig := range s.list {
		if f := issuer(sig); f != "" && !slices.Contains(list, f) {
			list = append(list, f)
		}
	}
	return list
}

func issuer(sig *packet.Signature) Fingerprint {
	switch {
	case len(sig.IssuerFingerprint) > 0:
		return newFingerprint(sig.IssuerFingerprint)
	case sig.IssuerKeyId != nil:
		return newFingerprint(binary.BigEndian.AppendUint64(nil, *sig.IssuerKeyId))
	}
	return ""
}

// verify looks for the first good signature by one of the certificates and
// returns its packet too.
func (s signatures) verify(certs []*Cert, now time.Time) (Signature, *packet.Signature) {
	out := Signature{Issuers: s.issuers()}
	if s.none() {
		return out, nil
	}
	out.State = SignatureUnknown
	if s.broken {
		out.State = SignatureBad
		return out, nil
	}
	for _, sig := range s.list {
		for _, c := range certs {
			k := c.issuerKey(sig)
			if k == nil {
				continue
			}
			if c.verifies(k, sig, s.text, now) {
				out.State, out.Signer, out.At = SignatureGood, c.fingerprint, sig.CreationTime
				return out, sig
			}
			out.State = SignatureBad
		}
	}
	return out, nil
}

// issuerKey finds the key that a signature names.
func (c *Cert) issuerKey(sig *packet.Signature) *component {
	if matches(&c.primary, sig) {
		return &c.primary
	}
	for i := range c.subkeys {
		if matches(&c.subkeys[i], sig) {
			return &c.subkeys[i]
		}
	}
	return nil
}

func matches(k *component, sig *packet.Signature) bool {
	return sig.CheckKeyIdOrFingerprint(k.key) && k.key.PubKeyAlgo.CanSign()
}

// verifies says whether the signature is good: made by the key, over the
// text, with a hash that still holds, by a key that was valid when it was
// made. A key that expired since makes no signature bad.
func (c *Cert) verifies(k *component, sig *packet.Signature, text []byte, now time.Time) bool {
	made := sig.CreationTime
	if made.IsZero() || now.After(made) && expiredSig(sig, now) || hasUnknownCritical(sig) {
		return false
	}
	if sig.Hash.Size() < 28 || !sig.Hash.Available() || !c.mayVerify(k, made) { // no MD5, SHA-1, RIPEMD
		return false
	}
	h, err := sig.PrepareVerify()
	if err != nil {
		return false
	}
	var w hash.Hash
	switch sig.SigType {
	case packet.SigTypeBinary:
		w = h
	case packet.SigTypeText:
		w = openpgp.NewCanonicalTextHash(h)
	default: // a signature on something else than data
		return false
	}
	w.Write(text)
	return k.key.VerifySignature(h, sig) == nil
}
