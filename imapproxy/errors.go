package imapproxy

import (
	"context"
	"errors"

	"github.com/emersion/go-imap/v2"

	"mailbridge/mailbox"
)

func noError(code mailbox.Code, text string) *imap.Error {
	return &imap.Error{Type: imap.StatusResponseTypeNo, Code: imap.ResponseCode(code), Text: clean(text)}
}

func badError(text string) *imap.Error {
	return &imap.Error{Type: imap.StatusResponseTypeBad, Text: clean(text)}
}

// refuse makes the response for an error of the account. What is not meant for the
// client goes to the log.
func (s *session) refuse(command string, err error) error {
	var (
		refusal *mailbox.Error
		typed   *imap.Error
	)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &typed):
		return typed
	case errors.As(err, &refusal):
		if refusal.Err != nil {
			s.server.log.Info("refused", "command", command, "cause", refusal.Err)
		}
		return noError(refusal.Code, refusal.Text)
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return noError(mailbox.CodeUnavailable, "this took too long; try again later")
	}
	s.server.log.Error("command failed", "command", command, "cause", err)
	return noError(mailbox.CodeServerBug, "mailbridge failed; its log says why")
}

// refuseDest is refuse for a command with a target mailbox: that it does not exist tells
// the client to create it (RFC 3501, section 7.1).
func (s *session) refuseDest(command string, err error) error {
	var refusal *mailbox.Error
	if errors.As(err, &refusal) && refusal.Code == mailbox.CodeNonExistent {
		err = &mailbox.Error{Code: mailbox.CodeTryCreate, Text: refusal.Text, Err: refusal.Err}
	}
	return s.refuse(command, err)
}

// isGone reports whether an error says that a message or mailbox is no longer there.
func isGone(err error) bool {
	var refusal *mailbox.Error
	return errors.As(err, &refusal) && (refusal.Code == mailbox.CodeNonExistent || refusal.Code == mailbox.CodeExpungeIssued)
}
