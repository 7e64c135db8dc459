package main

import (
	"errors"
	"fmt"
	"time"

	"mailbridge/account"
)

type contactsCmd struct{ jsonFlag }

func (c *contactsCmd) Run(a *app) error {
	list, err := ask[[]account.Contact](a, "contacts", func(of accountArgs) any { return of })
	return a.answer(c.JSON, list, err, func() {
		if len(list) == 0 {
			a.say("No contact is known yet; meet somebody with bridge invite or bridge join LINK.")
			return
		}
		var rows [][]string
		for _, contact := range list {
			rows = append(rows, []string{contact.Address, trust(contact), orDash(string(contact.Fingerprint)), learnt(contact), contact.Name})
		}
		columns(a.stdout, rows)
	})
}

// learnt says in short where a contact's trust comes from.
func learnt(c account.Contact) string {
	switch {
	case c.Verified && c.VerifiedAt != nil:
		return c.VerifiedAt.Local().Format(time.DateOnly) + " by " + c.VerifiedHow
	case c.IntroducedBy != "":
		return "by " + c.IntroducedBy
	}
	return orDash(c.Origin)
}

// trust says in a word how far a contact's key is to be trusted.
func trust(c account.Contact) string {
	level := "unverified"
	switch {
	case c.Verified:
		level = "verified"
	case c.Fingerprint == "":
		level = "no key"
	case c.IntroducedBy != "":
		level = "introduced"
	}
	if len(c.Candidates) > 0 {
		level += ", another key waits"
	}
	if c.Blocked {
		level += ", blocked"
	}
	return level
}

type contactCmds struct {
	Show   contactShowCmd   `cmd:"" help:"Show the key of a correspondent, where it was learnt, and how it was verified."`
	Verify contactVerifyCmd `cmd:"" help:"Make sure of a correspondent's key: by an invite for them alone, or by its fingerprint."`
	Accept contactAcceptCmd `cmd:"" help:"Use another key that has come up for a correspondent."`
	Reset  contactResetCmd  `cmd:"" help:"Forget the key of a correspondent, and that it was verified."`
	Block  contactBlockCmd  `cmd:"" help:"Answer a correspondent's handshakes no more."`
}

type contactShowCmd struct {
	Address string `arg:"" help:"The correspondent."`
	jsonFlag
}

func (c *contactShowCmd) Run(a *app) error {
	contact, err := ask[account.Contact](a, "contact.show", func(of accountArgs) any { return contactArgs{of, c.Address} })
	return a.answer(c.JSON, contact, err, func() {
		columns(a.stdout, contactRows(contact))
		for _, key := range contact.Candidates {
			a.say("\nAnother key has come up: %s\nAsk them which key is theirs, not by mail. If it is this one:\n  bridge contact accept %s %s", groups(string(key)), clean(contact.Address), key)
		}
	})
}

func contactRows(c account.Contact) [][]string {
	rows := [][]string{
		{"address", c.Address},
		{"name", orDash(c.Name)},
		{"fingerprint", orDash(groups(string(c.Fingerprint)))},
		{"trust", trust(c)},
	}
	if c.Verified {
		rows = append(rows, []string{"verified", when(c.VerifiedAt) + ", " + verifiedBy(c)})
	}
	return append(rows,
		[]string{"introduced by", orDash(c.IntroducedBy)},
		[]string{"key from", orDash(c.Origin)},
		[]string{"policy", orDash(c.Policy)},
		[]string{"wishes", orDash(c.PreferEncrypt)},
		[]string{"last seen", when(c.LastSeen)})
}

// verifiedBy says how a contact was verified: the protocol, and the way the link went.
func verifiedBy(c account.Contact) string {
	switch {
	case c.VerifiedHow == "manual":
		return "manual: its fingerprint was compared"
	case c.VerifiedWay != "":
		return fmt.Sprintf("%s, by a link that was %s", c.VerifiedHow, c.VerifiedWay)
	}
	return c.VerifiedHow
}

type contactVerifyCmd struct {
	Address     string `arg:"" help:"The correspondent."`
	Fingerprint string `name:"fingerprint" placeholder:"FINGERPRINT" help:"The fingerprint that they have told you, not by mail."`
	wayFlag
	pngFlag
	jsonFlag
}

func (c *contactVerifyCmd) Run(a *app) error {
	if err := c.writable(); err != nil {
		return err
	}
	way := c.handedOver(c.PNG != "" || isTerminal(a.stdout) && !c.JSON)
	v, err := act[account.Verification](a, "contact.verify", func(of accountArgs) any {
		return verifyArgs{keyOfArgs{of, c.Address, c.Fingerprint}, way}
	})
	switch {
	case err != nil:
		return err
	case v.Invite == nil && c.JSON:
		return a.printJSON(v)
	case v.Invite == nil:
		a.say("%s is verified: %s", clean(v.Contact.Address), groups(string(v.Contact.Fingerprint)))
		return nil
	case c.JSON:
		return errors.Join(writePNG(c.PNG, v.Invite.Link), a.printJSON(v))
	}
	return a.showInvite(*v.Invite, c.PNG)
}

type contactAcceptCmd struct {
	Address     string `arg:"" help:"The correspondent."`
	Fingerprint string `arg:"" help:"The key, as contact show names it."`
	jsonFlag
}

func (c *contactAcceptCmd) Run(a *app) error {
	contact, err := act[account.Contact](a, "contact.accept", func(of accountArgs) any { return keyOfArgs{of, c.Address, c.Fingerprint} })
	return a.done(c.JSON, contact, err, "Mail to %s is encrypted to %s from now on.", clean(contact.Address), groups(string(contact.Fingerprint)))
}

type contactResetCmd struct {
	Address string `arg:"" help:"The correspondent."`
	jsonFlag
}

func (c *contactResetCmd) Run(a *app) error {
	contact, err := ask[account.Contact](a, "contact.reset", func(of accountArgs) any { return contactArgs{of, c.Address} })
	return a.done(c.JSON, contact, err, "What was known of %s's key is forgotten. bridge contact verify %s begins anew.", clean(c.Address), clean(c.Address))
}

type contactBlockCmd struct {
	Address string `arg:"" help:"The correspondent."`
	Off     bool   `name:"off" help:"End it."`
	jsonFlag
}

func (c *contactBlockCmd) Run(a *app) error {
	contact, err := ask[account.Contact](a, "contact.block", func(of accountArgs) any { return blockArgs{of, c.Address, !c.Off} })
	switch {
	case err != nil:
		return err
	case c.JSON:
		return a.printJSON(contact)
	case c.Off:
		a.say("%s is not blocked any more.", clean(c.Address))
	default:
		a.say("%s is blocked.", clean(c.Address))
	}
	return nil
}
