package securejoin_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"mailbridge/internal/vectors"
	"mailbridge/message"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// answers gives what a join that waits makes of a changed message.
func joins(t *testing.T, j securejoin.Join, from func() securejoin.Incoming, change func(*securejoin.Incoming)) (securejoin.Join, securejoin.Outcome) {
	t.Helper()
	in := from()
	change(&in)
	return j.Receive(bobSelf, in, noon)
}

func authRequired() securejoin.Incoming {
	in := confirm()
	in.Step = securejoin.AuthRequired
	return in
}

// inGroup is a join of a group that waits for the end.
func inGroup(t testing.TB) securejoin.Join {
	t.Helper()
	l := aliceLink()
	l.Kind, l.GroupID, l.GroupName = securejoin.Group, grp, "Book club"
	j, _, err := securejoin.NewJoin(l, bobSelf, nil, false, noon)
	if err != nil {
		t.Fatal(err)
	}
	j, out := j.Receive(bobSelf, pubkey(), noon)
	if s := effect[securejoin.Send](t, out); s.Group != grp || s.Kind != securejoin.Group {
		t.Errorf("sends %+v", s)
	}
	return j
}

func memberAdded() securejoin.Incoming {
	in := confirm()
	in.Step, in.Chat, in.Added, in.AddedKey = securejoin.MemberAdded, grp, bobAddr, bobKey
	return in
}

