package imapproxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"mailbridge/mailbox"
)

// A dialogue is a txtar file. Its comment is the script, one step a line; its files are
// messages and literals, with CRLF for each line feed.
//
//	C: text       the client sends a line; C2: on a second connection, and so on
//	L: file       the client sends a file as it is, without a line end
//	S: text       the server sends exactly this line
//	R: regexp     the server sends a line that matches as a whole
//	F: file       the server sends exactly the octets of a file
//	EOF           the server closes the connection (EOF2 …)
//	E: deliver MAILBOX FILE [FLAG…]    an event at the provider
//	E: flags MAILBOX UID [FLAG…]
//	E: remove MAILBOX UID…
//	E: renumber MAILBOX
//
// Messages are delivered to INBOX, UID 1 first, before the script begins: the files
// inbox/1, inbox/2 and so on, with flags in a file inbox/1.flags.

// dialogueTimeout only ends a test that would hang.
const dialogueTimeout = 20 * time.Second

func TestDialogues(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/dialogue/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no dialogues: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			newDialogue(t, archive).run(string(archive.Comment))
		})
	}
}

type dialogue struct {
	t       *testing.T
	account *fakeAccount
	addr    string
	files   map[string][]byte
	peers   map[string]*peer
}

type peer struct {
	net.Conn
	r *bufio.Reader
}

func newDialogue(t *testing.T, archive *txtar.Archive) *dialogue {
	d := &dialogue{t: t, account: newFakeAccount(), files: map[string][]byte{}, peers: map[string]*peer{}}
	for _, f := range archive.Files {
		d.files[f.Name] = bytes.ReplaceAll(f.Data, []byte("\n"), []byte("\r\n"))
	}
	for n := 1; ; n++ {
		name := fmt.Sprintf("inbox/%d", n)
		raw, ok := d.files[name]
		if !ok {
			break
		}
		d.account.Deliver("INBOX", raw, mailbox.ParseFlags(string(d.files[name+".flags"])))
	}
	_, d.addr = serve(t, d.account, Options{})
	return d
}

// serve starts a server on a free port and ends it with the test.
func serve(t testing.TB, backend Backend, options Options) (*Server, string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(backend, options)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	return s, ln.Addr().String()
}

func dial(t testing.TB, addr string) *peer {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(dialogueTimeout)); err != nil {
		t.Fatal(err)
	}
	return &peer{conn, bufio.NewReader(conn)}
}

func (d *dialogue) peer(id string) *peer {
	if d.peers[id] == nil {
		d.peers[id] = dial(d.t, d.addr)
	}
	return d.peers[id]
}

var stepRE = regexp.MustCompile(`^(EOF|C|L|S|R|F|E)(\d*):? ?(.*)$`)

func (d *dialogue) run(script string) {
	for i, line := range strings.Split(script, "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		m := stepRE.FindStringSubmatch(line)
		if m == nil {
			d.t.Fatalf("line %d: unknown step %q", i+1, line)
		}
		if err := d.step(m[1], m[2], m[3]); err != nil {
			d.t.Fatalf("line %d: %s\n%v", i+1, line, err)
		}
	}
}

func (d *dialogue) step(kind, id, text string) error {
	switch kind {
	case "E":
		return d.event(strings.Fields(text))
	case "C":
		_, err := io.WriteString(d.peer(id), text+"\r\n")
		return err
	case "L":
		_, err := d.peer(id).Write(d.files[text])
		return err
	case "F":
		got := make([]byte, len(d.files[text]))
		_, err := io.ReadFull(d.peer(id).r, got)
		if err != nil || !bytes.Equal(got, d.files[text]) {
			return fmt.Errorf("got %q, %v", got, err)
		}
		return nil
	case "EOF":
		rest, err := io.ReadAll(d.peer(id).r)
		if err != nil || len(rest) > 0 {
			return fmt.Errorf("got %q, %v", rest, err)
		}
		return nil
	}
	got, err := d.peer(id).r.ReadString('\n')
	if err != nil {
		return fmt.Errorf("got %q, %v", got, err)
	}
	got = strings.TrimSuffix(got, "\r\n")
	matches := got == text
	if kind == "R" {
		matches = regexp.MustCompile("^(?:" + text + ")$").MatchString(got)
	}
	if !matches {
		return fmt.Errorf("got %q", got)
	}
	return nil
}

func (d *dialogue) event(words []string) error {
	var uids []mailbox.UID
	for _, w := range words[2:] {
		n, _ := strconv.Atoi(w)
		uids = append(uids, mailbox.UID(n))
	}
	switch words[0] {
	case "deliver":
		d.account.Deliver(words[1], d.files[words[2]], mailbox.ParseFlags(strings.Join(words[3:], " ")))
	case "flags":
		d.account.SetFlags(words[1], uids[0], mailbox.ParseFlags(strings.Join(words[3:], " ")))
	case "remove":
		d.account.Remove(words[1], uids...)
	case "renumber":
		d.account.Renumber(words[1])
	default:
		return fmt.Errorf("unknown event")
	}
	return nil
}
