package db

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// Key is an account's data key, or the master key that wraps it.
type Key [32]byte

// NewKey makes a random key.
func NewKey() Key {
	var k Key
	rand.Read(k[:])
	return k
}

// String keeps a key out of logs.
func (Key) String() string { return "[key]" }

// GoString keeps a key out of logs.
func (Key) GoString() string { return "[key]" }

// keys are what a data key is used for, each with a key of its own (RFC 5869).
type keys struct{ seal, hash Key }

func deriveKeys(data Key) keys {
	return keys{derive(data, "mailbridge seal v1"), derive(data, "mailbridge hash v1")}
}

func derive(k Key, info string) Key {
	// The length is fixed and far below HKDF's bound, the only error there is.
	b, err := hkdf.Expand(sha256.New, k[:], info, len(k))
	if err != nil {
		panic(err)
	}
	return Key(b)
}

// sealWith encrypts with XChaCha20-Poly1305 and a random 24-byte nonce, which is put in
// front: with 192 bits random nonces do not repeat.
func sealWith(k Key, ad string, plain []byte) []byte {
	aead, err := chacha20poly1305.NewX(k[:])
	if err != nil {
		panic(err) // only a key of another length
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	rand.Read(nonce)
	return aead.Seal(nonce, nonce, plain, []byte(ad))
}

func openWith(k Key, ad string, sealed []byte) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(k[:])
	if err != nil {
		panic(err)
	}
	n := aead.NonceSize()
	if len(sealed) < n {
		return nil, errShort
	}
	return aead.Open(nil, sealed[:n], sealed[n:], []byte(ad))
}

var errShort = errors.New("db: sealed value too short")

// place names a sealed value: table|row|column. It is the additional data, so that a value
// cannot be moved to another row or column.
func place(table string, row any, column string) string {
	return fmt.Sprintf("%s|%v|%s", table, row, column)
}

// seal encrypts the value of one column of one row.
func (tx *Tx) seal(table string, row any, column string, plain []byte) []byte {
	return sealWith(tx.keys.seal, place(table, row, column), plain)
}

// open is the inverse of seal. A value that does not open is damaged: that the key is right
// was proved when the file was opened.
func (tx *Tx) open(table string, row any, column string, sealed []byte) ([]byte, error) {
	plain, err := openWith(tx.keys.seal, place(table, row, column), sealed)
	if err != nil {
		return nil, fmt.Errorf("%w: sealed value %s does not open", ErrCorrupt, place(table, row, column))
	}
	return plain, nil
}

// Hash gives a keyed hash of an index value, such as the Message-ID of opened mail, by which
// a row can be found without the value being in the file. domain separates the uses.
func (tx *Tx) Hash(domain, value string) []byte {
	mac := hmac.New(sha256.New, tx.keys.hash[:])
	fmt.Fprintf(mac, "%s|%s", domain, value)
	return mac.Sum(nil)[:16] // 128 bits: collisions by chance or by search are out of reach without the key
}

// MessageIDHash is Hash for Message-IDs, without their angle brackets.
func (tx *Tx) MessageIDHash(id string) []byte { return tx.Hash("message-id", id) }

const wrapPurpose = "mailbridge data key v1"

// WrapKey seals a data key with a master key.
func WrapKey(master, data Key) []byte { return sealWith(master, wrapPurpose, data[:]) }

// UnwrapKey is the inverse of WrapKey. Another master key gives ErrLocked.
func UnwrapKey(master Key, wrapped []byte) (Key, error) {
	plain, err := openWith(master, wrapPurpose, wrapped)
	if err != nil || len(plain) != len(Key{}) {
		return Key{}, ErrLocked
	}
	return Key(plain), nil
}

// keyProof is a sealed constant that tells a wrong key from a damaged value.
const keyProof = "key_proof"

func proveKey(tx *Tx) error {
	var sealed []byte
	err := tx.queryRow(`SELECT value FROM settings WHERE key = ?`, keyProof).Scan(&sealed)
	if errors.Is(err, ErrNotFound) {
		return tx.SetSetting(keyProof, []byte(keyProof))
	}
	if err != nil {
		return err
	}
	if _, err := tx.open("settings", keyProof, "value", sealed); err != nil {
		return ErrLocked
	}
	return nil
}
