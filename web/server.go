package web

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	// maxRequest bounds the arguments of one command. The longest is a key of 512 KiB,
	// which grows by a third in JSON.
	maxRequest = 1 << 20
	// maxReply bounds what the client reads: a message of 50 MiB, the most that can be
	// submitted, grows by a third in JSON.
	maxReply = 96 << 20
	// headerTimeout is how long the local peer may take to say what it wants.
	headerTimeout = 10 * time.Second
	// shutdownTimeout is how long running commands may take to end at shutdown.
	shutdownTimeout = 3 * time.Second
	// pathPrefix carries the version of the protocol.
	pathPrefix = "/v1/"
)

// Server serves a table over HTTP on a Unix socket: POST /v1/NAME with the arguments
// as JSON gives the reply (200) or an Error (422).
type Server struct {
	table *Table
	http  *http.Server
	stop  context.CancelFunc
}

// NewServer makes a server for the table.
func NewServer(t *Table) *Server {
	ctx, stop := context.WithCancel(context.Background())
	s := &Server{table: t, stop: stop}
	s.http = &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ReadHeaderTimeout: headerTimeout,
		MaxHeaderBytes:    16 << 10, // the client sends five short fields
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	return s
}

// Serve answers until Close.
func (s *Server) Serve(l net.Listener) error {
	err := s.http.Serve(l)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Close ends the running commands and the server.
func (s *Server) Close() error {
	s.stop()
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		return s.http.Close()
	}
	return nil
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutPrefix(r.URL.Path, pathPrefix)
	if !ok || r.Method != http.MethodPost {
		http.NotFound(w, r)
		return
	}
	args, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		answer(w, http.StatusUnprocessableEntity, &Error{Exit: exitUsage, Text: "the arguments could not be read: " + err.Error()})
		return
	}
	reply, refusal := s.table.run(r.Context(), name, args)
	if refusal != nil {
		answer(w, http.StatusUnprocessableEntity, refusal)
		return
	}
	answer(w, http.StatusOK, json.RawMessage(reply))
}

// answer ignores write errors: a client that went away needs no answer.
func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
