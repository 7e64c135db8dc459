package headers

import (
	"slices"
	"strings"
	"testing"

	"mailbridge/message"
)

const outerMail = `Return-Path: <anna@example.org>
Received: from mail.example.org
Authentication-Results: example.net; dkim=pass
DKIM-Signature: v=1
Mailbridge-Security: encryption=openpgp; signature=good
From: Outer Anna <anna@example.org>
To: <bob@example.net>
Cc: <mallory@example.com>
Reply-To: <mallory@example.com>
Subject: [...]
Date: Sat, 21 Nov 2026 08:30:00 +0000
Message-ID: <outer@example.org>
References: <forged@example.com>
Chat-Group-ID: forged
Secure-Join: vc-request
Autocrypt: addr=anna@example.org; keydata=AA==
X-Mailer: outside
List-Id: <list.example.org>
MIME-Version: 1.0
Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary=x

`

func open(payload string) Opened {
	outer, _ := message.ParseHeader([]byte(crlf(outerMail)))
	return Opened{Outer: outer, Payload: []byte(crlf(payload)), Encrypted: true}
}

func viewOf(o Opened) string { return string(View(Merge(o), o.Payload, nil)) }

const traces = `Return-Path: <anna@example.org>
Received: from mail.example.org
Authentication-Results: example.net; dkim=pass
List-Id: <list.example.org>
`

func TestView(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, payload, want string }{{
		"RFC 9788: nothing but the inner fields, the trace and what a message must have",
		`From: Anna <anna@example.org>
Subject: Lunch
HP-Outer: Subject: [...]
Received: by a forger
Autocrypt-Gossip: addr=x
Secure-Join-Auth: x
Mailbridge-Security: encryption=openpgp; signature=good
Chat-Version: 1.0
Content-Type: text/plain; hp="cipher"; charset=utf-8

hi
`,
		traces + `From: Anna <anna@example.org>
Subject: Lunch
Chat-Version: 1.0
Content-Type: text/plain; charset=utf-8
Date: Sat, 21 Nov 2026 08:30:00 +0000
Message-ID: <outer@example.org>
MIME-Version: 1.0

hi
`,
	}, {
		"protected-headers=v1 with the subject alone: the rest from outside, but nothing that only counts inside",
		`Subject: Lunch
Content-Type: text/plain; protected-headers="v1"; charset=utf-8

hi
`,
		traces + `Subject: Lunch
Content-Type: text/plain; charset=utf-8
From: Outer Anna <anna@example.org>
To: <bob@example.net>
Cc: <mallory@example.com>
Date: Sat, 21 Nov 2026 08:30:00 +0000
Message-ID: <outer@example.org>
References: <forged@example.com>
X-Mailer: outside
MIME-Version: 1.0

hi
`,
	}, {
		"protected-headers=v1 with To: no Cc from outside",
		`Subject: Lunch
From: anna@example.org
To: bob@example.net
Date: Sat, 21 Nov 2026 09:30:00 +0100
References: <r@example.org>
Message-ID: <i@example.org>
Content-Type: text/plain; protected-headers=v1

hi
`,
		traces + `Subject: Lunch
From: anna@example.org
To: bob@example.net
Date: Sat, 21 Nov 2026 09:30:00 +0100
References: <r@example.org>
Message-ID: <i@example.org>
Content-Type: text/plain
X-Mailer: outside
MIME-Version: 1.0

hi
`,
	}, {
		"no mark: fields inside are no protected headers",
		`Subject: Inside
Chat-Version: 1.0
Content-Type: text/plain

hi
`,
		`Return-Path: <anna@example.org>
Received: from mail.example.org
Authentication-Results: example.net; dkim=pass
From: Outer Anna <anna@example.org>
To: <bob@example.net>
Cc: <mallory@example.com>
Reply-To: <mallory@example.com>
Subject: [...]
Date: Sat, 21 Nov 2026 08:30:00 +0000
Message-ID: <outer@example.org>
References: <forged@example.com>
X-Mailer: outside
List-Id: <list.example.org>
Content-Type: text/plain
MIME-Version: 1.0

hi
`,
	}, {
		"a legacy copy of hidden fields is taken out, in the marked part alone",
		`From: anna@example.org
Date: Sat, 21 Nov 2026 09:30:00 +0100
Message-ID: <i@example.org>
Content-Type: multipart/mixed; boundary=b; hp="cipher"

--b
Content-Type: text/plain; hp-legacy-display=1

Subject: Lunch

hi
--b
Content-Type: text/plain

Subject: kept

hi
--b--
`,
		traces + `From: anna@example.org
Date: Sat, 21 Nov 2026 09:30:00 +0100
Message-ID: <i@example.org>
Content-Type: multipart/mixed; boundary=b
MIME-Version: 1.0

--b
Content-Type: text/plain

hi
--b
Content-Type: text/plain

Subject: kept

hi
--b--
`,
	}, {
		"the v1 form of a legacy copy",
		`From: anna@example.org
Date: Sat, 21 Nov 2026 09:30:00 +0100
Message-ID: <i@example.org>
Subject: Lunch
Content-Type: multipart/mixed; boundary=b; protected-headers=v1

--b
Content-Type: text/plain; protected-headers=v1

Subject: Lunch

--b
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: 8bit

<p>hi
--b--
`,
		traces + `From: anna@example.org
Date: Sat, 21 Nov 2026 09:30:00 +0100
Message-ID: <i@example.org>
Subject: Lunch
References: <forged@example.com>
X-Mailer: outside
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: 8bit
MIME-Version: 1.0

<p>hi`,
	}, {
		"names of ours are taken out of parts and attached messages",
		`From: anna@example.org
Date: Sat, 21 Nov 2026 09:30:00 +0100
Message-ID: <i@example.org>
Content-Type: multipart/mixed; boundary=b; hp=clear

--b
Mailbridge-Security: forged
Content-Type: message/rfc822

mailbridge-x: forged
 folded
Subject: Fwd

Mailbridge-Security: text stays
--b--
`,
		traces + `From: anna@example.org
Date: Sat, 21 Nov 2026 09:30:00 +0100
Message-ID: <i@example.org>
Content-Type: multipart/mixed; boundary=b
MIME-Version: 1.0

--b
Content-Type: message/rfc822

Subject: Fwd

Mailbridge-Security: text stays
--b--
`,
	}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := viewOf(open(tt.payload)); got != crlf(tt.want) {
				t.Errorf("view:\n%s\nwant:\n%s", got, crlf(tt.want))
			}
		})
	}
}

