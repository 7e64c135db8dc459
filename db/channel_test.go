package db

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"mailbridge/securejoin"
)

// TestChannels: what is put is found by id and by address, also after a change, and nothing of it
// is in the file in the clear.
func TestChannels(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "index.db")
	db, err := Open(context.Background(), path, NewKey(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	first, second, third := strings.Repeat("1", 43), strings.Repeat("2", 43), strings.Repeat("3", 43)
	own := Channel{Local: "ownlocal", ChannelChat: securejoin.ChannelChat{
		ID: "own-channel", Name: "Zwiebelkuchen", NameAt: day(1), Owner: securejoin.Member{Fingerprint: aliceFpr, Addr: "alice@example.org"},
		Secrets: []string{first}, RotatedAt: day(1),
		Subscribers: []securejoin.Member{{Fingerprint: bobFpr, Addr: bobAddr, Added: day(2)}},
	}}
	theirs := Channel{Local: "theirs", ChannelChat: securejoin.ChannelChat{ID: "their-channel", Secrets: []string{third}}}
	update(t, db, func(tx *Tx) error {
		err := errors.Join(tx.PutChannel(own), tx.PutChannel(theirs))
		if secrets, err := tx.ChannelSecrets(); err != nil || !reflect.DeepEqual(secrets, []string{first, third}) {
			t.Errorf("%v, %v", secrets, err)
		}
		return err
	})
	own.Secrets, own.Name = []string{second, first}, "Flammkuchen"
	theirs.Secrets, theirs.Ended = nil, day(3)
	update(t, db, func(tx *Tx) error {
		err := errors.Join(tx.PutChannel(own), tx.PutChannel(theirs))
		if secrets, err := tx.ChannelSecrets(); err != nil || !reflect.DeepEqual(secrets, own.Secrets) {
			t.Errorf("%v, %v", secrets, err)
		}
		byID, err1 := tx.Channel(own.ID)
		byLocal, err2 := tx.ChannelByLocal(own.Local)
		all, err3 := tx.Channels()
		for _, got := range append(all[:1], byID, byLocal) {
			if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", own); g != w {
				t.Errorf("%s\nwant %s", g, w)
			}
		}
		if _, err := tx.ChannelByLocal(own.ID); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		return errors.Join(err, err1, err2, err3)
	})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{first, second, third, "kuchen", bobAddr} {
		if bytes.Contains(file, []byte(secret)) {
			t.Errorf("%q is in the file", secret)
		}
	}
}
