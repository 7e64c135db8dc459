package upstream_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"mailbridge/upstream"
)

// A dialogue is what a provider says (S:) and what it must hear (C:), line by line. In a C:
// line a T at the beginning stands for any tag; $T in an S: line is the last tag heard. C? is
// a line that the provider may not hear any more. TLS switches TLS on. At the end the
// provider hangs up, or with WAIT when the client does.
func serve(t *testing.T, dialogue string) upstream.Config {
	t.Helper()
	web := httptest.NewUnstartedServer(http.NotFoundHandler())
	web.StartTLS()
	t.Cleanup(web.Close)
	pool := x509.NewCertPool()
	pool.AddCert(web.Certificate())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		if err := speak(conn, dialogue, &tls.Config{Certificates: web.TLS.Certificates}); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	e := upstream.Endpoint{Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port, TLS: upstream.StartTLS}
	if strings.HasPrefix(dialogue, "TLS") {
		e.TLS = upstream.ImplicitTLS
	}
	return upstream.Config{
		IMAP: e, SMTP: e, Username: "me", RootCAs: pool,
		Password: func(context.Context) (string, error) { return "secret", nil },
		Timeouts: upstream.Timeouts{Dial: 20 * time.Second},
	}
}

func speak(conn net.Conn, dialogue string, config *tls.Config) error {
	r, tag := bufio.NewReader(conn), ""
	for line := range strings.Lines(dialogue) {
		line = strings.TrimSpace(line)
		kind, text, _ := strings.Cut(line, " ")
		switch kind {
		case "TLS":
			conn = tls.Server(conn, config)
			r = bufio.NewReader(conn)
		case "WAIT":
			_, _ = io.Copy(io.Discard, r)
		case "S:":
			// "\n" within a line: both in one packet.
			text = strings.ReplaceAll(strings.ReplaceAll(text, "$T", tag), `\n`, "\r\n")
			if _, err := fmt.Fprintf(conn, "%s\r\n", text); err != nil {
				return nil // the client has hung up; what it thinks of this is its test's business
			}
		case "C:", "C?":
			got, err := r.ReadString('\n')
			if err != nil && kind == "C?" {
				return nil
			}
			if err != nil {
				return fmt.Errorf("waiting for %q: %w", text, err)
			}
			got = strings.TrimSpace(got)
			if want, ok := strings.CutPrefix(text, "T "); ok {
				tag, got, _ = strings.Cut(got, " ")
				text = want
			}
			if got != text {
				return fmt.Errorf("heard %q, want %q", got, text)
			}
		}
	}
	return nil
}

