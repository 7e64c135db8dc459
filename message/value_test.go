package message

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestContentType(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in, mediaType string
		params        map[string]string
	}{
		{`Text/Plain; Charset="UTF-8"`, "text/plain", map[string]string{"charset": "UTF-8"}},
		{`text/plain;; charset=utf-8;`, "text/plain", map[string]string{"charset": "utf-8"}},
		{`text/plain (c;d); (x) charset=utf-8 (y)`, "text/plain", map[string]string{"charset": "utf-8"}},
		{`multipart/mixed; boundary="a;b\"c"`, "multipart/mixed", map[string]string{"boundary": `a;b"c`}},
		{`multipart/mixed; boundary="abc`, "multipart/mixed", map[string]string{"boundary": "abc"}},
		{`text/plain; charset="utf-8; format=flowed`, "text/plain", map[string]string{"charset": "utf-8", "format": "flowed"}},
		{`text/plain; a=1; a=2`, "text/plain", map[string]string{"a": "1"}},
		{`a/b; name*=utf-8'de'K%C3%BCche`, "a/b", map[string]string{"name": "Küche"}},
		{`a/b; name*1*=%BCche; name*0*=utf-8''K%C3; name=other`, "a/b", map[string]string{"name": "Küche"}},
		{`a/b; name*0="long "; name*1=name`, "a/b", map[string]string{"name": "long name"}},
		{`a/b; name="=?utf-8?q?K=C3=BCche?="`, "a/b", map[string]string{"name": "Küche"}},
		{"a/b; name=K\xfcche", "a/b", map[string]string{"name": "Küche"}},
		{"a/b; boundary==?utf-8?q?x?=", "a/b", map[string]string{"boundary": "=?utf-8?q?x?="}},
		{`text`, "", map[string]string{}},
		{``, "", map[string]string{}},
	} {
		mediaType, params := ContentType(tt.in)
		if mediaType != tt.mediaType || !maps.Equal(params, tt.params) {
			t.Errorf("%q: %q %q", tt.in, mediaType, params)
		}
	}
}

