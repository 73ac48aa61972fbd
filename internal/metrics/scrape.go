package metrics

import (
	"compress/gzip"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"upsedge/internal/doors"
)

const (
	// mostScrapes are written at a time. One holds a copy of every unit, a few megabytes for a thousand of them, and the last of a
	// hundred that come at once should not end the agent. Of one address there is one, so that who reads slowly stops no other's.
	mostScrapes = 2
	// waitForTurn is how long another waits for its turn. Prometheus gives up after 10 s by default.
	waitForTurn = 5 * time.Second
)

// A scraper answers /metrics.
type scraper struct {
	reg    *Registry
	turns  *doors.Turns // one each for the scrapes under way
	errors *prometheus.CounterVec
}

func newScraper(reg *Registry) *scraper {
	s := &scraper{reg: reg, turns: doors.NewTurns(mostScrapes, 1, waitForTurn)}
	s.errors = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "promhttp_metric_handler_errors_total", // of the library's handler, whose place this takes
		Help: "Total number of internal errors encountered by the promhttp metric handler.",
	}, []string{"cause"})
	for _, cause := range []string{"gathering", "encoding"} {
		s.errors.WithLabelValues(cause)
	}
	reg.own.MustRegister(s.errors)
	return s
}

// ServeHTTP answers with the text format, whatever else is accepted: every scraper reads it. The parameter name[], which may be
// repeated, picks families.
func (s *scraper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	done := s.turns.Take(r)
	if done == nil {
		w.Header().Set("Retry-After", strconv.Itoa(int(waitForTurn.Seconds())))
		http.Error(w, fmt.Sprintf("%d scrapes are under way, try again later", mostScrapes), http.StatusServiceUnavailable)
		return
	}
	defer done()
	families, err := s.reg.families(picked(r))
	if err != nil {
		s.errors.WithLabelValues("gathering").Inc()
		http.Error(w, fmt.Sprintf("gather metrics: %v", err), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", string(expfmt.NewFormat(expfmt.TypeTextPlain)))
	h.Set("Vary", "Accept-Encoding")
	if err := s.send(w, r, families); err != nil {
		s.errors.WithLabelValues("encoding").Inc() // the answer has begun; that it is cut off is all that can be told
		panic(http.ErrAbortHandler)
	}
}

func (s *scraper) send(w http.ResponseWriter, r *http.Request, families []*family) error {
	if !takesGzip(r.Header.Values("Accept-Encoding")) {
		return write(w, families)
	}
	w.Header().Set("Content-Encoding", "gzip")
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if err := write(z, families); err != nil {
		return err
	}
	return z.Close()
}

// picked returns what tells the families that a request wants, nil for all.
func picked(r *http.Request) func(string) bool {
	names := r.URL.Query()["name[]"]
	if len(names) == 0 {
		return nil
	}
	return func(name string) bool { return slices.Contains(names, name) }
}

// takesGzip reports whether a client accepts gzip (RFC 9110, section 12.5.3): by name, or as one of all, and not with a weight of 0.
func takesGzip(accept []string) bool {
	all, named, takes := false, false, false
	for item := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		coding, params, _ := strings.Cut(item, ";")
		weight, found := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
		q, err := strconv.ParseFloat(weight, 64)
		wanted := !found || err == nil && q > 0
		switch strings.ToLower(strings.TrimSpace(coding)) {
		case "gzip", "x-gzip":
			named, takes = true, wanted
		case "*":
			all = wanted
		}
	}
	if named {
		return takes
	}
	return all
}
