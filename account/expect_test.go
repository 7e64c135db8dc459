package account_test

import (
	"path/filepath"
	"testing"
	"time"

	"mailbridge/account"
	"mailbridge/internal/provider"
)

// TestHandshakeAsksForItsAnswers: a provider that tells nothing of itself is asked, once the first
// message of a handshake was seen. Nobody waits for the next look at everything.
func TestHandshakeAsksForItsAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{Without: []string{"IDLE"}})
	alice, bob := w.addSlow("alice"), w.addSlow("bob")
	invite, err := alice.Invite(t.Context(), account.InviteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	join, err := bob.Join(t.Context(), invite.Link, account.JoinOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.eventually("bob has asked", func() bool { return len(w.provider.Submissions()) == 1 })
	if err := alice.Synced(t.Context()); err != nil { // alice looks by herself once
		t.Fatal(err)
	}
	w.eventually("both are through", func() bool {
		j, err1 := bob.GetJoin(t.Context(), join.ID)
		c, err2 := alice.Contact(t.Context(), bob.addr)
		return err1 == nil && err2 == nil && j.State == account.JoinCompleted && c.Verified
	})
}

// addSlow adds an account that looks at its mailboxes once an hour.
func (w *world) addSlow(name string) *person {
	w.Helper()
	addr := name + "@" + domain
	w.provider.AddUser(addr, "pw-"+name)
	p := &person{w: w, dir: filepath.Join(w.TempDir(), name), addr: addr}
	o := w.options(p.dir)
	o.PollInterval = time.Hour
	a, err := account.Create(w.Context(), o, account.Settings{
		Address: addr, Name: name, CAFile: w.ca,
		IMAP: account.Server{Host: "127.0.0.1", Port: w.provider.IMAPSAddr().Port, TLS: "tls"},
		SMTP: account.Server{Host: "127.0.0.1", Port: w.provider.SMTPAddr().Port, TLS: "starttls"},
	}, "pw-"+name)
	if err != nil {
		w.Fatalf("create %s: %v", addr, err)
	}
	p.Account = a
	p.run()
	w.Cleanup(func() { p.end() })
	return p
}
