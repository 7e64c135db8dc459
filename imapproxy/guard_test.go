package imapproxy

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// bufferConn is a connection whose client has sent everything and reads nothing.
type bufferConn struct {
	in  io.Reader
	out bytes.Buffer
}

func (c *bufferConn) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c *bufferConn) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *bufferConn) Close() error                     { return nil }
func (c *bufferConn) LocalAddr() net.Addr              { return &net.UnixAddr{} }
func (c *bufferConn) RemoteAddr() net.Addr             { return &net.UnixAddr{} }
func (c *bufferConn) SetDeadline(time.Time) error      { return nil }
func (c *bufferConn) SetReadDeadline(time.Time) error  { return nil }
func (c *bufferConn) SetWriteDeadline(time.Time) error { return nil }

func testGuard(input string, authenticated bool) (*guard, *bufferConn) {
	conn := &bufferConn{in: strings.NewReader(input)}
	g := newGuard(conn, New(newFakeAccount(), Options{}), false)
	g.authenticated.Store(authenticated)
	g.greeted = true
	return g, conn
}

// forwardedLines gives the lines that go-imap would read, each of which it answers with
// a tagged response.
func forwardedLines(t testing.TB, g *guard) []string {
	var lines []string
	buf := make([]byte, 4096)
	for {
		var line []byte
		for !bytes.HasSuffix(line, []byte("\n")) {
			n, err := g.Read(buf)
			if err != nil {
				if len(line) > 0 {
					t.Errorf("go-imap was left with %q", line)
				}
				return lines
			}
			line = append(line, buf[:n]...)
		}
		lines = append(lines, string(line))
		if _, err := fmt.Fprintf(g, "%s OK done\r\n", g.cmd.tag); err != nil {
			t.Error(err)
		}
	}
}

func TestGuardForwards(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxCommand)
	tests := []struct {
		name, in string
		lines    []string
		reply    string // what the guard said itself; tagged answers of the test left out
	}{
		{"a command", "a noop\r\n", []string{"a NOOP\r\n"}, ""},
		{"line feeds alone", "a NOOP\nb NOOP\n", []string{"a NOOP\r\n", "b NOOP\r\n"}, ""},
		{"an incomplete command", "a DELETE INBOX", nil, ""},
		{"an incomplete literal", "a DELETE {5}\r\nIN", nil, "+ go ahead\r\n"},
		{"a literal", "a CREATE {5}\r\nA \"\\B\r\n", []string{"a CREATE \"A \\\"\\\\B\"\r\n"}, "+ go ahead\r\n"},
		{"two literals", "a RENAME {1+}\r\nA {1+}\r\nB\r\n", []string{"a RENAME \"A\" \"B\"\r\n"}, ""},
		{"UID", "a uid  fetch 1 FLAGS\r\n", nil, "a BAD unknown command\r\n"},
		{"FETCH", "a FETCH 1:* (FLAGS BODY[])\r\n", []string{"a FETCH 1:* FLAGS\r\n"}, ""},
		{"SEARCH", "a UID SEARCH RETURN (MIN  count) CHARSET UTF-8 TEXT {3+}\r\n\xc3\xa4x\r\n", []string{"a UID SEARCH RETURN (MIN count) ALL\r\n"}, ""},
		{"APPEND", "a APPEND Drafts (\\Seen) {3+}\r\nabc\r\n", []string{"a APPEND Drafts (\\Seen) {0+}\r\n"}, ""},
		{"a bare carriage return", "a NOOP\rb CREATE X\r\n", nil, "a BAD a command is one line\r\n"},
		{"NUL", "a CREATE \"\x00\"\r\n", nil, "a BAD a command is one line\r\n"},
		{"a line that is too long", "a CREATE " + long + "\r\nb NOOP\r\n", []string{"b NOOP\r\n"}, "a BAD the command is too long\r\n"},
		{
			"a long line with a literal", "a CREATE " + long + "{13+}\r\nb CREATE X\r\n\r\n\r\nc NOOP\r\n",
			[]string{"c NOOP\r\n"}, "a BAD the command is too long\r\n",
		},
		{
			"a literal that is too long", fmt.Sprintf("a CREATE {%d+}\r\n%s\r\nc NOOP\r\n", len(long), long),
			[]string{"c NOOP\r\n"}, "a BAD the command is too long\r\n",
		},
		{
			"literals that are too long together", "a SEARCH" + strings.Repeat(" TEXT {10000+}\r\n"+long[:10000], 6) + "\r\nc NOOP\r\n",
			[]string{"c NOOP\r\n"}, "a BAD the command is too long\r\n",
		},
		{
			"more than is passed over", fmt.Sprintf("a CREATE {%d+}\r\nb CREATE X\r\n", int64(maxSwallow)+1),
			nil, "* BYE the literal is too large\r\n",
		},
		{"a tag that is too long", long[:maxTag+1] + " NOOP\r\n", nil, "* BAD a command begins with a tag\r\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			g, conn := testGuard(test.in, true)
			lines := forwardedLines(t, g)
			if strings.Join(lines, "") != strings.Join(test.lines, "") {
				t.Errorf("forwarded %q, want %q", lines, test.lines)
			}
			reply := conn.out.String()
			for _, tag := range []string{"a", "b", "c"} {
				reply = strings.ReplaceAll(reply, tag+" OK done\r\n", "")
			}
			if reply != test.reply {
				t.Errorf("replied %q, want %q", reply, test.reply)
			}
		})
	}
}

