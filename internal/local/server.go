package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"upsedge/internal/ups"
)

// A Server answers on the command socket and serves the status page.
type Server struct {
	doors []door
}

// A door is one way in. What may be asked there is its own.
type door struct {
	net.Listener
	server *http.Server
}

// Sources are asked at each request and answer from memory.
type Sources struct {
	Status  func(values bool) Status // with the values of all points, if wanted
	Layouts func() []*ups.Layout     // of the samples stored in this run
	// Bundle makes a support bundle, for who asks on the socket; nil: there is none.
	Bundle func(context.Context) ([]byte, error)
	// Order carries out an order that was given on the socket, and calls step for each state that it takes, the final one last. The error is
	// a *WrongOrder for what is none. nil: there are none to be given.
	Order func(ctx context.Context, r OrderRequest, step func(OrderStep)) error
}

// Listen binds the page's address and the socket; either may be "".
func Listen(address, socket string, src Sources) (*Server, error) {
	s := &Server{}
	if address != "" {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return nil, fmt.Errorf("local.listen: %w", err)
		}
		s.open(l, looks(src))
	}
	if socket != "" {
		l, err := listenSocket(socket)
		if err != nil {
			s.close()
			return nil, fmt.Errorf("local.socket: %w", err)
		}
		mux := looks(src)
		if src.Bundle != nil {
			mux.HandleFunc("GET /v1/bundle", bundle(src.Bundle))
		}
		if src.Order != nil {
			mux.HandleFunc("POST /v1/orders", order(src.Order))
		}
		s.open(l, mux)
	}
	return s, nil
}

func (s *Server) open(l net.Listener, h http.Handler) {
	s.doors = append(s.doors, door{l, &http.Server{Handler: guard(h), ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute}})
}

// listenSocket binds a socket that only the agent's user and group can ask. One left over by a crash is replaced; one that
// answers belongs to another agent.
func listenSocket(path string) (net.Listener, error) {
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, fmt.Errorf("%s is in use by another agent", path)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	return l, os.Chmod(path, 0o660)
}

// looks are the routes that change nothing.
func looks(src Sources) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) {
		answer(w, src.Status(r.URL.Query().Has("values")))
	})
	mux.HandleFunc("GET /v1/layouts", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, layoutsJSON(src.Layouts()))
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		_, _ = io.WriteString(w, page(src.Status(true))) // as above
	})
	return mux
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v) // the only error is a peer that has gone
}

// guard answers only requests that name this box by address or as localhost: a page of another site that a browser on the box
// shows could otherwise read the status through a name that was pointed here (DNS rebinding).
func guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if host != "localhost" && host != socketHost && net.ParseIP(host) == nil {
			http.Error(w, "ask for this page by address", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Addrs returns what is listened on, the page's address first.
func (s *Server) Addrs() []string {
	var out []string
	for _, d := range s.doors {
		out = append(out, d.Addr().String())
	}
	return out
}

// Run serves until ctx ends and then waits for the requests in hand, at most a second.
func (s *Server) Run(ctx context.Context) error {
	if len(s.doors) == 0 {
		<-ctx.Done()
		return nil
	}
	failed := make(chan error, len(s.doors))
	for _, d := range s.doors {
		d.server.BaseContext = func(net.Listener) context.Context { return ctx } // who watches an order is let go
		go func() { failed <- d.server.Serve(d.Listener) }()
	}
	var err error
	left := len(s.doors)
	select {
	case err = <-failed:
		left--
	case <-ctx.Done():
	}
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	for _, d := range s.doors {
		if d.server.Shutdown(wait) != nil {
			_ = d.server.Close()
		}
	}
	for range left {
		<-failed
	}
	if err != nil {
		return fmt.Errorf("serve the status page: %w", err)
	}
	return nil
}

func (s *Server) close() {
	for _, d := range s.doors {
		d.Close()
	}
}
