// Package vectors holds mail that real Delta Chat engines exchanged, with the
// keys and secrets to open it. Only tests import it.
package vectors

import "testing"

// Scenario is one recorded conversation.
type Scenario struct {
	Name     string
	Users    map[string]User // by short name: alice, bob …
	Invites  []Invite
	Secrets  []string // passphrases: of handshakes, channels, setup messages
	Messages []Message
}

// User is one engine.
type User struct {
	Addr    string
	Version string
	Cert    []byte // armored public key, as exported
	Key     []byte // armored secret key, as exported
}

// Invite is a link that was used.
type Invite struct {
	By          string
	Link        string
	Fingerprint string
	Passphrase  string
}

// Message is one mail.
type Message struct {
	File      string
	From, To  string // short names
	MessageID string
	Raw       []byte
	Plain     []byte // the decrypted payload as another program opened it; nil if none
}

// Load reads all scenarios.
func Load(t testing.TB) []Scenario { return nil }

// Get reads one.
func Get(t testing.TB, name string) Scenario { return Scenario{} }
