//go:build peers

package interop

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"golang.org/x/sys/unix"

	"mailbridge/internal/peers"
)

// room limits how long files may become: at 0 every write fails, as on a full disk.
func (b *bridge) room(octets uint64) {
	b.t.Helper()
	must(b.t, unix.Prlimit(b.cmd.Process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: octets, Max: unix.RLIM_INFINITY}, nil))
}

// TestDiskFull: commands are refused clearly, reading goes on, and nothing is lost once
// there is room.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	h := furnished(t)
	c, d := connect(t, h.bridge, nil), connect(t, h.other, nil)
	before := fmt.Sprint(c.messages("INBOX"))
	uid := c.find("INBOX", sealedWord).UID
	w := watch(t, h.bridge, "INBOX")

	h.room(0)
	for _, to := range []string{h.other.addr, peers.Address("dora")} {
		mail := compose(h.addr, to, "no room", "full-"+to, "no room 4931")
		if reply := h.submit(to, mail); !strings.HasPrefix(reply, "452 4.3.1 ") || !strings.Contains(reply, "full") {
			t.Errorf("mail to %s: %s", to, reply)
		}
	}
	checkFull(t, h, uid)
	h.refused(exitIO, "", []string{"invite"}, "no space", "make room")
	must(t, h.other.send([]string{h.addr}, compose(h.other.addr, h.addr, "waits", "waits@client.example", "waits outside 4932")))
	h.provided("INBOX", "a third message", func([]byte) bool {
		all, err := h.bed.Messages(h.addr, "INBOX")
		return err == nil && len(all) == 3
	})
	eventually(t, "status says that the disk is full", func() bool {
		s := h.status()
		return s.State == "running" && strings.Contains(strings.Join(s.Warnings, " "), "full")
	})
	if after := fmt.Sprint(connect(t, h.bridge, nil).messages("INBOX")); after != before || len(w.events()) > 0 {
		t.Errorf("INBOX changed: %s, events %v", after, w.events())
	}

	h.room(unix.RLIM_INFINITY)
	c.find("INBOX", "waits outside 4932")
	if after := fmt.Sprint(c.messages("INBOX")[:2]); after != before {
		t.Errorf("INBOX is now %s, was %s", after, before)
	}
	must(t, h.send([]string{h.other.addr}, h.letter("4933")))
	d.find("INBOX", "a body with 4933")
	if n := d.count("INBOX", "no room 4931"); n != 0 {
		t.Errorf("what was refused was sent %d times", n)
	}
	eventually(t, "no warning is left", func() bool { s := h.status(); return s.Provider == "connected" && len(s.Warnings) == 0 })
}

// checkFull checks the IMAP server's replies while the disk is full.
func checkFull(t *testing.T, h household, uid imap.UID) {
	t.Helper()
	d := talk(t, h.settings.imapAddr())
	for _, step := range [][2]string{
		{fmt.Sprintf("LOGIN %q %q", h.settings.User, h.settings.Password), "OK"},
		{"SELECT INBOX", "OK"},
		{fmt.Sprintf("UID FETCH %d BODY.PEEK[]", uid), "OK"},
		{"FETCH 1:* (UID FLAGS ENVELOPE BODYSTRUCTURE)", "OK"},
		{fmt.Sprintf(`UID STORE %d +FLAGS (\Flagged \Deleted)`, uid), "NO [OVERQUOTA] "},
		{fmt.Sprintf("UID COPY %d Trash", uid), "NO [OVERQUOTA] "},
		{fmt.Sprintf("UID MOVE %d Trash", uid), "NO [OVERQUOTA] "},
		{"CREATE Fresh", "NO ["},
		{"SUBSCRIBE Sent", "OK"}, // it is subscribed already
		{"NOOP", "OK"},
	} {
		if reply := d.imap(step[0]); !strings.HasPrefix(reply, step[1]) {
			t.Errorf("%s: %s", step[0], reply)
		}
	}
	must(t, d.PrintfLine("a APPEND Drafts (\\Draft) {%d}", len(draftOnFullDisk)))
	if line, err := d.ReadLine(); err != nil || !strings.HasPrefix(line, "+") {
		t.Fatalf("APPEND: %q, %v", line, err)
	}
	if reply := d.imapRest(draftOnFullDisk); !strings.HasPrefix(reply, "NO [OVERQUOTA] ") {
		t.Errorf("APPEND: %s", reply)
	}
}

