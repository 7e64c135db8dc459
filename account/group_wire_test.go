package account_test

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"mailbridge/account"
	"mailbridge/internal/provider"
	"mailbridge/internal/vectors"
	"mailbridge/mailbox"
	"mailbridge/message"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// sentTo opens what a person was sent with some text in its Message-ID.
func (p *person) sentTo(id string) (outer message.Header, inner message.Header, opened *pgp.Opened) {
	p.w.Helper()
	for _, m := range p.upstream(mailbox.Inbox) {
		outer, _ = message.ParseHeader(m.Data)
		if !strings.Contains(outer.Get("Message-ID"), id) {
			continue
		}
		ciphertext, _, ok := pgp.SplitEncrypted(m.Data, message.Parse(m.Data))
		if !ok {
			p.w.Fatalf("not encrypted: %s", m.Data)
		}
		opened, err := pgp.Open(ciphertext, pgp.OpenOptions{Keys: []*pgp.Key{p.SecretKey()}, Now: p.w.now(), MaxSize: 1 << 20,
			Certs: func([]byte, []pgp.Fingerprint) []*pgp.Cert { return nil }})
		if err != nil {
			p.w.Fatal(err)
		}
		inner, _ = message.ParseHeader(opened.Payload)
		return outer, inner, opened
	}
	p.w.Fatalf("%s was sent nothing with %s", p.addr, id)
	return
}

// TestGroupMailAsDeltaChat compares what goes into a group with what Delta Chat 2.62 sends into
// one of its own, field by field.
func TestGroupMailAsDeltaChat(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	people := w.circle("alice", "bob", "carol")
	bob, carol := people[1], people[2]
	bob.write("as delta chat")
	carol.wait(mailbox.Inbox, "as delta chat")
	outer, inner, _ := carol.sentTo("as-delta-chat")

	theirs := vectors.Get(t, "v3-group").Message(t, "13-charlie-bob.eml")
	theirOuter, _ := message.ParseHeader(theirs.Raw)
	theirInner, _ := message.ParseHeader(theirs.Plain)
	// What an app adds for itself, and what a mail program has.
	only := []string{"Chat-Disposition-Notification-To", "Chat-User-Avatar", "Content-Transfer-Encoding",
		"Autocrypt-Gossip", "Return-Path", "Delivered-To", "Received"}
	for _, pair := range [][2]message.Header{{outer, theirOuter}, {inner, theirInner}} {
		ours, want := fieldShapes(pair[0], only), fieldShapes(pair[1], only)
		if !slices.Equal(ours, want) {
			t.Errorf("we write\n%s\nDelta Chat writes\n%s", strings.Join(ours, "\n"), strings.Join(want, "\n"))
		}
	}
	if gossip := inner.Values("Autocrypt-Gossip"); len(gossip) != 2 {
		t.Errorf("%d keys gossiped", len(gossip))
	}
	if strings.Contains(string(inner.Bytes())+string(outer.Bytes()), "mailbridge") {
		t.Errorf("a local address is sent: %s", inner.Bytes())
	}
	g, ok := securejoin.ReadGroup(inner, bob.fpr(), nil, w.now())
	if !ok || g.ID != bob.group().ID || len(g.To) != 2 || len(g.Times) != 2 || g.Added != nil || !g.Chat {
		t.Errorf("%+v", g)
	}
}

var (
	digits = regexp.MustCompile(`[0-9]+`)
	ids    = regexp.MustCompile(`<[^<>]*>`)
	words  = regexp.MustCompile(`[A-Z0-9]{40}`)
)

