package modbus

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"upsedge/internal/ups"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bubble runs test with in-memory links on a clock of its own, and waits for the peers.
func bubble(t *testing.T, test func(t *testing.T, wg *sync.WaitGroup)) {
	synctest.Test(t, func(t *testing.T) {
		var wg sync.WaitGroup
		t.Cleanup(wg.Wait) // after the line's own, which was registered later
		test(t, &wg)
	})
}

func TestReadsAndWritesOnBothFramings(t *testing.T) {
	for name, framing := range map[string]Framing{"rtu": RTU, "tcp": TCP} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, wg *sync.WaitGroup) {
				p := &peer{framing: framing, answer: registersAt(framing)}
				line, _ := start(t, Config{Framing: framing, Open: p.open(wg)})
				got, err := line.ReadHolding(t.Context(), Background, 1, 128, 3, make([]uint16, 5))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff([]uint16{128, 129, 130}, got); diff != "" {
					t.Error(diff)
				}
				if err := line.WriteHolding(t.Context(), Urgent, 1, 1538, []uint16{0x4, 0x43}); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestSaysWhatWasAskedWhenTheUnitIsSilent(t *testing.T) {
	bubble(t, func(t *testing.T, wg *sync.WaitGroup) {
		p := &peer{answer: func([]byte) []byte { return nil }}
		line, _ := start(t, Config{Open: p.open(wg), Timeout: 400 * time.Millisecond})
		_, err := line.ReadHolding(t.Context(), Background, 1, 128, 2, make([]uint16, 2))
		if !errors.Is(err, ErrTimeout) || ups.FailureOf(err) != ups.FailureNoAnswer {
			t.Errorf("%v (%v), want ErrTimeout, no-answer", err, ups.FailureOf(err))
		}
		// 8 bytes out at 9600 baud and 400 ms of turnaround
		if want := "read registers 128-129 of unit 1: timed out after 408ms"; err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	})
}
