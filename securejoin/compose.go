package securejoin

import (
	"errors"
	"strings"
	"time"

	"mailbridge/message"
)

// Env is what a message needs beside its step.
type Env struct {
	Now       time.Time
	OuterDate time.Time // random, up to six days before Now
	MessageID string    // without brackets; the same inside and outside
	Autocrypt string    // value of our Autocrypt field
	Gossip    string    // value of the Autocrypt-Gossip field of the recipient

	Gossips    []string // of a Post: of everybody in Post.Gossip
	Boundary   string   // of a plain request and of a sync message
	InReplyTo  string   // of a Post: the last message of its thread, without brackets; may be empty
	References []string // of a Post, oldest first; may be empty
}

// Mail is a composed message. Inner is to be encrypted; it is put under
// Outer, which is a header block without the empty line and without
// MIME-Version and Content-* fields.
type Mail struct {
	Outer []byte
	Inner []byte
	// Plain is the whole message of a step that is not encrypted; Outer and
	// Inner are empty then.
	Plain []byte
}

// ErrCompose: a step that is not composed here.
var ErrCompose = errors.New("securejoin: step cannot be composed")

// hiddenRecipients stands in To where nobody is named (RFC 5322, section 3.4).
const hiddenRecipients = `"hidden-recipients": ;`

const (
	outerSubject = "[...]"
	chatVersion  = "1.0"
	innerType    = `text/plain; charset="utf-8"; protected-headers="v1"; hp="cipher"`
)

// Compose writes a step as Delta Chat 2.62 does, field by field in its order.
// The steps before the joiner has proved the AUTH hold nothing personal: no
// display name and no recipient.
func Compose(s Send, me Self, env Env) (Mail, error) {
	switch s.Step {
	case RequestPubkey, Pubkey:
		return s.symmetric(me, env), nil
	case Request:
		if s.Number != "" {
			return s.plain(me, env), nil
		}
	case AuthRequired:
		if len(s.To) == 1 {
			return s.authRequired(me, env), nil
		}
	case RequestWithAuth, ContactConfirm:
		if len(s.To) == 1 {
			return s.asymmetric(me, env), nil
		}
	}
	return Mail{}, ErrCompose
}

// fields collects a header block.
type fields struct{ header message.Header }

func (f *fields) add(name, value string) {
	if value != "" {
		f.header.Add(message.NewField(name, value))
	}
}

// outer is the header of the mail around the encryption.
func outer(me Self, env Env, chat string) []byte {
	var f fields
	f.add("From", bare(me.Addr))
	f.add("Date", message.FormatDate(env.OuterDate.UTC()))
	f.add("Message-ID", "<"+env.MessageID+">")
	f.add("To", hiddenRecipients)
	f.add("Subject", outerSubject)
	f.add("Chat-Version", chat)
	return f.header.Bytes()
}

// protected begins the header inside: what is also outside is repeated with
// HP-Outer (RFC 9788, section 2.2), beside the field where it has one there.
func protected(from string, me Self, env Env, autocrypt, chat string) *fields {
	f := &fields{}
	f.add("From", from)
	f.add("HP-Outer", "From: "+bare(me.Addr))
	f.add("HP-Outer", "Date: "+message.FormatDate(env.OuterDate.UTC()))
	f.add("Message-ID", "<"+env.MessageID+">")
	f.add("HP-Outer", "Message-ID: <"+env.MessageID+">")
	f.add("Autocrypt", autocrypt)
	f.add("HP-Outer", "To: "+hiddenRecipients)
	f.add("HP-Outer", "Subject: "+outerSubject)
	if chat != "" {
		f.add("HP-Outer", "Chat-Version: "+chat)
	}
	f.add("Content-Type", innerType)
	return f
}

func (f *fields) mail(outer []byte, body string) Mail {
	f.add("Content-Transfer-Encoding", "7bit")
	return Mail{Outer: outer, Inner: append(f.header.Bytes(), "\r\n"+body+"\r\n"...)}
}