var joinerItems = []item{
	{"38", func(t *testing.T) { // field by field what Delta Chat 2.62 sends
		v := vectors.Get(t, "v3-contact")
		l, err := securejoin.ParseLink(v.Invites[0].Link)
		if err != nil {
			t.Fatal(err)
		}
		bob, env := recordedDevice(t, v, "bob", "Bob"), envOf(v.Messages[0])
		_, effects, err := securejoin.NewJoin(l, bob.self, nil, false, env.Now)
		if err != nil {
			t.Fatal(err)
		}
		bob.next(t, effects, v.Messages[0])
		_, effects, err = securejoin.NewJoin(aliceLink(), bobSelf, nil, false, noon)
		if err != nil {
			t.Fatal(err)
		}
		s := sends(t, effects)
		m, err := securejoin.Compose(s, bobSelf, securejoin.Env{Now: noon, OuterDate: noon, MessageID: "1@localhost", Autocrypt: "addr=x"})
		if err != nil {
			t.Fatal(err)
		}
		if h, _ := message.ParseHeader(m.Inner); h.Has("Autocrypt") || h.Get("Subject") != "Secure-Join" || h.Get("Secure-Join-Auth") != auth {
			t.Errorf("%s", m.Inner)
		}
		for _, to := range s.To {
			if to == bobAddr {
				t.Error("sends a copy to itself")
			}
		}
	}},
	{"39", func(t *testing.T) {
		j, out := joins(t, newJoin(t), pubkey, func(in *securejoin.Incoming) { in.Signer = "" })
		refused(t, out)
		goesOn(t, j)
	}},
	{"40", func(t *testing.T) {
		own := parsedCert(t)
		for _, change := range []func(*securejoin.Incoming){
			func(in *securejoin.Incoming) { in.Signer, in.Key = eveKey, nil },            // which is known
			func(in *securejoin.Incoming) { in.Signer, in.Key = own.Fingerprint(), own }, // with its key
			func(in *securejoin.Incoming) { in.Signer, in.Key = eveKey, own },            // with another
			func(in *securejoin.Incoming) { in.Key = own },                               // another key inside
		} {
			j, out := joins(t, newJoin(t), pubkey, change)
			refused(t, out)
			goesOn(t, j)
		}
	}},
	{"41", func(t *testing.T) {
		j, out := joins(t, newJoin(t), pubkey, func(in *securejoin.Incoming) { in.Proof = &securejoin.Proof{Fingerprint: eveKey, Auth: auth} })
		refused(t, out)
		goesOn(t, j)
	}},
	{"42", func(t *testing.T) { // without the key the signature cannot be checked
		inner := header("From: alice@example.org\r\nMessage-ID: <1@localhost>\r\nSecure-Join: vc-pubkey\r\n")
		unknown := &pgp.Opened{Signature: pgp.Signature{State: pgp.SignatureUnknown, Issuers: []pgp.Fingerprint{aliceKey}}, IntendedForUs: true}
		in, _ := securejoin.ReadIncoming(header("From: alice@example.org\r\n"), inner, unknown, pubkey().Proof)
		_, out := newJoin(t).Receive(bobSelf, in, noon)
		refused(t, out)
	}},
	{"43", func(t *testing.T) { // a missing AUTH is accepted, a wrong one is not
		_, out := joins(t, newJoin(t), pubkey, func(in *securejoin.Incoming) { in.Auth = "" })
		answered(t, out, securejoin.RequestWithAuth)
		_, out = joins(t, newJoin(t), pubkey, func(in *securejoin.Incoming) { in.Auth = inv })
		refused(t, out)
	}},
	{"44", func(t *testing.T) {
		j := authenticating(t)
		next, out := j.Receive(bobSelf, pubkey(), noon)
		refused(t, out)
		if next.State != j.State {
			t.Errorf("state %v", next.State)
		}
	}},
	{"45", func(t *testing.T) {
		_, out := joins(t, newJoin(t), authRequired, func(*securejoin.Incoming) {})
		answered(t, out, securejoin.RequestWithAuth)
		for name, change := range map[string]func(*securejoin.Incoming){
			"no gossip":    func(in *securejoin.Incoming) { in.Gossip = nil },
			"other signer": func(in *securejoin.Incoming) { in.Signer = eveKey },
			"plain":        func(in *securejoin.Incoming) { in.Signer = "" },
			"symmetric":    func(in *securejoin.Incoming) { in.Proof = pubkey().Proof },
		} {
			j, out := joins(t, newJoin(t), authRequired, change)
			if refused(t, out); j.State != securejoin.Requested {
				t.Errorf("%s: %v", name, j.State)
			}
		}
		// And a vc-pubkey serves a join that began with the older protocol.
		_, out = legacyJoin(t).Receive(bobSelf, pubkey(), noon)
		answered(t, out, securejoin.RequestWithAuth)
	}},
	{"46", func(t *testing.T) { // each sends its own AUTH
		second := aliceLink()
		second.Auth = "another-token-of-alice"
		j, _, err := securejoin.NewJoin(second, bobSelf, nil, false, noon)
		if err != nil {
			t.Fatal(err)
		}
		for want, j := range map[string]securejoin.Join{auth: newJoin(t), second.Auth: j} {
			_, out := j.Receive(bobSelf, pubkey(), noon)
			if s := effect[securejoin.Send](t, out); s.Auth != want {
				t.Errorf("sends %s", s.Auth)
			}
		}
	}},
	{"47", func(t *testing.T) {
		for name, change := range map[string]func(*securejoin.Incoming){
			"other signer": func(in *securejoin.Incoming) { in.Signer = eveKey },
			"unsigned":     func(in *securejoin.Incoming) { in.Signer = "" },
			"no gossip":    func(in *securejoin.Incoming) { in.Gossip = nil },
			"other gossip": func(in *securejoin.Incoming) { in.Gossip = map[string]pgp.Fingerprint{bobAddr: eveKey} },
		} {
			j, out := joins(t, authenticating(t), confirm, change)
			if refused(t, out); j.State != securejoin.Authenticating {
				t.Errorf("%s: %v", name, j.State)
			}
		}
		j, out := newJoin(t).Receive(bobSelf, confirm(), noon) // not pending
		if refused(t, out); j.State != securejoin.Requested {
			t.Errorf("%v", j.State)
		}
	}},
	{"48", func(t *testing.T) {
		for name, change := range map[string]func(*securejoin.Incoming){
			"other signer":    func(in *securejoin.Incoming) { in.Signer = eveKey },
			"other group":     func(in *securejoin.Incoming) { in.Chat = "another-group-id" },
			"no group":        func(in *securejoin.Incoming) { in.Chat = "" },
			"another's key":   func(in *securejoin.Incoming) { in.AddedKey = eveKey },
			"no gossip":       func(in *securejoin.Incoming) { in.Gossip = nil },
			"other gossip":    func(in *securejoin.Incoming) { in.Gossip = map[string]pgp.Fingerprint{bobAddr: eveKey} },
			"other sender":    func(in *securejoin.Incoming) { in.InnerFrom, in.OuterFrom = "eve@example.org", "eve@example.org" },
			"two senders":     func(in *securejoin.Incoming) { in.OuterFrom = "eve@example.org" },
			"address alone":   func(in *securejoin.Incoming) { in.AddedKey, in.Gossip = "", nil },
			"another is told": func(in *securejoin.Incoming) { in.AddedKey, in.Added = eveKey, "eve@example.org" },
		} {
			j, out := joins(t, inGroup(t), memberAdded, change)
			// It is an ordinary message of the group, if of any.
			if refused(t, out); j.State != securejoin.Authenticating || out.Verdict != securejoin.Deliver {
				t.Errorf("%s: %v, %v", name, j.State, out.Verdict)
			}
		}
		j, out := inGroup(t).Receive(bobSelf, memberAdded(), noon)
		expect(t, out, securejoin.Show, nil, "Note")
		if j.State != securejoin.Completed {
			t.Errorf("%v", j.State)
		}
		// Inviters before 2025 name the address alone; the gossip says which key.
		_, out = joins(t, inGroup(t), memberAdded, func(in *securejoin.Incoming) { in.AddedKey = "" })
		expect(t, out, securejoin.Show, nil, "Note")
	}},
	{"49", func(t *testing.T) { // the key is bound before the confirmation
		_, out := newJoin(t).Receive(bobSelf, pubkey(), noon)
		if b := effect[securejoin.Bind](t, out); b.Fingerprint != aliceKey || b.Claim {
			t.Errorf("%+v", b)
		}
	}},
	{"50", func(t *testing.T) { // a join ends; an invite past its time admits nobody
		j, effects := newJoin(t).Tick(noon.Add(securejoin.JoinLifetime))
		if j.State != securejoin.Failed || j.Reason == "" || len(effects) != 1 {
			t.Errorf("%+v, %v", j, effects)
		}
		i := liveInvite()
		if _, out := i.Receive(aliceSelf, request(), i.Expires); !errors.Is(out.Refused, securejoin.ErrEnded) {
			t.Error(out.Refused)
		}
	}},
	{"52", func(t *testing.T) {
		for kind, step := range map[securejoin.Kind]string{securejoin.Contact: "vc-request", securejoin.Group: "vg-request", securejoin.Channel: "vg-request"} {
			l := aliceLink()
			l.V3, l.Kind, l.GroupID = false, kind, grp
			_, effects, err := securejoin.NewJoin(l, bobSelf, nil, false, noon)
			if err != nil {
				t.Fatal(err)
			}
			s := sends(t, effects)
			m, err := securejoin.Compose(s, bobSelf, securejoin.Env{Now: noon, MessageID: "1@localhost", Autocrypt: "addr=" + bobAddr, Boundary: "b"})
			if err != nil {
				t.Fatal(err)
			}
			relayAccepts(t, m.Plain, step)
			if strings.Contains(string(m.Plain), "Bob") || strings.Contains(string(m.Plain), auth) || strings.Contains(string(m.Plain), grp) {
				t.Errorf("tells too much:\n%s", m.Plain)
			}
			in, ok := securejoin.ReadRequest(message.Parse(m.Plain).Header)
			if !ok || in.Number != inv || in.From() != bobAddr || in.MessageID != "1@localhost" {
				t.Errorf("reads %+v", in)
			}
		}
	}},
}

