package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mailbridge/account"
	"mailbridge/pgp"
	"mailbridge/web"
)

// Arguments of the commands about invites, joins, contacts, groups, channels and keys.
type (
	inviteArgs struct {
		accountArgs
		account.InviteOptions
	}
	idArgs struct {
		accountArgs
		ID string `json:"id"`
	}
	acceptJoinerArgs struct {
		accountArgs
		ID      string `json:"id"`
		Address string `json:"address"`
	}
	joinArgs struct {
		accountArgs
		Link string `json:"link"`
		account.JoinOptions
	}
	contactArgs struct {
		accountArgs
		Address string `json:"address"`
	}
	keyOfArgs struct {
		accountArgs
		Address     string `json:"address"`
		Fingerprint string `json:"fingerprint"`
	}
	verifyArgs struct {
		keyOfArgs
		Way string `json:"way"` // how the link will be handed over
	}
	blockArgs struct {
		accountArgs
		Address string `json:"address"`
		On      bool   `json:"on"`
	}
	nameArgs struct {
		accountArgs
		Name string `json:"name"`
	}
	chatArgs struct {
		accountArgs
		Chat string `json:"chat"` // a group or channel
	}
	memberArgs struct {
		accountArgs
		Chat    string `json:"chat"`
		Address string `json:"address"`
	}
	renameArgs struct {
		accountArgs
		Chat string `json:"chat"`
		Name string `json:"name"`
	}
	modeArgs struct {
		accountArgs
		Chat string `json:"chat"`
		Mode string `json:"mode"`
	}
	rotateArgs struct {
		accountArgs
		Chat  string         `json:"chat"`
		Every *time.Duration `json:"every"` // null: once, now; 0: not by time
	}
	exportArgs struct {
		accountArgs
		Secret bool `json:"secret"`
	}
	importArgs struct {
		accountArgs
		Armored    []byte `json:"armored"`
		Passphrase []byte `json:"passphrase"`
	}
)

// importReply is the imported key, or says that it needs a passphrase.
type importReply struct {
	Key    account.OwnKey `json:"key"`
	Locked bool           `json:"locked"`
}

// accounted are arguments that name an account.
type accounted interface{ account() string }

func (a accountArgs) account() string { return a.Account }

// on makes a command of what an engine does.
func on[Args accounted, Reply any](b *bridge, run func(context.Context, engine, Args) (Reply, error)) func(context.Context, Args) (Reply, error) {
	return func(ctx context.Context, args Args) (Reply, error) {
		e, err := b.accounts.get(ctx, args.account())
		if err != nil {
			var none Reply
			return none, err
		}
		return run(ctx, e, args)
	}
}

// listed makes a command of what an engine lists: [] where there is nothing, not null.
func listed[Args accounted, T any](b *bridge, run func(context.Context, engine, Args) ([]T, error)) func(context.Context, Args) ([]T, error) {
	return on(b, func(ctx context.Context, e engine, args Args) ([]T, error) {
		list, err := run(ctx, e, args)
		return append([]T{}, list...), err
	})
}

func (b *bridge) handleInvites(t *web.Table) {
	web.Handle(t, "invite", on(b, func(ctx context.Context, e engine, args inviteArgs) (account.Invite, error) {
		return e.Invite(ctx, args.InviteOptions)
	}))
	web.Handle(t, "invite.list", listed(b, func(ctx context.Context, e engine, _ accountArgs) ([]account.Invite, error) {
		return e.Invites(ctx)
	}))
	web.Handle(t, "invite.revoke", on(b, func(ctx context.Context, e engine, args idArgs) (account.Invite, error) {
		return e.RevokeInvite(ctx, args.ID)
	}))
	web.Handle(t, "invite.revive", on(b, func(ctx context.Context, e engine, args idArgs) (account.Invite, error) {
		return e.ReviveInvite(ctx, args.ID)
	}))
	web.Handle(t, "invite.accept", on(b, func(ctx context.Context, e engine, args acceptJoinerArgs) (account.Invite, error) {
		return e.AcceptJoiner(ctx, args.ID, args.Address)
	}))
	web.Handle(t, "join", on(b, func(ctx context.Context, e engine, args joinArgs) (account.Join, error) {
		return e.Join(ctx, args.Link, args.JoinOptions)
	}))
	web.Handle(t, "join.wait", b.joinWait)
	web.Handle(t, "join.list", listed(b, func(ctx context.Context, e engine, _ accountArgs) ([]account.Join, error) {
		return e.Joins(ctx)
	}))
	web.Handle(t, "join.cancel", on(b, func(ctx context.Context, e engine, args idArgs) (account.Join, error) {
		return e.CancelJoin(ctx, args.ID)
	}))
}

