package securejoin

import (
	"encoding/json"
	"io"
	"slices"
	"strings"
	"time"

	"mailbridge/message"
)

// Sync messages go from one device of an account to the others: encrypted to
// the own key and signed by it. Whoever calls this has checked both.

// maxSync bounds the items of a sync message, and maxSyncItems their number:
// Delta Chat 2.62 sends a few at a time.
const (
	maxSync      = 1 << 20
	maxSyncItems = 1000
)

const (
	syncType    = "multi-device-sync"
	syncSubject = "Multi Device Synchronization"
	syncText    = "This message is used to synchronize data between your devices."
)

// SyncKind is what an item is about.
type SyncKind int

const (
	SyncOther SyncKind = iota // not understood, and skipped
	AddQrToken
	DeleteQrToken
	NewBroadcast // a channel, which the other device keeps
)

// SyncItem is one change that another device made.
type SyncItem struct {
	Kind    SyncKind
	At      time.Time
	Number  string
	Auth    string
	GroupID string // empty: of contacts
	Name    string // of a NewBroadcast, as is the secret
	Secret  string
}

type itemJSON struct {
	Timestamp int64                      `json:"timestamp"`
	Data      map[string]json.RawMessage `json:"data"`
}

type tokenJSON struct {
	Number  string  `json:"invitenumber"`
	Auth    string  `json:"auth"`
	GroupID *string `json:"grpid"`
}

var syncKinds = map[SyncKind]string{AddQrToken: "AddQrToken", DeleteQrToken: "DeleteQrToken"}

// IsSync says whether an opened message is one between devices.
func IsSync(inner message.Header) bool {
	mediaType, params := message.ContentType(inner.Get("Content-Type"))
	return mediaType == "multipart/report" && strings.EqualFold(params["report-type"], syncType)
}

// ReadSync reads an opened sync message. An item that is not understood does
// not harm the others. No item is later than its message or than now.
func ReadSync(payload []byte, now time.Time) ([]SyncItem, bool) {
	inner, _ := message.ParseHeader(payload)
	if !IsSync(inner) {
		return nil, false
	}
	for _, part := range message.Parse(payload).Children {
		if part.MediaType == "application/json" {
			return decodeSync(part.Decoded(payload), dateOf(inner, now))
		}
	}
	return nil, false
}

func decodeSync(data []byte, latest time.Time) ([]SyncItem, bool) {
	if len(data) > maxSync {
		return nil, false
	}
	var raw struct {
		Items []json.RawMessage `json:"items"`
	}
	if json.Unmarshal(data, &raw) != nil || len(raw.Items) > maxSyncItems {
		return nil, false
	}
	items := make([]SyncItem, len(raw.Items))
	for n, r := range raw.Items {
		items[n] = decodeItem(r, latest)
	}
	return items, true
}

func decodeItem(raw []byte, latest time.Time) SyncItem {
	item := SyncItem{At: latest}
	var i itemJSON
	if json.Unmarshal(raw, &i) != nil || len(i.Data) != 1 {
		return item
	}
	if at := fromUnix(i.Timestamp); at.Before(latest) {
		item.At = at
	}
	item.readAlter(i.Data["AlterChat"])
	for kind, name := range syncKinds {
		var token tokenJSON
		data, there := i.Data[name]
		if !there || json.Unmarshal(data, &token) != nil || token.Number == "" && token.Auth == "" {
			continue
		}
		item.Kind, item.Number, item.Auth = kind, token.Number, token.Auth
		if token.GroupID != nil {
			item.GroupID = *token.GroupID
		}
	}
	return item
}

// encodeSync writes items, each on a line as Delta Chat 2.62 does.
func encodeSync(items []SyncItem) ([]byte, error) {
	var lines []string
	for _, item := range items {
		name, known := syncKinds[item.Kind]
		if !known {
			return nil, ErrCompose
		}
		token := tokenJSON{Number: item.Number, Auth: item.Auth}
		if item.GroupID != "" {
			token.GroupID = &item.GroupID
		}
		data, err := json.Marshal(token)
		if err != nil {
			return nil, err
		}
		line, err := json.Marshal(itemJSON{unix(item.At), map[string]json.RawMessage{name: data}})
		if err != nil {
			return nil, err
		}
		lines = append(lines, string(line))
	}
	return []byte("{\"items\":[\r\n" + strings.Join(lines, ",\r\n") + "\r\n]}"), nil
}

// SyncAdd announces a shared invite to the own devices. Only those that are
// Shared may be: the item carries neither an expiry nor a number of uses.
func (i Invite) SyncAdd(now time.Time) (SyncItem, error) {
	if !i.Shared {
		return SyncItem{}, ErrSharedInvite
	}
	return SyncItem{Kind: AddQrToken, At: seconds(now), Number: i.Number, Auth: i.Auth, GroupID: i.GroupID}, nil
}

// SyncDelete withdraws a shared invite on the own devices. It withdraws all
// links of that chat there, and the user is told so before.
func (i Invite) SyncDelete(now time.Time) (SyncItem, error) {
	if !i.Shared {
		return SyncItem{}, ErrSharedInvite
	}
	return SyncItem{Kind: DeleteQrToken, At: seconds(now), Number: i.Number, Auth: i.Auth, GroupID: i.GroupID}, nil
}

