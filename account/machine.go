package account

import (
	"context"
	"strings"

	"mailbridge/autocrypt"
	"mailbridge/db"
	"mailbridge/message"
	"mailbridge/mirror"
	"mailbridge/pgp"
)

// ingestMachine handles mail from program to program that is none of the user's business.
// Only what proves itself is hidden: our own devices' sync messages by our signature, a key
// update by a certificate that is already known for its sender.
func (a *Account) ingestMachine(ctx context.Context, m *arrival, opened *pgp.Opened, inner message.Header) (mirror.Ruling, bool, error) {
	media, params := message.ContentType(inner.Get("Content-Type"))
	if media != "multipart/report" {
		return mirror.Ruling{}, false, nil
	}
	switch params["report-type"] {
	case "multi-device-sync":
		return a.ingestSync(m, opened, inner), m.origin != notOurs, nil
	case "disposition-notification":
		if receipt, err := a.isReceipt(ctx, m, opened, inner); receipt || err != nil {
			return hidden(nil), receipt, err
		}
		return a.ingestKeyUpdate(ctx, m, opened, inner)
	}
	return mirror.Ruling{}, false, nil
}

// ingestKeyUpdate takes a newer certificate of a key that is known for the sender, in
// exactly the form in which Delta Chat 2.62 sends it.
func (a *Account) ingestKeyUpdate(ctx context.Context, m *arrival, opened *pgp.Opened, inner message.Header) (mirror.Ruling, bool, error) {
	from := soleSender(inner)
	h, found, _ := autocrypt.FromHeader(inner.Values("Autocrypt"), from)
	if len(m.Raw) > maxHandshake || !isKeyUpdate(opened, inner) || !found || from != soleSender(m.outer) {
		return mirror.Ruling{}, false, nil
	}
	known, err := a.knownFor(ctx, from, h.Cert.Fingerprint())
	if err != nil || !known {
		return mirror.Ruling{}, false, err
	}
	return mirror.Ruling{
		Verdict: mirror.Hide,
		Kind:    mirror.Control,
		Apply: func(tx *db.Tx, _ int64) error {
			_, err := tx.MergeCert(h.Cert, a.now())
			return err
		},
	}, true, nil
}

// isKeyUpdate matches the form: unsigned, to nobody by name, a report of type "processed" and
// nothing beside it that somebody could have hidden there.
func isKeyUpdate(opened *pgp.Opened, inner message.Header) bool {
	if opened.Signature.State != pgp.SignatureNone || inner.Text("Subject") != "Keyupdate" {
		return false
	}
	if len(message.ParseAddresses(inner.Get("To"))) != 0 {
		return false
	}
	parts := message.Parse(opened.Payload).Children
	if len(parts) != 2 || parts[0].MediaType != "text/plain" || parts[1].MediaType != "message/disposition-notification" {
		return false
	}
	report, _ := message.ParseHeader(parts[1].Decoded(opened.Payload))
	words := strings.Join(strings.Fields(report.Get("Disposition")), "")
	return strings.EqualFold(words, "automatic-action/MDN-sent-automatically;processed")
}

// soleSender is the canonical address of a message's sender: of the one address in the one
// From field. Of two a client may show either.
func soleSender(h message.Header) string {
	values := h.Values("From")
	if len(values) != 1 {
		return ""
	}
	list := message.ParseAddresses(values[0])
	if len(list) != 1 {
		return ""
	}
	return shortAddr(list[0].Addr)
}

// maxAddr is longer than any address that SMTP can carry (RFC 5321, section 4.5.3.1).
const maxAddr = 320

// shortAddr is the canonical form of an address; empty for what is too long to be one.
func shortAddr(addr string) string {
	if len(addr) > maxAddr {
		return ""
	}
	return message.CanonicalAddr(addr)
}
