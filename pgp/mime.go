package pgp

import (
	"bytes"
	"strings"

	"mailbridge/message"
)

// Form is the shape in which ciphertext lies in a mail.
type Form int

const (
	FormNone        Form = iota
	FormProper           // multipart/encrypted, RFC 3156, section 4
	FormMixedUp          // multipart/mixed with an empty text part in front, as Exchange makes it
	FormListWrapped      // a list's: the encrypted part first, then nothing but text/plain
)

func (f Form) String() string {
	return [...]string{"none", "proper", "mixed-up", "list-wrapped"}[f]
}

const (
	typeEncrypted  = "application/pgp-encrypted"
	typeSignature  = "application/pgp-signature"
	typeOctets     = "application/octet-stream"
	multiEncrypted = "multipart/encrypted"
	multiSigned    = "multipart/signed"
	multiMixed     = "multipart/mixed"
	textPlain      = "text/plain"
)

// SplitEncrypted finds the ciphertext of a PGP/MIME mail: only the outermost
// envelope, or one of the two mangled forms that carry nothing else to be
// read. Ciphertext anywhere else stays where it is, for whoever wrapped it
// may want to see it decrypted in an answer.
//
// A multipart/encrypted whose second part was lost is FormProper without
// ciphertext: Open then says that it is damaged.
func SplitEncrypted(msg []byte, root *message.Part) (ciphertext []byte, form Form, ok bool) {
	if root == nil {
		return nil, FormNone, false
	}
	if c, ok := envelope(msg, root); ok {
		return c, FormProper, true
	}
	if root.MediaType != multiMixed {
		return nil, FormNone, false
	}
	if c, ok := mixedUp(msg, root); ok {
		return c, FormMixedUp, true
	}
	if c, ok := listWrapped(msg, root); ok {
		return c, FormListWrapped, true
	}
	return nil, FormNone, false
}

// envelope reads a multipart/encrypted of RFC 3156, section 4.
func envelope(msg []byte, p *message.Part) ([]byte, bool) {
	if p.MediaType != multiEncrypted {
		return nil, false
	}
	parts := p.Children
	declared := strings.EqualFold(p.Params["protocol"], typeEncrypted)
	if len(parts) > 0 && parts[0].MediaType != typeEncrypted || len(parts) == 0 && !declared || len(parts) > 2 {
		return nil, false
	}
	if len(parts) < 2 {
		return nil, true
	}
	return parts[1].Decoded(msg), true
}

// mixedUp repairs what Exchange makes of it: the two parts behind an empty
// text. A text that is not empty is somebody's, and nothing is repaired.
func mixedUp(msg []byte, p *message.Part) ([]byte, bool) {
	c := p.Children
	if len(c) != 3 || c[0].MediaType != textPlain || c[1].MediaType != typeEncrypted || c[2].MediaType != typeOctets {
		return nil, false
	}
	if len(bytes.TrimSpace(c[0].Decoded(msg))) > 0 {
		return nil, false
	}
	return c[2].Decoded(msg), true
}

// listWrapped reads what lists make of it that add a footer.
func listWrapped(msg []byte, p *message.Part) ([]byte, bool) {
	if len(p.Children) == 0 {
		return nil, false
	}
	for _, c := range p.Children[1:] {
		if c.MediaType != textPlain {
			return nil, false
		}
	}
	return envelope(msg, p.Children[0])
}

// InlineArmor returns the armored message that is the whole of a text. Armor
// with other text around it is not opened: its content would be shown as
// part of that text.
func InlineArmor(text []byte) ([]byte, bool) {
	t := bytes.TrimSpace(text)
	begin, end := []byte(armorBegin+armorMessage+armorDash), []byte(armorEnd+armorMessage+armorDash)
	if !bytes.HasPrefix(t, begin) || !bytes.HasSuffix(t, end) || bytes.Count(t, []byte(armorBegin)) != 1 {
		return nil, false
	}
	return t, true
}

// JoinEncrypted makes a PGP/MIME mail of an outer header block (without the
// empty line, MIME-Version and Content-* fields) and an armored message, to
// the byte as relays of chatmail want it: two parts, the first nothing but
// "Version: 1", the second from its first byte the armor.
func JoinEncrypted(outer, ciphertext []byte, boundary string) []byte {
	var b bytes.Buffer
	b.Grow(len(outer) + len(ciphertext) + 512)
	b.Write(outer)
	b.WriteString("MIME-Version: 1.0\r\n" +
		"Content-Type: " + multiEncrypted + "; protocol=\"" + typeEncrypted + "\";\r\n" +
		"\tboundary=\"" + boundary + "\"\r\n\r\n" +
		"--" + boundary + "\r\n" +
		"Content-Type: " + typeEncrypted + "; charset=\"utf-8\"\r\n" +
		"Content-Transfer-Encoding: 7bit\r\n\r\n" +
		"Version: 1\r\n\r\n" +
		"--" + boundary + "\r\n" +
		"Content-Type: " + typeOctets + "; charset=\"utf-8\"\r\n" +
		"Content-Transfer-Encoding: 7bit\r\n\r\n")
	b.Write(ciphertext)
	if !bytes.HasSuffix(ciphertext, []byte("\n")) {
		b.WriteString("\r\n")
	}
	b.WriteString("\r\n--" + boundary + "--\r\n")
	return b.Bytes()
}
