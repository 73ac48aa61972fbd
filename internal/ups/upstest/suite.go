package upstest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/ups"
)

// A Driver is what the suite asks of a driver for a Smart-UPS.
type Driver interface {
	Connect(ctx context.Context, seen func(*ups.Reading)) ([]ups.Block, error)
	Read(ctx context.Context, b ups.Block, dst *ups.Reading) error
	Identity() ups.Identity
	Connected() []*ups.Reading
}

// A Unit is the other end: its registers can be set and looked at.
type Unit interface {
	Poke(addr uint16, raw ...uint16)       // addr and those after it read as raw from now on
	Registers(addr, count uint16) []uint16 // what the unit holds
}

// A World is a driver that has not connected yet, and the unit on its line. A nil function is something that the world cannot
// do; what needs it is skipped.
type World struct {
	Driver Driver
	Unit   Unit
	Deaf   func(bool) // the unit stops answering
	Refuse func(bool) // the unit answers every read with exception 4
	Late   func()     // the answer to the next request comes after the driver has given up on it, before the one after it
}

// Suite is the contract that every driver of a Smart-UPS fulfils.
type Suite struct {
	Open   func(t *testing.T) World // called anew for every test
	Bubble bool                     // run each test in a testing/synctest bubble; the world must live in memory
}

// patience is how often a read is repeated before the suite gives up on a unit that answers again.
const patience = 8

// Run runs every test of the suite.
func (s Suite) Run(t *testing.T) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, w World)
	}{
		{"IdentifiesTheUnit", identifies},
		{"ReadsEveryPoint", readsEveryPoint},
		{"CountsAreDistinct", countsAreDistinct},
		{"RefusesAnUnknownMap", refusesUnknownMap},
		{"RefusesAnotherDevice", refusesAnotherDevice},
		{"ReportsARefusal", reportsRefusal},
		{"ReportsSilenceAndRecovers", reportsSilence},
		{"LateAnswerNeverBecomesAValue", lateAnswer},
		{"AnotherSerialIsNotThisUnit", anotherSerial},
		{"AnotherUnitAfterSilenceIsNotThisUnit", anotherUnitAfterSilence},
		{"BelievesNothingImplausible", believesNothingImplausible},
	} {
		t.Run(c.name, func(t *testing.T) {
			run := func(t *testing.T) {
				w := s.Open(t)
				Fill(w.Unit, 1)
				c.test(t, w)
			}
			if s.Bubble {
				synctest.Test(t, run)
			} else {
				run(t)
			}
		})
	}
}

// fixed are the items that Fill does not draw at random: what a driver may check, and which groups exist.
var fixed = map[uint16][]uint16{
	0: {0x0000, 0x0002}, 2: {8}, 3: {0x0000, 0x0001}, 6: {0x0000, 0x0D82}, 9: {0x0000, 0x0285}, 130: {0xC800}, 590: {0b0111},
}

// Fill gives every readable item of u a value drawn from seed: texts of printable characters, numbers of any size.
func Fill(u Unit, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, r := range Registers() {
		words, ok := fixed[r.Address]
		if !ok {
			words = make([]uint16, r.Count)
			for i := range words {
				words[i] = uint16(rng.Uint32())
				if r.Type == "STR" {
					words[i] = uint16('!'+rng.UintN('~'-'!'))<<8 | uint16('!'+rng.UintN('~'-'!'))
				}
			}
		}
		if r.Group != "command" && r.Group != "verification" {
			u.Poke(r.Address, words...)
		}
	}
}

// patiently repeats do while the line, not the unit, is at fault: a simulated line on a busy machine pauses within frames.
func patiently(do func() error) (err error) {
	for range patience {
		if err = do(); ups.FailureOf(err) != ups.FailureGarbled && ups.FailureOf(err) != ups.FailureNoAnswer {
			break
		}
	}
	return err
}

func (w World) connect(t *testing.T) (plan []ups.Block, err error) {
	err = patiently(func() error { plan, err = w.Driver.Connect(t.Context(), nil); return err })
	return plan, err
}

func (w World) read(t *testing.T, b ups.Block, dst *ups.Reading) error {
	return patiently(func() error { return w.Driver.Read(t.Context(), b, dst) })
}

func connect(t *testing.T, w World) []ups.Block {
	t.Helper()
	plan, err := w.connect(t)
	if err != nil {
		t.Fatalf("Connect = %v", err)
	}
	return plan
}

// block returns the first block of a tier.
func block(t *testing.T, plan []ups.Block, tier ups.Tier) ups.Block {
	t.Helper()
	for _, b := range plan {
		if b.Tier == tier {
			return b
		}
	}
	t.Fatalf("no block of tier %s in the plan %v", tier, plan)
	return ups.Block{}
}

