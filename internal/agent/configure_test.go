package agent

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/trust"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// TestT55ASettingByOrderAndBySomebodyElse: a setting that an order writes is 621 and 710 and never 711, one that the unit does not accept 624
// and 712, one that it had already 621 alone, and what somebody else writes 711. What the agent shows is the new value within seconds. With
// the other ends of orders beside them every event that tells of orders reaches the receiver, once for each end.
func TestT55ASettingByOrderAndBySomebodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newBoss(t, time.Time{})
		defer func() { c.stop() }()
		c.stop()
		c.text = strings.Replace(c.text, "diagnostics", "diagnostics, settings", 1)
		c.start()
		c.rest(2 * time.Second)
		c.rest(2 * time.Second)
		command := func(setting, value string) trust.Command {
			cmd := c.command()
			cmd.Action, cmd.Params = ups.ActionConfigure, map[string]string{ups.ParamSetting: setting, ups.ParamValue: value}
			return cmd
		}
		give := func(cmd trust.Command, meanwhile, end string, events ...int) {
			t.Helper()
			before := len(c.cloud.of("rack-a"))
			c.publish(c.sign(cmd), false)
			if meanwhile != "" {
				c.rest(3 * time.Second)
				c.actor.do(meanwhile)
			}
			for range 200 {
				if c.rest(time.Second); c.end(cmd.ID) != "" {
					break
				}
			}
			c.rest(3 * time.Second)
			var got []int
			for _, n := range c.cloud.of("rack-a")[before:] {
				if n.ID >= 620 && n.ID <= 627 || n.ID >= 710 && n.ID <= 712 {
					got = append(got, n.ID)
				}
			}
			if c.end(cmd.ID) != end || !slices.Equal(got, events) {
				t.Errorf("%v: %q with %v, want %q with %v", cmd.Params, c.end(cmd.ID), got, end, events)
			}
		}
		order := func(setting, value, end string, events ...int) {
			t.Helper()
			give(command(setting, value), "", end, events...)
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
		again := command("sog0_turn_on_delay", "20")
		give(again, "", "done", 620, 621, 710)
		give(again, "", "done", 627)
		late := command("sog0_turn_on_delay", "21")
		late.Nonce = wire.ID{1, 2, 3}
		give(late, "", "refused EXPIRED", 626)
		c.actor.do("keep-settings")
		order("sog0_turn_on_delay", "22", "failed UPS_REFUSED", 620, 624, 712)
		give(command("sog0_turn_on_delay", "23"), "deaf", "unknown UPS_UNREACHABLE", 620, 625)
		c.actor.do("talk take-settings 1m mains-fail 10s")
		order("sog0_turn_on_delay", "24", "refused SAFETY_LOCK", 623)
		c.actor.do("mains-return 1m")
		shows(ups.SOG0TurnOnDelay, 20)
		before := len(c.cloud.of("rack-a"))
		c.actor.do("write=1035:45")
		c.rest(11 * time.Minute)
		c.rest(time.Second)
		got := c.cloud.of("rack-a")[before:]
		if len(got) != 1 || got[0].ID != 711 || !strings.Contains(got[0].Detail, "was 20 s, is 45 s") {
			t.Errorf("after a foreign write: %v", got)
		}
		shows(ups.SOG0TurnOnDelay, 45)
	})
}
