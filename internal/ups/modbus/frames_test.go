package modbus

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The example frames of the protocol reference, section 13, each with its checksum.
const (
	verification      = "01 03 08 00 00 0E C6 6E"
	verificationReply = "01 03 1C 30 30 2E 35 31 32 33 34 35 36 37 38 12 34 56 78 FF FF FF FB 12 34 FF FB 20 20 DF E0 8E 70"
	statusRead        = "01 03 00 00 00 1B 05 C1"
	watchRead         = "01 03 00 00 00 03 05 CB"
	batteryTest       = "01 10 06 05 00 01 02 00 01 01 C5"
	batteryTestReply  = "01 10 06 05 00 01 11 40"
	exception2        = "01 83 02 C0 F1"
	exception4        = "01 90 04 4D C3"
)

func TestExampleFramesThroughTheLine(t *testing.T) {
	constant := []uint16{0x3030, 0x2E35, 0x3132, 0x3334, 0x3536, 0x3738, 0x1234, 0x5678, 0xFFFF, 0xFFFB, 0x1234, 0xFFFB, 0x2020, 0xDFE0}
	for _, test := range []struct {
		name        string
		addr, count uint16
		values      []uint16 // written, if any
		request     string
		reply       string // empty: none
		want        []uint16
		err         error // only its type counts, for an ExceptionError its code too
	}{
		{"verification", 2048, 14, nil, verification, verificationReply, constant, nil},
		{"status", 0, 27, nil, statusRead, "", nil, ErrTimeout},
		{"watch", 0, 3, nil, watchRead, exception2, nil, &ExceptionError{3, 2}},
		{"dynamic", 128, 44, nil, "01 03 00 80 00 2C 45 FF", "", nil, ErrTimeout},
		{"inventory", 516, 80, nil, "01 03 02 04 00 50 05 8F", "", nil, ErrTimeout},
		{"names", 596, 40, nil, "01 03 02 54 00 28 05 BC", "", nil, ErrTimeout},
		{"settings", 1026, 22, nil, "01 03 04 02 00 16 64 F4", "", nil, ErrTimeout},
		{"battery test", 1541, 0, []uint16{1}, batteryTest, batteryTestReply, nil, nil},
		{"refused battery test", 1541, 0, []uint16{1}, batteryTest, exception4, nil, &ExceptionError{16, 4}},
		{"shutdown, reply lost", 1540, 0, []uint16{1}, "01 10 06 04 00 01 02 00 01 00 14", "", nil, ErrTimeout},
		{"reboot, confirmed for one register", 1538, 0, []uint16{4, 0x43}, "01 10 06 02 00 02 04 00 04 00 43", "01 10 06 02 00 01", nil, &FrameError{}},
		{"beep, another command confirmed", 1543, 0, []uint16{1}, "01 10 06 07 00 01 02 00 01 00 27", batteryTestReply, nil, &FrameError{}},
		{"reply of another unit", 2048, 14, nil, verification, "02" + verificationReply[2:], nil, &FrameError{}},
		{"checksum", 2048, 14, nil, verification, verificationReply[:len(verificationReply)-2] + "71", nil, &FrameError{}},
		{"reply to another count", 0, 3, nil, watchRead, verificationReply, nil, &FrameError{}},
		{"reply to a write", 0, 3, nil, watchRead, batteryTestReply, nil, &FrameError{}},
		{"exception of a write", 0, 3, nil, watchRead, exception4, nil, &FrameError{}},
		{"half a reply", 2048, 14, nil, verification, verificationReply[:30], nil, &FrameError{}},
		{"more than the reply", 2048, 14, nil, verification, verificationReply + "00", nil, &FrameError{}},
		{"noise", 2048, 14, nil, verification, "00 FF 00", nil, &FrameError{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, wg *sync.WaitGroup) {
				request, reply := unhex(t, test.request), unhex(t, test.reply)
				if crc16(request) != 0 {
					request = withCRC(request...)
				}
				if len(reply) == 6 {
					reply = withCRC(reply...)
				}
				p := &peer{answer: func([]byte) []byte { return slices.Clip(reply) }}
				line, _ := start(t, Config{Open: p.open(wg)})
				var got []uint16
				var err error
				if test.values != nil {
					err = line.WriteHolding(t.Context(), Urgent, 1, test.addr, test.values)
				} else {
					got, err = line.ReadHolding(t.Context(), Background, 1, test.addr, test.count, make([]uint16, 125))
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Error(diff)
				}
				if !sameKind(err, test.err) {
					t.Errorf("error %v, want a %T", err, test.err)
				}
				if sent := p.requests(); len(sent) != 1 || !slices.Equal(sent[0].frame, request) {
					t.Errorf("sent %v, want %v", sent, request)
				}
			})
		})
	}
}

