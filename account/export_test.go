package account

import "context"

// Synced waits until the provider has heard of everything and everything was looked at.
func (a *Account) Synced(ctx context.Context) error { return a.mirror.Synced(ctx) }
