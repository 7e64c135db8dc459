package upstream

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"
)

// saying is a connection on which the provider says the given octets and hangs up.
type saying struct {
	net.Conn
	r      io.Reader
	closed atomic.Bool
}

func (s *saying) Read(p []byte) (int, error)       { return s.r.Read(p) }
func (s *saying) SetReadDeadline(time.Time) error  { return nil }
func (s *saying) SetWriteDeadline(time.Time) error { return nil }

func (s *saying) Write(p []byte) (int, error) {
	if s.closed.Load() {
		return 0, net.ErrClosed
	}
	return len(p), nil
}

func (s *saying) Close() error {
	s.closed.Store(true)
	return nil
}

func filterOf(said string) *filter {
	return newFilter(&saying{r: strings.NewReader(said)})
}

func TestFilter(t *testing.T) {
	t.Parallel()
	index := &wanted{items: itemFlags | itemDate | itemSize, from: 1}
	body := &wanted{items: itemSection, from: 1, limit: 10}
	tests := []struct {
		name     string
		want     *wanted
		in, out  string
		protocol bool // the answer is not IMAP
	}{
		{name: "conditions", in: "* OK [ALERT] Hello {5}\nT1 OK done\nT2 NO [AUTHENTICATIONFAILED] no\nT3 BAD\n* BYE see you\n",
			out: "* OK [ALERT] Hello {5}\nT1 OK done\nT2 NO [AUTHENTICATIONFAILED] no\nT3 BAD\n* BYE see you\n"},
		{name: "codes with arguments", in: "* OK [UNSEEN 3] x\n* OK [BADCHARSET (\"a]b\" c)] x\n* OK [X-(] x\n* OK [PERMANENTFLAGS (\\* a]b \\Seen)] x\n* OK [UIDNEXT -1] x\n* OK [HIGHESTMODSEQ -1] x\n* OK [UIDNEXT 7] x\n",
			out: "* OK [UNSEEN] x\n* OK [BADCHARSET] x\n* OK X-(] x\n* OK [PERMANENTFLAGS (\\* \\Seen)] x\n* OK x\n* OK x\n* OK [UIDNEXT 7] x\n"},
		{name: "copies", in: "T1 OK [COPYUID 1  ] x\nT2 OK [COPYUID 1 5,3 10:11] x\nT3 OK [COPYUID 1 1:4294967295 1:4294967295] x\nT4 OK [APPENDUID 1 2] x\n",
			out: "T1 OK x\nT2 OK x\nT3 OK x\nT4 OK x\n"},
		{name: "control characters", in: "* NO a\x00b\tc\x01\n", out: "* NO a b c\n"},
		{name: "unknown responses", in: "* XLIST (\\Foo) \"/\" x\n* VANISHED 1:5\n* 3 RECENT\n* FOO {3}\nabc {2}\nde\n* QUOTA \"\" (STORAGE 1 2)\nServer Unavailable.\n\n* 5 EXISTS\n",
			out: "* 5 EXISTS\n"},
		{name: "capabilities of both revisions", in: "* CAPABILITY IMAP4rev1  imap4rev2 UTF8=ACCEPT IDLE ] AUTH=PLAIN \n", out: "* CAPABILITY IMAP4rev1 IDLE AUTH=PLAIN\n"},
		{name: "capabilities of revision 2", in: "T1 OK [CAPABILITY IMAP4REV2 IDLE] x\n* LIST () NIL \"Ä\"\n", out: "T1 OK [CAPABILITY IMAP4rev2 IDLE] x\n* LIST () NIL \"&AMQ-\"\n"},
		{name: "lists", in: "* LIST (\\HasNoChildren a]b) \"/\" {4}\nR&-D\n* LIST () \"\\\\\" \"a\\\"b\"\n* LIST () NIL Sent Items\n* LIST () \"/\" \"R&D\"\n* LIST () \"/\" \"Ä\"\n* LIST () \"/\" \"&AMQ-\"\n* LIST () \"/\" inbox\n* LIST (\n* LIST () \"/\" a (\"CHILDINFO\" (\"SUBSCRIBED\"))\n",
			out: "* LIST (\\HasNoChildren) \"/\" \"R&-D\"\n* LIST () \"\\\\\" \"a\\\"b\"\n* LIST () NIL \"Sent Items\"\n* LIST () \"/\" \"&AMQ-\"\n* LIST () \"/\" \"INBOX\"\n* LIST () \"/\" \"a\"\n"},
		{name: "status", in: "* STATUS \"a (b)\" (MESSAGES 3 X-GM 5 HIGHESTMODSEQ -1 UIDNEXT 4)\n* STATUS b\n", out: "* STATUS \"a (b)\" (MESSAGES 3 UIDNEXT 4)\n"},
		{name: "expunge of nothing", in: "* 0 EXPUNGE\n* 1 EXPUNGE\n", out: "* 1 EXPUNGE\n"},
		{name: "index", want: index,
			in:  "* 1 FETCH (FLAGS (\\Seen x]y $Z) INTERNALDATE \" 1-Jan-2020 10:00:00 +0000\" RFC822.SIZE 5 X-GM-LABELS (\"a\" {2}\nbc \\Inbox) UID 9 MODSEQ (5))\n",
			out: "* 1 FETCH (UID 9 FLAGS (\\Seen $Z) INTERNALDATE \" 1-Jan-2020 10:00:00 +0000\" RFC822.SIZE 5)\n"},
		{name: "index with bad values", want: index, in: "* 1 FETCH (UID 9 FLAGS () INTERNALDATE \"yesterday\" RFC822.SIZE -1)\n", out: "* 1 FETCH (UID 9 FLAGS ())\n"},
		{name: "news about flags", want: index, in: "* 1 FETCH (UID 9 FLAGS ())\n* 2 FETCH (FLAGS (\\Seen))\n", out: ""},
		{name: "echo of the last message", want: &wanted{items: itemFlags, from: 10}, in: "* 1 FETCH (UID 9 FLAGS ())\n", out: ""},
		{name: "nobody asked", in: "* 1 FETCH (UID 9 FLAGS () BODY[] {3}\nabc)\n", out: ""},
		{name: "section", want: body, in: "* 1 FETCH (UID 9 BODY[HEADER.FIELDS (\"a]\" b)]<0> {3}\nabc FLAGS ())\n", out: "* 1 FETCH (UID 9 BODY[] {3}\nabc FLAGS ())\n"},
		{name: "section over the limit", want: body, in: "* 1 FETCH (UID 9 BODY[] {15}\n0123456789ABCDE)\n* 2 EXISTS\n", out: "* 1 FETCH (UID 9 BODY[] {11}\n0123456789A)\n* 2 EXISTS\n"},
		{name: "section as a string", want: body, in: "* 1 FETCH (BODY[] \"a\\\"b\" UID 9)\n", protocol: true},
		{name: "section as a string behind the UID", want: body, in: "* 1 FETCH (UID 9 BODY[] \"a\\\"b\")\n", out: "* 1 FETCH (UID 9 BODY[] {3}\na\"b)\n"},
		{name: "section that is not there", want: body, in: "* 1 FETCH (UID 9 BODY[] NIL)\n", out: "* 1 FETCH (UID 9 BODY[] NIL)\n"},
		{name: "section before the UID", want: body, in: "* 1 FETCH (BODY[] {3}\nabc UID 9)\n", protocol: true},
		{name: "literal beyond all measure", want: body, in: "* 1 FETCH (UID 9 BODY[] {99999999999}\n", protocol: true},
		{name: "nested without end", in: "* X " + strings.Repeat("(", 300_000) + "\n* 2 EXISTS\n", out: "* 2 EXISTS\n"},
		{name: "unknown status", in: "T1 MAYBE x\n", protocol: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f := filterOf(strings.ReplaceAll(test.in, "\n", "\r\n"))
			f.begin(test.want)
			out, err := io.ReadAll(f)
			if errors.Is(err, errProtocol) != test.protocol {
				t.Fatalf("error %v", err)
			}
			if got := strings.ReplaceAll(string(out), "\r\n", "\n"); !test.protocol && got != test.out {
				t.Errorf("got  %q\nwant %q", got, test.out)
			}
		})
	}
}

