package provider

import (
	"bytes"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// idleTimeout is a rolling deadline: it counts from the last byte of either side. IMAP
// clients may be silent for half an hour in IDLE (RFC 2177).
const idleTimeout = 35 * time.Minute

// wireConn stands between a server and its (decrypted) connection. It edits the
// capability lists that go-imap writes by itself, swallows the second greeting after
// STARTTLS, and shows everything that comes in to the alarm.
type wireConn struct {
	net.Conn
	provider *Provider
	imap     bool
	closed   func()
	once     sync.Once
	scan     *scanner

	swallow bool   // the next line out is a greeting the client must not see
	line    []byte // an output line that is not complete yet
	literal int    // octets of an output literal still to pass
	left    *int   // octets that may still go out, see CutDuring; nil: any number
}

func (p *Provider) newWireConn(c net.Conn, pt port, started bool, closed func()) *wireConn {
	return &wireConn{Conn: c, provider: p, imap: pt.imap(), swallow: started, closed: closed, scan: p.alarm.scanner()}
}

func (w *wireConn) Close() error {
	w.once.Do(w.closed)
	return w.Conn.Close()
}

func (w *wireConn) Read(b []byte) (int, error) {
	if !w.imap { // go-imap sets deadlines of its own
		_ = w.Conn.SetReadDeadline(time.Now().Add(idleTimeout))
	}
	n, err := w.Conn.Read(b)
	w.scan.write(b[:n])
	return n, err
}

// name tells the alarm who is logged in.
func name(c net.Conn, addr string) {
	if w, ok := c.(*wireConn); ok {
		w.scan.name(addr)
	}
}

// Write is called by one goroutine at a time, as both servers lock their writer.
func (w *wireConn) Write(b []byte) (int, error) {
	out := make([]byte, 0, len(b)+64)
	for rest := b; len(rest) > 0; {
		if w.literal > 0 {
			n := min(w.literal, len(rest))
			out = append(out, rest[:n]...)
			w.literal -= n
			rest = rest[n:]
			continue
		}
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			w.line = append(w.line, rest...)
			break
		}
		line := append(w.line, rest[:end+1]...)
		w.line, rest = w.line[:0:0], rest[end+1:]
		if w.swallow {
			w.swallow = false
			continue
		}
		out = append(out, w.edit(line)...)
		if w.imap {
			w.literal = literalSize(line)
		}
	}
	if len(out) == 0 {
		return len(b), nil
	}
	if err := w.send(out); err != nil {
		return 0, err
	}
	return len(b), nil
}

// send writes, as far as a fault lets it.
func (w *wireConn) send(b []byte) error {
	if w.left == nil || len(b) <= *w.left {
		if w.left != nil {
			*w.left -= len(b)
		}
		_, err := w.Conn.Write(b)
		return err
	}
	_, _ = w.Conn.Write(b[:*w.left])
	_ = w.Close()
	return net.ErrClosed
}

// cutAfter lets n more octets out. It is called by the goroutine that writes.
func (w *wireConn) cutAfter(n int) { w.left = &n }

// literalSize gives the n of a line that ends in {n}.
func literalSize(line []byte) int {
	line, found := bytes.CutSuffix(line, []byte("}\r\n"))
	i := bytes.LastIndexByte(line, '{')
	if !found || i < 0 {
		return 0
	}
	n, err := strconv.Atoi(string(line[i+1:]))
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// edit changes the list of a CAPABILITY response, or of a response code in a greeting
// or a tagged OK, where RFC 3501 allows it.
func (w *wireConn) edit(line []byte) []byte {
	if !w.imap || !bytes.Contains(line, []byte("CAPABILITY ")) {
		return line
	}
	words := strings.Split(string(line), " ")
	switch {
	case len(words) > 2 && words[0] == "*" && words[1] == "CAPABILITY":
	case len(words) > 3 && words[1] == "OK" && words[2] == "[CAPABILITY":
	default:
		return line
	}
	return []byte(w.provider.announce(string(line)))
}

// announce edits the list that begins after "CAPABILITY " and ends at "]" or the end
// of the line. go-imap always offers ENABLE, UTF8=ACCEPT and LITERAL-; its UTF8=ACCEPT
// takes mailbox names for modified UTF-7 all the same, so it goes.
func (p *Provider) announce(line string) string {
	head, list, _ := strings.Cut(line, "CAPABILITY ")
	end := strings.IndexAny(list, "]\r\n") // edit gives whole lines
	list, tail := list[:end], list[end:]
	caps := strings.Fields(list)
	drop := append([]string{"ENABLE", "UTF8=ACCEPT"}, p.opts.Without...)
	caps = slices.DeleteFunc(caps, func(c string) bool { return slices.Contains(drop, c) })
	if !slices.ContainsFunc(caps, func(c string) bool { return strings.HasPrefix(c, "AUTH=") }) {
		caps = append(caps, p.opts.Extra...) // logged in
	}
	return head + "CAPABILITY " + strings.Join(caps, " ") + tail
}
