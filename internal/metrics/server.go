package metrics

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"upsedge/internal/doors"
)

// A Server answers /metrics, /healthz and /readyz.
type Server struct {
	listener net.Listener
	server   *http.Server
	web      string // file of the web configuration, or ""
}

// Listen binds the address. webConfig is a file in the format of Prometheus' own web configuration (TLS, basic
// authentication), or empty. healthy and ready are asked at each request; an error is the answer's text.
func Listen(address, webConfig string, reg *Registry, healthy, ready func() error) (*Server, error) {
	if webConfig != "" {
		if err := CheckWebConfig("metrics.web_config", webConfig); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("metrics.listen: %w", err)
	}
	return On(l, webConfig, reg, healthy, ready), nil
}

// On is Listen with a listener that is there already.
func On(l net.Listener, webConfig string, reg *Registry, healthy, ready func() error) *Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", newScraper(reg))
	mux.HandleFunc("GET /healthz", probe(healthy))
	mux.HandleFunc("GET /readyz", probe(ready))
	server := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: doors.MostHeader,
	}
	return &Server{listener: doors.Bound(server, l, doors.Most), server: server, web: webConfig}
}

// Addr returns the address that is listened on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Run serves until ctx ends and then waits for the requests in hand, at most a second.
func (s *Server) Run(ctx context.Context) error {
	failed := make(chan error, 1)
	go func() { failed <- ServeWeb(s.listener, s.server, s.web) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve metrics: %w", err)
	case <-ctx.Done():
	}
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := s.server.Shutdown(wait); err != nil {
		_ = s.server.Close()
	}
	if err := <-failed; err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}

func probe(check func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if err := check(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	}
}
