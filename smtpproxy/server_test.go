package smtpproxy_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"go.uber.org/goleak"

	"mailbridge/smtpproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func dial(t *testing.T, addr string) *smtp.Client {
	t.Helper()
	c, err := smtp.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Auth(sasl.NewPlainClient("", "alice", "wonder land")); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestImplicitTLS(t *testing.T) {
	t.Parallel()
	be := &backend{}
	s := smtpproxy.New(be, smtpproxy.Options{TLS: serverTLS(t)})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.ServeTLS(ln) }()
	c, err := smtp.DialTLS(ln.Addr().String(), &tls.Config{InsecureSkipVerify: true}) // whose certificate it is does not matter here
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if err := c.Auth(sasl.NewLoginClient("alice", "wonder land")); err != nil {
		t.Fatal(err)
	}
	if err := c.SendMail("alice@example.org", []string{"bob@example.org"}, strings.NewReader("x\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := smtpproxy.New(be, smtpproxy.Options{}).ServeTLS(ln); err == nil {
		t.Error("ServeTLS without a certificate")
	}
}

// A message over the limit is refused after its end, and the session goes on.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	be := &backend{}
	c := dial(t, start(t, be, smtpproxy.Options{MaxMessage: 1000}))
	big := strings.Repeat(strings.Repeat("x", 98)+"\r\n", 11) + "QUIT\r\n"
	err := c.SendMail("alice@example.org", []string{"bob@example.org"}, strings.NewReader(big))
	var status *smtp.SMTPError
	if !errors.As(err, &status) || status.Code != 552 {
		t.Fatalf("too large: %v", err)
	}
	if err := c.SendMail("alice@example.org", []string{"bob@example.org"}, strings.NewReader("small\r\n")); err != nil {
		t.Fatal(err)
	}
	if got := be.String(); strings.Count(got, "from") != 1 {
		t.Fatalf("submitted: %s", got)
	}
}

// Large messages arrive as they are.
func TestLargeMessage(t *testing.T) {
	t.Parallel()
	be := &backend{}
	c := dial(t, start(t, be, smtpproxy.Options{}))
	msg := bytes.Repeat([]byte("..0123456789 and so on\r\n"), 200_000)
	if err := c.SendMail("a@example.org", []string{"b@example.org"}, bytes.NewReader(msg)); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("from %q to %q\n%q", "a@example.org", []string{"b@example.org"}, msg); be.String() != want {
		t.Fatal("the message changed")
	}
}

func TestTooManyConnections(t *testing.T) {
	t.Parallel()
	addr := start(t, &backend{}, smtpproxy.Options{MaxConnections: 1})
	first, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = first.Close() }()
	greeting := make([]byte, 3)
	if _, err := io.ReadFull(first, greeting); err != nil || string(greeting) != "220" {
		t.Fatalf("greeting %q (%v)", greeting, err)
	}
	second, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Close() }()
	if got, err := io.ReadAll(second); err != nil || string(got) != "421 4.3.2 Too many connections\r\n" {
		t.Fatalf("got %q (%v)", got, err)
	}
}

// A client that stops in the middle of a message is let go after the idle time, and
// nothing is submitted.
func TestIdleInMessage(t *testing.T) {
	t.Parallel()
	be := &backend{}
	conn, err := net.Dial("tcp", start(t, be, smtpproxy.Options{IdleTimeout: 2 * time.Second}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	// All at once, so that only the end has to wait, however slow the machine is.
	if _, err := io.WriteString(conn, "HELO x\r\nAUTH PLAIN AGFsaWNlAHdvbmRlciBsYW5k\r\n"+
		"MAIL FROM:<alice@example.org>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n"+
		"an end that go-smtp does not see\r\r\n.\r\n"); err != nil {
		t.Fatal(err)
	}
	replies, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(replies), "\r\n354 ") || be.String() != "" {
		t.Fatalf("replies %q (%v), submitted %q", replies, err, be)
	}
}

// Close ends the context of Submit and lets the reply reach the client.
func TestCloseWhileSubmitting(t *testing.T) {
	t.Parallel()
	be := &backend{held: make(chan struct{})}
	s, addr := startServer(t, be, smtpproxy.Options{})
	c := dial(t, addr)
	result := make(chan error, 1)
	go func() {
		result <- c.SendMail("alice@example.org", []string{"hold@example.org"}, strings.NewReader("x\r\n"))
	}()
	<-be.held
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-result; err != nil {
		t.Fatalf("the client was told %v", err)
	}
}

// A login from another machine needs TLS. The test has no other machine, so the address
// is made up.
func TestRemoteLoginNeedsTLS(t *testing.T) {
	t.Parallel()
	s := smtpproxy.New(&backend{}, smtpproxy.Options{})
	client, server := net.Pipe()
	ln := &oneConn{conn: remote{server}, done: make(chan struct{})}
	served := make(chan struct{})
	go func() { _ = s.Serve(ln); close(served) }()
	defer func() {
		_ = client.Close()
		_ = s.Close()
		<-served
	}()
	r := bufio.NewReader(client)
	expect := func(send, want string) {
		t.Helper()
		if send != "" { // an empty write blocks a pipe
			if _, err := io.WriteString(client, send); err != nil {
				t.Fatal(err)
			}
		}
		for {
			line, err := r.ReadString('\n')
			if err != nil || strings.Contains(line, "AUTH") {
				t.Fatalf("got %q (%v), want %s", line, err, want)
			}
			if len(line) > 3 && line[3] == ' ' {
				if !strings.HasPrefix(line, want) {
					t.Fatalf("got %q, want %s", line, want)
				}
				return
			}
		}
	}
	expect("", "220")
	expect("EHLO x\r\n", "250")
	expect("AUTH PLAIN AGFsaWNlAHdvbmRlciBsYW5k\r\n", "538 5.7.11")
	expect("MAIL FROM:<alice@example.org>\r\n", "530 5.7.0")
}

type remote struct{ net.Conn }

func (remote) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1} }
