package account

import (
	"errors"
	"fmt"
)

var (
	// ErrNotFound: there is no such contact, mailbox, message or join.
	ErrNotFound = errors.New("account: not found")
	// ErrLocked: the master key is not available, or does not open this account.
	ErrLocked = errors.New("account: the account is locked: its key is not available")
	// ErrExists: there is an account in that directory already.
	ErrExists = errors.New("account: the account exists already")
	// ErrClosed: the account was closed.
	ErrClosed = errors.New("account: closed")
)

// BadData is something from outside that is not what it should be: an invite, an address,
// a message. Text is for the person.
type BadData struct {
	Text string
	Err  error
}

func (e *BadData) Error() string { return e.Text }
func (e *BadData) Unwrap() error { return e.Err }

func badData(err error, format string, args ...any) error {
	return &BadData{Text: fmt.Sprintf(format, args...), Err: err}
}

// Refusal is a submission that is not taken: the reply after DATA (RFC 5321, section 4.2;
// RFC 3463). Text is at most two short lines.
type Refusal struct {
	Code     int
	Enhanced [3]int
	Text     string
}

func (e *Refusal) Error() string { return e.Text }

// SMTPStatus gives the reply.
func (e *Refusal) SMTPStatus() (code int, enhanced [3]int, text string) {
	return e.Code, e.Enhanced, e.Text
}

// refusePolicy is a refusal because of what the message or its recipients ask for.
func refusePolicy(format string, args ...any) error {
	return &Refusal{550, [3]int{5, 7, 1}, fmt.Sprintf(format, args...)}
}

// refuseNoKey is a refusal because a recipient has no usable key.
func refuseNoKey(format string, args ...any) error {
	return &Refusal{550, [3]int{5, 7, 5}, fmt.Sprintf(format, args...)}
}

// refuseForNow is a refusal that may go away.
func refuseForNow(format string, args ...any) error {
	return &Refusal{451, [3]int{4, 3, 0}, fmt.Sprintf(format, args...)}
}
