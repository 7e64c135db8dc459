package pgp

import (
	"encoding/binary"
	"fmt"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Packet types (RFC 9580, section 5).
const (
	tagPKESK        = 1
	tagSignature    = 2
	tagSKESK        = 3
	tagOnePass      = 4
	tagSecretKey    = 5
	tagPublicKey    = 6
	tagSecretSubkey = 7
	tagCompressed   = 8
	tagSED          = 9
	tagMarker       = 10
	tagLiteral      = 11
	tagTrust        = 12
	tagUserID       = 13
	tagPublicSubkey = 14
	tagUserAttr     = 17
	tagSEIPD        = 18
	tagAEAD         = 20
	tagPadding      = 21
	firstOptional   = 40 // from here on unknown packets may be ignored (section 4.3)
)

// rawPacket is a packet whose body is not interpreted.
type rawPacket struct {
	tag  int
	body []byte
}

// ignorable says whether a packet carries nothing (sections 5.8, 5.14, 4.3).
func (p rawPacket) ignorable() bool {
	return p.tag == tagMarker || p.tag == tagPadding || p.tag >= firstOptional
}

// parse interprets the packet.
func (p rawPacket) parse() (packet.Packet, error) {
	o := packet.OpaquePacket{Tag: uint8(p.tag), Contents: p.body}
	return o.Parse()
}

// append writes the packet.
func (p rawPacket) append(b []byte) []byte {
	return append(appendHeader(b, p.tag, len(p.body)), p.body...)
}

// appendHeader writes a header of the new format with a length that is
// known: relays of chatmail refuse the old format.
func appendHeader(b []byte, tag, length int) []byte {
	b = append(b, 0xc0|byte(tag))
	switch {
	case length < 192:
		return append(b, byte(length))
	case length < 8384:
		return append(b, byte((length-192)>>8)+192, byte(length-192))
	}
	return binary.BigEndian.AppendUint32(append(b, 255), uint32(length))
}

// peekTag reads the type of the next packet.
func peekTag(b []byte) (int, error) {
	switch {
	case len(b) == 0:
		return 0, fmt.Errorf("%w: it ends early", ErrDamaged)
	case b[0]&0x80 == 0:
		return 0, fmt.Errorf("%w: no packet where one should begin", ErrDamaged)
	case b[0]&0x40 == 0:
		return int(b[0]>>2) & 15, nil
	}
	return int(b[0]) & 63, nil
}

// nextPacket cuts off the first packet (RFC 9580, section 4.2).
func nextPacket(b []byte) (p rawPacket, rest []byte, err error) {
	tag, err := peekTag(b)
	if err != nil {
		return p, nil, err
	}
	p.tag = tag
	if b[0]&0x40 == 0 {
		p.body, rest, err = oldBody(b[0]&3, b[1:])
	} else {
		p.body, rest, err = newBody(b[1:])
	}
	return p, rest, err
}

func oldBody(lengthType byte, b []byte) (body, rest []byte, err error) {
	if lengthType == 3 { // to the end, section 4.2.2
		return b, nil, nil
	}
	n := 1 << lengthType
	if len(b) < n {
		return nil, nil, errTruncated
	}
	length := 0
	for _, c := range b[:n] {
		length = length<<8 | int(c)
	}
	return cut(b[n:], length)
}

func newBody(b []byte) (body, rest []byte, err error) {
	var whole []byte // of the partial lengths
	for {
		length, partial, n := newLength(b)
		if n == 0 {
			return nil, nil, errTruncated
		}
		body, b, err = cut(b[n:], length)
		switch {
		case err != nil:
			return nil, nil, err
		case !partial && whole == nil:
			return body, b, nil
		case !partial:
			return append(whole, body...), b, nil
		}
		if whole == nil {
			whole = make([]byte, 0, len(body)+len(b))
		}
		whole = append(whole, body...)
	}
}

// newLength reads a length; n is the number of octets it takes, 0 if they
// are not there.
func newLength(b []byte) (length int, partial bool, n int) {
	switch {
	case len(b) == 0:
		return 0, false, 0
	case b[0] < 192:
		return int(b[0]), false, 1
	case b[0] < 224 && len(b) >= 2:
		return int(b[0]-192)<<8 + int(b[1]) + 192, false, 2
	case b[0] == 255 && len(b) >= 5:
		return int(binary.BigEndian.Uint32(b[1:])), false, 5
	case b[0] >= 224 && b[0] < 255:
		return 1 << (b[0] & 31), true, 1
	}
	return 0, false, 0
}

func cut(b []byte, n int) (head, tail []byte, err error) {
	if n > len(b) {
		return nil, nil, errTruncated
	}
	return b[:n:n], b[n:], nil
}

var errTruncated = fmt.Errorf("%w: it ends early", ErrDamaged)

// splitPackets cuts everything into packets, at most limit of them.
func splitPackets(b []byte, limit int) ([]rawPacket, error) {
	var list []rawPacket
	for len(b) > 0 {
		if len(list) == limit {
			return nil, fmt.Errorf("%w: more than %d packets", ErrTooLarge, limit)
		}
		p, rest, err := nextPacket(b)
		if err != nil {
			return nil, err
		}
		list, b = append(list, p), rest
	}
	return list, nil
}
