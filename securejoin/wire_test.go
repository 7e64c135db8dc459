package securejoin_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"mailbridge/autocrypt"
	"mailbridge/internal/vectors"
	"mailbridge/message"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// device is one end of a handshake with a real key, and mail in and out.
type device struct {
	t     testing.TB
	key   *pgp.Key
	self  securejoin.Self
	certs map[pgp.Fingerprint]*pgp.Cert
	proof []securejoin.Proof
}

func newDevice(t testing.TB, key *pgp.Key, addr, name string) *device {
	return &device{
		t: t, key: key,
		self:  securejoin.Self{Addr: addr, Name: name, Fingerprint: key.Fingerprint()},
		certs: make(map[pgp.Fingerprint]*pgp.Cert),
	}
}

// recordedDevice has the exported key of a user of a scenario.
func recordedDevice(t testing.TB, s vectors.Scenario, user, name string) *device {
	t.Helper()
	key, err := pgp.ParseKey(s.Users[user].Key)
	if err != nil {
		t.Fatal(err)
	}
	return newDevice(t, key, s.Users[user].Addr, name)
}

// read opens a mail and reads the step in it.
func (d *device) read(raw []byte, now time.Time) securejoin.Incoming {
	d.t.Helper()
	ciphertext, _, ok := pgp.SplitEncrypted(raw, message.Parse(raw))
	if !ok {
		d.t.Fatal("not encrypted")
	}
	opened, proof := d.open(ciphertext, now)
	outer, _ := message.ParseHeader(raw)
	inner, _ := message.ParseHeader(opened.Payload)
	in, ok := securejoin.ReadIncoming(outer, inner, opened, proof)
	if !ok {
		d.t.Fatal("no step of a handshake")
	}
	if h, ok, _ := autocrypt.FromHeader(inner.Values(autocrypt.HeaderName), in.InnerFrom); ok {
		in.Key = h.Cert
	}
	var to []string
	for _, a := range message.ParseAddresses(inner.Get("To")) {
		to = append(to, a.Addr)
	}
	in.Gossip = make(map[string]pgp.Fingerprint)
	for _, h := range autocrypt.GossipFor(inner.Values(autocrypt.GossipName), to) {
		in.Gossip[h.Addr] = h.Cert.Fingerprint()
	}
	return in
}

func (d *device) open(ciphertext []byte, now time.Time) (*pgp.Opened, *securejoin.Proof) {
	d.t.Helper()
	o := pgp.OpenOptions{Keys: []*pgp.Key{d.key}, Now: now, Certs: d.signers}
	info, err := pgp.Inspect(ciphertext)
	if err != nil {
		d.t.Fatal(err)
	}
	if info.Kind != pgp.Symmetric {
		opened, err := pgp.Open(ciphertext, o)
		if err != nil {
			d.t.Fatal(err)
		}
		return opened, nil
	}
	var secrets []string
	for _, p := range d.proof {
		secrets = append(secrets, p.Secret())
	}
	opened, err := pgp.OpenSymmetric(ciphertext, slices.Values(secrets), o)
	if err != nil {
		d.t.Fatal(err)
	}
	return opened, &d.proof[opened.Secret]
}

// signers: the key inside, and those that are known.
func (d *device) signers(payload []byte, issuers []pgp.Fingerprint) []*pgp.Cert {
	var certs []*pgp.Cert
	inner, _ := message.ParseHeader(payload)
	for _, value := range inner.Values(autocrypt.HeaderName) {
		if h, err := autocrypt.Parse(value); err == nil {
			certs = append(certs, h.Cert)
		}
	}
	for _, fpr := range issuers {
		if c := d.certs[fpr]; c != nil {
			certs = append(certs, c)
		}
	}
	return certs
}

// carry keeps the certificates of an outcome and gives the one message to send.
func (d *device) carry(effects []securejoin.Effect) securejoin.Send {
	d.t.Helper()
	var sends []securejoin.Send
	for _, e := range effects {
		switch e := e.(type) {
		case securejoin.StoreCert:
			d.certs[e.Cert.Fingerprint()] = e.Cert
		case securejoin.Send:
			sends = append(sends, e)
		}
	}
	if len(sends) != 1 {
		d.t.Fatalf("%d messages to send in %+v", len(sends), effects)
	}
	return sends[0]
}

