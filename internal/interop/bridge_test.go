//go:build peers

// Package interop runs the finished program against real peers: Dovecot and Postfix as the
// provider, Delta Chat's engine as the correspondent, unmodified mail clients.
package interop

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mailbridge/internal/peers"
)

// patience bounds every wait for something that takes a second or two.
const patience = 60 * time.Second

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "interop")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "bridge")
	if out, err := exec.Command("go", "build", "-o", binary, "mailbridge/cmd/bridge").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "go build: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// bridge is one installation of the program with a home of its own.
type bridge struct {
	t    *testing.T
	bed  *peers.Bed
	home string
	addr string
	env  []string // further environment

	mu     sync.Mutex
	cmd    *exec.Cmd
	log    bytes.Buffer
	exited chan struct{}

	settings settings
}

// settings is `bridge account settings --json`.
type settings struct {
	IMAP, IMAPS, SMTP, SMTPS struct {
		Host string
		Port int
		TLS  string
	}
	User            string
	Password        string
	CertificateFile string `json:"certificate_file"`
}

func (s settings) imapAddr() string { return s.IMAP.Host + ":" + strconv.Itoa(s.IMAP.Port) }
func (s settings) smtpAddr() string { return s.SMTP.Host + ":" + strconv.Itoa(s.SMTP.Port) }

// newBridge adds an account for a user of the bed and starts the service.
func newBridge(t *testing.T, bed *peers.Bed, user string) *bridge {
	t.Helper()
	b := &bridge{t: t, bed: bed, home: t.TempDir(), addr: peers.Address(user)}
	out, code := b.addAccount(bed.Password)
	if code != 0 {
		t.Fatalf("account add: exit %d: %s", code, out)
	}
	b.start()
	t.Cleanup(func() {
		b.stop()
		if t.Failed() {
			t.Logf("log of %s:\n%s", b.addr, b.logText())
		}
	})
	return b
}

func (b *bridge) addAccount(password string, more ...string) (string, int) {
	args := append([]string{"account", "add", b.addr, "--name", "Bridge User",
		"--imap", fmt.Sprintf("127.0.0.1:%d", b.bed.IMAPS), "--imap-tls", "tls",
		"--smtp", fmt.Sprintf("127.0.0.1:%d", b.bed.Submission), "--smtp-tls", "starttls",
		"--ca", b.bed.CAFile(), "--password-file", "-"}, more...)
	return b.run(password+"\n", args...)
}

func (b *bridge) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), append([]string{
		"MAILBRIDGE_HOME=" + b.home,
		"MAILBRIDGE_LISTEN_IMAP=127.0.0.1:0", "MAILBRIDGE_LISTEN_IMAPS=127.0.0.1:0",
		"MAILBRIDGE_LISTEN_SMTP=127.0.0.1:0", "MAILBRIDGE_LISTEN_SMTPS=127.0.0.1:0",
	}, b.env...)...)
	return cmd
}

// run runs a command and gives what it printed, both streams, and its exit code.
func (b *bridge) run(stdin string, args ...string) (string, int) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := b.command(ctx, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		b.t.Fatalf("bridge %v: %v", args, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// ok runs a command that must succeed.
func (b *bridge) ok(args ...string) string {
	b.t.Helper()
	out, code := b.run("", args...)
	if code != 0 {
		b.t.Fatalf("bridge %v: exit %d: %s", args, code, out)
	}
	return out
}

// query runs a command with --json.
func (b *bridge) query(into any, args ...string) {
	b.t.Helper()
	out := b.ok(append(args, "--json")...)
	if err := json.Unmarshal([]byte(out), into); err != nil {
		b.t.Fatalf("bridge %v: %v in %q", args, err, out)
	}
}

// start starts the service and waits for it to be ready.
func (b *bridge) start() {
	b.t.Helper()
	cmd := b.command(context.Background(), "run")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	cmd.Stderr = logWriter{b}
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.cmd, b.exited = cmd, make(chan struct{})
	ready := make(chan struct{})
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if lines.Text() == "ready" {
				close(ready)
				break
			}
		}
		io.Copy(io.Discard, stdout)
		cmd.Wait()
		close(b.exited)
	}()
	select {
	case <-ready:
	case <-b.exited:
		b.t.Fatalf("bridge run ended: %s", b.logText())
	case <-time.After(patience):
		b.t.Fatalf("bridge run is not ready: %s", b.logText())
	}
	b.query(&b.settings, "account", "settings", b.addr)
}

// stop ends the service politely, kill at once.
func (b *bridge) stop() { b.signal(syscall.SIGTERM) }
func (b *bridge) kill() { b.signal(syscall.SIGKILL) }

func (b *bridge) signal(s os.Signal) {
	if b.cmd == nil {
		return
	}
	b.cmd.Process.Signal(s)
	select {
	case <-b.exited:
	case <-time.After(patience):
		b.cmd.Process.Kill()
		<-b.exited
		b.t.Error("the service did not end at SIGTERM")
	}
	b.cmd = nil
}

type logWriter struct{ b *bridge }

func (w logWriter) Write(p []byte) (int, error) {
	w.b.mu.Lock()
	defer w.b.mu.Unlock()
	return w.b.log.Write(p)
}

func (b *bridge) logText() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.String()
}

// contact is one of `bridge contacts --json`.
type contact struct {
	Address     string
	Fingerprint string
	Verified    bool
	VerifiedHow string `json:"verified_how"`
	Origin      string
}

func (b *bridge) contact(addr string) (contact, bool) {
	b.t.Helper()
	var all []contact
	b.query(&all, "contacts")
	for _, c := range all {
		if c.Address == addr {
			return c, true
		}
	}
	return contact{}, false
}

// eventually waits until cond holds.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if cond() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("did not happen within %v: %s", patience, what)
		}
	}
}
