package message

import "testing"

func TestSmoke(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		`Bob <bob@x.org>, "A, B" <a@b>, c@d (Carl), undisclosed: e@f, g@h;, junk, x @ y . org, <p@q> foo, "q r"@s`,
		`a@b Fri Aug 23`, `"bob@x" <evil@y>`, `=?utf-8?q?M=C3=BCller?= <m@x>`, `"hidden-recipients": ;`, `<<a@b>`, `a@b c@d`,
	} {
		t.Logf("%q %q", ParseAddresses(s), ParseAddressList(s))
	}
	t.Log(ContentType(`text/plain; charset="utf-8"; name*0*=utf-8''M%C3%BC; name*1=ller.txt; x="a;b`))
	t.Logf("%q", DelParam("text/plain; charset=\"utf-8\"; protected-headers=\"v1\"; \r\n\thp=\"cipher\"\r\n", "hp", "protected-headers"))
	p := Parse([]byte("Content-Type: multipart/mixed; boundary=b\r\n\r\npre\r\n--b\r\n\r\nhello\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nbody\r\n--b--\r\nepi\r\n"))
	t.Logf("%+v %+v %+v", p, p.Children[0], p.Children[1].Message)
	t.Log(EncodeWord("Grüße =?x"), EncodeWord("=?utf-8?q?a?="))
}
