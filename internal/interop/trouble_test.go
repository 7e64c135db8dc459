//go:build peers

package interop

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net"
	"net/http/httptest"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"mailbridge/internal/peers"
)

// Exit codes of the contract (sysexits.h).
const (
	exitData        = 65
	exitNoInput     = 66
	exitUnavailable = 69
	exitIO          = 74
	exitTemporary   = 75
	exitProtocol    = 76
	exitDenied      = 77
)

// bareBridge is an installation without an account and without a running service.
func bareBridge(t *testing.T, bed *peers.Bed, user string) *bridge {
	t.Helper()
	b := &bridge{t: t, bed: bed, home: t.TempDir(), addr: peers.Address(user)}
	t.Cleanup(b.stop)
	return b
}

// refused checks what a command that fails must look like: its exit code, and one to three
// lines that hold all words.
func (b *bridge) refused(code int, stdin string, args []string, words ...string) {
	b.t.Helper()
	out, got := b.run(stdin, args...)
	if got != code {
		b.t.Errorf("bridge %v: exit %d, not %d: %s", args, got, code, out)
	}
	if lines := strings.Count(strings.TrimSpace(out), "\n") + 1; out == "" || lines > 3 {
		b.t.Errorf("bridge %v says %d lines: %q", args, lines, out)
	}
	for _, word := range words {
		if !strings.Contains(out, word) {
			b.t.Errorf("bridge %v does not say %q: %s", args, word, out)
		}
	}
}

// adding is the command line for an account at the bed, with some flags replaced.
func (b *bridge) adding(replace map[string]string) []string {
	flags := map[string]string{
		"--imap": "127.0.0.1:" + strconv.Itoa(b.bed.IMAPS), "--imap-tls": "tls",
		"--smtp": "127.0.0.1:" + strconv.Itoa(b.bed.Submission), "--smtp-tls": "starttls",
		"--ca": b.bed.CAFile(), "--password-file": "-",
	}
	args := []string{"account", "add", b.addr}
	for flag, value := range flags {
		if other, ok := replace[flag]; ok {
			value = other
		}
		if value != "" {
			args = append(args, flag, value)
		}
	}
	return args
}

// nothingKept checks that an account that was refused has left nothing.
func (b *bridge) nothingKept() {
	b.t.Helper()
	if out := b.ok("account", "list", "--json"); strings.TrimSpace(out) != "[]" {
		b.t.Errorf("account list: %s", out)
	}
	left, err := filepath.Glob(filepath.Join(b.home, "data/accounts/*"))
	must(b.t, err)
	hidden, err := filepath.Glob(filepath.Join(b.home, "data/accounts/.*"))
	must(b.t, err)
	if len(left)+len(hidden) > 0 {
		b.t.Errorf("kept: %v %v", left, hidden)
	}
}

// accountStatus is an account in `bridge status --json`.
type accountStatus struct {
	Address, State, Provider string
	Queued, Unknown          int
	Warnings                 []string
}

func (b *bridge) status() accountStatus {
	b.t.Helper()
	var s struct{ Accounts []accountStatus }
	b.query(&s, "status")
	for _, a := range s.Accounts {
		if a.Address == b.addr {
			return a
		}
	}
	b.t.Fatalf("status does not know %s: %+v", b.addr, s)
	return accountStatus{}
}

// provider waits until status tells this of the provider.
func (b *bridge) provider(state string) accountStatus {
	b.t.Helper()
	var s accountStatus
	eventually(b.t, b.addr+"'s provider is "+state, func() bool {
		s = b.status()
		return s.Provider == state
	})
	return s
}

// dialogue is a conversation with one of the local servers, line by line.
type dialogue struct {
	t *testing.T
	*textproto.Conn
}

func talk(t *testing.T, addr string) dialogue {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, patience)
	must(t, err)
	must(t, conn.SetDeadline(time.Now().Add(2*patience)))
	d := dialogue{t, textproto.NewConn(conn)}
	t.Cleanup(func() { d.Close() })
	return d
}

// imap sends a command and gives the line with its tag.
func (d dialogue) imap(command string) string {
	d.t.Helper()
	must(d.t, d.PrintfLine("a %s", command))
	for {
		line, err := d.ReadLine()
		must(d.t, err)
		if rest, ok := strings.CutPrefix(line, "a "); ok {
			return rest
		}
	}
}

