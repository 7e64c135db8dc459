package account_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"mailbridge/account"
	"mailbridge/internal/provider"
	"mailbridge/mailbox"
)

// end is how things end at a command: with the connection, with the process, or with a
// refusal; before the command happens or after it.
type end struct {
	effect   provider.Effect
	code     int // of provider.Refuse
	killed   bool
	happened bool
}

var ends = map[string]end{
	"lost before":   {effect: provider.CutBefore},
	"lost after":    {effect: provider.CutAfter, happened: true},
	"killed before": {killed: true},
	"killed after":  {killed: true, happened: true},
	"refused":       {effect: provider.Refuse, code: 550},
	"not now":       {effect: provider.Refuse, code: 451},
}

// at lets things end at a command of p, and gives a function that waits for it and, if the
// process ended, starts a new one.
func (e end) at(p *person, command, arg string, skip int) (settle func()) {
	if e.killed {
		return p.dieAt(command, arg, skip, e.happened).revive
	}
	fault := p.w.provider.Inject(provider.Fault{User: p.addr, Command: command, Arg: arg, Skip: skip, Times: 1,
		Effect: e.effect, Code: e.code, IMAPCode: "UNAVAILABLE"})
	return func() {
		p.w.Helper()
		select {
		case <-fault.Reached():
		case <-time.After(patience):
			p.w.Fatalf("%s was never sent", command)
		}
	}
}

// learnt is longer than the first upload waits for a copy that the provider saves by itself.
const learnt = 2 * time.Minute

// TestSubmissionCrash: wherever it ends, the recipient gets the mail exactly once or its
// outcome is unknown, there is one Sent copy here and one at the provider, and nothing that is
// to be encrypted gets there in the clear.
func TestSubmissionCrash(t *testing.T) {
	t.Parallel()
	points := []struct{ command, arg string }{
		{"MAIL", ""}, {"RCPT", ""}, {"DATA", ""}, {"STATUS", "Sent"}, {"APPEND", "Sent"},
	}
	for _, encrypted := range []bool{true, false} {
		for _, point := range points {
			for how, e := range ends {
				for _, saves := range []bool{false, true} {
					upload := point.arg == "Sent"
					if saves && (!upload && e.killed || e.code != 0) {
						continue // a client that saw no reply saves nothing
					}
					if upload && e.code == 550 {
						continue // IMAP has no codes; "not now" refuses there
					}
					name := fmt.Sprintf("encrypted=%v/saves=%v/%s at %s", encrypted, saves, how, point.command)
					if !sampled(name) {
						continue
					}
					t.Run(name, func(t *testing.T) {
						t.Parallel()
						c := submissionCrash{newWorld(t, provider.Options{}), encrypted, saves, point.command, point.arg, e}
						c.run()
					})
				}
			}
		}
	}
}

type submissionCrash struct {
	*world
	encrypted, saves bool
	command, arg     string
	end
}

const secret = "Kammerjaegerlatein"

func (c submissionCrash) run() {
	alice, carol := c.add("alice"), "carol@"+domain
	if c.encrypted {
		bob := c.add("bob")
		c.shake(alice, bob)
		bob.end() // what is counted is what the provider has
		carol = bob.addr
		c.provider.Watch(secret)
	} else {
		c.provider.AddUser(carol, "x")
	}
	there := func() int { return len(c.provider.Messages(carol, "INBOX")) }
	before := there()
	msg := strings.ReplaceAll(letterTo(alice.addr, carol, secret, "so "+secret), "\n", "\r\n")
	upload := c.arg == "Sent"
	settle := func() {}
	if !upload {
		settle = c.at(alice, c.command, c.arg, 0)
	}
	replied := make(chan error, 1)
	go func(a *account.Account) {
		_, err := a.Submit(context.Background(), alice.addr, []string{carol}, []byte(msg))
		replied <- err
	}(alice.Account)
	if upload || !c.killed {
		err := <-replied
		var refusal *account.Refusal
		if refused := !upload && c.code == 550; refused != errors.As(err, &refusal) {
			c.Fatalf("submit: %v", err)
		}
	}
	saved := []byte("X-Saved: by the client\r\n" + msg)
	if c.saves {
		if _, _, err := alice.Append(context.Background(), "Sent", saved, mailbox.NewFlags(mailbox.Seen), time.Now()); err != nil {
			c.Fatal(err)
		}
	}
	if upload { // the copy goes up later; what is struck is not an earlier look at Sent
		settle = c.at(alice, c.command, c.arg, 0)
	}
	c.advance(learnt)
	settle()
	c.eventually("nothing is queued", func() bool { return alice.State(context.Background()).Queued == 0 })
	copies := 1
	if !upload && c.code == 550 {
		copies = 0
	}
	c.eventually("the Sent copies are there", func() bool {
		c.advance(learnt)
		return alice.count("Sent", secret) >= copies && len(alice.upstream("Sent")) >= copies
	})
	alice.synced()
	alice.restart()
	c.advance(learnt)
	alice.synced()
	c.check(alice, there()-before, copies, saved)
}

