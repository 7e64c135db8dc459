package main

import (
	"context"
	"errors"
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"mailbridge/web"
)

// grammar is the command line. Flags of the whole program come first; every flag may
// stand before or after its command (see forward).
type grammar struct {
	Account  []string `name:"account" placeholder:"ADDRESS" sep:"none" help:"The account that is meant; needless where there is only one."`
	LogLevel *string  `name:"log-level" placeholder:"LEVEL" help:"debug, info, warn or error, on stderr. Of the service the default is warn, of other commands error."`

	Demo     demoCmd     `cmd:"" help:"Show everything at work: two bridges, a handshake, encrypted mail both ways."`
	Accounts accountCmds `cmd:"" name:"account" help:"Add an account, list accounts, show settings, replace a password."`
	Run      runCmd      `cmd:"" help:"The service, in the foreground."`
	Status   statusCmd   `cmd:"" help:"What the running bridge does."`
	Invite   inviteCmds  `cmd:"" help:"Make a link and its QR code for somebody who uses Delta Chat or a bridge; list and revoke invites."`
	Join     joinCmds    `cmd:"" help:"Accept somebody's invite link; list joins."`
	Contacts contactsCmd `cmd:"" help:"List correspondents and their keys."`
	Contact  contactCmds `cmd:"" help:"Show, verify, reset or block one correspondent, or accept another key for it."`
	Group    groupCmds   `cmd:"" help:"Groups: everybody in one writes to all."`
	Channel  channelCmds `cmd:"" help:"Channels: one writes, many read."`
	Key      keyCmds     `cmd:"" help:"The account's own key."`
	Check    checkCmd    `cmd:"" help:"Say whether mail to somebody would be encrypted, and why."`
	Raw      rawCmd      `cmd:"" help:"Print a message as the provider has it."`
	Version  versionCmd  `cmd:"" help:"Print the version."`
}

// jsonFlag is for every query.
type jsonFlag struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// app is the program's surroundings.
type app struct {
	ctx            context.Context
	stdin          io.Reader
	stdout, stderr io.Writer
	grammar        *grammar
	waits          bool // for others, and maybe for long: the log tells what keeps it
}

// execute runs one command line and gives the exit code.
func execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	g := &grammar{}
	left := false // --help was given
	parser, err := kong.New(g, kong.Name("bridge"),
		kong.Description("mailbridge: end-to-end encryption for ordinary mail clients."),
		kong.Writers(stdout, stderr), kong.Exit(func(int) { left = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}))
	if err != nil {
		report(stderr, refuse(exitInternal, "%v", err))
		return exitInternal
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	command, err := parser.Parse(forward(parser.Model, shieldIDs(args)))
	switch {
	case left:
		return 0
	case err != nil:
		report(stderr, refuse(exitUsage, "%v\nsee bridge --help", err))
		return exitUsage
	}
	err = command.Run(&app{ctx: ctx, stdin: stdin, stdout: stdout, stderr: stderr, grammar: g})
	return exitCode(stderr, err)
}

// errNotRunning ends `status` with its own exit code, after it has said so.
var errNotRunning = errors.New("not running")

func exitCode(stderr io.Writer, err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errNotRunning):
		return exitNotRunning
	}
	e := classify(err)
	report(stderr, e)
	return e.Exit
}

// dashedID is the id of a group or channel that begins as a flag does, as one of 64 does. No flag
// of ours is as long.
var dashedID = regexp.MustCompile(`^-[A-Za-z0-9_-]{23}$`)

// shieldIDs puts a blank before such an id, so that it is read as what it is. Who looks for the
// group or channel takes it off.
func shieldIDs(args []string) []string {
	shielded := slices.Clone(args)
	for n, arg := range shielded {
		if dashedID.MatchString(arg) {
			shielded[n] = " " + arg
		}
	}
	return shielded
}

