package smartups

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/ups"
	"upsedge/internal/ups/upssim"
)

// A fate is what happens to an order to outlets, around it and to who follows it. What it is called in the end is held against what
// the groups really did.
type fate struct {
	sku    string
	cmd    ups.Command
	before string // "", or what was done to the unit before: the cause of the earlier command stays, or a group is off

	write string        // "answered"; "lost": the answer does not come; "never": it does not arrive
	crash time.Duration // after the write the agent dies; 0: it lives
	away  time.Duration // until it judges
	box   int           // the group its box hangs on, by the bits of 590; below 0: none
	boots bool          // the box is started anew meanwhile for a reason of its own

	what string        // happens at the unit: "", "cancel" and "reboot" by a user, "outage", "shed", "recall": by order.cancel
	at   time.Duration // behind the write
}

func (f fate) String() string {
	return fmt.Sprintf("%s %v, before %q, write %s, crash %v, away %v, box on %d, boots %v, %q at %v", f.sku, f.cmd, f.before, f.write, f.crash, f.away, f.box, f.boots, f.what, f.at)
}

// What a group did, by looking every quarter of a second.
type life struct {
	mu          sync.Mutex
	off, on     [4]bool // seen so since the write
	last        [4]uint32
	whole       [4]bool // was off, and on again
	stop, ended chan struct{}
}

func witness(b *bench) *life {
	l := &life{stop: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(l.ended)
		for {
			l.look(b)
			select {
			case <-l.stop:
				return
			case <-time.After(250 * time.Millisecond):
			}
		}
	}()
	return l
}

// was reports whether a group was off.
func (l *life) was(group int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.off[group]
}

func (l *life) look(b *bench) {
	l.mu.Lock()
	defer l.mu.Unlock()
	words := b.Registers(0, 27)
	for i := range l.last {
		o := uint32(words[3+3*i])<<16 | uint32(words[4+3*i])
		l.last[i] = o
		l.off[i], l.on[i] = l.off[i] || o&ups.OStateOff != 0, l.on[i] || o&ups.OStateOn != 0
		l.whole[i] = l.whole[i] || l.off[i] && o&ups.OStateOn != 0
	}
}

// raw writes to the unit past the agent.
func (b *bench) raw(addr uint16, v ...uint16) {
	pdu := []byte{16, byte(addr >> 8), byte(addr), 0, byte(len(v)), byte(2 * len(v))}
	for _, w := range v {
		pdu = append(pdu, byte(w>>8), byte(w))
	}
	b.Handle(pdu)
}

const (
	fateOff, fateStay, fateOn = 8, 5, 3 // s, the delays
	byUser                    = 1 << 13
)

