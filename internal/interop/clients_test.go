//go:build peers

package interop

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"

	"mailbridge/internal/peers"
)

// What the clients are given to read: an encrypted mail with an attachment, and a plain one.
// The words stand in bodies and attachments only.
const (
	sealedWord  = "Quittenmarmelade"
	sealedFile  = "Apfelkompott in a file\r\n"
	plainWord   = "Zwetschgenknödel"
	sealedTitle = "Rezepte für Gäste"
	plainTitle  = "Plain fare"
)

// household is a bridge with something to read in INBOX, and one that it has shaken hands
// with.
type household struct {
	*bridge
	other *bridge
	bed   *peers.Bed
}

// pair starts two bridges at one provider and lets them shake hands.
func pair(t *testing.T) household {
	t.Helper()
	bed := peers.Start(t)
	h := household{bridge: newBridge(t, bed, "bridge"), other: newBridge(t, bed, "other"), bed: bed}
	var invite struct{ Link string }
	h.query(&invite, "invite")
	h.other.ok("join", invite.Link, "--wait")
	for _, side := range [][2]*bridge{{h.bridge, h.other}, {h.other, h.bridge}} {
		eventually(t, side[0].addr+" has verified "+side[1].addr, func() bool {
			c, ok := side[0].contact(side[1].addr)
			return ok && c.Verified
		})
	}
	return h
}

// furnished is a pair whose first bridge has both mails in INBOX.
func furnished(t *testing.T) household {
	t.Helper()
	h := pair(t)
	must(t, h.other.send([]string{h.addr}, withFile(h.other.addr, h.addr, sealedTitle, "secret@client.example", "Heute gibt es "+sealedWord+".", sealedFile)))
	dora := peers.Address("dora")
	must(t, h.bed.Deliver(dora, []string{h.addr}, []byte(compose(dora, h.addr, plainTitle, "plain@client.example", "Heute gibt es "+plainWord+"."))))
	c := connect(t, h.bridge, nil)
	secret := c.find("INBOX", sealedWord)
	c.find("INBOX", plainWord)
	if !secret.has("$Encrypted") || !secret.has("$Verified") {
		t.Fatalf("the mail came with the flags %v", secret.Flags)
	}
	return h
}

// withFile makes a mail with an attachment.
func withFile(from, to, subject, id, text, file string) string {
	mail := compose(from, to, subject, id, text)
	header, _, _ := strings.Cut(mail, "Content-Type: ")
	return header + "Content-Type: multipart/mixed; boundary=\"frontier\"\r\n\r\n" +
		"--frontier\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + text + "\r\n" +
		"--frontier\r\nContent-Type: application/octet-stream; name=\"recipe.bin\"\r\nContent-Disposition: attachment; filename=\"recipe.bin\"\r\n" +
		"Content-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte(file)) + "\r\n--frontier--\r\n"
}

