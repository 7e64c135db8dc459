package message

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestParseHeader(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, in string
		names    []string
		body     string
	}{
		{"CRLF", "A: 1\r\nB: 2\r\n 3\r\n\r\nbody", []string{"A", "B"}, "body"},
		{"LF", "A: 1\nB: 2\n\t3\n\nbody", []string{"A", "B"}, "body"},
		{"mbox line", "From x@y Sat Nov 21\nA: 1\n\nbody", []string{"", "A"}, "body"},
		{"junk line", "A: 1\njunk\nB: 2\n\nbody", []string{"A", "", "B"}, "body"},
		{"blank before the colon", "A \t: 1\n\nbody", []string{"A"}, "body"},
		{"blank in the name", "A B: 1\n\n", []string{""}, ""},
		{"8-bit name", "Ä: 1\n\n", []string{""}, ""},
		{"begins with a fold", " x: 1\nA: 1\n\nbody", []string{"", "A"}, "body"},
		{"line of blanks is a fold", "A: 1\n \t\nB: 2\n\nbody", []string{"A", "B"}, "body"},
		{"no empty line", "A: 1\nB: 2", []string{"A", "B"}, ""},
		{"no header", "\r\nbody", nil, "body"},
		{"empty", "", nil, ""},
	} {
		h, n := ParseHeader([]byte(tt.in))
		var names []string
		for _, f := range h.Fields {
			names = append(names, f.Name)
		}
		if !slices.Equal(names, tt.names) || tt.in[n:] != tt.body {
			t.Errorf("%s: names %q, body %q", tt.name, names, tt.in[n:])
		}
		if got := string(h.Bytes()); got != strings.TrimRight(tt.in[:n], "\r\n") && got+"\n" != tt.in[:n] && got+"\r\n" != tt.in[:n] {
			t.Errorf("%s: bytes %q", tt.name, got)
		}
	}
}

func TestParseHeaderBound(t *testing.T) {
	t.Parallel()
	in := []byte(strings.Repeat("A: 1\r\n", MaxHeader/6+1000) + "\r\nbody")
	h, n := ParseHeader(in)
	if string(in[n:]) != "body" {
		t.Errorf("body is %q", in[n:])
	}
	last := h.Fields[len(h.Fields)-1]
	if last.Name != "" || len(last.Raw) < 999*6 || !bytes.Equal(append(h.Bytes(), "\r\nbody"...), in) {
		t.Errorf("what is over the bound is a field %q of %d octets", last.Name, len(last.Raw))
	}
	count := 0
	EachField(in, func(name string, _, _ int) bool {
		if name == "A" {
			count++
		}
		return true
	})
	if count != MaxHeader/6+1000 {
		t.Errorf("EachField saw %d fields", count)
	}
}

func TestFieldValue(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"A: b\r\n":                 "b",
		"A:b":                      "b",
		"A:  b  \r\n c \r\n\t\r\n": "b   c",
		"A: b\n c\n":               "b c",
		"A: b\rc\x00d\r\n":         "b c d",
		"A:\r\n":                   "",
	} {
		if got := RawField([]byte(raw)).Value(); got != want {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
}

func TestNewField(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("word ", 40)
	for _, tt := range []struct{ name, value string }{
		{"Subject", "x"},
		{"Subject", ""},
		{"Subject", "a\r\nBcc: evil@example.org\x00\n"},
		{"Subject", long},
		{"Subject", "  a   b  "},
		{strings.Repeat("N", 100), long},
		{"References", strings.Repeat("<0123456789@example.org> ", 50)},
	} {
		f := NewField(tt.name, tt.value)
		raw := string(f.Raw)
		if !strings.HasSuffix(raw, "\r\n") || len(ParseFields(raw)) != 1 {
			t.Errorf("%s: %q is not one field", tt.name, raw)
		}
		want := unfold([]byte(tt.value))
		if got := f.Value(); got != want {
			t.Errorf("%s: value %q, want %q", tt.name, got, want)
		}
		for i, line := range strings.Split(raw, "\r\n") {
			if len(line) > foldAt && i > 0 {
				t.Errorf("%s: a line of %d octets", tt.name, len(line))
			}
		}
	}
	if f := NewField("Bad: name\r\n", "x"); string(f.Raw) != "Badname: x\r\n" {
		t.Errorf("bad name gives %q", f.Raw)
	}
}

// ParseFields gives the fields of a block without its empty line.
func ParseFields(s string) []Field {
	h, _ := ParseHeader([]byte(s + "\r\n"))
	return h.Fields
}

func TestNewFieldLongWord(t *testing.T) {
	t.Parallel()
	f := NewField("A", strings.Repeat("x", 5000))
	for _, line := range strings.Split(string(f.Raw), "\r\n") {
		if len(line) > 998 {
			t.Fatalf("a line of %d octets", len(line))
		}
	}
	if got := strings.ReplaceAll(f.Value(), " ", ""); len(got) != 5000 {
		t.Errorf("%d octets are left", len(got))
	}
}

func TestHeaderEdits(t *testing.T) {
	t.Parallel()
	h, _ := ParseHeader([]byte("A: 1\r\nB: 2\r\na: 3\r\n\r\n"))
	if got := h.Values("A"); !slices.Equal(got, []string{"1", "3"}) || h.Get("b") != "2" || !h.Has("A") || h.Has("C") || h.Get("C") != "" {
		t.Errorf("Values %q, Get %q", got, h.Get("b"))
	}
	before := string(h.Bytes())
	g := h
	g.Set(NewField("a", "4"))
	g.Set(NewField("C", "5"))
	g.Prepend(NewField("D", "6"))
	g.Add(NewField("B", "7"))
	if got := string(g.Bytes()); got != "D: 6\r\na: 4\r\nB: 2\r\nC: 5\r\nB: 7\r\n" {
		t.Errorf("after Set: %q", got)
	}
	g.Del("b")
	if got := string(g.Bytes()); got != "D: 6\r\na: 4\r\nC: 5\r\n" {
		t.Errorf("after Del: %q", got)
	}
	if string(h.Bytes()) != before {
		t.Errorf("the original became %q", h.Bytes())
	}
}

func TestCRLF(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", "a\n": "a\r\n", "\n\n": "\r\n\r\n", "a\r\nb\nc\r\r\n": "a\r\nb\r\nc\r\r\n", "a\rb": "a\rb",
	} {
		if got := string(CRLF([]byte(in))); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	b := []byte("a\r\n")
	if got := CRLF(b); &got[0] != &b[0] {
		t.Error("canonical bytes were copied")
	}
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte("From x\nA: 1\n 2\r\nB : =?utf-8?q?a?=\n\nbody"))
	f.Add([]byte(strings.Repeat("n", 3000) + ": value\n"))
	f.Add([]byte(strings.Repeat("n", 3000) + ":\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n := ParseHeader(b)
		rest := bytes.TrimPrefix(b, h.Bytes())
		if len(rest) != len(b)-len(h.Bytes()) || !bytes.HasSuffix(rest, b[n:]) || len(rest)-len(b[n:]) > 2 {
			t.Fatalf("fields %q and body %q are not %q", h.Bytes(), b[n:], b)
		}
		for _, f := range h.Fields {
			if strings.ContainsAny(f.Value()+f.Text(), "\r\n\x00") {
				t.Errorf("value %q", f.Value())
			}
			if f.Name != "" {
				g := NewField(f.Name, f.Value())
				if len(ParseFields(string(g.Raw))) != 1 {
					t.Errorf("%q is not one field", g.Raw)
				}
			}
		}
		ParseEnvelope(h)
	})
}
