package message

import "time"

const (
	MaxHeader = 256 << 10
	MaxDepth  = 50
	MaxParts  = 2000
)

// Field is one header field.
type Field struct {
	Name string
	Raw  []byte
}

func (f Field) Value() string           { return "" }
func (f Field) Text() string            { return "" }
func NewField(name, value string) Field { return Field{} }
func RawField(raw []byte) Field         { return Field{} }

type Header struct{ Fields []Field }

func ParseHeader(b []byte) (h Header, n int) { return }
func (h Header) Get(name string) string      { return "" }
func (h Header) Values(name string) []string { return nil }
func (h Header) Has(name string) bool        { return false }
func (h Header) Text(name string) string     { return "" }
func (h *Header) Add(f Field)                {}
func (h *Header) Set(f Field)                {}
func (h *Header) Del(name string)            {}
func (h *Header) Prepend(f Field)            {}
func (h Header) Bytes() []byte               { return nil }

type Part struct {
	Header                Header
	MediaType             string
	Params                map[string]string
	Disposition           string
	DispositionParams     map[string]string
	Encoding              string
	Start, BodyStart, End int
	Lines                 int
	Children              []*Part
	Message               *Part
}

func Parse(b []byte) *Part                  { return &Part{} }
func (p *Part) Raw(b []byte) []byte         { return nil }
func (p *Part) Body(b []byte) []byte        { return nil }
func (p *Part) HeaderBytes(b []byte) []byte { return nil }
func (p *Part) Decoded(b []byte) []byte     { return nil }
func (p *Part) Text(b []byte) string        { return "" }
func (p *Part) Find(path ...int) *Part      { return nil }
func (p *Part) IsMultipart() bool           { return false }

func ContentType(value string) (mediaType string, params map[string]string) { return "", nil }
func SetParam(value, name, v string) string                                 { return "" }
func DelParam(value string, names ...string) string                         { return "" }

// Address is a display name, decoded, and an addr-spec.
type Address struct{ Name, Addr string }

func (a Address) String() string            { return "" }
func ParseAddresses(value string) []Address { return nil }

// Mailbox is an address as ENVELOPE has it (RFC 3501, section 7.4.2): a group starts with
// a Mailbox without Host and ends with an empty one.
type Mailbox struct{ Name, Mailbox, Host string }

func ParseAddressList(value string) []Mailbox  { return nil }
func ParseMessageIDs(value string) []string    { return nil }
func ParseDate(value string) (time.Time, bool) { return time.Time{}, false }
func FormatDate(t time.Time) string            { return "" }
func DecodeWords(s string) string              { return s }
func EncodeWord(s string) string               { return s }
func CanonicalAddr(addr string) string         { return addr }

type Envelope struct {
	Date, Subject                      string
	From, Sender, ReplyTo, To, Cc, Bcc []Mailbox
	InReplyTo, MessageID               string
}

func ParseEnvelope(h Header) Envelope                    { return Envelope{} }
func Contains(b []byte, text string, bodyOnly bool) bool { return false }
func CRLF(b []byte) []byte                               { return b }
