package account_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailbridge/account"
	"mailbridge/internal/provider"
	"mailbridge/mailbox"
)

// pages is what a disk is full to in these tests: that many pages of SQLite's more than an
// account has already.
type pages int

const (
	pageSize       = 4096
	noLimit  pages = -1
)

// openIn starts a process on a disk with little room. Its engine must not end for want of it.
func (p *person) openIn(room pages) {
	p.w.Helper()
	o := p.w.options(p.dir)
	if room != noLimit {
		info, err := os.Stat(filepath.Join(p.dir, "index.db"))
		if err != nil {
			p.w.Fatal(err)
		}
		o.MaxBytes = info.Size() + int64(room)*pageSize
	}
	a, err := account.Open(context.Background(), o)
	if err != nil {
		p.w.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := a.Run(ctx); ctx.Err() == nil {
			p.w.Errorf("the engine of %s ended: %v", p.addr, err)
		}
	}()
	p.Account = a
	p.stop = func() {
		cancel()
		<-done
	}
}

// lines makes a text that no compression shortens much.
func lines(octets int) string {
	b := make([]byte, octets*3/4)
	rand.Read(b)
	var text strings.Builder
	for s := base64.StdEncoding.EncodeToString(b); len(s) > 0; {
		n := min(len(s), 76)
		text.WriteString(s[:n] + "\n")
		s = s[n:]
	}
	return text.String()
}

// TestDiskFull: what does not fit is refused clearly, or waits at the provider; nothing is
// lost, what is there can be read, and everything works again when there is room.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	w.shake(alice, bob)
	bob.submit([]string{alice.addr}, letterTo(bob.addr, alice.addr, "before", "there before"))
	alice.wait(mailbox.Inbox, "there before")
	alice.end()
	alice.openIn(0)
	sent := len(w.provider.Submissions())
	ctx := context.Background()
	big := func(from, to, subject string) string {
		return strings.ReplaceAll(letterTo(from, to, subject, lines(1<<20)), "\n", "\r\n")
	}
	out, draft := big(alice.addr, bob.addr, "out"), big(alice.addr, bob.addr, "draft")

	var refusal *account.Refusal
	if _, err := alice.Submit(ctx, alice.addr, []string{bob.addr}, []byte(out)); !errors.As(err, &refusal) ||
		refusal.Code != 452 || !strings.Contains(refusal.Text, "The disk is full") {
		t.Errorf("submit: %v", err)
	}
	var refused *mailbox.Error
	if _, _, err := alice.Append(ctx, "Drafts", []byte(draft), nil, time.Now()); !errors.As(err, &refused) ||
		refused.Code != mailbox.CodeOverQuota {
		t.Errorf("append: %v", err)
	}
	if n := len(w.provider.Submissions()); n != sent {
		t.Errorf("%d messages left", n-sent)
	}
	bob.submit([]string{alice.addr}, strings.ReplaceAll(big(bob.addr, alice.addr, "in"), "\r\n", "\n"))
	w.eventually("the status tells of the full disk", func() bool {
		return strings.Contains(fmt.Sprint(alice.State(ctx).Warnings), "disk is full")
	})
	alice.want(mailbox.Inbox, "there before", 1)
	alice.want(mailbox.Inbox, "", 1)
	alice.want("Sent", "", 0)
	alice.want("Drafts", "", 0)
	alice.wantUpstream("INBOX", 2)

	alice.end()
	alice.openIn(noLimit)
	alice.wait(mailbox.Inbox, "Subject: in")
	if _, err := alice.Submit(ctx, alice.addr, []string{bob.addr}, []byte(out)); err != nil {
		t.Errorf("submit: %v", err)
	}
	if _, _, err := alice.Append(ctx, "Drafts", []byte(draft), nil, time.Now()); err != nil {
		t.Errorf("append: %v", err)
	}
	bob.wait(mailbox.Inbox, "Subject: out")
	alice.synced()
	alice.want(mailbox.Inbox, "", 2)
	alice.want("Drafts", "", 1)
	alice.wantUpstream("Drafts", 1)
}

// TestDiskNearlyFull lets the disk fill up at every point of a submission whose outcome is
// unknown, and of an arrival.
func TestDiskNearlyFull(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	w.shake(alice, bob)
	bob.submit([]string{alice.addr}, letterTo(bob.addr, alice.addr, "in", "coming in "+lines(20<<10)))
	alice.wait(mailbox.Inbox, "coming in")
	bob.end()
	submissions := w.provider.Submissions()
	in := submissions[len(submissions)-1].Data
	alice.synced()
	image := &death{p: alice, image: filepath.Join(t.TempDir(), "image")}
	// The mail is gone, and comes again as another message.
	for _, m := range alice.upstream("INBOX") {
		_ = w.provider.Remove(alice.addr, "INBOX", m.UID)
	}
	alice.synced()
	if err := image.takeImage(); err != nil {
		t.Fatal(err)
	}
	alice.end()
	for room := range pages(50) {
		name := fmt.Sprintf("%d pages", room)
		if !sampled(name) {
			continue
		}
		t.Run(name, func(t *testing.T) { nearlyFull(t, w, alice, bob, image.image, in, room) })
	}
}

func nearlyFull(t *testing.T, w *world, alice, bob *person, image string, in []byte, room pages) {
	alice.dir = filepath.Join(t.TempDir(), "alice")
	if err := os.CopyFS(alice.dir, os.DirFS(image)); err != nil {
		t.Fatal(err)
	}
	for _, p := range []*person{alice, bob} {
		for _, name := range []string{"INBOX", "Sent"} {
			for _, m := range p.upstream(name) {
				_ = w.provider.Remove(p.addr, name, m.UID)
			}
		}
	}
	alice.openIn(room)
	w.provider.Inject(provider.Fault{User: alice.addr, Command: "DATA", Times: 1, Effect: provider.CutAfter})
	again := bytes.Replace(in, []byte("Message-ID: <"), []byte("Message-ID: <again"), 1)
	if err := w.provider.Deliver(alice.addr, again); err != nil {
		t.Fatal(err)
	}
	out := strings.ReplaceAll(letterTo(alice.addr, bob.addr, "out", "going out "+lines(20<<10)), "\n", "\r\n")
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, err := alice.Submit(ctx, alice.addr, []string{bob.addr}, []byte(out))
	var refusal *account.Refusal
	refused := errors.As(err, &refusal) && refusal.Code == 452
	alice.end()

	alice.openIn(noLimit)
	alice.wait(mailbox.Inbox, "coming in")
	w.eventually("nothing is queued", func() bool { return alice.State(context.Background()).Queued == 0 })
	copies := 1
	if refused {
		copies = 0
	}
	w.eventually("the Sent copies are there", func() bool {
		w.advance(learnt)
		return alice.count("Sent", "going out") >= copies && len(alice.upstream("Sent")) >= copies
	})
	alice.synced()
	alice.want(mailbox.Inbox, "coming in", 1)
	alice.want("Sent", "going out", copies)
	alice.wantUpstream("Sent", copies)
	bob.wantUpstream("INBOX", copies)
	if n := alice.State(context.Background()).Unknown; n != copies {
		t.Errorf("refused: %v, but %d unknown", refused, n)
	}
	alice.want(mailbox.Bridge, "It is not known whether a message was sent", copies)
	alice.end()
}
