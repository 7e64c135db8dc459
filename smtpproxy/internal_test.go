package smtpproxy

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestThrottle(t *testing.T) {
	t.Parallel()
	tr := newThrottle()
	now := time.Unix(1_000_000, 0)
	for i, want := range []time.Duration{0, 0, 0, 0, 500 * time.Millisecond, time.Second} {
		if got := tr.failed(now); got != want {
			t.Errorf("failure %d costs %v, want %v", i+1, got, want)
		}
	}
	for range 100 {
		tr.failed(now)
	}
	if got := tr.failed(now); got != tr.most {
		t.Errorf("many failures cost %v, want %v", got, tr.most)
	}
	if got := tr.failed(now.Add(time.Hour)); got != 0 {
		t.Errorf("an hour later a failure costs %v", got)
	}
}

func TestCanonicalLines(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                 "",
		"a\r\nb":           "a\r\nb",
		"a\nb\r\nc\n":      "a\r\nb\r\nc\r\n",
		"\n\n":             "\r\n\r\n",
		"a\rb\nno newline": "a\rb\r\nno newline",
		"a\r\r\nb\n":       "a\r\r\nb\r\n",
	} {
		if got := string(canonicalLines([]byte(in))); got != want {
			t.Errorf("canonicalLines(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzReplyText(f *testing.F) {
	f.Add("one\r\ntwo\nthree", true)
	f.Add(strings.Repeat("ü", 600)+"\x00", true)
	f.Add("\n\n  \nlast", false)
	f.Fuzz(func(t *testing.T, text string, smtputf8 bool) {
		got := replyText([3]int{5, 7, 1}, text, smtputf8)
		lines := strings.Split(got, "\n")
		if len(lines) > maxReplyLines || strings.ContainsAny(got, "\r\x00") {
			t.Fatalf("%q", got)
		}
		for _, line := range lines {
			if len("550-5.7.1 "+line+"\r\n") > 512+len("5.7.1 ") {
				t.Fatalf("line of %d octets", len(line))
			}
		}
		if utf8.ValidString(text) && !utf8.ValidString(got) {
			t.Fatalf("%q is not UTF-8", got)
		}
	})
}

func FuzzCheckAddress(f *testing.F) {
	for _, s := range []string{"bob@example.org", "a b@example.org", `a"b\@example.org`, "a@[IPv6:::1]", "@", "a@b@c", "jürgen@bücher.example"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := checkAddress(in)
		if err == nil && (strings.ContainsAny(got, "\r\n\x00") || len(got) > 2*maxAddress || !strings.Contains(got, "@")) {
			t.Fatalf("%q became %q", in, got)
		}
	})
}
