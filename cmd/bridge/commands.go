package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"strconv"
	"time"

	"mailbridge/account"
	"mailbridge/mailbox"
	"mailbridge/web"
)

// bridge is what the commands act on: the accounts, and where their clients connect.
type bridge struct {
	accounts *accounts
	leaf     *leaf
	listen   map[string]string // service name to HOST:PORT, "" where it is off
}

// newBridge makes a bridge of the accounts of a home. Who calls it holds the lock.
func newBridge(d dirs, log *slog.Logger, listen map[string]string, m maker) (*bridge, error) {
	if err := d.sweep(); err != nil {
		return nil, err
	}
	leaf, err := d.openLeaf(time.Now())
	if err != nil {
		return nil, err
	}
	set, err := newAccounts(d, log, m)
	if err != nil {
		return nil, err
	}
	return &bridge{accounts: set, leaf: leaf, listen: listen}, nil
}

// Arguments of the commands. Account is empty where the only account is meant.
type (
	noArgs      struct{}
	accountArgs struct {
		Account string `json:"account"`
	}
	addArgs struct {
		Settings account.Settings `json:"settings"`
		Password string           `json:"password"`
	}
	loginArgs struct {
		accountArgs
		Password string `json:"password"`
	}
	checkArgs struct {
		accountArgs
		Recipients []string `json:"recipients"`
	}
	rawArgs struct {
		accountArgs
		Mailbox string `json:"mailbox"`
		UID     uint32 `json:"uid"`
	}
)

// accountEntry is a line of `account list`.
type accountEntry struct {
	Address string `json:"address"`
	Name    string `json:"name"`
	State   string `json:"state"`
}

// endpoint is where a mail client connects.
type endpoint struct {
	Host string `json:"host"`
	Port int    `json:"port"`
	TLS  string `json:"tls"` // "starttls" or "tls"
}

// clientSettings is what a mail client must be told. A service that is off, or whose
// port only the running bridge knows, is null.
type clientSettings struct {
	Address     string    `json:"address"`
	IMAP        *endpoint `json:"imap"`
	IMAPS       *endpoint `json:"imaps"`
	SMTP        *endpoint `json:"smtp"`
	SMTPS       *endpoint `json:"smtps"`
	User        string    `json:"user"`
	Password    string    `json:"password"`
	Fingerprint string    `json:"certificate_sha256"`
	File        string    `json:"certificate_file"`
}

// listenStatus names the address of each local server, "" where it is off.
type listenStatus struct {
	IMAP  string `json:"imap"`
	IMAPS string `json:"imaps"`
	SMTP  string `json:"smtp"`
	SMTPS string `json:"smtps"`
	Page  string `json:"page"`
}

// bridgeStatus is `status --json`. PID is 0 where no service runs.
type bridgeStatus struct {
	PID      int             `json:"pid"`
	Version  string          `json:"version"`
	Listen   listenStatus    `json:"listen"`
	Accounts []accountStatus `json:"accounts"`
}

// table is every command of a bridge.
func (b *bridge) table() *web.Table {
	t := web.NewTable(classify)
	web.Handle(t, "account.add", b.accountAdd)
	web.Handle(t, "account.list", b.accountList)
	web.Handle(t, "account.settings", b.accountSettings)
	web.Handle(t, "account.login", b.accountLogin)
	web.Handle(t, "status", b.status)
	web.Handle(t, "send", b.send)
	b.handleInvites(t)
	b.handleContacts(t)
	b.handleGroups(t)
	b.handleChannels(t)
	b.handleKeys(t)
	web.Handle(t, "check", on(b, func(ctx context.Context, e engine, args checkArgs) ([]account.Check, error) {
		return e.Check(ctx, args.Recipients)
	}))
	web.Handle(t, "raw", b.raw)
	return t
}

func (b *bridge) accountAdd(ctx context.Context, args addArgs) (clientSettings, error) {
	e, err := b.accounts.add(ctx, args.Settings, args.Password)
	if err != nil {
		return clientSettings{}, err
	}
	return b.clientSettings(e), nil
}

func (b *bridge) accountSettings(ctx context.Context, args accountArgs) (clientSettings, error) {
	e, err := b.accounts.get(ctx, args.Account)
	if err != nil {
		return clientSettings{}, err
	}
	return b.clientSettings(e), nil
}

