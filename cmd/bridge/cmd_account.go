package main

import (
	"net"
	"os"
	"path/filepath"
	"strconv"

	"mailbridge/account"
)

type accountCmds struct {
	Add      accountAddCmd      `cmd:"" help:"Test the login at the provider, make a key, and print what the mail client must be told."`
	List     accountListCmd     `cmd:"" help:"List the accounts."`
	Settings accountSettingsCmd `cmd:"" help:"Print what the mail client must be told."`
	Login    accountLoginCmd    `cmd:"" help:"Replace the provider's password."`
}

type accountAddCmd struct {
	Address       string  `arg:"" help:"The mail address."`
	IMAP          string  `name:"imap" placeholder:"HOST:PORT" help:"The provider's IMAP server."`
	SMTP          string  `name:"smtp" placeholder:"HOST:PORT" help:"The provider's server for outgoing mail."`
	IMAPTLS       string  `name:"imap-tls" placeholder:"tls|starttls" enum:"tls,starttls," default:"" help:"Default: starttls on port 143, else tls."`
	SMTPTLS       string  `name:"smtp-tls" placeholder:"tls|starttls" enum:"tls,starttls," default:"" help:"Default: starttls on ports 25 and 587, else tls."`
	Login         string  `name:"login" placeholder:"USER" help:"The user name at the provider, if it is not the address."`
	Name          string  `name:"name" placeholder:"NAME" help:"Your name, for those whom you invite."`
	CA            string  `name:"ca" placeholder:"FILE" help:"Trust the certificates in this PEM file for the provider, too."`
	PreferEncrypt string  `name:"prefer-encrypt" placeholder:"mutual|nopreference" enum:"mutual,nopreference" default:"mutual" help:"What your mail tells others about your wish (Autocrypt)."`
	OAuth         *string `name:"oauth" placeholder:"PROVIDER" hidden:""`
	passwordFlags
	jsonFlag
}

func (c *accountAddCmd) Run(a *app) error {
	s, err := c.settings()
	if err != nil {
		return err
	}
	password, err := c.read(a.ctx, a, "Password for "+clean(c.Address)+" at "+clean(s.IMAP.Host)+": ")
	if err != nil {
		return err
	}
	var reply clientSettings
	if err := a.call("account.add", addArgs{Settings: s, Password: password}, &reply); err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(reply)
	}
	a.say("The account %s is ready. Set up your mail client like this:\n", clean(reply.Address))
	reply.print(a)
	return nil
}

// settings checks the flags before anything asks for a password.
func (c *accountAddCmd) settings() (account.Settings, error) {
	none := account.Settings{}
	if c.OAuth != nil {
		return none, refuse(exitUsage, "this version cannot log in by OAuth2: --oauth is not available\nmany providers give app passwords for mail programs")
	}
	if c.IMAP == "" || c.SMTP == "" {
		return none, refuse(exitUsage, "--imap HOST:PORT and --smtp HOST:PORT are required: this version does not find a provider's servers by itself")
	}
	imap, err := parseServer("--imap", c.IMAP, c.IMAPTLS, 143)
	if err != nil {
		return none, err
	}
	smtp, err := parseServer("--smtp", c.SMTP, c.SMTPTLS, 25, 587)
	if err != nil {
		return none, err
	}
	ca := c.CA
	if ca != "" {
		// The service has another working directory.
		if ca, err = filepath.Abs(ca); err != nil {
			return none, err
		}
		if _, err := os.Stat(ca); err != nil {
			return none, refuse(exitNoInput, "the file of --ca cannot be read: %v", err)
		}
	}
	return account.Settings{Address: c.Address, Name: c.Name, Login: c.Login, IMAP: imap, SMTP: smtp, CAFile: ca, PreferEncrypt: c.PreferEncrypt}, nil
}

// parseServer reads HOST:PORT. Without a mode the ports that begin in the clear mean STARTTLS.
func parseServer(flag, address, mode string, startTLS ...int) (account.Server, error) {
	host, port, err := net.SplitHostPort(address)
	n, perr := strconv.ParseUint(port, 10, 16)
	if err != nil || perr != nil || host == "" || n == 0 {
		return account.Server{}, refuse(exitUsage, "%s: %q is not HOST:PORT", flag, address)
	}
	if mode == "" {
		mode = "tls"
		for _, p := range startTLS {
			if int(n) == p {
				mode = "starttls"
			}
		}
	}
	return account.Server{Host: host, Port: int(n), TLS: mode}, nil
}

type accountListCmd struct{ jsonFlag }

func (c *accountListCmd) Run(a *app) error {
	var list []accountEntry
	if err := a.call("account.list", noArgs{}, &list); err != nil {
		return err
	}
	list, err := only(a, list, func(e accountEntry) string { return e.Address })
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(list)
	}
	var rows [][]string
	for _, e := range list {
		rows = append(rows, []string{e.Address, e.State, e.Name})
	}
	columns(a.stdout, rows)
	return nil
}

type accountSettingsCmd struct {
	Address string `arg:"" optional:"" help:"The account."`
	jsonFlag
}

func (c *accountSettingsCmd) Run(a *app) error {
	address, err := a.named(c.Address)
	if err != nil {
		return err
	}
	var s clientSettings
	if err := a.call("account.settings", accountArgs{Account: address}, &s); err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(s)
	}
	s.print(a)
	return nil
}

// named gives the account of a command that takes it as its argument, too.
func (a *app) named(argument string) (string, error) {
	address, err := a.account()
	switch {
	case err != nil || argument == "":
		return address, err
	case address != "" && canonical(address) != canonical(argument):
		return "", refuse(exitUsage, "ADDRESS and --account name two accounts")
	}
	return argument, nil
}

type accountLoginCmd struct {
	Address string `arg:"" optional:"" help:"The account."`
	passwordFlags
}

func (c *accountLoginCmd) Run(a *app) error {
	address, err := a.named(c.Address)
	if err != nil {
		return err
	}
	password, err := c.read(a.ctx, a, "New password at the provider: ")
	if err != nil {
		return err
	}
	if err := a.call("account.login", loginArgs{accountArgs{address}, password}, &noArgs{}); err != nil {
		return err
	}
	a.say("The provider has taken the new password.")
	return nil
}

// print shows the settings as a mail client's dialogue asks for them.
func (s clientSettings) print(a *app) {
	rows := [][]string{{"user", s.User}, {"password", s.Password}}
	for i, e := range []*endpoint{s.IMAP, s.IMAPS, s.SMTP, s.SMTPS} {
		if e == nil {
			rows = append(rows, []string{services[i].name, "off, or a free port that bridge run picks"})
			continue
		}
		security := "TLS"
		if e.TLS == "starttls" {
			security = "STARTTLS, or no encryption: it stays on this computer"
		}
		rows = append(rows, []string{services[i].name, net.JoinHostPort(e.Host, strconv.Itoa(e.Port)), security})
	}
	rows = append(rows, []string{"certificate", s.File}, []string{"SHA-256", s.Fingerprint})
	columns(a.stdout, rows)
}
