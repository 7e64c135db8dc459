package mirror

import (
	"bytes"
	"testing"

	"mailbridge/db"
	"mailbridge/internal/provider"
	"mailbridge/mailbox"
)

// TestAttackOtherSignedBytes: what a signature was found to be worth does not pass on to bytes
// that the provider has put in the place of the signed ones.
func TestAttackOtherSignedBytes(t *testing.T) {
	t.Parallel()
	b := newBed(t, provider.Options{}, Options{})
	b.start()
	b.synced()
	b.deliver("INBOX", sealed("sign one"))
	b.synced()
	id := b.id("INBOX")
	row, err := b.m.Find(t.Context(), id, 1)
	b.no(err)
	b.m.cache.drop(row.ID)
	b.no(b.db.Update(t.Context(), func(tx *db.Tx) error { return tx.SetDigest(row.ID, make([]byte, 32)) }))
	if _, _, err := b.m.Bytes(t.Context(), id, 1); code(err) != mailbox.CodeExpungeIssued {
		t.Errorf("other bytes under the old UID: %v", err)
	}
	raw, kind, err := b.m.Bytes(t.Context(), id, 2)
	if err != nil || kind != Ordinary || !bytes.Equal(raw, sealed("sign one")) {
		t.Errorf("Bytes = %q, %s, %v", raw, kind, err)
	}
	snap, err := b.m.Snapshot(t.Context(), id)
	if err != nil || snap.Rows[0].Size != int64(len(raw)) || snap.Rows[0].Flags.Has(mailbox.Verified) {
		t.Errorf("Snapshot = %+v, %v", snap, err)
	}
}
