//go:build peers

package interop

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"mailbridge/internal/peers"
)

// secretWord makes a word that turns up nowhere by chance.
func secretWord() string { return "Zq" + strings.ToLower(rand.Text()[:18]) }

// forms are the ways in which a word may hide in a file whose line ends were taken out.
func forms(word string) [][]byte {
	list := [][]byte{bytes.ToLower([]byte(word))}
	for offset := range 3 {
		padded := append(make([]byte, offset), word...)
		encoded := base64.StdEncoding.EncodeToString(padded)
		// Characters at both ends depend on what stands beside the word.
		first, last := (offset*8+5)/6, (len(padded)*8)/6
		list = append(list, []byte(encoded[first:last]))
	}
	return list
}

// contains reports whether a file holds the word: raw, quoted-printable or base64.
func contains(content []byte, word string) bool {
	joined := bytes.ReplaceAll(content, []byte("=\r\n"), nil)
	joined = bytes.ReplaceAll(joined, []byte("=\n"), nil)
	joined = bytes.ReplaceAll(joined, []byte("\r\n"), nil)
	joined = bytes.ReplaceAll(joined, []byte("\n"), nil)
	all := forms(word)
	if bytes.Contains(bytes.ToLower(joined), all[0]) || bytes.Contains(bytes.ToLower(content), all[0]) {
		return true
	}
	for _, form := range all[1:] {
		if bytes.Contains(joined, form) {
			return true
		}
	}
	return false
}

// searchTree looks for words in the names and contents of all files below a directory.
func searchTree(t *testing.T, dir string, words map[string]string) (files int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil // a mail moved while the tree was walked
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		files++
		for what, word := range words {
			if contains(content, word) || strings.Contains(path, word) {
				t.Errorf("%s (%s) is in %s", what, word, path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestContainsFindsEveryForm: a search that finds nothing proves nothing unless it can find.
func TestContainsFindsEveryForm(t *testing.T) {
	t.Parallel()
	word := secretWord()
	for offset := range 7 {
		text := strings.Repeat("x", offset) + word + " and more"
		encoded := base64.StdEncoding.EncodeToString([]byte(text))
		for _, content := range []string{
			text, strings.ToUpper(text), text[:offset+5] + "=\r\n" + text[offset+5:],
			encoded, encoded[:offset+9] + "\r\n" + encoded[offset+9:],
		} {
			if !contains([]byte("before "+content), word) {
				t.Errorf("not found in %q", content)
			}
		}
	}
	if contains([]byte("something else"), word) {
		t.Error("found where it is not")
	}
}

// TestNoPlaintextOnDisk: neither the provider's files nor the bridge's own directory hold a
// word of an encrypted mail, of a draft, or of the sent copy of an encrypted mail, nor a
// password or token.
func TestNoPlaintextOnDisk(t *testing.T) {
	t.Parallel()
	bed := peers.Start(t)
	b, chat := befriend(t, bed)
	c := connect(t, b, nil)
	words := map[string]string{}
	word := func(what string) string {
		words[what] = secretWord()
		return words[what]
	}

	// In: text and an attachment with its name.
	to := chat.ChatWith(b.addr)
	in := word("the text from Delta Chat")
	chat.SendText(to, in)
	file := filepath.Join(t.TempDir(), word("the name of a file from Delta Chat")+".txt")
	must(t, os.WriteFile(file, []byte(strings.Repeat(word("a file from Delta Chat")+" ", 50)), 0o600))
	chat.SendFile(to, file, "File", "")
	c.find("INBOX", in)
	eventually(t, "both messages", func() bool { return len(c.messages("INBOX")) == 2 })

	// Out: subject, text, the name and content of an attachment; the client's own copy, and the
	// bridge's of another message.
	out := word("the text to Delta Chat")
	mixed := func(subject, id, text string) string {
		return fmt.Sprintf("From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <%s>\r\nMIME-Version: 1.0\r\n"+
			"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n%s\r\n"+
			"--b\r\nContent-Type: application/octet-stream; name=%s\r\nContent-Disposition: attachment\r\nContent-Transfer-Encoding: base64\r\n\r\n%s\r\n--b--\r\n",
			b.addr, chat.Addr, subject, time.Now().Format(time.RFC1123Z), id, text, word("the name of an attachment "+id)+".bin",
			base64.StdEncoding.EncodeToString([]byte(word("an attachment "+id))))
	}
	sent := mixed(word("a subject"), "saved@client.example", out)
	must(t, b.send([]string{chat.Addr}, sent))
	appendTo(t, c, "Sent", sent, imap.FlagSeen)
	unsaved := word("the text that the client does not save")
	must(t, b.send([]string{chat.Addr}, mixed(word("another subject"), "unsaved@client.example", unsaved)))
	chat.WaitMessage(unsaved)

	// A draft, saved twice; opened mail copied elsewhere by COPY and by APPEND.
	draft := compose(b.addr, "somebody@"+peers.Domain, word("the subject of a draft"), "draft@client.example", word("the text of a draft"),
		"X-Draft: "+word("a field of a draft"))
	appendTo(t, c, "Drafts", draft, imap.FlagDraft)
	appendTo(t, c, "Drafts", strings.Replace(draft, "draft@", "draft2@", 1), imap.FlagDraft)
	opened := c.find("INBOX", in)
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Copy(imap.UIDSetNum(opened.UID), "Junk").Wait(); err != nil {
		t.Fatal(err)
	}
	appendTo(t, c, "Trash", string(opened.Raw), imap.FlagSeen)

	c.find("Sent", unsaved) // 30 s after it was sent
	settled(t, b, map[string]int{"Sent": 2, "Drafts": 2, "Junk": 1})
	words["the local password"] = b.settings.Password
	words["the provider's password"] = bed.Password
	for what, token := range tokens(t, b) {
		words[what] = token
	}
	b.stop() // what is written last is on disk, too
	if n := searchTree(t, b.home, words); n < 3 {
		t.Errorf("only %d files in the bridge's home", n)
	}
	delete(words, "the provider's password") // of the provider's own configuration
	if n := searchTree(t, bed.Mail(), words); n < 10 {
		t.Errorf("only %d files at the provider", n)
	}
}

// settled waits until the provider has what the client has stored.
func settled(t *testing.T, b *bridge, want map[string]int) {
	t.Helper()
	for mailbox, n := range want {
		eventually(t, fmt.Sprintf("%d messages in the provider's %s", n, mailbox), func() bool {
			list, err := b.bed.Messages(b.addr, mailbox)
			return err == nil && len(list) == n
		})
	}
}

// tokens are the secrets of a fresh invite.
func tokens(t *testing.T, b *bridge) map[string]string {
	t.Helper()
	var invite struct{ Link string }
	b.query(&invite, "invite")
	_, fragment, _ := strings.Cut(invite.Link, "&")
	values, err := url.ParseQuery(fragment)
	must(t, err)
	return map[string]string{"the AUTH": values.Get("s"), "the INVITENUMBER": values.Get("i")}
}

// appendTo stores a message as a client does.
func appendTo(t *testing.T, c *client, mailbox, raw string, flags ...imap.Flag) imap.UID {
	t.Helper()
	cmd := c.Append(mailbox, int64(len(raw)), &imap.AppendOptions{Flags: flags})
	if _, err := cmd.Write([]byte(raw)); err != nil {
		t.Fatal(err)
	}
	must(t, cmd.Close())
	data, err := cmd.Wait()
	if err != nil {
		t.Fatalf("append to %s: %v", mailbox, err)
	}
	return data.UID
}