func TestFilterCollects(t *testing.T) {
	t.Parallel()
	f := filterOf("* SEARCH 5 3 4\r\n* SEARCH\r\n* ESEARCH (TAG \"T5\") UID COUNT 3 ALL 7:9,1\r\n" +
		"* NAMESPACE ((\"INBOX.\" \".\" \"X\" (\"y\"))) NIL NIL\r\nT1 OK [COPYUID 8 5,3 10:11] x\r\nT2 OK [APPENDUID 3 4] x\r\n* OK [UIDNOTSTICKY] x\r\n* BYE bye\r\n")
	if _, err := io.ReadAll(f); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%+v", f.answers())
	want := "{found:[5 3 4 7 8 9 1] copied:[{uidValidity:8 source:[5 3] dest:[10 11]}] uidValidity:3 uid:4 prefix:INBOX. delim:46 notSticky:true bye:bye}"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// TestFilterTruncated ends the connection at every octet: never a message that looks whole.
func TestFilterTruncated(t *testing.T) {
	t.Parallel()
	said := "* 1 FETCH (UID 9 BODY[] {10}\r\n0123456789)\r\n"
	for cut := range len(said) {
		f := filterOf(said[:cut])
		f.begin(&wanted{items: itemSection, limit: 100})
		out, err := io.ReadAll(f)
		if bytes.HasSuffix(out, []byte(")\r\n")) || cut > 0 && err == nil {
			t.Errorf("cut at %d: %q, %v", cut, out, err)
		}
	}
}

func TestUTF7(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"INBOX": "INBOX", "R&-D": "R&D", "Entw&APw-rfe": "Entwürfe", "~peter/mail/&U,BTFw-/&ZeVnLIqe-": "~peter/mail/台北/日本語",
		"&2D3eAA-": "😀", "&AOQ-&-&AOQ-": "ä&ä",
	} {
		if got, ok := decodeUTF7(raw); got != want || !ok {
			t.Errorf("%q: %q, %v", raw, got, ok)
		}
	}
	for _, raw := range []string{"R&D", "&", "&A-", "&AEE-", "ä", "&AOQ-&AOQ-", "&2D0-", "a\x00"} {
		if got, ok := decodeUTF7(raw); ok {
			t.Errorf("%q was taken for %q", raw, got)
		}
	}
}