// smtp sends a command and gives the reply; an empty command only reads.
func (d dialogue) smtp(command string) string {
	d.t.Helper()
	if command != "" {
		must(d.t, d.PrintfLine("%s", command))
	}
	code, text, err := d.ReadResponse(0)
	if code == 0 {
		d.t.Fatal(err)
	}
	return strconv.Itoa(code) + " " + text
}

func plainAuth(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
}

// submit hands a message over and gives the reply after it.
func (b *bridge) submit(to, mail string) string {
	b.t.Helper()
	d := talk(b.t, b.settings.smtpAddr())
	for _, step := range []string{"", "EHLO localhost", "AUTH PLAIN " + plainAuth(b.settings.User, b.settings.Password), "MAIL FROM:<" + b.addr + ">", "RCPT TO:<" + to + ">", "DATA"} {
		if reply := d.smtp(step); reply[0] != '2' && reply[0] != '3' {
			return reply
		}
	}
	w := d.DotWriter()
	_, err := w.Write([]byte(mail))
	must(b.t, err)
	must(b.t, w.Close())
	return d.smtp("")
}

// letter is a mail to the other side of a pair.
func (h household) letter(word string) string {
	return compose(h.addr, h.other.addr, "trouble", word+"@client.example", "a body with "+word)
}

// count says how many messages in a mailbox hold a text.
func (c *client) count(mailbox, text string) int {
	n := 0
	for _, m := range c.messages(mailbox) {
		if bytes.Contains(m.Raw, []byte(text)) {
			n++
		}
	}
	return n
}

func TestWrongLocalPassword(t *testing.T) {
	t.Parallel()
	bed := peers.Start(t)
	b := newBridge(t, bed, "bridge")
	right := b.settings.Password
	wrong := [][2]string{{b.addr, "wrong-4901"}, {"nobody@" + peers.Domain, right}, {b.addr, bed.Password}, {b.addr, ""}}

	mail := talk(t, b.settings.imapAddr())
	for i, w := range wrong {
		command := fmt.Sprintf("LOGIN %q %q", w[0], w[1])
		if i == 1 {
			command = "AUTHENTICATE PLAIN " + plainAuth(w[0], w[1])
		}
		if reply := mail.imap(command); !strings.HasPrefix(reply, "NO [AUTHENTICATIONFAILED] ") {
			t.Errorf("%s: %s", w, reply)
		}
		if i == 1 {
			if reply := mail.imap("SELECT INBOX"); strings.HasPrefix(reply, "OK") {
				t.Errorf("without a login: %s", reply)
			}
			mail.Close()
			mail = talk(t, b.settings.imapAddr())
		}
	}
	if reply := mail.imap(fmt.Sprintf("LOGIN %q %q", b.addr, right)); !strings.HasPrefix(reply, "OK") {
		t.Errorf("the right password afterwards: %s", reply)
	}

	for _, w := range wrong {
		out := talk(t, b.settings.smtpAddr())
		out.smtp("")
		out.smtp("EHLO localhost")
		if reply := out.smtp("AUTH PLAIN " + plainAuth(w[0], w[1])); !strings.HasPrefix(reply, "535 5.7.8 ") {
			t.Errorf("%s: %s", w, reply)
		}
		if reply := out.smtp("MAIL FROM:<" + b.addr + ">"); !strings.HasPrefix(reply, "530 5.7.0 ") {
			t.Errorf("without a login: %s", reply)
		}
		if reply := out.smtp("AUTH PLAIN " + plainAuth(b.addr, right)); !strings.HasPrefix(reply, "235 ") {
			t.Errorf("the right password afterwards: %s", reply)
		}
		out.Close()
	}
	if log := b.logText(); strings.Contains(log, right) || strings.Contains(log, "wrong-4901") {
		t.Errorf("the log holds a password:\n%s", log)
	}
}

