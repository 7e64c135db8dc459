package headers

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"mailbridge/message"
)

var (
	realDate  = time.Date(2026, 11, 21, 9, 30, 0, 0, time.FixedZone("", 3600))
	outerDate = time.Date(2026, 11, 18, 1, 2, 3, 0, time.UTC)
)

const autocryptValue = "addr=anna@example.org; prefer-encrypt=mutual; keydata=xjMEawEFDhYJKwYBBAHaRw8BAQdAHpfhMgwgUgHY+pQC42cqLAuosxUKlyeNvezwuStr0pPCtAQfFggAZgUCawEF"

// submitted is a message as a mail client submits it, CRLF at each line's end.
var submitted = crlf(`Bcc: secret@example.org
From: =?utf-8?q?Anna_M=C3=BCller?= <anna@example.org>
To: "Bob, the Builder" <bob@example.net>,
 Carl <carl@example.com>
Cc: dora@example.org
Subject: [enc] Harvest festival
Date: Sat, 21 Nov 2026 09:30:00 +0100
Message-ID: <m1@example.org>
In-Reply-To: <m0@example.net> (a comment)
References: <first@example.net> <m0@example.net>
User-Agent: Mutt/2
X-Custom: kept
Mailbridge-Encrypt: yes
Autocrypt-Draft-State: encrypt=yes
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="b"
Content-Language: de

--b
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

Kürbisse  
--b
Content-Type: application/octet-stream; name=x
Content-Transfer-Encoding: base64
Content-Disposition: attachment

AAEC
--b--
`)

func crlf(s string) string { return string(message.CRLF([]byte(s))) }

func options(p Policy) ProtectOptions {
	return ProtectOptions{Policy: p, OuterDate: outerDate, Date: realDate, MessageID: "made@example.org", Autocrypt: autocryptValue}
}

func mustProtect(t testing.TB, msg string, o ProtectOptions) (message.Header, []byte) {
	t.Helper()
	outer, payload, err := Protect([]byte(msg), o)
	if err != nil {
		t.Fatal(err)
	}
	return outer, payload
}

func TestProtectHidden(t *testing.T) {
	t.Parallel()
	outer, payload := mustProtect(t, submitted, options(Hidden))
	want := crlf(`From: <anna@example.org>
Date: Wed, 18 Nov 2026 01:02:03 +0000
Message-ID: <m1@example.org>
To: "hidden-recipients": ;
Subject: [...]
`)
	if got := string(outer.Bytes()); got != want {
		t.Errorf("outer header:\n%s\nwant:\n%s", got, want)
	}
	inner := message.Parse(payload)
	if got := inner.Header.Values("HP-Outer"); !slices.Equal(got, outerLines(outer)) {
		t.Errorf("HP-Outer %q, want %q", got, outerLines(outer))
	}
	if got := inner.Header.Get("Content-Type"); got != `multipart/mixed; boundary="b"; protected-headers="v1"; hp="cipher"` {
		t.Errorf("Content-Type %s", got)
	}
	if got := inner.Header.Get("Subject"); got != "Harvest festival" {
		t.Errorf("Subject %q", got)
	}
	for _, name := range []string{"Bcc", "Mailbridge-Encrypt", "Autocrypt-Draft-State"} {
		if inner.Header.Has(name) {
			t.Errorf("%s is still there", name)
		}
	}
	if got := strings.ReplaceAll(inner.Header.Get("Autocrypt"), " ", ""); got != strings.ReplaceAll(autocryptValue, " ", "") {
		t.Errorf("Autocrypt %s", got)
	}
	_, body, _ := strings.Cut(submitted, "\r\n\r\n")
	if got := string(inner.Body(payload)); got != body {
		t.Errorf("body %q", got)
	}
}

func outerLines(h message.Header) []string {
	var out []string
	for _, f := range h.Fields {
		out = append(out, f.Name+": "+f.Value())
	}
	return out
}

func TestProtectBare(t *testing.T) {
	t.Parallel()
	o := options(Bare)
	o.Extra = []message.Field{message.NewField("Chat-Version", "1.0")}
	outer, payload := mustProtect(t, submitted, o)
	want := crlf(`From: <anna@example.org>
Date: Sat, 21 Nov 2026 08:30:00 +0000
Message-ID: <m1@example.org>
To: <bob@example.net>, <carl@example.com>
Cc: <dora@example.org>
Subject: [...]
In-Reply-To: <m0@example.net>
References: <first@example.net> <m0@example.net>
`)
	if got := string(outer.Bytes()); !strings.HasPrefix(got, want+"Autocrypt: addr=anna@example.org;") || !strings.HasSuffix(got, "\r\nChat-Version: 1.0\r\n") {
		t.Errorf("outer header:\n%s\nwant first:\n%s", got, want)
	}
	inner, _ := message.ParseHeader(payload)
	if got := inner.Values("HP-Outer"); !slices.Equal(got, outerLines(outer)) {
		t.Errorf("HP-Outer %q, want %q", got, outerLines(outer))
	}
	if inner.Get("Chat-Version") != "1.0" {
		t.Error("no Chat-Version inside")
	}
}

