package agent

import "upsedge/internal/ups"

// An energy makes a counter that never falls of the unit's energy register. An isolated decrease is not believed, or
// Prometheus would take it for a reset (design, section 10). Two readings in a row below the last believed one are a register
// that began anew or wrapped: the counter stands still meanwhile and goes on from there with what the register adds. Where the
// register then is back at its old course after all, so is the counter.
type energy struct {
	total int64 // Wh, ups.Absent before the first
	base  int64 // total - base is the register as last believed
	was   int64 // base before the last restart; the same as base if there was none
	low   int64 // the reading below the last believed one that waits for a second; valid if doubt
	doubt bool
}

func (e *energy) see(st *ups.State) {
	raw, ok := st.Raw(ups.OutputEnergy)
	switch {
	case !ok:
	case e.total == ups.Absent:
		*e = energy{total: raw}
	case e.was+raw >= e.total:
		*e = energy{total: e.was + raw, base: e.was, was: e.was}
	case e.base+raw >= e.total:
		e.total, e.doubt = e.base+raw, false
	case e.doubt && raw >= e.low:
		e.was, e.base, e.doubt = e.base, e.total-e.low, false
		e.total = e.base + raw
	default:
		e.low, e.doubt = raw, true
	}
}
