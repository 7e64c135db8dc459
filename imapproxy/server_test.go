package imapproxy

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mailbridge/mailbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testTLS makes a certificate for localhost and the configurations of both ends.
func testTLS(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		&tls.Config{RootCAs: roots, ServerName: "localhost"}
}

// send writes a command and gives all lines up to its tagged answer.
func (p *peer) send(t testing.TB, command string) []string {
	t.Helper()
	if _, err := io.WriteString(p, command+"\r\n"); err != nil {
		t.Fatal(err)
	}
	tag, _, _ := strings.Cut(command, " ")
	var lines []string
	for {
		line := p.line(t)
		lines = append(lines, line)
		if strings.HasPrefix(line, tag+" ") {
			return lines
		}
	}
}

func (p *peer) line(t testing.TB) string {
	t.Helper()
	line, err := p.r.ReadString('\n')
	if err != nil {
		t.Fatalf("got %q, %v", line, err)
	}
	return strings.TrimSuffix(line, "\r\n")
}

// open greets, logs in and, with a mailbox, selects it.
func open(t testing.TB, addr, box string) *peer {
	t.Helper()
	p := dial(t, addr)
	p.line(t)
	p.send(t, "a LOGIN bob@example.org secret")
	if box != "" {
		p.send(t, "b SELECT "+box)
	}
	return p
}

func TestSTARTTLS(t *testing.T) {
	t.Parallel()
	serverTLS, clientTLS := testTLS(t)
	_, addr := serve(t, newFakeAccount(), Options{TLS: serverTLS})
	p := dial(t, addr)
	if got := p.line(t); !strings.Contains(got, " STARTTLS AUTH=PLAIN]") {
		t.Errorf("greeting %q", got)
	}
	if got := p.send(t, "a STARTTLS")[0]; !strings.HasPrefix(got, "a OK") {
		t.Fatalf("got %q", got)
	}
	conn := tls.Client(p.Conn, clientTLS)
	p = &peer{conn, bufio.NewReader(conn)}
	if got := p.send(t, "b CAPABILITY")[0]; strings.Contains(got, "STARTTLS") || !strings.Contains(got, "AUTH=PLAIN") {
		t.Errorf("got %q", got)
	}
	if got := p.send(t, "c STARTTLS")[0]; !strings.HasPrefix(got, "c BAD") {
		t.Errorf("got %q", got)
	}
	if got := p.send(t, "d LOGIN bob@example.org secret")[0]; !strings.HasPrefix(got, "d OK") {
		t.Errorf("got %q", got)
	}
}

// TestSTARTTLSInjection sends a command in the clear together with STARTTLS: it must not
// be executed inside TLS (RFC 3501, section 6.2.1).
func TestSTARTTLSInjection(t *testing.T) {
	t.Parallel()
	serverTLS, clientTLS := testTLS(t)
	_, addr := serve(t, newFakeAccount(), Options{TLS: serverTLS})
	p := dial(t, addr)
	p.line(t)
	if got := p.send(t, "a STARTTLS\r\nz LOGIN bob@example.org secret")[0]; !strings.HasPrefix(got, "a OK") {
		t.Fatalf("got %q", got)
	}
	if err := tls.Client(p.Conn, clientTLS).Handshake(); err == nil {
		t.Error("the handshake succeeded")
	}
}

func TestServeTLS(t *testing.T) {
	t.Parallel()
	serverTLS, clientTLS := testTLS(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(newFakeAccount(), Options{TLS: serverTLS})
	done := make(chan error, 1)
	go func() { done <- s.ServeTLS(ln) }()
	conn, err := tls.Dial("tcp", ln.Addr().String(), clientTLS)
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{conn, bufio.NewReader(conn)}
	if got := p.line(t); strings.Contains(got, "STARTTLS") {
		t.Errorf("greeting %q", got)
	}
	if got := p.send(t, "a LOGIN bob@example.org secret")[0]; !strings.HasPrefix(got, "a OK") {
		t.Errorf("got %q", got)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if got := p.line(t); got != "* BYE mailbridge is stopping" {
		t.Errorf("got %q", got)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := New(newFakeAccount(), Options{}).ServeTLS(ln); err == nil {
		t.Error("TLS without a certificate")
	}
}

// farConn is a connection from another machine.
type farConn struct{ *bufferConn }

func (farConn) LocalAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 143} }

func TestFarClientNeedsTLS(t *testing.T) {
	t.Parallel()
	serverTLS, _ := testTLS(t)
	conn := &bufferConn{in: strings.NewReader("a LOGIN u p\r\nb AUTHENTICATE PLAIN AHUAcA==\r\nc CAPABILITY\r\n")}
	g := newGuard(farConn{conn}, New(newFakeAccount(), Options{TLS: serverTLS}), false)
	if lines := forwardedLines(t, g); lines != nil {
		t.Errorf("forwarded %q", lines)
	}
	got := conn.out.String()
	for _, want := range []string{"a NO [PRIVACYREQUIRED]", "b NO [PRIVACYREQUIRED]", "STARTTLS LOGINDISABLED\r\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %q", want, got)
		}
	}
}

