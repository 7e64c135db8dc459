//go:build linux

package peers

import (
	"crypto/x509"
	"embed"
	"fmt"
	"net"
	"net/smtp"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/template"
	"time"
)

// Every address made by Address exists and has this password.
const (
	Domain   = "example.org"
	Password = "testbed"
)

// patience bounds every wait for a peer. All of them answer within seconds; a machine that
// runs several tests at once on two cores gets a generous factor.
const patience = 90 * time.Second

//go:embed config
var configs embed.FS

// Bed is one Dovecot and one Postfix.
type Bed struct {
	Name string // unique among all beds
	Dir  string

	IMAP, IMAPS             int // STARTTLS, implicit TLS
	Submission, Submissions int
	MX                      int // no login, local recipients only: mail from outside

	Domain, Password string

	t       testing.TB
	ca      []byte
	daemons []*daemon
}

// Address gives the mail address of a user.
func Address(name string) string { return "t-" + name + "@" + Domain }

// Start starts a bed that ends with the test.
func Start(t testing.TB) *Bed {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("the real peers need root: Dovecot and Postfix run as users of their own")
	}
	for _, path := range []string{"/usr/sbin/dovecot", postfixMaster} {
		if _, err := os.Stat(path); err != nil {
			t.Fatalf("%v; make install-peers installs it", err)
		}
	}
	// Unix sockets allow 107 octets, and the daemons' users must get there, so it is not
	// below the test's own directory.
	dir, err := os.MkdirTemp("/tmp", "mbp")
	if err != nil {
		t.Fatal(err)
	}
	b := &Bed{Name: filepath.Base(dir), Dir: dir, Domain: Domain, Password: Password, t: t}
	t.Cleanup(b.end)
	if err := b.prepare(); err != nil {
		t.Fatal(err)
	}
	// Another process may take a port between choosing and listening.
	for attempt := 0; ; attempt++ {
		err := b.start()
		if err == nil {
			return b
		}
		b.Down()
		if attempt == 4 {
			t.Fatalf("starting Dovecot and Postfix: %v", err)
		}
	}
}

func (b *Bed) end() {
	b.Down()
	if b.t.Failed() {
		b.t.Logf("last lines of the peers' logs:\n%s", b.tail())
	}
	_ = os.RemoveAll(b.Dir)
}

func (b *Bed) tail() string {
	var out strings.Builder
	for _, name := range []string{"dovecot", "postfix", "start"} {
		log, _ := os.ReadFile(filepath.Join(b.Dir, "log", name+".log"))
		lines := strings.SplitAfter(string(log), "\n")
		out.WriteString(strings.Join(lines[max(0, len(lines)-20):], ""))
	}
	return out.String()
}

// directory is one of the bed's, with the owner that its daemon insists on.
type directory struct {
	path  string
	mode  os.FileMode
	owner ids
}

func directories() ([]directory, error) {
	postfix, err := userIDs("postfix")
	if err != nil {
		return nil, err
	}
	mail, err := userIDs("mail")
	if err != nil {
		return nil, err
	}
	postdrop, err := user.LookupGroup("postdrop")
	if err != nil {
		return nil, err
	}
	drop := ids{uid: postfix.uid}
	if drop.gid, err = strconv.Atoi(postdrop.Gid); err != nil {
		return nil, err
	}
	var dirs []directory
	for _, path := range []string{"", "tls", "log", "sock", "dovecot", "dovecot/run", "postfix", "postfix/etc", "postfix/spool", "postfix/spool/pid"} {
		dirs = append(dirs, directory{path: path, mode: 0o755})
	}
	for _, path := range []string{
		"data", "spool/active", "spool/bounce", "spool/corrupt", "spool/defer", "spool/deferred", "spool/flush",
		"spool/hold", "spool/incoming", "spool/private", "spool/saved", "spool/trace",
	} {
		dirs = append(dirs, directory{"postfix/" + path, 0o700, ids{uid: postfix.uid}})
	}
	return append(dirs,
		directory{"mail", 0o755, mail},
		directory{"postfix/spool/public", 0o710, drop},
		directory{"postfix/spool/maildrop", 0o730, drop}), nil
}

