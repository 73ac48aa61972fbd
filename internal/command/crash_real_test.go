package command_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/command"
	"upsedge/internal/policy"
	"upsedge/internal/trust"
	"upsedge/internal/ups/upssim"
	"upsedge/internal/wire"
)

// A tally counts how lives ended: by what was ordered, and what was said of orders that did not end well.
type tally struct {
	ends map[string]int // "reboot.ups done"
	why  map[string]int // of those that failed, and of those of which nobody knows how they ended
}

// A realLife is a life as those of TestT13NoOrderTwice, with the driver as it is over simulated units: what the executor is told comes from
// registers. Lines lose writes and answers now and then. One order is cancelled, of one the plan falls, all are said again.
type realLife struct {
	*site
	rng    *rand.Rand
	rigs   []*rig
	asked  []kind
	cancel int           // which order is cancelled ...
	after  time.Duration // ... and when
	falls  int           // whose plan falls ...
	fallAt time.Duration // ... and when; below 0: never
	sent   []trust.Command

	two    [2]kind       // orders 5, from afar, and 6, on site: both of the last unit
	begins time.Duration // order 5 is given then ...
	later  time.Duration // ... and order 6 then
	sharing
}

func newRealLife(t testing.TB, dir string, n int, seed uint64) *realLife {
	l := &realLife{site: newSite(t, dir), rng: rand.New(rand.NewPCG(seed, uint64(n)))}
	l.driver, l.sink.crash = "mortal", mortal.crash
	skus := []string{"SMT1500RM2UC", "SMX1500RM2U", "SRT1000XLA"}
	for i := range 4 {
		k := kinds[(n*4+i)%len(kinds)]
		sim := upssim.New(upssim.Options{Seed: uint64(i + 1), SKU: skus[l.rng.IntN(len(skus))], Speed: 200})
		if k.params["do"] == "abort" && k.params["test"] == "self" {
			sim.StartSelfTest()
		}
		l.asked = append(l.asked, k)
		l.rigs = append(l.rigs, &rig{sim: sim, crash: mortal.crash, odd: &dice{rng: rand.New(rand.NewPCG(seed, uint64(n*4+i)))}})
	}
	l.sharing, l.two = newSharing(), [2]kind{kinds[l.rng.IntN(17)], kinds[l.rng.IntN(17)]} // the last is of the box
	l.begins, l.later = time.Duration(l.rng.IntN(60))*time.Second, time.Duration(l.rng.IntN(180))*time.Second
	l.rigs = append(l.rigs, &rig{
		sim: upssim.New(upssim.Options{Seed: 5, SKU: skus[l.rng.IntN(len(skus))], Speed: 200}), crash: mortal.crash,
		odd: &dice{rng: rand.New(rand.NewPCG(seed+1, uint64(n)))}, took: func() { l.did(l.x.InHand("AS5")) },
	})
	l.find = func(serial string) (command.Target, bool) {
		i := slices.Index(l.serials(), serial)
		if i < 0 {
			return command.Target{}, false
		}
		return l.rigs[i].target("unit-" + serial)
	}
	l.unit("box").crash = mortal.crash
	l.box = func(wire.ID, string) command.Unit { return l.unit("box") }
	l.cancel, l.after = l.rng.IntN(4), time.Duration(l.rng.IntN(30_000))*time.Millisecond
	l.falls, l.fallAt = l.rng.IntN(4), time.Duration(l.rng.IntN(60_000)-30_000)*time.Millisecond
	return l
}

func (l *realLife) serials() (out []string) {
	for i := range l.rigs {
		out = append(out, fmt.Sprint("AS", i+1))
	}
	return out
}

