package securejoin_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"mailbridge/internal/vectors"
	"mailbridge/securejoin"
)

const (
	fpr  = "0123456789ABCDEF0123456789ABCDEF01234567"
	auth = "QXV0aFRva2VuRXhhbXBsZTAx"
	inv  = "QnJpZGdlSW52aXRlTm8tMDAx"
	grp  = "R3JvdXBJZEV4YW1wbGUwMDEx"
)

func contactLink() securejoin.Link {
	return securejoin.Link{Fingerprint: fpr, Addr: "ada@example.org", Name: "Ada L.", Auth: auth, Number: inv, V3: true}
}

func groupLink(kind securejoin.Kind, name string) securejoin.Link {
	l := contactLink()
	l.Kind, l.GroupID, l.GroupName = kind, grp, name
	return l
}

// TestParseLink reads the forms that Delta Chat 2.62 accepts.
func TestParseLink(t *testing.T) {
	t.Parallel()
	changed := func(change func(*securejoin.Link)) securejoin.Link {
		l := contactLink()
		change(&l)
		return l
	}
	const params = "&v=3&i=" + inv + "&s=" + auth + "&a=ada%40example.org&n=Ada+L."
	legacy := changed(func(l *securejoin.Link) { l.V3 = false })
	v3Only := changed(func(l *securejoin.Link) { l.Number = "" })
	long := strings.Repeat("89ABCDEF", 8)
	for _, test := range []struct {
		name, link string
		want       securejoin.Link
	}{
		{"https", "https://i.delta.chat/#" + fpr + params, contactLink()},
		{"without slash", "https://i.delta.chat#" + fpr + params, contactLink()},
		{"mangled hash", "https://i.delta.chat/%23" + fpr + params, contactLink()},
		{"blanks around", " \thttps://i.delta.chat/#" + fpr + params + "\r\n", contactLink()},
		{"scheme", "OPENPGP4FPR:" + fpr + "#" + params[1:], contactLink()},
		{"scheme, mangled hash", "OPENPGP4FPR:" + fpr + "%23" + params[1:], contactLink()},
		{"scheme in lower case", "openpgp4fpr:" + strings.ToLower(fpr) + "#" + params[1:], contactLink()},
		{"fingerprint with blanks", "OPENPGP4FPR:0123 4567 89AB CDEF 0123 4567 89AB CDEF 0123 4567#" + params[1:], contactLink()},
		{"fingerprint of version 6", "OPENPGP4FPR:" + long + "#" + params[1:], changed(func(l *securejoin.Link) {
			l.Fingerprint = "89ABCDEF89ABCDEF89ABCDEF89ABCDEF89ABCDEF89ABCDEF89ABCDEF89ABCDEF"
		})},
		{"other version", "https://i.delta.chat/#" + fpr + strings.Replace(params, "v=3", "v=4", 1), legacy},
		{"no version", "https://i.delta.chat/#" + fpr + strings.Replace(params, "&v=3", "", 1), legacy},
		{"no number", "https://i.delta.chat/#" + fpr + strings.Replace(params, "&i="+inv, "", 1), v3Only},
		{"neither version nor number", "https://i.delta.chat/#" + fpr + "&s=" + auth + "&a=ada%40example.org&n=Ada+L.", v3Only},
		{"other version without number", "https://i.delta.chat/#" + fpr + "&v=4&s=" + auth + "&a=ada%40example.org&n=Ada+L.", v3Only},
		{"invalid number", "https://i.delta.chat/#" + fpr + strings.Replace(params, inv, "short", 1), v3Only},
		{"repeated secret, the last counts", "https://i.delta.chat/#" + fpr + "&s=AAAAAAAAAAAAAAAAAAAAAAAA" + params, contactLink()},
		{"unknown parameters", "https://i.delta.chat/#" + fpr + params + "&zz=1&flag&=x", contactLink()},
		{"raw UTF-8", "https://i.delta.chat/#" + fpr + strings.Replace(params, "Ada+L.", "Ädä", 1), changed(func(l *securejoin.Link) { l.Name = "Ädä" })},
		{"cut name", "https://i.delta.chat/#" + fpr + strings.Replace(params, "Ada+L.", "Ada+Love_", 1), changed(func(l *securejoin.Link) { l.Name = "Ada Love…" })},
		{"name that writes header fields", "https://i.delta.chat/#" + fpr + strings.Replace(params, "Ada+L.", "Ada%0D%0ABcc:x", 1), changed(func(l *securejoin.Link) { l.Name = "Ada  Bcc:x" })},
		{"no name", "https://i.delta.chat/#" + fpr + strings.Replace(params, "&n=Ada+L.", "", 1), changed(func(l *securejoin.Link) { l.Name = "" })},
		{"address in upper case", "https://i.delta.chat/#" + fpr + strings.Replace(params, "ada%40example.org", "Ada@Example.ORG", 1), contactLink()},
		{"relays", "https://i.delta.chat/#" + fpr + params + "&r=ada@one.example,ada%40two.example,ada%40example.org", changed(func(l *securejoin.Link) { l.Relays = []string{"ada@one.example", "ada@two.example"} })},
		{"secret of 11 characters", "https://i.delta.chat/#" + fpr + strings.Replace(params, auth, "abcdefghij_", 1), changed(func(l *securejoin.Link) { l.Auth = "abcdefghij_" })},
		{"group", "https://i.delta.chat/#" + fpr + params + "&x=" + grp + "&g=Book+club", groupLink(securejoin.Group, "Book club")},
		{"channel", "https://i.delta.chat/#" + fpr + strings.Replace(params, "&i=", "&j=", 1) + "&x=" + grp + "&b=My+news", groupLink(securejoin.Channel, "My news")},
		{"channel with the number of a group", "https://i.delta.chat/#" + fpr + params + "&x=" + grp + "&b=My+news", groupLink(securejoin.Channel, "My news")},
		{"group and channel", "https://i.delta.chat/#" + fpr + params + "&b=My+news&x=" + grp + "&g=Book+club", groupLink(securejoin.Group, "Book club")},
		{"group without id", "https://i.delta.chat/#" + fpr + params + "&g=Book+club", contactLink()},
		{"id without group", "https://i.delta.chat/#" + fpr + params + "&x=" + grp, contactLink()},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := securejoin.ParseLink(test.link)
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v, %v\nwant %+v", got, err, test.want)
			}
			if again, err := securejoin.ParseLink(got.String()); err != nil || !reflect.DeepEqual(again, got) {
				t.Errorf("%s reads as %+v, %v", got, again, err)
			}
			if again, err := securejoin.ParseLink(got.Scheme()); err != nil || !reflect.DeepEqual(again, got) {
				t.Errorf("%s reads as %+v, %v", got.Scheme(), again, err)
			}
		})
	}
}