func TestLoginDialogues(t *testing.T) {
	t.Parallel()
	isPermanent := func(err error) bool { return upstream.ClassOf(err) == upstream.Permanent }
	isTemporary := func(err error) bool {
		return upstream.ClassOf(err) == upstream.Temporary && !upstream.IsAuth(err)
	}
	tests := []struct {
		name, dialogue string
		ok             func(error) bool
	}{
		{"capabilities change with the login", `TLS
			S: * OK [CAPABILITY IMAP4rev1] hi
			C: T LOGIN "me" "secret"
			S: $T OK done\nServer Unavailable.
			C: T CAPABILITY
			S: * CAPABILITY IMAP4rev1 UIDPLUS
			S: $T OK done
			C? T CAPABILITY
			S: * CAPABILITY IMAP4rev1 UIDPLUS
			S: $T OK done
			WAIT`, func(err error) bool { return err == nil }},
		{"AUTH PLAIN without initial response", `TLS
			S: * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hi
			C: T AUTHENTICATE PLAIN
			S: +
			C: AG1lAHNlY3JldA==
			S: $T NO [AUTHENTICATIONFAILED] no`, upstream.IsAuth},
		{"too many connections", `TLS
			S: * BYE too many connections`, func(err error) bool { return isTemporary(err) && strings.Contains(err.Error(), "too many") }},
		{"the provider's own trouble", `TLS
			S: * OK [CAPABILITY IMAP4rev1] hi
			C: T LOGIN "me" "secret"
			S: $T NO [UNAVAILABLE] later`, isTemporary},
		{"login refused", `TLS
			S: * OK [CAPABILITY IMAP4rev1] hi
			C: T LOGIN "me" "secret"
			S: $T NO [AUTHENTICATIONFAILED] wrong`, upstream.IsAuth},
		{"login refused, and the last word", `TLS
			S: * OK [CAPABILITY IMAP4rev1] hi
			C: T LOGIN "me" "secret"
			S: * BYE go away`, func(err error) bool { return isTemporary(err) && strings.Contains(err.Error(), "go away") }},
		{"no login by password", `TLS
			S: * OK [CAPABILITY IMAP4rev1 LOGINDISABLED] hi
			WAIT`, upstream.IsAuth},
		{"somebody's mail without login", `TLS
			S: * PREAUTH [CAPABILITY IMAP4rev1] welcome`, isPermanent},
		{"another protocol", `TLS
			S: SSH-2.0-OpenSSH_9.2`, func(err error) bool { return err != nil }},
		{"STARTTLS", `S: * OK [CAPABILITY IMAP4rev1 IDLE] a lie
			C: T STARTTLS
			S: * CAPABILITY IMAP4rev1
			S: $T OK go
			TLS
			C: T CAPABILITY
			S: * CAPABILITY IMAP4rev1
			S: $T OK done
			C: T LOGIN "me" "secret"
			S: $T OK [CAPABILITY IMAP4rev1] done
			C: T CAPABILITY
			S: * CAPABILITY IMAP4rev1
			S: $T OK done`, func(err error) bool { return err == nil }},
		{"STARTTLS refused", `S: * OK hi
			C: T STARTTLS
			S: $T BAD what`, upstream.IsCertificate},
		{"words smuggled in before TLS", `S: * OK hi
			C: T STARTTLS
			S: $T OK go\n* OK [CAPABILITY IMAP4rev1] smuggled`, isPermanent},
		{"no greeting", `S: * BYE closed`, isTemporary},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			conn, err := upstream.Dial(t.Context(), serve(t, test.dialogue))
			if !test.ok(err) {
				t.Errorf("got %v (class %v)", err, upstream.ClassOf(err))
			}
			if err != nil {
				if strings.Contains(err.Error(), "secret") {
					t.Errorf("the error tells the password: %v", err)
				}
				return
			}
			_ = conn.Close()
		})
	}
}

const loggedIn = `TLS
	S: * OK [CAPABILITY IMAP4rev1] hi
	C: T LOGIN "me" "secret"
	S: $T OK [CAPABILITY IMAP4rev1 NAMESPACE SPECIAL-USE LIST-EXTENDED] done
	C: T CAPABILITY
	S: * CAPABILITY IMAP4rev1 NAMESPACE SPECIAL-USE LIST-EXTENDED MOVE
	S: $T OK done
	C: T NAMESPACE
	S: * NAMESPACE (("INBOX." ".")) NIL NIL
	S: $T OK done
`

