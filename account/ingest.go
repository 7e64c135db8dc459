package account

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"mailbridge/db"
	"mailbridge/headers"
	"mailbridge/mailbox"
	"mailbridge/message"
	"mailbridge/mirror"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// ingester is what the mirror asks about arrivals.
type ingester struct{ a *Account }

// Candidate reports whether a message must be looked at as a whole: encrypted or signed
// mail, machine mail, and mail that tells something about a key. Mangled forms and inline PGP
// are told by the beginning of their text (see Peek).
func (g ingester) Candidate(header []byte) bool {
	h, _ := message.ParseHeader(header)
	media, _ := message.ContentType(h.Get("Content-Type"))
	switch media {
	case "multipart/encrypted", "multipart/signed":
		return true
	}
	return h.Has("Autocrypt") || h.Has(securejoin.FieldNumber) || g.fromPeer(h)
}

// fromPeer reports whether the sender has shown a key before: a later message without one
// counts, too (Autocrypt Level 1, "Updating Autocrypt Peer State").
func (g ingester) fromPeer(h message.Header) bool {
	from := soleSender(h)
	if from == "" {
		return false
	}
	known := false
	err := g.a.db.View(context.Background(), func(tx *db.Tx) error {
		_, err := tx.Peer(from)
		known = err == nil
		return nil
	})
	return err == nil && known
}

// Ingest decides about one message.
func (g ingester) Ingest(ctx context.Context, m mirror.Arrival) (mirror.Ruling, error) {
	a := g.a
	root := message.Parse(m.Raw)
	mail := &arrival{Arrival: m, root: root, outer: root.Header}
	if ruling, ok, err := a.savedByProvider(ctx, mail); ok || err != nil {
		return ruling, err
	}
	ciphertext, form, ok := pgp.SplitEncrypted(m.Raw, root)
	switch {
	case ok:
		return a.ingestEncrypted(ctx, mail, ciphertext, form)
	case root.MediaType == "multipart/signed":
		return a.ingestSigned(ctx, mail)
	}
	if armor, ok := inlineArmor(mail); ok {
		return a.ingestInline(ctx, mail, armor)
	}
	if ruling, ok, err := a.ingestRequest(ctx, mail); ok || err != nil {
		return ruling, err
	}
	return a.ingestPlain(ctx, mail)
}

// arrival is a message with what is known of it on the way.
type arrival struct {
	mirror.Arrival
	root   *message.Part
	outer  message.Header
	origin origin // who made what our key has signed
	// observe learns whom another device of ours took into a group; nil: nobody.
	observe func(tx *db.Tx) error
	// proven: it ended a join of ours, and may take us into a group or channel.
	proven bool
}

// received is the time the provider got the message, which is not later than now.
func (m *arrival) received(now time.Time) time.Time {
	if m.InternalDate.IsZero() || m.InternalDate.After(now) {
		return now
	}
	return m.InternalDate
}

// ingestPlain learns from the header of ordinary mail.
func (a *Account) ingestPlain(ctx context.Context, m *arrival) (mirror.Ruling, error) {
	s := a.sightingOf(m)
	var keywords mailbox.Flags
	if s.effective && s.Counts() {
		var err error
		if keywords, err = a.judge(ctx, &headers.Security{}, s, pgp.Signature{}); err != nil {
			return mirror.Ruling{}, err
		}
	}
	return mirror.Ruling{
		Verdict:  mirror.Deliver,
		Kind:     mirror.Ordinary,
		Keywords: keywords,
		Apply: func(tx *db.Tx, _ int64) error {
			if err := a.markUnopened(tx, m); err != nil {
				return err
			}
			return a.applySighting(tx, s)
		},
	}, nil
}

