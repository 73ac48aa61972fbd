package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"upsedge/internal/config"
)

// at is a unit found at a place: a port, or an address with "unit" or "card".
func at(where, via, sku, number string) found {
	f := found{SKU: sku, Number: number, UnitID: 1, Via: via}
	if via == "" {
		f.Serial, f.cfg = where, config.Unit{Serial: &config.Serial{Device: where, Baud: 9600, Parity: "none"}, UnitID: 1}
	} else {
		f.TCP, f.cfg = where, config.Unit{TCP: &config.TCP{Address: where, Card: via == "card"}, UnitID: 1}
	}
	return f
}

func TestOfOneUnitTheSurestPlaceIsWritten(t *testing.T) {
	units := []found{
		at("192.0.2.1:502", "card", "SMT", "A"), at("192.0.2.2:502", "unit", "SMT", "A"), at("/dev/ttyS9", "", "SMT", "A"),
		at("192.0.2.3:502", "unit", "SRT", "A"), // another model with the same number is another unit
		at("192.0.2.4:502", "unit", "", ""), at("192.0.2.5:502", "unit", "", ""),
	}
	words := doubles(units)
	if len(words) != 2 || units[0].SameAs != "/dev/ttyS9" || units[1].SameAs != "/dev/ttyS9" || units[2].SameAs+units[3].SameAs+units[4].SameAs != "" {
		t.Errorf("%q, %+v", words, units)
	}
	added, err := name(units, filepath.Join(t.TempDir(), "none.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, u := range added {
		got = append(got, u.LineKey())
	}
	if want := "serial:/dev/ttyS9 tcp:192.0.2.3:502 tcp:192.0.2.4:502 tcp:192.0.2.5:502"; strings.Join(got, " ") != want {
		t.Errorf("added %s, want %s", got, want)
	}
	if units[0].Unit != units[2].Unit || units[2].Unit == units[3].Unit || units[4].Unit == units[5].Unit {
		t.Errorf("names: %+v", units)
	}
}

func TestAUnitThatIsInTheFileStaysWhereItIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(path, []byte("units: [{name: cellar, tcp: {address: \"192.0.2.1:502\", via: card}}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	units := []found{at("/dev/ttyS9", "", "SMT", "A"), at("192.0.2.1:502", "card", "SMT", "A")}
	_ = doubles(units)
	added, err := name(units, path)
	if err != nil || len(added) != 0 || units[0].Unit != "cellar" || units[1].Unit != "cellar" {
		t.Errorf("added %v, %v: %+v", added, err, units)
	}
}

func TestSlaveAddressesAreRangesAndLists(t *testing.T) {
	for words, want := range map[string]string{"1": "[1]", "1,5": "[1 5]", "3-5": "[3 4 5]", "9,1-2,2": "[9 1 2]", "247": "[247]"} {
		got, err := (&probeCmd{UnitID: []string{words}}).ids()
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("%s: %v, %v; want %s", words, got, err, want)
		}
	}
	for _, words := range []string{"", "0", "248", "5-1", "1-248", "-1", "a", "1-"} {
		if got, err := (&probeCmd{UnitID: []string{words}}).ids(); err == nil {
			t.Errorf("%q gives %v", words, got)
		}
	}
}

// A unit at a port is meant by every name of the port: setup takes the lasting one, and somebody says the other.
func TestAPlaceIsMeantByEveryNameOfItsPort(t *testing.T) {
	dir := t.TempDir()
	port, lasting := filepath.Join(dir, "ttyUSB0"), filepath.Join(dir, "by-id")
	if err := errors.Join(os.WriteFile(port, nil, 0o600), os.Symlink(port, lasting)); err != nil {
		t.Fatal(err)
	}
	serial, tcp := at(lasting, "", "SMT", "1"), at("192.0.2.20:502", "unit", "SMT", "2")
	for place, want := range map[string][2]bool{
		port: {true, false}, lasting: {true, false}, filepath.Join(dir, "ttyUSB1"): {false, false}, "192.0.2.20:502": {false, true}, "": {false, false},
	} {
		if got := [2]bool{serial.isAt(place), tcp.isAt(place)}; got != want {
			t.Errorf("%q: %v, want %v", place, got, want)
		}
	}
}
