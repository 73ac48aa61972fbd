package smartups

import (
	"strings"
	"testing"
	"testing/synctest"

	"upsedge/internal/ups"
	"upsedge/internal/ups/upssim"
)

// TestEDGE8WhatACalibrationNeeds: a full battery without an error, and a load; nothing is written where one is missing.
func TestEDGE8WhatACalibrationNeeds(t *testing.T) {
	for name, c := range map[string]struct {
		addr           uint16
		words          []uint16
		reason, detail string
	}{
		"well":                   {24, []uint16{0}, "", ""},
		"100.0 %, just":          {130, []uint16{51200}, "", ""},
		"99.998 %":               {130, []uint16{51199}, ups.ReasonSafetyLock, "the charge is 100.0 %"},
		"half empty":             {130, []uint16{25600}, ups.ReasonSafetyLock, "the charge is 50.0 %"},
		"10 % of load":           {136, []uint16{2560}, "", ""},
		"less":                   {136, []uint16{2559}, ups.ReasonSafetyLock, "the load is 10.0 %"},
		"no load":                {136, []uint16{0}, ups.ReasonSafetyLock, "the load is 0.0 %"},
		"a weak battery":         {22, []uint16{4}, ups.ReasonSafetyLock, "the battery has an error (0x0004)"},
		"no charger":             {22, []uint16{16}, ups.ReasonSafetyLock, "the battery has an error (0x0010)"},
		"no charge is shown":     {130, []uint16{0xFFFF}, ups.ReasonUnsupported, "no charge, load or runtime"},
		"no load is shown":       {136, []uint16{0xFFFF}, ups.ReasonUnsupported, "no charge, load or runtime"},
		"no runtime is shown":    {128, []uint16{0xFFFF, 0xFFFF}, ups.ReasonUnsupported, "no charge, load or runtime"},
		"an old refusal":         {24, []uint16{0x4050}, "", ""},
		"one was aborted before": {24, []uint16{0x0060}, "", ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			b, ctl := newControl(t, upssim.Options{}, Config{})
			b.Poke(c.addr, c.words...)
			_, err := ctl.Check(t.Context(), diagnostics("calibration"))
			r, _ := err.(*ups.Refusal)
			if (c.reason == "") != (err == nil) || r != nil && (r.Reason != c.reason || !strings.Contains(r.Detail, c.detail)) {
				t.Errorf("%s: Check = %v, want %s %q", name, err, c.reason, c.detail)
			}
			if n := b.Written(); n != 0 {
				t.Errorf("%s: %d writes", name, n)
			}
		})
	}
}

// TestNoPanelTestOverAnAlarm: nobody is to take one for the other.
func TestNoPanelTestOverAnAlarm(t *testing.T) {
	for words, reason := range map[string]string{
		"wiring-bad": ups.ReasonSafetyLock, "panel-test": ups.ReasonBusy, "mains-fail mute": ups.ReasonSafetyLock, "battery-life=5 mute": "",
	} {
		synctest.Test(t, func(t *testing.T) {
			b, ctl := newControl(t, upssim.Options{}, Config{})
			b.happens(t, strings.Fields(words)...)
			_, err := ctl.Check(t.Context(), diagnostics("panel"))
			if r, _ := err.(*ups.Refusal); (reason == "") != (err == nil) || r != nil && r.Reason != reason {
				t.Errorf("after %s: Check = %v, want %q", words, err, reason)
			}
		})
	}
}
