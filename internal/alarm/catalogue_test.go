package alarm

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"upsedge/internal/ups"
)

type catalogueEntry struct {
	id       ups.AlarmID
	text     string
	severity string
	kind     string
}

// catalogueRows are the rows of the event catalogue, sections 2 to 9, about a unit: A is an alarm, E a moment.
var catalogueRows = []catalogueEntry{
	{101, "UPS on battery", "W", "A"},
	{102, "Power restored, no longer on battery", "I", "E"},
	{103, "On battery for a test", "I", "A"},
	{104, "Input voltage too high", "W", "A"},
	{105, "Input voltage too low", "W", "A"},
	{106, "Input waveform distorted", "W", "A"},
	{107, "Input voltage changed rapidly", "I", "E"},
	{108, "Input frequency too high", "W", "A"},
	{109, "Input frequency too low", "W", "A"},
	{110, "Input frequency or phase not locked", "I", "A"},
	{111, "Input phase angle out of range", "W", "A"},
	{112, "Input neutral not connected", "C", "A"},
	{113, "Input power not acceptable", "W", "A"},
	{114, "Compensating for low input voltage (boost)", "I", "A"},
	{115, "Compensating for high input voltage (trim)", "I", "A"},
	{116, "Running on poor mains", "W", "A"},
	{117, "Input plug rating exceeded", "W", "E"},
	{118, "Frequent transfers to battery", "W", "A"},
	{119, "Long time on battery", "W", "A"},
	{120, "Source changed by transfer switch", "I", "E"},
	{121, "High efficiency mode on", "I", "E"},
	{122, "High efficiency mode off", "I", "E"},
	{123, "Automatic restart after power return", "I", "E"},
	{201, "Low battery", "C", "A"},
	{202, "Returned from low battery", "I", "E"},
	{203, "Battery discharged", "W", "A"},
	{204, "Battery disconnected", "C", "A"},
	{205, "Battery over-voltage", "C", "A"},
	{206, "Battery needs replacement", "C", "A"},
	{207, "Battery temperature threshold exceeded", "C", "A"},
	{208, "Battery temperature high", "W", "A"},
	{209, "Battery charger fault", "C", "A"},
	{210, "Battery temperature sensor fault", "W", "A"},
	{211, "Battery bus soft start fault", "C", "A"},
	{212, "Battery system fault", "C", "A"},
	{213, "Battery pack communication fault", "W", "A"},
	{214, "Battery replacement due (early notice)", "I", "A"},
	{215, "Battery replacement due", "W", "A"},
	{216, "Battery end of life exceeded", "W", "A"},
	{217, "Measured battery capacity near its end", "W", "A"},
	{218, "Battery lifetime alarm acknowledged at the unit", "I", "E"},
	{219, "Battery replaced", "I", "E"},
	{220, "Battery charging", "I", "A"},
	{221, "Battery fully charged", "I", "E"},
	{222, "Battery does not charge", "W", "A"},
	{223, "Runtime far below its reference", "W", "A"},
	{224, "Low battery voltage caused a state change", "I", "E"},
	{225, "Self-test suggests a weak battery", "W", "A"},
	{301, "UPS overloaded", "C", "A"},
	{302, "Overload ended", "I", "E"},
	{303, "Load high", "W", "A"},
	{304, "Output short circuit", "C", "A"},
	{305, "Output over-voltage", "C", "A"},
	{306, "Output over-current", "C", "A"},
	{307, "Output power is off", "W", "A"},
	{308, "Output power is on", "I", "E"},
	{309, "Output will turn on", "I", "A"},
	{310, "Output will turn off", "W", "A"},
	{311, "Shutdown imminent", "C", "A"},
	{312, "On bypass, by command", "W", "A"},
	{313, "On bypass, because of a fault", "C", "A"},
	{314, "Returned from bypass", "I", "E"},
	{315, "Bypass source not acceptable", "W", "A"},
	{316, "Recovering from a fault", "I", "A"},
	{317, "UPS in fault state", "C", "A"},
	{318, "Inverter output distorted", "W", "A"},
	{319, "Time on fault bypass expired", "C", "E"},
	{320, "Emergency power off active", "C", "A"},
	{321, "Load disappeared", "W", "A"},
	{401, "Site wiring fault", "W", "A"},
	{402, "Memory (EEPROM) fault", "C", "A"},
	{403, "Measurement converter fault", "C", "A"},
	{404, "Logic power supply fault", "C", "A"},
	{405, "Internal communication fault", "C", "A"},
	{406, "Front panel button fault", "W", "A"},
	{407, "Firmware parts do not match", "W", "A"},
	{408, "Oscillator fault", "C", "A"},
	{409, "Measurements disagree", "W", "A"},
	{410, "Subsystem fault", "C", "A"},
	{411, "Internal temperature exceeded", "C", "A"},
	{412, "Back-feed relay fault", "C", "A"},
	{413, "Voltage regulation relay fault", "C", "A"},
	{414, "Input relay fault", "C", "A"},
	{415, "Output relay fault", "C", "A"},
	{416, "Bypass relay fault", "C", "A"},
	{417, "Fan fault", "C", "A"},
	{418, "Power factor correction fault", "C", "A"},
	{419, "DC bus over-voltage", "C", "A"},
	{420, "Inverter fault", "C", "A"},
	{421, "Transformer DC imbalance", "C", "A"},
	{422, "UPS fault without detail", "C", "A"},
	{423, "UPS reports an informational alert", "I", "A"},
	{424, "Faults cleared", "I", "E"},
	{501, "Self-test waiting", "I", "A"},
	{502, "Self-test running", "I", "A"},
	{503, "Self-test passed", "I", "E"},
	{504, "Self-test failed", "C", "A"},
	{505, "Self-test refused", "W", "E"},
	{506, "Self-test aborted", "W", "E"},
	{507, "No self-test for a long time", "W", "A"},
	{508, "Runtime calibration running", "I", "A"},
	{509, "Runtime calibration finished", "I", "E"},
	{510, "Runtime calibration failed", "W", "E"},
	{511, "Runtime calibration refused", "W", "E"},
	{512, "Runtime calibration aborted", "W", "E"},
	{513, "Panel test running", "I", "A"},
	{514, "Audible alarm sounding", "I", "A"},
	{515, "Audible alarm muted", "I", "A"},
	{601, "Outlet group turned on", "I", "E"},
	{602, "Outlet group turned off", "W", "E"},
	{603, "Outlet group rebooting", "I", "A"},
	{604, "Outlet group shutting down", "W", "A"},
	{605, "Outlet group sleeping", "W", "A"},
	{606, "Load shedding pending for group", "W", "A"},
	{607, "Group waits for its turn-on delay", "I", "A"},
	{608, "Group waits for its turn-off delay", "W", "A"},
	{609, "Group waits for mains", "W", "A"},
	{610, "Group waits for minimum runtime", "I", "A"},
	{611, "Group runtime low", "W", "A"},
	{711, "Setting changed at the unit", "I", "E"},
	{713, "UPS controller restarted", "W", "E"},
	{714, "Another unit answers at this address", "C", "A"},
	{801, "Communication with the UPS lost", "W", "A"},
	{802, "Communication lost while on battery", "C", "A"},
	{803, "Communication with the UPS restored", "I", "E"},
	{804, "UPS refuses the connection (Modbus switched off, or another master connected)", "W", "A"},
	{805, "Unusable answer from the UPS", "W", "A"},
	{806, "Model or map not supported", "W", "A"},
	{807, "UPS found but not registered", "I", "A"},
	{834, "Event repeats too often", "W", "A"},
}