func TestListQuirks(t *testing.T) {
	t.Parallel()
	conn := dial(t, serve(t, loggedIn+`
		C: T LIST "" "*" RETURN (SUBSCRIBED CHILDREN SPECIAL-USE)
		S: $T BAD what
		C: T LIST "" "*"
		S: * LIST (\HasChildren) "." INBOX
		S: * LIST (\NoSelect) "." "INBOX.R&D"
		S: * LIST () "." INBOX.Entw&APw-rfe
		S: * LIST () "." "INBOX.Deleted Items"
		S: $T OK done`))
	if prefix, delim := conn.Namespace(); prefix != "INBOX." || delim != '.' {
		t.Errorf("namespace %q %q", prefix, delim)
	}
	folders, err := conn.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(folders)
	want := `[{INBOX 46 false  true} {INBOX.Entwürfe 46 false \Drafts true} {INBOX.Deleted Items 46 false \Trash true}]`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestMoveQuirks(t *testing.T) {
	t.Parallel()
	conn := dial(t, serve(t, loggedIn+`
		C: T SELECT INBOX
		S: * 3 EXISTS
		S: * OK [UIDVALIDITY 5] x
		S: * OK [UIDNOTSTICKY] x
		S: * FLAGS (\Seen a]b)
		S: $T OK [READ-WRITE] done
		C: T UID MOVE 1:3 "Trash"
		S: * OK [COPYUID 7 3,1:2 10:12] moved
		S: * 3 EXPUNGE
		S: * 0 EXPUNGE
		S: * VANISHED 2
		S: $T OK done
		C: T UID MOVE 4 "Trash"
		S: $T NO [OVERQUOTA] full
		WAIT`))
	selected, err := conn.Select(t.Context(), "INBOX", false)
	if err != nil || selected.UIDValidity != 5 || selected.Messages != 3 || !selected.UIDNotSticky || !selected.AnyKeyword {
		t.Fatalf("%+v, %v", selected, err)
	}
	result, err := conn.Move(t.Context(), []uint32{1, 2, 3}, "Trash")
	if err != nil || fmt.Sprint(result) != "{7 map[1:11 2:12 3:10]}" {
		t.Errorf("%v, %v", result, err)
	}
	if _, err := conn.Move(t.Context(), []uint32{4}, "Trash"); upstream.ClassOf(err) != upstream.Temporary || !upstream.IsRefused(err) {
		t.Errorf("over quota: %v", err)
	}
	if conn.Broken() {
		t.Error("the connection is broken")
	}
}

func TestSelectWithoutUIDValidity(t *testing.T) {
	t.Parallel()
	conn := dial(t, serve(t, loggedIn+`
		C: T EXAMINE "a"
		S: * 3 EXISTS
		S: $T OK done`))
	if _, err := conn.Select(t.Context(), "a", true); upstream.ClassOf(err) != upstream.Permanent {
		t.Errorf("got %v", err)
	}
}

func TestSMTPDialogues(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, dialogue string
		class          upstream.Class
		outcome        upstream.Outcome
	}{
		{"AUTH LOGIN alone, long replies", `TLS
			S: 220-hello\n220 there
			C: EHLO localhost
			S: 250-me\n250-SIZE 1000\n250 AUTH LOGIN
			C: AUTH LOGIN bWU=
			S: 334 UGFzc3dvcmQ6
			C: c2VjcmV0
			S: 235 2.7.0 welcome
			C: MAIL FROM:<a@b> SIZE=3
			S: 250 ok
			C: RCPT TO:<c@d>
			S: 250 ok
			C: DATA
			S: 354 go
			C: x
			C: .
			S: 250 2.0.0 queued as 42
			C: QUIT
			S: 221 bye`, 0, upstream.Accepted},
		{"STARTTLS", `S: 220 hello
			C: EHLO localhost
			S: 250-me\n250 STARTTLS
			C: STARTTLS
			S: 220 go
			TLS
			C: EHLO localhost
			S: 250-me\n250 AUTH PLAIN
			C: AUTH PLAIN AG1lAHNlY3JldA==
			S: 535 5.7.8 wrong`, upstream.Permanent, upstream.Deferred},
		{"words smuggled in before TLS", `S: 220 hello
			C: EHLO localhost
			S: 250-me\n250 STARTTLS
			C: STARTTLS
			S: 220 go\n235 smuggled`, upstream.Permanent, upstream.Deferred},
		{"not now", `TLS
			S: 421 4.3.2 come back later`, upstream.Temporary, upstream.Deferred},
		{"too large", `TLS
			S: 220 hello
			C: EHLO localhost
			S: 250-me\n250-SIZE 2\n250 AUTH PLAIN
			C: AUTH PLAIN AG1lAHNlY3JldA==
			S: 235 2.7.0 welcome
			C: QUIT
			S: 221 bye`, 0, upstream.Refused},
		{"closing at RCPT", `TLS
			S: 220 hello
			C: EHLO localhost
			S: 250-me\n250 AUTH PLAIN
			C: AUTH PLAIN AG1lAHNlY3JldA==
			S: 235 2.7.0 welcome
			C: MAIL FROM:<a@b>
			S: 250 ok
			C: RCPT TO:<c@d>
			S: 421 closing
			C: QUIT
			S: 221 bye`, upstream.Temporary, upstream.Deferred},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			env := upstream.Envelope{From: "a@b", To: []string{"c@d"}}
			result, err := upstream.Submit(t.Context(), serve(t, test.dialogue), env, []byte("x\r\n"))
			if (err == nil) != (test.class == 0) || err != nil && upstream.ClassOf(err) != test.class {
				t.Errorf("error %v", err)
			}
			if r := result.Recipients[0]; r.Outcome != test.outcome {
				t.Errorf("%+v", r)
			}
		})
	}
}
