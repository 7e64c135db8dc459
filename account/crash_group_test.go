package account_test

import (
	"fmt"
	"testing"

	"mailbridge/internal/provider"
	"mailbridge/mailbox"
)

// TestGroupCrash: a change of a group is made once, and told to all once, wherever who makes it or
// who hears of it ends.
func TestGroupCrash(t *testing.T) {
	t.Parallel()
	points := []struct{ command, arg string }{{"MAIL", ""}, {"DATA", ""}, {"FETCH", "body"}}
	for _, point := range points {
		for how, e := range ends {
			fetch := point.command == "FETCH"
			if e.code == 550 || e.code != 0 && fetch {
				continue // what is refused for good is not told; nobody refuses to show a message
			}
			name := fmt.Sprintf("%s at %s", how, point.command)
			if !sampled(name) {
				continue
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, provider.Options{})
				people := w.circle("alice", "bob", "carol")
				alice, bob, carol := people[0], people[1], people[2]
				victim := alice
				if fetch {
					victim = carol
				}
				settle := e.at(victim, point.command, point.arg, 0)
				alice.change("remove", bob.addr)
				settle()
				if e.code != 0 {
					victim.synced()
					w.advance(learnt)
					victim.synced()
				}
				carol.wait(mailbox.Inbox, bob.title()+" was removed by")
				bob.wait(mailbox.Inbox, "You were removed by")
				w.agree("alice carol", alice, carol)
				victim.restart()
				for _, p := range []*person{alice, bob, carol} {
					w.eventually("nothing is queued", func() bool { return p.State(t.Context()).Queued == 0 })
					p.synced()
				}
				carol.want(mailbox.Inbox, "was removed by", 1)
				bob.want(mailbox.Inbox, "You were removed by", 1)
				alice.want(mailbox.Inbox, "was removed by", 0)
				w.agree("alice carol", alice, carol)
				if bob.group().Member {
					t.Error("bob does not know")
				}
			})
		}
	}
}