// FuzzFilter lets a provider say anything. Whatever comes through, imapclient must be able
// to read it: its own errors are those of the grammar.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{
		"* OK [CAPABILITY IMAP4rev1] hi\r\n* 1 FETCH (UID 9 BODY[] {3}\r\nabc FLAGS (\\Seen))\r\n",
		"* OK hi\r\n* LIST (\\Sent) \"/\" {3}\r\nabc\r\n* STATUS a (MESSAGES 1)\r\n* FLAGS (a b)\r\n",
		"* OK hi\r\n* SEARCH 1 2\r\n* ESEARCH (TAG \"x\") UID ALL 1:3\r\n* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n",
		"* PREAUTH [UIDNEXT 5] x\r\n* BYE\r\n* 1 FETCH (BODY[HEADER.FIELDS (x)] \"q\" UID 1 X (\"\" {1}\r\na))\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		fl := filterOf(string(said))
		fl.begin(&wanted{items: itemSection | itemFlags, limit: 100})
		client := imapclient.New(fl, nil)
		<-client.Closed()
		err := client.Close()
		if err == nil || fl.failure() != nil && fl.failure() != io.EOF {
			return
		}
		for _, fine := range []string{"unknown tag", "unmatched continuation", "use of closed", "EOF"} {
			if strings.Contains(err.Error(), fine) {
				return
			}
		}
		t.Errorf("%q: imapclient says %v", said, err)
	})
}

func FuzzUTF7(f *testing.F) {
	f.Add("Entw&APw-rfe")
	f.Add("a&-b&2D3eAA-")
	f.Fuzz(func(t *testing.T, raw string) {
		name, ok := decodeUTF7(raw)
		if ok && encodeUTF7(name) != raw {
			t.Errorf("%q reads as %q, which is written %q", raw, name, encodeUTF7(name))
		}
	})
}

func FuzzExpandSet(f *testing.F) {
	f.Add("1,3:5,9")
	f.Add("1:4294967295")
	f.Fuzz(func(t *testing.T, set string) {
		uids, ok := expandSet(set)
		if len(uids) > maxUIDs || ok && len(uids) == 0 {
			t.Errorf("%q: %d UIDs, %v", set, len(uids), ok)
		}
	})
}

func TestChunks(t *testing.T) {
	t.Parallel()
	var odd, all []uint32
	for uid := uint32(1); uid < 5000; uid++ {
		all = append(all, uid)
		if uid%2 == 1 {
			odd = append(odd, uid, uid)
		}
	}
	if sets := chunks(all); len(sets) != 1 || sets[0].String() != "1:4999" {
		t.Errorf("a range: %d sets", len(sets))
	}
	total := 0
	for _, set := range chunks(odd) {
		if len(set.String()) > maxSetLength {
			t.Errorf("a set of %d octets", len(set.String()))
		}
		nums, _ := set.Nums()
		total += len(nums)
	}
	if total != 2500 {
		t.Errorf("%d UIDs", total)
	}
	if chunks(nil) != nil {
		t.Error("sets of nothing")
	}
}
