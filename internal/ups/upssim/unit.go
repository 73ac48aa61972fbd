package upssim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// Options say which unit to simulate. The zero value is a healthy SMT1500RM2UC at 30 % load on good mains.
type Options struct {
	Seed uint64 // of the noise and of the default serial number; the same seed makes the same unit
	SKU  string // one of SKUs(); empty means the first. New panics on another

	// Variants are the names of the Variants that apply. New panics on another.
	Variants []string

	Serial string  // up to 16 characters; empty means one derived from Seed
	Name   string  // UPS name, up to 16 characters; empty means "UPS"
	Load   float64 // part of the real power rating, 0 … 1.5; 0 means 0.3, negative means no load at all

	// Speed is how much faster than the clock the battery empties and fills; 0 means 1. Countdowns, tests and the delay
	// after which good mains are believed keep the clock's time, because the protocol counts them in seconds.
	Speed float64

	// LowRuntime is the low-runtime-warning setting, which the map does not show (section 6.4); 0 means 150 s.
	LowRuntime time.Duration

	// AliveWhenEmpty keeps the unit answering with an empty battery. Otherwise it is silent until the mains return.
	AliveWhenEmpty bool

	Now func() time.Time // nil means time.Now
}

// A Unit is one simulated UPS. It is safe for concurrent use.
type Unit struct {
	mu     sync.Mutex
	o      Options
	fam    *family
	rng    *rand.Rand
	manner manner
	faults Faults
	churn  *churn // nil unless Churn was called

	regs    [mapEnd]uint16
	have    [mapEnd]bool      // the model has the item that covers this address
	knows   [mapEnd]bool      // the firmware knows the item that covers it, be it applicable or not
	poked   map[uint16]uint16 // raw overrides
	forces  map[uint16]force  // bits that show whatever the simulation thinks, by item
	cause   uint16            // why the next change of UPSStatus_BF happens
	said    *uint16           // the cause it shall show instead
	toggle  bool              // UPSStatus.StatusChange
	alert   bool              // an informational alert
	started time.Time         // of the noise grid
	at      time.Time         // how far the unit has come

	power   power
	battery battery
	groups  []*group // MOG first
	test    test     // battery test
	cal     test     // runtime calibration
	lastSOG *group   // commanded last
	tested  time.Time
	panel   panel
	site    site
	dead    bool // battery empty, nothing answers
	keeps   bool // see KeepSettings

	writes  []Write // the last ones
	written uint64

	watchers []*watcher // of what has power

	lastWords time.Time // until here an empty unit answers; zero while there is something to run on
	bootAt    time.Time
}

// New returns a unit at the present. It panics when the SKU is not one of SKUs().
func New(o Options) *Unit {
	fam, ok := familyOf(o.SKU)
	if !ok {
		panic(fmt.Sprintf("upssim: no model %q; there are %s", o.SKU, strings.Join(SKUs(), ", ")))
	}
	how, err := mannerOf(o.Variants)
	if err != nil {
		panic("upssim: " + err.Error())
	}
	o.fill()
	u := &Unit{o: o, fam: fam, manner: how, rng: rand.New(rand.NewPCG(o.Seed, 0x5eed)), poked: map[uint16]uint16{}, forces: map[uint16]force{}}
	u.started = o.Now()
	u.at, u.tested = u.started, u.started
	u.faults.now = o.Now
	u.battery.install(firstInstalled)
	u.layOut()
	u.factory()
	u.power.start(u)
	u.battery.start(u)
	u.startGroups()
	u.publish()
	return u
}

