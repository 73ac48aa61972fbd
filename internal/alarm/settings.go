package alarm

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"

	"upsedge/internal/ups"
)

// A setting that is another one than before, and that no order of ours wrote, was changed at the unit: at its panel, by another program, or
// through its network card (711; T-55). The last known ones are kept over a restart, of a text nothing but a sum.

// watchedSettings are the points that hold what users set, whether this program writes them or not.
var watchedSettings = func() (s pointSet) {
	for p := ups.OutputVoltageSetting; p <= ups.SOG2ShedTime; p++ {
		if p.Known() {
			s.add(p)
		}
	}
	return s
}()

// A settingState is what is known of one setting.
type settingState struct {
	point ups.Point
	valueState
	ours    int64 // what an order of ours writes, while ordered
	ordered bool
	running bool // that order has not ended
}

// setting returns the state of one. Of those that were read a unit has some forty.
func (e *Engine) setting(p ups.Point) *settingState {
	i := slices.IndexFunc(e.settings, func(s settingState) bool { return s.point == p })
	if i < 0 {
		i = len(e.settings)
		e.settings = append(e.settings, settingState{point: p})
	}
	return &e.settings[i]
}

// sum stands for a text.
func sum(text string) int64 {
	h := sha256.Sum256([]byte(text))
	return int64(binary.BigEndian.Uint64(h[:]) >> 1)
}

// settingIn returns the value of a column of a reading as it is remembered.
func settingIn(r *ups.Reading, i int) (int64, bool) {
	if r.Layout.Columns[i].Point.Info().Kind == ups.Text {
		return sum(r.Text[i]), r.Text != nil
	}
	return r.Raw[i], r.Raw[i] != ups.Absent
}

// compareSettings finds what is another setting than before. A change counts once it was read twice in a row (TIMING-1); the second read is
// asked for at once.
func (e *Engine) compareSettings(x *look, r *ups.Reading) {
	if r.Tier < ups.TierSettings {
		return
	}
	var changes []string
	var points []ups.Point
	for i, c := range r.Layout.Columns {
		v, ok := settingIn(r, i)
		if !ok || !watchedSettings.has(c.Point) {
			continue
		}
		s := e.setting(c.Point)
		was := s.value
		if s.ordered && (v == s.ours || s.known && v == s.value && !s.running) { // it came, or did not
			s.ordered, e.dirty = false, true
			if v == s.ours {
				s.valueState = valueState{known: true, value: v}
			}
			continue
		}
		news, changed := s.count(v)
		e.dirty = e.dirty || changed
		if s.n == 1 {
			e.askAgain(r.Tier)
		}
		if news {
			changes, points = append(changes, sayChange(c.Point, was, v)), append(points, c.Point)
		}
	}
	if len(changes) > 0 {
		e.configured = mark{}
		e.moment(key{id: 711}, x.at, fewOf(changes), x.raw(points))
	}
}

// mostChanges is how many settings an event names. A unit that is set to its defaults changes all of them.
const mostChanges = 8

func fewOf(changes []string) string {
	if n := len(changes) - mostChanges; n > 0 {
		return strings.Join(changes[:mostChanges], "; ") + fmt.Sprintf("; and %d more", n)
	}
	return strings.Join(changes, "; ")
}

// sayChange says what a setting was and is. What somebody called a thing is not said.
func sayChange(p ups.Point, was, is int64) string {
	s := ups.Setting{Point: p}
	if p.Info().Kind == ups.Text {
		return p.String() + " is another text"
	}
	return s.SayChange(ups.SettingValue{Raw: was}, ups.SettingValue{Raw: is})
}

// Ordered notes that an order is about to write a setting: when it is read with that value, nobody else has changed it.
func (e *Engine) Ordered(p ups.Point, v ups.SettingValue) {
	s := e.setting(p)
	if s.ours = v.Raw; p.Info().Kind == ups.Text {
		s.ours = sum(v.Text)
	}
	s.ordered, s.running, e.dirty = true, true, true
	e.configured = mark{}
}

