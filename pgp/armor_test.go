package pgp

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
)

func TestArmorRoundTrip(t *testing.T) {
	t.Parallel()
	for n := range 200 {
		data := bytes.Repeat([]byte{0xc1, 0x01, 0xff}, 70)[:n]
		text := enarmor(armorMessage, data)
		if got, err := dearmor(armorMessage, text); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%d bytes: %v", n, err)
		}
		// The library checks the CRC24 line and the line breaks.
		var want bytes.Buffer
		w, err := armor.Encode(&want, armorMessage, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(data)
		w.Close()
		if n > 0 && strings.ReplaceAll(string(text), "\r\n", "\n") != want.String()+"\n" {
			t.Fatalf("%d bytes:\n%s\nwant\n%s", n, text, want.String())
		}
	}
}

func TestDearmor(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte{0xc1, 2, 3}, 40)
	good := string(enarmor(armorMessage, data))
	tests := []struct {
		name string
		in   string
		err  error
	}{
		{"as written", good, nil},
		{"binary", string(data), nil},
		{"LF", strings.ReplaceAll(good, "\r\n", "\n"), nil},
		{"text around", "Hello,\r\n" + good + "Bye\r\n", nil},
		{"within HTML", "<pre>" + good + "</pre>", nil},
		{"headers", strings.Replace(good, "\r\n\r\n", "\r\nVersion: 1\r\nComment: x: y\r\n\r\n", 1), nil},
		{"headers, no empty line", strings.Replace(good, "\r\n\r\n", "\r\nVersion: 1\r\n", 1), nil},
		{"no empty line", strings.Replace(good, "\r\n\r\n", "\r\n", 1), nil},
		{"trailing blanks", strings.ReplaceAll(good, "\r\n", " \t\r\n"), nil},
		{"indented with no-break spaces", strings.ReplaceAll(good, "\n", "\n\u00a0 "), nil},
		{"no CRC", good[:strings.LastIndex(good, "=")] + "-----END PGP MESSAGE-----\r\n", nil},
		{"wrong CRC", strings.Replace(good, "\r\n=", "\r\n=AAAA\r\n", 1), nil},
		{"other kind", strings.ReplaceAll(good, armorMessage, armorPublic), ErrDamaged},
		{"cut", good[:100], ErrDamaged},
		{"cut in the first line", good[:27], ErrDamaged},
		{"not base64", strings.Replace(good, "wQID", "w!ID", 1), ErrDamaged},
		{"text", "hello", ErrDamaged},
		{"nothing", "", ErrDamaged},
	}
	for _, test := range tests {
		got, err := dearmor(armorMessage, []byte(test.in))
		if !errors.Is(err, test.err) || err == nil && !bytes.Equal(got, data) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestPacketLengths(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 191, 192, 8383, 8384, 70000} {
		p := rawPacket{tagLiteral, bytes.Repeat([]byte{1}, n)}
		got, rest, err := nextPacket(append(p.append(nil), 0xff))
		if err != nil || got.tag != p.tag || !bytes.Equal(got.body, p.body) || len(rest) != 1 {
			t.Errorf("%d: %v", n, err)
		}
	}
	tests := []struct {
		name string
		in   string
		tag  int
		body string
		err  error
	}{
		{"old, one octet", "\xac\x02ab", tagLiteral, "ab", nil},
		{"old, two octets", "\xad\x00\x02ab", tagLiteral, "ab", nil},
		{"old, four octets", "\xae\x00\x00\x00\x02ab", tagLiteral, "ab", nil},
		{"old, to the end", "\xafabc", tagLiteral, "abc", nil},
		{"partial", "\xcb\xe1ab\xe0c\x01d", tagLiteral, "abcd", nil},
		{"partial, empty end", "\xcb\xe1ab\x00", tagLiteral, "ab", nil},
		{"partial without end", "\xcb\xe1ab", 0, "", ErrDamaged},
		{"longer than what is there", "\xcb\x03ab", 0, "", ErrDamaged},
		{"huge", "\xcb\xff\xff\xff\xff\xffab", 0, "", ErrDamaged},
		{"no length", "\xcb", 0, "", ErrDamaged},
		{"half a length", "\xcb\xc1", 0, "", ErrDamaged},
		{"old, half a length", "\xad\x00", 0, "", ErrDamaged},
		{"no packet", "abc", 0, "", ErrDamaged},
		{"nothing", "", 0, "", ErrDamaged},
	}
	for _, test := range tests {
		p, _, err := nextPacket([]byte(test.in))
		if !errors.Is(err, test.err) || err == nil && (p.tag != test.tag || string(p.body) != test.body) {
			t.Errorf("%s: %d %q, %v", test.name, p.tag, p.body, err)
		}
	}
}
