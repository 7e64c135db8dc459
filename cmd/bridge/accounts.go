package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"mailbridge/account"
	"mailbridge/imapproxy"
	"mailbridge/mailbox"
	"mailbridge/message"
	"mailbridge/smtpproxy"
)

// accounts are the accounts of one home. In the service each has a slot whose
// goroutine keeps it running; in a command that works by itself an account is opened
// when it is needed. Who has an accounts value holds the lock of the home.
type accounts struct {
	dirs dirs
	log  *slog.Logger
	make maker
	// family lets what one account opened be known to the others.
	family *account.Family
	ctx    context.Context // ends everything
	stop   context.CancelFunc
	wg     sync.WaitGroup

	serving bool          // this is the service
	ready   time.Duration // how long an account may take to be ready

	adding sync.Mutex // one `account add` at a time
	mu     sync.Mutex
	slots  map[string]*slot // by address
	known  []string         // every account of the home, also one that is not served
}

// slot is the place of one account.
type slot struct {
	address string
	opened  chan struct{} // closed after the first attempt to open
	settled chan struct{} // closed when it is ready, or has failed
	once    struct{ opened, settled sync.Once }

	mu      sync.Mutex
	engine  engine // nil while it is not open
	err     error  // why it is not open
	started bool   // commands that work by themselves: Run was called
}

// retryAfter is the pause before an account that failed is opened again: its disk may
// have room again, its key may be back. Trouble with the provider never comes here.
const retryAfter = 30 * time.Second

func newAccounts(d dirs, log *slog.Logger, m maker) (*accounts, error) {
	known, err := d.addresses()
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	return &accounts{dirs: d, log: log, make: m, family: account.NewFamily(), ctx: ctx, stop: stop, slots: map[string]*slot{}, known: known}, nil
}

func (a *accounts) options(dir string) account.Options {
	return account.Options{Dir: dir, MasterKey: a.dirs.masterKey, Log: a.log, Family: a.family}
}

// close ends all engines and waits for them.
func (a *accounts) close() {
	a.stop()
	a.wg.Wait()
	for _, s := range a.list() {
		if e, _ := s.get(); e != nil {
			if err := e.Close(); err != nil {
				a.log.Error("closing the account failed", "account", s.address, "error", err)
			}
		}
	}
}

// serve starts the accounts: all, or only those named.
func (a *accounts) serve(only []string) error {
	a.serving = true
	for _, name := range only {
		if !slices.Contains(a.known, canonical(name)) {
			return noAccount(name)
		}
	}
	for _, address := range a.known {
		if len(only) == 0 || slices.ContainsFunc(only, func(o string) bool { return canonical(o) == address }) {
			a.start(address)
		}
	}
	return nil
}

// start gives an account a slot and keeps it running.
func (a *accounts) start(address string) *slot {
	s := &slot{address: address, opened: make(chan struct{}), settled: make(chan struct{})}
	a.mu.Lock()
	a.slots[address] = s
	a.mu.Unlock()
	a.wg.Go(func() { a.supervise(s) })
	return s
}

// supervise runs an account until the end, and again after it has failed. The others do
// not notice.
func (a *accounts) supervise(s *slot) {
	for {
		err := a.run(s)
		if a.ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("the account's engine ended")
		}
		s.fail(err)
		a.log.Error("the account failed; it is tried again", "account", s.address, "error", clean(err.Error()), "after", retryAfter)
		select {
		case <-a.ctx.Done():
			return
		case <-time.After(retryAfter):
		}
	}
}

// run opens an account and runs it to its end.
func (a *accounts) run(s *slot) error {
	e, err := a.make.open(a.ctx, a.options(a.dirs.account(s.address)))
	if err != nil {
		return err
	}
	s.set(e)
	ctx, cancel := context.WithCancel(a.ctx)
	a.wg.Go(func() {
		if e.Ready(ctx) == nil {
			s.once.settled.Do(func() { close(s.settled) })
		}
	})
	err = e.Run(ctx)
	cancel()
	s.set(nil)
	return errors.Join(err, e.Close())
}

func (s *slot) set(e engine) {
	s.mu.Lock()
	s.engine, s.err = e, nil
	s.mu.Unlock()
	s.once.opened.Do(func() { close(s.opened) })
}

func (s *slot) fail(err error) {
	s.mu.Lock()
	s.engine, s.err = nil, err
	s.mu.Unlock()
	s.once.opened.Do(func() { close(s.opened) })
	s.once.settled.Do(func() { close(s.settled) })
}

// get gives the engine, or says why there is none.
func (s *slot) get() (engine, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.engine == nil && s.err == nil {
		return nil, refuse(exitTemporary, "the account %s is being started or stopped", s.address)
	}
	return s.engine, s.err
}

// waitSettled waits until every account is ready or has failed, but not for long: a
// provider that is down must not keep the other accounts from their clients.
func (a *accounts) waitSettled(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, a.ready)
	defer cancel()
	for _, s := range a.list() {
		select {
		case <-s.settled:
		case <-ctx.Done():
			a.log.Warn("the account is not ready yet; the others do not wait for it", "account", s.address)
		}
	}
}

func (a *accounts) list() []*slot {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make([]*slot, 0, len(a.slots))
	for _, address := range a.known {
		if s := a.slots[address]; s != nil {
			list = append(list, s)
		}
	}
	return list
}

// canonical is how addresses are compared here, and what an account's directory is
// called by.
func canonical(address string) string { return message.CanonicalAddr(address) }