func TestSelectWaits(t *testing.T) {
	t.Parallel()
	a := newFakeAccount()
	a.selectWaits = make(chan struct{})
	_, addr := serve(t, a, Options{})
	p := open(t, addr, "")
	if _, err := io.WriteString(p, "c SELECT INBOX\r\n"); err != nil {
		t.Fatal(err)
	}
	if got := p.line(t); got != "* OK first sync: 100 of 200 messages" {
		t.Errorf("got %q", got)
	}
	close(a.selectWaits)
	if got := p.line(t); got != "* 0 EXISTS" {
		t.Errorf("got %q", got)
	}
}

func TestSelectGivesUp(t *testing.T) {
	t.Parallel()
	a := newFakeAccount()
	a.selectWaits = make(chan struct{})
	_, addr := serve(t, a, Options{SelectTimeout: time.Millisecond})
	p := open(t, addr, "")
	got := p.send(t, "c SELECT INBOX")
	if last := got[len(got)-1]; !strings.HasPrefix(last, "c NO [UNAVAILABLE] ") {
		t.Errorf("got %q", last)
	}
}

// TestCloseEndsSessions closes the server while clients are in IDLE, in SELECT and idle.
func TestCloseEndsSessions(t *testing.T) {
	t.Parallel()
	a := newFakeAccount()
	s, addr := serve(t, a, Options{})
	idle := open(t, addr, "INBOX")
	idle.send(t, "c NOOP")
	if _, err := io.WriteString(idle, "d IDLE\r\n"); err != nil {
		t.Fatal(err)
	}
	if got := idle.line(t); got != "+ idling" {
		t.Fatalf("got %q", got)
	}
	quiet := open(t, addr, "")
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	for _, p := range []*peer{idle, quiet} {
		if got := p.line(t); got != "* BYE mailbridge is stopping" {
			t.Errorf("got %q", got)
		}
	}
}

// TestNoGoodbyeInLiteral stops the server while a message is being sent: the goodbye must
// not become the end of the message.
func TestNoGoodbyeInLiteral(t *testing.T) {
	t.Parallel()
	g, conn := testGuard("", true)
	r := &response{g: g}
	r.text("* 1 FETCH (BODY[] ")
	r.literal(bytes.Repeat([]byte("x"), flushSize))
	g.hangUp("stopping")
	r.text(")")
	r.line()
	if err := r.flush(); err == nil {
		t.Error("written after the end")
	}
	if got := conn.out.String(); strings.Contains(got, "BYE") || strings.HasSuffix(got, ")\r\n") {
		t.Errorf("got %q", got[max(0, len(got)-50):])
	}
}

// TestHangUpInIdle lets clients vanish in IDLE while mail arrives.
func TestHangUpInIdle(t *testing.T) {
	t.Parallel()
	a := newFakeAccount()
	s, addr := serve(t, a, Options{})
	for range 10 {
		p := open(t, addr, "INBOX")
		if _, err := io.WriteString(p, "c IDLE\r\n"); err != nil {
			t.Fatal(err)
		}
		p.line(t)
		go a.Deliver("INBOX", []byte("Subject: x\r\n\r\n"), nil)
		_ = p.Close()
	}
	if err := s.Close(); err != nil { // waits for the sessions
		t.Error(err)
	}
}

func TestTooManyConnections(t *testing.T) {
	t.Parallel()
	s := New(newFakeAccount(), Options{})
	for range maxConns {
		if s.admit(&bufferConn{}, false) == nil {
			t.Fatal("refused too early")
		}
	}
	if s.admit(&bufferConn{}, false) != nil {
		t.Error("no limit")
	}
	for g := range s.guards {
		_ = g.Close()
		break
	}
	if s.admit(&bufferConn{}, false) == nil {
		t.Error("a closed connection counts")
	}
}

