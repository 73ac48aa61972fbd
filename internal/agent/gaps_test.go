package agent

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"upsedge/internal/store"
	"upsedge/internal/trust"
	"upsedge/internal/wire"
)

// A gapList is every gap record of form two that has come, as the receiver of a government finds them.
type gapList struct {
	t    *testing.T
	mu   sync.Mutex
	list []gapOf
}

// A gapOf is one of them and whose it is.
type gapOf struct {
	wire.Gap
	epoch uint32
}

// gapsOf hears what b's cloud hears.
func gapsOf(b *bubble) *gapList {
	l := &gapList{t: b.t}
	seen := map[wire.ID]map[uint64]bool{}
	tok := b.cloud.client.Subscribe("upsedge/v1/rack7/+", 1, func(c mqtt.Client, m mqtt.Message) {
		b.cloud.take(c, m)
		if !strings.HasSuffix(m.Topic(), "/events") {
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		p, err := wire.DecodeEventMessage(m.Payload())
		if err != nil || p.Gap == nil || p.Gap.Lane != 0 || seen[p.Record.Stream][p.Record.Seq] {
			return
		}
		if seen[p.Record.Stream] == nil {
			seen[p.Record.Stream] = map[uint64]bool{}
		}
		seen[p.Record.Stream][p.Record.Seq] = true
		l.list = append(l.list, gapOf{*p.Gap, p.Record.Epoch})
	})
	if tok.Wait() && tok.Error() != nil {
		b.t.Fatal(tok.Error())
	}
	return l
}

// want fails unless there is one gap, with this reason, in this epoch.
func (l *gapList) want(reason wire.GapReason, epoch uint32) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.list) != 1 || l.list[0].Unit != "rack-a" || l.list[0].Reason != reason || l.list[0].epoch != epoch {
		l.t.Errorf("gaps %+v, want one of rack-a, %s, in epoch %d", l.list, reason, epoch)
	}
}

// killed leaves the agent stopped, with what was on its disk at this moment: nothing that came later has been told to anybody.
func (b *bubble) killed() {
	b.t.Helper()
	b.way.cut(true)
	synctest.Wait()
	was := filepath.Join(b.t.TempDir(), "disk")
	if err := os.CopyFS(was, os.DirFS(b.stateDir())); err != nil {
		b.t.Fatal(err)
	}
	b.stop()
	b.text = strings.Replace(b.text, b.stateDir(), was, 1)
	b.way.cut(false)
}

// TestAStoreThatComesLateKnowsWhoseTheGapIs: a run is killed; the next one gets its database only when its unit has not said yet who it is,
// and perhaps never says it. What the killed one had not stored was its owner's all the same, and a gap record says that it is lost.
func TestAStoreThatComesLateKnowsWhoseTheGapIs(t *testing.T) {
	for _, unit := range []string{"answers", "is silent"} {
		t.Run("the unit "+unit, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, _, rack, gaps := governedBubble(t, bound(serialA, 3, 11))
				rack.do("1m")
				b.killed()
				b.disk.refuse("SELECT 1 FROM")
				if unit == "is silent" {
					b.unplug("rack-a")
				}
				b.start()
				rack.do("1m")
				if !strings.Contains(b.log.String(), "without its database") {
					t.Error("the database came at once")
				}
				b.stop()
				gaps.want(wire.GapCrash, 3)
			})
		})
	}
}

// governedBubble is a bubble on a disk that may refuse, with an agent that has a cloud, which says entries, and the unit rack-a.
func governedBubble(t *testing.T, entries ...trust.Entry) (*bubble, *government, *actor, *gapList) {
	b := newBubble(t, "- {name: rack-a, "+onTCP+"}")
	b.text = strings.Replace(b.text, "flush: 10m", "flush: 10s", 1)
	b.disk = newRefusing()
	unit := b.actor("rack-a", "", 1)
	a := b.enrol()
	gaps := gapsOf(b)
	a.bind(entries...)
	b.start()
	return b, a, unit, gaps
}

// TestAKillBehindTheFirstSamplesOfAnEpochLeavesItsGap: samples of a new owner are stored, and the run is killed before its alarms are, by
// which the next one knows whose the unit is. The next one asks the unit.
func TestAKillBehindTheFirstSamplesOfAnEpochLeavesItsGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, a, unit, gaps := governedBubble(t)
		unit.do("1m")
		states := "INSERT INTO units (unit, run, state"
		b.disk.always.Store(&states)
		a.bind(bound(serialA, 3, 11))
		unit.do("1m")
		if !a.samples(0) {
			t.Error("no samples of the new owner")
		}
		b.killed()
		b.disk.always.Store(nil)
		b.start()
		unit.do("1m")
		b.stop()
		gaps.want(wire.GapCrash, 3)
	})
}

// TestAKilledRunOfAUnitThatIsTakenOutLeavesItsGap: it is not in the configuration of the next run, and will never say who it is.
func TestAKilledRunOfAUnitThatIsTakenOutLeavesItsGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _, unit, gaps := governedBubble(t, bound(serialA, 3, 11))
		unit.do("1m")
		b.killed()
		b.text, _, _ = strings.Cut(b.text, "units:")
		b.start()
		unit.do("1m")
		b.stop()
		gaps.want(wire.GapCrash, 3)
	})
}

// TestALostDatabaseOfAnEnrolledAgentLeavesAGapOfItsUnits: the new stream knows of no unit whose it is; each says it, and then a gap record
// says that samples of it may be lost. A run that is killed before that leaves it to the next one.
func TestALostDatabaseOfAnEnrolledAgentLeavesAGapOfItsUnits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _, unit, gaps := governedBubble(t, bound(serialA, 3, 11))
		unit.do("1m")
		b.way.cut(true)
		unit.do("1m")
		b.stop()
		if err := os.WriteFile(filepath.Join(b.stateDir(), "store.db"), []byte("not a database, not any more"), 0o600); err != nil {
			t.Fatal(err)
		}
		b.unplug("rack-a")
		b.start()
		synctest.Wait()
		b.killed()
		b.start()
		unit.plug(unit.unit)
		unit.do("2m")
		b.stop()
		if len(gaps.list) != 2 { // that of the stream, and that of the run that was killed
			t.Fatalf("gaps %+v, want one of the lost stream and one of the run that was killed", gaps.list)
		}
		gaps.list = gaps.list[:1]
		gaps.want(wire.GapDamage, 3)
	})
}

// TestAKilledRunOfNobodysUnitLeavesNoGap: nothing of it leaves the box.
func TestAKilledRunOfNobodysUnitLeavesNoGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _, unit, gaps := governedBubble(t)
		unit.do("1m")
		b.killed()
		b.start()
		unit.do("1m")
		b.stop()
		if len(gaps.list) > 0 {
			t.Errorf("gaps %+v of a unit that is nobody's", gaps.list)
		}
		s, err := store.Open(t.Context(), b.stateDir(), store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if left := s.Crashed(); len(left) > 0 {
			t.Errorf("still owed: %+v", left)
		}
	})
}
