package upstream

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
)

// filter stands between the provider and imapclient, which gives up the connection at
// every response that it does not know or that is not quite in the grammar, and expands
// what it is told without limit. The filter reads tolerantly and hands on only what
// imapclient needs, written strictly. Literals with mail in them stream through.
//
// What imapclient would misread or has no place for is collected here instead: results of
// SEARCH, COPYUID and APPENDUID, the namespace, the last word of a BYE.
type filter struct {
	net.Conn
	r *bufio.Reader

	// Owned by the reading goroutine.
	out   []byte         // ready to be read
	pass  int64          // then so many octets of a literal
	skip  int64          // then so many octets that nobody wants
	fetch *fetchResponse // in progress, behind a literal

	mu     sync.Mutex
	want   *wanted
	got    answers
	dirty  bool // the selected mailbox has news that nobody was told
	notify func()
	failed error // why reading ended
	utf8   bool  // the server speaks IMAP4rev2 alone: names are UTF-8
}

// answers is what one command collects.
type answers struct {
	found       []uint32 // SEARCH
	copied      []copied
	uidValidity uint32 // APPENDUID
	uid         uint32
	prefix      string // NAMESPACE
	delim       rune
	notSticky   bool
	bye         string // kept until the connection ends
}

type copied struct {
	uidValidity  uint32
	source, dest []uint32
}

// maxLine bounds a response without its mail: SEARCH names every message of a mailbox.
const maxLine = 16 << 20

// maxString bounds a literal that stands for a name.
const maxString = 64 << 10

// maxLiteral bounds a literal: RFC 3501, section 9 (number is 32 bits).
const maxLiteral = 1 << 32

var errProtocol = errors.New("the provider's answer is not IMAP")

func newFilter(conn net.Conn) *filter {
	return &filter{Conn: conn, r: bufio.NewReaderSize(conn, 64<<10)}
}

// greet hands imapclient a greeting of our own, where the provider's was read before TLS.
func (f *filter) greet() { f.out = append(f.out, "* OK ready\r\n"...) }

// Read fails for good at the first error.
func (f *filter) Read(p []byte) (int, error) {
	if err := f.failure(); err != nil {
		return 0, err
	}
	n, err := f.read(p)
	if err != nil {
		// imapclient keeps only the text of an error.
		f.mu.Lock()
		f.failed = err
		f.mu.Unlock()
	}
	return n, err
}

func (f *filter) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

func (f *filter) read(p []byte) (int, error) {
	for {
		switch {
		case len(f.out) > 0:
			n := copy(p, f.out)
			f.out = f.out[n:]
			return n, nil
		case f.pass > 0:
			n, err := f.r.Read(p[:min(int64(len(p)), f.pass)])
			f.pass -= int64(n)
			return n, midway(err)
		case f.skip > 0:
			n, err := f.r.Discard(int(min(f.skip, 1<<20)))
			f.skip -= int64(n)
			if err != nil {
				return 0, midway(err)
			}
		default:
			f.out = f.out[:0]
			if err := f.step(); err != nil {
				return 0, err
			}
		}
	}
}

