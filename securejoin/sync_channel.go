package securejoin

import (
	"encoding/json"
	"time"
)

// alterJSON is an item about a chat; one that is named otherwise than by its
// id is not decoded.
type alterJSON struct {
	ID struct {
		GroupID string `json:"Grpid"`
	} `json:"id"`
	Action struct {
		Channel *struct {
			Name   string `json:"chat_name"`
			Secret string `json:"secret"`
		} `json:"CreateOutBroadcast"`
	} `json:"action"`
}

// readAlter reads that another device has made a channel. What else it does
// to its chats is not understood.
func (s *SyncItem) readAlter(data []byte) {
	var a alterJSON
	if json.Unmarshal(data, &a) == nil && a.Action.Channel != nil && validToken(a.ID.GroupID) {
		s.Kind, s.GroupID, s.Name, s.Secret = NewBroadcast, a.ID.GroupID, a.Action.Channel.Name, a.Action.Channel.Secret
	}
}

// KeptElsewhere is a channel of ours that another device keeps: its posts are
// read here, and nothing else. Who subscribes, and another secret, only the
// other device would know of.
func KeptElsewhere(me Self, id, name, secret string, at time.Time) (ChannelChat, bool) {
	name = cleanName(name)
	if !validToken(id) || !validSecret(secret) || name == "" {
		return ChannelChat{}, false
	}
	at = seconds(at)
	return ChannelChat{
		ID: id, Name: name, NameAt: at, Owner: me.member(at), Secrets: []string{secret}, RotatedAt: at, Elsewhere: true,
	}, true
}
