package headers

import (
	"strings"

	"mailbridge/message"
)

// NoticeKind says why a message is not shown.
type NoticeKind int

// Damaged is a message whose integrity check failed.
const Damaged NoticeKind = iota

// notices are the texts. They are part of the bytes that clients have cached: a changed
// text is a new kind.
var notices = map[NoticeKind]string{
	Damaged: "This encrypted message was damaged or changed on its way, so nothing of it is\r\n" +
		"shown. It is attached as it came. Ask the sender to send it again.\r\n",
}

// Notice gives what is served instead of a message that must not be shown: a text that
// says so, with the original attached as octets, so that no client tries to open it. It
// holds not one byte of plaintext. SignedPrefix goes in front of it.
func Notice(outer message.Header, original []byte, kind NoticeKind) []byte {
	text := notices[kind]
	bound := boundary(original, []byte(text))
	h := shownOutside(outer)
	h.Add(message.NewField("MIME-Version", "1.0"))
	h.Add(message.NewField("Content-Type", `multipart/mixed; boundary="`+bound+`"`))
	var b strings.Builder
	b.WriteString("--" + bound + "\r\nContent-Type: text/plain; charset=\"us-ascii\"\r\n\r\n" + text)
	b.WriteString("\r\n--" + bound + "\r\nContent-Type: application/octet-stream\r\n" +
		"Content-Disposition: attachment; filename=\"original.eml\"\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	b.Write(encodeBase64(original))
	b.WriteString("\r\n--" + bound + "--\r\n")
	return assemble(h, []byte(b.String()))
}

// shownOutside gives the outer header of a message whose inside has no say.
func shownOutside(outer message.Header) message.Header {
	var h message.Header
	for _, f := range outer.Fields {
		if fromOutside(f.Name) {
			h.Add(tidy(f))
		}
	}
	return h
}

// Errant gives the view of a mailing list's form of an encrypted message: a multipart whose
// first part is the encrypted one, with the list's text after it. The decrypted content
// becomes an attached message, so that it never runs together with what the list, or
// whoever stands in its place, wrote around it. The outer header stays.
//
// root is msg's structure, payload what was in its first part.
func Errant(msg []byte, root *message.Part, payload []byte, s Security) []byte {
	inner := View(Merge(Opened{Payload: payload, Encrypted: true}), payload, nil)
	contents := [][]byte{inner}
	for _, c := range root.Children[min(1, len(root.Children)):] {
		edits := forgedEdits(msg, c)
		for _, d := range inside(c) {
			edits = append(edits, forgedEdits(msg, d)...)
		}
		contents = append(contents, message.CRLF(splice(msg, c.Start, c.End, edits)))
	}
	// A boundary of our own: the sender's could stand inside the decrypted content.
	bound := boundary(contents...)
	h := shownOutside(root.Header)
	h.Prepend(s.field())
	h.Add(message.NewField("MIME-Version", "1.0"))
	h.Add(message.NewField("Content-Type", `multipart/mixed; boundary="`+bound+`"`))
	var b strings.Builder
	for i, c := range contents {
		b.WriteString("--" + bound + "\r\n")
		if i == 0 {
			b.WriteString("Content-Type: message/rfc822\r\nContent-Disposition: attachment; filename=\"decrypted.eml\"\r\n\r\n")
		}
		b.Write(c)
		b.WriteString("\r\n")
	}
	b.WriteString("--" + bound + "--\r\n")
	return assemble(h, []byte(b.String()))
}
