package agent

import (
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"upsedge/internal/asyncapi"
)

// protocol is what the document for integrators says of messages.
var protocol = sync.OnceValues(func() (*asyncapi.Document, error) { return asyncapi.Load("../../docs/asyncapi.yaml") })

// A notice is one message of the topic events as a receiver reads it: from the JSON, by what FORMAT.md says and nothing else.
type notice struct {
	Version     int               `json:"v"`
	Stream      string            `json:"stream"`
	Lane        string            `json:"lane"`
	Seq         uint64            `json:"seq"`
	Class       string            `json:"class"`
	Time        time.Time         `json:"time"`
	ID          int               `json:"event_id"`
	Kind        string            `json:"kind"`
	Severity    string            `json:"severity"`
	Text        string            `json:"text"`
	Unit        string            `json:"unit"`
	Device      string            `json:"device"`
	Detail      string            `json:"detail"`
	Group       string            `json:"group"`
	Raw         map[string]string `json:"raw"`
	Unconfirmed bool              `json:"unconfirmed"`
	Inferred    bool              `json:"inferred"`
	RaisedBy    uint64            `json:"raised_by"`

	came time.Time // on the bubble's clock
}

func (n notice) String() string {
	return fmt.Sprintf("%s %d %s %q %v", n.Kind, n.ID, n.Severity, n.Detail, n.Raw)
}

// A report is one message of the topic state.
type report struct {
	Session uint64 `json:"session"`
	Online  *bool  `json:"online"`
	Units   []struct {
		Unit        string   `json:"unit"`
		Serial      string   `json:"serial"`
		Condition   []string `json:"condition"`
		Alarms      []int    `json:"alarms"`
		Unconfirmed []int    `json:"unconfirmed"`
	} `json:"units"`
	Lanes map[string]struct{ First, Last uint64 } `json:"lanes"`

	came     time.Time
	retained bool
}

// A receiver subscribed to everything of the agent and keeps it in the order of arrival; a record that comes twice counts once.
type receiver struct {
	client mqtt.Client

	mu      sync.Mutex
	notices []notice // alarms and moments
	byUnit  map[string][]notice
	reports []report
	seen    map[string]bool
	news    chan struct{}                      // closed and replaced when a notice comes
	faults  []string                           // what the format forbids
	tap     func(topic string, payload []byte) // hears everything; may be nil
}

// subscribe returns when the subscription stands.
func (b *bubble) subscribe(name string) *receiver {
	b.t.Helper()
	r := &receiver{seen: map[string]bool{}, byUnit: map[string][]notice{}, news: make(chan struct{})}
	o := mqtt.NewClientOptions().SetClientID(name).SetAutoReconnect(false).SetKeepAlive(0)
	o.Servers = []*url.URL{{Scheme: "tcp", Host: "127.0.0.1:1883"}}
	o.SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) { return b.dialBroker(b.t.Context(), "") })
	r.client = mqtt.NewClient(o)
	if tok := r.client.Connect(); tok.Wait() && tok.Error() != nil {
		b.t.Fatal(tok.Error())
	}
	if tok := r.client.Subscribe("upsedge/v1/rack7/#", 1, r.take); tok.Wait() && tok.Error() != nil {
		b.t.Fatal(tok.Error())
	}
	return r
}

func (r *receiver) take(_ mqtt.Client, m mqtt.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tap != nil {
		r.tap(m.Topic(), m.Payload())
	}
	document, err := protocol()
	if err == nil {
		_, err = document.Check(m.Topic(), m.Payload())
	}
	if err != nil {
		r.faults = append(r.faults, err.Error())
	}
	switch leaf := m.Topic()[strings.LastIndexByte(m.Topic(), '/')+1:]; leaf {
	case "events":
		n := notice{came: time.Now()}
		if err = json.Unmarshal(m.Payload(), &n); err == nil {
			r.keep(n)
		}
	case "state":
		s := report{came: time.Now(), retained: m.Retained()}
		if err = json.Unmarshal(m.Payload(), &s); err == nil {
			r.reports = append(r.reports, s)
			if e := s.Lanes["events"]; s.Units != nil && e.First == 0 {
				r.faults = append(r.faults, "a full state does not say what waits")
			}
		}
	}
	if err != nil {
		r.faults = append(r.faults, fmt.Sprintf("%s: %v", m.Topic(), err))
	}
}

func (r *receiver) keep(n notice) {
	id := fmt.Sprintf("%s/%s/%d", n.Stream, n.Lane, n.Seq)
	if r.seen[id] {
		return
	}
	r.seen[id] = true
	if n.Version != 1 || n.Lane != "events" || n.Seq == 0 {
		r.faults = append(r.faults, fmt.Sprintf("version %d, lane %q, number %d", n.Version, n.Lane, n.Seq))
	}
	if n.Class == "alarm" {
		r.notices = append(r.notices, n)
		r.byUnit[n.Unit] = append(r.byUnit[n.Unit], n)
		close(r.news)
		r.news = make(chan struct{})
	}
}

// takeFaults returns what was wrong with messages since it was asked last.
func (r *receiver) takeFaults() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	faults := r.faults
	r.faults = nil
	return faults
}

// events returns the alarms and moments so far, in the order of arrival.
func (r *receiver) events() []notice {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.notices // it is only appended to
}

// of returns those of one unit.
func (r *receiver) of(unit string) []notice {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.byUnit[unit]
}

// next is closed when another notice has come.
func (r *receiver) next() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.news
}

// words returns the events of units behind the first after of all events, as "raise 101".
func (r *receiver) words(after int) (out []string) {
	for _, n := range r.events()[after:] {
		if n.Unit != "" {
			out = append(out, fmt.Sprintf("%s %d", n.Kind, n.ID))
		}
	}
	return out
}

// states returns the states with units so far.
func (r *receiver) states() []report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.reports), func(s report) bool { return s.Units == nil })
}
