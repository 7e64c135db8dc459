package imapproxy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// loginTimeout is how long a connection may stay without a login.
	loginTimeout = 2 * time.Minute
	// idleTimeout ends a silent connection; RFC 3501, section 5.4, asks for 30 minutes.
	idleTimeout = 35 * time.Minute
	// stallTimeout ends a connection that stops in the middle of a command or a response.
	// It counts from the last octet that moved, so that no message is too large for it.
	stallTimeout = 2 * time.Minute
	// byeTimeout bounds the goodbye to a client when the server stops.
	byeTimeout = time.Second
	// writeChunk is how much is written under one deadline.
	writeChunk = 64 << 10
)

// idleContinuation is what go-imap writes before it calls Session.Idle.
const idleContinuation = "+ idling\r\n"

// guard is the connection that go-imap's server sees. It reads and checks whole commands
// (guardread.go), answers some itself (guardlocal.go), and hands go-imap the rest, one at
// a time and without literals.
//
// Read and Write are called by the goroutine of go-imap's connection alone; send, hangUp
// and Close by any.
type guard struct {
	server        *Server
	local         bool // the client is on this machine
	authenticated atomic.Bool

	// What follows belongs to the goroutine of go-imap's connection.
	br        *bufio.Reader
	inCommand bool
	loginBy   time.Time
	input     []byte   // bytes that go-imap has yet to read
	pushed    []byte   // a line that was read too early
	cmd       *command // the command that go-imap is at
	tail      bool     // go-imap has yet to read the line end after APPEND's literal
	strikes   int      // malformed commands in a row
	farewell  string   // the connection ends with this before the next command
	failed    error    // the end of the connection; go-imap asks more than once
	greeted   bool
	midLine   bool
	idling    bool       // between IDLE's continuation and DONE
	idle      *idleState // of the last IDLE; Session.Idle reads it, too

	writeMu sync.Mutex
	partial bool // under writeMu: a response was begun and not ended
	closing atomic.Bool
	connMu  sync.Mutex
	conn    net.Conn // replaced by STARTTLS
	isTLS   atomic.Bool
}

// idleState lets the guard wait for the end of Session.Idle.
type idleState struct {
	hungUp chan struct{} // closed by the guard: the client is gone
	ended  chan struct{} // closed by Session.Idle
}

func newGuard(conn net.Conn, s *Server, isTLS bool) *guard {
	g := &guard{server: s, local: isLocal(conn), conn: conn, loginBy: time.Now().Add(loginTimeout)}
	if isTLS {
		g.conn = tls.Server(conn, s.options.TLS)
		g.isTLS.Store(true)
	}
	g.br = bufio.NewReader(guardReader{g})
	return g
}

// isLocal reports whether the peer reached us without a network in between.
func isLocal(conn net.Conn) bool {
	addr, ok := conn.LocalAddr().(*net.TCPAddr)
	return !ok || addr.IP.IsLoopback()
}

// mayLogin reports whether a password may be sent on this connection.
func (g *guard) mayLogin() bool { return g.local || g.isTLS.Load() }

func (g *guard) mayStartTLS() bool {
	return g.server.options.TLS != nil && !g.isTLS.Load() && !g.authenticated.Load()
}

// guardReader reads from the connection as it is now, under a deadline of our own.
type guardReader struct{ g *guard }

func (r guardReader) Read(p []byte) (int, error) {
	g := r.g
	var by time.Time
	switch now := time.Now(); {
	case !g.authenticated.Load():
		by = g.loginBy
	case g.inCommand:
		by = now.Add(stallTimeout)
	default:
		by = now.Add(idleTimeout)
	}
	conn := g.current()
	if err := conn.SetReadDeadline(by); err != nil {
		return 0, err
	}
	return conn.Read(p)
}

// Read gives go-imap its next bytes: at most one command at a time, so that whatever
// go-imap does with one, it starts afresh with the next.
func (g *guard) Read(p []byte) (int, error) {
	for len(g.input) == 0 {
		if g.failed == nil {
			g.failed = g.advance()
		}
		if g.failed != nil {
			g.leaveIdle()
			return 0, g.failed
		}
	}
	n := copy(p, g.input)
	g.input = g.input[n:]
	return n, nil
}

// advance fills input, or answers one command.
func (g *guard) advance() error {
	switch {
	case g.tail:
		g.tail = false
		g.input = []byte("\r\n")
		return nil
	case g.idling:
		return g.readDone()
	default:
		return g.readNext()
	}
}

