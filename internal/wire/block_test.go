package wire

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"upsedge/internal/ups"
)

// anyInt draws small numbers, wide ones and the extremes.
func anyInt() *rapid.Generator[int64] {
	return rapid.OneOf(
		rapid.Int64Range(-4, 4), rapid.Int64Range(-70_000, 70_000), rapid.Int64(),
		rapid.SampledFrom([]int64{math.MinInt64, math.MinInt64 + 1, math.MaxInt64, 0, -1, math.MaxUint32, ups.Absent}),
	)
}

// anyColumn draws a column as units make them (noise around a level, a ramp, steps) or of anything, with values absent or not.
func anyColumn(t *rapid.T, rows int) []int64 {
	base, step := anyInt().Draw(t, "base"), rapid.SampledFrom([]int64{0, 0, 1, -1, 500}).Draw(t, "step")
	noise := rapid.SampledFrom([]int64{0, 0, 1, 3, 100_000, math.MaxInt64 / 4}).Draw(t, "noise")
	gone := rapid.SampledFrom([]int{0, 0, 0, 1, 5, 10}).Draw(t, "absent, of ten")
	wild := rapid.IntRange(0, 9).Draw(t, "wild") == 0
	out := make([]int64, rows)
	for i := range out {
		switch {
		case rapid.IntRange(0, 9).Draw(t, "absent") < gone:
			out[i] = ups.Absent
		case wild:
			out[i] = anyInt().Draw(t, "value")
		default:
			out[i] = base + int64(i)*step + rapid.Int64Range(-noise, noise).Draw(t, "noise")
		}
	}
	return out
}

func anyLayout(t *rapid.T) *ups.Layout {
	n := rapid.IntRange(0, 12).Draw(t, "columns")
	l := &ups.Layout{Columns: make([]ups.Column, n)}
	for i := range l.Columns {
		p := ups.Point(rapid.Uint16().Filter(func(p uint16) bool { return ups.Point(p).Info().Kind != ups.Text }).Draw(t, "point"))
		l.Columns[i] = ups.Column{Point: p, Divisor: rapid.Uint16Range(1, math.MaxUint16).Draw(t, "divisor")}
	}
	return l
}

func anyRows(t *rapid.T, layouts []*ups.Layout) Rows {
	l := rapid.SampledFrom(layouts).Draw(t, "layout")
	n := rapid.SampledFrom([]int{0, 1, 2, 3, 8, 40}).Draw(t, "rows")
	r := Rows{Tier: ups.Tier(rapid.IntRange(0, int(ups.TierCount)-1).Draw(t, "tier")), Layout: l}
	r.At = anyColumn(t, n)
	r.Raw = make([]int64, n*len(l.Columns))
	for c := range l.Columns {
		for i, v := range anyColumn(t, n) {
			r.Raw[i*len(l.Columns)+c] = v
		}
	}
	return r
}

func anyBlock(t *rapid.T, layouts []*ups.Layout) *Block {
	b := &Block{Unit: rapid.StringN(0, 20, 40).Draw(t, "unit"), Device: rapid.StringN(0, 20, 40).Draw(t, "device")}
	for range rapid.IntRange(0, 4).Draw(t, "sections") {
		b.Sections = append(b.Sections, anyRows(t, layouts))
	}
	return b
}

func anyID() *rapid.Generator[ID] {
	return rapid.Custom(func(t *rapid.T) (id ID) {
		copy(id[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		return id
	})
}

func anyStamp() *rapid.Generator[Stamp] {
	return rapid.Custom(func(t *rapid.T) Stamp {
		s := Stamp{BootID: anyID().Draw(t, "boot id")}
		s.Mono = time.Duration(rapid.Int64Range(0, int64(maxSeconds)*1e6).Draw(t, "µs")) * time.Microsecond
		if rapid.Bool().Draw(t, "trusted") {
			// 0001-01-01 is "not trusted"; JSON ends with the year 9999.
			s.Wall = time.UnixMilli(rapid.Int64Range(-62_135_596_799_999, 253_402_300_799_999).Draw(t, "wall")).UTC()
		}
		return s
	})
}

func anyRecord(t *rapid.T, lane Lane, class Class, payload []byte) Record {
	return Record{
		Stream: anyID().Draw(t, "stream"), Lane: lane, Seq: rapid.Uint64Min(1).Draw(t, "seq"), Class: class,
		Epoch: rapid.Uint32().Draw(t, "epoch"), Boot: rapid.Uint32().Draw(t, "boot"), Stamp: anyStamp().Draw(t, "stamp"), Payload: payload,
	}
}

func TestBlocksComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		layouts := []*ups.Layout{anyLayout(t), anyLayout(t), anyLayout(t)}
		e, s := NewEncoder(), &Schemas{}
		for range 3 { // the later ones name schemas that the earlier ones carried
			b := anyBlock(t, layouts)
			body, err := e.Encode([]byte("before"), b)
			if err != nil {
				t.Fatalf("Encode: %v", err)
			}
			r := anyRecord(t, Samples, ClassSamples, body[len("before"):])
			msg, err := SampleMessage(nil, "box-7", r)
			if err != nil {
				t.Fatalf("SampleMessage: %v", err)
			}
			got, err := s.Decode(msg)
			if err != nil {
				t.Fatalf("Decode: %v", err)
			}
			want := &PublishedBlock{Agent: "box-7", Record: r, Block: b}
			if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
				t.Fatalf("decoded is not what was encoded (-want +got):\n%s", d)
			}
		}
	})
}

