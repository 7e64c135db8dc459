package pgp

import (
	"bytes"
	"fmt"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// signConfig: no salt notation (see Generate). Delta Chat 2.62 marks the time
// of a signature as critical except in symmetric messages, and so do we, to
// be no easier to tell apart than needed.
func signConfig(symmetric bool) *packet.Config {
	noSalt := false
	return &packet.Config{
		NonDeterministicSignaturesViaNotation:            &noSalt,
		InsecureGenerateNonCriticalSignatureCreationTime: symmetric,
	}
}

// signed is the packets of a signed message: one-pass signature, literal
// data, signature (RFC 9580, section 10.3). The primary key signs, because
// Delta Chat 2.62 throws away what a subkey has signed.
func (k *Key) signed(payload []byte, intended []*Cert, now time.Time) ([]byte, error) {
	sig := &packet.Signature{
		Version:      k.signer.Version,
		SigType:      packet.SigTypeBinary,
		PubKeyAlgo:   k.signer.PubKeyAlgo,
		Hash:         hashFor(&k.signer.PublicKey),
		CreationTime: now,
		IssuerKeyId:  &k.signer.KeyId,
	}
	for _, c := range intended { // RFC 9580, section 5.2.3.36
		sig.IntendedRecipients = append(sig.IntendedRecipients,
			&packet.Recipient{KeyVersion: c.primary.key.Version, Fingerprint: c.primary.key.Fingerprint})
	}
	config := signConfig(len(intended) == 0)
	h, err := sig.PrepareSign(config)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadKey, err)
	}
	h.Write(payload)
	if err := sig.Sign(h, k.signer, config); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadKey, err)
	}
	return k.bracket(sig, payload)
}

// bracket puts the payload between its one-pass signature and its signature.
func (k *Key) bracket(sig *packet.Signature, payload []byte) ([]byte, error) {
	ops := &packet.OnePassSignature{
		Version:    3,
		SigType:    sig.SigType,
		Hash:       sig.Hash,
		PubKeyAlgo: sig.PubKeyAlgo,
		KeyId:      k.signer.KeyId,
		IsLast:     true,
	}
	if sig.Version == 6 {
		ops.Version, ops.Salt, ops.KeyFingerprint = 6, sig.Salt(), k.signer.Fingerprint
	}
	var before, behind bytes.Buffer
	if err := ops.Serialize(&before); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadKey, err)
	}
	if err := sig.Serialize(&behind); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadKey, err)
	}
	b := make([]byte, 0, before.Len()+len(payload)+literalHeader+behind.Len())
	b = appendLiteral(append(b, before.Bytes()...), payload)
	return append(b, behind.Bytes()...), nil
}

// literalHeader is what stands around a payload in its packet at most.
const literalHeader = 12

// appendLiteral writes a literal data packet in binary, without name and
// date: no signature covers them (RFC 9580, section 5.9).
func appendLiteral(b, payload []byte) []byte {
	head := []byte{'b', 0, 0, 0, 0, 0}
	b = appendHeader(b, tagLiteral, len(head)+len(payload))
	return append(append(b, head...), payload...)
}

func literal(payload []byte) []byte {
	return appendLiteral(make([]byte, 0, len(payload)+literalHeader), payload)
}