// choose gives the account that a command means: the one it names, or the only one.
func (a *accounts) choose(name string) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case name != "":
		if !slices.Contains(a.known, canonical(name)) {
			return "", noAccount(name)
		}
		return canonical(name), nil
	case len(a.known) == 0:
		return "", refuse(exitNoInput, "there is no account yet\nadd one with bridge account add ADDRESS --imap HOST:PORT --smtp HOST:PORT")
	case len(a.known) > 1:
		return "", refuse(exitUsage, "there are several accounts: %s\nchoose one with --account ADDRESS", strings.Join(a.known, ", "))
	}
	return a.known[0], nil
}

func noAccount(name string) error {
	return refuse(exitNoInput, "there is no account %s\nsee bridge account list", name)
}

// get gives the engine of the account that a command means.
func (a *accounts) get(ctx context.Context, name string) (engine, error) {
	s, err := a.slot(ctx, name)
	if err != nil {
		return nil, err
	}
	return s.get()
}

// active is get for commands that need the provider: the engine runs.
func (a *accounts) active(ctx context.Context, name string) (engine, error) {
	s, err := a.slot(ctx, name)
	if err != nil {
		return nil, err
	}
	e, err := s.get()
	if err != nil || a.serving {
		return e, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started {
		s.started = true
		a.wg.Go(func() {
			if err := e.Run(a.ctx); err != nil && a.ctx.Err() == nil {
				a.log.Error("the account failed", "account", s.address, "error", clean(err.Error()))
			}
		})
	}
	return e, nil
}

func (a *accounts) slot(ctx context.Context, name string) (*slot, error) {
	address, err := a.choose(name)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	s := a.slots[address]
	a.mu.Unlock()
	switch {
	case s != nil:
		select {
		case <-s.opened:
			return s, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	case a.serving:
		return nil, refuse(exitUnavailable, "the running bridge does not serve %s: it was started with --account", address)
	}
	return a.openOnce(ctx, address)
}

// openOnce opens an account for a command that works by itself.
func (a *accounts) openOnce(ctx context.Context, address string) (*slot, error) {
	e, err := a.make.open(ctx, a.options(a.dirs.account(address)))
	if err != nil {
		return nil, err
	}
	s := &slot{address: address, opened: make(chan struct{}), settled: make(chan struct{})}
	s.set(e)
	a.mu.Lock()
	a.slots[address] = s
	a.mu.Unlock()
	return s, nil
}

// add creates an account. It is made in a directory of another name, which gets its
// own in one step: whatever goes wrong on the way, nothing is kept.
func (a *accounts) add(ctx context.Context, s account.Settings, password string) (engine, error) {
	a.adding.Lock()
	defer a.adding.Unlock()
	address := canonical(s.Address)
	if _, err := a.choose(address); err == nil {
		return nil, refuse(exitUsage, "the account %s is there already\nsee bridge account settings %s", address, address)
	}
	if err := a.dirs.ensureMasterKey(ctx); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(a.dirs.accounts(), newPrefix) // mode 0700
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) // nothing is there any more if all went well
	e, err := a.make.create(ctx, a.options(dir), s, password)
	if err != nil {
		return nil, err
	}
	if err := e.Close(); err != nil {
		return nil, err
	}
	if err := os.Rename(dir, a.dirs.account(address)); err != nil {
		return nil, err
	}
	if err := syncDir(a.dirs.accounts()); err != nil {
		return nil, err
	}
	return a.admit(ctx, address)
}

// admit makes a new account known, and in the service starts it.
func (a *accounts) admit(ctx context.Context, address string) (engine, error) {
	a.mu.Lock()
	a.known = append(a.known, address)
	slices.Sort(a.known)
	a.mu.Unlock()
	if !a.serving {
		return a.get(ctx, address)
	}
	s := a.start(address)
	ctx, cancel := context.WithTimeout(ctx, a.ready)
	defer cancel()
	select {
	case <-s.settled:
	case <-ctx.Done(): // it goes on by itself; its settings are known
	}
	return a.get(a.ctx, address)
}

// login finds the account that a login name and a local password open.
func (a *accounts) login(user, password string) (engine, error) {
	wrong := mailbox.Errorf(mailbox.CodeAuthentication, "wrong user name or password; bridge account settings shows them")
	for _, s := range a.list() {
		e, err := s.get()
		if err != nil {
			if canonical(user) == s.address {
				return nil, &mailbox.Error{Code: mailbox.CodeUnavailable, Text: "the account cannot be opened; see bridge status", Err: err}
			}
			continue
		}
		if e.CheckPassword(user, password) {
			return e, nil
		}
	}
	return nil, wrong
}

// imapBackend and smtpBackend let the local servers find accounts.
type imapBackend struct{ *accounts }

func (b imapBackend) Login(_ context.Context, user, password string) (imapproxy.Account, error) {
	return b.login(user, password)
}

type smtpBackend struct{ *accounts }

func (b smtpBackend) Login(_ context.Context, user, password string) (smtpproxy.Submitter, error) {
	e, err := b.login(user, password)
	if refusal, ok := errors.AsType[*mailbox.Error](err); ok && refusal.Code == mailbox.CodeUnavailable {
		return nil, notNow{refusal, refusal.Text}
	}
	return e, err
}

// notNow is a login that is refused for another reason than the password.
type notNow struct {
	error
	text string
}

// SMTPStatus is RFC 4954, section 6: the client should try again, not ask for a password.
func (e notNow) SMTPStatus() (code int, enhanced [3]int, text string) {
	return 454, [3]int{4, 7, 0}, e.text
}

// addresses lists every account of the home.
func (a *accounts) addresses() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.known)
}
