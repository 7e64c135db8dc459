package account

import (
	"bytes"
	"context"
	"errors"

	"mailbridge/db"
	"mailbridge/headers"
	"mailbridge/mailbox"
	"mailbridge/message"
	"mailbridge/mirror"
	"mailbridge/pgp"
)

// Peek reports whether the beginning of a text decides: inline PGP is text/plain, and what
// Exchange and mailing lists make of PGP/MIME is multipart/mixed.
func (g ingester) Peek(header []byte) bool {
	h, _ := message.ParseHeader(header)
	media, _ := message.ContentType(h.Get("Content-Type"))
	return media == "" || media == "text/plain" || media == "multipart/mixed"
}

// Peeked looks for armor, or for the first part of PGP/MIME.
func (g ingester) Peeked(_, start []byte) bool {
	return bytes.Contains(start, []byte("-----BEGIN PGP MESSAGE-----")) ||
		bytes.Contains(bytes.ToLower(start), []byte("application/pgp-encrypted")) ||
		bytes.Contains(bytes.ToLower(start), []byte("multipart/encrypted"))
}

// inlineArmor gives the armored message that is the whole text of a text/plain message. In
// HTML, or with other text around it, none is opened: an attacker may have put it there.
func inlineArmor(m *arrival) ([]byte, bool) {
	if m.root.MediaType != "text/plain" || m.root.IsMultipart() {
		return nil, false
	}
	return pgp.InlineArmor(m.root.Decoded(m.Raw))
}

// ingestInline opens inline PGP. Its header is the outer one, which nothing protects, so
// that it has no Autocrypt, gossip or handshake effect.
func (a *Account) ingestInline(ctx context.Context, m *arrival, armor []byte) (mirror.Ruling, error) {
	opened, err := pgp.Open(armor, a.openOptions(ctx, m))
	switch {
	case errors.Is(err, pgp.ErrDamaged), errors.Is(err, pgp.ErrTooLarge):
		return a.damaged(m), nil
	case err != nil:
		return a.asItCame(m), nil
	}
	payload := headers.InlinePayload(opened.Payload, m.root.Params["charset"])
	merged := headers.Merge(headers.Opened{Outer: m.outer, Payload: payload, Encrypted: true})
	security := headers.Security{Encryption: "openpgp", Signature: stateName(opened.Signature.State), Trust: "none"}
	s := a.sightingOf(m)
	s.effective, s.Header = false, nil
	keywords, err := a.judge(ctx, &security, s, opened.Signature)
	if err != nil {
		return mirror.Ruling{}, err
	}
	if !opened.IntendedForUs {
		security.Trust, keywords = string(db.TrustNone), nil
		security.Warnings = append(security.Warnings, "unauthenticated")
	}
	id := soleMessageID(&merged, m)
	return mirror.Ruling{
		Verdict:   mirror.Deliver,
		Kind:      mirror.Opened,
		View:      headers.View(merged, payload, &security),
		Keywords:  keywords.With(mailbox.Encrypted),
		MessageID: id,
		Apply: func(tx *db.Tx, row int64) error {
			if err := a.rememberSigner(tx, row, s, security); err != nil {
				return err
			}
			return a.markProtected(tx, m.outer, merged.Header)
		},
	}, nil
}
