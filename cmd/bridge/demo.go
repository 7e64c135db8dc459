package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mailbridge/account"
	"mailbridge/internal/provider"
	"mailbridge/message"
)

// demoCmd runs the whole way through the house on this computer: an embedded provider,
// two bridges with their real servers and sockets, a handshake, and encrypted mail both
// ways between two mail clients that know nothing of encryption.
type demoCmd struct {
	Keep bool `name:"keep" help:"Leave the servers open until SIGTERM, and print the client settings."`
	jsonFlag
}

// demoTimeout ends a demo that hangs. It takes about two seconds.
const demoTimeout = 60 * time.Second

func (c *demoCmd) Run(a *app) error {
	if c.JSON && !c.Keep {
		return refuse(exitUsage, "--json is for the settings that bridge demo --keep prints")
	}
	out := a.stdout
	if c.JSON {
		out = a.stderr // stdout is for the one line of JSON
	}
	d, err := newDemo(a, out)
	if err != nil {
		return err
	}
	err = d.show(a.ctx)
	if err == nil && c.Keep {
		err = d.keep(a, c.JSON)
	}
	return errors.Join(err, d.close())
}

// demo is the stage: provider, Alice and Bob.
type demo struct {
	out        io.Writer
	start      time.Time
	step       int
	dir        string
	provider   *provider.Provider
	alice, bob *person
}

// The secret words of the two mails. The provider must not see them.
const (
	demoQuestion = "Shall we meet at the lighthouse on Sunday?"
	demoAnswer   = "Gladly. I bring the telescope, you bring Kürbiskuchen."
)

func newDemo(a *app, out io.Writer) (*demo, error) {
	log, err := logger(a.stderr, setting(a.grammar.LogLevel, "MAILBRIDGE_LOG_LEVEL", nil, "error"))
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "mailbridge-demo-")
	if err != nil {
		return nil, err
	}
	d := &demo{out: out, start: time.Now(), dir: dir}
	d.alice = &person{name: "Alice", address: "alice@example.org", log: log}
	d.bob = &person{name: "Bob", address: "bob@example.org", log: log}
	return d, nil
}

func (d *demo) people() []*person { return []*person{d.alice, d.bob} }

func (d *demo) close() error {
	var errs []error
	for _, p := range d.people() {
		errs = append(errs, p.close())
	}
	if d.provider != nil {
		errs = append(errs, d.provider.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(d.dir))...)
}

// show is the play.
func (d *demo) show(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, demoTimeout)
	defer cancel()
	fmt.Fprintln(d.out, "mailbridge demo: Alice and Bob use ordinary mail clients. Each puts a bridge between the client and the mail provider.")
	for _, act := range []func(context.Context) error{d.openProvider, d.openBridges, d.handshake, d.question, d.answer, d.verdict} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return nil
}

// tell begins a step: what happens, and lines of what there is to see.
func (d *demo) tell(what string, lines ...string) {
	d.step++
	fmt.Fprintf(d.out, "\n%d. %s  [%.1f s]\n", d.step, what, time.Since(d.start).Seconds())
	for _, line := range lines {
		fmt.Fprintln(d.out, "     "+line)
	}
}

func (d *demo) openProvider(context.Context) error {
	users := map[string]string{}
	for _, p := range d.people() {
		p.password = rawPassword()
		users[p.address] = p.password
	}
	var err error
	if d.provider, err = provider.New(provider.Options{Users: users}); err != nil {
		return err
	}
	if err := d.provider.Start(); err != nil {
		return err
	}
	d.provider.Watch(demoQuestion, demoAnswer)
	if err := os.WriteFile(d.caFile(), d.provider.CA(), 0o600); err != nil {
		return err
	}
	d.tell("A mail provider starts on this computer. It knows nothing about encryption.",
		"IMAP "+d.provider.IMAPAddr().String()+", SMTP "+d.provider.SMTPAddr().String())
	return nil
}

func (d *demo) caFile() string { return filepath.Join(d.dir, "provider.pem") }

func (d *demo) openBridges(ctx context.Context) error {
	for _, p := range d.people() {
		if err := p.open(ctx, filepath.Join(d.dir, p.name), account.Settings{
			Address: p.address, Name: p.name, CAFile: d.caFile(),
			IMAP: demoServer(d.provider.IMAPSAddr(), "tls"),
			SMTP: demoServer(d.provider.SMTPSAddr(), "tls"),
		}); err != nil {
			return fmt.Errorf("%s's bridge: %w", p.name, err)
		}
		key, err := p.key(ctx)
		if err != nil {
			return err
		}
		d.tell(p.name+"'s bridge logs in to the provider, makes a key and waits for "+p.name+"'s mail client.",
			"key    "+groups(string(key.Fingerprint)),
			fmt.Sprintf("client IMAP %s:%d, SMTP %s:%d, user %s", p.settings.IMAP.Host, p.settings.IMAP.Port, p.settings.SMTP.Host, p.settings.SMTP.Port, p.address))
	}
	return nil
}

func demoServer(a *net.TCPAddr, tls string) account.Server {
	return account.Server{Host: a.IP.String(), Port: a.Port, TLS: tls}
}

