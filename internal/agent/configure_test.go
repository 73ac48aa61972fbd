package agent

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// TestT55ASettingByOrderAndBySomebodyElse: a setting that an order writes is 621 and 710 and never 711, one that the unit does not accept 624
// and 712, one that it had already 621 alone, and what somebody else writes 711. What the agent shows is the new value within seconds.
func TestT55ASettingByOrderAndBySomebodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newBoss(t, time.Time{})
		defer func() { c.stop() }()
		c.stop()
		c.text = strings.Replace(c.text, "diagnostics", "diagnostics, settings", 1)
		c.start()
		c.rest(2 * time.Second)
		c.rest(2 * time.Second)
		order := func(setting, value, end string, events ...int) wire.ID {
			t.Helper()
			cmd := c.command()
			cmd.Action, cmd.Params = ups.ActionConfigure, map[string]string{ups.ParamSetting: setting, ups.ParamValue: value}
			before := len(c.cloud.of("rack-a"))
			c.publish(c.sign(cmd), false)
			for range 40 {
				if c.rest(time.Second); c.end(cmd.ID) != "" {
					break
				}
			}
			c.rest(3 * time.Second)
			var got []int
			for _, n := range c.cloud.of("rack-a")[before:] {
				got = append(got, n.ID)
			}
			if c.end(cmd.ID) != end || !slices.Equal(got, events) {
				t.Errorf("%s to %s: %q with %v, want %q with %v", setting, value, c.end(cmd.ID), got, end, events)
			}
			return cmd.ID
		}
		shows := func(p ups.Point, want float64) {
			t.Helper()
			got := -1.0
			for _, v := range c.status(true).Units[0].Values {
				if v.Point == p.String() && v.Number != nil {
					got = *v.Number
				}
			}
			if got != want {
				t.Errorf("%s is shown as %g, want %g", p, got, want)
			}
		}
		order("sog0_turn_on_delay", "30", "done", 620, 621, 710)
		shows(ups.SOG0TurnOnDelay, 30)
		order("sog0_turn_on_delay", "30", "done", 620, 621)
		order("name", "rack 4", "done", 620, 621, 710)
		order("test_interval", "StartUpAndEvery7Days", "failed UPS_REFUSED", 620, 624, 712)
		order("sensitivity", "Loud", "refused MALFORMED") // its 622 is the agent's: what is malformed names no unit
		if said := c.refusedEvents(); len(said) != 1 || !strings.Contains(said[0], "MALFORMED") {
			t.Errorf("of a malformed order it was said: %q", said)
		}
		order("sog2_turn_on_delay", "30", "refused UNSUPPORTED", 622)
		if wrote := fmt.Sprint(c.actor.unit.Writes()); strings.Count(wrote, "16 ") != 3 {
			t.Errorf("writes: %s", wrote)
		}
		for _, n := range c.cloud.of("rack-a") {
			if strings.Contains(n.Detail, "rack 4") {
				t.Errorf("%d tells a name: %q", n.ID, n.Detail)
			}
		}
		before := len(c.cloud.of("rack-a"))
		c.actor.do("write=1035:45")
		c.rest(11 * time.Minute)
		c.rest(time.Second)
		got := c.cloud.of("rack-a")[before:]
		if len(got) != 1 || got[0].ID != 711 || !strings.Contains(got[0].Detail, "was 30 s, is 45 s") {
			t.Errorf("after a foreign write: %v", got)
		}
		shows(ups.SOG0TurnOnDelay, 45)
	})
}