const draftOnFullDisk = "Subject: draft\r\n\r\nno room 4934\r\n"

// imapRest sends a literal and gives the line with the tag.
func (d dialogue) imapRest(literal string) string {
	d.t.Helper()
	must(d.t, d.PrintfLine("%s", literal))
	for {
		line, err := d.ReadLine()
		must(d.t, err)
		if rest, ok := strings.CutPrefix(line, "a "); ok {
			return rest
		}
	}
}

// TestDiskFullWhileQueued: a mail waits for its provider, the disk runs full, the provider
// comes back. The mail goes out once, when there is room to remember it.
func TestDiskFullWhileQueued(t *testing.T) {
	t.Parallel()
	h := pair(t)
	h.bed.Down()
	if reply := h.submit(h.other.addr, h.letter("4941")); !strings.HasPrefix(reply, "250 2.0.0 Queued") {
		t.Fatalf("the reply to a mail that waits: %s", reply)
	}
	h.room(0)
	must(t, h.bed.Up())
	d := connect(t, h.other, nil)
	h.other.provider("connected")
	eventually(t, "the outbox has met the full disk", func() bool { return strings.Contains(h.logText(), "no space left") })
	c := connect(t, h.bridge, nil) // the account still serves its clients
	c.mailboxes()
	if n := d.count("INBOX", "a body with 4941"); n != 0 {
		t.Errorf("sent %d times without a record of it", n)
	}
	h.room(unix.RLIM_INFINITY)
	d.find("INBOX", "a body with 4941")
	eventually(t, "nothing is queued", func() bool { s := h.status(); return s.Queued == 0 && s.Unknown == 0 })
	must(t, c.Noop().Wait())
	if n := d.count("INBOX", "a body with 4941"); n != 1 {
		t.Errorf("arrived %d times", n)
	}
}

// full runs a command that cannot write to any file, and gives what it printed and its exit
// code.
func (b *bridge) full(stdin string, args ...string) (string, int) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := b.command(ctx, args...)
	cmd.Args = append([]string{"sh", "-c", `ulimit -S -f 0; exec "$0" "$@"`}, cmd.Args...)
	cmd.Path = "/bin/sh"
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		b.t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// TestDiskFullAtStart: an account is not added by halves, and a service that cannot start
// leaves everything as it was.
func TestDiskFullAtStart(t *testing.T) {
	t.Parallel()
	bed := peers.Start(t)
	b := bareBridge(t, bed, "bridge")
	for _, state := range []string{"a new home", "a home in use"} {
		if out, code := b.full(bed.Password+"\n", b.adding(nil)...); code != exitIO || !strings.Contains(out, "the disk is full") || strings.Count(out, "\n") > 3 {
			t.Errorf("account add in %s: exit %d: %s", state, code, out)
		}
		b.nothingKept()
	}
	if out, code := b.addAccount(bed.Password); code != 0 {
		t.Fatalf("account add: exit %d: %s", code, out)
	}
	index := filepath.Join(b.home, "data/accounts", b.addr, "index.db")
	before, err := os.ReadFile(index)
	must(t, err)
	if out, code := b.full("", "run"); code != exitIO || !strings.Contains(out, "bridge: the disk is full") || strings.Contains(out, "socket: no such") {
		t.Errorf("run: exit %d: %s", code, out)
	}
	if after, err := os.ReadFile(index); err != nil || string(after) != string(before) {
		t.Errorf("the index was changed: %d octets, then %d, %v", len(before), len(after), err)
	}
	b.start()
	connect(t, b, nil).mailboxes()
}
