package pgp

import "time"

// OpenOptions say what a message may be opened with.
type OpenOptions struct {
	// Keys are the own secret keys.
	Keys []*Key
	// Certs finds candidate signers. It is called only after the integrity
	// of the whole message was checked, with the payload (an Autocrypt
	// header may be inside) and the issuers that the signatures claim.
	Certs func(payload []byte, issuers []Fingerprint) []*Cert
	// Now is the time of arrival, or the present.
	Now time.Time
	// MaxSize bounds the payload after decompression; 0 means the default.
	MaxSize int64
}

// Opened is a message that was decrypted to its end.
type Opened struct {
	Payload   []byte
	Signature Signature
	// Intended are the recipients that a good signature names
	// (RFC 9580, section 5.2.3.36).
	Intended []Fingerprint
	// IntendedForUs is false if the signature names recipients and none of
	// our keys is among them: somebody passed on what was meant for others.
	IntendedForUs bool
	// Symmetric says that a shared secret opened it, and Secret which.
	Symmetric bool
	Secret    int
}

// SignatureState is the outcome of a signature check.
type SignatureState int

const (
	SignatureNone    SignatureState = iota // no signature
	SignatureGood                          // by Signature.Signer, and valid at Signature.At
	SignatureBad                           // does not verify
	SignatureUnknown                       // none of the candidate signers made it
)

// Signature is what is known about the signer.
type Signature struct {
	State   SignatureState
	Signer  Fingerprint   // of the primary key; only if good
	Issuers []Fingerprint // claimed
	At      time.Time     // only if good
}

// Open opens a message encrypted to one of our keys.
func Open(ciphertext []byte, o OpenOptions) (*Opened, error) { return nil, ErrDamaged }
