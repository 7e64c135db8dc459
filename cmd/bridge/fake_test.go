package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"mailbridge/account"
	"mailbridge/pgp"
)

// evil is a name as a stranger may choose it.
const evil = "Eve\x1b[2J\u202e\n\tX"

const someKey = pgp.Fingerprint("0123456789ABCDEF0123456789ABCDEF01234567")

// deskEngine notes what the commands ask of it, and answers with what strangers may have
// put into an account.
type deskEngine struct {
	fakeEngine
	mu      sync.Mutex
	calls   []string
	invites []account.Invite
	joins   []account.Join
	contact account.Contact
	locked  string // the passphrase that opens the imported key; empty: none is needed
	err     error  // every answer
}

// note keeps a call and gives the error that it is to end with.
func (e *deskEngine) note(name string, args ...any) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, arg := range args {
		if d, ok := arg.(*time.Duration); ok && d != nil {
			args[i] = *d
		}
	}
	e.calls = append(e.calls, strings.TrimSpace(name+" "+strings.TrimSuffix(fmt.Sprintln(args...), "\n")))
	return e.err
}

// take gives the calls since the last time.
func (e *deskEngine) take() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	calls := e.calls
	e.calls = nil
	return calls
}

func (e *deskEngine) invite() account.Invite {
	later := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	return account.Invite{
		ID: "7", Link: someLink, Kind: "group", GroupName: evil, State: "live", ExpiresAt: &later, Once: true, Ask: true,
		For: alice, Way: "shown", Uses: []account.InviteJoiner{{Address: bob, Name: evil, At: later}},
		Asking: []account.InviteJoiner{{Address: "carol" + evil + "@example.org", Name: evil, Fingerprint: someKey, At: later}},
	}
}

func (e *deskEngine) Invite(_ context.Context, o account.InviteOptions) (account.Invite, error) {
	expires := "as usual"
	if o.Expires != nil {
		expires = o.Expires.String()
	}
	return e.invite(), e.note("Invite", o.Group, o.Channel, expires, o.Once, o.Ask, o.Shared, o.Legacy, o.Way)
}
func (e *deskEngine) Invites(context.Context) ([]account.Invite, error) {
	return e.invites, e.err
}
func (e *deskEngine) RevokeInvite(_ context.Context, id string) (account.Invite, error) {
	return e.invite(), e.note("RevokeInvite", id)
}
func (e *deskEngine) ReviveInvite(_ context.Context, id string) (account.Invite, error) {
	return e.invite(), e.note("ReviveInvite", id)
}
func (e *deskEngine) AcceptJoiner(_ context.Context, id, address string) (account.Invite, error) {
	return e.invite(), e.note("AcceptJoiner", id, address)
}

func (e *deskEngine) join(state string) account.Join {
	return account.Join{ID: "3", Address: bob, Name: evil, Fingerprint: someKey, Kind: "group", GroupName: evil, State: state, Reason: evil, Way: "shown"}
}
func (e *deskEngine) Join(_ context.Context, link string, o account.JoinOptions) (account.Join, error) {
	return e.join(account.JoinPending), e.note("Join", link, o.Replace, o.Way)
}
func (e *deskEngine) WaitJoin(_ context.Context, id string) (account.Join, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.joins[0], nil
}
func (e *deskEngine) Joins(context.Context) ([]account.Join, error) { return e.joins, e.err }
func (e *deskEngine) CancelJoin(_ context.Context, id string) (account.Join, error) {
	return e.join(account.JoinFailed), e.note("CancelJoin", id)
}

func (e *deskEngine) Contacts(context.Context) ([]account.Contact, error) {
	return []account.Contact{e.contact}, e.err
}
func (e *deskEngine) Contact(context.Context, string) (account.Contact, error) {
	return e.contact, e.err
}
func (e *deskEngine) VerifyContact(_ context.Context, address, fingerprint, way string) (account.Verification, error) {
	v := account.Verification{Contact: e.contact}
	if fingerprint == "" {
		i := e.invite()
		v.Invite = &i
	}
	return v, e.note("VerifyContact", address, fingerprint, way)
}
func (e *deskEngine) AcceptKey(_ context.Context, address, fingerprint string) (account.Contact, error) {
	return e.contact, e.note("AcceptKey", address, fingerprint)
}
func (e *deskEngine) ResetContact(_ context.Context, address string) (account.Contact, error) {
	return e.contact, e.note("ResetContact", address)
}
func (e *deskEngine) BlockContact(_ context.Context, address string, on bool) (account.Contact, error) {
	return e.contact, e.note("BlockContact", address, on)
}

