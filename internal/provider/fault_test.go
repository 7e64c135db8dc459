package provider_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-smtp"

	"mailbridge/internal/provider"
)

func appendMessage(c *imapclient.Client, mailbox string) error {
	cmd := c.Append(mailbox, int64(len(plainMessage)), nil)
	if _, err := io.WriteString(cmd, plainMessage); err != nil {
		return err
	}
	if err := cmd.Close(); err != nil {
		return err
	}
	_, err := cmd.Wait()
	return err
}

func TestFaultsAtAppend(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		fault  provider.Fault
		refuse bool // the client is told NO
		cut    bool // the client is told nothing
		stored int
	}{
		{"refuse", provider.Fault{Command: "APPEND", IMAPCode: "OVERQUOTA"}, true, false, 0},
		{"cut before", provider.Fault{Command: "APPEND", Effect: provider.CutBefore}, false, true, 0},
		{"cut after", provider.Fault{Command: "APPEND", Effect: provider.CutAfter}, false, true, 1},
		{"cut during the answer", provider.Fault{Command: "APPEND", Effect: provider.CutDuring, Octets: 5}, false, true, 1},
		{"delay", provider.Fault{Command: "APPEND", Effect: provider.Delay, Delay: 1}, false, false, 1},
		{"other mailbox", provider.Fault{Command: "APPEND", Arg: "Trash"}, false, false, 1},
		{"other user", provider.Fault{User: bob}, false, false, 1},
		{"later", provider.Fault{Command: "APPEND", Skip: 1}, false, false, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t, provider.Options{})
			c := dial(t, p, alice, "a-secret", nil)
			p.Inject(test.fault)
			err := appendMessage(c, "Sent")
			var refused *imap.Error
			if errors.As(err, &refused) != test.refuse || (err != nil) != (test.refuse || test.cut) {
				t.Errorf("the client was told %v", err)
			}
			if n := len(p.Messages(alice, "Sent")); n != test.stored {
				t.Errorf("%d stored, want %d", n, test.stored)
			}
		})
	}
}

func TestFaultsAtSubmission(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		fault     provider.Fault
		code      int // 0: no reply
		delivered int
	}{
		{"login", provider.Fault{Command: "AUTH"}, 535, 0},
		{"login not now", provider.Fault{Command: "AUTH", Code: 454}, 454, 0},
		{"sender", provider.Fault{Command: "MAIL", Code: 550}, 550, 0},
		{"recipient", provider.Fault{Command: "RCPT", Arg: "BOB@example.org", Code: 450}, 450, 0},
		{"content", provider.Fault{Command: "DATA", Code: 554, Text: "spam"}, 554, 0},
		{"cut before", provider.Fault{Command: "DATA", Effect: provider.CutBefore}, 0, 0},
		{"cut after", provider.Fault{Command: "DATA", Effect: provider.CutAfter}, 0, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t, provider.Options{})
			p.Inject(test.fault)
			err := send(t, p, alice, "a-secret", []string{bob}, plainMessage)
			var reply *smtp.SMTPError
			if errors.As(err, &reply) != (test.code != 0) || reply != nil && reply.Code != test.code || err == nil {
				t.Errorf("the client was told %v", err)
			}
			if n := len(p.Messages(bob, "INBOX")); n != test.delivered {
				t.Errorf("%d delivered, want %d", n, test.delivered)
			}
		})
	}
}

func TestHold(t *testing.T) {
	t.Parallel()
	p := newProvider(t, provider.Options{})
	held := p.Inject(provider.Fault{Command: "DATA", Effect: provider.Hold, Times: 1})
	result := make(chan error, 1)
	go func() { result <- send(t, p, alice, "a-secret", []string{bob}, plainMessage) }()
	<-held.Reached()
	if n := len(p.Messages(bob, "INBOX")); n != 0 || held.Hits() != 1 {
		t.Fatalf("%d delivered, %d hits while held", n, held.Hits())
	}
	if err := send(t, p, alice, "a-secret", []string{bob}, plainMessage); err != nil {
		t.Fatal(err)
	}
	held.Release()
	held.Release()
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	if n := len(p.Messages(bob, "INBOX")); n != 2 {
		t.Fatalf("%d delivered", n)
	}
}

// A body breaks off where the fault says, octet by octet.
func TestCutDuringFetch(t *testing.T) {
	t.Parallel()
	p := newProvider(t, provider.Options{})
	fill(t, p, alice, "INBOX", 1)
	c := loginRaw(t, p, alice, "a-secret", "INBOX")
	p.Inject(provider.Fault{Command: "FETCH", Arg: "body", Effect: provider.CutDuring, Octets: 40})
	c.write("X FETCH 1 (BODY.PEEK[])\r\n")
	rest, _ := io.ReadAll(c.r)
	if want := "* 1 FETCH (BODY[] {22}\r\nSubject: 1\r\n\r\nbody 1\r\n)\r\n"[:40]; string(rest) != want {
		t.Fatalf("%q, want %q", rest, want)
	}
}

