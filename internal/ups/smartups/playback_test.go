package smartups

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"path"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"upsedge/internal/ups"
	"upsedge/internal/ups/capture"
	"upsedge/internal/ups/modbus"
	"upsedge/internal/ups/upssim"
	"upsedge/internal/ups/upstest"
)

// openPlayback returns a line on which a capture is played. With -update the capture is first made, of what b answers.
func openPlayback(t *testing.T, file string, b *bench) *modbus.Line {
	var running sync.WaitGroup
	if *update {
		var out strings.Builder
		rec := capture.NewRecorder(&out, capture.Header{From: capture.FromSimulated, Link: "serial 9600 none", Slave: "1"}, capture.Options{})
		t.Cleanup(func() {
			if err := errors.Join(rec.Close(), os.WriteFile(file, []byte(out.String()), 0o644)); err != nil {
				t.Error(err)
			}
		})
		return runLine(t, modbus.Config{Open: rec.Open(func(context.Context) (modbus.Link, error) {
			ours, theirs := net.Pipe()
			running.Go(func() { b.serve(theirs) })
			return plain{ours}, nil
		})}, &running)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return runLine(t, modbus.Config{Open: upstest.NewPlayback(t, string(text)).Open}, &running)
}

// plain is a link without deadlines, as the played one is.
type plain struct{ io.ReadWriteCloser }

// The unit of this world is only asked what it would say: what comes over the line is in the transcripts.
func TestFulfilsTheContractOnPlayback(t *testing.T) {
	upstest.Suite{Bubble: true, Open: func(t *testing.T) upstest.World {
		b := &bench{Unit: upssim.New(upssim.Options{})}
		line := openPlayback(t, "testdata/playback/"+path.Base(t.Name())+".capture", b)
		w := b.world(New(Config{Name: "rack-a", Line: line, UnitID: 1}))
		w.Late = nil // all blocks after all blocks would be a long transcript
		return w
	}}.Run(t)
}

// The frames of the protocol reference, section 13, of which the verification block is one, go over the line as printed.
func TestPlaysTheFramesOfTheReference(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := openPlayback(t, "testdata/section13.capture", nil)
		d := New(Config{Name: "rack-a", Line: line, UnitID: 1})
		if _, err := d.Connect(t.Context(), nil); exception(err) != 4 {
			t.Errorf("Connect = %v, want the exception at 512", err)
		}
	})
}

// A unit as it is on mains, recorded once from the simulation; every value as text, to be looked at.
func TestReadsARecordedUnit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bench{Unit: upssim.New(upssim.Options{})}
		line := openPlayback(t, "testdata/playback/unit.capture", b)
		s, err := ReadAll(t.Context(), New(Config{Name: "rack-a", Line: line, UnitID: 1}))
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		for _, p := range ups.Points() {
			fmt.Fprintf(&out, "%-28s %s\n", p, said(s, p))
		}
		golden(t, "testdata/unit.golden", out.String())
	})
}

// said renders the value of p.
func said(s *ups.State, p ups.Point) string {
	raw, ok := s.Raw(p)
	info := p.Info()
	switch {
	case info.Kind == ups.Text:
		return fmt.Sprintf("%q", s.Text(p))
	case !ok:
		return "-"
	case info.Kind == ups.Date:
		return ups.Day(raw).Format("2006-01-02")
	case info.Kind == ups.Flags || info.Kind == ups.Choice:
		var names []string
		for _, n := range ups.Names(p) {
			if raw&(1<<n.Number) != 0 {
				names = append(names, n.Name)
			}
		}
		return fmt.Sprintf("0x%X %v", raw, names)
	}
	return fmt.Sprint(math.Round(float64(raw)/float64(s.Divisor(p))*1000)/1000, " ", info.Unit)
}
