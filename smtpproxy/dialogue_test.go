package smtpproxy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"mailbridge/smtpproxy"
)

// The dialogues under testdata are txtar archives. "dialogue" holds lines that begin
// with "C: " (sent with CRLF), "S: " (expected exactly), "S~ " (expected to match a
// regular expression), "TLS" (the client starts TLS) and "CLOSED" (the server ends the
// connection). {b64 TEXT} in a line becomes base64, and \0 \r \n \t work as in Go.
// "submitted" is what the backend was given; without it, nothing may have been.
func TestDialogues(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no dialogues", err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			var want string
			be := &backend{}
			addr := start(t, be, smtpproxy.Options{TLS: serverTLS(t), MaxMessage: 2 << 20, MaxRecipients: 3})
			for _, f := range archive.Files {
				switch f.Name {
				case "dialogue":
					converse(t, addr, strings.Split(strings.TrimSpace(string(f.Data)), "\n"))
				case "submitted":
					want = strings.TrimSpace(string(f.Data))
				}
			}
			if got := be.String(); got != want {
				t.Errorf("submitted:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func converse(t *testing.T, addr string, lines []string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	r := bufio.NewReader(conn)
	for i, line := range lines {
		kind, text, _ := strings.Cut(line, " ")
		switch kind {
		case "C:":
			if _, err := io.WriteString(conn, expand(text)+"\r\n"); err != nil {
				t.Fatalf("line %d: %v", i+1, err)
			}
		case "S:", "S~":
			got, err := r.ReadString('\n')
			got = strings.TrimSuffix(got, "\r\n")
			if err != nil || kind == "S:" && got != text || kind == "S~" && !regexp.MustCompile("^(?:"+text+")$").MatchString(got) {
				t.Fatalf("line %d: got %q (%v), want %q", i+1, got, err, text)
			}
		case "TLS":
			secured := tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) // whose certificate it is does not matter here
			if err := secured.Handshake(); err != nil {
				t.Fatalf("line %d: %v", i+1, err)
			}
			conn, r = secured, bufio.NewReader(secured)
		case "CLOSED":
			if rest, err := io.ReadAll(r); len(rest) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("line %d: got %q (%v), want the end", i+1, rest, err)
			}
		default:
			t.Fatalf("line %d: %q", i+1, line)
		}
	}
}

var base64Word = regexp.MustCompile(`\{b64 ([^}]*)\}`)

func expand(s string) string {
	s = strings.NewReplacer(`\0`, "\x00", `\r`, "\r", `\n`, "\n", `\t`, "\t").Replace(s)
	s = strings.ReplaceAll(s, "{long}", strings.Repeat("x", 1<<20+10))
	return base64Word.ReplaceAllStringFunc(s, func(w string) string {
		return base64.StdEncoding.EncodeToString([]byte(base64Word.FindStringSubmatch(w)[1]))
	})
}

// backend knows the user "alice" with the password "wonder land", and answers by the
// first recipient's local part.
type backend struct {
	mu    sync.Mutex
	mails []string

	held chan struct{} // closed when mail for the recipient "hold" has come
}

type refusal struct {
	code     int
	enhanced [3]int
	text     string
}

func (r refusal) Error() string                     { return r.text }
func (r refusal) SMTPStatus() (int, [3]int, string) { return r.code, r.enhanced, r.text }

func (b *backend) Login(_ context.Context, username, password string) (smtpproxy.Submitter, error) {
	if username == "locked" {
		return nil, fmt.Errorf("wrapped: %w", refusal{454, [3]int{4, 7, 0}, "The account is locked:\nbridge unlock"})
	}
	if username != "alice" || password != "wonder land" {
		return nil, errors.New("no")
	}
	return b, nil
}

func (b *backend) Submit(ctx context.Context, from string, to []string, msg []byte) (string, error) {
	b.mu.Lock()
	b.mails = append(b.mails, fmt.Sprintf("from %q to %q\n%q", from, to, msg))
	b.mu.Unlock()
	switch local, _, _ := strings.Cut(to[0], "@"); local {
	case "policy":
		return "", fmt.Errorf("wrapped: %w", refusal{550, [3]int{5, 7, 1}, "No key for jürgen@example.org\nAsk for an invite\nthird line"})
	case "broken":
		return "", errors.New("inner details")
	case "nonsense":
		return "", refusal{200, [3]int{2, 0, 0}, "refused with success?"}
	case "queued":
		return "Offline, queued\r\nin the bridge", nil
	case "panic": // a mistake in the program: the session ends, and the server does not
		panic("submitter fell over")
	case "hold":
		close(b.held)
		<-ctx.Done()
		return "queued", nil
	}
	return "", nil
}

func (b *backend) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Join(b.mails, "\n")
}

// start serves on a free port and gives its address.
func start(t *testing.T, b smtpproxy.Backend, o smtpproxy.Options) string {
	t.Helper()
	_, addr := startServer(t, b, o)
	return addr
}

func startServer(t *testing.T, b smtpproxy.Backend, o smtpproxy.Options) (*smtpproxy.Server, string) {
	t.Helper()
	o.Log = slog.New(slog.DiscardHandler)
	s := smtpproxy.New(b, o)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s, ln.Addr().String()
}

var serverCertificate = sync.OnceValues(func() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
})

func serverTLS(t *testing.T) *tls.Config {
	t.Helper()
	cert, err := serverCertificate()
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}}
}

// FuzzSession: whatever a client says, nothing is submitted without a login, and
// nothing that was not the content of a DATA or BDAT command.
func FuzzSession(f *testing.F) {
	f.Add([]byte("EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nhi\r\n.\r\nQUIT\r\n"))
	f.Add([]byte("EHLO x\r\nAUTH PLAIN AGFsaWNlAHdvbmRlcg==\r\nAUTH LOGIN\r\nYWxpY2U=\r\nAA==\r\n"))
	f.Add([]byte("EHLO x\r\nBDAT 5\r\nhelloRSET\r\nBDAT 0\r\nBDAT 99999999999999999999 LAST\r\n"))
	f.Add([]byte("MAIL FROM:<\"a b\"@[::1]> SIZE=99999999999 BODY=8BITMIME SMTPUTF8\r\nSTARTTLS\r\n"))
	f.Fuzz(func(t *testing.T, input []byte) {
		be := &backend{}
		s := smtpproxy.New(be, smtpproxy.Options{Log: slog.New(slog.DiscardHandler)})
		client, server := net.Pipe()
		ln := &oneConn{conn: server, done: make(chan struct{})}
		served := make(chan struct{})
		go func() { _ = s.Serve(ln); close(served) }()
		go func() { _, _ = io.Copy(io.Discard, client) }()
		_ = client.SetWriteDeadline(time.Now().Add(5 * time.Second))
		_, _ = client.Write(input)
		_ = client.Close()
		_ = s.Close()
		<-served
		// The password is not in the seeds, and not to be guessed.
		if got := be.String(); got != "" && !bytes.Contains(input, []byte("d29uZGVyIGxhbmQ")) {
			t.Fatalf("submitted without a login: %s", got)
		}
	})
}

// oneConn is a listener with one connection.
type oneConn struct {
	mu   sync.Mutex
	conn net.Conn
	once sync.Once
	done chan struct{}
}

func (l *oneConn) Accept() (net.Conn, error) {
	l.mu.Lock()
	c := l.conn
	l.conn = nil
	l.mu.Unlock()
	if c != nil {
		return c, nil
	}
	<-l.done
	return nil, net.ErrClosed
}

func (l *oneConn) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }
