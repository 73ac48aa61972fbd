package upstest

import (
	"math"
	"strings"

	"upsedge/internal/ups"
)

// A Value is what an item says, worked out from the tables and the rules of the protocol reference, sections 3.3 and 4, by
// other means than a driver's: in floating point, from bytes.
type Value struct {
	Has    bool
	Number float64 // raw / divisor, a bit field as its number
	Text   string
}

// Decode returns what the registers of r say. na is the raw value of NotApplicable for it.
func (r Register) Decode(words []uint16, na string) Value {
	var data []byte
	for _, w := range words[:r.Count] {
		data = append(data, byte(w>>8), byte(w))
	}
	if r.Type == "STR" {
		return decodeText(data)
	}
	unsigned := 0.0
	for _, b := range data {
		unsigned = unsigned*256 + float64(b)
	}
	top := math.Pow(256, float64(len(data)))
	if unsigned == top-1 { // 3.3, rule 2; -1 as a signed number; what an undefined register reads
		return Value{}
	}
	if unsigned == 0 && (na == "0x0000" || na == "0x00000000") {
		return Value{}
	}
	if (r.Type == "S16" || r.Type == "S32" || r.Type == "EN") && unsigned >= top/2 {
		unsigned -= top
	}
	return Value{Has: true, Number: unsigned / float64(r.Divisor)}
}

// decodeText trims byte by byte: package bytes takes a byte that is not UTF-8 for any other such byte.
func decodeText(data []byte) Value {
	i, j := 0, len(data)
	for i < j && data[i] == 0 {
		i++
	}
	for j > i && strings.IndexByte("\x00 \xff", data[j-1]) >= 0 {
		j--
	}
	for _, c := range data[i:j] {
		if c < 0x20 || c > 0x7E {
			return Value{}
		}
	}
	return Value{Has: i < j, Text: string(data[i:j])}
}

// GroupOf returns the outlet group an item belongs to, by its name.
func (r Register) GroupOf() ups.Group {
	for prefix, g := range map[string]ups.Group{"MOG.": ups.MainGroup, "SOG[0].": ups.SOG0, "SOG[1].": ups.SOG1, "SOG[2].": ups.SOG2, "SOG[3].": ups.SOG3} {
		if len(r.Name) > len(prefix) && r.Name[:len(prefix)] == prefix {
			return g
		}
	}
	return ups.NoGroup
}