// goesOn: a join that was lied to is still completed by the truth.
func goesOn(t *testing.T, j securejoin.Join) {
	t.Helper()
	_, out := j.Receive(bobSelf, pubkey(), noon)
	answered(t, out, securejoin.RequestWithAuth)
}

func legacyJoin(t testing.TB) securejoin.Join {
	t.Helper()
	l := aliceLink()
	l.V3 = false
	j, effects, err := securejoin.NewJoin(l, bobSelf, nil, false, noon)
	if err != nil {
		t.Fatal(err)
	}
	if s := sends(t, effects); s.Step != securejoin.Request || s.Number != inv || s.Signed || s.Secret != "" || s.Auth != "" || len(s.To) != 2 {
		t.Errorf("sends %+v", s)
	}
	return j
}

// TestLegacyResend: a join of the older protocol repeats its own steps.
func TestLegacyResend(t *testing.T) {
	t.Parallel()
	_, effects := legacyJoin(t).Tick(noon.Add(securejoin.ResendAfter))
	if s := sends(t, effects); s.Step != securejoin.Request {
		t.Errorf("sends %v", s.Step)
	}
}

// TestObserve: what another device of the account sends is known here, and the end of its join
// is.
func TestObserve(t *testing.T) {
	t.Parallel()
	own := securejoin.Incoming{
		Step: securejoin.RequestWithAuth, Signer: bobKey, InnerFrom: bobAddr, OuterFrom: bobAddr, To: []string{aliceAddr}, Date: noon,
		Auth: auth, Fingerprint: bobKey, Group: grp, MessageID: "1@localhost", Gossip: map[string]pgp.Fingerprint{aliceAddr: aliceKey},
	}
	j, out := securejoin.Observe(bobSelf, own, noon)
	expect(t, out, securejoin.Hide, nil, "Bind")
	if b := effect[securejoin.Bind](t, out); b.Addr != aliceAddr || b.Fingerprint != aliceKey || b.Claim {
		t.Errorf("%+v", b)
	}
	if !j.Observed || j.State != securejoin.Authenticating || j.Link.GroupID != grp {
		t.Errorf("%+v", j)
	}
	if _, effects := j.Tick(noon.Add(securejoin.ResendAfter)); effects != nil {
		t.Errorf("repeats what another device sent: %v", effects)
	}
	if end, effects := j.Tick(noon.Add(securejoin.JoinLifetime)); effects != nil || end.State != securejoin.Failed {
		t.Errorf("%v, %v", end.State, effects)
	}
	next, out := j.Receive(bobSelf, memberAdded(), noon)
	expect(t, out, securejoin.Show, nil)
	if next.State != securejoin.Completed {
		t.Errorf("%v", next.State)
	}
	// A channel is not named in its request.
	own.Group, own.OfChat = "", true
	j, _ = securejoin.Observe(bobSelf, own, noon)
	_, out = j.Receive(bobSelf, memberAdded(), noon)
	expect(t, out, securejoin.Show, nil)
	// Nor does a group stand for another one, whatever its id is.
	own.Group = j.Link.GroupID
	j, _ = securejoin.Observe(bobSelf, own, noon)
	_, out = j.Receive(bobSelf, memberAdded(), noon)
	expect(t, out, securejoin.Deliver, securejoin.ErrNotOurs)
	own.Group = ""
	// Who was joined as a contact takes us in nowhere.
	own.OfChat = false
	j, _ = securejoin.Observe(bobSelf, own, noon)
	if j, out = j.Receive(bobSelf, memberAdded(), noon); out.Verdict != securejoin.Deliver || j.State != securejoin.Authenticating {
		t.Errorf("%+v, %v", out, j.State)
	}
	// An inviter's other device.
	own.Step = securejoin.ContactConfirm
	j, out = securejoin.Observe(bobSelf, own, noon)
	expect(t, out, securejoin.Hide, nil, "Bind")
	if j.Observed {
		t.Errorf("%+v", j)
	}
	// The same of a group.
	into := own
	into.Step, into.To, into.Added, into.AddedKey = securejoin.MemberAdded, []string{"eve@example.org", aliceAddr}, aliceAddr, aliceKey
	_, out = securejoin.Observe(bobSelf, into, noon)
	expect(t, out, securejoin.Hide, nil, "Bind")
	if b := effect[securejoin.Bind](t, out); b.Addr != aliceAddr || b.Fingerprint != aliceKey {
		t.Errorf("%+v", b)
	}
	into.AddedKey = eveKey
	if _, out = securejoin.Observe(bobSelf, into, noon); len(out.Effects) != 0 {
		t.Errorf("takes the gossip of another key: %+v", out)
	}
	own.Holder = eveKey
	if _, out = securejoin.Observe(bobSelf, own, noon); !effect[securejoin.Bind](t, out).Claim {
		t.Error("replaces a key")
	}
	for name, change := range map[string]func(*securejoin.Incoming){
		"another signer": func(in *securejoin.Incoming) { in.Signer = eveKey },
		"symmetric":      func(in *securejoin.Incoming) { in.Proof = pubkey().Proof },
		"another sender": func(in *securejoin.Incoming) { in.InnerFrom, in.OuterFrom = aliceAddr, aliceAddr },
		"no gossip":      func(in *securejoin.Incoming) { in.Gossip = nil },
		"first steps":    func(in *securejoin.Incoming) { in.Step = securejoin.AuthRequired },
		"to ourselves":   func(in *securejoin.Incoming) { in.To = []string{bobAddr} },
	} {
		in := own
		change(&in)
		if j, out := securejoin.Observe(bobSelf, in, noon); j.Observed || len(out.Effects) != 0 || out.Refused == nil {
			t.Errorf("%s: %+v, %+v", name, j, out)
		}
	}
}

