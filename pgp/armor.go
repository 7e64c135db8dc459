package pgp

import (
	"bytes"
	"encoding/base64"
	"fmt"
)

// Types of armor (RFC 9580, section 6.2).
const (
	armorMessage   = "PGP MESSAGE"
	armorPublic    = "PGP PUBLIC KEY BLOCK"
	armorPrivate   = "PGP PRIVATE KEY BLOCK"
	armorSignature = "PGP SIGNATURE"
)

const (
	armorBegin = "-----BEGIN "
	armorEnd   = "-----END "
	armorDash  = "-----"
	armorLine  = 64 // characters in a line; RFC 9580, section 6.2 allows 76, everybody writes 64
)

// enarmor writes ASCII armor with CRLF, without armor headers and with the
// CRC24 line: RFC 9580 does without that line, but relays of chatmail take
// the padding of the base64 data for it and refuse mail that lacks it.
func enarmor(kind string, data []byte) []byte {
	crc, text := crc24(data), base64.StdEncoding.EncodedLen(len(data))
	out := make([]byte, 0, text+text/armorLine*2+128)
	out = append(out, armorBegin+kind+armorDash+"\r\n\r\n"...)
	for len(data) > 0 {
		n := min(armorLine/4*3, len(data))
		out = append(base64.StdEncoding.AppendEncode(out, data[:n]), '\r', '\n')
		data = data[n:]
	}
	out = append(out, '=')
	out = base64.StdEncoding.AppendEncode(out, []byte{byte(crc >> 16), byte(crc >> 8), byte(crc)})
	return append(out, "\r\n"+armorEnd+kind+armorDash+"\r\n"...)
}

// dearmor returns the data of armored or binary input. Text in front of the
// armor and behind it is skipped; blanks within are tolerated, for mail
// programs add them.
func dearmor(kind string, b []byte) ([]byte, error) {
	body, complete, ok := armorBody(kind, b)
	switch {
	case !ok && len(b) > 0 && b[0]&0x80 != 0: // every packet begins like that
		return b, nil
	case !ok:
		return nil, errNoArmor
	case !complete:
		return nil, errTruncated
	}
	return decodeArmor(body)
}

var errNoArmor = fmt.Errorf("%w: no armor", ErrDamaged)

// armorBody finds the lines between the armor headers and the END line.
func armorBody(kind string, b []byte) (body []byte, complete, ok bool) {
	i := bytes.Index(b, []byte(armorBegin+kind+armorDash))
	if i < 0 {
		return nil, false, false
	}
	b = b[i+len(armorBegin+kind+armorDash):]
	if i = bytes.IndexByte(b, '\n'); i < 0 {
		return nil, false, true
	}
	b = skipArmorHeaders(b[i+1:])
	if i = bytes.Index(b, []byte(armorEnd+kind)); i < 0 {
		return b, false, true
	}
	return b[:i], true, true
}

// skipArmorHeaders drops "Key: value" lines and the empty line after them,
// which some programs forget.
func skipArmorHeaders(b []byte) []byte {
	for {
		line, rest, _ := bytes.Cut(b, []byte("\n"))
		if len(bytes.TrimSpace(line)) == 0 && len(rest) > 0 {
			return rest
		}
		if !bytes.Contains(line, []byte(":")) {
			return b
		}
		b = rest
	}
}

// decodeArmor decodes base64 up to the CRC24 line. The CRC is not checked:
// what follows is protected better (RFC 9580, section 6.1).
func decodeArmor(body []byte) ([]byte, error) {
	text := make([]byte, 0, len(body))
	for len(body) > 0 {
		line, rest, _ := bytes.Cut(body, []byte("\n"))
		line = bytes.Trim(line, " \t\r\u00a0")
		if len(line) == 5 && line[0] == '=' {
			break
		}
		text, body = append(text, line...), rest
	}
	out := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(out, text)
	if err != nil {
		return nil, fmt.Errorf("%w: armor is not base64", ErrDamaged)
	}
	return out[:n], nil
}

// crcTable holds the CRC24 of each octet (RFC 9580, section 6.1.1).
var crcTable = func() (t [256]uint32) {
	for i := range t {
		crc := uint32(i) << 16
		for range 8 {
			crc <<= 1
			if crc&0x1000000 != 0 {
				crc ^= 0x1864cfb
			}
		}
		t[i] = crc
	}
	return t
}()

func crc24(data []byte) uint32 {
	crc := uint32(0xb704ce)
	for _, c := range data {
		crc = crc<<8&0xffffff ^ crcTable[byte(crc>>16)^c]
	}
	return crc
}
