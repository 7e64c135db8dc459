package smtpproxy

import (
	"fmt"
	"strings"

	"github.com/emersion/go-smtp"
)

const (
	// maxReplyLines is what mail clients show in a dialog without scrolling.
	maxReplyLines = 2
	// maxReplyText keeps a reply line, code and line end included, within 512 octets
	// (RFC 5321, section 4.5.3.1.5).
	maxReplyText = 490
)

var errTrouble = refuse(451, [3]int{4, 3, 0}, "Trouble inside the bridge, see its log; try again later")

func refuse(code int, enhanced [3]int, text string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: replyText(enhanced, text, false)}
}

// reply makes go-smtp's error of a refusal. A refusal that is none is temporary trouble.
func reply(status Status, utf8 bool) *smtp.SMTPError {
	code, enhanced, text := status.SMTPStatus()
	if code < 400 || code > 599 {
		return errTrouble
	}
	if enhanced[0] != code/100 { // RFC 2034, section 4: both must agree
		enhanced = [3]int{code / 100, 0, 0}
	}
	return &smtp.SMTPError{Code: code, EnhancedCode: enhanced, Message: replyText(enhanced, text, utf8)}
}

// accepted is go-smtp's way to choose the text after 250.
func accepted(text string, utf8 bool) *smtp.SMTPError {
	ok := [3]int{2, 0, 0}
	if strings.TrimSpace(text) == "" {
		text = "Ok"
	}
	return &smtp.SMTPError{Code: 250, EnhancedCode: ok, Message: replyText(ok, text, utf8)}
}

// replyText makes text fit for a reply: at most two lines of printable characters, in
// ASCII unless the client asked for SMTPUTF8 (RFC 6531, section 3.7.4). go-smtp puts the
// enhanced code into the last line; RFC 2034, section 4 wants it in each.
func replyText(enhanced [3]int, text string, utf8 bool) string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = printable(line, utf8); line != "" && len(lines) < maxReplyLines {
			lines = append(lines, line)
		}
	}
	for i := range lines[:max(0, len(lines)-1)] {
		lines[i] = fmt.Sprintf("%d.%d.%d %s", enhanced[0], enhanced[1], enhanced[2], lines[i])
	}
	return strings.Join(lines, "\n")
}

func printable(line string, utf8 bool) string {
	line = strings.TrimSpace(line)
	var out strings.Builder
	for _, r := range line {
		switch {
		case isControl(r):
			r = ' '
		case r >= 0x80 && !utf8:
			r = '?'
		}
		if out.Len()+4 > maxReplyText {
			break
		}
		out.WriteRune(r)
	}
	return out.String()
}