// midway makes the end of the connection an error, since imapclient takes io.EOF in the
// midst of a literal for its end.
func midway(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// step reads one response, or the rest of one up to its next literal.
func (f *filter) step() error {
	line, err := f.line()
	if f.fetch != nil && err == nil {
		return f.continueFetch(line)
	}
	if f.fetch != nil {
		return midway(err)
	}
	if err != nil {
		return err
	}
	first, rest, _ := bytes.Cut(line, []byte(" "))
	switch {
	case string(first) == "*":
		return f.untagged(rest)
	case bytes.HasPrefix(line, []byte("+")):
		f.emit("+ %s", cleanText(line[1:]))
		return nil
	case isTag(first):
		return f.tagged(string(first), rest)
	}
	return nil // QUIRK: Exchange says "Server Unavailable." without anything before it
}

// isTag reports whether s is a tag of imapclient's.
func isTag(s []byte) bool {
	digits, ok := bytes.CutPrefix(s, []byte("T"))
	_, err := strconv.ParseUint(string(digits), 10, 64)
	return ok && err == nil
}

// line reads a line without its end.
func (f *filter) line() ([]byte, error) {
	var line []byte
	for {
		part, err := f.r.ReadSlice('\n')
		if len(line)+len(part) > maxLine {
			return nil, fmt.Errorf("%w: line too long", errProtocol)
		}
		line = append(line, part...)
		if err == nil {
			return bytes.TrimRight(line, "\r\n"), nil
		}
		if err != bufio.ErrBufferFull {
			if err == io.EOF && len(line) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// discard reads away a literal.
func (f *filter) discard(size int64) error {
	if size > maxLiteral {
		return fmt.Errorf("%w: literal too long", errProtocol)
	}
	_, err := io.CopyN(io.Discard, f.r, size)
	return midway(err)
}

// join replaces the literals of a response by quoted strings and gives it as one line. A
// literal that is too long for a name becomes the empty string.
func (f *filter) join(line []byte) ([]byte, error) {
	for {
		before, size, ok := literalAtEnd(line)
		if !ok {
			return line, nil
		}
		value := ""
		if size > maxString {
			if err := f.discard(size); err != nil {
				return nil, err
			}
		} else {
			b := make([]byte, size)
			if _, err := io.ReadFull(f.r, b); err != nil {
				return nil, midway(err)
			}
			value = string(b)
		}
		next, err := f.line()
		if err != nil {
			return nil, err
		}
		if len(before)+len(value)+len(next) > maxLine {
			return nil, fmt.Errorf("%w: response too long", errProtocol)
		}
		line = append(append(bytes.Clone(before), quote(value)...), next...)
	}
}

func (f *filter) emit(format string, args ...any) {
	f.out = fmt.Appendf(f.out, format+"\r\n", args...)
}

func (f *filter) untagged(line []byte) error {
	sc := scanner{line}
	word := sc.word()
	if n, err := strconv.ParseUint(word, 10, 32); err == nil {
		return f.numbered(uint32(n), sc)
	}
	switch word {
	case "OK", "NO", "BAD", "BYE", "PREAUTH":
		return f.condition("*", word, sc.s)
	case "CAPABILITY":
		f.emit("* CAPABILITY %s", f.capabilities(sc.s))
		return nil
	}
	rest, err := f.join(sc.s)
	if err != nil {
		return err
	}
	switch sc = (scanner{rest}); word {
	case "FLAGS":
		sc.space()
		list, _ := sc.list()
		f.emit("* FLAGS (%s)", strings.Join(cleanFlags(list), " "))
	case "LIST":
		f.list(sc)
	case "STATUS":
		f.status(sc)
	case "SEARCH":
		f.search(sc)
	case "ESEARCH":
		f.esearch(sc)
	case "NAMESPACE":
		f.namespace(sc)
	case "VANISHED":
		f.changed()
	}
	return nil
}

// numbered handles a response about a message or a count.
func (f *filter) numbered(n uint32, sc scanner) error {
	switch sc.word() {
	case "EXISTS":
		f.emit("* %d EXISTS", n)
		f.changed()
		return nil
	case "EXPUNGE":
		if n > 0 { // imapclient takes 0 for the end of its list
			f.emit("* %d EXPUNGE", n)
		}
		f.changed()
		return nil
	case "FETCH":
		return f.beginFetch(n, sc)
	}
	_, err := f.join(sc.s)
	return err
}

// changed notes that the selected mailbox has news.
func (f *filter) changed() {
	f.mu.Lock()
	notify := f.notify
	f.dirty = notify == nil
	f.mu.Unlock()
	if notify != nil {
		notify()
	}
}

// watch says whom to tell of news; at once, if there is some already.
func (f *filter) watch(notify func()) {
	f.mu.Lock()
	f.notify = notify
	tell := f.dirty && notify != nil
	if tell {
		f.dirty = false
	}
	f.mu.Unlock()
	if tell {
		notify()
	}
}

// calm forgets news, before a mailbox is selected.
func (f *filter) calm() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dirty = false
}

// begin clears what the last command collected and says which FETCH answers count.
func (f *filter) begin(want *wanted) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.want = want
	f.got = answers{bye: f.got.bye, prefix: f.got.prefix, delim: f.got.delim}
}

// end says that no FETCH answers are expected any more.
func (f *filter) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.want = nil
}

func (f *filter) answers() answers {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.got
}

func (f *filter) collect(note func(*answers)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	note(&f.got)
}