// TestAsk: joiners wait for the user; nothing is answered before.
func TestAsk(t *testing.T) {
	t.Parallel()
	i := liveInvite()
	i.Ask = true
	i, out := i.Receive(aliceSelf, withAuth(), noon)
	expect(t, out, securejoin.Consume, nil, "Note")
	if n := effect[securejoin.Note](t, out); n.Kind != securejoin.NoteAsked || n.Addr != bobAddr || n.Key != bobKey {
		t.Errorf("%+v", n)
	}
	i, out = i.Receive(aliceSelf, withAuth(), noon)
	refused(t, out)
	if _, _, err := i.Accept(eveKey, bobAddr, "", noon); !errors.Is(err, securejoin.ErrNotAsking) {
		t.Error(err)
	}
	if _, _, err := i.Accept(bobKey, bobAddr, "", noon.Add(securejoin.DefaultLifetime)); !errors.Is(err, securejoin.ErrInviteEnded) {
		t.Error(err)
	}
	if late := noon.Add(securejoin.DefaultLifetime); len(i.Waiting(noon)) != 1 || len(i.Waiting(late)) != 0 {
		t.Errorf("wait %v, later %v", i.Waiting(noon), i.Waiting(late))
	}
	accepted, out, err := i.Accept(bobKey, bobAddr, "", noon)
	if err != nil {
		t.Fatal(err)
	}
	expect(t, out, securejoin.Deliver, nil, "Bind", "Note", "Send")
	if len(accepted.Uses) != 1 || len(accepted.Asking) != 0 || len(i.Asking) != 1 {
		t.Errorf("%+v", accepted)
	}
	_, out = accepted.Receive(aliceSelf, withAuth(), noon)
	answered(t, out, securejoin.ContactConfirm)
	// Under another's address it stays a claim.
	_, out, err = i.Accept(bobKey, bobAddr, eveKey, noon)
	if err != nil || !effect[securejoin.Bind](t, out).Claim || len(out.Effects) != 2 {
		t.Errorf("%+v, %v", out, err)
	}
	declined := i.Decline(bobKey, bobAddr)
	if len(declined.Asking) != 0 || len(i.Revoke(noon).Asking) != 0 {
		t.Error("still waits")
	}
	if _, out = declined.Receive(aliceSelf, withAuth(), noon); len(out.Effects) != 1 {
		t.Errorf("cannot ask again: %+v", out)
	}
}

