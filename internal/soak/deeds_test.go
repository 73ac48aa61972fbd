package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"upsedge/internal/ups"
	"upsedge/internal/ups/upssim"
	"upsedge/internal/wire"
)

// A deed is an order, with what is done to the unit before so that it has something to do.
type deed struct {
	action string
	params map[string]string
	before []string
}

func (d deed) String() string {
	s := d.action
	for _, name := range []string{ups.ParamTest, ups.ParamDo, ups.ParamTo, ups.ParamGroup, ups.ParamDelay, ups.ParamMute, ups.ParamAlarm, ups.ParamSetting} {
		if v := d.params[name]; v != "" {
			s += " " + v
		}
	}
	return s
}

// drops tells whether outlets go off and come back when it is carried out.
func (d deed) drops() bool {
	return d.action == ups.ActionReboot || d.action == ups.ActionRebootGroup || d.params[ups.ParamTo] == ups.ToShutdown
}

func of(action string, before []string, params ...string) deed {
	d := deed{action: action, params: map[string]string{}, before: before}
	for i := 0; i < len(params); i += 2 {
		d.params[params[i]] = params[i+1]
	}
	return d
}

// deeds are all that can be ordered of a unit.
var deeds = []deed{
	of(ups.ActionReboot, nil, "delay", "none"),
	of(ups.ActionReboot, nil, "delay", "configured"),
	of(ups.ActionRebootGroup, nil, "group", "sog0", "delay", "configured"),
	of(ups.ActionRebootGroup, nil, "group", "main,sog0", "delay", "none"),
	of(ups.ActionOutlet, []string{"outlet=off:sog0"}, "group", "sog0", "to", "on"),
	of(ups.ActionOutlet, nil, "group", "sog0", "to", "off"),
	of(ups.ActionOutlet, nil, "group", "sog0", "to", "shutdown"),
	of(ups.ActionOutlet, []string{"outlet=reboot:sog0"}, "group", "sog0", "to", "cancel"),
	of(ups.ActionDiagnostics, nil, "test", "self"),
	of(ups.ActionDiagnostics, []string{"self-test=protocol"}, "test", "self", "do", "abort"),
	of(ups.ActionDiagnostics, nil, "test", "calibration"),
	of(ups.ActionDiagnostics, []string{"calibrate=protocol"}, "test", "calibration", "do", "abort"),
	of(ups.ActionDiagnostics, nil, "test", "panel"),
	of(ups.ActionDiagnostics, []string{"panel-test"}, "test", "panel", "do", "abort"),
	of(ups.ActionMute, []string{"wiring-bad"}, "mute", "on"),
	of(ups.ActionMute, []string{"wiring-bad", "mute"}, "mute", "off"),
	of(ups.ActionAck, []string{"wiring-bad"}, "alarm", "wiring"),
	of(ups.ActionAck, []string{"battery-life=10"}, "alarm", "battery"),
	of(ups.ActionConfigure, nil, "setting", "sog0_turn_on_delay", "value", "5"),
	of(ups.ActionConfigure, nil, "setting", "name", "value", "rack 7"),
}

// anyDeed returns one at random. A setting gets a value that it hardly has.
func anyDeed() deed {
	d := deeds[rand.IntN(len(deeds))]
	if v := d.params["value"]; v != "" {
		d = of(d.action, nil, "setting", d.params["setting"], "value", strings.TrimRight(v, "57")+fmt.Sprint(rand.IntN(7)+1))
	}
	return d
}

// hurries makes a clock that goes so much faster.
func hurries(n float64) func() time.Time {
	began := time.Now()
	return func() time.Time { return began.Add(time.Duration(float64(time.Since(began)) * n)) }
}

// fourfold is how much units hurry whose outlets are looked at each second: their stay-off time of 12 s passes in 3. At more it
// could be over between two looks, against what the settings say, and the unit be taken for one that has done nothing.
const fourfold = 4

// settled are the words that make a unit what it was: everything on, nothing running, nothing to beep about.
var settled = []string{"abort", "outlet=cancel", "outlet=on", "charge=1", "wiring-good", "battery-life=900", "battery-good", "panel-test-end", "unmute"}

// shortDelays are the words for delays that pass soon, and that a look each second sees all the same: off 8 s, stay-off 12 s, on 4 s. They are
// the same for all groups: where one is on again before another goes off, the simulated main group waits for ever for all to be off.
var shortDelays = []string{"write=1029:0", "write=1031:0,12", "write=1034:8", "write=1035:4", "write=1036:0,12", "write=1039:8", "write=1040:4", "write=1041:0,12", "write=1044:8", "write=1045:4", "write=1046:0,12"}

func tell(t testing.TB, u *upssim.Unit, words ...string) {
	for _, word := range words {
		a, err := upssim.ParseAction(word)
		if err != nil {
			t.Fatal(err)
		}
		a.Do(u)
	}
}

// A rig is a unit that is made ready for a deed, with what its outlets did.
type rig struct {
	*upssim.Unit
	mu   sync.Mutex
	offs map[string]int
}