func TestParseLinkRefuses(t *testing.T) {
	t.Parallel()
	const rest = "&v=3&i=" + inv + "&s=" + auth + "&a=ada%40example.org"
	for _, test := range []struct{ name, link, part string }{
		{"empty", "", ""},
		{"text", "hello", ""},
		{"another page", "https://example.org/#" + fpr + rest, ""},
		{"https in upper case", "HTTPS://I.DELTA.CHAT/#" + fpr + rest, ""},
		{"too long", "https://i.delta.chat/#" + fpr + rest + "&n=" + strings.Repeat("x", securejoin.MaxLink), ""},
		{"odd fingerprint", "https://i.delta.chat/#" + fpr[1:] + rest, "fingerprint"},
		{"no fingerprint", "https://i.delta.chat/#" + rest, "fingerprint"},
		{"only a fingerprint", "OPENPGP4FPR:" + fpr, "address"},
		{"no address", "https://i.delta.chat/#" + fpr + "&v=3&s=" + auth, "address"},
		{"nonsense address", "https://i.delta.chat/#" + fpr + "&s=" + auth + "&a=nonsense", "address"},
		{"two addresses", "https://i.delta.chat/#" + fpr + "&s=" + auth + "&a=a@example.org,b@example.org", "address"},
		{"address that writes header fields", "https://i.delta.chat/#" + fpr + "&s=" + auth + "&a=a%0D%0A%40example.org", "address"},
		{"address that is not UTF-8", "https://i.delta.chat/#" + fpr + "&s=" + auth + "&a=%FF%40example.org", "address"},
		{"nonsense relay", "https://i.delta.chat/#" + fpr + rest + "&r=nonsense", "relay address"},
		{"too many relays", "https://i.delta.chat/#" + fpr + rest + "&r=a@1.example,a@2.example,a@3.example,a@4.example,a@5.example", "relay address"},
		{"no secret", "https://i.delta.chat/#" + fpr + "&v=3&i=" + inv + "&a=ada%40example.org", "secret"},
		{"short secret", "https://i.delta.chat/#" + fpr + "&v=3&s=abcdefghij&a=ada%40example.org", "secret"},
		{"long secret", "https://i.delta.chat/#" + fpr + "&v=3&s=" + strings.Repeat("a", 33) + "&a=ada%40example.org", "secret"},
		{"secret of other characters", "https://i.delta.chat/#" + fpr + "&v=3&s=QXV0aFRva2VuRXhhbXBsZTA=&a=ada%40example.org", "secret"},
		{"name that is not UTF-8", "https://i.delta.chat/#" + fpr + rest + "&n=%FF", "name"},
		{"group's name that is not UTF-8", "https://i.delta.chat/#" + fpr + rest + "&x=" + grp + "&g=%FF", "name of the group"},
		{"channel's name that is not UTF-8", "https://i.delta.chat/#" + fpr + rest + "&x=" + grp + "&b=%FF", "name of the channel"},
	} {
		l, err := securejoin.ParseLink(test.link)
		if !errors.Is(err, securejoin.ErrNotInvite) || !reflect.DeepEqual(l, securejoin.Link{}) {
			t.Errorf("%s: %+v, %v", test.name, l, err)
		}
		var detail *securejoin.LinkError
		if errors.As(err, &detail) != (test.part != "") || detail != nil && detail.Part != test.part {
			t.Errorf("%s: %v, want an error about %q", test.name, err, test.part)
		}
		if strings.Contains(err.Error(), auth) {
			t.Errorf("%s: the error holds the secret", test.name)
		}
	}
}