// TestOutcast: who was removed comes back only with the user's approval, who left by itself
// freely.
func TestOutcast(t *testing.T) {
	t.Parallel()
	g, _, err := aliceGroup(t).Add(aliceSelf, securejoin.Member{Fingerprint: bobKey, Addr: bobAddr}, true, noon)
	if err != nil {
		t.Fatal(err)
	}
	g, _, err = g.Remove(aliceSelf, bobKey, noon)
	if err != nil {
		t.Fatal(err)
	}
	in := withAuth()
	in.Standing = g.Standing(aliceSelf, bobKey)
	used := groupInvite()
	used.Uses = []securejoin.Use{{Fingerprint: bobKey, Addr: bobAddr, At: noon.Add(-time.Hour)}}
	for _, i := range []securejoin.Invite{groupInvite(), used} {
		i, out := i.Receive(aliceSelf, in, noon)
		expect(t, out, securejoin.Consume, nil, "Note")
		_, out, err = i.Accept(bobKey, bobAddr, "", noon)
		if err != nil || len(out.Effects) != 3 {
			t.Errorf("%+v, %v", out, err)
		}
	}
	in.Standing = securejoin.Outsider
	_, out := groupInvite().Receive(aliceSelf, in, noon)
	expect(t, out, securejoin.Consume, nil, "Bind", "Note", "Admit")
}

// TestInviteFor: an invite for one address is for no other, and the user is told of who tries,
// once a day. A request in plain text proves nothing, and is not told of.
func TestInviteFor(t *testing.T) {
	t.Parallel()
	i := liveInvite()
	i.For = "carol@example.org"
	for _, in := range []securejoin.Incoming{request(), withAuth()} {
		told, out := i.Receive(aliceSelf, in, noon)
		expect(t, out, securejoin.Consume, securejoin.ErrAddr, "Note")
		if n := effect[securejoin.Note](t, out); n.Kind != securejoin.NoteNotFor || n.Addr != bobAddr || n.For != i.For {
			t.Errorf("%+v", n)
		}
		_, out = told.Receive(aliceSelf, in, noon.Add(time.Hour))
		expect(t, out, securejoin.Consume, securejoin.ErrAddr)
	}
	_, out := i.Receive(aliceSelf, plainRequest(parsedCert(t)), noon)
	expect(t, out, securejoin.Consume, securejoin.ErrAddr)
}

