package account_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"mailbridge/account"
	"mailbridge/internal/provider"
	"mailbridge/mailbox"
	"mailbridge/message"
	"mailbridge/securejoin"
)

// subscribe lets people join a channel by one link, and gives the link.
func (w *world) subscribe(owner *person, channel string, who ...*person) string {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	invite, err := owner.Invite(ctx, account.InviteOptions{Channel: channel})
	if err != nil {
		w.Fatal(err)
	}
	for _, p := range who {
		p.joined(invite.Link)
	}
	return invite.Link
}

// joined joins by a link until the end.
func (p *person) joined(link string) {
	p.w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	join, err := p.Join(ctx, link, account.JoinOptions{})
	if err != nil {
		p.w.Fatal(err)
	}
	if join, err = p.WaitJoin(ctx, join.ID); err != nil || join.State != account.JoinCompleted {
		p.w.Fatalf("join: %+v, %v", join, err)
	}
}

func (p *person) createChannel(name string) account.Channel {
	p.w.Helper()
	c, err := p.CreateChannel(context.Background(), name)
	if err != nil {
		p.w.Fatal(err)
	}
	return c
}

// channel is the person's only channel.
func (p *person) channel() account.Channel {
	p.w.Helper()
	list, err := p.Channels(context.Background())
	if err != nil || len(list) != 1 {
		p.w.Fatalf("channels of %s: %+v, %v", p.addr, list, err)
	}
	return list[0]
}

func (p *person) subscribers() (addrs []string) {
	p.w.Helper()
	list, err := p.Subscribers(context.Background(), p.channel().ID)
	if err != nil {
		p.w.Fatal(err)
	}
	for _, m := range list {
		addrs = append(addrs, m.Address)
	}
	return addrs
}

// last is the newest message that a person has sent to the provider.
func (w *world) last(from *person) provider.Submission {
	w.Helper()
	list := w.provider.Submissions()
	slices.Reverse(list)
	for _, s := range list {
		if s.From == from.addr {
			return s
		}
	}
	w.Fatalf("%s has sent nothing", from.addr)
	return provider.Submission{}
}

// picture is a letter with an attachment.
func picture(from, to, subject, text string, content []byte) string {
	return letterTo(from, to, subject, "--part\nContent-Type: text/plain; charset=utf-8\n\n"+text+"\n--part\n"+
		"Content-Type: image/png\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=p.png\n\n"+
		base64.StdEncoding.EncodeToString(content)+"\n--part--", "Content-Type: multipart/mixed; boundary=part", "Reply-To: elsewhere@example.org")
}

// isPost checks what a client sees of a post.
func (w *world) isPost(m mail, reader, owner *person, name string) {
	w.Helper()
	local, _, _ := strings.Cut(reader.channel().Address, "@")
	local = local[strings.LastIndexByte(local, '.')+1:]
	if want := name + " <" + local + ".groups.mailbridge.invalid>"; m.header("List-Id") != want {
		w.Errorf("List-Id %q, want %q", m.header("List-Id"), want)
	}
	h, _ := message.ParseHeader(m.raw)
	for _, absent := range []string{"List-Post", "Reply-To", "Chat-List-ID", "Chat-Broadcast-Secret", "Autocrypt"} {
		if h.Has(absent) {
			w.Errorf("%s of %q: %s", absent, m.header("Subject"), h.Get(absent))
		}
	}
	if bytes.Contains(m.raw, []byte(reader.channel().ID)) {
		w.Errorf("the channel's id is shown:\n%.1500s", m.raw)
	}
	if s := securityOf(m); s.Signer != owner.addr || s.Trust != "verified" || len(s.Warnings) != 0 || !m.Flags.Has(mailbox.Verified) {
		w.Errorf("%+v, %v", s, m.Flags)
	}
}

