package message

import (
	"strings"

	"golang.org/x/net/idna"
)

// An Address is a display name, decoded, and an addr-spec (RFC 5322, section 3.4).
type Address struct {
	Name string
	Addr string
}

// String gives the address as it stands in a header field: always with angle brackets,
// the name quoted or in encoded words where it must be.
func (a Address) String() string {
	addr := "<" + a.Addr + ">"
	name := strings.TrimSpace(singleLine(a.Name))
	switch {
	case name == "":
		return addr
	case !printable(name) || strings.Contains(name, "=?"):
		return encodePhrase(name) + " " + addr
	case strings.ContainsAny(name, `()<>[]:;@\,."`+"\t"):
		return quote(name) + " " + addr
	}
	return name + " " + addr
}

// A Mailbox is an address as ENVELOPE has it (RFC 3501, section 7.4.2): nothing decoded.
// A group starts with a Mailbox that has no Host and ends with an empty one.
type Mailbox struct {
	Name    string
	Mailbox string
	Host    string
}

// What stands for a part that an address lacks; Dovecot uses the same words.
const (
	missingMailbox = "MISSING_MAILBOX"
	missingDomain  = "MISSING_DOMAIN"
)

// ParseAddresses gives the addresses of a field value, those inside groups too. What has
// no address is left out and does not harm the others. Two addresses without a comma
// between them are two.
func ParseAddresses(value string) []Address {
	var out []Address
	for _, e := range parseEntries(value) {
		if e.kind == entryAddress && isAddr(e.addr) {
			out = append(out, Address{Name: strings.TrimSpace(DecodeWords(e.name)), Addr: e.addr})
		}
	}
	return out
}

// ParseAddressList gives the addresses of a field value as ENVELOPE shows them.
func ParseAddressList(value string) []Mailbox {
	var out []Mailbox
	for _, e := range parseEntries(value) {
		switch e.kind {
		case entryGroup:
			out = append(out, Mailbox{Mailbox: e.name})
		case entryGroupEnd:
			out = append(out, Mailbox{})
		case entryAddress:
			out = append(out, e.mailbox())
		}
	}
	return out
}

type entryKind int

const (
	entryAddress entryKind = iota
	entryGroup
	entryGroupEnd
)

// An entry is one element of an address list.
type entry struct {
	kind       entryKind
	name, addr string
}

func (e entry) mailbox() Mailbox {
	local, domain := splitAddr(e.addr)
	m := Mailbox{Name: e.name, Mailbox: unquoteLocal(local), Host: domain}
	if m.Mailbox == "" {
		m.Mailbox = missingMailbox
	}
	if m.Host == "" {
		m.Host = missingDomain
	}
	return m
}

// An addressScanner goes through an address list once.
type addressScanner struct {
	lexer
	entries   []entry
	words     []string // of the phrase or addr-spec read so far
	comment   string   // the last comment: an old way to give the name
	bracketed bool     // an address in brackets was read since the last comma
	inGroup   bool
}

func parseEntries(s string) []entry {
	s = joinLines([]byte(s))
	var a addressScanner
	for i := 0; i < len(s); {
		i += a.token(s[i:])
	}
	a.finish()
	if a.inGroup {
		a.entries = append(a.entries, entry{kind: entryGroupEnd})
	}
	return a.entries
}

// token takes one token off s and gives its length.
func (a *addressScanner) token(s string) int {
	switch s[0] {
	case ' ', '\t', '>':
		return 1
	case '"':
		if n := a.quoted(s); n > 0 {
			if strings.HasPrefix(s[n:], "@") { // a local part in quotes
				n += wordEnd(s[n:])
			}
			a.words = append(a.words, s[:n])
			return n
		}
		return 1
	case '(':
		if n := a.lexer.comment(s); n > 0 {
			a.comment = s[1 : n-1]
			return n
		}
		return 1
	case '<':
		return a.angle(s)
	case ',':
		a.finish()
		return 1
	case ';':
		a.finish()
		if a.inGroup {
			a.entries = append(a.entries, entry{kind: entryGroupEnd})
			a.inGroup = false
		}
		return 1
	case ':':
		a.group()
		return 1
	}
	n := wordEnd(s)
	a.words = append(a.words, s[:n])
	return n
}

func wordEnd(s string) int {
	if n := strings.IndexAny(s, " \t\"(<>,;:"); n >= 0 {
		return n
	}
	return len(s)
}

