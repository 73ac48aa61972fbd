// Package metrics makes the Prometheus series of design section 10. Series of a unit derive from ups.Point: a point whose
// catalogue row names a metric has one, without another line here. A scrape reads memory, never a line or the disk; a value
// that was not read or does not apply has no series.
//
// Everything here is safe for concurrent use.
package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// Agent holds the series about the agent itself.
type Agent struct {
	Lateness      *prometheus.HistogramVec // tier
	Samples       prometheus.Counter
	EncodedBytes  prometheus.Counter
	Reconnects    prometheus.Counter
	AlarmDelivery prometheus.Histogram
	Orders        *prometheus.CounterVec // action, outcome; see OrderEnded
	OrdersRefused *prometheus.CounterVec // reason

	lines lines
}

// A Lane is what waits in one lane of the store.
type Lane struct {
	Name    string
	Records uint64
	Oldest  time.Time // wall clock; zero: empty or not trusted
	Dropped map[wire.GapReason]uint64
}

// A Spool is what waits in the store.
type Spool struct {
	Bytes int64
	Lanes []Lane
}

// Sources are asked at each scrape. They must answer from memory.
type Sources struct {
	Version      string
	Units        func() []Unit
	Spool        func() Spool
	ClockTrusted func() bool
	Uplink       func() (configured, connected bool)
	CertExpiry   func() *time.Time // nil or returning nil: no certificate
	Serial       bool              // metrics.serial_label
}

// tenths are the buckets of times on a line and of lateness: from a TCP exchange to a card that is almost too slow.
var tenths = [...]float64{0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5}

func newAgent() *Agent {
	counter := func(name, help string) prometheus.CounterOpts { return prometheus.CounterOpts{Name: name, Help: help} }
	histogram := func(name, help string, buckets []float64) prometheus.HistogramOpts {
		return prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}
	}
	return &Agent{
		lines: lines{all: map[string]*Line{}},
		Lateness: prometheus.NewHistogramVec(histogram("upsagent_poll_lateness_seconds",
			"How much later than asked for reads started.", tenths[:]), []string{"tier"}),
		Samples: prometheus.NewCounter(counter("upsagent_samples_total",
			"Samples stored since the start; a sample is one value of one point at one time.")),
		EncodedBytes: prometheus.NewCounter(counter("upsagent_encoded_bytes_total", "Size of the stored samples, encoded.")),
		Reconnects:   prometheus.NewCounter(counter("upsagent_mqtt_reconnects_total", "Sessions with the broker after the first.")),
		Orders:       prometheus.NewCounterVec(counter("upsagent_orders_total", "Orders that ended, from afar and on site, by how."), []string{"action", "outcome"}),
		OrdersRefused: prometheus.NewCounterVec(counter("upsagent_orders_refused_total",
			"Orders that were refused, from afar and on site, and messages that were none, by the reason code."), []string{"reason"}),
		AlarmDelivery: prometheus.NewHistogram(histogram("upsagent_alarm_delivery_seconds",
			"Time from an event being seen at the unit to its acknowledgement, by the cloud or, without one, by the broker.", []float64{0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600})),
	}
}

// state collects what is asked for at each scrape.
type state struct{ src Sources }

var (
	buildInfo = desc("upsagent_build_info", "Version of the agent, always 1.", "version")
	spoolSize = desc("upsagent_spool_bytes", "Size of the store on disk.")
	records   = desc("upsagent_spool_records", "Records that wait to be delivered.", "lane")
	oldest    = desc("upsagent_spool_oldest_timestamp_seconds", "Time of the oldest record that waits; only while something waits and the clock is trusted.", "lane")
	dropped   = desc("upsagent_spool_dropped_total", "Records given up, each covered by a gap record.", "lane", "reason")
	trusted   = desc("upsagent_clock_trusted", "1 once a time service or the cloud has set the clock.")
	expiry    = desc("upsagent_certificate_expiry_timestamp_seconds", "End of the client certificate as its file is now, looked at every minute; only with one.")
	connected = desc("upsagent_mqtt_connected", "1 while there is a session with the broker, else 0; only with an uplink.")
	alarmInfo = desc("ups_alarm_info", "Severity of each alarm of the event catalogue, always 1; join on alarm.", "alarm", "severity")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

func gauge(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func total(d *prometheus.Desc, v float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func bit(on bool) float64 {
	if on {
		return 1
	}
	return 0
}

// Describe lists the series.
func (s *state) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{buildInfo, spoolSize, records, oldest, dropped, trusted, expiry, connected, alarmInfo} {
		ch <- d
	}
}

// Collect sends the series of one scrape.
func (s *state) Collect(ch chan<- prometheus.Metric) {
	ch <- gauge(buildInfo, 1, s.src.Version)
	ch <- gauge(trusted, bit(s.src.ClockTrusted()))
	if s.src.CertExpiry != nil {
		if t := s.src.CertExpiry(); t != nil {
			ch <- gauge(expiry, seconds(*t))
		}
	}
	if configured, on := s.src.Uplink(); configured { // of an agent that stands alone 0 would look like a link that is down
		ch <- gauge(connected, bit(on))
	}
	for _, a := range ups.Alarms {
		ch <- gauge(alarmInfo, 1, alarmLabel(a.ID), a.Severity.String())
	}
	spool := s.src.Spool()
	ch <- gauge(spoolSize, float64(spool.Bytes))
	for _, l := range spool.Lanes {
		ch <- gauge(records, float64(l.Records), l.Name)
		if !l.Oldest.IsZero() {
			ch <- gauge(oldest, seconds(l.Oldest), l.Name)
		}
		for _, reason := range reasons {
			ch <- total(dropped, float64(l.Dropped[reason]), l.Name, string(reason))
		}
	}
}
