// Package account is the engine and the policy of one account: what arrives is opened,
// checked and shown; what is submitted is encrypted, sent plain or refused; handshakes run
// by themselves. It owns the private key and every write.
//
// Invariants: an effect is a committed row before it is a packet; no network and no client
// socket inside a transaction; a failed decryption, a locked key or a missing secret never
// deletes or changes anything.
package account

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"mailbridge/autocrypt"
	"mailbridge/db"
	"mailbridge/message"
	"mailbridge/mirror"
	"mailbridge/pgp"
	"mailbridge/upstream"
)

// Options are what an account needs from the program around it. Dir and MasterKey must be set.
type Options struct {
	// Dir is the account's own directory, mode 0700.
	Dir string
	// MasterKey gives the key that wraps the account's data key.
	MasterKey func(ctx context.Context) ([32]byte, error)
	Log       *slog.Logger     // nil: none
	Now       func() time.Time // nil: time.Now
	// PollInterval is how often mailboxes other than INBOX are looked at; 0: the default.
	PollInterval time.Duration
	// SentGrace is how long a client may take to save its own copy of what it sent before
	// the bridge shows its copy; 0: 30 s.
	SentGrace time.Duration
	// SubmitWait is how long a client waits for the provider's verdict; 0: 60 s.
	SubmitWait time.Duration
	// Family are the accounts of the same program; nil: none.
	Family *Family
	// MaxBytes bounds the account's index on disk; 0: no bound.
	MaxBytes int64
}

const (
	sentGrace  = 30 * time.Second
	submitWait = 60 * time.Second
)

// Files of the account's directory.
const (
	indexFile   = "index.db"
	dataKeyFile = "data.key"
)

// Keys of db settings.
const (
	settingSettings      = "settings"
	settingPassword      = "provider_password"
	settingLocalPassword = "local_password"
	settingSecretKey     = "secret_key"
	settingSealTag       = "seal_tag_key"
	settingProviderSaves = "provider_saves_sent"
)

// Account is one open account. Its methods may be called from several goroutines.
type Account struct {
	options       Options
	log           *slog.Logger
	db            *db.DB
	mirror        *mirror.Mirror
	settings      Settings
	upstream      upstream.Config
	identity      atomic.Pointer[identity]
	shared        atomic.Bool // another device may use the account with the same key
	localPassword string
	tagKey        []byte
	trials        trials
	outbox        *outbox
	joins         *watchers

	closing sync.Once
}

// Create tests the login, makes the account's key and index in Options.Dir, and opens it.
// If anything fails nothing is kept.
func Create(ctx context.Context, o Options, s Settings, password string) (*Account, error) {
	s, err := s.normal()
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(o.Dir, indexFile)); err == nil {
		return nil, ErrExists
	}
	config, err := s.upstream(func(context.Context) (string, error) { return password, nil })
	if err != nil {
		return nil, err
	}
	if err := upstream.CheckLogin(ctx, config); err != nil {
		return nil, err
	}
	if err := create(ctx, o, s, password); err != nil {
		return nil, errors.Join(err, os.RemoveAll(o.Dir))
	}
	a, err := Open(ctx, o)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(o.Dir))
	}
	return a, nil
}

// create writes the account's files.
func create(ctx context.Context, o Options, s Settings, password string) error {
	master, err := o.MasterKey(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrLocked, err)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return err
	}
	data := db.NewKey()
	wrapped := db.WrapKey(master, data)
	if err := os.WriteFile(filepath.Join(o.Dir, dataKeyFile), wrapped, 0o600); err != nil {
		return err
	}
	index, err := db.Open(ctx, filepath.Join(o.Dir, indexFile), data, db.Options{MaxBytes: o.MaxBytes})
	if err != nil {
		return err
	}
	defer index.Close()
	key, err := pgp.Generate(s.Address, o.now())
	if err != nil {
		return err
	}
	secret, err := key.Serialize()
	if err != nil {
		return err
	}
	described, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return index.Update(ctx, func(tx *db.Tx) error {
		for name, value := range map[string][]byte{
			settingSettings:      described,
			settingPassword:      []byte(password),
			settingLocalPassword: []byte(randomWord()),
			settingSecretKey:     secret,
			settingSealTag:       randomKey(),
		} {
			if err := tx.SetSetting(name, value); err != nil {
				return err
			}
		}
		return nil
	})
}

