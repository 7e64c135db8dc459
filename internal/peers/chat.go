//go:build linux

package peers

import (
	"regexp"
	"strings"
)

// Contact is a contact as the engine sees it.
type Contact struct {
	ID           int    `json:"id"`
	Address      string `json:"address"`
	DisplayName  string `json:"displayName"`
	AuthName     string `json:"authName"`
	IsKeyContact bool   `json:"isKeyContact"`
	E2EEAvail    bool   `json:"e2eeAvail"`
}

// Message is a message as the engine shows it.
type Message struct {
	ID          int     `json:"id"`
	ChatID      int     `json:"chatId"`
	ParentID    int     `json:"parentId"`
	Text        string  `json:"text"`
	Subject     string  `json:"subject"`
	ShowPadlock bool    `json:"showPadlock"`
	IsInfo      bool    `json:"isInfo"`
	System      string  `json:"systemMessageType"` // "MemberAddedToGroup" for example
	HasHTML     bool    `json:"hasHtml"`
	ViewType    string  `json:"viewType"`
	File        string  `json:"file"`
	FileName    string  `json:"fileName"`
	FileMIME    string  `json:"fileMime"`
	FileBytes   int     `json:"fileBytes"`
	State       int     `json:"state"`
	Error       string  `json:"error"`
	Sender      Contact `json:"sender"`
	Quote       *struct {
		Text      string `json:"text"`
		MessageID int    `json:"messageId"`
	} `json:"quote"`
}

// Chat is what the chat list shows.
type Chat struct {
	ID               int    `json:"id"`
	Name             string `json:"name"`
	IsEncrypted      bool   `json:"isEncrypted"`
	IsContactRequest bool   `json:"isContactRequest"`
}

// SetConfig sets a configuration value, "bcc_self" or "force_encryption" for example.
func (e *Engine) SetConfig(key, value string) {
	e.t.Helper()
	e.rpc("set_config", nil, key, value)
}

// Config gives a configuration value.
func (e *Engine) Config(key string) (value string) {
	e.t.Helper()
	e.rpc("get_config", &value, key)
	return value
}

// Invite gives a link for a contact.
func (e *Engine) Invite() string {
	e.t.Helper()
	var link string
	e.rpc("get_chat_securejoin_qr_code", &link, nil)
	return link
}

// Fingerprint gives the own key's fingerprint, which an invite link begins with. It is asked for
// once: each link makes a token, of which the engine tells its other devices.
func (e *Engine) Fingerprint() string {
	e.t.Helper()
	if e.own == "" {
		_, fragment, _ := strings.Cut(e.Invite(), "#")
		e.own = strings.ToUpper(regexp.MustCompile(`^[0-9A-Fa-f]+`).FindString(fragment))
	}
	return e.own
}

// Join starts the joiner's side and gives the chat. WaitJoined waits for its end.
func (e *Engine) Join(link string) (chat int) {
	e.t.Helper()
	e.rpc("secure_join", &chat, link)
	return chat
}

// done is the progress that means success.
const done = 1000

// WaitJoined waits until a handshake that Join began after mark is through.
func (e *Engine) WaitJoined(mark Mark) Event {
	e.t.Helper()
	return e.Wait("end of the joiner's handshake", mark, func(ev Event) bool {
		return ev.Kind == "SecurejoinJoinerProgress" && ev.Progress == done
	})
}

// WaitInvited waits until somebody has joined by an invite, after mark.
func (e *Engine) WaitInvited(mark Mark) Event {
	e.t.Helper()
	return e.Wait("end of the inviter's handshake", mark, func(ev Event) bool {
		return ev.Kind == "SecurejoinInviterProgress" && ev.Progress == done
	})
}

// Contacts lists all contacts.
func (e *Engine) Contacts() []Contact {
	e.t.Helper()
	var contacts []Contact
	e.rpc("get_contacts", &contacts, 0, nil)
	return contacts
}

// Contact finds the contact with an address, one with a key before one without; also one that the
// engine does not list, because it is known by a handshake or channel alone.
func (e *Engine) Contact(addr string) (Contact, bool) {
	e.t.Helper()
	var found Contact
	for _, c := range append(e.Contacts(), e.changedContacts()...) {
		if strings.EqualFold(c.Address, addr) && (found.ID == 0 || c.IsKeyContact) {
			found = c
		}
	}
	return found, found.ID != 0
}

// changedContacts gives the contacts that the engine's events have named.
func (e *Engine) changedContacts() (contacts []Contact) {
	e.mu.Lock()
	events := e.events
	e.mu.Unlock()
	for _, event := range events {
		var c Contact
		if event.ContactID > self && e.Call("get_contact", &c, e.account, event.ContactID) == nil {
			contacts = append(contacts, c)
		}
	}
	return contacts
}

var fingerprint = regexp.MustCompile(`(?:[0-9A-Fa-f]{4}\s*){10}`)

