package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.bug.st/serial/enumerator"

	"upsedge/internal/config"
	"upsedge/internal/doctor"
)

// A port is a serial port of this box.
type port struct {
	node string // /dev/ttyUSB0
	name string // lasting, where there is such a name
	not  string // why it is not asked unless somebody names it; "": it is
}

// thisBox lists the serial ports. agent is the process that runs with this configuration, 0 without one: it is asked itself.
func thisBox(agent int) ([]port, error) {
	list, err := enumerator.GetDetailedPortsList()
	if err != nil {
		return nil, fmt.Errorf("list the serial ports: %w", err)
	}
	active, _ := os.ReadFile("/sys/class/tty/console/active")
	var out []port
	for _, p := range list {
		one := port{node: p.Name, name: doctor.Root("/").Lasting(p.Name)}
		if slices.Contains(strings.Fields(string(active)), filepath.Base(p.Name)) {
			one.not = "it is the console of this box"
		} else {
			one.not = holderOf(p.Name, agent)
		}
		out = append(out, one)
	}
	return out, nil
}

// holderOf says who has a port, and how it is got back; "" where nobody has.
func holderOf(node string, agent int) string {
	for _, f := range doctor.Root("/").LookAtMasters([]config.Unit{{Serial: &config.Serial{Device: node}}}, agent) {
		if f.Level == doctor.Problem {
			return f.What + ". " + f.Do
		}
	}
	return ""
}

// lasting is lastingName, and says so: the same command goes to many boxes, and the adapters of each have names of their own.
func (s *setup) lasting(node string) string {
	name := lastingName(node)
	if name != node {
		s.say("%s is what it is called until it is plugged in anew; its lasting name is taken: %s", node, name)
	}
	return name
}

// lastingName is the lasting name of a port that somebody called as the kernel does; one by another name was named on purpose.
func lastingName(node string) string {
	if real, err := filepath.EvalSymlinks(node); err != nil || real != node {
		return node
	}
	return doctor.Root("/").Lasting(node)
}
