// Package autocrypt is Autocrypt Level 1 (spec 1.1) as pure functions: the
// header codec, the update of what is known about a peer, gossip and the
// recommendation. It knows no clock, no disk and no network.
//
// Decisions that Level 1 leaves open:
//   - A header field that names an attribute twice is invalid: two readers
//     could take different ones.
//   - keydata need not be the five packets of Level 1, section 2.1.1. Delta
//     Chat 2.62 puts a direct-key signature in front of the user id; what is
//     accepted is what package pgp accepts.
//   - What was verified is no matter of Autocrypt. The caller keeps verified
//     keys apart and decides whether Update may see a header at all.
package autocrypt
