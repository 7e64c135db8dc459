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
		s.Accounts, err = only(a, s.Accounts, func(s accountStatus) string { return s.Address })
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
		if acc.JoinersWaiting > 0 {
			rows = append(rows, []string{"  wait for you", strconv.Itoa(acc.JoinersWaiting)})
		}
		if acc.JoinsPending > 0 {
			rows = append(rows, []string{"  joins that run", strconv.Itoa(acc.JoinsPending)})
		}
		if acc.Syncing {
			rows[2][1] += ", syncing"
		}
		for _, w := range acc.Warnings {
			rows = append(rows, []string{"  warning", w})
		}
		for _, row := range rows {
			a.say("%-16s %s", row[0], clean(row[1]))
		}
	}
}

type checkCmd struct {
	Recipients []string `arg:"" name:"recipient" help:"Mail addresses."`
	jsonFlag
}

func (c *checkCmd) Run(a *app) error {
	list, err := ask[[]account.Check](a, "check", func(of accountArgs) any { return checkArgs{of, c.Recipients} })
	if err != nil {
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
	msg, err := ask[[]byte](a, "raw", func(of accountArgs) any { return rawArgs{of, c.Mailbox, c.UID} })
	if err != nil {
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
