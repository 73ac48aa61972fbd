package agent

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/policy"
	"upsedge/internal/testenv"
	"upsedge/internal/ups"
)

// give sends an order of a kind and waits until it has an end, at most for so long.
func (c *boss) give(k kind, most time.Duration) (end string, writes uint64) {
	before := c.actor.unit.Written()
	cmd := c.order(k)
	c.publish(c.sign(cmd), false)
	for waited := time.Duration(0); waited < most && c.end(cmd.ID) == ""; waited += time.Second {
		c.rest(time.Second)
	}
	return c.end(cmd.ID), c.actor.unit.Written() - before
}

const anyGroup = "allow: [reboot, diagnostics, alarms, settings, outlets]"

// refusedBySite fails unless the site refuses an order of a kind and says why.
func (c *boss) refusedBySite(k kind, why string) {
	c.bubble.t.Helper()
	end, n := c.give(k, 5*time.Second)
	if said := c.results[len(c.results)-1].Detail; end != "refused LOCAL_POLICY" || n != 0 || !strings.Contains(said, why) {
		c.bubble.t.Errorf("%v: %q (%s) with %d writes", k, end, said, n)
	}
}

// TestR7TheSiteSaysNoToOrdersOfEveryKind: by the groups it allows, and by its hours.
func TestR7TheSiteSaysNoToOrdersOfEveryKind(t *testing.T) {
	type row struct{ shut, why string }
	table := map[string]row{
		"no group":    {"allow: []", "orders.allow does not name"},
		"other hours": {anyGroup + `, hours: "03:00-03:01"`, "outside of orders.hours"},
	}
	for i, name := range slices.Sorted(maps.Keys(table)) {
		row := table[name]
		t.Run(name, func(t *testing.T) {
			testenv.Part(t, i, 2)
			synctest.Test(t, func(t *testing.T) {
				c := newEverything(t, "")
				defer c.stop()
				c.text = strings.Replace(c.text, anyGroup, row.shut, 1)
				c.reread(c.text)
				c.rest(time.Second)
				for _, k := range kinds {
					c.refusedBySite(k, row.why)
				}
			})
		})
	}
}

// TestR7EachGroupOfOrdersIsAllowedByItself: where all are allowed but one, the orders of that one are refused, and others are carried out.
func TestR7EachGroupOfOrdersIsAllowedByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newEverything(t, "")
		defer c.stop()
		text, tried := c.text, 0
		for _, g := range policy.Groups {
			if g == policy.GroupFirmware {
				continue // for a later version
			}
			allow := strings.NewReplacer(string(g)+", ", "", ", "+string(g), "").Replace(anyGroup)
			c.reread(strings.Replace(text, anyGroup, allow, 1))
			c.rest(time.Second)
			for _, k := range kinds {
				if policy.Action(k.action).Group() == g {
					c.refusedBySite(k, fmt.Sprintf("%q", g))
					tried++
				}
			}
			other := kind{ups.ActionMute, nil}
			if g == policy.GroupAlarms {
				other = kind{ups.ActionOutlet, map[string]string{"group": "sog0", "to": "cancel"}}
			}
			if end, _ := c.give(other, time.Minute); end != "done" {
				t.Errorf("%s is not allowed, and %v ends as %q", g, other, end)
			}
		}
		if tried != len(kinds) {
			t.Errorf("%d kinds were tried, of %d", tried, len(kinds))
		}
	})
}

// TestT07TheLimitsHoldForWhatDropsTheLoad: behind a reboot every other kind that drops the load has to wait, or is one too many that day;
// what turns on, takes back, tests, silences or sets never is (R10).
func TestT07TheLimitsHoldForWhatDropsTheLoad(t *testing.T) {
	for name, limit := range map[string]string{"too soon": "min_interval: 8h, daily_max: 100000", "one too many": "min_interval: 0s, daily_max: 1"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newEverything(t, "")
				defer c.stop()
				c.text = strings.Replace(c.text, "min_interval: 0s, daily_max: 100000", limit, 1)
				c.reread(c.text)
				c.rest(time.Second)
				first := kind{ups.ActionReboot, map[string]string{"delay": "none"}}
				if end, n := c.give(first, time.Minute); end != "done" || n != 1 {
					t.Fatalf("the first: %q with %d writes", end, n)
				}
				limited := 0
				for _, k := range kinds {
					if k.params["test"] == "calibration" { // takes hours, and drops nothing
						continue
					}
					drops := ups.DropsLoad(k.action, k.params)
					end, n := c.give(k, 2*time.Minute)
					if drops != (end == "refused RATE_LIMIT") || drops && n != 0 {
						t.Errorf("%v: %q with %d writes", k, end, n)
					}
					if drops {
						limited++
					}
				}
				if limited != 4 {
					t.Errorf("%d kinds were limited", limited)
				}
			})
		})
	}
}

// TestT07EachOrderThatDropsTheLoadCountsAndNoOther: behind each of them a reboot has to wait; behind all of the others it need not (R10).
func TestT07EachOrderThatDropsTheLoadCountsAndNoOther(t *testing.T) {
	for i, try := range []func(c *boss){(*boss).behindWhatDropsNothing, (*boss).behindEachThatDrops} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			testenv.Part(t, i, 2)
			synctest.Test(t, func(t *testing.T) {
				c := newEverything(t, "")
				defer c.stop()
				c.text = strings.Replace(c.text, "min_interval: 0s", "min_interval: 20m", 1)
				c.reread(c.text)
				c.rest(time.Second)
				try(c)
			})
		})
	}
}