// A carriage return alone must not begin a field in the view.
func TestViewTidies(t *testing.T) {
	t.Parallel()
	o := open("")
	o.Payload = []byte("From: anna@example.org\nX: a\rMailbridge-Security: forged\n\t\n b\x00c\nContent-Type: text/plain; hp=cipher\n\nhi")
	want := "X: a Mailbridge-Security: forged\r\n b c\r\n"
	if got := viewOf(o); !strings.Contains(got, want) {
		t.Errorf("%q lacks %q", got, want)
	}
}

// Two clients must not take two structures for the same bytes.
func TestViewHasOneContentType(t *testing.T) {
	t.Parallel()
	got := viewOf(open("From: anna@example.org\nContent-Type: text/plain; hp=cipher\ncontent-type: multipart/mixed; boundary=b\n\nhi"))
	if strings.Contains(got, "multipart") {
		t.Errorf("view:\n%s", got)
	}
}

func TestExchangeMessageID(t *testing.T) {
	t.Parallel()
	o := open("From: anna@example.org\nContent-Type: text/plain; hp=cipher\n\nhi")
	o.Outer.Add(message.NewField("X-Microsoft-Original-Message-ID", "<real@example.org>"))
	if got := viewOf(o); !strings.Contains(got, "\r\nMessage-ID: <real@example.org>\r\n") || strings.Contains(got, "outer@") {
		t.Errorf("view:\n%s", got)
	}
}

