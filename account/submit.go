package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mailbridge/autocrypt"
	"mailbridge/db"
	"mailbridge/headers"
	"mailbridge/mailbox"
	"mailbridge/message"
	"mailbridge/mirror"
	"mailbridge/pgp"
)

// wireCopy is one transaction with the provider: finished bytes and whom they are for.
type wireCopy struct {
	to   []string
	wire []byte
	post bool // into a channel, which other devices of ours do not know
}

// Submit takes a message from the user's mail client: encrypts it, sends it plain, or
// refuses it with a *Refusal. On success the text is for the client's user.
func (a *Account) Submit(ctx context.Context, from string, to []string, msg []byte) (string, error) {
	l, err := readLetter(msg, to, a.now())
	if err != nil {
		return "", err
	}
	if !a.own(l.from) || !a.own(from) {
		return "", refusePolicy("This account sends only as %s.\nSet that address as From in your mail program.", a.settings.Address)
	}
	if addr := l.chatAddr(); addr != "" {
		return a.submitToChat(ctx, l, addr)
	}
	if l.encrypted() {
		return a.dispatch(ctx, l, []wireCopy{{to: canonicalAll(to), wire: headers.Submit(l.msg, headers.SubmitOptions{})}}, false)
	}
	recipients, request, err := a.weigh(ctx, l)
	if err != nil {
		return "", refuseForNow("The message could not be taken: %s.", plainError(err))
	}
	d := decide(recipients, request)
	switch d.outcome {
	case outcomeRefuse:
		return "", a.refuse(ctx, l, d)
	case outcomeEncrypt:
		copies, err := a.encryptCopies(l, recipients)
		if err != nil {
			a.log.Error("encrypting failed", "error", err)
			return "", refuseForNow("The message could not be encrypted, and was not sent.")
		}
		return a.dispatch(ctx, l, copies, true)
	default:
		plain := headers.Submit(l.msg, headers.SubmitOptions{Autocrypt: a.me().autocrypt})
		return a.dispatch(ctx, l, []wireCopy{{to: canonicalAll(to), wire: plain}}, false)
	}
}

// weigh looks up what decides about a letter.
func (a *Account) weigh(ctx context.Context, l letter) ([]recipient, request, error) {
	var recipients []recipient
	q, err := a.requestOf(ctx, l)
	if err != nil {
		return nil, q, err
	}
	err = a.db.View(ctx, func(tx *db.Tx) error {
		for _, addr := range append(append([]string{}, l.visible...), l.bcc...) {
			r, err := a.lookUp(tx, addr, q.reply)
			if err != nil {
				return err
			}
			recipients = append(recipients, r)
		}
		return nil
	})
	return recipients, q, err
}

// requestOf says what a letter asks for, whoever it goes to.
func (a *Account) requestOf(ctx context.Context, l letter) (request, error) {
	related := append(headers.References(l.header), nestedMessageIDs(l.msg, l.root)...)
	answers, err := a.anywhere(ctx, func(tx *db.Tx) (bool, error) { return tx.AnyProtected(related) })
	return request{wish: headers.AskedFor(l.header), reply: answers || carriesOpened(l.msg, l.root)}, err
}

// refuse tells why a letter is not sent: shortly to the client, in full in a note.
func (a *Account) refuse(ctx context.Context, l letter, d decision) error {
	all := make([]string, len(d.lacking))
	for i, r := range d.lacking {
		all[i] = r.addr
	}
	err := a.db.Update(ctx, func(tx *db.Tx) error {
		return a.leave(tx, note{
			subject: "Not sent: no key for " + names(d.lacking),
			text: fmt.Sprintf("Your message %q was not sent.\n\nIt must be encrypted, because %s, but the bridge has no usable key for:\n\n  %s\n\n"+
				"Exchange invites with them (bridge invite, bridge join), or leave them out.",
				l.header.Text("Subject"), d.reason, strings.Join(all, "\n  ")),
		})
	})
	if err != nil {
		a.log.Error("note was not kept", "error", err)
	}
	return refuseNoKey("Not sent: no encryption key for %s.\nIt must be encrypted: %s. Exchange invites first.", names(d.lacking), d.reason)
}

// encryptCopies encrypts for the visible recipients together and for each Bcc recipient
// apart: naming them in the others' copy would betray them.
func (a *Account) encryptCopies(l letter, recipients []recipient) ([]wireCopy, error) {
	var copies []wireCopy
	visible := recipients[:len(l.visible)]
	if len(visible) > 0 {
		c, err := a.encryptCopy(l, visible)
		if err != nil {
			return nil, err
		}
		copies = append(copies, c)
	}
	for _, r := range recipients[len(l.visible):] {
		c, err := a.encryptCopy(l, []recipient{r})
		if err != nil {
			return nil, err
		}
		copies = append(copies, c)
	}
	return copies, nil
}

