package local

import (
	"net/url"
	"strconv"

	"upsedge/internal/ups"
)

// headline says whether all is well. It is read aloud when it changes, so it has nothing that changes by itself.
func headline(s *Status, v view) piece {
	return piece{"headline", often, func(w *writer, id string) {
		matters := s.matters()
		m, verdict := verdict(s, matters)
		w.raw("<section class=\"headline " + moods[m].class + "\" role=\"status\" aria-live=\"polite\" aria-atomic=\"true\"")
		w.attr("id", id)
		w.attr("data-title", title(s, v))
		w.raw(">\n<h1><span class=\"mark\" aria-hidden=\"true\">" + moods[m].mark + "</span> ")
		w.text(verdict)
		w.raw("</h1>\n")
		w.matters(s, matters)
		w.raw("</section>\n")
	}}
}

// verdict is the first line.
func verdict(s *Status, matters []matter) (mood, string) {
	if len(matters) == 0 {
		if len(s.Units) == 0 {
			return look, "No UPS is set up yet"
		}
		return well, "All is well"
	}
	m := matters[0].mood
	words := "Not all is well – "
	if m == act {
		words = "Act now – "
	}
	if len(matters) == 1 {
		return m, words + matters[0].String()
	}
	return m, words + ups.Count(len(matters), "matter")
}

// mostMatters are named in the first line; of more it says how many.
const mostMatters = 6

func (w *writer) matters(s *Status, matters []matter) {
	switch len(matters) {
	case 0:
		if len(s.Units) > 0 {
			w.in("p", allOn(s))
			w.raw("\n")
		}
		return
	case 1: // the verdict says it
		return
	}
	w.raw("<ul>\n")
	for _, x := range matters[:min(len(matters), mostMatters)] {
		w.raw("<li>")
		if x.who == thisBox {
			w.text(x.who)
		} else {
			w.link(whereIs(s, x.who), x.who)
		}
		w.text(": " + x.what)
		w.raw("</li>")
		w.raw("\n")
	}
	if more := len(matters) - mostMatters; more > 0 {
		w.in("li", "and "+strconv.Itoa(more)+" more")
	}
	w.raw("</ul>\n")
}

// whereIs is the place of a unit: on the page, where there are few.
func whereIs(s *Status, name string) string {
	if len(s.Units) > fewUnits {
		return unitPath(name)
	}
	return "/#unit-" + url.PathEscape(name)
}

// allOn says of units of which none needs anything how they are.
func allOn(s *Status) string {
	if len(s.Units) == 1 {
		return s.Units[0].Name + " is on mains, and is heard."
	}
	return "All " + ups.Count(len(s.Units), "unit") + " are on mains, and are heard."
}

// nextSteps is for a box that was just installed.
func nextSteps() piece {
	return piece{"next", soon, func(w *writer, id string) {
		w.open("section", id, "card")
		w.raw("<h2>What to do next</h2>\n<ol class=\"steps\">\n" +
			"<li>Switch Modbus on at the unit: on its display choose Menu type Advanced, then Configuration, Modbus. It is off on a new unit.</li>\n" +
			"<li>Connect the unit to this box: its serial port with the cable 940-0625A, or its network port.</li>\n" +
			"<li>In a terminal on this box: <code>sudo upsagent setup</code>. It finds ports and units, shows what it read, and writes the configuration.</li>\n" +
			"</ol>\n<p>The unit then appears here by itself. Without it: <code>upsagent probe</code> shows what answers, <code>upsagent doctor</code> what is wrong.</p>\n</section>\n")
	}}
}

// boxAlarms are the alarms of the agent itself.
func boxAlarms(s *Status) piece {
	return piece{"box-alarms", often, func(w *writer, id string) {
		w.raw("<section class=\"card\" aria-labelledby=\"box-alarms-h\"")
		w.attr("id", id)
		w.raw(">\n<h2 id=\"box-alarms-h\">Alarms of this box</h2>\n")
		w.alarms(s.Alarms)
		if s.Disk.Error != "" {
			w.marked("p", "problem", "The disk refuses for "+since(s.Now, s.Disk.Since)+": "+s.Disk.Error)
			w.raw("\n")
		}
		w.raw("</section>\n")
	}}
}

// alarms writes a list of alarms with what to do.
func (w *writer) alarms(all []Alarm) {
	if len(all) == 0 {
		return
	}
	w.raw("<ul class=\"alarms\">\n")
	for _, a := range all {
		w.raw("<li class=\"" + moods[a.mood()].class + "\"><p><strong>")
		w.text(sentence(a.Severity) + ": " + a.Text)
		if a.Group != "" {
			w.text(", outlet group " + a.Group)
		}
		w.raw("</strong> <small>alarm ")
		w.text(strconv.Itoa(a.ID))
		if a.Unconfirmed {
			w.text(", not confirmed since the unit fell silent")
		}
		w.raw("</small></p>")
		if a.Do != "" && a.Do != "nothing" {
			w.marked("p", "do", "What to do: "+a.Do+".")
		}
		w.raw("</li>\n")
	}
	w.raw("</ul>\n")
}

// list is the short form of many units.
func list(s *Status, page int) piece {
	return piece{"units", often, func(w *writer, id string) {
		w.raw("<section class=\"card\" aria-labelledby=\"units-h\"")
		w.attr("id", id)
		w.raw(">\n<h2 id=\"units-h\">")
		w.text(ups.Count(len(s.Units), "unit"))
		if n := pagesOf(len(s.Units)); n > 1 {
			w.text(", page " + strconv.Itoa(page) + " of " + strconv.Itoa(n))
		}
		w.raw("</h2>\n<ul class=\"units\">\n")
		for _, u := range onPage(s.Units, page) {
			w.row(u)
		}
		w.raw("</ul>\n")
		w.pager(page, pagesOf(len(s.Units)))
		w.raw("</section>\n")
	}}
}

func (w *writer) row(u *Unit) {
	m := u.mood()
	w.raw("<li class=\"" + moods[m].class + "\"")
	w.attr("id", "row-"+u.Name)
	w.raw("><span><span class=\"mark\" aria-hidden=\"true\">" + moods[m].mark + "</span> ")
	w.link(unitPath(u.Name), u.Name)
	w.raw("</span> <span>")
	w.text(u.State())
	if a := u.worst(); a != nil && a.ID != 101 && !u.stale() { // that the state says
		w.text(", " + lower(a.Text))
	}
	w.raw("</span> <span>")
	old := ""
	if u.stale() {
		old = " (old)"
	}
	if u.Age != nil {
		w.text("Battery " + number(u.Now.Charge, 0, "%") + old)
		if u.Now.Runtime != nil {
			w.text(", " + span(*u.Now.Runtime))
		}
	}
	w.raw("</span> <span>")
	if u.Age != nil {
		w.text("Load " + number(u.Now.Load, 0, "%") + old)
	}
	w.raw("</span></li>\n")
}

func (w *writer) pager(page, of int) {
	if of < 2 {
		return
	}
	w.raw("<nav class=\"pager\" aria-label=\"Pages of units\">")
	for n := 1; n <= of; n++ {
		w.raw("<a")
		w.attr("href", "/?page="+strconv.Itoa(n))
		if n == page {
			w.raw(" aria-current=\"page\"")
		}
		w.raw(">")
		w.text(strconv.Itoa(n))
		w.raw("</a> ")
	}
	w.raw("</nav>\n")
}