func TestFromMismatch(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, from    string
		good          bool
		signers       []string
		shown         string
		mismatch      bool
		showOuter     bool
		replyTo       string
		single, ctype string
	}{
		{name: "same address, other name", from: "Anna <ANNA@Example.org>", shown: "Anna <ANNA@Example.org>", single: "ANNA@Example.org"},
		{name: "other, unsigned", from: "eve@example.org", mismatch: true, showOuter: true, shown: "Outer Anna <anna@example.org>", replyTo: "eve@example.org", single: "eve@example.org"},
		{name: "other, signed by its key", from: "eve@example.org", good: true, signers: []string{"x@y", "EVE@example.org"}, mismatch: true, shown: "eve@example.org", single: "eve@example.org"},
		{name: "other, signed by a third", from: "eve@example.org", good: true, signers: []string{"anna@example.org"}, mismatch: true, showOuter: true, shown: "Outer Anna <anna@example.org>", replyTo: "eve@example.org", single: "eve@example.org"},
		{name: "two senders", from: "anna@example.org, eve@example.org", good: true, signers: []string{"anna@example.org"}, mismatch: true, showOuter: true, shown: "Outer Anna <anna@example.org>", replyTo: "anna@example.org, eve@example.org"},
		{name: "address in the name", from: `"anna@example.org" <eve@example.org>`, mismatch: true, showOuter: true, shown: "Outer Anna <anna@example.org>", replyTo: `"anna@example.org" <eve@example.org>`, single: "eve@example.org"},
		{name: "name only", from: "Anna", mismatch: true, showOuter: true, shown: "Outer Anna <anna@example.org>", replyTo: "Anna"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := open("From: " + tt.from + "\nContent-Type: text/plain; hp=cipher\n\nhi")
			o.SignatureGood, o.SignerAddresses = tt.good, tt.signers
			m := Merge(o)
			if m.FromMismatch != tt.mismatch || m.ShowOuterFrom != tt.showOuter || m.From.Addr != tt.single || m.OuterFrom.Addr != "anna@example.org" {
				t.Errorf("mismatch %v, outer shown %v, From %q, outer From %q", m.FromMismatch, m.ShowOuterFrom, m.From, m.OuterFrom)
			}
			if got := m.Header.Values("From"); !slices.Equal(got, []string{tt.shown}) || m.Header.Get("Reply-To") != tt.replyTo {
				t.Errorf("From %q, Reply-To %q", got, m.Header.Get("Reply-To"))
			}
		})
	}
}

func TestLegacyDisplayEncodings(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, header, body, want string }{
		{"quoted-printable, soft break", "text/plain; hp-legacy-display=1|quoted-printable", "Subject: a=\n\nb\n\nhi=3D\n", "hi=3D\n"},
		{"base64", "text/plain; hp-legacy-display=1|base64", "U3ViamVjdDogYQ0KDQpoaQ0K\n", "aGkNCg==\n"},
		{"no empty line", "text/plain; hp-legacy-display=1|7bit", "Subject: a\nhi\n", "Subject: a\nhi\n"},
		{"html", "text/html; hp-legacy-display=1|7bit", `<p><div class="header-protection-legacy-display"><pre>S</pre></div>hi</p>`, "<p>hi</p>"},
		{"html, quoted-printable", "text/html; hp-legacy-display=1|quoted-printable", "<p><div cla=\nss=3D\"header-protection-legacy-display\"><pre>S</pre></d=\niv>hi</p>", "<p>hi</p>"},
		{"html, unclosed", "text/html; hp-legacy-display=1|7bit", `<div class="header-protection-legacy-display">hi`, `<div class="header-protection-legacy-display">hi`},
		{"not marked", "text/plain|7bit", "Subject: a\n\nhi\n", "Subject: a\n\nhi\n"},
	} {
		typ, enc, _ := strings.Cut(tt.header, "|")
		_, got, _ := strings.Cut(viewOf(open("Content-Type: "+typ+"; hp=cipher\nContent-Transfer-Encoding: "+enc+"\n\n"+tt.body)), "\r\n\r\n")
		if got != crlf(tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, crlf(tt.want))
		}
	}
}

// In a message that was only signed a copy of fields is text of the sender's.
func TestLegacyDisplayOnlyWhenEncrypted(t *testing.T) {
	t.Parallel()
	o := open("Content-Type: text/plain; hp=clear; hp-legacy-display=1\n\nSubject: a\n\nhi\n")
	o.Encrypted = false
	if got := viewOf(o); !strings.HasSuffix(got, "\r\n\r\nSubject: a\r\n\r\nhi\r\n") {
		t.Errorf("view:\n%s", got)
	}
}

