package agent

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/config"
	"upsedge/internal/ups"
	"upsedge/internal/ups/upssim"
	"upsedge/internal/wire"
)

// wall is the right time.
func (b *bubble) wall() time.Time { return time.Now() }

const (
	serialA = "AS2130000001"
	serialB = "AS2130000002"
)

// TestDEV5WhoseDataLeaves is a whole life of an enrolled agent with everything that crosses the network read: stand-alone, enrolled
// without an owner, bound, restarted, another unit in its place, that one gone again, another owner, and the other unit bound, too.
// Of a unit without an owner nothing leaves but its serial number and its condition (design, section 5), and nothing carries an epoch
// that is not the device's at that moment (DEV-4, DEV-5, EDGE-10).
func TestDEV5WhoseDataLeaves(t *testing.T) {
	var a *government
	marks := map[string]int{}
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, "- {name: rack-a, "+onTCP+"}")
		b.telling = true
		b.text = strings.Replace(b.text, "flush: 10m", "flush: 10s", 1)
		enrolled := b.text
		b.text = strings.Replace(b.text, `uplink: {broker: "tcp://127.0.0.1:1883", insecure: true, agent_id: rack7}`, "", 1)
		unit := b.actor("rack-a", "", 1)
		unit.do("1s") // the clock of the unit
		b.start()
		unit.do("30s mains-fail 40s mains-return 1m") // stored in epoch 0, for nobody
		b.stop()

		b.text = enrolled
		a = b.enrol()
		b.start()
		unit.do("30s mains-fail 40s")
		full := a.full()
		if u := full.Units[0]; u.Serial != serialA || u.Condition&ups.OnBattery == 0 || u.Model != "" || u.Firmware != "" || len(u.Alarms) > 0 || u.Epoch != 0 || u.Since != (wire.Stamp{}) {
			t.Errorf("of a unit without an owner the full state says %+v, want its serial number and condition", u)
		}
		if !b.scrape()[`ups_alarm_active{alarm="807",ups="rack-a"} 1`] || !b.scrape()[`ups_alarm_active{alarm="101",ups="rack-a"} 1`] {
			t.Error("807 and 101 are not shown on the spot")
		}
		if got := a.since(0); len(got) > 0 {
			t.Errorf("records of a unit without an owner: %+v", got)
		}

		marks["bound"] = a.count()
		a.bind(bound(serialA, 3, 11))
		unit.do("4s") // the interval of flushes is 10 s
		if !a.samples(marks["bound"]) {
			t.Error("no samples 4 s after the bind")
		}
		if ids := a.raised(marks["bound"]); !slices.Contains(ids, 101) || slices.Contains(ids, 807) {
			t.Errorf("raised anew: %v, want 101 among them and not 807", ids)
		}
		if u := a.full().Units[0]; u.Epoch != 3 || u.GrantVersion != 11 || u.PlanVersion != 11 || u.Model == "" || !slices.Contains(u.Alarms, 101) {
			t.Errorf("confirmed: %+v, want epoch 3, version 11 and all of the unit", u)
		}
		if b.scrape()[`ups_alarm_active{alarm="807",ups="rack-a"} 1`] {
			t.Error("807 is still shown")
		}
		unit.do("mains-return 1m")

		b.stop() // stored epochs hold before any statement
		a.hush(true)
		marks["restarted"] = a.count()
		b.start()
		unit.do("40s mains-fail 20s mains-return 20s")
		a.hush(false)
		b.stop()
		b.start()
		unit.do("1m")
		if ids := a.raised(marks["restarted"]); !slices.Contains(ids, 101) {
			t.Errorf("of the time before a statement came: %v", ids)
		}
		marks["swapped"] = a.count()
		other := upssim.New(upssim.Options{SKU: "SMT1500IC", Seed: 2, Serial: serialB, Now: unit.now})
		unit.plug(other)
		unit.do("1m")
		marks["swapped, settled"] = a.count()
		other.SetMains(false)
		unit.do("1m")
		if u := a.full().Units[0]; u.Serial != serialB || u.Epoch != 0 || u.Model != "" {
			t.Errorf("the other unit: %+v, want nobody's", u)
		}
		if ids := a.raised(marks["swapped"]); !slices.Equal(ids, []ups.AlarmID{714}) {
			t.Errorf("of the swap the old owner was told %v, want 714 alone", ids)
		}
		if got := a.since(marks["swapped, settled"]); len(got) > 0 {
			t.Errorf("after the swap: %+v", got)
		}

		marks["back"] = a.count()
		unit.plug(unit.unit)
		unit.do("1m")
		if !a.samples(marks["back"]) {
			t.Error("the old unit is back and nothing comes of it")
		}
		a.bind(bound(serialA, 9, 1), bound(serialB, 4, 1))
		unit.do("1m")
		unit.plug(other)
		unit.do("1m")
		if u := a.full().Units[0]; u.Serial != serialB || u.Epoch != 4 || slices.Contains(u.Alarms, 714) {
			t.Errorf("the other unit, bound: %+v, want epoch 4 and no 714", u)
		}
		b.stop()
	})
	if t.Failed() {
		return
	}
	a.ledger.t = t
	a.judge(t)
}