// ingestSigned checks a signature over mail that is not encrypted. The mail is served as it
// came, with a frozen line in front of the header block, which no signature covers. A message
// that would continue that line is served without.
func (a *Account) ingestSigned(ctx context.Context, m *arrival) (mirror.Ruling, error) {
	s := a.sightingOf(m)
	signature, err := pgp.VerifySigned(m.Raw, m.root, func(issuers []pgp.Fingerprint) []*pgp.Cert {
		return a.signers(ctx, issuers, m.outer.Values("Autocrypt"))
	}, a.now())
	if err != nil || continues(m.Raw) {
		return a.ingestPlain(ctx, m) // S/MIME, or no signature that can be read
	}
	security := headers.Security{Encryption: "none", Signature: stateName(signature.State), Trust: "none"}
	var altered bool
	s.mismatch, altered = headers.Contradicts(m.outer, m.root.Children[0].Header)
	keyword, err := a.judge(ctx, &security, s, signature)
	if err != nil {
		return mirror.Ruling{}, err
	}
	if altered || s.mismatch { // what is shown is not what was signed
		security.Trust, keyword = string(db.TrustNone), keyword.Without(mailbox.Verified)
	}
	if altered {
		security.Warnings = append(security.Warnings, "unauthenticated")
	}
	return mirror.Ruling{
		Verdict:  mirror.Deliver,
		Kind:     mirror.Signed,
		Prefix:   headers.SignedPrefix(security),
		Keywords: keyword,
		Apply: func(tx *db.Tx, row int64) error {
			if err := a.rememberSigner(tx, row, s, security); err != nil {
				return err
			}
			return a.applySighting(tx, s)
		},
	}, nil
}

// asItCame shows a message unchanged: what cannot be opened is never changed or hidden.
func (a *Account) asItCame(m *arrival) mirror.Ruling {
	return mirror.Ruling{
		Verdict: mirror.Deliver, Kind: mirror.Ordinary,
		Apply: func(tx *db.Tx, _ int64) error { return a.markUnopened(tx, m) },
	}
}

// markUnopened remembers mail that holds ciphertext, in whatever place, though it is shown as it
// came: what the reader's own program makes of it must not be quoted in the clear.
func (a *Account) markUnopened(tx *db.Tx, m *arrival) error {
	if !holdsCiphertext(m.root) {
		return nil
	}
	return a.markProtected(tx, m.outer)
}

func holdsCiphertext(p *message.Part) bool {
	return p.MediaType == "application/pgp-encrypted" || slices.ContainsFunc(p.Children, holdsCiphertext)
}

// ingestEncrypted opens a message.
func (a *Account) ingestEncrypted(ctx context.Context, m *arrival, ciphertext []byte, form pgp.Form) (mirror.Ruling, error) {
	info, err := pgp.Inspect(ciphertext)
	if err == nil && info.Kind == pgp.Symmetric {
		return a.ingestSymmetric(ctx, m, ciphertext, form)
	}
	opened, err := pgp.Open(ciphertext, a.openOptions(ctx, m))
	switch {
	case errors.Is(err, pgp.ErrDamaged), errors.Is(err, pgp.ErrTooLarge):
		return a.damaged(m), nil
	case err != nil:
		a.log.Debug("not opened", "error", err)
		return a.asItCame(m), nil
	case form == pgp.FormListWrapped:
		return a.ingestErrant(m, opened), nil
	}
	inner, _ := message.ParseHeader(opened.Payload)
	if msg, tag, ok := headers.Unseal(opened.Payload); ok && (a.sealedHere(msg, tag) || a.claimsOurs(msg)) {
		return a.ingestSealed(m, msg, tag, opened), nil
	}
	if err := a.readOrigin(ctx, m, opened, inner); err != nil {
		return mirror.Ruling{}, err
	}
	if m.origin == copyOfOurs {
		return hidden(nil), nil
	}
	if ruling, ok, err := a.ingestHandshake(ctx, m, opened, inner, nil); ok || err != nil {
		return ruling, err
	}
	if ruling, ok, err := a.ingestMachine(ctx, m, opened, inner); ok || err != nil {
		return ruling, err
	}
	return a.ingestOpened(ctx, m, opened, "")
}

// openOptions gives our key, and where to find the sender's.
func (a *Account) openOptions(ctx context.Context, m *arrival) pgp.OpenOptions {
	return pgp.OpenOptions{
		Keys: a.me().keys(),
		Certs: func(payload []byte, issuers []pgp.Fingerprint) []*pgp.Cert {
			inner, _ := message.ParseHeader(payload)
			return a.signers(ctx, issuers, slices.Concat(inner.Values("Autocrypt"), m.outer.Values("Autocrypt")))
		},
		Now:     a.now(),
		MaxSize: maxOpened(len(m.Raw)),
	}
}

