package local

import (
	"net/url"
	"slices"
	"strconv"
)

const (
	// fewUnits are shown whole on one page; of more there is a list, with a page for each.
	fewUnits = 4
	// perPage is how many units a page of the list has: what a page costs is bounded, however many there are.
	perPage = 100
)

// A view is what somebody looks at: the first page, a page of the list, or a unit.
type view struct {
	unit string // "": all
	page int    // of the list, from 1
}

// live is where what has changed in the view is told.
func (v view) live() string {
	q := url.Values{}
	if v.unit != "" {
		q.Set("unit", v.unit)
	}
	if v.page > 1 {
		q.Set("page", strconv.Itoa(v.page))
	}
	if len(q) == 0 {
		return "/v1/live"
	}
	return "/v1/live?" + q.Encode()
}

// unitPath is the page of a unit.
func unitPath(name string) string { return "/unit/" + url.PathEscape(name) }

// A piece is a part of the page that is looked at anew every so many seconds, and sent to who watches when it is another one. Its
// element has the id; id "" is what stands between pieces and only changes with the units.
type piece struct {
	id    string
	every int // seconds
	write func(*writer, string)
}

// How often pieces are looked at, in seconds. A plot of ten-second steps need not follow every value.
const (
	often = 1
	soon  = 5
)

// A shown is a unit with all that a page has of it.
type shown struct {
	Unit
	spans []Span
}

// pieces are what a view is made of; false where there is none of it.
func (p *pages) pieces(s *Status, v view) ([]piece, bool) {
	if v.unit != "" {
		return p.unitPieces(s, v)
	}
	if len(s.Units) > fewUnits && (v.page < 1 || v.page > pagesOf(len(s.Units))) {
		return nil, false
	}
	out := []piece{headline(s, v)}
	if len(s.Alarms) > 0 || s.Disk.Error != "" {
		out = append(out, boxAlarms(s))
	}
	var lines []string
	switch n := len(s.Units); {
	case n == 0:
		out = append(out, nextSteps())
	case n <= fewUnits:
		for _, u := range s.Units {
			out = append(out, p.unit(u, "h2")...)
			lines = append(lines, u.Line)
		}
	default:
		out = append(out, list(s, v.page))
		for _, u := range onPage(s.Units, v.page) {
			lines = append(lines, u.Line)
		}
	}
	few := len(lines) > 0 && len(lines) <= fewUnits
	if few {
		out = append(out, lineOf(s, lines))
	}
	out = append(out, box(s))
	if o := orders(s); o != nil {
		out = append(out, *o)
	}
	if len(lines) > 0 && !few {
		out = append(out, lineOf(s, lines))
	}
	return out, true
}

// unitPieces are the page of one unit.
func (p *pages) unitPieces(s *Status, v view) ([]piece, bool) {
	i := slices.IndexFunc(s.Units, func(u Unit) bool { return u.Name == v.unit })
	if i < 0 {
		return nil, false
	}
	out := append([]piece{headline(s, v)}, p.unit(s.Units[i], "h2")...)
	return append(out, lineOf(s, []string{s.Units[i].Line})), true
}

func pagesOf(units int) int { return max((units+perPage-1)/perPage, 1) }

// onPage are the units of a page of the list: by what is the matter with them, and otherwise as in the configuration.
func onPage(units []Unit, page int) []*Unit {
	all := make([]*Unit, len(units))
	for i := range units {
		all[i] = &units[i]
	}
	all = worst(all, (*Unit).mood)
	return all[min((page-1)*perPage, len(all)):min(page*perPage, len(all))]
}

// write writes a whole page.
func (p *pages) write(s *Status, v view, pieces []piece) string {
	w := &writer{}
	w.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n" +
		"<meta name=\"color-scheme\" content=\"light dark\">\n<noscript><meta http-equiv=\"refresh\" content=\"10\"></noscript>\n<title>")
	w.text(title(s, v))
	w.raw("</title>\n<link rel=\"stylesheet\"")
	w.attr("href", assets.path("page.css"))
	w.raw(">\n<link rel=\"icon\" type=\"image/svg+xml\"")
	w.attr("href", assets.path("icon.svg"))
	w.raw(">\n<script defer")
	w.attr("src", assets.path("page.js"))
	w.raw("></script>\n</head>\n<body")
	w.attr("data-live", v.live())
	w.attr("data-assets", assets.version)
	w.raw(">\n<header>\n<p class=\"name\">upsagent")
	if p.host != "" {
		w.raw(" <span>on ")
		w.text(p.host)
		w.raw("</span>")
	}
	w.raw("</p>\n")
	if v.unit != "" {
		w.raw("<nav aria-label=\"Pages\"><a href=\"/\">All units</a></nav>\n")
	}
	w.raw("</header>\n<p id=\"cut\" role=\"alert\"></p>\n<main id=\"main\">\n")
	w.all(pieces)
	w.raw("</main>\n<footer><p>upsagent ")
	w.text(s.Version)
	w.raw(". This page only shows; it changes nothing. It renews itself every second, <span class=\"scripted\">without reloading</span>" +
		"<noscript> or, without JavaScript, every ten seconds</noscript>. <a href=\"/v1/status?values\">The same as JSON</a>.</p></footer>\n</body>\n</html>\n")
	return w.String()
}

// all writes pieces.
func (w *writer) all(pieces []piece) {
	for _, x := range pieces {
		x.write(w, x.id)
	}
}

// title is the window's.
func title(s *Status, v view) string {
	m := s.matters()
	of := "upsagent"
	if v.unit != "" {
		of = v.unit + " – upsagent"
	}
	switch {
	case len(s.Units) == 0:
		return "Not set up yet – " + of
	case len(m) == 0:
		return "All is well – " + of
	case len(m) == 1:
		return m[0].String() + " – " + of
	}
	return strconv.Itoa(len(m)) + " matters – " + of
}