func newRig(t testing.TB, o upssim.Options) *rig {
	r := &rig{Unit: upssim.New(o), offs: map[string]int{}}
	ctx, stop := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() {
		r.WatchOutlets(ctx, func(c upssim.Change) {
			r.mu.Lock()
			defer r.mu.Unlock()
			if !c.On {
				r.offs[c.Group]++
			}
		})
	})
	t.Cleanup(func() { stop(); watching.Wait() })
	tell(t, r.Unit, shortDelays...)
	return r
}

// cuts counts how often its groups went off.
func (r *rig) cuts() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.offs {
		n += k
	}
	return n
}

// calm reports whether nothing is pending or running and everything is on.
func (r *rig) calm() bool { return calm(r.Registers(0, 27)) }

// calm judges a status block.
func calm(b []uint16) bool {
	for _, g := range []int{3, 6, 9, 12} {
		if o := uint32(b[g])<<16 | uint32(b[g+1]); o != 0xFFFFFFFF && o&ups.OStateOff != 0 || o != 0xFFFFFFFF && o&(ups.OReboot|ups.OShutdown|ups.OOnDelay|ups.OOffDelay) != 0 {
			return false
		}
	}
	return b[1]&uint16(ups.UTest|ups.UPendingOff|ups.UPendingOn|ups.UOnBattery|ups.UOutputOff) == 0
}

// taken counts the writes since that the unit took, and all of them.
func (r *rig) taken(since int) (taken, all int) {
	for _, w := range r.Writes()[since:] {
		if all++; w.Exception == 0 {
			taken++
		}
	}
	return taken, all
}

// truth is why an end is not one, "" where it is: each is held against what was written to the unit and what its outlets did.
func truth(d deed, got []wire.Result, taken, all, cuts int) string {
	if len(got) != 1 {
		return fmt.Sprintf("%d ends", len(got))
	}
	end := got[0]
	// A goal that is reached without a write: it was so already, or the agent was killed before it wrote and what ran ended by itself.
	reached := strings.Contains(end.Detail, "already") || strings.Contains(end.Detail, "somebody else")
	most := 1
	if d.action == ups.ActionDiagnostics && d.params[ups.ParamTest] == ups.TestPanel {
		most = 2 // it is begun, and ended by another word
	}
	switch {
	case taken > most || all > 2:
		return fmt.Sprintf("%d writes, %d taken", all, taken)
	case end.State == wire.OrderDone && taken == 0 && !reached:
		return "done without a write"
	case end.State == wire.OrderDone && d.drops() && cuts == 0:
		return "done, and no outlet went off"
	case end.State == wire.OrderFailed && d.drops() && taken == 1 && cuts > 0:
		return "failed, and outlets went off"
	case (end.State == wire.OrderRefused || end.State == wire.OrderExpired) && all > 0:
		return "written all the same"
	case end.State == wire.OrderCancelled:
		return "nobody cancelled it"
	}
	return ""
}

// A reckoning counts how orders ended, and for what reason the end of some is not known.
type reckoning struct {
	ends    map[string]int
	unknown map[string]int
	orders  int
}

func (k *reckoning) add(d deed, end wire.Result, taken int) {
	if k.ends == nil {
		k.ends, k.unknown = map[string]int{}, map[string]int{}
	}
	k.orders++
	k.ends[fmt.Sprintf("%s %s", d, end.State)]++
	if end.State == wire.OrderUnknown {
		said, _, _ := strings.Cut(end.Detail, ";")
		k.unknown[fmt.Sprintf("%s, %d written: %s", d, taken, said)]++
	}
}

// cannotTell are the ends that no register shows after a restart, by what their results say, and why. Any other unknown is a mistake.
var cannotTell = []struct{ said, why string }{
	{"the site wiring is bad", "the unit says that the wiring is bad, acknowledged or not"},
	{"is the one from before", "a result that is the same twice looks like none"},
	{"the outlets are on and nothing is pending", "they are as before: of groups alone no register tells what was, of the whole unit only the cause, and that is as before"},
	{"outlets were off and are on again", "a load shed does the same as a shutdown, and of groups alone no cause tells who it was"},
	{"nothing is pending and the groups are on", "what was to be taken back may have run through meanwhile, and leaves nothing either"},
	{"nothing is pending, and of the groups", "it was not written, or somebody was there"},
	{"something is pending still", "it was not written, or the unit takes its time"},
	{"are off", "they went off before or behind the order"},
	{"no panel test runs", "it leaves nothing"},
	{"something is muted and something sounds", "the same bits stand for another alarm"},
	{"it was not written, came to nothing, or somebody was there", "a goal that is not there has three reasons"},
}

// log prints it, each unknown with why the unit cannot tell.
func (k *reckoning) log(t testing.TB) {
	lost := 0
	for end, n := range k.ends {
		t.Logf("%5d %s", n, end)
	}
	for said, n := range k.unknown {
		i := slices.IndexFunc(cannotTell, func(c struct{ said, why string }) bool { return strings.Contains(said, c.said) })
		if i < 0 {
			t.Errorf("%5d unknown, and nothing explains why: %s", n, said)
			continue
		}
		t.Logf("%5d unknown: %s: %s", n, said, cannotTell[i].why)
		lost += n
	}
	t.Logf("%d orders, %d of them unknown", k.orders, lost)
}