func TestProtectWhatIsMissing(t *testing.T) {
	t.Parallel()
	outer, payload := mustProtect(t, "From: anna@example.org\r\nBcc: x@example.org\r\n\r\nhi", options(Bare))
	want := crlf(`From: <anna@example.org>
Date: Sat, 21 Nov 2026 08:30:00 +0000
Message-ID: <made@example.org>
To: "hidden-recipients": ;
Subject: [...]
`)
	if got := string(outer.Bytes()); !strings.HasPrefix(got, want) {
		t.Errorf("outer header:\n%s\nwant first:\n%s", got, want)
	}
	inner := message.Parse(payload)
	if inner.Header.Get("Content-Type") != `text/plain; protected-headers="v1"; hp="cipher"` ||
		inner.Header.Get("Date") != "Sat, 21 Nov 2026 09:30:00 +0100" || inner.Header.Get("Message-ID") != "<made@example.org>" {
		t.Errorf("payload:\n%s", payload)
	}
}

func TestProtectRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, msg string
		want      error
	}{
		{"no From", "To: bob@example.net\r\n\r\nhi", ErrNoFrom},
		{"name only", "From: Anna\r\n\r\nhi", ErrNoFrom},
		{"huge header", "From: a@example.org\r\n" + strings.Repeat("X: y\r\n", message.MaxHeader/6) + "Bcc: b@example.org\r\n\r\nhi", ErrHeader},
	} {
		if _, _, err := Protect([]byte(tt.msg), options(Hidden)); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestLegacyDisplay(t *testing.T) {
	t.Parallel()
	const alternative = `From: Anna <anna@example.org>
To: bob@example.net
Subject: =?utf-8?q?K=C3=BCrbis_=3Cb=3E?=
Date: Sat, 21 Nov 2026 09:30:00 +0100
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary=b

--b
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

K=FCrbis suppe
--b
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: base64

PGh0bWw+PEJPRFkgY2xhc3M9eD48cD5Lw7xyYmlzPC9wPjwvQk9EWT48L2h0bWw+
--b
Content-Type: text/plain
Content-Disposition: attachment; filename=notes.txt

untouched
--b--
`
	o := options(Bare)
	o.LegacyDisplay = true
	outer, payload := mustProtect(t, crlf(alternative), o)
	root := message.Parse(payload)
	plain, html, notes := root.Children[0], root.Children[1], root.Children[2]
	if got := plain.Text(payload); got != "From: Anna <anna@example.org>\r\nSubject: Kürbis <b>\r\n\r\nKürbis suppe" {
		t.Errorf("text/plain: %q", got)
	}
	if got := html.Text(payload); got != "<html><BODY class=x>"+legacyDiv+"<pre>From: Anna &lt;anna@example.org&gt;\r\nSubject: Kürbis &lt;b&gt;\r\n</pre></div><p>Kürbis</p></BODY></html>" {
		t.Errorf("text/html: %q", got)
	}
	if got := string(notes.Body(payload)); got != "untouched" || notes.Params[legacyParam] != "" {
		t.Errorf("attachment: %q", got)
	}
	view := View(Merge(Opened{Outer: outer, Payload: payload, Encrypted: true}), payload, nil)
	shown := message.Parse(view)
	for i, want := range []string{"Kürbis suppe", "<html><BODY class=x><p>Kürbis</p></BODY></html>", "untouched"} {
		if got := shown.Children[i].Text(view); got != want || shown.Children[i].Params[legacyParam] != "" {
			t.Errorf("part %d is shown as %q %v", i+1, got, shown.Children[i].Params)
		}
	}
}

// TestRoundTrip protects arbitrary messages and looks at the view of the result: the
// client's own fields and body, nothing hidden in the outer header.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := drawMessage(t)
		o := ProtectOptions{Policy: Policy(rapid.IntRange(0, 1).Draw(t, "policy")), OuterDate: outerDate, Autocrypt: autocryptValue}
		outer, payload, err := Protect([]byte(m.text), o)
		if err != nil {
			t.Fatal(err)
		}
		head := strings.ToLower(string(outer.Bytes()))
		for _, secret := range m.secrets {
			if strings.Contains(head, strings.ToLower(secret)) {
				t.Fatalf("outer header tells %q:\n%s", secret, head)
			}
		}
		merged := Merge(Opened{Outer: outer, Payload: payload, Encrypted: true, SignatureGood: true, SignerAddresses: []string{"anna@example.org"}})
		if got := string(View(merged, payload, nil)); got != m.want {
			t.Fatalf("view:\n%q\nwant:\n%q", got, m.want)
		}
	})
}