// judge holds each record of a unit against whose it was then.
func (a *government) judge(t *testing.T) {
	epochs := map[string]int{}
	see := func(unit, device string, epoch uint32, what string) {
		key := fmt.Sprintf("%s/%d", device, epoch)
		switch {
		case unit == "" && epoch != 0:
			t.Errorf("a record of the agent itself in epoch %d: %s", epoch, what)
		case unit != "" && !slices.Contains([]string{serialA + "/3", serialA + "/9", serialB + "/4"}, key):
			t.Errorf("a record of %s: %s", key, what)
		}
		epochs[key]++
	}
	for _, h := range a.heard {
		if !h.block {
			see(h.unit, h.device, h.epoch, fmt.Sprint(h.kind, " ", h.id))
		}
	}
	for _, b := range a.ledger.blocks {
		p, err := a.ledger.schemas.Decode(b)
		if err != nil {
			t.Errorf("block: %v", err)
			continue
		}
		see(p.Block.Unit, p.Block.Device, p.Record.Epoch, "samples")
	}
	for _, key := range []string{serialA + "/3", serialA + "/9", serialB + "/4"} {
		if epochs[key] < 2 {
			t.Errorf("%d records of %s: %v", epochs[key], key, epochs)
		}
	}
}

// count is how many records have come.
func (a *government) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.heard)
}

// since are the records of units behind the first n.
func (a *government) since(n int) (out []heard) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, h := range a.heard[n:] {
		if h.unit != "" {
			out = append(out, h)
		}
	}
	return out
}

// raised are the alarms of units raised behind the first n records.
func (a *government) raised(n int) (ids []ups.AlarmID) {
	for _, h := range a.since(n) {
		if h.kind == ups.Raise {
			ids = append(ids, h.id)
		}
	}
	return ids
}

// samples tells whether samples have come behind the first n records.
func (a *government) samples(n int) bool {
	return slices.ContainsFunc(a.since(n), func(h heard) bool { return h.block && h.lane == wire.Samples })
}

// full is the last full state.
func (a *government) full() *wire.FullState {
	a.t.Helper()
	a.b.cloud.mu.Lock()
	defer a.b.cloud.mu.Unlock()
	for _, s := range slices.Backward(a.ledger.states) {
		if s.Full != nil {
			return s.Full
		}
	}
	a.t.Fatal("no full state has come")
	return nil
}

// TestEnrolledWhileItRuns: an agent that has no cloud is given one without a restart. What it had stored, and what waits to be stored,
// is nobody's.
func TestEnrolledWhileItRuns(t *testing.T) {
	for _, wait := range []string{"1m", "1s"} { // the second within one interval of flushes
		t.Run(wait, func(t *testing.T) { enrolledWhileItRuns(t, wait) })
	}
}

func enrolledWhileItRuns(t *testing.T, wait string) {
	var a *government
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, "- {name: rack-a, "+onTCP+"}")
		enrolled := strings.Replace(b.text, "flush: 10m", "flush: 10s", 1)
		b.text = strings.Replace(enrolled, `uplink: {broker: "tcp://127.0.0.1:1883", insecure: true, agent_id: rack7}`, "", 1)
		unit := b.actor("rack-a", "", 1)
		b.start()
		unit.do("30s mains-fail 44s") // and in the middle of an interval
		b.text = enrolled
		a = b.enrol()
		cfg, err := config.Parse("agent.yaml", []byte(enrolled))
		if err != nil {
			t.Fatal(err)
		}
		b.reload <- Reload{Config: cfg}
		unit.do(wait)
		if u := a.full().Units[0]; u.Serial != serialA || u.Model != "" || u.Epoch != 0 {
			t.Errorf("the full state says %+v, want serial number and condition", u)
		}
		if got := a.since(0); len(got) > 0 {
			t.Errorf("records of a unit without an owner: %+v", got)
		}
		a.bind(bound(serialA, 2, 1))
		unit.do("20s")
		if ids := a.raised(0); !a.samples(0) || !slices.Contains(ids, 101) {
			t.Errorf("bound, and raised are %v, samples %v", ids, a.samples(0))
		}
		for _, h := range a.since(0) {
			if h.epoch != 2 {
				t.Errorf("a record of epoch %d: %+v", h.epoch, h)
			}
		}
		b.stop()
	})
	if t.Failed() {
		return
	}
	// What was stored before has announced schemas to nobody, or is nobody's to read: none of the blocks may rest on it.
	known := new(wire.Schemas)
	for _, b := range a.ledger.blocks {
		if _, err := known.Decode(b); err != nil {
			t.Errorf("a block that nobody can read: %v", err)
		}
	}
	if len(a.ledger.blocks) == 0 {
		t.Error("no blocks")
	}
}
