package mirror

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"mailbridge/db"
	"mailbridge/internal/provider"
	"mailbridge/mailbox"
)

// A change is done at the provider exactly once and the local UIDs stay, wherever the
// connection or the process ends: before the command happens, after it happened and before
// the answer, each with the same process going on or a new one.

// crash says where things end.
type crash struct {
	effect  provider.Effect
	restart bool // the process ends, too
}

var crashes = map[string]crash{
	"lost before":    {provider.CutBefore, false},
	"lost after":     {provider.CutAfter, false},
	"killed before":  {provider.CutBefore, true},
	"killed after":   {provider.CutAfter, true},
	"killed between": {provider.Hold, true}, // the command happens when the process is dead
}

// change is something that a client does, and what both sides must look like in the end.
type change struct {
	commands []string // at each of which things may end
	without  []string
	do       func(b *bed)
	local    map[string][]string
	upstream map[string][]string
}

var changes = map[string]change{
	"store": {
		commands: []string{"STORE"},
		do:       func(b *bed) { b.store("INBOX", mailbox.StoreAdd, `\Seen`, 1, 3) },
		local:    map[string][]string{"INBOX": {`1 one \Seen`, "2 two", `3 view of open three $Encrypted \Seen`}},
		upstream: map[string][]string{"INBOX": {`one \Seen`, `open three \Seen`, "two"}},
	},
	"expunge": {
		commands: []string{"STORE", "EXPUNGE"},
		do: func(b *bed) {
			b.store("INBOX", mailbox.StoreAdd, `\Deleted`, 1, 3)
			b.no(b.m.Expunge(b.t.Context(), b.id("INBOX"), []mailbox.UID{1, 3}))
		},
		local:    map[string][]string{"INBOX": {"2 two"}},
		upstream: map[string][]string{"INBOX": {"two"}},
	},
	"move": {
		commands: []string{"STATUS", "MOVE"},
		do:       moveBoth,
		local:    map[string][]string{"INBOX": {"2 two"}, "Junk": {"1 one", "2 view of open three $Encrypted"}},
		upstream: map[string][]string{"INBOX": {"two"}, "Junk": {"one", "open three"}},
	},
	"move by copy": {
		commands: []string{"COPY", "STORE", "EXPUNGE"},
		without:  []string{"MOVE"},
		do:       moveBoth,
		local:    map[string][]string{"INBOX": {"2 two"}, "Junk": {"1 one", "2 view of open three $Encrypted"}},
		upstream: map[string][]string{"INBOX": {"two"}, "Junk": {"one", "open three"}},
	},
	"append": {
		commands: []string{"STATUS", "APPEND"},
		do: func(b *bed) {
			b.add(Local{Mailbox: "Drafts", Kind: Sealed, View: plain("draft"), Wire: sealed("open draft")})
			b.add(Local{Mailbox: "Drafts", Wire: plain("given"), Flags: mailbox.NewFlags(mailbox.Seen)})
		},
		local:    map[string][]string{"Drafts": {"1 draft", `2 given \Seen`}},
		upstream: map[string][]string{"Drafts": {"open draft", `given \Seen`}},
	},
	"append without UIDPLUS": {
		commands: []string{"APPEND", "SELECT"},
		without:  []string{"UIDPLUS"},
		do: func(b *bed) {
			b.add(Local{Mailbox: "Drafts", Kind: Sealed, View: plain("draft"), Wire: sealed("open draft")})
		},
		local:    map[string][]string{"Drafts": {"1 draft"}},
		upstream: map[string][]string{"Drafts": {"open draft"}},
	},
	"save a draft again": {
		commands: []string{"APPEND"},
		do: func(b *bed) {
			b.add(Local{Mailbox: "Drafts", Kind: Sealed, View: plain("first"), Wire: sealed("open first")})
			b.add(Local{Mailbox: "Drafts", Kind: Sealed, View: plain("second"), Wire: sealed("open second")})
			b.store("Drafts", mailbox.StoreAdd, `\Deleted`, 1)
			b.no(b.m.Expunge(b.t.Context(), b.id("Drafts"), []mailbox.UID{1}))
		},
		local:    map[string][]string{"Drafts": {"2 second"}},
		upstream: map[string][]string{"Drafts": {"open second"}},
	},
	"consume": {
		commands: []string{"STATUS", "MOVE"},
		do: func(b *bed) {
			b.deliver("INBOX", sealed("consume four"))
			b.m.Wake()
		},
		local:    map[string][]string{"INBOX": {"1 one", "2 two", "3 view of open three $Encrypted"}, "Trash": nil},
		upstream: map[string][]string{"INBOX": {"one", "open three", "two"}, "Trash": {"consume four"}},
	},
}

