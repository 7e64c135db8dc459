package securejoin

import (
	"slices"
	"time"

	"mailbridge/pgp"
)

// Changes is what a message changed in a group.
type Changes struct {
	// FromMember: the signer was in the group. Of others' messages nothing
	// counts.
	FromMember bool
	By         Listed   // the sender
	Added      []Member // those who are in now and were not before
	Removed    []Member // the other way round
	Renamed    bool
	OldName    string
	NewName    string
	// Asked: the message is made for a change of members or name, and not
	// written by a person; Settled: what it asks for is so now.
	Asked   bool
	Settled bool
	// Entered: it is our first message of the group.
	Entered bool
}

// Repeat says whether a member's message was made for a change that had
// happened before: there is nothing to show.
func (c Changes) Repeat() bool {
	return c.FromMember && c.Asked && c.Settled && !c.Entered && !c.Renamed && len(c.Added)+len(c.Removed) == 0
}

// RevokesInvites says whether our open invites to the group are to be
// revoked in the same transaction, see RevokeGroup: who went knows them.
func (c Changes) RevokesInvites() bool { return len(c.Removed) > 0 }

// Merge takes over what a message says about the group, as Delta Chat 2.62
// does, but only from who is in the group by the key. now clips times.
func (g GroupChat) Merge(me Self, m GroupMessage, now time.Time) (GroupChat, Changes) {
	c := Changes{By: m.From, Asked: m.Added != nil || m.Removed != nil || m.Renames}
	if m.Proven && m.ID == g.ID && !g.Has(me.Fingerprint) {
		if again, entered, err := EnterGroup(me, m, now); err == nil {
			return again.remember(me, m, g), entered
		}
	}
	if m.ID != g.ID || m.Signer == "" || !g.Has(m.Signer) {
		return g, c
	}
	c.FromMember = true
	before := g
	g = g.clone().mergeName(m, &c)
	switch {
	case g.stale(now) && m.Date.After(g.Heard):
		g = g.replace(me, m)
		if m.Removed != nil {
			g = g.expel(*m.Removed, m)
		}
	case m.HasTimes:
		g = g.mergeTimes(m)
	default:
		g = g.mergeExplicit(me, m)
	}
	if !m.Date.Before(g.Heard) { // an old message, sent again, brings back no old address
		g.Heard = m.Date
		g = g.refresh(m)
	}
	if by, ok := g.Find(m.Signer); ok { // whatever sender the message names
		c.By = Listed{by.Addr, by.Name, by.Fingerprint}
	}
	c.compare(before, g)
	c.Settled = g.settled(m)
	return g, c
}

// settled says whether what a message is made for is so.
func (g GroupChat) settled(m GroupMessage) bool {
	switch {
	case m.Removed != nil:
		return !slices.ContainsFunc(g.Current(), m.Removed.means)
	case m.Added != nil:
		return g.Has(m.Added.Key)
	}
	return m.Renames
}

// means says whether an entry is about a member: by key, or where a message
// names none, as those of versions before 2025, by address.
func (l Listed) means(m Member) bool {
	return l.Key == m.Fingerprint || l.Key == "" && l.Addr == m.Addr
}

// remember keeps of a group that we left what is not told again: who was
// removed, and what the user set. The message that leads back may be an old
// one that was kept back: whoever was removed after it stays removed.
func (g GroupChat) remember(me Self, m GroupMessage, old GroupChat) GroupChat {
	g.Encryption = old.Encryption
	for _, was := range old.Members {
		if was.Current() || was.Fingerprint == me.Fingerprint || was.Fingerprint == m.Signer {
			continue
		}
		is, ok := g.Find(was.Fingerprint)
		told := is.Added
		if told.IsZero() {
			told = m.Date
		}
		if !ok || is.Current() && told.Before(was.Removed) {
			g = g.set(was)
		}
	}
	return g
}

