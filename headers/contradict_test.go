package headers

import (
	"strings"
	"testing"

	"mailbridge/message"
)

// What a signature covers is compared with what is shown.
func TestContradicts(t *testing.T) {
	t.Parallel()
	const said = "From: Bob <bob@example.org>\nTo: a@example.org\nSubject: one\nDate: Mon, 2 Nov 2026 10:00:00 +0000\n"
	for _, tt := range []struct {
		name, outer, signed string
		from, other         bool
	}{
		{"the same", said, said + `Content-Type: text/plain; hp="clear"`, false, false},
		{"the name is not compared", strings.Replace(said, "Bob ", "Robert ", 1), said + `Content-Type: text/plain; hp="clear"`, false, false},
		{"not protected", "From: eve@example.org\n", said + "Content-Type: text/plain", false, false},
		{"another sender", strings.Replace(said, "bob@", "eve@", 1), said + `Content-Type: text/plain; hp="clear"`, true, false},
		{"a second sender", said + "From: eve@example.org\n", said + `Content-Type: text/plain; hp="clear"`, true, false},
		{"another subject", strings.Replace(said, "one", "two", 1), said + `Content-Type: text/plain; protected-headers="v1"`, false, true},
		{"another day", strings.Replace(said, "2 Nov", "3 Nov", 1), said + `Content-Type: text/plain; hp="clear"`, false, true},
		{"answers elsewhere", said + "Reply-To: eve@example.org\n", said + `Content-Type: text/plain; hp="clear"`, false, true},
		{"only the subject is protected", said, "Subject: one\nContent-Type: text/plain; protected-headers=v1", false, false},
	} {
		outer, _ := message.ParseHeader([]byte(tt.outer + "\n"))
		signed, _ := message.ParseHeader([]byte(tt.signed + "\n\n"))
		if from, other := Contradicts(outer, signed); from != tt.from || other != tt.other {
			t.Errorf("%s: %v, %v", tt.name, from, other)
		}
	}
}
