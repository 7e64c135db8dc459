package main

import (
	"strconv"

	"mailbridge/account"
)

type groupCmds struct {
	List       groupListCmd       `cmd:"" help:"List the groups."`
	Create     groupCreateCmd     `cmd:"" help:"Make a group, with you as its first member."`
	Members    groupMembersCmd    `cmd:"" help:"List the members of a group."`
	Add        groupAddCmd        `cmd:"" help:"Take a contact into a group."`
	Remove     groupRemoveCmd     `cmd:"" help:"Take somebody out of a group."`
	Rename     groupRenameCmd     `cmd:"" help:"Give a group another name, for all its members."`
	Leave      groupLeaveCmd      `cmd:"" help:"Leave a group."`
	Encryption groupEncryptionCmd `cmd:"" help:"Show or set whether mail to a group must be encrypted."`
}

// groupArg names a group.
type groupArg struct {
	Group string `arg:"" help:"The group: its id, address or name, as group list shows them."`
}

type groupListCmd struct{ jsonFlag }

func (c *groupListCmd) Run(a *app) error {
	list, err := ask[[]account.Group](a, "group.list", func(of accountArgs) any { return of })
	return a.answer(c.JSON, list, err, func() {
		if len(list) == 0 {
			a.say("There is no group; make one with bridge group create NAME.")
			return
		}
		rows := [][]string{{"ID", "NAME", "MEMBERS", "ENCRYPTION", "ADDRESS", ""}}
		for _, g := range list {
			left := ""
			if !g.Member {
				left = "you are not in it any more"
			}
			rows = append(rows, []string{g.ID, g.Name, strconv.Itoa(len(g.Members)), g.Encryption, g.Address, left})
		}
		columns(a.stdout, rows)
	})
}

type groupCreateCmd struct {
	Name string `arg:"" help:"What the group is called."`
	jsonFlag
}

func (c *groupCreateCmd) Run(a *app) error {
	g, err := act[account.Group](a, "group.create", func(of accountArgs) any { return nameArgs{of, c.Name} })
	return a.answer(c.JSON, g, err, func() {
		a.say("The group %s is made; its address for your mail client is %s", quoted(g.Name), clean(g.Address))
		a.say("Invite people: bridge invite --group %s", clean(g.ID))
	})
}

type groupMembersCmd struct {
	groupArg
	jsonFlag
}

func (c *groupMembersCmd) Run(a *app) error {
	list, err := ask[[]account.Member](a, "group.members", func(of accountArgs) any { return chatArgs{of, c.Group} })
	return a.answer(c.JSON, list, err, func() { a.printMembers(list) })
}

func (a *app) printMembers(list []account.Member) {
	var rows [][]string
	for _, m := range list {
		since := "-"
		if m.Since != nil {
			since = when(m.Since)
		}
		rows = append(rows, []string{m.Address, since, orDash(string(m.Fingerprint)), m.Name})
	}
	columns(a.stdout, rows)
}

type groupAddCmd struct {
	groupArg
	Address string `arg:"" help:"Whom to take in; their key must be known."`
	jsonFlag
}

func (c *groupAddCmd) Run(a *app) error {
	g, err := act[account.Group](a, "group.add", func(of accountArgs) any { return memberArgs{of, c.Group, c.Address} })
	return a.done(c.JSON, g, err, "%s is in the group %s.", clean(c.Address), quoted(g.Name))
}

type groupRemoveCmd struct {
	groupArg
	Address string `arg:"" help:"Whom to take out: an address, or a fingerprint where one address has two."`
	jsonFlag
}

func (c *groupRemoveCmd) Run(a *app) error {
	g, err := act[account.Group](a, "group.remove", func(of accountArgs) any { return memberArgs{of, c.Group, c.Address} })
	return a.done(c.JSON, g, err, "%s is not in the group %s any more; open invites to it are revoked.", clean(c.Address), quoted(g.Name))
}

type groupRenameCmd struct {
	groupArg
	Name string `arg:"" help:"What it is called from now on."`
	jsonFlag
}

func (c *groupRenameCmd) Run(a *app) error {
	g, err := act[account.Group](a, "group.rename", func(of accountArgs) any { return renameArgs{of, c.Group, c.Name} })
	return a.done(c.JSON, g, err, "The group is called %s now.", quoted(g.Name))
}

type groupLeaveCmd struct {
	groupArg
	jsonFlag
}

func (c *groupLeaveCmd) Run(a *app) error {
	g, err := act[account.Group](a, "group.leave", func(of accountArgs) any { return chatArgs{of, c.Group} })
	return a.done(c.JSON, g, err, "You have left the group %s; your open invites to it are revoked.", quoted(g.Name))
}

type groupEncryptionCmd struct {
	groupArg
	Mode string `arg:"" optional:"" enum:"required,when-possible," default:"" help:"required: all mail to it, or none (the default). when-possible: plain if somebody has no key; only in groups that you have made and that nobody reads with Delta Chat."`
	jsonFlag
}

func (c *groupEncryptionCmd) Run(a *app) error {
	if c.Mode == "" {
		g, err := ask[account.Group](a, "group.show", func(of accountArgs) any { return chatArgs{of, c.Group} })
		return a.done(c.JSON, g, err, "%s", g.Encryption)
	}
	g, err := act[account.Group](a, "group.encryption", func(of accountArgs) any { return modeArgs{of, c.Group, c.Mode} })
	return a.done(c.JSON, g, err, "Encryption in the group %s: %s.", quoted(g.Name), g.Encryption)
}
