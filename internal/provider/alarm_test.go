package provider_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"mailbridge/internal/provider"
)

const encryptedMessage = "From: bob@example.org\r\nMessage-ID: <enc@x>\r\nContent-Type: multipart/encrypted;\r\n protocol=\"application/pgp-encrypted\"; boundary=b\r\n\r\n--b--\r\n"

func rules(p *provider.Provider) []string {
	var list []string
	for _, v := range p.Violations() {
		list = append(list, v.User+": "+v.Rule)
	}
	return list
}

func TestWatchOverIMAP(t *testing.T) {
	t.Parallel()
	const word = "Quetzalcoatl"
	encoded := func(before, after string) string {
		s := base64.StdEncoding.EncodeToString([]byte(before + word + after))
		var lines []string
		for chunk := range slices.Chunk([]byte(s), 5) {
			lines = append(lines, string(chunk))
		}
		return strings.Join(lines, "\r\n")
	}
	for name, body := range map[string]string{
		"nothing":           "an innocent text, Quetzal coatl",
		"as it is":          "xQuetzalcoatlx",
		"other case":        "QUETZALCOATL",
		"quoted-printable":  "Quetz=\r\nal=63oat=6c",
		"base64, offset 0":  encoded("abc", " and more"),
		"base64, offset 1":  encoded("abcd", ""),
		"base64, offset 2":  encoded("abcde", "x"),
		"after other words": strings.Repeat("filling\r\n", 5000) + "quetzalcoatl",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProvider(t, provider.Options{Unguarded: true})
			clean := word
			if name != "nothing" {
				p = unchecked(t)
			}
			p.Watch(clean)
			c := loginRaw(t, p, alice, "a-secret", "")
			if got := c.append("Sent", "", "Subject: x\r\n\r\n"+body+"\r\n"); !strings.HasPrefix(got, "OK") {
				t.Fatal(got)
			}
			want := []string{alice + ": " + provider.RuleWord}
			if name == "nothing" {
				want = nil
			}
			if got := rules(p); !slices.Equal(got, want) {
				t.Errorf("found %q, want %q", p.Violations(), want)
			}
		})
	}
}

// unchecked is a provider whose violations do not fail the test.
func unchecked(t *testing.T) *provider.Provider {
	t.Helper()
	p, err := provider.New(provider.Options{Users: map[string]string{alice: "a-secret", bob: "b-secret"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func TestWatchElsewhere(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]func(*testing.T, *provider.Provider){
		"search": func(t *testing.T, p *provider.Provider) {
			loginRaw(t, p, alice, "a-secret", "INBOX").ok("SEARCH TEXT quetzalcoatl")
		},
		"mailbox name": func(t *testing.T, p *provider.Provider) {
			// The umlaut splits the word in modified UTF-7.
			p.Watch("Kä-Quetzal")
			loginRaw(t, p, alice, "a-secret", "").ok("CREATE K&AOQ--Quetzal")
		},
		"keyword": func(t *testing.T, p *provider.Provider) {
			fill(t, p, alice, "INBOX", 1)
			loginRaw(t, p, alice, "a-secret", "INBOX").ok("STORE 1 +FLAGS quetzalcoatl")
		},
		"submission": func(t *testing.T, p *provider.Provider) {
			if err := send(t, p, alice, "a-secret", []string{bob}, "Subject: Quetzalcoatl\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
		},
		"recipient": func(t *testing.T, p *provider.Provider) {
			if err := send(t, p, alice, "a-secret", []string{"quetzalcoatl@example.net"}, "Subject: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := unchecked(t)
			p.Watch("Quetzalcoatl")
			act(t, p)
			if got := rules(p); !slices.Equal(got, []string{alice + ": " + provider.RuleWord}) {
				t.Errorf("found %q", p.Violations())
			}
		})
	}
}

func TestGuard(t *testing.T) {
	t.Parallel()
	draft := "Subject: draft\r\nContent-Type: text/plain\r\n\r\nx\r\n"
	for _, test := range []struct {
		name, mailbox, flags, msg, want string
	}{
		{"draft", "Drafts", "", draft, provider.RuleDraft},
		{"draft by its flag", "INBOX", `\draft`, draft, provider.RuleDraft},
		{"draft by its header", "INBOX", "", "X-Mozilla-Draft-Info: 1\r\n" + draft, provider.RuleDraft},
		{"sealed draft", "Drafts", `\Draft`, encryptedMessage, ""},
		{"ordinary mail", "Sent", "", draft, ""},
		{"opened mail", "Sent", "", "Mailbridge-Security: encryption=openpgp; signature=good\r\n" + draft, provider.RuleOpened},
		{"opened mail inside", "Sent", "", "Content-Type: message/rfc822\r\n\r\nMailbridge-Security: encryption=openpgp\r\n\r\n", provider.RuleOpened},
		{"signed mail", "Sent", "", "Mailbridge-Security: encryption=none; signature=good\r\n" + draft, ""},
		{"copy of an encrypted message", "Sent", "", "Message-ID: <enc@x>\r\n" + draft, provider.RulePlainCopy},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := unchecked(t)
			p.Guard(alice)
			if err := p.Deliver(alice, []byte(encryptedMessage)); err != nil {
				t.Fatal(err)
			}
			var want []string
			if test.want != "" {
				want = []string{alice + ": " + test.want}
			}
			loginRaw(t, p, alice, "a-secret", "").append(test.mailbox, test.flags, test.msg)
			loginRaw(t, p, bob, "b-secret", "").append(test.mailbox, test.flags, test.msg) // is not guarded
			if got := rules(p); !slices.Equal(got, want) {
				t.Errorf("found %q, want %q", p.Violations(), want)
			}
		})
	}
}

func TestGuardReplies(t *testing.T) {
	t.Parallel()
	for _, field := range []string{"In-Reply-To: <enc@x>", "References: <a@x>\r\n <enc@x>", "X-Forwarded-Message-Id: <enc@x>", "In-Reply-To: <other@x>"} {
		t.Run(field, func(t *testing.T) {
			t.Parallel()
			p := unchecked(t)
			p.Guard()
			if err := send(t, p, bob, "b-secret", []string{alice}, encryptedMessage); err != nil {
				t.Fatal(err)
			}
			for i, user := range []string{alice, bob} {
				password := []string{"a-secret", "b-secret"}[i]
				if err := send(t, p, user, password, []string{alice}, fmt.Sprintf("%s\r\nSubject: x\r\n\r\n", field)); err != nil {
					t.Fatal(err)
				}
			}
			want := []string{alice + ": " + provider.RuleReply, bob + ": " + provider.RuleReply}
			if strings.Contains(field, "other") {
				want = nil
			}
			if got := rules(p); !slices.Equal(got, want) {
				t.Errorf("found %q, want %q", p.Violations(), want)
			}
		})
	}
}
