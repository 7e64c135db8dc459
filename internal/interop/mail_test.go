//go:build peers

package interop

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"

	"mailbridge/internal/peers"
)

// befriend starts a bridge and a Delta Chat and lets them shake hands.
func befriend(t *testing.T, bed *peers.Bed) (*bridge, *peers.Engine) {
	t.Helper()
	b := newBridge(t, bed, "bridge")
	chat := peers.DeltaChat(t, bed, peers.Address("carol"), "Carol Müller")
	var invite struct{ Link string }
	b.query(&invite, "invite")
	mark := chat.Mark()
	chat.Join(invite.Link)
	chat.WaitJoined(mark)
	eventually(t, "the bridge has verified carol", func() bool {
		c, ok := b.contact(chat.Addr)
		return ok && c.Verified
	})
	return b, chat
}

// compose makes an ordinary mail.
func compose(from, to, subject, id, body string, more ...string) string {
	lines := []string{
		"From: Bridge User <" + from + ">", "To: <" + to + ">", "Subject: " + mime.QEncoding.Encode("utf-8", subject),
		"Date: " + time.Now().Format(time.RFC1123Z), "Message-ID: <" + id + ">",
	}
	lines = append(append(lines, more...), "MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit", "", body, "")
	return strings.Join(lines, "\r\n")
}

// text gives the first text part of a message, decoded.
func (m message) text(t *testing.T) string {
	t.Helper()
	parsed := m.parsed(t)
	return firstText(t, parsed.Header.Get("Content-Type"), parsed.Header.Get("Content-Transfer-Encoding"), parsed.Body)
}

func firstText(t *testing.T, contentType, encoding string, body io.Reader) string {
	t.Helper()
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		t.Fatalf("Content-Type %q: %v", contentType, err)
	}
	if strings.HasPrefix(media, "multipart/") {
		part, err := multipart.NewReader(body, params["boundary"]).NextRawPart()
		if err != nil {
			t.Fatal(err)
		}
		return firstText(t, part.Header.Get("Content-Type"), part.Header.Get("Content-Transfer-Encoding"), part)
	}
	return string(decode(t, encoding, body))
}

