package db

import (
	"encoding/json"
	"slices"
	"strings"

	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// Group is a group with what only this account knows of it.
type Group struct {
	securejoin.GroupChat
	// Local is the random part of the group's address here. The group's own id is not shown:
	// whoever knows it could write into the group of programs that check less.
	Local string
	// Thread are the Message-IDs of the last messages, oldest first.
	Thread []string
	// Made: it was made here, and not learnt from others.
	Made bool
	// Apps are the keys of members whose program keeps groups by itself.
	Apps []pgp.Fingerprint
}

// Channel is a channel with what only this account knows of it.
type Channel struct {
	securejoin.ChannelChat
	Local string // as in Group
}

// maxThread is how many messages of a thread are remembered: as many as References names.
const maxThread = 3

// Followed gives a thread with one more message. One that has none, or that came before,
// changes nothing.
func Followed(thread []string, messageID string) []string {
	if messageID == "" || slices.Contains(thread, messageID) {
		return thread
	}
	thread = append(thread[:len(thread):len(thread)], messageID)
	return thread[max(0, len(thread)-maxThread):]
}

// Group gives a group by its id, or ErrNotFound.
func (tx *Tx) Group(id string) (Group, error) {
	return oneChat[Group](tx, "grp", "id", id)
}

// GroupByLocal gives a group by the random part of its address, or ErrNotFound.
func (tx *Tx) GroupByLocal(local string) (Group, error) {
	return oneChat[Group](tx, "grp", "local", local)
}

// Groups gives all groups, by id.
func (tx *Tx) Groups() ([]Group, error) { return chats[Group](tx, "grp") }

// PutGroup stores a group, new or changed.
func (tx *Tx) PutGroup(g Group) error { return putChat(tx, "grp", g.ID, g.Local, g) }

// Channel gives a channel by its id, or ErrNotFound.
func (tx *Tx) Channel(id string) (Channel, error) {
	return oneChat[Channel](tx, "channel", "id", id)
}

// ChannelByLocal gives a channel by the random part of its address, or ErrNotFound.
func (tx *Tx) ChannelByLocal(local string) (Channel, error) {
	return oneChat[Channel](tx, "channel", "local", local)
}

// Channels gives all channels, by id.
func (tx *Tx) Channels() ([]Channel, error) { return chats[Channel](tx, "channel") }

// ChannelSecrets gives the secrets of all channels that are open, our own and those that we
// subscribe to: what is tried on a symmetric message.
func (tx *Tx) ChannelSecrets() ([]string, error) {
	var secrets []string
	err := tx.query(func(scan func(...any) error) error {
		var id string
		var sealed []byte
		if err := scan(&id, &sealed); err != nil {
			return err
		}
		plain, err := tx.open("channel", id, "secrets", sealed)
		secrets = append(secrets, strings.Fields(string(plain))...)
		return err
	}, `SELECT id, secrets FROM channel ORDER BY id`)
	return secrets, err
}

// PutChannel stores a channel, new or changed.
func (tx *Tx) PutChannel(c Channel) error {
	if err := putChat(tx, "channel", c.ID, c.Local, c); err != nil {
		return err
	}
	return tx.execOne(`UPDATE channel SET secrets = ? WHERE id = ?`,
		tx.seal("channel", c.ID, "secrets", []byte(strings.Join(c.Secrets, "\n"))), c.ID)
}

func putChat(tx *Tx, table, id, local string, chat any) error {
	plain, err := json.Marshal(chat)
	if err != nil {
		return err
	}
	_, err = tx.exec(`INSERT INTO `+table+` (id, local, chat) VALUES (?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET chat = excluded.chat`, id, local, tx.seal(table, id, "chat", plain))
	return err
}

func scanChat[T any](tx *Tx, table string, scan func(...any) error) (chat T, err error) {
	var id string
	var sealed []byte
	if err := scan(&id, &sealed); err != nil {
		return chat, err
	}
	plain, err := tx.open(table, id, "chat", sealed)
	if err != nil {
		return chat, err
	}
	return chat, json.Unmarshal(plain, &chat)
}

func oneChat[T any](tx *Tx, table, column, value string) (T, error) {
	return scanChat[T](tx, table, tx.queryRow(`SELECT id, chat FROM `+table+` WHERE `+column+` = ?`, value).Scan)
}

func chats[T any](tx *Tx, table string) ([]T, error) {
	var list []T
	err := tx.query(func(scan func(...any) error) error {
		chat, err := scanChat[T](tx, table, scan)
		list = append(list, chat)
		return err
	}, `SELECT id, chat FROM `+table+` ORDER BY id`)
	return list, err
}