// leaveIdle waits until Session.Idle has ended, so that it never runs beside Poll or
// Close: go-imap does not wait when the client is gone.
func (g *guard) leaveIdle() {
	if g.idling {
		g.idling = false
		close(g.idle.hungUp)
		<-g.idle.ended
	}
}

// Write takes go-imap's responses. Only whole lines that it writes at known moments are
// looked at, never content.
func (g *guard) Write(p []byte) (int, error) {
	out := p
	if !g.midLine {
		out = g.rewrite(p)
	}
	g.midLine = len(p) > 0 && p[len(p)-1] != '\n'
	if len(out) > 0 {
		if err := g.write(!g.midLine, [][]byte{out}); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// rewrite gives what is sent in the place of a response that starts with p.
func (g *guard) rewrite(p []byte) []byte {
	if !g.greeted {
		g.greeted = true
		if bytes.HasPrefix(p, []byte("* OK ")) {
			return []byte("* OK [CAPABILITY " + g.capabilities() + "] mailbridge ready\r\n")
		}
		return p
	}
	if g.cmd == nil {
		return p
	}
	if g.cmd.name == "IDLE" && string(p) == idleContinuation {
		// Held back until Session.Idle has written what is pending: some clients miss what
		// comes just after the continuation.
		g.idling = true
		g.idle = &idleState{hungUp: make(chan struct{}), ended: make(chan struct{})}
		return nil
	}
	rest, tagged := bytes.CutPrefix(p, []byte(g.cmd.tag+" "))
	if !tagged {
		return p
	}
	g.tail = false
	switch login := g.cmd.name == "LOGIN" || g.cmd.name == "AUTHENTICATE"; {
	case login && bytes.HasPrefix(rest, []byte("OK [CAPABILITY ")):
		return []byte(g.cmd.tag + " OK [CAPABILITY " + g.capabilities() + "] logged in\r\n")
	case string(rest) == "NO [SERVERBUG] Internal server error\r\n":
		// QUIRK: go-imap says so of arguments that it cannot parse; errors of the session
		// have texts of their own.
		return []byte(g.cmd.tag + " BAD [CLIENTBUG] the arguments are not valid\r\n")
	}
	return p
}

// send writes to the client, up to the end of a response. After an error the connection
// is of no use any more.
func (g *guard) send(bufs ...[]byte) error { return g.write(true, bufs) }

// sendPart writes a part of a response.
func (g *guard) sendPart(bufs ...[]byte) error { return g.write(false, bufs) }

func (g *guard) write(whole bool, bufs [][]byte) error {
	g.writeMu.Lock()
	defer g.writeMu.Unlock()
	g.partial = true
	conn := g.current()
	for _, b := range bufs {
		for len(b) > 0 {
			n := min(len(b), writeChunk)
			if err := conn.SetWriteDeadline(time.Now().Add(stallTimeout)); err != nil {
				return err
			}
			// Looked at after the deadline was set: hangUp sets its own after this.
			if g.closing.Load() {
				return net.ErrClosed
			}
			if _, err := conn.Write(b[:n]); err != nil {
				g.closing.Store(true)
				_ = conn.Close()
				return err
			}
			b = b[n:]
		}
	}
	g.partial = !whole
	return nil
}

func (g *guard) sendString(s string) error { return g.send([]byte(s)) }

// hangUp says goodbye and closes the connection. A response that is being written is
// cut off, and there is no goodbye then: it could pass for the end of a literal.
func (g *guard) hangUp(why string) {
	if !g.closing.Swap(true) {
		conn := g.current()
		_ = conn.SetWriteDeadline(time.Now().Add(byeTimeout))
		g.writeMu.Lock()
		if !g.partial {
			_, _ = conn.Write([]byte("* BYE " + why + "\r\n"))
		}
		g.writeMu.Unlock()
	}
	_ = g.Close()
}

// Close closes the connection.
func (g *guard) Close() error {
	g.server.forget(g)
	return g.current().Close()
}

func (g *guard) current() net.Conn {
	g.connMu.Lock()
	defer g.connMu.Unlock()
	return g.conn
}

func (g *guard) LocalAddr() net.Addr  { return g.current().LocalAddr() }
func (g *guard) RemoteAddr() net.Addr { return g.current().RemoteAddr() }

// The deadlines are the guard's own: go-imap's end a large message after five minutes
// and an idle command after 30 seconds, whether or not octets move.

func (g *guard) SetDeadline(time.Time) error      { return nil }
func (g *guard) SetReadDeadline(time.Time) error  { return nil }
func (g *guard) SetWriteDeadline(time.Time) error { return nil }