// tool runs a client program and gives both its streams and its exit code.
func tool(t *testing.T, stdin, name string, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	// A home without anybody's own configuration, and room for nothing else.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "LANG=C.UTF-8"}
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v; make install-peers installs it", name, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// works is tool for a run that must succeed.
func works(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	out, code := tool(t, stdin, name, args...)
	if code != 0 {
		t.Fatalf("%s %v: exit %d: %s", name, args, code, out)
	}
	return out
}

// writeSecret writes a client's configuration file, readable by its owner alone.
func writeSecret(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// provided waits until the provider's mailbox holds a message that match accepts.
func (b *bridge) provided(mailbox, what string, match func([]byte) bool) []byte {
	b.t.Helper()
	var found []byte
	eventually(b.t, what+" in the provider's "+mailbox, func() bool {
		all, err := b.bed.Messages(b.addr, mailbox)
		if err != nil {
			b.t.Fatal(err)
		}
		i := slices.IndexFunc(all, match)
		if i >= 0 {
			found = all[i]
		}
		return i >= 0
	})
	return found
}

func holds(text string) func([]byte) bool {
	return func(b []byte) bool { return bytes.Contains(b, []byte(text)) }
}

// diskFlags waits until a message of the provider's mailbox has these Maildir flags, which
// stand in the file's name (S seen, F flagged, R answered, D draft, T deleted).
func (b *bridge) diskFlags(mailbox, text, flags string) {
	b.t.Helper()
	dir := b.bed.Maildir(b.addr)
	if mailbox != "INBOX" {
		dir = filepath.Join(dir, "."+mailbox)
	}
	eventually(b.t, "the flags "+flags+" at the provider", func() bool {
		names, _ := filepath.Glob(filepath.Join(dir, "cur", "*:2,"+flags))
		return slices.ContainsFunc(names, func(name string) bool {
			content, err := os.ReadFile(name)
			return err == nil && bytes.Contains(content, []byte(text))
		})
	})
}

// mbsyncConfig has mbsync keep a Maildir of the whole account.
const mbsyncConfig = `IMAPAccount bridge
Host %s
Port %d
User %s
Pass %s
SSLType STARTTLS
SystemCertificates no
CertificateFile %s
AuthMechs LOGIN

IMAPStore far
Account bridge

MaildirStore near
Path %[6]s/
Inbox %[6]s/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Near
Sync All
SyncState *
`

// maildir gives the messages below a Maildir folder by file name.
func maildir(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	for _, sub := range []string{"new", "cur"} {
		names, err := filepath.Glob(filepath.Join(dir, sub, "*"))
		must(t, err)
		for _, name := range names {
			content, err := os.ReadFile(name)
			must(t, err)
			found[name] = content
		}
	}
	return found
}

// tuid is a field that mbsync adds to what it copies.
var tuid = regexp.MustCompile(`(?m)^X-TUID: .*\n`)

func holding(t *testing.T, messages map[string][]byte, text string) (name string, content []byte) {
	t.Helper()
	for name, content := range messages {
		if bytes.Contains(content, []byte(text)) {
			return name, tuid.ReplaceAll(content, nil)
		}
	}
	t.Fatalf("no message with %q among %d", text, len(messages))
	return "", nil
}

// TestMbsync pulls the account, pushes flags and a new message, and finds nothing to do
// afterwards.
func TestMbsync(t *testing.T) {
	t.Parallel()
	h := furnished(t)
	s, local := h.settings, t.TempDir()
	config := writeSecret(t, "mbsyncrc", fmt.Sprintf(mbsyncConfig, s.IMAP.Host, s.IMAP.Port, s.User, s.Password, s.CertificateFile, local))
	works(t, "", "mbsync", "-c", config, "-a")

	c := connect(t, h.bridge, nil)
	inbox := maildir(t, filepath.Join(local, "INBOX"))
	if len(inbox) != 2 {
		t.Fatalf("pulled %d messages, not 2", len(inbox))
	}
	secretName, secret := holding(t, inbox, sealedWord)
	_, plain := holding(t, inbox, plainWord)
	for text, got := range map[string][]byte{sealedWord: secret, plainWord: plain} {
		if want := bytes.ReplaceAll(c.find("INBOX", text).Raw, []byte("\r\n"), []byte("\n")); !bytes.Equal(got, want) {
			t.Errorf("mbsync has:\n%s\nserved was:\n%s", got, want)
		}
	}
	for _, name := range []string{"Sent", "Drafts", "Trash", "Bridge"} {
		if _, err := os.Stat(filepath.Join(local, name, "cur")); err != nil {
			t.Errorf("mailbox %s was not pulled: %v", name, err)
		}
	}

	// The flags of one, and a new message.
	seen := filepath.Join(local, "INBOX/cur", regexp.MustCompile(`:2,.*`).ReplaceAllString(filepath.Base(secretName), "")+":2,FS")
	must(t, os.Rename(secretName, seen))
	pushed := strings.ReplaceAll(compose(h.addr, h.addr, "kept by mbsync", "kept@client.example", "Birnenbrot 4801"), "\r\n", "\n")
	must(t, os.WriteFile(filepath.Join(local, "INBOX/cur/1.kept.here:2,S"), []byte(pushed), 0o600))
	works(t, "", "mbsync", "-c", config, "-a")
	h.diskFlags("INBOX", "secret@client.example", "FS")
	h.diskFlags("INBOX", "Birnenbrot 4801", "S")
	if m := c.find("INBOX", "Birnenbrot 4801"); !m.has(imap.FlagSeen) || m.header(t, "Mailbridge-Security") != "" {
		t.Errorf("the pushed message has the flags %v", m.Flags)
	}

	// Nothing is left to do, neither here nor there.
	before := snapshot(t, h, local)
	out := works(t, "", "mbsync", "-V", "-c", config, "-a")
	if after := snapshot(t, h, local); after != before {
		t.Errorf("a second run changed something:\n%s\nbefore:\n%s\nmbsync said:\n%s", after, before, out)
	}
}

// snapshot writes down what a further run of mbsync must leave alone.
func snapshot(t *testing.T, h household, local string) string {
	t.Helper()
	var lines []string
	c := connect(t, h.bridge, nil)
	for _, name := range c.mailboxes() {
		status, err := c.Status(name, &imap.StatusOptions{NumMessages: true, UIDNext: true, UIDValidity: true}).Wait()
		must(t, err)
		lines = append(lines, fmt.Sprint(name, " ", *status.NumMessages, " ", status.UIDNext, " ", status.UIDValidity))
		for _, m := range c.messages(name) {
			lines = append(lines, fmt.Sprint(" ", m.UID, " ", m.Size, " ", m.Flags))
		}
		files := maildir(t, filepath.Join(local, name))
		for file := range files {
			lines = append(lines, file)
		}
	}
	for _, name := range []string{"INBOX", "Sent", "Drafts", "Trash"} {
		all, err := h.bed.Messages(h.addr, name)
		must(t, err)
		lines = append(lines, fmt.Sprint("provider's ", name, " ", len(all)))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TestMsmtp sends over STARTTLS, TLS and plain loopback, with both mechanisms.
func TestMsmtp(t *testing.T) {
	t.Parallel()
	h := pair(t)
	d := connect(t, h.other, nil)
	trust := "tls_trust_file " + h.settings.CertificateFile
	ways := []struct {
		name  string
		port  int
		lines []string
	}{
		{"starttls", h.settings.SMTP.Port, []string{"tls on", "tls_starttls on", trust, "auth on"}},
		{"tls", h.settings.SMTPS.Port, []string{"tls on", "tls_starttls off", trust, "auth plain"}},
		{"plain", h.settings.SMTP.Port, []string{"tls off", "auth plain"}},
		{"login", h.settings.SMTP.Port, []string{"tls off", "auth login"}},
	}
	for _, way := range ways {
		config := writeSecret(t, "msmtprc", strings.Join(append([]string{
			"account default", "host " + h.settings.SMTP.Host, "port " + strconv.Itoa(way.port), "from " + h.addr,
			"user " + h.settings.User, "password " + h.settings.Password,
		}, way.lines...), "\n")+"\n")
		word := "Schlehenlikör-" + way.name
		mail := compose(h.addr, h.other.addr, "sent by msmtp", way.name+"@client.example", word+"\r\n.one dot\r\n..two dots")
		works(t, strings.ReplaceAll(mail, "\r\n", "\n"), "msmtp", "-C", config, h.other.addr)
		got := d.find("INBOX", word)
		if !got.has("$Encrypted") || !got.has("$Verified") || strings.TrimRight(got.text(t), "\r\n") != word+"\r\n.one dot\r\n..two dots" {
			t.Errorf("%s: flags %v, text %q", way.name, got.Flags, got.text(t))
		}

		// A refusal is told in the bridge's words, and keeps the message from leaving.
		refused := compose(h.addr, peers.Address("nobody"), "[enc] to somebody without a key", way.name+"-refused@client.example", "Stachelbeeren")
		out, code := tool(t, strings.ReplaceAll(refused, "\r\n", "\n"), "msmtp", "-C", config, peers.Address("nobody"))
		if code == 0 || !strings.Contains(out, "550 5.7.5") || !strings.Contains(out, peers.Address("nobody")) {
			t.Errorf("%s: exit %d: %s", way.name, code, out)
		}
	}
	for _, who := range []string{h.addr, h.other.addr, peers.Address("nobody"), "archive@" + peers.Domain} {
		for _, name := range []string{"INBOX", "Sent", "Drafts"} {
			all, err := h.bed.Messages(who, name)
			must(t, err)
			for _, m := range all {
				if bytes.Contains(m, []byte("Schlehen")) || bytes.Contains(m, []byte("Stachelbeeren")) {
					t.Errorf("the provider can read in %s of %s:\n%s", name, who, m)
				}
			}
		}
	}
}

// TestCurl reads over IMAP and IMAPS, keeps a draft, and sends.
func TestCurl(t *testing.T) {
	t.Parallel()
	h := furnished(t)
	s := h.settings
	user := []string{"-sS", "--user", s.User + ":" + s.Password}
	ways := map[string][]string{
		"plain":    {"imap://" + s.imapAddr()},
		"starttls": {"imap://" + s.imapAddr(), "--ssl-reqd", "--cacert", s.CertificateFile},
		"tls":      {"imaps://" + s.IMAPS.Host + ":" + strconv.Itoa(s.IMAPS.Port), "--cacert", s.CertificateFile},
	}
	secret := connect(t, h.bridge, nil).find("INBOX", sealedWord)
	uid := strconv.Itoa(int(secret.UID))
	for name, way := range ways {
		curl := func(path string, more ...string) string {
			return works(t, "", "curl", slices.Concat(user, way[1:], more, []string{way[0] + path})...)
		}
		if got := curl("/INBOX;UID=" + uid); got != string(secret.Raw) {
			t.Errorf("%s: curl got:\n%s\nserved was:\n%s", name, got, secret.Raw)
		}
		if got := curl("/INBOX;UID=" + uid + ";SECTION=1"); !strings.Contains(got, sealedWord) || strings.Contains(got, "frontier") {
			t.Errorf("%s: part 1 is %q", name, got)
		}
		if got := curl("/INBOX;MAILINDEX=1;SECTION=HEADER.FIELDS%20(Mailbridge-Security)"); !strings.Contains(got, "trust=verified") {
			t.Errorf("%s: the security field is %q", name, got)
		}
		if got := curl(""); !strings.Contains(got, `\Drafts`) || !strings.Contains(got, "INBOX") {
			t.Errorf("%s: the list is %s", name, got)
		}
		if got := strings.TrimSpace(curl("/INBOX?TEXT%20" + sealedWord)); got != "* SEARCH "+uid && got != "* SEARCH 1" {
			t.Errorf("%s: search found %q", name, got)
		}
		if got := curl("/INBOX", "-X", "EXAMINE INBOX"); !strings.Contains(got, "2 EXISTS") {
			t.Errorf("%s: EXAMINE says %q", name, got)
		}
	}
	if out, code := tool(t, "", "curl", slices.Concat(user, []string{ways["tls"][0] + "/"})...); code != 60 {
		t.Errorf("without the certificate file: exit %d: %s", code, out)
	}

	draft := writeSecret(t, "draft.eml", compose(h.addr, h.other.addr, "a draft", "draft@client.example", "Hagebuttentee 4811"))
	works(t, "", "curl", slices.Concat(user, []string{"-T", draft, ways["plain"][0] + "/Drafts"})...)
	content, err := os.ReadFile(draft)
	must(t, err)
	if kept := connect(t, h.bridge, nil).find("Drafts", "Hagebuttentee"); !bytes.Equal(kept.Raw, content) {
		t.Errorf("the draft came back as:\n%s", kept.Raw)
	}
	if kept := h.provided("Drafts", "the draft", func([]byte) bool { return true }); bytes.Contains(kept, []byte("Hagebuttentee")) {
		t.Errorf("the provider can read the draft:\n%s", kept)
	}
	curlSends(t, h)
}

func curlSends(t *testing.T, h household) {
	t.Helper()
	s, d := h.settings, connect(t, h.other, nil)
	for name, way := range map[string][]string{
		"plain":    {"smtp://" + s.smtpAddr()},
		"starttls": {"smtp://" + s.smtpAddr(), "--ssl-reqd", "--cacert", s.CertificateFile},
		"tls":      {"smtps://" + s.SMTPS.Host + ":" + strconv.Itoa(s.SMTPS.Port), "--cacert", s.CertificateFile},
	} {
		word := "Holunderblüten-" + name
		file := writeSecret(t, "mail.eml", compose(h.addr, h.other.addr, "sent by curl", name+"@client.example", word))
		works(t, "", "curl", append([]string{"-sS", "--user", s.User + ":" + s.Password, "--mail-from", h.addr,
			"--mail-rcpt", h.other.addr, "--upload-file", file}, way...)...)
		if got := d.find("INBOX", word); !got.has("$Encrypted") || got.header(t, "Subject") != "sent by curl" {
			t.Errorf("%s: flags %v, subject %q", name, got.Flags, got.header(t, "Subject"))
		}
	}
}

// TestImaplib lets Python's imaplib read and change things; imaplib_check.py has the
// assertions.
func TestImaplib(t *testing.T) {
	t.Parallel()
	h := furnished(t)
	task, err := json.Marshal(map[string]any{
		"host": h.settings.IMAP.Host, "imap": h.settings.IMAP.Port, "imaps": h.settings.IMAPS.Port,
		"user": h.settings.User, "password": h.settings.Password, "certificate": h.settings.CertificateFile,
		"sender": h.other.addr, "secret_word": sealedWord, "secret_title": sealedTitle, "secret_file": sealedFile,
		"plain_word": plainWord, "plain_title": plainTitle,
	})
	must(t, err)
	if out := works(t, string(task), "python3", "testdata/imaplib_check.py"); strings.TrimSpace(out) != "ok" {
		t.Errorf("imaplib_check.py: %s", out)
	}
	h.diskFlags("Archive", "secret@client.example", "FS")
	if kept := h.provided("INBOX", "the appended message", holds("appended@client.example")); !bytes.Contains(kept, []byte("Vogelbeeren")) {
		t.Errorf("a plain message was changed on its way up:\n%s", kept)
	}
}
