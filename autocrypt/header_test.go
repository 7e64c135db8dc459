package autocrypt_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"mailbridge/autocrypt"
	"mailbridge/internal/vectors"
	"mailbridge/message"
	"mailbridge/pgp"
)

const (
	alice = "alice@example.org"
	bob   = "bob@example.org"
)

// recorded gives the certificates of two Delta Chat 2.62 and the headers of the handshake in
// which they sent them.
func recorded(t testing.TB) (alice, bob *pgp.Cert, inner message.Header) {
	t.Helper()
	s := vectors.Get(t, "v3-contact")
	inner, _ = message.ParseHeader(s.Messages[2].Plain)
	return parseCert(t, s.Users["alice"].Cert), parseCert(t, s.Users["bob"].Cert), inner
}

func parseCert(t testing.TB, b []byte) *pgp.Cert {
	t.Helper()
	cert, err := pgp.ParseCert(b)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func keydata(c *pgp.Cert) string { return base64.StdEncoding.EncodeToString(c.Minimal()) }

func TestParse(t *testing.T) {
	t.Parallel()
	cert, _, _ := recorded(t)
	data := keydata(cert)
	folded := data[:40] + "\r\n \t" + data[40:100] + " " + data[100:]
	for _, test := range []struct {
		name, value string
		want        autocrypt.Header
		err         error
	}{
		{"mutual", "addr=alice@example.org; prefer-encrypt=mutual; keydata=" + data, autocrypt.Header{Addr: alice, PreferEncrypt: autocrypt.Mutual}, nil},
		{"no preference", "addr=alice@example.org; keydata=" + data, autocrypt.Header{Addr: alice}, nil},
		{"old preference", "addr=alice@example.org; prefer-encrypt=reset; keydata=" + data, autocrypt.Header{Addr: alice}, nil},
		{"case of the address", "addr=Alice@Example.ORG; keydata=" + data, autocrypt.Header{Addr: alice}, nil},
		{"folded keydata", "addr=alice@example.org; keydata=" + folded, autocrypt.Header{Addr: alice}, nil},
		{"keydata first", "keydata=" + data + "; addr=alice@example.org", autocrypt.Header{Addr: alice}, nil},
		{"semicolon at the end", "addr=alice@example.org; keydata=" + data + ";", autocrypt.Header{Addr: alice}, nil},
		{"attribute that may be ignored", "addr=alice@example.org; _monkey=ignore; keydata=" + data, autocrypt.Header{Addr: alice}, nil},
		{"critical attribute", "addr=alice@example.org; danger=monkey; keydata=" + data, autocrypt.Header{}, autocrypt.ErrInvalid},
		{"level 0", "addr=alice@example.org; type=1; keydata=" + data, autocrypt.Header{}, autocrypt.ErrInvalid},
		{"attribute twice", "addr=alice@example.org; addr=bob@example.org; keydata=" + data, autocrypt.Header{}, autocrypt.ErrInvalid},
		{"no address", "keydata=" + data, autocrypt.Header{}, autocrypt.ErrInvalid},
		{"address without domain", "addr=alice; keydata=" + data, autocrypt.Header{}, autocrypt.ErrInvalid},
		{"no key", "addr=alice@example.org", autocrypt.Header{}, autocrypt.ErrInvalid},
		{"empty key", "addr=alice@example.org; keydata=", autocrypt.Header{}, autocrypt.ErrInvalid},
		{"not base64", "addr=alice@example.org; keydata=####", autocrypt.Header{}, autocrypt.ErrInvalid},
		{"cut key", "addr=alice@example.org; keydata=" + data[:120], autocrypt.Header{}, autocrypt.ErrInvalid},
		{"attribute without value", "addr=alice@example.org; prefer-encrypt; keydata=" + data, autocrypt.Header{}, autocrypt.ErrInvalid},
		{"empty", "", autocrypt.Header{}, autocrypt.ErrInvalid},
		{"too large", "addr=alice@example.org; _fill=" + strings.Repeat("x", autocrypt.MaxHeader) + "; keydata=" + data, autocrypt.Header{}, autocrypt.ErrTooLarge},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h, err := autocrypt.Parse(test.value)
			if !errors.Is(err, test.err) {
				t.Fatalf("error %v, want %v", err, test.err)
			}
			if err != nil {
				return
			}
			if h.Addr != test.want.Addr || h.PreferEncrypt != test.want.PreferEncrypt || h.Cert.Fingerprint() != cert.Fingerprint() {
				t.Errorf("got %+v", h)
			}
		})
	}
}

func TestParseRecorded(t *testing.T) {
	t.Parallel()
	aliceCert, bobCert, inner := recorded(t)
	h, ok, err := autocrypt.FromHeader(inner.Values(autocrypt.HeaderName), bob)
	if err != nil || !ok || h.PreferEncrypt != autocrypt.Mutual || h.Cert.Fingerprint() != bobCert.Fingerprint() {
		t.Errorf("Autocrypt: %+v, %v, %v", h, ok, err)
	}
	found := autocrypt.GossipFor(inner.Values(autocrypt.GossipName), []string{alice})
	if len(found) != 1 || found[0].Addr != alice || found[0].Cert.Fingerprint() != aliceCert.Fingerprint() {
		t.Errorf("gossip: %+v", found)
	}
}