// TestChannel: people subscribe by a link, read what its owner posts, and answer the owner.
func TestChannel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob, carol := w.add("alice"), w.add("bob"), w.add("carol")
	channel := alice.createChannel("Hafen news")
	post := func(subject, text string, content []byte) error {
		_, err := alice.Submit(context.Background(), alice.addr, []string{channel.Address}, []byte(crlf(picture(alice.addr, channel.Address, subject, text, content))))
		return err
	}
	var refusal *account.Refusal
	if err := post("too early", "x", nil); !errors.As(err, &refusal) || !strings.Contains(refusal.Text, "Nobody has subscribed") {
		t.Fatalf("%v", err)
	}
	w.subscribe(alice, channel.ID, bob, carol)
	for _, p := range []*person{bob, carol} {
		m := p.wait(mailbox.Inbox, "You subscribed to the channel “Hafen news” of Alice (alice@example.org).")
		w.isPost(m, p, alice, "Hafen news")
		if c := p.channel(); c.Own || !c.Open || c.Name != "Hafen news" || c.Owner.Address != alice.addr || c.ID != channel.ID || c.Address == channel.Address {
			t.Errorf("%+v", c)
		}
		p.want(mailbox.Inbox, "", 1)
	}
	if got := alice.subscribers(); !slices.Equal(got, []string{bob.addr, carol.addr}) || alice.channel().Subscribers != 2 {
		t.Errorf("subscribers %v", got)
	}
	alice.want(mailbox.Inbox, "", 0)

	const secret = "Schwarzwurzelgeheimnis"
	w.provider.Watch(secret, "Tagesausflug", channel.ID)
	for _, content := range [][]byte{{1, 2, 3}, bytes.Repeat([]byte("0123456789abcdef\x00"), 40<<10)} {
		subject := "Tagesausflug"
		if len(content) > 3 {
			subject += " large"
		}
		if err := post(subject, secret, content); err != nil {
			t.Fatal(err)
		}
		for _, p := range []*person{bob, carol} {
			m := p.wait(mailbox.Inbox, "Subject: "+subject+"\r\n")
			w.isPost(m, p, alice, "Hafen news")
			parts := message.Parse(m.raw).Children
			if len(parts) != 2 || !bytes.Contains(m.raw, []byte(secret)) || !bytes.Equal(parts[1].Decoded(m.raw), content) {
				t.Errorf("%s sees:\n%.2000s", p.addr, m.raw)
			}
		}
	}
	sent := w.last(alice)
	if !slices.Equal(sent.To, []string{bob.addr, carol.addr}) || bytes.Contains(sent.Data, []byte(bob.addr)) {
		t.Errorf("a post to %v:\n%.600s", sent.To, sent.Data)
	}
	if m := alice.wait("Sent", secret); m.header("To") != "Other Body <"+channel.Address+">" {
		t.Errorf("the owner's copy:\n%.600s", m.raw)
	}

	bob.restart()
	m := bob.wait(mailbox.Inbox, "Subject: Tagesausflug\r\n")
	bob.submit([]string{alice.addr}, letterTo(bob.addr, alice.addr, "Re: Tagesausflug", "coming along", "In-Reply-To: "+m.header("Message-ID")))
	if s := securityOf(alice.wait(mailbox.Inbox, "coming along")); s.Encryption != "openpgp" || len(s.Warnings) != 0 {
		t.Errorf("%+v", s)
	}
	if err := post("after the restart", "again "+secret, nil); err != nil {
		t.Fatal(err)
	}
	w.isPost(bob.wait(mailbox.Inbox, "again "+secret), bob, alice, "Hafen news")
}

