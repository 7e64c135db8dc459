package main

import (
	"net"
	"strings"
	"testing"

	"rsc.io/qr"
)

func TestWanted(t *testing.T) {
	for _, s := range services {
		t.Setenv(s.variable, "127.0.0.1:0")
	}
	t.Setenv(pageVariable, "")
	cases := []struct {
		name  string
		flags listenFlags
		file  listenConfig
		exit  int
		imap  string
	}{
		{"environment", listenFlags{}, listenConfig{IMAP: new("127.0.0.1:9")}, 0, "127.0.0.1:0"},
		{"flag", listenFlags{IMAPListen: new(":7")}, listenConfig{}, 0, ":7"},
		{"off", listenFlags{IMAPListen: new("")}, listenConfig{}, 0, ""},
		{"no port", listenFlags{IMAPListen: new("127.0.0.1")}, listenConfig{}, exitUsage, ""},
		{"no number", listenFlags{IMAPListen: new("127.0.0.1:imap")}, listenConfig{}, exitUsage, ""},
		{"port too large", listenFlags{IMAPListen: new("127.0.0.1:65536")}, listenConfig{}, exitUsage, ""},
		{"cleartext for all", listenFlags{IMAPListen: new("0.0.0.0:143")}, listenConfig{}, exitUsage, ""},
		{"cleartext for all, IPv6", listenFlags{SMTPListen: new("[::]:25")}, listenConfig{}, exitUsage, ""},
		{"TLS for all", listenFlags{IMAPSListen: new("0.0.0.0:993")}, listenConfig{}, 0, "127.0.0.1:0"},
		{"a page", listenFlags{PageListen: new("127.0.0.1:8143")}, listenConfig{}, exitUsage, ""},
		{"no page", listenFlags{PageListen: new("")}, listenConfig{}, 0, "127.0.0.1:0"},
		{"a page in the file", listenFlags{}, listenConfig{Page: new("127.0.0.1:8143")}, 0, "127.0.0.1:0"},
	}
	for _, tc := range cases {
		got, err := tc.flags.wanted(tc.file)
		if exitOf(err) != tc.exit || got["imap"] != tc.imap {
			t.Errorf("%s: %v %v", tc.name, got, err)
		}
	}
}

func TestListen(t *testing.T) {
	t.Parallel()
	imap := services[0]
	list, err := imap.listen(":0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		for _, l := range list {
			l.Close()
		}
	}()
	for _, l := range list {
		addr := l.Addr().(*net.TCPAddr)
		if !addr.IP.IsLoopback() || addr.Port != list[0].Addr().(*net.TCPAddr).Port {
			t.Errorf("listens on %v", addr)
		}
	}
	_, err = imap.listen(list[0].Addr().String())
	if exitOf(err) != exitUnavailable || !strings.Contains(err.Error(), "--imap-listen") {
		t.Errorf("a busy port: %v", err)
	}
	if len(list) == 2 {
		// Only ::1 is busy: a client that connects to "localhost" would reach another program.
		list[0].Close()
		if _, err := imap.listen(list[0].Addr().String()); exitOf(err) != exitUnavailable {
			t.Errorf("a busy port on ::1: %v", err)
		}
	}
}

func TestClientEndpoint(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ address, want string }{
		{"127.0.0.1:1144", "127.0.0.1 port 1144, STARTTLS or none"},
		{"0.0.0.0:1144", "127.0.0.1 port 1144, STARTTLS or none"},
		{":1144", "127.0.0.1 port 1144, STARTTLS or none"},
		{"[::1]:1144", "::1 port 1144, STARTTLS or none"},
		{"", ""}, {":0", ""}, {"127.0.0.1:0", ""},
	} {
		got := ""
		if e := clientEndpoint(tc.address, "starttls"); e != nil {
			got = e.text()
		}
		if got != tc.want {
			t.Errorf("%q: %q, want %q", tc.address, got, tc.want)
		}
	}
}

// TestDrawQR reads the drawing back, module by module.
func TestDrawQR(t *testing.T) {
	t.Parallel()
	code, err := qrCode("https://i.delta.chat/#" + strings.Repeat("A1", 80))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(drawQR(code, false), "\n"), "\n")
	black := func(x, y int) bool {
		x, y = x+quietZone, y+quietZone
		switch []rune(lines[y/2])[x] {
		case '█':
			return true
		case '▀':
			return y%2 == 0
		case '▄':
			return y%2 == 1
		}
		return false
	}
	if want := (code.Size + 2*quietZone + 1) / 2; len(lines) != want {
		t.Fatalf("%d lines, want %d", len(lines), want)
	}
	for y := -quietZone; y < code.Size+quietZone; y++ {
		for x := -quietZone; x < code.Size+quietZone; x++ {
			if black(x, y) != inside(code, x, y) {
				t.Fatalf("module %d,%d", x, y)
			}
		}
	}
	for line := range strings.Lines(drawQR(code, true)) {
		if !strings.HasPrefix(line, "\x1b[30;107m") || !strings.HasSuffix(line, "\x1b[0m\n") {
			t.Fatalf("%q", line)
		}
	}
}

func inside(code *qr.Code, x, y int) bool {
	return x >= 0 && y >= 0 && x < code.Size && y < code.Size && code.Black(x, y)
}
