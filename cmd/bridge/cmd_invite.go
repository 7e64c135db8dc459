package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"mailbridge/account"
	"mailbridge/securejoin"
)

type inviteCmds struct {
	New    inviteNewCmd    `cmd:"" default:"withargs" help:"Make an invite; bridge invite alone does the same. bridge invite new --help shows its flags."`
	List   inviteListCmd   `cmd:"" help:"List the invites: until when they are good, who has used them, and who waits."`
	Revoke inviteRevokeCmd `cmd:"" help:"End an invite. Who has used it stays your contact."`
	Revive inviteReviveCmd `cmd:"" help:"Let an invite that was revoked, or has expired, live again."`
	Accept inviteAcceptCmd `cmd:"" help:"Let somebody in who waits because of --ask."`
}

// wayFlag says how a link goes from one to the other: a verification is as good as that.
type wayFlag struct {
	Way string `name:"way" placeholder:"shown|printed|copied|mailed" enum:"shown,printed,copied,mailed," default:"" help:"How the link goes from one to the other, if the program guesses wrong. It is kept with the contact."`
}

type inviteNewCmd struct {
	Group   string  `name:"group" placeholder:"GROUP" help:"Invite to this group (its id or address)."`
	Channel string  `name:"channel" placeholder:"CHANNEL" help:"Invite to this channel (its id or address)."`
	Once    bool    `name:"once" help:"The first who uses it is the only one."`
	Ask     bool    `name:"ask" help:"Who uses it waits until you say yes with bridge invite accept."`
	Expires *string `name:"expires" placeholder:"SPAN" help:"12h, 7d, 2w, never. Without it invites to you and to groups are good for a week."`
	Shared  bool    `name:"shared" help:"Let your other devices with the same key answer it, too. It does not expire."`
	Legacy  bool    `name:"legacy" help:"For programs that do not know version 3 of the protocol."`
	wayFlag
	pngFlag
	jsonFlag
}

// pngFlag is for commands that show a QR code.
type pngFlag struct {
	PNG string `name:"png" placeholder:"FILE" help:"Write the QR code to this file, too."`
}