// symmetric: vc-request-pubkey and vc-pubkey. Only the second, which is
// signed, brings a key.
func (s Send) symmetric(me Self, env Env) Mail {
	autocrypt := ""
	if s.Step == Pubkey {
		autocrypt = env.Autocrypt
	}
	f := protected(bare(me.Addr), me, env, autocrypt, "")
	f.add("To", hiddenRecipients)
	f.add("Date", message.FormatDate(env.Now.UTC()))
	f.add("Subject", FieldStep)
	f.add(FieldStep, s.Step.String())
	f.add(FieldAuth, s.Auth)
	return f.mail(outer(me, env, ""), FieldStep)
}

// asymmetric: vc-request-with-auth and vc-contact-confirm. The gossip of the
// recipient's own key is what the reference asks for.
func (s Send) asymmetric(me Self, env Env) Mail {
	f := protected(named(me.Name, me.Addr), me, env, env.Autocrypt, chatVersion)
	f.add("Date", message.FormatDate(env.Now.UTC()))
	f.add("To", named(s.ToName, s.To[0]))
	f.add("Subject", message.EncodeWord("Message from "+displayName(me)))
	f.add("References", "<"+env.MessageID+">")
	f.add("Chat-Version", chatVersion)
	f.add(FieldStep, s.Step.Name(s.Kind))
	f.add(FieldAuth, s.Auth)
	if s.Step == RequestWithAuth {
		f.add(FieldFingerprint, string(me.Fingerprint))
		f.add(FieldGroup, s.Group)
	}
	f.add("Autocrypt-Gossip", env.Gossip)
	return f.mail(outer(me, env, chatVersion), FieldStep+": "+s.Step.Name(s.Kind))
}

// authRequired: the answer to a plain request. Its sender has proved nothing,
// so that it is told no more than the key.
func (s Send) authRequired(me Self, env Env) Mail {
	f := protected(bare(me.Addr), me, env, env.Autocrypt, chatVersion)
	f.add("Date", message.FormatDate(env.Now.UTC()))
	f.add("To", bare(s.To[0]))
	f.add("Subject", "Message from "+me.Addr)
	f.add("References", "<"+env.MessageID+">")
	f.add("Chat-Version", chatVersion)
	f.add(FieldStep, s.Step.Name(s.Kind))
	f.add("Autocrypt-Gossip", env.Gossip)
	return f.mail(outer(me, env, chatVersion), FieldStep+": "+s.Step.Name(s.Kind))
}

// plain: vc-request, the one step that is not encrypted. Chatmail relays let
// it pass only in this form: multipart/mixed with exactly one text part, which
// repeats the step. It is dated truly, and tells no name.
func (s Send) plain(me Self, env Env) Mail {
	var f fields
	f.add("From", bare(me.Addr))
	f.add("Message-ID", "<"+env.MessageID+">")
	f.add("MIME-Version", "1.0")
	f.add("Autocrypt", env.Autocrypt)
	f.add("Content-Type", message.SetParam("multipart/mixed", "boundary", env.Boundary))
	f.add("Date", message.FormatDate(env.Now.UTC()))
	f.add("To", bareList(s.To))
	f.add("Subject", "Message from "+me.Addr)
	f.add("References", "<"+env.MessageID+">")
	f.add("Chat-Version", chatVersion)
	f.add(FieldStep, s.Step.Name(s.Kind))
	f.add(FieldNumber, s.Number)
	body := "\r\n--" + env.Boundary + "\r\n" +
		"Content-Type: text/plain; charset=\"utf-8\"\r\nContent-Transfer-Encoding: 7bit\r\n\r\n" +
		FieldStep + ": " + s.Step.Name(s.Kind) + "\r\n--" + env.Boundary + "--\r\n"
	return Mail{Plain: append(f.header.Bytes(), body...)}
}

func bareList(addrs []string) string { return strings.Join(mapped(addrs, bare), ", ") }

func bare(addr string) string { return "<" + addr + ">" }

func named(name, addr string) string {
	if name == "" {
		return bare(addr)
	}
	return message.Address{Name: name, Addr: addr}.String()
}

func displayName(me Self) string {
	if me.Name == "" {
		return me.Addr
	}
	return me.Name
}
