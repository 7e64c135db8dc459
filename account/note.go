package account

import (
	"bytes"
	"fmt"
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

// newNoteID makes a Message-ID under the name that is never sent anywhere.
func newNoteID() string { return newBoundary() + "@mailbridge.invalid" }

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
