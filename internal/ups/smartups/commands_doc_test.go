package smartups

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/testenv"
	"upsedge/internal/ups"
	"upsedge/internal/ups/upssim"
)

const commandsPage = "../../../docs/commands.md"

const commandsPageHead = `# Commands, by family

For whoever wants to know what an order writes, model by model. What becomes of every command and each of its parameters on each simulated model, through each port it has. Made by a test
(` + "`go test ./internal/ups/smartups -run CommandsPage -update`" + `) that carries each of them out; not to be edited.

**Seen on hardware: no, not one line.** The simulator is made from documents, and where it is a guess so is what stands here
([families.md](families.md)). What a real unit refuses ends as ` + "`UNSUPPORTED` or `UPS_REFUSED`" + ` with the unit's own answer.

- *written*: the register and the word, as one request of function 16; behind a semicolon what followed, with ` + "`!`" + ` and the exception where the unit refused it.
- *the end was seen in*: the status items, by their name in the [catalogue of points](../internal/wire/POINTS.md). A reply to the write counts for nothing.
- *after*: seconds from the write to the end, on the unit's clock, with the delays and the battery the simulated unit has. A calibration empties one that is 20 times too small.
- Where nothing is written, the reason code and what the order's result says.
- Serial, TCP and card are the unit's own serial port, its own Modbus TCP, and a network management card. An SMC has no TCP of its own.

What a unit is brought to first: for ` + "`to=on`" + ` the groups are off; for ` + "`to=cancel`" + ` a reboot counts down; for ` + "`do=abort`" + ` the test runs; for
` + "`mute`" + ` and ` + "`ack`" + ` there is an alarm. Each setting is given a value that it does not have.
`

// commandPorts are the ways to a unit.
var commandPorts = []struct {
	name, variant string
	card, tcp     bool
}{{name: "serial"}, {name: "TCP", tcp: true}, {name: "card", variant: "card", card: true, tcp: true}}

// commandActions are all that a unit carries out, in the order of the page.
var commandActions = []string{
	ups.ActionReboot, ups.ActionRebootGroup, ups.ActionOutlet, ups.ActionDiagnostics, ups.ActionMute, ups.ActionAck, ups.ActionConfigure,
}

// valuesOf are the values of a parameter that the page has.
func valuesOf(p ups.Param) []string {
	switch {
	case p.Values != nil:
		return p.Values
	case p.Name == ups.ParamGroup:
		return []string{"sog0", "main", "main,sog0"}
	}
	return []string{""} // of a setting: chosen when the unit is known
}

// everyCommand returns an action with every combination of its parameters.
func everyCommand(t *testing.T, action string) (out []ups.Command) {
	t.Helper()
	params, ok := ups.ParamsOf(action)
	if !ok {
		t.Fatalf("no parameters of %s are known", action)
	}
	out = []ups.Command{{Action: action}}
	for _, p := range params {
		var more []ups.Command
		for _, c := range out {
			for _, v := range valuesOf(p) {
				with := map[string]string{p.Name: v}
				for name, had := range c.Params {
					with[name] = had
				}
				more = append(more, ups.Command{Action: action, Params: with})
			}
		}
		out = more
	}
	return out
}

// before is what happens to a unit so that the command has something to do, and how long that takes.
func happensBefore(cmd ups.Command) (words []string, wait time.Duration) {
	p := cmd.Params
	groups := strings.ReplaceAll(p[ups.ParamGroup], "main", "mog")
	switch {
	case p[ups.ParamTo] == ups.ToOn && groups == "sog0":
		return []string{"outlet=off:sog0"}, 3 * time.Minute
	case p[ups.ParamTo] == ups.ToOn:
		return []string{"outlet=off"}, 3 * time.Minute
	case p[ups.ParamTo] == ups.ToCancel && groups == "sog0":
		return []string{"outlet=reboot:sog0"}, 5 * time.Second
	case p[ups.ParamTo] == ups.ToCancel:
		return []string{"outlet=reboot"}, 5 * time.Second
	case p[ups.ParamDo] == ups.DoAbort:
		return map[string][]string{ups.TestSelf: {"self-test=protocol"}, ups.TestCalibration: {"calibrate=protocol"}, ups.TestPanel: {"panel-test"}}[p[ups.ParamTest]], 5 * time.Second
	case p[ups.ParamMute] == ups.MuteOff:
		return []string{"wiring-bad", "mute"}, time.Second
	case cmd.Action == ups.ActionMute, p[ups.ParamAlarm] == ups.AlarmWiring:
		return []string{"wiring-bad"}, time.Second
	case p[ups.ParamAlarm] == ups.AlarmBattery:
		return []string{"battery-life=10"}, time.Second
	}
	return nil, 0
}

// another returns a value of a setting that the unit does not have.
func another(b *bench, name string) string {
	p, _ := ups.PointByName(name)
	s, _ := ups.SettingOf(p)
	info := p.Info()
	switch info.Kind {
	case ups.Text:
		return "rack 7"
	case ups.Date:
		return "2026-03-01"
	case ups.Choice:
		i := slices.IndexFunc(registers, func(r register) bool { return r.point == p })
		for _, n := range ups.Names(p) {
			if b.Registers(registers[i].addr, 1)[0] != 1<<n.Number {
				return n.Name
			}
		}
	}
	limits := b.Registers(1026, 2) // upper and lower transfer point
	switch {
	case p == ups.UpperTransfer && limits[0] > 270:
		return fmt.Sprint(min(limits[0]-5, 270))
	case p == ups.UpperTransfer:
		return fmt.Sprint(limits[0] + 3)
	case p == ups.LowerTransfer:
		return fmt.Sprint(min(limits[1]-2, 200))
	}
	return fmt.Sprint(min(30, s.Most))
}

