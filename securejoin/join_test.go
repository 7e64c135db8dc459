package securejoin_test

import (
	"errors"
	"testing"
	"time"

	"mailbridge/internal/vectors"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// parsedCert is a usable certificate of somebody who plays no role.
func parsedCert(t testing.TB) *pgp.Cert {
	t.Helper()
	cert, err := pgp.ParseCert(vectors.Get(t, "v3-contact").Users["alice"].Cert)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func aliceLink() securejoin.Link {
	return securejoin.Link{
		Fingerprint: aliceKey, Addr: aliceAddr, Relays: []string{"alice@relay.example"}, Name: "Alice",
		Auth: auth, Number: inv, V3: true,
	}
}

func newJoin(t testing.TB) securejoin.Join {
	t.Helper()
	j, _, err := securejoin.NewJoin(aliceLink(), bobSelf, nil, false, noon)
	if err != nil {
		t.Fatal(err)
	}
	j.ID = 9
	return j
}

func pubkey() securejoin.Incoming {
	return securejoin.Incoming{
		Step: securejoin.Pubkey, Proof: &securejoin.Proof{Fingerprint: aliceKey, Auth: auth}, Signer: aliceKey,
		OuterFrom: aliceAddr, InnerFrom: aliceAddr, Auth: auth, MessageID: "1@localhost",
	}
}

func confirm() securejoin.Incoming {
	return securejoin.Incoming{
		Step: securejoin.ContactConfirm, Signer: aliceKey, OuterFrom: aliceAddr, InnerFrom: aliceAddr, Name: "Alice",
		MessageID: "2@localhost", Gossip: map[string]pgp.Fingerprint{bobAddr: bobKey},
	}
}

// authenticating is a join that has got the inviter's key.
func authenticating(t testing.TB) securejoin.Join {
	t.Helper()
	j, out := newJoin(t).Receive(bobSelf, pubkey(), noon)
	if j.State != securejoin.Authenticating {
		t.Fatalf("%v: %v", j.State, out.Refused)
	}
	return j
}

func TestNewJoin(t *testing.T) {
	t.Parallel()
	j, effects, err := securejoin.NewJoin(aliceLink(), bobSelf, map[string]pgp.Fingerprint{aliceAddr: aliceKey}, false, noon)
	if err != nil || j.State != securejoin.Requested || !j.Pending() || j.Replaces != "" {
		t.Fatalf("%+v, %v", j, err)
	}
	s := effect[securejoin.Send](t, securejoin.Outcome{Effects: effects})
	if s.Step != securejoin.RequestPubkey || s.Signed || s.Secret != securejoin.Secret(aliceKey, auth) || s.Auth != auth ||
		len(s.To) != 2 || s.To[0] != aliceAddr || s.To[1] != "alice@relay.example" {
		t.Errorf("sends %+v", s)
	}
}

func TestNewJoinRefuses(t *testing.T) {
	t.Parallel()
	legacy, group := aliceLink(), aliceLink()
	legacy.V3, legacy.Number = false, ""
	group.V3, group.Number, group.Kind = false, "", securejoin.Group
	for _, test := range []struct {
		name string
		link securejoin.Link
		me   securejoin.Self
		want error
	}{
		{"own invite", aliceLink(), aliceSelf, securejoin.ErrOwnInvite},
		{"own address, other key", aliceLink(), securejoin.Self{Addr: "alice@relay.example", Fingerprint: bobKey}, securejoin.ErrOwnInvite},
		{"legacy", legacy, bobSelf, securejoin.ErrUnsupportedInvite},
		{"group", group, bobSelf, securejoin.ErrUnsupportedInvite},
	} {
		if _, effects, err := securejoin.NewJoin(test.link, test.me, nil, true, noon); !errors.Is(err, test.want) || effects != nil {
			t.Errorf("%s: %v, %v", test.name, effects, err)
		}
	}
}

// TestJoinOfAnotherKey: a link whose address has another key is joined only if the user gives
// that key up, and only that one.
func TestJoinOfAnotherKey(t *testing.T) {
	t.Parallel()
	holders := map[string]pgp.Fingerprint{"alice@relay.example": eveKey}
	_, effects, err := securejoin.NewJoin(aliceLink(), bobSelf, holders, false, noon)
	var other *securejoin.OtherKeyError
	if !errors.As(err, &other) || other.Addr != "alice@relay.example" || other.Have != eveKey || other.Want != aliceKey || effects != nil {
		t.Fatalf("%v, %v", effects, err)
	}
	if _, _, err := securejoin.NewJoin(aliceLink(), bobSelf, map[string]pgp.Fingerprint{aliceAddr: bobKey, "alice@relay.example": eveKey}, true, noon); !errors.As(err, &other) {
		t.Errorf("gave up two keys: %v", err)
	}
	j, _, err := securejoin.NewJoin(aliceLink(), bobSelf, holders, true, noon)
	if err != nil || j.Replaces != eveKey {
		t.Fatalf("%+v, %v", j, err)
	}
	in := pubkey()
	in.Holder = eveKey
	_, out := j.Receive(bobSelf, in, noon)
	expect(t, out, securejoin.Consume, nil, "Bind", "Send")
	if b := effect[securejoin.Bind](t, out); b.Claim || b.Replaces != eveKey {
		t.Errorf("bound %+v", b)
	}
	in.Holder = bobKey // came up since
	j, out = j.Receive(bobSelf, in, noon)
	expect(t, out, securejoin.Consume, nil, "Bind", "Note", "Send")
	if b := effect[securejoin.Bind](t, out); !b.Claim || !j.Claim {
		t.Errorf("bound %+v", b)
	}
}

func TestJoiner(t *testing.T) {
	t.Parallel()
	in := pubkey()
	in.Auth = "" // Delta Chat does not insist on it
	j, out := newJoin(t).Receive(bobSelf, in, noon)
	expect(t, out, securejoin.Consume, nil, "Bind", "Send")
	s := effect[securejoin.Send](t, out)
	if s.Step != securejoin.RequestWithAuth || !s.Signed || s.Key != aliceKey || s.Auth != auth || s.Secret != "" || s.ToName != "Alice" || s.JoinID != 9 {
		t.Errorf("sends %+v", s)
	}
	b := effect[securejoin.Bind](t, out)
	if b.Addr != aliceAddr || b.Fingerprint != aliceKey || b.Name != "Alice" || b.Claim || b.JoinID != 9 {
		t.Errorf("bound %+v", b)
	}
	j, out = j.Receive(bobSelf, confirm(), noon)
	expect(t, out, securejoin.Consume, nil, "Note")
	if j.State != securejoin.Completed || j.Pending() {
		t.Errorf("join is %v", j.State)
	}
	_, out = j.Receive(bobSelf, confirm(), noon)
	expect(t, out, securejoin.Consume, securejoin.ErrRepeat)
	_, out = j.Receive(bobSelf, pubkey(), noon)
	expect(t, out, securejoin.Consume, securejoin.ErrRepeat)
}

// TestAnswerFromRelay: a reply may come from any address of the link, and the join goes on there.
func TestAnswerFromRelay(t *testing.T) {
	t.Parallel()
	in := pubkey()
	in.OuterFrom, in.InnerFrom = "alice@relay.example", "alice@relay.example"
	j, out := newJoin(t).Receive(bobSelf, in, noon)
	if s := effect[securejoin.Send](t, out); len(s.To) != 1 || s.To[0] != "alice@relay.example" || j.Addr != "alice@relay.example" {
		t.Errorf("sends %+v", s)
	}
}

// TestOneKeyForSeveralJoins: the answer to one join proves the key for another of the same
// inviter, and each sends its own AUTH.
func TestOneKeyForSeveralJoins(t *testing.T) {
	t.Parallel()
	second := aliceLink()
	second.Auth = "another-token-of-alice"
	j, _, err := securejoin.NewJoin(second, bobSelf, nil, false, noon)
	if err != nil {
		t.Fatal(err)
	}
	_, out := j.Receive(bobSelf, pubkey(), noon)
	expect(t, out, securejoin.Consume, nil, "Bind", "Send")
	if s := effect[securejoin.Send](t, out); s.Auth != second.Auth {
		t.Errorf("sends %+v", s)
	}
}

// TestJoinerRefuses has one line for each rule; the join stays as it was.
func TestJoinerRefuses(t *testing.T) {
	t.Parallel()
	cert := parsedCert(t)
	requested, later := newJoin(t), authenticating(t)
	failed, _ := requested.Fail(securejoin.ReasonCancelled, noon)
	for _, test := range []struct {
		name    string
		j       securejoin.Join
		from    func() securejoin.Incoming
		change  func(*securejoin.Incoming)
		verdict securejoin.Verdict
		why     error
	}{
		{"key, not encrypted with the secret", requested, pubkey, func(in *securejoin.Incoming) { in.Proof = nil }, securejoin.Deliver, securejoin.ErrPlain},
		{"key, with the secret of another inviter", requested, pubkey, func(in *securejoin.Incoming) { in.Proof = &securejoin.Proof{Fingerprint: eveKey, Auth: auth} }, securejoin.Deliver, securejoin.ErrNotOurs},
		{"key, unsigned", requested, pubkey, func(in *securejoin.Incoming) { in.Signer = "" }, securejoin.Hide, securejoin.ErrUnsigned},
		{"key, signed by another", requested, pubkey, func(in *securejoin.Incoming) { in.Signer = eveKey }, securejoin.Hide, securejoin.ErrSigner},
		{"key, with another AUTH", requested, pubkey, func(in *securejoin.Incoming) { in.Auth = inv }, securejoin.Hide, securejoin.ErrAuth},
		{"key of somebody else", requested, pubkey, func(in *securejoin.Incoming) { in.Key = cert }, securejoin.Hide, securejoin.ErrKey},
		{"key, two senders", requested, pubkey, func(in *securejoin.Incoming) { in.OuterFrom = "eve@example.org" }, securejoin.Hide, securejoin.ErrFrom},
		{"key, from an address not in the link", requested, pubkey, func(in *securejoin.Incoming) {
			in.OuterFrom, in.InnerFrom = "eve@example.org", "eve@example.org"
		}, securejoin.Hide, securejoin.ErrAddr},
		{"key, from ourselves", requested, pubkey, func(in *securejoin.Incoming) { in.OuterFrom, in.InnerFrom = bobAddr, bobAddr }, securejoin.Hide, securejoin.ErrOwn},
		{"key without Message-ID", requested, pubkey, func(in *securejoin.Incoming) { in.MessageID = "" }, securejoin.Hide, securejoin.ErrNoMessageID},
		{"key, repeated", later, pubkey, func(*securejoin.Incoming) {}, securejoin.Consume, securejoin.ErrRepeat},
		{"key, after the join failed", failed, pubkey, func(*securejoin.Incoming) {}, securejoin.Consume, securejoin.ErrRepeat},

		{"confirmation before its time", requested, confirm, func(*securejoin.Incoming) {}, securejoin.Hide, securejoin.ErrOutOfOrder},
		{"confirmation, unsigned", later, confirm, func(in *securejoin.Incoming) { in.Signer = "" }, securejoin.Deliver, securejoin.ErrSigner},
		{"confirmation by another key", later, confirm, func(in *securejoin.Incoming) { in.Signer = eveKey }, securejoin.Deliver, securejoin.ErrSigner},
		{"confirmation with the secret", later, confirm, func(in *securejoin.Incoming) { in.Proof = pubkey().Proof }, securejoin.Hide, securejoin.ErrPlain},
		{"confirmation without gossip", later, confirm, func(in *securejoin.Incoming) { in.Gossip = nil }, securejoin.Hide, securejoin.ErrGossip},
		{"confirmation with gossip of another key", later, confirm, func(in *securejoin.Incoming) { in.Gossip = map[string]pgp.Fingerprint{bobAddr: eveKey} }, securejoin.Hide, securejoin.ErrGossip},
		{"confirmation, two senders", later, confirm, func(in *securejoin.Incoming) { in.OuterFrom = "eve@example.org" }, securejoin.Hide, securejoin.ErrFrom},
		{"confirmation from an address not in the link", later, confirm, func(in *securejoin.Incoming) {
			in.OuterFrom, in.InnerFrom = "eve@example.org", "eve@example.org"
		}, securejoin.Hide, securejoin.ErrAddr},
		{"confirmation after the join failed", failed, confirm, func(*securejoin.Incoming) {}, securejoin.Hide, securejoin.ErrOutOfOrder},

		{"unknown step with the secret", requested, pubkey, func(in *securejoin.Incoming) { in.Step = securejoin.MemberAdded }, securejoin.Hide, securejoin.ErrNotSupported},
		{"unknown step", requested, confirm, func(in *securejoin.Incoming) { in.Step = securejoin.MemberAdded }, securejoin.Deliver, securejoin.ErrNotOurs},
	} {
		in := test.from()
		test.change(&in)
		j, out := test.j.Receive(bobSelf, in, noon.Add(time.Minute))
		if out.Verdict != test.verdict || out.Refused != test.why || len(out.Effects) != 0 {
			t.Errorf("%s: %+v, want %v, %v", test.name, out, test.verdict, test.why)
		}
		if j.State != test.j.State || j.Updated != test.j.Updated {
			t.Errorf("%s: state became %v", test.name, j.State)
		}
	}
}

func TestJoinerOfSeveralDevices(t *testing.T) {
	t.Parallel()
	me := bobSelf
	me.OtherDevices = true
	_, out := authenticating(t).Receive(me, confirm(), noon)
	expect(t, out, securejoin.Hide, nil, "Note")
}

// TestTick: one repeat of the last step, and an end after a week.
func TestTick(t *testing.T) {
	t.Parallel()
	for _, j := range []securejoin.Join{newJoin(t), authenticating(t)} {
		if _, effects := j.Tick(noon.Add(securejoin.ResendAfter - time.Second)); effects != nil {
			t.Errorf("%v: too early: %v", j.State, effects)
		}
		next, effects := j.Tick(noon.Add(securejoin.ResendAfter))
		s := effect[securejoin.Send](t, securejoin.Outcome{Effects: effects})
		want := map[securejoin.JoinState]securejoin.Step{securejoin.Requested: securejoin.RequestPubkey, securejoin.Authenticating: securejoin.RequestWithAuth}
		if s.Step != want[j.State] || next.State != j.State {
			t.Errorf("%v: sends %+v", j.State, s)
		}
		if _, effects := next.Tick(noon.Add(2 * securejoin.ResendAfter)); effects != nil {
			t.Errorf("%v: repeats twice: %v", j.State, effects)
		}
		end, effects := next.Tick(noon.Add(securejoin.JoinLifetime))
		n := effect[securejoin.Note](t, securejoin.Outcome{Effects: effects})
		if end.State != securejoin.Failed || end.Reason != securejoin.ReasonTimeout || n.Kind != securejoin.NoteFailed || n.Reason == "" {
			t.Errorf("%v: ends as %+v, %+v", j.State, end, n)
		}
		if _, effects := end.Tick(noon.Add(2 * securejoin.JoinLifetime)); effects != nil {
			t.Errorf("goes on after its end: %v", effects)
		}
		if again, effects := end.Fail(securejoin.ReasonCancelled, noon); effects != nil || again.Reason != securejoin.ReasonTimeout {
			t.Errorf("fails twice: %+v", again)
		}
	}
}

// withoutSubkey cuts a certificate off before its subkey (tag 14, new format).
func withoutSubkey(t testing.TB, cert *pgp.Cert) *pgp.Cert {
	t.Helper()
	b := cert.Bytes()
	end := 0
	for end < len(b) && b[end] != 0xc0|14 {
		length, head := int(b[end+1]), 2
		if length >= 192 {
			length, head = (length-192)<<8+int(b[end+2])+192, 3
		}
		end += head + length
	}
	cut, err := pgp.ParseCert(b[:end])
	if err != nil || cut.CanEncrypt(noon) {
		t.Fatalf("cut to %d of %d octets: %v", end, len(b), err)
	}
	return cut
}

func TestUnusableKey(t *testing.T) {
	t.Parallel()
	cert := withoutSubkey(t, parsedCert(t))
	link := aliceLink()
	link.Fingerprint = cert.Fingerprint()
	j, _, err := securejoin.NewJoin(link, bobSelf, nil, false, noon)
	if err != nil {
		t.Fatal(err)
	}
	in := pubkey()
	in.Proof.Fingerprint, in.Signer, in.Key = cert.Fingerprint(), cert.Fingerprint(), cert
	j, out := j.Receive(bobSelf, in, noon)
	expect(t, out, securejoin.Consume, securejoin.ErrKey, "Note")
	if j.State != securejoin.Failed || j.Reason != securejoin.ReasonUnusable {
		t.Errorf("%+v", j)
	}
}

func TestJoinStates(t *testing.T) {
	t.Parallel()
	for _, s := range []securejoin.JoinState{securejoin.Requested, securejoin.Authenticating, securejoin.Completed, securejoin.Failed} {
		if got, ok := securejoin.ParseJoinState(s.String()); !ok || got != s {
			t.Errorf("%v reads as %v", s, got)
		}
	}
	if _, ok := securejoin.ParseJoinState("nonsense"); ok {
		t.Error("reads nonsense")
	}
}
