package store

import (
	"testing"

	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

func TestADamagedRaiseIsNotNamed(t *testing.T) {
	for _, column := range []string{"seq = seq + 1", "crc = 'x'", "seq = 1.5", "alarm = 102", "unit = 'rack-b'"} {
		for _, again := range []bool{false, true} { // the damage is there before an opening, or seen at run time
			dir := t.TempDir()
			s := reopen(t, dir, Options{})
			must(t, s.PutEvents(t.Context(), "rack-a", nil, []Event{event(101, ups.Raise, 1)}))
			must(t, s.w.plain(t.Context(), "UPDATE raises SET "+column))
			if again {
				s.crash()
				s = reopen(t, dir, Options{})
			}
			for _, unit := range []string{"rack-a", "rack-b"} {
				must(t, s.PutEvents(t.Context(), unit, nil, []Event{event(101, ups.Clear, 2), event(102, ups.Clear, 2)}))
			}
			for _, r := range all(t, s, wire.Events) {
				e, err := wire.DecodeEvent(r.Payload)
				must(t, err)
				if e.RaisedBy != 0 {
					t.Errorf("%s: raised by %d", column, e.RaisedBy)
				}
			}
			if n := s.Stats().Damaged; n != 1 {
				t.Errorf("%s, opened again %v: %d entries counted as damaged", column, again, n)
			}
		}
	}
}

// One value of a row is not what was written: the interruption is told as it was where that is certain, or has no beginning. No
// other unit is named.
func TestADamagedEndOfSamplesIsNotBelieved(t *testing.T) {
	exact, vague := Interrupted{Unit: "rack-a", Last: at(19)}, Interrupted{Unit: "rack-a"}
	resumed := Interrupted{Unit: "rack-a", Last: at(19), Resumed: at(40)}
	for change, want := range map[string][]Interrupted{
		"units SET run = 0":                           {vague},
		"units SET run = 'x'":                         {vague},
		"units SET mono = mono + 1":                   {vague},
		"units SET wall = 5":                          {vague},
		"units SET boot_id = x'01'":                   {vague},
		"units SET boot_id = NULL":                    {vague},
		"units SET crc = crc + 1":                     {vague},
		"units SET unit = 'rack-b'":                   {exact},
		"units SET unit = x'00'":                      {exact},
		"units SET name = 'rack-b'":                   {exact},
		"units SET unit = 'rack-b', crc = 0":          {},
		"interruptions SET mono = mono + 1":           {vague},
		"interruptions SET to_wall = 7":               {vague},
		"interruptions SET to_boot_id = NULL":         {vague},
		"interruptions SET crc = NULL":                {vague},
		"interruptions SET unit = NULL":               {resumed},
		"interruptions SET unit = 'rack-b'":           {resumed},
		"interruptions SET name = 1":                  {resumed},
		"interruptions SET unit = 'rack-b', mono = 1": {},
	} {
		t.Run(change, func(t *testing.T) {
			dir := t.TempDir()
			s := reopen(t, dir, Options{})
			must(t, s.PutEvents(t.Context(), "rack-a", []byte("state"), nil))
			must(t, s.PutSamples(t.Context(), []Samples{{Unit: "rack-a", First: at(10), Last: at(19), Payload: []byte{1}}}))
			if change[0] == 'i' {
				s.crash()
				s = reopen(t, dir, Options{})
				must(t, s.PutSamples(t.Context(), []Samples{{Unit: "rack-a", First: at(40), Last: at(49), Payload: []byte{1}}}))
				must(t, s.End(t.Context(), "rack-a"))
			}
			must(t, s.w.plain(t.Context(), "UPDATE "+change))
			s.crash()
			s = reopen(t, dir, Options{})
			same(t, "crashed", append([]Interrupted{}, s.Crashed()...), want)
			if n := s.Stats().Damaged; n != 1 {
				t.Errorf("%d entries counted as damaged", n)
			}
			if state, err := s.AlarmState(t.Context(), "rack-a"); len(want) > 0 && (string(state) != "state" || err != nil) {
				t.Errorf("alarm state %q, %v", state, err)
			}
			for _, i := range s.Crashed() {
				must(t, s.PutGap(t.Context(), wire.Gap{Unit: i.Unit, From: i.Last, To: at(60), Reason: wire.GapDamage}, at(60)))
			}
			must(t, s.Close())
			s = reopen(t, dir, Options{})
			if list, n := s.Crashed(), s.Stats().Damaged; len(list) != 0 || n != 0 {
				t.Errorf("told again: %v, %d entries damaged", list, n)
			}
		})
	}
}
