package main

import (
	"fmt"
	"strings"

	"rsc.io/qr"
)

// quietZone is the empty margin a reader needs, in modules (ISO/IEC 18004).
const quietZone = 4

// qrCode encodes text with the least redundancy: a screen has no dirt, and fewer, larger
// modules are read from further away.
func qrCode(text string) (*qr.Code, error) {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return nil, fmt.Errorf("QR code: %w", err)
	}
	return code, nil
}

// drawQR draws a code with half blocks, two modules in one character. With colour it is
// black on white whatever the terminal's own colours are: inverted codes are not
// read by every phone.
func drawQR(code *qr.Code, colour bool) string {
	start, end := "", "\n"
	if colour {
		start, end = "\x1b[30;107m", "\x1b[0m\n"
	}
	blocks := [...]string{" ", "▀", "▄", "█"}
	var b strings.Builder
	for y := -quietZone; y < code.Size+quietZone; y += 2 {
		b.WriteString(start)
		for x := -quietZone; x < code.Size+quietZone; x++ {
			n := 0
			if code.Black(x, y) { // outside of the code all is white
				n |= 1
			}
			if code.Black(x, y+1) {
				n |= 2
			}
			b.WriteString(blocks[n])
		}
		b.WriteString(end)
	}
	return b.String()
}
