package securejoin

import (
	"strconv"
	"strings"
	"time"

	"mailbridge/message"
	"mailbridge/pgp"
)

// Names of the header fields of groups and channels (Delta Chat 2.62).
const (
	FieldGroupID     = "Chat-Group-ID"
	FieldListID      = "Chat-List-ID"
	FieldGroupName   = "Chat-Group-Name"
	FieldNameAt      = "Chat-Group-Name-Timestamp"
	FieldNameChanged = "Chat-Group-Name-Changed"
	FieldMembers     = "Chat-Group-Member-Fpr"
	FieldTimes       = "Chat-Group-Member-Timestamps"
	FieldPast        = "Chat-Group-Past-Members"
	FieldAdded       = "Chat-Group-Member-Added"
	FieldAddedKey    = "Chat-Group-Member-Added-Fpr"
	FieldRemoved     = "Chat-Group-Member-Removed"
	FieldRemovedKey  = "Chat-Group-Member-Removed-Fpr"
	FieldChat        = "Chat-Version"
	FieldSecret      = "Chat-Broadcast-Secret"
)

// Listed is an entry of a message's lists. Key is empty if the message does
// not say whose address it is.
type Listed struct {
	Addr string
	Name string
	Key  pgp.Fingerprint
}

// GroupMessage is what a message says about its group.
type GroupMessage struct {
	ID       string
	Signer   pgp.Fingerprint // only by a good signature, inside encryption, that was meant for us
	From     Listed          // inside; Key is the signer's
	Date     time.Time
	Name     string
	NameAt   time.Time
	OldName  string // of a message that renames
	Renames  bool
	To       []Listed // and Cc
	Past     []Listed
	Times    []time.Time // of To and then Past
	HasTimes bool
	Added    *Listed // nil: nobody
	Removed  *Listed
	Chat     bool // written by a program that keeps groups
	// Proven: it may take us in, be it again; see EnterGroup. The caller
	// knows.
	Proven bool
}

// ReadGroup reads the inner header of a message. signer is empty unless the
// message was encrypted and carries a good signature that was meant for us;
// gossip is by canonical address, only of those in To and Cc. It reports
// false for what is of no group.
func ReadGroup(inner message.Header, signer pgp.Fingerprint, gossip map[string]pgp.Fingerprint, now time.Time) (GroupMessage, bool) {
	id := strings.TrimSpace(inner.Get(FieldGroupID))
	if !validToken(id) {
		return GroupMessage{}, false
	}
	m := GroupMessage{ID: id, Signer: signer, Chat: inner.Has(FieldChat)}
	from := sender(inner)
	m.From = Listed{from.Addr, cleanName(from.Name), signer}
	m.Date = dateOf(inner, now)
	m.Name = groupName(inner)
	m.NameAt = m.Date
	if n, err := strconv.ParseInt(strings.TrimSpace(inner.Get(FieldNameAt)), 10, 64); err == nil {
		m.NameAt = clip(fromUnix(n), now)
	}
	m.Renames = inner.Has(FieldNameChanged)
	m.OldName = cleanName(inner.Text(FieldNameChanged))
	m.readLists(inner, gossip, now)
	m.Added = explicit(inner, FieldAdded, FieldAddedKey)
	if m.Added != nil {
		m.Added.resolve(gossip)
	}
	m.Removed = explicit(inner, FieldRemoved, FieldRemovedKey)
	return m, true
}

// chatID is the id of a group, or of a channel.
func chatID(h message.Header) string {
	if id := strings.TrimSpace(h.Get(FieldGroupID)); validToken(id) {
		return id
	}
	id, _ := listID(h)
	return id
}

// listID reads "Name <id>". The name may hold brackets, too: the last ones are meant, as in
// Delta Chat 2.62.
func listID(h message.Header) (id, name string) {
	value, closed := strings.CutSuffix(strings.TrimSpace(h.Text(FieldListID)), ">")
	at := strings.LastIndexByte(value, '<')
	if !closed || at < 0 || !validToken(value[at+1:]) {
		return "", ""
	}
	return value[at+1:], cleanName(value[:at])
}

func groupName(h message.Header) string { return cleanName(h.Text(FieldGroupName)) }

// dateOf is when a message was written, and never later than now.
func dateOf(h message.Header, now time.Time) time.Time {
	date, ok := message.ParseDate(h.Get("Date"))
	if !ok || date.After(now) {
		date = now
	}
	return seconds(date)
}

func clip(t, now time.Time) time.Time {
	if limit := seconds(now.Add(tolerance)); t.After(limit) {
		return limit
	}
	return t
}

// readLists reads who is and was in the group. The fingerprints stand in the
// order of To and then of the past; where they are too few, gossip says whose
// an address is.
func (m *GroupMessage) readLists(h message.Header, gossip map[string]pgp.Fingerprint, now time.Time) {
	m.To = listed(h, "To", "Cc")
	m.Past = listed(h, FieldPast)
	keys := fingerprints(h)
	name := func(list []Listed) {
		for n := range list {
			if n < len(keys) {
				list[n].Key = keys[n]
			} else {
				list[n].resolve(gossip)
			}
		}
		keys = keys[min(len(list), len(keys)):]
	}
	name(m.To)
	name(m.Past)
	m.HasTimes = h.Has(FieldTimes)
	for _, word := range firstFields(h.Get(FieldTimes)) {
		if n, err := strconv.ParseInt(word, 10, 64); err == nil {
			m.Times = append(m.Times, clip(fromUnix(n), now))
		}
	}
}

func (l *Listed) resolve(gossip map[string]pgp.Fingerprint) {
	if l.Key == "" {
		l.Key = gossip[l.Addr]
	} else if key := gossip[l.Addr]; key != l.Key {
		l.Key = "" // the message contradicts itself, or brings no key
	}
}

func listed(h message.Header, names ...string) []Listed {
	var list []Listed
	for _, name := range names {
		for _, value := range h.Values(name) {
			for _, a := range message.ParseAddresses(value) {
				if len(list) < MaxMembers {
					list = append(list, Listed{Addr: canonical(a.Addr), Name: cleanName(a.Name)})
				}
			}
		}
	}
	return list
}

// firstFields are the words of a list, up to what two full lists hold.
func firstFields(value string) []string {
	words := strings.Fields(value)
	return words[:min(len(words), 2*MaxMembers)]
}

func fingerprints(h message.Header) []pgp.Fingerprint {
	var keys []pgp.Fingerprint
	for _, word := range firstFields(h.Get(FieldMembers)) {
		if fpr, err := pgp.ParseFingerprint(word); err == nil {
			keys = append(keys, fpr)
		}
	}
	return keys
}

// explicit reads who is added or removed by this very message.
func explicit(h message.Header, addr, key string) *Listed {
	if !h.Has(addr) && !h.Has(key) {
		return nil
	}
	l := &Listed{Addr: canonical(strings.TrimSpace(h.Get(addr)))}
	if fpr, err := pgp.ParseFingerprint(h.Get(key)); err == nil {
		l.Key = fpr
	}
	return l
}
