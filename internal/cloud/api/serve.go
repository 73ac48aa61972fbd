package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"time"

	"upsedge/internal/cloud"
	"upsedge/internal/cloud/eventlog"
	"upsedge/internal/cloud/store"
	"upsedge/internal/policy"
)

// outermost is what every request passes: headers, its id, and what catches a fault.
func (a *API) outermost(next http.Handler) http.Handler {
	// A page of another site must not act with the cookie of who is signed in here (T-85). Requests of programs carry no Origin.
	guard := http.NewCrossOriginProtection()
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.refuse(w, r, cloud.Refuse(policy.OwnerOnly, "this came from a page of another site"), requestID(r))
	}))
	inner := guard.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; sandbox")
		h.Set("Strict-Transport-Security", "max-age=63072000; includeSubDomains") // two years; the host has nothing that is not TLS (ASVS 3.4.1)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		id := cloud.NewID("r_")
		h.Set("X-Request-Id", id)
		r = r.WithContext(context.WithValue(r.Context(), idKey{}, id))
		patience(w, 0) // what the last request on this connection has left
		defer patience(w, a.writeWithin)
		defer func() {
			if fault := recover(); fault != nil {
				if fault == http.ErrAbortHandler {
					panic(fault)
				}
				a.log.Error("fault in a request", "request", id, "method", r.Method, "path", r.URL.Path, "fault", fault, "stack", string(debug.Stack()))
				p, _ := problemOf(errors.New("fault"), id)
				p.write(w, nil)
			}
		}()
		inner.ServeHTTP(w, r)
	})
}

type idKey struct{}

func requestID(r *http.Request) string {
	id, _ := r.Context().Value(idKey{}).(string)
	return id
}

// serve makes a handler of a route.
func (a *API) serve(rt route) http.Handler {
	name := rt.method + " " + rt.pattern
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		out := &watched{ResponseWriter: w, status: http.StatusOK, within: a.writeWithin}
		rt.cleanIDs(r)
		if a.cfg.Observe != nil {
			defer func() { a.cfg.Observe(name, out.status, time.Since(began)) }()
		}
		q := &Request{Request: r, Now: a.cfg.Now().UTC(), W: out, api: a}
		answer, err := a.run(rt, q)
		if err == nil {
			err = a.write(out, q, answer)
		}
		if err != nil {
			a.refuse(out, r, err, requestID(r))
		}
	})
}

const (
	writeWithin = 30 * time.Second // a piece of an answer must have left; who reads slower than that is cut off
	pieceOut    = 64 << 10
)

// patience is how long what is written next may take; 0: as long as it wants. A writer that cannot tell, of a test, takes what it takes.
func patience(w http.ResponseWriter, within time.Duration) {
	by := time.Time{}
	if within > 0 {
		by = time.Now().Add(within)
	}
	_ = http.NewResponseController(w).SetWriteDeadline(by)
}

// watched remembers what was answered, and waits for nobody who does not read: each piece has its time.
type watched struct {
	http.ResponseWriter
	status int
	sent   bool
	within time.Duration
}

func (w *watched) WriteHeader(status int) {
	if !w.sent {
		w.status, w.sent = status, true
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *watched) Write(b []byte) (n int, err error) {
	w.sent = true
	for err == nil && len(b) > 0 {
		patience(w.ResponseWriter, w.within)
		var more int
		more, err = w.ResponseWriter.Write(b[:min(len(b), pieceOut)])
		n, b = n+more, b[more:]
	}
	return n, err
}

// Unwrap is for http.ResponseController.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// run does what a request asks.
func (a *API) run(rt route, q *Request) (Answer, error) {
	var err error
	address, _, splitErr := net.SplitHostPort(q.RemoteAddr)
	if splitErr != nil {
		address = q.RemoteAddr
	}
	if rt.public == "" {
		if q.Actor, err = a.cfg.Authenticate(q.Request); err != nil {
			return Answer{}, err
		}
	}
	q.Actor.Address, q.Actor.Request = address, requestID(q.Request)
	if err := checkQuery(q.URL.RawQuery); err != nil {
		return Answer{}, err
	}
	most := rt.body
	if most == 0 {
		most = maxBody
	}
	if rt.own {
		// it is not read for somebody who may not send it
	} else if q.body, err = io.ReadAll(http.MaxBytesReader(q.W, q.Body, most)); err != nil {
		if big := (*http.MaxBytesError)(nil); errors.As(err, &big) {
			return Answer{}, cloud.Refuse(policy.TooLarge, "the body has more than %d bytes", most)
		}
		return Answer{}, cloud.Refuse(policy.Malformed, "the body did not come whole")
	}
	if rt.read != nil {
		// A POST in transactions of its own changes something, too.
		if q.Method == http.MethodPost && q.Actor.Account != "" {
			if err := q.DB().Write(q.Context(), func(ctx context.Context, tx *store.Tx) error { return q.spend(ctx, tx, changesBy) }); err != nil {
				return Answer{}, err
			}
		}
		answer, err := rt.read(q)
		return answer, a.noteRefusal(q, err)
	}
	answer, err := a.change(rt, q)
	return answer, a.noteRefusal(q, err)
}

// checkQuery refuses what is no query, and a name that stands in it twice: whoever reads it would choose one, and another reader the other.
func checkQuery(raw string) error {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return cloud.Refuse(policy.Malformed, "what stands behind the question mark is no query")
	}
	for name, list := range values {
		if len(list) > 1 {
			return cloud.RefuseField(policy.Malformed, eventlog.Clean(name), "it stands in the query twice")
		}
	}
	return nil
}

// noteRefusal lets a refusal be logged, in a transaction of its own: that of the change is gone. One that cannot be logged is not told either:
// what is not in the log has not been answered.
func (a *API) noteRefusal(q *Request, err error) error {
	var refusal *cloud.Error
	if !errors.As(err, &refusal) || q.Refused == nil {
		return err
	}
	ctx := context.WithoutCancel(q.Context())
	if noteErr := q.DB().Write(ctx, func(ctx context.Context, tx *store.Tx) error { return q.Refused(ctx, tx, refusal) }); noteErr != nil {
		return errors.Join(errors.New(err.Error()), noteErr)
	}
	return err
}

func (a *API) write(w *watched, q *Request, answer Answer) error {
	for name, value := range answer.Header {
		w.Header().Set(name, value)
	}
	switch {
	case answer.Stream != nil:
		w.WriteHeader(answer.status())
		ctx, cancel := context.WithCancel(q.Context())
		defer cancel()
		defer context.AfterFunc(a.cfg.Streams, cancel)()
		if err := answer.Stream(ctx, w); err != nil {
			if ctx.Err() == nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				a.log.Error("an answer broke off", "request", q.Actor.Request, "path", q.URL.Path, "err", err)
			}
			panic(http.ErrAbortHandler) // so that who reads it sees that it is not whole
		}
		return nil
	case answer.Body == nil:
		w.WriteHeader(answer.status())
		return nil
	}
	raw, done := answer.Body.(json.RawMessage) // an answer that was kept
	if !done {
		var err error
		if raw, err = json.Marshal(answer.Body); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(answer.status())
	_, _ = w.Write(append(raw, '\n')) // who hung up is not told
	return nil
}

// refuse answers with a problem.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, err error, request string) {
	p, ours := problemOf(err, request)
	if !ours && r.Context().Err() == nil {
		a.log.Error("request failed", "request", request, "method", r.Method, "path", r.URL.Path, "err", err)
	}
	var e *cloud.Error
	_ = errors.As(err, &e)
	p.write(w, e)
}
