package account

import (
	"context"
	"sync"

	"mailbridge/db"
)

// Family is the accounts of one program. A mail client that has several of them answers mail of
// one from another, and copies between them: what one account opened, no other sends or stores
// in the clear.
type Family struct {
	mu      sync.Mutex
	members map[*Account]struct{}
}

// NewFamily makes a family without members. Accounts join it by Options.Family.
func NewFamily() *Family { return &Family{members: map[*Account]struct{}{}} }

func (f *Family) join(a *Account) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.members[a] = struct{}{}
}

func (f *Family) leave(a *Account) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.members, a)
}

// relatives are the members but for a itself.
func (f *Family) relatives(a *Account) []*Account {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []*Account
	for member := range f.members {
		if member != a {
			list = append(list, member)
		}
	}
	return list
}

// anywhere reports whether a query is true for this account or another of the family. A relative
// whose index fails does not stop this account: it is as one that is not open.
func (a *Account) anywhere(ctx context.Context, query func(tx *db.Tx) (bool, error)) (bool, error) {
	found, err := a.ask(ctx, query)
	if found || err != nil {
		return found, err
	}
	for _, relative := range a.options.Family.relatives(a) {
		found, err := relative.ask(ctx, query)
		if err != nil && ctx.Err() == nil {
			a.log.Warn("another account could not be asked", "account", relative.settings.Address, "error", err)
		}
		if found {
			return true, nil
		}
	}
	return false, ctx.Err()
}

func (a *Account) ask(ctx context.Context, query func(tx *db.Tx) (bool, error)) (found bool, err error) {
	err = a.db.View(ctx, func(tx *db.Tx) error {
		found, err = query(tx)
		return err
	})
	return found, err
}
