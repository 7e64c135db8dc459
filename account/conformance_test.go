package account_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"mailbridge/account"
	"mailbridge/autocrypt"
	"mailbridge/headers"
	"mailbridge/internal/provider"
	"mailbridge/internal/vectors"
	"mailbridge/mailbox"
	"mailbridge/message"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// The items of the list of what a program that speaks SecureJoin must do and must refuse that are
// about the mail around the handshake, and those whose rule is carried out here (conformance_wire_test.go);
// the rules are in package securejoin, under the same name.
// Mail that was recorded comes to an account that has the key of its recipient.

func TestConformance(t *testing.T) {
	t.Parallel()
	for number, run := range map[string]func(*testing.T){
		"07": offersToRevokeAndRevive,
		"09": answersOnce,
		"12": wrongPassword(func(l securejoin.Link) string { return securejoin.Secret(l.Fingerprint, l.Number) }),
		"13": wrongPassword(func(l securejoin.Link) string { return l.Auth }),
		"14": wrongPassword(func(l securejoin.Link) string {
			return "securejoin/" + strings.ToLower(string(l.Fingerprint)) + "/" + l.Auth
		}),
		"22": takesNoUnsignedStep,
		"23": withdraws,
		"26": answersImpersonally,
		"32": knowsTheSigner,
		"34": admitsByToken,
		"37": admitsNobodyWhenOut,
		"38": requestsAsDeltaChat,
		"43": takesKeyWithoutMarks,
		"51": answersPlainRequest,
		"52": requestsInPlain,
		"53": readsNoPlainStep,
		"54": trustsNobodyUnsigned,
		"55": signsWithThePrimaryKey,
		"56": countsOnlyWhatIsForUs,
		"57": opensAllForms,
		"58": takesAutocryptInsideAndOutside,
		"59": restoresTheInnerHeader,
		"60": countsNoOuterStep,
		"61": sendsNoPlaintextToDeltaChat,
		"62": answersWhereItIsAsked,
		"66": showsWithoutTimes,
		"69": syncsByOwnKeyAlone,
		"71": knowsItsOwnSignature,
	} {
		t.Run(number, func(t *testing.T) {
			t.Parallel()
			run(t)
		})
	}
}

// TestConformanceIsComplete: of the 71 items none is missing, and none is there twice in a package.
func TestConformanceIsComplete(t *testing.T) {
	t.Parallel()
	items := map[string]bool{}
	for _, sources := range [][]string{
		{"conformance_test.go"},
		{"../securejoin/conformance_test.go", "../securejoin/conformance_joiner_test.go", "../securejoin/conformance_group_test.go"},
	} {
		found := map[string]int{}
		for _, source := range sources {
			text, err := os.ReadFile(source)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`(?m)^\t+\{?"(\d\d)"[:,] `).FindAllSubmatch(text, -1) {
				found[string(m[1])]++
			}
			if bytes.Contains(text, []byte("t."+"Skip")) {
				t.Errorf("%s skips something", source)
			}
		}
		for number, n := range found {
			if items[number] = true; n != 1 {
				t.Errorf("item %s is there %d times", number, n)
			}
		}
	}
	for n := range 71 {
		if number := fmt.Sprintf("%02d", n+1); !items[number] {
			t.Errorf("item %s is missing", number)
		}
	}
	if len(items) != 71 {
		t.Errorf("%d items", len(items))
	}
}

// recorded adds an account that has the key of a user of a recorded conversation.
func (w *world) recorded(s vectors.Scenario, user string) *person {
	w.Helper()
	p := w.add(user)
	if _, err := p.ImportKey(context.Background(), s.Users[user].Key, nil); err != nil {
		w.Fatal(err)
	}
	return p
}

// receive delivers a recorded message, and gives it as it is shown.
func (p *person) receive(s vectors.Scenario, file string) mail {
	p.w.Helper()
	m := s.Message(p.w.T, file)
	p.w.deliver(p, m.Raw)
	return p.wait(mailbox.Inbox, strings.Trim(m.MessageID, "<>"))
}

