package api

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
)

// TestT85WhoDoesNotReadIsLetGo: neither a goroutine nor what it holds waits for somebody who takes nothing.
func TestT85WhoDoesNotReadIsLetGo(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a, err := New(Config{DB: db, Authenticate: known})
		must(t, err)
		a.writeWithin = 200 * time.Millisecond
		ended := make(chan error, 2)
		a.routes = append(
			a.routes,
			route{method: "GET", pattern: "/stream", why: "a test", public: "a test", read: func(*Request) (Answer, error) {
				return Answer{Stream: func(_ context.Context, w http.ResponseWriter) error {
					for piece := make([]byte, 256<<10); ; {
						if _, err := w.Write(piece); err != nil {
							ended <- err
							return err
						}
					}
				}}, nil
			}},
			route{method: "GET", pattern: "/slow", why: "a test", public: "a test", read: func(*Request) (Answer, error) {
				time.Sleep(2 * a.writeWithin) // a question may take longer than a piece of its answer
				return Answer{Body: "answered"}, nil
			}},
		)
		s := serveSite(t, a)
		s.client = http.DefaultClient
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", s.server.Listener.Addr().String())
		must(t, err)
		defer c.Close()
		_, err = io.WriteString(c, "GET /stream HTTP/1.1\r\nHost: x\r\n\r\n")
		must(t, err)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Fatal("it still waits for who does not read")
		}
		for range 2 { // on one connection
			if got := s.do("GET", "/slow", nil); got.status != 200 || string(got.body) != "\"answered\"\n" {
				t.Errorf("%d %s", got.status, got.body)
			}
		}
	})
}

// TestAStreamThatIsCutIsSeenToBeCut: at a stop, half an export must not look like a whole one.
func TestAStreamThatIsCutIsSeenToBeCut(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		streams, stop := context.WithCancel(t.Context())
		a, err := New(Config{DB: db, Authenticate: known, Streams: streams})
		must(t, err)
		a.routes = append(a.routes, route{method: "GET", pattern: "/export", why: "a test", public: "a test", read: func(*Request) (Answer, error) {
			return Answer{Stream: func(ctx context.Context, w http.ResponseWriter) error {
				if _, err := io.WriteString(w, "half\n"); err != nil {
					return err
				}
				if err := http.NewResponseController(w).Flush(); err != nil {
					return err
				}
				<-ctx.Done()
				return ctx.Err()
			}}, nil
		}})
		s := serveSite(t, a)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.server.URL+"/export", nil)
		must(t, err)
		res, err := http.DefaultClient.Do(r)
		must(t, err)
		defer res.Body.Close()
		in := bufio.NewReader(res.Body)
		if line, err := in.ReadString('\n'); line != "half\n" {
			t.Fatalf("%q, %v", line, err)
		}
		stop()
		if rest, err := io.ReadAll(in); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the end is %q, %v: it looks whole", rest, err)
		}
	})
}