// agentRows are those of section 9 about the agent itself, but for what the cloud raises (840) and what needs a cloud (807, 841, 842).
var agentRows = []catalogueEntry{
	{810, "Agent started", "I", "E"},
	{811, "Agent stopping", "I", "E"},
	{812, "Agent was stopped without warning", "W", "E"},
	{813, "Agent updated", "I", "E"},
	{814, "Configuration rejected, old one kept", "W", "A"},
	{820, "Cloud link lost", "W", "A"},
	{821, "Cloud link restored", "I", "E"},
	{822, "Cloud certificate not trusted", "C", "A"},
	{823, "Agent certificate expires soon", "W", "A"},
	{824, "Agent rejected by the cloud", "C", "A"},
	{830, "Buffer 80 % full", "W", "A"},
	{831, "Samples dropped", "C", "A"},
	{832, "Storage error", "C", "A"},
	{833, "Clock not trustworthy", "W", "A"},
}

func TestAlarmsAreThoseOfTheCatalogue(t *testing.T) {
	letters := map[ups.Severity]string{ups.Informational: "I", ups.Warning: "W", ups.Critical: "C"}
	for _, c := range slices.Concat(catalogueRows, agentRows) {
		a := ups.AlarmByID(c.id)
		if kind := map[bool]string{false: "A", true: "E"}[a.Moment]; a.ID != c.id || a.Text != c.text || kind != c.kind || letters[a.Severity] != c.severity {
			t.Errorf("%d is %+v, the catalogue has %q, %s, %s", c.id, a, c.text, c.severity, c.kind)
		}
	}
	for _, list := range [][]ups.Alarm{ups.Alarms, ups.AgentAlarms} {
		for i, a := range list {
			if i > 0 && a.ID <= list[i-1].ID {
				t.Errorf("%d comes after %d", a.ID, list[i-1].ID)
			}
		}
	}
	if len(ups.AgentAlarms) != len(agentRows) || len(ups.Alarms) != len(catalogueRows) {
		t.Errorf("%d and %d alarms, want %d and %d", len(ups.Alarms), len(ups.AgentAlarms), len(catalogueRows), len(agentRows))
	}
}