// ContactFingerprint gives the fingerprint that the engine has for an address, or "".
func (e *Engine) ContactFingerprint(addr string) string {
	e.t.Helper()
	contact, ok := e.Contact(addr)
	if !ok {
		return ""
	}
	return e.fingerprintOf(contact.ID)
}

func (e *Engine) fingerprintOf(contact int) string {
	e.t.Helper()
	var info string
	e.rpc("get_contact_encryption_info", &info, contact)
	own := e.Fingerprint()
	for _, match := range fingerprint.FindAllString(info, -1) {
		if f := strings.ToUpper(strings.Join(strings.Fields(match), "")); f != own {
			return f
		}
	}
	return ""
}

// ChatWith opens the chat with a contact.
func (e *Engine) ChatWith(addr string) (chat int) {
	e.t.Helper()
	e.rpc("create_chat_by_contact_id", &chat, e.contactID(addr))
	return chat
}

// AddContact makes a contact without a key.
func (e *Engine) AddContact(addr, name string) (contact int) {
	e.t.Helper()
	e.rpc("create_contact", &contact, addr, name)
	return contact
}

// Chats lists the chats, the latest first.
func (e *Engine) Chats() []Chat {
	e.t.Helper()
	var ids []int
	e.rpc("get_chatlist_entries", &ids, nil, nil, nil)
	chats := make([]Chat, len(ids))
	for i, id := range ids {
		e.rpc("get_basic_chat_info", &chats[i], id)
	}
	return chats
}

// Chat gives one chat.
func (e *Engine) Chat(id int) Chat {
	e.t.Helper()
	var chat Chat
	e.rpc("get_basic_chat_info", &chat, id)
	return chat
}

// Accept accepts a contact request, so that the chat can be answered.
func (e *Engine) Accept(chat int) {
	e.t.Helper()
	e.rpc("accept_chat", nil, chat)
}

// SendText sends a text and gives the message.
func (e *Engine) SendText(chat int, text string) (message int) {
	e.t.Helper()
	return e.send(chat, map[string]any{"text": text})
}

// SendFile sends a file with a text. viewType is "Image", "File" or another of the engine's.
func (e *Engine) SendFile(chat int, path, viewType, text string) (message int) {
	e.t.Helper()
	return e.send(chat, map[string]any{"text": text, "file": path, "viewtype": viewType})
}

// Reply answers a message, quoting it.
func (e *Engine) Reply(to Message, text string) (message int) {
	e.t.Helper()
	return e.send(to.ChatID, map[string]any{"text": text, "quotedMessageId": to.ID})
}

func (e *Engine) send(chat int, data map[string]any) (message int) {
	e.t.Helper()
	e.rpc("send_msg", &message, chat, data)
	return message
}

// WaitDelivered waits until the provider has taken a message that was sent.
func (e *Engine) WaitDelivered(message int) {
	e.t.Helper()
	e.Wait("delivery of a message", 0, func(ev Event) bool {
		if ev.Kind == "MsgFailed" && ev.MsgID == message {
			e.t.Fatalf("%s: message %d failed", e.Name, message)
		}
		return ev.Kind == "MsgDelivered" && ev.MsgID == message
	})
}

// Message gives one message.
func (e *Engine) Message(id int) Message {
	e.t.Helper()
	var m Message
	e.rpc("get_message", &m, id)
	return m
}

// MessageID gives the Message-ID of a message, without angle brackets.
func (e *Engine) MessageID(id int) string {
	e.t.Helper()
	var info struct {
		ID string `json:"rfc724Mid"`
	}
	e.rpc("get_message_info_object", &info, id)
	return strings.Trim(info.ID, "<>")
}

// Messages lists the messages of a chat.
func (e *Engine) Messages(chat int) []Message {
	e.t.Helper()
	var ids []int
	e.rpc("get_message_ids", &ids, chat, false, false)
	messages := make([]Message, len(ids))
	for i, id := range ids {
		messages[i] = e.Message(id)
	}
	return messages
}

// WaitMessage waits for a received message with this text in it. The text should be like no
// other: the engine also shows messages of its own.
func (e *Engine) WaitMessage(text string) Message {
	e.t.Helper()
	return e.waitMessage("received message", text, func(m Message) bool { return m.Sender.ID != self })
}

// WaitCopy waits for a message with this text that another device of the same user has sent.
func (e *Engine) WaitCopy(text string) Message {
	e.t.Helper()
	return e.waitMessage("message of an own device", text, func(m Message) bool { return m.Sender.ID == self })
}

func (e *Engine) waitMessage(what, text string, match func(Message) bool) Message {
	e.t.Helper()
	var found Message
	e.Wait(what+" with the text "+text, 0, func(ev Event) bool {
		if ev.MsgID == 0 || ev.Kind != "IncomingMsg" && ev.Kind != "MsgsChanged" {
			return false
		}
		// The message may be gone again.
		if err := e.Call("get_message", &found, e.account, ev.MsgID); err != nil {
			return false
		}
		return strings.Contains(found.Text, text) && match(found)
	})
	return found
}

// self is the engine's contact id of the own account.
const self = 1