// TestAPictureIsReadByItself: whatever the blocks before it announced, by whoever has seen none of them, and it announces nothing
// for those after it.
func TestAPictureIsReadByItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		layouts := []*ups.Layout{anyLayout(t), anyLayout(t)}
		e, lane := NewEncoder(), &Schemas{}
		block := func(encode func([]byte, *Block) ([]byte, error)) (*Block, []byte) {
			b := anyBlock(t, layouts)
			body, err := encode(nil, b)
			if err != nil {
				t.Fatalf("encode: %v", err)
			}
			return b, body
		}
		for range 3 {
			if rapid.Bool().Draw(t, "a block before") {
				b, body := block(e.Encode)
				got, err := lane.DecodeBody(body)
				if d := cmp.Diff(b, got, cmpopts.EquateEmpty()); err != nil || d != "" {
					t.Fatalf("block: %v\n%s", err, d)
				}
			}
			b, body := block(e.EncodeAlone)
			event := rapid.Uint64Min(1).Draw(t, "event")
			r := anyRecord(t, Events, ClassPicture, PicturePayload(event, body))
			msg, err := SampleMessage(nil, "box-7", r)
			if err != nil {
				t.Fatalf("SampleMessage: %v", err)
			}
			got, err := new(Schemas).Decode(msg)
			if err != nil {
				t.Fatalf("Decode: %v", err)
			}
			want := &PublishedBlock{Agent: "box-7", Record: r, Event: event, Block: b}
			if d := cmp.Diff(want, got, cmpopts.EquateEmpty()); d != "" {
				t.Fatalf("decoded is not what was encoded (-want +got):\n%s", d)
			}
		}
	})
}

func TestTextColumnsAreLeftOut(t *testing.T) {
	l := &ups.Layout{Columns: []ups.Column{{Point: ups.Model, Divisor: 1}, {Point: ups.NominalPower, Divisor: 1}, {Point: ups.Serial, Divisor: 1}}}
	b := &Block{Unit: "a", Sections: []Rows{{Tier: ups.TierIdentity, Layout: l, At: []int64{5}, Raw: []int64{ups.Absent, 1000, ups.Absent}}}}
	body, err := NewEncoder().Encode(nil, b)
	if err != nil {
		t.Fatal(err)
	}
	got, err := new(Schemas).DecodeBody(body)
	if err != nil {
		t.Fatal(err)
	}
	want := []Rows{{Tier: ups.TierIdentity, Layout: &ups.Layout{Columns: l.Columns[1:2]}, At: []int64{5}, Raw: []int64{1000}}}
	if d := cmp.Diff(want, got.Sections); d != "" {
		t.Error(d)
	}
}

// traceMessages are the messages of the first blocks of a trace.
func traceMessages(t testing.TB, e *Encoder, n int) (blocks []*Block, msgs [][]byte) {
	tr := newTrace(7, true)
	for i := range n {
		b := tr.block(10 * time.Second)
		body, err := e.Encode(nil, b)
		if err != nil {
			t.Fatal(err)
		}
		r := Record{Stream: ID{1}, Lane: Samples, Class: ClassSamples, Seq: uint64(i + 1), Boot: 3, Payload: body}
		r.Stamp = Stamp{BootID: ID{2}, Mono: time.Duration(b.Sections[0].At[0]) * time.Millisecond}
		msg, err := SampleMessage(nil, "box-7", r)
		if err != nil {
			t.Fatal(err)
		}
		blocks, msgs = append(blocks, b), append(msgs, msg)
	}
	return blocks, msgs
}

func TestSchemaIsCarriedOnceAndAgainAfterHalfAnHour(t *testing.T) {
	_, msgs := traceMessages(t, NewEncoder(), 362)
	var carried []int
	for i, m := range msgs {
		if _, err := new(Schemas).Decode(m); err == nil {
			carried = append(carried, i)
		}
	}
	if want := []int{0, 180, 360}; len(carried) != 3 || carried[1]-180 > 1 || carried[2]-carried[1]-180 > 1 {
		t.Errorf("blocks %v of 10 s each can be read alone, want %v or one later", carried, want)
	}
}

func TestForgetCarriesTheSchemaAgain(t *testing.T) {
	e := NewEncoder()
	traceMessages(t, e, 2)
	e.Forget()
	_, msgs := traceMessages(t, e, 1)
	if _, err := new(Schemas).Decode(msgs[0]); err != nil {
		t.Errorf("after Forget: %v", err)
	}
}