// mergeName takes a newer name, and of two names of one second the smaller,
// so that all agree.
func (g GroupChat) mergeName(m GroupMessage, c *Changes) GroupChat {
	if m.Name == "" || m.NameAt.Before(g.NameAt) || m.NameAt.Equal(g.NameAt) && m.Name >= g.Name {
		return g
	}
	if m.Name != g.Name {
		c.Renamed, c.OldName, c.NewName = true, g.Name, m.Name
	}
	g.Name, g.NameAt = m.Name, m.NameAt
	return g
}

// replace takes the list of a message instead of one that was not heard of
// for too long.
func (g GroupChat) replace(me Self, m GroupMessage) GroupChat {
	old := g
	g.Members = nil
	g = g.set(me.member(time.Time{}))
	for _, l := range append([]Listed{m.From}, m.To...) {
		if l.Key != "" && l.Key != me.Fingerprint {
			g = g.set(Member{Fingerprint: l.Key, Addr: l.Addr, Name: l.Name})
		}
	}
	for _, was := range old.Members { // who was removed is remembered, for invites
		if _, ok := g.Find(was.Fingerprint); !ok {
			was.Added, was.Removed = time.Time{}, later(was.Removed, fromUnix(1))
			g = g.set(was)
		}
	}
	return g
}

// mergeTimes merges by time. A list whose times do not fit it is ignored. Of
// the sender's own time nothing is taken.
func (g GroupChat) mergeTimes(m GroupMessage) GroupChat {
	if len(m.Times) != len(m.To)+len(m.Past) {
		return g
	}
	for n, l := range m.To {
		if l.Key != "" && l.Key != m.Signer && !m.withoutKey(g, l) {
			g = g.add(l, m.Times[n])
		}
	}
	for n, l := range m.Past {
		if l = g.resolve(l); l.Key != "" {
			g = g.remove(l, m.Times[len(m.To)+n], m.remover(l))
		}
	}
	return g
}

// resolve finds who is meant where a message names an address alone, as those
// of versions before 2025 do, among the members of now.
func (g GroupChat) resolve(l Listed) Listed {
	if l.Key != "" {
		return l
	}
	for _, m := range g.Members {
		if m.Current() && l.means(m) {
			l.Key = m.Fingerprint
		}
	}
	return l
}

// withoutKey: the message adds somebody, and brings no key of that address. A
// member to whom nobody can encrypt is none.
func (m GroupMessage) withoutKey(g GroupChat, l Listed) bool {
	return m.Added != nil && m.Added.Key == "" && m.Added.Addr == l.Addr && !g.Has(l.Key)
}

// remover is who removed somebody of the past: known only of a message that
// was made for it.
func (m GroupMessage) remover(l Listed) pgp.Fingerprint {
	if m.Removed == nil || m.Removed.Key != l.Key && (m.Removed.Key != "" || m.Removed.Addr != l.Addr) {
		return ""
	}
	return m.Signer
}

// add is the later of two additions; it wins against a removal in the same
// second.
func (g GroupChat) add(l Listed, at time.Time) GroupChat {
	m, ok := g.Find(l.Key)
	if !ok {
		return g.set(Member{Fingerprint: l.Key, Addr: l.Addr, Name: l.Name, Added: at})
	}
	if at.After(m.Added) && !at.Before(m.Removed) {
		m.Added = at
		return g.set(m)
	}
	return g
}

// remove is the later of two removals. Whoever left when it was being removed,
// so that the removal came after, was removed: it cannot choose.
func (g GroupChat) remove(l Listed, at time.Time, by pgp.Fingerprint) GroupChat {
	m, ok := g.Find(l.Key)
	if !ok {
		m = Member{Fingerprint: l.Key, Addr: l.Addr, Name: l.Name}
	}
	switch left := ok && !m.Current() && !m.Outcast(); {
	case at.After(m.Removed) && at.After(m.Added):
		m.Removed, m.RemovedBy = at, by
	case left && by != "" && at.After(m.Added):
		m.RemovedBy = by
	default:
		return g
	}
	return g.set(m)
}