// fieldShapes are the names of the fields, sorted, with what in their values is no name, number,
// key or text.
func fieldShapes(h message.Header, but []string) []string {
	var list []string
	for _, f := range h.Fields {
		value := f.Value()
		switch strings.ToLower(f.Name) {
		case "autocrypt", "subject", "date", "chat-group-id", "chat-group-name", "from":
			value = ""
		case "references":
			value = "<>" // as many as the thread has
		case "hp-outer":
			value, _, _ = strings.Cut(value, ":")
		case "to":
			if addresses := message.ParseAddresses(value); len(addresses) > 0 {
				value = fmt.Sprint(len(addresses), addresses[0].Name != "")
			}
		case "content-type":
			media, params := message.ContentType(value)
			delete(params, "charset")
			delete(params, "boundary")
			value = fmt.Sprint(media, params)
		default:
			value = ids.ReplaceAllString(words.ReplaceAllString(value, "F"), "<>")
			value = digits.ReplaceAllString(value, "0")
		}
		if !slices.Contains(but, f.Name) {
			list = append(list, f.Name+": "+value)
		}
	}
	slices.Sort(list)
	return list
}

// TestGroupMailContent: what the user writes arrives as it is, and the tag, Bcc and what the client
// says to chat programs do not leave.
func TestGroupMailContent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	people := w.circle("alice", "bob", "carol")
	alice, bob, carol := people[0], people[1], people[2]
	addr := alice.group().Address
	body := "--b\nContent-Type: multipart/alternative; boundary=c\n\n--c\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nGrüße\n" +
		"--c\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n<p>Grüße</p>\n--c--\n" +
		"--b\nContent-Type: application/pdf; name=\"Plan.pdf\"\nContent-Disposition: attachment; filename=\"Plan.pdf\"\nContent-Transfer-Encoding: base64\n\nJVBERi0xLjQK\n--b--\n"
	raw := "From: Alice <" + alice.addr + ">\nTo: " + addr + "\nBcc: " + carol.addr + "\nSubject: [plain] =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\n" +
		"Message-ID: <content@client>\nMail-Followup-To: " + addr + "\nReply-To: " + addr + "\nChat-Group-Member-Removed: " + carol.addr + "\n" +
		"Secure-Join: vg-member-added\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n" + body
	alice.submit([]string{addr, carol.addr}, raw)
	m := bob.wait(mailbox.Inbox, "Plan.pdf")
	if m.header("Subject") != "Grüße" || !strings.Contains(string(m.raw), crlf(body)) {
		t.Errorf("%s", m.raw)
	}
	carol.wait(mailbox.Inbox, "Plan.pdf")
	outer, inner, _ := bob.sentTo("content@client")
	for _, h := range []message.Header{outer, inner} {
		for _, word := range []string{"Bcc:", "[plain]", "Mail-Followup-To", "Member-Removed", "Secure-Join", "mailbridge.invalid"} {
			if strings.Contains(string(h.Bytes()), word) {
				t.Errorf("%s is sent:\n%s", word, h.Bytes())
			}
		}
	}
	w.agree("alice bob carol", alice, bob, carol)
	sent := alice.wait("Sent", "Plan.pdf")
	if !strings.Contains(string(sent.raw), crlf(raw)) {
		t.Errorf("%s", sent.raw)
	}
	for _, v := range w.provider.Violations() {
		t.Error(v)
	}
}