// writable makes sure that there is a place for the picture, before anything is done for it. What
// follows may fail, so that nothing new is left there.
func (f pngFlag) writable() error {
	if f.PNG == "" {
		return nil
	}
	_, missing := os.Lstat(f.PNG)
	file, err := os.OpenFile(f.PNG, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	err = file.Close()
	if errors.Is(missing, fs.ErrNotExist) {
		err = errors.Join(err, os.Remove(f.PNG))
	}
	return err
}

// options checks the flags: an invite that is less restricted than its maker believes
// is worse than none.
func (c *inviteNewCmd) options(terminal bool) (account.InviteOptions, error) {
	o := account.InviteOptions{
		Group: c.Group, Channel: c.Channel, Once: c.Once, Ask: c.Ask, Shared: c.Shared, Legacy: c.Legacy,
		Way: c.handedOver(c.PNG != "" || terminal && !c.JSON),
	}
	if c.Group != "" && c.Channel != "" {
		return o, refuse(exitUsage, "--group and --channel: an invite is to one of them\nno invite was made")
	}
	if c.Expires != nil {
		d, err := parseSpan("--expires", *c.Expires)
		if err != nil {
			return o, err
		}
		o.Expires = &d
	}
	if c.Shared && (c.Once || c.Ask || o.Expires != nil && *o.Expires != 0) {
		return o, refuse(exitUsage, "--shared goes with none of --once, --ask and --expires: your other devices would not keep to them\nno invite was made")
	}
	return o, nil
}

// handedOver is how the link will go: a code that is drawn, or stored as a picture, is there
// to be scanned; what another program reads is copied.
func (f wayFlag) handedOver(drawn bool) string {
	switch {
	case f.Way != "":
		return f.Way
	case drawn:
		return string(securejoin.WayShown)
	}
	return string(securejoin.WayCopied)
}

func (c *inviteNewCmd) Run(a *app) error {
	o, err := c.options(isTerminal(a.stdout))
	if err == nil {
		err = c.writable()
	}
	if err != nil {
		return err
	}
	invite, err := act[account.Invite](a, "invite", func(of accountArgs) any { return inviteArgs{of, o} })
	if err != nil {
		return err
	}
	if c.JSON {
		return errors.Join(writePNG(c.PNG, invite.Link), a.printJSON(invite))
	}
	return a.showInvite(invite, c.PNG)
}

// showInvite prints an invite with its QR code.
func (a *app) showInvite(i account.Invite, png string) error {
	code, err := qrCode(i.Link)
	if err != nil {
		return err
	}
	a.say("%s\n\n%s", i.Link, drawQR(code, isTerminal(a.stdout)))
	a.say("Send the link, or let it be scanned. %s", strings.Join(inviteTerms(i), " "))
	return writePNG(png, i.Link)
}

// inviteTerms says what an invite is good for.
func inviteTerms(i account.Invite) []string {
	var terms []string
	switch i.Kind {
	case "group":
		terms = append(terms, fmt.Sprintf("Who has it can join the group %s.", quoted(i.GroupName)))
	case "channel":
		terms = append(terms, fmt.Sprintf("Who has it can subscribe to the channel %s.", quoted(i.GroupName)))
	default:
		terms = append(terms, "Who has it can become your contact: give it to nobody else.")
	}
	if i.For != "" {
		terms = append(terms, "Only "+clean(i.For)+" can use it.")
	}
	uses := "It is good for many uses"
	if i.Once {
		uses = "It is good for one use"
	}
	if i.ExpiresAt != nil {
		uses += ", until " + when(i.ExpiresAt)
	}
	terms = append(terms, uses+".")
	if i.Ask {
		terms = append(terms, "Who uses it waits for you: bridge invite accept "+clean(i.ID)+".")
	}
	if i.Shared {
		terms = append(terms, "Your other devices answer it, too.")
	}
	return terms
}

func writePNG(path, link string) error {
	if path == "" {
		return nil
	}
	code, err := qrCode(link)
	if err != nil {
		return err
	}
	return os.WriteFile(path, code.PNG(), 0o600)
}

func isTerminal(file any) bool {
	f, ok := file.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

type inviteListCmd struct{ jsonFlag }

func (c *inviteListCmd) Run(a *app) error {
	list, err := ask[[]account.Invite](a, "invite.list", func(of accountArgs) any { return of })
	return a.answer(c.JSON, list, err, func() {
		if len(list) == 0 {
			a.say("There is no invite; make one with bridge invite.")
			return
		}
		rows := [][]string{{"ID", "TO", "STATE", "EXPIRES", "USES", "WAY", ""}}
		for _, i := range list {
			rows = append(rows, []string{i.ID, inviteTo(i), i.State, when(i.ExpiresAt), strconv.Itoa(len(i.Uses)), orDash(i.Way), strings.Join(inviteMarks(i), ", ")})
		}
		columns(a.stdout, rows)
		for _, i := range list {
			for _, use := range i.Uses {
				a.say("%s was used by %s on %s", clean(i.ID), clean(use.Address), when(&use.At))
			}
			for _, who := range i.Asking {
				a.say("%s: %s", clean(i.ID), waiting(i, who))
			}
		}
	})
}

// inviteTo says what an invite leads to.
func inviteTo(i account.Invite) string {
	if i.Kind == "group" || i.Kind == "channel" {
		return i.Kind + " " + quoted(i.GroupName)
	}
	return "you"
}

// inviteMarks are what distinguishes an invite from an ordinary one.
func inviteMarks(i account.Invite) []string {
	var marks []string
	for mark, set := range map[string]bool{"once": i.Once, "ask": i.Ask, "shared": i.Shared, "legacy": i.Legacy, "for " + i.For: i.For != ""} {
		if set {
			marks = append(marks, mark)
		}
	}
	slices.Sort(marks)
	return marks
}

// waiting says of a joiner what the user can do about it.
func waiting(i account.Invite, who account.InviteJoiner) string {
	return fmt.Sprintf("%s waits since %s with the key %s; let them in with: bridge invite accept %s %s",
		clean(who.Address), when(&who.At), groups(string(who.Fingerprint)), clean(i.ID), clean(who.Address))
}

type inviteRevokeCmd struct {
	ID  string `arg:"" help:"The invite, as invite list names it."`
	Yes bool   `name:"yes" help:"Do not ask."`
	jsonFlag
}

func (c *inviteRevokeCmd) Run(a *app) error {
	if err := c.warn(a); err != nil {
		return err
	}
	invite, err := act[account.Invite](a, "invite.revoke", func(of accountArgs) any { return idArgs{of, c.ID} })
	return a.answer(c.JSON, invite, err, func() {
		a.say("The invite %s is revoked: nobody new gets in by it.", clean(invite.ID))
		if !invite.Once || len(invite.Uses) == 0 {
			a.say("It is kept until 90 days have passed; bridge invite revive %s brings it back.", clean(invite.ID))
		}
	})
}

// warn tells what the end of a shared invite does elsewhere, before it does. The message
// between devices that ends one link ends all links of that chat (Delta Chat 2.62).
func (c *inviteRevokeCmd) warn(a *app) error {
	list, err := ask[[]account.Invite](a, "invite.list", func(of accountArgs) any { return of })
	if err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(i account.Invite) bool { return i.ID == c.ID })
	if i < 0 || !list[i].Shared || list[i].State != "live" {
		return nil
	}
	chat := "all links to you as a contact"
	if list[i].Kind != "contact" {
		chat = "all links to the " + inviteTo(list[i])
	}
	a.tell("This invite is shared: your other devices withdraw %s, not only this one.", chat)
	if c.Yes || !isTerminal(a.stdin) {
		return nil
	}
	return a.confirm("Revoke it?")
}

// confirm asks a question at the terminal.
func (a *app) confirm(question string) error {
	fmt.Fprint(a.stderr, question+" [y/N] ")
	answer, err := a.input(func() (string, error) {
		line, err := bufio.NewReader(io.LimitReader(a.stdin, 1<<10)).ReadString('\n')
		if errors.Is(err, io.EOF) {
			err = nil // no answer is no
		}
		return line, err
	})
	switch {
	case err != nil:
		return err
	case !slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(answer))):
		return refuse(exitDenied, "nothing was changed")
	}
	return nil
}