// A drawn message, the words that must not be seen outside, and what its view must be.
type drawn struct {
	text, want string
	secrets    []string
}

func drawMessage(t *rapid.T) drawn {
	var d drawn
	word := func(label string) string {
		w := rapid.StringMatching(`[qxzj][bcdfg]{5,9}[qxzjäöü]{2}`).Draw(t, label)
		d.secrets = append(d.secrets, w)
		return message.EncodeWord(w)
	}
	fields := []string{
		"From: " + message.Address{Name: word("sender"), Addr: "anna@example.org"}.String(),
		"To: " + message.Address{Name: word("recipient"), Addr: "bob@example.net"}.String(),
		"Subject: " + word("subject"),
		"Date: Sat, 21 Nov 2026 09:30:00 +0100",
		"Message-ID: <m1@example.org>",
		"Comments: " + word("comments"),
		"X-Note: folded\r\n\t" + word("note"),
		"MIME-Version: 1.0",
	}
	fields = rapid.Permutation(fields).Draw(t, "order")
	contentType := rapid.SampledFrom([]string{
		"text/plain", "text/plain; charset=\"utf-8\"; format=flowed", "multipart/mixed;\r\n boundary=\"=_b\"", "application/pdf; name=a.pdf",
	}).Draw(t, "type")
	fields = append(fields, "Content-Type: "+contentType)
	body := word("body") + "\r\n" + rapid.StringMatching(`([ -~äöü]{0,20}\r\n){0,5}`).Draw(t, "lines")
	if strings.HasPrefix(contentType, "multipart") {
		body = "--=_b\r\n\r\n" + body + "\r\n--=_b--\r\n"
	}
	dropped := rapid.SampledFrom([]string{"", "Bcc: carl@example.com\r\n", "Mailbridge-Encrypt: yes\r\n", "Autocrypt: addr=a@b; keydata=AA==\r\n"}).Draw(t, "dropped")
	head := strings.Join(fields, "\r\n") + "\r\n"
	d.text = dropped + head + "\r\n" + body
	d.want = head + "\r\n" + body
	return d
}

func TestProtectKeepsCRLF(t *testing.T) {
	t.Parallel()
	_, payload := mustProtect(t, "From: a@example.org\nSubject: x\n\nline\n", options(Hidden))
	if bytes.Count(payload, []byte("\n")) != bytes.Count(payload, []byte("\r\n")) {
		t.Errorf("bare line feeds in %q", payload)
	}
}

func TestKeyFieldFolds(t *testing.T) {
	t.Parallel()
	f := keyField("Autocrypt", "addr=a@b; keydata="+strings.Repeat("QUJD", 2000))
	for _, line := range strings.Split(string(f.Raw), "\r\n") {
		if len(line) > 78 {
			t.Fatalf("a line of %d octets", len(line))
		}
	}
}

func FuzzProtect(f *testing.F) {
	f.Add([]byte(submitted), true)
	f.Add([]byte("From: a@b\nContent-Type: text/html; hp=\"clear\n\n<body"), false)
	for _, c := range captures(f) {
		if len(c.inner) < fuzzSeed {
			f.Add(c.inner, false)
		}
	}
	f.Fuzz(func(t *testing.T, msg []byte, bare bool) {
		o := ProtectOptions{Policy: Hidden, OuterDate: outerDate, LegacyDisplay: bare}
		if bare {
			o.Policy = Bare
		}
		outer, payload, err := Protect(msg, o)
		if err != nil {
			return
		}
		m := Merge(Opened{Outer: outer, Payload: payload, Encrypted: true})
		if !m.Protected {
			t.Errorf("payload bears no mark: %q", payload)
		}
		if inner := m.Inner; inner.Has("Bcc") || len(inner.Values("HP-Outer")) != len(outer.Fields) {
			t.Errorf("inner header %q", inner.Bytes())
		}
		for _, f := range outer.Fields {
			if f.Name == "" || !isTidy(f.Raw) || structural(f.Name) {
				t.Errorf("outer field %q", f.Raw)
			}
		}
		if view := View(m, payload, nil); message.Parse(view).Header.Has(nameHPOuter) {
			t.Errorf("view:\n%s", view)
		}
	})
}
