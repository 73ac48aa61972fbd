package command_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"upsedge/internal/clock"
	"upsedge/internal/command"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// A witness is a unit that notes what it is told of the time before a crash.
type witness struct {
	*unit
	said []string
}

func (w *witness) Witnessed(_ ups.Command, progress int, rebooted bool) {
	w.said = append(w.said, fmt.Sprint(progress, " ", rebooted))
}

// TestAJudgeKnowsHowFarItWasAndWhetherTheBoxWasOff: after a kill, and after a boot.
func TestAJudgeKnowsHowFarItWasAndWhetherTheBoxWasOff(t *testing.T) {
	for name, c := range map[string]struct {
		boot wire.ID
		want string
	}{
		"the agent was killed":   {wire.ID{9}, "10 false"},
		"the box lost its power": {wire.ID{8}, "10 true"},
	} {
		run(t, func(t *testing.T, s *site) {
			w := &witness{unit: s.unit("AS1")}
			w.takes = time.Minute
			s.find = func(string) (command.Target, bool) { return command.Target{Name: "unit-AS1", Unit: w}, true }
			s.again()
			s.give(s.command(1, "AS1"))
			time.Sleep(time.Second)
			began := s.began
			s.clock = clock.Of(clock.Machine{
				Boot: c.boot, Mono: func() time.Duration { return time.Since(began) }, Wall: time.Now,
				Service: func() clock.Service { return clock.Service{} },
			})
			s.again()
			time.Sleep(2 * time.Minute)
			s.want(1, "done")
			if !slices.Equal(w.said, []string{c.want}) {
				t.Errorf("%s: it was told %q, want %q", name, w.said, c.want)
			}
		})
	}
}
