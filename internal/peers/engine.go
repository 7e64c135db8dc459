//go:build linux

package peers

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The Delta Chat engines that the tests run against; install.sh names them too. Links of the
// old ones are without v=3, and they answer one with it in the legacy way.
const (
	EngineVersion = "2.62.0"
	OldEngine     = "2.33.0"
	OldestEngine  = "1.160.0"
)

// enginePath finds the engine where install.sh puts it: below the module's root, or in the
// directory that MAILBRIDGE_PEERS names.
func enginePath(version string) (string, error) {
	dir := os.Getenv("MAILBRIDGE_PEERS")
	if dir == "" {
		root, err := os.Getwd()
		if err != nil {
			return "", err
		}
		for !exists(filepath.Join(root, "go.mod")) && root != "/" {
			root = filepath.Dir(root)
		}
		dir = filepath.Join(root, ".peers")
	}
	path := filepath.Join(dir, "deltachat-"+version, "deltachat-rpc-server")
	if !exists(path) {
		return "", fmt.Errorf("no Delta Chat engine at %s; make install-peers installs it", path)
	}
	return path, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Event is one event of the engine.
type Event struct {
	Kind      string `json:"kind"`
	ChatID    int    `json:"chatId"`
	MsgID     int    `json:"msgId"`
	ContactID int    `json:"contactId"`
	Progress  int    `json:"progress"`
	Msg       string `json:"msg"`
}

// Engine is one Delta Chat engine with one account: a device of one user. Its methods fail
// the test when the engine refuses or does not answer in time.
type Engine struct {
	Addr, Name, Version string

	own string // fingerprint of the own key, once asked for

	t       testing.TB
	account int
	cmd     *exec.Cmd
	stdin   io.WriteCloser

	write sync.Mutex // one line at a time

	mu      sync.Mutex
	next    int
	waiting map[int]chan answer
	events  []Event
	news    chan struct{} // closed at each event
	ended   error
}

type answer struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

var errEnded = errors.New("the Delta Chat engine ended")

// DeltaChat starts an engine, logs it in at the bed and waits until it idles. It ends with the test.
// config holds pairs of key and value, see set_config of the engine.
func DeltaChat(t testing.TB, bed *Bed, addr, name string, config ...string) *Engine {
	t.Helper()
	return OldDeltaChat(t, EngineVersion, bed, addr, name, config...)
}

// OldDeltaChat is DeltaChat with an engine of another version.
func OldDeltaChat(t testing.TB, version string, bed *Bed, addr, name string, config ...string) *Engine {
	t.Helper()
	e := newEngine(t, version, addr, name)
	e.logIn(bed, config)
	return e
}

// newEngine starts an engine with an empty account.
func newEngine(t testing.TB, version, addr, name string) *Engine {
	t.Helper()
	path, err := enginePath(version)
	if err != nil {
		t.Fatal(err)
	}
	e := &Engine{Addr: addr, Name: name, Version: version, t: t, waiting: make(map[int]chan answer), news: make(chan struct{})}
	if err := e.start(path, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.stop)
	if err := e.Call("add_account", &e.account); err != nil {
		t.Fatal(err)
	}
	return e
}

// logIn tells the engine its provider, and waits until it idles there.
func (e *Engine) logIn(bed *Bed, config []string) {
	e.t.Helper()
	e.SetConfig("displayname", e.Name)
	e.rpc("add_or_update_transport", nil, map[string]any{
		"addr": e.Addr, "password": Password,
		"imapServer": "127.0.0.1", "imapPort": bed.IMAP, "imapSecurity": "starttls",
		"smtpServer": "127.0.0.1", "smtpPort": bed.Submission, "smtpSecurity": "starttls",
		// The engine has its own list of authorities and no way to add one.
		"certificateChecks": "acceptInvalidCertificates",
	})
	for pair := range slices.Chunk(config, 2) {
		e.SetConfig(pair[0], pair[1])
	}
	// What lies in INBOX when the engine first looks is old mail to it, and is not fetched.
	mark := e.Mark()
	e.rpc("start_io", nil)
	e.Wait("IDLE in INBOX", mark, func(ev Event) bool { return ev.Kind == "ImapInboxIdle" })
}

func (e *Engine) start(path, dir string) error {
	e.cmd = exec.Command(path)
	e.cmd.Env = append(os.Environ(), "DC_ACCOUNTS_PATH="+filepath.Join(dir, "accounts"), "RUST_LOG=error")
	stdin, err := e.cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := e.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := e.cmd.Start(); err != nil {
		return err
	}
	e.stdin = stdin
	go e.read(stdout)
	go e.poll()
	return nil
}

// stop ends the engine, which does so when its input ends.
func (e *Engine) stop() {
	if e.t.Failed() {
		e.mu.Lock()
		var log strings.Builder
		for _, event := range e.events[max(0, len(e.events)-60):] {
			fmt.Fprintf(&log, "%s chat %d message %d %s\n", event.Kind, event.ChatID, event.MsgID, event.Msg)
		}
		e.t.Logf("%s: last events:\n%s", e.Name, &log)
		e.mu.Unlock()
	}
	_ = e.stdin.Close()
	kill := time.AfterFunc(5*time.Second, func() { _ = e.cmd.Process.Kill() })
	defer kill.Stop()
	_ = e.cmd.Wait()
}

// read hands each answer to whom it belongs.
func (e *Engine) read(stdout io.Reader) {
	r := bufio.NewReader(stdout)
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			e.mu.Lock()
			e.ended = errEnded
			for _, ch := range e.waiting {
				close(ch)
			}
			e.waiting = nil
			e.mu.Unlock()
			return
		}
		var a answer
		if json.Unmarshal(line, &a) != nil {
			continue
		}
		e.mu.Lock()
		ch := e.waiting[a.ID]
		delete(e.waiting, a.ID)
		e.mu.Unlock()
		if ch != nil {
			ch <- a
		}
	}
}

