package smtpproxy

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// listener gives every connection its deadlines, and turns away those beyond the limit.
type listener struct {
	net.Listener
	server *Server
	once   sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.server.connections.Add(1) <= int64(l.server.opts.MaxConnections) {
			return &conn{Conn: raw, server: l.server, loginBy: time.Now().Add(loginTimeout)}, nil
		}
		l.server.connections.Add(-1)
		l.server.opts.Log.Warn("too many SMTP connections", "limit", l.server.opts.MaxConnections)
		_ = raw.SetWriteDeadline(time.Now().Add(time.Second)) // it fits into the socket's buffer
		_, _ = io.WriteString(raw, "421 4.3.2 Too many connections\r\n")
		_ = raw.Close()
	}
}

// Close may be called by go-smtp and by Server.serve.
func (l *listener) Close() (err error) {
	l.once.Do(func() { err = l.Listener.Close() })
	return err
}

// conn is a client's connection, below TLS. Its deadlines roll: go-smtp's own would
// count from DATA to the end of the message.
type conn struct {
	net.Conn
	server   *Server
	loginBy  time.Time
	loggedIn atomic.Bool
	once     sync.Once
}

func (c *conn) Read(b []byte) (int, error) {
	deadline := time.Now().Add(c.server.opts.IdleTimeout)
	if !c.loggedIn.Load() && deadline.After(c.loginBy) {
		deadline = c.loginBy
	}
	if err := c.Conn.SetReadDeadline(deadline); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

func (c *conn) Write(b []byte) (int, error) {
	if err := c.Conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

func (c *conn) Close() error {
	c.once.Do(func() { c.server.connections.Add(-1) })
	return c.Conn.Close()
}

// below finds the conn below TLS, and reports whether there is TLS.
func below(c net.Conn) (inner *conn, secured bool) {
	if t, ok := c.(*tls.Conn); ok {
		c, secured = t.NetConn(), true
	}
	inner, _ = c.(*conn)
	return inner, secured
}

// private reports whether a password may cross the connection: under TLS, and on this
// machine.
func private(c net.Conn) bool {
	inner, secured := below(c)
	if secured || inner == nil {
		return secured
	}
	addr, ok := inner.RemoteAddr().(*net.TCPAddr)
	return !ok || addr.IP.IsLoopback() // a socket that is not TCP is a local one
}