// post composes and encrypts a message.
func (d *device) post(s securejoin.Send, env securejoin.Env) []byte {
	d.t.Helper()
	env.Autocrypt = autocrypt.Header{Addr: d.self.Addr, PreferEncrypt: autocrypt.Mutual, Cert: d.key.Cert()}.Value()
	if cert := d.certs[s.Key]; cert != nil {
		env.Gossip = autocrypt.Header{Addr: s.To[0], Cert: cert}.GossipValue()
	}
	m, err := securejoin.Compose(s, d.self, env)
	if err != nil {
		d.t.Fatal(err)
	}
	var signer *pgp.Key
	if s.Signed {
		signer = d.key
	}
	var ciphertext []byte
	if s.Secret != "" {
		ciphertext, err = pgp.EncryptSymmetric(m.Inner, s.Secret, pgp.SymmetricOptions{Signer: signer, Now: env.Now})
	} else {
		to := []*pgp.Cert{d.key.Cert(), d.certs[s.Key]}
		ciphertext, err = pgp.Encrypt(m.Inner, pgp.EncryptOptions{Signer: signer, To: to, Now: env.Now})
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return pgp.JoinEncrypted(m.Outer, ciphertext, "boundary")
}

// envOf is what the composer of a recorded message had.
func envOf(m vectors.Message) securejoin.Env {
	outer, _ := message.ParseHeader(m.Raw)
	inner, _ := message.ParseHeader(m.Plain)
	now, _ := message.ParseDate(inner.Get("Date"))
	then, _ := message.ParseDate(outer.Get("Date"))
	return securejoin.Env{
		Now: now, OuterDate: then,
		MessageID: strings.Trim(m.MessageID, "<>"),
		Autocrypt: inner.Get("Autocrypt"),
		Gossip:    inner.Get("Autocrypt-Gossip"),
	}
}

// notOurs are fields of the outer header that others add: mail servers, and the PGP/MIME
// envelope.
var notOurs = []string{"Return-Path", "Delivered-To", "Received", "MIME-Version", "Content-Type"}

// lines gives a header as comparable lines.
func lines(h message.Header, skip []string) []string {
	var out []string
	for _, f := range h.Fields {
		if slices.ContainsFunc(skip, func(name string) bool { return strings.EqualFold(name, f.Name) }) {
			continue
		}
		value := message.DecodeWords(strings.Join(strings.Fields(f.Value()), " "))
		if f.Name == "From" || f.Name == "To" {
			for _, a := range message.ParseAddresses(f.Value()) {
				value = a.Name + " <" + a.Addr + ">"
			}
		}
		out = append(out, f.Name+": "+value)
	}
	return out
}

// compare checks a composed message against a recorded one, field by field in order.
func compare(t *testing.T, got securejoin.Mail, want vectors.Message) {
	t.Helper()
	wantOuter, _ := message.ParseHeader(want.Raw)
	gotOuter, _ := message.ParseHeader(append(slices.Clone(got.Outer), "\r\n"...))
	compareLines(t, want.File+" outside", lines(gotOuter, nil), lines(wantOuter, notOurs))
	wantInner, n := message.ParseHeader(want.Plain)
	withoutPictures(&wantInner)
	gotInner, m := message.ParseHeader(got.Inner)
	compareLines(t, want.File+" inside", lines(gotInner, nil), lines(wantInner, nil))
	if g, w := strings.TrimSpace(string(got.Inner[m:])), strings.TrimSpace(string(want.Plain[n:])); g != w {
		t.Errorf("%s: body %q, want %q", want.File, g, w)
	}
}

// withoutPictures leaves out what a program without avatars, and without descriptions of groups,
// does not write. "Chat-User-Avatar: 0" would take away the picture that an app with the same key
// has chosen.
func withoutPictures(h *message.Header) {
	h.Del("Chat-User-Avatar")
	h.Del("Chat-Group-Description")
	h.Del("Chat-Group-Description-Timestamp")
}

func compareLines(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n%s\nwant:\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// next composes the message that an outcome asks for and compares it with the recorded one.
func (d *device) next(t *testing.T, effects []securejoin.Effect, want vectors.Message) {
	t.Helper()
	m, err := securejoin.Compose(d.carry(effects), d.self, envOf(want))
	if err != nil {
		t.Fatal(err)
	}
	compare(t, m, want)
}

// TestRecordedHandshake plays both ends of handshakes between two Delta Chat 2.62: each
// recorded message is opened and received, and what follows from it is what the engine sent.
func TestRecordedHandshake(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"v3-contact", "v3-shortcut", "chat"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			replay(t, vectors.Get(t, name))
		})
	}
}