// TestChannelRefusals: a post goes to the channel and nobody else, and only from its owner.
func TestChannelRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	channel := alice.createChannel("news")
	w.subscribe(alice, channel.ID, bob)
	before := len(w.provider.Submissions())
	refused := func(p *person, want string, msg string, to ...string) {
		t.Helper()
		var refusal *account.Refusal
		if _, err := p.Submit(context.Background(), p.addr, to, []byte(crlf(strings.ReplaceAll(msg, "\r\n", "\n")))); !errors.As(err, &refusal) || !strings.Contains(refusal.Text, want) || refusal.Code != 550 {
			t.Errorf("%v, want %q", err, want)
		}
	}
	own, theirs := channel.Address, bob.channel().Address
	refused(alice, "Leave out: bob@example.org", letterTo(alice.addr, own, "s", "x"), own, bob.addr)
	refused(alice, "encrypted already", string(w.encrypted(bob, outerOf(alice.addr, own, "1@x"), "Content-Type: text/plain\r\n\r\nx\r\n", nil)), own)
	refused(bob, "Only its owner", letterTo(bob.addr, theirs, "s", "x"), theirs)
	refused(bob, "There is no group or channel", letterTo(bob.addr, own, "s", "x"), own)
	if n := len(w.provider.Submissions()); n != before {
		t.Errorf("%d messages left", n-before)
	}
	// A copy to oneself is none to somebody else.
	alice.submit([]string{own, alice.addr}, letterTo(alice.addr, own, "both", "to all"))
	bob.wait(mailbox.Inbox, "to all")

	ctx := context.Background()
	var bad *account.BadData
	short := time.Minute
	for name, err := range map[string]error{
		"no name":          second(alice.CreateChannel(ctx, " ")),
		"not ours: rotate": second(bob.RotateChannel(ctx, theirs, nil)),
		"not ours: remove": second(bob.RemoveSubscriber(ctx, theirs, bob.addr)),
		"not ours: list":   second(bob.Subscribers(ctx, theirs)),
		"not ours: invite": second(bob.Invite(ctx, account.InviteOptions{Channel: theirs})),
		"ours: leave":      second(alice.LeaveChannel(ctx, own)),
		"too short a time": second(alice.RotateChannel(ctx, own, &short)),
		"two of one name":  second(alice.RotateChannel(ctx, twice(alice), nil)),
	} {
		if !errors.As(err, &bad) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, err := range map[string]error{
		"no such channel":    second(alice.RotateChannel(ctx, "nowhere", nil)),
		"no such subscriber": second(alice.RemoveSubscriber(ctx, "news", "eve@example.org")),
		"not that address":   second(alice.LeaveChannel(ctx, theirs)),
	} {
		if !errors.Is(err, account.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, word := range []string{channel.ID, own, "NEWS." + strings.ToUpper(strings.TrimPrefix(own, "news.")), "news"} {
		if list, err := alice.Subscribers(ctx, word); err != nil || len(list) != 1 {
			t.Errorf("%q: %v, %v", word, list, err)
		}
	}
}

// TestChannelKeptElsewhere: what another device keeps is not changed here.
func TestChannelKeptElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice := w.add("alice")
	me := securejoin.Self{Addr: alice.addr, Fingerprint: alice.cert().Fingerprint()}
	kept, ok := securejoin.KeptElsewhere(me, strings.Repeat("e", 24), "app", strings.Repeat("s", 43), time.Now())
	if !ok {
		t.Fatal("no channel")
	}
	if err := alice.PutChannel(kept); err != nil {
		t.Fatal(err)
	}
	ctx, addr := context.Background(), alice.channel().Address
	var refusal *account.Refusal
	if _, err := alice.Submit(ctx, alice.addr, []string{addr}, []byte(crlf(letterTo(alice.addr, addr, "s", "x")))); !errors.As(err, &refusal) || !strings.Contains(refusal.Text, "Another device") {
		t.Errorf("%v", err)
	}
	var bad *account.BadData
	for name, err := range map[string]error{
		"rotate": second(alice.RotateChannel(ctx, addr, nil)),
		"list":   second(alice.Subscribers(ctx, addr)),
		"leave":  second(alice.LeaveChannel(ctx, addr)),
	} {
		if !errors.As(err, &bad) || strings.Contains(bad.Text, "not yours") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(alice.secrets()) != 1 {
		t.Error("its posts cannot be read")
	}
}

func second[T any](_ T, err error) error { return err }

// twice makes two channels of one name.
func twice(p *person) string {
	const name = "twins"
	p.createChannel(name)
	p.createChannel(name)
	return name
}

// TestChannelRemoval: who is removed cannot read on, whoever stays can, and nobody else notices.
func TestChannelRemoval(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob, carol := w.add("alice"), w.add("bob"), w.add("carol")
	channel := alice.createChannel("news")
	w.subscribe(alice, channel.ID, bob, carol)
	bob.wait(mailbox.Inbox, "You subscribed")
	bob.end() // hears of it later
	if c, err := alice.RemoveSubscriber(context.Background(), "news", carol.addr); err != nil || c.Subscribers != 1 {
		t.Fatalf("%+v, %v", c, err)
	}
	carol.wait(mailbox.Inbox, "You were removed")
	alice.restart()
	alice.submit([]string{channel.Address}, letterTo(alice.addr, channel.Address, "without carol", "for those who stay"))
	sent := w.last(alice)
	if !slices.Equal(sent.To, []string{bob.addr}) {
		t.Errorf("a post to %v", sent.To)
	}
	bob.open()
	w.isPost(bob.wait(mailbox.Inbox, "for those who stay"), bob, alice, "news")
	bob.want(mailbox.Inbox, "", 2)
	id := message.ParseMessageIDs(headerOf(sent.Data, "Message-ID"))[0]
	w.deliver(carol, sent.Data)
	carol.synced()
	w.advance(11 * time.Minute)
	if m := carol.wait(mailbox.Inbox, id); bytes.Contains(m.raw, []byte("for those who stay")) || !bytes.Contains(m.raw, []byte("BEGIN PGP MESSAGE")) {
		t.Errorf("%.800s", m.raw)
	}
}

func headerOf(msg []byte, name string) string {
	h, _ := message.ParseHeader(msg)
	return h.Get(name)
}

// TestChannelLeave: a subscriber goes, is not written to, and comes back by a link.
func TestChannelLeave(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob, carol := w.add("alice"), w.add("bob"), w.add("carol")
	channel := alice.createChannel("news")
	w.subscribe(alice, channel.ID, bob, carol)
	if c, err := bob.LeaveChannel(context.Background(), "news"); err != nil || c.Open {
		t.Fatalf("%+v, %v", c, err)
	}
	var bad *account.BadData
	if _, err := bob.LeaveChannel(context.Background(), "news"); !errors.As(err, &bad) {
		t.Error(err)
	}
	w.eventually("the owner drops the subscriber", func() bool { return slices.Equal(alice.subscribers(), []string{carol.addr}) })
	w.deliver(alice, w.last(bob).Data) // the same again
	alice.synced()
	bob.restart()
	alice.submit([]string{channel.Address}, letterTo(alice.addr, channel.Address, "s", "to carol alone"))
	carol.wait(mailbox.Inbox, "to carol alone")
	if sent := w.last(alice); !slices.Equal(sent.To, []string{carol.addr}) {
		t.Errorf("a post to %v", sent.To)
	}
	bob.want(mailbox.Inbox, "", 1)
	alice.want(mailbox.Inbox, "", 0)
	left := w.last(bob).Data
	w.advance(time.Second)
	w.subscribe(alice, channel.ID, bob)
	w.deliver(alice, left)
	alice.synced()
	alice.want(mailbox.Inbox, "", 0)
	alice.submit([]string{channel.Address}, letterTo(alice.addr, channel.Address, "s", "back again"))
	w.isPost(bob.wait(mailbox.Inbox, "back again"), bob, alice, "news")
}

// TestChannelRotation: the secret changes by itself where the user has set that, and a post that
// comes before its secret waits for it.
func TestChannelRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	channel := alice.createChannel("news")
	w.subscribe(alice, channel.ID, bob)
	bob.wait(mailbox.Inbox, "You subscribed")
	every := 24 * time.Hour
	if c, err := alice.RotateChannel(context.Background(), channel.Address, &every); err != nil || c.RotateEvery != "24h0m0s" {
		t.Fatalf("%+v, %v", c, err)
	}
	alice.restart()
	alice.synced()
	if n := len(alice.secrets()); n != 1 {
		t.Errorf("%d secrets before the time", n)
	}
	bob.end()
	w.advance(25 * time.Hour)
	alice.restart() // housekeeping looks at once
	w.eventually("the secret has changed", func() bool { return len(alice.secrets()) == 2 })
	alice.submit([]string{channel.Address}, letterTo(alice.addr, channel.Address, "s", "under the new secret"))
	inbox := bob.upstream("INBOX") // the welcome, the new secret, the post
	key, post := inbox[1], inbox[2]
	for _, m := range inbox[1:] {
		_ = w.provider.Remove(bob.addr, "INBOX", m.UID)
	}
	w.deliver(bob, post.Data)
	bob.open()
	bob.synced()
	bob.want(mailbox.Inbox, "", 1)
	w.deliver(bob, key.Data)
	w.isPost(bob.wait(mailbox.Inbox, "under the new secret"), bob, alice, "news")
	bob.want(mailbox.Inbox, "", 2)

	off := time.Duration(0)
	if c, err := alice.RotateChannel(context.Background(), "news", &off); err != nil || c.RotateEvery != "" {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := alice.RotateChannel(context.Background(), "news", nil); err != nil || len(alice.secrets()) != 3 {
		t.Errorf("%v", err)
	}
	w.eventually("bob has the newest secret", func() bool { return slices.Equal(bob.secrets(), alice.secrets()) })
}

// TestChannelLeftElsewhere: another device of the subscriber has left the channel.
func TestChannelLeftElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, provider.Options{})
	alice, bob := w.add("alice"), w.add("bob")
	channel := alice.createChannel("news")
	w.subscribe(alice, channel.ID, bob)
	bob.wait(mailbox.Inbox, "You subscribed")
	fields := "Chat-List-ID: news <" + channel.ID + ">\r\nChat-Version: 1.0\r\nChat-Group-Member-Removed: " + bob.addr +
		"\r\nChat-Group-Member-Removed-Fpr: " + string(bob.cert().Fingerprint()) + "\r\n"
	w.deliver(bob, w.encrypted(bob, outerOf(bob.addr, bob.addr, "left@app"), protected(bob.addr, alice.addr, "left@app", "left by the app", fields), bob.SecretKey()))
	w.eventually("the subscription has ended", func() bool { return !bob.channel().Open && len(bob.secrets()) == 0 })
	bob.synced()
	bob.want(mailbox.Inbox, "left by the app", 0)
}
