package metrics

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"upsedge/internal/ups"
	"upsedge/internal/ups/modbus"
	"upsedge/internal/ups/smartups"
	"upsedge/internal/ups/upstest"
)

const captures = "../ups/smartups/testdata/captures/simulated-"

// What a unit of each family looks like to Prometheus, as its capture reads: which series it has, and with which values.
func TestSeriesOfEachFamily(t *testing.T) {
	files, err := filepath.Glob(captures + "S*.capture") // families are named by their SKU
	if err != nil || len(files) < 2 {
		t.Fatalf("%d captures of families, %v", len(files), err)
	}
	for _, file := range files {
		sku := strings.TrimSuffix(strings.TrimPrefix(file, captures), ".capture")
		t.Run(sku, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := played(t, file)
				text := gather(t, Unit{Name: "rack-a", State: st, Up: true, Status: st.Status(), Energy: energyOf(st)})
				golden(t, "family-"+sku+".txt", ofTheUnit(text))
			})
		})
	}
}

func played(t *testing.T, file string) *ups.State {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	line := modbus.New(modbus.Config{Open: upstest.NewPlayback(t, string(text)).Open})
	ctx, end := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = line.Run(ctx) })
	st, err := smartups.ReadAll(ctx, smartups.New(smartups.Config{Name: "rack-a", Line: line, UnitID: 1}))
	end()
	running.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func energyOf(st *ups.State) int64 {
	if raw, ok := st.Raw(ups.OutputEnergy); ok {
		return raw
	}
	return ups.Absent
}

// ofTheUnit keeps the series of the unit that differ between families: not the alarms, of which none is active, nor the causes,
// none of which has happened.
func ofTheUnit(text string) string {
	var out strings.Builder
	for l := range strings.Lines(text) {
		name, _, _ := strings.Cut(l, "{")
		if strings.Contains(l, `ups="rack-a"`) && !strings.HasPrefix(name, "ups_alarm") && name != "ups_transfers_total" {
			out.WriteString(l)
		}
	}
	return out.String()
}
