package securejoin_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/s2k"

	"mailbridge/message"
	"mailbridge/pgp"
	"mailbridge/securejoin"
)

// item is one line of the list of what a program that speaks SecureJoin must do and must refuse.
// The numbers are the list's; those that are missing here are about the mail around the
// handshake, and are shown where that is handled.
type item struct {
	number string
	run    func(*testing.T)
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for _, list := range [][]item{linkItems, inviterItems, joinerItems, groupItems, deviceItems} {
		for _, i := range list {
			t.Run(i.number, func(t *testing.T) {
				t.Parallel()
				i.run(t)
			})
		}
	}
}

const params = "&v=3&i=" + inv + "&s=" + auth + "&a=ada%40example.org&n=Ada+L."

func parses(t *testing.T, text string) securejoin.Link {
	t.Helper()
	l, err := securejoin.ParseLink(text)
	if err != nil {
		t.Errorf("%s: %v", text, err)
	}
	return l
}

func noLink(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if l, err := securejoin.ParseLink(text); !errors.Is(err, securejoin.ErrNotInvite) {
			t.Errorf("%s: %+v, %v", text, l, err)
		}
	}
}

var linkItems = []item{
	{"01", func(t *testing.T) { // both forms; only the scheme's case does not matter
		for _, text := range []string{
			"https://i.delta.chat/#" + fpr + params, "https://i.delta.chat#" + fpr + params,
			"OPENPGP4FPR:" + fpr + "#" + params[1:], "openpgp4fpr:" + strings.ToLower(fpr) + "#" + params[1:],
			"OPENPGP4FPR:0123 4567 89AB CDEF 0123 4567 89AB CDEF 0123 4567#" + params[1:],
		} {
			if l := parses(t, text); l.Fingerprint != fpr || l.Auth != auth || !l.V3 {
				t.Errorf("%s: %+v", text, l)
			}
		}
		if l := parses(t, "https://i.delta.chat/#"+fpr+fpr[:24]+params); len(l.Fingerprint) != 64 { // of a key of version 6
			t.Errorf("%+v", l)
		}
		noLink(t, "HTTPS://I.DELTA.CHAT/#"+fpr+params)
	}},
	{"02", func(t *testing.T) { // neither i nor v: version 3
		if l := parses(t, "https://i.delta.chat/#"+fpr+"&s="+auth+"&a=ada%40example.org"); !l.V3 || l.Number != "" {
			t.Errorf("%+v", l)
		}
	}},
	{"03", func(t *testing.T) { // what messengers and older versions make of a link
		l := parses(t, "OPENPGP4FPR:"+fpr+"%23"+params[1:]+"ove_&r=ada@relay.example,ada%40two.example")
		if l.Name != "Ada L.ove…" || !slices.Equal(l.Relays, []string{"ada@relay.example", "ada@two.example"}) {
			t.Errorf("%+v", l)
		}
		for _, form := range []string{"https://i.delta.chat/%23" + fpr + params, "https://i.delta.chat%23" + fpr + params} {
			if l := parses(t, form); l.Fingerprint != fpr || l.Auth != auth {
				t.Errorf("%+v", l)
			}
		}
	}},
	{"04", func(t *testing.T) { // an AUTH that is none
		for _, s := range []string{"abcdefghij", strings.Repeat("a", 33), "QXV0aFRva2VuRXhhbXBsZTA="} {
			noLink(t, "https://i.delta.chat/#"+fpr+"&v=3&s="+s+"&a=ada%40example.org")
		}
		for _, s := range []string{"abcdefgh-_j", strings.Repeat("a", 32)} {
			if l := parses(t, "https://i.delta.chat/#"+fpr+"&v=3&s="+s+"&a=ada%40example.org"); l.Auth != s {
				t.Errorf("%+v", l)
			}
		}
	}},
	{"05", func(t *testing.T) {
		for _, other := range []string{"", fpr[:32], fpr[1:], fpr[2:], fpr + "00", fpr + fpr[:22], fpr + fpr} {
			noLink(t, "https://i.delta.chat/#"+other+params)
		}
		noLink(t, "https://i.delta.chat/#"+fpr+"&s="+auth+"&a=nonsense",
			"https://i.delta.chat/#"+fpr+params+"%FF", "https://i.delta.chat/#"+fpr+params+"&x="+grp+"&g=%FF",
			"https://i.delta.chat/#"+fpr+params+"&x="+grp+"&b=%FF")
	}},
	{"06", func(t *testing.T) {
		if l := parses(t, "https://i.delta.chat/#"+fpr+"&s=AAAAAAAAAAAAAAAAAAAAAAAA&zz=1"+params); l.Auth != auth {
			t.Errorf("%+v", l)
		}
		if l := parses(t, "https://i.delta.chat/#"+fpr+params+"&x="+grp+"&b=B&g=G"); l.Kind != securejoin.Group || l.GroupName != "G" {
			t.Errorf("%+v", l)
		}
		if l := parses(t, "https://i.delta.chat/#"+fpr+params+"&x="+grp+"&b=B"); l.Kind != securejoin.Channel || l.Number != inv {
			t.Errorf("%+v", l)
		}
	}},
	{"07", func(t *testing.T) { // the own link: revoke it if it is known, else revive it
		link := liveInvite().Link(aliceSelf)
		i, known, own := securejoin.OwnLink(link, aliceSelf, []securejoin.Invite{liveInvite()})
		if !own || !known || i.ID != 7 {
			t.Errorf("%+v, %v, %v", i, known, own)
		}
		if _, known, own = securejoin.OwnLink(link, aliceSelf, nil); !own || known {
			t.Errorf("known %v, own %v", known, own)
		}
		revived, err := securejoin.ReviveLink(link, aliceSelf, noon, time.Time{})
		if err != nil || revived.Link(aliceSelf).String() != link.String() {
			t.Errorf("%+v, %v", revived, err)
		}
		if _, err := securejoin.ReviveLink(link, bobSelf, noon, time.Time{}); err == nil {
			t.Error("revived the link of somebody else")
		}
		if _, _, err := securejoin.NewJoin(link, aliceSelf, nil, false, noon); !errors.Is(err, securejoin.ErrOwnInvite) {
			t.Errorf("joined the own link: %v", err)
		}
	}},
}

