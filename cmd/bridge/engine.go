package main

import (
	"context"

	"mailbridge/account"
	"mailbridge/imapproxy"
	"mailbridge/smtpproxy"
)

// engine is what this program needs of an account. *account.Account is the one there is;
// tests put others in its place to show what happens when one fails.
type engine interface {
	imapproxy.Account
	smtpproxy.Submitter

	Run(ctx context.Context) error
	Ready(ctx context.Context) error
	Close() error

	Address() string
	Settings() account.Settings
	LocalPassword() string
	CheckPassword(user, password string) bool

	State(ctx context.Context) account.Status
	Invite(ctx context.Context, o account.InviteOptions) (account.Invite, error)
	Join(ctx context.Context, link string, o account.JoinOptions) (account.Join, error)
	WaitJoin(ctx context.Context, id string) (account.Join, error)
	Contacts(ctx context.Context) ([]account.Contact, error)
	Contact(ctx context.Context, address string) (account.Contact, error)
	AcceptKey(ctx context.Context, address, fingerprint string) (account.Contact, error)
	SetProviderPassword(ctx context.Context, password string) error
	OwnKey(ctx context.Context) (account.OwnKey, error)
	Check(ctx context.Context, recipients []string) ([]account.Check, error)
	Raw(ctx context.Context, mailbox string, uid uint32) ([]byte, error)
}

// maker opens and creates engines.
type maker struct {
	open   func(ctx context.Context, o account.Options) (engine, error)
	create func(ctx context.Context, o account.Options, s account.Settings, password string) (engine, error)
}

func accountMaker() maker {
	return maker{
		open: func(ctx context.Context, o account.Options) (engine, error) {
			a, err := account.Open(ctx, o)
			if err != nil {
				return nil, err // a nil *Account in an engine would not be nil
			}
			return a, nil
		},
		create: func(ctx context.Context, o account.Options, s account.Settings, password string) (engine, error) {
			a, err := account.Create(ctx, o, s, password)
			if err != nil {
				return nil, err
			}
			return a, nil
		},
	}
}
