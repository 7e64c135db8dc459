package upstream

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Modified UTF-7 (RFC 3501, section 5.1.3). imapclient drops the connection at a name that
// it cannot decode, so the filter looks first.

var utf7Base64 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding)

// encodeUTF7 gives the one form of a name that every encoder makes.
func encodeUTF7(name string) string {
	var out strings.Builder
	var shifted []rune
	flush := func() {
		if len(shifted) == 0 {
			return
		}
		units := utf16.Encode(shifted)
		raw := make([]byte, 0, 2*len(units))
		for _, u := range units {
			raw = append(raw, byte(u>>8), byte(u))
		}
		out.WriteString("&" + utf7Base64.EncodeToString(raw) + "-")
		shifted = shifted[:0]
	}
	for _, r := range name {
		if r < ' ' || r > '~' {
			shifted = append(shifted, r)
			continue
		}
		flush()
		if r == '&' {
			out.WriteString("&-")
		} else {
			out.WriteByte(byte(r))
		}
	}
	flush()
	return out.String()
}

// decodeUTF7 decodes a name. It is false for a name that encodeUTF7 would write otherwise:
// such a mailbox could be listed, but not be named to the server.
func decodeUTF7(raw string) (string, bool) {
	var out strings.Builder
	for rest := raw; rest != ""; {
		plain, after, shift := strings.Cut(rest, "&")
		out.WriteString(plain)
		if !shift {
			break
		}
		encoded, next, closed := strings.Cut(after, "-")
		if !closed {
			return "", false
		}
		if encoded == "" {
			out.WriteByte('&')
		} else if !decodeUTF16(&out, encoded) {
			return "", false
		}
		rest = next
	}
	name := out.String()
	return name, utf8.ValidString(name) && encodeUTF7(name) == raw
}

func decodeUTF16(out *strings.Builder, encoded string) bool {
	raw, err := utf7Base64.DecodeString(encoded)
	if err != nil || len(raw)%2 != 0 {
		return false
	}
	units := make([]uint16, len(raw)/2)
	for i := range units {
		units[i] = uint16(raw[2*i])<<8 | uint16(raw[2*i+1])
	}
	out.WriteString(string(utf16.Decode(units)))
	return true
}