// symmetric is the request for the key as it is on the way, encrypted with a secret.
func symmetric(t *testing.T, secret string) []byte {
	t.Helper()
	s := securejoin.Send{Step: securejoin.RequestPubkey, To: []string{aliceAddr}, Auth: auth, Secret: secret}
	m, err := securejoin.Compose(s, bobSelf, securejoin.Env{Now: noon, OuterDate: noon, MessageID: "1@localhost"})
	if err != nil {
		t.Fatal(err)
	}
	armored, err := pgp.EncryptSymmetric(m.Inner, secret, pgp.SymmetricOptions{Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	return armored
}

// openWith tries the secret of a live invite of Alice's.
func openWith(ciphertext []byte) error {
	_, err := pgp.OpenSymmetric(ciphertext, slices.Values([]string{securejoin.Secret(aliceKey, auth)}), pgp.OpenOptions{Now: noon})
	return err
}

// refused checks that a step has no effect and no answer.
func refused(t *testing.T, out securejoin.Outcome) {
	t.Helper()
	if out.Refused == nil || len(out.Effects) != 0 {
		t.Errorf("%v, %+v", out.Refused, out.Effects)
	}
}

// requests takes a changed request for the key, or with the AUTH.
func receives(t *testing.T, from func() securejoin.Incoming, change func(*securejoin.Incoming)) securejoin.Outcome {
	t.Helper()
	in := from()
	change(&in)
	_, out := liveInvite().Receive(aliceSelf, in, noon)
	return out
}

func answered(t *testing.T, out securejoin.Outcome, step securejoin.Step) {
	t.Helper()
	if s := effect[securejoin.Send](t, out); s.Step != step || out.Refused != nil {
		t.Errorf("sends %v, %v", s.Step, out.Refused)
	}
}

var inviterItems = []item{
	{"08", func(t *testing.T) {
		if err := openWith(symmetric(t, securejoin.Secret(aliceKey, auth))); err != nil {
			t.Error(err)
		}
		answered(t, receives(t, request, func(*securejoin.Incoming) {}), securejoin.Pubkey)
	}},
	{"09", func(t *testing.T) { // the key under which a message is remembered is the same
		s1, id1 := request().Handled()
		s2, id2 := request().Handled()
		if s1 != s2 || id1 != id2 || id1 == "" || s1 == "" {
			t.Errorf("%q %q, %q %q", s1, id1, s2, id2)
		}
	}},
	{"10", func(t *testing.T) {
		i, _ := liveInvite().Receive(aliceSelf, request(), noon)
		again := request()
		again.MessageID = "7@localhost"
		_, out := i.Receive(aliceSelf, again, noon)
		answered(t, out, securejoin.Pubkey)
	}},
	{"11", func(t *testing.T) { // later, not never
		i := liveInvite()
		var out securejoin.Outcome
		for range securejoin.AnswersPerAddress {
			i, out = i.Receive(aliceSelf, request(), noon)
			if answered(t, out, securejoin.Pubkey); !effect[securejoin.Send](t, out).NotBefore.IsZero() {
				t.Error("is put off")
			}
		}
		i, out = i.Receive(aliceSelf, request(), noon)
		if s := effect[securejoin.Send](t, out); !s.NotBefore.Equal(noon.Add(time.Hour)) {
			t.Errorf("%+v", s)
		}
		waits, out := i.Receive(aliceSelf, request(), noon)
		refused(t, out)
		another := request()
		another.InnerFrom, another.OuterFrom = "carol@example.org", "carol@example.org"
		_, out = waits.Receive(aliceSelf, another, noon)
		answered(t, out, securejoin.Pubkey)
		_, out = waits.Receive(aliceSelf, request(), noon.Add(2*time.Hour))
		answered(t, out, securejoin.Pubkey)
	}},
	{"12", func(t *testing.T) {
		refused(t, receives(t, request, func(in *securejoin.Incoming) { in.Proof.Auth, in.Auth = inv, inv }))
		refused(t, receives(t, request, func(in *securejoin.Incoming) { in.Proof.Auth = inv }))
		refused(t, receives(t, request, func(in *securejoin.Incoming) { in.Proof.Fingerprint = eveKey }))
	}},
	{"13", func(t *testing.T) {
		if err := openWith(symmetric(t, auth)); !errors.Is(err, pgp.ErrNoSecret) {
			t.Error(err)
		}
	}},
	{"14", func(t *testing.T) {
		if err := openWith(symmetric(t, "securejoin/"+strings.ToLower(string(aliceKey))+"/"+auth)); !errors.Is(err, pgp.ErrNoSecret) {
			t.Error(err)
		}
	}},
	{"15", func(t *testing.T) { // iterated, Argon2
		for _, c := range []*s2k.Config{
			{S2KMode: s2k.IteratedSaltedS2K, S2KCount: 65536},
			{S2KMode: s2k.Argon2S2K, Argon2Config: &s2k.Argon2Config{Memory: 10}},
		} {
			refusedForm(t, form{s2k: c, secrets: 1})
		}
	}},
	{"16", func(t *testing.T) { // refused here
		refusedForm(t, form{s2k: salted, v4: true, secrets: 1})
	}},
	{"17", func(t *testing.T) {
		refusedForm(t, form{s2k: salted, secrets: 2})
		keyAndSecret(t)
	}},
	{"18", func(t *testing.T) {
		for _, token := range []string{"", "an-unknown-token"} {
			refused(t, receives(t, request, func(in *securejoin.Incoming) { in.Auth = token }))
		}
	}},
	{"19", func(t *testing.T) { // of another invite of ours
		refused(t, receives(t, request, func(in *securejoin.Incoming) { in.Auth = "another-token-of-ours" }))
	}},
	{"20", func(t *testing.T) {
		refused(t, receives(t, request, func(in *securejoin.Incoming) { in.OuterFrom = "eve@example.org" }))
	}},
	{"21", func(t *testing.T) {
		refused(t, receives(t, request, func(in *securejoin.Incoming) { in.Proof = nil }))
		if in, ok := securejoin.ReadRequest(header("From: bob@example.org\r\nSecure-Join: vc-request-pubkey\r\nSecure-Join-Auth: " + auth + "\r\n")); ok {
			t.Errorf("reads %+v", in)
		}
	}},
	{"22", func(t *testing.T) {
		for _, step := range []securejoin.Step{securejoin.RequestWithAuth, securejoin.ContactConfirm, securejoin.MemberAdded, securejoin.AuthRequired, securejoin.Request} {
			change := func(in *securejoin.Incoming) { in.Step = step }
			refused(t, receives(t, request, change))
			in := request()
			change(&in)
			_, out := authenticating(t).Receive(bobSelf, in, noon)
			refused(t, out)
		}
		// Nor if they are right but for that, and unsigned or signed.
		for _, signer := range []pgp.Fingerprint{"", bobKey} {
			refused(t, receives(t, withAuth, func(in *securejoin.Incoming) {
				in.Proof, in.Signer, in.Fingerprint = request().Proof, signer, signer
			}))
		}
		for _, signer := range []pgp.Fingerprint{"", aliceKey} {
			for _, from := range []func() securejoin.Incoming{confirm, authRequired} {
				in := from()
				in.Proof, in.Signer = pubkey().Proof, signer
				for _, j := range []securejoin.Join{newJoin(t), authenticating(t)} {
					_, out := j.Receive(bobSelf, in, noon)
					refused(t, out)
				}
			}
			in := memberAdded()
			in.Proof, in.Signer = pubkey().Proof, signer
			_, out := inGroup(t).Receive(bobSelf, in, noon)
			refused(t, out)
		}
	}},
	{"23", func(t *testing.T) { // a withdrawal by another device ends all links of the chat
		second, group := liveInvite(), liveInvite()
		second.Auth, group.Auth, group.Number = "another-token-of-ours", "a-token-of-a-group", "a-number-of-a-group"
		group.Kind, group.GroupID = securejoin.Group, grp
		item := securejoin.SyncItem{Kind: securejoin.DeleteQrToken, At: noon, Number: inv, Auth: auth}
		ended := securejoin.ApplySync([]securejoin.SyncItem{item}, []securejoin.Invite{liveInvite(), second, group}, noon)
		if len(ended) != 2 {
			t.Fatalf("%d ended", len(ended))
		}
		for n, in := range []securejoin.Incoming{request(), request()} {
			in.Proof.Auth, in.Auth = ended[n].Auth, ended[n].Auth
			_, out := ended[n].Receive(aliceSelf, in, noon)
			expect(t, out, securejoin.Consume, securejoin.ErrEnded, "Note")
		}
		// What the user revokes here is one invite.
		if liveInvite().Revoke(noon).State(noon) != securejoin.Revoked || second.State(noon) != securejoin.Live {
			t.Error("revoked another one")
		}
	}},
	{"24", func(t *testing.T) {
		i, err := liveInvite().Revoke(noon).Revive(noon)
		if err != nil {
			t.Fatal(err)
		}
		_, out := i.Receive(aliceSelf, request(), noon)
		answered(t, out, securejoin.Pubkey)
	}},
	{"25", func(t *testing.T) {
		for _, from := range []func() securejoin.Incoming{request, withAuth} {
			refused(t, receives(t, from, func(in *securejoin.Incoming) { in.Blocked = true }))
		}
	}},
	{"26", func(t *testing.T) {
		s := effect[securejoin.Send](t, receives(t, request, func(*securejoin.Incoming) {}))
		m, err := securejoin.Compose(s, aliceSelf, securejoin.Env{Now: noon, OuterDate: noon, MessageID: "2@localhost", Autocrypt: "addr=x"})
		if err != nil {
			t.Fatal(err)
		}
		all := string(m.Outer) + string(m.Inner)
		if strings.Contains(all, "Alice") || strings.Contains(all, "Avatar") || strings.Contains(all, bobAddr) || strings.Count(all, `To: "hidden-recipients": ;`) != 3 {
			t.Errorf("%s", all)
		}
	}},
	{"27", func(t *testing.T) {
		refused(t, receives(t, withAuth, func(in *securejoin.Incoming) { in.Gossip = nil }))
	}},
	{"28", func(t *testing.T) {
		refused(t, receives(t, withAuth, func(in *securejoin.Incoming) { in.Gossip = map[string]pgp.Fingerprint{aliceAddr: eveKey} }))
	}},
	{"29", func(t *testing.T) {
		for _, key := range []pgp.Fingerprint{"", eveKey, aliceKey} {
			refused(t, receives(t, withAuth, func(in *securejoin.Incoming) { in.Fingerprint = key }))
		}
		refused(t, receives(t, withAuth, func(in *securejoin.Incoming) { in.Signer = eveKey }))
	}},
	{"30", func(t *testing.T) {
		inner := header("From: bob@example.org\r\nMessage-ID: <2@localhost>\r\nSecure-Join: vc-request-with-auth\r\nSecure-Join-Auth: " + auth +
			"\r\nSecure-Join-Fingerprint: " + strings.ToLower(string(bobKey)) + "\r\n")
		opened := &pgp.Opened{Signature: pgp.Signature{State: pgp.SignatureGood, Signer: bobKey}, IntendedForUs: true}
		in, _ := securejoin.ReadIncoming(header("From: bob@example.org\r\n"), inner, opened, nil)
		in.Gossip = withAuth().Gossip
		_, out := liveInvite().Receive(aliceSelf, in, noon)
		answered(t, out, securejoin.ContactConfirm)
	}},
	{"31", func(t *testing.T) {
		for _, token := range []string{"", inv, "an-unknown-token"} {
			refused(t, receives(t, withAuth, func(in *securejoin.Incoming) { in.Auth = token }))
		}
	}},
	{"32", func(t *testing.T) {
		refused(t, receives(t, withAuth, func(in *securejoin.Incoming) { in.Signer = "" }))
		refused(t, receives(t, withAuth, func(in *securejoin.Incoming) { in.Signer, in.Fingerprint = "", "" }))
		inner := header("From: bob@example.org\r\nSecure-Join: vc-request-with-auth\r\n")
		unknown := &pgp.Opened{Signature: pgp.Signature{State: pgp.SignatureUnknown, Issuers: []pgp.Fingerprint{bobKey}}, IntendedForUs: true}
		if in, _ := securejoin.ReadIncoming(header(""), inner, unknown, nil); in.Signer != "" {
			t.Errorf("signer %s", in.Signer)
		}
	}},
	{"33", func(t *testing.T) { // also of a spent invite
		i := liveInvite()
		i.Once = true
		i, _ = i.Receive(aliceSelf, withAuth(), noon)
		again := withAuth()
		again.MessageID, again.Holder = "9@localhost", bobKey
		i, out := i.Receive(aliceSelf, again, noon)
		answered(t, out, securejoin.ContactConfirm)
		if len(i.Uses) != 1 {
			t.Errorf("uses %+v", i.Uses)
		}
		g, i := aliceGroup(t), groupInvite()
		for range 2 {
			in := withAuth()
			in.Standing = g.Standing(aliceSelf, bobKey)
			i, out = i.Receive(aliceSelf, in, noon)
			if a := effect[securejoin.Admit](t, out); a.Fingerprint != bobKey || len(i.Uses) != 1 {
				t.Errorf("%+v, uses %+v", a, i.Uses)
			}
			var p securejoin.Post
			var err error
			if g, p, err = g.Add(aliceSelf, securejoin.Member{Fingerprint: bobKey, Addr: bobAddr}, true, noon); err != nil {
				t.Fatal(err)
			}
			if h := innerOf(t, p, aliceSelf, noon); addrs(p.Recipients) != "bob" || h.Get("Secure-Join") != "vg-member-added" || len(g.Current()) != 2 {
				t.Errorf("%d members, sends\n%s", len(g.Current()), h.Bytes())
			}
		}
	}},
	{"34", func(t *testing.T) { // what an AUTH is for, its inviter knows
		in := withAuth()
		in.Group, in.Standing = "", securejoin.Outsider
		_, out := groupInvite().Receive(aliceSelf, in, noon)
		expect(t, out, securejoin.Consume, nil, "Bind", "Note", "Admit")
		if a := effect[securejoin.Admit](t, out); a.GroupID != grp || a.Fingerprint != bobKey || a.Kind != securejoin.Group {
			t.Errorf("%+v", a)
		}
	}},
	{"35", func(t *testing.T) {
		out := receives(t, withAuth, func(in *securejoin.Incoming) { in.Group, in.Standing = grp, securejoin.Outsider })
		expect(t, out, securejoin.Consume, nil, "Bind", "Note", "Send")
	}},
	{"36", func(t *testing.T) {
		refused(t, receives(t, withAuth, func(in *securejoin.Incoming) { in.OuterFrom = "eve@example.org" }))
		refused(t, receives(t, withAuth, func(in *securejoin.Incoming) { in.InnerFrom = "eve@example.org" }))
	}},
	{"37", func(t *testing.T) {
		in := withAuth()
		in.Standing = securejoin.GroupChat{}.Standing(aliceSelf, bobKey) // deleted
		_, out := groupInvite().Receive(aliceSelf, in, noon)
		refused(t, out)
		left, _, err := aliceGroup(t).Leave(aliceSelf, noon)
		if err != nil {
			t.Fatal(err)
		}
		in.Standing = left.Standing(aliceSelf, bobKey)
		_, out = groupInvite().Receive(aliceSelf, in, noon)
		refused(t, out)
	}},
	{"51", func(t *testing.T) {
		cert := parsedCert(t)
		in := plainRequest(cert)
		i, out := liveInvite().Receive(aliceSelf, in, noon)
		expect(t, out, securejoin.Consume, nil, "StoreCert", "Send")
		s := effect[securejoin.Send](t, out)
		if s.Step != securejoin.AuthRequired || s.Key != cert.Fingerprint() || !s.Signed || s.Secret != "" || len(i.Answers) != 1 {
			t.Errorf("%+v", s)
		}
		m, err := securejoin.Compose(s, aliceSelf, securejoin.Env{Now: noon, OuterDate: noon, MessageID: "2@localhost", Gossip: "addr=" + bobAddr})
		if err != nil || !bytes.Contains(m.Inner, []byte("Autocrypt-Gossip: addr="+bobAddr)) || bytes.Contains(m.Inner, []byte("Alice")) {
			t.Errorf("%s, %v", m.Inner, err)
		}
		in.Number = auth
		_, out = liveInvite().Receive(aliceSelf, in, noon)
		refused(t, out)
	}},
	{"53", func(t *testing.T) { // of a plain mail nothing but the request is read
		in, ok := securejoin.ReadRequest(header("From: bob@example.org\r\nSecure-Join: vc-request\r\nSecure-Join-Invitenumber: " + inv +
			"\r\nSecure-Join-Auth: " + auth + "\r\nSecure-Join-Fingerprint: " + string(bobKey) + "\r\nChat-Group-Member-Added: bob@example.org\r\n"))
		if !ok || in.Auth != "" || in.Fingerprint != "" || in.Signer != "" || in.Added != "" || !in.Plain {
			t.Errorf("%+v, %v", in, ok)
		}
		for _, step := range []string{"vc-request-with-auth", "vc-contact-confirm", "vg-member-added", "vc-auth-required", "vc-pubkey"} {
			if _, ok := securejoin.ReadRequest(header("From: bob@example.org\r\nSecure-Join: " + step + "\r\n")); ok {
				t.Errorf("reads a plain %s", step)
			}
		}
	}},
	{"54", func(t *testing.T) { // encrypted but unsigned is not encrypted
		for _, from := range []func() securejoin.Incoming{withAuth} {
			refused(t, receives(t, from, func(in *securejoin.Incoming) { in.Signer = "" }))
			refused(t, receives(t, from, func(in *securejoin.Incoming) { in.Signer, in.Fingerprint = "", "" }))
		}
		_, out := authenticating(t).Receive(bobSelf, func() securejoin.Incoming { in := confirm(); in.Signer = ""; return in }(), noon)
		refused(t, out)
	}},
	{"56", func(t *testing.T) { // signed for others
		inner := header("From: bob@example.org\r\nMessage-ID: <2@localhost>\r\nSecure-Join: vc-request-with-auth\r\n")
		others := &pgp.Opened{Signature: pgp.Signature{State: pgp.SignatureGood, Signer: bobKey}}
		in, _ := securejoin.ReadIncoming(header("From: bob@example.org\r\n"), inner, others, nil)
		in.Auth, in.Fingerprint, in.Gossip = auth, bobKey, withAuth().Gossip
		_, out := liveInvite().Receive(aliceSelf, in, noon)
		refused(t, out)
	}},
}

func plainRequest(cert *pgp.Cert) securejoin.Incoming {
	return securejoin.Incoming{
		Step: securejoin.Request, Plain: true, Number: inv, InnerFrom: bobAddr, OuterFrom: bobAddr,
		MessageID: "1@localhost", Key: cert,
	}
}

func groupInvite() securejoin.Invite {
	i := liveInvite()
	i.Kind, i.GroupID = securejoin.Group, grp
	return i
}

func aliceGroup(t testing.TB) securejoin.GroupChat {
	t.Helper()
	g, err := securejoin.NewGroup(grp, "Book club", aliceSelf, noon.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// relayAccepts is what a chatmail relay looks at in a plain request.
func relayAccepts(t *testing.T, raw []byte, step string) {
	t.Helper()
	root := message.Parse(raw)
	if root.MediaType != "multipart/mixed" || len(root.Children) != 1 || root.Children[0].MediaType != "text/plain" ||
		strings.ToLower(strings.TrimSpace(root.Children[0].Text(raw))) != "secure-join: "+step || root.Header.Get("Secure-Join") != step {
		t.Errorf("a relay refuses\n%s", raw)
	}
}
