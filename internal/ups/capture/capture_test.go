package capture

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"upsedge/internal/ups/modbus"
)

const sample = `upsedge capture 1
from: simulated
link: tcp unit
slave: 1
model: Smart-UPS 1500

0.000000 +3.000000 open unreachable
5.000000 +0.001000 open < FF FF
5.100000 +0.056000 > 01 03 00 00 00 01 84 0A < 01 03 02 00 02 39 85
5.300000 +0.508000 > 01 03 00 00 00 01 84 0A < silence
6.000000 +0.100000 > 01 03 00 00 00 01 84 0A < 01 03 closed
7.000000 +0.000000 > 01 03 00 00 00 01 84 0A < failed
`

func TestWritesWhatItParsed(t *testing.T) {
	c, err := Parse(strings.NewReader(sample))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Entries) != 6 || c.Header.Model != "Smart-UPS 1500" || c.Entries[5].Line != 12 || c.Entries[1].Request != nil {
		t.Errorf("parsed %+v", c)
	}
	var out strings.Builder
	if err := c.Write(&out); err != nil || out.String() != sample {
		t.Errorf("written, %v:\n%s", err, cmp.Diff(sample, out.String()))
	}
}

func TestAFileThatWasCutOffIsReadToItsLastLine(t *testing.T) {
	for n := len("upsedge capture 1\n"); n < len(sample); n++ {
		c, err := Parse(strings.NewReader(sample[:n]))
		if err != nil {
			t.Fatalf("after %d bytes: %v", n, err)
		}
		if want := sample[n-1] != '\n'; c.Cut != want {
			t.Errorf("after %d bytes: cut %v", n, c.Cut)
		}
	}
}

