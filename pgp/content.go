package pgp

import (
	"bytes"
	"compress/bzip2"
	"compress/flate"
	"compress/zlib"
	"fmt"
	"io"
)

const (
	maxInnerPackets = 64 // honest messages hold four or five
	maxSignatures   = 16 // each may cost a pass over the payload
)

// content is what was inside the encrypted data.
type content struct {
	payload []byte
	onePass int         // announced signatures
	sigs    []rawPacket // found
}

// parseContent reads literal data, with or without signatures, in at most
// one layer of compression (RFC 9580, section 10.3). More layers serve
// nobody but the makers of bombs.
func parseContent(data []byte, limit int64) (content, error) {
	list, err := innerPackets(data)
	if err != nil {
		return content{}, err
	}
	if len(list) == 1 && list[0].tag == tagCompressed {
		if data, err = decompress(list[0].body, limit); err != nil {
			return content{}, err
		}
		if list, err = innerPackets(data); err != nil {
			return content{}, err
		}
	}
	return assemble(list, limit)
}

func innerPackets(data []byte) ([]rawPacket, error) {
	all, err := splitPackets(data, maxInnerPackets)
	if err != nil {
		return nil, err
	}
	list := all[:0]
	for _, p := range all {
		if !p.ignorable() {
			list = append(list, p)
		}
	}
	return list, nil
}

// assemble checks the order of the packets: announcements or signatures,
// one literal, signatures.
func assemble(list []rawPacket, limit int64) (content, error) {
	var c content
	found := false
	for _, p := range list {
		switch {
		case p.tag == tagOnePass && !found:
			c.onePass++
		case p.tag == tagSignature && len(c.sigs) < maxSignatures:
			c.sigs = append(c.sigs, p)
		case p.tag == tagLiteral && !found:
			body, err := literalBody(p.body)
			if err != nil {
				return content{}, err
			}
			c.payload, found = body, true
		case p.tag == tagSignature:
			return content{}, fmt.Errorf("%w: more than %d signatures", ErrTooLarge, maxSignatures)
		default:
			return content{}, fmt.Errorf("%w: a packet of type %d inside", ErrUnsupported, p.tag)
		}
	}
	switch {
	case !found:
		return content{}, fmt.Errorf("%w: nothing inside", ErrDamaged)
	case int64(len(c.payload)) > limit:
		return content{}, fmt.Errorf("%w: more than %d bytes inside", ErrTooLarge, limit)
	}
	return c, nil
}

// literalBody cuts off format, file name and date (RFC 9580, section 5.9).
func literalBody(b []byte) ([]byte, error) {
	if len(b) < 2 || len(b) < 6+int(b[1]) {
		return nil, errTruncated
	}
	return b[6+int(b[1]):], nil
}

func decompress(b []byte, limit int64) ([]byte, error) {
	if len(b) == 0 {
		return nil, errTruncated
	}
	var r io.Reader
	var err error
	switch in := bytes.NewReader(b[1:]); b[0] {
	case 0:
		r = in
	case 1:
		r = flate.NewReader(in)
	case 2:
		r, err = zlib.NewReader(in)
	case 3:
		r = bzip2.NewReader(in)
	default:
		return nil, fmt.Errorf("%w: compression %d", ErrUnsupported, b[0])
	}
	if err != nil {
		return nil, fmt.Errorf("%w: compressed data", ErrDamaged)
	}
	const headers = 1 << 16 // around the payload: signatures, with their notations
	data, err := io.ReadAll(io.LimitReader(r, limit+headers+1))
	if err != nil {
		return nil, fmt.Errorf("%w: compressed data", ErrDamaged)
	}
	if int64(len(data)) > limit+headers {
		return nil, fmt.Errorf("%w: more than %d bytes inside", ErrTooLarge, limit)
	}
	return data, nil
}
