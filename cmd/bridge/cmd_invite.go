package main

import (
	"bufio"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/term"

	"mailbridge/account"
)

type inviteCmd struct {
	PNG string `name:"png" placeholder:"FILE" help:"Write the QR code to this file, too."`
	jsonFlag

	Group   *string `name:"group" hidden:""`
	Channel *string `name:"channel" hidden:""`
	Expires *string `name:"expires" hidden:""`
	Once    bool    `name:"once" hidden:""`
	Ask     bool    `name:"ask" hidden:""`
	Shared  bool    `name:"shared" hidden:""`
	Legacy  bool    `name:"legacy" hidden:""`
}

// unavailable refuses the flags that this version gives no meaning: an invite that
// is less restricted than its maker believes is worse than none.
func (c *inviteCmd) unavailable() error {
	given := map[string]bool{
		"--group": c.Group != nil, "--channel": c.Channel != nil, "--expires": c.Expires != nil,
		"--once": c.Once, "--ask": c.Ask, "--shared": c.Shared, "--legacy": c.Legacy,
	}
	for flag, set := range given {
		if set {
			return refuse(exitUsage, "this version of bridge invite has no %s; no invite was made", flag)
		}
	}
	return nil
}

func (c *inviteCmd) Run(a *app) error {
	if err := c.unavailable(); err != nil {
		return err
	}
	address, err := a.account()
	if err != nil {
		return err
	}
	var invite account.Invite
	if err := a.call("invite", inviteArgs{accountArgs: accountArgs{address}}, &invite); err != nil {
		return err
	}
	code, err := qrCode(invite.Link)
	if err != nil {
		return err
	}
	if c.PNG != "" {
		if err := os.WriteFile(c.PNG, code.PNG(), 0o600); err != nil {
			return err
		}
	}
	if c.JSON {
		return a.printJSON(invite)
	}
	f, ok := a.stdout.(*os.File)
	a.say("%s\n\n%s", invite.Link, drawQR(code, ok && term.IsTerminal(int(f.Fd()))))
	a.say("Send the link, or let it be scanned. Who has it can become your contact: give it to nobody else.")
	return nil
}

type joinCmd struct {
	Link    string `arg:"" help:"The invite link, or a picture of its QR code; - reads the link from stdin."`
	Wait    bool   `name:"wait" help:"End when the handshake is done or has failed."`
	Replace bool   `name:"replace" help:"Replace the key that is known for the inviter's address."`
	jsonFlag
}

// maxLink is far above the longest link: fingerprint, address, names and two tokens.
const maxLink = 16 << 10

func (c *joinCmd) Run(a *app) error {
	link, err := c.link(a)
	if err != nil {
		return err
	}
	address, err := a.account()
	if err != nil {
		return err
	}
	conn, err := a.connect()
	if err != nil {
		return err
	}
	defer conn.close()
	var j account.Join
	if err := conn.Call(a.ctx, "join", joinArgs{accountArgs{address}, link, account.JoinOptions{Replace: c.Replace}}, &j); err != nil {
		return err
	}
	if c.Wait {
		if err := conn.Call(a.ctx, "join.wait", idArgs{accountArgs{address}, j.ID}, &j); err != nil {
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
func (c *joinCmd) outcome(a *app, j account.Join, service bool) error {
	say := a.say
	if c.JSON {
		say = func(string, ...any) {}
	}
	who := clean(j.Address)
	switch {
	case j.State == account.JoinFailed:
		return refuse(exitProtocol, "the handshake with %s failed: %s", who, j.Reason)
	case j.State == account.JoinClaim:
		return refuse(exitData, "%s has another key already; the key of the link, %s, is kept as a candidate\nrun bridge join --replace LINK if you know that the link is theirs", who, j.Fingerprint)
	case j.State == account.JoinCompleted:
		say("%s is verified: %s", who, groups(string(j.Fingerprint)))
	case service:
		say("The handshake with %s runs; bridge contacts shows when it is done.", who)
	default:
		say("The join of %s is stored: no bridge is running, the next bridge run does it.", who)
	}
	return nil
}

// link gives the link of the argument, of a picture, or of stdin.
func (c *joinCmd) link(a *app) (string, error) {
	if c.Link == "list" || c.Link == "cancel" {
		return "", refuse(exitUsage, "this version has no bridge join %s", c.Link)
	}
	if c.Link != "-" {
		if info, err := os.Stat(c.Link); err == nil && info.Mode().IsRegular() {
			return readQR(c.Link)
		} else if errors.Is(err, fs.ErrNotExist) && namesPicture(c.Link) {
			return "", refuse(exitNoInput, "there is no picture %s", clean(c.Link))
		}
		return c.Link, nil
	}
	return a.input(func() (string, error) {
		scanner := bufio.NewScanner(io.LimitReader(a.stdin, maxLink))
		for scanner.Scan() {
			if line := strings.TrimSpace(scanner.Text()); line != "" {
				return line, nil
			}
		}
		return "", refuse(exitNoInput, "there is no link on stdin")
	})
}