// lives through a fate and returns why what was said of it is false, "" where it is not.
func (f fate) live(t *testing.T) (out ups.Outcome, wrong string) {
	b, c := newControl(t, upssim.Options{SKU: f.sku, AliveWhenEmpty: true}, Config{})
	targets := f.targets(c)
	for _, first := range []uint16{1029, 1034, 1039} {
		b.raw(first, fateOff)
		b.raw(first+1, fateOn)
		b.raw(first+2, 0, fateStay)
	}
	b.raw(1029, 0) // as usual: the main group goes off behind the others
	switch f.before {
	case "command": // the cause is that of an earlier one
		b.raw(1540, 1)
		time.Sleep(time.Minute)
	case "off":
		b.raw(1538, 0, targets|0x4004)
		time.Sleep(time.Second)
	case "pending":
		b.raw(1538, 0, targets|0x40D0)
		time.Sleep(time.Second)
	}
	if f.what == "shed" {
		b.raw(1056, 0, 8) // SOG0 after two seconds on battery
		b.raw(1068, 2)
	}
	before, err := c.Check(t.Context(), f.cmd)
	if err != nil {
		t.Fatalf("%v: Check = %v", f, err)
	}
	ctx, die := context.WithCancel(t.Context())
	defer die()
	was := b.Written()
	l := witness(b)
	var recall atomic.Bool // it was taken back, or may have been
	begun := func() {
		switch f.what {
		case "cancel":
			time.AfterFunc(f.at, func() { b.raw(1538, 0, targets|1|byUser) })
		case "reboot":
			time.AfterFunc(f.at, func() { b.raw(1538, 0, targets|0x10|byUser) })
		case "outage", "shed":
			time.AfterFunc(f.at, func() { b.SetMains(false) })
			time.AfterFunc(f.at+12*time.Second, func() { b.SetMains(true) })
		case "recall":
			time.AfterFunc(f.at, func() { recall.Store(!isRefusal(c.Cancel(ctx, f.cmd))) })
		}
	}
	switch f.write {
	case "lost":
		b.lose.Store(true)
	case "never":
		b.drop.Store(true)
	}
	start := time.Now()
	begun()
	if f.crash != 0 {
		time.AfterFunc(f.crash, die)
	}
	follows, end := context.WithCancel(ctx)
	var box sync.WaitGroup
	if f.box >= 0 {
		box.Go(func() {
			for follows.Err() == nil {
				if b.Registers(uint16(4+3*f.box), 1)[0]&uint16(ups.OStateOff) != 0 {
					die()
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	noted := 0
	out = c.Execute(ctx, f.cmd, before, func(percent int, _ string) { noted = max(noted, percent/10*10) })
	end()
	box.Wait()
	if ctx.Err() != nil {
		time.Sleep(f.away)
		next := NewControl(c.of, c.line)
		// Of a box that hangs on none of the targets it says nothing (orders.fed_by).
		next.Witnessed(f.cmd, noted, f.box >= 0 && (targets>>8|targets>>8&1*0xF)&(1<<f.box) != 0 && (f.boots || l.was(f.box)))
		if f.what == "recall" && f.at <= f.crash {
			next.Recalled(f.cmd)
		}
		out = next.Judge(t.Context(), f.cmd, before)
	}
	synctest.Wait()
	close(l.stop)
	<-l.ended
	l.look(b)
	if after := time.Since(start) - f.at; f.what == "" || after < 0 || after > time.Second { // else it happened while the last look was made
		wrong = f.wrong(targets, l, out)
	}
	ours := 0
	for _, w := range b.Writes()[was:] {
		if w.Addr == 1540 || w.Addr == 1538 && w.Values[1]&byUser == 0 {
			ours++
		}
	}
	if most := map[bool]int{true: 2, false: 1}[f.what == "recall" && recall.Load()]; ours > most {
		wrong += fmt.Sprintf(" %d writes", ours)
	}
	if f.what == "recall" {
		time.Sleep(2 * time.Minute)
		l.look(b)
		for i, o := range l.last {
			if targets&(0x100<<i) != 0 && o&ups.OStateOn == 0 && f.cmd.Params[ups.ParamTo] != ups.ToOff && f.before != "off" {
				wrong += fmt.Sprintf(" group %d was left off by a cancellation (%v)", i, recall.Load())
			}
		}
	}
	return out, wrong
}

func isRefusal(err error) bool {
	_, ok := err.(*ups.Refusal)
	return ok
}

// targets are those of the command, as bits of 1538.
func (f fate) targets(c *Control) uint16 {
	groups := c.of.about.Load().profile.groups
	if named, ok := f.cmd.Params[ups.ParamGroup]; ok {
		groups = 0
		all, _ := ups.ParseGroups(named)
		for _, g := range all {
			groups |= bitOf(g)
		}
	}
	return groups << firstTarget
}

// wrong is why an outcome is false.
func (f fate) wrong(targets uint16, l *life, out ups.Outcome) string {
	all := func(of func(i int) bool) bool {
		for i := range l.last {
			if targets&(0x100<<i) != 0 && !of(i) {
				return false
			}
		}
		return true
	}
	on := all(func(i int) bool { return l.last[i]&ups.OStateOn != 0 })
	off := all(func(i int) bool { return l.last[i]&ups.OStateOff != 0 })
	whole := all(func(i int) bool { return l.whole[i] })
	wasOff := all(func(i int) bool { return l.off[i] })
	idle := all(func(i int) bool { return l.last[i]&outletProcess == 0 })
	written := f.write != "never"
	ok := true
	switch to := f.cmd.Params[ups.ParamTo]; {
	case out.State == ups.Unknown:
		ok = f.write != "answered" || f.box >= 0 || f.crash != 0 || f.what != ""
	case out.State == ups.Done && to == ups.ToOn:
		ok = on && idle
	case out.State == ups.Done && to == ups.ToOff:
		ok = off && idle
	case out.State == ups.Done && to == ups.ToCancel:
		ok = on && idle && !wasOff
	case out.State == ups.Done:
		// Of single groups the unit does not tell who reboots them: a user who does the same meanwhile is taken for the order.
		ok = whole && (written || f.what == "reboot" && targets&0x100 == 0)
	case out.State == ups.Cancelled && to == ups.ToOn:
		ok = written && off && idle && (f.what == "cancel" || f.what == "recall")
	case out.State == ups.Cancelled:
		ok = written && on && idle && !wasOff && (f.what == "cancel" || f.what == "recall")
	case out.State == ups.Failed && to == ups.ToOn:
		ok = written && off && idle
	case out.State == ups.Failed && to == ups.ToOff:
		ok = written && !off && idle
	case out.State == ups.Failed && to == ups.ToCancel:
		ok = wasOff || !on
	case out.State == ups.Failed:
		ok = written && !whole && idle && (!on || !wasOff && f.what == "cancel") // taken back before the first look
	default:
		ok = false
	}
	if ok {
		return ""
	}
	return fmt.Sprintf("it ended %s (%s, %s); on %v off %v, went off and on %v, was off %v, idle %v", out.State, out.Reason, out.Detail, on, off, whole, wasOff, idle)
}

// fates are the table: each command, with what can happen around it. Seconds are filled in by who lives them.
func fates() (all []fate) {
	for _, sku := range []string{"SMX1500RM2U", "SRT1000XLA"} {
		for _, cmd := range []ups.Command{
			{Action: ups.ActionReboot},
			{Action: ups.ActionReboot, Params: map[string]string{ups.ParamDelay: ups.DelayNone}},
			rebootGroup("sog0", ups.DelayConfigured), rebootGroup("main,sog0,sog1", ups.DelayConfigured), rebootGroup("sog0,sog1", ups.DelayNone),
			outlet(ups.ToShutdown, "sog0", ups.DelayConfigured), outlet(ups.ToShutdown, "main,sog0,sog1", ups.DelayConfigured),
			outlet(ups.ToOff, "sog0", ups.DelayConfigured), outlet(ups.ToOff, "main,sog0,sog1", ups.DelayNone),
			outlet(ups.ToOn, "sog0", ups.DelayConfigured), outlet(ups.ToOn, "sog0,sog1", ups.DelayNone),
			outlet(ups.ToCancel, "sog0", ups.DelayConfigured), outlet(ups.ToCancel, "main,sog0,sog1", ups.DelayConfigured),
		} {
			if sku == "SRT1000XLA" && (cmd.Action != ups.ActionReboot || cmd.Params != nil) {
				continue
			}
			for _, write := range []string{"answered", "lost", "never"} {
				for _, what := range []string{"", "cancel", "reboot", "outage", "shed", "recall"} {
					befores := []string{"", "command"}
					switch cmd.Params[ups.ParamTo] {
					case ups.ToOn:
						befores = []string{"off"}
					case ups.ToCancel:
						befores = []string{"pending"}
					}
					for _, before := range befores {
						all = append(all, fate{sku: sku, cmd: cmd, before: before, write: write, what: what})
					}
				}
			}
		}
	}
	return all
}

// TestT13NoFalseEnd lives fates of outlet commands: died at each second, judged soon or late, with users, outages, load sheds and
// cancellations in between at each second. Done, failed and cancelled are only said of what was so; cancellations leave nothing off.
func TestT13NoFalseEnd(t *testing.T) {
	lives := 120
	if n, err := strconv.Atoi(os.Getenv("UPSEDGE_SOAK")); err == nil {
		lives = max(n, 10_000)
	}
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	ends, table := map[string]int{}, fates()
	for range lives {
		f := table[rng.IntN(len(table))]
		f.box, f.boots = rng.IntN(4)-2, rng.IntN(10) == 0
		if f.sku == "SRT1000XLA" && f.box == 0 {
			f.box = 1 // nothing hangs on its main group
		}
		if f.what == "cancel" {
			f.boots = false // by chance both at once, and there is no way to tell
		}
		if f.box >= 0 {
			f.away = []time.Duration{time.Second, 30 * time.Second, 5 * time.Minute}[rng.IntN(3)]
		}
		if rng.IntN(3) > 0 {
			f.crash = time.Duration(rng.IntN(40_000)+1) * time.Millisecond
			f.away = []time.Duration{0, 4 * time.Second, 10 * time.Second, 5 * time.Minute}[rng.IntN(4)]
		}
		if f.what != "" {
			f.at = time.Duration(200+rng.IntN(30_000))*time.Millisecond + 500*time.Microsecond // behind the write, and never in the instant of a look
		}
		if f.what == "recall" && rng.IntN(2) == 0 { // around the moment in which the group goes off
			f.at = fateOff*time.Second + time.Duration(rng.IntN(1_500)-1_000)*time.Millisecond
		}
		var out ups.Outcome
		var wrong string
		synctest.Test(t, func(t *testing.T) { out, wrong = f.live(t) })
		if wrong != "" {
			t.Errorf("%v: %s", f, wrong)
		}
		said, _, _ := strings.Cut(out.Detail, ";")
		ends[f.cmd.Action+" "+f.cmd.Params[ups.ParamTo]+": "+out.State.String()+": "+said]++
	}
	if t.Failed() {
		t.Logf("seed %d", seed)
	}
	if testing.Verbose() {
		for said, n := range ends {
			t.Logf("%6d %s", n, said)
		}
	}
}
