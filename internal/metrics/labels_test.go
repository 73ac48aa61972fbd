package metrics

import (
	"os"
	"strings"
	"testing"
	"time"

	"upsedge/internal/ups"
)

func TestEveryCauseHasItsNameAndWhatIsNoneIsUnknown(t *testing.T) {
	for _, n := range ups.Names(ups.StatusCause) {
		if got := Cause(int64(n.Number)); got != n.Name {
			t.Errorf("cause %d is %s, want %s", n.Number, got, n.Name)
		}
	}
	for _, raw := range []int64{31, 99, -1, ups.Absent} {
		if got := Cause(raw); got != "unknown" {
			t.Errorf("cause %d is %s", raw, got)
		}
	}
}

func TestNoTimeOfASampleWithoutATrustedClock(t *testing.T) {
	u := everything()
	if !strings.Contains(gather(t, u), "ups_last_sample_timestamp_seconds{") {
		t.Error("no time of a sample with a trusted clock")
	}
	u.Sampled = [ups.TierCount]time.Time{}
	if text := gather(t, u); strings.Contains(text, "ups_last_sample_timestamp_seconds") {
		t.Errorf("a time of a sample while the clock is not trusted:\n%s", text)
	}
}

func TestALossAndAnOutageAreSeenAsAnIncrease(t *testing.T) {
	text := gather(t, Unit{Name: "rack-a", State: ups.NewState(), Energy: ups.Absent})
	for _, want := range []string{
		`ups_transfers_total{cause="HighInputVoltage",ups="rack-a"} 0`, `ups_transfers_total{cause="unknown",ups="rack-a"} 0`,
		`upsagent_spool_dropped_total{lane="events",reason="damage"} 0`, `upsagent_spool_dropped_total{lane="events",reason="quota"} 0`,
		`ups_alarms_total{alarm="101",ups="rack-a"} 0`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no %s before it happens", want)
		}
	}
}

// TestThePageListsTheValuesOfOrders, word for word and in their order.
func TestThePageListsTheValuesOfOrders(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for label, values := range map[string][]string{"`action`": OrderActions[:], "`reason` of `upsagent_orders_refused_total`": OrderReasons[:]} {
		if want := "| " + label + " | " + strings.Join(values, ", ") + " |\n"; !strings.Contains(string(text), want) {
			t.Errorf("%s has no line %s", page, want)
		}
	}
}
