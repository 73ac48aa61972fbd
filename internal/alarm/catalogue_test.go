package alarm

import (
	"testing"

	"upsedge/internal/ups"
)

// catalogueRows are the rows of the event catalogue, sections 2 to 8, that this program has so far: A is an alarm, E a moment.
var catalogueRows = []struct {
	id       ups.AlarmID
	text     string
	severity string
	kind     string
}{
	{101, "UPS on battery", "W", "A"},
	{102, "Power restored, no longer on battery", "I", "E"},
	{103, "On battery for a test", "I", "A"},
	{201, "Low battery", "C", "A"},
	{301, "UPS overloaded", "C", "A"},
	{311, "Shutdown imminent", "C", "A"},
	{502, "Self-test running", "I", "A"},
	{503, "Self-test passed", "I", "E"},
	{504, "Self-test failed", "C", "A"},
	{801, "Communication with the UPS lost", "W", "A"},
	{802, "Communication lost while on battery", "C", "A"},
	{803, "Communication with the UPS restored", "I", "E"},
	{804, "UPS refuses the connection (Modbus switched off, or another master connected)", "W", "A"},
	{805, "Unusable answer from the UPS", "W", "A"},
}

func TestAlarmsAreThoseOfTheCatalogue(t *testing.T) {
	letters := map[ups.Severity]string{ups.Informational: "I", ups.Warning: "W", ups.Critical: "C"}
	for _, c := range catalogueRows {
		a := ups.AlarmByID(c.id)
		if kind := map[bool]string{false: "A", true: "E"}[a.Moment]; a.ID != c.id || a.Text != c.text || kind != c.kind || letters[a.Severity] != c.severity {
			t.Errorf("%d is %+v, the catalogue has %q, %s, %s", c.id, a, c.text, c.severity, c.kind)
		}
	}
	for i, a := range ups.Alarms {
		if i > 0 && a.ID <= ups.Alarms[i-1].ID {
			t.Errorf("%d comes after %d", a.ID, ups.Alarms[i-1].ID)
		}
	}
}

// TestEveryRowIsSound holds the tables against the catalogue and against what judge expects of them.
func TestEveryRowIsSound(t *testing.T) {
	raised := map[ups.AlarmID]int{102: 1, 802: 1, 803: 1} // follow others
	for i := range rules {
		r := &rules[i]
		raised[r.id]++
		if ups.AlarmByID(r.id).Moment || len(r.raise) == 0 || len(r.clear) == 0 || r.detail == nil || len(r.raw) == 0 {
			t.Errorf("rule %d is no alarm, or lacks a test, a detail or its registers", r.id)
		}
		if r.then != 0 && !ups.AlarmByID(r.then).Moment {
			t.Errorf("rule %d is followed by %d, which is no moment", r.id, r.then)
		}
		for _, x := range append(append([]test(nil), r.raise...), r.clear...) {
			if x.on == (pointSet{}) || x.is == nil || x.polls < 1 {
				t.Errorf("rule %d has a test without points, condition or polls", r.id)
			}
		}
		for _, x := range r.clear {
			if x.polls < 2 {
				t.Errorf("TIMING-2: rule %d is cleared by %d poll", r.id, x.polls)
			}
		}
		if above := r.while; above != 0 && raised[above] == 0 {
			t.Errorf("rule %d stands above %d, on which it depends", r.id, above)
		}
	}
	for _, w := range resultWords {
		for _, r := range w.results {
			raised[r.id]++
		}
	}
	for _, r := range linkRules {
		raised[r.id]++
		if !aboutLink(r.id) || r.counts&r.breaks != 0 || r.clears&r.spoils != 0 {
			t.Errorf("link rule %d is not known as one, or contradicts itself", r.id)
		}
	}
	for _, c := range catalogueRows {
		if raised[c.id] != 1 {
			t.Errorf("%d rows raise %d, want 1", raised[c.id], c.id)
		}
	}
	for id := range raised {
		if ups.AlarmByID(id).ID == 0 {
			t.Errorf("%d is not in ups.Alarms", id)
		}
	}
}
