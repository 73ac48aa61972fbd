package alarm

import (
	"time"

	"upsedge/internal/ups"
)

// An edge tells of bits that become set or cleared, in a word that has no alarm for them. As with results (READ-5) what it
// says the first time ever is remembered and not told, and what is the same after a restart is no news.
type edge struct {
	point ups.Point
	mask  uint32 // the bits of the word that count
	group ups.Group
	set   []edgeBit
	unset []edgeBit
	hold  func(*Limits) time.Duration // a change has to last; nil: two polls are enough
	empty bool                        // none of the bits is no state of them: it is passed over
}

type edgeBit struct {
	bit uint32
	id  ups.AlarmID
}

const edgePolls = 2

// An edgeState is what is remembered of an edge. known and word are kept over a restart.
type edgeState struct {
	known bool
	word  uint32
	next  uint32
	n     int
	since time.Duration
	blind bool // the change was found, not seen: nothing had been read since the program began or communication was lost
}

// count takes over one read and reports whether the word has changed for good, and what it was.
func (s *edgeState) count(g *edge, word uint32, blind bool, x *look) (was uint32, changed bool) {
	if s.known && word == s.word {
		s.n = 0
		return 0, false
	}
	if s.n == 0 || word != s.next {
		s.next, s.n, s.since, s.blind = word, 0, x.now, blind
	}
	if s.n < edgePolls {
		s.n++
	}
	if s.n < edgePolls || s.known && g.hold != nil && x.now-s.since < g.hold(x.limits) {
		return 0, false
	}
	was, changed = s.word, s.known
	s.known, s.word, s.n = true, word, 0
	return was, changed
}

// judgeEdges reports the bits that changed in the words of the read.
func (e *Engine) judgeEdges(p *plan) {
	x := &e.look
	for _, i := range p.edges {
		g, s := &e.set.edges[i], &e.edges[i]
		raw, ok := x.st.Raw(g.point)
		word := uint32(raw) & g.mask
		if !ok || g.empty && word == 0 || g.group != ups.NoGroup && !x.present(g.group) {
			continue
		}
		known := s.known
		was, changed := s.count(g, word, !e.heard.has(g.point), x)
		e.dirty = e.dirty || known != s.known
		if changed {
			e.tellEdge(g, s, was)
		}
	}
}

func (e *Engine) tellEdge(g *edge, s *edgeState, was uint32) {
	x := &e.look
	e.dirty = true
	e.inferring = s.blind
	for _, b := range g.set {
		if s.word&^was&b.bit != 0 {
			e.moment(key{b.id, g.group}, x.at, "", x.raw([]ups.Point{g.point}))
		}
	}
	for _, b := range g.unset {
		if was&^s.word&b.bit != 0 {
			e.moment(key{b.id, g.group}, x.at, "", x.raw([]ups.Point{g.point}))
		}
	}
	e.inferring = false
}

func settled(l *Limits) time.Duration { return l.Settled }

// edges are the rows of this kind; those of the outlet groups stand in rules_outlets.go.
var edges = append([]edge{
	{
		point: ups.StatusFlags, mask: ups.UHighEfficiency, hold: settled, // READ-9
		set: []edgeBit{{ups.UHighEfficiency, 121}}, unset: []edgeBit{{ups.UHighEfficiency, 122}},
	},
	{
		point: ups.BatteryLife, mask: ups.LNearEndAcknowledged | ups.LExceededAcknowledged | ups.LMeasuredAcknowledged,
		set: []edgeBit{{ups.LNearEndAcknowledged, 218}, {ups.LExceededAcknowledged, 218}, {ups.LMeasuredAcknowledged, 218}},
	},
}, outletEdges()...)
