package command_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/command"
	"upsedge/internal/policy"
	"upsedge/internal/testenv"
	"upsedge/internal/trust"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// A walk is a site to which things happen at random, beside the model of its journal.
type walk struct {
	*site
	m      *model
	rng    *rand.Rand
	sent   []trust.Command // every envelope there ever was
	spot   []trust.Command // what was given on site
	given  int             // on site, to this process
	read   int             // results
	armed  bool            // the process is going to die
	deaths int
}

var walkers = []string{"AS1", "AS2", "AS3"}

func newWalk(t testing.TB, dir string, rng *rand.Rand) *walk {
	w := &walk{site: newSite(t, dir), rng: rng, m: newModel(t)}
	w.driver, w.sink.crash, w.most = "mortal", mortal.crash, []int64{150, 1000, 1000, 1000}[rng.IntN(4)]
	w.site.policy.MinInterval, w.site.policy.DailyMax = modelInterval, modelDaily
	for i, d := range append(walkers, "AS9") {
		u := w.unit(d)
		u.crash, u.takes, u.stays = mortal.crash, []time.Duration{0, 3 * time.Second, 40 * time.Second, 0}[i], i == 2
		u.wrote = func() { w.m.did(w.x.InHand(d), d) }
		u.twice = func() { t.Errorf("two orders at once at %s", d) }
		w.m.binds[d] = &modelBind{epoch: 4, version: 9, plan: "advanced", over: map[string]uint64{}}
	}
	delete(w.m.binds, "AS9")
	return w
}

// age is the age of the journal.
func (w *walk) age() time.Duration { return time.Since(w.began) }

// begin starts a process, with a statement.
func (w *walk) begin() {
	mortal.crash.arm(0, false)
	w.armed, w.given = false, 0
	if err := w.start(); err != nil {
		w.t.Fatalf("Open = %v", err)
	}
	w.state()
}

// state says all that is so.
func (w *walk) state() {
	var entries []trust.Entry
	for _, d := range walkers {
		if b := w.m.binds[d]; !b.erased {
			e := bind(d, b.epoch, policy.Plan(b.plan), b.version)
			for actor, v := range b.over {
				e.Bind.Ended = append(e.Bind.Ended, trust.Ended{Actor: actor, GrantVersion: v})
			}
			entries = append(entries, e)
		} else {
			entries = append(entries, trust.Entry{Device: d, Erase: &trust.Erase{Order: wire.ID{byte(b.epoch)}, Epoch: b.epoch, Role: "owner"}})
		}
	}
	if w.apply(entries...) {
		w.m.stated, w.m.named = w.session, map[string]bool{}
		for _, e := range entries {
			w.m.named[e.Device] = e.Bind != nil
		}
	}
}

// apply reports whether a statement was taken.
func (w *walk) apply(entries ...trust.Entry) bool {
	_, err := w.x.Apply(w.session, &trust.Statement{Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Entries: entries}, time.Now())
	synctest.Wait()
	if err != nil && !mortal.crash.died() {
		w.t.Errorf("Apply = %v", err)
	}
	return err == nil
}

// finish ends the process, in order or not.
func (w *walk) finish() {
	w.end()
	w.look()
}

// ask hands over an order, and tells the model what it is asked.
func (w *walk) ask(c trust.Command) { w.hand(c, false) }

// hand hands over an order from afar or on site.
func (w *walk) hand(c trust.Command, local bool) {
	u, spare := w.units[c.Device], w.most/25
	known, most := w.x.Fill()
	q := question{c: c, local: local, session: w.session, now: w.age(), nonce: -1, room: most - known, spare: spare, slow: u.slow > 0}
	if at, ok := w.nonces[c.Nonce]; ok {
		q.nonce = time.Since(at)
	}
	hand := w.x.InHand(c.Device)
	q.busy = hand != wire.ID{}
	if c.Action == "order.cancel" && q.busy && hand.String() == c.Params["order"] {
		q.target = w.m.orders[hand].actor
	}
	switch {
	case u.away.Load():
		q.locked = "UPS_UNREACHABLE"
	case u.locked != nil:
		q.locked = u.locked.Reason
	}
	for _, r := range w.m.orders {
		q.frees = q.frees || r.final != "" && q.now-r.ended >= week
	}
	w.m.came(q, w.armed)
	if local {
		w.onTheSpot(c)
	} else {
		w.give(c)
	}
	w.look()
}

