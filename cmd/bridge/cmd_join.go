package main

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"mailbridge/account"
	"mailbridge/securejoin"
)

type joinCmds struct {
	New    joinNewCmd    `cmd:"" default:"withargs" help:"Accept an invite; bridge join LINK does the same. bridge join new --help shows its flags."`
	List   joinListCmd   `cmd:"" help:"List the invites that you have accepted, and how far each got."`
	Cancel joinCancelCmd `cmd:"" help:"Give up a join that waits."`
}

type joinNewCmd struct {
	Link    string `arg:"" help:"The invite link, or a picture of its QR code; - reads the link from stdin."`
	Wait    bool   `name:"wait" help:"End when it is done or has failed."`
	Replace bool   `name:"replace" help:"Replace the key that is known for the inviter's address."`
	wayFlag
	jsonFlag
}

// maxLink is far above the longest link: fingerprint, address, names and two tokens.
const maxLink = 16 << 10

func (c *joinNewCmd) Run(a *app) error {
	link, way, err := c.link(a)
	if err != nil {
		return err
	}
	address, err := a.account()
	if err != nil {
		return err
	}
	a.waits = c.Wait
	conn, err := a.connect()
	if err != nil {
		return err
	}
	defer func() { conn.close() }()
	of := accountArgs{address}
	var j account.Join
	if err := conn.Call(a.ctx, "join", joinArgs{of, link, account.JoinOptions{Replace: c.Replace, Way: way}}, &j); err != nil {
		return err
	}
	if c.Wait {
		if err := a.callInTurns(conn, "join.wait", idArgs{of, j.ID}, &j); err != nil {
			return err
		}
		if err := a.sendRest(conn, of); err != nil {
			return err
		}
	}
	if c.JSON {
		if err := a.printJSON(j); err != nil {
			return err
		}
	}
	return c.outcome(a, j, conn.service)
}

// outcome says how far the join came. With --json it is silent on stdout.
func (c *joinNewCmd) outcome(a *app, j account.Join, service bool) error {
	say := a.say
	if c.JSON {
		say = func(string, ...any) {}
	}
	who := clean(j.Address)
	switch {
	case j.State == account.JoinFailed:
		return refuse(exitProtocol, "the join of %s's invite failed: %s", who, clean(j.Reason))
	case j.State == account.JoinClaim:
		return refuse(exitData, "%s has another key already; the key of the link, %s, is kept as a candidate\nif you know that the link is theirs: bridge contact accept %s %s", who, j.Fingerprint, who, j.Fingerprint)
	case j.State == account.JoinCompleted:
		switch j.Kind {
		case "group":
			say("You are in the group %s.", quoted(j.GroupName))
		case "channel":
			say("You have subscribed to the channel %s.", quoted(j.GroupName))
		}
		say("%s is verified: %s", who, groups(string(j.Fingerprint)))
	case service:
		say("The join of %s's invite runs; bridge join list shows when it is done.", who)
	default:
		say("The join of %s's invite is stored: no bridge is running, the next bridge run does it.", who)
	}
	return nil
}

// link gives the link of the argument, of a picture, or of stdin, and the way it came here:
// a picture was seen, a text was copied, unless the user knows better.
func (c *joinNewCmd) link(a *app) (link, way string, err error) {
	way = string(securejoin.WayCopied)
	switch info, statErr := os.Stat(c.Link); {
	case c.Link == "-":
		link, err = a.input(func() (string, error) { return firstLine(a.stdin) })
	case statErr == nil && info.Mode().IsRegular():
		way = string(securejoin.WayShown)
		link, err = readQR(c.Link)
	case errors.Is(statErr, fs.ErrNotExist) && namesPicture(c.Link):
		err = refuse(exitNoInput, "there is no picture %s", clean(c.Link))
	default:
		link = c.Link
	}
	if c.Way != "" {
		way = c.Way
	}
	return link, way, err
}

func firstLine(r io.Reader) (string, error) {
	scanner := bufio.NewScanner(io.LimitReader(r, maxLink))
	for scanner.Scan() {
		if line := strings.TrimSpace(scanner.Text()); line != "" {
			return line, nil
		}
	}
	return "", refuse(exitNoInput, "there is no link on stdin")
}

type joinListCmd struct{ jsonFlag }

func (c *joinListCmd) Run(a *app) error {
	list, err := ask[[]account.Join](a, "join.list", func(of accountArgs) any { return of })
	return a.answer(c.JSON, list, err, func() {
		if len(list) == 0 {
			a.say("No invite was accepted yet; bridge join LINK does that.")
			return
		}
		rows := [][]string{{"ID", "INVITER", "TO", "STATE", "SINCE", "WAY", ""}}
		for _, j := range list {
			rows = append(rows, []string{j.ID, j.Address, joinTo(j), j.State, when(&j.Started), orDash(j.Way), j.Reason})
		}
		columns(a.stdout, rows)
	})
}

// joinTo says what a join leads to.
func joinTo(j account.Join) string {
	if j.Kind == "group" || j.Kind == "channel" {
		return j.Kind + " " + quoted(j.GroupName)
	}
	return "contact"
}

type joinCancelCmd struct {
	ID string `arg:"" help:"The join, as join list names it."`
	jsonFlag
}

func (c *joinCancelCmd) Run(a *app) error {
	j, err := ask[account.Join](a, "join.cancel", func(of accountArgs) any { return idArgs{of, c.ID} })
	return a.done(c.JSON, j, err, "The join of %s's invite is given up.", clean(j.Address))
}