// prepare makes the directories and the certificates.
func (b *Bed) prepare() error {
	dirs, err := directories()
	if err != nil {
		return err
	}
	for _, d := range dirs {
		path := filepath.Join(b.Dir, d.path)
		if err := os.MkdirAll(path, d.mode); err != nil {
			return err
		}
		// The umask may have taken bits away.
		if err := os.Chmod(path, d.mode); err != nil {
			return err
		}
		if err := os.Chown(path, d.owner.uid, d.owner.gid); err != nil {
			return err
		}
	}
	b.ca, err = writeCertificates(filepath.Join(b.Dir, "tls"), time.Now())
	return err
}

type ids struct{ uid, gid int }

func userIDs(name string) (ids, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return ids{}, err
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	if err1 != nil || err2 != nil {
		return ids{}, fmt.Errorf("user %s has no numbers", name)
	}
	return ids{uid, gid}, nil
}

// start chooses ports, writes the configuration and starts both daemons.
func (b *Bed) start() error {
	ports := []*int{&b.IMAP, &b.IMAPS, &b.Submission, &b.Submissions, &b.MX}
	var listeners []net.Listener
	for _, port := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		listeners = append(listeners, l)
		*port = l.Addr().(*net.TCPAddr).Port
	}
	for _, l := range listeners {
		_ = l.Close()
	}
	if err := b.configure(); err != nil {
		return err
	}
	return b.Up()
}

func (b *Bed) configure() error {
	domain := regexp.QuoteMeta(Domain)
	files := map[string]string{
		"postfix/etc/mailboxes": "/^archive@" + domain + "$/ ok\n/^t-[^@]*@" + domain + "$/ ok\n",
		"postfix/etc/archive":   "/^([^@+]+)@" + domain + "$/ archive+$1@" + Domain + "\n",
		"postfix/etc/senders":   "/^(.*)$/ $1\n",
	}
	for name, path := range map[string]string{"dovecot.conf": "dovecot/dovecot.conf", "main.cf": "postfix/etc/main.cf", "master.cf": "postfix/etc/master.cf"} {
		tmpl, err := template.ParseFS(configs, "config/"+name)
		if err != nil {
			return err
		}
		var out strings.Builder
		if err := tmpl.Execute(&out, b); err != nil {
			return err
		}
		files[path] = out.String()
	}
	// Postfix waits until its configuration is two seconds old.
	old := time.Now().Add(-time.Minute)
	for path, content := range files {
		path = filepath.Join(b.Dir, path)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
		if err := os.Chtimes(path, old, old); err != nil {
			return err
		}
	}
	return nil
}

// Up starts both daemons on the bed's ports, after Down.
func (b *Bed) Up() error {
	etc := filepath.Join(b.Dir, "postfix/etc")
	commands := []command{
		{"", nil, []string{"/usr/sbin/dovecot", "-F", "-c", filepath.Join(b.Dir, "dovecot/dovecot.conf")}},
		{filepath.Join(b.Dir, "postfix/spool"), []string{"MAIL_CONFIG=" + etc}, []string{postfixMaster, "-c", etc, "-d"}},
	}
	for _, c := range commands {
		d, err := startDaemon(c, filepath.Join(b.Dir, "log/start.log"))
		if err != nil {
			return err
		}
		b.daemons = append(b.daemons, d)
	}
	for _, port := range []int{b.IMAP, b.IMAPS, b.Submission, b.Submissions, b.MX} {
		if err := b.await(port); err != nil {
			return err
		}
	}
	return nil
}

// Down stops both daemons; mail and queue stay.
func (b *Bed) Down() {
	for _, d := range b.daemons {
		d.stop()
	}
	b.daemons = nil
}