// TestEachUnitCarriesItsOwnSchemas: what a unit's blocks announced goes with them, when it is erased; those of another unit must not rest on it.
func TestEachUnitCarriesItsOwnSchemas(t *testing.T) {
	blocks, _ := traceMessages(t, NewEncoder(), 1)
	e := NewEncoder()
	alone := func(unit string) bool {
		block := *blocks[0]
		block.Unit = unit
		body, err := e.Encode(nil, &block)
		if err != nil {
			t.Fatal(err)
		}
		msg, err := SampleMessage(nil, "box-7", Record{Stream: ID{1}, Lane: Samples, Class: ClassSamples, Seq: 1, Boot: 1, Payload: body})
		if err != nil {
			t.Fatal(err)
		}
		_, err = new(Schemas).Decode(msg)
		return err == nil
	}
	for i, step := range []struct {
		unit string
		want bool
	}{{"a", true}, {"a", false}, {"b", true}, {"b", false}, {"a", false}} {
		if got := alone(step.unit); got != step.want {
			t.Errorf("block %d, of %s, can be read alone: %v", i, step.unit, got)
		}
	}
	e.ForgetUnit("a")
	if alone("b") || !alone("a") {
		t.Error("ForgetUnit concerns its unit, and it alone")
	}
}

func TestUnknownSchemaKeepsTheRecord(t *testing.T) {
	blocks, msgs := traceMessages(t, NewEncoder(), 2)
	s := &Schemas{}
	p, err := s.Decode(msgs[1])
	var unknown *UnknownSchemaError
	if !errors.As(err, &unknown) || p == nil || p.Block != nil || p.Record.Seq != 2 {
		t.Fatalf("Decode = %+v, %v, want the record and an UnknownSchemaError", p, err)
	}
	if h, _ := HashLayout(blocks[1].Sections[0].Layout); unknown.Hash != h {
		t.Errorf("unknown is %v, want %v", unknown.Hash, h)
	}
	if _, err := s.Decode(msgs[0]); err != nil {
		t.Fatal(err)
	}
	if p, err = s.Decode(msgs[1]); err != nil || !cmp.Equal(p.Block, blocks[1]) {
		t.Errorf("with the schema: %v", err)
	}
}

func TestEveryFlippedBitIsAnError(t *testing.T) {
	_, msgs := traceMessages(t, NewEncoder(), 2)
	for _, msg := range msgs {
		for bit := range 8 * len(msg) {
			bad := slices.Clone(msg)
			bad[bit/8] ^= 1 << (bit % 8)
			s := &Schemas{}
			if p, err := s.Decode(bad); err == nil || p != nil || len(s.known) > 0 {
				t.Fatalf("bit %d of byte %d flipped: %+v, %v", bit%8, bit/8, p, err)
			}
		}
	}
}

func TestTruncatedMessagesAreErrors(t *testing.T) {
	_, msgs := traceMessages(t, NewEncoder(), 1)
	s := &Schemas{}
	for n := range msgs[0] {
		if p, err := s.Decode(msgs[0][:n]); err == nil || p != nil {
			t.Fatalf("%d of %d bytes: %+v, %v", n, len(msgs[0]), p, err)
		}
	}
	if len(s.known) > 0 {
		t.Error("learnt a schema from a truncated message")
	}
}

func TestTruncatedContentIsAnError(t *testing.T) {
	b := newTrace(1, true).block(10 * time.Second)
	e := NewEncoder()
	if _, err := e.Encode(nil, b); err != nil {
		t.Fatal(err)
	}
	plain := slices.Clone(e.content)
	if _, err := new(Schemas).DecodeBody(plain); err != nil {
		t.Fatalf("whole: %v", err)
	}
	for n := range plain {
		if _, err := new(Schemas).DecodeBody(plain[:n]); err == nil {
			t.Fatalf("%d of %d bytes are no error", n, len(plain))
		}
	}
	if _, err := new(Schemas).DecodeBody(append(plain, 0)); err == nil {
		t.Error("a byte behind the last section is no error")
	}
}

func TestEncodeDoesNotAllocate(t *testing.T) {
	b := newTrace(1, true).block(10 * time.Second)
	e := NewEncoder()
	var body []byte
	encode := func() { body, _ = e.Encode(body[:0], b) }
	encode()
	if n := testing.AllocsPerRun(50, encode); n > 1 {
		t.Errorf("%v allocations per block", n)
	}
}

// TestEncodesMoreLayoutsThanItRemembers: a site of a thousand units has six layouts of each. What is forgotten to make room for
// a layout is never one of the same block.
func TestEncodesMoreLayoutsThanItRemembers(t *testing.T) {
	e := NewEncoder()
	for range maxLayouts/7 + 2 {
		b := &Block{Unit: "a"}
		for range 7 { // 4096 is no multiple of 7: the room ends within a block
			l := &ups.Layout{Columns: []ups.Column{{Point: ups.Charge, Divisor: 512}}}
			b.Sections = append(b.Sections, Rows{Tier: ups.TierLive, Layout: l, At: []int64{1}, Raw: []int64{2}})
		}
		if _, err := e.Encode(nil, b); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(e.layouts); n > maxLayouts+MaxSections {
		t.Errorf("%d layouts are remembered, want at most %d", n, maxLayouts+MaxSections)
	}
}
