package account_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"mailbridge/account"
	"mailbridge/internal/provider"
)

// twins are two installations of one address with one key.
func (w *world) twins(name string) (here, there *person) {
	w.Helper()
	here, there = w.addIn(name, name), w.addIn(name, name+"-elsewhere")
	key, err := here.ExportKey(w.Context(), true)
	if err != nil {
		w.Fatal(err)
	}
	if _, err := there.ImportKey(w.Context(), []byte(key.Armored), nil); err != nil {
		w.Fatal(err)
	}
	return here, there
}

// knows waits until a contact is verified.
func (p *person) knows(other *person) {
	p.w.Helper()
	p.w.eventually(p.addr+" has verified "+other.addr, func() bool {
		c, err := p.Contact(context.Background(), other.addr)
		return err == nil && c.Verified
	})
}

// sees checks that a client sees just the messages with these subjects.
func (p *person) sees(name string, subjects ...string) {
	p.w.Helper()
	list := p.read(name)
	got := make([]string, len(list))
	for i, m := range list {
		got[i] = m.header("Subject")
	}
	if strings.Join(got, "|") != strings.Join(subjects, "|") {
		p.w.Errorf("%s sees %q in %s, want %q", p.addr, got, name, subjects)
	}
}

// settled waits until both have looked at all that is at the provider.
func (w *world) settled(people ...*person) {
	w.Helper()
	for range 2 { // what one answers, the other looks at
		for _, p := range people {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			err := p.Synced(ctx)
			cancel()
			if err != nil {
				w.Fatal(err)
			}
		}
	}
}

// TestTwinsInvite: a contact that joins by the invite of one device is known at the other, and no
// client sees a step of it.
func TestTwinsInvite(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	here, there := w.twins("alice")
	bob := w.add("bob")
	w.shake(here, bob)
	there.knows(bob)
	w.advance(time.Hour) // what was held is shown by then
	w.settled(here, there, bob)
	here.sees("INBOX")
	there.sees("INBOX")
	bob.sees("INBOX")
}

// TestTwinsJoin: a join of one device is not disturbed by the other, which learns the contact.
func TestTwinsJoin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	here, there := w.twins("alice")
	bob := w.add("bob")
	w.shake(bob, there)
	here.knows(bob)
	w.advance(time.Hour)
	w.settled(here, there, bob)
	here.sees("INBOX")
	there.sees("INBOX")
	if joins := here.read("Bridge"); len(joins) > 0 && bytes.Contains(joins[len(joins)-1].raw, []byte("joined the invite")) {
		t.Errorf("a note tells of the other device's join:\n%s", joins[len(joins)-1].raw)
	}
}

// TestTwinsGroup: what one device does in a group the other one knows, even if nobody else is in
// it any more.
func TestTwinsGroup(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	here, there := w.twins("alice")
	bob := w.add("bob")
	w.shake(here, bob)
	if _, err := here.CreateGroup(t.Context(), "Book club"); err != nil {
		t.Fatal(err)
	}
	here.change("add", bob.addr)
	w.eventually("the other device knows the group", func() bool {
		groups, err := there.Groups(t.Context())
		return err == nil && len(groups) == 1
	})
	w.agree("alice bob", here, there, bob)
	there.change("rename", "Reading")
	w.eventually("the new name", func() bool { return here.group().Name == "Reading" && bob.group().Name == "Reading" })
	bob.change("leave", "")
	w.agree("alice", here, there)
	here.change("leave", "")
	w.eventually("the other device knows that it is no member", func() bool { return !there.group().Member })
}

// TestTwinsMail: mail that one device sends lies once in the Sent mailbox of the other, too, and
// comes back to no client as new mail.
func TestTwinsMail(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	here, there := w.twins("alice")
	bob := w.add("bob")
	w.shake(here, bob)
	there.knows(bob)
	here.submit([]string{bob.addr}, "From: alice@example.org\nTo: bob@example.org\nSubject: Plans\n\nfrom one device\n")
	bob.wait("INBOX", "from one device")
	m := there.wait("Sent", "from one device")
	if m.header("Mailbridge-Security") != "" || m.header("From") != "alice@example.org" {
		t.Errorf("the other device's mail is not shown as our own:\n%s", m.raw)
	}
	there.submit([]string{bob.addr}, "From: alice@example.org\nTo: bob@example.org\nSubject: Re: Plans\n\nfrom the other\n")
	bob.wait("INBOX", "from the other")
	here.wait("Sent", "from the other")
	w.advance(2 * time.Minute) // the sender has uploaded its copy by then, and the other waits longer
	w.settled(here, there)
	w.advance(time.Hour)
	w.settled(here, there)
	for _, p := range []*person{here, there} {
		p.sees("INBOX")
		p.wait("Sent", "from one device")
		p.wait("Sent", "from the other")
		var sent []string
		for _, m := range p.read("Sent") {
			sent = append(sent, m.header("Subject"))
		}
		if slices.Sort(sent); !slices.Equal(sent, []string{"Plans", "Re: Plans"}) {
			t.Errorf("%s sees %q in Sent", p.addr, sent)
		}
	}
	if got := len(bob.read("INBOX")); got != 2 {
		t.Errorf("bob has %d messages, want 2", got)
	}
}

// TestSharedInvite: a shared invite is answered by the other device, until it is withdrawn.
func TestSharedInvite(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	here, there := w.twins("alice")
	ctx := t.Context()
	invite, err := here.Invite(ctx, account.InviteOptions{Shared: true})
	if err != nil {
		t.Fatal(err)
	}
	w.eventually("the other device knows the invite", func() bool { return there.State(ctx).OpenInvites == 1 })
	here.end()
	bob := w.add("bob")
	join, err := bob.Join(ctx, invite.Link, account.JoinOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if join, err = bob.WaitJoin(ctx, join.ID); err != nil || join.State != account.JoinCompleted {
		t.Fatalf("join: %+v, %v", join, err)
	}
	here.open()
	here.knows(bob)
	if _, err := here.RevokeInvite(ctx, invite.ID); err != nil {
		t.Fatal(err)
	}
	w.eventually("the other device has withdrawn it", func() bool { return there.State(ctx).OpenInvites == 0 })
	// What the devices called each other with, a withdrawal of a link that never was, is no invite.
	for _, device := range []*person{here, there} {
		if list, err := device.Invites(ctx); err != nil || len(list) != 1 || list[0].State != "revoked" {
			t.Errorf("%+v, %v", list, err)
		}
	}
}
