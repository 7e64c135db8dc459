package securejoin

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"unicode/utf8"

	"mailbridge/message"
	"mailbridge/pgp"
)

// MaxLink is the length of the longest link that is looked at: no QR code
// holds more characters (version 40, alphanumeric).
const MaxLink = 4296

// maxAddresses bounds an invite's addresses. Delta Chat 2.62 sends to five
// relays at most.
const maxAddresses = 5

// The forms of a link (SecureJoin, section "Invite links"). The https prefix
// is matched with its case, the scheme without, as Delta Chat 2.62 does.
const (
	webPrefix        = "https://i.delta.chat/"
	webPrefixNoSlash = "https://i.delta.chat"
	schemePrefix     = "openpgp4fpr:"
)

// ErrNotInvite: the text is not an invite link. A *LinkError says what is
// wrong with one that almost is.
var ErrNotInvite = errors.New("this is not an invite link")

// LinkError is a link that cannot be joined. It never holds a secret of it.
type LinkError struct {
	Part    string // such as "fingerprint"
	Problem string
}

func (e *LinkError) Error() string {
	return fmt.Sprintf("invite link: %s %s", e.Part, e.Problem)
}

// Unwrap makes every LinkError an ErrNotInvite.
func (e *LinkError) Unwrap() error { return ErrNotInvite }

// Kind says what an invite is for.
type Kind int

const (
	Contact Kind = iota
	Group
	Channel
)

var kinds = [...]string{"contact", "group", "channel"}

func (k Kind) String() string {
	if k < Contact || k > Channel {
		return "unknown"
	}
	return kinds[k]
}

// ParseKind is the inverse of String.
func ParseKind(s string) (Kind, bool) {
	for k, name := range kinds {
		if name == s {
			return Kind(k), true
		}
	}
	return Contact, false
}

// Link is an invite as it is handed over. Whoever holds it can run the
// handshake: it proves its holder and not an address.
type Link struct {
	Fingerprint pgp.Fingerprint
	Addr        string   // canonical
	Relays      []string // further addresses of the inviter, canonical
	Name        string   // of the inviter
	Auth        string
	Number      string // INVITENUMBER; empty if the link is for v3 only
	V3          bool
	Kind        Kind
	GroupID     string // of a group or channel
	GroupName   string
}

// Addresses are all addresses of the inviter, each once.
func (l Link) Addresses() []string { return append([]string{l.Addr}, l.Relays...) }

// Proof names the shared secret of the link's v3 handshake.
func (l Link) Proof() Proof { return Proof{l.Fingerprint, l.Auth} }

// Secret is the shared secret itself.
func (l Link) Secret() string { return l.Proof().Secret() }

// LogValue keeps the AUTH out of logs.
func (l Link) LogValue() slog.Value { return slog.StringValue(l.Addr + " " + string(l.Fingerprint)) }

// String is the link in its https form, with the parameters in the order and
// encoding of Delta Chat 2.62.
func (l Link) String() string {
	var b strings.Builder
	b.WriteString(webPrefix + "#" + string(l.Fingerprint))
	add := func(key, value string) {
		if value != "" {
			b.WriteString("&" + key + "=" + value)
		}
	}
	if l.V3 {
		add("v", "3")
	}
	add("x", l.GroupID)
	number, length := "i", maxContactName
	if l.Kind == Channel {
		number = "j" // so that older apps do not take it for a group
	}
	if l.Kind != Contact {
		length = maxOwnName
	}
	add(number, l.Number)
	add("s", l.Auth)
	add("a", escape(l.Addr))
	add("r", strings.Join(mapped(l.Relays, escape), ","))
	add("n", escapeName(l.Name, length))
	switch l.Kind { // even an empty name marks the kind
	case Group:
		b.WriteString("&g=" + escapeName(l.GroupName, maxContactName))
	case Channel:
		b.WriteString("&b=" + escapeName(l.GroupName, maxContactName))
	}
	return b.String()
}

// Scheme is the link in its older form, which apps before 2021 know.
func (l Link) Scheme() string {
	body := strings.TrimPrefix(l.String(), webPrefix+"#")
	return "OPENPGP4FPR:" + strings.Replace(body, "&", "#", 1)
}

// ParseLink reads a link in either form. What is not one gives ErrNotInvite;
// a link that is broken, or only shows a fingerprint, gives a *LinkError.
func ParseLink(s string) (Link, error) {
	s = strings.TrimSpace(s)
	if len(s) > MaxLink {
		return Link{}, ErrNotInvite
	}
	fingerprint, query, err := splitLink(s)
	if err != nil {
		return Link{}, err
	}
	l := Link{}
	if l.Fingerprint, err = linkFingerprint(fingerprint); err != nil {
		return Link{}, err
	}
	p := parseParams(query)
	if err := l.addresses(p); err != nil {
		return Link{}, err
	}
	if err := l.names(p); err != nil {
		return Link{}, err
	}
	if err := l.tokens(p); err != nil {
		return Link{}, err
	}
	return l, nil
}