// submitted gives the one message that was submitted for an address, opened with a key.
func (w *world) submitted(addr string, key *pgp.Key, from *pgp.Cert) (outer, inner message.Header, opened *pgp.Opened) {
	w.Helper()
	for _, s := range w.provider.Submissions() {
		root := message.Parse(s.Data)
		ciphertext, _, ok := pgp.SplitEncrypted(s.Data, root)
		if !ok || !slices.Equal(s.To, []string{addr}) {
			continue
		}
		opened, err := pgp.Open(ciphertext, pgp.OpenOptions{Keys: []*pgp.Key{key}, Now: time.Now(), MaxSize: 1 << 20,
			Certs: func([]byte, []pgp.Fingerprint) []*pgp.Cert { return []*pgp.Cert{from} }})
		if err != nil {
			w.Fatal(err)
		}
		inner, _ = message.ParseHeader(opened.Payload)
		return root.Header, inner, opened
	}
	w.Fatal("nothing encrypted was submitted for " + addr)
	return
}

// userKey is the secret key of a user of a recorded conversation.
func (w *world) userKey(s vectors.Scenario, user string) *pgp.Key {
	w.Helper()
	key, err := pgp.ImportKey(s.Users[user].Key, nil, time.Now())
	if err != nil {
		w.Fatal(err)
	}
	return key
}

// signsWithThePrimaryKey: Delta Chat takes a signature of a subkey for none. A key that was
// imported may have one.
func signsWithThePrimaryKey(t *testing.T) {
	w := newWorld(t, provider.Options{})
	alice := w.add("alice")
	own, err := alice.ImportKey(t.Context(), []byte(withSigningSubkey), nil)
	if err != nil {
		t.Fatal(err)
	}
	bob := w.newKey("bob@" + domain)
	w.provider.AddUser("bob@"+domain, "x")
	w.deliver(alice, []byte(crlf(outerOf("bob@"+domain, alice.addr, "a@x"))+autocryptField("bob@"+domain, bob)+"\r\nhello\r\n"))
	alice.wait(mailbox.Inbox, "a@x")
	alice.submit([]string{"bob@" + domain}, letterTo(alice.addr, "bob@"+domain, "answer", "signed"))
	_, _, opened := w.submitted("bob@"+domain, bob, alice.cert())
	if s := opened.Signature; s.State != pgp.SignatureGood || s.Signer != own.Fingerprint || !slices.Equal(s.Issuers, []pgp.Fingerprint{own.Fingerprint}) {
		t.Errorf("%+v, the primary key is %s", s, own.Fingerprint)
	}
}

// opensAllForms: encrypted data of versions 1 and 2, for named and for hidden recipients, and what
// we write ourselves, compressed and not.
func opensAllForms(t *testing.T) {
	for name, c := range map[string]struct {
		scenario, user, file string
		form                 string
	}{
		"version 2, hidden":       {"v3-contact", "alice", "05-bob-alice.eml", "6 hidden, 2"},
		"version 1, hidden":       {"legacy-contact-2.62-1.160", "bob", "09-alice-bob.eml", "3 hidden, 1"},
		"version 1, named":        {"legacy-contact-2.33-2.62", "bob", "06-alice-bob.eml", "3 named, 1"},
		"version 1, named, GnuPG": {"classic-pgp", "alice", "01-dora-alice.eml", "3 named, 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := vectors.Get(t, c.scenario)
			recorded := s.Message(t, c.file)
			ciphertext, _, _ := pgp.SplitEncrypted(recorded.Raw, message.Parse(recorded.Raw))
			if got := formOf(t, ciphertext); got != c.form {
				t.Fatalf("the recording has the form %s, not %s", got, c.form)
			}
			w := newWorld(t, provider.Options{})
			p := w.recorded(s, c.user)
			if sec := securityOf(p.receive(s, c.file)); sec.Encryption != "openpgp" || sec.Signature != "good" || sec.Fingerprint != recorded.Signer {
				t.Errorf("%+v", sec)
			}
			for id, compress := range map[string]bool{"plain@x": false, "zlib@x": true} {
				eve := w.newKey("eve@example.net")
				made, err := pgp.Encrypt([]byte(protected("eve@example.net", p.addr, id, "text", autocryptField("eve@example.net", eve))),
					pgp.EncryptOptions{Signer: eve, To: []*pgp.Cert{p.cert()}, Now: time.Now(), Compress: compress})
				if err != nil {
					t.Fatal(err)
				}
				w.deliver(p, pgp.JoinEncrypted([]byte(crlf(outerOf("eve@example.net", p.addr, id))), made, "b"))
				if sec := securityOf(p.wait(mailbox.Inbox, id)); sec.Encryption != "openpgp" || sec.Signature != "good" {
					t.Errorf("%s: %+v", id, sec)
				}
			}
		})
	}
}

