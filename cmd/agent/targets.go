package main

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.bug.st/serial/enumerator"

	"upsedge/internal/config"
)

// A candidate is a place where a unit may be.
type candidate struct {
	unit config.Unit
	scan bool // one of many: silence there is no news
	have bool // it is configured, and asked to know which unit it is
}

const (
	// mostHosts bounds a search: at mostPerSecond connections a second it takes a minute and a half. A /20 has as many.
	mostHosts = 4096
	mostIDs   = 247 // network cards have up to this (protocol reference, section 2.4)
	modbusTCP = 502
)

// ports are the values of --serial. Without a value it stands for every port of the box.
type ports struct {
	named []string
	all   bool
}

// everyPort is what joined gives a --serial without a value. No argument of a process has a zero byte.
const everyPort = "\x00"

// Set takes one more port.
func (p *ports) Set(dev string) error {
	switch dev {
	case everyPort:
		p.all = true
	case "":
		return errors.New("the name of a port is empty")
	default:
		p.named = append(p.named, filepath.Clean(dev)) // as the configuration spells it
	}
	return nil
}

// Type is how the help calls a port.
func (*ports) Type() string { return "DEV" }

func (p *ports) String() string { return strings.Join(p.named, ",") }

// candidates are the places that the flags name. Its errors are the caller's.
func (c *probeCmd) candidates() ([]candidate, error) {
	ids, err := c.ids()
	if err != nil {
		return nil, err
	}
	serial, err := c.serial()
	if err != nil {
		return nil, err
	}
	var out []candidate
	for _, id := range ids {
		for _, dev := range serial {
			out = append(out, candidate{config.Unit{Name: dev, Serial: &config.Serial{Device: dev, Baud: c.Baud, Parity: c.Parity}, UnitID: id}, false, false})
		}
	}
	places := 0
	for _, target := range split(c.TCP) {
		addresses, scan, err := expand(target)
		if err != nil {
			return nil, fmt.Errorf("--tcp %s: %w", quoted(target), err)
		}
		if places += len(addresses); places > mostHosts {
			return nil, fmt.Errorf("--tcp: more than %d addresses in all; search one network after the other", mostHosts)
		}
		for _, a := range addresses {
			for _, id := range ids {
				out = append(out, candidate{config.Unit{Name: a, TCP: &config.TCP{Address: a}, UnitID: id}, scan, false})
			}
		}
	}
	return once(out), nil
}

// line says what is wrong with the flags of a serial line.
func (c *probeCmd) line() error {
	if !slices.Contains(config.Bauds(), c.Baud) {
		return fmt.Errorf("--baud %d is not one of %v; the unit's own port is 9600", c.Baud, config.Bauds())
	}
	if !slices.Contains([]string{"none", "even", "odd"}, c.Parity) {
		return fmt.Errorf("--parity must be none, even or odd but got %q", c.Parity)
	}
	return nil
}

// serial returns the ports to ask.
func (c *probeCmd) serial() ([]string, error) {
	if err := c.line(); err != nil {
		return nil, err
	}
	if !c.Serial.all && (len(c.Serial.named) > 0 || len(c.TCP) > 0) {
		return c.Serial.named, nil
	}
	list, err := enumerator.GetDetailedPortsList()
	if err != nil {
		return nil, fmt.Errorf("list the serial ports: %w", err)
	}
	out := slices.Clone(c.Serial.named)
	for _, p := range list {
		out = append(out, p.Name)
	}
	if len(out) == 0 {
		return nil, errors.New("this box has no serial port; name a network: --tcp 192.0.2.0/24")
	}
	return out, nil
}

// ids returns the slave addresses to try: every N and N-M.
func (c *probeCmd) ids() ([]uint8, error) {
	var out []uint8
	for _, word := range split(c.UnitID) {
		from, to, isRange := strings.Cut(word, "-")
		if !isRange {
			to = from
		}
		a, errA := strconv.ParseUint(from, 10, 8)
		b, errB := strconv.ParseUint(to, 10, 8)
		switch {
		case errA != nil || errB != nil || a < 1 || b > mostIDs:
			return nil, fmt.Errorf("--unit-id %s is not in 1 to %d", quoted(word), mostIDs)
		case a > b:
			return nil, fmt.Errorf("--unit-id %s ends before it begins", word)
		}
		for id := a; id <= b; id++ {
			if !slices.Contains(out, uint8(id)) {
				out = append(out, uint8(id))
			}
		}
	}
	return out, nil
}

// split takes lists with commas apart. An empty word stays one: it is a mistake, and not nothing.
func split(words []string) (out []string) {
	for _, w := range words {
		out = append(out, strings.Split(w, ",")...)
	}
	return out
}

func quoted(word string) string {
	if word == "" {
		return `""`
	}
	return word
}

// once drops places that were named twice.
func once(all []candidate) []candidate {
	seen := map[string]bool{}
	return slices.DeleteFunc(all, func(c candidate) bool {
		key := fmt.Sprintf("%s/%d", c.unit.LineKey(), c.unit.UnitID)
		was := seen[key]
		seen[key] = true
		return was
	})
}

// expand returns the addresses, with port, that a host or a network stands for, and whether it is a network: 192.0.2.0/24, or
// with another port than 502, 192.0.2.0/24:5020.
func expand(target string) (addresses []string, scan bool, err error) {
	base, bits, network := strings.Cut(target, "/")
	if !network {
		address, err := config.TCPAddress(target)
		return []string{address}, false, err
	}
	port := uint64(modbusTCP)
	bits, written, other := strings.Cut(bits, ":")
	if other {
		if port, err = strconv.ParseUint(written, 10, 16); err != nil || port == 0 {
			return nil, false, fmt.Errorf("%s is not a port", quoted(written))
		}
	}
	prefix, err := netip.ParsePrefix(base + "/" + bits)
	if err != nil {
		return nil, false, errors.New("it is not a network like 192.0.2.0/24")
	}
	return hosts(prefix.Masked(), uint16(port))
}

// hosts returns the addresses of a network.
func hosts(prefix netip.Prefix, port uint16) (addresses []string, scan bool, err error) {
	if bits := prefix.Addr().BitLen() - prefix.Bits(); bits > 30 || 1<<bits > mostHosts { // an int may have 32 bits
		return nil, false, fmt.Errorf("it has more than %d addresses; name a smaller network", mostHosts)
	}
	for a := prefix.Addr(); a.IsValid() && prefix.Contains(a); a = a.Next() {
		addresses = append(addresses, netip.AddrPortFrom(a, port).String())
	}
	if n := len(addresses); n > 2 && prefix.Addr().Is4() {
		addresses = addresses[1 : n-1] // without network and broadcast address
	}
	return addresses, true, nil
}