func (o *Options) fill() {
	if o.Serial == "" {
		o.Serial = fmt.Sprintf("AS2130%06d", o.Seed%1e6)
	}
	if o.Name == "" {
		o.Name = "UPS"
	}
	switch {
	case o.Load == 0:
		o.Load = 0.3
	case o.Load < 0:
		o.Load = 0
	}
	if o.Speed <= 0 {
		o.Speed = 1
	}
	if o.LowRuntime == 0 {
		o.LowRuntime = 150 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// layOut puts every register in its resting state: what undefined registers read where the map has nothing, the N/A value
// where this model lacks the item (all ones if none is known), 0 elsewhere. A card may show 0 for what is absent (section 3.3, rule 4).
func (u *Unit) layOut() {
	for a := range u.regs {
		u.regs[a] = u.gap(uint16(a))
	}
	for i := range items {
		it := &items[i]
		p, _ := u.fam.presence(it)
		for a := it.addr; a < it.addr+it.count; a++ {
			u.have[a], u.knows[a] = p == present, p != unknown
			switch {
			case p == present || p == inapplicable && it.na == zeros:
				u.regs[a] = 0
			case p == inapplicable && u.manner.gaps != gapsCard:
				u.regs[a] = 0xFFFF
			}
		}
	}
}

// Handle answers one Modbus request, function and data without address and checksum, with a reply of the same form. It
// returns nil when the unit is silent: battery empty and mains away.
func (u *Unit) Handle(pdu []byte) []byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.advance(u.o.Now())
	if u.dead {
		return nil
	}
	if u.churn != nil {
		u.churn.apply(u, u.at)
	}
	return u.answer(pdu)
}

// Faults returns the ways this unit misbehaves on its line.
func (u *Unit) Faults() *Faults { return &u.faults }

// Advance moves the unit to now, if that is later than where it stands. Every other method does it with Options.Now.
func (u *Unit) Advance(now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.advance(now)
}

// do runs f on the unit at the present and lets the registers show what it did.
func (u *Unit) do(f func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.advance(u.o.Now())
	f()
	u.step(u.at)
	u.publish()
}

// SetMains makes the input fail (false) or return (true).
func (u *Unit) SetMains(ok bool) { u.do(func() { u.power.mains = ok }) }

// SetInput sets the voltage the mains have when they are there, in volts; 0 means the nominal one. Between the transfer
// points the unit boosts or trims; outside of them it goes on battery.
func (u *Unit) SetInput(volts float64) { u.do(func() { u.power.supply = volts }) }

// SetLoad sets the load, a part of the real power rating with everything switched on: 0 … 1.5. Above 1 is an overload.
func (u *Unit) SetLoad(f float64) {
	u.do(func() {
		u.o.Load = clamp(f, 0, 1.5)
		if u.power.load != u.o.Load {
			u.power.changed = u.at
		}
		u.power.load = u.o.Load
	})
}

// SetCharge sets the state of charge, 0 … 1.
func (u *Unit) SetCharge(f float64) { u.do(func() { u.battery.charge = clamp(f, 0, 1) }) }

// SetRuntime sets the charge so that about d is left at the present load.
func (u *Unit) SetRuntime(d time.Duration) {
	u.do(func() { u.battery.charge = clamp(d.Seconds()/u.fullRuntime(), 0, 1) })
}

// SetBatteryBad makes the battery fail its next test (true) or be good again (false), which clears the error it caused.
func (u *Unit) SetBatteryBad(bad bool) { u.do(func() { u.setBatteryBad(bad) }) }

// KeepSettings makes the unit say yes to each setting that is written within its limits, and keep the one it has (true); or take it again.
func (u *Unit) KeepSettings(keep bool) { u.do(func() { u.keeps = keep }) }

// StartSelfTest starts a battery test from the front panel. The protocol's way is command 1541.
func (u *Unit) StartSelfTest() { u.do(func() { u.startTest(byLocalUI) }) }

// Poke makes registers from addr on read as raw, whatever the simulation thinks, until Unpoke.
func (u *Unit) Poke(addr uint16, raw ...uint16) {
	u.do(func() {
		for i, v := range raw {
			u.poked[addr+uint16(i)] = v
		}
	})
}

// Unpoke gives count registers from addr on back to the simulation.
func (u *Unit) Unpoke(addr, count uint16) {
	u.do(func() {
		for i := range count {
			delete(u.poked, addr+i)
		}
	})
}

// Registers returns what count registers from addr on hold now, without the rules of reading. Command items read 0.
func (u *Unit) Registers(addr, count uint16) []uint16 {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.advance(u.o.Now())
	out := make([]uint16, count)
	for i := range out {
		out[i] = u.register(addr + uint16(i))
	}
	return out
}

// String describes the state in one line for people, with the names of the bits.
func (u *Unit) String() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.advance(u.o.Now())
	if u.dead {
		return fmt.Sprintf("%s %s: silent, battery empty", u.fam.sku, u.o.Serial)
	}
	return fmt.Sprintf("%s %s: status %s, cause %s, input %.1f V, load %.1f %%, charge %.1f %%, runtime %d s, test %s",
		u.fam.sku, u.o.Serial, describe("UPSStatus_BF", u.long(aStatus)), causeNames[int(u.regs[aCause])],
		float64(u.regs[aInputVolts])/64, float64(u.regs[aRealPower])/256, float64(u.regs[aCharge])/512, u.long(aRuntime),
		describe("ReplaceBatteryTestStatus_BF", uint32(u.regs[aTest])))
}

func (u *Unit) register(addr uint16) uint16 {
	if v, ok := u.poked[addr]; ok {
		return v
	}
	if addr >= mapEnd {
		return u.gap(addr)
	}
	return u.regs[addr]
}

// long reads a 32-bit item, high word first.
func (u *Unit) long(addr uint16) uint32 { return uint32(u.regs[addr])<<16 | uint32(u.regs[addr+1]) }

// put stores a value in the scale and width the map gives the item at addr; the items the model lacks stay as they are. A
// measurement never becomes 0xFFFF, which would mean "no value" (section 3.3).
func (u *Unit) put(addr uint16, value float64) {
	if !u.have[addr] {
		return
	}
	it := &items[itemAt[addr]]
	raw := math.Round(value * float64(it.div))
	switch it.kind {
	case u16:
		u.regs[addr] = uint16(clamp(raw, 0, 0xFFFE))
	case s16, enum:
		u.regs[addr] = uint16(int16(clamp(raw, math.MinInt16, math.MaxInt16)))
	case u32:
		u.setLong(addr, uint32(clamp(raw, 0, math.MaxUint32-1)))
	case s32:
		u.setLong(addr, uint32(int32(clamp(raw, math.MinInt32, math.MaxInt32))))
	}
}

// forced returns what the bit field shows that the simulation thinks v of.
func (u *Unit) forced(addr uint16, v uint32) uint32 {
	f := u.forces[addr]
	return v&^f.clear | f.set
}

// set stores a bit field.
func (u *Unit) set(addr uint16, v uint32) {
	if !u.have[addr] {
		return
	}
	if len(u.forces) > 0 {
		v = u.forced(addr, v)
	}
	if items[itemAt[addr]].count == 2 {
		u.setLong(addr, v)
		return
	}
	u.regs[addr] = uint16(v)
}

func (u *Unit) setLong(addr uint16, v uint32) {
	u.regs[addr], u.regs[addr+1] = uint16(v>>16), uint16(v)
}

// text stores a string, two characters per register, padded with spaces.
func (u *Unit) text(addr uint16, s string) {
	if !u.have[addr] {
		return
	}
	it := &items[itemAt[addr]]
	b := []byte(s + strings.Repeat(" ", 2*int(it.count)))
	for i := range it.count {
		u.regs[addr+i] = uint16(b[2*i])<<8 | uint16(b[2*i+1])
	}
}

func clamp(v, least, most float64) float64 { return math.Max(least, math.Min(most, v)) }