// formOf gives the version of the session keys and whom they name, and the version of the data
// (RFC 9580, sections 5.1 and 5.13).
func formOf(t *testing.T, armored []byte) string {
	t.Helper()
	_, body, _ := strings.Cut(strings.ReplaceAll(string(armored), "\r\n", "\n"), "\n\n")
	body, _, _ = strings.Cut(body, "\n-----END")
	if n := strings.LastIndex(body, "\n="); n > 0 {
		body = body[:n]
	}
	b, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(body, "\n", ""))
	if err != nil {
		t.Fatal(err)
	}
	keys := ""
	for {
		tag, head, size := packetAt(b)
		switch version := b[head]; {
		case tag == 18:
			return keys + ", " + string('0'+rune(version))
		case tag != 1:
			t.Fatalf("packet of type %d", tag)
		case version == 3 && bytes.Equal(b[head+1:head+9], make([]byte, 8)), version == 6 && b[head+1] == 0:
			keys = string('0'+rune(version)) + " hidden"
		default:
			keys = string('0'+rune(version)) + " named"
		}
		b = b[head+size:]
	}
}

// packetAt reads the header of a packet of less than 8384 octets, or of one that is the last.
func packetAt(b []byte) (tag, head, size int) {
	switch old := b[0]&0x40 == 0; {
	case old && b[0]&3 == 0:
		return int(b[0]>>2) & 15, 2, int(b[1])
	case old && b[0]&3 == 1:
		return int(b[0]>>2) & 15, 3, int(b[1])<<8 | int(b[2])
	case b[1] < 192:
		return int(b[0]) & 63, 2, int(b[1])
	case b[1] < 224:
		return int(b[0]) & 63, 3, (int(b[1])-192)<<8 + int(b[2]) + 192
	case b[1] == 255:
		return int(b[0]) & 63, 6, 0
	}
	return int(b[0]) & 63, 2, 0
}

// takesAutocryptInsideAndOutside: and not one that is for another address than From.
func takesAutocryptInsideAndOutside(t *testing.T) {
	w := newWorld(t, provider.Options{})
	inside, outside := vectors.Get(t, "v3-contact"), vectors.Get(t, "classic-autocrypt")
	alice := w.recorded(inside, "alice")
	alice.receive(inside, "05-bob-alice.eml")
	alice.receive(outside, "01-dora-alice.eml")
	dora := message.ParseAddresses(message.Parse(outside.Message(t, "01-dora-alice.eml").Raw).Header.Get("From"))[0].Addr
	for addr, origin := range map[string]string{"bob@" + domain: "autocrypt", dora: "autocrypt"} {
		c, err := alice.Contact(t.Context(), addr)
		if err != nil || c.Fingerprint == "" || c.Verified || c.Origin != origin {
			t.Errorf("%s: %+v, %v", addr, c, err)
		}
	}
	if c, _ := alice.Contact(t.Context(), "bob@"+domain); string(c.Fingerprint) != inside.Message(t, "05-bob-alice.eml").Signer {
		t.Errorf("bob has %s", c.Fingerprint)
	}
	ben := w.newKey("ben@example.net") // encrypts, and has his key outside
	w.deliver(alice, w.encrypted(alice, outerOf("ben@example.net", alice.addr, "ben@x")+strings.ReplaceAll(autocryptField("ben@example.net", ben), "\r", ""),
		crlf("Content-Type: text/plain\n\nfrom ben\n"), ben))
	alice.wait(mailbox.Inbox, "from ben")
	if c, _ := alice.Contact(t.Context(), "ben@example.net"); c.Fingerprint != ben.Fingerprint() {
		t.Errorf("ben has %s", c.Fingerprint)
	}
	eve := w.newKey("eve@example.net")
	field := autocryptField("carol@example.net", eve)
	w.deliver(alice, []byte(crlf(outerOf("eve@example.net", alice.addr, "outside@x"))+field+"\r\nhello\r\n"))
	w.deliver(alice, w.encrypted(alice, outerOf("eve@example.net", alice.addr, "inside@x"), protected("eve@example.net", alice.addr, "inside@x", "hello", field), eve))
	alice.wait(mailbox.Inbox, "outside@x")
	alice.wait(mailbox.Inbox, "inside@x")
	for _, addr := range []string{"eve@example.net", "carol@example.net"} {
		if c, err := alice.Contact(t.Context(), addr); err == nil && (c.Fingerprint != "" || len(c.Candidates) != 0) {
			t.Errorf("%s: %+v", addr, c)
		}
	}
}

