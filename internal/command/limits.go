package command

import (
	"database/sql"
	"slices"
	"sync"
	"time"
)

// A Limit is how long it takes until another order may drop the load of a device, and how many more may today (T-07).
type Limit struct {
	Wait time.Duration // 0: none
	Left int
}

// limits is what the journal knows of loads that were dropped, in memory: who asks waits for no disk. Instants are on the machine's
// monotonic clock; the box being off makes them no older.
type limits struct {
	mu    sync.Mutex
	known bool
	lost  time.Duration              // a journal was lost then, and counts as one time for each device
	one   bool                       // that is so
	drops map[string][]time.Duration // by device
}

// learn takes over what a journal knows. now is on the monotonic clock.
func (l *limits) learn(now time.Duration, drops map[string][]time.Duration, lost time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known, l.one, l.lost, l.drops = true, lost >= 0, now-lost, map[string][]time.Duration{}
	for device, ago := range drops {
		for _, d := range ago {
			l.drops[device] = append(l.drops[device], now-d)
		}
	}
}

// now returns what dropped of a journal does, from memory.
func (l *limits) now(now time.Duration) (ago map[string][]time.Duration, lost time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ago, lost = map[string][]time.Duration{}, -1
	if l.one && now-l.lost < day {
		lost = now - l.lost
	}
	for device, all := range l.drops {
		for _, at := range all {
			if now-at < day {
				ago[device] = append(ago[device], now-at)
			}
		}
	}
	return ago, lost
}

// dropped notes that loads are dropped now.
func (l *limits) dropped(now time.Duration, devices []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, device := range devices {
		kept := slices.DeleteFunc(l.drops[device], func(at time.Duration) bool { return now-at >= day })
		l.drops[device] = append(kept, now)
	}
}

const day = 24 * time.Hour

// of is what the limits of p mean for a device.
func (l *limits) of(now time.Duration, device string, p Policy) (out Limit, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ago []time.Duration
	if l.one && now-l.lost < day {
		ago = append(ago, now-l.lost)
	}
	for _, at := range l.drops[device] {
		if now-at < day {
			ago = append(ago, now-at)
		}
	}
	slices.Sort(ago)
	out.Left = max(p.DailyMax-len(ago), 0)
	if len(ago) > 0 {
		out.Wait = max(p.MinInterval-ago[0], 0)
	}
	if p.DailyMax > 0 && len(ago) >= p.DailyMax { // until fewer than that lie within a day
		out.Wait = max(out.Wait, day-ago[p.DailyMax-1])
	}
	return out, l.known
}

// Limit says when another order may drop the load of a device. ok is false while the journal has not been read. It never waits.
func (x *Executor) Limit(device string) (l Limit, ok bool) {
	return x.limits.of(x.o.Clock.Mono(time.Now()), device, x.ShownPolicy())
}

// dropped returns how long ago the load of each device was dropped within the last day, and how long ago a journal was lost; below 0: never.
func (j *journal) dropped() (ago map[string][]time.Duration, lost time.Duration, err error) {
	ago, lost = map[string][]time.Duration{}, -1
	err = j.read("read when loads were dropped", func(t *tx) {
		if t.meta.lost >= 0 && t.meta.age-t.meta.lost < day {
			lost = t.meta.age - t.meta.lost
		}
		ago = t.dropped()
	})
	return ago, lost, err
}

func (t *tx) dropped() map[string][]time.Duration {
	ago := map[string][]time.Duration{}
	t.each(func(rows *sql.Rows) error {
		var device string
		var age, crc int64
		if err := rows.Scan(&device, &age, &crc); err != nil {
			return err
		}
		if sum("drops", []int64{age}, []byte(device)) != crc {
			return damaged("drops")
		}
		if d := t.meta.age - time.Duration(age); d < day {
			ago[device] = append(ago[device], d)
		}
		return nil
	}, "SELECT device, age, crc FROM drops")
	return ago
}