func TestInviteLife(t *testing.T) {
	t.Parallel()
	i := liveInvite()
	revoked := i.Revoke(noon)
	if again := revoked.Revoke(noon.Add(time.Hour)); !again.Revoked.Equal(noon) {
		t.Errorf("revoked at %v", again.Revoked)
	}
	if revoked.Forgotten(noon.Add(securejoin.Tombstone)) || !revoked.Forgotten(noon.Add(securejoin.Tombstone+time.Second)) || i.Forgotten(noon) {
		t.Error("forgotten at another time")
	}
	late := i.Expires.Add(time.Hour)
	revived, err := i.Revive(late)
	if err != nil || revived.State(late) != securejoin.Live || !revived.Expires.Equal(late.Add(i.Expires.Sub(i.Created))) {
		t.Errorf("%+v, %v", revived, err)
	}
	i.Once, i.Uses = true, []securejoin.Use{{Fingerprint: bobKey}}
	if _, err := i.Revive(noon); !errors.Is(err, securejoin.ErrInviteUsed) {
		t.Error(err)
	}
	for _, o := range []securejoin.InviteOptions{{Once: true}, {Ask: true}, {For: bobAddr}, {Expires: noon}} {
		o.Shared = true
		if _, err := securejoin.NewInvite(strings.NewReader(strings.Repeat("x", 36)), noon, o); !errors.Is(err, securejoin.ErrSharedInvite) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	list := []securejoin.Invite{groupInvite(), liveInvite(), groupInvite().Revoke(noon)}
	if changed := securejoin.RevokeGroup(list, grp, noon); len(changed) != 1 || changed[0].Revoked.IsZero() {
		t.Errorf("%+v", changed)
	}
	if securejoin.Contact.Lifetime() != securejoin.DefaultLifetime || securejoin.Channel.Lifetime() != 0 {
		t.Error("other lifetimes")
	}
}

// TestByNumber: of several invites with one number the newest live one answers.
func TestByNumber(t *testing.T) {
	t.Parallel()
	older, newer, dead := liveInvite(), liveInvite(), liveInvite().Revoke(noon)
	newer.ID, newer.Created = 8, noon
	dead.ID, dead.Created = 9, noon.Add(time.Minute)
	if i, ok := securejoin.ByNumber([]securejoin.Invite{older, dead, newer}, inv, noon); !ok || i.ID != 8 {
		t.Errorf("%+v, %v", i, ok)
	}
	if i, ok := securejoin.ByNumber([]securejoin.Invite{dead}, inv, noon); !ok || i.ID != 9 {
		t.Errorf("%+v, %v", i, ok)
	}
	for _, number := range []string{"", auth} {
		if i, ok := securejoin.ByNumber([]securejoin.Invite{older, {}}, number, noon); ok {
			t.Errorf("%+v", i)
		}
	}
	ended := plainRequest(parsedCert(t))
	dead, out := dead.Receive(aliceSelf, ended, noon)
	expect(t, out, securejoin.Deliver, securejoin.ErrEnded, "Note")
	_, out = dead.Receive(aliceSelf, ended, noon.Add(time.Hour))
	expect(t, out, securejoin.Deliver, securejoin.ErrEnded)
	ended.Blocked = true // of whom nothing is told
	_, out = dead.Receive(aliceSelf, ended, noon.Add(48*time.Hour))
	expect(t, out, securejoin.Deliver, securejoin.ErrBlocked)
}

// TestElsewhere: answers to joins that are not ours, once another device was seen.
func TestElsewhere(t *testing.T) {
	t.Parallel()
	for _, in := range []securejoin.Incoming{authRequired(), confirm()} {
		if !securejoin.Elsewhere(bobSelf, in) {
			t.Errorf("%v may not be for another device", in.Step)
		}
		in.Gossip = nil
		if securejoin.Elsewhere(bobSelf, in) {
			t.Errorf("%v without our key", in.Step)
		}
	}
	for _, in := range []securejoin.Incoming{request(), withAuth(), pubkey(), memberAdded()} {
		if securejoin.Elsewhere(bobSelf, in) {
			t.Errorf("%v may be for another device", in.Step)
		}
	}
}
