package uplink

import (
	"context"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/wire"
)

// A thinConn is the end of an in-memory connection whose writes take the time of a link: a rate, a way, and a buffer of the
// kernel in front of them.
type thinConn struct {
	net.Conn
	rate  float64 // bytes per second
	delay time.Duration

	mu    sync.Mutex
	free  time.Time // when the link is done with what was written
	bytes int

	way   chan parcel
	ended chan struct{}
	once  sync.Once
}

type parcel struct {
	b  []byte
	at time.Time
}

func newThinConn(conn net.Conn, rate float64, delay time.Duration, pumps *sync.WaitGroup) *thinConn {
	c := &thinConn{Conn: conn, rate: rate, delay: delay, way: make(chan parcel, 1<<16), ended: make(chan struct{})}
	pumps.Go(func() {
		for {
			select {
			case p := <-c.way:
				time.Sleep(time.Until(p.at))
				if _, err := conn.Write(p.b); err != nil {
					return
				}
			case <-c.ended:
				return
			}
		}
	})
	return c
}

func (c *thinConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	now := time.Now()
	if c.free.Before(now) {
		c.free = now
	}
	c.free = c.free.Add(time.Duration(float64(len(b)) / c.rate * float64(time.Second)))
	c.bytes += len(b)
	free := c.free
	c.mu.Unlock()
	buffered := time.Duration(2 * sendBuffer / c.rate * float64(time.Second))
	select {
	case <-c.ended:
		return 0, net.ErrClosed
	case c.way <- parcel{slices.Clone(b), free.Add(c.delay)}:
	}
	if wait := time.Until(free) - buffered; wait > 0 { // the kernel takes no more
		time.Sleep(wait)
	}
	return len(b), nil
}

func (c *thinConn) written() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes
}

func (c *thinConn) Close() error {
	c.once.Do(func() { close(c.ended) })
	return c.Conn.Close()
}

func (c *thinConn) SetWriteDeadline(time.Time) error { return nil }

// An alarm overtakes a backlog that fills a link of 256 kbit/s, or as much of a fast one as uplink.max_rate allows; the cloud's
// word comes back within half a second (design, section 11), and the link is used. The clock is synctest's: nothing here
// depends on the machine.
func TestAlarmsOvertakeABacklogThatFillsTheLink(t *testing.T) {
	const thin, span = 256_000 / 8, time.Minute
	for _, c := range []struct {
		name    string
		rate    float64
		delay   time.Duration // one way
		maxRate int64
		size    int // of a block
		most    time.Duration
	}{
		{"256 kbit/s", thin, 25 * time.Millisecond, 0, 600, 500 * time.Millisecond},
		{"256 kbit/s, large blocks", thin, 25 * time.Millisecond, 0, 2000, 500 * time.Millisecond},
		{"256 kbit/s, satellite", thin, 300 * time.Millisecond, 0, 600, 1700 * time.Millisecond}, // two round trips: of the broker, of the cloud
		{"max_rate 32 kB/s on 1 Gbit/s", 1e9 / 8, time.Millisecond, thin, 600, 500 * time.Millisecond},
		{"max_rate 32 kB/s on 256 kbit/s", thin, 25 * time.Millisecond, thin, 600, 500 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, spool := &pipeBroker{cloud: newPipeCloud()}, newMemSpool()
				for range int(thin*span.Seconds()*1.2) / c.size {
					spool.put(wire.Samples, c.size)
				}
				var mu sync.Mutex // of the next two
				put, took := map[uint64]time.Time{}, []time.Duration(nil)
				s := pipeSession(b, spool, func(cfg *Config) {
					enrolled(spool)(cfg)
					cfg.MaxRate = c.maxRate
					cfg.Observe.Delivered = func(r wire.Record, at time.Time) {
						mu.Lock()
						defer mu.Unlock()
						if r.Lane == wire.Events {
							took = append(took, at.Sub(put[r.Seq]))
						}
					}
				})
				var pumps sync.WaitGroup
				var up atomic.Pointer[thinConn] // of the session's goroutine
				s.cfg.Dial = func(context.Context, string) (net.Conn, error) {
					agents, brokers := net.Pipe()
					thin := newThinConn(agents, c.rate, c.delay, &pumps)
					up.Store(thin)
					down := newThinConn(brokers, 1e9, c.delay, &pumps)
					b.mu.Lock()
					b.dials, b.conns = append(b.dials, time.Now()), append(b.conns, down)
					b.mu.Unlock()
					b.done.Go(func() { b.serve(1, down) })
					return thin, nil
				}
				var used int
				inBubble(t, s, b, time.Second, func() {
					time.Sleep(10 * time.Second) // it finds the rate
					began := up.Load().written()
					for i := range 200 {
						time.Sleep(span/200 + time.Duration(i*7919%100)*time.Millisecond - 50*time.Millisecond)
						mu.Lock()
						put[spool.lastOf(wire.Events)+1] = time.Now()
						mu.Unlock()
						spool.put(wire.Events, 300)
					}
					used = up.Load().written() - began
				})
				pumps.Wait()
				slices.Sort(took)
				if len(took) != 200 {
					t.Fatalf("%d of 200 alarms delivered", len(took))
				}
				share := float64(used) / (thin * span.Seconds())
				t.Logf("%.1f %% of the link; alarm to the cloud's word: p50 %v, p99 %v, max %v", 100*share,
					took[100].Round(time.Millisecond), took[197].Round(time.Millisecond), took[199].Round(time.Millisecond))
				if share < 0.9 {
					t.Errorf("%.1f %% of the link is used, want at least 90 %%", 100*share)
				}
				if p99 := took[197]; p99 > c.most {
					t.Errorf("an alarm takes %v to the cloud's word (p99), want at most %v", p99, c.most)
				}
			})
		})
	}
}
