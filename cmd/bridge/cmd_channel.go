package main

import (
	"strconv"
	"time"

	"mailbridge/account"
)

type channelCmds struct {
	List        channelListCmd        `cmd:"" help:"List the channels: your own, and those you read."`
	Create      channelCreateCmd      `cmd:"" help:"Make a channel: you write, its subscribers read."`
	Subscribers channelSubscribersCmd `cmd:"" help:"List who reads a channel of yours."`
	Remove      channelRemoveCmd      `cmd:"" help:"Take a subscriber out; the others get a new secret."`
	Leave       channelLeaveCmd       `cmd:"" help:"Read a channel no more."`
	Rotate      channelRotateCmd      `cmd:"" help:"Give the subscribers of a channel of yours a new secret, now or from time to time."`
}

// channelArg names a channel.
type channelArg struct {
	Channel string `arg:"" help:"The channel: its id, address or name, as channel list shows them."`
}

type channelListCmd struct{ jsonFlag }

func (c *channelListCmd) Run(a *app) error {
	list, err := ask[[]account.Channel](a, "channel.list", func(of accountArgs) any { return of })
	return a.answer(c.JSON, list, err, func() {
		if len(list) == 0 {
			a.say("There is no channel; make one with bridge channel create NAME.")
			return
		}
		rows := [][]string{{"ID", "NAME", "OWNER", "SUBSCRIBERS", "ADDRESS", ""}}
		for _, ch := range list {
			owner, subscribers := ch.Owner.Address, "-"
			if ch.Own {
				owner, subscribers = "you", strconv.Itoa(ch.Subscribers)
			}
			rows = append(rows, []string{ch.ID, ch.Name, owner, subscribers, ch.Address, channelNote(ch)})
		}
		columns(a.stdout, rows)
	})
}

// channelNote is what is worth knowing about a channel's secret.
func channelNote(c account.Channel) string {
	switch {
	case !c.Open:
		return "ended"
	case c.RotateEvery != "":
		return "new secret every " + c.RotateEvery
	}
	return ""
}

type channelCreateCmd struct {
	Name string `arg:"" help:"What the channel is called."`
	jsonFlag
}

func (c *channelCreateCmd) Run(a *app) error {
	ch, err := act[account.Channel](a, "channel.create", func(of accountArgs) any { return nameArgs{of, c.Name} })
	return a.answer(c.JSON, ch, err, func() {
		a.say("The channel %s is made; what you mail to %s goes to its subscribers.", quoted(ch.Name), clean(ch.Address))
		a.say("Invite people: bridge invite --channel %s", clean(ch.ID))
	})
}

type channelSubscribersCmd struct {
	channelArg
	jsonFlag
}

func (c *channelSubscribersCmd) Run(a *app) error {
	list, err := ask[[]account.Member](a, "channel.subscribers", func(of accountArgs) any { return chatArgs{of, c.Channel} })
	return a.answer(c.JSON, list, err, func() { a.printMembers(list) })
}

type channelRemoveCmd struct {
	channelArg
	Address string `arg:"" help:"Whom to take out: an address, or a fingerprint where one address has two."`
	jsonFlag
}

func (c *channelRemoveCmd) Run(a *app) error {
	ch, err := act[account.Channel](a, "channel.remove", func(of accountArgs) any { return memberArgs{of, c.Channel, c.Address} })
	return a.done(c.JSON, ch, err, "%s cannot read what is posted in %s from now on.", clean(c.Address), quoted(ch.Name))
}

type channelLeaveCmd struct {
	channelArg
	jsonFlag
}

func (c *channelLeaveCmd) Run(a *app) error {
	ch, err := act[account.Channel](a, "channel.leave", func(of accountArgs) any { return chatArgs{of, c.Channel} })
	return a.done(c.JSON, ch, err, "You do not read the channel %s any more.", quoted(ch.Name))
}

type channelRotateCmd struct {
	channelArg
	Every *string `name:"every" placeholder:"SPAN" help:"From now on every 30d, 12w …, or never: only when somebody is removed. Without it once, now."`
	jsonFlag
}

func (c *channelRotateCmd) Run(a *app) error {
	var every *time.Duration
	if c.Every != nil {
		d, err := parseSpan("--every", *c.Every)
		if err != nil {
			return err
		}
		every = &d
	}
	ch, err := act[account.Channel](a, "channel.rotate", func(of accountArgs) any { return rotateArgs{of, c.Channel, every} })
	switch {
	case every == nil:
		return a.done(c.JSON, ch, err, "The subscribers of %s get a new secret.", quoted(ch.Name))
	case *every == 0:
		return a.done(c.JSON, ch, err, "The secret of %s changes only when somebody is removed.", quoted(ch.Name))
	}
	return a.done(c.JSON, ch, err, "The secret of %s changes every %s.", quoted(ch.Name), clean(*c.Every))
}
