package command_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"upsedge/internal/trust"
	"upsedge/internal/wire"
)

// A model is what an executor has to know, without a disk: a few maps. It says what may become of an order and holds what is told and done
// against that. Where a process died it knows less, and allows more; never a second effect, and never a second end.
type model struct {
	t       testing.TB
	orders  map[wire.ID]*record
	binds   map[string]*modelBind
	low     uint64 // the highest counter that is certainly on disk ...
	high    uint64 // ... and the highest that was ever seen
	stated  uint64 // the session of the last statement
	named   map[string]bool
	drops   map[string][]drop
	allowed bool

	effects, ran, repeated, refused, onSite int
}

type modelBind struct {
	epoch   uint32
	version uint64
	plan    string
	over    map[string]uint64
	erased  bool
}

// holds reports whether the rights that an order claims are there now.
func (b *modelBind) holds(c trust.Command) bool {
	return !b.erased && b.epoch == c.Epoch && c.GrantVersion >= b.over[c.Actor] && c.GrantVersion <= b.version && b.plan != "basic" && c.Plan != "basic"
}

// A drop is a load that was ordered to be dropped, or perhaps was.
type drop struct {
	at    time.Duration
	maybe bool
}

// A record is an order as the model knows it.
type record struct {
	device  string
	actor   string
	local   bool            // it was given on site
	asked   []trust.Command // as often as it was judged
	may     bool            // at least one judgement lets it go
	reasons []string        // of the others
	firm    bool            // it is on disk: it has to have one end, and does nothing more when it comes again
	unclear bool            // it was forgotten, or never written down: another refusal is right
	final   string          // as it was told first
	ended   time.Duration   // when, at the earliest
	effects int
	said    int // results
}

// week is how long a known id is answered, at least (EDGE-6).
const week = 7 * 24 * time.Hour

func newModel(t testing.TB) *model {
	return &model{
		t: t, orders: map[wire.ID]*record{}, binds: map[string]*modelBind{}, named: map[string]bool{}, drops: map[string][]drop{}, allowed: true,
	}
}

// A question is an order at the moment it comes.
type question struct {
	c       trust.Command
	local   bool // it is given on site: neither cloud nor orders.allow has a say
	session uint64
	now     time.Duration // the age of the journal
	nonce   time.Duration // the age of its nonce, below 0: it is none of this session
	busy    bool          // another order of the device is in hand
	target  string        // of order.cancel: "": none in hand, or whose it is
	locked  string        // what the unit will say
	slow    bool          // the unit takes its time to say anything
	room    int64         // in the journal
	spare   int64         // beside, for refusals
	frees   bool          // some of it may be forgotten by now
}

// ends are the reasons for which the order may be refused now, and "" where it may go. One alone is certain.
func (m *model) ends(q question) []string {
	c := q.c
	b := m.binds[c.Device]
	if q.local {
		return m.limits(q)
	}
	switch {
	case c.Action == "no.such.action":
		return []string{"UNKNOWN_ACTION"}
	case c.Params["delay"] == "30":
		return []string{"MALFORMED"}
	case b == nil || b.erased || b.epoch != c.Epoch || m.stated != q.session || !m.named[c.Device]:
		return []string{"NOT_BOUND"}
	case q.nonce < 0 || q.nonce > c.MaxAge:
		return []string{"EXPIRED"}
	case c.Counter <= m.low:
		return []string{"OUT_OF_ORDER"}
	}
	if c.Counter <= m.high {
		return append(m.rights(q, b), "OUT_OF_ORDER")
	}
	return m.rights(q, b)
}

// rights are the checks behind the counter.
func (m *model) rights(q question, b *modelBind) []string {
	c := q.c
	switch {
	case c.GrantVersion < b.over[c.Actor], c.GrantVersion > b.version:
		return []string{"GRANT_STALE"}
	case c.Role == "partner_ro":
		return []string{"ROLE_READ_ONLY"}
	case c.Plan == "basic", b.plan == "basic":
		return []string{"PLAN_BASIC"}
	case c.Action == "order.cancel" && q.target == "":
		return []string{"NOT_FOUND"}
	case c.Action == "order.cancel" && c.Role != "owner" && q.target != c.Actor:
		return []string{"OWNER_ONLY"}
	case !m.allowed:
		return []string{"LOCAL_POLICY"}
	case c.Action == "order.cancel":
		return []string{"", "BUSY", "UNSUPPORTED", "NOT_FOUND", "UPS_UNREACHABLE"}
	}
	return m.limits(q)
}

// limits are the checks behind those, which hold for orders given on site, too.
func (m *model) limits(q question) []string {
	c := q.c
	var out []string
	if c.Action == "reboot.ups" {
		surely, perhaps := m.tooOften(c.Device, q.now)
		if surely {
			return []string{"RATE_LIMIT"}
		}
		if perhaps {
			out = append(out, "RATE_LIMIT")
		}
	}
	switch {
	case q.busy:
		return append(out, "BUSY")
	case q.slow:
		return append(out, "", q.locked)
	case q.locked != "":
		return append(out, q.locked)
	case q.room <= 0 && !q.frees:
		return append(out, "RATE_LIMIT")
	case q.room <= 0:
		return append(out, "RATE_LIMIT", "")
	}
	return append(out, "")
}

const (
	modelInterval = 2 * time.Minute
	modelDaily    = 12
)

