package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"upsedge/internal/testenv"
	"upsedge/internal/ups"
	"upsedge/internal/wire"
)

// besides is what a store says of a unit beside the lanes.
type besides struct {
	state     uint64 // genuine
	hasState  bool
	raise     uint64
	crashed   []Interrupted
	corrupted bool // the state, and told so
}

// beside looks at what is kept beside the lanes.
func (f *sufferer) beside() error {
	f.saw = make(map[string]*besides)
	for _, unit := range flipUnits {
		b := &besides{}
		f.saw[unit] = b
		state, err := f.s.AlarmState(f.ctx, unit)
		switch {
		case errors.As(err, new(*CorruptError)):
			b.corrupted = true
		case err != nil:
			return err
		}
		b.state, b.hasState = genuine(state), state != nil
		if b.raise, err = f.s.RaisedSeq(f.ctx, unit, 101, ups.NoGroup); err != nil {
			return err
		}
	}
	for _, i := range f.s.Crashed() {
		b := f.saw[i.Unit]
		if b == nil {
			f.altered = append(f.altered, fmt.Sprintf("interruption of a unit %q that never was", i.Unit))
			continue
		}
		b.crashed = append(b.crashed, i)
	}
	agent, err := f.s.AgentID(f.ctx)
	if err != nil || agent != f.sp.agent {
		f.altered = append(f.altered, fmt.Sprintf("agent %s, %v", agent, err))
	}
	return nil
}

// accountBeside holds what stood beside the lanes against what the specimen held. It may be as it was after an earlier put only where
// gaps tell the records of all later ones of the unit: commits were lost, and are told.
func (f *sufferer) accountBeside() {
	for _, unit := range flipUnits {
		b := f.saw[unit]
		versions := f.believable(unit, wire.Events)
		last := versions[len(versions)-1]
		is := func(ok func(version) bool) bool { return slices.ContainsFunc(versions, ok) }
		switch {
		case b.corrupted:
			f.side = append(f.side, "state told as damaged")
		case !b.hasState:
			f.side = append(f.side, "state gone")
		case !is(func(v version) bool { return uint64(v.n) == b.state }):
			f.altered = append(f.altered, fmt.Sprintf("alarm state of %s is %d, not %d", unit, b.state, last.n))
		case b.state != uint64(last.n):
			f.side = append(f.side, "state is an earlier one, and what followed told as lost")
		}
		switch {
		case b.raise == last.raise:
		case b.raise == 0:
			f.side = append(f.side, "raise left out")
		case is(func(v version) bool { return b.raise == v.raise }):
			f.side = append(f.side, "raise is an earlier one, and what followed told as lost")
		default:
			f.altered = append(f.altered, fmt.Sprintf("raise of %s is %d, not %d", unit, b.raise, last.raise))
		}
		f.accountCrashed(unit, b.crashed, f.believable(unit, wire.Samples))
	}
}

// accountCrashed wants every interruption to be told as it was, or with the zero stamp: since when nobody knows.
func (f *sufferer) accountCrashed(unit string, got []Interrupted, versions []version) {
	vague := false
	for _, i := range got {
		switch {
		case i.Last == wire.Stamp{}:
			vague = true
			f.side = append(f.side, "interruption since nobody knows when")
		case slices.Contains(f.sp.crashed, i):
		case i.Resumed == wire.Stamp{} && slices.ContainsFunc(versions, func(v version) bool { return i.Last == at(v.n) }):
		default:
			f.altered = append(f.altered, fmt.Sprintf("interruption of %s from %v to %v", unit, i.Last, i.Resumed))
		}
	}
	want := 0
	for _, i := range f.sp.crashed {
		if i.Unit == unit {
			want++
		}
	}
	if len(got) < want && !vague {
		f.untold = append(f.untold, fmt.Sprintf("%d of %d interruptions of %s", want-len(got), want, unit))
	}
	if len(got) > want && !vague {
		f.altered = append(f.altered, fmt.Sprintf("%d interruptions of %s, %d were", len(got), unit, want))
	}
}

// believable returns the versions of a unit of which the records of all later ones in the lane are told as lost. The last one always is.
func (f *sufferer) believable(unit string, l wire.Lane) []version {
	all := f.sp.told[unit]
	from := len(all) - 1
	for ; from > 0; from-- {
		if n := all[from].number[l]; n > f.sp.floor[l] && !f.toldLost(l, n) {
			break
		}
	}
	return all[from:]
}

func (f *sufferer) toldLost(l wire.Lane, n uint64) bool {
	return slices.ContainsFunc(f.gaps, func(g wire.Gap) bool { return covers(g, l, n) })
}

// One bit in what stands near the name of a unit: the rows of raises, interruptions, units and keys. In so small tables a
// bit of each page hardly ever meets a value.
func TestNoRowBesideTheLanesMayLie(t *testing.T) {
	flips := 60
	if testenv.Race {
		flips = 16
	}
	if soak {
		flips = 4000
	}
	sp := newSpecimen(t, 1<<19, false)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	file := sp.files[fileName]
	var places []int
	for _, unit := range flipUnits {
		for from := 0; ; {
			i := bytes.Index(file[from:], []byte(unit))
			if i < 0 {
				break
			}
			for k := from + i - 12; k < from+i+len(unit)+60; k++ {
				places = append(places, k)
			}
			from += i + 1
		}
	}
	slices.Sort(places)
	places = slices.Compact(places)
	var harms []harm
	for range flips {
		harms = append(harms, bitFlip(fileName, min(places[r.IntN(len(places))], len(file)-1), uint(r.IntN(8))))
	}
	t.Logf("%d bytes near names of units", len(places))
	sufferAll(t, sp, harms)
}
