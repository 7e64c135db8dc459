package main

import (
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

func TestForward(t *testing.T) {
	t.Parallel()
	parser, err := kong.New(&grammar{}, kong.Writers(io.Discard, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ args, want string }{
		{"contacts --json", "contacts --json"},
		{"--json contacts", "contacts --json"},
		{"--account a@b --json contact show x@y", "contact show --account a@b --json x@y"},
		{"--account=a@b contact show x@y", "contact show --account=a@b x@y"},
		{"--account contacts contacts", "contacts --account contacts"},
		{"--imap-listen :0 run --smtp-listen :0", "run --imap-listen :0 --smtp-listen :0"},
		{"--wait join -", "join --wait -"},
		{"--json check -- -odd@example.org", "check --json -- -odd@example.org"},
		{"account --json settings --account a@b", "account settings --json --account a@b"},
		{"--json contact --account a@b show x@y", "contact show --json --account a@b x@y"},
		{"account --help", "account --help"},
		{"--help", "--help"},
		{"--account", "--account"},
		{"- x", "- x"},
	} {
		if got := strings.Join(forward(parser.Model, strings.Fields(tc.args)), " "); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.args, got, tc.want)
		}
	}
}

func FuzzForward(f *testing.F) {
	parser, err := kong.New(&grammar{}, kong.Writers(io.Discard, io.Discard))
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{"", "--json contacts", "--account a account add b --imap x:1", "-- --", "- = -="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, " ")
		got := forward(parser.Model, args)
		slices.Sort(got)
		if slices.Sort(args); !slices.Equal(got, args) {
			t.Errorf("%q: something was lost or added", line)
		}
	})
}

// TestServer reads HOST:PORT of a provider's server.
func TestServer(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		address, mode string
		want          string
		exit          int
	}{
		{"imap.example.org:993", "", "imap.example.org 993 tls", 0},
		{"imap.example.org:143", "", "imap.example.org 143 starttls", 0},
		{"imap.example.org:143", "tls", "imap.example.org 143 tls", 0},
		{"[::1]:993", "starttls", "::1 993 starttls", 0},
		{"imap.example.org", "", "", exitUsage},
		{":993", "", "", exitUsage},
		{"imap.example.org:imap", "", "", exitUsage},
		{"imap.example.org:0", "", "", exitUsage},
		{"imap.example.org:70000", "", "", exitUsage},
		{"", "", "", exitUsage},
	} {
		s, err := parseServer("--imap", tc.address, tc.mode, 143)
		got := ""
		if err == nil {
			got = strings.Join([]string{s.Host, strconv.Itoa(s.Port), s.TLS}, " ")
		}
		if got != tc.want || exitOf(err) != tc.exit {
			t.Errorf("%s %s: %q %v", tc.address, tc.mode, got, err)
		}
	}
}
