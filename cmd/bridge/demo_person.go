package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"strings"
	"time"

	"mailbridge/account"
	"mailbridge/mailbox"
	"mailbridge/message"
	"mailbridge/upstream"
	"mailbridge/web"
)

// person is somebody in the demo: a bridge in a home of its own, steered through its
// socket, and a mail client that talks to it by IMAP and SMTP over TLS.
type person struct {
	name, address, password string
	log                     *slog.Logger

	server   *server
	bridge   *web.Client
	settings clientSettings
	client   upstream.Config
}

func rawPassword() string { return rand.Text() }

// open starts the person's bridge, as `bridge run` does, and adds the account to it.
func (p *person) open(ctx context.Context, home string, s account.Settings) error {
	if err := os.Mkdir(home, 0o700); err != nil {
		return err
	}
	d, err := findDirs(func(name string) string {
		if name == "MAILBRIDGE_HOME" {
			return home
		}
		return ""
	})
	if err != nil {
		return err
	}
	listen := map[string]string{}
	for _, service := range services {
		listen[service.name] = "127.0.0.1:0"
	}
	if p.server, err = startServer(ctx, serverOptions{dirs: d, listen: listen, log: p.log, make: accountMaker()}); err != nil {
		return err
	}
	if p.bridge, err = d.dial(ctx); err != nil {
		return err
	}
	if err := p.bridge.Call(ctx, "account.add", addArgs{Settings: s, Password: p.password}, &p.settings); err != nil {
		return err
	}
	return p.setUpClient()
}

// setUpClient does what a user does in the mail client's dialogue.
func (p *person) setUpClient() error {
	pem, err := os.ReadFile(p.settings.File)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	p.client = upstream.Config{
		IMAP:     upstream.Endpoint{Host: p.settings.IMAPS.Host, Port: p.settings.IMAPS.Port},
		SMTP:     upstream.Endpoint{Host: p.settings.SMTPS.Host, Port: p.settings.SMTPS.Port},
		Username: p.settings.User, RootCAs: roots,
		Password: func(context.Context) (string, error) { return p.settings.Password, nil },
	}
	return nil
}

func (p *person) close() error {
	if p.server == nil {
		return nil
	}
	return p.server.close()
}

func (p *person) key(ctx context.Context) (key account.OwnKey, err error) {
	err = p.bridge.Call(ctx, "key.show", accountArgs{}, &key)
	return key, err
}

func (p *person) invite(ctx context.Context) (invite account.Invite, err error) {
	err = p.bridge.Call(ctx, "invite", inviteArgs{}, &invite)
	return invite, err
}

// join runs the joiner's side to its end.
func (p *person) join(ctx context.Context, link string) error {
	var j account.Join
	if err := p.bridge.Call(ctx, "join", joinArgs{Link: link}, &j); err != nil {
		return err
	}
	if err := p.bridge.Call(ctx, "join.wait", idArgs{ID: j.ID}, &j); err != nil {
		return err
	}
	if j.State != account.JoinCompleted {
		return refuse(exitProtocol, "%s's join ended as %s: %s", p.name, j.State, j.Reason)
	}
	return nil
}

// demoPoll is the pause between two looks at what has no event of its own.
const demoPoll = 20 * time.Millisecond

// verified waits until a contact is verified.
func (p *person) verified(ctx context.Context, address string) error {
	for {
		var c account.Contact
		err := p.bridge.Call(ctx, "contact.show", contactArgs{Address: address}, &c)
		if err == nil && c.Verified {
			return nil
		}
		if refusal, ok := errors.AsType[*web.Error](err); err != nil && (!ok || refusal.Exit != exitNoInput) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(demoPoll):
		}
	}
}

// send submits a message as the mail client does.
func (p *person) send(ctx context.Context, to string, msg []byte) error {
	result, err := upstream.Submit(ctx, p.client, upstream.Envelope{From: p.address, To: []string{to}}, msg)
	if err != nil {
		return err
	}
	for _, r := range result.Recipients {
		if r.Outcome != upstream.Accepted {
			return refuse(exitProtocol, "%s's mail to %s was %v: %s", p.name, r.Addr, r.Outcome, r.Text)
		}
	}
	return nil
}

// count says how many messages the mail client sees in its inbox.
func (p *person) count(ctx context.Context) (uint32, error) {
	conn, err := upstream.Dial(ctx, p.client)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	s, err := conn.Select(ctx, mailbox.Inbox, true)
	return s.Messages, err
}

// received is a message as the mail client has it.
type received struct {
	header message.Header
	text   string
}

func (r received) lines() []string {
	var lines []string
	for _, name := range []string{"From", "Subject", "Mailbridge-Security"} {
		lines = append(lines, name+": "+clean(r.header.Get(name)))
	}
	return append(lines, clean(r.text))
}

// receive waits in IDLE for a message with the subject.
func (p *person) receive(ctx context.Context, subject string) (received, error) {
	conn, err := upstream.Dial(ctx, p.client)
	if err != nil {
		return received{}, err
	}
	defer conn.Close()
	if _, err := conn.Select(ctx, mailbox.Inbox, true); err != nil {
		return received{}, err
	}
	for {
		r, found, err := find(ctx, conn, subject)
		if err != nil || found {
			return r, err
		}
		idle, wake := context.WithTimeout(ctx, time.Second)
		err = conn.Idle(idle, wake)
		wake()
		if err != nil && idle.Err() == nil {
			return received{}, err
		}
		if ctx.Err() != nil {
			return received{}, refuse(exitTemporary, "%s's mail client did not get %q", p.name, subject)
		}
	}
}

func find(ctx context.Context, conn *upstream.Conn, subject string) (r received, found bool, err error) {
	var uid uint32
	err = conn.Index(ctx, 1, []string{"Subject"}, func(s upstream.Summary) error {
		if h, _ := message.ParseHeader(s.Header); h.Text("Subject") == subject {
			uid = s.UID
		}
		return nil
	})
	if err != nil || uid == 0 {
		return r, false, err
	}
	msg, err := conn.Body(ctx, uid, 1<<20)
	if err != nil {
		return r, false, err
	}
	root := message.Parse(msg)
	r.header, _ = message.ParseHeader(msg)
	r.text = strings.TrimSpace(root.Text(msg))
	return r, true, nil
}
