package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// ErrNotRunning says that nobody answers on the socket.
var ErrNotRunning = errors.New("no bridge is running")

// exitUnavailable is EX_UNAVAILABLE of sysexits.h.
const exitUnavailable = 69

// Client asks the service on a Unix socket.
type Client struct {
	http *http.Client
}

// Dial connects to the service once, to see whether there is one. ErrNotRunning if not.
func Dial(ctx context.Context, path string) (*Client, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return dialSocket(ctx, path) }
	conn, err := dial(ctx, "", "")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	conn.Close()
	return &Client{http: &http.Client{Transport: &http.Transport{
		DialContext:        dial,
		DisableKeepAlives:  true, // one command, one connection; nothing is left open
		DisableCompression: true,
	}}}, nil
}

// Call runs a command in the service. It takes as long as the command does; ctx ends it
// on both sides.
func (c *Client) Call(ctx context.Context, name string, args, reply any) error {
	b, err := json.Marshal(args)
	if err != nil {
		return fmt.Errorf("web: arguments of %s: %w", name, err)
	}
	// The host name is never resolved: the transport always dials the socket.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://bridge"+pathPrefix+name, bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("web: command %s: %w", name, err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return c.broken(ctx)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err != nil {
		return c.broken(ctx)
	}
	if resp.StatusCode == http.StatusOK {
		return decodeReply(name, body, reply)
	}
	refusal := &Error{}
	if json.Unmarshal(body, refusal) != nil || refusal.Exit == 0 {
		return &Error{Exit: exitSoftware, Text: fmt.Sprintf("the running bridge answered %s to the command %s", resp.Status, name)}
	}
	return refusal
}

func (c *Client) broken(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return &Error{Exit: exitUnavailable, Text: "the running bridge went away before it answered"}
}

// dialTimeout is long for a local socket: only a stopped process lets it pass.
const dialTimeout = 5 * time.Second
