//go:build peers

package interop

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"mime"
	"net/mail"
	"net/smtp"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// client is a mail client connected to a bridge.
type client struct {
	t *testing.T
	*imapclient.Client
}

// message is one message as a client sees it.
type message struct {
	UID   imap.UID
	Flags []imap.Flag
	Size  int64
	Raw   []byte
}

func (m message) parsed(t *testing.T) *mail.Message {
	t.Helper()
	parsed, err := mail.ReadMessage(bytes.NewReader(m.Raw))
	if err != nil {
		t.Fatalf("not a message: %v\n%s", err, m.Raw)
	}
	return parsed
}

// header gives a decoded field.
func (m message) header(t *testing.T, name string) string {
	t.Helper()
	value, err := new(mime.WordDecoder).DecodeHeader(m.parsed(t).Header.Get(name))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func (m message) has(f imap.Flag) bool { return slices.Contains(m.Flags, f) }

// connect logs in over plain loopback.
func connect(t *testing.T, b *bridge, handler *imapclient.UnilateralDataHandler) *client {
	t.Helper()
	c, err := imapclient.DialInsecure(b.settings.imapAddr(), &imapclient.Options{UnilateralDataHandler: handler})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.Login(b.settings.User, b.settings.Password).Wait(); err != nil {
		t.Fatal(err)
	}
	return &client{t, c}
}

// messages gives everything in a mailbox.
func (c *client) messages(mailbox string) []message {
	c.t.Helper()
	selected, err := c.Select(mailbox, &imap.SelectOptions{ReadOnly: true}).Wait()
	if err != nil {
		c.t.Fatalf("select %s: %v", mailbox, err)
	}
	if selected.NumMessages == 0 {
		return nil
	}
	all := imap.UIDSet{}
	all.AddRange(1, 0)
	list, err := c.Fetch(all, &imap.FetchOptions{
		UID: true, Flags: true, RFC822Size: true,
		BodySection: []*imap.FetchItemBodySection{{Peek: true}},
	}).Collect()
	if err != nil {
		c.t.Fatalf("fetch %s: %v", mailbox, err)
	}
	messages := make([]message, len(list))
	for i, m := range list {
		messages[i] = message{UID: m.UID, Flags: m.Flags, Size: m.RFC822Size}
		for _, section := range m.BodySection {
			messages[i].Raw = section.Bytes
		}
	}
	return messages
}

// find waits for a message whose bytes hold text.
func (c *client) find(mailbox, text string) message {
	c.t.Helper()
	var found message
	eventually(c.t, fmt.Sprintf("a message with %q in %s", text, mailbox), func() bool {
		for _, m := range c.messages(mailbox) {
			if bytes.Contains(m.Raw, []byte(text)) {
				found = m
				return true
			}
		}
		return false
	})
	return found
}

// send submits a message as an ordinary client does: STARTTLS with the bridge's certificate,
// AUTH PLAIN, one transaction.
func (b *bridge) send(to []string, raw string) error {
	c, err := smtp.Dial(b.settings.smtpAddr())
	if err != nil {
		return err
	}
	defer c.Close()
	pem, err := os.ReadFile(b.settings.CertificateFile)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	if err := c.StartTLS(&tls.Config{RootCAs: roots, ServerName: "localhost"}); err != nil {
		return err
	}
	if err := c.Auth(smtp.PlainAuth("", b.settings.User, b.settings.Password, b.settings.SMTP.Host)); err != nil {
		return err
	}
	if err := c.Mail(b.addr); err != nil {
		return err
	}
	for _, addr := range to {
		if err := c.Rcpt(addr); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := io.WriteString(w, raw); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return c.Quit()
}

// witness sits in IDLE on a mailbox and writes down every change of the message count.
type witness struct {
	mailbox string
	mu      sync.Mutex
	seen    []string
	client  *client
	idle    *imapclient.IdleCommand
}

// watch begins to idle on a mailbox.
func watch(t *testing.T, b *bridge, mailbox string) *witness {
	t.Helper()
	w := &witness{mailbox: mailbox}
	w.client = connect(t, b, &imapclient.UnilateralDataHandler{
		Mailbox: func(data *imapclient.UnilateralDataMailbox) {
			if data.NumMessages != nil {
				w.note("%s: %d EXISTS", mailbox, *data.NumMessages)
			}
		},
		Expunge: func(seq uint32) { w.note("%s: %d EXPUNGE", mailbox, seq) },
		Fetch:   func(*imapclient.FetchMessageData) { w.note("%s: FETCH", mailbox) },
	})
	if _, err := w.client.Select(mailbox, nil).Wait(); err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	w.seen = nil // what SELECT itself said
	w.mu.Unlock()
	idle, err := w.client.Idle()
	if err != nil {
		t.Fatal(err)
	}
	w.idle = idle
	return w
}

func (w *witness) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = append(w.seen, fmt.Sprintf(format, args...))
}

// events gives what was seen so far.
func (w *witness) events() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.seen)
}

// mailboxes lists the selectable mailboxes.
func (c *client) mailboxes() []string {
	c.t.Helper()
	list, err := c.List("", "*", nil).Collect()
	if err != nil {
		c.t.Fatal(err)
	}
	var names []string
	for _, m := range list {
		if !slices.Contains(m.Attrs, imap.MailboxAttrNoSelect) {
			names = append(names, m.Mailbox)
		}
	}
	return names
}
