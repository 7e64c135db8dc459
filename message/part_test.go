package message

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// outline writes the structure of a message on one line.
func outline(b []byte, p *Part) string {
	s := p.MediaType
	if len(p.Children) > 0 {
		var in []string
		for _, c := range p.Children {
			in = append(in, outline(b, c))
		}
		return s + "(" + strings.Join(in, " ") + ")"
	}
	if p.Message != nil {
		return s + "[" + outline(b, p.Message) + "]"
	}
	return fmt.Sprintf("%s%q", s, p.Body(b))
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, in, want string }{
		{"empty", "", `text/plain""`},
		{"plain", "A: 1\n\nbody\n", `text/plain"body\n"`},
		{"bad type", "Content-Type: text\n\nbody", `text/plain"body"`},
		{"multipart", "Content-Type: multipart/mixed; boundary=b\n\npre\n--b\n\none\n--b\nContent-Type: text/html\n\ntwo\n\n--b--\nepilogue\n", `multipart/mixed(text/plain"one" text/html"two\n")`},
		{"CRLF", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b--\r\n", `multipart/mixed(text/plain"one")`},
		{"no closing boundary", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n", `multipart/mixed(text/plain"one\n")`},
		{"no parts", "Content-Type: multipart/mixed; boundary=b\n\nnothing\n", `multipart/mixed"nothing\n"`},
		{"no boundary parameter", "Content-Type: multipart/mixed\n\n--b\n\none\n--b--\n", `multipart/mixed"--b\n\none\n--b--\n"`},
		{"blanks after the boundary", "Content-Type: multipart/mixed; boundary=\"b c\"\n\n--b c \t\n\none\n--b c-- \nx", `multipart/mixed(text/plain"one")`},
		{"boundary is a prefix of a line", "Content-Type: multipart/mixed; boundary=b\n\n--b\n\n--bc\n--b--\n", `multipart/mixed(text/plain"--bc")`},
		{"parts without a body", "Content-Type: multipart/mixed; boundary=b\n\n--b\n--b\nA: 1\n--b\n\n--b--\n", `multipart/mixed(text/plain"" text/plain"" text/plain"")`},
		{"nested", "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/alternative; boundary=c\n\n--c\n\none\n--c--\n--b\n\ntwo\n--b--\n", `multipart/mixed(multipart/alternative(text/plain"one") text/plain"two")`},
		{"outer boundary ends the inner", "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/alternative; boundary=c\n\n--c\n\none\n--b\n\ntwo\n--b--\n", `multipart/mixed(multipart/alternative(text/plain"one") text/plain"two")`},
		{"equal nested boundaries", "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/alternative; boundary=b\n\n--b\n\none\n--b--\n--b\n\ntwo\n--b--\n", `multipart/mixed(multipart/alternative(text/plain"one") text/plain"two")`},
		{"attached message", "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: x\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\none\n--b--\n", `multipart/mixed(message/rfc822[multipart/mixed(text/plain"one")])`},
		{"encoded attached message", "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nU3ViamVjdDog\n", `message/rfc822"U3ViamVjdDog\n"`},
		{"digest", "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: x\n\none\n--b--\n", `multipart/digest(message/rfc822[text/plain"one"])`},
	} {
		b := []byte(tt.in)
		root := Parse(b)
		if got := outline(b, root); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
		checkOffsets(t, b, root)
	}
}

// checkOffsets checks that offsets nest and lines are counted.
func checkOffsets(t testing.TB, b []byte, root *Part) {
	t.Helper()
	if root.Start != 0 || root.End != len(b) {
		t.Fatalf("the message is %d:%d of %d", root.Start, root.End, len(b))
	}
	parts := 0
	var walk func(p *Part, depth int)
	walk = func(p *Part, depth int) {
		parts++
		if depth > MaxDepth+1 {
			t.Fatalf("depth %d", depth)
		}
		if p.Start > p.BodyStart || p.BodyStart > p.End {
			t.Fatalf("part %d:%d:%d", p.Start, p.BodyStart, p.End)
		}
		if n := bytes.Count(p.Body(b), []byte("\n")); n != p.Lines {
			t.Fatalf("part %d:%d:%d has %d lines, counted %d", p.Start, p.BodyStart, p.End, n, p.Lines)
		}
		pos := p.BodyStart
		in := p.Children
		if p.Message != nil {
			in = append(in, p.Message)
		}
		for _, c := range in {
			if c.Start < pos || c.End > p.End {
				t.Fatalf("child %d:%d lies outside of %d:%d", c.Start, c.End, pos, p.End)
			}
			pos = c.End
			walk(c, depth+1)
		}
	}
	walk(root, 0)
	if parts > MaxParts {
		t.Fatalf("%d parts", parts)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	b := []byte("Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\nContent-Type: message/rfc822\n\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\ntwo\n--c--\n--b\nContent-Type: message/rfc822\n\nSubject: x\n\nthree\n--b--\n")
	root := Parse(b)
	for path, want := range map[string]string{
		"": "multipart/mixed", "1": "one", "2": "message/rfc822", "2.1": "two", "3": "message/rfc822", "3.1": "three",
		"0": "-", "4": "-", "1.1": "-", "2.2": "-", "3.1.1": "-", "3.2": "-",
	} {
		var numbers []int
		for _, s := range strings.Split(path, ".") {
			var n int
			if _, err := fmt.Sscan(s, &n); err == nil {
				numbers = append(numbers, n)
			}
		}
		got := "-"
		if p := root.Find(numbers...); p != nil {
			got = p.MediaType
			if got == "text/plain" {
				got = string(p.Body(b))
			}
		}
		if got != want {
			t.Errorf("part %s is %s, want %s", path, got, want)
		}
	}
	if plain := Parse([]byte("\nx")); plain.Find(1) != plain || plain.Find(1, 1) != nil {
		t.Error("a message that is no multipart is not its own part 1")
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	deep := []byte(strings.Repeat("Content-Type: message/rfc822\n\n", 1000) + "x")
	checkOffsets(t, deep, Parse(deep))
	many := []byte("Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\nx\n", 3*MaxParts) + "--b--\n")
	root := Parse(many)
	checkOffsets(t, many, root)
	if len(root.Children) != MaxParts-1 {
		t.Errorf("%d parts were found", len(root.Children))
	}
}

func TestDecoded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ encoding, charset, body, want string }{
		{"", "", "a\r\n", "a\r\n"},
		{"7-bit", "", "a=3D", "a=3D"},
		{"BASE64", "", "S8O8\r\nY2hl", "Küche"},
		{"base64", "", "QQ==\r\nQg==", "AB"},
		{"base64", "", "Q!UJ*DRA", "ABCD"},
		{"base64", "", "QUJDRA=", "ABCD"},
		{"base64 (x)", "", "QQ", "A"},
		{"quoted-printable", "", "K=C3=BCche=\r\n =zz= \r\nb  \r\nc=3d=", "Küche =zzb\r\nc="},
		{"quoted-printable", "iso-8859-1", "K=FCche", "Küche"},
		{"8bit", "utf-8", "K\xfcche", "Küche"},
		{"8bit", "x-nobody-knows", "Küche", "Küche"},
		{"8bit", "koi8-r", "\xd0\xd2", "пр"},
	} {
		b := []byte("Content-Type: text/plain; charset=" + tt.charset + "\nContent-Transfer-Encoding: " + tt.encoding + "\n\n" + tt.body)
		if got := Parse(b).Text(b); got != tt.want {
			t.Errorf("%s %q: %q, want %q", tt.encoding, tt.body, got, tt.want)
		}
	}
}