// onTheSpot gives an order on site. Who watches is let go when the process ends.
func (w *walk) onTheSpot(c trust.Command) {
	x, is := w.x, w.m.orders[c.ID].local
	go func() {
		o := command.LocalOrder{ID: c.ID, Device: c.Device, Action: c.Action, Params: c.Params}
		err := x.OnSite(context.Background(), o, func(r wire.Result) {
			// Of an order that comes under the id of another no more is told than that it was refused; the journal may not be there to know it.
			other := (r.State == wire.OrderReceived || r.State == wire.OrderRefused) && !r.Repeated
			if (r.Role == wire.OnSite) != is && !other {
				w.t.Errorf("on site order %v (given there: %v) is told as one by %s", c.ID, is, r.Role)
			}
		})
		no := (*ups.Refusal)(nil) // of what came from afar and is no order at all
		if err != nil && !errors.Is(err, command.ErrStopped) && (is || !errors.As(err, &no)) {
			w.t.Errorf("on site: %v", err)
		}
	}()
	synctest.Wait()
}

// local gives an order on site: another one, one again, or one with the id of an order from afar. Or the cloud gives one with the id of that.
func (w *walk) local() {
	const atOnce = 25 // of 30: more are refused and leave no trace
	known := func(all []trust.Command) (c trust.Command, ok bool) {
		if len(all) == 0 {
			return c, false
		}
		c = all[w.rng.IntN(len(all))]
		r := w.m.orders[c.ID]
		return c, r != nil && r.firm && r.final != "" && w.age()-r.ended < week-time.Hour
	}
	n := w.rng.IntN(10)
	if n == 0 {
		if c, ok := known(w.spot); ok {
			d := w.fresh()
			d.ID = c.ID
			w.post1(d)
		}
		return
	}
	if w.given++; w.given > atOnce {
		return
	}
	switch {
	case n == 1:
		if c, ok := known(w.sent); ok {
			w.hand(c, true)
		}
	case n == 2:
		if c, ok := known(w.spot); ok {
			w.hand(c, true)
		}
	default:
		c := w.fresh()
		if w.m.binds[c.Device].erased {
			return // what is told of it stays on the box
		}
		c.ID[3], c.Actor, c.Role = 6, wire.OnSite, wire.OnSite
		w.spot = append(w.spot, c)
		w.hand(c, true)
	}
}

// look takes in what was told since.
func (w *walk) look() {
	w.sink.mu.Lock()
	news, stamps := w.sink.results[w.read:], w.sink.stamps[w.read:]
	w.read = len(w.sink.results)
	w.sink.mu.Unlock()
	for i, r := range news {
		w.m.told(r, stamps[i].Mono)
	}
}

// fresh is a good order with an id of its own.
func (w *walk) fresh() trust.Command {
	c := w.command(0, walkers[w.rng.IntN(len(walkers))])
	c.ID = wire.ID{byte(w.counter), byte(w.counter >> 8), byte(w.counter >> 16), 5}
	b := w.m.binds[c.Device]
	c.Epoch, c.GrantVersion, c.Actor = b.epoch, b.version, fmt.Sprint("u_", w.rng.IntN(3))
	if c.Actor != "u_0" {
		c.Role = "shared"
	}
	if w.rng.IntN(8) == 0 { // given long ago
		c.GrantVersion = 1 + w.rng.Uint64N(b.version)
	}
	if w.rng.IntN(4) > 0 {
		c = kinds[w.rng.IntN(len(kinds)-1)].of(c) // the last is of the box
	}
	if c.Action == "control.outlet" || c.Action == "reboot.group" {
		c.Action, c.Params = "alarm.mute", map[string]string{}
	}
	return c
}

