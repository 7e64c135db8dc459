//go:build peers

package interop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/smtp"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"mailbridge/internal/peers"
)

const (
	kills   = 20
	traffic = 50 // mails in each direction
)

// place is what IMAP promises to be one sequence of octets for ever.
type place struct {
	mailbox     string
	uidValidity uint32
	uid         imap.UID
}

// memory is what a client has seen so far.
type memory struct {
	mu       sync.Mutex
	raw      map[place][]byte
	flags    map[place][]string // as they must be; absent while a change is under way
	validity map[string]uint32
	wrong    []string
}

func (m *memory) complain(format string, args ...any) {
	m.wrong = append(m.wrong, fmt.Sprintf(format, args...))
}

// selected compares a mailbox's UIDVALIDITY.
func (m *memory) selected(mailbox string, validity uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if before, known := m.validity[mailbox]; known && before != validity {
		m.complain("UIDVALIDITY of %s was %d and is %d", mailbox, before, validity)
	}
	m.validity[mailbox] = validity
}

// sees compares a message with what was seen before under its UID.
func (m *memory) sees(p place, msg message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if before, known := m.raw[p]; known && !bytes.Equal(before, msg.Raw) {
		m.complain("%v was\n%s\nand is\n%s", p, before, msg.Raw)
	}
	m.raw[p] = msg.Raw
	if msg.Size != int64(len(msg.Raw)) {
		m.complain("%v has size %d and %d octets", p, msg.Size, len(msg.Raw))
	}
	flags := flagsOf(msg)
	if before, known := m.flags[p]; known && !slices.Equal(before, flags) {
		m.complain("flags of %v were %q and are %q", p, before, flags)
	}
	m.flags[p] = flags
}

// flagsOf lists a message's flags but \Recent, which is a session's own.
func flagsOf(msg message) []string {
	var flags []string
	for _, f := range msg.Flags {
		if f != `\Recent` {
			flags = append(flags, string(f))
		}
	}
	slices.Sort(flags)
	return flags
}

// session is a mail client's connection until the service is killed. Every error ends it.
type session struct {
	*imapclient.Client
	m *memory
}

func (m *memory) connect(s settings) (session, error) {
	c, err := imapclient.DialInsecure(s.imapAddr(), nil)
	if err != nil {
		return session{}, err
	}
	if err := c.Login(s.User, s.Password).Wait(); err != nil {
		c.Close()
		return session{}, err
	}
	return session{c, m}, nil
}

// look reads a mailbox from a UID on, and gives the UIDs.
func (s session) look(mailbox string, from imap.UID) ([]imap.UID, error) {
	sel, err := s.Select(mailbox, nil).Wait()
	if err != nil {
		return nil, err
	}
	s.m.selected(mailbox, sel.UIDValidity)
	if sel.NumMessages == 0 {
		return nil, nil
	}
	set := imap.UIDSet{}
	set.AddRange(from, 0)
	list, err := s.Fetch(set, &imap.FetchOptions{
		UID: true, Flags: true, RFC822Size: true, BodySection: []*imap.FetchItemBodySection{{Peek: true}},
	}).Collect()
	var uids []imap.UID
	for _, fetched := range list {
		if fetched.UID < from || fetched.UID == 0 || len(fetched.BodySection) == 0 {
			continue // "*" is never below; an answer that was cut short says nothing
		}
		msg := message{UID: fetched.UID, Flags: fetched.Flags, Size: fetched.RFC822Size, Raw: fetched.BodySection[0].Bytes}
		if err != nil && int64(len(msg.Raw)) != msg.Size {
			continue
		}
		uids = append(uids, msg.UID)
		s.m.sees(place{mailbox, sel.UIDValidity, msg.UID}, msg)
	}
	return uids, err
}

