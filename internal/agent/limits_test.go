package agent

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

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

// TestR7TheSiteSaysNoToOrdersOfEveryKind: by the groups it allows, by its hours, and where nobody knows the hour.
func TestR7TheSiteSaysNoToOrdersOfEveryKind(t *testing.T) {
	const open = "allow: [reboot, diagnostics, alarms, settings, outlets]"
	for name, shut := range map[string]string{
		"no group":    "allow: []",
		"other hours": open + `, hours: "03:00-03:01"`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newEverything(t, "")
				defer c.stop()
				c.text = strings.Replace(c.text, open, shut, 1)
				c.reread(c.text)
				c.rest(time.Second)
				for _, k := range kinds {
					if end, n := c.give(k, 5*time.Second); end != "refused LOCAL_POLICY" || n != 0 {
						t.Errorf("%v: %q with %d writes", k, end, n)
					}
				}
			})
		})
	}
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

// TestEDGE8TwoOrdersAtOnceOfEveryKind: while a reboot waits for its off-delay every other order is BUSY; and of two of a kind in one instant
// one is carried out.
func TestEDGE8TwoOrdersAtOnceOfEveryKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newEverything(t, "")
		defer c.stop()
		waits := c.order(kind{ups.ActionReboot, nil})
		c.publish(c.sign(waits), false)
		c.rest(2 * time.Second)
		for _, k := range kinds {
			if end, n := c.give(k, 3*time.Second); end != "refused BUSY" || n != 0 {
				t.Errorf("%v beside a reboot: %q with %d writes", k, end, n)
			}
		}
		c.rest(3 * time.Minute)
		if end := c.end(waits.ID); end != "done" {
			t.Errorf("the reboot: %q", end)
		}
		for _, k := range kinds {
			if k.params["test"] == "calibration" {
				continue
			}
			before, most := c.actor.unit.Written(), uint64(1)
			if k.params["test"] == "panel" {
				most = 2 // it is ended, too
			}
			one, two := c.order(k), c.order(k)
			two.Counter = one.Counter + 1
			c.counter = two.Counter
			c.publish(c.sign(one), false)
			c.publish(c.sign(two), false)
			for range 20 {
				c.rest(15 * time.Second)
				if c.end(one.ID) != "" && c.end(two.ID) != "" {
					break
				}
			}
			n := c.actor.unit.Written() - before
			if a, b := c.end(one.ID), c.end(two.ID); a == "" || b == "" || n > most || n > 0 && a != "refused BUSY" && b != "refused BUSY" {
				t.Errorf("two of %v at once: %q and %q with %d writes", k, a, b, n)
			}
			if k.params["to"] == "off" {
				c.give(kind{ups.ActionOutlet, map[string]string{"group": "sog0", "to": "on"}}, 3*time.Minute)
			}
		}
	})
}
