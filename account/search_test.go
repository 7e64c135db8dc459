package account_test

import (
	"context"
	"strings"
	"testing"

	"mailbridge/internal/provider"
	"mailbridge/mailbox"
)

// TestSearchTellsNoSecret: the provider is not asked for words that it has only as ciphertext.
func TestSearchTellsNoSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	asked := w.provider.Inject(provider.Fault{Command: "SEARCH", Effect: provider.Delay}) // by no time: it counts
	alice, bob := w.add("alice"), w.add("bob")
	w.shake(alice, bob)
	w.provider.AddUser("carol@"+domain, "x")
	w.provider.Watch("Heimlichkeit")
	alice.submit([]string{bob.addr}, letterTo(alice.addr, bob.addr, "s", "eine Heimlichkeit unter uns"))
	bob.wait(mailbox.Inbox, "Heimlichkeit")
	for _, body := range []string{"open talk about the weather", "more talk"} {
		msg := strings.ReplaceAll(letterTo("carol@"+domain, bob.addr, "plain", body), "\n", "\r\n")
		if err := w.provider.Deliver(bob.addr, []byte(msg)); err != nil {
			t.Fatal(err)
		}
	}
	bob.wait(mailbox.Inbox, "more talk")
	id, err := bob.Select(context.Background(), mailbox.Inbox, nil)
	if err != nil {
		t.Fatal(err)
	}
	var all []mailbox.UID
	for _, m := range bob.read(mailbox.Inbox) {
		all = append(all, m.UID)
	}
	for text, want := range map[string]int{"heimlichkeit": 1, "unter uns": 1, "TALK": 2, "weather": 1, "nowhere at all": 0} {
		found, err := bob.SearchText(context.Background(), id, all, mailbox.FieldText, text)
		if err != nil || len(found) != want {
			t.Errorf("%q: %v, %v", text, found, err)
		}
	}
	if asked.Hits() != 3 {
		t.Errorf("the provider was asked %d times", asked.Hits())
	}
}
