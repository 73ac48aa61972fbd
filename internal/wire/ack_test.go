package wire

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestGoldenAck(t *testing.T) {
	want := Ack{Stream: mustID(t, "9f86d081884c7d659a2feaa0c55ad015"), Lane: Samples, Through: 1041}
	msg, err := EncodeAck(want)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "ack.json", append(msg, '\n'))
	if got, err := DecodeAck(msg); err != nil || got != want {
		t.Errorf("DecodeAck = %+v, %v, want %+v", got, err, want)
	}
}

func TestAckRefusesWhatItIsNot(t *testing.T) {
	const stream = `"stream":"9f86d081884c7d659a2feaa0c55ad015"`
	for _, row := range []struct{ msg, want string }{
		{"", "not a JSON object"},
		{`[]`, "not a JSON object"},
		{`{"v":1,` + stream + `,"lane":"samples"}`, `"through" is missing`},
		{`{"v":1,` + stream + `,"lane":"samples","through":null}`, "is null"},
		{`{"v":1,` + stream + `,"lane":"samples","through":-1}`, "through"},
		{`{"v":1,` + stream + `,"lane":"samples","through":1.5}`, "through"},
		{`{"v":1,` + stream + `,"lane":"samples","through":18446744073709551616}`, "through"},
		{`{"v":1,` + stream + `,"lane":"samples","through":1,"through":2}`, "twice"},
		{`{"v":1,` + stream + `,"lane":"samples","THROUGH":1}`, `"through" is missing`},
		{`{"v":1,` + stream + `,"lane":"results","through":1}`, "not events or samples"},
		{`{"v":1,"stream":"9f86","lane":"samples","through":1}`, "stream"},
		{`{"v":1,"stream":"00000000000000000000000000000000","lane":"samples","through":1}`, "zeros"},
		{`{"v":1,"lane":"samples","through":1}`, `"stream" is missing`},
		{`{"v":1,` + stream + `,"lane":"samples","through":1} {}`, "behind the object"},
		{`{"v":1,` + stream + `,"lane":"samples","through":1,"x":"` + strings.Repeat("x", MaxAck) + `"}`, "at most"},
	} {
		if a, err := DecodeAck([]byte(row.msg)); err == nil || !strings.Contains(err.Error(), row.want) || a != (Ack{}) {
			t.Errorf("DecodeAck(%.120q) = %+v, %v, want an error with %q", row.msg, a, err, row.want)
		}
	}
	var version *VersionError
	if _, err := DecodeAck([]byte(`{"v":2}`)); !errors.As(err, &version) {
		t.Errorf("another version: %v, want a *VersionError", err)
	}
	if _, err := EncodeAck(Ack{Lane: 3}); err == nil {
		t.Error("an acknowledgement of lane 3 was encoded")
	}
}

func FuzzDecodeAck(f *testing.F) {
	seedFiles(f, "ack.json")
	f.Add(fmt.Appendf(nil, `{"v":1,"stream":"9f86d081884c7d659a2feaa0c55ad015","lane":"events","through":%d,"more":{}}`, uint64(1<<64-1)))
	f.Fuzz(func(t *testing.T, msg []byte) {
		a, err := DecodeAck(msg)
		if err != nil {
			return
		}
		again, err := EncodeAck(a)
		if err != nil {
			t.Fatalf("write again: %v", err)
		}
		if back, err := DecodeAck(again); err != nil || back != a {
			t.Fatalf("%+v, then %+v, %v", a, back, err)
		}
	})
}
