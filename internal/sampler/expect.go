package sampler

import (
	"time"

	"upsedge/internal/ups"
)

// A Wish is a unit as a line's time is divided: what its reads cost and how often they are wanted.
type Wish struct {
	Plan  []ups.Block
	Rates [ups.TierCount]time.Duration // 0 = off
}

// Load returns the part of a line's time that the units ask for, above 1 where they do not fit. A status block holds the status word:
// no watch is asked for in its place.
func Load(units []Wish) float64 {
	load := 0.0
	for _, u := range units {
		for _, b := range u.Plan {
			load += b.Cost.Seconds() * perSecond(u.Rates, b.Tier)
		}
	}
	return load
}

// perSecond returns how often a tier is asked for.
func perSecond(rates [ups.TierCount]time.Duration, t ups.Tier) float64 {
	if rates[t] == 0 {
		return 0
	}
	rate := 1 / rates[t].Seconds()
	if status := rates[ups.TierStatus]; t == ups.TierWatch && status > 0 {
		rate = max(rate-1/status.Seconds(), 0)
	}
	return rate
}

// Of Expect's run, the time before it counts and the time that does.
const (
	expectAfter = 10 * time.Second
	expectOver  = 2 * time.Minute
	expectMost  = 200000 // reads; more than a line of the fastest kind makes in that time
)

// Expect returns how often each tier of each unit will be read: it runs the schedule over two minutes that take no time. Of the watch
// it tells how often the status word is read, in whichever block. Tiers too slow to be seen in that time come as often as they are
// asked for, stretched as the others are.
func Expect(wishes []Wish) [][ups.TierCount]float64 {
	start := time.Time{}.Add(time.Hour) // any; but not the zero time, which stands for never
	units, s := imagined(wishes, start)
	out := make([][ups.TierCount]float64, len(wishes))
	now, n, last := start, 0, map[*unit]*task{}
	for ; now.Before(start.Add(expectAfter+expectOver)) && n < expectMost; n++ {
		t, wait := s.next(now)
		if t == nil {
			now = now.Add(wait)
			continue
		}
		if now.Sub(start) >= expectAfter {
			counts := &out[units[t.unit]]
			if counts[t.block.Tier] += 1 / float64(t.unit.blocks(t.block.Tier)); t.block.Tier == ups.TierStatus {
				counts[ups.TierWatch]++
			}
		}
		t.unit.read(t, now)
		cost := max(t.block.Cost, time.Microsecond)
		if last[t.unit] == t {
			cost += t.block.Again
		}
		now, last[t.unit] = now.Add(cost), t
	}
	over := max(now.Sub(start)-expectAfter, time.Second).Seconds()
	for i, w := range wishes {
		for t := range out[i] {
			out[i][t] /= over
		}
		stretch := Stretch(w.Rates, out[i])
		for t, period := range w.Rates {
			switch {
			case period == 0:
				out[i][t] = 0
			case period > expectOver/20:
				out[i][t] = 1 / period.Seconds() / stretch
			}
		}
	}
	return out
}

// Stretch returns by how much the tier that gets least of what it asks for is stretched, 1 where each gets all. Of tiers slower than a
// few seconds it knows nothing.
func Stretch(rates [ups.TierCount]time.Duration, got [ups.TierCount]float64) float64 {
	stretch := 1.0
	for t, period := range rates {
		if period > 0 && period <= expectOver/20 {
			stretch = max(stretch, 1/period.Seconds()/max(got[t], 1/expectOver.Seconds()))
		}
	}
	return stretch
}

// imagined makes units that are connected to nothing, their index, and their schedule. They begin as those of a line do: connected one
// after the other, each with a reading of everything but the watch. How the tiers fall together afterwards depends on that.
func imagined(wishes []Wish, at time.Time) (map[*unit]int, *schedule) {
	units, s := map[*unit]int{}, &schedule{}
	var tasks []*task
	for i, w := range wishes {
		u := &unit{Unit: Unit{Rates: w.Rates}}
		for _, b := range w.Plan {
			if b.Tier != ups.TierWatch {
				at = at.Add(b.Cost)
			}
		}
		u.wordSeen = at
		for _, b := range w.Plan {
			period, due := w.Rates[b.Tier], at
			if b.Tier != ups.TierWatch {
				due = at.Add(period)
			}
			if period > 0 {
				u.tasks = append(u.tasks, &task{unit: u, block: b, period: period, due: due})
			}
		}
		units[u] = i
		tasks = append(tasks, u.tasks...)
	}
	s.set(tasks)
	return units, s
}

// blocks returns how many reads a tier takes.
func (u *unit) blocks(t ups.Tier) (n int) {
	for _, k := range u.tasks {
		if k.block.Tier == t {
			n++
		}
	}
	return n
}