// maxOpened bounds what comes out of a message by what went in: text compresses to a tenth, logs
// and spreadsheets to less, and what a small mail unfolds to hundreds of megabytes is a bomb. It
// would be kept, too.
func maxOpened(size int) int64 {
	const (
		factor = 32
		free   = 8 << 20
	)
	return free + factor*int64(size)
}

// damaged shows a notice in place of a message whose integrity check failed.
func (a *Account) damaged(m *arrival) mirror.Ruling {
	security := headers.Security{Encryption: "openpgp", Signature: "none", Trust: "none", Warnings: []string{"damaged"}}
	notice := headers.Notice(m.outer, m.Raw, headers.Damaged)
	prefixed := slices.Concat(headers.SignedPrefix(security), notice)
	return mirror.Ruling{Verdict: mirror.Deliver, Kind: mirror.Notice, View: prefixed}
}

// ingestErrant opens the one errant layer that is opened, a list's: its content becomes an
// attachment, and has no effect on anything.
func (a *Account) ingestErrant(m *arrival, opened *pgp.Opened) mirror.Ruling {
	inner, _ := message.ParseHeader(opened.Payload)
	security := headers.Security{Encryption: "openpgp", Signature: "none", Trust: "none", Warnings: []string{"errant-layer"}}
	return mirror.Ruling{
		Verdict:  mirror.Deliver,
		Kind:     mirror.Opened,
		View:     headers.Errant(m.Raw, m.root, opened.Payload, security),
		Keywords: mailbox.NewFlags(mailbox.Encrypted),
		Apply:    func(tx *db.Tx, _ int64) error { return a.markProtected(tx, m.outer, inner) },
	}
}

// claimsOurs reports whether a message that looks sealed, but not by us here, may be shown as
// what its author calls it: our own. Anybody can write that form, so that another sender's name
// in it is not believed, and nothing may continue the line that is put in front.
func (a *Account) claimsOurs(msg []byte) bool {
	h, _ := message.ParseHeader(msg)
	return a.own(soleSender(h)) && !continues(msg)
}

// continues reports whether a message would continue a line that is put in front of it
// (RFC 5322, section 2.2.3).
func continues(msg []byte) bool {
	return len(msg) > 0 && (msg[0] == ' ' || msg[0] == '\t')
}

// ingestSealed shows the user's own draft or sent mail exactly as the client gave it. Only
// a tag that does not fit is told: somebody else made it, unless our key has signed it, which is
// how another bridge with our key keeps what it has sent.
func (a *Account) ingestSealed(m *arrival, msg []byte, tag string, opened *pgp.Opened) mirror.Ruling {
	ours, elsewhere := a.me().has(opened.Signature.Signer), false
	r := mirror.Ruling{Verdict: mirror.Deliver, Kind: mirror.Sealed, View: msg, Keywords: mailbox.NewFlags(mailbox.Encrypted)}
	switch {
	case a.sealedHere(msg, tag):
	case ours:
		elsewhere = !m.Old && a.signedByUs(opened)
	default:
		security := headers.Security{Encryption: "openpgp", Signature: "none", Trust: "none", Warnings: []string{"unauthenticated"}}
		r.View = slices.Concat(headers.SignedPrefix(security), headers.NeutraliseForged(msg))
	}
	h, _ := message.ParseHeader(msg)
	if ids := message.ParseMessageIDs(h.Get("Message-ID")); len(ids) == 1 {
		r.MessageID = ids[0]
	}
	if ours { // sent, and no draft: those are not signed
		r.Apply = func(tx *db.Tx, _ int64) error {
			if elsewhere {
				if err := a.sawDevice(tx); err != nil {
					return err
				}
			}
			return a.markProtected(tx, h)
		}
		r.After = a.outbox.kick
	}
	return r
}

// markProtected remembers that a message was encrypted, by its Message-IDs.
func (a *Account) markProtected(tx *db.Tx, hs ...message.Header) error {
	for _, h := range hs {
		for _, id := range message.ParseMessageIDs(h.Get("Message-ID")) {
			if err := tx.SetProtected(id, a.now()); err != nil {
				return err
			}
		}
	}
	return nil
}

