package provider_test

import (
	"bytes"
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"go.uber.org/goleak"

	"mailbridge/internal/provider"
)

const (
	alice = "alice@example.org"
	bob   = "bob@example.org"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newProvider(t *testing.T, opts provider.Options) *provider.Provider {
	t.Helper()
	opts.Users = map[string]string{alice: "a-secret", bob: "b-secret"}
	return provider.NewTest(t, opts)
}

// dial logs in over implicit TLS.
func dial(t *testing.T, p *provider.Provider, user, password string, opts *imapclient.Options) *imapclient.Client {
	t.Helper()
	if opts == nil {
		opts = &imapclient.Options{}
	}
	opts.TLSConfig = &tls.Config{RootCAs: p.Pool(), ServerName: "localhost"}
	c, err := imapclient.DialTLS(p.IMAPSAddr().String(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Login(user, password).Wait(); err != nil {
		t.Fatal(err)
	}
	return c
}

func send(t *testing.T, p *provider.Provider, user, password string, to []string, msg string) error {
	t.Helper()
	c, err := smtp.DialTLS(p.SMTPSAddr().String(), &tls.Config{RootCAs: p.Pool(), ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Auth(sasl.NewPlainClient("", user, password)); err != nil {
		return err
	}
	return c.SendMail(user, to, strings.NewReader(msg))
}

const plainMessage = "From: alice@example.org\r\nTo: bob@example.org\r\nSubject: Hello\r\nMessage-ID: <1@example.org>\r\n\r\nFirst line\r\n.dot\r\n"

func TestSubmissionDelivers(t *testing.T) {
	t.Parallel()
	p := newProvider(t, provider.Options{})
	if err := send(t, p, alice, "a-secret", []string{bob}, plainMessage); err != nil {
		t.Fatal(err)
	}
	got := p.Messages(bob, "INBOX")
	if len(got) != 1 || !bytes.HasSuffix(got[0].Data, []byte(plainMessage)) || !bytes.HasPrefix(got[0].Data, []byte("Return-Path: <alice@example.org>\r\n")) {
		t.Fatalf("delivered: %+v", got)
	}
}

func TestStartTLS(t *testing.T) {
	t.Parallel()
	p := newProvider(t, provider.Options{})
	config := &tls.Config{RootCAs: p.Pool(), ServerName: "localhost"}
	c, err := imapclient.DialStartTLS(p.IMAPAddr().String(), &imapclient.Options{TLSConfig: config})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Login(alice, "a-secret").Wait(); err != nil {
		t.Fatal(err)
	}
	s, err := smtp.DialStartTLS(p.SMTPAddr().String(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Auth(sasl.NewPlainClient("", alice, "a-secret")); err != nil {
		t.Fatal(err)
	}
}

func TestIdleAndFetch(t *testing.T) {
	t.Parallel()
	p := newProvider(t, provider.Options{})
	exists := make(chan uint32, 10)
	c := dial(t, p, bob, "b-secret", &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Mailbox: func(data *imapclient.UnilateralDataMailbox) {
			if data.NumMessages != nil {
				exists <- *data.NumMessages
			}
		},
	}})
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	idle, err := c.Idle()
	if err != nil {
		t.Fatal(err)
	}
	odd := "no colon here\nSubject: odd\n\nbody\r\r\n\x00tail"
	if err := p.Deliver(bob, []byte(odd)); err != nil {
		t.Fatal(err)
	}
	if n := <-exists; n != 1 {
		t.Fatalf("EXISTS %d", n)
	}
	if err := idle.Close(); err != nil {
		t.Fatal(err)
	}
	if err := idle.Wait(); err != nil {
		t.Fatal(err)
	}
	whole := &imap.FetchItemBodySection{Peek: true}
	msgs, err := c.Fetch(imap.UIDSet{{Start: 1}}, &imap.FetchOptions{RFC822Size: true, InternalDate: true, BodySection: []*imap.FetchItemBodySection{whole}}).Collect()
	if err != nil {
		t.Fatal(err)
	}
	if len(msgs) != 1 || string(msgs[0].FindBodySection(whole)) != odd || msgs[0].RFC822Size != int64(len(odd)) || time.Since(msgs[0].InternalDate) > time.Minute {
		t.Fatalf("fetched %+v", msgs)
	}
}
