// Command simonvetter reads the two blocks of a refresh from a unit on a serial device, one after the other, with
// github.com/simonvetter/modbus: the loop that a user of that library would write. It is a module of its own, so that the
// products do not depend on the library. It ends with the process.
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/simonvetter/modbus"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: simonvetter DEVICE")
	}
	c, err := modbus.NewClient(&modbus.ClientConfiguration{
		URL: "rtu://" + args[0], Speed: 9600, DataBits: 8, Parity: modbus.PARITY_NONE, StopBits: 1, Timeout: 500 * time.Millisecond,
	})
	if err != nil {
		return err
	}
	if err := c.Open(); err != nil {
		return err
	}
	if err := c.SetUnitId(1); err != nil {
		return err
	}
	for {
		for _, s := range [][2]uint16{{0, 27}, {128, 44}} {
			if _, err := c.ReadRegisters(s[0], s[1], modbus.HOLDING_REGISTER); err != nil {
				fmt.Fprintf(os.Stderr, "%d/%d: %v\n", s[0], s[1], err)
			}
		}
	}
}
