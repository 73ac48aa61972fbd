package smartups

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"upsedge/internal/ups/modbus"
	"upsedge/internal/ups/upssim"
)

func TestIdentifiesEveryFamilyInThreeQuestions(t *testing.T) {
	for _, sku := range upssim.SKUs() {
		synctest.Test(t, func(t *testing.T) {
			asked := 0
			b, d := newBench(t, upssim.Options{SKU: sku, Name: "Rack A"}, Config{})
			b.refusal = func(uint16, uint16) byte { asked++; return 0 }
			f, err := Identify(t.Context(), d.cfg.Line, 1)
			if err != nil {
				t.Fatal(err)
			}
			if f.SKU != sku || f.Serial == "" || f.Model == "" || f.Firmware == "" || f.Card || asked != 3 {
				t.Errorf("%s: %+v after %d questions", sku, f, asked)
			}
		})
	}
}

func TestIdentifiesAUnitThatRefusesHoles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, d := newBench(t, upssim.Options{}, Config{})
		b.refusal = func(addr, count uint16) byte {
			if addr == inventory.addr && count == inventory.count || addr == nameRead.addr {
				return 2
			}
			return 0
		}
		f, err := Identify(t.Context(), d.cfg.Line, 1)
		if err != nil || f.SKU != upssim.SKUs()[0] || f.Serial == "" || f.Name != "" {
			t.Errorf("%+v, %v", f, err)
		}
	})
}

func TestAStrangerAndSilenceAreAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, d := newBench(t, upssim.Options{}, Config{})
		var asked atomic.Int32
		b.refusal = func(uint16, uint16) byte { asked.Add(1); return 2 }
		_, err := Identify(t.Context(), d.cfg.Line, 1)
		if _, ok := errors.AsType[*UnsupportedError](err); !ok || asked.Load() != 1 {
			t.Errorf("a stranger: %v after %d questions", err, asked.Load())
		}
		b.deaf.Store(true)
		if _, err := Identify(t.Context(), d.cfg.Line, 1); !errors.Is(err, modbus.ErrTimeout) || asked.Load() != 2 {
			t.Errorf("silence: %v after %d questions", err, asked.Load())
		}
	})
}

func TestZeroWhereNothingIsDefinedIsACard(t *testing.T) {
	words := make([]uint16, undefinedEnd-undefined)
	if !throughCard(words) {
		t.Error("zeros are not taken for a card")
	}
	words[3] = 0xFFFF
	if throughCard(words) {
		t.Error("0xFFFF is taken for a card")
	}
}
