package account

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"mailbridge/autocrypt"
	"mailbridge/db"
	"mailbridge/headers"
	"mailbridge/mailbox"
	"mailbridge/message"
	"mailbridge/mirror"
	"mailbridge/pgp"
	"mailbridge/securejoin"
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
	invites, err := tx.Invites(a.now())
	for _, i := range invites {
		if i.State(a.now()) == securejoin.Live {
			s.OpenInvites++
		}
	}
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

// Invite makes an invite for a contact: good for several joins, for a week.
func (a *Account) Invite(ctx context.Context, _ InviteOptions) (Invite, error) {
	expires := a.now().Add(securejoin.DefaultLifetime).Truncate(time.Second)
	i, err := securejoin.NewInvite(rand.Reader, a.now(), securejoin.InviteOptions{Expires: expires})
	if err != nil {
		return Invite{}, err
	}
	err = a.db.Update(ctx, func(tx *db.Tx) (err error) {
		i.ID, err = tx.AddInvite(i)
		return err
	})
	if err != nil {
		return Invite{}, err
	}
	a.mirror.Retry() // a message that was held may be meant for it
	return Invite{ID: strconv.FormatInt(i.ID, 10), Link: i.Link(a.self()).String(), ExpiresAt: &expires, Once: i.Once}, nil
}

// Join begins to follow somebody's invite. replace gives up the key that the address has.
// A link that is no invite is a *BadData.
func (a *Account) Join(ctx context.Context, text string, o JoinOptions) (Join, error) {
	link, err := securejoin.ParseLink(text)
	if err != nil {
		return Join{}, badData(err, "%v", err)
	}
	if !link.V3 || link.Kind != securejoin.Contact {
		return Join{}, badData(securejoin.ErrUnsupportedInvite, "%v", securejoin.ErrUnsupportedInvite)
	}
	var j securejoin.Join
	err = a.db.Update(ctx, func(tx *db.Tx) error {
		known, again, err := a.joinedBefore(tx, link)
		if err != nil {
			return err
		}
		if again && !o.Replace {
			j = known // joining twice is once
			return nil
		}
		j, err = a.startJoin(tx, link, o.Replace)
		return err
	})
	var other *securejoin.OtherKeyError
	switch {
	case errors.As(err, &other):
		return Join{}, badData(err, "%s has another key already. If this invite is right, join it with --replace.", other.Addr)
	case errors.Is(err, securejoin.ErrOwnInvite), errors.Is(err, securejoin.ErrUnsupportedInvite):
		return Join{}, badData(err, "%v", err)
	case err != nil:
		return Join{}, err
	}
	a.outbox.kick()
	return describeJoin(j), nil
}

// joinedBefore finds a join of the same invite that waits, or that is done and still holds:
// a contact that was reset since may be joined again.
func (a *Account) joinedBefore(tx *db.Tx, link securejoin.Link) (securejoin.Join, bool, error) {
	j, err := tx.JoinOf(link)
	if errors.Is(err, db.ErrNotFound) {
		return j, false, nil
	}
	if err != nil || j.Pending() || j.Claim {
		return j, err == nil, err
	}
	h, err := a.holder(tx, j.Addr)
	return j, h.fingerprint == link.Fingerprint, err
}

// startJoin is Join's transaction.
func (a *Account) startJoin(tx *db.Tx, link securejoin.Link, replace bool) (securejoin.Join, error) {
	holders := map[string]pgp.Fingerprint{}
	for _, addr := range link.Addresses() {
		h, err := a.holder(tx, addr)
		if err != nil {
			return securejoin.Join{}, err
		}
		holders[addr] = h.fingerprint
	}
	j, effects, err := securejoin.NewJoin(link, a.self(), holders, replace, a.now())
	if err != nil {
		return securejoin.Join{}, err
	}
	if j.ID, err = tx.AddJoin(j); err != nil {
		return securejoin.Join{}, err
	}
	for i, e := range effects {
		if s, ok := e.(securejoin.Send); ok {
			s.JoinID = j.ID // it was not known before
			effects[i] = s
		}
	}
	return j, a.carryOut(tx, effects)
}

// GetJoin says how far a join got.
func (a *Account) GetJoin(ctx context.Context, id string) (Join, error) {
	number, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return Join{}, fmt.Errorf("%w: join %q", ErrNotFound, id)
	}
	var j securejoin.Join
	err = a.db.View(ctx, func(tx *db.Tx) (err error) {
		j, err = tx.Join(number)
		return err
	})
	if errors.Is(err, db.ErrNotFound) {
		return Join{}, fmt.Errorf("%w: join %q", ErrNotFound, id)
	}
	return describeJoin(j), err
}

