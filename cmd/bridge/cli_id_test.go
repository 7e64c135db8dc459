package main

import (
	"slices"
	"testing"
)

// TestShieldIDs: ids that look like flags, and flags.
func TestShieldIDs(t *testing.T) {
	t.Parallel()
	const id = "-Oqpf3qeUAjttyA_uqgxB57W"
	args := []string{"group", "add", id, "--json", "-h", "bob@example.org", "--account", id[:23]}
	want := slices.Clone(args)
	want[2] = " " + id
	if got := shieldIDs(args); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