// TestGroupRefuses: what does not go into a group, and why.
func TestGroupRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	people := w.circle("alice", "bob")
	alice, bob := people[0], people[1]
	ctx := context.Background()
	g := alice.group()
	other, err := alice.CreateGroup(ctx, "Other")
	if err != nil {
		t.Fatal(err)
	}
	sent := len(w.provider.Submissions())
	send := func(to ...string) error {
		_, err := alice.Submit(ctx, alice.addr, to, []byte(crlf("From: "+alice.addr+"\nTo: "+strings.Join(to, ", ")+"\nSubject: x\n\ntext\n")))
		return err
	}
	refused(t, send(g.Address, "zoe@example.net", bob.addr), "bridge group add")
	refused(t, send(g.Address, "zoe@example.net"), "zoe@example.net")
	refused(t, send(g.Address, other.Address), "one group")
	refused(t, send(other.Address), "nobody else")
	refused(t, send("nothing.aaaaaaaaaaaaaaaa@groups.mailbridge.invalid"), "no group or channel")
	_, err = alice.Submit(ctx, alice.addr, []string{g.Address}, w.encrypted(bob, "From: "+alice.addr+"\nTo: "+g.Address+"\n", "x", nil))
	refused(t, err, "Switch encryption off")
	if n := len(w.provider.Submissions()); n != sent {
		t.Errorf("%d messages were sent", n-sent)
	}
	// By any name before the dot, and beside ourselves.
	if err := send("other-name"+g.Address[strings.IndexByte(g.Address, '.'):], g.Address, alice.addr, bob.addr); err != nil {
		t.Error(err)
	}

	checks, err := alice.Check(ctx, []string{g.Address, other.Address, "x.aaaaaaaaaaaaaaaa@groups.mailbridge.invalid", "status@mailbridge.invalid"})
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range []string{"encrypt|the group", "refuse|nobody else", "refuse|no group or channel", "refuse|the bridge itself"} {
		outcome, reason, _ := strings.Cut(want, "|")
		if checks[n].Outcome != outcome || !strings.Contains(checks[n].Reason, reason) {
			t.Errorf("%+v, want %s", checks[n], want)
		}
	}
	for _, name := range []string{g.ID, g.Address, "Book club"} {
		if members, err := alice.GroupMembers(ctx, name); err != nil || len(members) != 2 || members[1].Fingerprint != bob.fpr() || members[1].Since == nil {
			t.Errorf("%s: %+v, %v", name, members, err)
		}
	}
	if _, err := alice.CreateGroup(ctx, "Other"); err != nil {
		t.Fatal(err)
	}
	if _, err := alice.GroupMembers(ctx, "Other"); !isBadData(err) {
		t.Errorf("%v", err)
	}
	if _, err := alice.GroupMembers(ctx, "None"); !isNotFound(err) {
		t.Errorf("%v", err)
	}
	for what, arg := range map[string]string{"add": "zoe@example.net", "remove": "zoe", "rename": " ", "encryption": "never"} {
		if _, err := changeOf(alice, g.ID, what, arg); !isBadData(err) {
			t.Errorf("%s %q: %v", what, arg, err)
		}
	}
	if _, err := changeOf(alice, g.ID, "remove", "zoe@example.net"); !isNotFound(err) {
		t.Errorf("%v", err)
	}
	if _, err := changeOf(alice, g.ID, "add", bob.addr); !isBadData(err) {
		t.Errorf("%v", err)
	}
	if _, err := changeOf(alice, g.ID, "remove", alice.addr); !isBadData(err) {
		t.Errorf("%v", err)
	}
}

