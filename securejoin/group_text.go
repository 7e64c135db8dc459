package securejoin

import "fmt"

// Lines say in words what a message changed, as seen by us, one line for each
// change. They are the text of a system message.
func (c Changes) Lines(me Self) []string {
	own := c.By.Key == me.Fingerprint
	by := who(c.By.Name, c.By.Addr)
	if c.Entered && own {
		return []string{fmt.Sprintf("You are in the group “%s” by another device of yours.", c.NewName)}
	}
	if c.Entered {
		return []string{fmt.Sprintf("You were added to the group “%s” by %s.", c.NewName, by)}
	}
	var lines []string
	for _, m := range c.Added {
		lines = append(lines, addedLine(m, me, own, c.Asked, by))
	}
	for _, m := range c.Removed {
		lines = append(lines, removedLine(m, me, own, by))
	}
	if c.Renamed {
		line := fmt.Sprintf("The group “%s” was renamed to “%s” by %s.", c.OldName, c.NewName, by)
		if own {
			line = fmt.Sprintf("You renamed the group “%s” to “%s”.", c.OldName, c.NewName)
		}
		lines = append(lines, line)
	}
	return lines
}

func addedLine(m Member, me Self, own, asked bool, by string) string {
	switch {
	case m.Fingerprint == me.Fingerprint:
		return fmt.Sprintf("You were added by %s.", by)
	case own:
		return fmt.Sprintf("You added %s.", m.Title())
	case asked:
		return fmt.Sprintf("%s was added by %s.", m.Title(), by)
	}
	return fmt.Sprintf("%s was added.", m.Title())
}

func removedLine(m Member, me Self, own bool, by string) string {
	switch {
	case m.Fingerprint == me.Fingerprint && m.RemovedBy == me.Fingerprint:
		return "You left the group."
	case m.Fingerprint == me.Fingerprint:
		return fmt.Sprintf("You were removed by %s.", by)
	case m.RemovedBy == m.Fingerprint:
		return fmt.Sprintf("%s left the group.", m.Title())
	case m.RemovedBy == "":
		return fmt.Sprintf("%s was removed.", m.Title())
	case own:
		return fmt.Sprintf("You removed %s.", m.Title())
	}
	return fmt.Sprintf("%s was removed by %s.", m.Title(), by)
}

// Title is the member's name with the address, or the address alone.
func (m Member) Title() string { return who(m.Name, m.Addr) }

func who(name, addr string) string {
	if name == "" || name == addr {
		return addr
	}
	return name + " (" + addr + ")"
}

// Line says in words what a message did in a channel; empty for a post and
// for what is not shown.
func (c ChannelChat) Line(event ChannelEvent) string {
	switch event {
	case Subscribed:
		return fmt.Sprintf("You subscribed to the channel “%s” of %s.", c.Name, c.Owner.Title())
	case Unsubscribed:
		return fmt.Sprintf("You were removed from the channel “%s” by %s.", c.Name, c.Owner.Title())
	}
	return ""
}