func replay(t *testing.T, s vectors.Scenario) {
	alice, bob := recordedDevice(t, s, "alice", "Alice"), recordedDevice(t, s, "bob", "Bob")
	link, err := securejoin.ParseLink(s.Invites[0].Link)
	if err != nil {
		t.Fatal(err)
	}
	proof := []securejoin.Proof{link.Proof()}
	alice.proof, bob.proof = proof, proof
	start := envOf(s.Messages[0]).Now
	invite := securejoin.Invite{ID: 1, Auth: link.Auth, Number: link.Number, Created: start}
	if invite.Link(alice.self).String() != s.Invites[0].Link {
		t.Errorf("link is %s", invite.Link(alice.self))
	}
	join, effects, err := securejoin.NewJoin(link, bob.self, nil, false, start)
	if err != nil {
		t.Fatal(err)
	}
	bob.next(t, effects, s.Messages[0])

	now := start.Add(time.Minute)
	invite, out := invite.Receive(alice.self, alice.read(s.Messages[0].Raw, now), now)
	alice.next(t, out.Effects, s.Messages[1])

	join, out = join.Receive(bob.self, bob.read(s.Messages[1].Raw, now), now)
	expect(t, out, securejoin.Consume, nil, "StoreCert", "Bind", "Send")
	bob.next(t, out.Effects, s.Messages[2])

	in := alice.read(s.Messages[2].Raw, now)
	invite, out = invite.Receive(alice.self, in, now)
	expect(t, out, securejoin.Consume, nil, "StoreCert", "Bind", "Note", "Send")
	bound := effect[securejoin.Bind](t, out)
	if bound.Addr != bob.self.Addr || bound.Fingerprint != bob.self.Fingerprint || bound.Name != "Bob" || bound.Claim || bound.How != securejoin.HowV3 {
		t.Errorf("bound %+v", bound)
	}
	alice.next(t, out.Effects, s.Messages[3])

	join, out = join.Receive(bob.self, bob.read(s.Messages[3].Raw, now), now)
	expect(t, out, securejoin.Consume, nil, "Note")
	if join.State != securejoin.Completed || len(invite.Uses) != 1 {
		t.Errorf("join is %v, invite has uses %+v", join.State, invite.Uses)
	}
}

// TestHandshake runs both roles against each other, with fresh keys and real encryption.
func TestHandshake(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	alice, bob := freshDevice(t, "alice@example.org", "Älice", now), freshDevice(t, "bob@example.org", "", now)
	invite, err := securejoin.NewInvite(strings.NewReader(strings.Repeat("random", 6)), now, securejoin.InviteOptions{Expires: now.Add(time.Hour), Once: true})
	if err != nil {
		t.Fatal(err)
	}
	link, err := securejoin.ParseLink(invite.Link(alice.self).String())
	if err != nil {
		t.Fatal(err)
	}
	alice.proof = []securejoin.Proof{{Fingerprint: alice.self.Fingerprint, Auth: "another-token-of-ours"}, link.Proof()}
	bob.proof = []securejoin.Proof{link.Proof()}
	env := func(id string) securejoin.Env {
		return securejoin.Env{Now: now, OuterDate: now.Add(-48 * time.Hour), MessageID: id + "@localhost"}
	}

	join, effects, err := securejoin.NewJoin(link, bob.self, nil, false, now)
	if err != nil {
		t.Fatal(err)
	}
	raw := bob.post(bob.carry(effects), env("1"))
	invite, out := invite.Receive(alice.self, alice.read(raw, now), now)
	raw = alice.post(alice.carry(out.Effects), env("2"))
	join, out = join.Receive(bob.self, bob.read(raw, now), now)
	raw = bob.post(bob.carry(out.Effects), env("3"))
	invite, out = invite.Receive(alice.self, alice.read(raw, now), now)
	raw = alice.post(alice.carry(out.Effects), env("4"))
	join, out = join.Receive(bob.self, bob.read(raw, now), now)
	if out.Refused != nil || join.State != securejoin.Completed || invite.State(now) != securejoin.Used {
		t.Errorf("join is %v, invite %v, refused %v", join.State, invite.State(now), out.Refused)
	}
}

func freshDevice(t testing.TB, addr, name string, now time.Time) *device {
	t.Helper()
	key, err := pgp.Generate(addr, now.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return newDevice(t, key, addr, name)
}

func TestComposeRefuses(t *testing.T) {
	t.Parallel()
	for _, s := range []securejoin.Send{
		{Step: securejoin.MemberAdded, To: []string{"a@example.org"}},
		{Step: securejoin.RequestWithAuth, To: []string{"a@example.org", "b@example.org"}},
		{},
	} {
		if m, err := securejoin.Compose(s, securejoin.Self{}, securejoin.Env{}); err == nil {
			t.Errorf("%v: composed %q", s.Step, m.Inner)
		}
	}
}

// TestComposeTellsNothingPersonal: whoever holds the link can read the first two steps.
func TestComposeTellsNothingPersonal(t *testing.T) {
	t.Parallel()
	me := securejoin.Self{Addr: "alice@example.org", Name: "Alice Example", Fingerprint: fpr}
	env := securejoin.Env{Autocrypt: "addr=alice@example.org; keydata=x", Gossip: "addr=bob@example.org; keydata=y", MessageID: "x@localhost"}
	for _, step := range []securejoin.Step{securejoin.RequestPubkey, securejoin.Pubkey} {
		m, err := securejoin.Compose(securejoin.Send{Step: step, To: []string{"bob@example.org"}, ToName: "Bob", Auth: auth, Secret: "s"}, me, env)
		if err != nil {
			t.Fatal(err)
		}
		all := string(m.Outer) + string(m.Inner)
		for _, word := range []string{"Alice Example", "Bob", "bob@example.org", "Avatar"} {
			if strings.Contains(all, word) {
				t.Errorf("%v holds %q", step, word)
			}
		}
		if strings.Contains(all, "Autocrypt:") != (step == securejoin.Pubkey) {
			t.Errorf("%v: Autocrypt is there or missing", step)
		}
	}
}