// encryptCopy makes the mail for some recipients.
func (a *Account) encryptCopy(l letter, recipients []recipient) (wireCopy, error) {
	now, me := a.now(), a.me()
	certs := []*pgp.Cert{me.key.Cert()}
	c := wireCopy{}
	for _, r := range recipients {
		certs = append(certs, r.cert)
		c.to = append(c.to, r.addr)
	}
	o := headers.ProtectOptions{Autocrypt: me.autocrypt, Policy: headers.Bare, LegacyDisplay: true}
	if allReadHidden(recipients) {
		o.Policy, o.OuterDate, o.LegacyDisplay = headers.Hidden, outerDate(now), false
	}
	if len(recipients) > 1 || a.shared.Load() { // another device may not know whose mail this is
		o.Gossip = gossip(recipients)
	}
	outer, payload, err := headers.Protect(l.msg, o)
	if err != nil {
		return c, err
	}
	sealed, err := pgp.Encrypt(payload, pgp.EncryptOptions{Signer: me.key, To: certs, Now: now, Compress: true})
	if err != nil {
		return c, err
	}
	c.wire = pgp.JoinEncrypted(outer.Bytes(), sealed, newBoundary())
	return c, nil
}

// gossip gives the Autocrypt-Gossip values for recipients who see each other (Autocrypt
// Level 1, section 2.2).
func gossip(recipients []recipient) []string {
	var values []string
	for _, r := range recipients {
		if v := (autocrypt.Header{Addr: r.addr, Cert: r.cert}).GossipValue(); v != "" {
			values = append(values, v)
		}
	}
	return values
}

