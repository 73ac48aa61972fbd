package local

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"upsedge/internal/ups"
)

// lineOf is what the lines have to bear, of those that are named.
func lineOf(s *Status, names []string) piece {
	return piece{"lines", soon, func(w *writer, id string) {
		w.raw("<section class=\"card\" aria-labelledby=\"lines-h\"")
		w.attr("id", id)
		w.raw(">\n<h2 id=\"lines-h\">Lines</h2>\n")
		var lines []*Line
		trouble := 0
		for i := range s.Lines {
			if l := &s.Lines[i]; slices.Contains(names, l.Name) {
				lines = append(lines, l)
				if l.Load > 1 || l.Errors() > 0 {
					trouble++
				}
			}
		}
		many := len(lines) > fewUnits
		if many {
			w.raw("<details id=\"lines-all\"><summary>")
			w.text(ups.Count(len(lines), "line") + ", " + strconv.Itoa(trouble) + " with errors or too much to do")
			w.raw("</summary>\n")
		}
		for _, l := range lines {
			w.line(s, l)
		}
		if many {
			w.raw("</details>\n")
		}
		w.raw("</section>\n")
	}}
}

var kinds = map[string]string{"serial": "serial port", "tcp": "Modbus TCP", "card": "network card"}

func (w *writer) line(s *Status, l *Line) {
	w.raw("<details")
	w.attr("id", "line-"+l.Name)
	w.raw("><summary>")
	w.text(sentence(kinds[l.Kind]) + " " + l.Where + ": ")
	w.text(fmt.Sprintf("load %.0f %%", 100*l.Load))
	if n := l.Errors(); n > 0 {
		w.text(", " + ups.Count(n, "error") + " in " + ups.Count(n+l.Requests["ok"], "request"))
	} else {
		w.text(", no errors")
	}
	w.raw("</summary>\n")
	if l.Load > 1 {
		w.marked("p", "problem", "More is asked of this line than it can carry, so everything is read less often. Longer periods under poll, or fewer units on it, help.")
	}
	w.raw("<dl class=\"facts\">\n")
	w.fact("Load", fmt.Sprintf("%.0f %%", 100*l.Load), "of its time")
	w.fact("Silence before a request", fmt.Sprintf("%.0f ms", 1000*l.Gap), "")
	if l.Turnaround > 0 {
		w.fact("Time to answer", fmt.Sprintf("%.0f ms", 1000*l.Turnaround), "measured")
	}
	w.fact("Requests", strconv.FormatUint(l.Requests["ok"], 10), "answered since the start")
	w.fact("Errors", strconv.FormatUint(l.Errors(), 10), l.errors())
	if l.Failed != nil {
		w.fact("Last failure", ago(*l.Failed), l.Failure)
	}
	w.raw("</dl>\n<table>\n<caption>How often it is read, per second</caption>\n<thead><tr><th scope=\"col\">What</th><th scope=\"col\">Wanted</th><th scope=\"col\">Is</th></tr></thead>\n<tbody>\n")
	for i := range s.Units {
		u := &s.Units[i]
		if u.Line != l.Name {
			continue
		}
		for _, r := range u.Rates {
			w.raw("<tr><th scope=\"row\">")
			w.text(tierWords(r.Tier))
			if l.Units > 1 {
				w.text(" of " + u.Name)
			}
			w.raw("</th><td>")
			w.text(rate(r.Wanted))
			w.raw("</td><td>")
			if r.Real != nil {
				w.text(rate(*r.Real))
			} else {
				w.text("not measured")
			}
			w.raw("</td></tr>\n")
		}
	}
	w.raw("</tbody>\n</table>\n</details>\n")
}

func tierWords(tier string) string {
	words := map[string]string{
		"watch": "State (watch)", "status": "All states (status)", "live": "Measurements (live)", "settings": "Settings", "identity": "Names and identity",
	}[tier]
	if words == "" {
		return tier
	}
	return words
}

// rate is a frequency; what is seldom is a period.
func rate(hertz float64) string {
	if hertz > 0 && hertz < 0.1 {
		return "every " + span(1/hertz)
	}
	return strconv.FormatFloat(hertz, 'g', 3, 64)
}

// errors says of what kinds they were.
func (l *Line) errors() string {
	var out []string
	for _, x := range []struct{ result, words string }{
		{"timeout", "not answered"}, {"frame", "garbled"}, {"exception", "refused by the unit"}, {"link", "the port or connection failed"},
	} {
		if n := l.Requests[x.result]; n > 0 {
			out = append(out, fmt.Sprintf("%d %s", n, x.words))
		}
	}
	return strings.Join(out, ", ")
}

