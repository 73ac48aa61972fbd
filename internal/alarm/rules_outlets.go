package alarm

import "upsedge/internal/ups"

// Outlet groups: event catalogue, section 7. Every row stands for each group that the unit has (OutletConfig), and each group
// has its alarms for itself.

var outletBits = []struct {
	id   ups.AlarmID
	mask uint32
}{
	{603, ups.OReboot},
	{604, ups.OShutdown},
	{605, ups.OSleep},
	{606, ups.OLoadShed},
	{607, ups.OOnDelay},
	{608, ups.OOffDelay},
	{609, ups.OOnMains},
	{610, ups.OOnMinRuntime},
	{611, ups.OLowRuntime},
}

var outletRules = func() (out []rule) {
	for _, b := range outletBits {
		for _, g := range ups.Groups {
			p := g.Outlet()
			is := func(x *look) bool { return x.bits(p, b.mask) && x.present(g) }
			r := bitRule(b.id, p, b.mask)
			r.group, r.raise[0].is, r.sees = g, is, points(ups.OutletConfig)
			out = append(out, r)
		}
	}
	return out
}()

func outletEdges() (out []edge) {
	for _, g := range ups.Groups {
		out = append(out, edge{
			point: g.Outlet(), mask: ups.OStateOn | ups.OStateOff, group: g, empty: true,
			set: []edgeBit{{ups.OStateOn, 601}, {ups.OStateOff, 602}},
		})
	}
	return out
}