// spoil makes an order one that must not go.
func (w *walk) spoil(c *trust.Command) {
	switch w.rng.IntN(11) {
	case 0:
		c.Action = "no.such.action"
	case 1:
		c.Action, c.Params = "reboot.ups", map[string]string{"delay": "30"}
	case 2:
		c.Device = "AS9"
	case 3:
		c.Epoch += uint32(1 - 2*w.rng.IntN(2))
	case 4:
		c.Nonce = wire.ID{1, 2, 3}
	case 5:
		c.Counter = 1 + w.rng.Uint64N(w.counter)
	case 6:
		c.GrantVersion++
	case 7:
		c.Role = "partner_ro"
	case 8:
		c.Plan = "basic"
	case 9:
		c.MaxAge = 0
		time.Sleep(time.Millisecond)
	case 10:
		c.Action, c.Params = "order.cancel", map[string]string{"order": wire.ID{77}.String()}
	}
}

// step is one thing that happens.
func (w *walk) step() {
	switch n := w.rng.IntN(1000); {
	case n < 70:
		w.local()
	case n < 300:
		w.post1(w.fresh())
	case n < 430:
		c := w.fresh()
		w.spoil(&c)
		w.post1(c)
	case n < 540 && len(w.sent) > 0: // as it was
		w.ask(w.sent[w.rng.IntN(len(w.sent))])
	case n < 640 && len(w.sent) > 0: // signed again
		c := w.sent[w.rng.IntN(len(w.sent))]
		if r := w.m.orders[c.ID]; r != nil && w.age()-r.ended > week-time.Hour {
			return // nobody has to know it any more
		}
		w.counter++
		c.Counter, c.Nonce, c.Epoch = w.counter, w.nonce, w.m.binds[walkers[0]].epoch
		w.post1(c)
	case n < 700:
		d := walkers[w.rng.IntN(len(walkers))]
		if id := w.x.InHand(d); id != (wire.ID{}) {
			c := w.fresh()
			c.Device, c.Epoch, c.GrantVersion = d, w.m.binds[d].epoch, w.m.binds[d].version
			c.Action, c.Params = "order.cancel", map[string]string{"order": id.String()}
			w.post1(c)
		}
	case n < 740:
		w.renew()
	case n < 770:
		w.connect()
		w.state()
	case n < 780:
		w.connect()
	case n < 850:
		w.news()
	case n < 870:
		w.sink.mu.Lock()
		if w.sink.refuse = nil; w.rng.IntN(2) == 0 {
			w.sink.refuse = errors.New("the disk is full")
		}
		w.sink.mu.Unlock()
	case n < 960:
		time.Sleep([]time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 3 * time.Minute}[w.rng.IntN(4)])
	case n < 962 || !w.m.allowed && n < 985:
		w.m.allowed = !w.m.allowed
		p := w.site.policy
		if !w.m.allowed {
			p.Allow = nil
		}
		w.site.x.SetPolicy(p)
	case n < 975:
		u := w.unit(walkers[w.rng.IntN(len(walkers))])
		u.away.Store(false)
		u.mu.Lock()
		u.locked, u.slow = nil, 0
		switch w.rng.IntN(6) {
		case 0:
			u.away.Store(true)
		case 1:
			u.locked = &ups.Refusal{Reason: ups.ReasonSafetyLock, Detail: "on battery"}
		case 2:
			u.slow = 5 * time.Second
		}
		u.mu.Unlock()
	case n < 990:
		w.armed = true
		mortal.crash.arm(1+w.rng.IntN(60), w.rng.IntN(2) == 0)
	default:
		w.again(w.rng.IntN(3) == 0)
	}
	synctest.Wait()
	if w.armed && mortal.crash.died() {
		w.deaths++
		w.again(false)
	}
	w.look()
}

func (w *walk) post1(c trust.Command) {
	w.sent = append(w.sent, c)
	w.ask(c)
}

// again ends the process and begins the next one, at once or long after.
func (w *walk) again(long bool) {
	w.finish()
	if long {
		time.Sleep([]time.Duration{time.Hour, 26 * time.Hour, 6*24*time.Hour + 23*time.Hour}[w.rng.IntN(3)])
	}
	allow := w.site.policy
	if !w.m.allowed {
		w.site.policy.Allow = nil
	}
	w.begin()
	w.site.policy = allow
}

