package agent

import (
	"encoding/csv"
	"fmt"
	"go/build"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/policy"
	"upsedge/internal/testenv"
	"upsedge/internal/trust"
	"upsedge/internal/ups"
	"upsedge/internal/ups/upstest"
	"upsedge/internal/wire"
)

// says sends a statement that binds the device with a plan and a grant version.
func (c *boss) says(plan string, version uint64, ended ...trust.Ended) {
	c.entries = []trust.Entry{{Device: c.serial, Bind: &trust.Bind{
		Epoch: 4, Plan: plan, ValidUntil: time.Date(2199, 1, 1, 0, 0, 0, 0, time.UTC), GrantVersion: version, Ended: ended,
	}}}
	c.state(c.nonce)
	synctest.Wait()
}

// result is the end of an order with all it says.
func (c *boss) result(id wire.ID) (out wire.Result) {
	c.cloud.mu.Lock()
	defer c.cloud.mu.Unlock()
	for _, r := range c.results {
		if r.Order == id && r.State.Final() && !r.Repeated {
			out = r
		}
	}
	return out
}

// TestPLAN11AgainstAUnit: the reboot of a simulated unit waits for its off-delay when the right to it is lost; the unit is told to take it back,
// once, whatever ends the agent meanwhile, and never goes off. Of outlets that are off already the reboot is finished, and says why it was.
func TestPLAN11AgainstAUnit(t *testing.T) {
	lose := map[policy.Reason]func(c *boss){
		policy.PlanBasic:  func(c *boss) { c.says("basic", 10) },
		policy.GrantStale: func(c *boss) { c.says("advanced", 10, trust.Ended{Actor: "u_1", GrantVersion: 10}) },
	}
	n := 0
	for _, again := range []string{"", "before", "behind"} { // a restart
		for reason, lost := range lose {
			n++
			t.Run(fmt.Sprint(reason, " ", again), func(t *testing.T) {
				testenv.Part(t, n, 6)
				synctest.Test(t, func(t *testing.T) {
					c := newBoss(t, time.Time{})
					defer c.stop()
					cmd := c.command()
					cmd.Action, cmd.Params = "reboot.ups", map[string]string{}
					c.publish(c.sign(cmd), false)
					c.rest(5 * time.Second)
					if n := len(c.actor.unit.Writes()); n != 1 || c.end(cmd.ID) != "" {
						t.Fatalf("%d writes, %q: it does not wait", n, c.end(cmd.ID))
					}
					if again == "before" {
						c.restart()
					}
					lost(c)
					if again == "behind" {
						c.rest(450 * time.Millisecond) // at 300 the unit is being told
						c.restart()
					}
					for range 20 {
						c.rest(10 * time.Second)
					}
					// Right behind the word to take it back the unit may not have shown yet that it did; afterwards nobody can tell it from a
					// reboot that the unit never heard of.
					got, detail := c.end(cmd.ID), c.result(cmd.ID).Detail
					unseen := again == "behind" && got == "unknown" && strings.HasPrefix(detail, string(reason)+" came while it ran")
					if got != "cancelled "+string(reason) && !unseen {
						t.Errorf("ended as %q: %s", got, detail)
					}
					var wrote []string
					for _, w := range c.actor.unit.Writes() {
						wrote = append(wrote, w.String())
					}
					if !slices.Equal(wrote, []string{"16 1538 0x0002 0x03D0", "16 1538 0x0002 0x0301"}) {
						t.Errorf("written: %q", wrote)
					}
				})
			})
		}
	}
	t.Run("too late", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newBoss(t, time.Time{})
			defer c.stop()
			cmd := c.command()
			cmd.Action, cmd.Params = "reboot.ups", map[string]string{"delay": "none"}
			c.publish(c.sign(cmd), false)
			c.rest(4 * time.Second)
			lose[policy.PlanBasic](c)
			for range 20 {
				c.rest(10 * time.Second)
			}
			if r := c.result(cmd.ID); r.State != wire.OrderDone || !strings.Contains(r.Detail, "PLAN_BASIC came while it ran") || len(c.actor.unit.Writes()) != 1 {
				t.Errorf("ended as %s %q, writes %v", r.State, r.Detail, c.actor.unit.Writes())
			}
		})
	})
}

// restart ends the agent and starts it again, in a new session with its statement.
func (c *boss) restart() {
	c.stop()
	c.start()
	c.rest(3 * time.Second)
	c.rest(time.Second)
}

// TestPLAN10MonitoringDoesNotKnowPlans: /metrics has the same series, and the unit is read as often, on every plan (EDGE-10: also of a plan
// that nobody knows).
func TestPLAN10MonitoringDoesNotKnowPlans(t *testing.T) { sameOnEveryPlan(t) }