// tooOften counts what drops the load: what certainly did, and all that perhaps did.
func (m *model) tooOften(device string, now time.Duration) (surely, perhaps bool) {
	sure, all := 0, 0
	for _, d := range m.drops[device] {
		if now-d.at >= 24*time.Hour {
			continue
		}
		all++
		if perhaps = perhaps || now-d.at < modelInterval; d.maybe {
			continue
		}
		sure++
		surely = surely || now-d.at < modelInterval
	}
	return surely || sure >= modelDaily, perhaps || all >= modelDaily
}

// came notes that an order comes. shaky: the process may die meanwhile, or has.
func (m *model) came(q question, shaky bool) {
	r := m.orders[q.c.ID]
	switch {
	case r == nil:
		r = &record{device: q.c.Device, actor: q.c.Actor, local: q.local, ended: q.now}
		m.orders[q.c.ID] = r
	case r.firm && q.now-r.ended < week:
		return // it is answered
	case r.final != "" || r.said > 0:
		r.unclear = true
	}
	ends := m.ends(q)
	goes := slices.Contains(ends, "")
	r.asked = append(r.asked, q.c)
	r.may, r.reasons = r.may || goes, append(r.reasons, ends...)
	sure := !shaky && r.said == 0 && !r.firm && len(r.reasons) == len(ends) // it is judged now, for the first time
	stored := sure && q.room > -q.spare && (!goes || !q.slow)
	m.counted(q, ends, stored)
	if r.firm = r.firm || stored; !r.firm || q.now-r.ended >= week {
		r.unclear = true
	}
	if goes && q.c.Action == "reboot.ups" {
		m.drops[q.c.Device] = append(m.drops[q.c.Device], drop{q.now, !stored || len(ends) > 1})
	}
}

// counted notes a counter that was seen, or may have been.
func (m *model) counted(q question, ends []string, stored bool) {
	early := slices.Contains([]string{"UNKNOWN_ACTION", "MALFORMED", "NOT_BOUND", "EXPIRED", "OUT_OF_ORDER"}, ends[0])
	if early || q.local {
		return
	}
	if m.high = max(m.high, q.c.Counter); stored {
		m.low = max(m.low, q.c.Counter)
	}
}

// did notes that something was written to a unit for an order.
func (m *model) did(id wire.ID, device string) {
	m.effects++
	r := m.orders[id]
	switch {
	case r == nil:
		m.t.Errorf("order %v has an effect and never came", id)
	case r.device != device:
		m.t.Errorf("order %v of %s has an effect on %s", id, r.device, device)
	case !r.local && (!m.allowed || !slices.ContainsFunc(r.asked, m.binds[device].holds)):
		m.t.Errorf("order %v has an effect, and whoever ordered it has no right to that any more", id)
	case !r.may:
		m.t.Errorf("order %v has an effect, and was to be refused for %q", id, r.reasons)
	default:
		if r.local {
			m.onSite++
		}
		if r.effects++; r.effects > 1 {
			m.t.Errorf("order %v has had %d effects", id, r.effects)
		}
	}
}

// told notes a result.
func (m *model) told(res wire.Result, now time.Duration) {
	r := m.orders[res.Order]
	if r == nil {
		m.t.Errorf("a result of an order that never came: %+v", res)
		return
	}
	// Of an order that came under the id of another, in a time of another owner, no more is told than that it was refused.
	other := (res.State == wire.OrderReceived || res.State == wire.OrderRefused) &&
		slices.ContainsFunc(r.asked, func(c trust.Command) bool { return c.Actor == res.Actor && c.Role == res.Role })
	if r.said++; !other && ((res.Role == wire.OnSite) != r.local || (res.Actor == wire.OnSite) != r.local) {
		m.t.Errorf("order %v (on site: %v) is answered as one by %s, %s", res.Order, r.local, res.Actor, res.Role)
	}
	end := strings.TrimSpace(string(res.State) + " " + res.Reason)
	switch {
	case res.Repeated:
		if m.repeated++; res.State.Final() && r.final != end {
			m.t.Errorf("order %v ended as %q and is answered %q", res.Order, r.final, end)
		}
		return
	case !res.State.Final():
		return
	case r.final != "" && !(r.unclear && res.State == wire.OrderRefused):
		m.t.Errorf("order %v ends twice: %q and %q", res.Order, r.final, end)
	}
	if r.final == "" {
		m.fits(res, r, end)
	}
	r.final, r.ended = end, now
}

// fits holds an end against what was done, and what had to be.
func (m *model) fits(res wire.Result, r *record, end string) {
	ok := true
	switch res.State {
	case wire.OrderDone:
		m.ran++
		ok = r.effects == 1 || res.Action == "order.cancel"
	case wire.OrderRefused:
		m.refused++
		ok = r.effects == 0 && (r.may || slices.Contains(r.reasons, res.Reason))
	case wire.OrderExpired, wire.OrderFailed:
		ok = r.effects == 0
	}
	if !ok {
		m.t.Errorf("order %v had %d effects and ended as %q (%s); may it go: %v; refused for %q", res.Order, r.effects, end, res.Detail, r.may, r.reasons)
	}
}

// rest checks that everything has come to its end.
func (m *model) rest() {
	for id, r := range m.orders {
		if r.final == "" && (r.firm || r.effects > 0 || r.said > 0) {
			m.t.Errorf("order %v has no end: firm %v, %d effects, %d results, refused for %q", id, r.firm, r.effects, r.said, r.reasons)
		}
	}
}
