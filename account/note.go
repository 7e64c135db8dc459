package account

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"mailbridge/db"
	"mailbridge/mailbox"
	"mailbridge/message"
	"mailbridge/mirror"
)

// note is a message from the bridge to its user, kept in the local mailbox Bridge and
// never uploaded.
type note struct {
	subject string
	text    string
}

// bytes renders a note as a message.
func (n note) bytes(to string, now time.Time) []byte {
	var b bytes.Buffer
	for _, f := range []message.Field{
		message.NewField("From", message.Address{Name: "mailbridge", Addr: "bridge@mailbridge.invalid"}.String()),
		message.NewField("To", message.Address{Addr: to}.String()),
		message.NewField("Date", message.FormatDate(now)),
		message.NewField("Message-ID", "<"+newNoteID()+">"),
		message.NewField("Subject", message.EncodeWord(n.subject)),
		message.NewField("MIME-Version", "1.0"),
		message.NewField("Content-Type", "text/plain; charset=utf-8"),
		message.NewField("Content-Transfer-Encoding", "8bit"),
		message.NewField("Auto-Submitted", "auto-generated"),
	} {
		b.Write(f.Raw)
	}
	fmt.Fprintf(&b, "\r\n%s\r\n", message.CRLF([]byte(n.text)))
	return b.Bytes()
}

// carriesNote reports whether a message is a note, or holds one: notes name subjects of encrypted
// mail, and a client may store a copy.
func carriesNote(msg []byte, root *message.Part) bool {
	return slices.ContainsFunc(nestedMessageIDs(msg, root), func(id string) bool {
		return strings.HasSuffix(strings.ToLower(id), noteDomain)
	})
}

// noteDomain ends the Message-ID of every note: a name that is never sent anywhere.
const noteDomain = "@mailbridge.invalid"

// newNoteID makes a Message-ID under the name that is never sent anywhere.
func newNoteID() string { return newBoundary() + noteDomain }

// leave puts a note into Bridge, in the transaction of what it tells.
func (a *Account) leave(tx *db.Tx, n note) error {
	now := a.now()
	_, err := a.mirror.Add(tx, mirror.Local{
		Mailbox: mailbox.Bridge,
		Kind:    mirror.Note,
		View:    n.bytes(a.settings.Address, now),
		Date:    now,
	})
	return err
}
