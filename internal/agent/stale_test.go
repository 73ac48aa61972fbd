package agent

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const (
	onTCP    = `tcp: {address: "rack-a:502"}`
	onSerial = `serial: {device: /dev/rack-a}`
)

// TestASilentUnitIsNeverOnline: a unit falls silent, on mains and on battery. What a receiver of the state, a scrape and the
// events say of it, and when: two cycles after its last answer nobody may take it for online, 30 s after it the alarm is there.
func TestASilentUnitIsNeverOnline(t *testing.T) {
	const (
		live      = 500 * time.Millisecond // the slower of the two tiers that count, at the default rates of both ports
		limit     = 2*live + time.Second   // two cycles and the second for a read that is repeated
		tick      = time.Second            // how often the passing of time is looked at
		lostAfter = 30 * time.Second
	)
	for _, row := range []struct {
		name, port, before string
		alarm              int
		condition          []string // three minutes later: the last one known, and that it is not known any more
	}{
		{"on mains", onTCP, "1m", 801, []string{"high_efficiency", "stale"}},
		{"on battery", onTCP, "mains-fail 1m", 802, []string{"on_battery", "stale", "critical_unknown"}},
		{"on mains, serial", onSerial, "1m", 801, []string{"high_efficiency", "stale"}},
		{"on battery, serial", onSerial, "mains-fail 1m", 802, []string{"on_battery", "stale", "critical_unknown"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, "- {name: rack-a, "+row.port+"}")
				a := b.actor("rack-a", "", 1)
				b.start()
				a.do(row.before)
				if s := b.scrape(); !s[`ups_up{ups="rack-a"} 1`] || !s[`ups_status{state="stale",ups="rack-a"} 0`] {
					t.Fatal("not up while it answers")
				}
				a.do("deaf")
				silent := time.Now()

				stale := b.awaitCondition("stale", time.Minute)
				if took := stale.came.Sub(silent); took > limit+tick {
					t.Errorf("the state says stale after %v of silence, want %v at most", took, limit+tick)
				}
				time.Sleep(time.Until(silent.Add(limit)))
				for time.Since(silent) < 3*time.Minute {
					s := b.scrape()
					for _, want := range []string{
						`ups_up{ups="rack-a"} 0`, `ups_status{state="stale",ups="rack-a"} 1`,
						fmt.Sprintf(`ups_status{state="critical_unknown",ups="rack-a"} %d`, map[bool]int{true: 1}[row.alarm == 802]),
					} {
						if !s[want] {
							t.Fatalf("no %s after %v of silence", want, time.Since(silent))
						}
					}
					if s[`ups_status{state="online",ups="rack-a"} 1`] && row.alarm == 802 {
						t.Fatalf("online after %v of silence on battery", time.Since(silent))
					}
					time.Sleep(7 * time.Second)
				}
				for _, s := range b.cloud.states() {
					if c := s.Units[0].Condition; slices.Contains(c, "stale") && slices.Contains(c, "online") {
						t.Errorf("a state %v after the last answer says %v", s.came.Sub(silent), c)
					}
					if c := s.Units[0].Condition; s.came.Sub(silent) > limit+tick && !slices.Contains(c, "stale") {
						t.Errorf("a state %v after the last answer says %v", s.came.Sub(silent), c)
					}
				}
				if c := b.cloud.condition(); !slices.Equal(c, row.condition) {
					t.Errorf("silent for three minutes its condition is %v, want %v", c, row.condition)
				}
				s := b.scrape()
				if !s[fmt.Sprintf(`ups_alarm_active{alarm="%d",ups="rack-a"} 1`, row.alarm)] {
					t.Errorf("/metrics does not show alarm %d", row.alarm)
				}
				for series := range s {
					if strings.HasPrefix(series, `ups_output_volts{`) || strings.HasPrefix(series, `ups_battery_charge_ratio{`) {
						t.Errorf("a silent unit has the measurement %s", series)
					}
				}
				lost, ok := a.await("raise", row.alarm, time.Second)
				if took := lost.came.Sub(silent); !ok || took < lostAfter-live || took > lostAfter+tick {
					t.Errorf("%d came %v after the last answer (%v), want %v", row.alarm, took, a.events(), lostAfter)
				}

				a.do("talk")
				back := time.Now()
				if _, ok := a.await("clear", row.alarm, time.Minute); !ok {
					t.Fatal("answers again, and the alarm stays")
				}
				if _, ok := a.await("event", 803, time.Second); !ok {
					t.Error("no 803")
				}
				time.Sleep(5 * time.Second)
				if s := b.scrape(); !s[`ups_up{ups="rack-a"} 1`] || !s[`ups_status{state="stale",ups="rack-a"} 0`] {
					t.Error("answers again and is not up")
				}
				if c := b.cloud.condition(); slices.Contains(c, "stale") || slices.Contains(c, "critical_unknown") {
					t.Errorf("%v after it answers again its condition is %v", time.Since(back), c)
				}
			})
		})
	}
}

// condition returns the condition of the first unit in the last state.
func (r *receiver) condition() []string {
	s := r.states()
	return s[len(s)-1].Units[0].Condition
}

// awaitCondition returns the first state from now on that has the word in the condition of the first unit.
func (b *bubble) awaitCondition(word string, within time.Duration) report {
	b.t.Helper()
	from := len(b.cloud.states())
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		for _, s := range b.cloud.states()[from:] {
			if slices.Contains(s.Units[0].Condition, word) {
				return s
			}
		}
	}
	b.t.Fatalf("no state says %s within %v", word, within)
	return report{}
}
