package main

import (
	"context"
	"time"

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
	SetProviderPassword(ctx context.Context, password string) error
	Check(ctx context.Context, recipients []string) ([]account.Check, error)
	Raw(ctx context.Context, mailbox string, uid uint32) ([]byte, error)

	inviter
	keeper
	grouper
	channeler
}

// inviter makes and joins invites.
type inviter interface {
	Invite(ctx context.Context, o account.InviteOptions) (account.Invite, error)
	Invites(ctx context.Context) ([]account.Invite, error)
	RevokeInvite(ctx context.Context, id string) (account.Invite, error)
	ReviveInvite(ctx context.Context, idOrLink string) (account.Invite, error)
	AcceptJoiner(ctx context.Context, id, address string) (account.Invite, error)

	Join(ctx context.Context, link string, o account.JoinOptions) (account.Join, error)
	WaitJoin(ctx context.Context, id string) (account.Join, error)
	Joins(ctx context.Context) ([]account.Join, error)
	CancelJoin(ctx context.Context, id string) (account.Join, error)
}

// keeper keeps keys: those of contacts, and the account's own.
type keeper interface {
	Contacts(ctx context.Context) ([]account.Contact, error)
	Contact(ctx context.Context, address string) (account.Contact, error)
	VerifyContact(ctx context.Context, address, fingerprint, way string) (account.Verification, error)
	AcceptKey(ctx context.Context, address, fingerprint string) (account.Contact, error)
	ResetContact(ctx context.Context, address string) (account.Contact, error)
	BlockContact(ctx context.Context, address string, on bool) (account.Contact, error)

	OwnKey(ctx context.Context) (account.OwnKey, error)
	ImportKey(ctx context.Context, armored, passphrase []byte) (account.OwnKey, error)
	ExportKey(ctx context.Context, secret bool) (account.OwnKey, error)
}

// grouper keeps groups. They are named by id, local address, or a name that only one has.
type grouper interface {
	Groups(ctx context.Context) ([]account.Group, error)
	CreateGroup(ctx context.Context, name string) (account.Group, error)
	GroupMembers(ctx context.Context, group string) ([]account.Member, error)
	AddMember(ctx context.Context, group, address string) (account.Group, error)
	RemoveMember(ctx context.Context, group, address string) (account.Group, error)
	RenameGroup(ctx context.Context, group, name string) (account.Group, error)
	LeaveGroup(ctx context.Context, group string) (account.Group, error)
	SetGroupEncryption(ctx context.Context, group, mode string) (account.Group, error)
}

// channeler keeps channels, named as groups are.
type channeler interface {
	Channels(ctx context.Context) ([]account.Channel, error)
	CreateChannel(ctx context.Context, name string) (account.Channel, error)
	Subscribers(ctx context.Context, channel string) ([]account.Member, error)
	RemoveSubscriber(ctx context.Context, channel, address string) (account.Channel, error)
	LeaveChannel(ctx context.Context, channel string) (account.Channel, error)
	RotateChannel(ctx context.Context, channel string, every *time.Duration) (account.Channel, error)
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