// poll collects events until the engine ends.
func (e *Engine) poll() {
	for {
		batch, err := e.nextEvents()
		if err != nil {
			return
		}
		e.mu.Lock()
		e.events = append(e.events, batch...)
		close(e.news)
		e.news = make(chan struct{})
		e.mu.Unlock()
	}
}

// nextEvents waits for events; the old engines give one at a time.
func (e *Engine) nextEvents() ([]Event, error) {
	type item struct {
		Event Event `json:"event"`
	}
	if e.Version != EngineVersion {
		var one item
		err := e.call(context.Background(), "get_next_event", &one)
		return []Event{one.Event}, err
	}
	var batch []item
	if err := e.call(context.Background(), "get_next_event_batch", &batch); err != nil {
		return nil, err
	}
	events := make([]Event, len(batch))
	for i, item := range batch {
		events[i] = item.Event
	}
	return events, nil
}

// Call makes one JSON-RPC call with exactly these parameters.
func (e *Engine) Call(method string, result any, params ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return e.call(ctx, method, result, params...)
}

func (e *Engine) call(ctx context.Context, method string, result any, params ...any) error {
	if params == nil {
		params = []any{}
	}
	ch := make(chan answer, 1)
	e.mu.Lock()
	if e.ended != nil {
		e.mu.Unlock()
		return e.ended
	}
	e.next++
	id := e.next
	e.waiting[id] = ch
	e.mu.Unlock()
	line, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": id, "method": method, "params": params})
	if err != nil {
		return err
	}
	e.write.Lock()
	_, err = e.stdin.Write(append(line, '\n'))
	e.write.Unlock()
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	select {
	case a, ok := <-ch:
		if !ok {
			return errEnded
		}
		if a.Error != nil {
			return fmt.Errorf("%s: %s", method, a.Error.Message)
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(a.Result, result)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, ctx.Err())
	}
}

// rpc makes a call for the account.
func (e *Engine) rpc(method string, result any, params ...any) {
	e.t.Helper()
	if err := e.Call(method, result, append([]any{e.account}, params...)...); err != nil {
		e.t.Fatalf("%s: %v", e.Name, err)
	}
}

// Mark is a point in the stream of events.
type Mark int

// Mark gives the present end of the stream.
func (e *Engine) Mark() Mark {
	e.mu.Lock()
	defer e.mu.Unlock()
	return Mark(len(e.events))
}

// Wait gives the first event after mark that matches, and fails the test if there is none.
func (e *Engine) Wait(what string, mark Mark, match func(Event) bool) Event {
	e.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for i := int(mark); ; {
		e.mu.Lock()
		fresh, news := e.events[i:], e.news
		i = len(e.events)
		e.mu.Unlock()
		for _, event := range fresh {
			if match(event) {
				return event
			}
		}
		select {
		case <-news:
		case <-timeout.C:
			e.t.Fatalf("%s: no %s within %v", e.Name, what, patience)
		}
	}
}

// Until looks again after each event whether cond holds, and fails the test if it never does.
func (e *Engine) Until(what string, cond func() bool) {
	e.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		e.mu.Lock()
		news := e.news
		e.mu.Unlock()
		if cond() {
			return
		}
		select {
		case <-news:
		case <-time.After(time.Second): // not every change has an event in the old engines
		case <-timeout.C:
			e.t.Fatalf("%s: not within %v: %s", e.Name, patience, what)
		}
	}
}
