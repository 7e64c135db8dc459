package imapproxy

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-imap/v2"

	"mailbridge/mailbox"
)

// maxName bounds a mailbox name in octets. Servers with a file per mailbox take 255 for
// each level, and go-imap writes names of over 4096 octets as literals.
const maxName = 1000

// Create makes a mailbox. A delimiter at the end says that there will be mailboxes below
// it (RFC 3501, section 6.3.3) and means nothing here.
func (s *session) Create(name string, options *imap.CreateOptions) error {
	if len(options.SpecialUse) > 0 {
		return noError("USEATTR", "a special use cannot be chosen")
	}
	name = strings.TrimSuffix(name, string(mailbox.Delimiter))
	if err := checkNewName(name); err != nil {
		return err
	}
	return s.refuse("CREATE", s.account.Create(s.ctx, name))
}

// Delete removes a mailbox.
func (s *session) Delete(name string) error {
	if name == mailbox.Inbox {
		return noError(mailbox.CodeCannot, "INBOX cannot be deleted")
	}
	return s.refuse("DELETE", s.account.Delete(s.ctx, name))
}

// Rename gives a mailbox and those below it another name.
func (s *session) Rename(from, to string, _ *imap.RenameOptions) error {
	if from == mailbox.Inbox {
		return noError(mailbox.CodeCannot, "INBOX cannot be renamed")
	}
	to = strings.TrimSuffix(to, string(mailbox.Delimiter))
	if err := checkNewName(to); err != nil {
		return err
	}
	return s.refuse("RENAME", s.account.Rename(s.ctx, from, to))
}

// Subscribe marks a mailbox as subscribed.
func (s *session) Subscribe(name string) error {
	return s.refuse("SUBSCRIBE", s.account.Subscribe(s.ctx, name, true))
}

// Unsubscribe takes the mark away.
func (s *session) Unsubscribe(name string) error {
	return s.refuse("UNSUBSCRIBE", s.account.Subscribe(s.ctx, name, false))
}

// checkNewName refuses names that no mail server would take or that a client could not
// ask for again.
func checkNewName(name string) error {
	switch {
	case strings.EqualFold(name, mailbox.Inbox):
		return noError(mailbox.CodeAlreadyExists, "INBOX exists")
	case name == "" || len(name) > maxName || !utf8.ValidString(name):
		return noError(mailbox.CodeCannot, "the name is empty, too long or not UTF-8")
	case strings.ContainsAny(name, "*%") || strings.ContainsFunc(name, unicode.IsControl):
		return noError(mailbox.CodeCannot, "the name holds a wildcard or a control character")
	}
	for level := range strings.SplitSeq(name, string(mailbox.Delimiter)) {
		if level == "" || level == "." || level == ".." {
			return noError(mailbox.CodeCannot, "a level of the name is empty or a dot")
		}
	}
	return nil
}