// ingestOpened shows an ordinary encrypted message, one of a group, or one of a channel, whose
// secret opened it if it was not encrypted to our key.
func (a *Account) ingestOpened(ctx context.Context, m *arrival, opened *pgp.Opened, secret string) (mirror.Ruling, error) {
	good := opened.Signature.State == pgp.SignatureGood && opened.IntendedForUs
	signers, err := a.addressesOf(ctx, opened.Signature)
	if err != nil {
		return mirror.Ruling{}, err
	}
	merged := headers.Merge(headers.Opened{
		Outer: m.outer, Payload: opened.Payload, Encrypted: true,
		SignatureGood: good, SignerAddresses: signers,
	})
	security := headers.Security{Encryption: "openpgp", Signature: stateName(opened.Signature.State), Trust: "none"}
	s := a.sightingInside(m, merged, opened)
	keywords, err := a.judge(ctx, &security, s, opened.Signature)
	if err != nil {
		return mirror.Ruling{}, err
	}
	if !opened.IntendedForUs {
		security.Trust, keywords = "none", nil
		security.Warnings = append(security.Warnings, "unauthenticated")
	}
	chat, err := a.readChat(ctx, m, merged.Inner, opened, secret)
	if err != nil || chat.hidden {
		return mirror.Ruling{Verdict: mirror.Hide, Kind: mirror.Control, Apply: chat.applyAlone}, err
	}
	for _, warning := range chat.warnings {
		if !slices.Contains(security.Warnings, warning) {
			security.Warnings = append(security.Warnings, warning)
		}
	}
	payload := chat.show(&merged.Header, opened.Payload)
	shown := &security
	if good && a.me().has(opened.Signature.Signer) && a.own(s.from) {
		shown, keywords = nil, nil // our own mail
	}
	id := soleMessageID(&merged, m) // which the view then shows
	r := mirror.Ruling{
		Verdict:   mirror.Deliver,
		Kind:      mirror.Opened,
		View:      headers.View(merged, payload, shown),
		Keywords:  keywords.With(mailbox.Encrypted),
		MessageID: id,
	}
	r.Apply = func(tx *db.Tx, row int64) error {
		err := errors.Join(a.markProtected(tx, m.outer, merged.Header), chat.applyAlone(tx, row))
		if err == nil && shown != nil {
			err = a.rememberSigner(tx, row, s, security)
		}
		switch {
		case err != nil:
			return err
		case m.origin == madeElsewhere && !m.Old:
			return a.applyElsewhere(tx, m, s)
		}
		return a.applySighting(tx, s)
	}
	if m.origin == madeElsewhere {
		r.After = a.outbox.kick
		if chat.text == "" {
			return a.sentElsewhere(ctx, m, merged, r)
		}
	}
	return r, nil
}

// soleMessageID sees to it that what is shown has exactly one Message-ID, of a form that every
// client repeats in its answer: by it the answer is known for one to encrypted mail. A sender may
// have left it out, or written two.
func soleMessageID(merged *headers.Merged, m *arrival) string {
	values := merged.Header.Values("Message-ID")
	for _, value := range append(values, m.outer.Values("Message-ID")...) {
		for _, id := range message.ParseMessageIDs(value) {
			if !plainID(id) {
				continue
			}
			if len(values) != 1 || values[0] != "<"+id+">" {
				merged.Header.Set(message.NewField("Message-ID", "<"+id+">"))
			}
			return id
		}
	}
	id := hex.EncodeToString(m.Digest[:16]) + "@opened.mailbridge.invalid"
	merged.Header.Set(message.NewField("Message-ID", "<"+id+">"))
	return id
}

// plainID reports whether a client can repeat a Message-ID without changing it.
func plainID(id string) bool {
	const longest = 900 // with its field's name it fits into a line (RFC 5322, section 2.1.1)
	return len(id) <= longest && !strings.ContainsFunc(id, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`(),\"`, r)
	})
}

// stateName is a signature's state in the words of the security header.
func stateName(s pgp.SignatureState) string {
	switch s {
	case pgp.SignatureGood:
		return "good"
	case pgp.SignatureBad:
		return "bad"
	case pgp.SignatureUnknown:
		return "unknown"
	}
	return "none"
}