// TestProviderDown: what is known stays readable, what is done is done later, each once.
func TestProviderDown(t *testing.T) {
	t.Parallel()
	h := furnished(t)
	c := connect(t, h.bridge, nil)
	uid := c.find("INBOX", sealedWord).UID

	// In the middle.
	h.bed.Down()
	h.provider("offline")
	must(t, c.Noop().Wait())
	_, err := c.Select("INBOX", nil).Wait()
	must(t, err)
	must(t, c.Store(imap.UIDSetNum(uid), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagFlagged}}, nil).Close())
	draft := compose(h.addr, h.other.addr, "kept offline", "offline@client.example", "Draft 4911")
	keep := c.Append("Drafts", int64(len(draft)), &imap.AppendOptions{Flags: []imap.Flag{imap.FlagDraft}})
	_, err = keep.Write([]byte(draft))
	must(t, err)
	must(t, keep.Close())
	_, err = keep.Wait()
	must(t, err)
	if reply := h.submit(h.other.addr, h.letter("4912")); !strings.HasPrefix(reply, "250 2.0.0 Queued") {
		t.Errorf("the reply to a mail that waits: %s", reply)
	}
	if s := h.status(); s.Queued != 1 || s.State != "running" || len(s.Warnings) == 0 {
		t.Errorf("status %+v", s)
	}

	// At the start.
	h.stop()
	h.start()
	c = connect(t, h.bridge, nil)
	if m := c.find("Drafts", "Draft 4911"); !m.has(imap.FlagDraft) {
		t.Errorf("the draft has the flags %v", m.Flags)
	}
	checkOffline(t, h, uid)
	if reply := h.submit(h.other.addr, h.letter("4913")); !strings.HasPrefix(reply, "250 2.0.0 Queued") {
		t.Errorf("the reply to a mail that waits: %s", reply)
	}
	if s := h.status(); s.Queued != 2 {
		t.Errorf("status %+v", s)
	}

	must(t, h.bed.Up())
	d := connect(t, h.other, nil)
	for _, word := range []string{"4912", "4913"} {
		d.find("INBOX", "a body with "+word)
	}
	h.diskFlags("INBOX", "secret@client.example", "F")
	h.provided("Drafts", "the draft", func(m []byte) bool { return !bytes.Contains(m, []byte("4911")) })
	eventually(t, "nothing is queued", func() bool { s := h.status(); return s.Queued == 0 && s.Unknown == 0 })
	if s := h.provider("connected"); len(s.Warnings) != 0 {
		t.Errorf("warnings are left: %v", s.Warnings)
	}
	c.find("INBOX", plainWord)
	for _, word := range []string{"4912", "4913"} {
		if n := d.count("INBOX", "a body with "+word); n != 1 {
			t.Errorf("%s arrived %d times", word, n)
		}
	}
}

// checkOffline checks what a client sees of a mailbox while the provider was not there since
// the start: opened mail is here, ordinary bodies are not.
func checkOffline(t *testing.T, h household, uid imap.UID) {
	t.Helper()
	d := talk(t, h.settings.imapAddr())
	for _, step := range [][2]string{
		{fmt.Sprintf("LOGIN %q %q", h.settings.User, h.settings.Password), "OK"},
		{`LIST "" "*"`, "OK"},
		{"SELECT INBOX", "OK"},
		{fmt.Sprintf("UID FETCH %d BODY.PEEK[]", uid), "OK"},
		{"FETCH 1:* (UID FLAGS RFC822.SIZE ENVELOPE)", "OK"},
		{"FETCH 1:* BODY.PEEK[]", "NO [UNAVAILABLE] "},
		{"CREATE Elsewhere", "NO [UNAVAILABLE] "},
		{"NOOP", "OK"},
	} {
		if reply := d.imap(step[0]); !strings.HasPrefix(reply, step[1]) {
			t.Errorf("%s: %s", step[0], reply)
		}
	}
}

// TestOneOfTwoProvidersDown: the other account of the same service goes on.
func TestOneOfTwoProvidersDown(t *testing.T) {
	t.Parallel()
	h := pair(t)
	far := peers.Start(t)
	lame := &bridge{t: t, bed: far, home: h.home, addr: peers.Address("lame")}
	if out, code := lame.addAccount(far.Password); code != 0 { // to the running service
		t.Fatalf("account add: exit %d: %s", code, out)
	}
	h.query(&lame.settings, "account", "settings", lame.addr)
	h.query(&h.settings, "account", "settings", h.addr)
	connect(t, lame, nil).mailboxes()

	for _, when := range []string{"down in the middle", "down at the start"} {
		far.Down()
		lame.provider("offline")
		d := connect(t, h.other, nil)
		word := strings.ReplaceAll(when, " ", "-")
		if reply := h.submit(h.other.addr, h.letter(word)); !strings.HasPrefix(reply, "250 2.0.0 Sent") {
			t.Errorf("%s: the other account's mail: %s", when, reply)
		}
		d.find("INBOX", word)
		must(t, h.other.send([]string{h.addr}, compose(h.other.addr, h.addr, "back", "back-"+word+"@client.example", "back "+word)))
		connect(t, h.bridge, nil).find("INBOX", "back "+word)
		if reply := lame.submit(h.addr, compose(lame.addr, h.addr, "late", "late-"+word+"@client.example", "late "+word)); !strings.HasPrefix(reply, "250 2.0.0 Queued") {
			t.Errorf("%s: the mail of the account that is offline: %s", when, reply)
		}
		h.stop()
		h.start()
		h.query(&h.settings, "account", "settings", h.addr)
		h.query(&lame.settings, "account", "settings", lame.addr)
	}
	must(t, far.Up())
	for _, word := range []string{"down-in-the-middle", "down-at-the-start"} {
		all := far.WaitMail(h.addr, "INBOX", 2)
		if !bytes.Contains(bytes.Join(all, nil), []byte("late "+word)) {
			t.Errorf("%s was not sent when the provider was back", word)
		}
	}
}

