package db

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"mailbridge/securejoin"
)

func TestGroups(t *testing.T) {
	t.Parallel()
	d := openTest(t)
	me := securejoin.Self{Addr: "alice@example.org", Fingerprint: "AA"}
	chat, err := securejoin.NewGroup("bbbbbbbbbbbb", "Lesekreis äöü", me, time.Unix(1_700_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	g := Group{GroupChat: chat, Local: "local1", Thread: []string{"a@x"}, Made: true}
	other := g
	other.ID, other.Local = "aaaaaaaaaaaa", "local2"
	update(t, d, func(tx *Tx) error { return errors.Join(tx.PutGroup(g), tx.PutGroup(other)) })
	g.Encryption, g.Thread = securejoin.WhenPossible, Followed(g.Thread, "b@x")
	update(t, d, func(tx *Tx) error { return tx.PutGroup(g) })
	err = d.View(t.Context(), func(tx *Tx) error {
		byID, err := tx.Group(g.ID)
		byLocal, err2 := tx.GroupByLocal("local1")
		all, err3 := tx.Groups()
		if !reflect.DeepEqual(byID, g) || !reflect.DeepEqual(byLocal, g) || len(all) != 2 || all[0].ID != other.ID {
			t.Errorf("%+v\n%+v\n%+v", byID, byLocal, all)
		}
		if _, err := tx.Group("none"); !errors.Is(err, ErrNotFound) {
			t.Errorf("%v", err)
		}
		if _, err := tx.GroupByLocal("none"); !errors.Is(err, ErrNotFound) {
			t.Errorf("%v", err)
		}
		return errors.Join(err, err2, err3)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFollowed(t *testing.T) {
	t.Parallel()
	var thread []string
	for _, id := range []string{"a", "b", "", "b", "c", "d"} {
		thread = Followed(thread, id)
	}
	if !slices.Equal(thread, []string{"b", "c", "d"}) {
		t.Errorf("%v", thread)
	}
}
