package smartups

import "fmt"

// The verification block: constants that prove byte order, word order and sign, and tell this map from any other device's
// (protocol reference, section 5.6). Its length is kept for it alone, so that an answer to it is never mistaken for another.
const (
	verifyAddr  = 2048
	verifyCount = 14
)

// knownMap is the only version of the register map that was ever seen.
const knownMap = "00.5"

const testString = "12345678" // at 2050

// constants are the numbers of the verification block by address, after decoding: raw integers.
var constants = map[uint16]int64{
	2054: 0x12345678,
	2056: -5,
	2058: 0x1234,
	2059: -5,
	2060: 8224,  // 128.5 · 64
	2061: -8224, // -128.5 · 64
}

// verify compares the words of the verification block with what they always are and returns the version of the map.
func verify(words []uint16) (mapID string, err error) {
	for i := range registers {
		r := &registers[i]
		if r.addr < verifyAddr {
			continue
		}
		item := words[r.addr-verifyAddr:][:r.words]
		switch want, number := constants[r.addr]; {
		case number:
			if got := r.integer(r.bits(item)); got != want {
				return "", fmt.Errorf("register %d holds %d instead of %d", r.addr, got, want)
			}
		case r.addr == verifyAddr:
			if mapID, _ = text(item); mapID == "" {
				return "", fmt.Errorf("register %d holds no text", r.addr)
			}
		default:
			if got, _ := text(item); got != testString {
				return "", fmt.Errorf("register %d holds %q instead of %q", r.addr, got, testString)
			}
		}
	}
	return mapID, nil
}
