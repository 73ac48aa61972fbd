package alarm

import (
	"fmt"
	"time"
)

// longest bounds what a mark can be ago: the hundred years no unit lives.
const longest = 100 * 365 * day

// saveMemory returns what is kept, nil if that is nothing. How long ago something happened is kept and not when: no clock has to
// be right for it.
func (e *Engine) saveMemory() *savedMemory {
	m, s := &e.mem, savedMemory{Ago: map[string]int64{}}
	some := false
	for i, k := range m.marks {
		if k.set && markNames[i] != "" {
			s.Ago[markNames[i]], some = min(max(k.age(e.now), 0), longest).Milliseconds(), true
		}
	}
	keep := func(v valueState) *int64 {
		if !v.known {
			return nil
		}
		some = true
		return &v.value
	}
	s.Installed, s.Worn = keep(m.installed), keep(m.worn)
	if m.stalled.known {
		s.Stalled, some = &m.stalled.value, true
	}
	if r := &m.reference; r.pending || r.known {
		s.Pending, s.Load, s.Runtime, some = r.pending, r.load, r.runtime, true
	}
	if !some {
		return nil
	}
	return &s
}

// check refuses what saveMemory could not have written.
func (s *savedMemory) check() error {
	for name, ms := range s.Ago {
		if ms < 0 || ms > longest.Milliseconds() {
			return fmt.Errorf("%.20q was %d ms ago", name, ms)
		}
	}
	if s.Load < 0 || s.Runtime < 0 || s.Pending && s.Runtime != 0 {
		return fmt.Errorf("reference of %g s at %g %%", s.Runtime, s.Load)
	}
	return nil
}

func (s *savedMemory) memory() (m memory) {
	for i, name := range markNames {
		if ms, ok := s.Ago[name]; ok && name != "" {
			m.marks[i] = mark{at: -time.Duration(ms) * time.Millisecond, set: true}
		}
	}
	for _, v := range []struct {
		saved *int64
		state *valueState
	}{{s.Installed, &m.installed}, {s.Worn, &m.worn}} {
		if v.saved != nil {
			*v.state = valueState{known: true, value: *v.saved}
		}
	}
	if s.Stalled != nil {
		m.stalled = level{*s.Stalled, true}
	}
	m.reference = reference{pending: s.Pending, known: s.Runtime > 0, load: s.Load, runtime: s.Runtime}
	return m
}

// countAbsence adds to the marks the time in which the program did not run, where the clock was to be trusted before it and is
// now. Otherwise that time is not counted: what waits for a time then comes later, never too early.
func (e *Engine) countAbsence(at time.Time) {
	now := e.date(at)
	if e.savedAt.IsZero() || now.IsZero() {
		return
	}
	away := now.Sub(e.savedAt)
	if away <= 0 {
		return
	}
	for i := range e.mem.marks {
		e.mem.marks[i].at -= min(away, longest)
	}
}
