package order

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"upsedge/internal/cloud/store"
	"upsedge/internal/cloud/store/storetest"
	"upsedge/internal/policy"
	"upsedge/internal/trust"
	"upsedge/internal/wire"

	"pgregory.net/rapid"
)

// A history is a world to which anything happens, with what must hold.
type history struct {
	*world
	t       *rapid.T
	orders  []wire.ID
	owned   bool
	plan    policy.Plan
	counter uint64
	held    [][]byte // what somebody between has kept
}

// TestModelOfOrders: whatever happens in whatever order, nothing is signed behind the end of its right or life, counters rise, nothing is
// carried out twice, and in the end each order has exactly one final state, which does not contradict what was done (EDGE-9, PERM-10).
func TestModelOfOrders(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		// Histories of PostgreSQL take ten times as long, and differ by the database alone.
		most := map[string]int{store.SQLite: 25, store.Postgres: 4}[db.Dialect()]
		if os.Getenv("UPSEDGE_SOAK") != "" {
			most = 1 << 30
		}
		rapid.Check(t, func(t *rapid.T) {
			if most--; most >= 0 {
				runHistory(t, db)
			}
		})
	})
}

func runHistory(t *rapid.T, db *store.DB) {
	h := &history{world: newWorld(t, db), t: t, owned: true, plan: policy.Advanced}
	h.site.manual = true
	h.sign.judge = h.signed
	t.Repeat(map[string]func(*rapid.T){
		"order":   h.request,
		"cancel":  h.takeBack,
		"plan":    func(t *rapid.T) { h.plan = rapid.SampledFrom(policy.Plans[:]).Draw(t, "plan"); h.setPlan(h.plan) },
		"owner":   h.changeOwner,
		"connect": func(*rapid.T) { h.connect() },
		"greet":   func(*rapid.T) { h.link.up = true; h.announce() },
		"cut":     func(*rapid.T) { h.disconnect() },
		"crash":   func(*rapid.T) { h.disconnect(); h.start() },
		"pass":    func(*rapid.T) { h.pass() },
		"bring":   h.bringDown,
		"hold":    func(*rapid.T) { h.held = append(h.held, h.link.out...) },
		"replay":  h.replay,
		"finish":  h.end,
		"report":  h.report,
		"state":   func(*rapid.T) { h.site.tellState() },
		"wait":    h.wait,
	})
	h.settle()
}

// signed is asked for each command, in the transaction that judged it.
func (h *history) signed(c trust.Command) {
	if !h.owned || !policy.Decide(policy.Action(c.Action), policy.Owner, h.plan, false).Allowed || c.Plan != string(h.plan) {
		h.t.Fatalf("signed %s on plan %s, owned %v: %+v", c.Action, h.plan, h.owned, c)
	}
	if c.Counter <= h.counter {
		// The transaction may run again, and only the last run counts; the counter is that of its row.
		h.t.Fatalf("counter %d behind %d", c.Counter, h.counter)
	}
	h.counter = c.Counter
	if i := slices.Index(h.orders, c.ID); i < 0 {
		h.t.Fatalf("signed an order that nobody made: %+v", c)
	}
	at, ok := h.site.nonces[c.Nonce]
	if life := Life(policy.Action(c.Action)); !ok || c.MaxAge <= 0 || c.MaxAge > h.clock.Sub(at)+life {
		h.t.Fatalf("max_age %v, nonce of %v known %v", c.MaxAge, at, ok)
	}
}

func (h *history) request(t *rapid.T) {
	r := Request{Device: deviceID, Action: policy.RebootUPS}
	if rapid.Bool().Draw(t, "test") {
		r = Request{Device: deviceID, Action: policy.DiagnosticsRun, Params: map[string]string{"test": "self"}}
	}
	c, err := h.create(owner, r)
	if allowed := h.owned && h.plan != policy.Basic; (err == nil) != allowed {
		t.Fatalf("allowed %v, and create says %v", allowed, err)
	}
	if err == nil {
		h.orders = append(h.orders, c.ID)
	}
}

func (h *history) takeBack(t *rapid.T) {
	if len(h.orders) == 0 {
		return
	}
	_, cancel, err := h.cancel(owner, rapid.SampledFrom(h.orders).Draw(t, "order"))
	if reasonOf(t, err) == "" && !slices.Contains(h.orders, cancel.ID) {
		h.orders = append(h.orders, cancel.ID)
	}
}

