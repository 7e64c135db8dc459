// Package securejoin runs SecureJoin as pure functions: (state, message, now)
// → (state, effects, verdict). It knows no clock, no network, no disk and no
// randomness but what it is handed. It speaks version 3 and the older protocol
// of two tokens, for contacts, groups and channels, in both roles, and keeps
// the groups and channels that are joined by it.
//
// An inviter hands out a Link. Its holder, the joiner, and the inviter then
// exchange four messages. The first two bring the inviter's key, in version 3
//
//	joiner → inviter   vc-request-pubkey     encrypted with the link's secret, unsigned
//	inviter → joiner   vc-pubkey             encrypted with the link's secret, signed; brings the key
//
// and in the older protocol, if the link does not offer version 3,
//
//	joiner → inviter   vc-request            plain, with the INVITENUMBER; brings the joiner's key
//	inviter → joiner   vc-auth-required      encrypted and signed; brings the key
//
// The last two are the same in both:
//
//	joiner → inviter   vc-request-with-auth  encrypted and signed; brings the AUTH and the key
//	inviter → joiner   vc-contact-confirm    encrypted and signed; of a group or channel
//	                   vg-member-added       instead, which is also the first message in it
//
// The joiner's side is a Join:
//
//	NewJoin ─ v3: send request-pubkey; else: send request ─▶ Requested
//	                                   │ pubkey or auth-required, signed by the link's
//	                                   │ fingerprint: bind key, send request-with-auth
//	                                   ▼
//	                             Authenticating ─ contact-confirm, or member-added of the
//	                                   │          link's group about our key, same signer ─▶ Completed
//	Requested, Authenticating ─ 7 days, unusable key, cancelled ─▶ Failed
//
// A join that another device of the account follows begins at Authenticating,
// by Observe of that device's own-signed request-with-auth.
//
// The inviter's side is an Invite, which keeps no state of a joiner before it
// has proved itself:
//
//	Live ─ request-pubkey: send pubkey; request: send auth-required ─▶ Live
//	Live ─ request-with-auth of a new (key, address) ─▶
//	         if it asks, or the joiner was removed before: wait for Accept or Decline ─▶ Live
//	         else: bind or claim, send contact-confirm or Admit ─▶ Live, or Used if for once
//	Used ─ steps of the one who used it: the same answers ─▶ Used
//	Live ─ end of its time ─▶ Expired;  any ─ by the user, or by a sync message ─▶ Revoked
//	Revoked, Expired, Used ─ steps of others: a note, no answer ─▶ unchanged
//	Revoked, Expired ─ Revive, by the user alone ─▶ Live;  90 days ─▶ forgotten
//
// A GroupChat and a ChannelChat are what the messages of their members, or of
// the owner, make of them:
//
//	GroupChat:    NewGroup or EnterGroup (Show, or a trusted contact) ─▶ in
//	              in ─ Merge, of a current member: lists by time, additions, removals, name ─▶ in, or out
//	              in ─ Add, Remove, Rename, Leave by the user: a Post to all ─▶ in, or out
//	ChannelChat:  NewChannel ─▶ own ─ Add; Remove and Rotate: a new secret to each who stays ─▶ own
//	              SubscribeTo (Show) ─▶ subscribed ─ Receive, signed by the owner ─▶ subscribed
//	              subscribed ─ Leave, or the owner's removal: secrets forgotten ─▶ ended ─ a new join ─▶ subscribed
//
// What binds:
//
//   - A link proves its holder and not an address. A completed join binds a
//     key to an address only where the address has no other; otherwise it is
//     a claim, until the user accepts it.
//   - What a stranger can make invisible is nothing: only a message that
//     proved itself, by a secret of ours, by the expected signer or, of a
//     plain request, by a live INVITENUMBER, is hidden or consumed.
//   - Refusals are silent towards the sender.
//   - A step is bound to (AUTH, key of the joiner). It is processed once by
//     (signer, Message-ID), which the caller remembers; see Handled.
//   - It is stricter than Delta Chat 2.62: Secure-Join-Auth must be the AUTH
//     of the secret that opened the message, the senders inside and outside
//     must agree, replies come from an address of the link, the confirmation
//     and member-added count only from the key of the link, about our key,
//     answers are capped, a revocation is lifted by the user alone, and
//     changes of a group count only from who is in it. Old messages that are
//     sent again change no members, and no secret.
//   - An invite that is Shared with other devices has no expiry and no number
//     of uses: they could not know.
//
// The size of groups and channels, of lists, secrets and sync messages is
// bounded by constants beside their readers.
package securejoin
