// Package pgp is the project's OpenPGP: keys, certificates, encrypted and
// signed messages (RFC 9580), and their place in mail (PGP/MIME, RFC 3156).
// It is the only importer of go-crypto.
//
// Everything here is a function of its arguments: no clock, no network, no
// disk. Randomness comes from crypto/rand.
package pgp