// restoresTheInnerHeader: of what is said outside nothing but the sender counts, both ways.
func restoresTheInnerHeader(t *testing.T) {
	w := newWorld(t, provider.Options{})
	s := vectors.Get(t, "v3-contact")
	alice := w.recorded(s, "alice")
	recorded := message.Parse(s.Message(t, "05-bob-alice.eml").Raw).Header
	if recorded.Get("Subject") != "[...]" || recorded.Get("To") != `"hidden-recipients": ;` {
		t.Fatalf("recorded\n%s", recorded.Bytes())
	}
	got := alice.receive(s, "05-bob-alice.eml")
	if got.header("Subject") != "Message from Bob" || got.header("To") != `"Alice" <alice@example.org>` || got.header("From") != `"Bob" <bob@example.org>` {
		t.Errorf("shown\n%.900s", got.raw)
	}
	w.provider.AddUser("bob@"+domain, "x")
	alice.submit([]string{"bob@" + domain}, letterTo(alice.addr, "bob@"+domain, "a subject of mine", "text"))
	outer, inner, _ := w.submitted("bob@"+domain, w.userKey(s, "bob"), alice.cert())
	if outer.Get("Subject") != "[...]" || outer.Get("To") != `"hidden-recipients": ;` || outer.Get("From") != "<"+alice.addr+">" {
		t.Errorf("sent outside\n%s", outer.Bytes())
	}
	if inner.Get("Subject") != "a subject of mine" || inner.Get("To") != "Other Body <bob@"+domain+">" {
		t.Errorf("sent inside\n%s", inner.Bytes())
	}
}

