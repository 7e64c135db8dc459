package pgp

import "fmt"

// Kind says what a message was encrypted with.
type Kind int

const (
	Other     Kind = iota // shared secrets in a form that is not tried, or no session key packet
	PublicKey             // for public keys
	Symmetric             // with one shared secret, in the form of SecureJoin v3
)

// Info is what the packet headers of a message tell.
type Info struct {
	Kind Kind
	ESKs int // encrypted session key packets in front
}

// Inspect reads the packets in front of the encrypted data and decrypts
// nothing.
func Inspect(ciphertext []byte) (Info, error) {
	m, err := parseMessage(ciphertext)
	if err != nil {
		return Info{}, err
	}
	info := Info{ESKs: len(m.esks)}
	for _, p := range m.esks {
		if p.tag == tagPKESK {
			info.Kind = PublicKey
		}
	}
	if m.checkSymmetric() == nil {
		info.Kind = Symmetric
	}
	return info, nil
}

// maxESKs bounds the encrypted session keys of a message: as many as a
// submission server takes recipients (RFC 5321, section 4.5.3.1.8 asks for
// 100, Postfix allows 1000), and some of one's own. Each may cost a trial.
const maxESKs = 1100

// container is an encrypted message, not yet decrypted (RFC 9580, section
// 10.3): session keys, then one encrypted data packet, then nothing.
type container struct {
	esks []rawPacket
	data []byte // body of the version 1 or 2 encrypted data packet
}

func parseMessage(ciphertext []byte) (container, error) {
	var m container
	b, err := dearmor(armorMessage, ciphertext)
	if err != nil {
		return m, err
	}
	for m.data == nil {
		if err := m.take(&b); err != nil {
			return m, err
		}
	}
	for len(b) > 0 {
		var p rawPacket
		if p, b, err = nextPacket(b); err != nil {
			return m, err
		}
		if !p.ignorable() {
			return m, fmt.Errorf("%w: a packet of type %d behind the encrypted data", ErrDamaged, p.tag)
		}
	}
	return m, nil
}

// take moves the next packet into the container.
func (m *container) take(b *[]byte) error {
	p, rest, err := nextPacket(*b)
	if err != nil {
		return err
	}
	*b = rest
	switch {
	case p.tag == tagPKESK || p.tag == tagSKESK:
		if len(m.esks) == maxESKs {
			return fmt.Errorf("%w: more than %d session keys", ErrTooLarge, maxESKs)
		}
		m.esks = append(m.esks, p)
	case p.tag == tagSEIPD && len(p.body) > 0:
		m.data = p.body
	case p.tag == tagSEIPD:
		return errTruncated
	case p.tag == tagSED || p.tag == tagAEAD: // not authenticated; never standardised
		return fmt.Errorf("%w: encrypted data of type %d", ErrUnsupported, p.tag)
	case p.ignorable():
	default:
		return fmt.Errorf("%w: it holds a packet of type %d", ErrNotEncrypted, p.tag)
	}
	return nil
}