// Open opens an account that Create made. Without its key it is ErrLocked, and nothing changes.
func Open(ctx context.Context, o Options) (*Account, error) {
	data, err := dataKey(ctx, o)
	if err != nil {
		return nil, err
	}
	index, err := db.Open(ctx, filepath.Join(o.Dir, indexFile), data, db.Options{MaxBytes: o.MaxBytes})
	if errors.Is(err, db.ErrLocked) {
		return nil, fmt.Errorf("%w: %w", ErrLocked, err)
	}
	if err != nil {
		return nil, err
	}
	a := &Account{options: o, log: o.log(), db: index, joins: newWatchers()}
	if err := a.prepare(ctx); err != nil {
		return nil, errors.Join(err, index.Close())
	}
	o.Family.join(a)
	return a, nil
}

// dataKey unwraps the account's data key.
func dataKey(ctx context.Context, o Options) (db.Key, error) {
	wrapped, err := os.ReadFile(filepath.Join(o.Dir, dataKeyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return db.Key{}, fmt.Errorf("%w: no account in %s", ErrNotFound, o.Dir)
	}
	if err != nil {
		return db.Key{}, err
	}
	master, err := o.MasterKey(ctx)
	if err != nil {
		return db.Key{}, fmt.Errorf("%w: %w", ErrLocked, err)
	}
	key, err := db.UnwrapKey(master, wrapped)
	if err != nil {
		return db.Key{}, fmt.Errorf("%w: %w", ErrLocked, err)
	}
	return key, nil
}

// prepare reads what is sealed in the index and wires the parts.
func (a *Account) prepare(ctx context.Context) error {
	var secret []byte
	var others devices
	var former []*pgp.Key
	var eras []era
	err := a.db.View(ctx, func(tx *db.Tx) error {
		described, err := tx.Setting(settingSettings)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(described, &a.settings); err != nil {
			return err
		}
		local, err := tx.Setting(settingLocalPassword)
		if err != nil {
			return err
		}
		a.localPassword = string(local)
		if a.tagKey, err = tx.Setting(settingSealTag); err != nil {
			return err
		}
		if others, err = readDevices(tx); err != nil {
			return err
		}
		if former, eras, err = formerKeys(tx); err != nil {
			return err
		}
		secret, err = tx.Setting(settingSecretKey)
		return err
	})
	if err != nil {
		return err
	}
	key, err := pgp.ParseKey(secret)
	if err != nil {
		return err
	}
	a.identity.Store(newIdentity(a.settings, key, former, eras))
	if a.upstream, err = a.settings.upstream(a.providerPassword); err != nil {
		return err
	}
	a.upstream.Log = a.log
	a.outbox = newOutbox(a)
	a.mirror, err = mirror.New(ctx, a.db, a.upstream, ingester{a}, mirror.Options{
		Log:          a.log,
		PollInterval: a.options.PollInterval,
		Note:         func(tx *db.Tx, subject, text string) error { return a.leave(tx, note{subject, text}) },
		Contains:     message.Contains,
		Now:          a.options.Now,
	})
	if err == nil && others.Possible {
		a.shareAccount()
	}
	return err
}

func (a *Account) providerPassword(ctx context.Context) (string, error) {
	var password []byte
	err := a.db.View(ctx, func(tx *db.Tx) (err error) {
		password, err = tx.Setting(settingPassword)
		return err
	})
	return string(password), err
}

// SetProviderPassword replaces the provider's password, once the provider has taken it. If it
// does not, nothing changes.
func (a *Account) SetProviderPassword(ctx context.Context, password string) error {
	config := a.upstream
	config.Password = func(context.Context) (string, error) { return password, nil }
	if err := upstream.CheckLogin(ctx, config); err != nil {
		return err
	}
	err := a.db.Update(ctx, func(tx *db.Tx) error { return tx.SetSetting(settingPassword, []byte(password)) })
	if err != nil {
		return err
	}
	a.mirror.Wake()
	a.outbox.kick()
	return nil
}

// Run is the account's life with its provider. It returns when ctx ends, or earlier with an
// error that only a person can mend.
func (a *Account) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var parts sync.WaitGroup
	for _, part := range []func(context.Context) error{a.mirror.Run, a.outbox.run, a.keepHouse} {
		parts.Go(func() {
			if err := part(ctx); err != nil && ctx.Err() == nil {
				cancel(err)
			}
		})
	}
	parts.Wait()
	return context.Cause(ctx)
}

