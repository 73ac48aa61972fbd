package wire

import (
	"math/rand/v2"
	"time"

	"upsedge/internal/ups"
)

// A trace makes what the sampler hands over for one unit at the default serial rates: watch 5/s of 2 columns, status 1/s of 17,
// live 2/s of 30. Rows are up to 3 ms early or late.
type trace struct {
	rand  *rand.Rand
	noisy bool
	now   int64 // ms

	watch, status, live *ups.Layout
	energy, charge      int64
}

func layoutOf(divisors map[ups.Point]uint16, from, to ups.Point) *ups.Layout {
	l := &ups.Layout{}
	for _, p := range ups.Points() {
		if p < from || p > to || p.Info().Kind == ups.Text {
			continue
		}
		l.Columns = append(l.Columns, ups.Column{Point: p, Divisor: max(divisors[p], 1)})
	}
	return l
}

// divisors of protocol reference, section 5.2, where they are not 1.
var divisors = map[ups.Point]uint16{
	ups.Charge: 512, ups.BatteryVoltage: 32, ups.BatteryVoltageNegative: 32, ups.BatteryTemperature: 128, ups.LoadReal: 256,
	ups.LoadReal2: 256, ups.LoadApparent: 256, ups.LoadApparent2: 256, ups.OutputCurrent: 32, ups.OutputCurrent2: 32, ups.OutputVoltage: 64,
	ups.OutputVoltage2: 64, ups.OutputFrequency: 128, ups.BypassVoltage: 64, ups.BypassFrequency: 128, ups.InputVoltage: 64,
	ups.InputVoltage2: 64, ups.InputVoltage3: 64, ups.Efficiency: 128,
}

func newTrace(seed uint64, noisy bool) *trace {
	t := &trace{
		rand: rand.New(rand.NewPCG(seed, 1)), noisy: noisy, now: 7_300_000, energy: 1_234_567, charge: 51_200,
		watch: layoutOf(nil, ups.StatusFlags, ups.StatusCause), status: layoutOf(nil, ups.StatusFlags, ups.UserInterface),
	}
	t.status.Columns = append(t.status.Columns, ups.Column{Point: ups.BypassStatus, Divisor: 1}, ups.Column{Point: ups.InputStatus, Divisor: 1})
	t.live = layoutOf(divisors, ups.Runtime, ups.SOG0TurnOff)
	t.live.Columns = append(t.live.Columns, ups.Column{Point: ups.SOG0TurnOn, Divisor: 1}, ups.Column{Point: ups.SOG0StayOff, Divisor: 1})
	t.live.Columns = t.live.Columns[:30]
	return t
}

// noise is evenly spread over -n … n.
func (t *trace) noise(n int64) int64 { return t.rand.Int64N(2*n+1) - n }

// settle is noise that a steady unit shows now and then: one step in some percent of the reads.
func (t *trace) settle(percent int64) int64 {
	if t.rand.Int64N(100) < percent {
		return t.noise(1)
	}
	return 0
}

// value is what a unit of one phase, online at 230 V and 38 % load, holds in p.
func (t *trace) value(p ups.Point) int64 {
	level := map[ups.Point]int64{
		ups.StatusFlags: 1<<1 | 1<<13, ups.StatusCause: 8, ups.MainOutlet: 1, ups.SOG0Outlet: 1, ups.SOG1Outlet: 1, ups.BatteryTest: 1<<2 | 1<<8,
		ups.BatteryLife: 1, ups.Runtime: 2912, ups.Charge: t.charge, ups.BatteryVoltage: 1749, ups.ReplaceBy: 10318, ups.BatteryTemperature: 3321,
		ups.LoadReal: 9754, ups.LoadApparent: 10212, ups.OutputCurrent: 81, ups.OutputVoltage: 14720, ups.OutputFrequency: 6401,
		ups.OutputEnergy: t.energy, ups.InputStatus: 1<<0 | 1<<15, ups.InputVoltage: 14733, ups.Efficiency: 12288,
	}
	v, ok := level[p]
	if !ok {
		switch p.Info().Kind {
		case ups.Measure, ups.Countdown:
			return ups.Absent // second phases, bypass, countdowns that do not run
		}
		return 0
	}
	if !t.noisy {
		switch p {
		case ups.InputVoltage, ups.LoadReal, ups.LoadApparent, ups.OutputVoltage:
			return v + t.settle(4)
		}
		return v
	}
	switch p {
	case ups.Runtime, ups.LoadReal, ups.LoadApparent, ups.InputVoltage:
		return v + t.noise(3)
	case ups.OutputVoltage, ups.Efficiency:
		return v + t.noise(2)
	case ups.OutputCurrent, ups.OutputFrequency, ups.BatteryVoltage, ups.BatteryTemperature:
		return v + t.noise(1)
	}
	return v
}

func (t *trace) rows(tier ups.Tier, l *ups.Layout, every, span time.Duration) Rows {
	r := Rows{Tier: tier, Layout: l}
	for at := time.Duration(0); at < span; at += every {
		r.At = append(r.At, t.now+at.Milliseconds()+t.noise(3))
		if tier == ups.TierLive && t.rand.Int64N(40) == 0 {
			t.energy++
		}
		for _, c := range l.Columns {
			r.Raw = append(r.Raw, t.value(c.Point))
		}
	}
	return r
}

// block is the next span of the trace.
func (t *trace) block(span time.Duration) *Block {
	b := &Block{Unit: "rack-a", Device: "AS1234567890", Sections: []Rows{
		t.rows(ups.TierWatch, t.watch, 200*time.Millisecond, span),
		t.rows(ups.TierStatus, t.status, time.Second, span),
		t.rows(ups.TierLive, t.live, 500*time.Millisecond, span),
	}}
	t.now += span.Milliseconds()
	return b
}