func TestEDGE10MonitoringGoesOnWhateverThePlan(t *testing.T) { sameOnEveryPlan(t) }

func sameOnEveryPlan(t *testing.T) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newBoss(t, time.Time{})
		defer c.stop()
		var first []string
		for i, plan := range []string{"advanced", "standard", "basic", "platinum"} {
			c.says(plan, uint64(10+i))
			c.rest(time.Minute)
			var names []string
			for line := range c.scrape() {
				if at := strings.LastIndexByte(line, ' '); at > 0 && line[0] != '#' && !strings.HasPrefix(line, "upsagent_spool_oldest") { // there while something waits
					names = append(names, line[:at])
				}
			}
			slices.Sort(names)
			if first == nil {
				first = names
			}
			if !slices.Equal(names, first) || len(names) < 50 || !c.scrape()[`ups_up{ups="rack-a"} 1`] {
				more := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(first, n) })
				t.Errorf("on %s %d series, on advanced %d; new: %q", plan, len(names), len(first), more)
			}
			before := len(c.cloud.of("rack-a"))
			c.actor.do("mains-fail 20s mains-return 20s")
			if n := len(c.cloud.of("rack-a")) - before; n < 2 {
				t.Errorf("on %s %d events of an outage", plan, n)
			}
		}
	})
}

// TestPLAN10NothingThatReadsKnowsPlans: what reads units, finds alarms, stores and shows metrics imports neither package policy nor
// the orders, by any way.
func TestPLAN10NothingThatReadsKnowsPlans(t *testing.T) {
	seen := map[string]bool{}
	var visit func(path string)
	visit = func(path string) {
		if seen[path] || !strings.HasPrefix(path, "upsedge/") {
			return
		}
		seen[path] = true
		p, err := build.ImportDir(filepath.Join("..", "..", strings.TrimPrefix(path, "upsedge/")), 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range p.Imports {
			visit(i)
		}
	}
	for _, part := range []string{"sampler", "alarm", "metrics", "store", "ups", "ups/modbus", "ups/smartups"} {
		visit("upsedge/internal/" + part)
	}
	for _, no := range []string{"policy", "command", "trust", "uplink"} {
		if seen["upsedge/internal/"+no] {
			t.Errorf("what monitors imports %s", no)
		}
	}
	if len(seen) < 7 {
		t.Errorf("only %v were looked at", seen)
	}
}

// TestERASE13LeavingRevokingAndAPlanDropEraseNothing (SHARE-8): what waits for the cloud stays, and goes on in the same epoch.
func TestERASE13LeavingRevokingAndAPlanDropEraseNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newBoss(t, time.Time{})
		defer c.stop()
		c.says("basic", 10, trust.Ended{Actor: "u_2", GrantVersion: 10}, trust.Ended{Actor: "u_3", GrantVersion: 10})
		c.rest(time.Minute)
		c.says("basic", 10)
		c.rest(time.Minute)
		u := c.lastState().Full.Units[0]
		if u.Serial != c.serial || u.Epoch != 4 || u.GrantVersion != 10 || u.PlanVersion != 10 {
			t.Errorf("the full state says %+v", u)
		}
		before := len(c.cloud.of("rack-a"))
		c.actor.do("mains-fail 20s")
		if len(c.cloud.of("rack-a")) == before {
			t.Error("nothing is told any more")
		}
	})
}

// TestLIC4APlanIsConfirmedWhenItIsStored: within seconds of a statement in mid-session the full state says the plan and grant version stored.
func TestLIC4APlanIsConfirmedWhenItIsStored(t *testing.T) { confirms(t) }

func TestTIME2APlanIsConfirmedWithinSeconds(t *testing.T) { confirms(t) }

func confirms(t *testing.T) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newBoss(t, time.Time{})
		defer c.stop()
		for i, plan := range []string{"basic", "standard", "advanced"} {
			c.says(plan, uint64(10+i))
			c.rest(5 * time.Second)
			if u := c.lastState().Full.Units[0]; u.PlanVersion != uint64(10+i) || u.GrantVersion != uint64(10+i) {
				t.Errorf("5 s after %s: %+v", plan, u)
			}
		}
	})
}

// byRight are the reasons of an order that somebody may not give.
var byRight = []string{"", "OWNER_ONLY", "ROLE_READ_ONLY", "NOT_FOUND", "MFA_REQUIRED", "PLAN_BASIC", "PLAN_STANDARD", "UNKNOWN_ACTION", "MALFORMED", "LOCAL_POLICY"}

