package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"unicode"

	"mailbridge/account"
	"mailbridge/db"
	"mailbridge/mailbox"
	"mailbridge/pgp"
	"mailbridge/securejoin"
	"mailbridge/upstream"
	"mailbridge/web"
)

// Exit codes: sysexits.h, and 3 for "not running" as the init scripts of the LSB have it.
const (
	exitNotRunning  = 3
	exitUsage       = 64
	exitData        = 65
	exitNoInput     = 66
	exitUnavailable = 69
	exitInternal    = 70
	exitIO          = 74
	exitTemporary   = 75
	exitProtocol    = 76
	exitDenied      = 77
	exitConfig      = 78
)

// refuse makes a refusal: one line for the person and, after "\n", at most two more
// with what to do.
func refuse(exit int, format string, args ...any) *web.Error {
	return &web.Error{Exit: exit, Text: fmt.Sprintf(format, args...)}
}

// rule gives the errors it knows an exit code, words for their beginning, and a line with
// what to do.
type rule struct {
	knows func(error) bool
	exit  int
	lead  string
	hint  string
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func as[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func code(want mailbox.Code) func(error) bool {
	return func(err error) bool {
		e, ok := errors.AsType[*mailbox.Error](err)
		return ok && e.Code == want
	}
}

// rules are tried in order; the first that knows an error decides.
var rules = []rule{
	{knows: is(account.ErrLocked), exit: exitDenied},
	{knows: is(securejoin.ErrNotAsking), exit: exitNoInput, hint: "bridge invite list names who waits"},
	{knows: is(securejoin.ErrInviteEnded), exit: exitData, hint: "bridge invite list shows how; one that has expired can be revived with bridge invite revive ID"},
	{knows: is(pgp.ErrPassphrase), exit: exitDenied},
	{knows: as[*account.BadData], exit: exitData},
	{knows: is(account.ErrNotFound), exit: exitNoInput},
	{knows: is(account.ErrExists), exit: exitUsage},
	{knows: upstream.IsAuth, exit: exitDenied, lead: "the provider refuses the login: ",
		hint: "check the password and --login; many providers want an app password for mail programs"},
	{knows: as[tls.RecordHeaderError], exit: exitProtocol, lead: "the connection to the provider would not be safe: ",
		hint: "say which it is with --imap-tls or --smtp-tls, tls or starttls"},
	{knows: upstream.IsCertificate, exit: exitProtocol, lead: "the connection to the provider would not be safe: ",
		hint: "for a provider with a certificate of its own: --ca FILE"},
	{knows: upstream.IsUnreachable, exit: exitTemporary, lead: "the provider cannot be reached: ",
		hint: "check the server's name and port, and the network"},
	{knows: is(upstream.ErrNotFound), exit: exitNoInput},
	{knows: temporary, exit: exitTemporary},
	{knows: as[*upstream.Error], exit: exitProtocol},
	{knows: is(db.ErrFull), exit: exitIO, hint: "make room on the disk; nothing was lost"},
	{knows: is(db.ErrIO), exit: exitIO},
	{knows: noRoom, exit: exitIO, lead: "the disk is full: ", hint: "make room on the disk; nothing was lost"},
	{knows: is(db.ErrCorrupt), exit: exitIO},
	{knows: is(db.ErrNewer), exit: exitIO, hint: "use the newer version"},
	{knows: is(db.ErrLocked), exit: exitDenied},
	{knows: code(mailbox.CodeNonExistent), exit: exitNoInput},
	{knows: code(mailbox.CodeUnavailable), exit: exitTemporary},
	{knows: is(context.DeadlineExceeded), exit: exitTemporary},
	{knows: is(fs.ErrPermission), exit: exitDenied},
	{knows: as[*fs.PathError], exit: exitIO},
}

func temporary(err error) bool {
	e, ok := errors.AsType[*upstream.Error](err)
	return ok && e.Temporary()
}

// noRoom knows a full disk, a used-up quota, and a limit on the size of files.
func noRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}

// classify gives every error its exit code. What no rule knows is internal.
func classify(err error) *web.Error {
	if e, ok := errors.AsType[*web.Error](err); ok {
		return e
	}
	if errors.Is(err, context.Canceled) {
		return refuse(exitTemporary, "interrupted")
	}
	text := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "account: "), "db: ")
	if as[*account.BadData](err) {
		text = cleanLines(text)
	} else {
		text = clean(text)
	}
	for _, r := range rules {
		if r.knows(err) {
			return &web.Error{Exit: r.exit, Text: strings.TrimSuffix(r.lead+text+"\n"+r.hint, "\n")}
		}
	}
	return &web.Error{Exit: exitInternal, Text: text}
}

// report prints a refusal: at most three lines.
func report(w io.Writer, e *web.Error) {
	lines := strings.SplitN(e.Text, "\n", 3)
	for i, line := range lines {
		prefix := "bridge: "
		if i > 0 {
			prefix = "  "
		}
		fmt.Fprintln(w, prefix+clean(line))
	}
}

// clean makes text that came from outside (a provider's reply, a contact's name) safe
// for a terminal: one line, no control or formatting characters.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, s)
	return strings.TrimSpace(s)
}

// cleanLines is clean line by line: an account says what to do on a line of its own.
func cleanLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = clean(line)
	}
	return strings.Join(lines, "\n")
}