// check looks at what has become of it all.
func (c submissionCrash) check(alice *person, arrived, copies int, saved []byte) {
	c.Helper()
	unknown := alice.State(context.Background()).Unknown
	switch {
	case unknown > 1 || arrived > 1 || unknown == 0 && arrived != copies:
		c.Errorf("it arrived %d times; %d unknown", arrived, unknown)
	case unknown == 1 && c.command != "DATA" && !c.killed:
		c.Error("the outcome is unknown, though the message never left")
	}
	alice.want("Sent", secret, copies)
	alice.wantUpstream("Sent", copies)
	for _, m := range alice.read("Sent") {
		if c.saves && !bytes.Equal(m.raw, saved) {
			c.Errorf("not what the client saved:\n%s", m.raw)
		}
	}
	for _, m := range alice.upstream("Sent") {
		if c.encrypted != bytes.Contains(m.Data, []byte("multipart/encrypted")) {
			c.Errorf("the provider's copy:\n%s", m.Data)
		}
	}
	alice.want(mailbox.Bridge, "It is not known whether a message was sent", unknown)
}

// TestSeveralRecipients: of several recipients some may be refused, some put off, and the
// connection may be lost for the rest. Each gets the message at most once, and those who are
// unknown are reported.
func TestSeveralRecipients(t *testing.T) {
	t.Parallel()
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprintf("killed=%v", killed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, provider.Options{})
			alice := w.add("alice")
			var to []string
			for _, name := range []string{"carol", "dave", "erin"} {
				to = append(to, name+"@"+domain)
				w.provider.AddUser(to[len(to)-1], "x")
			}
			w.provider.Inject(provider.Fault{Command: "RCPT", Arg: to[1], Times: 1, Code: 450})
			w.provider.Inject(provider.Fault{Command: "RCPT", Arg: to[2], Times: 1, Code: 550})
			settle := ends["lost after"].at(alice, "DATA", "", 0)
			if killed {
				settle = ends["killed after"].at(alice, "DATA", "", 0)
			}
			msg := strings.ReplaceAll(letterTo(alice.addr, strings.Join(to, ">, <"), "several", "for several"), "\n", "\r\n")
			go alice.Account.Submit(context.Background(), alice.addr, to, []byte(msg))
			settle()
			state := func() account.Status { return alice.State(context.Background()) }
			w.eventually("nothing is queued", func() bool { return state().Queued == 0 && state().Unknown == 1 })
			want := []int{1, 1, 0}
			if killed {
				want[1] = 0 // nobody knows what the provider said of whom
			}
			for i, addr := range to {
				if got := len(w.provider.Messages(addr, "INBOX")); got != want[i] {
					t.Errorf("%s got it %d times, not %d", addr, got, want[i])
				}
			}
			alice.want(mailbox.Bridge, "It is not known whether a message was sent", 1)
			if !killed {
				alice.want(mailbox.Bridge, "Your provider refused a recipient: "+to[2], 1)
			}
			w.advance(learnt)
			w.eventually("there is a Sent copy", func() bool { return alice.count("Sent", "for several") == 1 })
		})
	}
}

// TestRefusedAfterItWasSaved: the client was told that its message waits, and saved a copy;
// then the provider refuses it for good.
func TestRefusedAfterItWasSaved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, carol := w.add("alice"), "carol@"+domain
	w.provider.AddUser(carol, "x")
	w.provider.Inject(provider.Fault{Command: "DATA", Times: 1, Code: 451})
	w.provider.Inject(provider.Fault{Command: "DATA", Times: 1, Code: 550})
	msg := letterTo(alice.addr, carol, "late refusal", "refused in the end")
	if text := alice.submit([]string{carol}, msg); !strings.Contains(text, "Queued") {
		t.Errorf("reply %q", text)
	}
	raw := []byte(strings.ReplaceAll(msg, "\n", "\r\n"))
	if _, _, err := alice.Append(context.Background(), "Sent", raw, nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	alice.wait(mailbox.Bridge, "Your provider refused a recipient: "+carol)
	if s := alice.State(context.Background()); s.Queued != 0 || s.Unknown != 0 {
		t.Errorf("%+v", s)
	}
	alice.want("Sent", "refused in the end", 1)
	if alice.submit([]string{carol}, letterTo(alice.addr, carol, "next", "and on")) != "Sent" {
		t.Error("the outbox is stuck")
	}
}

// TestProviderSavesSent: where the provider saves a copy by itself and the client another,
// there is one; and the provider's copy proves that a message of unknown outcome was sent.
func TestProviderSavesSent(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"lost after", "killed after", ""} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, provider.Options{SaveSent: true})
			alice, bob := w.add("alice"), w.add("bob")
			w.shake(alice, bob)
			w.eventually("the handshake, which the provider has saved, too, is put away", func() bool {
				return len(alice.upstream("Sent"))+len(bob.upstream("Sent")) == 0
			})
			alice.want("Sent", "", 0)
			bob.want("Sent", "", 0)
			settle := func() {}
			if how != "" {
				settle = ends[how].at(alice, "DATA", "", 0)
			}
			msg := strings.ReplaceAll(letterTo(alice.addr, bob.addr, "saved", "saved twice"), "\n", "\r\n")
			go alice.Account.Submit(context.Background(), alice.addr, []string{bob.addr}, []byte(msg))
			settle()
			bob.wait(mailbox.Inbox, "saved twice")
			w.eventually("the outcome is known", func() bool {
				s := alice.State(context.Background())
				return s.Queued == 0 && s.Unknown == 0
			})
			if _, _, err := alice.Append(context.Background(), "Sent", []byte(msg), nil, time.Now()); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				w.advance(learnt)
				alice.synced()
				alice.want("Sent", "saved twice", 1)
				alice.want("Sent", "", 1)
				alice.wantUpstream("Sent", 1)
				alice.restart()
			}
		})
	}
}