func sameKind(got, want error) bool {
	var exception *ExceptionError
	var frame *FrameError
	switch want := want.(type) {
	case nil:
		return got == nil
	case *ExceptionError:
		return errors.As(got, &exception) && *exception == *want
	case *FrameError:
		return errors.As(got, &frame)
	default:
		return errors.Is(got, want)
	}
}

func TestFramesOfTCP(t *testing.T) {
	request := unhex(t, "00 01 00 00 00 06 01 03 00 00 00 03")
	for name, test := range map[string]struct {
		got    string
		size   int
		wanted bool
		bad    bool
	}{
		"the answer":                {"0001 0000 0009 01 03 06 0001 0002 0003", 15, true, false},
		"and the next behind it":    {"0001 0000 0009 01 03 06 0001 0002 0003 0002", 15, true, false},
		"an exception":              {"0001 0000 0003 01 83 02", 9, true, false},
		"not all yet":               {"0001 0000 0009 01 03 06 0001 0002", 0, false, false},
		"nothing":                   {"", 0, false, false},
		"a late transaction":        {"0000 0000 0009 01 03 06 0001 0002 0003", 15, false, false},
		"a late one, other length":  {"0000 0000 0003 01 83 02", 9, false, false},
		"another protocol":          {"0001 0001 0009 01 03 06 0001 0002 0003", 0, false, true},
		"another protocol, early":   {"4854 5450", 0, false, true},
		"another unit":              {"0001 0000 0009 02 03 06 0001 0002 0003", 15, false, true},
		"another function":          {"0001 0000 0009 01 04 06 0001 0002 0003", 15, false, true},
		"another count":             {"0001 0000 0007 01 03 04 0001 0002", 13, false, true},
		"byte count against length": {"0001 0000 0007 01 03 06 0001 0002", 13, false, true},
		"the request come back":     {"0001 0000 0006 01 03 0000 0003", 12, false, false},
		"no PDU":                    {"0001 0000 0001 01", 0, false, true},
		"too long":                  {"0001 0000 00FF 01", 0, false, true},
		"exception with more in it": {"0001 0000 0004 01 83 02 00", 10, false, true},
	} {
		size, wanted, err := matchTCP(request, unhex(t, test.got), false)
		if size != test.size || wanted != test.wanted || (err != nil) != test.bad {
			t.Errorf("%s: %d, %v, %v; want %d, %v, error %v", name, size, wanted, err, test.size, test.wanted, test.bad)
		}
	}
}