func TestDownAndUp(t *testing.T) {
	t.Parallel()
	p := newProvider(t, provider.Options{})
	c := loginRaw(t, p, alice, "a-secret", "INBOX")
	addr := p.IMAPSAddr().String()
	p.Down()
	if _, err := io.ReadAll(c.r); err == nil {
		t.Log("the connection ended in good order")
	}
	if conn, err := net.Dial("tcp", addr); err == nil {
		_ = conn.Close()
		t.Fatal("reachable while down")
	}
	if err := p.Up(); err != nil {
		t.Fatal(err)
	}
	if p.IMAPSAddr().String() != addr {
		t.Fatalf("%s became %s", addr, p.IMAPSAddr())
	}
	c = loginRaw(t, p, alice, "a-secret", "INBOX")
	p.Cut()
	if rest, _ := io.ReadAll(c.r); len(rest) > 0 {
		t.Fatalf("%q", rest)
	}
	loginRaw(t, p, alice, "a-secret", "INBOX")
}

func TestSubmissionRules(t *testing.T) {
	t.Parallel()
	p := newProvider(t, provider.Options{SaveSent: true})
	code := func(err error) int {
		var reply *smtp.SMTPError
		if errors.As(err, &reply) {
			return reply.Code
		}
		return 0
	}
	if err := send(t, p, alice, "wrong", []string{bob}, plainMessage); code(err) != 535 {
		t.Errorf("wrong password: %v", err)
	}
	if err := send(t, p, alice, "a-secret", []string{"nobody@example.org"}, plainMessage); code(err) != 550 {
		t.Errorf("unknown user: %v", err)
	}
	c, err := smtp.DialTLS(p.SMTPSAddr().String(), &tls.Config{RootCAs: p.Pool(), ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.Mail(alice, nil); code(err) != 502 {
		t.Errorf("no login: %v", err)
	}
	if err := send(t, p, alice, "a-secret", []string{"far@example.net", bob, "BOB@example.org"}, plainMessage); err != nil {
		t.Fatal(err)
	}
	sent := p.Submissions()
	if len(sent) != 1 || sent[0].User != alice || len(sent[0].To) != 3 || string(sent[0].Data) != plainMessage {
		t.Errorf("submissions: %+v", sent)
	}
	if n := len(p.Messages(bob, "INBOX")); n != 2 {
		t.Errorf("%d delivered", n)
	}
	if copies := p.Messages(alice, "Sent"); len(copies) != 1 || string(copies[0].Data) != plainMessage {
		t.Errorf("saved: %+v", copies)
	}
}

// Before TLS nothing but STARTTLS is to be had.
func TestBeforeTLS(t *testing.T) {
	t.Parallel()
	p := newProvider(t, provider.Options{})
	for _, test := range []struct {
		addr       *net.TCPAddr
		send, want string
	}{
		{p.IMAPAddr(), "a CAPABILITY\r\nb LOGIN x y\r\nc AUTHENTICATE PLAIN\r\nd NOOP\r\ne LIST\r\n",
			"* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] mail.example.org ready\r\n* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\na OK Done\r\n" +
				"b NO [PRIVACYREQUIRED] Start TLS first\r\nc NO [PRIVACYREQUIRED] Start TLS first\r\nd OK Done\r\ne BAD Start TLS first\r\n"},
		{p.SMTPAddr(), "EHLO x\r\nMAIL FROM:<a@b>\r\nAUTH PLAIN x\r\nNOOP\r\n",
			"220 mail.example.org ESMTP\r\n250-mail.example.org\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 STARTTLS\r\n" +
				"530 5.7.0 Must issue a STARTTLS command first\r\n530 5.7.0 Must issue a STARTTLS command first\r\n250 2.0.0 Ok\r\n"},
	} {
		conn, err := net.Dial("tcp", test.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(conn, test.send); err != nil {
			t.Fatal(err)
		}
		_ = conn.(*net.TCPConn).CloseWrite()
		got, _ := io.ReadAll(conn)
		if string(got) != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
		_ = conn.Close()
	}
}

func TestAdministration(t *testing.T) {
	t.Parallel()
	p := newProvider(t, provider.Options{})
	fill(t, p, alice, "INBOX", 3)
	if uid, err := p.Transfer(alice, "INBOX", 2, "Junk"); err != nil || uid != 1 {
		t.Errorf("Transfer: %d %v", uid, err)
	}
	if err := p.Remove(alice, "INBOX", 3, 99); err != nil || len(p.Messages(alice, "INBOX")) != 1 {
		t.Errorf("Remove: %v", err)
	}
	if err := p.Create(alice, "Archive/2026", `\Archive`); err != nil || !strings.Contains(strings.Join(p.Mailboxes(alice), " "), "Archive Archive/2026") {
		t.Errorf("Create: %v", err)
	}
	for _, err := range []error{
		p.Deliver("nobody@example.org", nil),
		p.SetFlags(alice, "INBOX", 99),
		p.Remove(alice, "Nowhere"),
		p.Renumber(alice, "Nowhere"),
		p.Create("nobody@example.org", "x", ""),
	} {
		if !errors.Is(err, provider.ErrNoUser) && !errors.Is(err, provider.ErrNoMailbox) && !errors.Is(err, provider.ErrNoMessage) {
			t.Errorf("got %v", err)
		}
	}
}
