package securejoin_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mailbridge/pgp"
	"mailbridge/securejoin"
)

const (
	aliceAddr = "alice@example.org"
	bobAddr   = "bob@example.org"
)

// Fingerprints of nobody's keys.
const (
	aliceKey pgp.Fingerprint = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	bobKey   pgp.Fingerprint = "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB"
	eveKey   pgp.Fingerprint = "EEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEEE"
)

var (
	aliceSelf = securejoin.Self{Addr: aliceAddr, Name: "Alice", Fingerprint: aliceKey}
	bobSelf   = securejoin.Self{Addr: bobAddr, Name: "Bob", Fingerprint: bobKey}
	noon      = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
)

func liveInvite() securejoin.Invite {
	return securejoin.Invite{ID: 7, Auth: auth, Number: inv, Created: noon.Add(-time.Hour), Expires: noon.Add(securejoin.DefaultLifetime)}
}

func request() securejoin.Incoming {
	return securejoin.Incoming{
		Step: securejoin.RequestPubkey, Proof: &securejoin.Proof{Fingerprint: aliceKey, Auth: auth},
		OuterFrom: bobAddr, InnerFrom: bobAddr, Auth: auth, MessageID: "1@localhost",
	}
}

func withAuth() securejoin.Incoming {
	return securejoin.Incoming{
		Step: securejoin.RequestWithAuth, Signer: bobKey, OuterFrom: bobAddr, InnerFrom: bobAddr, Name: "Bob",
		Auth: auth, Fingerprint: bobKey, MessageID: "2@localhost", Gossip: map[string]pgp.Fingerprint{aliceAddr: aliceKey},
	}
}

// TestInviterRefuses has one line for each rule; refusals are silent.
func TestInviterRefuses(t *testing.T) {
	t.Parallel()
	other := &securejoin.Proof{Fingerprint: aliceKey, Auth: "another-token-of-ours"}
	cert := parsedCert(t)
	for _, test := range []struct {
		name    string
		from    func() securejoin.Incoming
		change  func(*securejoin.Incoming)
		verdict securejoin.Verdict
		why     error
	}{
		{"plain request for the key", request, func(in *securejoin.Incoming) { in.Proof = nil }, securejoin.Deliver, securejoin.ErrPlain},
		{"request with the secret of another invite", request, func(in *securejoin.Incoming) { in.Proof = other }, securejoin.Deliver, securejoin.ErrNotOurs},
		{"request with the secret of another inviter", request, func(in *securejoin.Incoming) { in.Proof = &securejoin.Proof{Fingerprint: eveKey, Auth: auth} }, securejoin.Deliver, securejoin.ErrNotOurs},
		{"request without AUTH", request, func(in *securejoin.Incoming) { in.Auth = "" }, securejoin.Hide, securejoin.ErrAuth},
		{"request with another AUTH", request, func(in *securejoin.Incoming) { in.Auth = other.Auth }, securejoin.Hide, securejoin.ErrAuth},
		{"request with two senders", request, func(in *securejoin.Incoming) { in.InnerFrom = "eve@example.org" }, securejoin.Hide, securejoin.ErrFrom},
		{"request without a sender", request, func(in *securejoin.Incoming) { in.InnerFrom, in.OuterFrom = "", "" }, securejoin.Hide, securejoin.ErrFrom},
		{"request from ourselves", request, func(in *securejoin.Incoming) { in.InnerFrom, in.OuterFrom = aliceAddr, aliceAddr }, securejoin.Hide, securejoin.ErrOwn},
		{"request without Message-ID", request, func(in *securejoin.Incoming) { in.MessageID = "" }, securejoin.Hide, securejoin.ErrNoMessageID},
		{"request of a blocked sender", request, func(in *securejoin.Incoming) { in.Blocked = true }, securejoin.Consume, securejoin.ErrBlocked},

		{"unsigned", withAuth, func(in *securejoin.Incoming) { in.Signer = "" }, securejoin.Deliver, securejoin.ErrUnsigned},
		{"symmetric", withAuth, func(in *securejoin.Incoming) { in.Proof = request().Proof }, securejoin.Hide, securejoin.ErrPlain},
		{"symmetric with another secret", withAuth, func(in *securejoin.Incoming) { in.Proof = other }, securejoin.Deliver, securejoin.ErrNotOurs},
		{"without AUTH", withAuth, func(in *securejoin.Incoming) { in.Auth = "" }, securejoin.Deliver, securejoin.ErrAuth},
		{"with another AUTH", withAuth, func(in *securejoin.Incoming) { in.Auth = other.Auth }, securejoin.Deliver, securejoin.ErrAuth},
		{"INVITENUMBER as AUTH", withAuth, func(in *securejoin.Incoming) { in.Auth = inv }, securejoin.Deliver, securejoin.ErrAuth},
		{"without gossip of our key", withAuth, func(in *securejoin.Incoming) { in.Gossip = nil }, securejoin.Hide, securejoin.ErrGossip},
		{"gossip of another key", withAuth, func(in *securejoin.Incoming) { in.Gossip = map[string]pgp.Fingerprint{aliceAddr: eveKey} }, securejoin.Hide, securejoin.ErrGossip},
		{"gossip of our key for another address", withAuth, func(in *securejoin.Incoming) { in.Gossip = map[string]pgp.Fingerprint{bobAddr: aliceKey} }, securejoin.Hide, securejoin.ErrGossip},
		{"without fingerprint", withAuth, func(in *securejoin.Incoming) { in.Fingerprint = "" }, securejoin.Hide, securejoin.ErrFingerprint},
		{"fingerprint of another key", withAuth, func(in *securejoin.Incoming) { in.Fingerprint = eveKey }, securejoin.Hide, securejoin.ErrFingerprint},
		{"key of somebody else", withAuth, func(in *securejoin.Incoming) { in.Key = cert }, securejoin.Hide, securejoin.ErrKey},
		{"two senders", withAuth, func(in *securejoin.Incoming) { in.OuterFrom = "eve@example.org" }, securejoin.Hide, securejoin.ErrFrom},
		{"our own key", withAuth, func(in *securejoin.Incoming) { in.Signer, in.Fingerprint = aliceKey, aliceKey }, securejoin.Hide, securejoin.ErrOwn},
		{"blocked", withAuth, func(in *securejoin.Incoming) { in.Blocked = true }, securejoin.Consume, securejoin.ErrBlocked},

		{"unknown step with the secret", request, func(in *securejoin.Incoming) { in.Step = securejoin.ContactConfirm }, securejoin.Hide, securejoin.ErrNotSupported},
		{"unknown step", withAuth, func(in *securejoin.Incoming) { in.Step = securejoin.AuthRequired }, securejoin.Deliver, securejoin.ErrNotOurs},
	} {
		in := test.from()
		test.change(&in)
		i, out := liveInvite().Receive(aliceSelf, in, noon)
		if out.Verdict != test.verdict || out.Refused != test.why || len(out.Effects) != 0 || len(i.Uses)+len(i.Answers) != 0 {
			t.Errorf("%s: %+v, want %v, %v", test.name, out, test.verdict, test.why)
		}
	}
}

