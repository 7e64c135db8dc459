package account_test

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"mailbridge/account"
	"mailbridge/autocrypt"
	"mailbridge/message"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// stranger is somebody without a bridge, who has a key and a mailbox and writes the steps of
// handshakes by hand: as they are to be, or otherwise.
type stranger struct {
	w    *world
	addr string
	key  *pgp.Key
}

func (w *world) stranger(name string) *stranger {
	w.Helper()
	addr := name + "@" + domain
	w.provider.AddUser(addr, "x")
	return &stranger{w, addr, w.newKey(addr)}
}

func (s *stranger) self() securejoin.Self {
	return securejoin.Self{Addr: s.addr, Fingerprint: s.key.Fingerprint()}
}

// twist changes a step before it is encrypted.
type twist func(m *securejoin.Mail)

// edit replaces text inside.
func edit(from, to string) twist {
	return func(m *securejoin.Mail) { m.Inner = []byte(strings.ReplaceAll(string(m.Inner), from, to)) }
}

// editOuter replaces text outside, or in a plain request.
func editOuter(from, to string) twist {
	return func(m *securejoin.Mail) {
		m.Outer = []byte(strings.ReplaceAll(string(m.Outer), from, to))
		m.Plain = []byte(strings.ReplaceAll(string(m.Plain), from, to))
	}
}

// without removes the fields of a name inside.
func without(name string) twist {
	return func(m *securejoin.Mail) {
		h, body := message.ParseHeader(m.Inner)
		h.Del(name)
		m.Inner = slices.Concat(h.Bytes(), []byte("\r\n"), m.Inner[body:])
	}
}

// write makes a step for a person.
func (s *stranger) write(to *person, step securejoin.Send, twists ...twist) []byte {
	s.w.Helper()
	now := s.w.now()
	value := func(h autocrypt.Header) string { return strings.ReplaceAll(h.Value(), " ", "\r\n ") }
	env := securejoin.Env{
		Now: now, OuterDate: now.Add(-time.Hour), MessageID: rand.Text() + "@localhost", Boundary: "step",
		Autocrypt: value(autocrypt.Header{Addr: s.addr, Cert: s.key.Cert(), PreferEncrypt: autocrypt.Mutual}),
		Gossip:    autocrypt.Header{Addr: to.addr, Cert: to.cert()}.GossipValue(),
	}
	step.To = []string{to.addr}
	mail, err := securejoin.Compose(step, s.self(), env)
	if err != nil {
		s.w.Fatal(err)
	}
	for _, twist := range twists {
		twist(&mail)
	}
	if mail.Inner == nil {
		return mail.Plain
	}
	var signer *pgp.Key
	if step.Signed {
		signer = s.key
	}
	var ciphertext []byte
	if step.Secret != "" {
		ciphertext, err = pgp.EncryptSymmetric(mail.Inner, step.Secret, pgp.SymmetricOptions{Signer: signer, Now: now})
	} else {
		ciphertext, err = pgp.Encrypt(mail.Inner, pgp.EncryptOptions{Signer: signer, To: []*pgp.Cert{to.cert()}, Now: now})
	}
	if err != nil {
		s.w.Fatal(err)
	}
	return pgp.JoinEncrypted(mail.Outer, ciphertext, "step")
}

// send writes a step and waits until it was looked at.
func (s *stranger) send(to *person, step securejoin.Send, twists ...twist) {
	s.w.Helper()
	s.w.deliver(to, s.write(to, step, twists...))
	to.synced()
}

// The steps of a joiner and of an inviter.
func plainRequest(l securejoin.Link) securejoin.Send {
	return securejoin.Send{Step: securejoin.Request, Number: l.Number, Kind: l.Kind}
}

func requestPubkey(l securejoin.Link) securejoin.Send {
	return securejoin.Send{Step: securejoin.RequestPubkey, Auth: l.Auth, Secret: l.Secret()}
}

func withAuth(l securejoin.Link) securejoin.Send {
	return securejoin.Send{Step: securejoin.RequestWithAuth, Auth: l.Auth, Kind: l.Kind, Group: l.GroupID, Signed: true}
}

func pubkey(l securejoin.Link) securejoin.Send {
	return securejoin.Send{Step: securejoin.Pubkey, Auth: l.Auth, Secret: l.Secret(), Signed: true}
}

func confirm() securejoin.Send {
	return securejoin.Send{Step: securejoin.ContactConfirm, Signed: true}
}

// answers are the steps that were sent to the stranger, by name. secrets are of the links that
// it used.
func (s *stranger) answers(secrets ...string) []string {
	s.w.Helper()
	var steps []string
	for _, m := range s.w.provider.Submissions() {
		if !slices.Contains(m.To, s.addr) {
			continue
		}
		steps = append(steps, s.open(m.Data, secrets).Get(securejoin.FieldStep))
	}
	return steps
}

// open gives the header inside a message.
func (s *stranger) open(raw []byte, secrets []string) message.Header {
	s.w.Helper()
	root := message.Parse(raw)
	ciphertext, _, ok := pgp.SplitEncrypted(raw, root)
	if !ok {
		return root.Header
	}
	o := pgp.OpenOptions{Keys: []*pgp.Key{s.key}, Now: s.w.now(), MaxSize: 1 << 20}
	opened, err := pgp.OpenSymmetric(ciphertext, slices.Values(secrets), o)
	if err != nil {
		opened, err = pgp.Open(ciphertext, o)
	}
	if err != nil {
		s.w.Fatalf("%s cannot open what was sent to it: %v", s.addr, err)
	}
	h, _ := message.ParseHeader(opened.Payload)
	return h
}

// invite gives the link of a new invite.
func (p *person) invite(o account.InviteOptions) (account.Invite, securejoin.Link) {
	p.w.Helper()
	i, err := p.Invite(context.Background(), o)
	if err != nil {
		p.w.Fatal(err)
	}
	link, err := securejoin.ParseLink(i.Link)
	if err != nil {
		p.w.Fatal(err)
	}
	return i, link
}

// link is a link of the stranger's own.
func (s *stranger) link() securejoin.Link {
	return securejoin.Link{Fingerprint: s.key.Fingerprint(), Addr: s.addr, Auth: rand.Text()[:24], Number: rand.Text()[:24], V3: true}
}

// follow begins a join and waits until its first step has left.
func (p *person) follow(l securejoin.Link) account.Join {
	p.w.Helper()
	j, err := p.Join(context.Background(), l.String(), account.JoinOptions{})
	if err != nil {
		p.w.Fatal(err)
	}
	p.sent()
	return j
}

// sent waits until nothing is queued.
func (p *person) sent() {
	p.w.Helper()
	p.w.eventually("nothing is queued", func() bool { return p.State(context.Background()).Queued == 0 })
}

// trust gives what is known of an address; a new one is nobody's.
func (p *person) contact(addr string) account.Contact {
	p.w.Helper()
	c, err := p.Contact(context.Background(), addr)
	if err != nil {
		return account.Contact{Address: addr}
	}
	return c
}

// splitOf is the ciphertext of a message.
func splitOf(t *testing.T, raw []byte) []byte {
	t.Helper()
	ciphertext, _, ok := pgp.SplitEncrypted(raw, message.Parse(raw))
	if !ok {
		t.Fatalf("not encrypted:\n%.400s", raw)
	}
	return ciphertext
}
