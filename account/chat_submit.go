package account

import (
	"context"
	"errors"
	"slices"

	"mailbridge/db"
	"mailbridge/headers"
	"mailbridge/message"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// chatAddr is the first recipient of a letter that is a group's or channel's local address;
// empty: none is.
func (l *letter) chatAddr() string {
	for _, addr := range append(slices.Clone(l.visible), l.bcc...) {
		if localOf(addr) != "" {
			return addr
		}
	}
	return ""
}

// otherRecipients are the recipients of a letter beside a local address.
func (l *letter) otherRecipients(addr string) []string {
	all := append(slices.Clone(l.visible), l.bcc...)
	return slices.DeleteFunc(all, func(other string) bool { return other == addr })
}

// submitToChat sends a letter into the group or channel of a local address.
func (a *Account) submitToChat(ctx context.Context, l letter, addr string) (string, error) {
	var group db.Group
	var channel db.Channel
	isChannel := false
	err := a.db.View(ctx, func(tx *db.Tx) (err error) {
		group, err = tx.GroupByLocal(localOf(addr))
		if errors.Is(err, db.ErrNotFound) {
			isChannel = true
			channel, err = tx.ChannelByLocal(localOf(addr))
		}
		return err
	})
	switch {
	case errors.Is(err, db.ErrNotFound):
		return "", &Refusal{550, [3]int{5, 1, 1}, "There is no group or channel " + addr + ".\nbridge group list names those there are."}
	case err != nil:
		return "", refuseForNow("The message could not be taken: %s.", plainError(err))
	case isChannel:
		return a.submitToChannel(ctx, l, addr, channel)
	}
	return a.submitToGroup(ctx, l, addr, group)
}

// chatCopies makes the mail of a letter into a group or channel: addressed as the post says,
// and not as the client did, so that nobody who left comes back by a reply to all.
func (a *Account) chatCopies(l letter, p securejoin.Post, to []string, certs []*pgp.Cert, gossip []string) ([]wireCopy, error) {
	me := a.me()
	outer, payload, err := headers.Protect(readdressed(l, p), headers.ProtectOptions{
		Policy: headers.Hidden, OuterDate: outerDate(a.now()), Autocrypt: me.autocrypt, Gossip: gossip,
		Extra: []message.Field{message.NewField(securejoin.FieldChat, "1.0")},
	})
	if err != nil {
		return nil, err
	}
	ciphertext, err := a.encryptPost(me, payload, p, certs)
	if err != nil {
		return nil, err
	}
	wire := pgp.JoinEncrypted(outer.Bytes(), ciphertext, newBoundary())
	var copies []wireCopy
	for some := range slices.Chunk(to, maxEnvelope) {
		copies = append(copies, wireCopy{to: some, wire: wire})
	}
	return copies, nil
}

// readdressed gives a letter with the recipients and the fields of a post.
func readdressed(l letter, p securejoin.Post) []byte {
	h, body := message.ParseHeader(l.msg)
	for _, name := range []string{"To", "Cc", "Bcc", "Reply-To"} {
		h.Del(name)
	}
	h.Add(message.NewField("To", p.ToField()))
	for _, f := range slices.Concat(p.Lists, p.Fields) {
		h.Del(f.Name)
		if f.Name != securejoin.FieldChat { // it stands outside, too
			h.Add(f)
		}
	}
	return slices.Concat(h.Bytes(), []byte("\r\n"), l.msg[body:])
}