// await waits until a port is open and both daemons still run.
func (b *Bed) await(port int) error {
	deadline := time.Now().Add(patience)
	for {
		for _, d := range b.daemons {
			if err := d.ended(); err != nil {
				return fmt.Errorf("%w\n%s", err, b.tail())
			}
		}
		conn, err := net.Dial("tcp", address(port))
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("port %d does not open", port)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// CA is the certificate of the bed's authority, PEM-encoded.
func (b *Bed) CA() []byte { return slices.Clone(b.ca) }

// CAFile is the file that holds CA.
func (b *Bed) CAFile() string { return filepath.Join(b.Dir, "tls/ca.pem") }

// Pool holds CA alone.
func (b *Bed) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(b.ca)
	return pool
}

// Deliver brings mail from outside, through the MX port.
func (b *Bed) Deliver(from string, to []string, raw []byte) error {
	// smtp.SendMail would insist on STARTTLS with an authority of the system's.
	client, err := smtp.Dial(address(b.MX))
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Mail(from); err != nil {
		return err
	}
	for _, addr := range to {
		if err := client.Rcpt(addr); err != nil {
			return err
		}
	}
	w, err := client.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(raw); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return client.Quit()
}

// Mail is the directory with all users' mail; Maildir is one user's.
func (b *Bed) Mail() string { return filepath.Join(b.Dir, "mail") }

// Maildir is the directory where the provider keeps a user's mail.
func (b *Bed) Maildir(addr string) string {
	local, _, _ := strings.Cut(addr, "@")
	return filepath.Join(b.Mail(), local, "Maildir")
}

// Messages reads a mailbox of a user from the provider's disk, as IMAP would serve it, in
// order of arrival. INBOX is the empty name.
func (b *Bed) Messages(addr, mailbox string) ([][]byte, error) {
	dir := b.Maildir(addr)
	if mailbox != "" && mailbox != "INBOX" {
		dir = filepath.Join(dir, "."+mailbox)
	}
	var names []string
	for _, sub := range []string{"new", "cur"} {
		found, err := filepath.Glob(filepath.Join(dir, sub, "*"))
		if err != nil {
			return nil, err
		}
		names = append(names, found...)
	}
	slices.SortFunc(names, func(x, y string) int { return strings.Compare(arrival(x), arrival(y)) })
	var out [][]byte
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			continue // moved from new to cur, or deleted, meanwhile
		}
		if err != nil {
			return nil, err
		}
		raw = []byte(strings.ReplaceAll(strings.ReplaceAll(string(raw), "\r\n", "\n"), "\n", "\r\n"))
		out = append(out, raw)
	}
	return out, nil
}

// arrival makes the time in a Maildir name comparable: SECONDS.MMICROSECONDSPPID.
func arrival(path string) string {
	seconds, rest, _ := strings.Cut(filepath.Base(path), ".M")
	micros, _, _ := strings.Cut(rest, "P")
	n, _ := strconv.Atoi(micros)
	return fmt.Sprintf("%s.%06d", seconds, n)
}

// Delivered is one message as it was delivered.
type Delivered struct {
	From, To string // envelope addresses
	Data     []byte
}

// Archive gives every message that was delivered to any user, in order, even if the user
// has deleted it since.
func (b *Bed) Archive() ([]Delivered, error) {
	copies, err := b.Messages("archive@"+Domain, "")
	if err != nil {
		return nil, err
	}
	var out []Delivered
	for _, raw := range copies {
		d := Delivered{Data: raw}
		header, _, _ := strings.Cut(string(raw), "\r\n\r\n")
		for line := range strings.SplitSeq(header, "\r\n") {
			if v, ok := strings.CutPrefix(line, "Return-Path: <"); ok && d.From == "" {
				d.From = strings.TrimSuffix(v, ">")
			}
			if v, ok := strings.CutPrefix(line, "Delivered-To: archive+"); ok && d.To == "" {
				d.To = v
			}
		}
		out = append(out, d)
	}
	return out, nil
}

// WaitMail waits until a mailbox holds at least n messages and gives them.
func (b *Bed) WaitMail(addr, mailbox string, n int) [][]byte {
	b.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		messages, err := b.Messages(addr, mailbox)
		if err != nil {
			b.t.Fatal(err)
		}
		if len(messages) >= n {
			return messages
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("%s of %s holds %d messages, not %d, after %v", mailbox, addr, len(messages), n, patience)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