// Ready waits until a client can log in and list.
func (a *Account) Ready(ctx context.Context) error { return a.mirror.Ready(ctx) }

// Close closes the index. Run must have returned.
func (a *Account) Close() error {
	var err error
	a.closing.Do(func() {
		a.options.Family.leave(a)
		err = a.db.Close()
	})
	return err
}

// Address is the account's address.
func (a *Account) Address() string { return a.settings.Address }

// Settings are what the account was added with.
func (a *Account) Settings() Settings { return a.settings }

// LocalPassword is what a mail client logs in with.
func (a *Account) LocalPassword() string { return a.localPassword }

// CheckPassword reports whether a mail client may log in. It takes the same time for every
// password.
func (a *Account) CheckPassword(user, password string) bool {
	right := subtle.ConstantTimeCompare([]byte(password), []byte(a.localPassword)) == 1
	return right && a.own(user)
}

// own reports whether an address is the account's.
func (a *Account) own(addr string) bool {
	return message.CanonicalAddr(addr) == a.settings.Address
}

func (a *Account) now() time.Time { return a.options.now() }

func (o Options) now() time.Time {
	if o.Now == nil {
		return time.Now()
	}
	return o.Now()
}

func (o Options) log() *slog.Logger {
	if o.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return o.Log
}

// normal checks the settings and fills in what was left out.
func (s Settings) normal() (Settings, error) {
	addr := message.CanonicalAddr(s.Address)
	if at := strings.LastIndexByte(addr, '@'); at < 1 || at == len(addr)-1 || strings.ContainsAny(addr, " \t\r\n<>,;") {
		return s, badData(nil, "%q is not a mail address", s.Address)
	}
	s.Address = addr
	if s.Login == "" {
		s.Login = s.Address
	}
	if s.PreferEncrypt == "" {
		s.PreferEncrypt = autocrypt.Mutual.String()
	}
	if s.CAFile == "" {
		return s, nil
	}
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		return s, badData(err, "the certificate file cannot be read: %v", err)
	}
	s.CA = pem
	return s, nil
}

// upstream gives the provider's servers as package upstream wants them.
func (s Settings) upstream(password func(context.Context) (string, error)) (upstream.Config, error) {
	config := upstream.Config{
		IMAP: s.IMAP.endpoint(), SMTP: s.SMTP.endpoint(),
		Username: s.Login, Password: password,
	}
	if len(s.CA) == 0 {
		return config, nil
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(s.CA) {
		return config, badData(nil, "%s holds no certificate", s.CAFile)
	}
	config.RootCAs = roots
	return config, nil
}

func (s Server) endpoint() upstream.Endpoint {
	e := upstream.Endpoint{Host: s.Host, Port: s.Port, TLS: upstream.ImplicitTLS}
	if s.TLS == "starttls" {
		e.TLS = upstream.StartTLS
	}
	return e
}

// randomWord makes a password of 128 bits that is easy to copy.
func randomWord() string {
	var b [16]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func randomKey() []byte {
	key := db.NewKey()
	return key[:]
}
