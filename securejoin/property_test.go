package securejoin_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// world is an inviter, a joiner and an attacker who holds the link, reads and sends any mail,
// and can do everything but sign with another's key. Ciphertext is symbolic: a message is what
// its receiver would read.
type world struct {
	*rapid.T
	now     time.Time
	invite  securejoin.Invite
	join    securejoin.Join
	alice   party
	bob     party
	mail    []letter // everything that was ever sent; it may arrive in any order and number
	counter int
}

type party struct {
	self    securejoin.Self
	holders map[string]pgp.Fingerprint // what the account binds to addresses
	handled map[[2]string]bool
	claims  int
}

type letter struct {
	to *party
	in securejoin.Incoming
}

func (p *party) holds(addr string) pgp.Fingerprint { return p.holders[addr] }

func newWorld(t *rapid.T) *world {
	w := &world{T: t, now: noon, invite: liveInvite()}
	w.invite.Once = rapid.Bool().Draw(t, "once")
	newParty := func(self securejoin.Self) party {
		return party{self: self, holders: make(map[string]pgp.Fingerprint), handled: make(map[[2]string]bool)}
	}
	w.alice, w.bob = newParty(aliceSelf), newParty(bobSelf)
	if rapid.Bool().Draw(t, "alice knows bob") {
		w.alice.holders[bobAddr] = bobKey
	}
	if rapid.Bool().Draw(t, "bob knows alice") {
		w.bob.holders[aliceAddr] = aliceKey
	}
	join, effects, err := securejoin.NewJoin(w.invite.Link(aliceSelf), bobSelf, w.bob.holders, false, w.now)
	if err != nil {
		t.Fatal(err)
	}
	w.join = join
	w.carryOut(&w.bob, effects)
	return w
}

// carryOut does what an account would, and checks what must never happen.
func (w *world) carryOut(p *party, effects []securejoin.Effect) {
	for _, e := range effects {
		switch e := e.(type) {
		case securejoin.Send:
			w.send(p, e)
		case securejoin.Bind:
			w.bind(p, e)
		}
	}
}

func (w *world) bind(p *party, b securejoin.Bind) {
	if b.Claim {
		p.claims++
		return
	}
	if have := p.holders[b.Addr]; have != "" && have != b.Fingerprint {
		w.Fatalf("%s: %s is bound to %s instead of %s", p.self.Addr, b.Addr, b.Fingerprint, have)
	}
	p.holders[b.Addr] = b.Fingerprint
}

// send puts a message into the mail as its receiver reads it.
func (w *world) send(p *party, s securejoin.Send) {
	w.counter++
	in := securejoin.Incoming{
		Step: s.Step, OuterFrom: p.self.Addr, InnerFrom: p.self.Addr, Name: p.self.Name, Auth: s.Auth,
		MessageID: fmt.Sprintf("%d@localhost", w.counter),
	}
	to := &w.alice
	if p == &w.alice {
		to = &w.bob
	}
	if s.Secret != "" {
		in.Proof = &securejoin.Proof{Fingerprint: aliceKey, Auth: auth}
	} else {
		// Only the owner of a key can read what is encrypted to it.
		if s.Key != to.self.Fingerprint {
			return
		}
		in.Gossip = map[string]pgp.Fingerprint{s.To[0]: s.Key}
	}
	if s.Signed {
		in.Signer = p.self.Fingerprint
	}
	if s.Step == securejoin.RequestWithAuth {
		in.Fingerprint = p.self.Fingerprint
	}
	w.mail = append(w.mail, letter{to, in})
}

// deliver lets any message arrive, be it old.
func (w *world) deliver(t *rapid.T) {
	if len(w.mail) == 0 {
		return
	}
	l := w.mail[rapid.IntRange(0, len(w.mail)-1).Draw(t, "letter")]
	w.receive(l.to, l.in)
}

func (w *world) receive(p *party, in securejoin.Incoming) {
	signer, id := in.Handled()
	if p.handled[[2]string{signer, id}] {
		return
	}
	in.Holder = p.holds(in.InnerFrom)
	var out securejoin.Outcome
	before := w.join.State
	if p == &w.alice {
		w.invite, out = w.invite.Receive(aliceSelf, in, w.now)
	} else {
		w.join, out = w.join.Receive(bobSelf, in, w.now)
	}
	if out.Refused != nil {
		for _, e := range out.Effects {
			if _, note := e.(securejoin.Note); !note {
				w.Fatalf("a refused message had the effect %+v", e)
			}
		}
	}
	if w.join.State != before && in.Signer != aliceKey {
		w.Fatalf("the join went from %v to %v by a message of %q", before, w.join.State, in.Signer)
	}
	if out.Verdict != securejoin.Deliver {
		p.handled[[2]string{signer, id}] = true
	}
	w.carryOut(p, out.Effects)
}

