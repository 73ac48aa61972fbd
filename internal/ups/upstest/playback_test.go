package upstest

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"upsedge/internal/ups/modbus"
)

// failures collects what a playback complains about, instead of failing the test.
type failures struct {
	testing.TB
	said []string
	end  func()
}

func (f *failures) Helper()                      {}
func (f *failures) Errorf(s string, args ...any) { f.said = append(f.said, fmt.Sprintf(s, args...)) }
func (f *failures) Cleanup(end func())           { f.end = end }

const played = `upsedge capture 1

0.000000 +2.000000 open refused
3.000000 +0.001000 open < FF
# a read and its answer, silence, and an answer after which the other end closes
3.500000 +0.050000 > 01 03 00 00 00 01 < 01 03 02 00 02
4.000000 +0.500000 > 02 < silence
5.000000 +0.700000 > 03 < 04 05 closed
`

func TestPlaysWhatWasRecordedWhenItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := NewPlayback(t, played)
		if _, err := p.Open(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("the first Open = %v, want a refusal", err)
		}
		l, err := p.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 8)
		if n, err := l.Read(got); n != 1 || err != nil {
			t.Errorf("Read of what came first = %d, %v", n, err)
		}
		for _, request := range [][]byte{{1, 3, 0, 0, 0, 1}, {2}, {3}} {
			asked := time.Now()
			if n, err := l.Write(request); n != len(request) || err != nil {
				t.Fatalf("Write = %d, %v", n, err)
			}
			if request[0] == 2 {
				continue
			}
			n, err := l.Read(got)
			if took := time.Since(asked); err != nil || took != map[byte]time.Duration{1: 50, 3: 700}[request[0]]*time.Millisecond {
				t.Errorf("answer to %d: %v after %v, % X", request[0], err, took, got[:n])
			}
		}
		if _, err := l.Read(got); err != io.EOF {
			t.Errorf("Read after the other end closed = %v, want EOF", err)
		}
	})
}

func TestPlaybackFindsMistakes(t *testing.T) {
	const whole = "upsedge capture 1\n\n0.0 +0.0 open\n1.0 +0.0 > 01 < AA\n2.0 +0.0 > 02 < BB\n"
	for _, c := range []struct {
		name     string
		requests [][]byte
		want     string
	}{
		{"another request", [][]byte{{9}}, "line 4: request 09 instead of request 01"},
		{"left over", [][]byte{{1}}, "line 5: request 02 did not come"},
		{"too many", [][]byte{{1}, {2}, {2}}, "request 02 after the end"},
		{"opened again", [][]byte{{1}, nil}, "line 5: the opening instead of request 02"},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := &failures{TB: t}
			p := NewPlayback(f, whole)
			var l modbus.Link
			for _, r := range append([][]byte{nil}, c.requests...) {
				if r == nil {
					l, _ = p.Open(t.Context())
					continue
				}
				if _, err := l.Write(r); err == nil {
					_, _ = l.Read(make([]byte, 8))
				}
			}
			f.end()
			if all := strings.Join(f.said, "\n"); !strings.Contains(all, c.want) {
				t.Errorf("%s: it said %q, want %q", c.name, all, c.want)
			}
		})
	}
}
