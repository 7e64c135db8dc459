package securejoin_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"mailbridge/securejoin"
)

// noise is a source of bytes that do not repeat.
func noise() io.Reader { return rand.NewChaCha8([32]byte{}) }

func ownChannel(t testing.TB, random io.Reader) securejoin.ChannelChat {
	t.Helper()
	c, err := securejoin.NewChannel(random, "My news", aliceSelf, noon.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []securejoin.Self{bobSelf, carolSelf} {
		if c, _, err = c.Add(aliceSelf, member(s), noon.Add(-50*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// posted writes a message of a channel as a receiver reads it.
func posted(t testing.TB, p securejoin.Post, from securejoin.Self, at time.Time) securejoin.ChannelMessage {
	t.Helper()
	m, ok := securejoin.ReadChannel(innerOf(t, p, from, at), from.Fingerprint, gossipOf(p), p.Secret, at.Add(time.Second))
	if !ok {
		t.Fatal("no message of a channel")
	}
	return m
}

func TestNewChannel(t *testing.T) {
	t.Parallel()
	c := ownChannel(t, noise())
	if len(c.ID) != 24 || len(c.Secrets) != 1 || len(c.Secrets[0]) != 43 || !c.Own(aliceSelf) || c.Own(bobSelf) || !c.Open() {
		t.Errorf("%+v", c)
	}
	for _, random := range []io.Reader{strings.NewReader("short"), strings.NewReader(strings.Repeat("x", 18))} {
		if _, err := securejoin.NewChannel(random, "x", aliceSelf, noon); err == nil {
			t.Error("made a channel without enough randomness")
		}
	}
	if _, err := securejoin.NewChannel(noise(), "\u2060", aliceSelf, noon); !errors.Is(err, securejoin.ErrNoName) {
		t.Error(err)
	}
}

// TestChannelName: subscribers find the channel whatever it is called.
func TestChannelName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a <b@c>", "Ü <y>", "a <b", "a > b", `Ü, "x" <y@z>`, `a\b`, "=?x?=", "<AAAAAAAAAAAAAAAAAAAAAAAA>"} {
		c, err := securejoin.NewChannel(noise(), name, aliceSelf, noon.Add(-time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if got := subscribed(t, c, bobSelf); got.ID != c.ID {
			t.Errorf("%s: the id is %s, want %s", name, got.ID, c.ID)
		}
	}
}

// TestChannelPost: posts name nobody, and go out with the secret.
func TestChannelPost(t *testing.T) {
	t.Parallel()
	c := ownChannel(t, noise())
	p, err := c.Post(aliceSelf)
	if err != nil || p.Secret != c.Secrets[0] || addrs(p.Recipients) != "bob carol" || len(p.To) != 0 || len(p.Gossip) != 0 {
		t.Fatalf("%+v, %v", p, err)
	}
	h := innerOf(t, p, aliceSelf, noon)
	if h.Get("To") != `"hidden-recipients": ;` || h.Get("Chat-List-ID") != "My news <"+c.ID+">" || h.Has("Chat-Broadcast-Secret") || h.Has("Chat-Group-ID") {
		t.Errorf("%s", h.Bytes())
	}
	for _, c := range []securejoin.ChannelChat{subscription(t), {}} {
		_, post := c.Post(bobSelf)
		_, _, add := c.Add(bobSelf, member(carolSelf), noon)
		_, _, remove := c.Remove(noise(), bobSelf, carolKey, noon)
		_, _, rotate := c.Rotate(noise(), bobSelf, noon)
		for _, err := range []error{post, add, remove, rotate} {
			if !errors.Is(err, securejoin.ErrNotOwner) {
				t.Error(err)
			}
		}
	}
}

// TestChannelAdd: a subscriber hears of itself and of nobody else; asked again it is told again.
func TestChannelAdd(t *testing.T) {
	t.Parallel()
	c := ownChannel(t, noise())
	next, p, err := c.Add(aliceSelf, member(bobSelf), noon)
	if err != nil || addrs(p.Recipients) != "bob" || addrs(p.To) != "bob" || addrs(p.Gossip) != "bob" || p.Secret != "" || len(next.Current()) != 2 {
		t.Errorf("%+v, %v", p, err)
	}
	if _, _, err := c.Add(aliceSelf, securejoin.Member{Addr: bobAddr}, noon); !errors.Is(err, securejoin.ErrNoAddress) {
		t.Error(err)
	}
	moved := member(bobSelf)
	moved.Addr = "bob@new.example"
	if next, p, err = c.Add(aliceSelf, moved, noon); err != nil || p.Recipients[0].Addr != moved.Addr || len(next.Current()) != 2 || next.Current()[0].Addr != moved.Addr {
		t.Errorf("%+v, %v", next, err)
	}
	if c.Standing(aliceSelf, bobKey) != securejoin.Insider || c.Standing(aliceSelf, eveKey) != securejoin.Outsider || c.Standing(bobSelf, eveKey) != securejoin.NoGroup {
		t.Error("other standings")
	}
}

// TestChannelRemove: who is removed cannot read on, and the others can.
func TestChannelRemove(t *testing.T) {
	t.Parallel()
	random := noise()
	c := ownChannel(t, random)
	bobs := subscribed(t, c, bobSelf)
	carols := subscribed(t, c, carolSelf)
	next, posts, err := c.Remove(random, aliceSelf, carolKey, noon.Add(-time.Minute))
	if err != nil || len(posts) != 2 || addrs(posts[0].Recipients) != "carol" || addrs(posts[1].Recipients) != "bob" {
		t.Fatalf("%+v, %v", posts, err)
	}
	if next.Secrets[0] == c.Secrets[0] || next.Standing(aliceSelf, carolKey) != securejoin.Outcast || addrs(next.Current()) != "bob" {
		t.Errorf("%+v", next)
	}
	carols, event := carols.Receive(carolSelf, posted(t, posts[0], aliceSelf, noon.Add(-time.Minute)))
	if event != securejoin.Unsubscribed || len(carols.Secrets) != 0 {
		t.Errorf("%v, %+v", event, carols)
	}
	if h := innerOf(t, posts[0], aliceSelf, noon); h.Has("Chat-Broadcast-Secret") {
		t.Error("tells the one removed a secret")
	}
	bobs, event = bobs.Receive(bobSelf, posted(t, posts[1], aliceSelf, noon.Add(-time.Minute)))
	if event != securejoin.NewKey || !slices.Equal(bobs.Secrets, next.Secrets) {
		t.Errorf("%v, %+v", event, bobs)
	}
	// Posts that were under way are read, too; the owner's old secret is not handed out again.
	for _, channel := range []securejoin.ChannelChat{next, c} {
		p, err := channel.Post(aliceSelf)
		if err != nil {
			t.Fatal(err)
		}
		if _, event := bobs.Receive(bobSelf, posted(t, p, aliceSelf, noon)); event != securejoin.Posted {
			t.Errorf("event %v", event)
		}
		if _, event := carols.Receive(carolSelf, posted(t, p, aliceSelf, noon)); event != securejoin.NoEvent {
			t.Errorf("event %v", event)
		}
	}
	if _, _, err := next.Remove(random, aliceSelf, carolKey, noon); !errors.Is(err, securejoin.ErrNoSuchMember) {
		t.Error(err)
	}
	if _, _, err := c.Remove(strings.NewReader(""), aliceSelf, carolKey, noon); err == nil {
		t.Error("removed without a new secret")
	}
}

// subscribed is the channel as a subscriber has it after its join.
func subscribed(t testing.TB, c securejoin.ChannelChat, s securejoin.Self) securejoin.ChannelChat {
	t.Helper()
	_, p, err := c.Add(aliceSelf, member(s), noon.Add(-50*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	m := posted(t, p, aliceSelf, noon.Add(-50*time.Minute))
	m.Proven = true
	got, err := securejoin.SubscribeTo(s, m)
	if err != nil || !got.Open() || got.Name != c.Name || got.Owner.Fingerprint != aliceKey {
		t.Fatalf("%+v, %v", got, err)
	}
	return got
}

// TestChannelReplay: old messages of the owner, sent again, change nothing.
func TestChannelReplay(t *testing.T) {
	t.Parallel()
	random := noise()
	c := ownChannel(t, random)
	first := subscribed(t, c, bobSelf)
	_, p, err := c.Add(aliceSelf, member(bobSelf), noon.Add(-50*time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	old := posted(t, p, aliceSelf, noon.Add(-50*time.Minute))
	bobs := first
	for n := range 5 {
		at := noon.Add(time.Duration(n-10) * time.Minute)
		var posts []securejoin.Post
		if c, posts, err = c.Rotate(random, aliceSelf, at); err != nil {
			t.Fatal(err)
		}
		bobs, _ = bobs.Receive(bobSelf, posted(t, posts[0], aliceSelf, at))
	}
	if !slices.Equal(bobs.Secrets, c.Secrets) || len(c.Secrets) != 3 {
		t.Fatalf("%v, %v", bobs.Secrets, c.Secrets)
	}
	if next, event := bobs.Receive(bobSelf, old); event != securejoin.Settled || !slices.Equal(next.Secrets, bobs.Secrets) {
		t.Errorf("%v, %v", event, next.Secrets)
	}
	left, _, err := bobs.Leave(bobSelf, noon)
	if err != nil {
		t.Fatal(err)
	}
	// Once we left, also a new one of the owner's: only a join of ours leads back.
	_, p, _ = c.Add(aliceSelf, member(bobSelf), noon.Add(time.Minute))
	unasked := posted(t, p, aliceSelf, noon.Add(time.Minute))
	for _, m := range []securejoin.ChannelMessage{old, unasked} {
		if next, event := left.Receive(bobSelf, m); event != securejoin.NoEvent || next.Open() {
			t.Errorf("%v, %+v", event, next)
		}
	}
	unasked.Proven = true
	if next, event := left.Receive(bobSelf, unasked); event != securejoin.Subscribed || !next.Open() || !next.Ended.IsZero() {
		t.Errorf("%v, %+v", event, next)
	}
	// A removal from before we subscribed.
	removal := securejoin.ChannelMessage{ID: c.ID, Signer: aliceKey, Date: noon.Add(-51 * time.Minute), Removed: &securejoin.Listed{Addr: bobAddr, Key: bobKey}}
	if _, event := first.Receive(bobSelf, removal); event != securejoin.NoEvent {
		t.Errorf("event %v", event)
	}
	if _, err := securejoin.SubscribeTo(bobSelf, old); !errors.Is(err, securejoin.ErrUnknownGroup) {
		t.Errorf("subscribed unasked: %v", err)
	}
}

// TestChannelLeave: a subscriber goes, and the owner drops it without a word.
func TestChannelLeave(t *testing.T) {
	t.Parallel()
	c := ownChannel(t, noise())
	_, p, err := subscribed(t, c, bobSelf).Leave(bobSelf, noon)
	if err != nil || len(p.Recipients) != 1 || p.Recipients[0].Fingerprint != aliceKey || p.Secret != "" {
		t.Fatalf("%+v, %v", p, err)
	}
	m := posted(t, p, bobSelf, noon)
	next, event := c.Receive(aliceSelf, m)
	if event != securejoin.Departed || addrs(next.Current()) != "carol" || next.Standing(aliceSelf, bobKey) != securejoin.Outsider {
		t.Errorf("%v, %+v", event, next)
	}
	// Another device of his hears of it, too; a copy from before it subscribed changes nothing.
	bobs := subscribed(t, c, bobSelf)
	if other, event := bobs.Receive(bobSelf, m); event != securejoin.Departed || other.Open() || other.Ended.IsZero() {
		t.Errorf("%v, %+v", event, other)
	}
	early := m
	early.Date = bobs.RotatedAt.Add(-time.Second)
	if other, event := bobs.Receive(bobSelf, early); event != securejoin.Settled || !other.Open() {
		t.Errorf("%v, %+v", event, other)
	}
	// The same again, also once he is back, changes nothing.
	back, _, err := next.Add(aliceSelf, member(bobSelf), noon.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []securejoin.ChannelChat{next, back} {
		if again, event := c.Receive(aliceSelf, m); event != securejoin.NoEvent || addrs(again.Current()) != addrs(c.Current()) {
			t.Errorf("%v, %+v", event, again)
		}
	}
	m.Signer = carolKey // she cannot remove him
	if _, event := c.Receive(aliceSelf, m); event != securejoin.NoEvent {
		t.Errorf("event %v", event)
	}
	if _, _, err := c.Leave(aliceSelf, noon); !errors.Is(err, securejoin.ErrNotMember) {
		t.Error(err)
	}
}

// TestChannelOtherDevice: what another device of the owner sends is its post, or nothing new.
func TestChannelOtherDevice(t *testing.T) {
	t.Parallel()
	c := ownChannel(t, noise())
	p, err := c.Post(aliceSelf)
	if err != nil {
		t.Fatal(err)
	}
	post := posted(t, p, aliceSelf, noon)
	if _, event := c.Receive(aliceSelf, post); event != securejoin.Posted {
		t.Errorf("event %v", event)
	}
	post.Opened = strings.Repeat("x", 43)
	if _, event := c.Receive(aliceSelf, post); event != securejoin.NoEvent {
		t.Errorf("event %v of another channel's secret", event)
	}
	next, posts, err := c.Remove(noise(), aliceSelf, carolKey, noon)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range posts {
		if _, event := next.Receive(aliceSelf, posted(t, p, aliceSelf, noon)); event != securejoin.Settled {
			t.Errorf("event %v", event)
		}
	}
}

func TestChannelDue(t *testing.T) {
	t.Parallel()
	c := ownChannel(t, noise())
	if c.Due(noon.Add(10000 * time.Hour)) {
		t.Error("due without being asked for")
	}
	c.RotateEvery = 24 * time.Hour
	if c.Due(noon) || !c.Due(noon.Add(23*time.Hour)) {
		t.Error("due at another time")
	}
}

// TestSync: what is composed is read again, and is of the form that was recorded.
func TestSync(t *testing.T) {
	t.Parallel()
	shared := groupInvite()
	shared.Shared = true
	add, err1 := shared.SyncAdd(noon)
	withdraw, err2 := shared.SyncDelete(noon)
	nothing, err3 := securejoin.SyncNothing(noise(), noon)
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	items := []securejoin.SyncItem{add, withdraw, nothing}
	m, err := securejoin.ComposeSync(items, aliceSelf, securejoin.Env{Now: noon, OuterDate: noon, MessageID: "1@localhost", Autocrypt: "addr=x", Boundary: "b"})
	if err != nil {
		t.Fatal(err)
	}
	got, ok := securejoin.ReadSync(m.Inner, noon.Add(time.Hour))
	if !ok || !slices.Equal(got, items) {
		t.Errorf("%+v, want %+v", got, items)
	}
	if bytes.Contains(m.Outer, []byte("report")) || !bytes.Contains(m.Outer, []byte("[...]")) {
		t.Errorf("%s", m.Outer)
	}
	// An item is not later than its message, nor than now.
	late := items[:1]
	late[0].At = noon.Add(time.Hour)
	m, _ = securejoin.ComposeSync(late, aliceSelf, securejoin.Env{Now: noon, OuterDate: noon, MessageID: "1@localhost", Boundary: "b"})
	for _, now := range []time.Time{noon.Add(2 * time.Hour), noon.Add(-time.Hour)} {
		if got, ok := securejoin.ReadSync(m.Inner, now); !ok || got[0].At.After(noon) || got[0].At.After(now) {
			t.Errorf("%+v, %v", got, ok)
		}
	}
	// The item that changes nothing withdraws nothing.
	if hit := securejoin.ApplySync([]securejoin.SyncItem{nothing}, []securejoin.Invite{liveInvite(), shared}, noon); len(hit) != 1 || hit[0].State(noon) != securejoin.Revoked || hit[0].Auth != nothing.Auth {
		t.Errorf("%+v", hit)
	}
}

func TestSyncRefuses(t *testing.T) {
	t.Parallel()
	if _, err := liveInvite().SyncAdd(noon); !errors.Is(err, securejoin.ErrSharedInvite) {
		t.Error(err)
	}
	if _, err := liveInvite().SyncDelete(noon); !errors.Is(err, securejoin.ErrSharedInvite) {
		t.Error(err)
	}
	for _, items := range [][]securejoin.SyncItem{nil, {{Kind: securejoin.SyncOther}}} {
		if _, err := securejoin.ComposeSync(items, aliceSelf, securejoin.Env{}); !errors.Is(err, securejoin.ErrCompose) {
			t.Errorf("%+v: %v", items, err)
		}
	}
	head := "From: alice@example.org\r\nContent-Type: multipart/report; report-type=multi-device-sync; boundary=b\r\n\r\n"
	for name, payload := range map[string]string{
		"no report":      "From: alice@example.org\r\nContent-Type: text/plain\r\n\r\n{\"items\":[]}",
		"no items":       head + "--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n",
		"no JSON":        head + "--b\r\nContent-Type: application/json\r\n\r\n{\r\n--b--\r\n",
		"too many items": head + "--b\r\nContent-Type: application/json\r\n\r\n{\"items\":[" + strings.Repeat("1,", 1000) + "1]}\r\n--b--\r\n",
		"too large":      head + "--b\r\nContent-Type: application/json\r\n\r\n{\"items\":[\"" + strings.Repeat("x", 1<<20) + "\"]}\r\n--b--\r\n",
	} {
		if items, ok := securejoin.ReadSync([]byte(payload), noon); ok {
			t.Errorf("%s: %+v", name, items)
		}
	}
	// Tokens that are none make no invite.
	for _, item := range []securejoin.SyncItem{
		{Kind: securejoin.AddQrToken, Auth: "short"}, {Kind: securejoin.AddQrToken, Auth: auth, Number: "short"},
		{Kind: securejoin.AddQrToken, Auth: auth, GroupID: "<script>"},
	} {
		if made := securejoin.ApplySync([]securejoin.SyncItem{item}, nil, noon); len(made) != 0 {
			t.Errorf("%+v", made)
		}
	}
}
