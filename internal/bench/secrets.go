//go:build linux

package main

import (
	"crypto/aes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/ProtonMail/go-crypto/ocb"

	"mailbridge/db"
	"mailbridge/internal/provider"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// wrongSecret is what a secret costs that does not open a message, over what the primitives cost
// that the form of the message prescribes (RFC 9580, sections 3.7.1.2 and 5.3.2): SHA-256 over
// salt and secret, HKDF, and AES-128 in OCB mode over the session key, as the libraries offer them.
func wrongSecret(r *run) float64 {
	const n = 20000
	// What is compared is work, not how many processors share it.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	secrets := make([]string, n)
	for i := range secrets {
		secrets[i] = fmt.Sprintf("securejoin/0123456789ABCDEF0123456789ABCDEF01234567/%024d", i)
	}
	message, err := pgp.EncryptSymmetric([]byte("text"), "another secret", pgp.SymmetricOptions{Now: time.Now()})
	r.must(err)
	ours := func() time.Duration {
		began := time.Now()
		if _, err := pgp.OpenSymmetric(message, slices.Values(secrets), pgp.OpenOptions{Now: began}); !errors.Is(err, pgp.ErrNoSecret) {
			r.Fatal("opened: ", err)
		}
		return time.Since(began)
	}
	bare := func() time.Duration {
		began := time.Now()
		for _, s := range secrets {
			r.must(bareTrial([]byte(s)))
		}
		return time.Since(began)
	}
	return ratio(ours, bare)
}

// A session key packet, without the packet.
var (
	bareSalt      = make([]byte, 8)
	bareNonce     = make([]byte, 15)
	bareEncrypted = make([]byte, 16+16)
	bareInfo      = "\xc3\x06\x07\x02"
)

var errFits = errors.New("a wrong secret fits")

func bareTrial(secret []byte) error {
	stretched := sha256.Sum256(append(append(make([]byte, 0, 128), bareSalt...), secret...))
	key, err := hkdf.Key(sha256.New, stretched[:16], nil, bareInfo, 16)
	if err != nil {
		return err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return err
	}
	aead, err := ocb.NewOCB(block)
	if err != nil {
		return err
	}
	if _, err := aead.Open(nil, bareNonce, bareEncrypted, []byte(bareInfo)); err == nil {
		return errFits
	}
	return nil
}

// manyInvites is what 10,000 open invites cost a message that the oldest of them opens: the time
// until the answer goes out, less that of an account with this one invite, which gets the same
// messages in turns.
func manyInvites(r *run) float64 {
	const invites = 10000
	var first firstMail
	p := provider.NewTest(r, provider.Options{Trace: first.trace})
	many, one := newPerson(r, embedded(r, p), "many"), newPerson(r, embedded(r, p), "one")
	many.fill(r, invites-1)
	many.start(r)
	one.start(r)
	guests := 0
	ask := func(host *person) float64 {
		guests++
		guest := fmt.Sprintf("guest%d@%s", guests, domain)
		p.AddUser(guest, "pw")
		raw := firstStep(r, guest, host.link)
		answered := first.expect(host.addr)
		began := time.Now()
		r.must(p.Deliver(host.addr, raw))
		select {
		case at := <-answered:
			return ms(at.Sub(began))
		case <-time.After(patience):
			r.Fatal("no answer to " + guest)
			return 0
		}
	}
	ask(one) // what is made at the first use
	return median(2*pairs+1, func() float64 { return ask(many) - ask(one) })
}

// firstStep is what a joiner sends first.
func firstStep(r *run, from, link string) []byte {
	l, err := securejoin.ParseLink(link)
	r.must(err)
	s := securejoin.Send{Step: securejoin.RequestPubkey, To: []string{l.Addr}, Auth: l.Auth, Secret: l.Proof().Secret()}
	id := rand.Text() + "@localhost"
	now := time.Now()
	mail, err := securejoin.Compose(s, securejoin.Self{Addr: from}, securejoin.Env{Now: now, OuterDate: now, MessageID: id})
	r.must(err)
	ciphertext, err := pgp.EncryptSymmetric(mail.Inner, s.Secret, pgp.SymmetricOptions{Now: now})
	r.must(err)
	return pgp.JoinEncrypted(mail.Outer, ciphertext, rand.Text())
}

// fill puts older invites behind that of the link into the index of an account that does not run.
func (p *person) fill(r *run, n int) {
	wrapped, err := os.ReadFile(filepath.Join(p.dir, "data.key"))
	r.must(err)
	key, err := db.UnwrapKey(masterKey, wrapped)
	r.must(err)
	index, err := db.Open(r.ctx, filepath.Join(p.dir, "index.db"), key, db.Options{})
	r.must(err)
	defer index.Close()
	r.must(index.Update(r.ctx, func(tx *db.Tx) error {
		for range n {
			i, err := securejoin.NewInvite(rand.Reader, time.Now(), securejoin.InviteOptions{})
			if err != nil {
				return err
			}
			if _, err := tx.AddInvite(i); err != nil {
				return err
			}
		}
		return nil
	}))
}

// firstMail tells when an account begins to send.
type firstMail struct {
	mu   sync.Mutex
	user string
	at   chan time.Time
}

func (f *firstMail) expect(user string) <-chan time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.user, f.at = user, make(chan time.Time, 1)
	return f.at
}

func (f *firstMail) trace(c provider.Command) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c.Name == "MAIL" && c.User == f.user {
		f.at <- time.Now()
		f.user = ""
	}
}
