package smtpproxy

import "context"

// Backend finds the account that a login name and a local password open. A refusal that
// is not for a wrong name or password is an error with a Status method (see Status); any
// other error is 535.
type Backend interface {
	Login(ctx context.Context, username, password string) (Submitter, error)
}

// Submitter takes a message for delivery. On success text is shown to the client after
// 250; a refusal is an error with a Status method (see Status), anything else is 451.
type Submitter interface {
	Submit(ctx context.Context, from string, to []string, msg []byte) (text string, err error)
}

// Status is what an error may say of itself to choose the reply.
type Status interface {
	error
	// SMTPStatus gives the reply code, the enhanced code (RFC 3463) and at most two short
	// lines for the person, separated by "\n".
	SMTPStatus() (code int, enhanced [3]int, text string)
}
