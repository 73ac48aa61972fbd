package local

import "upsedge/internal/ups"

// A layout as the socket tells it: what the columns of the samples of this run are. Who prints blocks without having seen the
// one that names the columns asks for it.
type layout struct {
	Columns []column `json:"columns"`
}

type column struct {
	Point   ups.Point `json:"point"`
	Name    string    `json:"name"`
	Divisor uint16    `json:"divisor"`
}

func layoutsJSON(ls []*ups.Layout) []layout {
	out := make([]layout, 0, len(ls))
	for _, l := range ls {
		var cols []column
		for _, c := range l.Columns {
			cols = append(cols, column{c.Point, c.Point.String(), c.Divisor})
		}
		out = append(out, layout{cols})
	}
	return out
}

func layoutsOf(ls []layout) []*ups.Layout {
	var out []*ups.Layout
	for _, l := range ls {
		u := &ups.Layout{}
		for _, c := range l.Columns {
			u.Columns = append(u.Columns, ups.Column{Point: c.Point, Divisor: c.Divisor})
		}
		out = append(out, u)
	}
	return out
}