func TestGuardLeavesContentAlone(t *testing.T) {
	t.Parallel()
	g, conn := testGuard("a LOGIN u p\r\nb NOOP\r\n", false)
	g.authenticated.Store(true)
	if _, err := g.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	content := "* 1 FETCH (BODY[] {60}\r\n* CAPABILITY X\r\n+ idling\r\nb OK [CAPABILITY X] no\r\n"
	for i := range content { // in the smallest pieces
		if _, err := g.Write([]byte(content[i : i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(g, "+ idling\r\n"); err != nil { // not in IDLE
		t.Fatal(err)
	}
	if got := conn.out.String(); got != content+"+ idling\r\n" {
		t.Errorf("got %q", got)
	}
}

// FuzzGuardInput sends anything, and a payload in a literal after anything: go-imap must
// see whole lines of known commands only, and the payload as none of them.
func FuzzGuardInput(f *testing.F) {
	for _, seed := range []string{
		"a LOGIN u p", "a SEARCH NOT TEXT ", "a APPEND x (\\Seen) \"1-Jan-2020 00:00:00 +0000\" ", "a APPEND ", "a CREATE \"",
		"a IDLE\r\nDONE\r\nb STORE 1 +FLAGS ", "a NOOP\rb", "a UID FETCH 1 BODY.PEEK[HEADER.FIELDS (",
		"a ID (\"x\" ", "a SEARCH " + strings.Repeat("(", 200), "a X y\r\n\r\nb ", "\r\n\r\n a", "a APPEND x ~", "a LIST \"\\\"",
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, prefix string, authenticated bool) {
		// A literal or a SASL exchange of the prefix would take the start of ours.
		upper := strings.ToUpper(prefix)
		if strings.Contains(upper, "ZZ") || strings.Contains(upper, "{") || strings.Contains(upper, "AUTHENTICATE") {
			return
		}
		const payload = "\r\nzz CREATE zz\r\nzz DELETE zz\r\n"
		in := fmt.Sprintf("%s{%d+}\r\n%s\r\n", prefix, len(payload), payload)
		g, _ := testGuard(in, authenticated)
		for _, line := range forwardedLines(t, g) {
			if strings.ContainsAny(strings.TrimSuffix(line, "\r\n"), "\r\n\x00") {
				t.Errorf("forwarded more than a line: %q", line)
			}
			if strings.HasPrefix(line, "zz ") {
				t.Errorf("forwarded what is in a literal: %q", line)
			}
		}
	})
}

// FuzzGuardOutput writes anything in pieces of any size: only the tagged answer to a
// login may change.
func FuzzGuardOutput(f *testing.F) {
	f.Add("* OK [CAPABILITY X]\r\n* CAPABILITY X\r\n+ idling\r\n", 3)
	f.Add("b NO [SERVERBUG] Internal server error\r\n", 100)
	f.Fuzz(func(t *testing.T, out string, size int) {
		if size < 1 {
			return
		}
		g, conn := testGuard("a NOOP\r\n", true)
		if _, err := g.Read(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
		for rest := []byte(out); len(rest) > 0; {
			n := min(size, len(rest))
			if _, err := g.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if got := conn.out.String(); got != out && !strings.Contains(out, "a NO [SERVERBUG]") {
			t.Errorf("wrote %q, sent %q", out, got)
		}
	})
}

func FuzzFetchItems(f *testing.F) {
	for _, seed := range []string{
		"FULL", "(FLAGS UID)", "BODY[]<0.10>", "(BODY.PEEK[1.2.HEADER.FIELDS (From \"To\")] RFC822.SIZE)",
		"BODY[1.MIME]", "BODY[HEADER.FIELDS.NOT (a)]<4294967295.1>", "BODY[]<", "BODY[1.", "RFC822.HEADER",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		items, refused := parseFetchItems(s)
		if refused != nil {
			return
		}
		for _, item := range items {
			if item.kind != itemSection || !strings.HasPrefix(item.name, "BODY") {
				continue
			}
			// What stands in a response is what would be asked for again.
			name := item.name
			if item.section.partial {
				name = strings.TrimSuffix(name, ">") + fmt.Sprintf(".%d>", item.section.count)
			}
			again, refused := parseFetchItems(name)
			if refused != nil || len(again) != 1 || again[0].name != item.name {
				t.Errorf("%q became %q and then %v", s, item.name, again)
			}
		}
	})
}

func FuzzSearch(f *testing.F) {
	for _, seed := range []string{
		"ALL", "RETURN (MIN) 1:*", "CHARSET UTF-8 OR FROM a NOT (SINCE 1-Jan-2020 BODY \"x y\")",
		"UID 1,3:* SMALLER 1000 SENTON 1-Feb-2026", "HEADER Message-ID <x>", "((((ALL", "OR OR OR", "KEYWORD $x UNSEEN",
	} {
		f.Add(seed)
	}
	v := testView()
	f.Fuzz(func(t *testing.T, s string) {
		options, key, refused := parseSearch(s)
		if refused != nil {
			return
		}
		if strings.ContainsAny(options, "\r\n") {
			t.Errorf("options %q", options)
		}
		key.prepare(v)
		s0 := &session{account: newFakeAccount(), ctx: t.Context(), box: &selected{}}
		run := &searchRun{session: s0, key: key, view: v}
		_, _ = run.hits()
	})
}