func (b *bridge) joinWait(ctx context.Context, args idArgs) (account.Join, error) {
	e, err := b.accounts.active(ctx, args.Account)
	if err != nil {
		return account.Join{}, err
	}
	return e.WaitJoin(ctx, args.ID)
}

func (b *bridge) handleContacts(t *web.Table) {
	web.Handle(t, "contacts", listed(b, func(ctx context.Context, e engine, _ accountArgs) ([]account.Contact, error) {
		return e.Contacts(ctx)
	}))
	web.Handle(t, "contact.show", on(b, func(ctx context.Context, e engine, args contactArgs) (account.Contact, error) {
		return e.Contact(ctx, args.Address)
	}))
	web.Handle(t, "contact.verify", on(b, func(ctx context.Context, e engine, args verifyArgs) (account.Verification, error) {
		return e.VerifyContact(ctx, args.Address, args.Fingerprint, args.Way)
	}))
	web.Handle(t, "contact.accept", on(b, func(ctx context.Context, e engine, args keyOfArgs) (account.Contact, error) {
		return e.AcceptKey(ctx, args.Address, args.Fingerprint)
	}))
	web.Handle(t, "contact.reset", on(b, func(ctx context.Context, e engine, args contactArgs) (account.Contact, error) {
		return e.ResetContact(ctx, args.Address)
	}))
	web.Handle(t, "contact.block", on(b, func(ctx context.Context, e engine, args blockArgs) (account.Contact, error) {
		return e.BlockContact(ctx, args.Address, args.On)
	}))
}

func (b *bridge) handleGroups(t *web.Table) {
	web.Handle(t, "group.list", listed(b, func(ctx context.Context, e engine, _ accountArgs) ([]account.Group, error) {
		return e.Groups(ctx)
	}))
	web.Handle(t, "group.show", on(b, func(ctx context.Context, e engine, args chatArgs) (account.Group, error) {
		list, err := e.Groups(ctx)
		if err != nil {
			return account.Group{}, err
		}
		return findGroup(list, args.Chat)
	}))
	web.Handle(t, "group.create", on(b, func(ctx context.Context, e engine, args nameArgs) (account.Group, error) {
		return e.CreateGroup(ctx, args.Name)
	}))
	web.Handle(t, "group.members", listed(b, func(ctx context.Context, e engine, args chatArgs) ([]account.Member, error) {
		return e.GroupMembers(ctx, args.Chat)
	}))
	web.Handle(t, "group.add", on(b, func(ctx context.Context, e engine, args memberArgs) (account.Group, error) {
		return e.AddMember(ctx, args.Chat, args.Address)
	}))
	web.Handle(t, "group.remove", on(b, func(ctx context.Context, e engine, args memberArgs) (account.Group, error) {
		return e.RemoveMember(ctx, args.Chat, args.Address)
	}))
	web.Handle(t, "group.rename", on(b, func(ctx context.Context, e engine, args renameArgs) (account.Group, error) {
		return e.RenameGroup(ctx, args.Chat, args.Name)
	}))
	web.Handle(t, "group.leave", on(b, func(ctx context.Context, e engine, args chatArgs) (account.Group, error) {
		return e.LeaveGroup(ctx, args.Chat)
	}))
	web.Handle(t, "group.encryption", on(b, func(ctx context.Context, e engine, args modeArgs) (account.Group, error) {
		return e.SetGroupEncryption(ctx, args.Chat, args.Mode)
	}))
}

