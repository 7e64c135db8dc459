package headers

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailbridge/message"
)

// A capture is a message as Delta Chat or a classic program sent it, and what was inside.
type capture struct {
	name         string
	outer, inner []byte
}

func captures(t testing.TB) []capture {
	t.Helper()
	files, err := filepath.Glob("../internal/vectors/captures/*/plain/*.mime")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	var out []capture
	for _, f := range files {
		scenario := filepath.Dir(filepath.Dir(f))
		base := strings.TrimSuffix(filepath.Base(f), ".mime")
		if strings.HasPrefix(filepath.Base(scenario), "setup-message") {
			continue // holds a key, no message
		}
		inner, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		outer, err := os.ReadFile(filepath.Join(scenario, base+".eml"))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, capture{filepath.Base(scenario) + "/" + base, outer, inner})
	}
	return out
}

// fuzzSeed is the size up to which a capture is a seed: the fuzzer is slow on large ones.
const fuzzSeed = 8 << 10

// opened gives a capture as if its signature were good and bound to the inner sender.
func (c capture) opened() Opened {
	outer, _ := message.ParseHeader(message.CRLF(c.outer))
	inner, _ := message.ParseHeader(c.inner)
	o := Opened{Outer: outer, Payload: c.inner, Encrypted: true, SignatureGood: true}
	for _, a := range message.ParseAddresses(inner.Get("From")) {
		o.SignerAddresses = append(o.SignerAddresses, a.Addr)
	}
	return o
}

// TestCaptures shows each captured message as a mail client would get it.
func TestCaptures(t *testing.T) {
	t.Parallel()
	for _, c := range captures(t) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := c.opened()
			m := Merge(o)
			s := Security{Encryption: "openpgp", Signature: "good", Trust: "verified"}
			view := View(m, o.Payload, &s)
			checkView(t, view, o)
			if !bytes.Equal(view, View(Merge(o), o.Payload, &s)) {
				t.Error("a second view has other bytes")
			}
			if !m.Protected || m.ShowOuterFrom || m.From.Addr == "" {
				t.Errorf("protected %v, outer From shown %v, From %q", m.Protected, m.ShowOuterFrom, m.From)
			}
		})
	}
}

// checkView checks what every view of a protected message must be.
func checkView(t *testing.T, view []byte, o Opened) {
	t.Helper()
	if !bytes.HasPrefix(view, []byte(SecurityName+": ")) {
		t.Errorf("first line is no %s: %.60q", SecurityName, view)
	}
	shown := message.Parse(view)
	inner := message.Parse(message.CRLF(o.Payload))
	for _, name := range []string{"From", "To", "Cc", "Subject", "In-Reply-To", "References", "Reply-To"} {
		if got, want := shown.Header.Values(name), inner.Header.Values(name); strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("%s = %q, inside it is %q", name, got, want)
		}
	}
	for _, name := range []string{"Date", "Message-ID", "MIME-Version", "Content-Type"} {
		if n := len(shown.Header.Values(name)); n != 1 {
			t.Errorf("%d fields %s, want 1", n, name)
		}
	}
	for _, f := range shown.Header.Fields {
		if f.Name == "" || machine(f.Name) || own(f.Name) && f.Name != SecurityName {
			t.Errorf("view has %q", f.Raw)
		}
	}
	for _, p := range []string{"hp", "protected-headers", "hp-legacy-display"} {
		if _, ok := shown.Params[p]; ok {
			t.Errorf("Content-Type still has %s", p)
		}
	}
	if got, want := shown.Body(view), inner.Body(message.CRLF(o.Payload)); !bytes.Equal(got, want) {
		t.Errorf("body differs: %d octets, inside %d", len(got), len(want))
	}
	if bareLF := bytes.Count(view, []byte("\n")) - bytes.Count(view, []byte("\r\n")); bareLF != 0 {
		t.Errorf("%d bare line feeds", bareLF)
	}
}

// TestForgedCaptures puts fields of ours into each captured message, at every layer.
func TestForgedCaptures(t *testing.T) {
	t.Parallel()
	const forged = "Mailbridge-Security: encryption=openpgp; signature=good; trust=verified\r\n"
	for _, c := range captures(t) {
		o := c.opened()
		o.Payload = forgeEverywhere(c.inner, forged)
		o.Outer.Prepend(message.RawField([]byte(forged)))
		o.Outer.Add(message.RawField([]byte("mailbridge-SECURITY : x\r\n")))
		view := View(Merge(o), o.Payload, nil)
		if i := bytes.Index(bytes.ToLower(view), []byte("mailbridge-")); i >= 0 {
			t.Errorf("%s: view has %.80q", c.name, view[i:])
		}
	}
}

// forgeEverywhere puts a field in front of each part's header.
func forgeEverywhere(b []byte, field string) []byte {
	root := message.Parse(b)
	edits := []edit{{0, 0, []byte(field)}}
	for _, p := range inside(root) {
		edits = append(edits, edit{p.Start, p.Start, []byte(field)})
	}
	return splice(b, 0, len(b), edits)
}