func decode(t *testing.T, encoding string, body io.Reader) []byte {
	t.Helper()
	switch strings.ToLower(encoding) {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	}
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// attachment gives the attachment of a multipart message.
func (m message) attachment(t *testing.T) (name string, content []byte) {
	t.Helper()
	parsed := m.parsed(t)
	_, params, err := mime.ParseMediaType(parsed.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	for parts := multipart.NewReader(parsed.Body, params["boundary"]); ; {
		part, err := parts.NextRawPart()
		if err != nil {
			t.Fatalf("no attachment: %v\n%s", err, m.Raw)
		}
		if part.FileName() != "" {
			return part.FileName(), decode(t, part.Header.Get("Content-Transfer-Encoding"), part)
		}
	}
}

// picture makes a small image that no compressor shrinks to nothing.
func picture(t *testing.T) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 64, 48))
	for x := range 64 {
		for y := range 48 {
			img.Set(x, y, color.RGBA{uint8(x * 4), uint8(y * 5), uint8(x * y), 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// checkView checks what every opened message of carol must look like.
func checkView(t *testing.T, m message, chat *peers.Engine, b *bridge) {
	t.Helper()
	want := "encryption=openpgp; signature=good; signer=" + chat.Addr + "; fingerprint=" + chat.Fingerprint() + "; trust=verified"
	if got := m.header(t, "Mailbridge-Security"); got != want {
		t.Errorf("Mailbridge-Security: %q, want %q", got, want)
	}
	if got := m.header(t, "From"); got != "Carol Müller <"+chat.Addr+">" && got != `"Carol Müller" <`+chat.Addr+">" {
		t.Errorf("From: %q", got)
	}
	if got := m.header(t, "To"); !strings.Contains(got, b.addr) {
		t.Errorf("To: %q", got)
	}
	sent, err := m.parsed(t).Header.Date()
	if err != nil || time.Since(sent) > 5*time.Minute || time.Since(sent) < -5*time.Minute {
		t.Errorf("Date: %q", m.header(t, "Date"))
	}
	if subject := m.header(t, "Subject"); subject == "" || strings.Contains(subject, "[...]") {
		t.Errorf("Subject: %q", subject)
	}
	if !m.has("$Encrypted") || !m.has("$Verified") || m.has("$KeyChanged") {
		t.Errorf("flags %v", m.Flags)
	}
	if int64(len(m.Raw)) != m.Size {
		t.Errorf("size %d, but %d octets", m.Size, len(m.Raw))
	}
	for _, gone := range []string{"Autocrypt", "Autocrypt-Gossip", "HP-Outer", "Secure-Join"} {
		if m.header(t, gone) != "" {
			t.Errorf("%s is left in the view", gone)
		}
	}
}

func TestMailFromDeltaChat(t *testing.T) {
	t.Parallel()
	bed := peers.Start(t)
	b, chat := befriend(t, bed)
	c := connect(t, b, nil)
	to := chat.ChatWith(b.addr)

	first := chat.SendText(to, "plain words 4711")
	plain := c.find("INBOX", "4711")
	checkView(t, plain, chat, b)
	if got := strings.TrimSpace(plain.text(t)); got != "plain words 4711" {
		t.Errorf("text %q", got)
	}

	chat.SendText(to, "Grüße aus Köln, ihr Bärenführer")
	var umlauts message
	eventually(t, "the text with umlauts", func() bool {
		all := c.messages("INBOX")
		umlauts = all[len(all)-1]
		return strings.TrimSpace(umlauts.text(t)) == "Grüße aus Köln, ihr Bärenführer"
	})
	checkView(t, umlauts, chat, b)

	file, content := filepath.Join(t.TempDir(), "lighthouse.png"), picture(t)
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	chat.SendFile(to, file, "File", "see the picture 4712")
	image := c.find("INBOX", "see the picture 4712")
	checkView(t, image, chat, b)
	if name, got := image.attachment(t); name != "lighthouse.png" || !bytes.Equal(got, content) {
		t.Errorf("attachment %s of %d octets, want %d", name, len(got), len(content))
	}

	chat.Reply(chat.Message(first), "a reply 4713")
	reply := c.find("INBOX", "a reply 4713")
	checkView(t, reply, chat, b)
	id := plain.header(t, "Message-ID")
	if reply.header(t, "In-Reply-To") != id || !strings.Contains(reply.header(t, "References"), id) {
		t.Errorf("In-Reply-To %q, References %q, want %q", reply.header(t, "In-Reply-To"), reply.header(t, "References"), id)
	}
	checkStructure(t, c, image)
}

// checkStructure compares ENVELOPE and BODYSTRUCTURE with the bytes.
func checkStructure(t *testing.T, c *client, m message) {
	t.Helper()
	list, err := c.Fetch(imap.UIDSetNum(m.UID), &imap.FetchOptions{
		Envelope: true, BodyStructure: &imap.FetchItemBodyStructure{Extended: true},
		BodySection: []*imap.FetchItemBodySection{{Part: []int{2}, Peek: true}},
	}).Collect()
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	if "<"+list[0].Envelope.MessageID+">" != m.header(t, "Message-ID") || list[0].Envelope.Subject != m.header(t, "Subject") {
		t.Errorf("envelope %+v", list[0].Envelope)
	}
	whole, ok := list[0].BodyStructure.(*imap.BodyStructureMultiPart)
	if !ok || len(whole.Children) != 2 {
		t.Fatalf("structure %+v", list[0].BodyStructure)
	}
	part, ok := whole.Children[1].(*imap.BodyStructureSinglePart)
	if !ok || part.Filename() != "lighthouse.png" || int(part.Size) != len(list[0].BodySection[0].Bytes) || !bytes.Contains(m.Raw, list[0].BodySection[0].Bytes) {
		t.Errorf("part 2: %+v", whole.Children[1])
	}
}

func TestMailToDeltaChat(t *testing.T) {
	t.Parallel()
	bed := peers.Start(t)
	b, chat := befriend(t, bed)
	room := chat.ChatWith(b.addr)

	must(t, b.send([]string{chat.Addr}, compose(b.addr, chat.Addr, "Über den Fluss", "first@client.example", "Wörter 4721")))
	got := chat.WaitMessage("Wörter 4721")
	if !got.ShowPadlock || got.ChatID != room || got.Sender.Address != b.addr || got.Error != "" {
		t.Errorf("Delta Chat shows %+v", got)
	}
	if !strings.Contains(got.Text, "Über den Fluss") {
		t.Errorf("the subject is lost: %q", got.Text)
	}

	content := picture(t)
	var body bytes.Buffer
	parts := multipart.NewWriter(&body)
	fmt.Fprintf(&body, "From: Bridge User <%s>\r\nTo: <%s>\r\nSubject: a file\r\nDate: %s\r\nMessage-ID: <file@client.example>\r\n"+
		"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=%s\r\n\r\n", b.addr, chat.Addr, time.Now().Format(time.RFC1123Z), parts.Boundary())
	text, _ := parts.CreatePart(map[string][]string{"Content-Type": {"text/plain"}})
	io.WriteString(text, "with a file 4722\r\n")
	attached, _ := parts.CreatePart(map[string][]string{
		"Content-Type": {"image/png"}, "Content-Transfer-Encoding": {"base64"}, "Content-Disposition": {`attachment; filename="beacon.png"`}})
	for line := range slices.Chunk([]byte(base64.StdEncoding.EncodeToString(content)), 76) {
		fmt.Fprintf(attached, "%s\r\n", line)
	}
	parts.Close()
	must(t, b.send([]string{chat.Addr}, body.String()))
	withFile := chat.WaitMessage("with a file 4722")
	if withFile.ChatID != room || !withFile.ShowPadlock || withFile.FileName != "beacon.png" {
		t.Errorf("Delta Chat shows %+v", withFile)
	}
	if stored, err := os.ReadFile(withFile.File); err != nil || !bytes.Equal(stored, content) {
		t.Errorf("the attachment differs: %d octets, %v", len(stored), err)
	}

	chat.Reply(got, "the answer 4723")
	c := connect(t, b, nil)
	answer := c.find("INBOX", "the answer 4723")
	checkView(t, answer, chat, b)
	if answer.header(t, "In-Reply-To") != "<first@client.example>" {
		t.Errorf("In-Reply-To %q", answer.header(t, "In-Reply-To"))
	}
	delivered, err := bed.Archive()
	must(t, err)
	for _, d := range delivered {
		if d.From == b.addr && !bytes.Contains(d.Data, []byte("multipart/encrypted")) {
			t.Errorf("the bridge sent a plain message:\n%s", d.Data)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestPlainCorrespondent: mail from and to somebody without a key passes byte for byte.
func TestPlainCorrespondent(t *testing.T) {
	t.Parallel()
	bed := peers.Start(t)
	b := newBridge(t, bed, "bridge")
	c := connect(t, b, nil)
	dora := peers.Address("dora")

	in := "From: Dora <" + dora + ">\r\nTo: " + b.addr + "\r\nsubject:  odd   spacing \r\nX-Folded: a\r\n\tb\r\nDate: Mon, 2 Nov 2026 10:00:00 +0100\r\n" +
		"Message-ID: <in@client.example>\r\nContent-Type: text/plain\r\n\r\ntrailing blanks  \r\n.leading dot 4731\r\nFrom the start\r\n"
	must(t, bed.Deliver(dora, []string{b.addr}, []byte(in)))
	got := c.find("INBOX", "4731")
	disk, err := bed.Messages(b.addr, "INBOX")
	must(t, err)
	if len(disk) != 1 || !bytes.Equal(got.Raw, disk[0]) || !bytes.HasSuffix(got.Raw, []byte(in)) {
		t.Errorf("served:\n%q\nthe provider has:\n%q", got.Raw, disk)
	}
	if got.header(t, "Mailbridge-Security") != "" || got.has("$Encrypted") {
		t.Error("ordinary mail is marked")
	}

	out := "Received: is a lie\r\nFrom: Bridge User <" + b.addr + ">\r\nTo: " + dora + "\r\nBcc: " + peers.Address("erna") + "\r\nSubject: plain\r\nDate: Mon, 2 Nov 2026 10:00:00 +0100\r\n" +
		"Message-ID: <out@client.example>\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nvery  plain 4732 \r\n..dots\r\n"
	must(t, b.send([]string{dora, peers.Address("erna")}, out))
	want := strings.Replace(out, "Bcc: "+peers.Address("erna")+"\r\n", "", 1)
	for _, who := range []string{"dora", "erna"} {
		arrived := bed.WaitMail(peers.Address(who), "INBOX", 1)[0]
		if !bytes.HasSuffix(cutField(arrived, "Autocrypt"), []byte(want)) {
			t.Errorf("%s got:\n%q\nwant at its end:\n%q", who, arrived, want)
		}
		if !bytes.Contains(arrived, []byte("Autocrypt: addr="+b.addr)) {
			t.Errorf("no Autocrypt field")
		}
	}
}

// cutField cuts a header field, folding included.
func cutField(msg []byte, name string) []byte {
	start := bytes.Index(msg, []byte("\r\n"+name+": ")) + 2
	if start < 2 {
		return msg
	}
	end := start
	for {
		end += bytes.Index(msg[end:], []byte("\r\n")) + 2
		if msg[end] != ' ' && msg[end] != '\t' {
			return slices.Concat(msg[:start], msg[end:])
		}
	}
}

// TestAutocryptCorrespondent: two bridges that only ever saw each other's Autocrypt fields
// answer encrypted, because both prefer it; one that does not prefer it is answered plain.
func TestAutocryptCorrespondent(t *testing.T) {
	t.Parallel()
	bed := peers.Start(t)
	b := newBridge(t, bed, "bridge")
	other := newBridge(t, bed, "other")
	c, d := connect(t, b, nil), connect(t, other, nil)
	must(t, other.send([]string{b.addr}, compose(other.addr, b.addr, "hello", "a1@client.example", "in the clear 4741")))
	c.find("INBOX", "4741")
	var checks []struct{ Address, Outcome, Recommendation string }
	b.query(&checks, "check", other.addr, peers.Address("nobody"))
	if checks[0].Outcome != "encrypt" || checks[0].Recommendation != "encrypt" || checks[1].Outcome != "plain" || checks[1].Recommendation != "disable" {
		t.Errorf("check: %+v", checks)
	}
	must(t, b.send([]string{other.addr}, compose(b.addr, other.addr, "Re: hello", "a2@client.example", "sealed 4742", "In-Reply-To: <a1@client.example>")))
	got := d.find("INBOX", "sealed 4742")
	if s := got.header(t, "Mailbridge-Security"); !strings.Contains(s, "signature=good") || !strings.Contains(s, "trust=autocrypt") || got.has("$Verified") || !got.has("$Encrypted") {
		t.Errorf("security %q, flags %v", s, got.Flags)
	}
}