// box is what is to be known of the box itself.
func box(s *Status) piece {
	return piece{"box", often, func(w *writer, id string) {
		w.raw("<section class=\"card\" aria-labelledby=\"box-h\"")
		w.attr("id", id)
		w.raw(">\n<h2 id=\"box-h\">This box</h2>\n<dl class=\"facts wide\">\n")
		w.uplink(s)
		w.spool(s)
		if s.Clock.Trusted {
			w.fact("Clock", clockWords(s.Clock), clockError(s.Clock))
		} else {
			w.bad("Clock", clockWords(s.Clock), clockError(s.Clock))
		}
		if s.Certificate != nil {
			left := s.Certificate.Sub(s.Now)
			w.fact("Certificate", "ends "+s.Certificate.UTC().Format("2006-01-02"), "in "+span(left.Seconds()))
		}
		w.fact("Agent", s.Version, "id "+s.Agent)
		w.fact("Runs", "for "+span(s.Now.Sub(s.Started).Seconds()), "")
		w.raw("</dl>\n</section>\n")
	}}
}

func (w *writer) uplink(s *Status) {
	b := &s.Broker
	to := "Broker"
	if b.Cloud {
		to = "Cloud"
	}
	switch {
	case !b.Configured:
		w.fact("Cloud", "none is set up", "everything stays on this box")
		return
	case b.Connected:
		w.fact(to, "connected for "+since(s.Now, b.Since), b.Address)
		return
	}
	why := b.Failure
	if why == "" {
		why = "it is tried again and again"
	}
	w.bad(to, "not connected for "+since(s.Now, b.Since), b.Address+": "+why)
}

func (w *writer) spool(s *Status) {
	waiting, verb := s.waits(true), "wait"
	var dropped uint64
	oldest := ""
	for _, l := range s.Spool {
		dropped += l.Dropped
		if l.Age != nil && oldest == "" {
			oldest = ", the oldest for " + span(*l.Age)
		}
	}
	says := "nothing waits"
	if waiting != "" {
		if !strings.Contains(waiting, ",") && strings.HasPrefix(waiting, "1 ") {
			verb = "waits"
		}
		says = waiting + " " + verb + oldest
	}
	full := ""
	if s.Disk.Limit > 0 {
		full = fmt.Sprintf(", %.0f %% of its quota", 100*float64(s.Disk.Used)/float64(s.Disk.Limit))
	}
	term := "To be delivered"
	if !s.Broker.Configured {
		term = "Kept for a cloud"
	}
	w.fact(term, says, size(s.Disk.Bytes)+" on disk"+full)
	if dropped > 0 {
		w.bad("Dropped", ups.Count(dropped, "record"), "since the start; gap records name them")
	}
}

func clockWords(c Clock) string {
	switch c.State {
	case "synced":
		return "set"
	case "holdover":
		return "was set, and runs on alone"
	}
	return "not set by a time service"
}

func clockError(c Clock) string {
	switch {
	case !c.Trusted:
		return "records get their time when it is"
	case c.Error == nil:
		return ""
	}
	return fmt.Sprintf("at most %.3g s off", *c.Error)
}

// orders is what is known of orders; nil where there is nothing to be said.
func orders(s *Status) *piece {
	o := s.Orders
	if o == nil || !o.Remote && len(o.Ended)+len(o.InHand) == 0 {
		return nil
	}
	return &piece{"orders", often, func(w *writer, id string) {
		w.raw("<section class=\"card\" aria-labelledby=\"orders-h\"")
		w.attr("id", id)
		w.raw(">\n<h2 id=\"orders-h\">Orders</h2>\n")
		if o.Remote {
			w.in("p", "Allowed from afar: "+o.Allowed())
			if len(s.Units) <= fewUnits {
				for _, u := range s.Units {
					w.in("p", u.Name+": plan "+u.PlanWords())
				}
			}
		}
		for _, h := range o.InHand {
			w.marked("p", "hand", "In hand: "+h.String())
		}
		if text := o.Rejected.String(); text != "" {
			w.marked("p", "problem", text)
		}
		w.ended(o.Ended)
		w.raw("</section>\n")
	}}
}

// mostEnded are shown; --json has them all.
const mostEnded = 20

func (w *writer) ended(all []Order) {
	if len(all) == 0 {
		w.raw("<p>None has come yet.</p>\n")
		return
	}
	w.raw("<ul class=\"log\">\n")
	for _, e := range all[:min(len(all), mostEnded)] {
		w.raw("<li><span class=\"when\">")
		w.text(When(e.Time))
		w.raw("</span> <strong>")
		w.text(strings.TrimSpace(e.Unit + " " + e.Action))
		w.raw("</strong> <span>")
		w.text(e.Outcome)
		if e.Role != "" {
			w.text(", ordered by: " + e.Role)
		}
		if why := InWords(e.Reason, e.Detail); why != "" {
			w.text("; " + why)
		}
		w.raw("</span></li>\n")
	}
	w.raw("</ul>\n")
}
