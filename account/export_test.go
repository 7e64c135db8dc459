package account

import "context"

// Synced waits until the provider has heard of everything and everything was looked at.
func (a *Account) Synced(ctx context.Context) error { return a.mirror.Synced(ctx) }

// Tidy keeps house now, and sends what comes of it.
func (a *Account) Tidy(ctx context.Context) error {
	defer a.outbox.kick()
	return a.db.Update(ctx, a.tidy)
}

// Tried says how many secrets were tried on symmetric mail in this minute.
func (a *Account) Tried() int {
	a.trials.mu.Lock()
	defer a.trials.mu.Unlock()
	return a.trials.spent
}