// forward moves flags that stand before the command, or between its words, behind it, where
// kong looks for a command's own flags.
func forward(model *kong.Application, args []string) []string {
	bools := boolFlags(model.Node)
	var command, flags []string
	n := 0
	for node := model.Node; n < len(args) && len(node.Children) > 0; n++ {
		if len(args[n]) > 1 && args[n][0] == '-' && args[n] != "--" {
			flags = append(flags, args[n])
			name, _, joined := strings.Cut(strings.TrimLeft(args[n], "-"), "=")
			if !joined && !bools[name] && n+1 < len(args) {
				n++
				flags = append(flags, args[n]) // its value
			}
			continue
		}
		i := slices.IndexFunc(node.Children, func(c *kong.Node) bool { return c.Name == args[n] })
		if i < 0 {
			break
		}
		node = node.Children[i]
		command = append(command, args[n])
	}
	return slices.Concat(command, flags, args[n:])
}

// boolFlags names the flags that take no value, in whatever command.
func boolFlags(node *kong.Node) map[string]bool {
	names := map[string]bool{"help": true, "h": true}
	for _, f := range node.Flags {
		if f.Value.IsBool() || f.Target.Kind() == reflect.Bool {
			names[f.Name] = true
		}
	}
	for _, child := range node.Children {
		for name := range boolFlags(child) {
			names[name] = true
		}
	}
	return names
}

// account gives the one account of --account, "" without.
func (a *app) account() (string, error) {
	switch list := a.grammar.Account; len(list) {
	case 0:
		return "", nil
	case 1:
		return list[0], nil
	default:
		return "", refuse(exitUsage, "--account may stand only once here")
	}
}

// only leaves of a list what is about the account of --account, and everything without.
func only[T any](a *app, list []T, address func(T) string) ([]T, error) {
	name, err := a.account()
	if err != nil || name == "" {
		return list, err
	}
	i := slices.IndexFunc(list, func(e T) bool { return canonical(address(e)) == canonical(name) })
	if i < 0 {
		return nil, noAccount(name)
	}
	return list[i : i+1], nil
}

// input reads from the person. An interrupt ends it, which a blocked read would not notice.
func (a *app) input(read func() (string, error)) (string, error) {
	type result struct {
		text string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		text, err := read()
		done <- result{text, err}
	}()
	select {
	case r := <-done:
		return r.text, r.err
	case <-a.ctx.Done():
		return "", a.ctx.Err()
	}
}

// connection runs commands, and must be closed afterwards.
type connection struct {
	web.Caller
	service bool        // the service answers
	awaited func() bool // others wait until this one is closed
	close   func()
}

// connect gives the running service, or a bridge of our own that does the work.
func (a *app) connect() (*connection, error) {
	d, err := findDirs(os.Getenv)
	if err != nil {
		return nil, err
	}
	client, lock, err := d.serviceOrLock(a.ctx)
	if err != nil {
		return nil, err
	}
	if client != nil {
		return &connection{Caller: client, service: true, awaited: func() bool { return false }, close: func() {}}, nil
	}
	b, err := a.own(d)
	if err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	return &connection{Caller: b.table(), awaited: d.awaited, close: func() {
		b.accounts.close()
		_ = lock.Unlock() // the process ends
	}}, nil
}

// own makes a bridge without a service. Who calls it holds the lock.
func (a *app) own(d dirs) (*bridge, error) {
	c, err := readConfig(d.configFile())
	if err != nil {
		return nil, err
	}
	level := "error" // what matters a command says by itself, in one line
	if a.waits {
		level = "warn"
	}
	log, err := a.logger(c, level)
	if err != nil {
		return nil, err
	}
	listen, err := listenFlags{}.wanted(c.Listen)
	if err != nil {
		return nil, err
	}
	return newBridge(d, log, listen, accountMaker())
}

// call connects, runs one command and closes.
func (a *app) call(name string, args, reply any) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	defer c.close()
	return c.Call(a.ctx, name, args, reply)
}
