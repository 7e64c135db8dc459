package upstream

import (
	"errors"
	"fmt"
)

// Class says what a failure means for the operation that failed.
type Class int

const (
	// Temporary: it did not happen, and may work later.
	Temporary Class = iota + 1
	// Permanent: it did not happen, and will not work later without a change.
	Permanent
	// Unknown: the connection was lost after the command had left; it may have happened.
	Unknown
)

func (c Class) String() string {
	switch c {
	case Temporary:
		return "temporary"
	case Permanent:
		return "permanent"
	case Unknown:
		return "unknown outcome"
	}
	return "unclassified"
}

// Reason says what kind of failure it was, for the person and for the exit code.
type Reason int

const (
	ReasonOther       Reason = iota
	ReasonUnreachable        // no connection: name, network, refused, timeout, lost
	ReasonCertificate        // TLS: the certificate is not trusted, or there is no TLS
	ReasonAuth               // the provider refused the login
	ReasonRefused            // the provider answered NO, BAD or a 4xx/5xx reply
	ReasonProtocol           // the provider said what the protocol does not allow
)

// Error is every error of this package that comes from talking to the provider.
type Error struct {
	Class  Class
	Reason Reason
	Op     string // the command or step, in capitals: "LOGIN", "UID STORE", "connect"
	Code   string // IMAP response code or SMTP reply code of a refusal, if any
	Text   string // what the provider said, or what happened; fit for the person
	Err    error
}

func (e *Error) Error() string {
	s := e.Op + ": " + e.Text
	if e.Text == "" {
		s = e.Op + ": failed"
	}
	if e.Err != nil && e.Err.Error() != e.Text {
		s += fmt.Sprintf(" (%v)", e.Err)
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// Temporary reports whether the same operation may be tried again without harm.
func (e *Error) Temporary() bool { return e.Class == Temporary }

var (
	// ErrNotFound: the message is not, or no longer, in the mailbox.
	ErrNotFound = errors.New("no such message at the provider")
	// ErrTooLarge: the message is larger than the caller's limit.
	ErrTooLarge = errors.New("message exceeds the limit")
	// ErrUnsupported: the provider lacks the extension that this needs.
	ErrUnsupported = errors.New("the provider does not support this")
	// ErrNotSelected: the operation needs a selected mailbox.
	ErrNotSelected = errors.New("no mailbox is selected")
	// ErrClosed: Close was called.
	ErrClosed = errors.New("connection is closed")
)

func hasReason(err error, r Reason) bool {
	var e *Error
	return errors.As(err, &e) && e.Reason == r
}

// IsAuth reports whether the provider refused the login.
func IsAuth(err error) bool { return hasReason(err, ReasonAuth) }

// IsCertificate reports whether the provider's certificate is not trusted, or the
// provider offers no TLS.
func IsCertificate(err error) bool { return hasReason(err, ReasonCertificate) }

// IsUnreachable reports whether there was no connection, or it was lost.
func IsUnreachable(err error) bool { return hasReason(err, ReasonUnreachable) }

// IsRefused reports whether the provider understood and said no.
func IsRefused(err error) bool { return hasReason(err, ReasonRefused) }

// ClassOf gives the class of an error of this package; Permanent for any other.
func ClassOf(err error) Class {
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return Permanent
}
