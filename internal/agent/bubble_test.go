package agent

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"

	"upsedge/internal/clock"
	"upsedge/internal/config"
	"upsedge/internal/local"
	"upsedge/internal/ups/modbus"
	"upsedge/internal/ups/upssim"
	"upsedge/internal/wire"
)

// A bubble is a whole agent with everything around it on synctest's clock, where a day takes a second: simulated units at the
// end of in-memory connections, the agent as main runs it with its real store on a real disk, its real MQTT client, a real
// broker at the end of another in-memory connection, and a receiver that subscribed to it.
//
// Two things are not the machine's: connections, because the clock stands still while a socket is waited for, and the boot
// clock, which would not follow it.
type bubble struct {
	t       *testing.T
	text    string // configuration
	began   time.Time
	broker  *mochi.Server
	cloud   *receiver
	log     *diary
	telling bool // what the agent logged is of use when the test fails
	serves  sync.WaitGroup

	way     way // from the agent to the broker
	version string
	reload  chan Reload
	taps    map[string]*pollWatch // by unit, of what goes over its line; set before the start
	disk    *refusing             // nil: a disk of this machine

	mu      sync.Mutex
	sockets map[string]*socket // by unit
	ahead   time.Duration      // of the wall clock
	unset   bool               // no time service sets it

	stopAgent context.CancelFunc // nil: it does not run
	ended     chan error
	page      *socket // /metrics of the agent that runs
	status    func(values bool) local.Status
	shown     local.Sources
}

// enterTime is when every bubble begins: synctest's own year 2000 is before any unit was made.
var enterTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// newBubble is called inside of synctest.Test. units is the list of units of the configuration.
func newBubble(t *testing.T, units string) *bubble {
	t.Helper()
	time.Sleep(time.Until(enterTime))
	b := &bubble{
		t: t, began: time.Now().Add(-time.Hour), log: &diary{}, telling: true, sockets: map[string]*socket{}, version: "test",
		broker: mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)}), // not served: it has no listener, and its housekeeping would wake every second
	}
	b.text = fmt.Sprintf(`
state_dir: %s
spool: {flush: 10m}
uplink: {broker: "tcp://127.0.0.1:1883", insecure: true, agent_id: rack7}
metrics: {listen: ""}
local: {listen: "", socket: ""}
units:
%s`, filepath.Join(t.TempDir(), "state"), units)
	if err := b.broker.AddHook(&b.way.gate, nil); err != nil {
		t.Fatal(err)
	}
	b.cloud = b.subscribe("receiver")
	t.Cleanup(b.close)
	return b
}

func (b *bubble) close() {
	b.stop()
	b.cloud.client.Disconnect(10)
	_ = b.broker.Close()
	b.mu.Lock()
	for _, s := range b.sockets {
		s.end()
	}
	b.mu.Unlock()
	b.serves.Wait()
	if b.t.Failed() && b.telling {
		b.t.Logf("the agent said:\n%s", b.log)
	}
}

// start starts the agent and returns when it is ready.
func (b *bubble) start() {
	b.t.Helper()
	cfg, err := config.Parse("agent.yaml", []byte(b.text))
	if err != nil {
		b.t.Fatal(err)
	}
	ready := make(chan struct{})
	ctx, stop := context.WithCancel(b.t.Context())
	b.stopAgent, b.ended, b.reload = stop, make(chan error, 1), make(chan Reload)
	b.page = newSocket()
	driver := ""
	if b.disk != nil {
		driver = b.disk.name
	}
	go func() {
		b.ended <- Run(ctx, Options{
			Config: cfg, Version: b.version, Reload: b.reload, Ready: func() { close(ready) }, Log: slog.New(slog.NewTextHandler(b.log, nil)),
			outside: outside{clock: b.clock, link: b.link, broker: b.dialWay, scrape: b.page, driver: driver, shown: func(s local.Sources) { b.shown, b.status = s, s.Status }},
		})
	}()
	select {
	case <-ready:
	case err := <-b.ended:
		b.t.Fatalf("Run = %v before it was ready", err)
	}
}

// stop ends the agent in order, if it runs.
func (b *bubble) stop() {
	b.t.Helper()
	if b.stopAgent == nil {
		return
	}
	b.stopAgent()
	b.stopAgent = nil
	if err := <-b.ended; err != nil {
		b.t.Errorf("Run = %v", err)
	}
	if b.cloud != nil {
		for _, f := range b.cloud.takeFaults() {
			b.t.Errorf("a receiver cannot read it: %s", f)
		}
	}
}

