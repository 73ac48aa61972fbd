package smartups

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"upsedge/internal/ups"
	"upsedge/internal/ups/upstest"
)

var update = flag.Bool("update", false, "write the golden files")

// markers as the table of not-applicable values prints them, by the number of registers.
func markerText(r *register) string {
	switch {
	case r.na == zero:
		return fmt.Sprintf("0x%0*X", 4*r.words, 0)
	case r.na == blank:
		return "zeros"
	case r.na == ones && (r.enc == s16 || r.enc == s32) && r.point.Info().Kind == ups.Countdown, r.na == ones && r.point == ups.Efficiency:
		return "-1"
	case r.na == ones:
		return fmt.Sprintf("0x%0*X", 4*r.words, allOnes[r.words])
	}
	return "-"
}

func (e encoding) String() string {
	return [...]string{"", "U16", "U32", "S16", "S32", "EN", "BF16", "BF32", "STR"}[e]
}

func (a access) String() string { return [...]string{"R", "RW", "W"}[a] }

func (r *register) group() string {
	switch {
	case r.access == writeOnly:
		return "command"
	case r.addr >= verifyAddr:
		return "verification"
	}
	return map[ups.Tier]string{
		ups.TierStatus: "status", ups.TierLive: "dynamic", ups.TierIdentity: "inventory", ups.TierSettings: "settings",
	}[r.tier]
}

// differences compares a map with the tables typed from the protocol reference. There is one line per difference.
func differences(registers []register) []string {
	var out []string
	want, na := upstest.Registers(), upstest.NotApplicable()
	if len(registers) != len(want) {
		return []string{fmt.Sprintf("%d rows, want %d", len(registers), len(want))}
	}
	for i, w := range want {
		r := &registers[i]
		got := upstest.Register{
			Address: r.addr, Count: r.words, Name: w.Name, Type: r.enc.String(), Divisor: int(r.div),
			Unit: strings.Replace(r.point.Info().Unit, "°C", "degC", 1), Access: r.access.String(), Group: r.group(),
		}
		if diff := cmp.Diff(w, got); diff != "" {
			out = append(out, fmt.Sprintf("%s (-reference +map):\n%s", w.Name, diff))
		}
		if m := markerText(r); m != na[w.Name] {
			out = append(out, fmt.Sprintf("%s: not applicable %s, want %s", w.Name, m, na[w.Name]))
		}
		if p, _ := upstest.PointOf(w.Name); p != r.point {
			out = append(out, fmt.Sprintf("%s: point %s, want %s", w.Name, r.point, p))
		}
	}
	return out
}

func TestMapIsTheReferences(t *testing.T) {
	for _, d := range differences(registers) {
		t.Error(d)
	}
}

func TestBitNamesAreTheReferences(t *testing.T) {
	want := map[string][]ups.BitName{}
	for _, b := range upstest.Bits() {
		want[b.Item] = append(want[b.Item], ups.BitName{Number: b.Number, Name: b.Name})
	}
	for i, row := range upstest.Registers() {
		r := &registers[i]
		if r.point == 0 || row.Access == "W" {
			continue
		}
		var names []ups.BitName // of 592 and 644 only the wider one has the bits from 16 on
		for _, n := range ups.Names(r.point) {
			if r.point.Info().Kind == ups.Code || n.Number < 16*int(r.words) {
				names = append(names, n)
			}
		}
		if diff := cmp.Diff(want[row.Name], names); diff != "" {
			t.Errorf("%s, register %d (-reference +names of %s):\n%s", row.Name, r.addr, r.point, diff)
		}
	}
}

func TestEveryPointHasOneRegister(t *testing.T) {
	rows := map[ups.Point]int{}
	for _, r := range registers {
		rows[r.point]++
	}
	for _, p := range ups.Points() {
		if rows[p] != 1 {
			t.Errorf("%s has %d rows, want 1", p, rows[p])
		}
	}
}

func TestKindFitsTheEncoding(t *testing.T) {
	for _, r := range registers {
		if r.point == 0 {
			continue
		}
		k := r.point.Info().Kind
		bitField := r.enc == bf16 || r.enc == bf32
		if (k == ups.Text) != (r.enc == str) || (k == ups.Flags || k == ups.Choice) != bitField {
			t.Errorf("%s is of kind %s and its encoding %s", r.point, k, r.enc)
		}
	}
}

func TestMapGolden(t *testing.T) {
	var b strings.Builder
	fmt.Fprintf(&b, "%-5s %-2s %-4s %4s %-11s %-15s %-2s %-9s %-4s %s\n", "addr", "n", "type", "div", "n/a", "families", "", "tier", "unit", "point")
	for i := range registers {
		r := &registers[i]
		tier, point := "-", "-"
		if r.point != 0 {
			tier, point = r.tier.String(), r.point.String()
		}
		fmt.Fprintf(&b, "%-5d %-2d %-4s %4d %-11s %-15s %-2s %-9s %-4s %s\n",
			r.addr, r.words, r.enc, r.div, markerText(r), r.fam, r.access, tier, r.point.Info().Unit, point)
	}
	golden(t, "testdata/map.golden", b.String())
}

func (f family) String() string {
	if f == 0 {
		return "all"
	}
	var out []string
	for i, n := range []string{"smt", "srt", "surtd", "unlisted"} {
		if f&(1<<i) != 0 {
			out = append(out, n)
		}
	}
	return strings.Join(out, ",")
}

// golden compares got with a file, and writes the file with -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-file +now):\n%s", name, diff)
	}
}
