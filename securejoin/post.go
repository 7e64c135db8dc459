package securejoin

import (
	"strings"

	"mailbridge/message"
)

// maxReferences is how many messages of a thread are named (Delta Chat 2.62).
const maxReferences = 3

// ComposePost writes a message about a change in a group or channel, field by
// field in the order of Delta Chat 2.62. It says nothing of an avatar: an app
// on the same account may have one.
func ComposePost(p Post, me Self, env Env) (Mail, error) {
	if p.Text == "" || p.Subject == "" {
		return Mail{}, ErrCompose
	}
	f := protected(named(me.Name, me.Addr), me, env, env.Autocrypt, chatVersion)
	f.add("Date", message.FormatDate(env.Now.UTC()))
	f.add("To", p.ToField())
	f.all(p.Lists)
	subject := p.Subject
	if env.InReplyTo != "" {
		subject = "Re: " + subject
	}
	f.add("Subject", message.EncodeWord(subject))
	if env.InReplyTo != "" {
		f.add("In-Reply-To", "<"+env.InReplyTo+">")
	}
	f.add("References", references(env))
	f.all(p.Fields)
	for _, gossip := range env.Gossips {
		f.add("Autocrypt-Gossip", gossip)
	}
	return f.text(outer(me, env, chatVersion), p.Text), nil
}

// ToField is the value of To inside.
func (p Post) ToField() string {
	var to []string
	for _, m := range p.To {
		to = append(to, named(m.Name, m.Addr))
	}
	if len(to) == 0 {
		return hiddenRecipients
	}
	return strings.Join(to, ", ")
}

// references names the last messages of the thread, or in the first message
// the message itself.
func references(env Env) string {
	ids := env.References
	if len(ids) == 0 {
		ids = []string{env.MessageID}
	}
	ids = ids[max(0, len(ids)-maxReferences):]
	return strings.Join(mapped(ids, bare), " ")
}

func (f *fields) all(list []message.Field) {
	for _, field := range list {
		f.header.Add(field)
	}
}

// text ends a message whose text may be of any characters: names are.
func (f *fields) text(outer []byte, body string) Mail {
	if strings.IndexFunc(body, func(r rune) bool { return r > '~' }) < 0 {
		return f.mail(outer, body)
	}
	f.add("Content-Transfer-Encoding", "8bit")
	return Mail{Outer: outer, Inner: append(f.header.Bytes(), "\r\n"+body+"\r\n"...)}
}
