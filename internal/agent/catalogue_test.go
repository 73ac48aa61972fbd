package agent

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"upsedge/internal/testenv"
	"upsedge/internal/ups"
)

// A row of the event catalogue: I, W or C, and A for an alarm or E for a moment.
type row struct {
	id       int
	severity byte
	kind     byte
}

// The event catalogue, sections 2 to 9, as far as it is about the unit, the line and the agent itself: typed from there and from nothing else, so
// that an id that is lost in ups.Alarms or among the rules is missed here.
var catalogueText = `
101WA 102IE 103IA 104WA 105WA 106WA 107IE 108WA 109WA 110IA 111WA 112CA 113WA 114IA 115IA 116WA 117WE 118WA 119WA 120IE 121IE 122IE
123IE
201CA 202IE 203WA 204CA 205CA 206CA 207CA 208WA 209CA 210WA 211CA 212CA 213WA 214IA 215WA 216WA 217WA 218IE 219IE 220IA 221IE 222WA
223WA 224IE 225WA
301CA 302IE 303WA 304CA 305CA 306CA 307WA 308IE 309IA 310WA 311CA 312WA 313CA 314IE 315WA 316IA 317CA 318WA 319CE 320CA 321WA
401WA 402CA 403CA 404CA 405CA 406WA 407WA 408CA 409WA 410CA 411CA 412CA 413CA 414CA 415CA 416CA 417CA 418CA 419CA 420CA 421CA 422CA
423IA 424IE
501IA 502IA 503IE 504CA 505WE 506WE 507WA 508IA 509IE 510WE 511WE 512WE 513IA 514IA 515IA
601IE 602WE 603IA 604WA 605WA 606WA 607IA 608WA 609WA 610IA 611WA
711IE 713WE 714CA
801WA 802CA 803IE 804WA 805WA 806WA 834WA
810IE 811IE 812WE 813IE 814WA 820WA 821IE 822CA 823WA 824CA 830WA 831CA 832CA 833WA
`

var catalogue = func() (out []row) {
	for _, f := range strings.Fields(catalogueText) {
		var r row
		if n, err := fmt.Sscanf(f, "%3d%c%c", &r.id, &r.severity, &r.kind); n != 3 || err != nil {
			panic(f)
		}
		out = append(out, r)
	}
	return out
}()

func catalogueRow(id int) row {
	for _, r := range catalogue {
		if r.id == id {
			return r
		}
	}
	panic(fmt.Sprintf("%d is not in the catalogue", id))
}

// TestEveryIDOfTheCatalogueReachesTheReceiver plays every way to every id: simulated unit, line, driver, sampler, alarm, store,
// MQTT client, broker, and what a subscriber reads in the JSON there.
func TestEveryIDOfTheCatalogueReachesTheReceiver(t *testing.T) {
	t.Run("table", func(t *testing.T) { checkRows(t) })
	var mu sync.Mutex
	var all []lived
	t.Run("play", func(t *testing.T) {
		for n, s := range stages {
			t.Run(s.name, func(t *testing.T) {
				testenv.Part(t, n, 5)
				t.Parallel()
				out := s.play(t)
				mu.Lock()
				defer mu.Unlock()
				all = append(all, out...)
			})
		}
		for _, l := range ownLives {
			t.Run("the agent itself/"+l.how, func(t *testing.T) {
				t.Parallel()
				out := l.play(t)
				mu.Lock()
				defer mu.Unlock()
				all = append(all, out)
			})
		}
	})
	slices.SortStableFunc(all, func(a, b lived) int { return cmp.Compare(a.id, b.id) })
	var table strings.Builder
	for _, l := range all {
		fmt.Fprintf(&table, "%3d %-34s %10v %10v  %s", l.id, ups.AlarmByID(ups.AlarmID(l.id)).Text, l.raised, l.cleared, l.enter)
		if l.leave != "" {
			fmt.Fprintf(&table, " | %s", l.leave)
		}
		if len(l.others) > 0 {
			fmt.Fprintf(&table, "  (also %s)", strings.Join(l.others, ", "))
		}
		table.WriteByte('\n')
	}
	t.Logf("%d lives for %d ids: id, text, time from the cause to the receiver, time from its end to the clear there, how:\n%s", len(all), len(catalogue), &table)
}

// checkRows holds the rows of this test, of ups.Alarms and of the catalogue against each other.
func checkRows(t *testing.T) {
	lives := map[int]bool{}
	for _, s := range stages {
		for _, l := range s.lives {
			lives[l.id] = true
		}
	}
	for _, l := range ownLives {
		lives[l.id] = true
	}
	for _, r := range catalogue {
		a := ups.AlarmByID(ups.AlarmID(r.id))
		switch {
		case a.ID == 0:
			t.Errorf("%d is not in ups.Alarms", r.id)
		case a.ID != 0 && (a.Moment != (r.kind == 'E') || letter(a.Severity) != r.severity):
			t.Errorf("%d is %+v, the catalogue has %c and %c", r.id, a, r.severity, r.kind)
		case !lives[r.id]:
			t.Errorf("%d has no life here", r.id)
		}
	}
	for _, a := range slices.Concat(ups.Alarms, ups.AgentAlarms) {
		if a.ID == 807 { // stays on the box: TestDEV5WhoseDataLeaves
			continue
		}
		if !slices.ContainsFunc(catalogue, func(r row) bool { return r.id == int(a.ID) }) {
			t.Errorf("%d is in ups.Alarms and not in the catalogue", a.ID)
		}
	}
}

func letter(s ups.Severity) byte { return map[ups.Severity]byte{1: 'I', 2: 'W', 3: 'C'}[s] }
