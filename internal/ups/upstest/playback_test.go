package upstest

import (
	"fmt"
	"io"
	"strings"
	"testing"
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

const transcript = `
# a read and its answer in two parts, silence, a late answer
> 01 03 00 00 00 01
< 01 03 02
< 00 02
> 02
> 03
< 04 05
`

func TestPlaysWhatWasRecorded(t *testing.T) {
	p := NewPlayback(t, transcript)
	for _, request := range [][]byte{{1, 3, 0, 0, 0, 1}, {2}, {3}} {
		if n, err := p.Write(request); n != len(request) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	got := make([]byte, 7)
	if _, err := io.ReadFull(p, got); err != nil || fmt.Sprintf("%X", got) != "01030200020405" {
		t.Errorf("read % X, %v", got, err)
	}
	p.Close()
	if _, err := p.Read(got); err != io.EOF {
		t.Errorf("Read after Close = %v, want EOF", err)
	}
}

func TestPlaybackFindsMistakes(t *testing.T) {
	for _, c := range []struct {
		name     string
		requests [][]byte
		want     string
	}{
		{"another request", [][]byte{{9}}, "line 3: request 09 instead of 01 03 00 00 00 01"},
		{"left over", [][]byte{{1, 3, 0, 0, 0, 1}, {2}}, "line 7: request 03 did not come"},
		{"too many", [][]byte{{1, 3, 0, 0, 0, 1}, {2}, {3}, {3}}, "after the end"},
	} {
		f := &failures{TB: t}
		p := NewPlayback(f, transcript)
		for _, r := range c.requests {
			_, _ = p.Write(r)
		}
		f.end()
		if all := strings.Join(f.said, "\n"); !strings.Contains(all, c.want) {
			t.Errorf("%s: it said %q, want %q", c.name, all, c.want)
		}
	}
}

func TestRecordsWhatItCanPlay(t *testing.T) {
	var out strings.Builder
	link := Record(NewPlayback(t, transcript), &out)
	buf := make([]byte, 16)
	for _, request := range [][]byte{{1, 3, 0, 0, 0, 1}, {2}, {3}} {
		_, _ = link.Write(request)
		if request[0] != 2 {
			_, _ = link.Read(buf)
		}
		if request[0] == 1 {
			_, _ = link.Read(buf)
		}
	}
	want := strings.SplitN(strings.TrimSpace(transcript), "\n", 2)[1] + "\n"
	if out.String() != want {
		t.Errorf("recorded\n%swant\n%s", out.String(), want)
	}
}
