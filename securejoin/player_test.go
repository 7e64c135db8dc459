package securejoin_test

import (
	"slices"
	"testing"
	"time"

	"mailbridge/autocrypt"
	"mailbridge/internal/vectors"
	"mailbridge/message"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// player is one end of a recorded scenario: it receives what was recorded and says what it would
// have sent.
type player struct {
	*device
	invites []securejoin.Invite
	joins   []securejoin.Join
	group   securejoin.GroupChat
	channel securejoin.ChannelChat
	lines   []string // of system messages
	posts   int      // that were shown
}

// arrived is an opened message.
type arrived struct {
	outer, inner message.Header
	payload      []byte
	opened       *pgp.Opened
	proof        *securejoin.Proof
	secret       string // of a channel
	signer       pgp.Fingerprint
	gossip       map[string]pgp.Fingerprint
}

// take opens a mail with the keys, the secrets of links and those of the channel.
func (p *player) take(raw []byte, now time.Time) arrived {
	p.t.Helper()
	var a arrived
	a.outer, _ = message.ParseHeader(raw)
	p.learn(a.outer) // Delta Chat 1.160 has its key there
	ciphertext, _, ok := pgp.SplitEncrypted(raw, message.Parse(raw))
	if !ok {
		return a
	}
	o := pgp.OpenOptions{Keys: []*pgp.Key{p.key}, Now: now, Certs: p.signers}
	info, err := pgp.Inspect(ciphertext)
	if err != nil {
		p.t.Fatal(err)
	}
	if info.Kind != pgp.Symmetric {
		if a.opened, err = pgp.Open(ciphertext, o); err != nil {
			p.t.Fatal(err)
		}
	} else {
		a.openSymmetric(p, ciphertext, o)
	}
	a.payload = a.opened.Payload
	a.inner, _ = message.ParseHeader(a.payload)
	if a.opened.Signature.State == pgp.SignatureGood && a.opened.IntendedForUs {
		a.signer = a.opened.Signature.Signer
	}
	a.gossip = p.learn(a.inner)
	return a
}

func (a *arrived) openSymmetric(p *player, ciphertext []byte, o pgp.OpenOptions) {
	p.t.Helper()
	var secrets []string
	for _, proof := range p.proof {
		secrets = append(secrets, proof.Secret())
	}
	secrets = append(secrets, p.channel.Secrets...)
	var err error
	if a.opened, err = pgp.OpenSymmetric(ciphertext, slices.Values(secrets), o); err != nil {
		p.t.Fatal(err)
	}
	if n := a.opened.Secret; n < len(p.proof) {
		a.proof = &p.proof[n]
	} else {
		a.secret = secrets[n]
	}
}

// learn keeps the keys in a message and gives those of the gossip.
func (p *player) learn(inner message.Header) map[string]pgp.Fingerprint {
	var to []string
	for _, a := range message.ParseAddresses(inner.Get("To")) {
		to = append(to, a.Addr)
	}
	gossip := make(map[string]pgp.Fingerprint)
	for _, h := range autocrypt.GossipFor(inner.Values(autocrypt.GossipName), to) {
		gossip[h.Addr] = h.Cert.Fingerprint()
		p.certs[h.Cert.Fingerprint()] = h.Cert
	}
	for _, value := range inner.Values(autocrypt.HeaderName) {
		if h, err := autocrypt.Parse(value); err == nil {
			p.certs[h.Cert.Fingerprint()] = h.Cert
		}
	}
	return gossip
}

// receive takes a recorded message and gives the effects that follow from it.
func (p *player) receive(m vectors.Message, now time.Time) (securejoin.Outcome, bool) {
	p.t.Helper()
	a := p.take(m.Raw, now)
	in, ok := p.incoming(a)
	if ok {
		out := p.handshake(in, now)
		if out.Verdict != securejoin.Deliver {
			if out.Verdict == securejoin.Show {
				p.chat(a, true, now)
			}
			return out, true
		}
	}
	p.chat(a, false, now)
	return securejoin.Outcome{}, ok
}

func (p *player) incoming(a arrived) (securejoin.Incoming, bool) {
	var in securejoin.Incoming
	var ok bool
	header := a.inner
	if a.opened == nil {
		header = a.outer
		in, ok = securejoin.ReadRequest(a.outer)
	} else {
		in, ok = securejoin.ReadIncoming(a.outer, a.inner, a.opened, a.proof)
		in.Gossip = a.gossip
	}
	if !header.Has(autocrypt.HeaderName) {
		header = a.outer
	}
	if h, found, _ := autocrypt.FromHeader(header.Values(autocrypt.HeaderName), in.InnerFrom); found {
		in.Key = h.Cert
	}
	return in, ok
}

func (p *player) handshake(in securejoin.Incoming, now time.Time) securejoin.Outcome {
	p.t.Helper()
	for n, i := range p.invites {
		in.Standing = p.group.Standing(p.self, in.Signer)
		if i.Kind == securejoin.Channel {
			in.Standing = p.channel.Standing(p.self, in.Signer)
		}
		var out securejoin.Outcome
		if p.invites[n], out = i.Receive(p.self, in, now); out.Verdict != securejoin.Deliver {
			return out
		}
	}
	for n, j := range p.joins {
		var out securejoin.Outcome
		if p.joins[n], out = j.Receive(p.self, in, now); out.Verdict != securejoin.Deliver {
			return out
		}
	}
	return securejoin.Outcome{}
}

// chat takes a message of the group or channel.
func (p *player) chat(a arrived, proven bool, now time.Time) {
	p.t.Helper()
	if m, ok := securejoin.ReadGroup(a.inner, a.signer, a.gossip, now); ok {
		p.takeGroup(m, proven, now)
	}
	if m, ok := securejoin.ReadChannel(a.inner, a.signer, a.gossip, a.secret, now); ok {
		m.Proven = proven
		p.takeChannel(m)
	}
}

func (p *player) takeGroup(m securejoin.GroupMessage, proven bool, now time.Time) {
	var c securejoin.Changes
	if p.group.ID == "" && proven {
		var err error
		if p.group, c, err = securejoin.EnterGroup(p.self, m, now); err != nil {
			p.t.Fatal(err)
		}
	} else {
		p.group, c = p.group.Merge(p.self, m, now)
	}
	if !c.FromMember {
		p.t.Errorf("message of %s is from no member", m.From.Addr)
	}
	p.lines = append(p.lines, c.Lines(p.self)...)
}

func (p *player) takeChannel(m securejoin.ChannelMessage) {
	if p.channel.ID == "" {
		var err error
		if p.channel, err = securejoin.SubscribeTo(p.self, m); err != nil {
			p.t.Fatal(err)
		}
		return
	}
	var event securejoin.ChannelEvent
	if p.channel, event = p.channel.Receive(p.self, m); event == securejoin.Posted {
		p.posts++
	}
}

// invite gives the inviter what it hands out in a recorded link.
func (p *player) invite(text string, created time.Time) securejoin.Link {
	p.t.Helper()
	l, err := securejoin.ParseLink(text)
	if err != nil {
		p.t.Fatal(err)
	}
	p.invites = append(p.invites, securejoin.Invite{
		ID: 1, Kind: l.Kind, GroupID: l.GroupID, Auth: l.Auth, Number: l.Number, Created: created, Legacy: !l.V3,
	})
	p.proof = append(p.proof, l.Proof())
	return l
}

// follow begins a join.
func (p *player) follow(l securejoin.Link, now time.Time) []securejoin.Effect {
	p.t.Helper()
	j, effects, err := securejoin.NewJoin(l, p.self, nil, false, now)
	if err != nil {
		p.t.Fatal(err)
	}
	p.joins = append(p.joins, j)
	p.proof = append(p.proof, l.Proof())
	return effects
}

func newPlayer(t testing.TB, s vectors.Scenario, user, name string) *player {
	return &player{device: recordedDevice(t, s, user, name)}
}

// sends gives the one message of effects.
func sends(t testing.TB, effects []securejoin.Effect) securejoin.Send {
	t.Helper()
	return effect[securejoin.Send](t, securejoin.Outcome{Effects: effects})
}