// setPassword restarts the provider with another password for everybody.
func setPassword(t *testing.T, bed *peers.Bed, password string) {
	t.Helper()
	config := filepath.Join(bed.Dir, "dovecot/dovecot.conf")
	content, err := os.ReadFile(config)
	must(t, err)
	content = regexp.MustCompile(`args = password=.*`).ReplaceAll(content, []byte("args = password="+password))
	bed.Down()
	must(t, os.WriteFile(config, content, 0o644))
	must(t, bed.Up())
}

func TestProviderRefusesLogin(t *testing.T) {
	t.Parallel()
	bed := peers.Start(t)
	b := bareBridge(t, bed, "bridge")
	b.refused(exitDenied, "wrong-4921\n", b.adding(nil), "login")
	b.nothingKept()
	if out, code := b.addAccount(bed.Password); code != 0 {
		t.Fatalf("account add: exit %d: %s", code, out)
	}
	b.start()

	setPassword(t, bed, "changed-4922")
	if s := b.provider("login-refused"); len(s.Warnings) == 0 || s.State != "running" {
		t.Errorf("status %+v", s)
	}
	second := &bridge{t: t, bed: bed, home: b.home, addr: peers.Address("second")}
	second.refused(exitDenied, bed.Password+"\n", second.adding(nil), "login")
	c := connect(t, b, nil)
	c.mailboxes()
	dora := peers.Address("dora")
	if reply := b.submit(dora, compose(b.addr, dora, "waits", "waits@client.example", "waits 4923")); !strings.HasPrefix(reply, "250 2.0.0 Queued") {
		t.Errorf("the reply to a mail that waits: %s", reply)
	}
	if s := b.status(); s.Queued != 1 {
		t.Errorf("status %+v", s)
	}

	setPassword(t, bed, bed.Password)
	if all := bed.WaitMail(dora, "INBOX", 1); !bytes.Contains(all[0], []byte("waits 4923")) {
		t.Errorf("dora got %s", all[0])
	}
	// A login that was refused is not tried again soon: providers lock accounts for it.
	b.stop()
	b.start()
	b.provider("connected")
	if out := b.ok("account", "list"); strings.Contains(out, second.addr) {
		t.Errorf("account list: %s", out)
	}
}

func TestCertificateNotTrusted(t *testing.T) {
	t.Parallel()
	bed, other := peers.Start(t), peers.Start(t)
	stranger := httptest.NewTLSServer(nil)
	defer stranger.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: stranger.Certificate().Raw}), 0o600))

	b := bareBridge(t, bed, "bridge")
	cleartext := "127.0.0.1:" + strconv.Itoa(bed.IMAP)
	for name, replace := range map[string]map[string]string{
		"the system's authorities": {"--ca": ""},
		"another authority":        {"--ca": ca},
		"starttls":                 {"--ca": ca, "--imap": cleartext, "--imap-tls": "starttls"},
		"another SMTP server":      {"--smtp": "127.0.0.1:" + strconv.Itoa(other.Submission)},
		"a server without TLS":     {"--imap": cleartext},
	} {
		t.Log(name)
		b.refused(exitProtocol, bed.Password+"\n", b.adding(replace))
		b.nothingKept()
	}
	// A server that has another certificate from one day to the next.
	if out, code := b.addAccount(bed.Password); code != 0 {
		t.Fatalf("account add: exit %d: %s", code, out)
	}
	b.start()
	bed.Down()
	for _, name := range []string{"tls/server.pem", "tls/server.key"} {
		content, err := os.ReadFile(filepath.Join(other.Dir, name))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(bed.Dir, name), content, 0o644))
	}
	must(t, bed.Up())
	if s := b.provider("certificate-not-trusted"); len(s.Warnings) == 0 || s.State != "running" {
		t.Errorf("status %+v", s)
	}
	connect(t, b, nil).mailboxes()
}

