package mirror

import (
	"strings"

	"mailbridge/mailbox"
)

// escaped is how a "/" inside a level of the provider's names is written here, where "/"
// separates levels. escapedSign keeps the mapping reversible.
const (
	escaped     = "=2F"
	escapedSign = "=3D"
)

var (
	escapeLevel   = strings.NewReplacer("/", escaped, escaped, escapedSign+"2F", escapedSign, escapedSign+"3D")
	unescapeLevel = strings.NewReplacer(escaped, "/", escapedSign, "=")
)

// localName maps a provider's mailbox name to the local one. A provider's own "Bridge", and
// what begins like it, gets one more "_", so that Bridge is always ours.
func localName(name string, delim rune) string {
	levels := []string{name}
	if delim != 0 {
		levels = strings.Split(name, string(delim))
	}
	for i := range levels {
		levels[i] = escapeLevel.Replace(levels[i])
	}
	switch first := levels[0]; {
	case strings.EqualFold(first, mailbox.Inbox):
		levels[0] = mailbox.Inbox
	case isBridge(first):
		levels[0] = first + "_"
	}
	return strings.Join(levels, string(mailbox.Delimiter))
}

// isBridge reports whether a level is "Bridge" in any case, followed by any number of "_".
func isBridge(level string) bool {
	return strings.EqualFold(strings.TrimRight(level, "_"), mailbox.Bridge)
}

// upstreamName maps a local name to the provider's. ok is false for a name that the provider
// cannot have.
func upstreamName(name string, delim rune) (up string, ok bool) {
	levels := strings.Split(name, string(mailbox.Delimiter))
	if delim == 0 && len(levels) > 1 {
		return "", false
	}
	if isBridge(levels[0]) {
		levels[0] = strings.TrimSuffix(levels[0], "_")
	}
	for i, level := range levels {
		levels[i] = unescapeLevel.Replace(level)
		if level == "" || delim != 0 && strings.ContainsRune(levels[i], delim) {
			return "", false
		}
	}
	sep := ""
	if delim != 0 {
		sep = string(delim)
	}
	up = strings.Join(levels, sep)
	return up, localName(up, delim) == name
}
