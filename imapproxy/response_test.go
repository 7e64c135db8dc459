package imapproxy

import (
	"fmt"
	"strings"
	"testing"

	"mailbridge/mailbox"
	"mailbridge/message"
)

// written gives what a response writes.
func written(write func(r *response)) string {
	g, conn := testGuard("", true)
	r := &response{g: g}
	write(r)
	_ = r.flush()
	return conn.out.String()
}

func TestStrings(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxQuoted+1)
	tests := []struct{ in, want string }{
		{"", "NIL"},
		{"plain", `"plain"`},
		{`a "b" \c`, `"a \"b\" \\c"`},
		{"Gr\xfc\xdfe", "{5}\r\nGr\xfc\xdfe"}, // octets of a header that was never encoded
		{"tab\there", "{8}\r\ntab\there"},
		{long, fmt.Sprintf("{%d}\r\n%s", len(long), long)},
	}
	for _, test := range tests {
		if got := written(func(r *response) { r.nstring(test.in) }); got != test.want {
			t.Errorf("%q: got %q", test.in, got)
		}
	}
}

func TestFlagsAreAtoms(t *testing.T) {
	t.Parallel()
	flags := mailbox.Flags{"$ok", "a b", "c]", "(", "ü", mailbox.Flag(strings.Repeat("x", maxKeyword+1)), mailbox.Seen, `\`}
	if got := written(func(r *response) { r.flags(flags) }); got != `($ok \Seen)` {
		t.Errorf("got %q", got)
	}
}

func TestLargeResponsesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("0123456789", flushSize/5)
	want := strings.Repeat("line\r\n", flushSize/5) + fmt.Sprintf("{%d}\r\n", len(large)) + large + "end\r\n"
	got := written(func(r *response) {
		for range flushSize / 5 {
			r.text("line")
			r.line()
		}
		r.literal([]byte(large))
		r.text("end")
		r.line()
	})
	if got != want {
		t.Errorf("got %d octets, want %d", len(got), len(want))
	}
}

func TestStructureOf(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, msg, want string }{
		{
			"one language", "Content-Language: de\n\nx",
			`("text" "plain" NIL NIL NIL "7bit" 1 0 NIL NIL "de" NIL)`,
		},
		{
			"location and disposition", "Content-Type: image/png\nContent-Location: a/b.png\nContent-Disposition: inline\n\nx",
			`("image" "png" NIL NIL NIL "7bit" 1 NIL ("inline" NIL) NIL "a/b.png")`,
		},
		{
			"an encoded message is no message", "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\neA==\n",
			`("application" "octet-stream" NIL NIL NIL "base64" 6 NIL NIL NIL NIL)`,
		},
		{
			"an unknown type", "Content-Type: nonsense\n\nx",
			`("text" "plain" NIL NIL NIL "7bit" 1 0 NIL NIL NIL NIL)`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			msg := []byte(strings.ReplaceAll(test.msg, "\n", "\r\n"))
			if got := written(func(r *response) { r.structure(message.Parse(msg), true) }); got != test.want {
				t.Errorf("got %s", got)
			}
		})
	}
}

// FuzzStructure parses anything and checks that envelope and structure are one value
// each: parentheses and strings close.
func FuzzStructure(f *testing.F) {
	f.Add([]byte("Content-Type: multipart/mixed; boundary=a\r\nTo: g: a@b;\r\n\r\n--a\r\n\r\nx\r\n--a--\r\n"))
	f.Add([]byte("Content-Type: message/rfc822\r\n\r\nSubject: \"\\\r\n\r\nx"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		part := message.Parse(msg)
		for _, write := range []func(r *response){
			func(r *response) { r.structure(part, true) },
			func(r *response) { r.structure(part, false) },
			func(r *response) { r.envelope(message.ParseEnvelope(part.Header)) },
		} {
			if rest, ok := skipValue(written(write)); !ok || rest != "" {
				t.Errorf("%q: left with %q", msg, rest)
			}
		}
	})
}

// skipValue goes past one list, string, number or NIL.
func skipValue(s string) (rest string, ok bool) {
	p := &parser{s}
	switch {
	case p.special("("):
		for !p.special(")") {
			if p.rest, ok = skipValue(p.rest); !ok {
				return p.rest, false
			}
			p.special(" ")
		}
		return p.rest, true
	case p.special("{"):
		n, ok := p.number()
		if !ok || !p.special("}\r\n") || int64(len(p.rest)) < n {
			return p.rest, false
		}
		return p.rest[n:], true
	case strings.HasPrefix(s, `"`):
		_, ok = p.quoted()
		return p.rest, ok
	}
	_, ok = p.atom()
	return p.rest, ok
}