// WaitJoin waits until a join is done or has failed.
func (a *Account) WaitJoin(ctx context.Context, id string) (Join, error) {
	number, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		return Join{}, fmt.Errorf("%w: join %q", ErrNotFound, id)
	}
	for {
		moved := a.joins.watch(number)
		j, err := a.GetJoin(ctx, id)
		if err != nil || j.State != JoinPending {
			a.joins.forget(number, moved)
			return j, err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			a.joins.forget(number, moved)
			return j, ctx.Err()
		}
	}
}

func describeJoin(j securejoin.Join) Join {
	d := Join{ID: strconv.FormatInt(j.ID, 10), Address: j.Addr, Fingerprint: j.Link.Fingerprint, Reason: j.Reason}
	switch {
	case j.Pending():
		d.State = JoinPending
	case j.State == securejoin.Failed:
		d.State = JoinFailed
	case j.Claim:
		d.State = JoinClaim
		d.Reason = fmt.Sprintf("%s has another key; accept this one with: bridge contact accept %s %s", j.Addr, j.Addr, j.Link.Fingerprint)
	default:
		d.State = JoinCompleted
	}
	return d
}

// Contacts lists the correspondents that a key is known of, by address.
func (a *Account) Contacts(ctx context.Context) ([]Contact, error) {
	contacts := []Contact{}
	err := a.db.View(ctx, func(tx *db.Tx) error {
		peers, err := tx.Peers()
		for _, p := range peers {
			contacts = append(contacts, describeContact(p))
		}
		return err
	})
	return contacts, err
}

// Contact gives one correspondent.
func (a *Account) Contact(ctx context.Context, address string) (Contact, error) {
	var peer db.Peer
	err := a.db.View(ctx, func(tx *db.Tx) (err error) {
		peer, err = tx.Peer(message.CanonicalAddr(address))
		return err
	})
	if errors.Is(err, db.ErrNotFound) {
		return Contact{}, fmt.Errorf("%w: no contact %s", ErrNotFound, address)
	}
	return describeContact(peer), err
}

// AcceptKey makes a key that waits as a candidate the one that is used for an address, as the
// user decided. A claim is thereby verified, and its joiner gets the confirmation.
func (a *Account) AcceptKey(ctx context.Context, address, fingerprint string) (Contact, error) {
	fpr, err := pgp.ParseFingerprint(fingerprint)
	if err != nil {
		return Contact{}, badData(err, "%q is not a fingerprint", fingerprint)
	}
	var peer db.Peer
	err = a.db.Update(ctx, func(tx *db.Tx) (err error) {
		if peer, err = tx.Peer(message.CanonicalAddr(address)); err != nil {
			return err
		}
		var waiting bool
		if peer, waiting = peer.Accept(fpr, a.now()); !waiting {
			return fmt.Errorf("%w: no key %s waits for %s", ErrNotFound, fpr, address)
		}
		if err := tx.PutPeer(peer); err != nil {
			return err
		}
		if err := a.refreshKeywords(tx, peer); err != nil || !peer.Verified() {
			return err
		}
		return a.confirmClaim(tx, peer)
	})
	if errors.Is(err, db.ErrNotFound) {
		return Contact{}, fmt.Errorf("%w: no contact %s", ErrNotFound, address)
	}
	a.outbox.kick()
	return describeContact(peer), err
}

// confirmClaim answers a joiner whose claim the user has accepted.
func (a *Account) confirmClaim(tx *db.Tx, peer db.Peer) error {
	invites, err := tx.Invites(a.now())
	if err != nil {
		return err
	}
	for _, i := range invites {
		for _, use := range i.Uses {
			if use.Addr == peer.Addr && use.Fingerprint == peer.VerifiedCert {
				return a.sendStep(tx, i.Confirm(peer.Addr, peer.Name, peer.VerifiedCert))
			}
		}
	}
	return nil // it was our join, which needs no answer
}

func describeContact(p db.Peer) Contact {
	c := Contact{
		Address: p.Addr, Name: p.Name, Fingerprint: p.Key(),
		Verified: p.Verified(), VerifiedAt: timeOrNil(p.VerifiedAt), VerifiedHow: p.VerifiedHow,
		IntroducedBy: p.IntroducedBy, Origin: string(p.Origin), Policy: p.Policy,
		PreferEncrypt: p.Prefer.String(), LastSeen: timeOrNil(p.LastSeen),
		AutocryptTimestamp: timeOrNil(p.Timestamp), Candidates: []pgp.Fingerprint{},
	}
	if c.Policy == "" {
		c.Policy = "auto"
	}
	for _, k := range p.Candidates {
		if !slices.Contains(c.Candidates, k.Fingerprint) {
			c.Candidates = append(c.Candidates, k.Fingerprint)
		}
	}
	return c
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
