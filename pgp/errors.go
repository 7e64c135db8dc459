package pgp

import "errors"

// The ways in which a message or key is refused. Callers compare with
// errors.Is; the text around them never holds secrets or plaintext.
var (
	// ErrDamaged: the bytes are not what was once written: truncated,
	// changed, or not OpenPGP. Nothing of the content is handed out.
	ErrDamaged = errors.New("pgp: message is damaged")
	// ErrNoKey: encrypted, but not to one of the keys offered.
	ErrNoKey = errors.New("pgp: message is not encrypted to this key")
	// ErrNoSecret: encrypted with a shared secret that is not one of those
	// offered.
	ErrNoSecret = errors.New("pgp: no shared secret opens this message")
	// ErrUnsupported: a form that this program refuses on purpose, such as
	// unauthenticated ciphertext (tag 9) or a slow string-to-key function.
	ErrUnsupported = errors.New("pgp: form of message is not supported")
	// ErrNotEncrypted: no encrypted data in it.
	ErrNotEncrypted = errors.New("pgp: message is not encrypted")
	// ErrNotSigned: not a mail signed in the form of PGP/MIME.
	ErrNotSigned = errors.New("pgp: message is not signed")
	// ErrTooLarge: beyond a limit of size or number.
	ErrTooLarge = errors.New("pgp: message is too large")
	// ErrBadKey: not a key or certificate that can be used.
	ErrBadKey = errors.New("pgp: key is not usable")
	// ErrLocked: the secret key needs a passphrase.
	ErrLocked = errors.New("pgp: secret key is protected by a passphrase")
)
