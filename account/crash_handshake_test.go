package account_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"mailbridge/account"
	"mailbridge/internal/provider"
	"mailbridge/mailbox"
	"mailbridge/securejoin"
)

// protocols are the two that a contact may be verified by.
var protocols = map[string]account.InviteOptions{"v3": {}, "legacy": {Legacy: true}}

// begin lets bob join an invite of alice.
func (w *world) begin(alice, bob *person, o account.InviteOptions) account.Join {
	w.Helper()
	invite, err := alice.Invite(context.Background(), o)
	if err != nil {
		w.Fatal(err)
	}
	join, err := bob.Join(context.Background(), invite.Link, account.JoinOptions{})
	if err != nil {
		w.Fatal(err)
	}
	return join
}

// verified waits until both sides are through with a handshake, and checks that nobody sees
// anything of it but one note.
func (w *world) verified(alice, bob *person, join account.Join) {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if join, err := bob.WaitJoin(ctx, join.ID); err != nil || join.State != account.JoinCompleted {
		w.Fatalf("join: %+v, %v", join, err)
	}
	for _, pair := range [][2]*person{{alice, bob}, {bob, alice}} {
		key, err := pair[1].OwnKey(ctx)
		if err != nil {
			w.Fatal(err)
		}
		w.eventually(pair[0].addr+" has verified the other", func() bool {
			c, err := pair[0].Contact(ctx, pair[1].addr)
			return err == nil && c.Verified && c.Fingerprint == key.Fingerprint
		})
	}
	w.quiet(alice, bob)
}

// quiet checks that nobody sees anything of a handshake but one note.
func (w *world) quiet(people ...*person) {
	w.Helper()
	for _, p := range people {
		w.eventually("nothing is queued", func() bool { return p.State(context.Background()).Queued == 0 })
	}
	for _, p := range people {
		w.eventually("the provider's INBOX is empty", func() bool { return len(p.upstream("INBOX")) == 0 })
		p.synced()
		for _, name := range []string{"INBOX", "Trash", "Sent", "Drafts", "Junk"} {
			p.want(name, "", 0)
		}
		p.want(mailbox.Bridge, "", 1)
		p.want(mailbox.Bridge, "Verified: ", 1)
		if s := p.State(context.Background()); s.Unknown != 0 {
			w.Errorf("%s: %d unknown", p.addr, s.Unknown)
		}
	}
}

// TestHandshakeCrash: between any two steps the connection or the process may end, on both
// sides.
func TestHandshakeCrash(t *testing.T) {
	t.Parallel()
	points := []struct {
		command, arg string
		skip         int
	}{
		{"MAIL", "", 0}, {"MAIL", "", 1}, {"DATA", "", 0}, {"DATA", "", 1},
		{"FETCH", "body", 0}, {"FETCH", "body", 1}, {"MOVE", "", 0},
	}
	for _, role := range []string{"inviter", "joiner", "inviter legacy", "joiner legacy"} {
		role, legacy := strings.CutSuffix(role, " legacy")
		for _, point := range points {
			if legacy && point.command != "DATA" {
				continue // the rest is the same
			}
			for how, e := range ends {
				if e.code == 550 || e.code != 0 && point.command == "FETCH" {
					continue // that ends a handshake; nobody refuses to show a message
				}
				name := fmt.Sprintf("%s legacy %v/%s at %s %s %d", role, legacy, how, point.command, point.arg, point.skip)
				if !sampled(name) {
					continue
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					w := newWorld(t, provider.Options{})
					alice, bob := w.add("alice"), w.add("bob")
					victim := alice
					if role == "joiner" {
						victim = bob
					}
					settle := e.at(victim, point.command, point.arg, point.skip)
					join := w.begin(alice, bob, account.InviteOptions{Legacy: legacy})
					settle()
					if e.code != 0 {
						victim.synced()
						w.advance(learnt) // it is tried again after a pause
						victim.synced()
					}
					w.verified(alice, bob, join)
					victim.restart()
					w.verified(alice, bob, join)
				})
			}
		}
	}
}

// steps are the messages of a handshake: who gets them, and how many that person got before.
var steps = []struct {
	name   string
	joiner bool
	before int
}{
	{"request", false, 0}, {"key", true, 0}, {"vc-request-with-auth", false, 1}, {"vc-contact-confirm", true, 1},
}

// TestHandshakeMessageLost: a message that never arrives is made up for by a repetition.
func TestHandshakeMessageLost(t *testing.T) {
	t.Parallel()
	for protocol, o := range protocols {
		for _, step := range steps {
			t.Run(protocol+" "+step.name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, provider.Options{})
				alice, bob := w.add("alice"), w.add("bob")
				receiver := alice
				if step.joiner {
					receiver = bob
				}
				lost := w.before(hook{user: receiver.addr, command: "FETCH", arg: "body", skip: step.before, do: func() {
					for _, m := range w.provider.Messages(receiver.addr, "INBOX") {
						_ = w.provider.Remove(receiver.addr, "INBOX", m.UID)
					}
				}})
				join := w.begin(alice, bob, o)
				lost.wait(w)
				receiver.synced()
				w.advance(securejoin.ResendAfter)
				bob.restart()
				w.verified(alice, bob, join)
			})
		}
	}
}

// TestHandshakeMessageRepeated: a message that comes again, as it was or by another way,
// changes nothing, is not answered and is not seen.
func TestHandshakeMessageRepeated(t *testing.T) {
	t.Parallel()
	for protocol, o := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, provider.Options{})
			alice, bob := w.add("alice"), w.add("bob")
			w.verified(alice, bob, w.begin(alice, bob, o))
			sent := w.provider.Submissions()
			if len(sent) != len(steps) {
				t.Fatalf("%d messages", len(sent))
			}
			for range 2 {
				for _, s := range sent {
					again := slices.Concat([]byte("Received: by another way\r\n"), s.Data)
					for _, raw := range [][]byte{s.Data, again, bytes.Clone(s.Data)} {
						if err := w.provider.Deliver(s.To[0], raw); err != nil {
							t.Fatal(err)
						}
					}
				}
				w.quiet(alice, bob)
				if n := len(w.provider.Submissions()); n != len(sent) {
					t.Errorf("a repetition was answered: %d messages", n)
				}
				alice.restart()
				bob.restart()
			}
			w.quiet(alice, bob)
		})
	}
}
