package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// seedFiles adds the golden files of a name pattern.
func seedFiles(f *testing.F, pattern string) {
	files, err := filepath.Glob(filepath.Join("testdata", "v1", pattern))
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds %s: %v", pattern, err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		if strings.HasSuffix(name, ".hex") {
			if b, err = hex.DecodeString(strings.Join(strings.Fields(string(b)), "")); err != nil {
				f.Fatal(err)
			}
		}
		f.Add(b)
	}
}

// FuzzDecodeEventMessage: what is taken says the same after it has been written again.
func FuzzDecodeEventMessage(f *testing.F) {
	seedFiles(f, "*.json")
	f.Add([]byte(goodEvent))
	f.Fuzz(func(t *testing.T, msg []byte) {
		p, err := DecodeEventMessage(msg)
		if err != nil {
			var body *BodyError
			if errors.As(err, &body) != (p != nil) || p != nil && (p.Event != nil || p.Gap != nil || p.Result != nil) {
				t.Fatalf("both %+v and %v", p, err)
			}
			return
		}
		if p.Record.Class == 0 {
			return
		}
		again, err := EventMessage(nil, p.Agent, p.Record)
		if err != nil {
			t.Fatalf("write again: %v", err)
		}
		back, err := DecodeEventMessage(again)
		if err != nil {
			t.Fatalf("read again: %v\n%s", err, again)
		}
		if d := cmp.Diff(p, back); d != "" {
			t.Fatal(d)
		}
	})
}

func FuzzDecodeEvent(f *testing.F) {
	f.Add([]byte(goodEvent))
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := DecodeEvent(body)
		if err != nil {
			return
		}
		again, err := EncodeEvent(e)
		if err != nil {
			t.Fatalf("write again: %v", err)
		}
		if back, err := DecodeEvent(again); err != nil || !cmp.Equal(e, back, cmpopts.EquateEmpty()) {
			t.Fatalf("%+v, then %+v, %v", e, back, err)
		}
	})
}

func FuzzDecodeGap(f *testing.F) {
	seedFiles(f, "gap*.json")
	f.Fuzz(func(t *testing.T, body []byte) {
		g, err := DecodeGap(body)
		if err != nil {
			return
		}
		again, err := EncodeGap(g)
		if err != nil {
			t.Fatalf("write again: %v", err)
		}
		if back, err := DecodeGap(again); err != nil || g != back {
			t.Fatalf("%+v, then %+v, %v", g, back, err)
		}
	})
}

func FuzzDecodeResult(f *testing.F) {
	seedFiles(f, "result*.json")
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := DecodeResult(body)
		if err != nil {
			return
		}
		again, err := EncodeResult(r)
		if err != nil {
			t.Fatalf("write again: %v", err)
		}
		if back, err := DecodeResult(again); err != nil || !cmp.Equal(r, back, cmpopts.EquateEmpty()) {
			t.Fatalf("%+v, then %+v, %v", r, back, err)
		}
	})
}

func FuzzDecodeState(f *testing.F) {
	seedFiles(f, "state*.json")
	f.Fuzz(func(t *testing.T, msg []byte) {
		s, err := DecodeState(msg)
		if err != nil {
			if s != nil {
				t.Fatalf("both %+v and %v", s, err)
			}
			return
		}
		again, err := EncodeState(s)
		if err != nil {
			t.Fatalf("write again: %v", err)
		}
		back, err := DecodeState(again)
		if err != nil || !cmp.Equal(s, back, cmpopts.EquateEmpty()) {
			t.Fatalf("%+v, then %+v, %v", s, back, err)
		}
	})
}

// FuzzDecodeBlock: the checksum keeps chance out; here it is made to fit, so that what lies behind it is reached.
func FuzzDecodeBlock(f *testing.F) {
	seedFiles(f, "*.hex")
	f.Fuzz(func(t *testing.T, msg []byte) {
		s := &Schemas{}
		if p, err := s.Decode(msg); err != nil && p != nil && p.Block != nil {
			t.Fatalf("a block and %v", err)
		}
		agent, r, err := openMessage(sealed(msg))
		if err != nil {
			return
		}
		again, err := SampleMessage(nil, agent, r)
		if err != nil {
			t.Fatalf("write the header again: %v", err)
		}
		agent2, r2, err := openMessage(again)
		if err != nil || agent2 != agent || !cmp.Equal(r, r2) {
			t.Fatalf("header %+v, then %+v, %v", r, r2, err)
		}
	})
}

// FuzzDecodePicture: whatever is taken has an event and a block, which FuzzDecodeBody looks at.
func FuzzDecodePicture(f *testing.F) {
	body, err := NewEncoder().EncodeAlone(nil, newTrace(3, true).block(time.Second))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(PicturePayload(1, body))
	f.Add(PicturePayload(1<<63, body))
	f.Add(PicturePayload(0, body))
	f.Fuzz(func(t *testing.T, payload []byte) {
		event, b, err := new(Schemas).DecodePicture(payload)
		if (err == nil) != (b != nil) || err == nil && event == 0 {
			t.Fatalf("event %d, block %v and %v", event, b, err)
		}
	})
}

// FuzzDecodeBody: whatever is taken is within the limits, can be printed, and says the same after it has been written again.
func FuzzDecodeBody(f *testing.F) {
	e := NewEncoder()
	for _, noisy := range []bool{true, false} {
		for _, span := range []time.Duration{time.Second, 10 * time.Second} {
			e.Forget()
			body, err := e.Encode(nil, newTrace(3, noisy).block(span))
			if err != nil {
				f.Fatal(err)
			}
			f.Add(body)
			f.Add(bytes.Clone(e.content))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := new(Schemas).DecodeBody(body)
		if err != nil {
			if b != nil {
				t.Fatalf("both %+v and %v", b, err)
			}
			return
		}
		again, err := NewEncoder().Encode(nil, b)
		if err != nil {
			t.Fatalf("write again: %v", err)
		}
		back, err := new(Schemas).DecodeBody(again)
		if err != nil {
			t.Fatalf("read again: %v", err)
		}
		if !cmp.Equal(b, back) {
			t.Fatal(cmp.Diff(b, back))
		}
	})
}

// sealed gives msg the checksum that fits it.
func sealed(msg []byte) []byte {
	if len(msg) < crc32.Size {
		return msg
	}
	whole := bytes.Clone(msg[:len(msg)-crc32.Size])
	return binary.BigEndian.AppendUint32(whole, crc32.Checksum(whole, castagnoli))
}
