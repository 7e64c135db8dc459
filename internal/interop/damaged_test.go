//go:build peers

package interop

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestDamagedMail: of a message that was changed or cut on its way nothing is shown but that
// it was.
func TestDamagedMail(t *testing.T) {
	t.Parallel()
	h := pair(t)
	var body strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&body, "Mirabellen-%d eingekocht\r\n", i*i)
	}
	must(t, h.other.send([]string{h.addr}, compose(h.other.addr, h.addr, "whole", "whole@client.example", body.String())))
	c := connect(t, h.bridge, nil)
	c.find("INBOX", "Mirabellen-0")
	whole := h.provided("INBOX", "the whole message", holds("BEGIN PGP MESSAGE"))
	start := bytes.Index(whole, []byte("\r\n\r\n")) // of the MIME body, then of the armor's
	start += bytes.Index(whole[start:], []byte("-----BEGIN PGP MESSAGE-----\r\n\r\n")) + len("-----BEGIN PGP MESSAGE-----\r\n\r\n")
	end := start + bytes.Index(whole[start:], []byte("\r\n-----END PGP MESSAGE-----"))
	at := func(percent int) int { return start + (end-start)*percent/100 }

	variants := []struct {
		name string
		mail []byte
	}{
		{"flipped in the middle", flip(whole, at(50))},
		{"flipped near the end", flip(whole, at(98))},
		{"cut in the middle", whole[:at(50)]},
		{"cut near the end", whole[:at(97)]},
		{"cut, with the envelope whole", append(append([]byte{}, whole[:at(60)]...), whole[end:]...)},
		{"a piece is missing", append(append([]byte{}, whole[:at(40)]...), whole[at(45):]...)},
	}
	messageID := regexp.MustCompile(`(?mi)^Message-ID: <.*>`)
	for i, v := range variants {
		mail := messageID.ReplaceAll(v.mail, fmt.Appendf(nil, "Message-ID: <variant-%d@client.example>", i))
		must(t, h.bed.Deliver(h.other.addr, []string{h.addr}, mail))
		var got message
		eventually(t, v.name+" arrives", func() bool {
			all := c.messages("INBOX")
			got = all[len(all)-1]
			return len(all) == i+2
		})
		checkDamaged(t, h, v.name, got, h.provided("INBOX", v.name, holds(fmt.Sprintf("variant-%d@", i))))
	}
	if all := c.messages("INBOX"); !bytes.Contains(all[0].Raw, []byte("Mirabellen-0")) {
		t.Error("the whole message is no longer shown")
	}
}

// flip changes one character of the armor at or after an offset.
func flip(mail []byte, at int) []byte {
	changed := bytes.Clone(mail)
	for changed[at] == '\r' || changed[at] == '\n' || changed[at] == '=' {
		at++
	}
	if changed[at]++; changed[at] < 'b' || changed[at] > 'z' {
		changed[at] = 'a'
	}
	if changed[at] == mail[at] {
		changed[at] = 'b'
	}
	return changed
}

// checkDamaged checks a notice: what it says, that the original is attached as the provider
// has it, and that no plaintext is in it.
func checkDamaged(t *testing.T, h household, name string, got message, original []byte) {
	t.Helper()
	security := got.header(t, "Mailbridge-Security")
	if !strings.Contains(security, "warning=damaged") || !strings.Contains(security, "signature=none") || !strings.Contains(security, "trust=none") {
		t.Errorf("%s: Mailbridge-Security: %q", name, security)
	}
	if got.has("$Verified") {
		t.Errorf("%s: flags %v", name, got.Flags)
	}
	if bytes.Contains(got.Raw, []byte("Mirabellen")) || bytes.Contains(got.Raw, []byte("eingekocht")) {
		t.Errorf("%s: plaintext is shown:\n%s", name, got.Raw)
	}
	if text := got.text(t); !strings.Contains(text, "damaged") {
		t.Errorf("%s: the notice says %q", name, text)
	}
	if _, attached := got.attachment(t); !bytes.Equal(attached, original) {
		t.Errorf("%s: attached are %d octets:\n%.200s\nthe provider has %d:\n%.200s", name, len(attached), attached, len(original), original)
	}
	if raw := h.ok("raw", "INBOX", strconv.Itoa(int(got.UID))); raw != string(original) {
		t.Errorf("%s: bridge raw gives %d octets, not %d", name, len(raw), len(original))
	}
}
