package db

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
)

// openTest opens a fresh index.
func openTest(t *testing.T) *DB {
	t.Helper()
	db, err := Open(context.Background(), filepath.Join(t.TempDir(), "index.db"), NewKey(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func TestOpenTwice(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "index.db")
	key := NewKey()
	for range 2 {
		db, err := Open(ctx, path, key, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Open(ctx, path, NewKey(), Options{}); !errors.Is(err, ErrLocked) {
		t.Fatalf("another key: %v", err)
	}
}
