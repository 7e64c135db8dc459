package account_test

import (
	"context"
	"strings"
	"testing"

	"mailbridge/account"
	"mailbridge/internal/provider"
)

// TestJoinOfNobody joins an invite whose address the provider does not know: the join fails
// with what the provider said, instead of waiting for an answer that cannot come.
func TestJoinOfNobody(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	invite, err := alice.Invite(ctx, account.InviteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	j, err := bob.Join(ctx, strings.Replace(invite.Link, "a=alice", "a=nobody", 1), account.JoinOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if j, err = bob.WaitJoin(ctx, j.ID); err != nil {
		t.Fatal(err)
	}
	if j.State != account.JoinFailed || !strings.Contains(j.Reason, "nobody@"+domain+": 550") {
		t.Errorf("the join is %s: %q", j.State, j.Reason)
	}
	if j, err = bob.Join(ctx, invite.Link, account.JoinOptions{}); err != nil {
		t.Fatal(err)
	}
	if j, err = bob.WaitJoin(ctx, j.ID); err != nil || j.State != account.JoinCompleted {
		t.Errorf("another join is %s: %v", j.State, err)
	}
}
