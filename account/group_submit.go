package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mailbridge/autocrypt"
	"mailbridge/db"
	"mailbridge/headers"
	"mailbridge/message"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// submitToGroup sends a letter to all who are in a group.
func (a *Account) submitToGroup(ctx context.Context, l letter, addr string, g db.Group) (string, error) {
	p, err := g.Post(a.self(), a.now())
	switch {
	case errors.Is(err, securejoin.ErrNotMember):
		return "", refusePolicy("You are not in the group %q any more.\nThe message was not sent.", g.Name)
	case len(p.Recipients) == 0:
		return "", refusePolicy("There is nobody else in the group %q.\nThe message was not sent.", g.Name)
	case l.encrypted():
		return "", refusePolicy("The bridge encrypts mail to the group %q by itself.\nSwitch encryption off for it in your mail program.", g.Name)
	}
	if others := a.notInGroup(l, addr, g); len(others) > 0 {
		return "", refusePolicy("Not sent: %s is not in the group %q.\nAdd with: bridge group add, or write apart.", names(others), g.Name)
	}
	recipients, q, err := a.weighGroup(ctx, l, p)
	if err != nil {
		return "", refuseForNow("The message could not be taken: %s.", plainError(err))
	}
	d := decideGroup(g, recipients, q)
	switch d.outcome {
	case outcomeRefuse:
		return "", a.refuse(ctx, l, d)
	case outcomePlain:
		plain := headers.Submit(readdressed(l, p.ToField(), nil), headers.SubmitOptions{Autocrypt: a.me().autocrypt})
		return a.dispatch(ctx, l, envelopes(addrsOf(recipients), plain), false)
	}
	copies, err := a.groupCopies(ctx, l, p, recipients, g.Thread)
	if err != nil {
		a.log.Error("encrypting failed", "error", err)
		return "", refuseForNow("The message could not be encrypted, and was not sent.")
	}
	return a.dispatch(ctx, l, copies, true, func(tx *db.Tx) error {
		g, err := tx.Group(g.ID)
		if err != nil {
			return err
		}
		g.Thread = db.Followed(g.Thread, l.messageID)
		return tx.PutGroup(g)
	})
}

// notInGroup gives the recipients of a letter who never were in the group. Everybody else is
// either among those to whom it goes, or went: a reply to all brings nobody back.
func (a *Account) notInGroup(l letter, addr string, g db.Group) []recipient {
	var others []recipient
	for _, other := range l.otherRecipients(addr) {
		known := slices.ContainsFunc(g.Members, func(m securejoin.Member) bool { return m.Addr == other })
		if !known && !a.own(other) {
			others = append(others, recipient{addr: other})
		}
	}
	return others
}

// weighGroup looks up what decides about a letter to a group.
func (a *Account) weighGroup(ctx context.Context, l letter, p securejoin.Post) ([]recipient, request, error) {
	var recipients []recipient
	q, err := a.requestOf(ctx, l)
	if err != nil {
		return nil, q, err
	}
	err = a.db.View(ctx, func(tx *db.Tx) (err error) {
		recipients, err = a.lookUpMembers(tx, p, q.reply)
		return err
	})
	return recipients, q, err
}

// lookUpMembers gathers what is known of those to whom a post goes. The key of a member is the one
// that it is in the group with, whatever the contact of that address has.
func (a *Account) lookUpMembers(tx *db.Tx, p securejoin.Post, reply bool) ([]recipient, error) {
	var recipients []recipient
	for _, m := range p.Recipients {
		r, err := a.lookUp(tx, m.Addr, reply)
		if err != nil {
			return nil, err
		}
		if r.cert, err = a.memberCert(tx, m); err != nil {
			return nil, err
		}
		recipients = append(recipients, r)
	}
	return recipients, nil
}

// checkGroup says what would happen to a new message into a group.
func (a *Account) checkGroup(tx *db.Tx, check Check, g db.Group) (Check, error) {
	p, err := g.Post(a.self(), a.now())
	switch {
	case errors.Is(err, securejoin.ErrNotMember):
		check.Reason = fmt.Sprintf("you are not in the group %q any more", g.Name)
		return check, nil
	case len(p.Recipients) == 0:
		check.Reason = fmt.Sprintf("there is nobody else in the group %q", g.Name)
		return check, nil
	}
	recipients, err := a.lookUpMembers(tx, p, false)
	if err != nil {
		return check, err
	}
	d := decideGroup(g, recipients, request{wish: headers.NoWish})
	check.Outcome = d.outcome.String()
	check.Reason = fmt.Sprintf("the group %q has %d other members", g.Name, len(recipients))
	switch d.outcome {
	case outcomeRefuse:
		check.Reason += fmt.Sprintf(", and is encrypted, but no usable key is known of %s", names(d.lacking))
		return check, nil
	case outcomePlain:
		check.Reason += fmt.Sprintf(", and no usable key is known of %s", names(d.lacking))
		return check, nil
	}
	check.Recommendation = autocrypt.Encrypt.String()
	return check, nil
}

// decideGroup settles the outcome for a whole group. One that must be encrypted is, whatever the
// message or a policy asks for. Of any other all get it encrypted if all have keys, and plain if
// not, or if the message asks for that; but never where a rule above Autocrypt's advice asks for
// encryption, or a program would not show it.
func decideGroup(g db.Group, recipients []recipient, q request) decision {
	d := decision{outcome: outcomeEncrypt}
	if g.Encryption == securejoin.Required {
		d.reason = fmt.Sprintf("the group %q always is", g.Name)
	}
	for _, r := range recipients {
		if r.cert == nil {
			d.lacking = append(d.lacking, r)
		}
		r.recommendation = autocrypt.Disable
		demand, reason := demandOf(r, q)
		switch {
		case d.reason != "":
		case demand == demandEncrypt:
			d.reason = reason
		case r.readsHidden:
			d.reason = "the program of " + r.addr + " shows nothing else"
		}
	}
	switch {
	case d.reason != "" && len(d.lacking) > 0:
		d.outcome = outcomeRefuse
	case d.reason == "" && (len(d.lacking) > 0 || q.wish == headers.WishPlain):
		d.outcome = outcomePlain
	}
	return d
}

// groupCopies makes the encrypted mail of a letter into a group, with everybody's key.
func (a *Account) groupCopies(ctx context.Context, l letter, p securejoin.Post, recipients []recipient, thread []string) ([]wireCopy, error) {
	var gossip []string
	err := a.db.View(ctx, func(tx *db.Tx) (err error) {
		gossip, err = a.gossipOf(tx, p.To)
		return err
	})
	if err != nil {
		return nil, err
	}
	var certs []*pgp.Cert
	for _, r := range recipients {
		certs = append(certs, r.cert)
	}
	return a.chatCopies(continued(l, thread), p, addrsOf(recipients), certs, gossip)
}

// continued gives a letter that answers nothing as one of the thread.
func continued(l letter, thread []string) letter {
	if len(thread) == 0 || l.header.Has("In-Reply-To") || l.header.Has("References") {
		return l
	}
	var ids []string
	for _, id := range thread {
		ids = append(ids, "<"+id+">")
	}
	l.msg = slices.Concat(
		message.NewField("In-Reply-To", ids[len(ids)-1]).Raw,
		message.NewField("References", strings.Join(ids, " ")).Raw, l.msg)
	return l
}

// addrsOf gives each address once: two members may have the same one.
func addrsOf(recipients []recipient) []string {
	var addrs []string
	for _, r := range recipients {
		if !slices.Contains(addrs, r.addr) {
			addrs = append(addrs, r.addr)
		}
	}
	return addrs
}