// handshake lets Alice invite and Bob join.
func (d *demo) handshake(ctx context.Context) error {
	invite, err := d.alice.invite(ctx)
	if err != nil {
		return err
	}
	d.tell("Alice makes an invite (bridge invite) and gives the link to Bob, on paper or in another chat.", invite.Link)
	began := time.Now()
	if err := d.bob.join(ctx, invite.Link); err != nil {
		return err
	}
	if err := d.alice.verified(ctx, d.bob.address); err != nil {
		return err
	}
	took := time.Since(began)
	var lines []string
	for _, s := range d.provider.Submissions() {
		lines = append(lines, fmt.Sprintf("%s -> %s  %d octets, all the provider sees: Subject: %s",
			s.From, strings.Join(s.To, ", "), len(s.Data), outer(s.Data).Get("Subject")))
	}
	d.tell(fmt.Sprintf("Bob's bridge joins (bridge join LINK). The bridges shake hands by mail, SecureJoin v3, in %d ms:", took.Milliseconds()), lines...)
	if err := d.nobodySaw(ctx); err != nil {
		return err
	}
	d.tell("Both have verified each other's key. Their mail clients saw nothing of it: both inboxes are empty.",
		"Alice knows "+d.bob.address+" as verified, Bob knows "+d.alice.address+" as verified (bridge contacts)")
	return nil
}

// nobodySaw checks that no client sees a handshake message.
func (d *demo) nobodySaw(ctx context.Context) error {
	for _, p := range d.people() {
		n, err := p.count(ctx)
		if err != nil {
			return err
		}
		if n != 0 {
			return refuse(exitInternal, "%s's mail client sees %d messages of the handshake", p.name, n)
		}
	}
	return nil
}

func (d *demo) question(ctx context.Context) error {
	msg := mail(d.alice, d.bob, "Sunday", "", demoQuestion)
	if err := d.alice.send(ctx, d.bob.address, msg); err != nil {
		return err
	}
	d.tell("Alice's mail client sends an ordinary mail to her bridge:",
		"Subject: Sunday", demoQuestion)
	got, err := d.bob.receive(ctx, "Sunday")
	if err != nil {
		return err
	}
	d.tell("The provider carries this, and knows no more:", d.asCarried(d.bob)...)
	d.tell("Bob's mail client finds an ordinary mail in its inbox, with the bridge's verdict in a header field:", got.lines()...)
	return nil
}

func (d *demo) answer(ctx context.Context) error {
	question, err := d.bob.receive(ctx, "Sunday")
	if err != nil {
		return err
	}
	msg := mail(d.bob, d.alice, "Re: Sunday", question.header.Get("Message-ID"), demoAnswer)
	if err := d.bob.send(ctx, d.alice.address, msg); err != nil {
		return err
	}
	got, err := d.alice.receive(ctx, "Re: Sunday")
	if err != nil {
		return err
	}
	d.tell("Bob answers the same way, and Alice's mail client shows it under her question:", got.lines()...)
	return nil
}

// verdict says what the provider learnt.
func (d *demo) verdict(context.Context) error {
	if seen := d.provider.Violations(); len(seen) > 0 {
		return refuse(exitInternal, "the provider saw plaintext: %v", seen[0])
	}
	d.tell("Everything that reached the provider was searched for the two texts, also in quoted-printable and base64: none was there.")
	fmt.Fprintf(d.out, "\nDone in %.1f s.\n", time.Since(d.start).Seconds())
	return nil
}

// asCarried shows the newest message of somebody's inbox as the provider has it.
func (d *demo) asCarried(p *person) []string {
	list := d.provider.Messages(p.address, "INBOX")
	if len(list) == 0 {
		return []string{"(nothing)"}
	}
	msg := list[len(list)-1].Data
	h := outer(msg)
	var lines []string
	for _, name := range []string{"From", "To", "Subject", "Content-Type"} {
		lines = append(lines, name+": "+clean(h.Get(name)))
	}
	_, cipher, _ := strings.Cut(string(msg), "-----BEGIN PGP MESSAGE-----")
	for i, line := range strings.Split(strings.TrimSpace(cipher), "\n") {
		if i == 2 {
			return append(lines, "…")
		}
		lines = append(lines, clean(line))
	}
	return lines
}

func outer(msg []byte) message.Header {
	h, _ := message.ParseHeader(msg)
	return h
}

// mail is what an ordinary mail client would send.
func mail(from, to *person, subject, inReplyTo, text string) []byte {
	fields := []string{
		"From: " + from.name + " <" + from.address + ">",
		"To: " + to.name + " <" + to.address + ">",
		"Subject: " + subject,
		"Date: " + time.Now().Format(time.RFC1123Z),
		"Message-ID: <" + rawPassword() + "@example.org>",
	}
	if inReplyTo != "" {
		fields = append(fields, "In-Reply-To: "+inReplyTo, "References: "+inReplyTo)
	}
	fields = append(fields, "MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit", "", text, "")
	return []byte(strings.Join(fields, "\r\n"))
}