func TestValue(t *testing.T) {
	t.Parallel()
	cert, _, _ := recorded(t)
	h := autocrypt.Header{Addr: "Alice@Example.org", PreferEncrypt: autocrypt.Mutual, Cert: cert}
	value := h.Value()
	if !strings.HasPrefix(value, "addr=alice@example.org; prefer-encrypt=mutual; keydata=") {
		t.Errorf("value begins %.60q", value)
	}
	field := string(message.NewField(autocrypt.HeaderName, value).Raw)
	for line := range strings.Lines(field) {
		if len(strings.TrimRight(line, "\r\n")) > 78 {
			t.Errorf("line of %d characters: %q", len(line), line)
		}
	}
	parsed, _ := message.ParseHeader([]byte(field + "\r\n"))
	got, err := autocrypt.Parse(parsed.Get(autocrypt.HeaderName))
	if err != nil || got.Addr != alice || got.PreferEncrypt != autocrypt.Mutual || got.Cert.Fingerprint() != cert.Fingerprint() {
		t.Errorf("read back %+v, %v", got, err)
	}
}

func TestGossipValue(t *testing.T) {
	t.Parallel()
	cert, _, _ := recorded(t)
	value := autocrypt.Header{Addr: alice, PreferEncrypt: autocrypt.Mutual, Cert: cert}.GossipValue()
	if strings.Contains(value, "prefer-encrypt") {
		t.Errorf("gossip tells a preference: %q", value)
	}
	h, err := autocrypt.ParseGossip(value)
	if err != nil || h.Addr != alice || h.Cert.Fingerprint() != cert.Fingerprint() {
		t.Errorf("read back %+v, %v", h, err)
	}
}

func TestValueThatMustNotBeSent(t *testing.T) {
	t.Parallel()
	cert, _, _ := recorded(t)
	for name, h := range map[string]autocrypt.Header{
		"no key":            {Addr: alice},
		"no address":        {Cert: cert},
		"address that lies": {Addr: "alice@example.org; prefer-encrypt=mutual", Cert: cert},
		"too large":         {Addr: strings.Repeat("a", autocrypt.MaxHeader) + "@example.org", Cert: cert},
	} {
		if value := h.Value(); value != "" {
			t.Errorf("%s: %.60q", name, value)
		}
	}
}

func TestFromHeader(t *testing.T) {
	t.Parallel()
	cert, other, _ := recorded(t)
	good := autocrypt.Header{Addr: alice, Cert: cert}.Value()
	second := autocrypt.Header{Addr: alice, Cert: other}.Value()
	foreign := autocrypt.Header{Addr: bob, Cert: other}.Value()
	for _, test := range []struct {
		name   string
		values []string
		ok     bool
		err    error
	}{
		{"none", nil, false, nil},
		{"one", []string{good}, true, nil},
		{"one beside a broken one", []string{"addr=x", good}, true, nil},
		{"one beside a stranger's", []string{foreign, good}, true, nil},
		{"a stranger's", []string{foreign}, false, autocrypt.ErrInvalid},
		{"a broken one", []string{"addr=x"}, false, autocrypt.ErrInvalid},
		{"two valid", []string{good, second}, false, autocrypt.ErrAmbiguous},
		{"the same twice", []string{good, good}, false, autocrypt.ErrAmbiguous},
	} {
		h, ok, err := autocrypt.FromHeader(test.values, "ALICE@example.org")
		if ok != test.ok || !errors.Is(err, test.err) && !ok {
			t.Errorf("%s: %v, %v", test.name, ok, err)
		}
		if ok && h.Cert.Fingerprint() != cert.Fingerprint() {
			t.Errorf("%s: wrong key", test.name)
		}
	}
}

func TestGossipFor(t *testing.T) {
	t.Parallel()
	cert, other, _ := recorded(t)
	first := autocrypt.Header{Addr: alice, Cert: cert}.GossipValue()
	second := autocrypt.Header{Addr: alice, Cert: other}.GossipValue()
	stranger := autocrypt.Header{Addr: "eve@example.org", Cert: other}.GossipValue()
	got := autocrypt.GossipFor([]string{stranger, "junk", first, second}, []string{bob, "Alice@Example.org"})
	if len(got) != 1 || got[0].Addr != alice || got[0].Cert.Fingerprint() != cert.Fingerprint() {
		t.Errorf("got %+v", got)
	}
	many := make([]string, autocrypt.MaxGossip, autocrypt.MaxGossip+1)
	if got := autocrypt.GossipFor(append(many, first), []string{alice}); len(got) != 0 {
		t.Error("read more fields than MaxGossip")
	}
}

func FuzzParse(f *testing.F) {
	_, cert, inner := recorded(f)
	f.Add(inner.Get(autocrypt.HeaderName))
	f.Add(inner.Get(autocrypt.GossipName))
	f.Add("addr=a@b; prefer-encrypt=mutual; keydata=" + keydata(cert))
	f.Add("addr=a@b; _x=y; type=1;;=;keydata==")
	f.Fuzz(func(t *testing.T, value string) {
		if _, err := autocrypt.ParseGossip(value); err != nil && !errors.Is(err, autocrypt.ErrInvalid) && !errors.Is(err, autocrypt.ErrTooLarge) {
			t.Errorf("gossip: %v", err)
		}
		h, err := autocrypt.Parse(value)
		if err != nil {
			return
		}
		again, err := autocrypt.Parse(h.Value())
		if h.Value() != "" && (err != nil || again.Addr != h.Addr || again.Cert.Fingerprint() != h.Cert.Fingerprint()) {
			t.Errorf("%q is written as %q and read as %+v, %v", value, h.Value(), again, err)
		}
	})
}
