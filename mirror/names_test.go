package mirror

import (
	"testing"
)

func TestNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		up    string
		delim rune
		local string
	}{
		{"INBOX", '/', "INBOX"},
		{"Inbox", '.', "INBOX"},
		{"INBOX.Sent", '.', "INBOX/Sent"},
		{"a/b", '/', "a/b"},
		{"a/b", '.', "a=2Fb"},
		{"a/b", 0, "a=2Fb"},
		{"a=2Fb", '.', "a=3D2Fb"},
		{"a=3Db", '.', "a=3D3Db"},
		{"a=b", '.', "a=b"},
		{"Bridge", '/', "Bridge_"},
		{"bridge_", '/', "bridge__"},
		{"Bridge/x", '/', "Bridge_/x"},
		{"x/Bridge", '/', "x/Bridge"},
		{"Entwürfe & Ähnliches", '/', "Entwürfe & Ähnliches"},
	} {
		if got := localName(c.up, c.delim); got != c.local {
			t.Errorf("localName(%q, %q) = %q, want %q", c.up, c.delim, got, c.local)
		}
		want := c.up
		if c.up == "Inbox" {
			want = "INBOX"
		}
		if got, ok := upstreamName(c.local, c.delim); !ok || got != want {
			t.Errorf("upstreamName(%q, %q) = %q, %v, want %q", c.local, c.delim, got, ok, want)
		}
	}
}

func TestNamesTheProviderCannotHave(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		local string
		delim rune
	}{
		{"Bridge", '/'}, {"bridge", '/'}, {"Bridge/x", '/'}, {"a/b", 0}, {"a.b", '.'}, {"a//b", '/'}, {"", '/'}, {"/a", '/'}, {"a/", '/'},
	} {
		if up, ok := upstreamName(c.local, c.delim); ok {
			t.Errorf("upstreamName(%q, %q) = %q", c.local, c.delim, up)
		}
	}
}

func FuzzNames(f *testing.F) {
	for _, seed := range []string{"INBOX", "a/b", "a=2Fb", "=3D=2F", "Bridge__", "ä.ö", "bRiDgE/x"} {
		f.Add(seed, '.')
		f.Add(seed, '/')
	}
	f.Fuzz(func(t *testing.T, name string, delim rune) {
		local := localName(name, delim)
		up, ok := upstreamName(local, delim)
		if ok && up != name && local != localName(up, delim) {
			t.Errorf("%q → %q → %q", name, local, up)
		}
	})
}