// angle reads "<addr-spec>", with a route in front that is dropped (RFC 5322, section 4.4).
func (a *addressScanner) angle(s string) int {
	end := strings.IndexAny(s[1:], "<>") + 1
	if end == 0 || s[end] == '<' {
		return 1 // a bracket that is not closed is passed over
	}
	addr := strings.Join(strings.Fields(dropComments(s[1:end])), "")
	if strings.HasPrefix(addr, "@") {
		if i := strings.IndexByte(addr, ':'); i >= 0 {
			addr = addr[i+1:]
		}
	}
	name := phrase(a.words)
	if name == "" {
		name = a.comment
	}
	if addr != "" || name != "" {
		a.entries = append(a.entries, entry{name: name, addr: addr})
	}
	a.words, a.comment, a.bracketed = nil, "", true
	return end + 1
}

// group starts a group (RFC 5322, section 3.4). A group inside a group is none.
func (a *addressScanner) group() {
	name := phrase(a.words)
	a.words, a.comment, a.bracketed = nil, "", false
	if a.inGroup || name == "" {
		return
	}
	a.inGroup = true
	a.entries = append(a.entries, entry{kind: entryGroup, name: name})
}

// finish ends an element. Words that are left are an address without brackets, or a name
// without an address.
func (a *addressScanner) finish() {
	var rest []string
	found := a.bracketed
	for _, w := range joinAt(a.words) {
		if !isAddr(w) {
			rest = append(rest, w)
			continue
		}
		found = true
		a.entries = append(a.entries, entry{name: a.comment, addr: w})
	}
	if name := phrase(rest); !found && name != "" {
		a.entries = append(a.entries, entry{name: name})
	}
	a.words, a.comment, a.bracketed = nil, "", false
}

// joinAt joins what obsolete blanks around "@" keep apart (RFC 5322, section 4.4).
func joinAt(words []string) []string {
	var out []string
	var b strings.Builder
	for i, w := range words {
		if i > 0 && !meet(words[i-1], w) {
			out = append(out, b.String())
			b.Reset()
		}
		b.WriteString(w)
	}
	if len(words) > 0 {
		out = append(out, b.String())
	}
	return out
}

// meet tells whether an "@" stands between two words.
func meet(a, b string) bool {
	return (strings.HasSuffix(a, "@") || strings.HasPrefix(b, "@")) && !strings.Contains(a, `"`) && !strings.Contains(b, `"`)
}

// isAddr tells whether a word is an addr-spec: an "@" inside quotes makes none, and
// angle brackets, which quotes would allow, stand in no real address.
func isAddr(w string) bool {
	if strings.HasPrefix(w, `"`) && !strings.HasPrefix(w[quotedEnd(w):], "@") {
		return false
	}
	return strings.Contains(w, "@") && !strings.ContainsAny(w, "<>")
}

// phrase joins words to a display name, quotes off.
func phrase(words []string) string {
	out := make([]string, 0, len(words))
	for _, w := range words {
		if n := quotedEnd(w); strings.HasPrefix(w, `"`) && n == len(w) {
			w = unquote(w[1 : n-1])
		}
		out = append(out, w)
	}
	return unfold([]byte(strings.Join(out, " ")))
}

func splitAddr(addr string) (local, domain string) {
	i := strings.LastIndexByte(addr, '@')
	if i < 0 {
		return addr, ""
	}
	return addr[:i], addr[i+1:]
}

func unquoteLocal(s string) string {
	if n := quotedEnd(s); strings.HasPrefix(s, `"`) && n == len(s) {
		return unquote(s[1 : n-1])
	}
	return s
}

// maxDomain is the longest domain name there is (RFC 1035, section 2.3.4).
const maxDomain = 255

// CanonicalAddr gives the form of an addr-spec in which two addresses are compared: the
// domain in IDNA A-labels, all in lower case (Autocrypt Level 1, appendix "E-mail Address
// Canonicalization").
func CanonicalAddr(addr string) string {
	addr = strings.TrimSpace(addr)
	if n := len(addr); n > 1 && addr[0] == '<' && addr[n-1] == '>' {
		addr = addr[1 : n-1]
	}
	local, domain := splitAddr(addr)
	if domain == "" {
		return strings.ToLower(addr)
	}
	if len(domain) <= maxDomain {
		if a, err := idna.Lookup.ToASCII(domain); err == nil {
			domain = a
		}
	}
	return strings.ToLower(local) + "@" + strings.ToLower(domain)
}