// countsNoOuterStep: a step of a handshake, or a group, is what the encrypted part says, though that
// has no mark of protection.
func countsNoOuterStep(t *testing.T) {
	w := newWorld(t, provider.Options{})
	alice := w.add("alice")
	invite, err := alice.Invite(t.Context(), account.InviteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	link, err := securejoin.ParseLink(invite.Link)
	if err != nil {
		t.Fatal(err)
	}
	const carol = "carol@" + domain
	w.provider.AddUser(carol, "x")
	key := w.newKey(carol)
	const step = "Secure-Join: vc-request-with-auth\r\n"
	inside := func(id, more string) string {
		gossip := autocrypt.Header{Addr: alice.addr, Cert: alice.cert()}.GossipValue()
		return "From: " + carol + "\r\nTo: " + alice.addr + "\r\nMessage-ID: <" + id + ">\r\nSubject: " + id + "\r\n" + autocryptField(carol, key) +
			"Autocrypt-Gossip: " + strings.ReplaceAll(gossip, " ", "\r\n ") + "\r\nSecure-Join-Auth: " + link.Auth +
			"\r\nSecure-Join-Fingerprint: " + string(key.Fingerprint()) + "\r\n" + more + "Content-Type: text/plain\r\n\r\ntext\r\n"
	}
	chat := "Chat-Version: 1.0\nChat-Group-ID: ABCDEFGHIJK\nChat-Group-Name: Forged\n"
	outer := func(id string) string {
		return outerOf(carol, alice.addr, id) + chat + strings.ReplaceAll(step, "\r", "")
	}
	w.deliver(alice, w.encrypted(alice, outer("outside@x"), inside("outside@x", ""), key))
	shown := alice.wait(mailbox.Inbox, "outside@x")
	if shown.header("Secure-Join") != "" || shown.header("Chat-Group-ID") != "" || shown.header("Reply-To") != "" {
		t.Errorf("shown\n%.900s", shown.raw)
	}
	if groups, err := alice.Groups(t.Context()); err != nil || len(groups) != 0 {
		t.Errorf("groups %+v, %v", groups, err)
	}
	if c, err := alice.Contact(t.Context(), carol); err == nil && c.Verified {
		t.Errorf("%+v", c)
	}
	if n := len(w.provider.Submissions()); n != 0 {
		t.Errorf("%d answers", n)
	}
	// The same message with the step inside is one, and so is that of a group, of who is known by now.
	w.deliver(alice, w.encrypted(alice, outer("inside@x"), inside("inside@x", step), key))
	w.eventually("alice has verified carol", func() bool {
		c, err := alice.Contact(t.Context(), carol)
		return err == nil && c.Verified
	})
	chat += "Chat-Group-Member-Fpr: " + string(alice.fpr()) + "\n"
	plain := func(id, more string) string {
		return "From: " + carol + "\r\nTo: " + alice.addr + "\r\nMessage-ID: <" + id + ">\r\nSubject: " + id + "\r\n" + crlf(more) + "Content-Type: text/plain\r\n\r\ntext\r\n"
	}
	w.deliver(alice, w.encrypted(alice, outerOf(carol, alice.addr, "group-outside@x")+chat, plain("group-outside@x", ""), key))
	if shown := alice.wait(mailbox.Inbox, "group-outside@x"); shown.header("Chat-Group-ID") != "" || shown.header("Reply-To") != "" {
		t.Errorf("shown\n%.900s", shown.raw)
	}
	if groups, err := alice.Groups(t.Context()); err != nil || len(groups) != 0 {
		t.Errorf("groups %+v, %v", groups, err)
	}
	w.deliver(alice, w.encrypted(alice, outerOf(carol, alice.addr, "group-inside@x"), plain("group-inside@x", chat), key))
	alice.wait(mailbox.Inbox, "group-inside@x")
	if alice.group().ID != "ABCDEFGHIJK" {
		t.Errorf("%+v", alice.group())
	}
}

// sendsNoPlaintextToDeltaChat: it would not be shown there. Only who is not verified gets some, if
// the user asks for it, and never as an answer.
func sendsNoPlaintextToDeltaChat(t *testing.T) {
	w := newWorld(t, provider.Options{})
	s := vectors.Get(t, "v3-contact")
	alice, dave := w.recorded(s, "alice"), w.add("dave")
	w.shake(alice, dave)
	bob := "bob@" + domain
	w.provider.AddUser(bob, "x")
	mail := alice.receive(s, "05-bob-alice.eml")
	before := len(w.provider.Submissions())
	w.provider.Watch("Zwetschgendatschi")
	answer := "In-Reply-To: " + mail.header("Message-ID")
	alice.submit([]string{bob}, letterTo(alice.addr, bob, "new", "Zwetschgendatschi"))
	alice.submit([]string{bob}, letterTo(alice.addr, bob, "[plain] Re: Message from Bob", "Zwetschgendatschi", answer))
	alice.submit([]string{dave.addr}, letterTo(alice.addr, dave.addr, "[plain] new", "Zwetschgendatschi"))
	alice.submit([]string{dave.addr}, letterTo(alice.addr, dave.addr, "new", "Zwetschgendatschi", "Mailbridge-Encrypt: no"))
	alice.submit([]string{dave.addr, bob}, letterTo(alice.addr, dave.addr, "[plain] to both", "Zwetschgendatschi"))
	sent := w.provider.Submissions()[before:]
	if len(sent) < 5 {
		t.Fatalf("%d messages", len(sent))
	}
	for _, m := range sent {
		if !bytes.Contains(m.Data, []byte("multipart/encrypted")) || bytes.Contains(m.Data, []byte("Zwetschgen")) {
			t.Errorf("plaintext to %v:\n%.900s", m.To, m.Data)
		}
	}
	alice.submit([]string{bob}, letterTo(alice.addr, bob, "[plain] asked for", "not a secret"))
	sent = w.provider.Submissions()
	if last := sent[len(sent)-1]; !bytes.Contains(last.Data, []byte("not a secret")) {
		t.Errorf("asked for plain:\n%.900s", last.Data)
	}
}

// knowsItsOwnSignature: what the own key has signed is the user's own mail, though a list has put
// another sender in front.
func knowsItsOwnSignature(t *testing.T) {
	w := newWorld(t, provider.Options{})
	s := vectors.Get(t, "self-copy")
	alice := w.recorded(s, "alice")
	m := s.Message(t, "07-alice-alice.eml")
	rewritten := bytes.Replace(m.Raw, []byte("\nFrom: <alice@example.org>"), []byte("\nFrom: Alice via list <list@lists.example>"), 1)
	if bytes.Equal(rewritten, m.Raw) {
		t.Fatal("nothing was rewritten")
	}
	w.deliver(alice, rewritten)
	shown := alice.wait(mailbox.Inbox, "with a copy to myself")
	if shown.header(headers.SecurityName) != "" {
		t.Errorf("shown as received:\n%.900s", shown.raw)
	}
	for _, addr := range []string{"list@lists.example", alice.addr} {
		if c, err := alice.Contact(t.Context(), addr); err == nil && c.Fingerprint != "" {
			t.Errorf("has learnt %+v", c)
		}
	}
	// With the signature of somebody else, or with none, it is not, also under alice's own name.
	eve := w.newKey("eve@example.net")
	for id, signer := range map[string]*pgp.Key{"eve@x": eve, "nobody@x": nil} {
		for n, from := range []string{"list@lists.example", alice.addr} {
			text := fmt.Sprintf("not by alice %d, %s", n, id)
			w.deliver(alice, w.encrypted(alice, outerOf(from, alice.addr, id), protected(alice.addr, alice.addr, id, text, autocryptField("eve@example.net", eve)), signer))
			forged := alice.wait(mailbox.Inbox, text)
			w.untrusted(forged)
			if forged.header(headers.SecurityName) == "" {
				t.Errorf("shown as alice's own:\n%.900s", forged.raw)
			}
		}
	}
}

// withSigningSubkey is a key for alice@example.org whose primary key signs and that has a subkey
// for signatures as well, as GnuPG makes them on demand.
const withSigningSubkey = `-----BEGIN PGP PRIVATE KEY BLOCK-----

xVgEaucpwBYJKwYBBAHaRw8BAQdAVfJiCh+BTo6yV3iVRt76oK8JDRL3sOsHWauZ
vnReCSMAAQCWZYb3XwR3Fg4Stu7qCXnR5m8oaURtOfNrMe6FBUwlYg4UzRM8YWxp
Y2VAZXhhbXBsZS5vcmc+wr0EExYIAG8FgmrnKcACCwcJEJZsrTPer/h7NRQAAAAA
ABwAEHNhbHRAbm90YXRpb25zLm9wZW5wZ3Bqcy5vcmc+mHuc3Ma8PnTC1onbLEkL
AhUIAhYAAhkBApsDAh4BFiEEZyiAJvgZsSCGUNBxlmytM96v+HsAAJGpAP9ThurO
XVurCL+lyDGculTDSH68BMmh5Xh2haTX1k7Y8gD+N8+ODW3Ohv7TqlgtQZoyGVJ2
gRMj6/XZP8tNHMCHbwLHXQRq5ynAEgorBgEEAZdVAQUBAQdAk1tWPzPEzM3rgJ44
+ISByFLHC2vhEgCHXv6bA+QyBAwDAQoJAAD/cer4h4+OImTfOnvweGsM4cRXI6EN
Xn4xK9fWRMcr5bARbMKuBBgWCABgBYJq5ynACRCWbK0z3q/4ezUUAAAAAAAcABBz
YWx0QG5vdGF0aW9ucy5vcGVucGdwanMub3Jn9OBtz8Td/hHXZWrH//DI6wKbDBYh
BGcogCb4GbEghlDQcZZsrTPer/h7AADQ9gEA5cWKUTl4Dvy6Y805QzNY6qYbGU5Y
VqV/oOlvgPVy5OAA+gNvLE7fxYafvbpjepTnzn89MShV1uqrHuA9Qt0AkMYKx1gE
aucpwBYJKwYBBAHaRw8BAQdAuOyH+LIUAn2uyngQAj3Y2z0Bpv1YndCKWGhqNUJ9
T58AAP0WAG/QXcHJSWfoL94NgeK1a4tcYxCkyWfed+cQIwXAoBBwwsCbBBgWCAEN
BYJq5ynACRCWbK0z3q/4ezUUAAAAAAAcABBzYWx0QG5vdGF0aW9ucy5vcGVucGdw
anMub3JnyuS7NMJYu73xEoxzNSGYQAKbAqygBBkWCABdBYJq5ynACRDWJctLSe5Y
FTUUAAAAAAAcABBzYWx0QG5vdGF0aW9ucy5vcGVucGdwanMub3Jn7uGl2ujME9Iy
VJExLZKUixYhBGqQdGiidDM3I43lMNYly0tJ7lgVAABCTAEAubhj3libm3lFuQn6
1qe73myP+S2MglPReMEE852ALGEA/iClFOggbz8coWRfa096o6T8cvhhFAb1lXmv
6givHl0DFiEEZyiAJvgZsSCGUNBxlmytM96v+HsAAMjtAQDYZ+PYvlXob22JDZ6m
SFEy/97ghW0jWsRabo5xaRkW3wD/fQlEl0tCa74IKoTSqhjuIp9xo6KhiSD1fJGF
+s5xHA0=
-----END PGP PRIVATE KEY BLOCK-----
`
