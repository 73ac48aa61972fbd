package agent

import (
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/config"
	"upsedge/internal/trust"
	"upsedge/internal/ups"
)

// TestDEV4AnotherCloudGetsNothingOfTheOneBefore: a box is enrolled with another cloud while records of the first wait, in the store and in
// memory. The device has the same epoch in both, and the second gets nothing that was read before it came but what is active now.
func TestDEV4AnotherCloudGetsNothingOfTheOneBefore(t *testing.T) {
	for _, how := range []string{"while it runs", "while it is stopped"} {
		t.Run(how, func(t *testing.T) {
			var second *government
			var since time.Duration
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, "- {name: rack-a, "+onTCP+"}")
				b.text = strings.Replace(b.text, "flush: 10m", "flush: 10s", 1)
				unit := b.actor("rack-a", "", 1)
				first := b.enrol()
				first.bind(bound(serialA, 1, 7))
				b.start()
				unit.do("1m")
				if !first.samples(0) {
					t.Error("nothing has come to the first cloud")
				}
				b.way.cut(true)
				unit.do("1m mains-fail 20s mains-return 1m overload 15s") // in the store and in memory
				if how == "while it is stopped" {
					b.stop()
				}
				second = b.enrol()
				t.Cleanup(b.stop)
				cfg, err := config.Parse("agent.yaml", []byte(b.text))
				if err = errors.Join(err, os.Remove(string(trust.InState(cfg.StateDir)))); err != nil { // as an enrolment does
					t.Fatal(err)
				}
				second.marks, second.stream = maps.Clone(first.marks), first.stream
				if how == "while it is stopped" {
					b.start()
				} else {
					b.reload <- Reload{Config: cfg}
				}
				since = time.Since(b.began)
				b.way.cut(false)
				unit.do("1m")
				if got := second.since(0); len(got) > 0 {
					t.Errorf("before the second cloud has bound anything: %+v", got)
				}
				second.bind(bound(serialA, 1, 1))
				unit.do("1m")
				if ids := second.raised(0); slices.Contains(ids, 101) || !slices.Contains(ids, 301) {
					t.Errorf("raised are %v, want 301, which is active, and not 101, which was over", ids)
				}
				if !second.samples(0) {
					t.Error("no samples come to the second cloud")
				}
				if u := second.full().Units[0]; u.Epoch != 1 || u.GrantVersion != 1 || !slices.Contains(u.Alarms, ups.AlarmID(301)) {
					t.Errorf("confirmed: %+v, want epoch 1, grant version 1 and 301", u)
				}
				b.stop()
				b.start() // nothing is erased again
				unit.do("30s")
				b.stop()
				if n := strings.Count(b.log.String(), "before this cloud is erased"); n != 1 {
					t.Errorf("erased %d times, want once", n)
				}
			})
			for _, block := range second.ledger.blocks {
				p, err := second.ledger.schemas.Decode(block)
				if err != nil {
					t.Error(err)
					continue
				}
				for _, rows := range p.Block.Sections {
					if at := time.Duration(rows.At[0]) * time.Millisecond; at < since {
						t.Errorf("rows of %v before the second cloud came", since-at)
					}
				}
			}
		})
	}
}
