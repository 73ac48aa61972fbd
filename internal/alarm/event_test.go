package alarm

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"upsedge/internal/ups"
)

func TestAnEventIsComplete(t *testing.T) {
	w := newWorld(t)
	w.set("serial=AS1234567890")
	w.read("identity", second(0))
	w.read("status", second(1))
	w.set("U=244")
	w.set("C=3")
	got := append([]ups.Event(nil), w.read("watch", second(1.2))...)
	w.set("load=120")
	w.set("P=1")
	got = append(got, w.read("live", second(1.5))...)
	got = append(got, w.read("status", second(2))...)
	for s := range 40 {
		got = append(got, w.miss(ups.FailureNoAnswer, second(3+float64(s)))...)
	}
	want := []ups.Event{
		{
			ID: 101, Kind: ups.Raise, Severity: ups.Warning, Unit: "rack-a", Device: "AS1234567890", At: second(1.2),
			Text: "UPS on battery", Detail: "DistortedInput",
			Raw: []ups.RawValue{{Point: ups.StatusFlags, Raw: 0x244}, {Point: ups.StatusCause, Raw: 3}, {Point: ups.Calibration, Raw: 0}},
		},
		{
			ID: 301, Kind: ups.Raise, Severity: ups.Critical, Unit: "rack-a", Device: "AS1234567890", At: second(2),
			Text: "UPS overloaded", Detail: "OutputOverload, load 120 %, apparent load 35 %",
			Raw: []ups.RawValue{
				{Point: ups.StatusFlags, Raw: 0x244},
				{Point: ups.PowerError, Raw: 1},
				{Point: ups.LoadReal, Raw: 120 * 256},
				{Point: ups.LoadApparent, Raw: 35 * 256},
			},
		},
		{
			ID: 802, Kind: ups.Raise, Severity: ups.Critical, Unit: "rack-a", Device: "AS1234567890", At: second(32),
			Text: "Communication lost while on battery", Detail: "no-answer, no good reading for 30s",
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("events differ, -want +got:\n%s", d)
	}
}
