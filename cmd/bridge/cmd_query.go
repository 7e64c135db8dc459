package main

import (
	"os"
	"strconv"
	"strings"

	"mailbridge/account"
)

type statusCmd struct{ jsonFlag }

func (c *statusCmd) Run(a *app) error {
	d, err := findDirs(os.Getenv)
	if err != nil {
		return err
	}
	client, running := d.running(a.ctx)
	var s bridgeStatus
	if running {
		err = client.Call(a.ctx, "status", noArgs{}, &s)
	} else {
		err = a.call("status", noArgs{}, &s)
	}
	if err == nil {
		s.Accounts, err = only(a, s.Accounts, func(s account.Status) string { return s.Address })
	}
	switch {
	case err != nil:
		return err
	case c.JSON:
		err = a.printJSON(s)
	default:
		s.print(a)
	}
	if err == nil && s.PID == 0 {
		a.tell("bridge: not running; start it with bridge run")
		return errNotRunning
	}
	return err
}

func (s bridgeStatus) print(a *app) {
	if s.PID != 0 {
		a.say("mailbridge %s runs as process %d", s.Version, s.PID)
		var on []string
		for i, address := range []string{s.Listen.IMAP, s.Listen.IMAPS, s.Listen.SMTP, s.Listen.SMTPS} {
			if address != "" {
				on = append(on, services[i].name+" "+address)
			}
		}
		a.say("listens on %s", strings.Join(on, ", "))
	}
	for _, acc := range s.Accounts {
		a.say("\n%s", clean(acc.Address))
		rows := [][]string{
			{"  state", acc.State},
			{"  provider", acc.Provider},
			{"  last sync", when(acc.LastSync)},
			{"  queued", strconv.Itoa(acc.Queued)},
			{"  unknown", strconv.Itoa(acc.Unknown)},
			{"  open invites", strconv.Itoa(acc.OpenInvites)},
		}
		if acc.Syncing {
			rows[2][1] += ", syncing"
		}
		for _, w := range acc.Warnings {
			rows = append(rows, []string{"  warning", w})
		}
		for _, row := range rows {
			a.say("%-15s %s", row[0], clean(row[1]))
		}
	}
}

type contactsCmd struct{ jsonFlag }

func (c *contactsCmd) Run(a *app) error {
	address, err := a.account()
	if err != nil {
		return err
	}
	var list []account.Contact
	if err := a.call("contacts", accountArgs{Account: address}, &list); err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(list)
	}
	var rows [][]string
	for _, contact := range list {
		rows = append(rows, []string{contact.Address, trust(contact), orDash(string(contact.Fingerprint)), contact.Name})
	}
	columns(a.stdout, rows)
	return nil
}

// trust says in a word how far a contact's key is to be trusted.
func trust(c account.Contact) string {
	switch {
	case c.Verified:
		return "verified"
	case c.Fingerprint == "":
		return "no key"
	case c.IntroducedBy != "":
		return "introduced"
	}
	return "unverified"
}

type contactCmds struct {
	Show   contactShowCmd   `cmd:"" help:"Show the key of a correspondent, where it was learnt, and whether it is verified."`
	Accept contactAcceptCmd `cmd:"" help:"Use another key that has come up for a correspondent."`
}

type contactAcceptCmd struct {
	Address     string `arg:"" help:"The correspondent."`
	Fingerprint string `arg:"" help:"The key, as contact show names it."`
	jsonFlag
}

func (c *contactAcceptCmd) Run(a *app) error {
	address, err := a.account()
	if err != nil {
		return err
	}
	var contact account.Contact
	if err := a.call("contact.accept", acceptArgs{Account: address, Address: c.Address, Fingerprint: c.Fingerprint}, &contact); err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(contact)
	}
	a.say("Mail to %s is encrypted to %s from now on.", clean(contact.Address), groups(string(contact.Fingerprint)))
	return nil
}

type contactShowCmd struct {
	Address string `arg:"" help:"The correspondent."`
	jsonFlag
}

func (c *contactShowCmd) Run(a *app) error {
	address, err := a.account()
	if err != nil {
		return err
	}
	var contact account.Contact
	if err := a.call("contact.show", contactArgs{Account: address, Address: c.Address}, &contact); err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(contact)
	}
	rows := [][]string{
		{"address", contact.Address},
		{"name", orDash(contact.Name)},
		{"fingerprint", orDash(groups(string(contact.Fingerprint)))},
		{"trust", trust(contact)},
	}
	if contact.Verified {
		rows = append(rows, []string{"verified", when(contact.VerifiedAt) + " by " + contact.VerifiedHow})
	}
	rows = append(rows,
		[]string{"introduced by", orDash(contact.IntroducedBy)},
		[]string{"key from", orDash(contact.Origin)},
		[]string{"policy", orDash(contact.Policy)},
		[]string{"wishes", orDash(contact.PreferEncrypt)},
		[]string{"last seen", when(contact.LastSeen)})
	for _, f := range contact.Candidates {
		rows = append(rows, []string{"other key", groups(string(f))})
	}
	columns(a.stdout, rows)
	return nil
}

type keyCmds struct {
	Show keyShowCmd `cmd:"" help:"Print the account's public key, armored."`
}

type keyShowCmd struct{ jsonFlag }

func (c *keyShowCmd) Run(a *app) error {
	address, err := a.account()
	if err != nil {
		return err
	}
	var key account.OwnKey
	if err := a.call("key.show", accountArgs{Account: address}, &key); err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(key)
	}
	a.say("%s\n%s\n\n%s", clean(key.Address), groups(string(key.Fingerprint)), strings.TrimSpace(key.Armored))
	return nil
}

type checkCmd struct {
	Recipients []string `arg:"" name:"recipient" help:"Mail addresses."`
	jsonFlag
}

func (c *checkCmd) Run(a *app) error {
	address, err := a.account()
	if err != nil {
		return err
	}
	var list []account.Check
	if err := a.call("check", checkArgs{Account: address, Recipients: c.Recipients}, &list); err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(list)
	}
	var rows [][]string
	for _, r := range list {
		rows = append(rows, []string{r.Address, r.Outcome, r.Reason})
	}
	columns(a.stdout, rows)
	return nil
}

type rawCmd struct {
	Mailbox string `arg:"" help:"The mailbox, as the mail client sees it."`
	UID     uint32 `arg:"" name:"uid" help:"The UID that the mail client sees."`
}

func (c *rawCmd) Run(a *app) error {
	address, err := a.account()
	if err != nil {
		return err
	}
	var msg []byte
	if err := a.call("raw", rawArgs{Account: address, Mailbox: c.Mailbox, UID: c.UID}, &msg); err != nil {
		return err
	}
	_, err = a.stdout.Write(msg)
	return err
}

type versionCmd struct{ jsonFlag }

func (c *versionCmd) Run(a *app) error {
	if c.JSON {
		return a.printJSON(map[string]string{"version": version()})
	}
	a.say("mailbridge %s", version())
	return nil
}