// TestPERM1CellsOverTheUplink sends signed orders of cells of the matrix through the broker, with the plan stored from signed statements. The
// expectation is read from the file.
func TestPERM1CellsOverTheUplink(t *testing.T) {
	f, err := os.Open("../policy/matrix.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	plans := []string{"basic", "standard", "advanced"}
	synctest.Test(t, func(t *testing.T) {
		c := newBoss(t, time.Time{})
		defer c.stop()
		c.reread(strings.Replace(c.text, "allow: [reboot, diagnostics]", "allow: [reboot, diagnostics, alarms, settings, outlets, firmware]", 1))
		ran, tried := 0, 0
		for version, stored := range plans {
			c.says(stored, uint64(10+version))
			for _, row := range rows[1:] {
				a := policy.Action(row[0])
				if !slices.Contains([]string{"diagnostics.run", "alarm.mute", "control.outlet", "support.bundle", "device.delete", "monitor.status"}, row[0]) {
					continue
				}
				for i, cell := range row[1:] {
					role, claimed := rows[0][i+1], plans[(version+i)%3]
					least := "BSA"[min(version, (version+i)%3)]
					cmd := c.command()
					cmd.Action, cmd.Role, cmd.Plan, cmd.MFA, cmd.GrantVersion = row[0], role, claimed, true, uint64(10+version)
					cmd.Params = upstest.Params(row[0])
					if a == policy.ControlOutlet {
						cmd.Params[ups.ParamTo] = ups.ToOn // it is: nothing is to be written
					}
					want := "" // no rule forbids it: what it comes to is the unit's
					switch {
					case !a.Command():
						want = "refused UNKNOWN_ACTION"
					case cell == "-":
						want = map[string]string{"partner_ro": "refused ROLE_READ_ONLY", "partner_api": "refused ROLE_READ_ONLY", "nobody": "refused NOT_FOUND"}[role]
						if want == "" {
							want = "refused OWNER_ONLY"
						}
					case !strings.ContainsRune(cell, rune(least)) && least == 'B': // PERM-4, whatever would be needed
						want = "refused PLAN_BASIC"
					case !strings.ContainsRune(cell, rune(least)):
						want = "refused PLAN_STANDARD"
					case a == policy.DiagnosticsRun:
						want = "done"
						ran++
					}
					before := len(c.actor.unit.Writes())
					c.publish(c.sign(cmd), false)
					for n := 0; n < 40 && c.end(cmd.ID) == ""; n++ {
						c.rest(time.Second)
					}
					tried++
					got, wrote := c.end(cmd.ID), len(c.actor.unit.Writes())-before
					if want != "" && got != want || (want == "done") != (wrote == 1) || want == "" && slices.Contains(byRight, strings.TrimPrefix(got, "refused ")) {
						t.Errorf("%s for %s, stored %s, claimed %s: %q, want %q", a, role, stored, claimed, got, want)
					}
				}
			}
		}
		if tried < 100 || ran < 3 {
			t.Errorf("%d tried, %d ran", tried, ran)
		}
	})
}

// TestLOG1TheSiteSeesWhatWasRefusedOverARestart: on the page and the socket, without the name of who asked, and what was forged is counted.
func TestLOG1TheSiteSeesWhatWasRefusedOverARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newBoss(t, time.Time{})
		defer c.stop()
		cmd := c.command()
		cmd.Plan = "basic"
		c.publish(c.sign(cmd), false)
		c.rest(time.Second)
		c.runsOne("then")
		forged := strings.Split(c.sign(c.command()), ".")
		forged[2] = strings.Repeat("A", len(forged[2]))
		c.publish(strings.Join(forged, "."), false)
		c.rest(time.Second)
		look := func(when string) {
			t.Helper()
			o := c.status(false).Orders
			if o == nil || len(o.Ended) != 2 || o.Ended[1].Reason != "PLAN_BASIC" || o.Ended[1].Outcome != "refused" || o.Ended[0].Outcome != "done" ||
				o.Ended[0].Time == nil || o.Ended[1].Unit != "rack-a" || !slices.Equal(o.Allow, []string{"reboot", "diagnostics"}) {
				t.Errorf("%s: %+v", when, o)
			}
			if text := fmt.Sprintf("%+v", o); strings.Contains(text, "u_1") {
				t.Errorf("%s: it names who asked: %s", when, text)
			}
			if p := c.status(false).Units[0].Plan; p == nil || p.Plan != "advanced" || p.Ended {
				t.Errorf("%s: plan %v", when, p)
			}
		}
		look("at first")
		if r := c.status(false).Orders.Rejected; r.Count != 1 || r.Reason != "BAD_SIGNATURE" || r.Time == nil {
			t.Errorf("rejected: %+v", r)
		}
		c.restart()
		look("after a restart")
	})
}
