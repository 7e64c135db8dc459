// Package securejoin runs the SecureJoin handshake (SecureJoin v3, for
// contacts, in both roles) as pure functions: (state, message, now) → (state,
// effects, verdict). It knows no clock, no network, no disk and no
// randomness but what it is handed.
//
// An inviter hands out a Link. Its holder, the joiner, and the inviter then
// exchange four messages:
//
//	joiner → inviter   vc-request-pubkey     encrypted with the link's secret, unsigned
//	inviter → joiner   vc-pubkey             encrypted with the link's secret, signed; brings the key
//	joiner → inviter   vc-request-with-auth  encrypted and signed; brings the AUTH and the key
//	inviter → joiner   vc-contact-confirm    encrypted and signed
//
// The joiner's side is a Join:
//
//	NewJoin ─ send request-pubkey ─▶ Requested
//	                                   │ pubkey, signed by the link's fingerprint:
//	                                   │ bind key, send request-with-auth
//	                                   ▼
//	                             Authenticating ─ contact-confirm, same signer ─▶ Completed
//	                                   │
//	Requested, Authenticating ─ 7 days, unusable key, cancelled ─▶ Failed
//
// The inviter's side is an Invite, which keeps no state of a joiner before it
// has proved itself:
//
//	Live ─ request-pubkey: send pubkey ─▶ Live
//	Live ─ request-with-auth of a new (key, address): bind or claim, send contact-confirm ─▶ Live, or Used if for once
//	Used ─ steps of the one who used it: the same answers ─▶ Used
//	Live ─ end of its time ─▶ Expired;  any ─ by the user ─▶ Revoked
//	Revoked, Expired, Used ─ steps of others: a note, no answer ─▶ unchanged
//
// What binds:
//
//   - A link proves its holder and not an address. A completed join binds a
//     key to an address only where the address has no other; otherwise it is
//     a claim, until the user accepts it.
//   - What a stranger can make invisible is nothing: only a message that
//     proved itself, by a secret of ours or by the expected signer, is hidden
//     or consumed.
//   - Refusals are silent towards the sender.
//   - It is stricter than Delta Chat 2.62: Secure-Join-Auth must be the AUTH
//     of the secret that opened the message, the senders inside and outside
//     must agree, replies come from an address of the link, the confirmation
//     counts only from the key of the link, and answers are capped.
//
// Kind, Link.Number and the legacy steps are there for what comes beside it:
// the older two-token protocol, groups and channels.
package securejoin
