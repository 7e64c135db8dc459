package account

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"mailbridge/headers"
	"mailbridge/message"
	"mailbridge/pgp"
)

// letter is a submitted message with what its header and envelope say, before anything is
// decided about it.
type letter struct {
	msg       []byte // as the client gave it, with CRLF, a Message-ID and a Date
	header    message.Header
	root      *message.Part
	messageID string
	from      string   // canonical
	visible   []string // envelope recipients that To or Cc name, canonical
	bcc       []string // the others
}

// readLetter looks at a submission. Message-ID and Date are added where there is none, so
// that every copy of the message carries the same.
func readLetter(msg []byte, to []string, now time.Time) (letter, error) {
	l := letter{msg: message.CRLF(msg)}
	if message.HeaderSize(l.msg) > message.MaxHeader {
		// What is not read could name the encrypted message that this one answers.
		return letter{}, &Refusal{552, [3]int{5, 3, 4}, "The header of the message is too large."}
	}
	l.header, _ = message.ParseHeader(l.msg)
	if l.from = soleSender(l.header); l.from == "" {
		return letter{}, refusePolicy("The message needs exactly one address in From.")
	}
	l.complete(now)
	l.root = message.Parse(l.msg)
	l.splitRecipients(to)
	return l, nil
}

// complete adds a Message-ID and a Date where there is none.
func (l *letter) complete(now time.Time) {
	var added []byte
	if ids := message.ParseMessageIDs(l.header.Get("Message-ID")); len(ids) > 0 {
		l.messageID = ids[0]
	} else {
		l.messageID = newMessageID()
		added = append(added, message.NewField("Message-ID", "<"+l.messageID+">").Raw...)
	}
	if !l.header.Has("Date") {
		added = append(added, message.NewField("Date", message.FormatDate(now)).Raw...)
	}
	if len(added) > 0 {
		l.msg = slices.Concat(added, l.msg)
		l.header, _ = message.ParseHeader(l.msg)
	}
}

func (l *letter) splitRecipients(to []string) {
	named := map[string]bool{}
	for _, field := range []string{"To", "Cc"} {
		for _, value := range l.header.Values(field) {
			for _, a := range message.ParseAddresses(value) {
				named[message.CanonicalAddr(a.Addr)] = true
			}
		}
	}
	seen := map[string]bool{}
	for _, addr := range to {
		addr = message.CanonicalAddr(addr)
		switch {
		case seen[addr]:
		case named[addr]:
			l.visible = append(l.visible, addr)
		default:
			l.bcc = append(l.bcc, addr)
		}
		seen[addr] = true
	}
}

// withBcc gives the message with a Bcc field for the recipients that no field names: how
// the sender's own copy remembers them.
func (l *letter) withBcc() []byte {
	if len(l.bcc) == 0 || l.header.Has("Bcc") {
		return l.msg
	}
	list := make([]byte, 0, 64*len(l.bcc))
	for i, addr := range l.bcc {
		if i > 0 {
			list = append(list, ", "...)
		}
		list = append(list, addr...)
	}
	return slices.Concat(message.NewField("Bcc", string(list)).Raw, l.msg)
}

// encrypted reports whether the client has encrypted the message by itself, with OpenPGP/MIME or
// S/MIME (RFC 3156, section 4; RFC 8551, section 3.3). Such mail passes as it is. That the type
// says so is not enough, and a signature alone hides nothing.
func (l *letter) encrypted() bool {
	switch l.root.MediaType {
	case "application/pkcs7-mime", "application/x-pkcs7-mime":
		return strings.EqualFold(l.root.Params["smime-type"], "enveloped-data") ||
			strings.EqualFold(l.root.Params["smime-type"], "authenveloped-data")
	}
	return isCiphertext(l.msg, l.root)
}

// isCiphertext reports whether a message is PGP/MIME, with nothing beside its ciphertext.
func isCiphertext(msg []byte, root *message.Part) bool {
	ciphertext, form, ok := pgp.SplitEncrypted(msg, root)
	if !ok || form != pgp.FormProper {
		return false
	}
	_, err := pgp.Inspect(ciphertext)
	return err == nil
}

// carriesOpened reports whether the message, or one nested in it, is mail that the bridge
// opened: a forward as attachment counts as a reply to it.
func carriesOpened(msg []byte, root *message.Part) bool {
	found := false
	eachMessage(msg, root, func(h message.Header) {
		for _, value := range h.Values(headers.SecurityName) {
			s, ok := headers.ParseSecurity(value)
			found = found || ok && s.Encryption == "openpgp"
		}
	})
	return found
}

// nestedMessageIDs lists the Message-IDs of the message and of every message in it.
func nestedMessageIDs(msg []byte, root *message.Part) []string {
	var ids []string
	eachMessage(msg, root, func(h message.Header) {
		ids = append(ids, message.ParseMessageIDs(h.Get("Message-ID"))...)
	})
	return ids
}

// maxWrapped bounds how often a message is looked for inside an encoded attachment: each level
// copies what is left of it.
const maxWrapped = 4

// eachMessage calls fn for the header of the message and of every part and message in it, also
// of those in attachments that were encoded (RFC 2046, section 5.2.1, forbids it; it happens)
// or that only their name marks as a message.
func eachMessage(msg []byte, root *message.Part, fn func(message.Header)) {
	visitMessages(msg, root, maxWrapped, fn)
}

func visitMessages(msg []byte, p *message.Part, wrapped int, fn func(message.Header)) {
	fn(p.Header)
	if p.Message != nil {
		visitMessages(msg, p.Message, wrapped, fn)
	}
	for _, child := range p.Children {
		visitMessages(msg, child, wrapped, fn)
	}
	if p.Message == nil && wrapped > 0 && isAttachedMessage(p) {
		inner := p.Decoded(msg)
		visitMessages(inner, message.Parse(inner), wrapped-1, fn)
	}
}

// isAttachedMessage reports whether a part that holds no other is a whole message.
func isAttachedMessage(p *message.Part) bool {
	if p.MediaType == "message/rfc822" || p.MediaType == "message/global" {
		return true
	}
	name := p.DispositionParams["filename"]
	if name == "" {
		name = p.Params["name"]
	}
	return !p.IsMultipart() && strings.HasSuffix(strings.ToLower(name), ".eml")
}

// newMessageID makes a Message-ID that names no host and no time (RFC 5322, section 3.6.4).
// Delta Chat's form is a UUID at localhost; one that looks the same tells nobody more.
func newMessageID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // RFC 9562, section 5.4
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:] + "@localhost"
}

// newBoundary makes a MIME boundary that occurs in no armored text.
func newBoundary() string {
	var b [18]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// maxDateShift is how far back the outer Date of hidden mail may lie: six days, as Delta
// Chat does it. More, and providers refuse the mail.
const maxDateShift = 518400 * time.Second

// outerDate gives a random instant of the last six days.
func outerDate(now time.Time) time.Time {
	var b [8]byte
	rand.Read(b[:])
	var n uint64
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return now.Add(-time.Duration(n % uint64(maxDateShift/time.Second) * uint64(time.Second)))
}