// outcomeCell carries a command out and returns the cells of its line.
func outcomeCell(t *testing.T, sku string, port int, cmd ups.Command) string {
	w := commandPorts[port]
	o := upssim.Options{SKU: sku}
	if w.variant != "" {
		o.Variants = []string{w.variant}
	}
	if cmd.Params[ups.ParamTest] == ups.TestCalibration {
		o.Speed = 20
	}
	b, c := newControl(t, o, Config{Card: w.card})
	if w.tcp {
		c.line = onTCP{c.line}
	}
	if name, ok := cmd.Params[ups.ParamSetting]; ok {
		cmd.Params[ups.ParamValue] = another(b, name)
	}
	words, wait := happensBefore(cmd)
	for _, word := range words {
		a, err := upssim.ParseAction(word)
		if err != nil {
			t.Fatal(err)
		}
		a.Do(b.Unit)
	}
	time.Sleep(wait)
	before, err := c.Check(t.Context(), cmd)
	if r, ok := err.(*ups.Refusal); ok {
		return fmt.Sprintf("nothing | | | refused, %s: %s", r.Reason, r.Detail)
	} else if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	out := c.Execute(t.Context(), cmd, before, nil)
	took := math.Round(time.Since(began).Seconds())
	detail, _, _ := strings.Cut(out.Detail, "; written:")
	var seen []string
	for _, r := range out.Raw {
		seen = append(seen, r.Point.String())
	}
	end := out.State.String()
	if out.Reason != "" {
		end += ", " + out.Reason
	}
	return fmt.Sprintf("%s | %s | %.0f s | %s: %s", writtenWords(b), strings.Join(seen, ", "), took, end, detail)
}

// writtenWords are the writes as people find them in the protocol reference.
func writtenWords(b *bench) string {
	var out []string
	for _, w := range b.Writes() {
		s := fmt.Sprintf("%d =", w.Addr)
		switch {
		case len(w.Values) > 2:
			s += " a text"
		case w.Addr == outletCommand:
			s += fmt.Sprintf(" 0x%04X%04X", w.Values[0], w.Values[1])
		default:
			for _, v := range w.Values {
				s += fmt.Sprintf(" %d", v)
			}
		}
		if w.Exception != 0 {
			s += fmt.Sprintf(" !%d", w.Exception)
		}
		out = append(out, s)
	}
	if out == nil {
		return "nothing"
	}
	return strings.Join(out, "; ")
}

// commandTable is what becomes of a command on every model and port: lines that are alike are one.
func commandTable(t *testing.T, cmd ups.Command) string {
	lines := map[string]map[string][]string{} // by cells, the ports by model
	var order []string
	for _, f := range upssim.Families() {
		for i, port := range commandPorts {
			if port.name == "TCP" && f.TCP == "no" {
				continue
			}
			var cells string
			synctest.Test(t, func(t *testing.T) { cells = outcomeCell(t, f.SKU, i, cmd) })
			if lines[cells] == nil {
				lines[cells] = map[string][]string{}
				order = append(order, cells)
			}
			lines[cells][f.SKU] = append(lines[cells][f.SKU], port.name)
		}
	}
	var b strings.Builder
	b.WriteString("| model and port | written | the end was seen in | after | how it ends |\n| --- | --- | --- | --- | --- |\n")
	for _, cells := range order {
		fmt.Fprintf(&b, "| %s | %s |\n", who(lines[cells]), cells)
	}
	return b.String()
}

// who names models with their ports, those with the same ports together.
func who(ports map[string][]string) string {
	var order []string
	models := map[string][]string{}
	for _, sku := range upssim.SKUs() {
		if all, ok := ports[sku]; ok {
			key := strings.Join(all, ", ")
			if models[key] == nil {
				order = append(order, key)
			}
			models[key] = append(models[key], sku)
		}
	}
	var out []string
	for _, key := range order {
		out = append(out, strings.Join(models[key], ", ")+": "+key)
	}
	return strings.Join(out, "; ")
}

// paramText writes parameters as "group=sog0, to=off", without the value of a setting, which each unit has its own of.
func paramText(cmd ups.Command) string {
	var out []string
	params, _ := ups.ParamsOf(cmd.Action)
	for _, p := range params {
		if p.Name != ups.ParamValue {
			out = append(out, p.Name+"="+cmd.Params[p.Name])
		}
	}
	return "`" + strings.Join(out, ", ") + "`"
}

// TestCommandsPage keeps docs/commands.md as it is: a table of every action on every family, by carrying it out.
func TestCommandsPage(t *testing.T) {
	if testenv.Race {
		t.Skip("a thousand lives of a unit: without the race detector")
	}
	var b strings.Builder
	b.WriteString(commandsPageHead)
	for _, action := range commandActions {
		fmt.Fprintf(&b, "\n## %s\n", action)
		tables := map[string][]string{}
		var order []string
		for _, cmd := range everyCommand(t, action) {
			table := commandTable(t, cmd)
			if tables[table] == nil {
				order = append(order, table)
			}
			tables[table] = append(tables[table], paramText(cmd))
		}
		for _, table := range order {
			fmt.Fprintf(&b, "\n%s\n\n%s", strings.Join(tables[table], "; "), table)
		}
	}
	if *update {
		if err := os.WriteFile(commandsPage, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	was, err := os.ReadFile(commandsPage)
	if err != nil {
		t.Fatal(err)
	}
	if string(was) != b.String() {
		t.Errorf("docs/commands.md is not what the driver and the simulator do: run the test with -update and look at the difference")
	}
}