func TestErrorsNameTheLine(t *testing.T) {
	head := "upsedge capture 1\n\n"
	for _, c := range []struct{ text, want string }{
		{"", "line 1: empty"},
		{"hello\n", `line 1: "hello" is not how a capture begins`},
		{"upsedge capture 2\n", `line 1: format "2", and only 1 is known`},
		{"upsedge capture 1\nmodel\n", `line 2: "model" is not a key with its value`},
		{head + "0.0 open\n", "line 3: \"0.0 open\" does not begin with a time and a duration"},
		{head + "x +0.0 open\n", `line 3: "x" is not a number of seconds`},
		{head + "0.0 +-1 open\n", `line 3: "-1" is not a number of seconds`},
		{head + "0.0 +0.0 shut\n", `line 3: "shut" is neither open nor >`},
		{head + "0.0 +0.0 > < 01\n", "line 3: a request without bytes"},
		{head + "0.0 +0.0 > 01\n", "line 3: a request without < and what came"},
		{head + "0.0 +0.0 > 01 <\n", "line 3: neither a reply nor how it ended"},
		{head + "0.0 +0.0 > 0G < 01\n", `line 3: "0G" is not a byte in hexadecimal`},
		{head + "0.0 +0.0 > 01 < 02 silence\n", "line 3: a reply, and yet silence"},
		{head + "0.0 +0.0 > 01 < 02 nonsense\n", `line 3: "nonsense" is neither a byte in hexadecimal nor one of`},
		{head + "0.0 +0.0 > 01 < 02 closed closed\n", `line 3: "closed" behind the end`},
		{head + "0.0 +0.0 open silence\n", `line 3: "silence" is neither`},
		{head + strings.Repeat("a", 5000) + "\n", "line 3: longer than 4096"},
	} {
		if _, err := Parse(strings.NewReader(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60q: %v, want %s", c.text, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Add("upsedge capture 1\n\n0.5 +0.0 open < closed\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse(strings.NewReader(text))
		if err != nil {
			if !strings.Contains(err.Error(), "capture, line ") {
				t.Errorf("error without a line: %v", err)
			}
			return
		}
		var out strings.Builder
		if err := c.Write(&out); err != nil {
			t.Fatal(err)
		}
		again, err := Parse(strings.NewReader(out.String()))
		if err != nil {
			t.Fatalf("%v in what was written:\n%s", err, out.String())
		}
		for _, e := range [][]Entry{c.Entries, again.Entries} {
			for i := range e {
				e[i].Line = 0
			}
		}
		c.Cut = false
		if d := cmp.Diff(c, again); d != "" {
			t.Errorf("parsed, written and parsed again:\n%s", d)
		}
	})
}

// A reading of the name at 596, 8 registers, and of two that are no name.
var (
	askName  = []byte{1, 3, 2, 0x54, 0, 8}
	nameSaid = append([]byte{1, 3, 16}, "Rack A\x00\x00by door  "[:16]...)
	private  = []Span{{596, 8}}
)

func rtu(b []byte) []byte {
	crc := modbus.CRC(b)
	return append(append([]byte{}, b...), byte(crc), byte(crc>>8))
}

func mbap(id byte, b []byte) []byte { return append([]byte{0, id, 0, 0, 0, byte(len(b))}, b...) }

func TestMasksNamesAndKeepsTheFrame(t *testing.T) {
	masked := append([]byte{1, 3, 16}, "XXXX X\x00\x00XX XXXX  "[:16]...)
	r := &redactor{spans: private}
	r.ask(rtu(askName))
	got := rtu(nameSaid)
	r.reply(got)
	if d := cmp.Diff(rtu(masked), got); d != "" {
		t.Errorf("RTU:\n%s", d)
	}
	r = &redactor{spans: private, tcp: true}
	r.ask(mbap(7, askName))
	r.ask(mbap(8, []byte{1, 3, 0, 0, 0, 3}))
	got = append(mbap(7, nameSaid), mbap(8, []byte{1, 3, 6, 'a', 'b', 'c', 'd', 'e', 'f'})...)
	r.reply(got)
	if d := cmp.Diff(append(mbap(7, masked), mbap(8, []byte{1, 3, 6, 'a', 'b', 'c', 'd', 'e', 'f'})...), got); d != "" {
		t.Errorf("TCP, a late reply and the one asked for:\n%s", d)
	}
}

func TestWhatIsDamagedStaysDamaged(t *testing.T) {
	r := &redactor{spans: private}
	r.ask(rtu(askName))
	got := rtu(nameSaid)
	got[5] ^= 0x20 // on the way
	off := modbus.CRC(got)
	r.reply(got)
	if off == 0 || modbus.CRC(got) == 0 {
		t.Error("the checksum of a damaged reply is right now")
	}
	if strings.Contains(string(got), "door") {
		t.Errorf("a damaged reply has the name: %q", got)
	}
	cut := rtu(nameSaid)[:15]
	r.reply(cut)
	if strings.Contains(string(cut), "Rack") {
		t.Errorf("a reply that was cut off has the name: %q", cut)
	}
	late := &redactor{spans: private}
	late.ask(rtu(askName))
	late.ask(rtu([]byte{1, 3, 0, 0, 0, 3}))
	got = rtu(nameSaid)
	late.reply(got)
	if strings.Contains(string(got), "door") || modbus.CRC(got) != 0 {
		t.Errorf("a late reply: %q, checksum %x", got, modbus.CRC(got))
	}
	noise := []byte("junk Rack A by the door")
	late.reply(noise)
	if strings.Contains(string(noise), "door") {
		t.Errorf("noise: %q", noise)
	}
}

func TestAnExceptionAndOtherRegistersAreNotTouched(t *testing.T) {
	r := &redactor{spans: private}
	for _, c := range []struct{ ask, said []byte }{
		{askName, []byte{1, 0x83, 2}},
		{[]byte{1, 3, 2, 0x52, 0, 2}, []byte{1, 3, 4, 'a', 'b', 'c', 'd'}},    // 594 and 595: ends where the name begins
		{[]byte{1, 3, 2, 0x5C, 0, 2}, []byte{1, 3, 4, 'a', 'b', 'c', 'd'}},    // 604: behind it
		{[]byte{9, 3, 0, 0, 0, 2}, []byte{9, 3, 4, 'n', 'a', 'm', 'e'}},       // another unit
		{[]byte{1, 3, 0xFF, 0xFF, 0, 1}, []byte{1, 3, 2, 'a', 'b'}},           // the end of the map
		{[]byte{1, 3, 8, 0, 0, 2}, append([]byte{1, 3, 4}, "00.5"[:4]...)},    // the verification block
		{[]byte{1, 3, 2, 0x14, 0, 2}, append([]byte{1, 3, 4}, "Smar"[:4]...)}, // the model
	} {
		r.ask(rtu(c.ask))
		got := rtu(c.said)
		if r.reply(got); string(got) != string(rtu(c.said)) {
			t.Errorf("% x became % x", c.said, got)
		}
	}
}

// record runs use on links that open returns, and returns what was recorded.
func record(t *testing.T, o Options, open func() (modbus.Link, error), use func(open func(context.Context) (modbus.Link, error))) string {
	t.Helper()
	var out strings.Builder
	r := NewRecorder(&out, Header{From: FromSimulated}, o)
	use(r.Open(func(context.Context) (modbus.Link, error) { return open() }))
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(out.String(), "\n\n")
	return body
}

func TestRecordsFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var errs []error
		got := record(t, Options{}, func() (modbus.Link, error) {
			time.Sleep(time.Second)
			if len(errs) > 0 {
				err := errs[0]
				errs = errs[1:]
				return nil, err
			}
			ours, theirs := net.Pipe()
			go func() {
				buf := make([]byte, 8)
				_, _ = io.ReadFull(theirs, buf[:1]) // met with silence
				_, _ = io.ReadFull(theirs, buf[:2])
				time.Sleep(50 * time.Millisecond)
				_, _ = theirs.Write([]byte{0xAA})
				_, _ = theirs.Write([]byte{0xBB})
				theirs.Close()
			}()
			return ours, nil
		}, func(open func(context.Context) (modbus.Link, error)) {
			errs = []error{syscall.ECONNREFUSED, os.ErrNotExist}
			for range 2 {
				if _, err := open(t.Context()); err == nil {
					t.Error("opened")
				}
			}
			l, err := open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			_, _ = l.Write([]byte{1})
			time.Sleep(500 * time.Millisecond)
			_, _ = l.Write([]byte{2, 3})
			buf := make([]byte, 8)
			for err = error(nil); err == nil; {
				_, err = l.Read(buf)
			}
			if !errors.Is(err, io.EOF) {
				t.Errorf("the end of the link = %v", err)
			}
			_ = l.Close()
		})
		want := `0.000000 +1.000000 open refused
1.000000 +1.000000 open unreachable
2.000000 +1.000000 open
3.000000 +0.500000 > 01 < silence
3.500000 +0.050000 > 02 03 < AA BB closed
`
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	})
}

