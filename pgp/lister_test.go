package pgp

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The lister reads packets with code of its own, so that what the package
// writes is not judged by what the package reads.

// listArmored lists the packets of an armored message, and what is wrong
// with the armor itself in the eyes of a chatmail relay.
func listArmored(t *testing.T, armored []byte) []string {
	t.Helper()
	lines := strings.Split(strings.TrimRight(string(armored), "\r\n"), "\r\n")
	last := len(lines) - 1
	if lines[0] != "-----BEGIN PGP MESSAGE-----" || lines[1] != "" || lines[last] != "-----END PGP MESSAGE-----" {
		t.Fatalf("armor: %q … %q", lines[:2], lines[last:])
	}
	if crc := lines[last-1]; len(crc) != 5 || crc[0] != '=' {
		t.Fatalf("armor ends with %q instead of a CRC24", crc)
	}
	for _, l := range lines[2 : last-2] {
		if len(l) != 64 {
			t.Fatalf("a line of %d characters", len(l))
		}
	}
	data, err := base64.StdEncoding.DecodeString(strings.Join(lines[2:last-1], ""))
	if err != nil {
		t.Fatal(err)
	}
	return listPackets(t, data)
}

func listPackets(t *testing.T, b []byte) []string {
	t.Helper()
	var list []string
	for len(b) > 0 {
		if b[0]&0xc0 != 0xc0 {
			t.Fatalf("packet header %#x is not of the new format", b[0])
		}
		body, rest := readBody(t, b[1:])
		list = append(list, describe(t, int(b[0]&63), body))
		b = rest
	}
	return list
}

func readBody(t *testing.T, b []byte) (body, rest []byte) {
	t.Helper()
	var n, skip int
	switch {
	case b[0] < 192:
		n, skip = int(b[0]), 1
	case b[0] < 224:
		n, skip = (int(b[0])-192)<<8+int(b[1])+192, 2
	case b[0] == 255:
		n, skip = int(binary.BigEndian.Uint32(b[1:5])), 5
	default: // partial
		n, skip = 1<<(b[0]&31), 1
		more, rest := readBody(t, b[skip+n:])
		return append(slices.Clone(b[skip:skip+n]), more...), rest
	}
	return b[skip : skip+n], b[skip+n:]
}

func describe(t *testing.T, tag int, b []byte) string {
	switch tag {
	case 1:
		if b[0] == 6 {
			return fmt.Sprintf("PKESK v6 recipient=%x algorithm=%d", b[2:2+int(b[1])], b[2+int(b[1])])
		}
		return fmt.Sprintf("PKESK v%d recipient=%x algorithm=%d", b[0], b[1:9], b[9])
	case 3:
		return fmt.Sprintf("SKESK v%d cipher=%d aead=%d s2k=%d hash=%d of %d bytes", b[0], b[2], b[3], b[5], b[6], len(b))
	case 18:
		if b[0] == 2 {
			return fmt.Sprintf("SEIPD v2 cipher=%d aead=%d chunks=%d", b[1], b[2], b[3])
		}
		return fmt.Sprintf("SEIPD v%d", b[0])
	case 8:
		return fmt.Sprintf("compressed %d", b[0])
	case 4:
		return fmt.Sprintf("one-pass v%d type=%d hash=%d algorithm=%d last=%d", b[0], b[1], b[2], b[3], b[len(b)-1])
	case 11:
		return fmt.Sprintf("literal %c %q %d", b[0], b[2:2+b[1]], binary.BigEndian.Uint32(b[2+int(b[1]):]))
	case 2:
		hashed := int(binary.BigEndian.Uint16(b[4:6]))
		rest := b[6+hashed:]
		sub := append(subpackets(t, b[6:6+hashed]), subpackets(t, rest[2:2+binary.BigEndian.Uint16(rest)])...)
		slices.Sort(sub)
		return fmt.Sprintf("signature v%d type=%d algorithm=%d hash=%d %v", b[0], b[1], b[2], b[3], sub)
	case 6, 14:
		return fmt.Sprintf("key %d v%d algorithm=%d", tag, b[0], b[5])
	case 13:
		return fmt.Sprintf("user id %q", b)
	}
	return fmt.Sprintf("packet %d", tag)
}

// subpackets lists types; "!" marks a critical one.
func subpackets(t *testing.T, b []byte) []string {
	var list []string
	for len(b) > 0 {
		body, rest := readBody(t, b)
		mark := ""
		if body[0]&0x80 != 0 {
			mark = "!"
		}
		list = append(list, fmt.Sprintf("%d%s", body[0]&0x7f, mark))
		b = rest
	}
	return list
}
