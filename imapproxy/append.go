package imapproxy

import (
	"time"

	"github.com/emersion/go-imap/v2"
)

// Append stores a message. The guard has read it: go-imap's literal is empty.
func (s *session) Append(name string, _ imap.LiteralReader, options *imap.AppendOptions) (*imap.AppendData, error) {
	flags, err := storableFlags(options.Flags)
	if err != nil {
		return nil, err
	}
	date := options.Time
	if date.IsZero() {
		date = time.Now()
	}
	msg := s.guard.cmd.message
	s.guard.cmd.message = nil // the account keeps what it needs
	validity, uid, err := s.account.Append(s.ctx, name, msg, flags, date)
	if err != nil {
		return nil, s.refuseDest("APPEND", err)
	}
	if uid == 0 {
		return nil, nil // no APPENDUID (RFC 4315, section 3)
	}
	return &imap.AppendData{UIDValidity: validity, UID: imap.UID(uid)}, nil
}