// mergeExplicit is for messages without times: only what the message is made
// for counts. A mail program that keeps no groups adds whom it names in To
// and Cc, and removes nobody.
func (g GroupChat) mergeExplicit(me Self, m GroupMessage) GroupChat {
	if m.Added != nil && m.Added.Key == me.Fingerprint && !g.Has(me.Fingerprint) || !m.Chat {
		for _, l := range m.To {
			g = g.enter(l, m.Date)
		}
	}
	if m.Added != nil && m.Removed == nil {
		g = g.enter(*m.Added, m.Date)
	}
	if m.Removed != nil {
		g = g.expel(*m.Removed, m)
	}
	return g
}

func (g GroupChat) enter(l Listed, at time.Time) GroupChat {
	m, ok := g.Find(l.Key)
	switch {
	case l.Key == "" || ok && (m.Current() || at.Before(m.Removed)):
		return g // or it is an old message, sent again
	case !ok:
		return g.set(Member{Fingerprint: l.Key, Addr: l.Addr, Name: l.Name, Added: at})
	}
	m.Added = at
	return g.set(m)
}

// expel removes whom a message names, unless it is an old one, sent again.
func (g GroupChat) expel(l Listed, m GroupMessage) GroupChat {
	for _, was := range g.Current() {
		if !m.Date.Before(was.Added) && l.means(was) {
			was.Removed = later(was.Added.Add(time.Second), m.Date)
			was.RemovedBy = m.Signer
			return g.set(was)
		}
	}
	return g
}

// refresh takes the sender's address and name, which it may change. The address
// of another member stays with that one: lists name an address once.
func (g GroupChat) refresh(m GroupMessage) GroupChat {
	was, ok := g.Find(m.Signer)
	if !ok || m.From.Addr == "" {
		return g
	}
	taken := slices.ContainsFunc(g.Members, func(o Member) bool {
		return o.Current() && o.Addr == m.From.Addr && o.Fingerprint != m.Signer
	})
	if !taken {
		was.Addr = m.From.Addr
	}
	if m.From.Name != "" {
		was.Name = m.From.Name
	}
	return g.set(was)
}

func (c *Changes) compare(before, after GroupChat) {
	for _, m := range after.Members {
		switch was := before.Has(m.Fingerprint); {
		case m.Current() && !was:
			c.Added = append(c.Added, m)
		case !m.Current() && was:
			c.Removed = append(c.Removed, m)
		}
	}
}

// EnterGroup makes a group known by its first message to us: one that ended a
// join of ours (Show), the message of a contact that is verified or was
// introduced, or that of another device of ours. It must name the group, have
// ourselves in its list, and not be about somebody's removal.
func EnterGroup(me Self, m GroupMessage, now time.Time) (GroupChat, Changes, error) {
	if m.Signer == "" || m.From.Addr == "" || m.Name == "" || m.Removed != nil {
		return GroupChat{}, Changes{}, ErrUnknownGroup
	}
	g := GroupChat{ID: m.ID, Name: m.Name, NameAt: m.NameAt, Heard: m.Date}
	if m.HasTimes && len(m.Times) == len(m.To)+len(m.Past) {
		sender := m.From
		g = g.add(sender, m.Date)
		if n := slices.IndexFunc(m.To, func(l Listed) bool { return l.Key == m.Signer }); n >= 0 {
			g = GroupChat{ID: g.ID, Name: g.Name, NameAt: g.NameAt, Heard: g.Heard}.add(sender, m.Times[n])
		}
		g = g.mergeTimes(m)
	} else {
		for _, l := range append([]Listed{m.From}, m.To...) {
			if l.Key != "" && !m.withoutKey(g, l) {
				g = g.set(Member{Fingerprint: l.Key, Addr: l.Addr, Name: l.Name})
			}
		}
	}
	if !g.Has(me.Fingerprint) {
		return GroupChat{}, Changes{}, ErrUnknownGroup
	}
	self, _ := g.Find(me.Fingerprint)
	self.Name, self.Addr = me.Name, me.Addr
	g = g.set(self)
	c := Changes{FromMember: true, By: m.From, Asked: m.Added != nil, Entered: true, NewName: g.Name}
	c.Added = []Member{self}
	return g, c, nil
}
