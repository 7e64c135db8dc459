package main

import (
	"errors"
	"net"
	"strconv"
	"syscall"
)

// service is one of the local servers.
type service struct {
	name     string // in [listen] and in `status --json`
	label    string // for the person
	tls      string // "starttls" or "tls"
	flag     string
	variable string
	fallback string
}

var services = []service{
	{"imap", "IMAP", "starttls", "--imap-listen", "MAILBRIDGE_LISTEN_IMAP", "127.0.0.1:1144"},
	{"imaps", "IMAPS", "tls", "--imaps-listen", "MAILBRIDGE_LISTEN_IMAPS", "127.0.0.1:1994"},
	{"smtp", "SMTP", "starttls", "--smtp-listen", "MAILBRIDGE_LISTEN_SMTP", "127.0.0.1:1026"},
	{"smtps", "SMTPS", "tls", "--smtps-listen", "MAILBRIDGE_LISTEN_SMTPS", "127.0.0.1:1466"},
}

// pageVariable names the listener of the page. There is no page yet, so it can only be off.
const pageVariable = "MAILBRIDGE_LISTEN_PAGE"

// listenFlags are the flags of `bridge run`; nil was not given, empty is off.
type listenFlags struct {
	IMAPListen  *string `name:"imap-listen" placeholder:"HOST:PORT" help:"IMAP with STARTTLS (default 127.0.0.1:1144); empty is off, port 0 picks a free one."`
	IMAPSListen *string `name:"imaps-listen" placeholder:"HOST:PORT" help:"IMAP over TLS (default 127.0.0.1:1994)."`
	SMTPListen  *string `name:"smtp-listen" placeholder:"HOST:PORT" help:"SMTP with STARTTLS (default 127.0.0.1:1026)."`
	SMTPSListen *string `name:"smtps-listen" placeholder:"HOST:PORT" help:"SMTP over TLS (default 127.0.0.1:1466)."`
	PageListen  *string `name:"page-listen" placeholder:"HOST:PORT" hidden:""`
}

// wanted gives the address of each service by name, "" where it is off.
func (f listenFlags) wanted(c listenConfig) (map[string]string, error) {
	if page := setting(f.PageListen, pageVariable, c.Page, ""); page != "" {
		return nil, refuse(exitUsage, "this version has no local page: --page-listen, %s and page under [listen] must be empty", pageVariable)
	}
	flags := []*string{f.IMAPListen, f.IMAPSListen, f.SMTPListen, f.SMTPSListen}
	files := []*string{c.IMAP, c.IMAPS, c.SMTP, c.SMTPS}
	addresses := map[string]string{}
	for i, s := range services {
		value := setting(flags[i], s.variable, files[i], s.fallback)
		if value != "" {
			if err := s.check(value); err != nil {
				return nil, err
			}
		}
		addresses[s.name] = value
	}
	return addresses, nil
}

// check refuses what is no HOST:PORT, and cleartext on anything but loopback.
func (s service) check(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return refuse(exitUsage, "the address %q for %s is not HOST:PORT\nset it with %s, %s or %s under [listen]", address, s.label, s.flag, s.variable, s.name)
	}
	if s.tls != "tls" && !loopback(host) {
		return refuse(exitUsage, "%s on %s would take passwords without TLS: only loopback addresses\nuse %ss, which is TLS from the first octet", s.label, address, s.name)
	}
	return nil
}

// loopback says whether nobody outside this machine can reach the host. Empty is
// taken for loopback, never for every address.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || host == "localhost" || ip != nil && ip.IsLoopback()
}

// portTries is how often another free port is picked when ::1 has no room for the one
// that 127.0.0.1 gave.
const portTries = 8

// listen opens the listeners of a service: one, or 127.0.0.1 and ::1 with the same port.
func (s service) listen(address string) ([]net.Listener, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	var list []net.Listener
	for range portTries {
		list, err = listenOn(host, port)
		if port != "0" || !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	if err != nil {
		return nil, s.cannotListen(address, port, err)
	}
	return list, nil
}

func listenOn(host, port string) ([]net.Listener, error) {
	if host != "" && host != "localhost" && host != "127.0.0.1" {
		l, err := net.Listen("tcp", net.JoinHostPort(host, port))
		return []net.Listener{l}, err
	}
	four, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		return nil, err
	}
	_, port, _ = net.SplitHostPort(four.Addr().String())
	six, err := net.Listen("tcp6", net.JoinHostPort("::1", port))
	switch {
	case err == nil:
		return []net.Listener{four, six}, nil
	case errors.Is(err, syscall.EADDRINUSE):
		four.Close()
		return nil, err
	}
	return []net.Listener{four}, nil // there is no ::1
}

// cannotListen says which port it is about and how to choose another one.
func (s service) cannotListen(address, port string, err error) error {
	why := "cannot be used: " + err.Error()
	if errors.Is(err, syscall.EADDRINUSE) {
		why = "is in use by another program"
	}
	return refuse(exitUnavailable, "port %s (%s on %s) %s\nchoose another: bridge run %s HOST:PORT, or %s, or %s under [listen]; port 0 picks a free one",
		port, s.label, address, why, s.flag, s.variable, s.name)
}