func TestContains(t *testing.T) {
	t.Parallel()
	b := []byte("Subject: =?utf-8?q?K=C3=BCrbis?=\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nS=FC=DFe Suppe\n--b\nContent-Type: application/octet-stream; name=Secret.bin\nContent-Transfer-Encoding: base64\n\nU3VwcGUtQmluYXJ5\n--b\nContent-Type: message/rfc822\n\nSubject: =?utf-8?q?Inne=72?=\n\nattached\n--b--\n")
	for _, tt := range []struct {
		text       string
		text_, bod bool
	}{
		{"KÜRBIS", true, false}, {"süße SUPPE", true, true}, {"secret.bin", true, true}, {"Suppe-Binary", false, false},
		{"inner", true, true}, {"ATTACHED", true, true}, {"subject: kür", true, false}, {"", true, true}, {"nothing", false, false},
	} {
		if got := Contains(b, tt.text, false); got != tt.text_ {
			t.Errorf("TEXT %q: %v", tt.text, got)
		}
		if got := Contains(b, tt.text, true); got != tt.bod {
			t.Errorf("BODY %q: %v", tt.text, got)
		}
	}
}

// A hostile message of any size, by what it abuses.
var hostile = map[string]func(n int) string{
	"nested messages":   func(n int) string { return strings.Repeat("Content-Type: message/rfc822\n\n", n/30) },
	"nested multiparts": nestedMultiparts,
	"boundary lines":    func(n int) string { return nestedMultiparts(3000) + strings.Repeat("--x\n", n/4) },
	"parts": func(n int) string {
		return "Content-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\n", n/5)
	},
	"header lines":             func(n int) string { return strings.Repeat("a:\n", n/3) },
	"folds":                    func(n int) string { return "To: " + strings.Repeat("x\n ", n/3) },
	"comment in In-Reply-To":   func(n int) string { return "In-Reply-To: (" + strings.Repeat("x", n) },
	"comments":                 func(n int) string { return "To: " + strings.Repeat("(", n) },
	"angle brackets":           func(n int) string { return "To: " + strings.Repeat("<", n) },
	"at signs":                 func(n int) string { return "To: " + strings.Repeat("@ ", n/2) },
	"quotes":                   func(n int) string { return "To: " + strings.Repeat(`"\`, n/2) },
	"escaped quotes":           func(n int) string { return "Content-Type: a/b; x=\"" + strings.Repeat(`\";\"`, n/5) },
	"parameters":               func(n int) string { return "Content-Type: a/b" + strings.Repeat(";a*1=\"(", n/7) },
	"encoded words":            func(n int) string { return "Subject: " + strings.Repeat("=?utf-8?q?", n/10) + "?=" },
	"whole encoded words":      func(n int) string { return "Subject: " + strings.Repeat("=?a?q?b?=", n/9) },
	"ids":                      func(n int) string { return "References: " + strings.Repeat("<a@b> <", n/7) },
	"quoted-printable escapes": func(n int) string { return "Content-Transfer-Encoding: quoted-printable\n\n" + strings.Repeat("=", n) },
}

func nestedMultiparts(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=%d\n\n--%d\n", i, i)
	}
	return b.String()
}

