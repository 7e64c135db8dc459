package account

import (
	"context"

	"mailbridge/autocrypt"
	"mailbridge/mirror"
	"mailbridge/securejoin"
)

// ingestRequest takes the one step of the older protocol that is not encrypted. It proves the
// INVITENUMBER of a live invite, or it is ordinary mail. ok is false for what is none.
func (a *Account) ingestRequest(ctx context.Context, m *arrival) (mirror.Ruling, bool, error) {
	in, ok := securejoin.ReadRequest(m.outer)
	if !ok || m.Old || !requestForm(m) {
		return mirror.Ruling{}, false, nil
	}
	if ours, err := a.ownRequest(ctx, in); ours || err != nil {
		return hidden(nil), ours, err
	}
	if h, found, _ := autocrypt.FromHeader(m.outer.Values("Autocrypt"), in.InnerFrom); found {
		in.Key = h.Cert
	}
	ruling, ok, err := a.takeStep(ctx, in, nil) // a request is never shown for what it is
	if ok || err != nil || !a.shared.Load() {
		return ruling, ok, err
	}
	ruling, held := a.holdFor(m, elsewhereFor) // the number may be one of another device's
	return ruling, held, nil
}

// requestForm knows the form in which all versions of Delta Chat send a request, the one that
// chatmail relays let pass. What is longer is not hidden: whoever holds a link knows its number.
func requestForm(m *arrival) bool {
	const maxText = 1 << 10
	if len(m.Raw) > maxHandshake || m.root.MediaType != "multipart/mixed" || len(m.root.Children) != 1 {
		return false
	}
	part := m.root.Children[0]
	return part.MediaType == "text/plain" && len(part.Decoded(m.Raw)) <= maxText
}
