package mirror

import (
	"bytes"
	"fmt"
	"testing"

	"mailbridge/internal/provider"
	"mailbridge/mailbox"
)

// TestReadWhatCameLater: the connection that bodies are fetched on has the mailbox open
// already when more mail arrives.
func TestReadWhatCameLater(t *testing.T) {
	t.Parallel()
	b := newBed(t, provider.Options{}, Options{})
	b.start()
	b.synced()
	for n := 1; n <= 3; n++ {
		want := plain(fmt.Sprint("message ", n))
		b.deliver("INBOX", want)
		b.eventually("it arrives", func() bool { return len(b.list("INBOX")) == n })
		got, _, err := b.m.Bytes(t.Context(), b.id("INBOX"), mailbox.UID(n))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("message %d: %q, %v", n, got, err)
		}
	}
}
