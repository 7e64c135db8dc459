//go:build linux

package peers

import (
	"fmt"
	"slices"
	"strings"
)

// Member is a member of a group, or a subscriber of a channel.
type Member struct{ Address, Fingerprint string }

// CreateGroup makes an encrypted group.
func (e *Engine) CreateGroup(name string) (chat int) {
	e.t.Helper()
	e.rpc("create_group_chat", &chat, name, false)
	return chat
}

// CreateChannel makes a channel; only Engine 2.33 and later have them.
func (e *Engine) CreateChannel(name string) (chat int) {
	e.t.Helper()
	e.rpc("create_broadcast", &chat, name)
	return chat
}

// ChatInvite gives a link for a group or channel.
func (e *Engine) ChatInvite(chat int) string {
	e.t.Helper()
	var link string
	e.rpc("get_chat_securejoin_qr_code", &link, chat)
	return link
}

// AddMember adds a contact to a group.
func (e *Engine) AddMember(chat int, addr string) {
	e.t.Helper()
	e.rpc("add_contact_to_chat", nil, chat, e.contactID(addr))
}

// RemoveMember removes a member from a group, or a subscriber from a channel.
func (e *Engine) RemoveMember(chat int, addr string) {
	e.t.Helper()
	for _, c := range e.chatContacts(chat) {
		if c.Address == addr {
			e.rpc("remove_contact_from_chat", nil, chat, c.ID)
			return
		}
	}
	e.t.Fatalf("%s: %s is not in chat %d", e.Name, addr, chat)
}

// Leave leaves a group or channel.
func (e *Engine) Leave(chat int) {
	e.t.Helper()
	e.rpc("leave_group", nil, chat)
}

// Rename gives a group another name.
func (e *Engine) Rename(chat int, name string) {
	e.t.Helper()
	e.rpc("set_chat_name", nil, chat, name)
}

func (e *Engine) contactID(addr string) int {
	e.t.Helper()
	contact, ok := e.Contact(addr)
	if !ok {
		e.t.Fatalf("%s has no contact %s", e.Name, addr)
	}
	return contact.ID
}

// chatContacts gives those in a chat; the engine does not list all of them among its contacts.
func (e *Engine) chatContacts(chat int) []Contact {
	e.t.Helper()
	var ids []int
	e.rpc("get_chat_contacts", &ids, chat)
	contacts := make([]Contact, len(ids))
	for i, id := range ids {
		e.rpc("get_contact", &contacts[i], id)
		if id == self {
			contacts[i].Address = e.Addr
		}
	}
	return contacts
}

// Members lists the members of a group, the own account among them if it is one; sorted by address.
func (e *Engine) Members(chat int) []Member {
	e.t.Helper()
	contacts := e.chatContacts(chat)
	members := make([]Member, len(contacts))
	for i, c := range contacts {
		members[i] = Member{c.Address, e.Fingerprint()}
		if c.ID != self {
			members[i].Fingerprint = e.fingerprintOf(c.ID)
		}
	}
	slices.SortFunc(members, func(a, b Member) int { return strings.Compare(a.Address, b.Address) })
	return members
}

// WaitMembers waits until a chat has exactly the members with these addresses.
func (e *Engine) WaitMembers(chat int, addrs ...string) {
	e.t.Helper()
	want := slices.Sorted(slices.Values(addrs))
	e.Until(fmt.Sprintf("the members of chat %d are %v", chat, want), func() bool {
		var got []string
		for _, c := range e.chatContacts(chat) {
			got = append(got, c.Address)
		}
		slices.Sort(got)
		return slices.Equal(got, want)
	})
}

// WaitChat waits for the group or channel with this name.
func (e *Engine) WaitChat(name string) (chat int) {
	e.t.Helper()
	e.Until("a chat "+name, func() bool {
		for _, c := range e.Chats() {
			if c.Name == name {
				chat = c.ID
			}
		}
		return chat != 0
	})
	return chat
}
