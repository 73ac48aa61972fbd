package uplink

import (
	"testing"
	"time"

	"upsedge/internal/wire"
)

// A simLink is a link of fixed rate and delay, computed: messages queue for the rate, then travel.
type simLink struct {
	rate  float64       // bytes per second
	delay time.Duration // round trip of the empty link
	free  time.Time     // when the link is done with what was sent
}

// send returns when the acknowledgement is back.
func (l *simLink) send(size int, now time.Time) time.Time {
	if l.free.Before(now) {
		l.free = now
	}
	l.free = l.free.Add(time.Duration(float64(size) / l.rate * float64(time.Second)))
	return l.free.Add(l.delay)
}

// drain sends samples of size bytes for span and returns the bytes delivered in the second half and the most that was in
// flight in it.
func (l *simLink) drain(w *window, size int, span time.Duration) (delivered, most int) {
	type sent struct {
		back time.Time
		mark mark
	}
	var flying []sent
	now := time.Unix(0, 0)
	half, end := now.Add(span/2), now.Add(span)
	for now.Before(end) {
		for w.admits(wire.Samples, size, len(flying)) {
			flying = append(flying, sent{l.send(size, now), w.sent(size, now)})
		}
		now = flying[0].back
		if now.After(half) {
			delivered += size
			most = max(most, w.bytes)
		}
		w.delivered(flying[0].mark, now)
		flying = flying[1:]
	}
	return delivered, most
}

func TestWindowFillsTheLinkWithLittleInFlight(t *testing.T) {
	const kbit = 1000.0 / 8
	for _, c := range []struct {
		name  string
		rate  float64
		delay time.Duration
		size  int
	}{
		{"64 kbit/s", 64 * kbit, 80 * time.Millisecond, 600},
		{"256 kbit/s", 256 * kbit, 50 * time.Millisecond, 600},
		{"256 kbit/s, large blocks", 256 * kbit, 50 * time.Millisecond, 3000},
		{"256 kbit/s, satellite", 256 * kbit, 600 * time.Millisecond, 1200},
		{"64 kbit/s, GPRS", 64 * kbit, 2 * time.Second, 600},
		{"2 Mbit/s", 2000 * kbit, 40 * time.Millisecond, 4000},
	} {
		t.Run(c.name, func(t *testing.T) {
			const span = 2 * time.Minute
			w := &window{}
			w.measuredBase(c.delay)
			l := &simLink{rate: c.rate, delay: c.delay}
			delivered, most := l.drain(w, c.size, span)
			if used := float64(delivered) / (c.rate * span.Seconds() / 2); used < 0.9 {
				t.Errorf("%.0f %% of the link used, want at least 90 %%", 100*used)
			}
			// In flight: 200 ms, or the round trip and a quarter where that is longer; or one record.
			allowed := max(c.rate*max(queueing, c.delay+c.delay/4).Seconds(), float64(c.size)) * 1.05
			if float64(most) > allowed {
				t.Errorf("%d bytes in flight, want at most %.0f", most, allowed)
			}
		})
	}
}

func TestWindowStopsAtSixtyFourRecordsAndKeepsSomeForEvents(t *testing.T) {
	w := &window{rate: 1e9}
	now := time.Unix(0, 0)
	for range 1000 {
		if w.admits(wire.Samples, 10, w.records) {
			w.sent(10, now)
		}
	}
	if w.records != maxRecords-reservedRecords {
		t.Errorf("%d samples in flight, want %d", w.records, maxRecords-reservedRecords)
	}
	for range 1000 {
		if w.admits(wire.Events, 10, w.records) {
			w.sent(10, now)
		}
	}
	if w.records != maxRecords {
		t.Errorf("%d records in flight, want %d", w.records, maxRecords)
	}
}

func TestWindowLetsOneRecordThroughHoweverLarge(t *testing.T) {
	w := &window{}
	if !w.admits(wire.Samples, 1<<20, 0) {
		t.Fatal("an empty window refuses a large sample")
	}
	w.sent(1<<20, time.Unix(0, 0))
	if w.admits(wire.Samples, 10, 1) {
		t.Error("a window overfull admits another sample")
	}
	if !w.admits(wire.Events, 300, 0) {
		t.Error("an alarm has to wait for a large sample's acknowledgement")
	}
}

func TestWindowFollowsALinkThatBecameSlow(t *testing.T) {
	w := &window{}
	w.measuredBase(20 * time.Millisecond)
	fast := &simLink{rate: 1e6, delay: 20 * time.Millisecond}
	fast.drain(w, 600, 10*time.Second)
	slow := &simLink{rate: 32e3, delay: 20 * time.Millisecond}
	w.records, w.bytes = 0, 0
	_, most := slow.drain(w, 600, 20*time.Second)
	if allowed := int(32e3 * queueing.Seconds() * 1.05); most > allowed {
		t.Errorf("10 s after the link became slow %d bytes are in flight, want at most %d", most, allowed)
	}
}
