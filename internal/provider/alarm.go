package provider

import "github.com/emersion/go-imap/v2"

// alarm is filled in by the next step.
type alarm struct{}

type scanner struct{}

func (a *alarm) scanner() *scanner { return &scanner{} }

func (s *scanner) write([]byte) {}

func (a *alarm) text(user, where, text string) {}

func (p *Provider) inspectAppend(u *user, b *box, raw []byte, flags []imap.Flag) {}

func (p *Provider) inspectSubmission(u *user, raw []byte) {}