// readAll does with a message all that a mail server does.
func readAll(b []byte) {
	root := Parse(b)
	ParseEnvelope(root.Header)
	for _, name := range []string{"To", "References", "In-Reply-To"} {
		ParseAddresses(root.Header.Get(name))
		ParseMessageIDs(root.Header.Get(name))
	}
	SetParam(root.Header.Get("Content-Type"), "x", "y")
	Contains(b, "not in there", false)
}

// TestLinear compares the time for a message with that for one eight times its size.
func TestLinear(t *testing.T) {
	const size, factor = 24 << 10, 8 // both within MaxHeader
	for name, make := range hostile {
		small, large := []byte(make(size)), []byte(make(size*factor))
		best := func(b []byte) time.Duration {
			least := time.Hour
			for range 7 {
				start := time.Now()
				readAll(b)
				least = min(least, time.Since(start))
			}
			return least
		}
		// Quadratic work takes 64 times as long; linear work 8 times, and the scheduler of a
		// busy machine may double that.
		if a, b := best(small), best(large); b > 4*factor*a && b > 50*time.Millisecond {
			t.Errorf("%s: %v for %d octets, %v for %d", name, a, len(small), b, len(large))
		}
	}
}

func TestOffsetsNest(t *testing.T) {
	t.Parallel()
	lines := rapid.SampledFrom([]string{
		"--a", "--a--", "--b", "--b--", "", "", "x", "Content-Type: multipart/mixed; boundary=a", "Content-Type: multipart/mixed; boundary=b",
		"Content-Type: message/rfc822", "Content-Transfer-Encoding: base64", " fold",
	})
	rapid.Check(t, func(rt *rapid.T) {
		var b bytes.Buffer
		for _, l := range rapid.SliceOfN(lines, 0, 60).Draw(rt, "lines") {
			b.WriteString(l + rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(rt, "end"))
		}
		checkOffsets(t, b.Bytes(), Parse(b.Bytes()))
	})
}

func FuzzParse(f *testing.F) {
	for _, make := range hostile {
		f.Add([]byte(make(500)))
	}
	files, _ := filepath.Glob("../internal/vectors/captures/c*/*.eml")
	for _, name := range files {
		if b, err := os.ReadFile(name); err == nil && len(b) < 8<<10 {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		checkOffsets(t, b, Parse(b))
		readAll(b)
	})
}
