package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"upsedge/internal/doors"
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
	serve  func(net.Listener, *http.Server) error
}

// Ways is how a Server is reached.
type Ways struct {
	Address string   // of the page; "": none
	Names   []string // by which it may be asked for, beside addresses and localhost
	Socket  string   // "": none
	// Serve serves the page, with TLS and passwords; nil: with neither.
	Serve func(net.Listener, *http.Server) error
}

// Sources are asked at each request and answer from memory.
type Sources struct {
	Status  func(values bool) Status // with the values of all points, if wanted
	Layouts func() []*ups.Layout     // of the samples stored in this run
	// Unit is a unit with its values and its plots; false where there is none of that name. nil: none has plots.
	Unit func(name string) (Unit, []Span, bool)
	// Bundle makes a support bundle, for who asks on the socket; nil: there is none.
	Bundle func(context.Context) ([]byte, error)
	// Order carries out an order that was given on the socket, and calls step for each state that it takes, the final one last. The error is
	// a *WrongOrder for what is none. nil: there are none to be given.
	Order func(ctx context.Context, r OrderRequest, step func(OrderStep)) error
}

// Listen binds the page's address and the socket.
func Listen(ways Ways, src Sources) (*Server, error) {
	s := &Server{}
	if ways.Address != "" {
		l, err := net.Listen("tcp", ways.Address)
		if err != nil {
			return nil, fmt.Errorf("local.listen: %w", err)
		}
		mux := looks(src)
		newPages(src).routes(mux)
		s.open(l, guard(mux, ways.Names), ways.Serve)
	}
	if ways.Socket != "" {
		l, err := listenSocket(ways.Socket)
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
		s.open(l, guard(mux, []string{socketHost}), nil)
	}
	return s, nil
}

// open adds a way in. Whoever is slow is let go: a request has ten seconds to come, an answer thirty to be taken, and what lasts, lasts
// by a deadline for each of its parts (T-64).
func (s *Server) open(l net.Listener, h http.Handler, serve func(net.Listener, *http.Server) error) {
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: doors.MostHeader,
	}
	if serve == nil {
		serve = func(l net.Listener, s *http.Server) error { return s.Serve(l) }
	}
	s.doors = append(s.doors, door{doors.Bound(server, l, doors.Most), server, serve})
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
	return mux
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v) // the only error is a peer that has gone
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
		d.server.BaseContext = func(net.Listener) context.Context { return ctx } // who watches is let go
		go func() { failed <- d.serve(d.Listener, d.server) }()
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