// once runs a process to its death, or until every order has ended.
func (l *realLife) once() {
	for _, r := range l.rigs {
		if err := r.connect(context.Background()); err != nil {
			l.t.Errorf("the unit does not connect: %v", err)
		}
		defer r.end()
	}
	if l.start() != nil {
		return // it died at once
	}
	defer l.site.end()
	l.bind(false)
	old := l.sent
	for i, k := range l.asked {
		if id := byte(i + 1); l.final(id) == "" {
			l.send(k.of(l.command(id, l.serials()[i])))
		}
	}
	for _, c := range old {
		l.post(c)
	}
	defer l.onSite(&l.sharing, 6, "AS5", l.two[1], l.later)()
	began, cancelled, fell, gave := time.Now(), false, false, l.final(5) != ""
	for range 60 * 60 {
		time.Sleep(time.Duration(200+l.rng.IntN(1600)) * time.Millisecond)
		if mortal.crash.died() {
			return
		}
		if !fell && l.fallAt >= 0 && time.Since(began) > l.fallAt {
			fell = true
			l.bind(true)
		}
		if !cancelled && time.Since(began) > l.after && l.final(9) == "" {
			cancelled = true
			l.renew()
			c := l.command(9, l.serials()[l.cancel])
			c.Action, c.Params = "order.cancel", map[string]string{"order": wire.ID{byte(l.cancel + 1)}.String()}
			l.send(c)
		}
		if !gave && time.Since(began) > l.begins {
			gave = true
			l.renew()
			l.send(l.two[0].of(l.command(5, "AS5")))
		}
		if time.Since(began) > 3*time.Minute && l.over() {
			return
		}
	}
}

func (l *realLife) bind(fell bool) {
	var entries []trust.Entry
	for i, d := range l.serials() {
		e := bind(d, 4, policy.Advanced, 9)
		if fell && i == l.falls {
			e = bind(d, 4, policy.Basic, 10)
		}
		entries = append(entries, e)
	}
	l.say(entries...)
}

func (l *realLife) over() bool {
	for id := byte(1); id <= 6; id++ {
		if l.final(id) == "" {
			return false
		}
	}
	return l.final(9) != ""
}

func (l *realLife) send(c trust.Command) {
	l.sent = append(l.sent, c)
	l.post(c)
}

var digits = regexp.MustCompile(`\(?(0x)?[0-9A-F]*[0-9]+[0-9A-F]*\)?`)

// check holds the ends against what the units were written.
func (l *realLife) check(what string, sum *tally) {
	l.t.Helper()
	taken := l.final(9) == "done" || strings.HasPrefix(l.final(9), "unknown")
	l.checkTwo(what, sum)
	for i, r := range l.rigs[:4] {
		id, all := byte(i+1), r.written()
		end, said := l.final(id), (&life{site: l.site}).said(id)
		most := 1
		if i == l.cancel || i == l.falls || l.asked[i].params["test"] == "panel" { // that one is ended by a second write
			most = 2
		}
		if l.asked[i].params["test"] == "panel" {
			most++ // what is lit is turned off again
		}
		distinct := slices.Compact(slices.Sorted(slices.Values(all)))
		state, _, _ := strings.Cut(end, " ")
		ok := len(all) <= most && len(distinct) == len(all)
		switch state {
		case "done":
			ok = ok && (len(all) > 0 || strings.Contains(said, "already") || l.asked[i].action == "support.bundle" ||
				l.asked[i].goal()) // that may have come about otherwise, when the write was lost
		case "refused", "expired":
			ok = ok && len(all) == 0
		case "cancelled":
			ok = ok && (len(all) == 0 || len(all) == 2 && (taken || i == l.falls))
		case "failed", "unknown":
			sum.why[l.asked[i].action+": "+digits.ReplaceAllString(said, "#")]++
		default: // none, or two
			ok = false
		}
		sum.ends[fmt.Sprint(l.asked[i], ": ", end)]++
		if !ok {
			l.t.Errorf("%s: %v was written %q and ended as %q (cancel %d %q, falls %d)", what, l.asked[i], all, said, l.cancel+1, l.final(9), l.falls+1)
		}
	}
	if n := l.unit("box").written(); n > 1 {
		l.t.Errorf("%s: %d bundles of one order", what, n)
	}
	if end := l.final(9); end == "" || strings.Contains(end, ",") {
		l.t.Errorf("%s: the cancellation ended as %q", what, end)
	}
}

