package account_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"mailbridge/internal/provider"
	"mailbridge/mailbox"
)

// TestArrivalCrash: wherever the taking in of an encrypted message ends, it is there once.
func TestArrivalCrash(t *testing.T) {
	t.Parallel()
	for _, point := range []struct{ command, arg string }{{"FETCH", "header"}, {"FETCH", "body"}} {
		for how, e := range ends {
			if e.code != 0 {
				continue // nobody refuses to show a message
			}
			t.Run(how+" at "+point.arg, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, provider.Options{})
				alice, bob := w.add("alice"), w.add("bob")
				w.shake(alice, bob)
				bob.submit([]string{alice.addr}, letterTo(bob.addr, alice.addr, "first", "the first one"))
				first := alice.wait(mailbox.Inbox, "the first one")
				settle := e.at(alice, point.command, point.arg, 0)
				bob.submit([]string{alice.addr}, letterTo(bob.addr, alice.addr, "second", "the second one"))
				settle()
				second := alice.wait(mailbox.Inbox, "the second one")
				for range 2 {
					alice.synced()
					got := alice.read(mailbox.Inbox)
					if len(got) != 2 || got[0].UID != first.UID || got[1].UID != second.UID ||
						!bytes.Equal(got[0].raw, first.raw) || !bytes.Equal(got[1].raw, second.raw) {
						t.Fatalf("%d messages, UIDs %v", len(got), got)
					}
					alice.restart()
				}
			})
		}
	}
}

// TestChangeCrash: what a client was told is done survives the end of the process, and is done
// at the provider once.
func TestChangeCrash(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"STORE", "MOVE", "APPEND"} {
		for how, e := range ends {
			if e.code != 0 {
				continue
			}
			t.Run(how+" at "+point, func(t *testing.T) {
				t.Parallel()
				changeCrash(t, point, e)
			})
		}
	}
}

func changeCrash(t *testing.T, command string, e end) {
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	w.shake(alice, bob)
	w.provider.Watch("Schubladenroman")
	for _, word := range []string{"to be flagged", "to be moved"} {
		bob.submit([]string{alice.addr}, letterTo(bob.addr, alice.addr, "change", word))
		alice.wait(mailbox.Inbox, word)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	inbox, err := alice.Select(ctx, mailbox.Inbox, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	mails := alice.read(mailbox.Inbox)
	var moved mailbox.CopyUID
	var uid mailbox.UID
	draft := strings.ReplaceAll(letterTo(alice.addr, bob.addr, "Schubladenroman", "Kapitel eins"), "\n", "\r\n")
	changes := map[string]func() error{
		"STORE": func() error {
			return alice.Store(ctx, inbox, []mailbox.UID{mails[0].UID}, mailbox.StoreAdd, mailbox.NewFlags(mailbox.Flagged))
		},
		"MOVE": func() (err error) {
			moved, err = alice.Move(ctx, inbox, []mailbox.UID{mails[1].UID}, "Junk")
			return err
		},
		"APPEND": func() (err error) {
			_, uid, err = alice.Append(ctx, "Drafts", []byte(draft), mailbox.NewFlags(mailbox.Draft), time.Now())
			return err
		},
	}
	last := changes[command] // so that the others were made before the process ends
	delete(changes, command)
	for _, change := range changes {
		if err := change(); err != nil {
			t.Fatal(err)
		}
	}
	settle := e.at(alice, command, "", 0)
	if err := last(); err != nil {
		t.Fatal(err)
	}
	settle()
	for range 2 {
		alice.synced()
		got := fmt.Sprint(describe(alice, mailbox.Inbox), describe(alice, "Junk"), describe(alice, "Drafts"))
		want := fmt.Sprintf("[%d to be flagged=true] [%d to be moved=false] [%d Kapitel eins=false]", mails[0].UID, moved.Dest[0], uid)
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
		for _, name := range []string{mailbox.Inbox, "Junk", "Drafts"} {
			alice.wantUpstream(name, 1)
		}
		if flags := alice.upstream(mailbox.Inbox)[0].Flags; !strings.Contains(strings.ToLower(fmt.Sprint(flags)), "flagged") {
			t.Errorf("flags at the provider: %v", flags)
		}
		alice.restart()
	}
}

// describe gives UID, text and whether it is flagged of each message.
func describe(p *person, name string) []string {
	var list []string
	for _, m := range p.read(name) {
		_, text, _ := strings.Cut(string(m.raw), "\r\n\r\n")
		list = append(list, fmt.Sprintf("%d %s=%v", m.UID, strings.TrimSpace(text), m.Flags.Has(mailbox.Flagged)))
	}
	return list
}