func (h *history) changeOwner(*rapid.T) {
	h.owned = !h.owned
	account := owner.Account
	if !h.owned {
		account = alien.Account
	}
	h.exec(`UPDATE devices SET owner = $1, grant_version = grant_version + 1`, account)
}

// bringDown hands the oldest message to the site, once or twice.
func (h *history) bringDown(t *rapid.T) {
	if len(h.link.out) == 0 {
		return
	}
	m := h.link.out[0]
	h.link.out = h.link.out[1:]
	for range rapid.IntRange(1, 2).Draw(t, "times") {
		h.site.receive(m)
	}
}

func (h *history) replay(t *rapid.T) {
	if len(h.held) > 0 {
		h.site.receive(rapid.SampledFrom(h.held).Draw(t, "held"))
	}
}

func (h *history) end(t *rapid.T) {
	if len(h.orders) > 0 {
		state := rapid.SampledFrom([]wire.OrderState{wire.OrderDone, wire.OrderFailed, wire.OrderUnknown}).Draw(t, "state")
		h.site.finish(rapid.SampledFrom(h.orders).Draw(t, "order"), state)
	}
}

// report hands some result to the cloud, not always the oldest one, and sometimes keeps it to be told again.
func (h *history) report(t *rapid.T) {
	if len(h.site.results) == 0 || !h.link.up {
		return
	}
	i := rapid.IntRange(0, len(h.site.results)-1).Draw(t, "result")
	h.site.bring(h.site.results[i])
	if rapid.IntRange(0, 3).Draw(t, "again") > 0 {
		h.site.results = slices.Delete(h.site.results, i, i+1)
	}
}

func (h *history) wait(t *rapid.T) {
	h.clock = h.clock.Add(rapid.SampledFrom([]time.Duration{time.Second, 11 * time.Second, time.Minute, 11 * time.Minute, 25 * time.Hour}).Draw(t, "time"))
}

// settle lets everything come to its end, and looks at it.
func (h *history) settle() {
	for range 3 {
		h.connect()
		h.pass()
		h.deliver()
		for _, id := range h.orders {
			h.site.finish(id, wire.OrderDone)
		}
		h.deliver()
		h.clock = h.clock.Add(OutcomeTime)
	}
	h.pass()
	logged := map[string]int{}
	for _, line := range h.log() {
		logged[line]++
	}
	for _, id := range h.orders {
		h.judge(id)
	}
	if len(h.orders) > 0 && len(logged) == 0 {
		h.t.Fatal("nothing is in the log")
	}
	for _, told := range h.told() {
		if told != PolicyDiffers+" "+serial {
			h.t.Fatalf("told %s", told)
		}
	}
}

func (h *history) judge(id wire.ID) {
	o, finals, number := h.order(id), 0, uint64(0)
	what := fmt.Sprintf("order %s (%s) %s %s %q by %s, sent %d times", id, o.Action, o.State, o.Reason, o.Detail, o.Decided, o.Attempts)
	for _, e := range h.events(id) {
		if e.Number <= number {
			h.t.Fatalf("%s: event %d behind %d", what, e.Number, number)
		}
		if number = e.Number; e.State.Final() && e.Kind == "" {
			finals++
		}
	}
	if finals != 1 || !o.State.Final() || o.FinalAt.IsZero() {
		h.t.Fatalf("%s: %d final states", what, finals)
	}
	switch n := h.site.effects[id]; {
	case o.Attempts > 0 && o.Decided == ByCloud && o.State != wire.OrderUnknown && o.Cancel == "":
		h.t.Fatalf("%s: the cloud cannot know", what)
	case n > 1:
		h.t.Fatalf("%s: %d effects", what, n)
	case n == 1 && o.Attempts == 0:
		h.t.Fatalf("%s: it was never sent, and done", what)
	case n == 1 && o.State != wire.OrderDone && (o.Late == nil || o.Late.State != wire.OrderDone):
		h.t.Fatalf("%s: it was done, and that is nowhere; late %+v", what, o.Late)
	case n == 0 && o.State == wire.OrderDone && o.Action != policy.OrderCancel:
		h.t.Fatalf("%s: it was not done", what)
	}
}