// OrderEnded notes that the order is over, and whether the setting was seen to have the value ordered; if not, the next read of it tells.
func (e *Engine) OrderEnded(p ups.Point, set bool) {
	s := e.setting(p)
	if s.running, e.dirty = false, true; set && s.ordered {
		s.valueState, s.ordered = valueState{known: true, value: s.ours}, false
	}
	e.orderedAt = mark{at: e.now, set: true}
}

// Again reports, once, whether a tier is to be read again before its time: something in it is to be confirmed.
func (e *Engine) Again(t ups.Tier) bool {
	is := e.again[t]
	e.again[t] = false
	return is
}

// askAgain asks for that, and at most once in a minute: of a value that is another one each time the regular reads have to do.
func (e *Engine) askAgain(t ups.Tier) {
	if !e.asked[t].within(time.Minute, e.now) {
		e.again[t], e.asked[t] = true, mark{at: e.now, set: true}
	}
}

// A unit says by the cause of a change of its state that its configuration is another one (protocol reference, section 6.2). Then its
// settings are read, and what differs is told. If nothing does, as not all that can be set is in the map, that is told after a minute.
const (
	causeConfigured = 25
	configuredWaits = time.Minute
)

func (e *Engine) noteConfigured(x *look) {
	if x.confirmed == causeConfigured && !e.orderedAt.within(configuredWaits, x.now) && !e.ordering() {
		e.configured = mark{at: x.now, set: true}
		e.again[ups.TierSettings], e.again[ups.TierIdentity] = true, true
	}
	if e.configured.over(configuredWaits, x.now) {
		e.configured = mark{}
		e.moment(key{id: 711}, x.at, "the unit says so (ConfigurationChange), and no setting that is read here differs", x.raw([]ups.Point{ups.StatusCause}))
	}
}

func (e *Engine) ordering() bool {
	return slices.ContainsFunc(e.settings, func(s settingState) bool { return s.running })
}

// saveSettings returns what is kept of settings: what they were, and what orders that may not be over write.
func (e *Engine) saveSettings() (known, ours map[ups.Point]int64) {
	for _, s := range e.settings {
		if s.known {
			known = put(known, s.point, s.value)
		}
		if s.ordered {
			ours = put(ours, s.point, s.ours)
		}
	}
	return known, ours
}

func put(m map[ups.Point]int64, p ups.Point, v int64) map[ups.Point]int64 {
	if m == nil {
		m = map[ups.Point]int64{}
	}
	m[p] = v
	return m
}

// loadSettings is the other way round. What this version does not know begins anew.
func loadSettings(known, ours map[ups.Point]int64) (out []settingState) {
	for p, v := range known {
		if watchedSettings.has(p) {
			s := settingState{point: p, valueState: valueState{known: true, value: v}}
			s.ours, s.ordered = ours[p]
			out = append(out, s)
		}
	}
	return out
}

// A bootState finds out that the controller of the unit has started anew (713): its cause is that of a start, twice, and was another one
// before, while the output goes on in the same mode. After a silence that is found, not seen. That a controller was away is nothing that
// tells it from a cable that was.
type bootState struct {
	running bool // it had another cause
	mode    uint32
	n       int
	lost    bool // since
}

const causeStart = 0

func (e *Engine) noteBoot(x *look) {
	cause, ok := x.st.Raw(ups.StatusCause)
	if !ok || !x.read.has(ups.StatusCause) || !x.read.has(ups.StatusFlags) {
		return
	}
	b, mode := &e.boot, x.st.Flags(ups.StatusFlags)&ups.UModes
	switch {
	case cause != causeStart:
		*b = bootState{running: true, mode: mode}
	case !b.running:
	case mode != b.mode || mode == ups.UOutputOff: // the whole unit was off
		*b = bootState{}
	default:
		if b.n++; b.n < 2 {
			return
		}
		e.inferring = b.lost
		e.moment(key{id: 713}, x.at, "the output goes on; cause SystemInitialization", x.raw([]ups.Point{ups.StatusFlags, ups.StatusCause}))
		e.inferring, *b = false, bootState{}
	}
}
