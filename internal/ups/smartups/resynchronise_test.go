package smartups

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"upsedge/internal/ups"
	"upsedge/internal/ups/modbus"
	"upsedge/internal/ups/upssim"
)

// After a failure the verification block comes first, and after one that may mean another unit its serial number, too.
func TestResynchronisesBeforeItBelieves(t *testing.T) {
	link := &modbus.LinkError{Op: "read", Err: errors.New("gone")}
	for _, c := range []struct {
		name string
		fail []error // what the exchanges after Connect meet, then nothing
		want []string
	}{
		{"nothing failed", nil, []string{"0/27", "2/1", "0/27", "2/1", "0/27"}},
		{"an exception", []error{refusedAddress}, []string{"0/27", "2/1", "0/27", "2/1", "0/27"}},
		{"silence", []error{silence}, []string{"0/27", "2048/14", "0/27", "2/1", "0/27"}},
		{"garbage", []error{noise}, []string{"0/27", "0/27", "2048/14", "0/27", "2/1", "0/27"}},
		{"garbage twice", []error{noise, noise}, []string{"0/27", "0/27", "2048/14", "0/27", "2/1", "0/27"}},
		{"garbage three times", []error{noise, noise, noise}, []string{"0/27", "0/27", "2048/14", "2048/14", "0/27", "2/1", "0/27"}},
		{"not sent", []error{&modbus.RequestError{Err: context.Canceled}}, []string{"0/27", "0/27", "2/1", "0/27"}},
		{"silence twice", []error{silence, silence}, []string{"0/27", "2048/14", "2048/14", "564/8", "0/27"}},
		{"every second silent", []error{silence, nil, silence, nil}, []string{"0/27", "2048/14", "0/27", "0/27", "2048/14", "0/27"}},
		{"between two", []error{nil, silence}, []string{"0/27", "2/1", "2048/14", "0/27"}},
		{"between two, refused", []error{nil, refusedAddress}, []string{"0/27", "2/1", "0/27", "2/1", "0/27"}},
		{"the link", []error{link}, []string{"0/27", "2048/14", "564/8", "0/27", "2/1", "0/27"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			fail := c.fail
			armed := false
			l, d := newScript(upssim.New(upssim.Options{}), false, func(span) error {
				if !armed || len(fail) == 0 {
					return nil
				}
				err := fail[0]
				fail = fail[1:]
				return err
			})
			b := find(t, connected(t, d), ups.TierStatus)
			l.take()
			armed = true
			for range 3 {
				var r ups.Reading
				_ = d.Read(t.Context(), b, &r)
			}
			if diff := cmp.Diff(c.want, l.take()); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}

// No two replies in a row have one length: of the watch there are two spans, and the reading is the same with both. A unit that
// refuses the longer one is asked for a register between two watches instead; on TCP, for nothing.
func TestAReadThatFollowsItselfHasAnotherLength(t *testing.T) {
	for _, c := range []struct {
		name   string
		refuse span
		timing modbus.Timing
		want   []string
	}{
		{"two spans", span{}, nineSix, []string{"0/3", "0/5", "0/3", "0/5"}},
		{"the longer one refused", longWatch, nineSix, []string{"0/3", "0/5", "0/3", "2/1", "0/3", "2/1", "0/3"}},
		{"refused, on TCP", longWatch, modbus.Timing{}, []string{"0/3", "0/5", "0/3", "0/3", "0/3"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := upssim.New(upssim.Options{})
			l, d := newScript(u, false, func(s span) error {
				if s == c.refuse {
					return refusedAddress
				}
				return nil
			})
			l.timing = c.timing
			b := find(t, connected(t, d), ups.TierWatch)
			l.take()
			for i := range uint16(4) {
				u.Poke(2, i)
				var r ups.Reading
				if err := d.Read(t.Context(), b, &r); err != nil {
					t.Fatal(err)
				}
				if len(r.Raw) != 2 || r.Raw[1] != int64(i) || r.Layout != &d.reads[b.Index].layout {
					t.Errorf("reading %d: %v", i, r.Raw)
				}
			}
			if diff := cmp.Diff(c.want, l.take()); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
}

// The verification block of another device, or of this one out of step, is no resynchronisation.
func TestAWrongVerificationBlockIsNotBelieved(t *testing.T) {
	u := upssim.New(upssim.Options{})
	var fail error
	_, d := newScript(u, false, func(span) error { return fail })
	b := find(t, connected(t, d), ups.TierStatus)
	var r ups.Reading
	fail = silence
	_ = d.Read(t.Context(), b, &r)
	fail = nil
	u.Poke(2056, 0xFFFB, 0xFFFF) // words the other way round
	for range 3 {
		if err := d.Read(t.Context(), b, &r); ups.FailureOf(err) != ups.FailureImplausible {
			t.Errorf("Read = %v, want implausible", err)
		}
	}
	u.Unpoke(2056, 2)
	if err := d.Read(t.Context(), b, &r); err != nil {
		t.Errorf("Read with the right block = %v", err)
	}
}

// A unit that must be read without undefined registers has reads of the same length: 6/2 and 644/2. A late answer to one is
// all that an answer to the other has to be, and only the resynchronisation tells.
func TestALateAnswerOfTheSameLengthIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, d := newBench(t, upssim.Options{}, Config{})
		pl := newPlanner(nineSix, profile{groups: 0b0011})
		b.refusal = func(addr, count uint16) byte {
			if addr < verifyAddr && !pl.certain(span{addr, count}) {
				return illegalAddress
			}
			return 0
		}
		b.Poke(6, 0x0000, 0x0001) // on
		b.Poke(644, 0x0000, 0x0020)
		var outlet, setting ups.Block
		for _, bl := range connected(t, d) {
			switch bl.Name {
			case "6/2":
				outlet = bl
			case "644/2":
				setting = bl
			}
		}
		if outlet.Name == "" || setting.Name == "" {
			t.Fatalf("plan %v, want 6/2 and 644/2 in it", names(blocks(d.reads, d.others, nineSix)))
		}
		var r ups.Reading
		b.late.Store(true)
		if err := d.Read(t.Context(), outlet, &r); !errors.Is(err, modbus.ErrTimeout) {
			t.Fatalf("Read without an answer = %v", err)
		}
		for n := range 5 {
			err := d.Read(t.Context(), setting, &r)
			if err == nil && r.Raw[0] != 0x20 {
				t.Fatalf("attempt %d: the voltage setting is 0x%X, which is the outlet's state", n, r.Raw[0])
			}
			if err == nil {
				return
			}
		}
		t.Error("the unit answers and is not read again")
	})
}
