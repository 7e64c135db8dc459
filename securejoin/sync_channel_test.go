package securejoin_test

import (
	"strings"
	"testing"
	"time"

	"mailbridge/securejoin"
)

// altered is a sync message with one item about a chat.
func altered(data string) []byte {
	return []byte("Content-Type: multipart/report; report-type=multi-device-sync; boundary=b\r\n\r\n" +
		"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b\r\nContent-Type: application/json\r\n\r\n" +
		`{"items":[{"timestamp":1795228968,"data":{"AlterChat":` + data + "}}]}\r\n--b--\r\n")
}

// TestSyncBroadcast: a channel that another device makes is understood, and nothing else that it
// does to its chats. It is ours, but not kept here.
func TestSyncBroadcast(t *testing.T) {
	now := time.Unix(1795228968, 0).UTC()
	secret := strings.Repeat("s", 43)
	const id = "fv6ysY4kAta4QJIu5h21oacb"
	items, ok := securejoin.ReadSync(altered(`{"id":{"Grpid":"`+id+`"},"action":{"CreateOutBroadcast":{"chat_name":"News","secret":"`+secret+`"}}}`), now)
	if !ok || len(items) != 1 || items[0].Kind != securejoin.NewBroadcast {
		t.Fatalf("%+v", items)
	}
	c, ok := securejoin.KeptElsewhere(bobSelf, items[0].GroupID, items[0].Name, items[0].Secret, items[0].At)
	if !ok || c.ID != id || c.Name != "News" || !c.Open() || c.Own(bobSelf) || !c.RotatedAt.Equal(now) {
		t.Fatalf("%+v", c)
	}
	if _, err := c.Post(bobSelf); err == nil {
		t.Error("it is written to here")
	}
	if _, _, err := c.Leave(bobSelf, now); err == nil {
		t.Error("it is left")
	}
	post := securejoin.ChannelMessage{ID: id, Signer: bobSelf.Fingerprint, Opened: secret, Date: now}
	if _, event := c.Receive(bobSelf, post); event != securejoin.Posted {
		t.Errorf("a post of ours: event %v", event)
	}
	post.Signer = aliceSelf.Fingerprint
	if _, event := c.Receive(bobSelf, post); event != securejoin.NoEvent {
		t.Errorf("a post of another: event %v", event)
	}
	for _, data := range []string{
		`{"id":"Device","action":{"SetVisibility":"Pinned"}}`,
		`{"id":{"Grpid":"` + id + `"},"action":"Delete"}`,
		`{"id":{"Grpid":"` + id + `"},"action":{"SetPgpContacts":[["x","y"]]}}`,
		`{"id":{"ContactAddr":"x"},"action":{"CreateOutBroadcast":{"chat_name":"x","secret":"y"}}}`,
		`7`,
	} {
		if items, _ := securejoin.ReadSync(altered(data), now); len(items) != 1 || items[0].Kind != securejoin.SyncOther {
			t.Errorf("%s: %+v", data, items)
		}
	}
	for _, bad := range [][3]string{{"short", "News", secret}, {id, "News", "short"}, {id, "", secret}} {
		if _, ok := securejoin.KeptElsewhere(bobSelf, bad[0], bad[1], bad[2], now); ok {
			t.Errorf("%v is taken", bad)
		}
	}
}