// fullLink has everything that package modbus uses of a port.
type fullLink struct {
	net.Conn
	slept bool
}

func (f *fullLink) Check() (bool, error)       { return false, io.EOF }
func (f *fullLink) SleepUntil(time.Time) error { f.slept = true; return nil }

func TestATappedPortKeepsWhatItCan(t *testing.T) {
	ours, _ := net.Pipe()
	port := &fullLink{Conn: ours}
	got := record(t, Options{}, func() (modbus.Link, error) { return port, nil }, func(open func(context.Context) (modbus.Link, error)) {
		l, err := open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := l.(sleeper); !ok || s.SleepUntil(time.Time{}) != nil || !port.slept {
			t.Error("the precise sleep is lost")
		}
		if d, ok := l.(deadlines); !ok || d.SetReadDeadline(time.Unix(1, 0)) != nil {
			t.Error("the deadlines are lost")
		}
		if _, err := l.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read after its deadline = %v", err)
		}
		if _, err := l.(checker).Check(); err != io.EOF {
			t.Errorf("Check = %v", err)
		}
	})
	if !strings.HasSuffix(got, " open closed\n") {
		t.Errorf("recorded %q, want that the other end closed", got)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestAFullDiskDisturbsNobodyAndIsTold(t *testing.T) {
	r := NewRecorder(fullDisk{}, Header{}, Options{})
	ours, theirs := net.Pipe()
	l, err := r.Open(func(context.Context) (modbus.Link, error) { return ours, nil })(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.ReadFull(theirs, make([]byte, 1)) }()
	if _, err := l.Write([]byte{1}); err != nil {
		t.Errorf("Write = %v", err)
	}
	if err := r.Close(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Close = %v, want that the disk is full", err)
	}
}