// says returns what u says of each point, by the tables.
func says(u Unit) map[ups.Point]Value {
	out, na := map[ups.Point]Value{}, NotApplicable()
	groups := u.Registers(590, 1)[0]
	for _, r := range Registers() {
		p, ok := PointOf(r.Name)
		if !ok {
			continue
		}
		v := r.Decode(u.Registers(r.Address, r.Count), na[r.Name])
		if g := r.GroupOf(); g != ups.NoGroup && groups&(1<<(g-ups.MainGroup)) == 0 {
			v = Value{}
		}
		out[p] = v
	}
	return out
}

// agree tells where a state differs from what the unit says.
func agree(s *ups.State, want map[ups.Point]Value) (differences []string) {
	for _, p := range ups.Points() {
		raw, has := s.Raw(p)
		got := Value{Has: has || s.Text(p) != "", Text: s.Text(p)}
		if has {
			got.Number = float64(raw) / float64(s.Divisor(p))
		}
		if got != want[p] {
			differences = append(differences, fmt.Sprintf("%s is %+v and the unit says %+v", p, got, want[p]))
		}
	}
	return differences
}

func identifies(t *testing.T, w World) {
	connect(t, w)
	want := says(w.Unit)
	id := w.Driver.Identity()
	got := [...]string{id.Model, id.SKU, id.Serial, id.Firmware, id.MapID}
	for i, p := range []ups.Point{ups.Model, ups.SKU, ups.Serial, ups.Firmware, ups.MapID} {
		if got[i] != want[p].Text {
			t.Errorf("Identity: %s is %q and the unit says %q", p, got[i], want[p].Text)
		}
	}
	if fmt.Sprint(id.Groups) != "[main sog0 sog1]" {
		t.Errorf("Identity: groups %v, want main, sog0 and sog1", id.Groups)
	}
}

func readsEveryPoint(t *testing.T, w World) {
	plan := connect(t, w)
	s := ups.NewState()
	for _, r := range w.Driver.Connected() {
		s.Apply(r)
	}
	for _, d := range agree(s, says(w.Unit)) {
		t.Error("at connection:", d)
	}
	for seed := range uint64(3) {
		serial, ratings := w.Unit.Registers(532, 40), w.Unit.Registers(588, 2)
		Fill(w.Unit, 2+seed)
		w.Unit.Poke(532, serial...) // model, SKU, serial number and ratings do not change
		w.Unit.Poke(588, ratings...)
		s := ups.NewState()
		for _, b := range plan {
			var r ups.Reading
			before := time.Now()
			if err := w.read(t, b, &r); err != nil {
				t.Fatal(err)
			}
			if r.Tier != b.Tier || r.At.Before(before) || r.At.After(time.Now()) || r.Took < 0 {
				t.Errorf("block %s: tier %s at %s, took %s", b.Name, r.Tier, r.At, r.Took)
			}
			s.Apply(&r)
		}
		for _, d := range agree(s, says(w.Unit)) {
			t.Error(d)
		}
	}
}

func countsAreDistinct(t *testing.T, w World) {
	seen := map[int]string{}
	for _, b := range connect(t, w) {
		var addr, count int
		if _, err := fmt.Sscanf(b.Name, "%d/%d", &addr, &count); err != nil {
			t.Fatalf("name %q: %v", b.Name, err)
		}
		if other := seen[count]; other != "" {
			t.Errorf("%s and %s have the same length: a stale answer to one passes for the other", other, b.Name)
		}
		seen[count] = b.Name
	}
}

func refusesUnknownMap(t *testing.T, w World) {
	w.Unit.Poke(2048, 0x3030, 0x2E36) // "00.6"
	_, err := w.connect(t)
	wantFailure(t, err, ups.FailureUnsupported)
}

func refusesAnotherDevice(t *testing.T, w World) {
	w.Unit.Poke(2054, 0x5678, 0x1234) // words the other way round
	_, err := w.connect(t)
	wantFailure(t, err, ups.FailureUnsupported)
}

func wantFailure(t *testing.T, err error, want ups.Failure) {
	t.Helper()
	if got := ups.FailureOf(err); err == nil || got != want {
		t.Errorf("error %v is %s, want %s", err, got, want)
	}
}

func reportsRefusal(t *testing.T, w World) {
	if w.Refuse == nil {
		t.Skip("the unit of this world cannot be made to refuse")
	}
	b := block(t, connect(t, w), ups.TierStatus)
	w.Refuse(true)
	var r ups.Reading
	wantFailure(t, w.read(t, b, &r), ups.FailureException)
	w.Refuse(false)
	if err := w.read(t, b, &r); err != nil {
		t.Errorf("Read after a refusal = %v", err)
	}
}

func reportsSilence(t *testing.T, w World) {
	if w.Deaf == nil {
		t.Skip("the unit of this world cannot be made deaf")
	}
	b := block(t, connect(t, w), ups.TierStatus)
	w.Deaf(true)
	var r ups.Reading
	wantFailure(t, w.Driver.Read(t.Context(), b, &r), ups.FailureNoAnswer)
	if r.Layout != nil {
		t.Errorf("a failed Read changed its Reading: %+v", r)
	}
	w.Deaf(false)
	recovered(t, w, b)
}

