package account_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"mailbridge/account"
	"mailbridge/headers"
	"mailbridge/internal/provider"
	"mailbridge/mailbox"
	"mailbridge/upstream"
)

// letterTo makes an ordinary mail of an ordinary client.
func letterTo(from, to, subject, body string, more ...string) string {
	extra := strings.Join(more, "\n")
	if extra != "" {
		extra += "\n"
	}
	return fmt.Sprintf("From: Some Body <%s>\nTo: Other Body <%s>\nSubject: %s\nDate: %s\nMessage-ID: <%d@client.example>\n%s"+
		"MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n%s\n",
		from, to, subject, time.Now().Format(time.RFC1123Z), time.Now().UnixNano(), extra, body)
}

func TestHandshakeAndMail(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	w.shake(alice, bob)

	key, _ := bob.OwnKey(context.Background())
	contact, err := alice.Contact(context.Background(), bob.addr)
	if err != nil || contact.Fingerprint != key.Fingerprint || contact.VerifiedHow != "securejoin-v3" || contact.Origin != "securejoin" {
		t.Fatalf("alice's contact: %+v, %v", contact, err)
	}
	for _, p := range []*person{alice, bob} {
		if n := len(p.read(mailbox.Inbox)); n != 0 {
			t.Errorf("%s sees %d messages of the handshake", p.addr, n)
		}
		p.wait(mailbox.Bridge, "Verified: ")
		w.eventually("the handshake is in the provider's Trash", func() bool {
			return len(p.upstream("Trash")) == 2 && len(p.upstream("INBOX")) == 0
		})
		if n := len(p.read("Trash")); n != 0 {
			t.Errorf("%s sees %d messages of the handshake in Trash", p.addr, n)
		}
	}

	const secret = "Pumpernickelgeheimnis"
	w.provider.Watch(secret, "Streusandbuechse")
	alice.submit([]string{bob.addr}, letterTo(alice.addr, bob.addr, "Streusandbuechse", secret))
	got := bob.wait(mailbox.Inbox, secret)
	if got.header("Subject") != "Streusandbuechse" || got.header("From") != "Some Body <alice@example.org>" {
		t.Errorf("bob's view:\n%s", got.raw)
	}
	s, ok := headers.ParseSecurity(got.header(headers.SecurityName))
	aliceKey, _ := alice.OwnKey(context.Background())
	if !ok || s.Encryption != "openpgp" || s.Signature != "good" || s.Trust != "verified" || s.Fingerprint != string(aliceKey.Fingerprint) || s.Signer != alice.addr {
		t.Errorf("security: %q", got.header(headers.SecurityName))
	}
	if !got.Flags.Has(mailbox.Encrypted) || !got.Flags.Has(mailbox.Verified) {
		t.Errorf("flags %v", got.Flags)
	}
	for _, sent := range w.provider.Submissions() {
		if !bytes.Contains(sent.Data, []byte("multipart/encrypted")) {
			t.Errorf("plaintext left:\n%s", sent.Data)
		}
	}
	own := alice.wait("Sent", secret)
	if own.header("Subject") != "Streusandbuechse" || own.header(headers.SecurityName) != "" || !own.Flags.Has(mailbox.Seen) {
		t.Errorf("alice's own copy:\n%s", own.raw)
	}
}

func TestReplyToEncryptedMailIsNeverPlain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	w.provider.AddUser("stranger@"+domain, "x")
	w.shake(alice, bob)
	alice.submit([]string{bob.addr}, letterTo(alice.addr, bob.addr, "first", "one two three"))
	got := bob.wait(mailbox.Inbox, "one two three")
	reply := "In-Reply-To: " + got.header("Message-ID")
	_, err := bob.Submit(context.Background(), bob.addr, []string{"stranger@" + domain},
		[]byte(letterTo(bob.addr, "stranger@"+domain, "[plain] Re: first", "quoted: one two three", reply)))
	var refusal *account.Refusal
	if !errors.As(err, &refusal) || refusal.Code != 550 || refusal.Enhanced != [3]int{5, 7, 5} || !strings.Contains(refusal.Text, "stranger@example.org") {
		t.Fatalf("got %v", err)
	}
	if lines := strings.Count(refusal.Text, "\n") + 1; lines > 2 {
		t.Errorf("%d lines", lines)
	}
	bob.wait(mailbox.Bridge, "Not sent: no key for stranger@example.org")
	bob.submit([]string{alice.addr}, letterTo(bob.addr, alice.addr, "Re: first", "answer to it", reply))
	alice.wait(mailbox.Inbox, "answer to it")
}

func TestPlainMailPassesUnchanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice := w.add("alice")
	carol := "carol@" + domain
	w.provider.AddUser(carol, "x")

	in := strings.ReplaceAll(letterTo(carol, alice.addr, "hello", "plain  text \nwith odd spacing\t", "X-Odd:  a  b"), "\n", "\r\n")
	if err := w.provider.Deliver(alice.addr, []byte(in)); err != nil {
		t.Fatal(err)
	}
	got := alice.wait(mailbox.Inbox, "odd spacing")
	raw := alice.upstream("INBOX")[0].Data
	if !bytes.Equal(got.raw, raw) {
		t.Errorf("served:\n%q\nthe provider has:\n%q", got.raw, raw)
	}
	out := strings.ReplaceAll(letterTo(alice.addr, carol, "answer", "nothing secret"), "\n", "\r\n")
	alice.submit([]string{carol}, strings.ReplaceAll(out, "\r\n", "\n"))
	sent := w.provider.Submissions()[0].Data
	if without := withoutField(sent, "Autocrypt"); !bytes.Equal(without, []byte(out)) {
		t.Errorf("sent:\n%q\ngiven:\n%q", without, out)
	}
	if !bytes.Contains(sent, []byte("\r\nAutocrypt: addr=alice@example.org; prefer-encrypt=mutual; keydata=")) {
		t.Errorf("no Autocrypt field:\n%s", sent)
	}
}

// withoutField cuts a header field, folding included.
func withoutField(msg []byte, name string) []byte {
	start := bytes.Index(msg, []byte(name+": "))
	if start < 0 {
		return msg
	}
	end := start
	for {
		end += bytes.Index(msg[end:], []byte("\r\n")) + 2
		if msg[end] != ' ' && msg[end] != '\t' {
			break
		}
	}
	return append(bytes.Clone(msg[:start]), msg[end:]...)
}

func TestAutocryptAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	alice.submit([]string{bob.addr}, letterTo(alice.addr, bob.addr, "in the clear", "first contact"))
	got := bob.wait(mailbox.Inbox, "first contact")
	if got.header(headers.SecurityName) != "" {
		t.Errorf("a plain mail has a security header")
	}
	checks, err := bob.Check(context.Background(), []string{alice.addr, "nobody@" + domain})
	if err != nil || checks[0].Outcome != "encrypt" || checks[0].Recommendation != "encrypt" || checks[1].Outcome != "plain" || checks[1].Recommendation != "disable" {
		t.Fatalf("%+v, %v", checks, err)
	}
	w.provider.Watch("Geheimratsecken")
	bob.submit([]string{alice.addr}, letterTo(bob.addr, alice.addr, "answer", "Geheimratsecken"))
	m := alice.wait(mailbox.Inbox, "Geheimratsecken")
	s, _ := headers.ParseSecurity(m.header(headers.SecurityName))
	if s.Signature != "good" || s.Trust != "autocrypt" || m.Flags.Has(mailbox.Verified) {
		t.Errorf("%+v %v", s, m.Flags)
	}
}

func TestDraftsAreSealed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice := w.add("alice")
	w.provider.Watch("Schubladenroman", "lektor@")
	draft := strings.ReplaceAll(letterTo(alice.addr, "lektor@example.net", "Schubladenroman", "Kapitel eins"), "\n", "\r\n")
	_, uid, err := alice.Append(context.Background(), "Drafts", []byte(draft), mailbox.NewFlags(mailbox.Draft), time.Now())
	if err != nil || uid == 0 {
		t.Fatal(uid, err)
	}
	w.eventually("the draft is at the provider", func() bool { return len(alice.upstream("Drafts")) == 1 })
	alice.restart()
	if got := alice.read("Drafts"); len(got) != 1 || string(got[0].raw) != draft || got[0].UID != uid {
		t.Errorf("after a restart: %d drafts", len(got))
	}
}

func TestBccIsEncryptedApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob, dora := w.add("alice"), w.add("bob"), w.add("dora")
	w.shake(alice, bob)
	w.shake(alice, dora)
	before := len(w.provider.Submissions())
	alice.submit([]string{bob.addr, dora.addr}, letterTo(alice.addr, bob.addr, "hush", "for two readers", "Bcc: "+dora.addr))
	for _, p := range []*person{bob, dora} {
		m := p.wait(mailbox.Inbox, "for two readers")
		if m.header("Bcc") != "" || p == bob && strings.Contains(strings.ToLower(string(m.raw)), "dora") {
			t.Errorf("%s learns of the Bcc recipient:\n%s", p.addr, m.raw)
		}
	}
	sent := w.provider.Submissions()[before:]
	if len(sent) != 2 || len(sent[0].To) != 1 || len(sent[1].To) != 1 {
		t.Errorf("%d transactions", len(sent))
	}
	if own := alice.wait("Sent", "for two readers"); own.header("Bcc") != dora.addr {
		t.Errorf("the sender's copy has Bcc %q", own.header("Bcc"))
	}
}

func TestClientSavesItsOwnCopy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	w.shake(alice, bob)
	msg := letterTo(alice.addr, bob.addr, "saved", "by the client")
	alice.submit([]string{bob.addr}, msg)
	copied := []byte(strings.ReplaceAll("X-Client: yes\n"+msg, "\n", "\r\n"))
	_, uid, err := alice.Append(context.Background(), "Sent", copied, mailbox.NewFlags(mailbox.Seen), time.Now())
	if err != nil || uid == 0 {
		t.Fatal(uid, err)
	}
	time.Sleep(time.Second) // longer than the grace after which the bridge shows its own
	got := alice.read("Sent")
	if len(got) != 1 || !bytes.Equal(got[0].raw, copied) {
		t.Errorf("%d messages in Sent", len(got))
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice := w.add("alice")
	ctx := context.Background()
	for name, msg := range map[string]string{
		"another sender": letterTo("mallory@example.org", "x@example.org", "s", "b"),
		"two senders":    letterTo("alice@example.org>, <mallory@example.org", "x@example.org", "s", "b"),
		"wish":           letterTo(alice.addr, "x@example.org", "[enc] s", "b"),
	} {
		var refusal *account.Refusal
		if _, err := alice.Submit(ctx, alice.addr, []string{"x@example.org"}, []byte(msg)); !errors.As(err, &refusal) || refusal.Code != 550 {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := alice.Submit(ctx, alice.addr, []string{"nobody@" + domain}, []byte(letterTo(alice.addr, "nobody@"+domain, "s", "b")))
	if err == nil || !strings.Contains(err.Error(), "Your provider refused nobody@example.org") {
		t.Errorf("the provider's refusal: %v", err)
	}
	if n := len(w.provider.Submissions()); n != 0 {
		t.Errorf("%d messages were sent", n)
	}
	for _, link := range []string{"", "https://example.org/", "OPENPGP4FPR:1234", "https://i.delta.chat/#abc&s=x"} {
		var bad *account.BadData
		if _, err := alice.Join(ctx, link, account.JoinOptions{}); !errors.As(err, &bad) {
			t.Errorf("join %q: %v", link, err)
		}
	}
}

func TestCreateKeepsNothingOfAFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{Users: map[string]string{"alice@example.org": "right"}})
	settings := account.Settings{
		Address: "alice@example.org", CAFile: w.ca,
		IMAP: account.Server{Host: "127.0.0.1", Port: w.provider.IMAPSAddr().Port, TLS: "tls"},
		SMTP: account.Server{Host: "127.0.0.1", Port: w.provider.SMTPAddr().Port, TLS: "starttls"},
	}
	untrusted, down := settings, settings
	untrusted.CAFile = ""
	down.IMAP.Port = 1
	for _, test := range []struct {
		name     string
		settings account.Settings
		password string
		is       func(error) bool
	}{
		{"wrong password", settings, "wrong", upstream.IsAuth},
		{"certificate not trusted", untrusted, "right", upstream.IsCertificate},
		{"provider down", down, "right", upstream.IsUnreachable},
	} {
		dir := t.TempDir() + "/account"
		_, err := account.Create(context.Background(), w.options(dir), test.settings, test.password)
		if !test.is(err) {
			t.Errorf("%s: %v", test.name, err)
		}
		if _, err := account.Open(context.Background(), w.options(dir)); !errors.Is(err, account.ErrNotFound) {
			t.Errorf("%s: something was kept: %v", test.name, err)
		}
	}
}

func TestLockedWithoutItsKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice := w.add("alice")
	alice.end()
	o := w.options(alice.dir)
	o.MasterKey = func(context.Context) ([32]byte, error) { return [32]byte{9}, nil }
	if _, err := account.Open(context.Background(), o); !errors.Is(err, account.ErrLocked) {
		t.Errorf("another key: %v", err)
	}
	o.MasterKey = func(context.Context) ([32]byte, error) { return [32]byte{}, errors.New("no key") }
	if _, err := account.Open(context.Background(), o); !errors.Is(err, account.ErrLocked) {
		t.Errorf("no key: %v", err)
	}
}