// splitLink cuts a link into its fingerprint and its parameters. Messengers
// write "%23" for "#".
func splitLink(s string) (fingerprint, query string, err error) {
	for _, prefix := range []string{webPrefix, webPrefixNoSlash} {
		for _, hash := range []string{"#", "%23"} {
			if rest, ok := strings.CutPrefix(s, prefix+hash); ok {
				fingerprint, query, _ = strings.Cut(rest, "&")
				return fingerprint, query, nil
			}
		}
	}
	if len(s) < len(schemePrefix) || !strings.EqualFold(s[:len(schemePrefix)], schemePrefix) {
		return "", "", ErrNotInvite
	}
	rest := s[len(schemePrefix):]
	fingerprint, query, found := strings.Cut(rest, "#")
	if !found {
		fingerprint, query, _ = strings.Cut(rest, "%23")
	}
	return fingerprint, query, nil
}

// linkFingerprint drops what is no hex digit, as Delta Chat 2.62 does:
// fingerprints are printed with blanks.
func linkFingerprint(s string) (pgp.Fingerprint, error) {
	digits := strings.Map(func(r rune) rune {
		if strings.ContainsRune("0123456789abcdefABCDEF", r) {
			return r
		}
		return -1
	}, s)
	fpr, err := pgp.ParseFingerprint(digits)
	if err != nil {
		return "", &LinkError{"fingerprint", "is not one of a key"}
	}
	return fpr, nil
}

// parseParams splits the parameters. Of a repeated one the last counts, and
// unknown ones are ignored.
func parseParams(query string) map[string]string {
	p := make(map[string]string)
	for item := range strings.SplitSeq(query, "&") {
		if key, value, found := strings.Cut(item, "="); found {
			p[key] = value
		}
	}
	return p
}

func (l *Link) addresses(p map[string]string) error {
	a, ok := p["a"]
	if !ok {
		return &LinkError{"address", "is missing: this only shows a fingerprint"}
	}
	if l.Addr = linkAddr(a); l.Addr == "" {
		return &LinkError{"address", "is not valid"}
	}
	if p["r"] == "" {
		return nil
	}
	for relay := range strings.SplitSeq(p["r"], ",") {
		addr := linkAddr(relay)
		if addr == "" {
			return &LinkError{"relay address", "is not valid"}
		}
		if addr != l.Addr && !slices.Contains(l.Relays, addr) {
			l.Relays = append(l.Relays, addr)
		}
	}
	if len(l.Relays) >= maxAddresses {
		return &LinkError{"relay address", "is one of too many"}
	}
	return nil
}

// linkAddr decodes an address, which older versions did not always encode.
func linkAddr(s string) string {
	return canonical(unescape(s))
}

// canonical is the form in which addresses are compared; empty if s is none.
func canonical(s string) string {
	local, domain, found := strings.Cut(s, "@")
	if !found || local == "" || domain == "" || len(s) > maxAddr || !utf8.ValidString(s) ||
		strings.ContainsFunc(s, notInAddr) || strings.Contains(domain, "@") {
		return ""
	}
	return message.CanonicalAddr(s)
}

// maxAddr is the longest path of SMTP without its brackets (RFC 5321,
// section 4.5.3.1.3).
const maxAddr = 254

// notInAddr: what no address of ours or of a link holds. Quoted local parts
// are left out with it.
func notInAddr(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`<>()[]\,;:"`, r) }

func (l *Link) names(p map[string]string) error {
	var ok bool
	if l.Name, ok = unescapeName(p["n"]); !ok {
		return &LinkError{"name", "is not readable"}
	}
	for _, c := range []struct {
		key  string
		kind Kind
	}{{"g", Group}, {"b", Channel}} {
		raw, there := p[c.key]
		if !there {
			continue
		}
		name, ok := unescapeName(raw)
		if !ok {
			return &LinkError{"name of the " + c.kind.String(), "is not readable"}
		}
		// A link with both is a group's; one without an id is a contact's.
		if l.Kind == Contact && validToken(p["x"]) {
			l.Kind, l.GroupID, l.GroupName = c.kind, p["x"], name
		}
	}
	return nil
}

// tokens reads AUTH, INVITENUMBER and the version. An invalid token counts as
// absent.
func (l *Link) tokens(p map[string]string) error {
	if l.Auth = p["s"]; !validToken(l.Auth) {
		return &LinkError{"secret", "is missing: this only shows a fingerprint"}
	}
	for _, key := range []string{"i", "j"} {
		if l.Number == "" && validToken(p[key]) {
			l.Number = p[key]
		}
	}
	// A link that offers nothing for the older protocol means v3, whatever
	// its v says.
	l.V3 = p["v"] == "3" || l.Number == ""
	return nil
}

func mapped(list []string, fn func(string) string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = fn(s)
	}
	return out
}
