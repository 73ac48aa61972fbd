package smartups

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"upsedge/internal/ups"
	"upsedge/internal/ups/upssim"
	"upsedge/internal/ups/upstest"
)

// manners are the ways a map is answered that change what is read.
var manners = map[string][]string{"direct": nil, "strict": {"strict"}, "odd": {"odd"}, "card": {"card"}, "a card nobody told of": {"card"}}

// learn connects a driver to a simulated unit and returns what it learnt, and what it asked for.
func learn(t *testing.T, sku string, variants []string) (s *ups.State, asked map[ups.Point]bool) {
	t.Helper()
	return learnOf(t, sku, variants, slices.Contains(variants, "card"))
}

// learnOf is learn where the driver is told of a card or, as with the RS-485 port of one, is not.
func learnOf(t *testing.T, sku string, variants []string, card bool) (s *ups.State, asked map[ups.Point]bool) {
	t.Helper()
	_, d := newBench(t, upssim.Options{SKU: sku, Variants: variants}, Config{Card: card})
	if _, err := d.Connect(t.Context(), nil); err != nil {
		t.Fatalf("Connect = %v", err)
	}
	s, asked = ups.NewState(), map[ups.Point]bool{}
	for _, r := range d.Connected() {
		s.Apply(r)
		for _, c := range r.Layout.Columns {
			asked[c.Point] = true
		}
	}
	return s, asked
}

// says tells whether the state has a value of the point.
func says(s *ups.State, p ups.Point) bool {
	if p.Info().Kind == ups.Text {
		return s.Text(p) != ""
	}
	_, ok := s.Raw(p)
	return ok
}

// mayBeSilent tells whether an item that a model has may have nothing to say on a healthy unit: countdowns that do not run, bit
// fields whose row calls no bit "not applicable", and behind a card zeros of what only some models have.
func mayBeSilent(p ups.Point, card bool) bool {
	for i := range registers {
		if r := &registers[i]; r.point == p {
			return p.Info().Kind == ups.Countdown || r.na == zero || card && r.some
		}
	}
	return true
}

// TestEveryFamilyIsReadAsItIs connects to every model in every manner: what it has is read, and what it lacks is absent,
// whether that reads all ones, is refused, or reads 0 as behind a card.
func TestEveryFamilyIsReadAsItIs(t *testing.T) {
	for _, sku := range upssim.SKUs() {
		for name, variants := range manners {
			t.Run(sku+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					behind := slices.Contains(variants, "card")
					s, _ := learnOf(t, sku, variants, name == "card")
					groups := s.Flags(ups.OutletConfig)
					for _, it := range upssim.Items(sku) {
						p, ok := upstest.PointOf(it.Item)
						if !ok {
							continue
						}
						g := p.Info().Group
						there := it.Has && (g == ups.NoGroup || groups&(1<<(g-ups.MainGroup)) != 0)
						switch said := says(s, p); {
						case said && !there:
							v, _ := s.Raw(p)
							t.Errorf("%s is %d %q, and the model has none", p, v, s.Text(p))
						case !said && there && !mayBeSilent(p, behind) && !(behind && p == ups.ProductID):
							t.Errorf("%s has no value", p)
						}
					}
				})
			})
		}
	}
}

// TestEveryFamilyFulfilsTheContract runs the contract against every model on its own port. Where undefined registers are
// refused the contract cannot hold whole: items of one length may have to be read alone.
func TestEveryFamilyFulfilsTheContract(t *testing.T) {
	for _, sku := range upssim.SKUs()[1:] { // the first is what the other tests of the contract use
		t.Run(sku, func(t *testing.T) {
			upstest.Suite{Bubble: true, Open: func(t *testing.T) upstest.World {
				b, d := newBench(t, upssim.Options{SKU: sku}, Config{})
				return b.world(d)
			}}.Run(t)
		})
	}
}

func TestPhasesAndGroupsOfTheFamilies(t *testing.T) {
	for sku, want := range map[string]string{
		"SMT1500RM2UC":     "main_outlet sog0_outlet",
		"SMX1500RM2U":      "main_outlet sog0_outlet sog1_outlet",
		"SRT1000XLA":       "sog0_outlet sog1_outlet bypass_voltage",
		"SRT10KXLI":        "main_outlet sog0_outlet sog1_outlet sog2_outlet battery_voltage_negative bypass_voltage input_voltage_2 input_voltage_3",
		"SURTD5000RMXLT3U": "load_real_2 output_voltage_2 input_voltage_2",
	} {
		synctest.Test(t, func(t *testing.T) {
			s, _ := learn(t, sku, nil)
			var got []string
			for _, p := range []ups.Point{
				ups.MainOutlet, ups.SOG0Outlet, ups.SOG1Outlet, ups.SOG2Outlet, ups.BatteryVoltageNegative, ups.LoadReal2, ups.OutputVoltage2,
				ups.BypassVoltage, ups.InputVoltage2, ups.InputVoltage3,
			} {
				if says(s, p) {
					got = append(got, p.String())
				}
			}
			if g := strings.Join(got, " "); g != want {
				t.Errorf("%s: %s, want %s", sku, g, want)
			}
		})
	}
}

// TestColumnsAreTheReferences compares the family columns of the map with the table.
func TestColumnsAreTheReferences(t *testing.T) {
	bit := map[string]family{"SMT": smt, "SRT": srt, "SURTD": surtd}
	for i, m := range upstest.Families() {
		want := unlisted
		if len(m.Families) > 0 {
			want = 0
		}
		for _, f := range m.Families {
			want |= bit[f]
		}
		if want == smt|srt|surtd {
			want = 0 // every column
		}
		if r := &registers[i]; int(r.addr) != m.Number || r.fam != want {
			t.Errorf("%s: register %d, columns %03b; want %d, %03b", m.Name, r.addr, r.fam, m.Number, want)
		}
	}
}
