package imapproxy

import (
	"slices"
	"strings"
	"time"

	"mailbridge/mailbox"
)

const (
	// maxSearchKeys bounds one SEARCH; a quick filter sends about ten keys.
	maxSearchKeys = 500
	// maxSearchDepth bounds the nesting of NOT, OR and parentheses. A client that
	// searches for ten alternatives nests ten OR.
	maxSearchDepth = 100
)

// day is a date without time and zone, as SEARCH compares them.
type day int

func dayOf(t time.Time) day {
	y, m, d := t.Date()
	return day(y*10000 + int(m)*100 + d)
}

// parseSearch reads the arguments of SEARCH: the result options as they are, for go-imap,
// and the keys. go-imap's own reading loses SMALLER beside a date, and takes SMALLER 0
// for everything.
func parseSearch(args string) (options string, key searchKey, refused *refusal) {
	p := &searchParser{parser: parser{args}}
	p.space()
	options, ok := p.options()
	if !ok {
		return "", nil, bad("unknown result option")
	}
	if p.special("CHARSET ") {
		charset, _ := p.astring()
		if !strings.EqualFold(charset, "UTF-8") && !strings.EqualFold(charset, "US-ASCII") {
			return "", nil, &refusal{status: "NO", code: "BADCHARSET (US-ASCII UTF-8)", text: "the charset is unknown"}
		}
		p.space()
	}
	keys, ok := p.keys(0)
	if !ok || !p.end() {
		return "", nil, bad("the search keys are not valid, or too many")
	}
	return options, keys, nil
}

// searchParser reads search keys (RFC 3501, section 6.4.4).
type searchParser struct {
	parser
	count int
}

// options reads RETURN and its list (RFC 4731).
func (p *searchParser) options() (string, bool) {
	if !p.special("RETURN") {
		return "", true
	}
	p.space()
	list, rest, ok := strings.Cut(p.rest, ")")
	if !ok || !strings.HasPrefix(list, "(") {
		return "", false
	}
	p.rest = rest
	p.space()
	for _, word := range strings.Fields(list[1:]) {
		if !slices.Contains([]string{"MIN", "MAX", "ALL", "COUNT"}, strings.ToUpper(word)) {
			return "", false
		}
	}
	return "RETURN (" + strings.Join(strings.Fields(list[1:]), " ") + ") ", true
}

// keys reads keys up to the end or a closing parenthesis; all of them have to match.
func (p *searchParser) keys(depth int) (searchKey, bool) {
	var all allOf
	for {
		key, ok := p.key(depth)
		if !ok {
			return nil, false
		}
		all = append(all, key)
		p.space()
		if p.rest == "" || p.rest[0] == ')' {
			break
		}
	}
	if len(all) == 1 {
		return all[0], true
	}
	// The cheap ones first: they may spare the others.
	slices.SortStableFunc(all, func(a, b searchKey) int { return int(a.cost() - b.cost()) })
	return all, true
}

func (p *searchParser) key(depth int) (searchKey, bool) {
	p.count++
	if p.count > maxSearchKeys || depth > maxSearchDepth {
		return nil, false
	}
	if p.special("(") {
		p.space()
		key, ok := p.keys(depth + 1)
		return key, ok && p.special(")")
	}
	if p.rest != "" && (p.rest[0] == '*' || p.rest[0] >= '0' && p.rest[0] <= '9') {
		return p.set(false)
	}
	word := p.word()
	if key, ok := flagKeys[word]; ok {
		return key, true
	}
	if !p.space() {
		return nil, false
	}
	return p.keyWithArgument(word, depth)
}

var flagKeys = map[string]searchKey{
	"ALL": always{yes: true}, "NEW": always{}, "RECENT": always{}, "OLD": always{yes: true},
	"ANSWERED": hasFlag(mailbox.Answered), "UNANSWERED": notKey{hasFlag(mailbox.Answered)},
	"DELETED": hasFlag(mailbox.Deleted), "UNDELETED": notKey{hasFlag(mailbox.Deleted)},
	"DRAFT": hasFlag(mailbox.Draft), "UNDRAFT": notKey{hasFlag(mailbox.Draft)},
	"FLAGGED": hasFlag(mailbox.Flagged), "UNFLAGGED": notKey{hasFlag(mailbox.Flagged)},
	"SEEN": hasFlag(mailbox.Seen), "UNSEEN": notKey{hasFlag(mailbox.Seen)},
}

func (p *searchParser) keyWithArgument(word string, depth int) (searchKey, bool) {
	switch word {
	case "NOT":
		key, ok := p.key(depth + 1)
		return notKey{key}, ok
	case "OR":
		a, ok1 := p.key(depth + 1)
		if !ok1 || !p.space() {
			return nil, false
		}
		b, ok2 := p.key(depth + 1)
		if !ok2 {
			return nil, false
		}
		return anyOf{a, b}, true
	case "UID":
		return p.set(true)
	case "KEYWORD", "UNKEYWORD":
		flag, ok := p.atom()
		if word == "UNKEYWORD" {
			return notKey{hasFlag(mailbox.Flag(flag))}, ok
		}
		return hasFlag(mailbox.Flag(flag)), ok
	case "LARGER", "SMALLER":
		n, ok := p.number()
		return sizeKey{n: n, larger: word == "LARGER"}, ok
	case "BCC", "CC", "FROM", "SUBJECT", "TO":
		text, ok := p.astring()
		return newHeaderKey(word, text), ok
	case "HEADER":
		name, ok1 := p.astring()
		ok2 := p.space()
		text, ok3 := p.astring()
		return newHeaderKey(name, text), ok1 && ok2 && ok3
	case "BODY":
		text, ok := p.astring()
		return &textKey{field: mailbox.FieldBody, text: text}, ok
	case "TEXT":
		text, ok := p.astring()
		return &textKey{field: mailbox.FieldText, text: text}, ok
	}
	return p.date(word)
}

func (p *searchParser) date(word string) (searchKey, bool) {
	text, ok := p.astring()
	t, err := time.Parse("2-Jan-2006", text)
	if !ok || err != nil {
		return nil, false
	}
	word, sent := strings.CutPrefix(word, "SENT")
	key := dateKey{sent: sent, day: dayOf(t)}
	switch word {
	case "SINCE":
		key.later, key.same = true, true
	case "BEFORE":
		key.earlier = true
	case "ON":
		key.same = true
	default:
		return nil, false
	}
	return key, true
}

func (p *searchParser) set(byUID bool) (searchKey, bool) {
	set, ok := parseNumSet(p.while(func(c byte) bool {
		return c >= '0' && c <= '9' || c == '*' || c == ':' || c == ','
	}))
	return &setKey{set: set, byUID: byUID}, ok
}
