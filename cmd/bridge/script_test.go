package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/smtp"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"mailbridge/internal/provider"
)

func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"bridge": main}) }

// TestScripts runs the program as a user does, against an embedded provider with the users
// alice, bob and carol. Each script has a provider and a home of its own.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:   "testdata",
		Setup: setUpScript,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){ // "stop" is built in, and ends a script
			"start": cmdStart, "halt": cmdHalt, "exit": cmdExit, "json": cmdJSON,
			"setjson": cmdSetJSON, "modes": cmdModes, "absent": cmdAbsent, "provider": cmdProvider,
			"busy": cmdBusy, "empty": cmdEmpty, "until": cmdUntil,
			"startdemo": cmdStartDemo, "imap": cmdIMAP, "smtp": cmdSMTP, "oneline": cmdOneLine,
		},
	})
}

const providerPassword = "correct-horse-battery"

// bench is what a script's commands share.
type bench struct {
	provider *provider.Provider
	services map[string]*exec.Cmd // by the home they run in
}

type benchKey struct{}

func setUpScript(env *testscript.Env) error {
	users := map[string]string{}
	for _, name := range []string{"alice", "bob", "carol"} {
		users[name+"@example.org"] = providerPassword
	}
	p, err := provider.New(provider.Options{Users: users})
	if err != nil {
		return err
	}
	if err := p.Start(); err != nil {
		return err
	}
	b := &bench{provider: p, services: map[string]*exec.Cmd{}}
	env.Values[benchKey{}] = b
	env.Defer(func() {
		for _, cmd := range b.services {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		p.Close()
	})
	ca := filepath.Join(env.WorkDir, "ca.pem")
	env.Setenv("MAILBRIDGE_HOME", filepath.Join(env.WorkDir, "home"))
	env.Setenv("CA", ca)
	env.Setenv("IMAP", p.IMAPSAddr().String())
	env.Setenv("IMAP_STARTTLS", p.IMAPAddr().String())
	env.Setenv("SMTP", p.SMTPSAddr().String())
	env.Setenv("SMTP_STARTTLS", p.SMTPAddr().String())
	for _, s := range services {
		env.Setenv(s.variable, "127.0.0.1:0")
	}
	return errors.Join(os.WriteFile(ca, p.CA(), 0o600),
		os.WriteFile(filepath.Join(env.WorkDir, "password"), []byte(providerPassword+"\n"), 0o600),
		os.WriteFile(filepath.Join(env.WorkDir, "wrong"), []byte("not the password\n"), 0o600))
}

func benchOf(ts *testscript.TestScript) *bench { return ts.Value(benchKey{}).(*bench) }

// start [ARG…]: bridge run ARG…, until it says ready.
func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	if line := launch(ts, append([]string{"run"}, args...)); line != "ready\n" {
		ts.Fatalf("bridge run said %q", line)
	}
}

// startdemo: bridge demo --keep --json; its line goes into the file demo.json.
func cmdStartDemo(ts *testscript.TestScript, neg bool, args []string) {
	line := launch(ts, []string{"demo", "--keep", "--json"})
	ts.Check(os.WriteFile(ts.MkAbs("demo.json"), []byte(line), 0o600))
}

// launch starts a service in this home, and gives the first line that it prints.
func launch(ts *testscript.TestScript, args []string) string {
	path := filepath.Join(filepath.SplitList(ts.Getenv("PATH"))[0], "bridge")
	cmd := exec.Command(path, args...)
	cmd.Env, cmd.Dir = scriptEnv(ts), ts.MkAbs(".")
	stderr := &bytes.Buffer{}
	cmd.Stderr = stderr
	stdout, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		_ = cmd.Wait()
		ts.Fatalf("bridge %v said %q: %v\n%s", args, line, err, stderr)
	}
	benchOf(ts).services[ts.Getenv("MAILBRIDGE_HOME")] = cmd
	return line
}

func scriptEnv(ts *testscript.TestScript) []string {
	env := []string{"PATH=" + ts.Getenv("PATH"), "HOME=" + ts.Getenv("HOME"), "TMPDIR=" + ts.Getenv("TMPDIR"), "MAILBRIDGE_HOME=" + ts.Getenv("MAILBRIDGE_HOME")}
	for _, s := range services {
		env = append(env, s.variable+"="+ts.Getenv(s.variable))
	}
	return env
}

// halt [-9]: SIGTERM to the service of this home; it ends well. Or SIGKILL.
func cmdHalt(ts *testscript.TestScript, neg bool, args []string) {
	b, home := benchOf(ts), ts.Getenv("MAILBRIDGE_HOME")
	cmd := b.services[home]
	if cmd == nil {
		ts.Fatalf("no service runs in %s", home)
	}
	delete(b.services, home)
	if len(args) > 0 && args[0] == "-9" {
		ts.Check(cmd.Process.Kill())
		_ = cmd.Wait()
		return
	}
	ts.Check(cmd.Process.Signal(syscall.SIGTERM))
	if err := cmd.Wait(); err != nil {
		ts.Fatalf("the service ended with %v\n%s", err, cmd.Stderr)
	}
}

// exit CODE COMMAND…: the command ends with that code; what it says on stderr is at most
// three lines and begins with its name.
func cmdExit(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
	said := ts.ReadFile("stderr")
	if want != 0 && (!strings.HasPrefix(said, "bridge: ") || strings.Count(said, "\n") > 3) {
		ts.Fatalf("stderr is no clear error: %q", said)
	}
}