func TestInviterAnswers(t *testing.T) {
	t.Parallel()
	i, out := liveInvite().Receive(aliceSelf, request(), noon)
	expect(t, out, securejoin.Consume, nil, "Send")
	s := effect[securejoin.Send](t, out)
	if s.Step != securejoin.Pubkey || !s.Signed || s.Secret != securejoin.Secret(aliceKey, auth) || len(s.To) != 1 || s.To[0] != bobAddr || s.Auth != auth || s.InviteID != 7 {
		t.Errorf("sends %+v", s)
	}
	i, out = i.Receive(aliceSelf, withAuth(), noon)
	expect(t, out, securejoin.Consume, nil, "Bind", "Note", "Send")
	if s := effect[securejoin.Send](t, out); s.Step != securejoin.ContactConfirm || !s.Signed || s.Key != bobKey || s.Secret != "" || s.Auth != "" {
		t.Errorf("sends %+v", s)
	}
	// A repeat is a new message: it is answered again and changes nothing.
	again := withAuth()
	again.MessageID = "3@localhost"
	again.Holder = bobKey
	j, out := i.Receive(aliceSelf, again, noon.Add(time.Minute))
	expect(t, out, securejoin.Consume, nil, "Send")
	if len(j.Uses) != 1 {
		t.Errorf("uses %+v", j.Uses)
	}
}

func TestInviterOfSeveralDevices(t *testing.T) {
	t.Parallel()
	me := aliceSelf
	me.OtherDevices = true
	_, out := liveInvite().Receive(me, withAuth(), noon)
	expect(t, out, securejoin.Hide, nil, "Bind", "Note", "Send")
}

// TestClaim: whoever joins under an address that has another key gets neither the address nor
// an answer, also not when asking again.
func TestClaim(t *testing.T) {
	t.Parallel()
	in := withAuth()
	in.Holder = eveKey
	i, out := liveInvite().Receive(aliceSelf, in, noon)
	expect(t, out, securejoin.Consume, nil, "Bind", "Note")
	if b := effect[securejoin.Bind](t, out); !b.Claim || b.Fingerprint != bobKey {
		t.Errorf("bound %+v", b)
	}
	if n := effect[securejoin.Note](t, out); n.Kind != securejoin.NoteClaim || n.Key != bobKey || n.Holder != eveKey || n.Addr != bobAddr {
		t.Errorf("note %+v", n)
	}
	i, out = i.Receive(aliceSelf, in, noon)
	expect(t, out, securejoin.Consume, nil)
	// After the user has accepted it, the repeat is answered.
	in.Holder = bobKey
	_, out = i.Receive(aliceSelf, in, noon)
	expect(t, out, securejoin.Consume, nil, "Send")
}

