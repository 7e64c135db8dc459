//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"mailbridge/account"
	"mailbridge/db"
	"mailbridge/internal/peers"
	"mailbridge/internal/provider"
)

const domain = "example.org"

var masterKey = db.Key{1}

// bed is where an account finds its provider.
type bed struct {
	imap, smtp account.Server
	ca         string
	user       func(name string) (addr, password string)
}

// embedded is a bed on the provider of the tests.
func embedded(r *run, p *provider.Provider) bed {
	ca := filepath.Join(r.TempDir(), "ca.pem")
	r.must(os.WriteFile(ca, p.CA(), 0o600))
	server := func(a *net.TCPAddr) account.Server {
		return account.Server{Host: "127.0.0.1", Port: a.Port, TLS: "tls"}
	}
	return bed{imap: server(p.IMAPSAddr()), smtp: server(p.SMTPSAddr()), ca: ca, user: func(name string) (string, string) {
		p.AddUser(name+"@"+domain, "pw")
		return name + "@" + domain, "pw"
	}}
}

// onPeers is a bed on Dovecot and Postfix.
func onPeers(b *peers.Bed) bed {
	return bed{
		imap: account.Server{Host: "127.0.0.1", Port: b.IMAP, TLS: "starttls"},
		smtp: account.Server{Host: "127.0.0.1", Port: b.Submission, TLS: "starttls"},
		ca:   b.CAFile(),
		user: func(name string) (string, string) { return peers.Address(name), b.Password },
	}
}

// person is one account.
type person struct {
	*account.Account
	addr, dir string
	link      string // of an invite
}

// newPerson makes an account with an invite; it does not run yet.
func newPerson(r *run, b bed, name string) *person {
	addr, password := b.user(name)
	p := &person{addr: addr, dir: filepath.Join(r.TempDir(), name)}
	var err error
	p.Account, err = account.Create(r.ctx, account.Options{
		Dir: p.dir, MasterKey: func(context.Context) ([32]byte, error) { return masterKey, nil },
	}, account.Settings{Address: addr, Name: name, IMAP: b.imap, SMTP: b.smtp, CAFile: b.ca}, password)
	r.must(err)
	r.Cleanup(func() { _ = p.Close() })
	invite, err := p.Invite(r.ctx, account.InviteOptions{})
	r.must(err)
	p.link = invite.Link
	return p
}

// start runs an account until the run ends, and waits until it is ready.
func (p *person) start(r *run) {
	ctx, cancel := context.WithCancel(r.ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = p.Run(ctx)
	}()
	r.Cleanup(func() { cancel(); <-ended })
	ready, cancelReady := context.WithTimeout(ctx, patience)
	defer cancelReady()
	r.must(p.Ready(ready))
}

// twoBridges lets a second account join the first one's invite, and gives the time until each
// has verified the other and the joiner knows it.
func twoBridges(r *run, b bed, round int) time.Duration {
	alice, bob := newPerson(r, b, fmt.Sprintf("alice%d", round)), newPerson(r, b, fmt.Sprintf("bob%d", round))
	alice.start(r)
	bob.start(r)
	settle()
	began := time.Now()
	join, err := bob.Join(r.ctx, alice.link, account.JoinOptions{})
	r.must(err)
	r.until(began, "the inviter has verified the joiner", func() bool { return alice.trusts(r, bob) })
	join, err = bob.WaitJoin(r.ctx, join.ID)
	r.must(err)
	took := time.Since(began)
	if join.State != account.JoinCompleted || !bob.trusts(r, alice) {
		r.Fatalf("join: %+v", join)
	}
	return took
}

func (p *person) trusts(r *run, other *person) bool {
	c, err := p.Contact(r.ctx, other.addr)
	return err == nil && c.Verified
}

// settle lets what a start leaves to do be done: both sides begin at rest, as they are when a user
// joins an invite.
func settle() { time.Sleep(time.Second) }

// joinEmbedded is the time of a join between two accounts on the provider of the tests.
func joinEmbedded(r *run) float64 {
	b := embedded(r, provider.NewTest(r, provider.Options{}))
	round := 0
	return median(pairs, func() float64 {
		round++
		return ms(r.scope(func() time.Duration { return twoBridges(r, b, round) }))
	})
}

// joinReal is the time of a join between two bridges over that between two Delta Chat engines, all
// on the same Dovecot and Postfix.
func joinReal(r *run) float64 {
	b := peers.Start(r)
	round := 0
	engines := func() time.Duration { return twoEngines(r, b, round) }
	bridges := func() time.Duration { return twoBridges(r, onPeers(b), round) }
	next := func(measure func() time.Duration) func() time.Duration {
		return func() time.Duration { round++; return r.scope(measure) }
	}
	return ratio(next(bridges), next(engines))
}

func twoEngines(r *run, b *peers.Bed, round int) time.Duration {
	ada := peers.DeltaChat(r, b, peers.Address(fmt.Sprintf("ada%d", round)), "Ada")
	bert := peers.DeltaChat(r, b, peers.Address(fmt.Sprintf("bert%d", round)), "Bert")
	link := ada.Invite()
	settle()
	joined, invited := bert.Mark(), ada.Mark()
	began := time.Now()
	bert.Join(link)
	bert.WaitJoined(joined)
	ada.WaitInvited(invited)
	return time.Since(began)
}