func TestInlinePayload(t *testing.T) {
	t.Parallel()
	o := open("")
	o.Payload = InlinePayload([]byte("Subject: no header\n\nhi\n"), "iso-8859-1")
	want := "Content-Type: text/plain; charset=\"iso-8859-1\"\r\nContent-Transfer-Encoding: 8bit\r\nMIME-Version: 1.0\r\n\r\nSubject: no header\r\n\r\nhi\r\n"
	if got := viewOf(o); !strings.HasSuffix(got, want) || !strings.Contains(got, "\r\nSubject: [...]\r\n") {
		t.Errorf("view:\n%s", got)
	}
}

func TestNotice(t *testing.T) {
	t.Parallel()
	o := open("")
	original := []byte("From: x\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n")
	notice := Notice(o.Outer, original, Damaged)
	root := message.Parse(notice)
	if len(root.Children) != 2 || string(root.Children[1].Decoded(notice)) != string(original) || root.Children[1].MediaType != "application/octet-stream" {
		t.Fatalf("notice:\n%s", notice)
	}
	if root.Header.Get("Subject") != "[...]" || root.Header.Has("Secure-Join") || root.Header.Has(SecurityName) || root.Header.Has("Autocrypt") {
		t.Errorf("notice:\n%s", notice)
	}
	if string(notice) != string(Notice(o.Outer, original, Damaged)) {
		t.Error("a second notice has other bytes")
	}
}

func TestErrant(t *testing.T) {
	t.Parallel()
	msg := []byte(crlf(`From: list@example.org
Subject: [list] Lunch
Mailbridge-Security: forged
Content-Type: multipart/mixed; boundary=evil

--evil
Content-Type: multipart/encrypted; boundary=x

--x--
--evil
Content-Type: text/plain
Mailbridge-X: forged

footer
--evil--
`))
	payload := []byte("Subject: Inside\r\nContent-Type: text/plain; hp=cipher\r\n\r\nsecret\r\n--evil\r\n\r\nexfiltrate\r\n")
	s := Security{Encryption: "openpgp", Signature: "none", Trust: "none", Warnings: []string{"errant-layer"}}
	got := Errant(msg, message.Parse(msg), payload, s)
	root := message.Parse(got)
	if len(root.Children) != 2 || root.Header.Get("Subject") != "[list] Lunch" || len(root.Header.Values(SecurityName)) != 1 {
		t.Fatalf("view:\n%s", got)
	}
	inner := root.Children[0]
	if inner.Message == nil || inner.Disposition != "attachment" || inner.Message.Header.Get("Subject") != "Inside" {
		t.Errorf("view:\n%s", got)
	}
	if body := string(inner.Message.Body(got)); body != "secret\r\n--evil\r\n\r\nexfiltrate\r\n" {
		t.Errorf("decrypted body %q", body)
	}
	if footer := root.Children[1]; string(footer.Body(got)) != "footer" || footer.Header.Has("Mailbridge-X") {
		t.Errorf("footer %q", footer.Raw(got))
	}
}

func FuzzView(f *testing.F) {
	for _, c := range captures(f) {
		if len(c.outer)+len(c.inner) < fuzzSeed {
			f.Add(c.outer, c.inner)
		}
	}
	f.Add([]byte(crlf(outerMail)), []byte("Content-Type: multipart/mixed; boundary=b; hp=cipher\n\n--b\nContent-Type: text/html; hp-legacy-display=1\n\n"+legacyDiv))
	f.Fuzz(func(t *testing.T, outer, payload []byte) {
		h, _ := message.ParseHeader(outer)
		o := Opened{Outer: h, Payload: payload, Encrypted: true}
		s := Security{Encryption: "openpgp", Signature: "none", Trust: "none"}
		view := View(Merge(o), payload, &s)
		if string(view) != string(View(Merge(o), payload, &s)) {
			t.Error("a second view has other bytes")
		}
		root := message.Parse(view)
		for i, f := range root.Header.Fields {
			if f.Name == "" || !isTidy(f.Raw) || own(f.Name) != (i == 0) || machine(f.Name) {
				t.Errorf("field %d of the view: %q", i, f.Raw)
			}
		}
		for _, p := range inside(root) {
			for _, f := range p.Header.Fields {
				if own(f.Name) {
					t.Errorf("a part of the view has %q", f.Raw)
				}
			}
		}
		Notice(h, payload, Damaged)
		Errant(outer, message.Parse(outer), payload, s)
	})
}