func TestParamEdits(t *testing.T) {
	t.Parallel()
	const folded = " multipart/mixed; protected-headers=\"v1\"; \r\n\tHP=\"cipher\"; x=\"; hp=1\"; \r\n\tboundary=b\r\n"
	if got := DelParam(folded, "hp", "protected-headers"); got != " multipart/mixed; x=\"; hp=1\"; \r\n\tboundary=b\r\n" {
		t.Errorf("DelParam: %q", got)
	}
	for _, tt := range []struct{ in, want string }{
		{"text/plain", `text/plain; hp="a b"`},
		{"text/plain; hp=x; hp*0=y;\r\n z=1\r\n", "text/plain;\r\n z=1; hp=\"a b\""},
		{`text/plain; x="open`, ` text/plain; hp="a b"; x=open`},
		{`0/0"`, ` 0/0; hp="a b"`},
	} {
		got := SetParam(tt.in, "hp", "a b")
		if got != tt.want {
			t.Errorf("SetParam %q: %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestDecodeWords(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain":                                  "plain",
		"=?utf-8?q?K=C3=BCche?=":                 "Küche",
		"=?UTF-8?B?S8O8Y2hl?= x":                 "Küche x",
		"=?utf-8?q?a?= =?utf-8?q?b?=":            "ab",
		"=?utf-8?q?a?= x =?utf-8?q?b?=":          "a x b",
		"=?utf-8?b?w7w=?=\t=?iso-8859-1?q?=FC?=": "üü",
		"=?utf-8?b?ww==?= =?utf-8?b?vA==?=":      "ü",
		"=?utf-8*de?q?a_b?=":                     "a b",
		"=?utf-8?q?a b c?=":                      "a b c",
		"=?utf-8?x?a?=":                          "=?utf-8?x?a?=",
		"=?utf-8?q?open":                         "=?utf-8?q?open",
		"=?utf-8?q?a=0D=0ABcc:_x?=":              "a  Bcc: x",
		"=?nobody-knows?q?=FC?=":                 "ü",
		"K\xfcche":                               "Küche",
		"a =? b =?utf-8?q?c?=":                   "a =? b c",
	} {
		if got := DecodeWords(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestEncodeWord(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"plain", "Küche", "=?utf-8?q?a?=", strings.Repeat("ü", 200), strings.Repeat("日本語 ", 30), "a=?b", "", " blank ", strings.Repeat("=?", 100), "ASCII and a long tail of words that is not encoded at all",
	} {
		got := EncodeWord(s)
		if DecodeWords(got) != s {
			t.Errorf("%q becomes %q, and that %q", s, got, DecodeWords(got))
		}
		for _, w := range strings.Fields(got) {
			if len(w) > 75 || !printable(w) {
				t.Errorf("%q has the word %q", s, w)
			}
		}
	}
	if got := EncodeWord("a\r\nBcc: x"); got != "a  Bcc: x" {
		t.Errorf("line end becomes %q", got)
	}
}

func TestParseAddresses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   string
		want []Address
	}{
		{"bob@example.org", []Address{{"", "bob@example.org"}}},
		{`Bob <bob@example.org>, "Carl, C." <carl@example.org>`, []Address{{"Bob", "bob@example.org"}, {"Carl, C.", "carl@example.org"}}},
		{"=?utf-8?q?K=C3=BCche?= <k@example.org>", []Address{{"Küche", "k@example.org"}}},
		{"bob@example.org (Bob (the) Builder)", []Address{{"Bob (the) Builder", "bob@example.org"}}},
		{"friends: a@b, C <c@d>;, e@f", []Address{{"", "a@b"}, {"C", "c@d"}, {"", "e@f"}}},
		{`"hidden-recipients": ;`, nil},
		{"undisclosed-recipients:;", nil},
		{"nobody, bob@example.org, <>, <x>", []Address{{"", "bob@example.org"}}},
		{"bob@example.org  Fri Aug 23 2002", []Address{{"", "bob@example.org"}}},
		{"a@b; c@d", []Address{{"", "a@b"}, {"", "c@d"}}},
		{"a@b c@d", []Address{{"", "a@b"}, {"", "c@d"}}},
		{"<a@b> <c@d>", []Address{{"", "a@b"}, {"", "c@d"}}},
		{"bob @ example . org", []Address{{"", "bob@example"}}},
		{"< bob @ example.org >", []Address{{"", "bob@example.org"}}},
		{"<@relay,@other:bob@example.org>", []Address{{"", "bob@example.org"}}},
		{`"a b"@example.org, <"c,d"@example.org>`, []Address{{"", `"a b"@example.org`}, {"", `"c,d"@example.org`}}},
		{`"bob@example.org"`, nil},
		{`"bob@example.org" <eve@example.org>`, []Address{{"bob@example.org", "eve@example.org"}}},
		{"bob@example.org <eve@example.org>", []Address{{"bob@example.org", "eve@example.org"}}},
		{`"open <bob@example.org>`, []Address{{"open", "bob@example.org"}}},
		{"(open <bob@example.org>", []Address{{"open", "bob@example.org"}}},
		{"<<bob@example.org>>", []Address{{"", "bob@example.org"}}},
		{"j.@docomo.example, a..b@docomo.example", []Address{{"", "j.@docomo.example"}, {"", "a..b@docomo.example"}}},
	} {
		if got := ParseAddresses(tt.in); !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestParseAddressList(t *testing.T) {
	t.Parallel()
	got := ParseAddressList(`=?utf-8?q?K?= <k@example.org>, friends: "a b"@c;, nobody`)
	want := []Mailbox{{"=?utf-8?q?K?=", "k", "example.org"}, {"", "friends", ""}, {"", "a b", "c"}, {}, {"nobody", missingMailbox, missingDomain}}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestAddressString(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a    Address
		want string
	}{
		{Address{"", "a@b"}, "<a@b>"},
		{Address{"Bob B", "a@b"}, "Bob B <a@b>"},
		{Address{`B, "x" \`, "a@b"}, `"B, \"x\" \\" <a@b>`},
		{Address{"Küche", "a@b"}, "=?utf-8?q?K=C3=BCche?= <a@b>"},
		{Address{"a\r\nBcc: x", "a@b"}, `"a  Bcc: x" <a@b>`},
		{Address{`Ö "x", eve@c`, "a@b"}, "=?utf-8?b?w5YgIngiLCBldmVAYw==?= <a@b>"},
		{Address{"=?x?, (y)", "a@b"}, "=?utf-8?b?PT94PywgKHkp?= <a@b>"},
	} {
		if got := tt.a.String(); got != tt.want {
			t.Errorf("%q: %s, want %s", tt.a, got, tt.want)
		}
	}
}

func TestAddressStringIsOneAddress(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Ö, eve@example.org", `Ö "1"`, "Ö <eve@example.org>", "Ö (x", "Ö; y: z", "=?utf-8?q?a,_b?=", `Ö \`, strings.Repeat("Ö, ", 60) + "x"} {
		s := Address{name, "a@b"}.String()
		word := strings.TrimSuffix(s, " <a@b>")
		if strings.ContainsAny(word, "\"(),.:;<>@[\\]") {
			t.Errorf("%q stands as %s", name, s)
		}
		if got := ParseAddresses(s); len(got) != 1 || got[0] != (Address{name, "a@b"}) {
			t.Errorf("%q is read as %q", name, got)
		}
	}
}

func TestCanonicalAddr(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Bob@Example.ORG": "bob@example.org", " <a@b> ": "a@b", "a@BÜCHER.example": "a@xn--bcher-kva.example",
		"a@xn--bcher-kva.example": "a@xn--bcher-kva.example", "NoAt": "noat", "": "", "a@" + strings.Repeat("X", 300): "a@" + strings.Repeat("x", 300),
	} {
		if got := CanonicalAddr(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestParseMessageIDs(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][]string{
		"<a@b>":                           {"a@b"},
		"<a@b> <c@d>,<e@f>":               {"a@b", "c@d", "e@f"},
		"a@b":                             {"a@b"},
		"message of Bob <a@b> of Tuesday": {"a@b"},
		"< a@\tb >":                       {"a@b"},
		"<open@x":                         {"open@x"},
		"<<a@b>":                          {"a@b"},
		"<no-at>":                         {"no-at"},
		"nothing <>":                      nil,
	} {
		if got := ParseMessageIDs(in); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestParseDate(t *testing.T) {
	t.Parallel()
	want := time.Date(2026, 11, 21, 8, 30, 0, 0, time.UTC)
	for _, in := range []string{
		"Sat, 21 Nov 2026 09:30:00 +0100", "21 Nov 2026 08:30 +0000", "Sat, 21 Nov 2026 08:30:00 GMT", "Sat, 21 Nov 26 09:30:00 +0100 (CET)",
		"Sat Nov 21 08:30:00 2026", "Saturday, 21 November 2026 08:30:00 +0000", "2026-11-21T08:30:00Z", " Sat,  21 Nov 2026\t08:30:00 +0000 ",
	} {
		if got, ok := ParseDate(in); !ok || !got.Equal(want) {
			t.Errorf("%q: %v %v", in, got, ok)
		}
	}
	for _, in := range []string{"", "yesterday", strings.Repeat("x", 1000)} {
		if got, ok := ParseDate(in); ok {
			t.Errorf("%q: %v", in, got)
		}
	}
	if got := FormatDate(time.Date(2026, 11, 1, 9, 30, 0, 0, time.FixedZone("", 3600))); got != "Sun, 01 Nov 2026 09:30:00 +0100" {
		t.Errorf("FormatDate: %s", got)
	}
}

func TestParseEnvelope(t *testing.T) {
	t.Parallel()
	h, _ := ParseHeader([]byte("From: Bob <bob@example.org>\nTo: a@b\nTo: c@d\nSubject: =?utf-8?q?x?=\nDate: today\nMessage-Id: <m@x>\nIn-Reply-To: <r@x>\n\n"))
	bob := []Mailbox{{"Bob", "bob", "example.org"}}
	want := Envelope{
		Date: "today", Subject: "=?utf-8?q?x?=", From: bob, Sender: bob, ReplyTo: bob,
		To: []Mailbox{{"", "a", "b"}, {"", "c", "d"}}, InReplyTo: "<r@x>", MessageID: "<m@x>",
	}
	if got := ParseEnvelope(h); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

func FuzzAddresses(f *testing.F) {
	f.Add(`Bob <bob@x>, "A, B" <a@b>, c@d (Carl), u: e@f;, <<"x"@y>, (`)
	f.Fuzz(func(t *testing.T, s string) {
		for _, a := range ParseAddresses(s) {
			if !strings.Contains(a.Addr, "@") || strings.ContainsAny(a.Addr, "\r\n<>") || !utf8.ValidString(a.Name) {
				t.Errorf("%q holds %q", s, a)
			}
			CanonicalAddr(a.Addr)
			if f := NewField("To", a.String()); len(ParseFields(string(f.Raw))) != 1 {
				t.Errorf("%q is not one field", f.Raw)
			}
		}
		ParseAddressList(s)
		ParseMessageIDs(s)
		ParseDate(s)
	})
}

func FuzzParams(f *testing.F) {
	f.Add(`multipart/mixed; boundary="a;b"; name*0*=utf-8''%C3; name*1=(x)`, "hp")
	f.Fuzz(func(t *testing.T, s, v string) {
		_, before := ContentType(s)
		_, after := ContentType(DelParam(s, "hp"))
		if _, ok := after["hp"]; ok && len(before) < maxParams {
			t.Errorf("%q still has hp: %q", s, DelParam(s, "hp"))
		}
		if !printable(v) || strings.Contains(v, "=?") {
			return
		}
		if _, params := ContentType(SetParam(s, "hp", v)); params["hp"] != strings.Trim(v, " \t") && params["hp"] != v {
			t.Errorf("%q: hp is %q, want %q", SetParam(s, "hp", v), params["hp"], v)
		}
	})
}

func FuzzWords(f *testing.F) {
	f.Add("=?utf-8?q?K=C3=BCche?= =?iso-8859-1?b?/A==?= =?")
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(DecodeWords(s)) {
			t.Errorf("%q gives no UTF-8", s)
		}
		e := EncodeWord(s)
		if !printable(e) {
			t.Errorf("%q gives %q", s, e)
		}
		if utf8.ValidString(s) && !strings.ContainsAny(s, "\r\n\x00") && DecodeWords(e) != s {
			t.Errorf("%q becomes %q, and that %q", s, e, DecodeWords(e))
		}
	})
}