// TestRecordedLinks reads all links of the captures, and writes those of Delta Chat 2.62 as it
// did.
func TestRecordedLinks(t *testing.T) {
	t.Parallel()
	written := 0
	for _, s := range vectors.Load(t) {
		for _, i := range s.Invites {
			l, err := securejoin.ParseLink(i.Link)
			if err != nil || string(l.Fingerprint) != i.Fingerprint || l.Auth != i.Auth || l.Addr != s.Users[i.By].Addr {
				t.Errorf("%s: %+v, %v", i.Link, l, err)
			}
			if l.V3 != strings.Contains(i.Link, "&v=3") || l.V3 && l.Secret() != i.Passphrase {
				t.Errorf("%s: v3 %v", i.Link, l.V3)
			}
			if strings.HasSuffix(l.Name, "…") || s.Users[i.By].Version != "2.62.0" {
				continue
			}
			if written++; l.String() != i.Link {
				t.Errorf("%s is written as\n%s", i.Link, l)
			}
		}
	}
	if written < 10 {
		t.Errorf("only %d links compared", written)
	}
}

func TestLinkCutsNames(t *testing.T) {
	t.Parallel()
	l := contactLink()
	l.Name = strings.Repeat("ä", 26)
	if got, err := securejoin.ParseLink(l.String()); err != nil || got.Name != strings.Repeat("ä", 24)+"…" {
		t.Errorf("%q, %v", got.Name, err)
	}
	l = groupLink(securejoin.Group, strings.Repeat("g", 30))
	l.Name = strings.Repeat("n", 20)
	got, err := securejoin.ParseLink(l.String())
	if err != nil || got.Name != strings.Repeat("n", 15)+"…" || got.GroupName != strings.Repeat("g", 24)+"…" {
		t.Errorf("%q %q, %v", got.Name, got.GroupName, err)
	}
}

func TestKinds(t *testing.T) {
	t.Parallel()
	for _, k := range []securejoin.Kind{securejoin.Contact, securejoin.Group, securejoin.Channel} {
		if got, ok := securejoin.ParseKind(k.String()); !ok || got != k {
			t.Errorf("%v reads as %v", k, got)
		}
	}
	if _, ok := securejoin.ParseKind("nonsense"); ok {
		t.Error("reads nonsense")
	}
}

func TestNewToken(t *testing.T) {
	t.Parallel()
	token, err := securejoin.NewToken(strings.NewReader(strings.Repeat("\xfb\xff", 9)))
	if err != nil || token != "e__7__v_-__7__v_-__7__v_" { // and not "-" first
		t.Errorf("%q, %v", token, err)
	}
	if _, err := securejoin.NewToken(strings.NewReader("short")); err == nil {
		t.Error("made a token without enough randomness")
	}
}

func FuzzParseLink(f *testing.F) {
	for _, s := range vectors.Load(f) {
		for _, i := range s.Invites {
			f.Add(i.Link)
		}
	}
	f.Add("OPENPGP4FPR:" + fpr + "#a=a@b&r=c%40d,%zz&s=" + auth + "&n=%0d_&x=" + grp + "&g=+")
	f.Fuzz(func(t *testing.T, s string) {
		l, err := securejoin.ParseLink(s)
		if err != nil {
			if !errors.Is(err, securejoin.ErrNotInvite) {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		if strings.ContainsAny(l.Name+l.GroupName+l.Addr+strings.Join(l.Relays, ""), "\r\n\x00") {
			t.Errorf("%q: control characters in %+v", s, l)
		}
		again, err := securejoin.ParseLink(l.String())
		if err != nil || again.Secret() != l.Secret() || again.Addr != l.Addr || !reflect.DeepEqual(again.Relays, l.Relays) ||
			again.Kind != l.Kind || again.V3 != l.V3 || again.Number != l.Number {
			t.Errorf("%q reads as %+v, written as %q, read again as %+v, %v", s, l, l, again, err)
		}
	})
}
