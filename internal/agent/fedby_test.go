package agent

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/config"
	"upsedge/internal/ups"
)

// TestTheOutletOfTheBoxIsNotTurnedOffForGood: neither by its name nor by that of the main group; everything that comes back goes.
func TestTheOutletOfTheBoxIsNotTurnedOffForGood(t *testing.T) {
	for _, c := range []struct {
		fed, unit, action, to, group string
		refused                      bool
	}{
		{"sog0", "a", ups.ActionOutlet, ups.ToOff, "sog0", true},
		{"sog0", "a", ups.ActionOutlet, ups.ToOff, "main,sog0,sog1", true},
		{"sog0", "a", ups.ActionOutlet, ups.ToOff, "main", true},
		{"sog0", "a", ups.ActionOutlet, ups.ToOff, "sog1", false},
		{"main", "a", ups.ActionOutlet, ups.ToOff, "sog0", false},
		{"main", "a", ups.ActionOutlet, ups.ToOff, "main,sog0", true},
		{"main", "b", ups.ActionOutlet, ups.ToOff, "main", false},
		{"", "a", ups.ActionOutlet, ups.ToOff, "main", false},
		{"main", "a", ups.ActionOutlet, ups.ToShutdown, "main", false},
		{"main", "a", ups.ActionOutlet, ups.ToOn, "main", false},
		{"main", "a", ups.ActionOutlet, ups.ToCancel, "main", false},
		{"main", "a", ups.ActionRebootGroup, "", "main", false},
		{"main", "a", ups.ActionReboot, "", "", false},
	} {
		s := &site{}
		if c.fed != "" {
			groups, _ := ups.ParseGroups(c.fed)
			s.fedBy.Store(&config.FedBy{Unit: "a", Group: groups[0]})
		}
		err := s.lasts(c.unit, ups.Command{Action: c.action, Params: map[string]string{ups.ParamTo: c.to, ups.ParamGroup: c.group}})
		r := (*ups.Refusal)(nil)
		if errors.As(err, &r) != c.refused || r != nil && r.Reason != ups.ReasonSafetyLock {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestOrdersFedByIsAppliedAtAReload, over the whole way of an order.
func TestOrdersFedByIsAppliedAtAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newBoss(t, time.Time{})
		defer c.stop()
		c.reread(strings.Replace(c.text, "allow: [reboot, diagnostics]", "allow: [outlets], fed_by: {unit: rack-a, group: main}", 1))
		cmd := c.command()
		cmd.Action, cmd.Params = ups.ActionOutlet, map[string]string{ups.ParamTo: ups.ToOff, ups.ParamGroup: "main,sog0"}
		c.publish(c.sign(cmd), false)
		c.rest(2 * time.Second)
		if got := c.end(cmd.ID); got != "refused SAFETY_LOCK" || len(c.actor.unit.Writes()) != 0 {
			t.Errorf("%q, written %v", got, c.actor.unit.Writes())
		}
	})
}

// TestThatTheBoxWasOffCountsWhereItHangs: of other outlets it says nothing.
func TestThatTheBoxWasOffCountsWhereItHangs(t *testing.T) {
	s := &site{}
	reboot, group := ups.Command{Action: ups.ActionReboot}, ups.Command{Action: ups.ActionRebootGroup, Params: map[string]string{ups.ParamGroup: "sog0"}}
	if s.hangs("a", reboot) {
		t.Error("nobody has said what the box hangs on")
	}
	for _, c := range []struct {
		fed  ups.Group
		unit string
		cmd  ups.Command
		want bool
	}{
		{ups.MainGroup, "a", reboot, true},
		{ups.MainGroup, "b", reboot, false},
		{ups.MainGroup, "a", group, false},
		{ups.MainGroup + 1, "a", group, true},
		{ups.MainGroup + 2, "a", group, false},
	} {
		s.fedBy.Store(&config.FedBy{Unit: "a", Group: c.fed})
		if s.hangs(c.unit, c.cmd) != c.want {
			t.Errorf("%+v", c)
		}
	}
}
