package alarm

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"upsedge/internal/ups"
)

// savedVersion is the version of the saved state. A field that is new and may be absent does not raise it. Version 1 knew no
// outlet groups; it is still read.
const savedVersion = 2

// saved is what of an Engine survives a restart: what has been reported. What was on its way to be reported does not: polls
// are not in a row with a time in between in which nobody looked.
type saved struct {
	V           int           `json:"v"`
	Active      []activeAlarm `json:"active,omitempty"`
	Results     []savedWord   `json:"results,omitempty"`
	Calibrating bool          `json:"calibrating,omitempty"`
	Edges       []savedEdge   `json:"edges,omitempty"`
	Registered  string        `json:"registered,omitempty"`
	Answering   string        `json:"answering,omitempty"`
	Told        uint32        `json:"told,omitempty"`
	Memory      *savedMemory  `json:"memory,omitempty"`
	Floods      []savedFlood  `json:"floods,omitempty"`

	Settings map[ups.Point]int64 `json:"settings,omitempty"` // as they were last; of a text a sum
	Ordered  map[ups.Point]int64 `json:"ordered,omitempty"`  // what orders write that may not be over
	Agent    *savedAgent         `json:"agent,omitempty"`
	At       time.Time           `json:"at,omitzero"` // when it was saved, where the clock was to be trusted
}

// A savedMemory is what of a memory is kept.
type savedMemory struct {
	Ago       map[string]int64 `json:"ago,omitempty"` // how long ago the marks were when it was saved, in ms
	Installed *int64           `json:"installed,omitempty"`
	Worn      *int64           `json:"worn,omitempty"`
	Stalled   *float64         `json:"stalled,omitempty"`
	Pending   bool             `json:"pending,omitempty"` // of the reference
	Load      float64          `json:"load,omitempty"`
	Runtime   float64          `json:"runtime,omitempty"`
}

// A savedWord is the last word of a test (READ-5).
type savedWord struct {
	Point ups.Point `json:"point"`
	Known bool      `json:"known,omitempty"`
	Word  uint32    `json:"word"`
	Ran   bool      `json:"ran,omitempty"`
}

// A savedEdge is the last word of an edge; point and mask name it.
type savedEdge struct {
	Point ups.Point `json:"point"`
	Mask  uint32    `json:"mask"`
	Word  uint32    `json:"word"`
}

// State returns what New needs after a restart, and whether it differs from what the last call returned (or, before the first
// call, from what New was given). It has to be written in one transaction with the events of the call before it: an event
// without its state would be raised twice, a state without its event never. The caller must not change it.
func (e *Engine) State() (blob []byte, changed bool) {
	changed = e.dirty
	if e.blob == nil || changed {
		e.blob, e.dirty = e.save(), false
	}
	return e.blob, changed
}

func (e *Engine) save() []byte {
	s := saved{
		V: savedVersion, Active: e.datedActive(), Calibrating: e.calibrating, Registered: e.registered, Answering: e.answering, Told: e.told,
		Memory: e.saveMemory(), Floods: e.saveFloods(), Agent: e.agent, At: e.savedAt,
	}
	if !e.began.IsZero() {
		s.At = e.date(e.wall).UTC().Truncate(time.Millisecond)
	}
	s.Settings, s.Ordered = e.saveSettings()
	for i, w := range e.words {
		if w.known || w.ran {
			s.Results = append(s.Results, savedWord{e.set.words[i].point, w.known, w.word, w.ran})
		}
	}
	for i, g := range e.edges {
		if g.known {
			s.Edges = append(s.Edges, savedEdge{e.set.edges[i].point, e.set.edges[i].mask, g.word})
		}
	}
	blob, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("alarm state %+v: %v", s, err)) // severities and times of ours are always writable
	}
	return blob
}

