package web

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type echoArgs struct {
	Text string `json:"text"`
}

var errPlain = errors.New("plain trouble")

func table() *Table {
	t := NewTable(func(err error) *Error {
		if errors.Is(err, errPlain) {
			return &Error{Exit: 74, Text: "classified"}
		}
		return nil
	})
	Handle(t, "echo", func(_ context.Context, a echoArgs) (echoArgs, error) { return a, nil })
	Handle(t, "refuse", func(context.Context, echoArgs) (echoArgs, error) {
		return echoArgs{}, &Error{Exit: 65, Text: "not an invite\nask for another"}
	})
	Handle(t, "plain", func(context.Context, echoArgs) (echoArgs, error) { return echoArgs{}, errPlain })
	Handle(t, "other", func(context.Context, echoArgs) (echoArgs, error) { return echoArgs{}, errors.New("boom") })
	Handle(t, "bytes", func(context.Context, echoArgs) ([]byte, error) { return []byte("a\x00\xffb"), nil })
	return t
}

// start serves the table on a socket in dir.
func start(t *testing.T, tab *Table, path string) *Client {
	t.Helper()
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(tab)
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("socket is still there: %v", err)
		}
	})
	c, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCall runs every case in this process and over the socket: both are one behaviour.
func TestCall(t *testing.T) {
	t.Parallel()
	tab := table()
	callers := map[string]Caller{"table": tab, "socket": start(t, tab, filepath.Join(t.TempDir(), "s"))}
	cases := []struct {
		command string
		args    any
		exit    int
		text    string
	}{
		{"echo", echoArgs{"hällo"}, 0, "hällo"},
		{"echo", map[string]int{"nonsense": 1}, 64, "bad arguments"},
		{"echo", "not an object", 64, "bad arguments"},
		{"refuse", echoArgs{}, 65, "not an invite\nask for another"},
		{"plain", echoArgs{}, 74, "classified"},
		{"other", echoArgs{}, 70, "boom"},
		{"nowhere", echoArgs{}, 64, "does not know"},
	}
	for how, c := range callers {
		for _, tc := range cases {
			var reply echoArgs
			err := c.Call(t.Context(), tc.command, tc.args, &reply)
			exit, text := 0, reply.Text
			if e, ok := errors.AsType[*Error](err); ok {
				exit, text = e.Exit, e.Text
			} else if err != nil {
				t.Errorf("%s %s: %v", how, tc.command, err)
			}
			if exit != tc.exit || !strings.Contains(text, tc.text) {
				t.Errorf("%s %s: got %d %q, want %d %q", how, tc.command, exit, text, tc.exit, tc.text)
			}
		}
		var b []byte
		if err := c.Call(t.Context(), "bytes", echoArgs{}, &b); err != nil || string(b) != "a\x00\xffb" {
			t.Errorf("%s bytes: %q %v", how, b, err)
		}
	}
}

func TestCallerGoesAway(t *testing.T) {
	t.Parallel()
	tab := NewTable(nil)
	entered, ended := make(chan struct{}), make(chan struct{})
	Handle(tab, "wait", func(ctx context.Context, _ struct{}) (struct{}, error) {
		close(entered)
		<-ctx.Done()
		close(ended)
		return struct{}{}, ctx.Err()
	})
	c := start(t, tab, filepath.Join(t.TempDir(), "s"))
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-entered; cancel() }()
	if err := c.Call(ctx, "wait", struct{}{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want cancelled", err)
	}
	<-ended // the command is told that nobody waits for it
}

func TestCloseEndsCommands(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	tab := NewTable(nil)
	entered := make(chan struct{})
	Handle(tab, "wait", func(ctx context.Context, _ struct{}) (struct{}, error) {
		close(entered)
		<-ctx.Done()
		return struct{}{}, &Error{Exit: 75, Text: "stopping"}
	})
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(tab)
	go s.Serve(l)
	c, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	go func() {
		<-entered
		s.Close()
		close(closed)
	}()
	if e, ok := errors.AsType[*Error](c.Call(t.Context(), "wait", struct{}{}, nil)); !ok || e.Exit != 75 {
		t.Errorf("got %v, want the command's own refusal", e)
	}
	<-closed
	if _, err := Dial(t.Context(), path); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after the end: %v", err)
	}
}

func TestSocket(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 40))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "bridge.sock")
	if _, err := Dial(t.Context(), path); !errors.Is(err, ErrNotRunning) {
		t.Fatalf("nobody there: %v", err)
	}
	// A killed bridge leaves its socket behind.
	left, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	left.(*listener).Listener.Close()
	if _, err := Dial(t.Context(), path); !errors.Is(err, ErrNotRunning) {
		t.Fatalf("stale socket: %v", err)
	}
	c := start(t, table(), path)
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v %v, want 0600", info.Mode(), err)
	}
	var reply echoArgs
	if err := c.Call(t.Context(), "echo", echoArgs{"x"}, &reply); err != nil || reply.Text != "x" {
		t.Errorf("%q %v", reply.Text, err)
	}
}

// TestOnlyCommands shows that nothing but POST /v1/NAME within the limits is served.
func TestOnlyCommands(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "s")
	start(t, table(), path)
	cases := []struct{ request, status string }{
		{"GET /v1/echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "404"},
		{"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", "404"},
		{"POST /v1/echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", "200"},
		{"POST /v1/echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1048600\r\n\r\n" + strings.Repeat(" ", 1048600), "422"},
	}
	for _, tc := range cases {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		go conn.Write([]byte(tc.request))
		b := make([]byte, 12)
		if _, err := conn.Read(b); err != nil || string(b) != "HTTP/1.1 "+tc.status {
			t.Errorf("%.20q: %q %v, want %s", tc.request, b, err, tc.status)
		}
		conn.Close()
	}
}
