package agent

import (
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/testenv"
)

// A grip is a state of a unit in which most of what can be ordered must wait.
type grip struct {
	sku   string
	enter func(c *boss)
	leave func(c *boss) // nil: it lasts
	usual string        // how an order ends that would change something
	every bool          // all of them do, whatever they would change
	but   map[string]string
}

func poke(addr uint16, words ...uint16) func(c *boss) {
	return func(c *boss) { c.actor.unit.Poke(addr, words...) }
}

func unpoke(addr, n uint16) func(c *boss) {
	return func(c *boss) { c.actor.unit.Unpoke(addr, n) }
}

func played(words string) func(c *boss) { return func(c *boss) { c.actor.do(words) } }

// calibrates has an order in hand that takes hours.
func calibrates(c *boss) {
	if c.actor.unit.Written() > 0 {
		return
	}
	cmd := c.order(kind{"diagnostics.run", map[string]string{"test": "calibration"}})
	c.publish(c.sign(cmd), false)
	c.rest(time.Second)
}

// written is that what is ordered is for this very state, and the unit is told. What a poked register claims it refuses.
const written = "written"

var grips = map[string]grip{
	"on battery":            {enter: played("mains-fail"), leave: played("mains-return"), usual: "refused SAFETY_LOCK", but: map[string]string{"alarm.mute": written, "alarm.mute off": written}},
	"in bypass":             {sku: srt, enter: poke(0, 0, 0x0408), leave: unpoke(0, 2), usual: "refused SAFETY_LOCK"},
	"a self-test runs":      {enter: poke(23, 0x0042), leave: unpoke(23, 1), usual: "refused SAFETY_LOCK", but: map[string]string{"diagnostics.run abort self": written}},
	"a self-test waits":     {enter: poke(23, 0x0001), leave: unpoke(23, 1), usual: "refused SAFETY_LOCK", but: map[string]string{"diagnostics.run abort self": written}},
	"a calibration runs":    {enter: poke(24, 0x0042), leave: unpoke(24, 1), usual: "refused SAFETY_LOCK", but: map[string]string{"diagnostics.run abort calibration": written}},
	"the output is off":     {enter: poke(0, 0, 0x0010), leave: unpoke(0, 2), usual: "refused SAFETY_LOCK"},
	"in a fault state":      {enter: poke(0, 0, 0x8002), leave: unpoke(0, 2), usual: "refused SAFETY_LOCK"},
	"a shutdown is pending": {enter: poke(0, 0, 0x0202), leave: unpoke(0, 2), usual: "refused BUSY"},
	"a group reboots": {enter: poke(6, 0, 0x0005), leave: unpoke(6, 2), usual: "refused BUSY", but: map[string]string{
		"control.outlet sog0 on": "refused BUSY", "control.outlet sog0 cancel": "refused BUSY",
	}},
	"an order is in hand": {enter: calibrates, usual: "refused BUSY", every: true},
}

// asks reports whether what a kind asks for is so already in every state of the table: nothing sounds, runs, waits or is off.
func (k kind) asks() bool {
	return k.action == "alarm.mute" || k.action == "alarm.ack" || k.params["do"] == "abort" || k.params["to"] == "on" || k.params["to"] == "cancel"
}

func (g grip) want(k kind) string {
	switch but := g.but[k.String()]; {
	case but != "":
		return but
	case g.every:
		return g.usual
	case k.asks():
		return "done"
	case k.action == "support.bundle":
		return "refused UNSUPPORTED" // of this box: it is not enrolled
	}
	return g.usual
}

// TestT12EachInterlockOverTheUplink: every kind of order in every state that forbids most of them, from the broker to the unit. What is refused
// has its code, and what is so already ends well; nothing of both is written.
func TestT12EachInterlockOverTheUplink(t *testing.T) {
	for i, name := range slices.Sorted(maps.Keys(grips)) {
		g := grips[name]
		t.Run(name, func(t *testing.T) {
			testenv.Part(t, i, 5)
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newEverything(t, g.sku)
				defer c.stop()
				for _, k := range kinds {
					g.enter(c)
					c.rest(5 * time.Second)
					before := c.actor.unit.Written()
					cmd := c.order(k)
					c.publish(c.sign(cmd), false)
					for range 20 {
						if c.rest(2 * time.Second); c.end(cmd.ID) != "" {
							break
						}
					}
					got, n, want := c.end(cmd.ID), c.actor.unit.Written()-before, g.want(k)
					if want == written && n != 1 || want != written && (n != 0 || got != want) {
						t.Errorf("%v: %q with %d writes (%s), want %q", k, got, n, c.detail(cmd.ID), want)
					}
					if g.leave != nil {
						g.leave(c)
						c.rest(2 * time.Second)
					}
				}
				c.rest(time.Second)
			})
		})
	}
}