// dispatch stores what is to be sent together with the sender's own copy, and what else follows
// from it, and waits for the provider's verdict.
func (a *Account) dispatch(ctx context.Context, l letter, copies []wireCopy, encrypted bool, also ...func(*db.Tx) error) (string, error) {
	own := l.withBcc()
	upload := headers.Submit(l.msg, headers.SubmitOptions{})
	if encrypted {
		var err error
		if upload, err = a.seal(own, l.messageID, a.key()); err != nil {
			return "", refuseForNow("The message could not be encrypted, and was not sent.")
		}
	}
	saved, err := a.sentCopy(ctx, l, own, upload, encrypted)
	if err != nil {
		return "", refuseForNow("The message could not be stored, and was not sent.")
	}
	var ids []int64
	err = a.db.Update(ctx, func(tx *db.Tx) (err error) {
		if ids, err = a.enqueue(tx, l, copies, saved, encrypted); err != nil {
			return err
		}
		for _, do := range also {
			if err := do(tx); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, db.ErrFull) {
		return "", &Refusal{452, [3]int{4, 3, 1}, "The disk is full. The message was not sent."}
	}
	if err != nil {
		a.log.Error("submission not stored", "error", err)
		return "", refuseForNow("The message could not be stored, and was not sent.")
	}
	return a.await(ctx, ids)
}

// enqueue is dispatch's transaction.
func (a *Account) enqueue(tx *db.Tx, l letter, copies []wireCopy, saved *mirror.Local, encrypted bool) ([]int64, error) {
	now := a.now()
	var row int64
	if saved != nil {
		added, err := a.mirror.Add(tx, *saved)
		if err != nil {
			return nil, err
		}
		row = added.Row
	}
	if encrypted {
		if err := tx.SetProtected(l.messageID, now); err != nil {
			return nil, err
		}
	}
	var ids []int64
	for _, c := range copies {
		o := db.Outgoing{Kind: db.OutMail, MessageID: l.messageID, From: a.settings.Address,
			Encrypted: encrypted, Created: now, SentRow: row}
		for _, addr := range c.to {
			o.To = append(o.To, db.OutgoingRecipient{Addr: addr})
		}
		id, err := tx.Enqueue(o, c.wire)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	if c, ok := a.forDevices(l, copies); ok && encrypted {
		return ids, a.copyToDevices(tx, l.messageID, c.wire, time.Time{})
	}
	return ids, nil
}

// forDevices is the copy of a letter that other devices can tell the recipients by. There is none
// if only Bcc recipients get it, and none is needed if it goes to our own address as well.
func (a *Account) forDevices(l letter, copies []wireCopy) (wireCopy, bool) {
	for _, c := range copies {
		if slices.ContainsFunc(c.to, a.own) {
			return wireCopy{}, false
		}
	}
	return copies[0], len(l.visible) > 0 && !copies[0].post
}

// sentCopy describes the hidden row of the sender's own copy; nil where the provider has no
// Sent mailbox.
func (a *Account) sentCopy(ctx context.Context, l letter, own, upload []byte, encrypted bool) (*mirror.Local, error) {
	sent, err := a.mirror.Special(ctx, mailbox.UseSent)
	var refusal *mailbox.Error
	if errors.As(err, &refusal) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	now := a.now()
	local := mirror.Local{
		Mailbox: sent.Name, Kind: mirror.Sealed, View: own, Wire: upload,
		Flags: mailbox.NewFlags(mailbox.Seen), Date: now, MessageID: l.messageID,
		Hidden: true, UploadAt: now.Add(neverYet),
	}
	if encrypted {
		local.Keywords = mailbox.NewFlags(mailbox.Encrypted)
	}
	return &local, nil
}

// neverYet holds an upload back until the provider's verdict on the message is known.
const neverYet = 10 * 365 * 24 * time.Hour

// await waits until every copy was tried or the client has waited long enough.
func (a *Account) await(ctx context.Context, ids []int64) (string, error) {
	patience := time.NewTimer(a.options.submitWait())
	defer patience.Stop()
	for _, id := range ids {
		tried := a.outbox.done.watch(id)
		a.outbox.kick()
		if a.wasTried(ctx, id) {
			a.outbox.done.forget(id, tried)
			continue
		}
		select {
		case <-tried:
		case <-patience.C:
			a.outbox.done.forget(id, tried)
			patience.Reset(0)
		case <-ctx.Done():
			// The message is stored, so it is taken: a refusal would make the client send it again.
			a.outbox.done.forget(id, tried)
			return a.verdict(context.WithoutCancel(ctx), ids)
		}
	}
	return a.verdict(context.WithoutCancel(ctx), ids)
}

// wasTried reports whether an attempt to send has ended.
func (a *Account) wasTried(ctx context.Context, id int64) bool {
	tried := false
	err := a.db.View(ctx, func(tx *db.Tx) error {
		o, err := tx.Outgoing(id)
		tried = err == nil && o.State != db.Sending && (o.State != db.Queued || o.Attempts > 0)
		return err
	})
	return err == nil && tried
}

// verdict is the reply to the client once the provider was asked.
func (a *Account) verdict(ctx context.Context, ids []int64) (string, error) {
	var accepted, queued, unknown, refused []db.OutgoingRecipient
	err := a.db.View(ctx, func(tx *db.Tx) error {
		for _, id := range ids {
			o, err := tx.Outgoing(id)
			if err != nil {
				return err
			}
			for _, r := range o.To {
				switch r.State {
				case db.Sent:
					accepted = append(accepted, r)
				case db.Refused:
					refused = append(refused, r)
				case db.Unknown:
					unknown = append(unknown, r)
				default:
					queued = append(queued, r)
				}
			}
		}
		return nil
	})
	switch {
	case err != nil, len(queued) > 0:
		return "Queued: it is sent as soon as your provider takes it", nil
	case len(unknown) > 0:
		return "Handed over, but it is not known whether it was sent; see the mailbox Bridge", nil
	case len(accepted) > 0 && len(refused) > 0:
		return "Sent, but not to everybody; see the mailbox Bridge", nil
	case len(accepted) > 0:
		return "Sent", nil
	}
	return "", refusedByProvider(refused)
}

// refusedByProvider passes the provider's own refusal on.
func refusedByProvider(refused []db.OutgoingRecipient) error {
	r := refused[0]
	code := r.Code
	if code < 500 || code > 599 {
		code = 550
	}
	text := strings.Join(strings.Fields(r.Text), " ")
	const longest = 200 // a client shows it in a dialog
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return &Refusal{code, [3]int{5, 0, 0}, fmt.Sprintf("Your provider refused %s: %s", r.Addr, text)}
}

func (o Options) submitWait() time.Duration {
	if o.SubmitWait > 0 {
		return o.SubmitWait
	}
	return submitWait
}

func canonicalAll(addrs []string) []string {
	list := make([]string, len(addrs))
	for i, addr := range addrs {
		list[i] = message.CanonicalAddr(addr)
	}
	return list
}

// plainError gives an error's text for the person, without what is internal.
func plainError(err error) string {
	switch {
	case errors.Is(err, db.ErrFull):
		return "the disk is full"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "the bridge is stopping"
	}
	return "the bridge's index cannot be read"
}