// SyncNothing is an item that changes nothing: it withdraws a link that never
// was. A Delta Chat app that receives any item knows that it is not the only
// device, sends copies to itself, and deletes no longer what it has read.
func SyncNothing(rand io.Reader, now time.Time) (SyncItem, error) {
	number, err := NewToken(rand)
	if err != nil {
		return SyncItem{}, err
	}
	auth, err := NewToken(rand)
	if err != nil {
		return SyncItem{}, err
	}
	return SyncItem{Kind: DeleteQrToken, At: seconds(now), Number: number, Auth: auth}, nil
}

// ComposeSync writes a sync message.
func ComposeSync(items []SyncItem, me Self, env Env) (Mail, error) {
	data, err := encodeSync(items)
	if err != nil || len(items) == 0 {
		return Mail{}, ErrCompose
	}
	f := protected(named(me.Name, me.Addr), me, env, env.Autocrypt, chatVersion)
	report := message.SetParam("multipart/report; report-type="+syncType+`; protected-headers="v1"; hp="cipher"`, "boundary", env.Boundary)
	f.header.Set(message.NewField("Content-Type", report))
	f.add("Date", message.FormatDate(env.Now.UTC()))
	f.add("To", named(me.Name, me.Addr))
	f.add("Subject", syncSubject)
	f.add("Chat-Version", chatVersion)
	f.add("Auto-Submitted", "auto-generated")
	parts := []string{
		"Content-Type: text/plain; charset=\"utf-8\"\r\nContent-Transfer-Encoding: 7bit\r\n\r\n" + syncText,
		"Content-Type: application/json; charset=\"utf-8\"\r\n" +
			"Content-Disposition: attachment; filename=\"" + syncType + ".json\"\r\nContent-Transfer-Encoding: 7bit\r\n\r\n" + string(data),
	}
	body := "\r\n"
	for _, part := range parts {
		body += "--" + env.Boundary + "\r\n" + part + "\r\n"
	}
	body += "--" + env.Boundary + "--\r\n"
	return Mail{Outer: outer(me, env, chatVersion), Inner: append(f.header.Bytes(), body...)}, nil
}

// ApplySync takes the items of a sync message over: the changed and the new
// invites are handed back, new ones with id 0; one of a group may be of a
// channel, which the caller knows by its id. An AUTH that is known is never
// lifted by an item: a revoked or used-up invite lives again only by Revive.
// A withdrawal revokes the invite it names and all of its chat that were made
// before it, so that an old one that is sent again does not hit new links.
func ApplySync(items []SyncItem, invites []Invite, now time.Time) []Invite {
	all := slices.Clone(invites)
	touched := make(map[int]bool)
	for _, item := range items {
		if item.Kind == DeleteQrToken {
			item.withdraw(all, touched)
		}
		if i, ok := item.invite(all, now); ok {
			touched[len(all)] = true
			all = append(all, i)
		}
	}
	var changed []Invite
	for n, i := range all {
		if touched[n] {
			changed = append(changed, i)
		}
	}
	return changed
}

// withdraw revokes what the item is about, and says which those are.
func (s SyncItem) withdraw(all []Invite, touched map[int]bool) {
	chats := make(map[string]bool)
	for _, i := range all {
		if same(i.Auth, s.Auth) || s.Number != "" && same(i.Number, s.Number) {
			chats[i.GroupID] = true
		}
	}
	for n, i := range all {
		if i.Revoked.IsZero() && (same(i.Auth, s.Auth) || chats[i.GroupID] && !i.Created.After(s.At)) {
			all[n], touched[n] = i.Revoke(later(s.At, i.Created)), true
		}
	}
}

// invite is the invite that another device made, if it is not known. Of one
// that is withdrawn it is what remembers that, so that the item that announces
// it cannot come later, or again. What is older than a withdrawal is remembered
// is not taken at all.
func (s SyncItem) invite(known []Invite, now time.Time) (Invite, bool) {
	if s.Kind == SyncOther || now.Sub(s.At) > Tombstone || !validToken(s.Auth) ||
		s.Number != "" && !validToken(s.Number) || s.GroupID != "" && !validToken(s.GroupID) {
		return Invite{}, false
	}
	i := Invite{Auth: s.Auth, Number: s.Number, Created: s.At, Shared: true}
	if s.GroupID != "" {
		i.Kind, i.GroupID = Group, s.GroupID
	}
	if s.Kind == DeleteQrToken {
		i.Created, i.Revoked = time.Time{}, s.At // when it was made is not known
	}
	for _, k := range known {
		switch {
		case same(k.Auth, s.Auth):
			return Invite{}, false
		case k.Shared && s.Number != "" && same(k.Number, s.Number) && !s.At.After(k.Revoked):
			i.Revoked = later(i.Revoked, k.Revoked) // its chat was withdrawn after it was made
		}
	}
	return i, true
}