func TestSeveralJoiners(t *testing.T) {
	t.Parallel()
	i, _ := liveInvite().Receive(aliceSelf, withAuth(), noon)
	carol := withAuth()
	carol.Signer, carol.Fingerprint, carol.OuterFrom, carol.InnerFrom = eveKey, eveKey, "carol@example.org", "carol@example.org"
	i, out := i.Receive(aliceSelf, carol, noon)
	expect(t, out, securejoin.Consume, nil, "Bind", "Note", "Send")
	// The same key from another address is another join.
	moved := withAuth()
	moved.OuterFrom, moved.InnerFrom = "bob@example.com", "bob@example.com"
	i, out = i.Receive(aliceSelf, moved, noon)
	expect(t, out, securejoin.Consume, nil, "Bind", "Note", "Send")
	if len(i.Uses) != 3 {
		t.Errorf("uses %+v", i.Uses)
	}
}

func TestOnce(t *testing.T) {
	t.Parallel()
	i := liveInvite()
	i.Once = true
	i, out := i.Receive(aliceSelf, withAuth(), noon)
	expect(t, out, securejoin.Consume, nil, "Bind", "Note", "Send")
	// Its user is answered the same again.
	i, out = i.Receive(aliceSelf, request(), noon)
	expect(t, out, securejoin.Consume, nil, "Send")
	again := withAuth()
	again.Holder = bobKey
	i, out = i.Receive(aliceSelf, again, noon)
	expect(t, out, securejoin.Consume, nil, "Send")
	// One whose contact was reset since is verified anew.
	i, out = i.Receive(aliceSelf, withAuth(), noon)
	expect(t, out, securejoin.Consume, nil, "Bind", "Note", "Send")
	if len(i.Uses) != 1 {
		t.Errorf("uses %+v", i.Uses)
	}
	// Others are not, nor is another key under the same address.
	late := request()
	late.OuterFrom, late.InnerFrom = "eve@example.org", "eve@example.org"
	next, out := i.Receive(aliceSelf, late, noon)
	expect(t, out, securejoin.Consume, securejoin.ErrEnded, "Note")
	if n := effect[securejoin.Note](t, out); n.Kind != securejoin.NoteUsed || n.UsedBy != bobAddr || !n.At.Equal(noon) || n.Addr != "eve@example.org" {
		t.Errorf("note %+v", n)
	}
	thief := withAuth()
	thief.Signer, thief.Fingerprint = eveKey, eveKey
	i, out = next.Receive(aliceSelf, thief, noon.Add(time.Hour))
	expect(t, out, securejoin.Consume, securejoin.ErrEnded) // one note a day
	_, out = i.Receive(aliceSelf, thief, noon.Add(25*time.Hour))
	expect(t, out, securejoin.Consume, securejoin.ErrEnded, "Note")
}

func TestEnded(t *testing.T) {
	t.Parallel()
	revoked, expired := liveInvite(), liveInvite()
	revoked.Revoked = noon.Add(-time.Minute)
	expired.Expires = noon
	for _, test := range []struct {
		name  string
		i     securejoin.Invite
		state securejoin.InviteState
		kind  securejoin.NoteKind
		at    time.Time
	}{
		{"revoked", revoked, securejoin.Revoked, securejoin.NoteRevoked, revoked.Revoked},
		{"expired", expired, securejoin.Expired, securejoin.NoteExpired, noon},
	} {
		if test.i.State(noon) != test.state || test.i.State(noon).String() != test.name {
			t.Errorf("%s: state is %v", test.name, test.i.State(noon))
		}
		for _, in := range []securejoin.Incoming{request(), withAuth()} {
			i, out := test.i.Receive(aliceSelf, in, noon)
			expect(t, out, securejoin.Consume, securejoin.ErrEnded, "Note")
			if n := effect[securejoin.Note](t, out); n.Kind != test.kind || !n.At.Equal(test.at) {
				t.Errorf("%s: note %+v", test.name, n)
			}
			if len(i.Uses)+len(i.Answers) != 0 {
				t.Errorf("%s: changed to %+v", test.name, i)
			}
		}
		// Who joined before is not told of, and not answered either.
		test.i.Uses = []securejoin.Use{{Fingerprint: bobKey, Addr: bobAddr, At: noon.Add(-time.Hour)}}
		_, out := test.i.Receive(aliceSelf, withAuth(), noon)
		expect(t, out, securejoin.Consume, securejoin.ErrEnded)
	}
	if s := liveInvite().State(noon); s != securejoin.Live || !liveInvite().Ended(noon).IsZero() {
		t.Errorf("live invite is %v", s)
	}
}