// attack sends what the attacker can make: the honest messages with a signature of its own or
// none, and with up to two fields changed.
func (w *world) attack(t *rapid.T) {
	w.counter++
	honest := rapid.SampledFrom([]func() securejoin.Incoming{request, pubkey, withAuth, confirm}).Draw(t, "like")
	in := honest()
	in.MessageID = fmt.Sprintf("%d@eve", w.counter)
	if in.Signer != "" {
		in.Signer = eveKey
	}
	if in.Fingerprint != "" {
		in.Fingerprint = eveKey
	}
	for range rapid.IntRange(0, 2).Draw(t, "changes") {
		forge(t, &in)
	}
	to := &w.bob
	if in.Step == securejoin.RequestPubkey || in.Step == securejoin.RequestWithAuth {
		to = &w.alice
	}
	w.mail = append(w.mail, letter{to, in})
	w.receive(to, in)
}

func forge(t *rapid.T, in *securejoin.Incoming) {
	addr := rapid.SampledFrom([]string{aliceAddr, bobAddr, "eve@example.org", ""}).Draw(t, "addr")
	key := rapid.SampledFrom([]pgp.Fingerprint{aliceKey, bobKey, eveKey, ""}).Draw(t, "key")
	switch rapid.IntRange(0, 8).Draw(t, "field") {
	case 0:
		in.Step = securejoin.Step(rapid.IntRange(0, int(securejoin.MemberAdded)).Draw(t, "step"))
	case 1:
		in.Signer = ""
	case 2:
		in.OuterFrom, in.InnerFrom = addr, addr
	case 3:
		in.InnerFrom = addr
	case 4:
		in.Auth = rapid.SampledFrom([]string{inv, ""}).Draw(t, "auth")
	case 5:
		in.Fingerprint = key
	case 6:
		in.Gossip = map[string]pgp.Fingerprint{addr: key}
	case 7:
		in.Proof = nil
	case 8:
		in.Proof = &securejoin.Proof{Fingerprint: aliceKey, Auth: auth}
	}
}

// pass lets time go by, and the joiner look at its join.
func (w *world) pass(t *rapid.T) {
	w.now = w.now.Add(time.Duration(rapid.IntRange(1, 600).Draw(t, "minutes")) * time.Minute)
	join, effects := w.join.Tick(w.now)
	w.join = join
	w.carryOut(&w.bob, effects)
}

// check is what holds at all times: the joiner knows no other key for the inviter than the
// link's, and whom the inviter knew it knows by the same key.
func (w *world) check(*rapid.T) {
	if got := w.bob.holders[aliceAddr]; got != "" && got != aliceKey {
		w.Fatalf("bob has %s for alice", got)
	}
	for addr := range w.bob.holders {
		if addr != aliceAddr {
			w.Fatalf("bob has bound %s", addr)
		}
	}
	if w.invite.Once && len(w.invite.Uses) > 1 {
		w.Fatalf("a one-time invite was used by %+v", w.invite.Uses)
	}
	if w.alice.holders[aliceAddr] != "" || w.join.Claim {
		w.Fatal("own address bound, or a claim out of nothing")
	}
}

// TestNoWrongKey: in no order of loss, repetition, replay and forgery by somebody who holds the
// link does a run end with a contact under another key than it had, or with an inviter whose
// key is not the link's.
func TestNoWrongKey(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		known := w.alice.holders[bobAddr] == bobKey
		t.Repeat(map[string]func(*rapid.T){
			"deliver": w.deliver, "attack": w.attack, "pass": w.pass, "": w.check,
		})
		if known && w.alice.holders[bobAddr] != bobKey {
			t.Fatalf("alice has %s for bob", w.alice.holders[bobAddr])
		}
	})
}

// TestFairRun: without an attacker, in any order and with any repetition, a run ends with both
// sides complete once every message has arrived.
func TestFairRun(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		t.Repeat(map[string]func(*rapid.T){"deliver": w.deliver, "": w.check})
		for n := 0; n < len(w.mail); n++ {
			w.receive(w.mail[n].to, w.mail[n].in)
		}
		if w.join.State != securejoin.Completed || w.alice.holders[bobAddr] != bobKey || w.bob.holders[aliceAddr] != aliceKey {
			t.Fatalf("join is %v, alice has %v, bob has %v", w.join.State, w.alice.holders, w.bob.holders)
		}
	})
}
