package alarm

import (
	"testing"

	"upsedge/internal/ups"
)

func TestStoriesOfSettings(t *testing.T) {
	for _, s := range settingStories {
		t.Run(s.name, func(t *testing.T) { play(t, Limits{}, s.text) })
	}
}

var settingStories = []story{
	{"711 a setting that two reads say is another one; what the first read ever says is taken as it is", `
		0    settings
		600  settings
		1200 settings interval=1
		1201 settings             -> event 711 "test_interval was StartUpAnd7DaysSinceTest, is Never"
		1800 settings`},
	{"711 one damaged read is none", `
		0    settings
		600  settings interval=1
		601  settings interval=10
		602  settings`},
	{"711 a name is not said", `
		0    identity name0=Servers
		1    identity name0=Mine
		2    identity             -> event 711 "sog0_name is another text"`},
	{"711 also over a restart, and once", `
		0    settings
		1    restart
		2    settings interval=2
		3    settings             -> event 711 "test_interval was StartUpAnd7DaysSinceTest, is StartUp"
		4    restart
		5..6 settings`},
	{"711 an absent value is no other one", `
		0    settings
		1..3 settings interval=absent
		4..5 settings interval=10`},
	{"711 not of another unit in its place", `
		0    identity serial=A1 installed=9000
		1    identity serial=B2 installed=9500 -> raise 714
		2    identity`},
	{"711 the unit says so, and nothing that is read differs", `
		0..1 status C=8
		0    settings
		2..3 status U=2002 C=25
		3    settings
		4    status
		70   status               -> event 711 "the unit says so (ConfigurationChange), and no setting that is read here differs"
		71..200 status`},
	{"711 the unit says so, and it is seen what", `
		0..1 status C=8
		1    settings
		2..3 status U=2002 C=25
		4    settings interval=1
		5    settings             -> event 711
		70..75 status`},
	{"713 the cause of a start, twice, while the output goes on", `
		0..5 status C=8
		6    status C=0
		7    status               -> event 713 "the output goes on; cause SystemInitialization"
		8..9 status`},
	{"713 not at the first look, not of one damaged read, not of a unit that was off", `
		0..3 status C=0
		4..5 status C=8
		6    status C=0
		7    status C=8
		8..9 status U=10          -> raise 307 @9
		10..12 status U=2 C=0     -> clear 307 @11; event 308 @11`},
	{"713 after a silence it is inferred", `
		0..1 status C=8
		2..42 miss no-answer /10  -> raise 801 @32
		50   status C=0
		51   status               -> clear 801 @50; event 803 @50; event 713 inferred`},
}

// TestAnOrderedSettingIsNoNews: what an order writes is not told as 711, before, while and after it ends, and over a restart; what somebody
// else writes meanwhile is.
func TestAnOrderedSettingIsNoNews(t *testing.T) {
	const p = ups.TestInterval
	never := ups.SettingValue{Raw: 1}
	for name, run := range map[string]func(w *world){
		"read while it runs":        func(w *world) { w.told(1, "interval=1"); w.e.OrderEnded(p, true); w.told(2, ""); w.told(3, "") },
		"read when it is done":      func(w *world) { w.e.OrderEnded(p, true); w.told(1, "interval=1"); w.told(2, "") },
		"nobody knows, and it came": func(w *world) { w.e.OrderEnded(p, false); w.told(1, "interval=1"); w.told(2, "") },
		"over a restart":            func(w *world) { w.restart(); w.told(1, "interval=1"); w.told(2, "") },
		"over a restart, old at first": func(w *world) {
			w.told(1, "")
			w.restart()
			w.e.Ordered(p, never)
			w.told(2, "interval=1")
			w.told(3, "")
		},
		"not accepted, then somebody else": func(w *world) {
			w.e.OrderEnded(p, false)
			w.told(1, "")
			w.told(2, "interval=1")
			w.told(3, "", 711)
		},
		"somebody else, while it runs": func(w *world) { w.told(1, "interval=2"); w.told(2, "", 711); w.e.OrderEnded(p, false) },
		"done, then somebody else": func(w *world) {
			w.e.OrderEnded(p, true)
			w.told(1, "interval=1")
			w.told(2, "interval=2")
			w.told(3, "", 711)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.told(0, "")
			w.e.Ordered(p, never)
			run(w)
		})
	}
}

// told reads the settings and fails unless these events come.
func (w *world) told(at float64, set string, want ...ups.AlarmID) {
	if set != "" {
		w.set(set)
	}
	got := w.read("settings", second(at))
	if len(got) != len(want) || len(want) > 0 && got[0].ID != want[0] {
		w.t.Fatalf("at %g s: %v, want %v", at, got, want)
	}
}

// TestASecondReadIsAskedFor: once for a difference, and not more than once in a minute where it is another one each time.
func TestASecondReadIsAskedFor(t *testing.T) {
	w := newWorld(t)
	w.told(0, "")
	for _, row := range []struct {
		at    float64
		set   string
		again bool
	}{{1, "", false}, {2, "interval=1", true}, {3, "interval=2", false}, {4, "interval=4", false}, {63, "interval=8", true}, {64, "interval=10", false}} {
		w.told(row.at, row.set)
		if got := w.e.Again(ups.TierSettings); got != row.again || w.e.Again(ups.TierSettings) || w.e.Again(ups.TierIdentity) {
			t.Errorf("at %g s: again is %v, want %v", row.at, got, row.again)
		}
	}
}