func (e *deskEngine) ImportKey(_ context.Context, armored, passphrase []byte) (account.OwnKey, error) {
	switch {
	case e.locked == string(passphrase):
	case len(passphrase) == 0:
		return account.OwnKey{}, fmt.Errorf("import: %w", pgp.ErrLocked)
	default:
		return account.OwnKey{}, &account.BadData{Text: "wrong", Err: pgp.ErrPassphrase}
	}
	return account.OwnKey{Address: alice, Fingerprint: someKey}, e.note("ImportKey", string(armored))
}
func (e *deskEngine) ExportKey(_ context.Context, secret bool) (account.OwnKey, error) {
	return account.OwnKey{Address: alice, Fingerprint: someKey, Armored: "-----BEGIN-----\n"}, e.note("ExportKey", secret)
}

func (e *deskEngine) group() account.Group {
	return account.Group{ID: "g1", Name: evil, Address: "eve.x1@groups.mailbridge.invalid", Encryption: "required", Members: []account.Member{e.member()}}
}
func (e *deskEngine) member() account.Member {
	return account.Member{Address: bob, Name: evil, Fingerprint: someKey}
}
func (e *deskEngine) Groups(context.Context) ([]account.Group, error) {
	return []account.Group{e.group()}, e.err
}
func (e *deskEngine) CreateGroup(_ context.Context, name string) (account.Group, error) {
	return e.group(), e.note("CreateGroup", name)
}
func (e *deskEngine) GroupMembers(_ context.Context, group string) ([]account.Member, error) {
	return []account.Member{e.member()}, e.note("GroupMembers", group)
}
func (e *deskEngine) AddMember(_ context.Context, group, address string) (account.Group, error) {
	return e.group(), e.note("AddMember", group, address)
}
func (e *deskEngine) RemoveMember(_ context.Context, group, address string) (account.Group, error) {
	return e.group(), e.note("RemoveMember", group, address)
}
func (e *deskEngine) RenameGroup(_ context.Context, group, name string) (account.Group, error) {
	return e.group(), e.note("RenameGroup", group, name)
}
func (e *deskEngine) LeaveGroup(_ context.Context, group string) (account.Group, error) {
	return e.group(), e.note("LeaveGroup", group)
}
func (e *deskEngine) SetGroupEncryption(_ context.Context, group, mode string) (account.Group, error) {
	return e.group(), e.note("SetGroupEncryption", group, mode)
}

func (e *deskEngine) channel() account.Channel {
	return account.Channel{ID: "c1", Name: evil, Address: "eve.x2@groups.mailbridge.invalid", Own: true, Open: true, Subscribers: 2, RotateEvery: "720h0m0s"}
}
func (e *deskEngine) Channels(context.Context) ([]account.Channel, error) {
	return []account.Channel{e.channel()}, e.err
}
func (e *deskEngine) CreateChannel(_ context.Context, name string) (account.Channel, error) {
	return e.channel(), e.note("CreateChannel", name)
}
func (e *deskEngine) Subscribers(_ context.Context, channel string) ([]account.Member, error) {
	return []account.Member{e.member()}, e.note("Subscribers", channel)
}
func (e *deskEngine) RemoveSubscriber(_ context.Context, channel, address string) (account.Channel, error) {
	return e.channel(), e.note("RemoveSubscriber", channel, address)
}
func (e *deskEngine) LeaveChannel(_ context.Context, channel string) (account.Channel, error) {
	return e.channel(), e.note("LeaveChannel", channel)
}
func (e *deskEngine) RotateChannel(_ context.Context, channel string, every *time.Duration) (account.Channel, error) {
	return e.channel(), e.note("RotateChannel", channel, every)
}

// desk is a service whose one account is a deskEngine.
type desk struct {
	*deskEngine
	t *testing.T
}

func newDesk(t *testing.T) desk {
	t.Helper()
	home := t.TempDir()
	t.Setenv("MAILBRIDGE_HOME", home)
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	d, err := findDirs(os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(d.account(alice), 0o700); err != nil {
		t.Fatal(err)
	}
	w := &world{}
	e := &deskEngine{fakeEngine: fakeEngine{address: alice, ready: true, closed: &w.closed}}
	s, err := startServer(t.Context(), serverOptions{
		dirs: d, listen: map[string]string{}, log: slog.New(slog.DiscardHandler),
		make: maker{open: func(context.Context, account.Options) (engine, error) { return e, nil }},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	return desk{e, t}
}

// run runs a command line.
func (d desk) run(stdin io.Reader, args ...string) (stdout, stderr string, exit int) {
	var out, errs bytes.Buffer
	exit = execute(d.t.Context(), args, stdin, &out, &errs)
	return out.String(), errs.String(), exit
}
