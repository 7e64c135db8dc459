package account

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mailbridge/autocrypt"
	"mailbridge/db"
	"mailbridge/message"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// groupFields are not shown: whoever knows a group's id could write into it in programs that
// check less, and a message that is passed on would tell it.
var groupFields = []string{
	securejoin.FieldGroupID, securejoin.FieldMembers, securejoin.FieldTimes, securejoin.FieldPast,
	securejoin.FieldAddedKey, securejoin.FieldRemovedKey,
}

// groupMail is a message of a group with what else it brings.
type groupMail struct {
	securejoin.GroupMessage
	messageID string             // by which the others know it
	keys      []autocrypt.Header // of its recipients
	local     string             // of the group's address here, should it become known
	elsewhere bool               // another device of ours wrote it
	endsJoin  bool               // it says that it ends a join
}

// readGroup reads a message of a group. What it changes counts only from who is in the group, and
// only if it is no mail of before the account was added.
func (a *Account) readGroup(ctx context.Context, m *arrival, g groupMail) (chat, error) {
	var before, after db.Group
	var changes securejoin.Changes
	err := a.db.View(ctx, func(tx *db.Tx) (err error) {
		before, after, changes, err = a.mergeGroup(tx, g)
		return err
	})
	if err != nil {
		return chat{}, err
	}
	c := chat{del: groupFields}
	if !changes.FromMember || m.Old && before.ID == "" {
		c.warnings = []string{"not-a-member"}
		return c, nil
	}
	if m.Old { // it changes nothing
		after, changes = before, securejoin.Changes{}
	} else {
		c.apply = func(tx *db.Tx) error { return a.applyGroup(tx, g) }
	}
	if g.inAnothersName(after) {
		c.warnings = []string{"from-mismatch"}
	}
	c.hidden = changes.Repeat() && len(m.Raw) <= maxMemberAdded // what is larger brings more than a change
	if changes.Asked {
		c.set = append(c.set, message.NewField("Subject", message.EncodeWord(after.Name)))
		c.text = changeText(changes, a.self())
	}
	if after.Has(a.key().Fingerprint()) {
		c.set = append(c.set, message.NewField("Reply-To", message.Address{Name: after.Name, Addr: groupAddr(after)}.String()))
	}
	return c, nil
}

// changeText says what a message that was made for a change has done.
func changeText(c securejoin.Changes, me securejoin.Self) string {
	if lines := c.Lines(me); len(lines) > 0 {
		return strings.Join(lines, "\n")
	}
	return "This message is about a change of the group that does not hold: it is older than what is known, or names nobody whose key is known."
}

// inAnothersName says whether a member writes as another one: its key says who it is, and not the
// sender that is shown.
func (g groupMail) inAnothersName(in db.Group) bool {
	another := false
	for _, m := range in.Current() {
		if m.Addr != g.From.Addr {
			continue
		}
		if m.Fingerprint == g.Signer {
			return false
		}
		another = true
	}
	return another
}

// mergeGroup merges a message into its group, as it is stored, without storing it. Of a group that
// is not known it gives the new one, if the message may make it known.
func (a *Account) mergeGroup(tx *db.Tx, g groupMail) (before, after db.Group, c securejoin.Changes, err error) {
	me := a.self()
	before, err = tx.Group(g.ID)
	switch {
	case errors.Is(err, db.ErrNotFound):
		after, c, err = a.enterGroup(tx, g)
		return db.Group{}, after, c, err
	case err != nil:
		return before, before, c, err
	}
	if g.elsewhere { // another device of ours may be in again
		self, _ := before.Find(me.Fingerprint)
		g.Proven = g.Proven || g.Date.After(self.Removed)
	}
	after = before
	after.GroupChat, c = before.Merge(me, g.GroupMessage, a.now())
	if !before.Has(me.Fingerprint) && after.Has(me.Fingerprint) {
		if out, err := a.declined(tx, g); out || err != nil {
			return before, before, securejoin.Changes{}, err
		}
	}
	if c.FromMember {
		after.Thread = db.Followed(after.Thread, g.messageID)
	}
	return before, after, c, nil
}

// enterGroup makes a group known that we were taken into: by our own join, by another device of
// ours, or by a contact who is verified or was introduced.
func (a *Account) enterGroup(tx *db.Tx, g groupMail) (db.Group, securejoin.Changes, error) {
	if !g.Proven && !g.elsewhere {
		peer, err := tx.PeerOrNew(g.From.Addr)
		if err != nil {
			return db.Group{}, securejoin.Changes{}, err
		}
		if trust := peer.Trust(g.Signer); peer.Blocked || trust != db.TrustVerified && trust != db.TrustIntroduced {
			return db.Group{}, securejoin.Changes{}, nil
		}
	}
	if out, err := a.declined(tx, g); out || err != nil {
		return db.Group{}, securejoin.Changes{}, err
	}
	entered, c, err := securejoin.EnterGroup(a.self(), g.GroupMessage, a.now())
	if err != nil {
		return db.Group{}, securejoin.Changes{}, nil // it does not take us in
	}
	return db.Group{GroupChat: entered, Local: g.local, Thread: db.Followed(nil, g.messageID)}, c, nil
}