func (b *bridge) accountLogin(ctx context.Context, args loginArgs) (noArgs, error) {
	e, err := b.accounts.get(ctx, args.Account)
	if err != nil {
		return noArgs{}, err
	}
	return noArgs{}, e.SetProviderPassword(ctx, args.Password)
}

func (b *bridge) clientSettings(e engine) clientSettings {
	s := clientSettings{
		Address: e.Address(), User: e.Address(), Password: e.LocalPassword(),
		Fingerprint: b.leaf.fingerprint(), File: b.leaf.file,
	}
	for i, to := range []**endpoint{&s.IMAP, &s.IMAPS, &s.SMTP, &s.SMTPS} {
		*to = clientEndpoint(b.listen[services[i].name], services[i].tls)
	}
	return s
}

// clientEndpoint turns a listening address into one to connect to.
func clientEndpoint(address, tls string) *endpoint {
	host, port, err := net.SplitHostPort(address)
	n, perr := strconv.Atoi(port)
	if err != nil || perr != nil || n == 0 {
		return nil
	}
	switch ip := net.ParseIP(host); {
	case host == "", ip != nil && ip.IsUnspecified():
		host = "127.0.0.1"
	}
	return &endpoint{Host: host, Port: n, TLS: tls}
}

func (b *bridge) accountList(ctx context.Context, _ noArgs) ([]accountEntry, error) {
	list := []accountEntry{}
	for _, address := range b.accounts.addresses() {
		e, err := b.accounts.get(ctx, address)
		if err != nil {
			list = append(list, accountEntry{Address: address, State: stateOf(err)})
			continue
		}
		list = append(list, accountEntry{Address: e.Address(), Name: e.Settings().Name, State: b.state(ctx, e).State})
	}
	return list, nil
}

// state is an engine's own status. Without a service nothing runs, whatever the
// engine says of itself.
func (b *bridge) state(ctx context.Context, e engine) account.Status {
	s := e.State(ctx)
	if !b.accounts.serving {
		s.State, s.Provider, s.Syncing = "stopped", "offline", false
	}
	return s
}

// stateOf says what is wrong with an account that could not be opened.
func stateOf(err error) string {
	e := classify(err)
	switch {
	case errors.Is(err, account.ErrLocked):
		return "locked"
	case e.Exit == exitUnavailable:
		return "stopped"
	}
	return "failed"
}

func (b *bridge) status(ctx context.Context, _ noArgs) (bridgeStatus, error) {
	s := bridgeStatus{Version: version(), Accounts: []accountStatus{}}
	if b.accounts.serving {
		s.PID = os.Getpid()
		s.Listen = listenStatus{IMAP: b.listen["imap"], IMAPS: b.listen["imaps"], SMTP: b.listen["smtp"], SMTPS: b.listen["smtps"]}
	}
	for _, address := range b.accounts.addresses() {
		e, err := b.accounts.get(ctx, address)
		if err != nil {
			s.Accounts = append(s.Accounts, closedStatus(address, err))
			continue
		}
		s.Accounts = append(s.Accounts, joining(ctx, e, b.state(ctx, e)))
	}
	return s, nil
}

// closedStatus is the status of an account that is not open.
func closedStatus(address string, err error) accountStatus {
	s := account.Status{Address: address, State: stateOf(err), Provider: "offline", Warnings: []string{}}
	if s.State != "stopped" {
		s.Warnings = append(s.Warnings, clean(classify(err).Text))
	}
	return accountStatus{Status: s}
}

func (b *bridge) raw(ctx context.Context, args rawArgs) ([]byte, error) {
	e, err := b.accounts.active(ctx, args.Account)
	if err != nil {
		return nil, err
	}
	msg, err := e.Raw(ctx, args.Mailbox, args.UID)
	if b.accounts.serving || !code(mailbox.CodeUnavailable)(err) {
		return msg, err
	}
	// It has just begun to connect.
	tryUntil(ctx, e, e.State(ctx), func(s account.Status) bool { return s.Provider == "connected" })
	return e.Raw(ctx, args.Mailbox, args.UID)
}