// TestGroupWithoutKey: a member without a key stops mail to a group that must be encrypted; a group
// that need not be gets it plain, but never what answers encrypted mail.
func TestGroupWithoutKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice := w.add("alice")
	ctx := context.Background()
	w.provider.AddUser("zoe@example.org", "pw")
	w.provider.AddUser("yan@example.org", "pw")
	zoe := w.newKey("zoe@example.org")
	// Zoe's program knows Autocrypt and nothing else.
	w.deliver(alice, []byte(crlf(outerOf("zoe@example.org", alice.addr, "hello@zoe"))+autocryptField("zoe@example.org", zoe)+"\r\nhello from zoe\r\n"))
	alice.wait(mailbox.Inbox, "hello from zoe")
	w.eventually("the key is known", func() bool { c, err := alice.Contact(ctx, "zoe@example.org"); return err == nil && c.Fingerprint != "" })
	if _, err := alice.CreateGroup(ctx, "Book club"); err != nil {
		t.Fatal(err)
	}
	g := alice.change("add", "zoe@example.org")
	// She adds somebody whose key nobody has.
	say := func(id, text, more string) {
		w.deliver(alice, w.encrypted(alice, outerOf("zoe@example.org", alice.addr, id), crlf(fmt.Sprintf(
			"From: zoe@example.org\nTo: %s, yan@example.org\nDate: %s\nMessage-ID: <%s>\nSubject: x\nChat-Group-ID: %s\n%sContent-Type: text/plain; hp=\"cipher\"\n\n%s\n",
			alice.addr, w.now().Format(time.RFC1123Z), id, g.ID, more, text)), zoe))
	}
	yan := strings.Repeat("AB", 20)
	say("with@zoe", "with yan", fmt.Sprintf("Chat-Group-Member-Fpr: %s %s\n", alice.fpr(), yan))
	with := alice.wait(mailbox.Inbox, "with yan")
	w.agree("alice yan zoe", alice)
	alice.wait("Bridge", "yan@example.org was added")

	to := func(subject, more string) error {
		_, err := alice.Submit(ctx, alice.addr, []string{g.Address}, []byte(crlf(fmt.Sprintf("From: %s\nTo: %s\nSubject: %s\n%s\nto the group\n", alice.addr, g.Address, subject, more))))
		return err
	}
	lacking := to("x", "")
	refused(t, lacking, "yan@example.org")
	if r := lacking.(*account.Refusal); r.Enhanced != [3]int{5, 7, 5} {
		t.Errorf("%v", r.Enhanced)
	}
	alice.wait("Bridge", "no usable key")
	refused(t, to("[plain] x", ""), "yan@example.org")

	alice.change("encryption", "when-possible")
	refused(t, to("Re: x", "In-Reply-To: "+with.header("Message-ID")+"\n"), "yan@example.org")
	refused(t, to("[enc] x", ""), "yan@example.org")
	if err := to("Plain words", "Message-ID: <plain@client>\n"); err != nil {
		t.Fatal(err)
	}
	last := w.provider.Submissions()[len(w.provider.Submissions())-1]
	h, _ := message.ParseHeader(last.Data)
	if got := addresses(h.Get("To")); len(got) != 2 || !h.Has("Autocrypt") || h.Has("Chat-Version") || h.Has("Chat-Group-ID") || h.Has("Reply-To") ||
		!bytes.Contains(last.Data, []byte("to the group")) || len(last.To) != 2 {
		t.Errorf("%s", last.Data)
	}
	if c, err := alice.Check(ctx, []string{g.Address}); err != nil || c[0].Outcome != "plain" {
		t.Errorf("%+v, %v", c, err)
	}

	// Once a program speaks that keeps groups, all is encrypted again.
	say("chat@zoe", "from an app", "Chat-Version: 1.0\n")
	alice.wait(mailbox.Inbox, "from an app")
	if g := alice.group(); g.Encryption != "required" {
		t.Errorf("%+v", g)
	}
	alice.wait("Bridge", "Always encrypted now")
	if _, err := alice.ResetContact(ctx, "zoe@example.org"); err != nil {
		t.Fatal(err)
	}
	_, err := alice.try("encryption", "when-possible")
	wantBadData(t, err, "may show only encrypted mail") // who it is has been seen
}

// TestWhenPossibleRefused: not where a program shows only encrypted mail, and not in groups that
// others made.
func TestWhenPossibleRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	people := w.circle("alice", "bob")
	for _, p := range people {
		if _, err := p.try("encryption", "when-possible"); !isBadData(err) {
			t.Errorf("%s: %v", p.addr, err)
		}
	}
	ctx := context.Background()
	g, err := people[0].CreateGroup(ctx, "Other")
	if err != nil {
		t.Fatal(err)
	}
	if g, err = people[0].SetGroupEncryption(ctx, g.ID, "when-possible"); err != nil || g.Encryption != "when-possible" {
		t.Fatalf("%+v, %v", g, err)
	}
	if g, err = people[0].AddMember(ctx, g.ID, people[1].addr); err != nil || g.Encryption != "required" {
		t.Errorf("%+v, %v", g, err)
	}
}