// declined says whether our last join of a group was cancelled or has failed, so that neither the
// late end of it takes us in, nor the mail of those who believe us in; only another join does, or
// who takes us in by hand.
func (a *Account) declined(tx *db.Tx, g groupMail) (bool, error) {
	if g.Proven || g.elsewhere || g.Added != nil && g.Added.Key == a.key().Fingerprint() && !g.endsJoin {
		return false, nil
	}
	if a.now().Sub(g.Date) > securejoin.Tombstone {
		return true, nil // such a join would be forgotten
	}
	joins, err := tx.Joins()
	for _, j := range joins {
		if !j.Observed && j.Link.Kind == securejoin.Group && j.Link.GroupID == g.ID {
			return j.State == securejoin.Failed, err
		}
	}
	return false, err
}

// applyGroup stores what a message changed, in the transaction that shows it.
func (a *Account) applyGroup(tx *db.Tx, g groupMail) error {
	_, after, c, err := a.mergeGroup(tx, g)
	if err != nil || !c.FromMember {
		return err
	}
	if c.Asked && g.messageID != "" && !g.elsewhere { // sent again, it does not end a join
		if _, err := tx.MarkHandled(string(g.Signer), g.messageID, a.now()); err != nil {
			return err
		}
	}
	if err := a.keepMemberKeys(tx, after, g.keys); err != nil {
		return err
	}
	if c.RevokesInvites() {
		if err := a.revokeGroupInvites(tx, after.ID); err != nil {
			return err
		}
	}
	if err := a.noteChanges(tx, after, c); err != nil {
		return err
	}
	by := ""
	if g.Chat && g.Signer != a.key().Fingerprint() {
		by = g.From.Addr
		after.Apps = slices.DeleteFunc(slices.Clone(after.Apps), func(f pgp.Fingerprint) bool { return !after.Has(f) || f == g.Signer })
		after.Apps = append(after.Apps, g.Signer)
	}
	if after, err = a.keepSecret(tx, after, by); err != nil {
		return err
	}
	return tx.PutGroup(after)
}

// keepMemberKeys keeps the certificates that a message brings of members. That the contact of
// such an address has another key does not matter: a member is who has the key.
func (a *Account) keepMemberKeys(tx *db.Tx, g db.Group, keys []autocrypt.Header) error {
	for _, h := range keys {
		if fpr := h.Cert.Fingerprint(); !g.Has(fpr) || fpr == a.key().Fingerprint() {
			continue
		}
		if _, err := tx.MergeCert(h.Cert, a.now()); err != nil {
			return err
		}
	}
	return nil
}

// noteChanges tells what is not said by the message itself: changes that an ordinary message
// brings along in its lists, a group that it took us into, and members whose key is not the one of
// the verified contact.
func (a *Account) noteChanges(tx *db.Tx, after db.Group, c securejoin.Changes) error {
	if lines := strings.Join(c.Lines(a.self()), "\n"); lines != "" && !c.Asked {
		n := note{"Changes in the group " + after.Name, fmt.Sprintf("In the group “%s”:\n\n%s", after.Name, lines)}
		if c.Entered {
			n = note{"You are in the group " + after.Name, fmt.Sprintf("%s\n\nMail to this address goes to all who are in it:\n\n  %s", lines, groupAddr(after))}
		}
		if err := a.leave(tx, n); err != nil {
			return err
		}
	}
	added := c.Added
	if c.Entered {
		added = after.Others(a.self())
	}
	for _, m := range added {
		peer, err := tx.PeerOrNew(m.Addr)
		if err != nil {
			return err
		}
		if !peer.Verified() || peer.VerifiedCert == m.Fingerprint {
			continue
		}
		if err := a.leave(tx, otherKeyNote(after, m, peer.VerifiedCert)); err != nil {
			return err
		}
	}
	return nil
}

func otherKeyNote(g db.Group, m securejoin.Member, verified pgp.Fingerprint) note {
	return note{
		subject: "Another key for " + m.Addr + " in the group " + g.Name,
		text: fmt.Sprintf("%s is in the group “%s” with another key than the one that you have verified for this address. "+
			"Mail to the group is encrypted to the member's key, mail to the contact to the verified one.\n\nVerified key:\n%s\nKey in the group:\n%s",
			m.Title(), g.Name, verified, m.Fingerprint),
	}
}
