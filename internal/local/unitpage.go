package local

import (
	"fmt"
	"strconv"
	"strings"

	"upsedge/internal/ups"
)

// unit is the card of one unit: how it is, its alarms, its plots and all its values, each for itself.
func (p *pages) unit(u Unit, heading markup) []piece {
	full := shown{Unit: u}
	if p.src.Unit != nil {
		if x, spans, ok := p.src.Unit(u.Name); ok {
			full = shown{x, spans}
		}
	}
	id := "unit-" + u.Name // what is behind it begins with a character that no name has
	return []piece{
		{"", 0, func(w *writer, _ string) {
			w.raw("<section class=\"unit\"")
			w.attr("id", id)
			w.attr("aria-labelledby", id+"_name")
			w.raw(">\n")
		}},
		{id + "_now", often, func(w *writer, at string) { w.how(&full.Unit, at, id+"_name", heading) }},
		{id + "_plots", soon, func(w *writer, at string) { w.plots(&full, at) }},
		{id + "_values", often, func(w *writer, at string) { w.values(&full.Unit, at) }},
		{"", 0, func(w *writer, _ string) { w.raw("</section>\n") }},
	}
}

// how writes how a unit is.
func (w *writer) how(u *Unit, id, name string, heading markup) {
	m := u.mood()
	class := moods[m].class
	if u.stale() {
		class += " old"
	}
	w.open("div", id, "how "+class)
	w.raw("\n<" + heading)
	w.attr("id", name)
	w.raw("><span class=\"mark\" aria-hidden=\"true\">" + moods[m].mark + "</span> ")
	w.text(u.Name)
	w.raw("</" + heading + ">\n")
	w.marked("p", "state", u.State())
	w.raw("\n")
	if more := u.besides(); more != "" {
		w.marked("p", "besides", more)
		w.raw("\n")
	}
	if u.stale() && u.Age != nil {
		w.marked("p", "problem", "The values below are old: the unit last answered "+ago(*u.Age)+".")
		w.raw("\n")
	} else if lasts := u.Lasts(); lasts != "" {
		w.marked("p", "lasts", lasts)
		w.raw("\n")
	}
	if u.Failure != "" {
		w.marked("p", "problem", u.Failure)
		w.raw("\n")
	}
	w.alarms(u.Alarms)
	if u.Age != nil {
		w.facts(u)
	}
	w.what(u)
	w.raw("</div>\n")
}

func (w *writer) facts(u *Unit) {
	old := ""
	if u.stale() {
		old = " (old)"
	}
	n := &u.Now
	w.raw("<dl class=\"facts\">\n")
	w.fact("Load"+old, number(n.Load, 1, "%"), watts(n))
	w.fact("Battery"+old, number(n.Charge, 0, "%"), runtime(n))
	w.fact("Battery temperature"+old, number(n.Temperature, 1, "°C"), "")
	w.fact("Input"+old, number(n.InputVoltage, 1, "V"), "")
	w.fact("Output"+old, number(n.OutputVoltage, 1, "V"), hertz(n))
	w.fact("Last answer", ago(*u.Age), "")
	w.raw("</dl>\n")
}

func watts(n *Now) string {
	if n.Load == nil || n.NominalWatts == nil {
		return ""
	}
	return fmt.Sprintf("%.0f of %.0f W", *n.Load**n.NominalWatts/100, *n.NominalWatts)
}

func runtime(n *Now) string {
	if n.Runtime == nil {
		return ""
	}
	return span(*n.Runtime) + " left"
}

func hertz(n *Now) string {
	if n.OutputHertz == nil {
		return ""
	}
	return number(n.OutputHertz, 1, "Hz")
}

// what writes what the unit is.
func (w *writer) what(u *Unit) {
	var parts []string
	for _, x := range []struct{ label, text string }{
		{"", u.Model}, {"", u.SKU}, {"serial number ", u.Serial}, {"firmware ", u.Firmware}, {"line ", u.Line},
	} {
		if x.text != "" && (x.text != u.Name || x.label != "line ") {
			parts = append(parts, x.label+x.text)
		}
	}
	if len(parts) == 0 {
		return
	}
	w.marked("p", "what", strings.Join(parts, " · "))
	w.raw("\n")
}

// values writes all values of a unit with their ages, folded up.
func (w *writer) values(u *Unit, id string) {
	w.open("div", id, "")
	if len(u.Values) == 0 {
		w.raw("</div>\n")
		return
	}
	w.raw("<details")
	w.attr("id", id+"_all")
	w.raw("><summary>All ")
	w.text(strconv.Itoa(len(u.Values)))
	w.raw(" values</summary>\n<table>\n<caption class=\"unseen\">Values of ")
	w.text(u.Name)
	w.raw("</caption>\n<thead><tr><th scope=\"col\">What</th><th scope=\"col\">Value</th><th scope=\"col\">Read</th></tr></thead>\n<tbody>\n")
	for _, v := range u.Values {
		w.raw("<tr><th scope=\"row\">")
		w.text(v.help())
		w.raw(" <small>")
		w.text(v.Point)
		w.raw("</small></th><td>")
		w.text(v.String())
		w.raw("</td><td>")
		if v.Age != nil {
			w.text(ago(*v.Age))
			if u.stale() {
				w.text(", old")
			}
		}
		w.raw("</td></tr>\n")
	}
	w.raw("</tbody>\n</table>\n</details>\n</div>\n")
}

// help is what a value is, in a few words.
func (v Value) help() string {
	p, ok := ups.PointByName(v.Point)
	if !ok {
		return v.Point
	}
	info := p.Info()
	if info.Group != ups.NoGroup {
		return sentence(info.Help) + ", group " + info.Group.String()
	}
	return sentence(info.Help)
}