// TestTheListForPeopleIsTheCatalogue: docs/events.md has every id, with its text, its severity and what to do, and no other.
func TestTheListForPeopleIsTheCatalogue(t *testing.T) {
	text, err := os.ReadFile("../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range regexp.MustCompile(`(?m)^\| \*\*(\d+)\*\* \| (.*?) \| (\w+) \| .* \| (.*?) \| (.*?) \|$`).FindAllStringSubmatch(string(text), -1) {
		got = append(got, fmt.Sprint(m[1], " ", m[2], ", ", m[3], ", ", m[4] == "–", ": ", plain(m[5])))
	}
	var want []string
	all := slices.Concat(ups.Alarms, ups.AgentAlarms)
	for _, a := range all {
		want = append(want, fmt.Sprint(a.ID, " ", a.Text, ", ", a.Severity, ", ", a.Moment, ": ", a.Do))
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-catalogue +docs/events.md:\n%s", d)
	}
	if count := regexp.MustCompile(`\b\d+ ids,`).FindString(string(text)); count != fmt.Sprint(len(all), " ids,") {
		t.Errorf("docs/events.md says %q where it should say how many: %d ids,", count, len(all))
	}
}

// plain is a cell of the document as the catalogue has it: without links and marks of code.
func plain(cell string) string {
	if cell == "–" {
		return ""
	}
	cell = regexp.MustCompile(`\[(.*?)\]\(.*?\)`).ReplaceAllString(cell, "$1")
	return strings.ReplaceAll(cell, "`", "")
}

// TestEveryRowIsSound holds the tables against the catalogue and against what judge expects of them.
func TestEveryRowIsSound(t *testing.T) {
	raised := map[ups.AlarmID]int{802: 1, 711: 1, 713: 1, 714: 1, 807: 1, 834: 1} // the other form of 801; settings; boot; identify; Unowned; flood
	for i := range theRules.rules {
		r := &theRules.rules[i]
		if r.group <= ups.MainGroup {
			raised[r.id]++
		}
		soundRule(t, r)
		if r.then != 0 {
			raised[r.then] = 1
		}
		if above := r.while; above != 0 && raised[above] == 0 {
			t.Errorf("rule %d stands above %d, on which it depends", r.id, above)
		}
	}
	for _, w := range theRules.words {
		for _, r := range w.results {
			raised[r.id]++
		}
	}
	for _, g := range theRules.edges {
		for _, b := range append(g.set, g.unset...) {
			raised[b.id] = 1
		}
	}
	for _, r := range theRules.links {
		raised[r.id]++
		if !aboutLink(r.id) || r.counts&r.breaks != 0 || r.clears&r.spoils != 0 {
			t.Errorf("link rule %d is not known as one, or contradicts itself", r.id)
		}
		raised[803] = 1 // follows
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

func soundRule(t *testing.T, r *rule) {
	moment := ups.AlarmByID(r.id).Moment
	if len(r.raise) == 0 || len(r.raw) == 0 || moment != (len(r.clear) == 0 && r.while == 0) || moment && r.then != 0 {
		t.Errorf("rule %d lacks a test or its registers, or is a moment that ends or an alarm that does not", r.id)
	}
	if r.then != 0 && !ups.AlarmByID(r.then).Moment {
		t.Errorf("rule %d is followed by %d, which is no moment", r.id, r.then)
	}
	if ofGroups(r.id) != (r.group != ups.NoGroup) {
		t.Errorf("rule %d is of group %v", r.id, r.group)
	}
	for _, x := range append(append([]test(nil), r.raise...), r.clear...) {
		if x.on == (pointSet{}) || x.is == nil || x.polls < 1 {
			t.Errorf("rule %d has a test without points, condition or polls", r.id)
		}
	}
	for _, x := range r.clear {
		if x.polls < 2 && x.on != onCause { // a cause that is confirmed has been read twice
			t.Errorf("TIMING-2: rule %d is cleared by %d poll", r.id, x.polls)
		}
	}
}
