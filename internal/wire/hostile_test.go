package wire

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"upsedge/internal/ups"
)

// content writes a body by hand: numbers are uvarints, strings are bytes as they are.
func content(parts ...any) []byte {
	b := []byte{bodyPlain}
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b = binary.AppendUvarint(b, uint64(p))
		case uint64:
			b = binary.AppendUvarint(b, p)
		case string:
			b = append(b, p...)
		}
	}
	return b
}

// oneSchema announces one column: point 1, divisor 1, in a section of the tier watch.
const oneSchema = "\x80\x01\x01\x01"

func TestBlocksThatCannotBeAreRefused(t *testing.T) {
	good := content(0, 0, 1, oneSchema, 2, "\x00", 20, "\x00", 8)
	b, err := new(Schemas).DecodeBody(good)
	want := []Rows{{Layout: &ups.Layout{Columns: []ups.Column{{Point: 1, Divisor: 1}}}, At: []int64{10, 10}, Raw: []int64{4, 4}}}
	if err != nil || !cmp.Equal(b.Sections, want) {
		t.Fatalf("the good one: %+v, %v", b, err)
	}
	for _, row := range []struct {
		body []byte
		want string
	}{
		{nil, "too early"},
		{[]byte{7, 0, 0, 0}, "packing 7"},
		{content(maxName+1, strings.Repeat("x", maxName+1), 0, 0), "unit's name"},
		{content(3, "x"), "too early"},
		{content(0, 0, MaxSections+1), "sections"},
		{content(0, 0, uint64(math.MaxUint64)), "sections"},
		{content("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "64 bits"},
		{content(0, 0, 1, "\x85\x01\x01\x01", 0), "tier"},
		{content(0, 0, 1, "\x80", MaxColumns+1), "columns"},
		{content(0, 0, 1, "\x80\x01", 1<<16, 1, 0), "point"},
		{content(0, 0, 1, "\x80\x01", 1, 1<<16, 0), "divisor"},
		{content(0, 0, 1, "\x80\x01", 1, 0, 0), "divisor 0"},
		{content(0, 0, 1, "\x80\x01\x81\x00\x01", 0), "longer than"},
		{content(0, 0, 1, "\x80\x01", int(ups.Model), 1, 0), "model"},
		{content(0, 0, 1, oneSchema, MaxRows+1), "rows"},
		{content(0, 0, 1, oneSchema, 2, "\x04"), "without a time"},
		{content(0, 0, 1, oneSchema, 2, "\x0c"), "without a time"},
		{content(0, 0, 1, oneSchema, 2, "\x08\x01\x01", 20), "without a time"},
		{content(0, 0, 1, oneSchema, 2, "\x00", 20, "\x05"), "without content"},
		{content(0, 0, 1, oneSchema, 2, "\x00", 20, "\x0e"), "without content"},
		{content(0, 0, 1, oneSchema, 2, "\x00", 20, "\x14"), "without content"},
		{content(0, 0, 1, oneSchema, 2, "\x00", 20, "\x08\x03", 8), "runs"},
		{content(0, 0, 1, oneSchema, 2, "\x00", 20, "\x08\x02", 8), "runs"},
		{content(0, 0, 1, oneSchema, 2, "\x00", 20, "\x08\x00\x02", 8), "runs"},
		{content(0, 0, 1, oneSchema, 2, "\x00", 20, "\x08\x01\x00\x01", 8), "runs"},
		{content(0, 0, 1, oneSchema, 3, "\x00", 20, "\x08\x01\x00\x01\x01", 8), "runs"},
		{content(0, 0, 1, oneSchema, 2, "\x00", 20, "\x10", 8), "too early"},
		{content(0, 0, 1, oneSchema, 2, "\x00", 20, "\xf0", 8, 1), "too early"},
		{append(slices.Clone(good), 0), "behind the last section"},
		{content(0, 0, 1, "\x00\x01\x02\x03"), "too early"},
	} {
		s := &Schemas{}
		b, err := s.DecodeBody(row.body)
		if err == nil || b != nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%x: %+v, %v, want an error with %q", row.body, b, err, row.want)
		}
		if len(s.known) > 0 {
			t.Errorf("%x: learnt a schema", row.body)
		}
	}
}

func TestFewBytesCannotClaimMuchMemory(t *testing.T) {
	// 64 sections of 65536 rows and 16 columns that cost a byte: 71 million cells of 8 bytes.
	parts := []any{0, 0, MaxSections, "\x80", 16, strings.Repeat("\x01\x01", 16), MaxRows, "\x00", 0, "\xf4"}
	for range MaxSections - 1 {
		parts = append(parts, "\x80", 16, strings.Repeat("\x01\x01", 16), MaxRows, "\x00", 0, "\xf4")
	}
	if _, err := new(Schemas).DecodeBody(content(parts...)); err == nil || !strings.Contains(err.Error(), "cells") {
		t.Errorf("cells: %v", err)
	}
	z, err := zstd.NewWriter(nil, zstd.WithSingleSegment(true))
	if err != nil {
		t.Fatal(err)
	}
	zeros := z.EncodeAll(make([]byte, MaxContent+1), nil)
	bomb := append([]byte{bodyZstd}, zeros[len(zstdMagic):]...)
	if _, err := new(Schemas).DecodeBody(bomb); err == nil || !strings.Contains(err.Error(), "too great a size") {
		t.Errorf("zstd frame of %d bytes: %v", len(bomb), err)
	}
	// Two frames, the second holding a good rest of the block that the first begins.
	good := content(0, 0, 1, oneSchema, 2, "\x00", 20, "\x00", 8)[1:]
	two := append([]byte{bodyZstd}, z.EncodeAll(good[:5], nil)[len(zstdMagic):]...)
	two = z.EncodeAll(good[5:], two)
	if _, err := new(Schemas).DecodeBody(two); err == nil {
		t.Error("a second frame behind a small one is no error")
	}
}

func TestSchemasOfOneAgentAreBounded(t *testing.T) {
	s := &Schemas{}
	for i := range maxSchemas + 10 {
		if _, err := s.Add(&ups.Layout{Columns: []ups.Column{{Point: ups.Point(i + 1000), Divisor: 1}}}); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.known) != maxSchemas {
		t.Errorf("%d schemas kept, want %d", len(s.known), maxSchemas)
	}
}

func TestEncodeRefusesWhatIsOutsideTheLimits(t *testing.T) {
	one := &ups.Layout{Columns: []ups.Column{{Point: 1, Divisor: 1}}}
	wide := &ups.Layout{Columns: make([]ups.Column, 40)}
	for i := range wide.Columns {
		wide.Columns[i] = ups.Column{Point: 1, Divisor: 1}
	}
	// Wild values in every cell: 10 bytes each, 10 MiB.
	wild := &Block{Sections: []Rows{{Layout: wide, At: make([]int64, 25_000), Raw: make([]int64, 40*25_000)}}}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range wild.Sections[0].Raw {
		wild.Sections[0].Raw[i] = random.Int64() - math.MaxInt64/2
	}
	e := NewEncoder()
	for range 2 {
		if !failsWithoutOutput(e.Encode([]byte("x"), wild)) {
			t.Error("content: no error, or output")
		}
	}
	body, err := e.Encode(nil, &Block{Sections: []Rows{{Layout: wide}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := new(Schemas).DecodeBody(body); err != nil {
		t.Errorf("a refused block counts as announced: %v", err)
	}
	for name, b := range map[string]*Block{
		"unit":     {Unit: strings.Repeat("x", maxName+1)},
		"layout":   {Sections: []Rows{{}}},
		"lengths":  {Sections: []Rows{{Layout: one, At: []int64{1}}}},
		"tier":     {Sections: []Rows{{Layout: one, Tier: ups.TierCount}}},
		"rows":     {Sections: []Rows{{Layout: one, At: make([]int64, MaxRows+1), Raw: make([]int64, MaxRows+1)}}},
		"cells":    {Sections: []Rows{{Layout: wide, At: make([]int64, 30_000), Raw: make([]int64, 40*30_000)}}},
		"divisor":  {Sections: []Rows{{Layout: &ups.Layout{Columns: []ups.Column{{Point: 1}}}}}},
		"sections": {Sections: make([]Rows, MaxSections+1)},
		"columns":  {Sections: []Rows{{Layout: &ups.Layout{Columns: slices.Repeat(one.Columns, MaxColumns+1)}}}},
	} {
		if !failsWithoutOutput(NewEncoder().Encode([]byte("x"), b)) {
			t.Errorf("%s: no error, or output", name)
		}
	}
}

func TestSampleMessageRefusesOtherRecords(t *testing.T) {
	good := Record{Lane: Samples, Class: ClassSamples, Seq: 1}
	for name, change := range map[string]func(*Record){
		"number": func(r *Record) { r.Seq = 0 }, "lane": func(r *Record) { r.Lane = Events }, "class": func(r *Record) { r.Class = ClassGap },
		"picture": func(r *Record) { r.Class = ClassPicture }, "mono": func(r *Record) { r.Stamp.Mono = -1 }, "size": func(r *Record) { r.Payload = make([]byte, MaxMessage) },
	} {
		r := good
		if change(&r); !failsWithoutOutput(SampleMessage([]byte("x"), "a", r)) {
			t.Errorf("%s: no error, or output", name)
		}
	}
	if !failsWithoutOutput(SampleMessage([]byte("x"), "a/b", good)) {
		t.Error("agent: no error")
	}
}

func TestHeaderErrorsBehindAGoodChecksum(t *testing.T) {
	msg, err := SampleMessage(nil, "a", Record{Lane: Samples, Class: ClassSamples, Seq: 1, Payload: []byte{0}})
	if err != nil {
		t.Fatal(err)
	}
	for at, c := range map[int]byte{4: MaxAgent + 1, 5: '/', 22: 0, 42: 2} { // length and text of the agent, seq, kind of wall clock
		bad := slices.Clone(msg)
		bad[at] = c
		if _, _, err := openMessage(sealed(bad)); err == nil || errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d is %#x: %v", at, c, err)
		}
	}
	picture, err := SampleMessage(nil, "a", Record{Lane: Events, Class: ClassPicture, Seq: 2, Payload: PicturePayload(1, []byte{0, 0, 0, 0})})
	if err != nil {
		t.Fatal(err)
	}
	if p, err := new(Schemas).Decode(picture); err != nil || p.Event != 1 {
		t.Fatalf("%+v, %v", p, err)
	}
	for at, c := range map[int]byte{3: 3, 4: byte(Samples), len(picture) - 9: 0} { // version, lane, event
		bad := slices.Clone(picture)
		bad[at] = c
		if _, err := new(Schemas).Decode(sealed(bad)); err == nil || errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d of a picture is %#x: %v", at, c, err)
		}
	}
}
