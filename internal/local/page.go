package local

import (
	_ "embed" // page.html
	"fmt"
	"html"
	"strconv"
	"strings"
	"time"

	"upsedge/internal/ups"
)

// head is the page up to its first heading; nothing in it depends on the status.
//
//go:embed page.html
var head string

// A writer writes HTML. Whatever a unit, a file or the agent says goes through text or marked, which escape it; the rest of the page is
// constant. That is the whole rule, and html/template with its parsers would be 300 KB of the program to keep it for us
// (docs/adr/0020-a-small-binary.md). Nothing is written into attributes, scripts or links but names of classes that stand here.
type writer struct{ strings.Builder }

// A markup is HTML that stands in this file: an untyped constant converts to it, a text that came from elsewhere does not by itself.
type markup string

func (w *writer) raw(m markup) { w.WriteString(string(m)) }

func (w *writer) text(s string) { w.WriteString(html.EscapeString(s)) }

// marked writes an element of a class with a text in it.
func (w *writer) marked(element, class markup, text string) {
	w.raw("<" + element + " class=\"" + class + "\">")
	w.text(text)
	w.raw("</" + element + ">")
}

// page returns the status page.
func page(s Status) string {
	w := &writer{}
	w.WriteString(head)
	w.raw("<h1>upsagent ")
	w.text(s.Version)
	w.raw("</h1>\n")
	w.agent(s)
	for _, a := range s.Alarms {
		w.marked("p", look(a), told(a))
		w.raw("\n")
	}
	for _, u := range s.Units {
		w.unit(u)
	}
	if len(s.Units) == 0 {
		w.raw("<p>No units are configured. <code>upsagent probe</code> finds them.</p>\n")
	}
	w.orders(s)
	w.raw("</body>\n</html>\n")
	return w.String()
}

// agent writes the line of the agent itself: broker, what waits, clock.
func (w *writer) agent(s Status) {
	w.raw("<p class=\"quiet\">agent ")
	w.text(s.Agent)
	w.raw(" · ")
	switch {
	case !s.Broker.Configured:
		w.raw("no broker configured")
	case s.Broker.Connected:
		w.raw("broker connected")
	default:
		w.marked("span", "alarm", "no connection to the broker")
	}
	var waiting []string
	for _, l := range s.Spool {
		waiting = append(waiting, fmt.Sprint(l.Records, " ", l.Name))
	}
	w.raw(" · waiting: ")
	w.text(strings.Join(waiting, ", "))
	if !s.Clock.Trusted {
		w.raw(" · ")
		w.marked("span", "alarm", "clock not set by a time service")
	}
	w.raw("</p>\n")
}

func (w *writer) unit(u Unit) {
	border := markup("good")
	if u.Bad() {
		border = "bad"
	}
	w.raw("<section class=\"" + border + "\">\n<h2>")
	w.text(u.Name)
	w.raw("</h2>\n<div>")
	if len(u.Condition) == 0 {
		w.raw("never read")
	}
	w.text(strings.Join(u.Condition, ", "))
	w.raw(" ")
	w.marked("span", "quiet", identity(u))
	w.raw("</div>\n")
	for _, a := range u.Alarms {
		w.marked("div", look(a), told(a))
		w.raw("\n")
	}
	if u.Failure != "" {
		w.marked("div", "alarm", u.Failure)
		w.raw("\n")
	}
	w.values(u.Values)
	w.raw("</section>\n")
}

// orders writes what is known of orders.
func (w *writer) orders(s Status) {
	o := s.Orders
	if o == nil {
		return
	}
	if !o.Remote && len(o.Ended)+len(o.InHand) == 0 {
		return
	}
	w.raw("<section id=\"orders\">\n<h2>Orders</h2>\n")
	if o.Remote {
		w.raw("<div>Allowed from afar: ")
		w.text(o.Allowed())
		w.raw("</div>\n")
		for _, u := range s.Units {
			w.raw("<div>")
			w.text(u.Name + ": plan " + u.Plan.String())
			w.raw("</div>\n")
		}
	}
	for _, h := range o.InHand {
		w.raw("<div>")
		w.text(h.String())
		w.raw("</div>\n")
	}
	if text := o.Rejected.String(); text != "" {
		w.marked("div", "alarm", text)
		w.raw("\n")
	}
	if len(o.Ended) == 0 {
		w.raw("<div class=\"quiet\">None has come yet.</div>\n</section>\n")
		return
	}
	w.raw("<table class=\"log\">\n<tr><th>time</th><th>unit</th><th>action</th><th>role</th><th>outcome</th><th>why</th></tr>\n")
	for _, e := range o.Ended {
		w.raw("<tr>")
		for _, text := range []string{When(e.Time), e.Unit, e.Action, e.Role, e.Outcome, InWords(e.Reason, e.Detail)} {
			w.raw("<td>")
			w.text(text)
			w.raw("</td>")
		}
		w.raw("</tr>\n")
	}
	w.raw("</table>\n</section>\n")
}

// identity returns what the unit is and when it answered, as far as that is known.
func identity(u Unit) string {
	var parts []string
	for _, p := range []string{u.Model, u.SKU, u.Firmware} {
		if p != "" {
			parts = append(parts, "· "+p)
		}
	}
	if u.Age != nil {
		ago := time.Duration(*u.Age * float64(time.Second)).Round(100 * time.Millisecond)
		parts = append(parts, fmt.Sprintf("· answered %s ago", ago))
	}
	return strings.Join(parts, " ")
}

func (w *writer) values(all []Value) {
	if len(all) == 0 {
		return
	}
	w.raw("<details><summary>")
	w.text(strconv.Itoa(len(all)))
	w.raw(" values</summary><table>\n")
	for _, v := range all {
		w.raw("<tr><td>")
		w.text(v.Point)
		w.raw("</td><td>")
		w.text(v.String())
		w.raw("</td></tr>\n")
	}
	w.raw("</table></details>\n")
}

// look is the class of an alarm.
func look(a Alarm) markup {
	if a.Severity == ups.Informational.String() {
		return "quiet"
	}
	return "alarm"
}

// told is an alarm in a line.
func told(a Alarm) string {
	line := fmt.Sprintf("%d %s: %s", a.ID, a.Severity, a.Text)
	if a.Group != "" {
		line += " (" + a.Group + ")"
	}
	if a.Unconfirmed {
		line += ", not confirmed since"
	}
	return line
}