// recovered reads b until it works.
func recovered(t *testing.T, w World, b ups.Block) *ups.Reading {
	t.Helper()
	var r ups.Reading
	var err error
	for range patience {
		if err = w.Driver.Read(t.Context(), b, &r); err == nil {
			return &r
		}
	}
	t.Fatalf("after %d attempts still %v", patience, err)
	return nil
}

// lateAnswer asks for one block, lets the answer come too late, changes the state, and asks for every block. Each answer that is
// believed must be the one to its question, and from after the change.
func lateAnswer(t *testing.T, w World) {
	if w.Late == nil {
		t.Skip("the unit of this world is never late")
	}
	plan := connect(t, w)
	states := [2][]uint16{{0x0000, 0x0002}, {0x0000, 0x2002}} // online; with high efficiency
	for i, asked := range plan {
		for j, next := range plan {
			w.Unit.Poke(0, states[(i+j)%2]...)
			w.Late()
			var r ups.Reading
			err := w.Driver.Read(t.Context(), asked, &r)
			if err == nil && r.Layout.Columns[0].Point != ups.MapID { // the verification block is the same whenever it was asked for
				t.Fatalf("%s has a value without an answer", asked.Name)
			}
			w.Unit.Poke(0, states[(i+j+1)%2]...)
			r = *recovered(t, w, next)
			want := says(w.Unit)
			for k, c := range r.Layout.Columns {
				if raw := r.Raw[k]; raw != ups.Absent && float64(raw)/float64(c.Divisor) != want[c.Point].Number {
					t.Errorf("after a late %s, %s of %s is %d and the unit says %v", asked.Name, c.Point, next.Name, raw, want[c.Point])
				}
			}
		}
	}
}

func anotherSerial(t *testing.T, w World) {
	plan := connect(t, w)
	w.Unit.Poke(564, 0x5858)
	failed := 0
	for _, b := range plan {
		var r ups.Reading
		err := w.read(t, b, &r)
		if err == nil {
			continue
		}
		wantFailure(t, err, ups.FailureAnotherUnit)
		failed++
	}
	if failed == 0 {
		t.Error("no read noticed that the serial number had changed")
	}
	for range 3 {
		var r ups.Reading
		wantFailure(t, w.read(t, block(t, plan, ups.TierStatus), &r), ups.FailureAnotherUnit)
	}
	connect(t, w)
}

// anotherUnitAfterSilence: the cable was moved to another unit. Status comes long before the serial number is read again.
func anotherUnitAfterSilence(t *testing.T, w World) {
	if w.Deaf == nil {
		t.Skip("the unit of this world cannot be made deaf")
	}
	b := block(t, connect(t, w), ups.TierStatus)
	w.Deaf(true)
	var r ups.Reading
	for range 2 {
		wantFailure(t, w.Driver.Read(t.Context(), b, &r), ups.FailureNoAnswer)
	}
	w.Unit.Poke(564, 0x5858)
	w.Deaf(false)
	var err error
	for range patience {
		if err = w.read(t, b, &r); err == nil {
			t.Fatal("the status of another unit was taken for this one's")
		}
	}
	wantFailure(t, err, ups.FailureAnotherUnit)
	connect(t, w)
	recovered(t, w, block(t, connect(t, w), ups.TierStatus))
}

func believesNothingImplausible(t *testing.T, w World) {
	plan := connect(t, w)
	for _, c := range []struct {
		name  string
		tier  ups.Tier
		addr  uint16
		words []uint16
	}{
		{"no state", ups.TierStatus, 0, []uint16{0, 0}},
		{"all ones", ups.TierStatus, 0, []uint16{0xFFFF, 0xFFFF}},
		{"two states", ups.TierStatus, 0, []uint16{0, 0x0006}},
		{"a reserved bit", ups.TierStatus, 0, []uint16{0, 0x0802}},
		{"a reserved bit of the high word", ups.TierStatus, 0, []uint16{0x0100, 0x0002}},
		{"swapped words", ups.TierStatus, 0, []uint16{0x0002, 0x0000}},
		{"an unknown cause", ups.TierStatus, 2, []uint16{31}},
		{"no state, in the watch", ups.TierWatch, 0, []uint16{0, 0}},
		{"an outlet group that is on and off", ups.TierStatus, 6, []uint16{0, 3}},
		{"an outlet group that lost its state", ups.TierStatus, 9, []uint16{0, 0}},
		{"more than full", ups.TierLive, 130, []uint16{51201}},
	} {
		b := block(t, plan, c.tier)
		var r ups.Reading
		before := w.Unit.Registers(c.addr, uint16(len(c.words)))
		w.Unit.Poke(c.addr, c.words...)
		if err := w.read(t, b, &r); ups.FailureOf(err) != ups.FailureImplausible || r.Layout != nil {
			t.Errorf("%s: error %v (%s), reading %v, want implausible and no reading", c.name, err, ups.FailureOf(err), r)
		}
		w.Unit.Poke(c.addr, before...)
		if err := w.read(t, b, &r); err != nil {
			t.Errorf("%s: the next Read = %v", c.name, err)
		}
	}
}
