package provider_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"mailbridge/internal/provider"
)

// rawClient speaks IMAP line by line.
type rawClient struct {
	t    *testing.T
	conn *tls.Conn
	r    *bufio.Reader
	n    int
}

func dialRaw(t *testing.T, p *provider.Provider) *rawClient {
	t.Helper()
	conn, err := tls.Dial("tcp", p.IMAPSAddr().String(), &tls.Config{RootCAs: p.Pool(), ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	c := &rawClient{t: t, conn: conn, r: bufio.NewReader(conn)}
	c.line()
	return c
}

// loginRaw logs in and selects a mailbox, if one is named.
func loginRaw(t *testing.T, p *provider.Provider, user, password, mailbox string) *rawClient {
	t.Helper()
	c := dialRaw(t, p)
	c.ok("LOGIN " + user + " " + password)
	if mailbox != "" {
		c.ok("SELECT " + mailbox)
	}
	return c
}

func (c *rawClient) line() string {
	c.t.Helper()
	line, err := c.r.ReadString('\n')
	if err != nil {
		c.t.Fatalf("after %q: %v", line, err)
	}
	return strings.TrimSuffix(line, "\r\n")
}

func (c *rawClient) write(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c.conn, s); err != nil {
		c.t.Fatal(err)
	}
}

// do gives the untagged lines and the tagged one, without its tag.
func (c *rawClient) do(command string) (untagged []string, status string) {
	c.t.Helper()
	c.n++
	tag := fmt.Sprintf("A%d ", c.n)
	c.write(tag + command + "\r\n")
	for {
		line := c.line()
		if status, ok := strings.CutPrefix(line, tag); ok {
			return untagged, status
		}
		untagged = append(untagged, strings.TrimPrefix(line, "* "))
	}
}

// ok expects OK and the untagged lines that are given, if any.
func (c *rawClient) ok(command string, want ...string) {
	c.t.Helper()
	got, status := c.do(command)
	if !strings.HasPrefix(status, "OK") {
		c.t.Fatalf("%s: %s", command, status)
	}
	if want != nil && !slices.Equal(got, want) {
		c.t.Fatalf("%s:\n%s\nwant:\n%s", command, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// status expects a tagged line that begins like this.
func (c *rawClient) status(command, want string) {
	c.t.Helper()
	if _, status := c.do(command); !strings.HasPrefix(status, want) {
		c.t.Fatalf("%s: %s, want %s", command, status, want)
	}
}

func (c *rawClient) append(mailbox, flags, msg string) string {
	c.t.Helper()
	c.n++
	c.write(fmt.Sprintf("A%d APPEND %s (%s) {%d}\r\n", c.n, mailbox, flags, len(msg)))
	if got := c.line(); !strings.HasPrefix(got, "+") {
		return got
	}
	c.write(msg + "\r\n")
	for {
		if line, ok := strings.CutPrefix(c.line(), fmt.Sprintf("A%d ", c.n)); ok {
			return line
		}
	}
}

// quiet expects OK and nothing untagged.
func (c *rawClient) quiet(command string) {
	c.t.Helper()
	if got, status := c.do(command); len(got) > 0 || !strings.HasPrefix(status, "OK") {
		c.t.Fatalf("%s: %q %s", command, got, status)
	}
}

func fill(t *testing.T, p *provider.Provider, user, mailbox string, n int) {
	t.Helper()
	for i := range n {
		if _, err := p.Put(user, mailbox, fmt.Appendf(nil, "Subject: %d\r\n\r\nbody %d\r\n", i+1, i+1), nil, time.Unix(1_700_000_000, 0)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCapabilities(t *testing.T) {
	t.Parallel()
	p := newProvider(t, provider.Options{Without: []string{"MOVE", "IDLE", "UIDPLUS"}, Extra: []string{"XCHATMAIL"}})
	c := dialRaw(t, p)
	c.ok("CAPABILITY", "CAPABILITY IMAP4rev1 SASL-IR LITERAL- AUTH=PLAIN")
	after := "IMAP4rev1 SASL-IR LITERAL- UNSELECT NAMESPACE ESEARCH LIST-EXTENDED LIST-STATUS STATUS=SIZE CHILDREN SPECIAL-USE APPENDLIMIT=52428800 XCHATMAIL"
	c.status("LOGIN "+alice+" a-secret", "OK [CAPABILITY "+after+"]")
	c.ok("CAPABILITY", "CAPABILITY "+after)
	c.ok("NAMESPACE", `NAMESPACE (("" "/")) NIL NIL`)
	c.ok("SELECT INBOX")
	c.status("MOVE 1 Sent", "BAD")
	c.status("UID EXPUNGE 1", "BAD")
	c.write("X IDLE\r\nDONE\r\n")
	if got := []string{c.line(), c.line()}; !strings.HasPrefix(got[1], "X NO") {
		t.Fatal(got)
	}
}

func TestClearText(t *testing.T) {
	t.Parallel()
	p := newProvider(t, provider.Options{Plaintext: true})
	conn, err := net.Dial("tcp", p.IMAPAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "a LOGIN "+alice+" a-secret\r\nb LOGOUT\r\n"); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(all), "a OK [CAPABILITY") || strings.Contains(string(all), "STARTTLS") {
		t.Fatalf("%q (%v)", all, err)
	}
}

func TestLoginRefused(t *testing.T) {
	t.Parallel()
	p := newProvider(t, provider.Options{})
	c := dialRaw(t, p)
	c.status("LOGIN "+alice+" wrong", "NO [AUTHENTICATIONFAILED]")
	c.status("LOGIN nobody@example.org x", "NO [AUTHENTICATIONFAILED]")
	c.status("LOGIN ALICE@example.org a-secret", "OK")
}

func TestSessionsTellEachOther(t *testing.T) {
	t.Parallel()
	p := newProvider(t, provider.Options{})
	fill(t, p, alice, "INBOX", 4)
	one, two := loginRaw(t, p, alice, "a-secret", "INBOX"), loginRaw(t, p, alice, "a-secret", "INBOX")

	one.ok(`STORE 2,4 +FLAGS (\Deleted $Work)`,
		`2 FETCH (FLAGS (\Deleted $Work))`, `4 FETCH (FLAGS (\Deleted $Work))`, `FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Work)`)
	one.ok("EXPUNGE", "2 EXPUNGE", "3 EXPUNGE")
	if err := p.Deliver(alice, []byte("Subject: 5\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	// FETCH must not be told of expunges (RFC 3501, section 7.4.1), but can of the rest.
	two.ok("FETCH 3 (UID)", "3 FETCH (UID 3)", `FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Work)`, "5 EXISTS")
	two.ok("FETCH 4 (UID BODY.PEEK[TEXT])", "4 FETCH (UID 4 BODY[TEXT] {8}", "body 4", ")")
	two.ok("NOOP", "2 EXPUNGE", "3 EXPUNGE")
	two.quiet("NOOP")
	two.ok("UID FETCH 99:* (UID)", "3 FETCH (UID 5)")
	one.ok("NOOP", "3 EXISTS")

	// A silent change is silent for its own session only.
	one.quiet(`UID STORE 1 FLAGS.SILENT (\SEEN \Recent)`)
	two.ok("NOOP", `1 FETCH (FLAGS (\Seen))`)
	two.ok(`UID STORE 1 -FLAGS (\seen)`, `1 FETCH (UID 1 FLAGS ())`)
	one.ok("CHECK", `1 FETCH (FLAGS ())`)
	// Reading sets \Seen, peeking and EXAMINE do not.
	one.ok("FETCH 1 BODY[HEADER]", `1 FETCH (FLAGS (\Seen) BODY[HEADER] {14}`, "Subject: 1", "", ")")
	two.ok("EXAMINE INBOX")
	two.ok("FETCH 2 RFC822.TEXT", "2 FETCH (RFC822.TEXT {8}", "body 3", ")")
	two.status(`STORE 2 +FLAGS (\Deleted)`, "NO")
	two.status(`MOVE 2 Sent`, "NO")
}

// CLOSE after EXAMINE expunges nothing (RFC 3501, section 6.4.2).
func TestCloseExpunges(t *testing.T) {
	t.Parallel()
	p := newProvider(t, provider.Options{})
	fill(t, p, alice, "INBOX", 2)
	if err := p.SetFlags(alice, "INBOX", 1, `\Deleted`); err != nil {
		t.Fatal(err)
	}
	c := loginRaw(t, p, alice, "a-secret", "")
	c.ok("EXAMINE INBOX")
	c.quiet("CLOSE")
	if n := len(p.Messages(alice, "INBOX")); n != 2 {
		t.Fatalf("%d messages after EXAMINE and CLOSE", n)
	}
	c.ok("SELECT INBOX")
	c.quiet("CLOSE")
	if n := len(p.Messages(alice, "INBOX")); n != 1 {
		t.Fatalf("%d messages after CLOSE", n)
	}
}

func TestUIDPlusAndMove(t *testing.T) {
	t.Parallel()
	p := newProvider(t, provider.Options{})
	fill(t, p, alice, "INBOX", 5)
	fill(t, p, alice, "Trash", 2)
	c := loginRaw(t, p, alice, "a-secret", "INBOX")
	validity := validityOf(c, "Trash")
	c.status("UID COPY 2,4 Trash", fmt.Sprintf("OK [COPYUID %s 2,4 3:4]", validity))
	c.ok("MOVE 1:2 Trash", fmt.Sprintf("OK [COPYUID %s 1:2 5:6] COPY completed", validity), "1 EXPUNGE", "1 EXPUNGE")
	c.status("COPY 1 Nowhere", "NO [TRYCREATE]")
	c.status("UID COPY 900 Trash", "OK COPY")
	c.quiet("UID MOVE 900 Trash")
	c.quiet(`STORE 1:* +FLAGS.SILENT (\Deleted)`)
	c.ok("UID EXPUNGE 4:400", "2 EXPUNGE", "2 EXPUNGE")
	if got := c.append("Trash", `\Seen $Label`, plainMessage); got != fmt.Sprintf("OK [APPENDUID %s 7] APPEND completed", validity) {
		t.Fatal(got)
	}
	last := p.Messages(alice, "Trash")[6]
	if string(last.Data) != plainMessage || !slices.Equal(last.Flags, []string{`\Seen`, "$Label"}) {
		t.Fatalf("%+v", last)
	}
	if got := c.append("Nowhere", "", plainMessage); !strings.HasPrefix(got, "NO [TRYCREATE]") {
		t.Fatal(got)
	}
}

func validityOf(c *rawClient, mailbox string) string {
	c.t.Helper()
	got, _ := c.do("STATUS " + mailbox + " (UIDVALIDITY)")
	_, after, _ := strings.Cut(got[0], "UIDVALIDITY ")
	return strings.TrimSuffix(after, ")")
}

func TestStatusAndSelect(t *testing.T) {
	t.Parallel()
	p := newProvider(t, provider.Options{})
	fill(t, p, alice, "INBOX", 3)
	if err := p.SetFlags(alice, "INBOX", 1, `\Seen`); err != nil {
		t.Fatal(err)
	}
	c := loginRaw(t, p, alice, "a-secret", "")
	validity := validityOf(c, "INBOX")
	c.ok("STATUS inbox (MESSAGES UIDNEXT UNSEEN SIZE RECENT)", "STATUS INBOX (MESSAGES 3 UIDNEXT 4 UNSEEN 2 SIZE 66 RECENT 0)")
	c.ok("SELECT inbox", "3 EXISTS", "0 RECENT", "OK [UNSEEN 2] First unseen message", "OK [UIDVALIDITY "+validity+"] UIDs valid",
		"OK [UIDNEXT 4] Predicted next UID", `FLAGS (\Answered \Flagged \Deleted \Seen \Draft)`,
		`OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \*)] Permanent flags`)
	c.status("SELECT Nowhere", "NO [NONEXISTENT]")
	c.status("STATUS Nowhere (MESSAGES)", "NO [NONEXISTENT]")
}

func TestMailboxes(t *testing.T) {
	t.Parallel()
	p := newProvider(t, provider.Options{Delimiter: '.'})
	c := loginRaw(t, p, alice, "a-secret", "")
	c.ok(`LIST "" ""`, `LIST (\Noselect) "." ""`)
	c.ok(`CREATE a.b.c.`)
	c.status(`CREATE a.b`, "NO [ALREADYEXISTS]")
	c.status(`CREATE a..b`, "NO [CANNOT]")
	c.status(`CREATE "x*y"`, "NO [CANNOT]")
	c.ok(`UNSUBSCRIBE a.b`)
	c.ok(`LIST (SUBSCRIBED) "" (a* INBOX) RETURN (SPECIAL-USE CHILDREN STATUS (MESSAGES))`,
		`LIST (\HasNoChildren \Subscribed) "." INBOX`, `STATUS INBOX (MESSAGES 0)`,
		`LIST (\HasChildren \Subscribed) "." "a"`, `STATUS "a" (MESSAGES 0)`,
		`LIST (\HasNoChildren \Subscribed) "." "a.b.c"`, `STATUS "a.b.c" (MESSAGES 0)`)
	c.ok(`LIST (SPECIAL-USE) "" *`, `LIST (\HasNoChildren \Drafts) "." "Drafts"`, `LIST (\HasNoChildren \Junk) "." "Junk"`,
		`LIST (\HasNoChildren \Sent) "." "Sent"`, `LIST (\HasNoChildren \Trash) "." "Trash"`)
	c.quiet(`LSUB "" "a.%"`)
	fill(t, p, alice, "a.b.c", 1)
	validity := validityOf(c, "a.b.c")
	c.status(`RENAME a a.b.d`, "NO [CANNOT]")
	c.status(`RENAME a Sent`, "NO [ALREADYEXISTS]")
	c.ok(`RENAME a &AMQ-.neu`)
	if got := p.Mailboxes(alice); !slices.Equal(got, []string{"Drafts", "INBOX", "Junk", "Sent", "Trash", "Ä", "Ä.neu", "Ä.neu.b", "Ä.neu.b.c"}) {
		t.Fatal(got)
	}
	if got := validityOf(c, "&AMQ-.neu.b.c"); got != validity {
		t.Fatalf("UIDVALIDITY %s became %s", validity, got)
	}
	c.ok(`DELETE &AMQ-.neu.b`)
	c.ok(`LIST "" *.b`, `LIST (\Noselect \HasChildren) "." "&AMQ-.neu.b"`)
	c.status(`SELECT &AMQ-.neu.b`, "NO [NONEXISTENT]")
	c.status(`DELETE &AMQ-.neu.b`, "NO [HASCHILDREN]")
	c.ok(`DELETE &AMQ-.neu.b.c`)
	c.ok(`DELETE &AMQ-.neu.b`)
	c.ok(`CREATE &AMQ-.neu.b.c`)
	if got := validityOf(c, "&AMQ-.neu.b.c"); got <= validity {
		t.Fatalf("UIDVALIDITY %s of a new mailbox, after %s", got, validity)
	}
	c.status(`DELETE INBOX`, "NO [CANNOT]")
	c.status(`DELETE Nowhere`, "NO [NONEXISTENT]")
	c.status(`RENAME Nowhere x`, "NO [NONEXISTENT]")
	fill(t, p, alice, "INBOX", 2)
	c.ok(`RENAME INBOX old.mail`)
	if in, out := len(p.Messages(alice, "INBOX")), len(p.Messages(alice, "old.mail")); in != 0 || out != 2 {
		t.Fatalf("RENAME INBOX left %d, moved %d", in, out)
	}
}

func TestDisconnectsWhenMailboxGoes(t *testing.T) {
	t.Parallel()
	p := newProvider(t, provider.Options{})
	fill(t, p, alice, "INBOX", 2)
	before := validityOf(loginRaw(t, p, alice, "a-secret", ""), "INBOX")
	c := loginRaw(t, p, alice, "a-secret", "INBOX")
	if err := p.Renumber(alice, "INBOX"); err != nil {
		t.Fatal(err)
	}
	c.write("X NOOP\r\n")
	if got := c.line(); !strings.HasPrefix(got, "* BYE") {
		t.Fatal(got)
	}
	after := validityOf(loginRaw(t, p, alice, "a-secret", ""), "INBOX")
	if after <= before || len(p.Messages(alice, "INBOX")) != 2 {
		t.Fatalf("UIDVALIDITY %s, then %s", before, after)
	}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	p := newProvider(t, provider.Options{})
	mails := []string{
		"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <one@x>\r\nDate: Tue, 14 Nov 2023 10:00:00 +0000\r\n\r\nnothing\r\n",
		"Subject: folded\r\n subject\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nM=FCller kommt\r\n",
		"no colon\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\nodd mail with needle\r\n" +
			"--b\r\nContent-Transfer-Encoding: base64\r\n\r\naGlkZGVu\r\n--b--\r\n",
	}
	for i, m := range mails {
		if _, err := p.Put(alice, "INBOX", []byte(m), nil, time.Date(2023, 11, 10+i, 23, 59, 0, 0, time.UTC)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.SetFlags(alice, "INBOX", 2, `\Seen`, "$Label1"); err != nil {
		t.Fatal(err)
	}
	c := loginRaw(t, p, alice, "a-secret", "INBOX")
	for key, want := range map[string]string{
		"ALL":                                 "SEARCH 1 2 3",
		"SEEN":                                "SEARCH 2",
		"KEYWORD $label1 UNDELETED":           "SEARCH 2",
		"UNSEEN":                              "SEARCH 1 3",
		"HEADER Message-ID <one@x>":           "SEARCH 1",
		"HEADER Message-ID one@":              "SEARCH 1",
		`SUBJECT "folded subject"`:            "SEARCH 2",
		"CHARSET UTF-8 SUBJECT {7+}\r\nGRÜßE": "SEARCH 1",
		"CHARSET UTF-8 BODY {7+}\r\nMÜLLER":   "SEARCH 2",
		"TEXT needle":                         "SEARCH 3",
		"BODY folded":                         "SEARCH",
		"SINCE 11-Nov-2023":                   "SEARCH 2 3",
		"BEFORE 11-Nov-2023":                  "SEARCH 1",
		"ON 11-Nov-2023":                      "SEARCH 2",
		"SENTON 14-Nov-2023":                  "SEARCH 1",
		"LARGER 130":                          "SEARCH 2 3",
		"SMALLER 130":                         "SEARCH 1",
		"2:*":                                 "SEARCH 2 3",
		"UID 1,3":                             "SEARCH 1 3",
		"NOT UID 1,3":                         "SEARCH 2",
		"OR SEEN UID 1":                       "SEARCH 1 2",
		"RETURN (MIN MAX COUNT) UNSEEN":       "ESEARCH (TAG",
	} {
		got, status := c.do("UID SEARCH " + key)
		if len(got) != 1 || !strings.HasPrefix(got[0], want) || !strings.HasPrefix(want, "E") && got[0] != want {
			t.Errorf("%s: %q %s, want %s", key, got, status, want)
		}
	}
}

func TestStructureOfOddMail(t *testing.T) {
	t.Parallel()
	p := newProvider(t, provider.Options{})
	for _, m := range []string{
		"Content-Type: multipart/mixed; boundary=b\r\n\r\nno parts\r\n",
		"no colon\r\n\r\n",
		"",
		"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\npart\r\n--b--\r\n",
	} {
		if err := p.Deliver(alice, []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	c := loginRaw(t, p, alice, "a-secret", "INBOX")
	c.ok("FETCH 1:4 (ENVELOPE BODYSTRUCTURE BODY)")
	c.ok("UID FETCH 4:4294967295 (UID)", "4 FETCH (UID 4)")
	c.ok("FETCH 4 BODY.PEEK[1]", `4 FETCH (BODY[1] {4}`, "part)")
}