var rebootNow = kind{ups.ActionReboot, map[string]string{"delay": "none"}}

func (c *boss) behindWhatDropsNothing() {
	for _, k := range kinds {
		if ups.DropsLoad(k.action, k.params) || k.params["test"] == "calibration" { // which takes hours
			continue
		}
		if end, _ := c.give(k, 2*time.Minute); strings.Contains(end, "RATE_LIMIT") {
			c.bubble.t.Errorf("%v: %q", k, end)
		}
	}
	if end, n := c.give(rebootNow, 5*time.Minute); end != "done" || n != 1 {
		c.bubble.t.Errorf("behind all that drops nothing a reboot ends as %q with %d writes", end, n)
	}
}

func (c *boss) behindEachThatDrops() {
	for _, k := range kinds {
		if !ups.DropsLoad(k.action, k.params) {
			continue
		}
		if end, n := c.give(k, 5*time.Minute); end != "done" || n != 1 {
			c.bubble.t.Errorf("%v: %q with %d writes", k, end, n)
		}
		if end, n := c.give(rebootNow, 5*time.Second); end != "refused RATE_LIMIT" || n != 0 {
			c.bubble.t.Errorf("behind %v a reboot ends as %q with %d writes", k, end, n)
		}
		if k.params["to"] == ups.ToOff {
			if end, n := c.give(kind{ups.ActionOutlet, map[string]string{"group": "sog0", "to": "on"}}, 3*time.Minute); end != "done" || n != 1 {
				c.bubble.t.Errorf("turned on again: %q with %d writes", end, n)
			}
		}
		for range 4 { // and a new nonce
			c.rest(5 * time.Minute)
		}
	}
}

// TestEDGE8TwoOrdersAtOnceOfEveryKind: while a reboot waits for its off-delay every other order is BUSY; and of two of a kind in one instant
// one is carried out.
func TestEDGE8TwoOrdersAtOnceOfEveryKind(t *testing.T) {
	calibrates := func(k kind) bool { return k.params["test"] == "calibration" && k.params["do"] == "" } // wants a full battery
	for i, try := range []func(c *boss){
		(*boss).besideAReboot,
		func(c *boss) {
			for _, k := range kinds {
				if !calibrates(k) {
					c.twoAtOnce(k)
				}
			}
		},
		func(c *boss) { c.twoAtOnce(kinds[slices.IndexFunc(kinds, calibrates)]) },
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			testenv.Part(t, i, 2)
			synctest.Test(t, func(t *testing.T) {
				c := newEverything(t, "")
				defer c.stop()
				try(c)
			})
		})
	}
}

func (c *boss) besideAReboot() {
	waits := c.order(kind{ups.ActionReboot, nil})
	c.publish(c.sign(waits), false)
	c.rest(2 * time.Second)
	for _, k := range kinds {
		if end, n := c.give(k, 3*time.Second); end != "refused BUSY" || n != 0 {
			c.bubble.t.Errorf("%v beside a reboot: %q with %d writes", k, end, n)
		}
	}
	c.rest(3 * time.Minute)
	if end := c.end(waits.ID); end != "done" {
		c.bubble.t.Errorf("the reboot: %q", end)
	}
}

// twoAtOnce gives two orders of a kind in one instant: one is carried out and one is BUSY, or, where nothing was to be written, the first has
// ended before the second is looked at.
func (c *boss) twoAtOnce(k kind) {
	c.bubble.t.Helper()
	before, most := c.actor.unit.Written(), uint64(1)
	one, two := c.order(k), c.order(k)
	c.publish(c.sign(one), false)
	c.publish(c.sign(two), false)
	if k.params["test"] == "panel" {
		most = 2 // it is ended, too
	}
	if k.params["test"] == "calibration" && k.params["do"] == "" { // it would take hours
		c.rest(15 * time.Second)
		running := one.ID
		if c.end(one.ID) != "" {
			running = two.ID
		}
		most = 2
		if end, n := c.give(kind{"order.cancel", map[string]string{"order": running.String()}}, time.Minute); end != "done" || n != 1 {
			c.bubble.t.Errorf("the calibration is taken back: %q with %d writes", end, n)
		}
	}
	for range 20 {
		if c.rest(15 * time.Second); c.end(one.ID) != "" && c.end(two.ID) != "" {
			break
		}
	}
	n, busy, ended := c.actor.unit.Written()-before, 0, 0
	for _, end := range []string{c.end(one.ID), c.end(two.ID)} {
		switch end {
		case "refused BUSY":
			busy++
		case "done", "cancelled CANCELLED", "refused UNSUPPORTED":
			ended++
		}
	}
	if busy+ended != 2 || busy > 1 || busy == 0 && n > 0 || n > most {
		c.bubble.t.Errorf("two of %v at once: %q and %q with %d writes", k, c.end(one.ID), c.end(two.ID), n)
	}
	if k.params["to"] == ups.ToOff {
		c.give(kind{ups.ActionOutlet, map[string]string{"group": "sog0", "to": "on"}}, 3*time.Minute)
	}
}
