// Package web is the one way in for whoever steers a running bridge: a table of
// commands, served as JSON on a Unix socket, and the client for it.
//
// A command has a name, arguments and a reply; both are plain structs. The table does
// not know what the commands do: they are handed in as functions. The same table serves
// the socket and a program that has no service to talk to, through the one interface
// Caller, and in both cases through JSON, so that there is only one behaviour to test.
//
// The socket lies in a directory of mode 0700 and has mode 0600: who can open it is the
// user, and may do everything the user may do. Nothing listens on a network port here.
package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// Caller runs commands: a Table does it in this process, a Client asks the service.
type Caller interface {
	// Call runs the command and decodes its reply into reply, a pointer or nil. A
	// refusal is an *Error.
	Call(ctx context.Context, name string, args, reply any) error
}

// Error is a refusal as the person at the terminal is told it.
type Error struct {
	Exit int    `json:"exit"` // exit code of sysexits.h
	Text string `json:"text"` // one line, and at most two more with what to do
}

func (e *Error) Error() string { return e.Text }

// exitUsage and exitSoftware are EX_USAGE and EX_SOFTWARE of sysexits.h.
const (
	exitUsage    = 64
	exitSoftware = 70
)

type handler func(ctx context.Context, args []byte) (any, error)

// Table holds the commands. It is filled before it is used and not changed afterwards.
type Table struct {
	commands map[string]handler
	classify func(error) *Error
}

// NewTable makes an empty table. classify turns the errors of the commands into
// refusals; nil makes every error that is not an *Error internal (exit code 70).
func NewTable(classify func(error) *Error) *Table {
	return &Table{commands: map[string]handler{}, classify: classify}
}

// Handle adds a command. Arguments with fields that Args does not have are refused:
// an option that is ignored is worse than one that is unknown. Two commands with one name panic, as
// two patterns of an http.ServeMux do: the program is wrong, and shows it at its start.
func Handle[Args, Reply any](t *Table, name string, run func(context.Context, Args) (Reply, error)) {
	if _, ok := t.commands[name]; ok {
		panic("web: command " + name + " added twice")
	}
	t.commands[name] = func(ctx context.Context, b []byte) (any, error) {
		var args Args
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		if err := d.Decode(&args); err != nil {
			return nil, &Error{Exit: exitUsage, Text: fmt.Sprintf("command %s: bad arguments: %v", name, err)}
		}
		return run(ctx, args)
	}
}

// run is Call from JSON to JSON.
func (t *Table) run(ctx context.Context, name string, args []byte) ([]byte, *Error) {
	h, ok := t.commands[name]
	if !ok {
		return nil, &Error{Exit: exitUsage, Text: fmt.Sprintf("the bridge does not know the command %q; is the running one of another version?", name)}
	}
	reply, err := h(ctx, args)
	if err == nil {
		var b []byte
		if b, err = json.Marshal(reply); err == nil {
			return b, nil
		}
	}
	return nil, t.refusal(err)
}

func (t *Table) refusal(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if t.classify != nil {
		if e := t.classify(err); e != nil {
			return e
		}
	}
	return &Error{Exit: exitSoftware, Text: err.Error()}
}

// Call runs a command in this process.
func (t *Table) Call(ctx context.Context, name string, args, reply any) error {
	b, err := json.Marshal(args)
	if err != nil {
		return fmt.Errorf("web: arguments of %s: %w", name, err)
	}
	out, refusal := t.run(ctx, name, b)
	if refusal != nil {
		return refusal
	}
	return decodeReply(name, out, reply)
}

func decodeReply(name string, b []byte, reply any) error {
	if reply == nil {
		return nil
	}
	if err := json.Unmarshal(b, reply); err != nil {
		return fmt.Errorf("web: reply of %s: %w", name, err)
	}
	return nil
}
