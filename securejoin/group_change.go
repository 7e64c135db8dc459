package securejoin

import (
	"strconv"
	"strings"
	"time"

	"mailbridge/message"
	"mailbridge/pgp"
)

// Post is a message into a group or channel, before it is written: to whom it
// goes and what stands in its inner header. A mail of the user's gets To (and
// no Cc) and Fields as they are here, and keeps its text; a message about a
// change is written by ComposePost.
type Post struct {
	Recipients []Member // of the envelope, and whose keys it is encrypted to
	To         []Member // inside; empty: nobody is named
	Lists      []message.Field
	Fields     []message.Field
	Gossip     []Member // whose keys are to stand in Autocrypt-Gossip
	Secret     string   // of a channel: encrypted with it, not to keys
	Subject    string
	Text       string // of a message about a change
}

// Post addresses a message to all members of now. To names exactly these, so
// that nobody who left comes back by a reply to all.
func (g GroupChat) Post(me Self, now time.Time) (Post, error) {
	if !g.Has(me.Fingerprint) {
		return Post{}, ErrNotMember
	}
	return g.post(me, "", now), nil
}

// post addresses a message that is about the removal of somebody, or not.
func (g GroupChat) post(me Self, removed pgp.Fingerprint, now time.Time) Post {
	others := g.Others(me)
	p := Post{Recipients: others, To: uniqueAddrs(others), Subject: g.Name}
	if len(others) == 0 {
		p.To = []Member{me.member(now)}
		if self, ok := g.Find(me.Fingerprint); ok {
			p.To[0].Added = self.Added
		}
	}
	past := uniqueAddrs(g.past(removed, now))
	var times, keys, gone []string
	for _, m := range p.To {
		times, keys = append(times, strconv.FormatInt(unix(m.Added), 10)), append(keys, string(m.Fingerprint))
	}
	for _, m := range past {
		times, keys = append(times, strconv.FormatInt(unix(m.Removed), 10)), append(keys, string(m.Fingerprint))
		gone = append(gone, named(m.Name, m.Addr))
	}
	if g.stale(now) {
		times = nil
	}
	p.Lists = fieldList(
		FieldPast, strings.Join(gone, ", "),
		FieldTimes, strings.Join(times, " "),
		FieldMembers, strings.Join(keys, " "))
	p.Fields = fieldList(
		FieldChat, chatVersion,
		FieldGroupID, g.ID,
		FieldGroupName, message.EncodeWord(g.Name),
		FieldNameAt, nonZero(g.NameAt))
	return p
}

// uniqueAddrs leaves out who has the address of an earlier one: a message
// names an address once. It goes to all keys nevertheless: a member who gives
// itself, or somebody it adds, another's address does not shut that one out.
func uniqueAddrs(list []Member) []Member {
	seen := make(map[string]bool, len(list))
	var out []Member
	for _, m := range list {
		if !seen[m.Addr] {
			seen[m.Addr] = true
			out = append(out, m)
		}
	}
	return out
}

// fieldList makes fields of names and values; an empty value is left out.
func fieldList(pairs ...string) []message.Field {
	var f fields
	for n := 0; n+1 < len(pairs); n += 2 {
		f.add(pairs[n], pairs[n+1])
	}
	return f.header.Fields
}

func nonZero(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strconv.FormatInt(t.Unix(), 10)
}

// Add takes somebody in, and says so to all, with everybody's key. handshake
// makes the message the end of a join. Of one who is in already the message
// is repeated, to the address that it has now.
func (g GroupChat) Add(me Self, who Member, handshake bool, now time.Time) (GroupChat, Post, error) {
	switch {
	case !g.Has(me.Fingerprint):
		return g, Post{}, ErrNotMember
	case who.Fingerprint == "" || canonical(who.Addr) == "":
		return g, Post{}, ErrNoAddress
	case !g.Has(who.Fingerprint) && len(g.Current()) >= MaxMembers:
		return g, Post{}, ErrTooLarge
	}
	m, _ := g.Find(who.Fingerprint)
	if !g.Has(who.Fingerprint) {
		m = Member{
			Fingerprint: who.Fingerprint, Name: cleanName(who.Name),
			Added: later(seconds(now), m.Removed), Removed: m.Removed, RemovedBy: m.RemovedBy,
		}
	}
	m.Addr = canonical(who.Addr)
	g = g.put(m)
	p := g.post(me, "", now)
	p.Gossip = uniqueAddrs(p.Recipients)
	p.Text = "Member " + m.Addr + " was added."
	step := ""
	if handshake {
		step = MemberAdded.String()
	}
	p.Fields = append(p.Fields, fieldList(
		FieldAdded, m.Addr, FieldAddedKey, string(m.Fingerprint), FieldStep, step)...)
	return g, p, nil
}

// Remove takes a member out, and says so to all and to the member. The open
// invites to the group are to be revoked with it, see RevokeGroup.
func (g GroupChat) Remove(me Self, fpr pgp.Fingerprint, now time.Time) (GroupChat, Post, error) {
	m, ok := g.Find(fpr)
	switch {
	case !g.Has(me.Fingerprint):
		return g, Post{}, ErrNotMember
	case !ok || !m.Current():
		return g, Post{}, ErrNoSuchMember
	}
	m.Removed, m.RemovedBy = later(seconds(now), m.Added.Add(time.Second)), me.Fingerprint
	g = g.put(m)
	p := g.post(me, fpr, now)
	p.Text = "Member " + m.Addr + " was removed."
	if fpr == me.Fingerprint {
		p.Text = m.Title() + " has left the group."
	} else {
		p.Recipients = append(p.Recipients[:len(p.Recipients):len(p.Recipients)], m)
	}
	p.Fields = append(p.Fields, fieldList(FieldRemoved, m.Addr, FieldRemovedKey, string(m.Fingerprint))...)
	return g, p, nil
}

// Leave takes ourselves out. What is still needed to read late messages
// stays.
func (g GroupChat) Leave(me Self, now time.Time) (GroupChat, Post, error) {
	return g.Remove(me, me.Fingerprint, now)
}

// Rename gives the group another name.
func (g GroupChat) Rename(me Self, name string, now time.Time) (GroupChat, Post, error) {
	name = cleanName(name)
	switch {
	case !g.Has(me.Fingerprint):
		return g, Post{}, ErrNotMember
	case !visible(name):
		return g, Post{}, ErrNoName
	}
	old := g.Name
	g.Name, g.NameAt = name, later(seconds(now), g.NameAt.Add(time.Second))
	p := g.post(me, "", now)
	p.Text = "The group “" + old + "” was renamed to “" + name + "”."
	p.Fields = append(p.Fields, fieldList(FieldNameChanged, message.EncodeWord(old))...)
	return g, p, nil
}