// load takes over a saved state, or nothing of it if any part of it cannot be.
func (e *Engine) load(blob []byte) error {
	var s saved
	if err := json.Unmarshal(blob, &s); err != nil {
		return err
	}
	if s.V < 1 || s.V > savedVersion {
		return fmt.Errorf("version %d, want at most %d", s.V, savedVersion)
	}
	active, err := e.set.checkActive(s.Active)
	if err != nil {
		return err
	}
	words, edges := slices.Clone(e.words), slices.Clone(e.edges)
	for _, w := range s.Results {
		i := slices.IndexFunc(e.set.words, func(r resultWord) bool { return r.point == w.Point })
		if i < 0 {
			return fmt.Errorf("result of %s, which is no test", w.Point)
		}
		words[i] = wordState{known: w.Known, word: w.Word, ran: w.Ran}
	}
	for _, g := range s.Edges {
		i := slices.IndexFunc(e.set.edges, func(r edge) bool { return r.point == g.Point && r.mask == g.Mask })
		if i >= 0 { // of another version: begins anew
			edges[i] = edgeState{known: true, word: g.Word & g.Mask}
		}
	}
	floods, err := loadFloods(s.Floods, active)
	if err != nil {
		return err
	}
	if s.Memory != nil {
		if err := s.Memory.check(); err != nil {
			return err
		}
		e.mem = s.Memory.memory()
	}
	if y := s.At.UTC().Year(); !s.At.IsZero() && (y < 0 || y > 9999) {
		return fmt.Errorf("saved in the year %d", y)
	}
	e.registered, e.answering, e.told, e.savedAt = s.Registered, s.Answering, s.Told, s.At.UTC()
	e.floods, e.settings = floods, loadSettings(s.Settings, s.Ordered)
	if e.set.own {
		if s.Agent == nil {
			return errors.New("no word of the agent itself")
		}
		e.agent = s.Agent
	} else {
		active.doubt()
	}
	e.active, e.words, e.edges, e.calibrating = active, words, edges, s.Calibrating
	return nil
}

// datedActive are the active alarms with the wall time in place of instants that only this run knows.
func (e *Engine) datedActive() activeSet {
	out := slices.Clone(e.active)
	for i := range out {
		if a := &out[i]; !a.inherited {
			a.Since = e.date(a.Since)
		}
	}
	return out
}

// checkActive refuses what this program could not have saved: an alarm it does not know could never be cleared.
func (set *ruleSet) checkActive(as []activeAlarm) (activeSet, error) {
	var out activeSet
	for _, a := range as {
		row := ups.AlarmByID(a.ID)
		switch {
		case row.ID == 0 || row.Moment || a.ID != 834 && a.ID.OfAgent() != set.own:
			return nil, fmt.Errorf("%d is no alarm", a.ID)
		case a.Severity == 0:
			return nil, fmt.Errorf("alarm %d has no severity", a.ID)
		case a.Group > ups.SOG3 || (a.Group != ups.NoGroup) != ofGroups(a.ID):
			return nil, fmt.Errorf("alarm %d of group %d", a.ID, a.Group)
		case out.find(a.key()) != nil:
			return nil, fmt.Errorf("alarm %d is active twice", a.ID)
		}
		a.Since = a.Since.UTC()
		if y := a.Since.Year(); y < 0 || y > 9999 {
			return nil, fmt.Errorf("alarm %d is active since the year %d", a.ID, y) // could not be written again
		}
		a.inherited = true
		out.add(a)
	}
	for i := range set.rules {
		r := &set.rules[i]
		if out.has(r.id) && (r.while != 0 && !out.has(r.while) || r.yieldTo != 0 && out.has(r.yieldTo)) {
			return nil, fmt.Errorf("alarm %d is active, which it cannot be with %d as it is", r.id, r.while+r.yieldTo)
		}
	}
	if out.has(801) && out.has(802) {
		return nil, errors.New("alarms 801 and 802 are both active")
	}
	return out, nil
}

// ofGroups reports whether an alarm is about one outlet group and not about the unit (event catalogue, section 7).
func ofGroups(id ups.AlarmID) bool { return id > 600 && id < 620 }
