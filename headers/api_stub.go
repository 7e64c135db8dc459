package headers

import (
	"time"

	"mailbridge/message"
)

const SecurityName = "Mailbridge-Security"

type Security struct {
	Encryption  string
	Signature   string
	Signer      string
	Fingerprint string
	Trust       string
	Warnings    []string
}

func (s Security) String() string                 { return "" }
func ParseSecurity(value string) (Security, bool) { return Security{}, false }

type Policy int

const (
	Hidden Policy = iota
	Bare
)

type ProtectOptions struct {
	Policy        Policy
	OuterDate     time.Time       // Hidden: the randomised outer Date
	MessageID     string          // without <>; used where the message has none
	Date          time.Time       // used where the message has no Date
	Autocrypt     string          // header value; inside, with Bare also outside
	Gossip        []string        // Autocrypt-Gossip values, inside
	LegacyDisplay bool            // RFC 9788, section 5.2.2
	Extra         []message.Field // inside and outside
}

func Protect(msg []byte, o ProtectOptions) (outer message.Header, payload []byte, err error) {
	return
}

type Opened struct {
	Outer           message.Header
	Payload         []byte
	Encrypted       bool
	SignatureGood   bool
	SignerAddresses []string
}

type Merged struct {
	Header        message.Header  // what is shown, without Content-*
	Inner         message.Header  // the header of the payload: the only one that may have effects
	From          message.Address // of the inner header, if it has exactly one address
	OuterFrom     message.Address // of the outer header, if it has exactly one address
	FromMismatch  bool            // the two are not the same address
	ShowOuterFrom bool            // and no signature binds the inner one: Header has the outer (warning from-mismatch)
	Protected     bool            // the inner header bears the mark of RFC 9788 or of protected-headers=v1
}

func Merge(o Opened) Merged                                                    { return Merged{} }
func View(m Merged, payload []byte, s *Security) []byte                        { return nil }
func InlinePayload(text []byte, charset string) []byte                         { return nil }
func Errant(msg []byte, root *message.Part, payload []byte, s Security) []byte { return nil }

type NoticeKind int

const Damaged NoticeKind = iota

func Notice(outer message.Header, original []byte, kind NoticeKind) []byte { return nil }
func NeutraliseForged(msg []byte) []byte                                   { return msg }
func SignedPrefix(s Security) []byte                                       { return nil }

type SubmitOptions struct {
	Autocrypt string    // header value; empty: none is added
	MessageID string    // without <>; used where the message has none
	Date      time.Time // used where the message has none
}

func Submit(msg []byte, o SubmitOptions) []byte { return msg }

type Wish int

const (
	NoWish Wish = iota
	WishEncrypt
	WishPlain
)

func AskedFor(h message.Header) Wish { return NoWish }
func Seal(msg []byte, from, messageID string, date time.Time, tag string) (outer message.Header, payload []byte) {
	return
}
func Unseal(payload []byte) (msg []byte, tag string, ok bool) { return }
func References(h message.Header) []string                    { return nil }
func IsReport(h message.Header) bool                          { return false }