func moveBoth(b *bed) {
	moved, err := b.m.Move(b.t.Context(), b.id("INBOX"), []mailbox.UID{1, 3}, "Junk")
	b.no(err)
	if !slices.Equal(moved.Dest, []mailbox.UID{1, 2}) {
		b.t.Errorf("Move = %+v", moved)
	}
}

func TestCrash(t *testing.T) {
	t.Parallel()
	for what, c := range changes {
		for _, command := range c.commands {
			for how, crash := range crashes {
				t.Run(fmt.Sprintf("%s/%s at %s", what, how, command), func(t *testing.T) {
					t.Parallel()
					c.run(t, command, crash)
				})
			}
		}
	}
}

func (c change) run(t *testing.T, command string, crash crash) {
	b := newBed(t, provider.Options{Without: c.without}, Options{PollInterval: time.Hour})
	b.deliver("INBOX", plain("one"))
	b.deliver("INBOX", sealed("open three"))
	b.deliver("INBOX", plain("two"))
	b.start()
	b.synced()
	fault := b.p.Inject(provider.Fault{Command: command, Times: 1, Effect: crash.effect})
	defer fault.Release()
	c.do(b)
	select {
	case <-fault.Reached():
	case <-time.After(patience):
		t.Fatalf("%s was never sent", command)
	}
	if crash.restart {
		b.stop()
		fault.Release()
		b.start()
	}
	b.synced()
	b.eventually("the provider has heard of everything", func() bool { return b.waiting() == 0 })
	b.synced()
	for box, want := range c.local {
		b.want(box, want...)
	}
	for box, want := range c.upstream {
		b.wantUpstream(box, want...)
	}
	b.wantNotes(0)
	if got := b.oracle.subjects(); len(got) != len(slices.Compact(slices.Sorted(slices.Values(got)))) {
		t.Errorf("looked at twice: %q", got)
	}
}

// waiting is how many changes the provider has still to hear of.
func (b *bed) waiting() int {
	n := 0
	b.no(b.db.View(b.t.Context(), func(tx *db.Tx) (err error) {
		n, _, err = tx.JournalSize(time.Now())
		return err
	}))
	return n
}

// TestRequestCrash: COPY, CREATE, RENAME and DELETE answer for what really happened.
func TestRequestCrash(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		command string
		do      func(b *bed) error
		done    func(b *bed) bool
	}{
		{"CREATE", func(b *bed) error { return b.m.Create(b.t.Context(), "New") },
			func(b *bed) bool { return slices.Contains(b.p.Mailboxes(user), "New") }},
		{"RENAME", func(b *bed) error { return b.m.Rename(b.t.Context(), "Junk", "New") },
			func(b *bed) bool { return slices.Contains(b.p.Mailboxes(user), "New") }},
		{"DELETE", func(b *bed) error { return b.m.Delete(b.t.Context(), "Junk") },
			func(b *bed) bool { return !slices.Contains(b.p.Mailboxes(user), "Junk") }},
		{"COPY", func(b *bed) error {
			_, err := b.m.Copy(b.t.Context(), b.id("INBOX"), []mailbox.UID{1, 2}, "Junk")
			return err
		}, func(b *bed) bool { return len(b.p.Messages(user, "Junk")) == 2 }},
	} {
		for name, effect := range map[string]provider.Effect{"before": provider.CutBefore, "after": provider.CutAfter, "refused": provider.Refuse} {
			t.Run(c.command+" "+name, func(t *testing.T) {
				t.Parallel()
				b := newBed(t, provider.Options{}, Options{})
				b.deliver("INBOX", plain("one"))
				b.deliver("INBOX", sealed("open two"))
				b.start()
				b.synced()
				b.p.Inject(provider.Fault{Command: c.command, Times: 1, Effect: effect})
				err := c.do(b)
				if happened := effect == provider.CutAfter; happened != (err == nil) || happened != c.done(b) {
					t.Errorf("%s: %v; at the provider: %v", c.command, err, c.done(b))
				}
				b.synced()
				if c.command == "COPY" && err == nil {
					b.want("Junk", "1 one", "2 view of open two $Encrypted")
				}
			})
		}
	}
}
