package message

import (
	"bytes"
	"encoding/base64"
)

// Decoded gives the body of the part with its transfer encoding undone. Damage is
// passed over: octets outside the base64 alphabet are ignored, a "=" that is no escape
// stays. An unknown encoding is taken for none.
func (p *Part) Decoded(b []byte) []byte {
	body := p.Body(b)
	switch p.Encoding {
	case "base64":
		return decodeBase64(body)
	case "quoted-printable":
		return decodeQP(body)
	}
	return body
}

// Text gives the decoded body in UTF-8.
func (p *Part) Text(b []byte) string {
	return decodeCharset(p.Decoded(b), p.Params["charset"])
}

// decodeBase64 decodes what is base64 in b. Padding in the middle ends a quantum, as
// mail made of joined pieces has it.
func decodeBase64(b []byte) []byte {
	out := make([]byte, 0, len(b)/4*3+3)
	var quad [4]byte
	n := 0
	for _, c := range b {
		switch {
		case isBase64(c):
			quad[n] = c
			n++
		case c == '=' && n > 1:
			out = appendQuantum(out, quad[:n])
			n = 0
		}
		if n == 4 {
			out = appendQuantum(out, quad[:])
			n = 0
		}
	}
	return appendQuantum(out, quad[:n])
}

func appendQuantum(out, quad []byte) []byte {
	if len(quad) < 2 {
		return out
	}
	var buf [3]byte
	n, _ := base64.RawStdEncoding.Decode(buf[:], quad)
	return append(out, buf[:n]...)
}

func isBase64(c byte) bool {
	return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '+' || c == '/'
}

// decodeQP undoes quoted-printable (RFC 2045, section 6.7).
func decodeQP(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		n := lineEnd(b)
		line, rest := b[:n], b[n:]
		text := bytes.TrimRight(line, " \t\r\n")
		eol := line[len(bytes.TrimRight(line, "\r\n")):]
		if bytes.HasSuffix(text, []byte("=")) {
			text, eol = text[:len(text)-1], nil
		}
		out = append(appendQP(out, text), eol...)
		b = rest
	}
	return out
}

func appendQP(out, text []byte) []byte {
	for i := 0; i < len(text); i++ {
		if text[i] == '=' && i+2 < len(text) && isHex(text[i+1]) && isHex(text[i+2]) {
			out = append(out, unhex(text[i+1])<<4|unhex(text[i+2]))
			i += 2
			continue
		}
		out = append(out, text[i])
	}
	return out
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'F' || 'a' <= c && c <= 'f'
}

func unhex(c byte) byte {
	switch {
	case c >= 'a':
		return c - 'a' + 10
	case c >= 'A':
		return c - 'A' + 10
	}
	return c - '0'
}