// TestLinkProvesItsHolderAndNotAnAddress: whoever joins under an address that has another key
// is a claim, until the user accepts it.
func TestLinkProvesItsHolderAndNotAnAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	ctx := context.Background()
	alice, bob := w.add("alice"), w.add("bob")
	w.shake(alice, bob)
	bob.end()
	before, err := alice.Contact(ctx, bob.addr)
	if err != nil {
		t.Fatal(err)
	}
	again := w.addIn("bob", "new machine")
	key, _ := again.OwnKey(ctx)
	invite, err := alice.Invite(ctx, account.InviteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	join, err := again.Join(ctx, invite.Link, account.JoinOptions{})
	if err != nil {
		t.Fatal(err)
	}
	alice.wait(mailbox.Bridge, "Another key for bob@example.org")
	claim, err := alice.Contact(ctx, bob.addr)
	if err != nil || claim.Fingerprint != before.Fingerprint || len(claim.Candidates) != 1 || claim.Candidates[0] != key.Fingerprint {
		t.Fatalf("after the claim: %+v, %v", claim, err)
	}
	checks, _ := alice.Check(ctx, []string{bob.addr})
	if checks[0].Outcome != "encrypt" || !strings.Contains(checks[0].Reason, "bridge contact accept bob@example.org "+string(key.Fingerprint)) {
		t.Errorf("check: %+v", checks)
	}
	var bad *account.BadData
	if _, err := alice.AcceptKey(ctx, bob.addr, "nonsense"); !errors.As(err, &bad) {
		t.Errorf("accept nonsense: %v", err)
	}
	if _, err := alice.AcceptKey(ctx, bob.addr, strings.Repeat("A", 40)); !errors.Is(err, account.ErrNotFound) {
		t.Errorf("accept another: %v", err)
	}
	accepted, err := alice.AcceptKey(ctx, bob.addr, string(key.Fingerprint))
	if err != nil || !accepted.Verified || accepted.Fingerprint != key.Fingerprint || accepted.VerifiedHow != "securejoin-v3" || len(accepted.Candidates) != 0 {
		t.Fatalf("accepted: %+v, %v", accepted, err)
	}
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if join, err = again.WaitJoin(wait, join.ID); err != nil || join.State != account.JoinCompleted {
		t.Errorf("the joiner: %+v, %v", join, err)
	}
	alice.submit([]string{bob.addr}, letterTo(alice.addr, bob.addr, "hello again", "to the new key"))
	again.wait(mailbox.Inbox, "to the new key")
}

func TestNewProviderPassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice := w.add("alice")
	w.provider.AddUser(alice.addr, "another")
	w.provider.Cut()
	w.eventually("the refused login is told", func() bool { return alice.State(context.Background()).Provider == "login-refused" })
	if err := alice.SetProviderPassword(context.Background(), "wrong"); !upstream.IsAuth(err) {
		t.Errorf("a wrong password: %v", err)
	}
	if err := alice.SetProviderPassword(context.Background(), "another"); err != nil {
		t.Fatal(err)
	}
	w.eventually("it is connected again", func() bool { return alice.State(context.Background()).Provider == "connected" })
}

// TestKeywordsAreLive: a contact that is verified later has sent verified mail before; what the
// security header says is as of the time the message came.
func TestKeywordsAreLive(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	alice.submit([]string{bob.addr}, letterTo(alice.addr, bob.addr, "plain", "first contact"))
	bob.wait(mailbox.Inbox, "first contact")
	bob.submit([]string{alice.addr}, letterTo(bob.addr, alice.addr, "sealed", "before it was verified"))
	before := alice.wait(mailbox.Inbox, "before it was verified")
	if before.Flags.Has(mailbox.Verified) {
		t.Fatal("verified too early")
	}
	w.shake(alice, bob)
	after := alice.wait(mailbox.Inbox, "before it was verified")
	if !after.Flags.Has(mailbox.Verified) || !bytes.Equal(after.raw, before.raw) || after.UID != before.UID {
		t.Errorf("flags %v, UID %d then %d", after.Flags, before.UID, after.UID)
	}
	if s, _ := headers.ParseSecurity(after.header(headers.SecurityName)); s.Trust != "autocrypt" {
		t.Errorf("trust %q", s.Trust)
	}
}