func TestThrottle(t *testing.T) {
	t.Parallel()
	var th throttle
	now := time.Unix(1_800_000_000, 0)
	for range freeFailures {
		if got := th.failed(now); got != 0 {
			t.Errorf("delayed by %v", got)
		}
	}
	for i := 1; i <= 20; i++ {
		want := min(time.Duration(i)*failureStep, maxPenalty)
		if got := th.failed(now); got != want {
			t.Errorf("failure %d: delayed by %v, want %v", i, got, want)
		}
	}
	if got := th.failed(now.Add(forgetFailures + time.Second)); got != 0 {
		t.Errorf("not forgotten: %v", got)
	}
}

func TestLoginFailuresEndConnection(t *testing.T) {
	t.Parallel()
	g, conn := testGuard("a NOOP\r\n", false)
	s := newSession(g.server, g)
	s.cancel() // do not wait
	for range maxLoginFailures {
		if err := s.Login("bob@example.org", "wrong"); err == nil {
			t.Error("logged in")
		}
	}
	if lines := forwardedLines(t, g); lines != nil {
		t.Errorf("forwarded %q", lines)
	}
	if got := conn.out.String(); got != "* BYE too many failed logins\r\n" {
		t.Errorf("got %q", got)
	}
}

// TestLargeMessage appends and fetches a message over every buffer, with and without
// asking first.
func TestLargeMessage(t *testing.T) {
	t.Parallel()
	msg := append([]byte("Subject: large\r\n\r\n"), bytes.Repeat([]byte("z CREATE Injected\r\n"), 200_000)...)
	a := newFakeAccount()
	_, addr := serve(t, a, Options{})
	p := open(t, addr, "INBOX")
	for i, plus := range []string{"", "+"} {
		if _, err := fmt.Fprintf(p, "c%d APPEND INBOX {%d%s}\r\n", i, len(msg), plus); err != nil {
			t.Fatal(err)
		}
		if plus == "" {
			p.line(t)
		}
		go func() { _, _ = p.Write(append(bytes.Clone(msg), "\r\n"...)) }()
		if got, want := p.line(t), fmt.Sprintf("* %d EXISTS", i+1); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
		if got := p.line(t); !strings.HasPrefix(got, fmt.Sprintf("c%d OK [APPENDUID 7 ", i)) {
			t.Fatalf("got %q", got)
		}
	}
	if _, err := io.WriteString(p, "d UID FETCH 1:2 BODY.PEEK[]\r\n"); err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= 2; i++ {
		if got, want := p.line(t), fmt.Sprintf("* %d FETCH (UID %d BODY[] {%d}", i, i, len(msg)); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
		got := make([]byte, len(msg))
		if _, err := io.ReadFull(p.r, got); err != nil || !bytes.Equal(got, msg) {
			t.Fatalf("another message came back: %v", err)
		}
		if got := p.line(t); got != ")" {
			t.Fatalf("got %q", got)
		}
	}
	if got := p.line(t); got != "d OK UID FETCH completed" {
		t.Errorf("got %q", got)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.prefetched) != 2 {
		t.Errorf("prefetched %v", a.prefetched)
	}
}

