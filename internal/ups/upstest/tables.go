// Package upstest holds what the tests of several packages share: the tables both register maps are compared with, a link
// that plays a transcript back, and the contract every driver fulfils. Only tests import it.
//
// The tables are data typed from the protocol reference, not from either map, so that a mistake in a map cannot agree with
// itself: registers.csv is the list of items, not_applicable.csv the raw values of section 5 that mean "not applicable",
// bits.csv the names of section 6. families.csv and status_bits.csv say which families have an item, and a bit of the status.
package upstest

import (
	"embed"
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
)

//go:embed registers.csv not_applicable.csv bits.csv families.csv status_bits.csv
var files embed.FS

// A Register is one row of registers.csv.
type Register struct {
	Address uint16 // zero-based protocol address
	Count   uint16 // registers
	Name    string // as in the vendor's map, "SOG[0].OutletStatus_BF"
	Type    string // U16, U32, S16, S32, EN, BF16, BF32, STR
	Divisor int    // value = raw / Divisor
	Unit    string // s, %, V, d, degC, A, Hz, Wh, VA, W or empty
	Access  string // R, RW or W
	Group   string // status, dynamic, inventory, settings, command, verification
}

// A Bit names one bit of a bit field, or one value of an enumeration.
type Bit struct {
	Item   string // as Register.Name
	Value  bool   // true: Number is a value of an enumeration, false: a bit, 0 = least significant of the whole item
	Number int
	Name   string
}

// Registers returns the rows of registers.csv in address order. It panics when the file is damaged.
func Registers() []Register {
	var out []Register
	for _, f := range rows("registers.csv", 9) {
		out = append(out, Register{
			Address: uint16(number(f[0])), Count: uint16(number(f[1])), Name: f[2], Type: f[3], Divisor: number(f[4]),
			Unit: f[5], Access: f[6], Group: f[7],
		})
	}
	return out
}

// NotApplicable returns, by item name, the raw value that means "not applicable" as the protocol reference prints it:
// "0xFFFF", "0x00000000", "-1", "zeros" (a string of 0x00) or "-" (none).
func NotApplicable() map[string]string {
	out := map[string]string{}
	for _, f := range rows("not_applicable.csv", 3) {
		out[f[1]] = f[2]
	}
	return out
}

// Bits returns the rows of bits.csv in the order of section 6.
func Bits() []Bit {
	var out []Bit
	for _, f := range rows("bits.csv", 4) {
		out = append(out, Bit{Item: f[0], Value: f[1] == "value", Number: number(f[2]), Name: f[3]})
	}
	return out
}

// A Marking says which families the vendor's map marks something for.
type Marking struct {
	Number   int      // address of the item, or number of the bit
	Name     string   // of the item or the bit
	Families []string // SMT (and SMX), SRT, SURTD; nil for none
	Sources  []string // who names the item; nil for bits
}

// Families returns for every item the families that have it, in address order.
func Families() []Marking { return markings("families.csv", 4) }

// StatusBits returns for every bit of UPSStatus_BF the families that show it.
func StatusBits() []Marking { return markings("status_bits.csv", 3) }

func markings(file string, fields int) []Marking {
	var out []Marking
	for _, f := range rows(file, fields) {
		m := Marking{Number: number(f[0]), Name: f[1]}
		if f[2] != "none" {
			m.Families = strings.Fields(f[2])
		}
		if fields > 3 {
			m.Sources = strings.Fields(f[3])
		}
		out = append(out, m)
	}
	return out
}

func rows(name string, fields int) [][]string {
	data, err := files.ReadFile(name)
	if err != nil {
		panic(err)
	}
	r := csv.NewReader(strings.NewReader(string(data)))
	r.Comment = '#'
	r.FieldsPerRecord = fields
	all, err := r.ReadAll()
	if err != nil {
		panic(fmt.Errorf("read %s: %w", name, err))
	}
	return all[1:] // the first is the header
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}