// FuzzMatchRTU holds the matcher against a second, whole-frame statement of the rules.
func FuzzMatchRTU(f *testing.F) {
	f.Add(unhex(f, verification), unhex(f, verificationReply))
	f.Add(unhex(f, batteryTest), unhex(f, batteryTestReply))
	f.Add(unhex(f, watchRead), unhex(f, exception2))
	f.Add(unhex(f, batteryTest), unhex(f, exception4))
	f.Fuzz(func(t *testing.T, request, got []byte) {
		if !isRequest(request) {
			t.Skip()
		}
		size, err := matchRTU(request, got)
		good := len(got) >= 5 && crc16(got) == 0 && answers(request[:len(request)-2], got[:len(got)-2])
		if good != (size == len(got) && size > 0) || good && err != nil {
			t.Fatalf("% x to % x: size %d, error %v, want taken %v", got, request, size, err, good)
		}
		for n := range got { // nothing is taken or refused too early
			early, earlyErr := matchRTU(request, got[:n])
			if good && (early != 0 || earlyErr != nil) {
				t.Fatalf("% x taken as %d, %v after %d bytes", got, early, earlyErr, n)
			}
		}
	})
}

// FuzzMatchTCP does the same for a stream of frames.
func FuzzMatchTCP(f *testing.F) {
	f.Add(unhex(f, "000100000006010300000003"), unhex(f, "000100000009010306000100020003"), false)
	f.Add(unhex(f, "000100000006010300000003"), unhex(f, "000000000009010306000100020003"), true)
	f.Add(unhex(f, "000100000006010300000003"), unhex(f, "000100000003018302"), false)
	f.Add(unhex(f, "00070000000901100605000102 0001"), unhex(f, "000700000006011006050001"), true)
	f.Fuzz(func(t *testing.T, request, got []byte, shared bool) {
		if len(request) < 7 || !isRequest(withCRC(request[6:]...)) {
			t.Skip()
		}
		size, wanted, err := matchTCP(request, got, shared)
		if size < 0 || size > len(got) || err != nil && (wanted || (size != 0) != isFramed(err)) || wanted && size == 0 {
			t.Fatalf("% x: %d, %v, %v", got, size, wanted, err)
		}
		if !wanted {
			return
		}
		frame := got[:size]
		if frame[0] != request[0] || frame[1] != request[1] || frame[2] != 0 || frame[3] != 0 ||
			int(binary.BigEndian.Uint16(frame[4:])) != size-6 || !answers(request[6:], frame[6:]) {
			t.Fatalf("% x taken for the answer to % x", frame, request)
		}
	})
}

// isRequest tells whether an RTU frame is one that the line could send.
func isRequest(request []byte) bool {
	if len(request) < 8 {
		return false
	}
	count := int(binary.BigEndian.Uint16(request[4:]))
	switch request[1] {
	case readFunction:
		return len(request) == 8 && count >= 1 && count <= MostRead
	case writeFunction:
		return count >= 1 && count <= MostWrite && len(request) == 9+2*count && int(request[6]) == 2*count
	}
	return false
}

// answers tells whether unit and PDU of a reply answer those of a request.
func answers(request, reply []byte) bool {
	if len(reply) < 3 || reply[0] != request[0] {
		return false
	}
	if reply[1] == request[1]|0x80 {
		return len(reply) == 3
	}
	if reply[1] != request[1] {
		return false
	}
	if request[1] == writeFunction {
		return slices.Equal(reply[2:], request[2:6])
	}
	count := 2 * int(binary.BigEndian.Uint16(request[4:]))
	return int(reply[2]) == count && len(reply) == 3+count
}

// goburrow takes four allocations for a read; the line adds none.
func TestPollingAllocatesOnlyWhatGoburrowDoes(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for name, cfg := range map[string]Config{"rtu": {Baud: 10_000_000, Gap: time.Nanosecond}, "tcp": {Framing: TCP}} {
		link := newInstant(registersAt(cfg.Framing))
		cfg.Open = link.open
		line, stop := start(t, cfg)
		dst := make([]uint16, 44)
		got := testing.AllocsPerRun(200, func() {
			if _, err := line.ReadHolding(t.Context(), Background, 1, 128, 44, dst); err != nil {
				t.Fatal(err)
			}
		})
		stop()
		if got > 4 {
			t.Errorf("%s: %v allocations per read, want goburrow's 4", name, got)
		}
	}
}