// findGroup finds a group by its id or address, or by a name that only one has.
func findGroup(list []account.Group, name string) (account.Group, error) {
	name = strings.TrimSpace(name) // see shieldIDs
	var named []account.Group
	for _, g := range list {
		switch {
		case g.ID == name, canonical(g.Address) == canonical(name) && canonical(name) != "":
			return g, nil
		case g.Name == name:
			named = append(named, g)
		}
	}
	switch len(named) {
	case 0:
		return account.Group{}, fmt.Errorf("%w: no group %s", account.ErrNotFound, name)
	case 1:
		return named[0], nil
	}
	return account.Group{}, refuse(exitData, "several groups are called %s\nname one by its id; see bridge group list", quoted(name))
}

func (b *bridge) handleChannels(t *web.Table) {
	web.Handle(t, "channel.list", listed(b, func(ctx context.Context, e engine, _ accountArgs) ([]account.Channel, error) {
		return e.Channels(ctx)
	}))
	web.Handle(t, "channel.create", on(b, func(ctx context.Context, e engine, args nameArgs) (account.Channel, error) {
		return e.CreateChannel(ctx, args.Name)
	}))
	web.Handle(t, "channel.subscribers", listed(b, func(ctx context.Context, e engine, args chatArgs) ([]account.Member, error) {
		return e.Subscribers(ctx, args.Chat)
	}))
	web.Handle(t, "channel.remove", on(b, func(ctx context.Context, e engine, args memberArgs) (account.Channel, error) {
		return e.RemoveSubscriber(ctx, args.Chat, args.Address)
	}))
	web.Handle(t, "channel.leave", on(b, func(ctx context.Context, e engine, args chatArgs) (account.Channel, error) {
		return e.LeaveChannel(ctx, args.Chat)
	}))
	web.Handle(t, "channel.rotate", on(b, func(ctx context.Context, e engine, args rotateArgs) (account.Channel, error) {
		return e.RotateChannel(ctx, args.Chat, args.Every)
	}))
}

func (b *bridge) handleKeys(t *web.Table) {
	web.Handle(t, "key.show", on(b, func(ctx context.Context, e engine, _ accountArgs) (account.OwnKey, error) {
		return e.OwnKey(ctx)
	}))
	web.Handle(t, "key.export", on(b, func(ctx context.Context, e engine, args exportArgs) (account.OwnKey, error) {
		return e.ExportKey(ctx, args.Secret)
	}))
	web.Handle(t, "key.import", on(b, func(ctx context.Context, e engine, args importArgs) (importReply, error) {
		key, err := e.ImportKey(ctx, args.Armored, args.Passphrase)
		if errors.Is(err, pgp.ErrLocked) {
			return importReply{Locked: true}, nil
		}
		return importReply{Key: key}, err
	}))
}

// maxAsking bounds what status lists by name: whoever has a link can make many ask.
const maxAsking = 5

// joining adds to an account's status who waits for the user, and what the user waits for.
func joining(ctx context.Context, e engine, s account.Status) accountStatus {
	status := accountStatus{Status: s}
	invites, err := e.Invites(ctx)
	joins, jerr := e.Joins(ctx)
	if err = errors.Join(err, jerr); err != nil {
		status.Warnings = append(status.Warnings, clean(classify(err).Text))
		return status
	}
	for _, i := range invites {
		for _, who := range i.Asking {
			if status.JoinersWaiting++; status.JoinersWaiting <= maxAsking {
				status.Warnings = append(status.Warnings, waiting(i, who))
			}
		}
	}
	if more := status.JoinersWaiting - maxAsking; more > 0 {
		status.Warnings = append(status.Warnings, fmt.Sprintf("%d more wait: bridge invite list", more))
	}
	for _, j := range joins {
		if j.State == account.JoinPending {
			status.JoinsPending++
		}
	}
	return status
}

// accountStatus is an account's part of `status --json`.
type accountStatus struct {
	account.Status
	JoinersWaiting int `json:"joiners_waiting"` // for bridge invite accept
	JoinsPending   int `json:"joins_pending"`
}