// news is something that the cloud has to say of a device, or says late.
func (w *walk) news() {
	d := walkers[w.rng.IntN(len(walkers))]
	b := w.m.binds[d]
	if b.erased { // it is registered again
		*b = modelBind{epoch: b.epoch + 1, version: 1, plan: "advanced", over: map[string]uint64{}}
		w.state()
		return
	}
	switch w.rng.IntN(6) {
	case 0:
		b.plan, b.version = "basic", b.version+1
	case 1, 2:
		b.plan, b.version = "advanced", b.version+1
	case 3:
		actor := fmt.Sprint("u_", 1+w.rng.IntN(2))
		b.version++
		b.over[actor] = b.version
	case 4:
		b.erased = w.rng.IntN(3) == 0
	case 5: // what was said long ago
		w.apply(bind(d, b.epoch, policy.Advanced, b.version-1))
	}
	w.state()
}

// quiet lets everything come to its end.
func (w *walk) quiet() {
	w.sink.mu.Lock()
	w.sink.refuse = nil
	w.sink.mu.Unlock()
	for _, u := range w.units {
		u.away.Store(false)
		u.mu.Lock()
		u.locked = nil
		u.mu.Unlock()
	}
	w.again(false)
	time.Sleep(10 * time.Minute)
	synctest.Wait()
	w.look()
	w.m.rest()
}

// TestEDGE6TheJournalDoesWhatAModelSays: random orders, repeats, crashes, restarts, statements, refusing stores and cancellations.
func TestEDGE6TheJournalDoesWhatAModelSays(t *testing.T) {
	for part := range 3 {
		t.Run(fmt.Sprint(part), func(t *testing.T) {
			testenv.Part(t, part, 3)
			walks(t, 1_000)
		})
	}
}

// TestSoakTheJournalDoesWhatAModelSays is the long form.
func TestSoakTheJournalDoesWhatAModelSays(t *testing.T) {
	if os.Getenv("UPSEDGE_SOAK") == "" {
		t.Skip("the long form of TestEDGE6TheJournalDoesWhatAModelSays; UPSEDGE_SOAK is not set")
	}
	walks(t, 1_000_000)
}

var walkSeed = os.Getenv("UPSEDGE_WALK") // of a run that failed

func walks(t *testing.T, steps int) {
	root, seed, one := inMemory(t), rand.Uint64(), 0
	if walkSeed != "" {
		_, _ = fmt.Sscan(walkSeed, &seed, &one)
	}
	const each = 500
	var orders, effects, onSite, ran, refused, repeated, deaths int
	for n := one; n < one+steps/each && !t.Failed(); n++ {
		dir := filepath.Join(root, fmt.Sprint(n))
		synctest.Test(t, func(t *testing.T) {
			w := newWalk(t, dir, rand.New(rand.NewPCG(seed, uint64(n))))
			w.begin()
			for i := 0; i < each && !t.Failed(); i++ {
				if w.step(); t.Failed() {
					t.Logf("UPSEDGE_WALK='%d %d', step %d", seed, n, i)
				}
			}
			if !t.Failed() {
				w.quiet()
			}
			w.finish()
			if t.Failed() {
				t.Logf("UPSEDGE_WALK='%d %d'", seed, n)
			}
			orders, effects, ran = orders+len(w.m.orders), effects+w.m.effects, ran+w.m.ran
			onSite += w.m.onSite
			refused, repeated, deaths = refused+w.m.refused, repeated+w.m.repeated, deaths+w.deaths
		})
		_ = os.RemoveAll(dir)
	}
	t.Logf("seed %d: %d steps, %d orders, %d effects (%d of orders on site), %d done, %d refused, %d answered again, %d deaths", seed, steps, orders, effects, onSite, ran, refused, repeated, deaths)
	if walkSeed == "" && (effects < steps/500 || onSite == 0 || deaths < steps/1000) {
		t.Error("it tries nothing")
	}
}