// TestCapPerAddress: five answers an hour to one address, one more that waits, no queue.
func TestCapPerAddress(t *testing.T) {
	t.Parallel()
	i := liveInvite()
	var out securejoin.Outcome
	for n := range securejoin.AnswersPerAddress {
		i, out = i.Receive(aliceSelf, request(), noon.Add(time.Duration(n)*time.Minute))
		if s := effect[securejoin.Send](t, out); !s.NotBefore.IsZero() {
			t.Fatalf("answer %d waits until %v", n, s.NotBefore)
		}
	}
	now := noon.Add(10 * time.Minute)
	i, out = i.Receive(aliceSelf, request(), now)
	if s := effect[securejoin.Send](t, out); !s.NotBefore.Equal(noon.Add(time.Hour)) {
		t.Errorf("the next waits until %v", s.NotBefore)
	}
	i, out = i.Receive(aliceSelf, request(), now)
	expect(t, out, securejoin.Consume, securejoin.ErrTooMany)
	// Another address has room.
	other := request()
	other.OuterFrom, other.InnerFrom = "carol@example.org", "carol@example.org"
	i, out = i.Receive(aliceSelf, other, now)
	if s := effect[securejoin.Send](t, out); !s.NotBefore.IsZero() {
		t.Errorf("another address waits until %v", s.NotBefore)
	}
	// Two hours later all is forgotten.
	_, out = i.Receive(aliceSelf, request(), now.Add(2*time.Hour))
	if s := effect[securejoin.Send](t, out); !s.NotBefore.IsZero() {
		t.Errorf("waits until %v", s.NotBefore)
	}
}

// TestCapPerInvite: sixty answers an hour, sixty more in the next one, and no more.
func TestCapPerInvite(t *testing.T) {
	t.Parallel()
	i := liveInvite()
	var out securejoin.Outcome
	for n := range 2*securejoin.AnswersPerInvite + 5 {
		in := withAuth()
		in.OuterFrom = fmt.Sprintf("joiner%d@example.org", n)
		in.InnerFrom = in.OuterFrom
		i, out = i.Receive(aliceSelf, in, noon)
		switch {
		case n >= 2*securejoin.AnswersPerInvite:
			expect(t, out, securejoin.Consume, securejoin.ErrTooMany)
			continue
		case n >= securejoin.AnswersPerInvite:
			if s := effect[securejoin.Send](t, out); !s.NotBefore.Equal(noon.Add(time.Hour)) {
				t.Fatalf("answer %d waits until %v", n, s.NotBefore)
			}
		default:
			if s := effect[securejoin.Send](t, out); !s.NotBefore.IsZero() {
				t.Fatalf("answer %d waits until %v", n, s.NotBefore)
			}
		}
	}
	if len(i.Uses) != 2*securejoin.AnswersPerInvite {
		t.Errorf("%d joins", len(i.Uses))
	}
}

func TestNewInvite(t *testing.T) {
	t.Parallel()
	i, err := securejoin.NewInvite(strings.NewReader(strings.Repeat("0123456789abcdefgh", 1)+strings.Repeat("x", 18)), noon, securejoin.InviteOptions{Once: true})
	if err != nil || i.Auth == i.Number || len(i.Auth) != 24 || len(i.Number) != 24 || !i.Once || !i.Created.Equal(noon) {
		t.Errorf("%+v, %v", i, err)
	}
	if _, err := securejoin.NewInvite(strings.NewReader("only one token's worth"), noon, securejoin.InviteOptions{}); err == nil {
		t.Error("made an invite without enough randomness")
	}
}

// TestUsesAreBounded: of a published link the last joins are remembered, whoever came.
func TestUsesAreBounded(t *testing.T) {
	t.Parallel()
	i := liveInvite()
	for n := range securejoin.MaxUses {
		i.Uses = append(i.Uses, securejoin.Use{Fingerprint: eveKey, Addr: fmt.Sprintf("eve%d@example.org", n), At: noon.Add(-time.Minute)})
	}
	i, out := i.Receive(aliceSelf, withAuth(), noon)
	if last := len(i.Uses) - 1; out.Refused != nil || last+1 != securejoin.MaxUses || i.Uses[last].Addr != bobAddr || i.Uses[0].Addr != "eve1@example.org" {
		t.Errorf("%d uses, %v", len(i.Uses), out.Refused)
	}
}
