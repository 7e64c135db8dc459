package account

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"mailbridge/autocrypt"
	"mailbridge/db"
	"mailbridge/headers"
	"mailbridge/mailbox"
	"mailbridge/message"
	"mailbridge/mirror"
	"mailbridge/upstream"
)

// State says how the account is, for `bridge status`.
func (a *Account) State(ctx context.Context) Status {
	state := a.mirror.State()
	s := Status{
		Address: a.settings.Address, State: "running", Provider: providerState(state),
		LastSync: timeOrNil(state.LastSync), Syncing: state.Syncing, Warnings: []string{},
	}
	if state.Err != nil {
		s.Warnings = append(s.Warnings, reason(state.Err))
	}
	if err := a.db.View(ctx, func(tx *db.Tx) error { return a.count(tx, &s) }); err != nil {
		s.State = "failed"
		s.Warnings = append(s.Warnings, plainError(err))
	}
	return s
}

// count fills in the numbers of State.
func (a *Account) count(tx *db.Tx, s *Status) (err error) {
	if s.Queued, s.Unknown, err = tx.CountOutbox(); err != nil {
		return err
	}
	s.OpenInvites, err = tx.CountInvites(a.now())
	return err
}

func providerState(s mirror.State) string {
	switch {
	case s.Connection == mirror.Connected:
		return "connected"
	case upstream.IsAuth(s.Err):
		return "login-refused"
	case upstream.IsCertificate(s.Err):
		return "certificate-not-trusted"
	case s.Connection == mirror.Connecting && s.Err == nil:
		return "connecting"
	}
	return "offline"
}

// reason words an error of the connection for the person.
func reason(err error) string {
	switch {
	case errors.Is(err, db.ErrFull):
		return "the disk is full; mail waits at the provider until there is room"
	case upstream.IsAuth(err):
		return "the provider refuses the login; give the new password with: bridge account login"
	case upstream.IsCertificate(err):
		return "the provider's certificate is not trusted"
	case upstream.IsUnreachable(err):
		return "the provider cannot be reached"
	}
	return "the provider does not answer as it should"
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Check says for each recipient what would happen to a new message for it alone.
func (a *Account) Check(ctx context.Context, addresses []string) ([]Check, error) {
	checks := []Check{}
	err := a.db.View(ctx, func(tx *db.Tx) error {
		for _, address := range addresses {
			list := message.ParseAddresses(address)
			if len(list) != 1 || message.CanonicalAddr(list[0].Addr) == "" {
				return badData(nil, "%q is not a mail address", address)
			}
			addr := message.CanonicalAddr(list[0].Addr)
			if localOf(addr) != "" {
				check, err := a.checkChat(tx, addr)
				if err != nil {
					return err
				}
				checks = append(checks, check)
				continue
			}
			if bridgeAddr(addr) {
				checks = append(checks, Check{Address: addr, Outcome: outcomeRefuse.String(), Recommendation: autocrypt.Disable.String(),
					Reason: "mailbridge.invalid is the bridge itself, and it takes no mail there"})
				continue
			}
			r, err := a.lookUp(tx, addr, false)
			if err != nil {
				return err
			}
			checks = append(checks, describeCheck(r))
		}
		return nil
	})
	return checks, err
}

// bridgeAddr knows the addresses that the local SMTP server refuses at RCPT.
func bridgeAddr(addr string) bool {
	_, host, _ := strings.Cut(addr, "@")
	return host == "mailbridge.invalid" || strings.HasSuffix(host, ".mailbridge.invalid")
}

func describeCheck(r recipient) Check {
	d := decide([]recipient{r}, request{wish: headers.NoWish})
	c := Check{Address: r.addr, Outcome: d.outcome.String(), Recommendation: r.recommendation.String(), Reason: d.reason}
	if len(d.lacking) > 0 {
		c.Reason += ", but no usable key is known"
	}
	if len(r.candidates) > 0 {
		c.Reason += fmt.Sprintf("; another key is waiting: bridge contact accept %s %s", r.addr, r.candidates[0])
	}
	return c
}

// Raw gives a message as the provider has it.
func (a *Account) Raw(ctx context.Context, name string, uid uint32) ([]byte, error) {
	info, err := a.mirror.Mailbox(ctx, name)
	var refusal *mailbox.Error
	if errors.As(err, &refusal) && refusal.Code == mailbox.CodeNonExistent {
		return nil, fmt.Errorf("%w: no mailbox %s", ErrNotFound, name)
	}
	if err != nil {
		return nil, err
	}
	b, err := a.mirror.Raw(ctx, info.ID, mailbox.UID(uid))
	if errors.As(err, &refusal) && (refusal.Code == mailbox.CodeNonExistent || refusal.Code == mailbox.CodeExpungeIssued) {
		return nil, fmt.Errorf("%w: no message %d in %s", ErrNotFound, uid, name)
	}
	return b, err
}
