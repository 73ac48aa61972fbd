package smartups

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"upsedge/internal/ups"
	"upsedge/internal/ups/modbus"
	"upsedge/internal/ups/upssim"
	"upsedge/internal/ups/upstest"
)

const familiesPage = "../../../docs/families.md"

const familiesHead = `# Families and items

For whoever wants to know what a model can tell. What every simulated model has of the register map, and what the driver makes of it. Made by a test
(` + "`go test ./internal/ups/smartups -run FamiliesPage -update`" + `) that connects the driver to every model; not to be edited.

**Seen on hardware: no, not one cell.** Everything here is the simulator's, and the simulator is made from documents.

A cell says what becomes of the item, and who says that the model has it or lacks it.

| word | meaning |
| --- | --- |
| decoded | the model has it and the driver reads it |
| not asked | the model has it and the driver leaves it: the main group of a unit where nobody can reach it, or a constant of the protocol |
| command | written, never read |
| - | not applicable: what reads there is no value, and the driver makes none of it. In brackets: the address is not even defined |
| 990 | the vendor's map, part 990-9840B |
| 590 | register 590: the outlet group is not there |
| FIELD | reported of a real unit by its users |
| INF | a guess of this project |

`

const commandsHead = `
## Commands

What is written for a command, by the port the unit is reached through, and why nothing is where nothing is: the driver's own answers.
The reboot is the one with the delays set in the unit. **Never seen on hardware**; how one is carried out: [ARCHITECTURE](../ARCHITECTURE.md).

| model | serial | TCP of its own | network card |
| --- | --- | --- | --- |
`

// commandCells returns the cells of one way to one model: what a reboot and a self-test write.
func commandCells(t *testing.T, sku, variant string, card, tcp bool) string {
	var variants []string
	if variant != "" {
		variants = []string{variant}
	}
	_, c := newControl(t, upssim.Options{SKU: sku, Variants: variants}, Config{Card: card})
	if tcp {
		c.line = onTCP{c.line}
	}
	var said []string
	for _, cmd := range []ups.Command{{Action: ups.ActionReboot}, {Action: ups.ActionDiagnostics, Params: map[string]string{"test": "self"}}} {
		e, err := c.eye()
		if err != nil {
			t.Fatal(err)
		}
		ev, err := c.plan(t.Context(), e, cmd)
		if r, ok := err.(*ups.Refusal); ok {
			said = append(said, cmd.Action+": "+r.Detail)
		} else if err != nil {
			t.Fatal(err)
		} else {
			said = append(said, cmd.Action+": "+ev.written())
		}
	}
	return " " + strings.Join(said, "; ") + " |"
}

// onTCP is a line that has no baud rate.
type onTCP struct{ Writer }

func (l onTCP) Timing(unit uint8) modbus.Timing {
	t := l.Writer.Timing(unit)
	t.ByteTime = 0
	return t
}

// TestFamiliesPage keeps docs/families.md as it is.
func TestFamiliesPage(t *testing.T) {
	var b strings.Builder
	b.WriteString(familiesHead)
	b.WriteString("| model | family | Modbus TCP of its own | made from |\n| --- | --- | --- | --- |\n")
	columns := map[string][]string{}
	heads := "| address | item | named by |"
	for _, f := range upssim.Families() {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", f.SKU, f.Name, f.TCP, f.From)
		heads += " " + f.SKU + " |"
		synctest.Test(t, func(t *testing.T) { columns[f.SKU] = familyCells(t, f.SKU) })
	}
	b.WriteString(commandsHead)
	for _, sku := range upssim.SKUs() {
		fmt.Fprintf(&b, "| %s |", sku)
		for _, way := range []struct {
			variant string
			card    bool
			tcp     bool
		}{{}, {tcp: true}, {"card", true, true}} {
			synctest.Test(t, func(t *testing.T) { b.WriteString(commandCells(t, sku, way.variant, way.card, way.tcp)) })
		}
		b.WriteString("\n")
	}
	b.WriteString("\n## Items\n\n" + heads + "\n" + strings.Repeat("| --- ", 3+len(upssim.Families())) + "|\n")
	for i, m := range upstest.Families() {
		fmt.Fprintf(&b, "| %d | %s | %s |", m.Number, m.Name, strings.Join(m.Sources, " "))
		for _, sku := range upssim.SKUs() {
			b.WriteString(" " + columns[sku][i] + " |")
		}
		b.WriteString("\n")
	}
	if *update {
		if err := os.WriteFile(familiesPage, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	was, err := os.ReadFile(familiesPage)
	if err != nil {
		t.Fatal(err)
	}
	if string(was) != b.String() {
		t.Errorf("docs/families.md is not what the driver and the simulator do: run the test with -update and look at the difference")
	}
}

// familyCells returns the cells of one model, in the order of the map.
func familyCells(t *testing.T, sku string) []string {
	s, asked := learn(t, sku, nil)
	var out []string
	for i, it := range upssim.Items(sku) {
		p, _ := upstest.PointOf(it.Item)
		cell := "- " + it.Source
		switch {
		case registers[i].access == writeOnly && it.Has:
			cell = "command " + it.Source
		case !it.Defined:
			cell = "(-) " + it.Source
		case !it.Has:
		case p != 0 && asked[p] && (says(s, p) || mayBeSilent(p, false) || p.Info().Kind == ups.Text):
			cell = "decoded " + it.Source
		default:
			cell = "not asked " + it.Source
		}
		out = append(out, cell)
	}
	return out
}
