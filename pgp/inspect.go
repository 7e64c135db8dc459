package pgp

// Kind says what a message was encrypted with.
type Kind int

const (
	Other     Kind = iota // not an encrypted message, or neither of the two
	PublicKey             // for public keys
	Symmetric             // with a shared secret: exactly one SKESK
)

// Info is what the packet headers of a message tell.
type Info struct {
	Kind Kind
	ESKs int // encrypted session key packets in front
}

// Inspect reads the packets in front of the encrypted data and decrypts
// nothing.
func Inspect(ciphertext []byte) (Info, error) { return Info{}, ErrNotEncrypted }
