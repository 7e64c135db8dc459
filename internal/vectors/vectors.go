// Package vectors holds mail that real engines exchanged, with the keys and
// secrets to open it. Delta Chat 2.62, 2.33 and 1.160 and GnuPG 2.2 made it
// on a loopback mail server; the accounts live nowhere else. Only tests
// import it.
package vectors

import (
	"embed"
	"encoding/json"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"
)

//go:embed captures
var captures embed.FS

// index says what each message is: "== scenario", then lines of file name
// and "plain", "closed" (nobody in the scenario may open it) or "opened" with
// a "key" or a "secret" and the signer.
//
//go:embed index.txt
var index string

// Scenario is one recorded conversation.
type Scenario struct {
	Name     string
	Users    map[string]User // by short name: alice, bob …
	Invites  []Invite
	Secrets  []string // that open the symmetric messages: of handshakes, channels, setup messages
	Messages []Message
}

// User is one engine.
type User struct {
	Addr    string
	Version string // of Delta Chat, or of what else it was
	Cert    []byte // armored public key, as exported
	Key     []byte // armored secret key, as exported
}

// Invite is a link that was used.
type Invite struct {
	By          string // short name
	Link        string
	Fingerprint string
	Auth        string
	Passphrase  string // of the first two steps of SecureJoin v3
}

// Message is one mail.
type Message struct {
	File      string
	From, To  string // short names
	MessageID string // with angle brackets
	Raw       []byte // as it lay in the recipient's mailbox
	Plain     []byte // the payload as another program decrypted it; nil if it was not encrypted
	State     string // plain, closed, opened
	Symmetric bool   // opened with a secret, not with a key
	Signer    string // fingerprint of who signed what was opened; "" if nobody
}

// Load reads all scenarios.
func Load(t testing.TB) []Scenario {
	t.Helper()
	entries, err := captures.ReadDir("captures")
	if err != nil {
		t.Fatal(err)
	}
	var list []Scenario
	for _, e := range entries {
		list = append(list, Get(t, e.Name()))
	}
	return list
}

// Get reads one.
func Get(t testing.TB, name string) Scenario {
	t.Helper()
	dir := path.Join("captures", name)
	var m meta
	if err := json.Unmarshal(file(t, path.Join(dir, "meta.json")), &m); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	s := Scenario{Name: name, Users: users(t, dir, m)}
	for _, i := range m.Invites {
		s.Invites = append(s.Invites, Invite{By: i.By, Link: i.Link, Fingerprint: i.Fingerprint, Auth: i.S, Passphrase: i.Passphrase})
	}
	s.Secrets = m.secrets()
	states := stateOf(name)
	for _, msg := range m.Messages {
		stem := strings.TrimSuffix(msg.File, ".eml")
		out := Message{
			File: msg.File, From: msg.From, To: msg.To, MessageID: msg.MessageID,
			Raw:   file(t, path.Join(dir, msg.File)),
			Plain: optional(path.Join(dir, "plain", stem+".mime")),
		}
		out.describe(states[stem])
		s.Messages = append(s.Messages, out)
	}
	return s
}

// stateOf reads the part of the index on one scenario.
func stateOf(scenario string) map[string][]string {
	states := make(map[string][]string)
	at := ""
	for line := range strings.Lines(index) {
		f := strings.Fields(line)
		if f[0] == "==" {
			at = f[1]
		} else if at == scenario {
			states[f[0]] = f[1:]
		}
	}
	return states
}

func (m *Message) describe(f []string) {
	if len(f) > 0 {
		m.State = f[0]
	}
	if len(f) == 3 {
		m.Symmetric = f[1] == "secret"
		m.Signer = strings.TrimPrefix(f[2], "unsigned")
	}
}

// Message returns the mail in a file of the scenario.
func (s Scenario) Message(t testing.TB, file string) Message {
	t.Helper()
	i := slices.IndexFunc(s.Messages, func(m Message) bool { return m.File == file })
	if i < 0 {
		t.Fatalf("%s has no %s", s.Name, file)
	}
	return s.Messages[i]
}

// meta is meta.json as the recorder wrote it.
type meta struct {
	Users map[string]struct {
		Addr, Version string
	}
	Invites []struct {
		By, Link, Fingerprint, S string
		Passphrase               string `json:"v3_passphrase"`
	}
	Secrets map[string]struct {
		Channel [][2]any `json:"broadcast_secrets"` // id of the chat, secret
	}
	Notes struct {
		SetupCode string `json:"setup_code"`
	}
	Messages []struct {
		File, From, To string
		MessageID      string `json:"message_id"`
	}
}

// secrets gathers each secret once.
func (m meta) secrets() []string {
	var list []string
	add := func(s string) {
		if s != "" && !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	for _, i := range m.Invites {
		add(i.Passphrase)
	}
	for _, u := range m.Secrets {
		for _, c := range u.Channel {
			s, _ := c[1].(string)
			add(s)
		}
	}
	add(m.Notes.SetupCode)
	slices.Sort(list)
	return list
}

// users lists those who have an address or a key.
func users(t testing.TB, dir string, m meta) map[string]User {
	t.Helper()
	list := make(map[string]User)
	for name, u := range m.Users {
		list[name] = User{Addr: u.Addr, Version: u.Version}
	}
	keys, err := fs.Glob(captures, path.Join(dir, "keys", "*.asc"))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		name, kind, _ := strings.Cut(path.Base(k), ".")
		u := list[name]
		if u.Addr == "" {
			u.Addr = name + "@example.org"
		}
		if kind == "secret.asc" {
			u.Key = file(t, k)
		} else {
			u.Cert = file(t, k)
		}
		list[name] = u
	}
	return list
}

func file(t testing.TB, name string) []byte {
	t.Helper()
	b, err := captures.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func optional(name string) []byte {
	b, err := captures.ReadFile(name)
	if err != nil {
		return nil
	}
	return b
}
