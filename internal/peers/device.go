//go:build linux

package peers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// ExportKey writes the own secret key to a file, as the engine does it for its user: armored,
// without a passphrase. It gives the file's path.
func (e *Engine) ExportKey() string {
	e.t.Helper()
	dir := e.t.TempDir()
	e.rpc("export_self_keys", nil, dir, nil)
	entries, err := os.ReadDir(dir)
	if err != nil {
		e.t.Fatal(err)
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "private-key") {
			return filepath.Join(dir, entry.Name())
		}
	}
	e.t.Fatalf("%s exported no key, but %v", e.Name, entries)
	return ""
}

// DeltaChatWithKey is DeltaChat as a further device of a user whose secret key is in a file.
func DeltaChatWithKey(t testing.TB, bed *Bed, addr, name, keyFile string, config ...string) *Engine {
	t.Helper()
	e := newEngine(t, EngineVersion, addr, name)
	// The engine looks at the file's name for which key is to be the default.
	e.rpc("import_self_keys", nil, keyFile, nil)
	e.logIn(bed, config)
	return e
}

// Knows reports whether a link is known as one of the own, be it of another device.
func (e *Engine) Knows(link string) bool {
	e.t.Helper()
	var qr struct {
		Kind string `json:"kind"`
	}
	e.rpc("check_qr", &qr, link)
	return strings.HasPrefix(qr.Kind, "withdraw")
}

// Withdraw takes back an own link, and with it all links of the same chat.
func (e *Engine) Withdraw(link string) {
	e.t.Helper()
	e.rpc("set_config_from_qr", nil, link)
}

// Pause cuts the engine off from its provider, until Resume.
func (e *Engine) Pause() {
	e.t.Helper()
	e.rpc("stop_io", nil)
}

// Resume connects a paused engine again, and waits until it has fetched what came meanwhile.
func (e *Engine) Resume() {
	e.t.Helper()
	mark := e.Mark()
	e.rpc("start_io", nil)
	e.Wait("IDLE in INBOX", mark, func(ev Event) bool { return ev.Kind == "ImapInboxIdle" })
}
