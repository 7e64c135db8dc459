// Package pgp is the project's OpenPGP: keys, certificates, encrypted and
// signed messages (RFC 9580), and their place in mail (PGP/MIME, RFC 3156).
// It is the only importer of go-crypto.
//
// Everything here is a function of its arguments: no clock, no network, no
// disk. Randomness comes from crypto/rand.
//
// Invariants that bind this package:
//
//   - No plaintext of an encrypted message is used, shown or acted on before
//     integrity and signature were checked to the last byte. Open reads to
//     the end, checks, and only then looks at the packets inside; an error
//     comes without a payload.
//   - A failed decryption changes nothing and says nothing but its class.
//
// Decisions:
//
//   - Messages and certificates are taken apart and put together packet by
//     packet with go-crypto's packet layer, not with its stream reader and
//     its entities: the stream hands out plaintext before its check, an
//     entity looks only at the first key with an id and remembers verdicts
//     that depend on when it was asked first.
//   - What is written is AES-128 with OCB in chunks of 8 KiB (version 2) or
//     AES-128 with a modification detection code (version 1), whatever else
//     the recipients would take: everybody must read it, and it is what
//     Delta Chat 2.62 writes.
//   - A key is judged as of when a signature was made. Where a certificate
//     was re-signed later its oldest self-signature counts for what came
//     before it.
//   - Signatures by signing subkeys are read, for GnuPG makes them; own ones
//     come from the primary key only, for Delta Chat drops all others.
//   - Keys that no longer protect (RSA below 2048 bits, DSA, ElGamal) are not
//     read at all, so their signatures count as made by an unknown key.
package pgp
