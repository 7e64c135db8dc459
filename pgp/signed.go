package pgp

import (
	"fmt"
	"strings"
	"time"

	"mailbridge/message"
)

// VerifySigned checks a multipart/signed mail (RFC 3156, section 5) over the
// exact bytes of its first part. The error is ErrNotSigned for any other
// mail, S/MIME among them; whether the signature holds is in the result.
func VerifySigned(msg []byte, root *message.Part, certs func(issuers []Fingerprint) []*Cert, now time.Time) (Signature, error) {
	text, raw, ok := signedParts(msg, root)
	if !ok {
		return Signature{}, ErrNotSigned
	}
	set, err := detached(text, raw)
	if err != nil {
		return Signature{State: SignatureBad}, nil
	}
	var candidates []*Cert
	if certs != nil {
		candidates = certs(set.issuers())
	}
	sig, _ := set.verify(candidates, now)
	return sig, nil
}

// signedParts finds the signed bytes and the signature. The CRLF in front of
// the boundary belongs to the boundary (RFC 2046, section 5.1.1).
func signedParts(msg []byte, p *message.Part) (text, signature []byte, ok bool) {
	if p == nil || p.MediaType != multiSigned || len(p.Children) != 2 || p.Children[1].MediaType != typeSignature {
		return nil, nil, false
	}
	if protocol := p.Params["protocol"]; protocol != "" && !strings.EqualFold(protocol, typeSignature) {
		return nil, nil, false
	}
	return p.Children[0].Raw(msg), p.Children[1].Decoded(msg), true
}

// detached parses the signature part. The text is signed with CRLF whatever
// it was stored with (RFC 3156, section 5).
func detached(text, signature []byte) (signatures, error) {
	data, err := dearmor(armorSignature, signature)
	if err != nil {
		return signatures{}, err
	}
	list, err := splitPackets(data, maxSignatures)
	if err != nil {
		return signatures{}, err
	}
	for _, p := range list {
		if p.tag != tagSignature {
			return signatures{}, fmt.Errorf("%w: a packet of type %d is no signature", ErrDamaged, p.tag)
		}
	}
	if len(list) == 0 {
		return signatures{}, errTruncated
	}
	return parseSignatures(message.CRLF(text), list), nil
}

// splitSigned takes a multipart/signed payload apart: the part that is
// signed, with its own header fields, and what signs it (RFC 1847). The
// header of the multipart itself is not signed and is dropped. A signature
// that cannot be read at all leaves a bad one.
func splitSigned(payload []byte) (part []byte, set signatures, ok bool) {
	text, raw, ok := signedParts(payload, message.Parse(payload))
	if !ok {
		return nil, set, false
	}
	set, err := detached(text, raw)
	if err != nil {
		set = signatures{broken: true}
	}
	return text, set, true
}