type inviteReviveCmd struct {
	ID string `arg:"" name:"id" help:"The invite, as invite list names it, or a link of your own."`
	pngFlag
	jsonFlag
}

func (c *inviteReviveCmd) Run(a *app) error {
	if err := c.writable(); err != nil {
		return err
	}
	invite, err := act[account.Invite](a, "invite.revive", func(of accountArgs) any { return idArgs{of, c.ID} })
	switch {
	case err != nil:
		return err
	case c.JSON:
		return errors.Join(writePNG(c.PNG, invite.Link), a.printJSON(invite))
	}
	return a.showInvite(invite, c.PNG)
}

type inviteAcceptCmd struct {
	ID      string `arg:"" help:"The invite, as invite list names it."`
	Address string `arg:"" optional:"" help:"Who is let in; needless where only one waits."`
	jsonFlag
}

func (c *inviteAcceptCmd) Run(a *app) error {
	invite, err := act[account.Invite](a, "invite.accept", func(of accountArgs) any { return acceptJoinerArgs{of, c.ID, c.Address} })
	return a.done(c.JSON, invite, err, "%s is let in.", clean(lastUse(invite, c.Address).Address))
}

// lastUse is the use of an invite by an address, or without one the newest.
func lastUse(i account.Invite, address string) account.InviteJoiner {
	last := account.InviteJoiner{Address: address}
	var at time.Time
	for _, use := range i.Uses {
		if (address == "" || canonical(use.Address) == canonical(address)) && !use.At.Before(at) {
			last, at = use, use.At
		}
	}
	return last
}
