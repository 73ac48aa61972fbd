package config

import (
	"fmt"
	"slices"
)

// TCPAddress returns where a Modbus TCP server is, host:port, of what a person writes: the port may be missing.
func TCPAddress(written string) (string, error) { return withPort(written, modbusTCP) }

// Bauds returns the baud rates that a serial port can be set to.
func Bauds() []int { return slices.Clone(bauds) }

// CheckName says what is wrong with the name of a unit.
func CheckName(name string) error {
	if !unitName.MatchString(name) || len(name) > maxUnitName {
		return fmt.Errorf("%q is not 1 to %d characters of a-z, 0-9 and -, the first not -", name, maxUnitName)
	}
	return nil
}

// OrderGroups returns the groups that orders.allow may name.
func OrderGroups() []string { return slices.Clone(orderGroups) }
