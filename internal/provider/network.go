package provider

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-smtp"
)

// port is one of the four ports.
type port int

const (
	portIMAP port = iota
	portIMAPS
	portSMTP
	portSMTPS
	ports // how many there are
)

func (pt port) imap() bool     { return pt == portIMAP || pt == portIMAPS }
func (pt port) implicit() bool { return pt == portIMAPS || pt == portSMTPS }

// handshakeTimeout ends connections that never get as far as TLS.
const handshakeTimeout = 30 * time.Second

// network owns listeners and connections.
type network struct {
	mu        sync.Mutex
	provider  *Provider
	addrs     [ports]*net.TCPAddr
	listeners [ports]net.Listener
	conns     map[net.Conn]struct{}
	running   bool
	closed    chan struct{}
	wg        sync.WaitGroup

	imapIn, smtpIn *handover
	imap           *imapserver.Server
	smtp           *smtp.Server
}

func (n *network) start(p *Provider) error {
	n.provider = p
	n.conns = make(map[net.Conn]struct{})
	n.closed = make(chan struct{})
	for pt := range ports {
		n.addrs[pt] = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}
	}
	n.imapIn, n.smtpIn = newHandover(), newHandover()
	n.imap, n.smtp = p.imapServer(), p.smtpServer()
	if err := n.up(); err != nil {
		return err
	}
	n.wg.Go(func() { _ = n.imap.Serve(n.imapIn) })
	n.wg.Go(func() { _ = n.smtp.Serve(n.smtpIn) })
	// Neither server can be closed before it serves.
	<-n.imapIn.serving
	<-n.smtpIn.serving
	return nil
}

func (n *network) addr(pt port) *net.TCPAddr {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.addrs[pt]
}

// up opens the ports: free ones at first, the same ones ever after.
func (n *network) up() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running {
		return nil
	}
	for pt := range ports {
		ln, err := net.ListenTCP("tcp", n.addrs[pt])
		if err != nil {
			n.stopListening()
			return fmt.Errorf("provider: %w", err)
		}
		n.listeners[pt] = ln
		n.addrs[pt] = ln.Addr().(*net.TCPAddr)
	}
	n.running = true
	for pt := range ports {
		ln := n.listeners[pt]
		n.wg.Go(func() { n.accept(ln, pt) })
	}
	return nil
}

func (n *network) stopListening() {
	for pt, ln := range n.listeners {
		if ln != nil {
			_ = ln.Close()
			n.listeners[pt] = nil
		}
	}
	n.running = false
}

func (n *network) down() {
	n.mu.Lock()
	n.stopListening()
	n.mu.Unlock()
	n.cut()
}

func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		_ = c.Close()
	}
}

func (n *network) close() error {
	n.mu.Lock()
	if n.closed == nil {
		n.mu.Unlock()
		return nil // never started
	}
	select {
	case <-n.closed:
		n.mu.Unlock()
		return nil
	default:
		close(n.closed)
	}
	n.stopListening()
	n.mu.Unlock()
	n.cut()
	err := errors.Join(n.imap.Close(), n.smtp.Close())
	n.wg.Wait()
	return err
}

func (n *network) accept(ln net.Listener, pt port) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		if !n.register(conn) {
			_ = conn.Close()
			return
		}
		n.wg.Go(func() { n.welcome(conn, pt) })
	}
}

// register keeps a connection for cut. It refuses one that was accepted while the
// ports were being closed.
func (n *network) register(c net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.running {
		return false
	}
	n.conns[c] = struct{}{}
	return true
}

func (n *network) forget(c net.Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.conns, c)
}

// welcome brings a connection under TLS, as the port wants it, and hands it to the
// server. All of a server's code therefore sees decrypted traffic.
func (n *network) welcome(raw net.Conn, pt port) {
	conn, started, err := n.secure(raw, pt)
	if err != nil {
		n.provider.opts.Log.Debug("connection ended before TLS", "error", err)
		n.forget(raw)
		_ = raw.Close()
		return
	}
	in := n.smtpIn
	if pt.imap() {
		in = n.imapIn
	}
	w := n.provider.newWireConn(conn, pt, started, func() { n.forget(raw) })
	if !in.put(w) {
		_ = w.Close()
	}
}

// secure gives the connection that the server is to use, and whether STARTTLS was done
// on it, so that the client has had its greeting.
func (n *network) secure(raw net.Conn, pt port) (conn net.Conn, started bool, err error) {
	p := n.provider
	if !pt.implicit() && p.opts.Plaintext {
		return raw, false, nil
	}
	_ = raw.SetDeadline(time.Now().Add(handshakeTimeout))
	if !pt.implicit() {
		if err := p.awaitStartTLS(raw, pt); err != nil {
			return nil, false, err
		}
	}
	secured := tls.Server(raw, p.tlsConfig())
	if err := secured.Handshake(); err != nil {
		return nil, false, err
	}
	return secured, !pt.implicit(), raw.SetDeadline(time.Time{})
}

// handover is a listener that is given its connections.
type handover struct {
	conns         chan net.Conn
	serving, done chan struct{} // closed by the first Accept, and by Close
	first, last   sync.Once
}

func newHandover() *handover {
	return &handover{conns: make(chan net.Conn), serving: make(chan struct{}), done: make(chan struct{})}
}

func (h *handover) put(c net.Conn) bool {
	select {
	case h.conns <- c:
		return true
	case <-h.done:
		return false
	}
}

func (h *handover) Accept() (net.Conn, error) {
	h.first.Do(func() { close(h.serving) })
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

func (h *handover) Close() error {
	h.last.Do(func() { close(h.done) })
	return nil
}

func (h *handover) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
