package main

import (
	"fmt"
)

// demoAccount is how a client reaches one of the demo's accounts, and the provider
// behind it.
type demoAccount struct {
	Address  string       `json:"address"`
	User     string       `json:"user"`
	Password string       `json:"password"`
	IMAP     *endpoint    `json:"imap"`
	SMTP     *endpoint    `json:"smtp"`
	File     string       `json:"certificate_file"`
	Provider demoUpstream `json:"provider"`
}

type demoUpstream struct {
	IMAP     *endpoint `json:"imap"`
	SMTP     *endpoint `json:"smtp"`
	User     string    `json:"user"`
	Password string    `json:"password"`
	File     string    `json:"certificate_file"`
}

func (d *demo) accounts() []demoAccount {
	var list []demoAccount
	for _, p := range d.people() {
		imap, smtp := d.provider.IMAPSAddr(), d.provider.SMTPSAddr()
		list = append(list, demoAccount{
			Address: p.address, User: p.settings.User, Password: p.settings.Password,
			IMAP: p.settings.IMAP, SMTP: p.settings.SMTP, File: p.settings.File,
			Provider: demoUpstream{
				IMAP: &endpoint{imap.IP.String(), imap.Port, "tls"},
				SMTP: &endpoint{smtp.IP.String(), smtp.Port, "tls"},
				User: p.address, Password: p.password, File: d.caFile(),
			},
		})
	}
	return list
}

// keep prints the settings and waits for the end.
func (d *demo) keep(a *app, json bool) error {
	list := d.accounts()
	if json {
		if err := a.printJSON(map[string]any{"accounts": list}); err != nil {
			return err
		}
	} else {
		a.say("\nThe servers stay open until you press Ctrl-C. Point a mail client at them:")
		for _, acc := range list {
			a.say("")
			columns(a.stdout, [][]string{
				{"user", acc.User},
				{"password", acc.Password},
				{"IMAP", acc.IMAP.text()},
				{"SMTP", acc.SMTP.text()},
				{"provider's IMAP", acc.Provider.IMAP.text(), "user " + acc.Provider.User + ", password " + acc.Provider.Password},
			})
		}
	}
	<-a.ctx.Done()
	return nil
}

func (e *endpoint) text() string {
	return fmt.Sprintf("%s port %d, %s", e.Host, e.Port, map[string]string{"tls": "TLS", "starttls": "STARTTLS or none"}[e.TLS])
}
