package imapproxy

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

const (
	// maxFetchItems bounds the items of one FETCH; clients ask for up to ten.
	maxFetchItems = 100
	// maxPath bounds a part number: twice what package message finds nested.
	maxPath = 100
)

type itemKind int

const (
	itemFlags itemKind = iota
	itemUID
	itemInternalDate
	itemSize
	itemEnvelope
	itemStructure
	itemSection
)

// fetchItem is one thing a FETCH asks for. go-imap loses under which name a section was
// asked for, and the order.
type fetchItem struct {
	kind     itemKind
	name     string // in the response
	extended bool   // BODYSTRUCTURE and not BODY
	section  section
	peek     bool
}

// part of a message or of a body part (RFC 3501, section 6.4.5).
type specifier int

const (
	specWhole specifier = iota
	specHeader
	specFields
	specFieldsNot
	specText
	specMIME
)

type section struct {
	path    []int
	spec    specifier
	fields  []string
	partial bool
	offset  int64
	count   int64
}

// headerOnly reports whether the header block of the message is enough.
func (s section) headerOnly() bool {
	return len(s.path) == 0 && (s.spec == specHeader || s.spec == specFields || s.spec == specFieldsNot)
}

var simpleItems = map[string]fetchItem{
	"FLAGS":         {kind: itemFlags},
	"UID":           {kind: itemUID},
	"INTERNALDATE":  {kind: itemInternalDate},
	"RFC822.SIZE":   {kind: itemSize},
	"ENVELOPE":      {kind: itemEnvelope},
	"BODYSTRUCTURE": {kind: itemStructure, extended: true},
	"RFC822":        {kind: itemSection},
	"RFC822.PEEK":   {kind: itemSection, peek: true}, // QUIRK: not in RFC 3501; Outlook sends it
	"RFC822.HEADER": {kind: itemSection, section: section{spec: specHeader}, peek: true},
	"RFC822.TEXT":   {kind: itemSection, section: section{spec: specText}},
}

var fetchMacros = map[string]string{
	"FAST": "FLAGS INTERNALDATE RFC822.SIZE",
	"ALL":  "FLAGS INTERNALDATE RFC822.SIZE ENVELOPE",
	"FULL": "FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY",
}

// parseFetchItems reads what follows the sequence set of FETCH.
func parseFetchItems(s string) ([]fetchItem, *refusal) {
	if macro, ok := fetchMacros[strings.ToUpper(strings.TrimSpace(s))]; ok {
		s = "(" + macro + ")"
	}
	p := &parser{s}
	p.space()
	if !p.special("(") {
		item, ok := parseFetchItem(p)
		if !ok || !p.end() {
			return nil, bad("unknown FETCH item")
		}
		return []fetchItem{item}, nil
	}
	var items []fetchItem
	for {
		p.space()
		if p.special(")") {
			break
		}
		item, ok := parseFetchItem(p)
		if !ok || len(items) == maxFetchItems {
			return nil, bad("unknown FETCH item, or too many of them")
		}
		items = append(items, item)
	}
	if len(items) == 0 || !p.end() {
		return nil, bad("FETCH needs a list of items")
	}
	return items, nil
}

func parseFetchItem(p *parser) (fetchItem, bool) {
	name := p.word()
	if item, ok := simpleItems[name]; ok {
		item.name = strings.TrimSuffix(name, ".PEEK")
		return item, true
	}
	if name != "BODY" && name != "BODY.PEEK" {
		return fetchItem{}, false
	}
	if !p.special("[") {
		return fetchItem{kind: itemStructure, name: "BODY"}, name == "BODY"
	}
	sec, ok := parseSection(p)
	if !ok {
		return fetchItem{}, false
	}
	return fetchItem{kind: itemSection, name: sec.name(), section: sec, peek: name == "BODY.PEEK"}, true
}

// parseSection reads what follows the opening bracket.
func parseSection(p *parser) (section, bool) {
	var s section
	if !s.parsePath(p) || !s.parseSpecifier(p) || !p.special("]") {
		return s, false
	}
	if p.special("<") {
		var ok1, ok2 bool
		s.partial = true
		s.offset, ok1 = p.number()
		dot := p.special(".")
		s.count, ok2 = p.number()
		// RFC 3501: a number has 32 bits, and the count is not zero.
		if !ok1 || !dot || !ok2 || !p.special(">") || s.offset > math.MaxUint32 || s.count == 0 {
			return s, false
		}
	}
	return s, true
}

func (s *section) parsePath(p *parser) bool {
	for len(p.rest) > 0 && p.rest[0] >= '0' && p.rest[0] <= '9' {
		n, ok := p.number()
		if !ok || n == 0 || n > math.MaxInt32 || len(s.path) == maxPath {
			return false
		}
		s.path = append(s.path, int(n))
		if !p.special(".") {
			return strings.HasPrefix(p.rest, "]")
		}
	}
	return true
}

func (s *section) parseSpecifier(p *parser) bool {
	if len(s.path) > 0 && strings.HasPrefix(p.rest, "]") {
		return true
	}
	switch p.word() {
	case "":
		return len(s.path) == 0
	case "HEADER":
		s.spec = specHeader
		return true
	case "TEXT":
		s.spec = specText
		return true
	case "MIME":
		s.spec = specMIME
		return len(s.path) > 0
	case "HEADER.FIELDS":
		s.spec = specFields
	case "HEADER.FIELDS.NOT":
		s.spec = specFieldsNot
	default:
		return false
	}
	return s.parseFields(p)
}

func (s *section) parseFields(p *parser) bool {
	p.space()
	if !p.special("(") {
		return false
	}
	for {
		p.space()
		if p.special(")") {
			return len(s.fields) > 0
		}
		name, ok := p.astring()
		if !ok {
			return false
		}
		s.fields = append(s.fields, name)
	}
}

var specifierNames = map[specifier]string{
	specHeader: "HEADER", specFields: "HEADER.FIELDS", specFieldsNot: "HEADER.FIELDS.NOT", specText: "TEXT", specMIME: "MIME",
}

// name is the item's name in a response.
func (s section) name() string {
	var words []string
	for _, n := range s.path {
		words = append(words, strconv.Itoa(n))
	}
	if s.spec != specWhole {
		words = append(words, specifierNames[s.spec])
	}
	name := strings.Join(words, ".")
	if len(s.fields) > 0 {
		var fields []string
		for _, f := range s.fields {
			fields = append(fields, fieldName(f))
		}
		name += " (" + strings.Join(fields, " ") + ")"
	}
	name = "BODY[" + name + "]"
	if s.partial {
		name += fmt.Sprintf("<%d>", s.offset)
	}
	return name
}

// fieldName gives a field name as it may stand in a response: clients compare it with
// what they sent, so it is quoted only where it must be.
func fieldName(f string) string {
	for i := range len(f) {
		if !isAtomChar(f[i]) {
			return string(quote([]byte(f)))
		}
	}
	if f == "" {
		return `""`
	}
	return f
}
