package imapproxy

import (
	"sort"
	"strings"

	"mailbridge/mailbox"
	"mailbridge/message"
)

// always matches everything or nothing. No message here is \Recent.
type always struct {
	simpleKey
	yes bool
}

func (k always) match(*candidate) verdict { return verdictOf(k.yes) }

type flagKey struct {
	simpleKey
	flag mailbox.Flag
}

func hasFlag(f mailbox.Flag) searchKey { return flagKey{flag: f} }

func (k flagKey) match(c *candidate) verdict { return verdictOf(c.Flags.Has(k.flag)) }

type sizeKey struct {
	simpleKey
	n      int64
	larger bool
}

func (k sizeKey) match(c *candidate) verdict {
	if k.larger {
		return verdictOf(c.Size > k.n)
	}
	return verdictOf(c.Size < k.n)
}

// setKey is a set of sequence numbers or UIDs.
type setKey struct {
	simpleKey
	set   []numRange
	byUID bool
	spans []span
}

func (k *setKey) prepare(v *mailbox.View) { k.spans = spans(v, k.set, k.byUID) }
func (k *setKey) match(c *candidate) verdict {
	row := int(c.seq) - 1
	i := sort.Search(len(k.spans), func(i int) bool { return k.spans[i].to > row })
	return verdictOf(i < len(k.spans) && k.spans[i].from <= row)
}

// dateKey compares the day of the internal date, or of the Date field, each in its own
// zone (RFC 3501, section 6.4.4: disregarding time and timezone).
type dateKey struct {
	simpleKey
	sent                 bool
	day                  day
	earlier, same, later bool
}

func (k dateKey) cost() cost {
	if k.sent {
		return costHeader
	}
	return costView
}

func (k dateKey) match(c *candidate) verdict {
	date := c.InternalDate
	if k.sent {
		var ok bool
		if date, ok = message.ParseDate(c.fields().Get("Date")); !ok {
			return no
		}
	}
	switch d := dayOf(date); {
	case d < k.day:
		return verdictOf(k.earlier)
	case d > k.day:
		return verdictOf(k.later)
	default:
		return verdictOf(k.same)
	}
}

// headerKey looks for a text in the decoded fields of one name. An empty text is in every
// field.
type headerKey struct {
	simpleKey
	name string
	text string // lower case
}

func newHeaderKey(name, text string) headerKey {
	return headerKey{name: name, text: strings.ToLower(text)}
}

func (headerKey) cost() cost { return costHeader }

func (k headerKey) match(c *candidate) verdict {
	for _, f := range c.fields().Fields {
		if strings.EqualFold(f.Name, k.name) && strings.Contains(strings.ToLower(f.Text()), k.text) {
			return yes
		}
	}
	return no
}

// textKey is BODY or TEXT. It is unknown until the account has searched.
type textKey struct {
	simpleKey
	field mailbox.Field
	text  string
	hits  map[mailbox.UID]bool
}

func (*textKey) cost() cost { return costText }

func (k *textKey) texts(f []*textKey) []*textKey {
	if k.text == "" {
		return f
	}
	return append(f, k)
}

func (k *textKey) match(c *candidate) verdict {
	switch {
	case k.text == "":
		return yes // the empty text is everywhere
	case k.hits == nil:
		return unknown
	default:
		return verdictOf(k.hits[c.UID])
	}
}

type notKey struct{ key searchKey }

func (k notKey) cost() cost                    { return k.key.cost() }
func (k notKey) prepare(v *mailbox.View)       { k.key.prepare(v) }
func (k notKey) texts(f []*textKey) []*textKey { return k.key.texts(f) }

func (k notKey) match(c *candidate) verdict {
	switch k.key.match(c) {
	case yes:
		return no
	case no:
		return yes
	default:
		return unknown
	}
}

// allOf matches if all its keys do.
type allOf []searchKey

func (k allOf) cost() cost                    { return costOf(k) }
func (k allOf) prepare(v *mailbox.View)       { prepareAll(k, v) }
func (k allOf) texts(f []*textKey) []*textKey { return textsOf(k, f) }

func (k allOf) match(c *candidate) verdict {
	result := yes
	for _, key := range k {
		switch key.match(c) {
		case no:
			return no
		case unknown:
			result = unknown
		}
	}
	return result
}

// anyOf matches if one of its keys does.
type anyOf []searchKey

func (k anyOf) cost() cost                    { return costOf(k) }
func (k anyOf) prepare(v *mailbox.View)       { prepareAll(k, v) }
func (k anyOf) texts(f []*textKey) []*textKey { return textsOf(k, f) }

func (k anyOf) match(c *candidate) verdict {
	result := no
	for _, key := range k {
		switch key.match(c) {
		case yes:
			return yes
		case unknown:
			result = unknown
		}
	}
	return result
}

func costOf(keys []searchKey) cost {
	highest := costView
	for _, key := range keys {
		highest = max(highest, key.cost())
	}
	return highest
}

func prepareAll(keys []searchKey, v *mailbox.View) {
	for _, key := range keys {
		key.prepare(v)
	}
}

func textsOf(keys []searchKey, found []*textKey) []*textKey {
	for _, key := range keys {
		found = key.texts(found)
	}
	return found
}
