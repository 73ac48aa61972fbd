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
	"strconv"
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
		mux := looks(src, doors.NewTurns(mostAnswers, 1, waitForTurn))
		newPages(src).routes(mux)
		s.open(l, guard(mux, ways.Names), ways.Serve)
	}
	if ways.Socket != "" {
		l, err := listenSocket(ways.Socket)
		if err != nil {
			s.close()
			return nil, fmt.Errorf("local.socket: %w", err)
		}
		mux := looks(src, doors.NewTurns(mostAnswers, mostAnswers, waitForTurn))
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

const (
	// mostAnswers are in hand at a time: of a thousand units with all their values one is 13 MB of text and 23 of values, and who reads slowly
	// keeps them for as long as that takes. On the page's door there is one for an address.
	mostAnswers = 2
	// waitForTurn is how long another waits.
	waitForTurn = 5 * time.Second
)

// looks are the routes that change nothing.
func looks(src Sources, turns *doors.Turns) *http.ServeMux {
	mux := http.NewServeMux()
	look := func(path string, of func(*http.Request) (what any, long int)) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			done := turns.Take(r)
			if done == nil {
				w.Header().Set("Retry-After", strconv.Itoa(int(waitForTurn.Seconds())))
				http.Error(w, "others are being answered; ask again later", http.StatusServiceUnavailable)
				return
			}
			defer done()
			what, long := of(r)
			answer(w, what, long <= perPage)
		})
	}
	look("/v1/status", func(r *http.Request) (any, int) {
		s := src.Status(r.URL.Query().Has("values"))
		return s, len(s.Units)
	})
	look("/v1/layouts", func(*http.Request) (any, int) {
		all := layoutsJSON(src.Layouts())
		return all, len(all)
	})
	return mux
}

// answer writes JSON, for people where it is not long: indented it is twice the text, and made twice.
func answer(w http.ResponseWriter, v any, indented bool) {
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	if indented {
		enc.SetIndent("", "  ")
	}
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
