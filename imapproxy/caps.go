package imapproxy

import (
	"strings"

	"github.com/emersion/go-imap/v2"
)

// serverCaps is what go-imap is told to serve. Clients see capabilities below instead:
// go-imap would always add UTF8=ACCEPT, whose names it cannot decode, and ENABLE.
var serverCaps = imap.CapSet{
	imap.CapIMAP4rev1:    {},
	imap.CapNamespace:    {},
	imap.CapUIDPlus:      {},
	imap.CapESearch:      {},
	imap.CapListExtended: {},
	imap.CapListStatus:   {},
	imap.CapMove:         {},
	imap.CapStatusSize:   {},
	imap.CapChildren:     {},
	imap.CapSpecialUse:   {},
	imap.CapLiteralPlus:  {},
}

// capabilities is the list a client sees. LITERAL- (RFC 7888) and not LITERAL+: a client
// with a large message asks first and is refused before it has sent it.
func (g *guard) capabilities() string {
	caps := []string{"IMAP4rev1", "LITERAL-", "SASL-IR", "ID"}
	if g.authenticated.Load() {
		caps = append(caps, "IDLE", "UNSELECT", "NAMESPACE", "CHILDREN", "UIDPLUS", "MOVE", "ESEARCH",
			"SPECIAL-USE", "LIST-EXTENDED", "LIST-STATUS", "STATUS=SIZE")
		return strings.Join(caps, " ")
	}
	if g.mayStartTLS() {
		caps = append(caps, "STARTTLS")
	}
	if g.mayLogin() {
		caps = append(caps, "AUTH=PLAIN")
	} else {
		caps = append(caps, "LOGINDISABLED")
	}
	return strings.Join(caps, " ")
}
