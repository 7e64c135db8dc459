package account_test

import (
	"fmt"
	"slices"
	"testing"

	"mailbridge/account"
	"mailbridge/internal/provider"
	"mailbridge/mailbox"
)

// TestJoinChatCrash: who joins a group or channel is in it, and is told once, wherever one of the
// two ends at the last two steps.
func TestJoinChatCrash(t *testing.T) {
	t.Parallel()
	points := []struct {
		role, command, arg string
		skip               int
	}{
		{"inviter", "DATA", "", 1}, {"inviter", "FETCH", "body", 1}, {"joiner", "DATA", "", 1}, {"joiner", "FETCH", "body", 1},
	}
	for _, kind := range []string{"group", "channel"} {
		for _, point := range points {
			for how, e := range ends {
				if e.code == 550 || e.code != 0 && point.command == "FETCH" {
					continue // that ends a handshake; nobody refuses to show a message
				}
				name := fmt.Sprintf("%s/%s %s at %s", kind, point.role, how, point.command)
				if !sampled(name) {
					continue
				}
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					w := newWorld(t, provider.Options{})
					alice, bob := w.add("alice"), w.add("bob")
					victim := alice
					if point.role == "joiner" {
						victim = bob
					}
					o := account.InviteOptions{Group: "News", Once: true}
					if kind == "group" {
						if _, err := alice.CreateGroup(t.Context(), "News"); err != nil {
							t.Fatal(err)
						}
					} else {
						o = account.InviteOptions{Channel: alice.createChannel("News").ID, Once: true}
					}
					settle := e.at(victim, point.command, point.arg, point.skip)
					join := w.begin(alice, bob, o)
					settle()
					if e.code != 0 {
						victim.synced()
						w.advance(learnt)
						victim.synced()
					}
					for range 2 {
						if j, err := bob.WaitJoin(t.Context(), join.ID); err != nil || j.State != account.JoinCompleted {
							t.Fatalf("%+v, %v", j, err)
						}
						alice.synced()
						bob.synced()
						bob.want(mailbox.Inbox, "", 1)
						bob.want(mailbox.Bridge, "You have joined the "+kind, 1)
						alice.want(mailbox.Inbox, "", 0)
						alice.want(mailbox.Bridge, "has joined the "+kind, 1)
						if kind == "group" {
							w.agree("alice bob", alice, bob)
						} else if !slices.Equal(alice.subscribers(), []string{bob.addr}) || !slices.Equal(alice.secrets(), bob.secrets()) {
							t.Errorf("%v", alice.subscribers())
						}
						victim.restart()
					}
				})
			}
		}
	}
}

// TestChannelCrash: when a subscriber is removed each who stays has the new secret and the one
// removed has not, wherever the owner or a subscriber ends.
func TestChannelCrash(t *testing.T) {
	t.Parallel()
	for _, point := range []struct{ command, arg string }{{"MAIL", ""}, {"DATA", ""}, {"FETCH", "body"}} {
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
				alice, bob, carol := w.add("alice"), w.add("bob"), w.add("carol")
				channel := alice.createChannel("News")
				w.subscribe(alice, channel.ID, bob, carol)
				before := alice.secrets()
				victim := alice
				if fetch {
					victim = bob
				}
				settle := e.at(victim, point.command, point.arg, 0)
				if _, err := alice.RemoveSubscriber(t.Context(), channel.ID, carol.addr); err != nil {
					t.Fatal(err)
				}
				settle()
				if e.code != 0 {
					victim.synced()
					w.advance(learnt)
					victim.synced()
				}
				w.eventually("bob has the new secret", func() bool { return slices.Equal(bob.secrets(), alice.secrets()) })
				carol.wait(mailbox.Inbox, "You were removed from the channel")
				victim.restart()
				for _, p := range []*person{alice, bob, carol} {
					w.eventually("nothing is queued", func() bool { return p.State(t.Context()).Queued == 0 })
					p.synced()
				}
				if now := alice.secrets(); len(now) != 2 || now[1] != before[0] || len(carol.secrets()) != 0 || carol.channel().Open {
					t.Errorf("%d secrets, carol has %d", len(now), len(carol.secrets()))
				}
				carol.want(mailbox.Inbox, "You were removed from the channel", 1)
				alice.submit([]string{alice.channel().Address}, letterTo(alice.addr, alice.channel().Address, "post", "after the removal"))
				w.isPost(bob.wait(mailbox.Inbox, "after the removal"), bob, alice, "News")
				carol.synced()
				bob.want(mailbox.Inbox, "", 2) // that it is in, and the post
				carol.want(mailbox.Inbox, "", 2)
				alice.want(mailbox.Inbox, "", 0)
			})
		}
	}
}
