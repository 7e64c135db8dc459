package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailbridge/web"
)

// exitOf runs an error through classify.
func exitOf(err error) int {
	if err == nil {
		return 0
	}
	return classify(err).Exit
}

func TestMasterKey(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	d := testDirs(t)
	if _, err := d.masterKey(t.Context()); exitOf(err) != exitDenied {
		t.Fatalf("missing: %v", err)
	}
	if err := d.ensureMasterKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	key, err := d.masterKey(t.Context())
	if err != nil || key == [32]byte{} {
		t.Fatalf("%v %v", key, err)
	}
	if err := d.ensureMasterKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	if again, err := d.masterKey(t.Context()); err != nil || again != key {
		t.Error("the key changed")
	}
	info, err := os.Stat(d.masterKeyFile())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v %v", info.Mode(), err)
	}
}

// TestMasterKeyStates shows that no state of the key file but "never there" makes a key.
func TestMasterKeyStates(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	good := base64.StdEncoding.EncodeToString(make([]byte, 32)) + "\n"
	cases := []struct {
		name, content string
		mode          os.FileMode
		exit          int
	}{
		{"good", good, 0o600, 0},
		{"others may read", good, 0o644, exitDenied},
		{"empty", "", 0o600, exitData},
		{"short", "c2hvcnQ=\n", 0o600, exitData},
		{"no base64", strings.Repeat("!", 44), 0o600, exitData},
		{"long", good + good, 0o600, exitData},
		{"huge", strings.Repeat("A", 1<<20), 0o600, exitData},
	}
	for _, tc := range cases {
		d := testDirs(t)
		if err := os.WriteFile(d.masterKeyFile(), []byte(tc.content), tc.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := d.masterKey(t.Context()); exitOf(err) != tc.exit {
			t.Errorf("%s: %v", tc.name, err)
		}
		if err := d.ensureMasterKey(t.Context()); exitOf(err) != tc.exit {
			t.Errorf("%s: ensure: %v", tc.name, err)
		}
		if b, err := os.ReadFile(d.masterKeyFile()); err != nil || string(b) != tc.content {
			t.Errorf("%s: the file was touched", tc.name)
		}
	}
	d := testDirs(t)
	if err := os.Mkdir(d.account("a@example.org"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := d.ensureMasterKey(t.Context()); exitOf(err) != exitDenied {
		t.Errorf("missing with an account: %v", err)
	}
	if _, err := os.Stat(d.masterKeyFile()); err == nil {
		t.Error("a second key was made")
	}
}

func TestMasterKeyCredential(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	d := testDirs(t)
	var want [32]byte
	copy(want[:], strings.Repeat("k", 32))
	// systemd gives its files mode 0440.
	if err := os.WriteFile(filepath.Join(dir, credentialName), []byte(base64.StdEncoding.EncodeToString(want[:])), 0o440); err != nil {
		t.Fatal(err)
	}
	if got, err := d.masterKey(t.Context()); err != nil || got != want {
		t.Errorf("%v %v", got, err)
	}
	if err := d.ensureMasterKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(d.masterKeyFile()); err == nil {
		t.Error("a key file was made beside the credential")
	}
}

func TestLeaf(t *testing.T) {
	t.Parallel()
	d := testDirs(t)
	now := time.Now()
	first, err := d.openLeaf(now)
	if err != nil {
		t.Fatal(err)
	}
	same, err := d.openLeaf(now.Add(leafValidity / 2))
	if err != nil || same.fingerprint() != first.fingerprint() {
		t.Errorf("it changed before its time: %v", err)
	}
	renewed, err := d.openLeaf(now.Add(leafValidity - leafRenewal))
	if err != nil || renewed.fingerprint() == first.fingerprint() {
		t.Errorf("it was not renewed: %v", err)
	}
	if string(renewed.cert.Leaf.RawSubjectPublicKeyInfo) != string(first.cert.Leaf.RawSubjectPublicKeyInfo) {
		t.Error("the key changed with the certificate")
	}
	if first.cert.Leaf.IsCA || len(first.fingerprint()) != 64 || strings.ToUpper(first.fingerprint()) != first.fingerprint() {
		t.Errorf("CA %v, fingerprint %s", first.cert.Leaf.IsCA, first.fingerprint())
	}
	if validity := first.cert.Leaf.NotAfter.Sub(first.cert.Leaf.NotBefore); validity > leafValidity {
		t.Errorf("valid for %v", validity)
	}
}

// TestLeafHandshake shows that a client which trusts the file trusts the servers, under
// each of their names, and one that does not, does not.
func TestLeafHandshake(t *testing.T) {
	t.Parallel()
	d := testDirs(t)
	leaf, err := d.openLeaf(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(leaf.file)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatal("no PEM")
	}
	for _, tc := range []struct {
		name  string
		roots *x509.CertPool
		ok    bool
	}{
		{"localhost", roots, true}, {"127.0.0.1", roots, true}, {"::1", roots, true},
		{"example.org", roots, false}, {"localhost", x509.NewCertPool(), false},
	} {
		err := handshake(t, leaf, &tls.Config{ServerName: tc.name, RootCAs: tc.roots})
		if (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

func handshake(t *testing.T, leaf *leaf, config *tls.Config) error {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", leaf.tlsConfig())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err == nil {
			_ = conn.(*tls.Conn).Handshake()
			conn.Close()
		}
	}()
	conn, err := tls.Dial("tcp", l.Addr().String(), config)
	if err == nil {
		conn.Close()
	}
	return err
}

func TestLeafDamaged(t *testing.T) {
	t.Parallel()
	d := testDirs(t)
	first, err := d.openLeaf(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.certFile(), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	again, err := d.openLeaf(time.Now())
	if err != nil || string(again.cert.Leaf.RawSubjectPublicKeyInfo) != string(first.cert.Leaf.RawSubjectPublicKeyInfo) {
		t.Fatalf("a damaged certificate is made anew with the same key: %v", err)
	}
	if err := os.WriteFile(d.certKeyFile(), []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.openLeaf(time.Now()); exitOf(err) != exitData {
		t.Errorf("a damaged key is not replaced: %v", err)
	}
}

func TestPasswordSources(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("from file\r\nsecond line"), 0o600); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name  string
		flags passwordFlags
		stdin string
		want  string
		exit  int
	}{
		{"file", passwordFlags{PasswordFile: file}, "", "from file", 0},
		{"no file", passwordFlags{PasswordFile: file + "x"}, "", "", exitNoInput},
		{"stdin", passwordFlags{PasswordFile: "-"}, " sp ace \n", " sp ace ", 0},
		{"no line end", passwordFlags{PasswordFile: "-"}, "x", "x", 0},
		{"empty", passwordFlags{PasswordFile: "-"}, "\n", "", exitData},
		{"too long", passwordFlags{PasswordFile: "-"}, strings.Repeat("x", maxPassword+1), "", exitData},
		{"NUL", passwordFlags{PasswordFile: "-"}, "a\x00b", "", exitData},
		{"command", passwordFlags{PasswordCommand: "echo by command"}, "", "by command", 0},
		{"command fails", passwordFlags{PasswordCommand: "exit 3"}, "", "", exitNoInput},
		{"no terminal", passwordFlags{}, "x", "", exitUsage},
	}
	for _, tc := range cases {
		a := &app{ctx: t.Context(), stdin: strings.NewReader(tc.stdin), stdout: io.Discard, stderr: io.Discard}
		got, err := tc.flags.read(t.Context(), a, "? ")
		if got != tc.want || exitOf(err) != tc.exit {
			t.Errorf("%s: %q %v", tc.name, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "xxxx") {
			t.Errorf("%s: the error shows the password", tc.name)
		}
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ text, want string }{
		{"plain", "bridge: plain\n"},
		{"what\nhow", "bridge: what\n  how\n"},
		{"1\n2\n3\n4", "bridge: 1\n  2\n  3 4\n"},
		{"evil \x1b[2J\u202e\r text", "bridge: evil [2J  text\n"},
	} {
		var b strings.Builder
		report(&b, &web.Error{Text: tc.text})
		if b.String() != tc.want {
			t.Errorf("%q: %q", tc.text, b.String())
		}
	}
}