// TestFetchFailures serves what can be had and says what could not.
func TestFetchFailures(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		err    error
		answer string
	}{
		{"unavailable", mailbox.Errorf(mailbox.CodeUnavailable, "the provider cannot be reached"), "c NO [UNAVAILABLE] the provider cannot be reached"},
		{"unexpected", errors.New("disk on fire: /home/bob"), "c NO [SERVERBUG] mailbridge failed; its log says why"},
		{"gone", mailbox.Errorf(mailbox.CodeNonExistent, "gone"), "c NO [EXPUNGEISSUED] some of the messages are gone"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a := newFakeAccount()
			for range 3 {
				a.Deliver("INBOX", []byte("Subject: x\r\n\r\nx"), nil)
			}
			a.failing = map[mailbox.UID]error{2: test.err}
			_, addr := serve(t, a, Options{})
			p := open(t, addr, "INBOX")
			got := p.send(t, "c FETCH 1:3 (BODY.PEEK[TEXT])")
			want := []string{"* 1 FETCH (BODY[TEXT] {1}", "x)", "* 3 FETCH (BODY[TEXT] {1}", "x)", test.answer}
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("got %q", got)
			}
			// A message that cannot be read was not read.
			p.send(t, "d FETCH 2 BODY[]")
			if got := p.send(t, "e FETCH 2 FLAGS")[0]; got != "* 2 FETCH (FLAGS ())" {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestFetchGivesUp(t *testing.T) {
	t.Parallel()
	a := newFakeAccount()
	a.failing = map[mailbox.UID]error{}
	for range maxFetchFailures + 5 {
		uid := a.Deliver("INBOX", []byte("Subject: x\r\n\r\nx"), nil)
		a.failing[uid] = mailbox.Errorf(mailbox.CodeUnavailable, "away")
	}
	delete(a.failing, maxFetchFailures+5)
	_, addr := serve(t, a, Options{})
	p := open(t, addr, "INBOX")
	got := p.send(t, "c UID FETCH 1:* BODY.PEEK[]")
	if len(got) != 1 || got[0] != "c NO [UNAVAILABLE] away" {
		t.Errorf("got %q", got)
	}
}

// TestNestedMessage asks for everything of a message that is nested as deep as it goes.
func TestNestedMessage(t *testing.T) {
	t.Parallel()
	a := newFakeAccount()
	a.Deliver("INBOX", []byte(strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 30_000)), nil)
	comment := "In-Reply-To: " + strings.Repeat("(", 400_000) + "\r\nSubject: x\r\n\r\n"
	a.Deliver("INBOX", []byte(comment), nil)
	var multi strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&multi, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	a.Deliver("INBOX", []byte(multi.String()), nil)
	_, addr := serve(t, a, Options{})
	p := open(t, addr, "INBOX")
	start := time.Now()
	got := p.send(t, "c FETCH 1:3 (ENVELOPE BODYSTRUCTURE BODY.PEEK[1.1.1.1.MIME])")
	if last := got[len(got)-1]; last != "c OK FETCH completed" {
		t.Errorf("got %q", last)
	}
	// go-imap's own code takes 54 s for the first of them.
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// TestWildcards sends a pattern that takes exponential time with backtracking.
func TestWildcards(t *testing.T) {
	t.Parallel()
	name := strings.Repeat("a", 900)
	if matchPattern(strings.Repeat("*a", 400)+"b", name) {
		t.Error("matches")
	}
	tests := []struct {
		pattern, name string
		want          bool
	}{
		{"*", "a/b", true}, {"%", "a/b", false}, {"%/%", "a/b", true}, {"a/%", "a/b", true}, {"a*", "a/b", true},
		{"", "a", false}, {"", "", true}, {"%", "", true}, {"a", "A", false}, {"inbox", "INBOX", true}, {"in*", "INBOX", false},
		{"*%b", "a/b", true}, {"a%c", "abc", true}, {"a%c", "a/c", false},
	}
	for _, test := range tests {
		if got := matchPattern(test.pattern, test.name); got != test.want {
			t.Errorf("%q, %q: got %v", test.pattern, test.name, got)
		}
	}
}

func TestCopyData(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		in   mailbox.CopyUID
		want string
	}{
		{"ascending", mailbox.CopyUID{Source: []mailbox.UID{1, 2, 9}, Dest: []mailbox.UID{5, 6, 7}}, "1:2,9 5:7"},
		{"in another order", mailbox.CopyUID{Source: []mailbox.UID{9, 1}, Dest: []mailbox.UID{6, 5}}, "1,9 5:6"},
		{"crossing", mailbox.CopyUID{Source: []mailbox.UID{1, 2}, Dest: []mailbox.UID{6, 5}}, ""},
		{"uneven", mailbox.CopyUID{Source: []mailbox.UID{1, 2}, Dest: []mailbox.UID{6}}, ""},
		{"nothing", mailbox.CopyUID{}, ""},
		{"no UID", mailbox.CopyUID{Source: []mailbox.UID{1}, Dest: []mailbox.UID{0}}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got string
			if data := copyData(test.in); data != nil {
				got = data.SourceUIDs.String() + " " + data.DestUIDs.String()
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestClean(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain": "plain", "two\r\nlines": "two  lines", "[ALERT] x": "ALERT] x", "": "no reason given", "ü": "?",
		strings.Repeat("x", 2*maxText): strings.Repeat("x", maxText),
	} {
		if got := clean(in); got != want {
			t.Errorf("%q: got %q", in, got)
		}
	}
}
