package provider

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/emersion/go-imap/v2"
)

// Violation is something that reached the provider and must not have.
type Violation struct {
	User   string // who was logged in; may be empty
	Rule   string
	Detail string
}

func (v Violation) String() string { return fmt.Sprintf("%s: %s: %s", v.User, v.Rule, v.Detail) }

// The rules that can be violated.
const (
	RuleWord      = "a secret word reached the provider"
	RuleDraft     = "a draft reached the provider unencrypted"
	RuleOpened    = "opened mail reached the provider unencrypted"
	RulePlainCopy = "a copy of an encrypted message reached the provider unencrypted"
	RuleReply     = "the reply to an encrypted message was sent unencrypted"
)

// alarm is what the provider is told to look for, and what it found.
type alarm struct {
	mu         sync.Mutex
	words      []watched
	longest    int // octets of the longest form of a word
	guarded    map[string]bool
	guardAll   bool
	violations []Violation
}

// watched is a secret word in all the forms it is looked for.
type watched struct {
	word   string
	folded []byte   // in lower case
	base64 [][]byte // at the three offsets
}

// Watch looks for words in everything that clients send from now on, over IMAP and
// SMTP: as they are (without regard to case), in quoted-printable, and in base64.
// A word of less than 6 octets panics: it would turn up by chance, and a test that goes on with an
// alarm of no worth would pass for nothing.
func (p *Provider) Watch(words ...string) {
	a := &p.alarm
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, word := range words {
		if len(word) < 6 {
			panic("provider: a word of less than 6 octets cannot be watched")
		}
		w := watched{word: word, folded: lower([]byte(word)), base64: base64Forms([]byte(word))}
		a.words = append(a.words, w)
		// Base64 takes four octets for three.
		a.longest = max(a.longest, 2*len(word))
	}
}

// Guard raises the alarm for what these users store or send: drafts, opened mail and
// copies of encrypted mail that are not encrypted, and unencrypted replies to
// encrypted mail. Without users it guards all.
func (p *Provider) Guard(users ...string) {
	a := &p.alarm
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(users) == 0 {
		a.guardAll = true
	}
	if a.guarded == nil {
		a.guarded = make(map[string]bool)
	}
	for _, u := range users {
		a.guarded[canonicalAddr(u)] = true
	}
}

// Violations lists what was found so far.
func (p *Provider) Violations() []Violation {
	p.alarm.mu.Lock()
	defer p.alarm.mu.Unlock()
	return slices.Clone(p.alarm.violations)
}

func (a *alarm) guards(addr string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.guardAll || a.guarded[addr]
}

func (a *alarm) raise(addr, rule, detail string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	v := Violation{User: addr, Rule: rule, Detail: detail}
	if !slices.Contains(a.violations, v) {
		a.violations = append(a.violations, v)
	}
}

// text looks into what the stream hides: a mailbox name is modified UTF-7 there.
func (a *alarm) text(addr, text string) {
	s := a.scanner()
	s.user = addr
	s.write([]byte(text))
	s.write([]byte("\r\n"))
}

// inspectAppend applies the rules to a message that a client stores.
func (p *Provider) inspectAppend(u *user, b *box, raw []byte, flags []imap.Flag) {
	defer u.note(raw)
	if !p.alarm.guards(u.addr) || encrypted(raw) {
		return
	}
	detail := fmt.Sprintf("APPEND to %s: %.80q", b.name, raw)
	if b.use == imap.MailboxAttrDrafts || b.name == "Templates" || hasFlag(canonicalFlags(flags), imap.FlagDraft) || fieldValue(raw, "X-Mozilla-Draft-Info") != "" {
		p.alarm.raise(u.addr, RuleDraft, detail)
	}
	if opened(raw) {
		p.alarm.raise(u.addr, RuleOpened, detail)
	}
	if id := fieldValue(raw, "Message-ID"); id != "" && u.encrypted[id] {
		p.alarm.raise(u.addr, RulePlainCopy, detail)
	}
}

// inspectSubmission applies the rules to a message that a client sends.
func (p *Provider) inspectSubmission(u *user, raw []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer u.note(raw)
	if !p.alarm.guards(u.addr) || encrypted(raw) {
		return
	}
	detail := fmt.Sprintf("DATA: %.80q", raw)
	if opened(raw) {
		p.alarm.raise(u.addr, RuleOpened, detail)
	}
	for _, name := range []string{"In-Reply-To", "References", "X-Forwarded-Message-Id"} {
		for _, id := range strings.Fields(fieldValue(raw, name)) {
			if u.encrypted[id] {
				p.alarm.raise(u.addr, RuleReply, detail)
				return
			}
		}
	}
}

// note remembers the Message-ID of an encrypted message that the user has or sent.
func (u *user) note(raw []byte) {
	if id := fieldValue(raw, "Message-ID"); id != "" && encrypted(raw) {
		u.encrypted[id] = true
	}
}

// encrypted reports whether a message is PGP/MIME (RFC 3156, section 4).
func encrypted(raw []byte) bool {
	mediaType, _, _ := strings.Cut(fieldValue(raw, "Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(mediaType), "multipart/encrypted")
}

// opened reports whether a message, or one nested in it, carries the bridge's word that
// it was encrypted.
func opened(raw []byte) bool {
	for line := range bytes.Lines(raw) {
		if bytes.HasPrefix(line, []byte("Mailbridge-Security:")) && bytes.Contains(line, []byte("encryption=openpgp")) {
			return true
		}
	}
	return false
}
