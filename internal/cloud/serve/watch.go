package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"upsedge/internal/cloud/store"
)

// A watch has the metrics, and answers whether the server is well.
type watch struct {
	s        *Server
	registry *prometheus.Registry
	requests *prometheus.HistogramVec
	pubacks  prometheus.Histogram
}

func newWatch(s *Server) *watch {
	w := &watch{
		s: s, registry: prometheus.NewRegistry(),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "upscloud_http_request_duration_seconds", Help: "How long requests of the HTTP interface took, streams included.",
			Buckets: []float64{0.005, 0.02, 0.1, 0.5, 2, 10},
		}, []string{"route", "status"}),
		pubacks: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "upscloud_mqtt_acknowledge_seconds", Help: "How long messages of agents took from their arrival until behind the commit that keeps them.",
			Buckets: []float64{0.001, 0.005, 0.02, 0.1, 0.5, 2, 10},
		}),
	}
	w.registry.MustRegister(w.requests, w.pubacks, w, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return w
}

func (w *watch) request(route string, status int, took time.Duration) {
	w.requests.WithLabelValues(route, strconv.Itoa(status)).Observe(took.Seconds())
}

func (w *watch) acknowledged(took time.Duration) { w.pubacks.Observe(took.Seconds()) }

var (
	buildInfo   = prometheus.NewDesc("upscloud_build_info", "1; the version of the program and the database it uses.", []string{"version", "database"}, nil)
	agents      = prometheus.NewDesc("upscloud_agents_connected", "Agents that are connected to this process.", nil, nil)
	connections = prometheus.NewDesc("upscloud_mqtt_connections", "Connections to the MQTT front, with those that have not said who they are.", nil, nil)
	received    = prometheus.NewDesc("upscloud_mqtt_messages_received_total", "Messages of agents.", nil, nil)
	kept        = prometheus.NewDesc("upscloud_mqtt_messages_acknowledged_total", "Messages of agents that were acknowledged, behind their commit.", nil, nil)
	payload     = prometheus.NewDesc("upscloud_mqtt_received_bytes_total", "Bytes of the payloads of agents' messages.", nil, nil)
	sent        = prometheus.NewDesc("upscloud_mqtt_messages_sent_total", "Messages to agents.", nil, nil)
	unsent      = prometheus.NewDesc("upscloud_mqtt_messages_unsent_total", "Messages to agents that found nobody, or a full queue.", nil, nil)
	ended       = prometheus.NewDesc("upscloud_mqtt_ended_total", "Connections that ended, and subscriptions that were refused, by why.", []string{"reason"}, nil)
	mails       = prometheus.NewDesc("upscloud_mails_total", "Letters by what became of them.", []string{"outcome"}, nil)
	notified    = prometheus.NewDesc("upscloud_notifications_total", "Notifications by what became of them; held: counted for a digest.", []string{"outcome"}, nil)
	notifyWaits = prometheus.NewDesc("upscloud_notifications_waiting", "Notifications that wait to be sent, as of the last look.", nil, nil)
	certificate = prometheus.NewDesc("upscloud_certificate_expiry_timestamp_seconds", "When the server's own certificate ends.", nil, nil)
)

// Describe is for prometheus.Collector.
func (w *watch) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{buildInfo, agents, connections, received, kept, payload, sent, unsent, ended, mails, notified, notifyWaits, certificate} {
		to <- d
	}
}

// Collect is for prometheus.Collector. It reads memory.
func (w *watch) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	gauge(buildInfo, 1, w.s.version, w.s.db.Dialect())
	f := w.s.front.Stats()
	gauge(agents, float64(f.Sessions))
	gauge(connections, float64(f.Connections))
	count(received, float64(f.Received))
	count(kept, float64(f.Acknowledged))
	count(payload, float64(f.Bytes))
	count(sent, float64(f.Sent))
	count(unsent, float64(f.Unsent))
	for reason, n := range f.Ended {
		count(ended, float64(n), reason.String())
	}
	m := w.s.mail.Counts()
	count(mails, float64(m.Sent), "sent")
	count(mails, float64(m.Retried), "retried")
	count(mails, float64(m.GivenUp), "given_up")
	count(mails, float64(m.Withdrawn), "withdrawn")
	n := w.s.notify.Counts()
	count(notified, float64(n.Sent), "sent")
	count(notified, float64(n.Failed), "failed")
	count(notified, float64(n.Withdrawn), "withdrawn")
	count(notified, float64(n.Held), "held")
	gauge(notifyWaits, float64(n.Waiting))
	if at, err := w.s.authority.ServerEnds(); err == nil {
		gauge(certificate, float64(at.Unix()))
	}
}

// serve answers /metrics, /healthz and /readyz until ctx ends.
func (w *watch) serve(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(w.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", probe(func(context.Context) error { return nil }))
	mux.HandleFunc("GET /readyz", probe(w.ready))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

var errNotYet = errors.New("not every part has been started")

// ready asks the database: whatever is asked of the control plane needs it.
func (w *watch) ready(ctx context.Context) error {
	switch {
	case !w.s.serving.Load():
		return errNotYet
	case w.s.stopping.Load():
		return errors.New("stopping")
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return w.s.db.Read(ctx, func(ctx context.Context, tx *store.Tx) error {
		var one int
		if err := tx.QueryRow(ctx, `SELECT 1`).Scan(&one); err != nil {
			return fmt.Errorf("database: %w", err)
		}
		return nil
	})
}

func probe(ask func(context.Context) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := ask(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	}
}