// clock is that of a machine that was booted an hour before the bubble began. A time service sets its wall clock, until
// setClock.
func (b *bubble) clock() (*clock.Clock, error) {
	return clock.Of(clock.Machine{
		Boot: wire.ID{7},
		Mono: func() time.Duration { return time.Since(b.began) },
		Wall: func() time.Time {
			b.mu.Lock()
			defer b.mu.Unlock()
			return time.Now().Round(0).Add(b.ahead)
		},
		Service: func() clock.Service {
			b.mu.Lock()
			defer b.mu.Unlock()
			return clock.Service{Set: !b.unset, Error: 10 * time.Millisecond}
		},
	}), nil
}

// setClock makes the wall clock of the machine show t from now on, whether it is right or not, and says whether a time service
// stands for it.
func (b *bubble) setClock(t time.Time, service bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ahead, b.unset = t.Sub(time.Now().Round(0)), !service
}

// scrape returns the series that /metrics shows: "ups_up{ups=\"rack-a\"} 1".
func (b *bubble) scrape() map[string]bool {
	b.t.Helper()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return b.page.dial(ctx) },
	}}
	resp, err := client.Get("http://agent/metrics")
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		b.t.Fatalf("/metrics: %s, %v", resp.Status, err)
	}
	out := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		out[strings.TrimSpace(line)] = true
	}
	return out
}

// dialBroker connects to the broker.
func (b *bubble) dialBroker(context.Context, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	b.serves.Go(func() { _ = b.broker.EstablishConnection("pipe", theirs) })
	return ours, nil
}

// plug puts a unit at the end of the line of a unit of the configuration, in place of what was there. It answers there as on
// TCP and as on a serial line.
func (b *bubble) plug(name string, u *upssim.Unit) {
	s := newSocket()
	b.mu.Lock()
	was := b.sockets[name]
	b.sockets[name] = s
	b.mu.Unlock()
	if was != nil {
		was.end()
	}
	s.units = map[uint8]*upssim.Unit{1: u}
	b.serves.Go(func() { _ = upssim.ServeTCP(s.ctx, s, s.units, upssim.TCPOptions{Turnaround: 50 * time.Millisecond}) })
}

// unplug leaves nobody there: connections are refused.
func (b *bubble) unplug(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.sockets[name]; s != nil {
		s.end()
		delete(b.sockets, name)
	}
}

// link opens the line of a unit; see outside.
func (b *bubble) link(u config.Unit) func(context.Context) (modbus.Link, error) {
	return func(ctx context.Context) (modbus.Link, error) {
		b.mu.Lock()
		s := b.sockets[u.Name]
		b.mu.Unlock()
		switch {
		case s == nil:
			return nil, refusedError()
		case u.Serial == nil:
			conn, err := s.dial(ctx)
			if tap := b.taps[u.Name]; tap != nil && err == nil {
				return watched{conn, tap}, nil
			}
			return conn, err
		}
		ours, theirs := net.Pipe()
		if tap := b.taps[u.Name]; tap != nil {
			ours = watched{ours, tap}
		}
		b.serves.Go(func() {
			defer theirs.Close()
			_ = upssim.ServeSerial(s.ctx, theirs, upssim.SerialOptions{Turnaround: 10 * time.Millisecond, SleepUntil: sleepUntil}, s.units)
		})
		return ours, nil
	}
}

func sleepUntil(ctx context.Context, t time.Time) error {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func refusedError() error { return &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED} }

// A socket is a net.Listener of in-memory connections.
type socket struct {
	units map[uint8]*upssim.Unit // who answers there
	calls chan net.Conn
	ctx   context.Context // ends with it
	end   context.CancelFunc
}

func newSocket() *socket {
	s := &socket{calls: make(chan net.Conn)}
	s.ctx, s.end = context.WithCancel(context.Background())
	return s
}

func (s *socket) dial(ctx context.Context) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case s.calls <- theirs:
		return ours, nil
	case <-s.ctx.Done():
		return nil, refusedError()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept is the listener's.
func (s *socket) Accept() (net.Conn, error) {
	select {
	case c := <-s.calls:
		return c, nil
	case <-s.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close is the listener's.
func (s *socket) Close() error { s.end(); return nil }

// Addr is the listener's.
func (s *socket) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

// A diary is what the agent logged.
type diary struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (d *diary) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.Write(b)
}

// of returns the lines about a unit.
func (d *diary) of(unit string) string {
	var out strings.Builder
	for line := range strings.Lines(d.String()) {
		if strings.Contains(line, "="+unit+" ") {
			out.WriteString(line)
		}
	}
	return out.String()
}

func (d *diary) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.text.String()
}