// checkTwo holds the orders of the last unit, from afar and on site, against what it was written for each of them.
func (l *realLife) checkTwo(what string, sum *tally) {
	l.t.Helper()
	of := [2]string{"", " on site"}
	for i, k := range l.two {
		id := byte(5 + i)
		n, end, said := l.effects[wire.ID{id}], l.final(id), (&life{site: l.site}).said(id)
		most := 1
		if k.params["test"] == "panel" {
			most++ // what is lit is turned off again
		}
		state, _, _ := strings.Cut(end, " ")
		ok := n <= most
		switch state {
		case "done":
			ok = ok && (n > 0 || strings.Contains(said, "already") || k.goal())
		case "refused", "expired":
			ok = ok && n == 0
		case "failed", "unknown":
			sum.why[k.action+of[i]+": "+digits.ReplaceAllString(said, "#")]++
		default: // none, or two; nobody takes one of them back
			ok = false
		}
		sum.ends[fmt.Sprint(k, of[i], ": ", end)]++
		if !ok {
			l.t.Errorf("%s: %v%s was written %d times (%q of both) and ended as %q", what, k, of[i], n, l.rigs[4].written(), said)
		}
	}
	if n := l.effects[wire.ID{5}] + l.effects[wire.ID{6}]; n != len(l.rigs[4].written()) {
		l.t.Errorf("%s: %d of %q were of an order", what, n, l.rigs[4].written())
	}
	if a, b := l.at[wire.ID{5}], l.at[wire.ID{6}]; !a.IsZero() && !b.IsZero() && l.two[0].drops() && l.two[1].drops() && a.Sub(b).Abs() < l.policy.MinInterval-10*time.Second {
		l.t.Errorf("%s: %v and %v on site came %v apart", what, l.two[0], l.two[1], a.Sub(b).Abs())
	}
	l.checkRoles(what, 6)
	l.checkTold(what, &l.sharing)
}

// liveReal dies at each of the steps given and then lives to the end.
func liveReal(t testing.TB, dir, what string, n int, seed uint64, deaths []death, sum *tally) (steps int) {
	l := newRealLife(t, dir, n, seed)
	for _, d := range deaths {
		mortal.crash.arm(d.at, d.after)
		l.once()
		if !mortal.crash.died() {
			break
		}
		time.Sleep(time.Duration(l.rng.IntN(20)) * time.Second) // until it is started again
	}
	mortal.crash.arm(0, false)
	l.once()
	steps = mortal.crash.steps()
	l.check(what, sum)
	return steps
}

// TestT13NoEffectTwiceByTheRealDriver is TestT13NoOrderTwiceAndOneEndOverEveryCrash with the driver of Smart-UPS units.
func TestT13NoEffectTwiceByTheRealDriver(t *testing.T) { tryRealCrashes(t, 54) }

// TestSoakCrashPointsOfTheRealDriver is the long form.
func TestSoakCrashPointsOfTheRealDriver(t *testing.T) {
	if os.Getenv("UPSEDGE_SOAK") == "" {
		t.Skip("the long form of TestT13NoEffectTwiceByTheRealDriver; UPSEDGE_SOAK is not set")
	}
	tryRealCrashes(t, 10_000)
}

func tryRealCrashes(t *testing.T, lives int) {
	root, seed := inMemory(t), rand.Uint64()
	sum := &tally{map[string]int{}, map[string]int{}}
	points := 0
	for n := range lives {
		rng := rand.New(rand.NewPCG(seed, uint64(n)))
		var deaths []death
		for range rng.IntN(4) {
			deaths = append(deaths, death{1 + rng.IntN(240), rng.IntN(2) == 0})
		}
		points += len(deaths)
		dir := filepath.Join(root, fmt.Sprint(n))
		synctest.Test(t, func(t *testing.T) {
			liveReal(t, dir, fmt.Sprint("seed ", seed, " life ", n, " ", deaths), n, seed, deaths, sum)
		})
		_ = os.RemoveAll(dir)
		if t.Failed() {
			break
		}
	}
	t.Logf("seed %d: %d lives, %d deaths", seed, lives, points)
	sum.log(t)
}

func (sum *tally) log(t *testing.T) {
	for _, part := range []map[string]int{sum.ends, sum.why} {
		for _, what := range slices.Sorted(maps.Keys(part)) {
			t.Logf("%6d  %s", part[what], what)
		}
	}
}
