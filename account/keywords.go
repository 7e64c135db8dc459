package account

import (
	"slices"

	"mailbridge/db"
	"mailbridge/headers"
	"mailbridge/mailbox"
	"mailbridge/pgp"
)

// rememberSigner stores who signed a message, where that speaks for the sender who is shown:
// the security header says what that was worth when the message came, the keywords are live.
func (a *Account) rememberSigner(tx *db.Tx, row int64, s sighting, security headers.Security) error {
	clean := !slices.Contains(security.Warnings, "from-mismatch") && !slices.Contains(security.Warnings, "unauthenticated")
	if security.Signature != "good" || !clean || s.from == "" || a.own(s.from) {
		return nil
	}
	return tx.SetSender(row, s.from, pgp.Fingerprint(security.Fingerprint))
}

// refreshKeywords brings the keywords of a contact's messages in line with its key.
func (a *Account) refreshKeywords(tx *db.Tx, peer db.Peer) error {
	messages, err := tx.SignedBy(peer.Addr)
	if err != nil {
		return err
	}
	for _, m := range messages {
		keywords := m.Keywords.Without(mailbox.Verified, mailbox.KeyChanged)
		switch {
		case peer.Verified() && m.Signer == peer.VerifiedCert:
			keywords = keywords.With(mailbox.Verified)
		case peer.Verified():
			keywords = keywords.With(mailbox.KeyChanged)
		}
		if keywords.Equal(m.Keywords) {
			continue
		}
		if err := a.mirror.SetKeywords(tx, m.ID, keywords); err != nil {
			return err
		}
	}
	return nil
}
