package upssim

import (
	"fmt"
	"math/bits"
	"strings"
	"testing"

	"upsedge/internal/ups/upstest"
)

// sameMap compares a map with the table of the protocol reference, row by row.
func sameMap(have []item, want []upstest.Register) (wrong []string) {
	if len(have) != len(want) {
		wrong = append(wrong, fmt.Sprintf("%d items, want %d", len(have), len(want)))
	}
	for i := range min(len(have), len(want)) {
		h, w := have[i], want[i]
		got := fmt.Sprintf("%d %d %s %s /%d %s", h.addr, h.count, h.name, kindNames[h.kind], h.div, accessNames[h.access])
		exp := fmt.Sprintf("%d %d %s %s /%d %s", w.Address, w.Count, w.Name, w.Type, w.Divisor, w.Access)
		if got != exp {
			wrong = append(wrong, fmt.Sprintf("item %q, want %q", got, exp))
		}
	}
	return wrong
}

func TestMapIsTheReferences(t *testing.T) {
	for _, w := range sameMap(items, upstest.Registers()) {
		t.Error(w)
	}
}

// TestMapComparisonFindsMistakes breaks a copy of the map in the ways maps are broken.
func TestMapComparisonFindsMistakes(t *testing.T) {
	for name, spoil := range map[string]func([]item){
		"divisor": func(m []item) { m[16].div = 256 },
		"address": func(m []item) { m[20].addr++ },
		"count":   func(m []item) { m[0].count = 1 },
		"type":    func(m []item) { m[17].kind = u16 },
		"access":  func(m []item) { m[60].access = rw },
		"swapped": func(m []item) { m[3].name, m[4].name = m[4].name, m[3].name },
	} {
		m := append([]item(nil), items...)
		spoil(m)
		if len(sameMap(m, upstest.Registers())) == 0 {
			t.Errorf("a wrong %s went unnoticed", name)
		}
	}
}

// fill names the raw value the reference prints.
func fill(t *testing.T, printed string) absent {
	switch printed {
	case "-":
		return none
	case "zeros", "0x0000", "0x00000000":
		return zeros
	case "-1", "0xFFFF", "0xFFFFFFFF":
		return ones
	}
	t.Fatalf("raw value %q", printed)
	return none
}

func TestNotApplicableValuesAreTheReferences(t *testing.T) {
	want := upstest.NotApplicable()
	if len(want) != len(items) {
		t.Errorf("%d values for %d items", len(want), len(items))
	}
	for _, it := range items {
		printed, ok := want[it.name]
		if !ok {
			t.Errorf("%s: not in the table", it.name)
		} else if f := fill(t, printed); it.na != f {
			t.Errorf("%s: fill %d, want %d (%s)", it.name, it.na, f, printed)
		}
	}
}

// TestAbsentItemsReadTheirValue reads what the default model lacks.
func TestAbsentItemsReadTheirValue(t *testing.T) {
	u := New(Options{})
	lacking := 0
	for i := range items {
		it := &items[i]
		if p, _ := u.fam.presence(it); p != inapplicable || it.na == none {
			continue
		}
		lacking++
		want := uint16(0)
		if it.na == ones {
			want = 0xFFFF
		}
		for a, got := range u.Registers(it.addr, it.count) {
			if got != want {
				t.Errorf("%s, register %d: %#04x, want %#04x", it.name, int(it.addr)+a, got, want)
			}
		}
	}
	if lacking < 30 {
		t.Errorf("only %d items lacking", lacking)
	}
}

func TestBitsAreTheReferences(t *testing.T) {
	have := map[string]bool{}
	for item, names := range bitsOf {
		for _, b := range names {
			if bits.OnesCount32(b.mask) != 1 {
				t.Errorf("%s.%s: mask %#x is not one bit", item, b.name, b.mask)
			}
			have[fmt.Sprintf("%s bit %d %s", item, bits.TrailingZeros32(b.mask), b.name)] = true
		}
	}
	for item, names := range valuesOf {
		for n, name := range names {
			have[fmt.Sprintf("%s value %d %s", item, n, name)] = true
		}
	}
	for _, w := range upstest.Bits() {
		kind := "bit"
		if w.Value {
			kind = "value"
		}
		key := fmt.Sprintf("%s %s %d %s", w.Item, kind, w.Number, w.Name)
		if !have[key] {
			t.Errorf("missing: %s", key)
		}
		delete(have, key)
	}
	for key := range have {
		t.Errorf("not in the reference: %s", key)
	}
}

func TestEveryItemCarriesItsType(t *testing.T) {
	for _, it := range items {
		two := it.kind == u32 || it.kind == s32 || it.kind == bf32
		if two != (it.count == 2) && it.kind != str {
			t.Errorf("%s: %s in %d registers", it.name, kindNames[it.kind], it.count)
		}
		if it.access == wo && !strings.HasSuffix(it.name, "Command_BF") {
			t.Errorf("%s is written only", it.name)
		}
	}
}
