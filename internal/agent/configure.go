package agent

import (
	"upsedge/internal/ups"
	"upsedge/internal/ups/smartups"
)

// configuring carries out or judges an order. What it writes to a setting is not news of somebody at the unit (711), and what it has written
// is read again at once: alarms, metrics and full state go by what the sampler reads.
func (p seat) configuring(c ups.Command, carryOut func() ups.Outcome) ups.Outcome {
	if c.Action != ups.ActionConfigure {
		return carryOut()
	}
	s, v, err := ups.ParseSetting(c.Params)
	if err != nil {
		return carryOut()
	}
	p.site.noteSetting(p.unit, func() { p.unit.alarms.Ordered(s.Point, v) })
	out := carryOut()
	p.site.noteSetting(p.unit, func() { p.unit.alarms.OrderEnded(s.Point, out.State == ups.Done) })
	p.unit.reread(smartups.TierOf(s.Point))
	return out
}

// noteSetting has the alarm engine of a unit take note of an order, and keeps that.
func (s *site) noteSetting(u *unit, note func()) {
	u.turn.Lock()
	defer u.turn.Unlock()
	u.mu.Lock()
	note()
	out := outcome{owner: u.owner}
	if blob, changed := u.alarms.State(); changed {
		out.saved = blob
	}
	u.mu.Unlock()
	s.recorder.add(u.cfg.Name, out)
}

// reread has a tier read before its time, where the unit is on a line.
func (u *unit) reread(t ups.Tier) {
	if u.again != nil {
		u.again(u.cfg.Name, t)
	}
}
