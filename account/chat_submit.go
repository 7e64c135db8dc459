package account

import (
	"context"
	"errors"
	"slices"
	"strings"

	"mailbridge/autocrypt"
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

// otherRecipients are the recipients of a letter beside a local address, whose readable part may
// have been another once.
func (l *letter) otherRecipients(addr string) []string {
	all := append(slices.Clone(l.visible), l.bcc...)
	return slices.DeleteFunc(all, func(other string) bool { return localOf(other) == localOf(addr) })
}

// submitToChat sends a letter into the group or channel of a local address.
func (a *Account) submitToChat(ctx context.Context, l letter, addr string) (string, error) {
	for _, other := range l.otherRecipients(addr) {
		if localOf(other) != "" {
			return "", refusePolicy("One message goes to one group or channel.\nWrite to each of them apart.")
		}
	}
	var group db.Group
	var channel db.Channel
	var isChannel bool
	err := a.db.View(ctx, func(tx *db.Tx) (err error) {
		group, channel, isChannel, err = chatByAddr(tx, addr)
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

// chatByAddr finds the group, or the channel, of a local address.
func chatByAddr(tx *db.Tx, addr string) (g db.Group, c db.Channel, isChannel bool, err error) {
	if g, err = tx.GroupByLocal(localOf(addr)); errors.Is(err, db.ErrNotFound) {
		c, err = tx.ChannelByLocal(localOf(addr))
		isChannel = true
	}
	return g, c, isChannel, err
}

// checkChat says what would happen to a new message for a local address.
func (a *Account) checkChat(tx *db.Tx, addr string) (Check, error) {
	check := Check{Address: addr, Outcome: outcomeRefuse.String(), Recommendation: autocrypt.Disable.String()}
	g, c, isChannel, err := chatByAddr(tx, addr)
	switch {
	case errors.Is(err, db.ErrNotFound):
		check.Reason = "there is no group or channel with this address here"
		return check, nil
	case err != nil:
		return check, err
	case isChannel:
		return a.checkChannel(check, c), nil
	}
	return a.checkGroup(tx, check, g)
}

// chatCopies makes the mail of a letter into a group or channel: addressed as the post says,
// and not as the client did, so that nobody who left comes back by a reply to all.
func (a *Account) chatCopies(l letter, p securejoin.Post, to []string, certs []*pgp.Cert, gossip []string) ([]wireCopy, error) {
	me := a.me()
	outer, payload, err := headers.Protect(readdressed(l, p.ToField(), chatFields(p)), headers.ProtectOptions{
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
	return envelopes(to, wire), nil
}

// envelopes are the transactions that bring one mail to many.
func envelopes(to []string, wire []byte) []wireCopy {
	var copies []wireCopy
	for some := range slices.Chunk(to, maxEnvelope) {
		copies = append(copies, wireCopy{to: some, wire: wire})
	}
	return copies
}

// directing are the fields that say where a message and its answers go to. Some clients put the
// local address into those for answers.
var directing = []string{"To", "Cc", "Bcc", "Reply-To", "Mail-Followup-To", "Mail-Reply-To"}

// readdressed gives a letter with other recipients, and with some fields. What the client says to
// chat programs is not passed on: it may come from a message that was opened here.
func readdressed(l letter, to string, fields []message.Field) []byte {
	h, body := message.ParseHeader(l.msg)
	h.Fields = slices.DeleteFunc(slices.Clone(h.Fields), func(f message.Field) bool {
		return len(f.Name) >= 5 && strings.EqualFold(f.Name[:5], "Chat-") ||
			slices.ContainsFunc(directing, func(name string) bool { return strings.EqualFold(name, f.Name) })
	})
	h.Add(message.NewField("To", to))
	for _, f := range fields {
		h.Add(f)
	}
	return slices.Concat(h.Bytes(), []byte("\r\n"), l.msg[body:])
}

// chatFields are the fields of a post; Chat-Version, which stands outside, too, is not among them.
func chatFields(p securejoin.Post) []message.Field {
	return slices.DeleteFunc(slices.Concat(p.Lists, p.Fields), func(f message.Field) bool { return f.Name == securejoin.FieldChat })
}