// flag turns a flag of a message on or off. Until the server says OK nobody knows which.
func (s session) flag(p place, on bool) error {
	s.m.mu.Lock()
	before := s.m.flags[p]
	delete(s.m.flags, p)
	s.m.mu.Unlock()
	op := imap.StoreFlagsDel
	if on {
		op = imap.StoreFlagsAdd
	}
	err := s.Store(imap.UIDSetNum(p.uid), &imap.StoreFlags{Op: op, Silent: true, Flags: []imap.Flag{imap.FlagFlagged}}, nil).Close()
	if err != nil {
		return err
	}
	after := slices.DeleteFunc(slices.Clone(before), func(f string) bool { return f == string(imap.FlagFlagged) })
	if on {
		after = append(after, string(imap.FlagFlagged))
		slices.Sort(after)
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.flags[p] = after
	return nil
}

// follow reads INBOX as mail comes in, and changes a flag now and then, until the end.
func (m *memory) follow(s settings, random *rand.Rand) {
	c, err := m.connect(s)
	if err != nil {
		return
	}
	defer c.Close()
	for from := imap.UID(1); ; {
		uids, err := c.look("INBOX", from)
		if err != nil {
			return
		}
		if len(uids) > 0 {
			from = uids[len(uids)-1] + 1
			chosen := place{"INBOX", m.validity["INBOX"], uids[random.IntN(len(uids))]}
			if c.flag(chosen, random.IntN(2) == 0) != nil {
				return
			}
		}
		time.Sleep(20 * time.Millisecond) // the pace of a client, not a wait for anything
	}
}

// everything reads every mailbox and reports a UID that was seen before and is gone.
func (m *memory) everything(t *testing.T, s settings) {
	t.Helper()
	c, err := m.connect(s)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, name := range (&client{t, c.Client}).mailboxes() {
		uids, err := c.look(name, 1)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for p := range m.raw {
			if p.mailbox == name && !slices.Contains(uids, p.uid) {
				m.complain("%v is gone", p)
			}
		}
	}
	for _, wrong := range m.wrong {
		t.Error(wrong)
	}
	m.wrong = nil
}

// having counts the messages of a mailbox that hold text.
func (m *memory) having(mailbox, text string) int {
	n := 0
	for p, raw := range m.raw {
		if p.mailbox == mailbox && bytes.Contains(raw, []byte(text)) {
			n++
		}
	}
	return n
}

// outgoing is a mail on its way out.
type outgoing struct {
	word, to, raw string
	saves         bool // the client keeps a copy of its own
	answered      bool // the client has seen a 250
	sent          bool // which said that the provider has it
	handed        bool // the final dot has left
}

// plainMail is an ordinary message with a word like no other.
func plainMail(from, to, word string) string {
	return fmt.Sprintf("From: <%s>\r\nTo: <%s>\r\nSubject: about %s\r\nDate: %s\r\nMessage-ID: <%s@client.example>\r\n\r\nThe word is %s.\r\n",
		from, to, word, time.Now().Format(time.RFC1123Z), word, word)
}

// submit hands a mail over. Before the final dot has left it may be tried again.
func (o *outgoing) submit(s settings, from string) error {
	c, err := smtp.Dial(s.smtpAddr())
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Auth(smtp.PlainAuth("", s.User, s.Password, s.SMTP.Host)); err != nil {
		return err
	}
	if err := errors.Join(c.Mail(from), c.Rcpt(o.to)); err != nil {
		return err
	}
	if err := c.Text.PrintfLine("DATA"); err != nil {
		return err
	}
	if _, _, err := c.Text.ReadResponse(354); err != nil {
		return err
	}
	data := c.Text.DotWriter()
	if _, err := io.WriteString(data, o.raw); err != nil {
		return err
	}
	o.handed = true
	if err := data.Close(); err != nil {
		return err
	}
	_, reply, err := c.Text.ReadResponse(250)
	o.answered, o.sent = err == nil, err == nil && strings.HasSuffix(reply, "Sent")
	return err
}

// save appends the client's own copy to Sent, once.
func (o *outgoing) save(m *memory, s settings) error {
	c, err := m.connect(s)
	if err != nil {
		return err
	}
	defer c.Close()
	cmd := c.Append("Sent", int64(len(o.raw)), &imap.AppendOptions{Flags: []imap.Flag{imap.FlagSeen}})
	if _, err := io.WriteString(cmd, o.raw); err != nil {
		return err
	}
	if err := cmd.Close(); err != nil {
		return err
	}
	_, err = cmd.Wait()
	return err
}

// write sends at most n of what is left, one mail after the other, until the service is killed.
func write(m *memory, s settings, from string, all []*outgoing, n int) {
	for _, o := range all {
		if o.handed {
			continue
		}
		if n--; n < 0 || o.submit(s, from) != nil {
			return
		}
		if o.saves && o.save(m, s) != nil {
			return
		}
	}
}

// seed chooses the moments; MAILBRIDGE_SEED repeats a run.
func seed(t *testing.T) *rand.Rand {
	n := uint64(time.Now().UnixNano())
	if given := os.Getenv("MAILBRIDGE_SEED"); given != "" {
		var err error
		if n, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("MAILBRIDGE_SEED=%d", n)
	return rand.New(rand.NewPCG(n, 0))
}

// TestKilled kills the service at random moments while mail goes out and comes in. What a
// client has seen stays as it was, and every mail is there exactly once or is reported as
// unknown.
func TestKilled(t *testing.T) {
	t.Parallel()
	random := seed(t)
	bed := peers.Start(t)
	b, friend := newBridge(t, bed, "bridge"), newBridge(t, bed, "friend")
	stranger := peers.Address("stranger")
	var invite struct{ Link string }
	friend.query(&invite, "invite")
	b.ok("join", invite.Link, "--wait")
	eventually(t, "the friend has verified the bridge", func() bool {
		c, ok := friend.contact(b.addr)
		return ok && c.Verified
	})

	m := &memory{raw: map[place][]byte{}, flags: map[place][]string{}, validity: map[string]uint32{}}
	var out []*outgoing
	var in []string
	for i := range traffic {
		o := &outgoing{word: fmt.Sprintf("hinaus%dx%d", i, random.Uint32()), to: stranger, saves: i%4 < 2}
		if i%2 == 0 {
			o.to = friend.addr
		}
		o.raw = plainMail(b.addr, o.to, o.word)
		out = append(out, o)
		in = append(in, fmt.Sprintf("herein%dx%d", i, random.Uint32()))
	}
	var incoming sync.WaitGroup
	defer incoming.Wait()
	var delivered atomic.Int64
	deliver := make(chan string)
	incoming.Go(func() {
		for word := range deliver {
			if err := bring(bed, friend, stranger, b.addr, word, delivered.Load()%2 == 0); err != nil {
				t.Errorf("%s: %v", word, err)
			}
			delivered.Add(1)
		}
	})
	left := in
	for range kills {
		var clients sync.WaitGroup
		share := (traffic + kills - 1) / kills
		s, eyes := b.settings, rand.New(rand.NewPCG(random.Uint64(), 0))
		clients.Go(func() { m.follow(s, eyes) })
		clients.Go(func() { write(m, s, b.addr, out, share+1) })
		moment := random.IntN(900)
		if random.IntN(2) == 0 {
			moment /= 5 // while the first of them are under way
		}
		until := time.After(time.Duration(moment) * time.Millisecond)
	living:
		for i := 0; ; {
			next, word := deliver, ""
			if i < min(share, len(left)) {
				word = left[i]
			} else {
				next = nil
			}
			select {
			case next <- word:
				i++
			case <-until:
				left = left[i:]
				break living
			}
		}
		b.kill()
		clients.Wait()
		if random.IntN(3) == 0 {
			b.startAndKill(time.Duration(random.IntN(400)) * time.Millisecond)
		}
		b.start()
		m.everything(t, b.settings)
	}
	for _, word := range left {
		deliver <- word
	}
	close(deliver)
	incoming.Wait()
	write(m, b.settings, b.addr, out, traffic)
	checkKilled(t, b, friend, m, out, in)
}

// bring brings a mail to the bridge: encrypted from the friend, or plain from outside.
func bring(bed *peers.Bed, friend *bridge, stranger, to, word string, encrypted bool) error {
	if encrypted {
		return friend.send([]string{to}, plainMail(friend.addr, to, word))
	}
	return bed.Deliver(stranger, []string{to}, []byte(plainMail(stranger, to, word)))
}

// startAndKill kills the service while it starts.
func (b *bridge) startAndKill(after time.Duration) {
	b.t.Helper()
	cmd := b.command(context.Background(), "run")
	cmd.Stderr = logWriter{b}
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	time.Sleep(after)
	cmd.Process.Kill()
	cmd.Wait()
}

// checkKilled waits until everything has come to rest, and counts.
func checkKilled(t *testing.T, b, friend *bridge, m *memory, out []*outgoing, in []string) {
	t.Helper()
	var status struct {
		Accounts []struct{ Queued, Unknown int }
	}
	eventually(t, "nothing is queued", func() bool {
		b.query(&status, "status")
		return status.Accounts[0].Queued == 0
	})
	unknown := status.Accounts[0].Unknown
	eventually(t, "every incoming mail is there", func() bool {
		m.everything(t, b.settings)
		return !slices.ContainsFunc(in, func(word string) bool { return m.having("INBOX", word) == 0 })
	})
	eventually(t, "every mail that was sent has arrived", func() bool {
		arrived := arrivals(b, friend, out)
		for i, o := range out {
			if o.sent && arrived[i] == 0 {
				return false
			}
		}
		return true
	})
	checkSent(t, b, friend, m, out)
	for _, word := range in {
		if n := m.having("INBOX", word); n != 1 {
			t.Errorf("%s came in %d times", word, n)
		}
	}
	sent, cut, missing := 0, 0, 0
	for i, n := range arrivals(b, friend, out) {
		o := out[i]
		switch {
		case n > 1:
			t.Errorf("%s went out %d times", o.word, n)
		case !o.answered:
			cut++
		case o.sent:
			sent++
		case n == 0:
			missing++
		}
	}
	if missing > unknown {
		t.Errorf("%d mails that were taken did not arrive, but only %d are unknown", missing, unknown)
	}
	if sent == 0 {
		t.Error("no reply said that a mail was sent")
	}
	t.Logf("%d submissions were cut off, %d are reported as unknown", cut, unknown)
}

// arrivals counts how often each mail has arrived: what the friend's client sees, and what was
// delivered to the stranger.
func arrivals(b, friend *bridge, out []*outgoing) []int {
	b.t.Helper()
	delivered, err := b.bed.Archive()
	if err != nil {
		b.t.Fatal(err)
	}
	var raw [][]byte
	for _, d := range delivered {
		if d.To != friend.addr {
			raw = append(raw, d.Data)
		}
	}
	for _, msg := range connect(b.t, friend, nil).messages("INBOX") {
		raw = append(raw, msg.Raw)
	}
	counts := make([]int, len(out))
	for i, o := range out {
		for _, msg := range raw {
			if bytes.Contains(msg, []byte("The word is "+o.word+".")) {
				counts[i]++
			}
		}
	}
	return counts
}

// checkSent counts the sender's own copies: one here and one at the provider of everything that
// the client was told is on its way, and of everything that arrived.
func checkSent(t *testing.T, b, friend *bridge, m *memory, out []*outgoing) {
	t.Helper()
	eventually(t, "every Sent copy is here", func() bool {
		m.everything(t, b.settings)
		return !slices.ContainsFunc(out, func(o *outgoing) bool { return o.answered && m.having("Sent", o.word) == 0 })
	})
	upstream := func() []int {
		messages, err := b.bed.Messages(b.addr, "Sent")
		if err != nil {
			t.Fatal(err)
		}
		counts := make([]int, len(out))
		for i, o := range out {
			for _, msg := range messages {
				if bytes.Contains(msg, []byte("Message-ID: <"+o.word+"@client.example>")) {
					counts[i]++
				}
			}
		}
		return counts
	}
	here := func(o *outgoing) int { return m.having("Sent", o.word) }
	var there []int
	eventually(t, "the provider has as many", func() bool {
		there = upstream()
		for i, o := range out {
			if there[i] < here(o) {
				return false
			}
		}
		return true
	})
	m.everything(t, b.settings)
	arrived := arrivals(b, friend, out)
	for i, o := range out {
		if n := here(o); n > 1 || n != there[i] || n == 0 && (o.answered || arrived[i] > 0) {
			t.Errorf("%s has %d Sent copies here and %d at the provider; answered %v, arrived %d times", o.word, n, there[i], o.answered, arrived[i])
		}
	}
}
