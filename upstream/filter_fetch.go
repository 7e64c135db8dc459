package upstream

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// wanted says what a FETCH command asked for. A response without all of it is news about
// a message and not the answer (RFC 3501, section 7.4.2 allows both at any time).
type wanted struct {
	items fetchItems
	from  uint32 // lower UIDs are not meant: "n:*" always names the last message
	limit int64  // octets of the section; more are cut off
}

type fetchItems uint8

const (
	itemFlags fetchItems = 1 << iota
	itemDate
	itemSize
	itemSection
)

// fetchResponse is a FETCH response being read.
type fetchResponse struct {
	num, uid uint32
	want     wanted
	seen     fetchItems
	items    []string // to be handed on
	open     bool     // its beginning was handed on
}

const dateTimeLayout = "_2-Jan-2006 15:04:05 -0700"

func (f *filter) beginFetch(num uint32, sc scanner) error {
	r := &fetchResponse{num: num}
	f.mu.Lock()
	if f.want != nil {
		r.want = *f.want
	}
	f.mu.Unlock()
	f.fetch = r
	sc.space()
	sc.take('(')
	return f.continueFetch(sc.s)
}

// continueFetch reads items up to the end of the response or to a literal to hand on.
func (f *filter) continueFetch(line []byte) error {
	r, sc := f.fetch, scanner{line}
	for {
		sc.space()
		if sc.end() || sc.take(')') {
			f.endFetch()
			return nil
		}
		name := sc.item()
		sc.space()
		section := strings.HasPrefix(name, "BODY[")
		if _, size, ok := literalAtEnd(sc.s); ok && (sc.s[0] == '{' || sc.s[0] == '~') {
			if section && r.wantsSection() {
				return f.passLiteral(size)
			}
			if err := f.discard(size); err != nil {
				return err
			}
			next, err := f.line()
			if err != nil {
				return err
			}
			sc = scanner{next}
			continue
		}
		value, err := f.value(&sc)
		if err != nil {
			return err
		}
		if name == "" && len(value) == 0 {
			return fmt.Errorf("%w: malformed FETCH", errProtocol)
		}
		if err := f.item(name, section, value); err != nil {
			return err
		}
	}
}

// value takes the value of an item, whatever it is.
func (f *filter) value(sc *scanner) ([]byte, error) {
	if len(sc.s) == 0 || sc.s[0] != '(' && sc.s[0] != '"' {
		return sc.atom(), nil
	}
	before := sc.s
	if sc.s[0] == '"' {
		if _, ok := sc.quoted(); !ok {
			return nil, fmt.Errorf("%w: open quote", errProtocol)
		}
		return before[:len(before)-len(sc.s)], nil
	}
	list, ok := sc.list()
	if !ok {
		// A literal within a list: nothing we ask for has one.
		joined, err := f.join(sc.s)
		if err != nil {
			return nil, err
		}
		sc.s = joined
		if list, ok = sc.list(); !ok {
			return nil, fmt.Errorf("%w: open list", errProtocol)
		}
	}
	return list, nil
}

func (r *fetchResponse) wantsSection() bool {
	return r.want.items&itemSection != 0 && r.seen&itemSection == 0 && (r.uid == 0 || r.uid >= r.want.from)
}

// item notes one item.
func (f *filter) item(name string, section bool, value []byte) error {
	r := f.fetch
	switch {
	case name == "UID":
		uid, err := strconv.ParseUint(string(value), 10, 32)
		if err != nil || uid == 0 {
			return fmt.Errorf("%w: bad UID", errProtocol)
		}
		if r.uid == 0 {
			r.uid = uint32(uid)
		}
	case name == "FLAGS":
		r.seen |= itemFlags
		r.items = append(r.items, "FLAGS ("+strings.Join(cleanFlags(value), " ")+")")
	case name == "INTERNALDATE":
		r.seen |= itemDate // even a bad one: the message must not vanish for it
		date := string(bytes.Trim(value, `"`))
		if t, err := time.Parse(dateTimeLayout, date); err == nil && !t.IsZero() {
			r.items = append(r.items, "INTERNALDATE "+quote(date))
		}
	case name == "RFC822.SIZE":
		r.seen |= itemSize
		if n, err := strconv.ParseInt(string(value), 10, 64); err == nil && n >= 0 {
			r.items = append(r.items, fmt.Sprintf("RFC822.SIZE %d", n))
		}
	case section && r.wantsSection():
		return f.shortSection(value)
	}
	return nil
}

// shortSection hands on a section that came as a quoted string or NIL.
func (f *filter) shortSection(value []byte) error {
	sc := scanner{value}
	content, ok := sc.quoted()
	if !ok { // NIL: the message is there, the section is not
		f.fetch.seen |= itemSection
		f.fetch.items = append(f.fetch.items, "BODY[] NIL")
		return nil
	}
	content = content[:min(int64(len(content)), f.fetch.want.limit+1)]
	if err := f.openFetch(); err != nil {
		return err
	}
	f.fetch.seen |= itemSection
	f.out = fmt.Appendf(f.out, " BODY[] {%d}\r\n%s", len(content), content)
	return nil
}

// passLiteral lets the section through, cut one octet past the limit so that the caller
// sees that there was more.
func (f *filter) passLiteral(size int64) error {
	if size > maxLiteral {
		return fmt.Errorf("%w: literal too long", errProtocol)
	}
	if err := f.openFetch(); err != nil {
		return err
	}
	f.fetch.seen |= itemSection
	f.pass = min(size, f.fetch.want.limit+1)
	f.skip = size - f.pass
	f.out = fmt.Appendf(f.out, " BODY[] {%d}\r\n", f.pass)
	return nil
}

// openFetch hands on the response so far. imapclient must know the UID before a literal.
func (f *filter) openFetch() error {
	r := f.fetch
	if r.uid == 0 {
		return fmt.Errorf("%w: FETCH without UID before the message", errProtocol)
	}
	if !r.open {
		f.out = fmt.Appendf(f.out, "* %d FETCH (UID %d", r.num, r.uid)
		r.open = true
	}
	f.flush(r)
	return nil
}

func (f *filter) flush(r *fetchResponse) {
	for _, item := range r.items {
		f.out = append(append(f.out, ' '), item...)
	}
	r.items = nil
}

func (f *filter) endFetch() {
	r := f.fetch
	f.fetch = nil
	if !r.open {
		answer := r.uid != 0 && r.want.items != 0 && r.seen&r.want.items == r.want.items
		if !answer {
			f.changed()
			return
		}
		if r.uid < r.want.from {
			return
		}
		f.out = fmt.Appendf(f.out, "* %d FETCH (UID %d", r.num, r.uid)
	}
	f.flush(r)
	f.emit(")")
}