// value finds PATH (names and numbers with dots) in the JSON on stdout.
func value(ts *testscript.TestScript, path string) string {
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &v))
	for key := range strings.SplitSeq(path, ".") {
		switch node := v.(type) {
		case map[string]any:
			member, ok := node[key]
			if !ok {
				ts.Fatalf("no %s in %v", key, node)
			}
			v = member
		case []any:
			i, err := strconv.Atoi(key)
			if key == "len" {
				return strconv.Itoa(len(node))
			}
			if err != nil || i >= len(node) {
				ts.Fatalf("no element %s in %v", key, node)
			}
			v = node[i]
		default:
			ts.Fatalf("no %s in %v", key, node)
		}
	}
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v)
	ts.Check(err)
	return string(b)
}

// json PATH VALUE: the JSON on stdout holds it.
func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	if got := value(ts, args[0]); (got == args[1]) == neg {
		ts.Fatalf("%s is %q", args[0], got)
	}
}

// untilWait is longer than anything that the two ends of a script do takes.
const untilWait = 60 * time.Second

// until PATH VALUE COMMAND…: runs the command again and again, until the JSON on its stdout
// holds the value: what somebody else's bridge does takes its time.
func cmdUntil(ts *testscript.TestScript, neg bool, args []string) {
	for end := time.Now().Add(untilWait); ; time.Sleep(50 * time.Millisecond) {
		ts.Check(ts.Exec(args[2], args[3:]...))
		got := value(ts, args[0])
		if got == args[1] {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%s stays %q", args[0], got)
		}
	}
}

// setjson NAME PATH: into an environment variable.
func cmdSetJSON(ts *testscript.TestScript, neg bool, args []string) {
	ts.Setenv(args[0], value(ts, args[1]))
}

// oneline: stdout is a single line.
func cmdOneLine(ts *testscript.TestScript, neg bool, args []string) {
	if out := ts.ReadFile("stdout"); strings.Count(out, "\n") != 1 {
		ts.Fatalf("stdout is %q", out)
	}
}

// modes DIR: directories are 0700, files 0600, the socket too.
func cmdModes(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if e.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			return fmt.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	}))
}

// absent DIR WORD…: no file below DIR holds one of the words.
func cmdAbsent(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(filepath.WalkDir(ts.MkAbs(args[0]), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		for _, word := range args[1:] {
			if bytes.Contains(content, []byte(word)) {
				return fmt.Errorf("%s holds %q", path, word)
			}
		}
		return err
	}))
}

// provider down | up | deliver ADDRESS FILE
func cmdProvider(ts *testscript.TestScript, neg bool, args []string) {
	p := benchOf(ts).provider
	switch args[0] {
	case "down":
		p.Down()
	case "up":
		ts.Check(p.Up())
	case "deliver":
		ts.Check(p.Deliver(args[1], []byte(strings.ReplaceAll(ts.ReadFile(args[2]), "\n", "\r\n"))))
	}
}

// imap HOST PORT USER PASSWORD: log in without TLS, list, select INBOX. With ! the login is
// refused, and the reply goes into the variable REPLY.
func cmdIMAP(ts *testscript.TestScript, neg bool, args []string) {
	conn, err := textproto.Dial("tcp", net.JoinHostPort(args[0], args[1]))
	ts.Check(err)
	defer conn.Close()
	greeting, err := conn.ReadLine()
	ts.Check(err)
	if !strings.HasPrefix(greeting, "* OK ") {
		ts.Fatalf("greeting %q", greeting)
	}
	reply := imapCommand(ts, conn, fmt.Sprintf("LOGIN %q %q", args[2], args[3]))
	ts.Setenv("REPLY", reply)
	if ok := strings.HasPrefix(reply, "OK "); ok == neg {
		ts.Fatalf("LOGIN: %s", reply)
	}
	if neg {
		return
	}
	for _, command := range []string{`LIST "" *`, "SELECT INBOX", "LOGOUT"} {
		if reply := imapCommand(ts, conn, command); !strings.HasPrefix(reply, "OK ") {
			ts.Fatalf("%s: %s", command, reply)
		}
	}
}

func imapCommand(ts *testscript.TestScript, conn *textproto.Conn, command string) string {
	ts.Check(conn.PrintfLine("a %s", command))
	for {
		line, err := conn.ReadLine()
		ts.Check(err)
		if reply, ok := strings.CutPrefix(line, "a "); ok {
			return reply
		}
	}
}

// smtp HOST PORT USER PASSWORD: log in without TLS. With ! the login is refused.
func cmdSMTP(ts *testscript.TestScript, neg bool, args []string) {
	c, err := smtp.Dial(net.JoinHostPort(args[0], args[1]))
	ts.Check(err)
	defer c.Close()
	if err := c.Auth(smtp.PlainAuth("", args[2], args[3], args[0])); (err != nil) != neg {
		ts.Fatalf("AUTH: %v", err)
	}
}

// busy NAME: another program listens on a port; its address is put into the variable.
func cmdBusy(ts *testscript.TestScript, neg bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}

// empty DIR: nothing is in it.
func cmdEmpty(ts *testscript.TestScript, neg bool, args []string) {
	entries, err := os.ReadDir(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(entries) > 0 {
		ts.Fatalf("%s holds %v", args[0], entries)
	}
}
