package config

import "slices"

// TCPAddress returns where a Modbus TCP server is, host:port, of what a person writes: the port may be missing.
func TCPAddress(written string) (string, error) { return withPort(written, modbusTCP) }

// Bauds returns the baud rates that a serial port can be set to.
func Bauds() []int { return slices.Clone(bauds) }
