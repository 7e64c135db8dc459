package provider

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime/quotedprintable"
	"net"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
)

func TestSections(t *testing.T) {
	t.Parallel()
	const odd = "From someone\r\nSubject: a\r\n b\r\nno colon\r\nsubject : c\r\nX-Y: z\r\n\r\nbody\n\r\n"
	for _, test := range []struct {
		name string
		data string
		item imap.FetchItemBodySection
		want string
	}{
		{"whole", odd, imap.FetchItemBodySection{}, odd},
		{"header", odd, imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader}, strings.TrimSuffix(odd, "body\n\r\n")},
		{"text", odd, imap.FetchItemBodySection{Specifier: imap.PartSpecifierText}, "body\n\r\n"},
		{"fields", odd, imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader, HeaderFields: []string{"SUBJECT"}}, "Subject: a\r\n b\r\nsubject : c\r\n\r\n"},
		{"fields not", odd, imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader, HeaderFieldsNot: []string{"SUBJECT"}}, "From someone\r\nno colon\r\nX-Y: z\r\n\r\n"},
		{"partial", odd, imap.FetchItemBodySection{Specifier: imap.PartSpecifierText, Partial: &imap.SectionPartial{Offset: 1, Size: 3}}, "ody"},
		{"partial beyond", odd, imap.FetchItemBodySection{Specifier: imap.PartSpecifierText, Partial: &imap.SectionPartial{Offset: 4, Size: 1 << 40}}, "\n\r\n"},
		{"partial behind", odd, imap.FetchItemBodySection{Partial: &imap.SectionPartial{Offset: 1 << 40, Size: 1}}, ""},
		{"lone LF", "A: b\n\nc", imap.FetchItemBodySection{Specifier: imap.PartSpecifierText}, "c"},
		{"no body", "A: b\r\n", imap.FetchItemBodySection{Specifier: imap.PartSpecifierText}, ""},
		{"no header", "\r\nc", imap.FetchItemBodySection{Specifier: imap.PartSpecifierHeader}, "\r\n"},
	} {
		if got := string(section([]byte(test.data), &test.item)); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// Header and text are the message, whatever it is, and fields and the other fields are
// the header.
func FuzzSections(f *testing.F) {
	f.Add([]byte("Subject: a\r\n b\r\n\r\nbody"), "subject")
	f.Add([]byte("A\n\nb\r\n\r\n"), "A")
	f.Add([]byte("\r\n"), "")
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		header, body := splitHeader(data)
		if !bytes.Equal(append(bytes.Clone(header), body...), data) {
			t.Fatalf("%q + %q", header, body)
		}
		with, without := selectFields(header, []string{name}, true), selectFields(header, []string{name}, false)
		if n := len(with) + len(without) - 4; n > len(header) {
			t.Fatalf("%d octets out of %d", n, len(header))
		}
		headerValues(data, name)
		searchable(data)
		envelope(data)
		if len(data) > 1<<10 {
			return // go-imap takes its time with what follows
		}
		if bodyStructure(data) == nil {
			t.Fatal("no structure")
		}
	})
}

// The decoder undoes what the standard library does, however it is cut.
func FuzzQuotedPrintable(f *testing.F) {
	f.Add([]byte("Grüße = und = so weiter, viel länger als eine Zeile sein darf, und noch länger"), 3)
	f.Add([]byte("==\r\n=3"), 1)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		size = max(1, size&0xff)
		var b bytes.Buffer
		w := quotedprintable.NewWriter(&b)
		w.Binary = true
		_, _ = w.Write(data)
		_ = w.Close()
		var d qpDecoder
		var got []byte
		for rest := b.Bytes(); len(rest) > 0; {
			n := min(size, len(rest))
			got = append(got, d.decode(rest[:n])...)
			rest = rest[n:]
		}
		if !bytes.Equal(got, data) {
			t.Fatalf("%q became %q", data, got)
		}
		new(qpDecoder).decode(data)
	})
}

// A word is found wherever the stream is cut.
func FuzzScanner(f *testing.F) {
	f.Add([]byte("before"), []byte("after"), 1)
	f.Add([]byte("b=3"), []byte("\r\n"), 7)
	f.Fuzz(func(t *testing.T, before, after []byte, size int) {
		size = max(1, size&0xff)
		word := []byte("Quetzalcoatl")
		for _, form := range [][]byte{
			bytes.Join([][]byte{before, word, after}, nil),
			[]byte(base64.StdEncoding.EncodeToString(bytes.Join([][]byte{before, word, after}, nil))),
		} {
			p := &Provider{}
			p.Watch(string(word))
			s := p.alarm.scanner()
			for rest := form; len(rest) > 0; {
				n := min(size, len(rest))
				s.write(rest[:n])
				rest = rest[n:]
			}
			if len(p.Violations()) == 0 {
				t.Fatalf("not found in %q", form)
			}
		}
	})
}

// However the output is cut, the same octets arrive, and literals are left alone.
func FuzzWire(f *testing.F) {
	f.Add([]byte("* CAPABILITY IMAP4rev1 ENABLE UTF8=ACCEPT\r\n* 1 FETCH (BODY[] {42}\r\n* CAPABILITY ENABLE\r\n* CAPABILITY ENABLE\r\n)\r\n"), 3)
	f.Add([]byte("* OK [CAPABILITY IDLE] hi\r\na OK [CAPABILITY \r\n{99999999999999999999}\r\n"), 1)
	f.Fuzz(func(t *testing.T, data []byte, size int) {
		size = max(1, size&0xff)
		whole, cut := &sink{}, &sink{}
		for i, s := range []*sink{whole, cut} {
			w := (&Provider{}).newWireConn(s, portIMAPS, false, func() {})
			n := len(data)
			if i == 1 {
				n = size
			}
			for rest := data; len(rest) > 0; {
				n := min(n, len(rest))
				if got, err := w.Write(rest[:n]); got != n || err != nil {
					t.Fatal(got, err)
				}
				rest = rest[n:]
			}
		}
		if whole.String() != cut.String() {
			t.Fatalf("%q, in pieces %q", whole, cut)
		}
	})
}

type sink struct {
	net.Conn
	bytes.Buffer
}

func (s *sink) Write(b []byte) (int, error) { return s.Buffer.Write(b) }
func (s *sink) Read([]byte) (int, error)    { return 0, io.EOF }

func FuzzBeforeTLS(f *testing.F) {
	f.Add("a STARTTLS")
	f.Add("EHLO x")
	f.Add(" ")
	f.Fuzz(func(t *testing.T, line string) {
		for _, answer := range []func(string) (string, bool){clearIMAP, (&Provider{}).clearSMTP} {
			if reply, _ := answer(line); !strings.HasSuffix(reply, "\r\n") {
				t.Fatalf("%q", reply)
			}
		}
	})
}