func TestProviderUnreachable(t *testing.T) {
	t.Parallel()
	bed := peers.Start(t)
	closed := freePort(t)
	b := bareBridge(t, bed, "bridge")
	for name, replace := range map[string]map[string]string{
		"IMAP":            {"--imap": closed},
		"SMTP":            {"--smtp": closed},
		"no such host":    {"--imap": "imap.mailbridge.invalid:993"},
		"IMAP, STARTTLS":  {"--imap": closed, "--imap-tls": "starttls"},
		"SMTP, SMTP port": {"--smtp": closed, "--smtp-tls": "tls"},
	} {
		t.Log(name)
		b.refused(exitTemporary, bed.Password+"\n", b.adding(replace), "reached")
		b.nothingKept()
	}
	// The same where the service does the work, which goes on.
	if out, code := b.addAccount(bed.Password); code != 0 {
		t.Fatalf("account add: exit %d: %s", code, out)
	}
	b.start()
	second := &bridge{t: t, bed: bed, home: b.home, addr: peers.Address("second")}
	second.refused(exitTemporary, bed.Password+"\n", second.adding(map[string]string{"--imap": closed}), closed)
	if out := b.ok("account", "list"); strings.Contains(out, second.addr) {
		t.Errorf("account list: %s", out)
	}
	connect(t, b, nil).mailboxes()
}

// freePort gives the address of a port that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

func TestPortBusy(t *testing.T) {
	t.Parallel()
	bed := peers.Start(t)
	b := newBridge(t, bed, "bridge")
	b.refused(exitUnavailable, "", []string{"run"}) // the service itself, a second time
	b.stop()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer busy.Close()
	addr := busy.Addr().String()
	_, port, _ := net.SplitHostPort(addr)
	for _, flag := range []string{"--imap-listen", "--imaps-listen", "--smtp-listen", "--smtps-listen"} {
		b.refused(exitUnavailable, "", []string{"run", flag, addr}, port, flag)
	}
	b.env = []string{"MAILBRIDGE_LISTEN_SMTP=" + addr}
	b.refused(exitUnavailable, "", []string{"run"}, port, "MAILBRIDGE_LISTEN_SMTP")
	b.env = nil
	b.start() // nothing is left in its way
	connect(t, b, nil).mailboxes()
}

// TestNoInvite: what is not an invite changes nothing.
func TestNoInvite(t *testing.T) {
	t.Parallel()
	bed := peers.Start(t)
	b := newBridge(t, bed, "bridge")
	var own struct{ Link string }
	b.query(&own, "invite")
	fingerprint, rest, _ := strings.Cut(own.Link[strings.Index(own.Link, "#")+1:], "&")
	links := []string{
		"hello", "https://example.org/", "https://i.delta.chat/", "https://i.delta.chat/#",
		"https://i.delta.chat/#" + fingerprint,                                              // nothing but a key
		"https://i.delta.chat/#" + fingerprint[:20] + "&" + rest,                            // half a key
		"https://i.delta.chat/#" + fingerprint + "&" + strings.Replace(rest, "a=", "b=", 1), // no address
		strings.Replace(own.Link, "i.delta.chat", "i.delta.chat.example.org", 1),            // another place
		own.Link, // our own
		"mailto:" + peers.Address("carol"), "OPENPGP4FPR:", "\x00\xff", strings.Repeat("x", 1<<20),
	}
	check := func() {
		for _, link := range links {
			b.refused(exitData, link+"\n", []string{"join", "-"})
		}
		b.refused(exitData, "", []string{"join", "hello", "--wait"})
		b.refused(exitNoInput, "", []string{"join", "-"})
	}
	check()
	if out := b.ok("contacts", "--json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("contacts: %s", out)
	}
	connect(t, b, nil).mailboxes()
	b.stop()
	check()
	if archive, err := bed.Archive(); err != nil || len(archive) != 0 {
		t.Errorf("%d messages were sent, %v", len(archive), err)
	}
}
