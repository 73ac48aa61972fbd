package uplink

import (
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"upsedge/internal/testenv"
	"upsedge/internal/wire"
)

func TestTheWillIsSeenWhenTheConnectionBreaks(t *testing.T) {
	broker := testenv.Mosquitto(t, "")
	got, p := collect(t, broker.Addr), newProxy(t, broker.Addr)
	stop := start(t, quick(testConfig(t, p.addr), newMemSpool()))
	const one, two = 3<<32 + 1, 3<<32 + 2
	await(t, "full state", func() bool { return len(got.states()) == 2 })
	p.cut()
	await(t, "will and second session", func() bool { return len(got.states()) == 5 })
	stop()
	await(t, "offline state", func() bool { return len(got.states()) == 6 })
	if f := formsOf(got.states(), one); !slices.Equal(f, []string{"first", "full", "offline"}) {
		t.Errorf("first session: %v", f)
	}
	if f := formsOf(got.states(), two); !slices.Equal(f, []string{"first", "full", "offline"}) {
		t.Errorf("second session: %v", f)
	}
	if s := collect(t, broker.Addr).awaitRetained(t); s.Online || s.Session != two {
		t.Errorf("kept by the broker after a clean stop: %+v, want session %d offline", s, two)
	}
}

// awaitRetained returns the retained state.
func (c *collector) awaitRetained(t *testing.T) wire.State {
	t.Helper()
	await(t, "retained state", func() bool { return len(c.all()) > 0 })
	m := c.all()[0]
	if m.leaf != wire.TopicState || !m.retained {
		t.Errorf("first message of a new subscription is %+v, want the retained state", m)
	}
	return m.state
}

func TestLosesNothingWhenTheBrokerIsKilled(t *testing.T) {
	broker, spool := testenv.Mosquitto(t, ""), newMemSpool()
	cfg := testConfig(t, broker.Addr)
	var mu sync.Mutex
	var ups []bool
	var delivered []wire.Record
	again := 0
	cfg.Observe = Observer{
		Connected:   func(up bool) { mu.Lock(); ups = append(ups, up); mu.Unlock() },
		Reconnected: func() { mu.Lock(); again++; mu.Unlock() },
		Delivered:   func(r wire.Record, _ time.Time) { mu.Lock(); delivered = append(delivered, r); mu.Unlock() },
	}
	for range 2000 {
		spool.put(wire.Samples, 500)
	}
	stop := start(t, quick(cfg, spool))
	await(t, "first acknowledgement", func() bool { return spool.ackedThrough(wire.Samples) > 0 })
	broker.Kill()
	spool.put(wire.Events, 50)
	broker.Start()
	await(t, "acknowledgement of everything", drained(spool, 1, 2000))
	stop()
	mu.Lock()
	defer mu.Unlock()
	if again != 1 || !slices.Equal(ups, []bool{true, false, true, false}) {
		t.Errorf("reconnected %d times, connected %v; want once and up, down, up, down", again, ups)
	}
	var seqs []uint64
	for _, r := range delivered {
		if r.Lane == wire.Samples {
			seqs = append(seqs, r.Seq)
		}
	}
	checkComplete(t, seqs, 2000)
	if len(delivered) != 2001 {
		t.Errorf("%d records told as delivered, want each once", len(delivered))
	}
}

// An event put while samples are queued must not wait for them: at most what was in flight comes before it.
func TestEventsOvertakeABacklogOfSamples(t *testing.T) {
	const size, backlog = 600, 3000
	broker := mochiBroker(t)
	p, spool := newProxy(t, broker), newMemSpool()
	for range backlog {
		spool.put(wire.Samples, size)
	}
	// 32 kB/s, as 256 kbit/s: the proxy holds every message for the time it takes.
	p.slow = 32e3
	var order []record
	flowing, arrived := make(chan struct{}), make(chan struct{})
	atPut := 0
	p.fromAgent(func(c packets.ControlPacket) {
		pub, ok := c.(*packets.PublishPacket)
		if !ok || recordOf(pub).seq == 0 {
			return
		}
		order = append(order, recordOf(pub))
		if len(order) == 40 {
			close(flowing)
		}
		if recordOf(pub).lane == wire.Events {
			close(arrived)
		}
	})
	start(t, quick(testConfig(t, p.addr), spool))
	<-flowing
	p.set(func() { atPut = len(order); spool.put(wire.Events, 100) })
	select {
	case <-arrived:
	case <-time.After(20 * time.Second):
		t.Fatal("the event has not come after 20 s")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	before := slices.IndexFunc(order, func(r record) bool { return r.lane == wire.Events }) - atPut
	// 200 ms of 32 kB/s are 10 samples; twice that is for a machine that is busy.
	if before > 20 {
		t.Errorf("%d samples of a backlog of %d came before the event, want at most 20", before, backlog)
	}
	if p.most > 64 {
		t.Errorf("%d records in flight, want at most 64", p.most)
	}
}

func TestKeepsAtMostSixtyFourInFlight(t *testing.T) {
	broker := mochiBroker(t)
	p, spool := newProxy(t, broker), newMemSpool()
	for range 3000 {
		spool.put(wire.Samples, 20)
	}
	start(t, quick(testConfig(t, p.addr), spool))
	await(t, "acknowledgement of everything", drained(spool, 0, 3000))
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.most > 64 || p.most < 8 {
		t.Errorf("at most %d records were in flight, want 8 to 64", p.most)
	}
}

func TestTheLogTellsEachChangeOfStateOnce(t *testing.T) {
	broker, log := testenv.Mosquitto(t, ""), &logBook{}
	cfg := testConfig(t, broker.Addr)
	cfg.Log = log.logger()
	got := collect(t, broker.Addr)
	stop := start(t, quick(cfg, newMemSpool()))
	await(t, "full state", func() bool { return len(got.states()) == 2 }) // what the broker leaves unread makes it a reset
	broker.Stop()
	await(t, "five attempts", func() bool { return log.has("attempts=5") })
	broker.Start()
	await(t, "second connection", func() bool { return log.count("broker connected") == 2 })
	stop()
	// An attempt may meet the broker while it stops, which is another reason, told once, too.
	if n := len(regexp.MustCompile(`level=WARN msg="broker not reached".*nobody listens`).FindAllString(log.string(), -1)); n != 1 {
		t.Errorf("that nobody listens stands %d times in the log above DEBUG, want once:\n%s", n, log.string())
	}
	for line, want := range map[string]int{
		`level=INFO msg="broker connected"`: 2, `level=WARN msg="broker lost"`: 1, "closed the connection": 1,
		`level=INFO msg="broker left"`: 1,
	} {
		if n := log.count(line); n != want {
			t.Errorf("%q stands %d times in the log, want %d:\n%s", line, n, want, log.text.String())
		}
	}
}
